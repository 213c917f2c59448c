"""Files that settings are made of: watched, and read again when they have changed.

A secret of Kubernetes' is swapped by a link, so that it is another file under the same name: what
counts is what a path leads to. New settings are built whole before they are put in force. Those
that cannot be used change nothing, and are not tried again until a file changes once more.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from route_addon.carry.certificates import stamp_file
from route_addon.carry.faults import describe_fault

logger = logging.getLogger(__name__)

CHECK_EVERY_S: Final = 1.0
"""How often the files are looked at."""


class Reloads:
    """Reads settings again.

    Args:
        find_files: The files that the settings in force were made of.
        reload: Builds settings anew and puts them in force; raises where they cannot be used.
        level: How loud to tell of it.
    """

    def __init__(
        self,
        find_files: Callable[[], Sequence[str]],
        reload: Callable[[], Awaitable[None]],
        level: int = logging.WARNING,
    ) -> None:
        self.succeeded = 0
        self.failed = 0
        self.has_failed = False
        """Whether the last one did: what is in force is older than the files."""
        self.loaded_at = time.time()
        """When what is in force was read, in seconds since the epoch."""
        self._find_files = find_files
        self._reload = reload
        self._level = level
        self._stamps: dict[str, object] = {}
        self._lock = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch the files from now on."""
        self._stamps = _stamp_files(self._find_files())
        self._watching = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Watch no longer."""
        if self._watching is not None:
            self._watching.cancel()

    async def reload(self) -> bool:
        """Read everything again.

        Returns:
            Whether it is in force now.
        """
        async with self._lock:
            # Before they are read: what changes meanwhile is seen at the next look.
            self._stamps = await asyncio.to_thread(_stamp_files, self._find_files())
            try:
                await self._reload()
            except Exception as fault:
                self.failed += 1
                self.has_failed = True
                text = str(fault) if isinstance(fault, ValueError) else describe_fault(fault)
                logger.log(self._level, "not reloaded, the old settings stay in force: %s", text)
            else:
                self.succeeded += 1
                self.has_failed = False
                self.loaded_at = time.time()
            return not self.has_failed

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            try:
                if await asyncio.to_thread(_stamp_files, self._find_files()) != self._stamps:
                    await self.reload()
            except Exception as fault:
                logger.error("files could not be looked at: %s", describe_fault(fault))


def _stamp_files(paths: Sequence[str]) -> dict[str, object]:
    return {path: stamp_file(path) for path in paths}
