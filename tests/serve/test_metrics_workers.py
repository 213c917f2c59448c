"""Workers that tell what they count, and one who asks them all: nothing is lost or heard twice."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from route_addon.serve.metrics.joining import Snapshot
from route_addon.serve.metrics.workers import (
    Gathering,
    Speaker,
    dump_snapshot,
    parse_snapshot,
)

HITS = "route_token_cache_hits_total"
WORKERS = "route_workers"
NO_PROCESS = 2**22 + 1
"""Above the largest process identifier that Linux gives (``pid_max``)."""


def counted(hits: float) -> Snapshot:
    """What one worker has counted."""
    return {HITS: {(): hits}, WORKERS: {(): 1}}


async def ask(gathering: Gathering) -> tuple[object, object]:
    """How many hits and workers there are."""
    read = await asyncio.to_thread(gathering.read)
    return read.get(HITS, {}).get(()), read.get(WORKERS, {}).get(())


async def speak(folder: Path, read: Snapshot) -> Speaker:
    """A worker in this process that listens."""
    speaker = Speaker(folder, lambda: read)
    while not list((folder / "metrics").glob("*.sock")):
        await asyncio.sleep(0.01)
    return speaker


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Where this process' socket is, as that of a worker."""
    yield tmp_path / "metrics" / f"{os.getpid()}.sock"


def test_a_snapshot_as_text() -> None:
    """Labels, numbers and histograms come back as they were."""
    snapshot: Snapshot = {
        "route_requests_total": {("/", "website", "GET", "200"): 3},
        "route_first_byte_seconds": {("/",): [0.5, 1, 0]},
    }
    assert parse_snapshot(dump_snapshot(snapshot)) == snapshot


async def test_the_last_word(tmp_path: Path, path: Path) -> None:
    """It is there before the socket has gone, is heard once, and then its gauges are gone."""
    speaker = await speak(tmp_path, counted(5))
    gathering = Gathering(tmp_path)
    assert await ask(gathering) == (5, 1)
    speaker.close()
    assert not path.exists()
    assert path.with_suffix(".json").exists()
    for _ in range(3):
        assert await ask(gathering) == (5, None)
    assert list(path.parent.iterdir()) == []


async def test_a_last_word_and_a_socket(tmp_path: Path, path: Path) -> None:
    """Whoever asks in between hears both, and counts one."""
    speaker = await speak(tmp_path, counted(5))
    gathering = Gathering(tmp_path)
    path.with_suffix(".json").write_bytes(dump_snapshot(counted(5)))
    assert await ask(gathering) == (5, None)
    assert await ask(gathering) == (5, 1)
    speaker.close()
    for _ in range(2):
        assert await ask(gathering) == (5, None)


async def test_a_socket_at_which_nobody_listens(tmp_path: Path, path: Path) -> None:
    """That of a worker that has gone is taken away; of one that begins it stays."""
    gathering = Gathering(tmp_path)
    gone = path.with_stem(str(NO_PROCESS))
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        one.bind(str(gone))
        other.bind(str(path))
        assert await ask(gathering) == (None, None)
        assert not gone.exists()
        assert path.exists()
        path.unlink()


async def test_a_worker_that_is_busy(tmp_path: Path, path: Path) -> None:
    """While it says nothing that is whole, what it said last still holds."""
    words = [dump_snapshot(counted(5)), b'{"route_to', dump_snapshot(counted(7))]

    def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words.pop(0))
        writer.close()

    gathering = Gathering(tmp_path)
    server = await asyncio.start_unix_server(answer, path)
    assert [await ask(gathering) for _ in range(3)] == [(5, 1), (5, 1), (7, 1)]
    server.close()
