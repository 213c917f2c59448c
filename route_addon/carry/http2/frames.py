"""The frames of an HTTP/2 client: what is looked at before hyper-h2 takes them in.

hyper-h2 buffers a frame of 16 MiB before it finds it too long, a megabyte of a header block
before its end, and copies its buffer once for each frame in it. So the bytes are parted here,
by their nine-byte heads, and it gets one whole frame of a sound size at a time.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from h2.errors import ErrorCodes

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client begins with (RFC 9113 3.4)."""

MAX_FRAME_BYTES: Final = 16 * 1024
"""The longest payload: the smallest that SETTINGS_MAX_FRAME_SIZE allows, and what clients use."""

MAX_BLOCK_BYTES: Final = 64 * 1024
"""The longest field section before END_HEADERS, compressed. Its end may never come."""

HEAD_BYTES: Final = 9
_HEAD = struct.Struct(">HBBBL")
"""A frame's head: the length's upper 16 bits and lower 8, the type, the flags, the stream."""

END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20


class Kind(IntEnum):
    """Frame types (RFC 9113 6)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class ConnectionFault(Exception):
    """The client has done what ends the connection (RFC 9113 5.4.1).

    Args:
        code: What to tell it.
        detail: What to tell the log.
    """

    def __init__(self, code: ErrorCodes, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Frame(NamedTuple):
    """One whole frame."""

    kind: int
    """A ``Kind``, or the number of a type that we do not know."""
    flags: int
    stream: int
    data: bytes
    """All of it, with its head."""

    @property
    def payload_bytes(self) -> int:
        """The length of what follows the head."""
        return len(self.data) - HEAD_BYTES


def build_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """A frame's head.

    Args:
        length: The length of what follows it.
        kind: The type.
        flags: The flags.
        stream: The stream's number.
    """
    return _HEAD.pack(length >> 8, length & 0xFF, kind, flags, stream)


class FrameReader:
    """Parts what a client sends into frames."""

    def __init__(self) -> None:
        self._held = b""
        self._preface = PREFACE
        self._is_first = True
        self._block_stream = 0
        self._block_bytes = 0

    @property
    def is_in_block(self) -> bool:
        """Whether a field section has begun and not ended: nothing else may come meanwhile."""
        return self._block_stream != 0

    def read(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the connection.

        Returns:
            The frames that are whole with them.

        Raises:
            ConnectionFault: No preface, a frame that is too long or out of place, or a field
                section that is too long.
        """
        if self._held:
            data, self._held = self._held + data, b""
        if self._preface:
            data = self._read_preface(data)
        frames: list[Frame] = []
        start, end = 0, len(data)
        while end - start >= HEAD_BYTES:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, start)
            length, stream = high << 8 | low, stream & 0x7FFFFFFF
            # Before its end has come: what is refused is not waited for.
            self._check(kind, stream, length)
            stop = start + HEAD_BYTES + length
            if stop > end:
                break
            self._follow(kind, flags, stream, length)
            frames.append(Frame(kind, flags, stream, data[start:stop]))
            start = stop
        self._held = data[start:] if start else data
        return frames

    def _read_preface(self, data: bytes) -> bytes:
        size = min(len(self._preface), len(data))
        if data[:size] != self._preface[:size]:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "no preface")
        self._preface = self._preface[size:]
        return data[size:]

    def _check(self, kind: int, stream: int, length: int) -> None:
        if length > MAX_FRAME_BYTES:
            raise ConnectionFault(ErrorCodes.FRAME_SIZE_ERROR, "frame too long")
        if self._is_first and kind != Kind.SETTINGS:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "SETTINGS do not come first")
        if self._block_stream:
            if kind != Kind.CONTINUATION or stream != self._block_stream:
                raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "field section interrupted")
            if self._block_bytes + length > MAX_BLOCK_BYTES:
                raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "field section too long")
        elif kind == Kind.CONTINUATION or kind == Kind.PUSH_PROMISE:
            raise ConnectionFault(ErrorCodes.PROTOCOL_ERROR, "frame out of place")

    def _follow(self, kind: int, flags: int, stream: int, length: int) -> None:
        self._is_first = False
        if kind == Kind.HEADERS or kind == Kind.CONTINUATION:
            is_end = flags & END_HEADERS
            self._block_stream = 0 if is_end else stream
            self._block_bytes = 0 if is_end else self._block_bytes + length
