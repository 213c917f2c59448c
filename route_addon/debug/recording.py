"""Flow files, read as strictly as a file must be that anybody may have made.

mitmproxy's own reader believes what a length says before the bytes are there, follows any depth,
and takes lengths below zero. So the structure is checked here first, and only a flow that has
passed is handed to it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from mitmproxy import flow, http
from mitmproxy.io import compat, tnetstring

from route_addon.carry.evidence import EVIDENCE
from route_addon.core.recorded import BadRecord, Recorded
from route_addon.core.wording import printable

_READ: Final = os.O_RDONLY | os.O_NONBLOCK
"""Nobody waits for whoever might write to a pipe."""
_MAX_PREFIX: Final = 12
"""Digits of a length, as mitmproxy has it."""
_MAX_DEPTH: Final = 32
"""A flow of mitmproxy's nests about ten deep, with the copy that it keeps for a revert."""
_CONTAINERS: Final = frozenset(b"]}")
_TYPES: Final = frozenset(b",;#^!~]}")
_HAR: Final = (b"{", b"\xef\xbb\xbf{")


class BadRecording(Exception):
    """A recording that cannot be used; the text names the file, and the place in it.

    Args:
        path: The file.
        offset: Where in it, in bytes; None where that says nothing.
        fault: What is wrong.
    """

    def __init__(self, path: str | Path, offset: int | None, fault: str) -> None:
        place = f" at byte {offset}" if offset is not None else ""
        super().__init__(f"{path}{place}: {fault}")


def read_recording(path: str | Path) -> Iterator[tuple[int, http.HTTPFlow]]:
    """The flows of a recording, one after the other, and where each one begins.

    Args:
        path: The file.

    Raises:
        BadRecording: It cannot be read, or holds anything but whole HTTP flows, or a decision
            that is not one of ours.
    """
    try:
        # All of it by one descriptor: what is checked is what is read.
        with os.fdopen(os.open(Path(path).expanduser(), _READ), "rb") as file:
            yield from read_flows(path, file)
    except OSError as error:
        raise BadRecording(path, None, f"cannot be read ({error.strerror})") from None


def read_flows(path: str | Path, file: BinaryIO) -> Iterator[tuple[int, http.HTTPFlow]]:
    """The same of a file that is open, from its beginning.

    Args:
        path: What it is called.
        file: The file.

    Raises:
        BadRecording: It holds anything but whole HTTP flows, or a decision
            that is not one of ours.
        OSError: It cannot be read.
    """
    if not file.seekable():
        raise BadRecording(path, None, "is no file; what a pipe brings is read by -r - alone")
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(4).startswith(_HAR):
        raise BadRecording(path, 0, "is a HAR file; a flow file is wanted, as -w writes it")
    file.seek(0)
    while file.tell() < size:
        yield file.tell(), _read_flow(path, file, size)


def check_flows(path: str | Path, file: BinaryIO) -> None:
    """Read a file that is open, and make nothing of it.

    Args:
        path: What it is called.
        file: The file.

    Raises:
        BadRecording: It holds anything but whole HTTP flows, or a decision
            that is not one of ours.
        OSError: It cannot be read.
    """
    for _ in read_flows(path, file):
        pass


def _read_flow(path: str | Path, file: BinaryIO, size: int) -> http.HTTPFlow:
    offset = file.tell()
    text = _read_text(path, file, size)
    try:
        _check_structure(text)
    except _BadStructure as fault:
        raise BadRecording(path, offset + fault.offset, str(fault)) from None
    try:
        state = tnetstring.loads(text)
        if not isinstance(state, dict):
            raise ValueError("no table")
        read = flow.Flow.from_state(compat.migrate_flow(dict(state)))
    except Exception as fault:
        # Whatever a made-up flow runs into in mitmproxy: its text may be as long as the flow.
        kind = type(fault)
        reason = printable(str(fault), 100) if kind is ValueError else kind.__name__
        raise BadRecording(path, offset, f"is no flow that can be read ({reason})") from None
    if not isinstance(read, http.HTTPFlow):
        raise BadRecording(path, offset, f"is a {read.type} flow; the router carries HTTP alone")
    try:
        read_recorded(read)
    except BadRecord as fault:
        raise BadRecording(path, offset, f"the decision of this flow {fault}") from None
    return read


def read_recorded(flow: http.HTTPFlow) -> Recorded | None:
    """The decision that was recorded with a flow; None where there was none.

    Raises:
        BadRecord: It is not one of ours.
    """
    evidence = flow.metadata.get(EVIDENCE)
    if not isinstance(evidence, dict) or evidence.get("decision") is None:
        return None
    return Recorded.read(evidence["decision"])


def skim_flows(path: str | Path, file: BinaryIO) -> None:
    """Look at the lengths alone of a file that is open, whether it holds flows to its end.

    Args:
        path: What it is called.
        file: The file.

    Raises:
        BadRecording: It holds something else.
        OSError: It cannot be read.
    """
    size, offset = file.seek(0, os.SEEK_END), 0
    while offset < size:
        file.seek(offset)
        offset += _measure(path, file, size)


def _read_text(path: str | Path, file: BinaryIO, size: int) -> bytes:
    """One flow as it stands there, its length and type included."""
    offset = file.tell()
    whole = _measure(path, file, size)
    file.seek(offset)
    return file.read(whole)


def _measure(path: str | Path, file: BinaryIO, size: int) -> int:
    """How many bytes one flow has, its length and type included."""
    offset = file.tell()
    prefix = file.read(_MAX_PREFIX + 1)
    digits, colon, _ = prefix.partition(b":")
    if not colon or not digits.isdigit():
        raise BadRecording(path, offset, "is no flow file, or damaged: no length of a flow is here")
    whole = len(digits) + 1 + int(digits) + 1
    if offset + whole > size:
        raise BadRecording(path, offset, f"ends within a flow of {whole} bytes")
    return whole


class _BadStructure(Exception):
    """A typed netstring that is none.

    Args:
        offset: Where, in bytes.
        fault: What is wrong.
    """

    def __init__(self, offset: int, fault: str) -> None:
        super().__init__(fault)
        self.offset = offset


def _check_structure(text: bytes) -> None:
    """Check that every value lies within the one that holds it.

    Raises:
        _BadStructure: One does not, or they are nested too deep.
    """
    ends = [len(text)]
    position = 0
    while ends:
        if position == ends[-1]:
            ends.pop()
            # The type of what has ended.
            position += bool(ends)
            continue
        start, end = _find_value(text, position, ends[-1])
        if text[end] not in _CONTAINERS:
            position = end + 1
        elif len(ends) > _MAX_DEPTH:
            raise _BadStructure(position, "is nested too deep to be a flow")
        else:
            ends.append(end)
            position = start


def _find_value(text: bytes, position: int, end: int) -> tuple[int, int]:
    """Where the value at a position begins and ends; its type stands behind it."""
    colon = text.find(b":", position, min(position + _MAX_PREFIX + 1, end))
    digits = text[position:colon]
    if colon < 0 or not digits.isdigit():
        raise _BadStructure(position, "is damaged: no length is here")
    start = colon + 1
    stop = start + int(digits)
    if stop >= end or text[stop] not in _TYPES:
        raise _BadStructure(position, "is damaged: a value that does not end where it should")
    return start, stop
