"""Standard error, which nobody waits for."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from route_addon.serve.standard_error import StandardError

LINES = 2000
LINE = "x" * 98 + "\n"


def _pipe() -> tuple[int, int]:
    return os.pipe()


def _socket() -> tuple[int, int]:
    """As systemd's journal gives one."""
    ours, its = socket.socketpair()
    return ours.detach(), its.detach()


def _refuse(path: str, flags: int) -> int:
    raise PermissionError(path)


@pytest.mark.parametrize("make", [_pipe, _socket])
@pytest.mark.parametrize("can_open", [True, False], ids=["opened anew", "another user's"])
def test_a_reader_who_does_not_read(
    make: Callable[[], tuple[int, int]], can_open: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that do not fit are lost, all others are whole, and it is told how many are missing."""
    if not can_open:
        monkeypatch.setattr(os, "open", _refuse)
    reading, writing = make()
    error = StandardError(writing)
    for _ in range(LINES):
        error.write(LINE)
    taken = b""
    while not taken.endswith(b"last\n"):
        taken += os.read(reading, 2**20)
        if len(taken) % 99 == 0:
            error.write("last\n")
    os.close(reading)
    os.close(writing)
    *lines, told, last = taken.decode().splitlines(keepends=True)
    assert set(lines) == {LINE}
    assert told == f"{LINES - len(lines)} lines are missing here: nobody took them\n"
    assert (last, 0 < len(lines) < LINES) == ("last\n", True)


def test_nobody_reads_any_more() -> None:
    """It is no fault."""
    reading, writing = os.pipe()
    error = StandardError(writing)
    os.close(reading)
    error.write("to nobody\n")
    error.flush()
    os.close(writing)


def test_a_file(tmp_path: Path) -> None:
    """It has all that others write there, too, in order."""
    with (tmp_path / "log").open("wb", buffering=0) as log:
        error = StandardError(log.fileno())
        error.write("ours \udcff\n")
        log.write(b"another's\n")
        error.write("ours\n")
    assert (tmp_path / "log").read_bytes() == b"ours \\udcff\nanother's\nours\n"
