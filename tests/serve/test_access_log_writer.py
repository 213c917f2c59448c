"""Lines that are written beside, dropped when they do not fit, and never mixed."""

import os
import threading
from pathlib import Path

import pytest

from route_addon.serve.access_log.sinks import LogFile, StandardOutput, open_sink
from route_addon.serve.access_log.writer import MAX_LINES, LineWriter
from tests.e2e.wire import wait_until


class Sink:
    """Keeps what it gets; fails, or waits, when it is told to."""

    batch_bytes = 4096

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.fault: Exception | None = None
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.is_closed = False

    def write(self, lines: bytes) -> None:
        self.goes_on.wait(10)
        if self.fault is not None:
            raise self.fault
        self.writes.append(lines)

    def close(self) -> None:
        self.is_closed = True


def test_all_lines_in_order() -> None:
    """What was taken before the end is written, many lines at a time, none of them apart."""
    sink = Sink()
    sink.goes_on.clear()
    writer = LineWriter(sink, print)
    lines = [b"%d %s\n" % (number, b"x" * 900) for number in range(100)]
    for line in lines:
        writer.write(line)
    sink.goes_on.set()
    writer.close()
    assert b"".join(sink.writes) == b"".join(lines)
    assert all(write.endswith(b"\n") and len(write) <= 4096 for write in sink.writes)
    # Four go into a write, but for the first one: it may come before more are there.
    assert len(sink.writes) in (25, 26)
    assert (writer.written, writer.dropped) == (100, 0)
    assert sink.is_closed


def test_a_sink_that_stalls() -> None:
    """Whoever has a line never waits: what is too much is dropped, and counted."""
    sink = Sink()
    sink.goes_on.clear()
    writer = LineWriter(sink, print)
    for number in range(MAX_LINES + 1000):
        writer.write(b"%d\n" % number)
    assert writer.dropped >= 1
    assert writer.written == 0
    sink.goes_on.set()
    writer.close()
    assert writer.written + writer.dropped == MAX_LINES + 1000
    assert b"".join(sink.writes).startswith(b"0\n1\n2\n")


def test_a_sink_that_fails() -> None:
    """It is said once that lines are lost, and once that no more are."""
    said: list[str] = []
    sink = Sink()
    sink.fault = OSError(28, "No space left on device")
    writer = LineWriter(sink, said.append)
    for count in (1, 2):
        writer.write(b"lost\n")
        wait_until(lambda count=count: writer.dropped == count, "it is lost")  # type: ignore[misc]
    sink.fault = None
    writer.write(b"written\n")
    writer.close()
    assert sink.writes == [b"written\n"]
    assert said == [
        "the access log loses lines: No space left on device",
        "the access log is written again",
    ]


def test_a_sink_that_never_comes_back() -> None:
    """The end waits for it a little, and no longer."""
    sink = Sink()
    sink.goes_on.clear()
    writer = LineWriter(sink, print)
    writer.write(b"x\n")
    writer.close()
    assert not sink.is_closed
    sink.goes_on.set()


def test_a_file_that_is_rotated(tmp_path: Path) -> None:
    """It is made anew when it was moved away, or removed; else it is appended to."""
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    sink = open_sink(str(path))
    sink.write(b"one\n")
    path.rename(tmp_path / "log.1")
    sink.write(b"two\n")
    assert (tmp_path / "log.1").read_bytes() == b"before\none\n"
    assert path.read_bytes() == b"two\n"
    path.unlink()
    sink.write(b"three\n")
    assert path.read_bytes() == b"three\n"
    assert path.stat().st_mode & 0o007 == 0
    sink.close()


def test_a_folder_that_comes_back(tmp_path: Path) -> None:
    """What cannot be opened is tried again with the next lines."""
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = LogFile(str(folder / "log"))
    (folder / "log").unlink()
    folder.rmdir()
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            sink.write(b"lost\n")
    folder.mkdir()
    sink.write(b"written\n")
    assert (folder / "log").read_bytes() == b"written\n"
    sink.close()


def test_a_line_that_is_torn(tmp_path: Path) -> None:
    """After a write that failed in the middle, the next line begins on a line of its own."""
    path = tmp_path / "log"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = LogFile(str(path))
    with pytest.raises(BlockingIOError):
        # More than a pipe holds, and nobody reads.
        sink.write(b"x" * 2**20 + b"\n")
    torn = os.read(reading, 2**20)
    assert 0 < len(torn) < 2**20
    sink.write(b"whole\n")
    assert os.read(reading, 2**20) == b"\nwhole\n"
    sink.close()
    os.close(reading)


def test_a_fifo_that_nobody_reads(tmp_path: Path) -> None:
    """It is refused at once: to open it must not wait."""
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError):
        open_sink(str(tmp_path / "log"))


def test_no_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has none writes to nobody: its descriptor may be a client's by now."""
    monkeypatch.setattr("sys.stdout", None)
    sink = StandardOutput()
    with pytest.raises(BrokenPipeError):
        sink.write(b"x\n")
    sink.close()


def test_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """What is written there comes out there, and closing leaves it open for others."""
    sink = open_sink("")
    sink.write(b"a line\n")
    sink.close()
    os.write(1, b"another\n")
    assert capfd.readouterr().out == "a line\nanother\n"


def test_a_fault_of_our_own(caplog: pytest.LogCaptureFixture) -> None:
    """It costs the lines that wait, is told without what it says, and the next ones are written."""
    sink = Sink()
    sink.fault = ZeroDivisionError("a secret")
    writer = LineWriter(sink, print)
    writer.write(b"lost\n")
    wait_until(lambda: "the access log failed: ZeroDivisionError" in caplog.text, "it is told")
    sink.fault = None
    writer.write(b"written\n")
    writer.close()
    assert sink.writes == [b"written\n"]
    assert "a secret" not in caplog.text
