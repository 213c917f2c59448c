"""How worker processes tell what they count: each by a socket of its own in a folder of theirs.

Whoever asks reads all sockets. A worker that ends in order leaves its last word as a file beside
its socket, before that is gone: else it could be missed, and then heard twice. One that was killed
is known by a socket at which nobody answers.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock
from typing import Final

from route_addon.serve.metrics.joining import Ledger, Snapshot, counters

logger = logging.getLogger(__name__)

_PATIENCE_S: Final = 2.0
_SOCKET: Final = ".sock"
_LAST_WORD: Final = ".json"


def _make_own(folder: Path) -> Path:
    """The part of the shared folder that is for metrics."""
    own = folder / "metrics"
    own.mkdir(exist_ok=True)
    return own


def dump_snapshot(snapshot: Snapshot) -> bytes:
    """A snapshot as text."""
    flat = {name: list(samples.items()) for name, samples in snapshot.items()}
    return json.dumps(flat).encode("ascii")


def parse_snapshot(text: bytes) -> Snapshot:
    """The snapshot of a text.

    Raises:
        ValueError: It is none, or not whole.
    """
    flat = json.loads(text)
    return {
        name: {tuple(labels): value for labels, value in samples} for name, samples in flat.items()
    }


class Speaker:
    """Tells what a worker counts to whoever connects.

    Args:
        folder: What all workers share.
        read: Reads what there is to tell; called in the loop.
    """

    def __init__(self, folder: Path, read: Callable[[], Snapshot]) -> None:
        self._read = read
        self._path = _make_own(folder) / str(os.getpid())
        self._server: asyncio.Server | None = None
        self._start = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        try:
            self._server = await asyncio.start_unix_server(
                self._tell, self._path.with_suffix(_SOCKET)
            )
        except OSError as error:
            logger.error("metrics of this worker cannot be told: %s", error.strerror)

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                writer.write(dump_snapshot(self._read()))
                await writer.drain()
        writer.close()

    def close(self) -> None:
        """Leave the last word."""
        self._start.cancel()
        with contextlib.suppress(OSError):
            draft = self._path.with_suffix(".draft")
            draft.write_bytes(dump_snapshot(self._read()))
            draft.rename(self._path.with_suffix(_LAST_WORD))
        if self._server is not None:
            self._server.close()
            self._path.with_suffix(_SOCKET).unlink(missing_ok=True)


class Gathering:
    """Reads all workers, and joins what they say.

    Args:
        folder: What all of them share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = _make_own(folder)
        self._ledger = Ledger()
        self._last: dict[Hashable, Snapshot] = {}
        self._lock = Lock()

    def read(self) -> Snapshot:
        """What all workers count together, with those that have ended. Thread-safe."""
        with self._lock:
            self._last = {**self._ask_all(), **self._take_last_words()}
            return self._ledger.add(self._last)

    def _ask_all(self) -> dict[Hashable, Snapshot]:
        heard: dict[Hashable, Snapshot] = {}
        for path in self._folder.glob("*" + _SOCKET):
            try:
                heard[path.stem] = _ask(path)
            except (ConnectionRefusedError, FileNotFoundError):
                # One that has only just been made is not listened at yet.
                if not _is_running(int(path.stem)):
                    path.unlink(missing_ok=True)
            except (OSError, ValueError):
                # It is there, and busy: what it said last still holds.
                if path.stem in self._last:
                    heard[path.stem] = self._last[path.stem]
        return heard

    def _take_last_words(self) -> dict[Hashable, Snapshot]:
        """What workers said that have ended since; it is heard once, and then they are gone."""
        heard: dict[Hashable, Snapshot] = {}
        for path in self._folder.glob("*" + _LAST_WORD):
            with contextlib.suppress(OSError, ValueError):
                heard[path.stem] = counters(parse_snapshot(path.read_bytes()))
            path.unlink(missing_ok=True)
        return heard


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _ask(path: Path) -> Snapshot:
    """What the worker at a socket says.

    Raises:
        OSError: It does not.
        ValueError: What it says is not whole.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE_S)
        connection.connect(str(path))
        parts = iter(lambda: connection.recv(65536), b"")
        return parse_snapshot(b"".join(parts))
