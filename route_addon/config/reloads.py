"""Files that settings are made of: watched, and read again when they have changed.

A secret of Kubernetes' is swapped by a link, so that it is another file under the same name: what
counts is what a path leads to. New settings are built whole before they are put in force. Those
that cannot be used change nothing, and are not tried again until a file changes once more.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from route_addon.carry.faults import describe_fault
from route_addon.config.stamps import stamp_files

logger = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 1.0
"""How often the files are looked at."""


class Reloads:
    """Reads settings again.

    Args:
        find_files: The files that the settings in force were made of, and what these looked like.
        reload: Builds settings anew and puts them in force; raises where they cannot be used.
        level: How loud to tell of those that cannot.
    """

    def __init__(
        self,
        find_files: Callable[[], Mapping[str, object]],
        reload: Callable[[], Awaitable[None]],
        level: int = logging.WARNING,
    ) -> None:
        self.succeeded = 0
        self.failed = 0
        self._find_files = find_files
        self._reload = reload
        self._level = level
        self._refused: Mapping[str, object] | None = None
        self._lock = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self._begun: asyncio.Task[bool] | None = None

    @property
    def has_failed(self) -> bool:
        """Whether the last one did: what is in force is older than the files."""
        return self._refused is not None

    def start(self) -> None:
        """Watch the files from now on."""
        self._watching = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Watch no longer."""
        if self._watching is not None:
            self._watching.cancel()

    def begin(self) -> None:
        """Read everything again, beside what is going on."""
        self._begun = asyncio.create_task(self.reload())

    async def reload(self) -> bool:
        """Read everything again.

        Returns:
            Whether it is in force now.
        """
        async with self._lock:
            files = await asyncio.to_thread(stamp_files, self._find_files())
            try:
                await self._reload()
            except Exception as fault:
                self.failed += 1
                self._refused = files
                text = str(fault) if isinstance(fault, ValueError) else describe_fault(fault)
                logger.log(self._level, "not reloaded, the old settings stay in force: %s", text)
            else:
                self.succeeded += 1
                self._refused = None
            return not self.has_failed

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            try:
                files = await asyncio.to_thread(stamp_files, self._find_files())
                if files == self._find_files():
                    self._refused = None
                elif files != self._refused:
                    await self.reload()
            except Exception as fault:
                logger.error("files could not be looked at: %s", describe_fault(fault))
