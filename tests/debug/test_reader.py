"""Files of flows that mitmproxy opens, read by our reader."""

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import exceptions, flow
from mitmproxy.addons.readfile import ReadFile
from mitmproxy.io import FlowReader, read_flows_from_paths, tnetstring
from mitmproxy.test import taddons

from route_addon.debug.reader import Reader, stream
from tests.hosting import make_flow

FLOW = tnetstring.dumps(make_flow(b"/x", live=False).get_state())
OWN = FlowReader.stream


class Pipe(io.BytesIO):
    """What can be read once."""

    name = "a pipe"

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise OSError("not here")


@pytest.fixture
async def host() -> Any:
    """mitmproxy, with our reader in it."""
    make_context: Any = taddons.context
    untyped: Any = ReadFile
    host = make_context(untyped(), loadcore=False)
    host.failures = 0
    reader = Reader(lambda: setattr(host, "failures", host.failures + 1))
    host.master.addons.add(reader)
    yield host
    if reader in host.master.addons:
        host.master.addons.remove(reader)


def test_any_file(host: Any, tmp_path: Path) -> None:
    """By whatever way mitmproxy opens it, and a file that is bad at its end gives no flow."""
    path = tmp_path / "flows.mitm"
    path.write_bytes(FLOW * 3)
    assert len(read_flows_from_paths([path])) == 3
    assert len(list(FlowReader(io.BytesIO(FLOW)).stream())) == 1
    path.write_bytes(FLOW * 2 + FLOW[:-1])
    with pytest.raises(exceptions.FlowReadException, match=f"{path} at byte {2 * len(FLOW)}: ends"):
        read_flows_from_paths([path])
    with path.open("rb") as file, pytest.raises(exceptions.FlowReadException):
        next(iter(FlowReader(file).stream()))


def test_pipe() -> None:
    """What comes by a pipe is read to its end, too, before anything of it is there."""
    assert len(list(stream(FlowReader(Pipe(FLOW * 2))))) == 2
    pipe = Pipe(FLOW * 2 + b"garbage")
    with pytest.raises(exceptions.FlowReadException, match=f"^a pipe at byte {2 * len(FLOW)}: is"):
        next(iter(stream(FlowReader(pipe))))


async def test_r(host: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bad file that ``-r`` names is told of in a sentence, and by the exit status."""
    path = tmp_path / "flows.mitm"
    path.write_bytes(FLOW)
    readfile = host.master.addons.get("readfile")
    loaded: list[flow.Flow] = []

    async def load_flow(one: flow.Flow) -> None:
        loaded.append(one)

    host.master.load_flow = load_flow
    await readfile.doread(str(path))
    assert (len(loaded), host.failures, caplog.messages) == (1, 0, [])
    path.write_bytes(FLOW + FLOW[1:])
    await readfile.doread(str(path))
    assert (len(loaded), host.failures) == (1, 1)
    assert caplog.messages[-1].startswith(f"{path} at byte {len(FLOW)}: ")
    assert "Traceback" not in caplog.text


def test_without_us(host: Any) -> None:
    """mitmproxy reads again by itself once the script is gone, or by whoever else has come."""
    reader = host.master.addons.get("route_reader")
    host.master.addons.remove(reader)
    assert FlowReader.stream is OWN
    another: Any = FlowReader
    try:
        another.stream = None
        reader.done()
        assert another.stream is None
    finally:
        another.stream = OWN


@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    """Whatever is changed: all of it is read, or nothing, with a sentence."""
    text = bytearray(FLOW + FLOW)
    at = data.draw(st.integers(0, len(text) - 1))
    text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read: list[flow.Flow] = []
    try:
        read.extend(stream(FlowReader(io.BytesIO(bytes(text)))))
    except exceptions.FlowReadException as error:
        assert str(error).startswith("the upload at byte ")
        assert read == []
