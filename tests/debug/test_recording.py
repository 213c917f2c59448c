"""Flow files that somebody may have made up."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mitmproxy.io import tnetstring
from mitmproxy.test import tflow

from route_addon.debug.recording import BadRecording, read_recording
from tests.hosting import make_flow


def _state(**changes: Any) -> dict[str, Any]:
    state: dict[str, Any] = make_flow(b"/x", live=False).get_state()
    return {**state, **changes}


FLOW = tnetstring.dumps(_state())


def _write(folder: Path, text: bytes) -> Path:
    path = folder / "flows.mitm"
    path.write_bytes(text)
    return path


def test_good(tmp_path: Path) -> None:
    """Flows come with the place where each one begins."""
    path = _write(tmp_path, FLOW + FLOW)
    found = list(read_recording(path))
    assert [offset for offset, _ in found] == [0, len(FLOW)]
    assert {flow.request.path for _, flow in found} == {"/x"}
    assert list(read_recording(_write(tmp_path, b""))) == []


_typed: Any = tflow
TCP = tnetstring.dumps(_typed.ttcpflow().get_state())
DNS = tnetstring.dumps(_typed.tdnsflow().get_state())


def _nested(depth: int) -> bytes:
    text = b"0:]"
    for _ in range(depth):
        text = b"%d:%b]" % (len(text), text)
    return text


@pytest.mark.parametrize(
    ("text", "offset", "fault"),
    [
        (FLOW[:-1], 0, "ends within a flow"),
        (FLOW[:3], 0, "no length"),
        (FLOW + FLOW[:100], len(FLOW), "ends within a flow"),
        (b"garbage", 0, "no flow file"),
        (b"\0" * 100, 0, "no flow file"),
        (b"999999999999:x", 0, "ends within a flow of 1000000000013 bytes"),
        (b"9999999999999:x", 0, "no flow file"),
        (b"-1:x", 0, "no flow file"),
        (b"+1:x,", 0, "no flow file"),
        (b"5:hello,", 0, "is no flow that can be read"),
        (b"5:hello?", 0, "damaged"),
        (b"8:5:hello,]", 0, "is no flow that can be read"),
        (b"8:9:hello,]", 2, "damaged"),
        (b"8:-:hello,]", 2, "damaged"),
        (b"12:-1:-1:-1:]]]]", 3, "damaged"),
        (_nested(1000), None, "nested too deep"),
        (_nested(10_000), None, "nested too deep"),
        (b"3:0:~}", 0, "is no flow that can be read"),
        (b"7:0:]1:1#}", 0, "is no flow that can be read"),
        (TCP, 0, "is a tcp flow"),
        (FLOW + DNS, len(FLOW), "is a dns flow"),
        (b'{"log": {"entries": []}}', 0, "is a HAR file"),
        (b"\xef\xbb\xbf{}", 0, "is a HAR file"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_bad(tmp_path: Path, text: bytes, offset: int | None, fault: str) -> None:
    """It is refused, and the file, the place and the fault are named."""
    path = _write(tmp_path, text)
    with pytest.raises(BadRecording, match=fault) as caught:
        list(read_recording(path))
    place = f" at byte {offset if offset is not None else '[0-9]+'}: "
    assert re.match(re.escape(str(path)) + place, str(caught.value))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 10**6},
        {"version": "x" * 10**6},
        {"version": None},
        {"version": 10**4000},
        {"type": "nothing"},
        {"type": []},
        {"request": None},
        {"request": 5},
        {"client_conn": {}},
        {"error": 5},
        {"more": 1},
    ],
    ids=lambda changes: repr(changes)[:30],
)
def test_no_flow(tmp_path: Path, changes: dict[str, Any]) -> None:
    """So is a table that is no flow, or one of a version that is not known here."""
    path = _write(tmp_path, FLOW + tnetstring.dumps(_state(**changes)))
    with pytest.raises(BadRecording, match=f"at byte {len(FLOW)}: is no flow that can") as caught:
        list(read_recording(path))
    assert len(str(caught.value)) < 400


def test_nothing_is_said_to_the_terminal(tmp_path: Path) -> None:
    """What a file says of itself is told without the control characters in it."""
    path = _write(tmp_path, tnetstring.dumps(_state(type="\x1b]0;owned\x07")))
    with pytest.raises(BadRecording) as caught:
        list(read_recording(path))
    assert r"\x1b]0;owned\x07" in str(caught.value)
    assert str(caught.value).isprintable()


def test_version(tmp_path: Path) -> None:
    """Of a version that is to come it is said so."""
    path = _write(tmp_path, tnetstring.dumps(_state(version=10**6)))
    with pytest.raises(BadRecording, match="flow format version 1000000, please update mitmproxy"):
        list(read_recording(path))


def test_decision_of_another_version(tmp_path: Path) -> None:
    """So it is of a decision that this router does not know how to read."""
    state = _state(metadata={"route": {"decision": {"version": 2}}})
    path = _write(tmp_path, FLOW + tnetstring.dumps(state))
    with pytest.raises(BadRecording, match=f"at byte {len(FLOW)}: the decision of this flow is no"):
        list(read_recording(path))


def test_unreadable(tmp_path: Path) -> None:
    """What cannot be opened is named, too."""
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(BadRecording, match=f"{path}: cannot be read"):
            list(read_recording(path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever is changed in a file: flows come out of it, or it is refused."""
    text = bytearray(FLOW + FLOW)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        assert len(list(read_recording(_write(tmp_path, bytes(text))))) <= 2
    except BadRecording as error:
        assert "flows.mitm at byte " in str(error)


@given(st.binary(max_size=64) | st.text("0123456789:,;#^!~]}", max_size=64).map(str.encode))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    """Nor does it matter what somebody else has made."""
    path = _write(tmp_path_factory.getbasetemp(), text)
    try:
        assert not list(read_recording(path))
    except BadRecording:
        return
