"""A client's side of HTTP/2, frame by frame: it says whatever it is told to, well-formed or not."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from route_addon.core.messages import Field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HOST = b"desk.example"

HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 0x1, 0x4, 0x5
"""Settings (RFC 9113 6.5.2)."""

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x2, 0x3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 0x5, 0x6, 0x7, 0x8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x9, 0xB
"""Error codes (RFC 9113 7)."""

DATA_BYTES = 16 * 1024


class Heard(NamedTuple):
    """A frame of the other side."""

    kind: str
    stream: int
    value: Any = None
    """Fields of HEADERS (in lower case or not, as they came), content of DATA, an error code, the
    increment of WINDOW_UPDATE, the settings or whether it acknowledges, the data of PING."""
    ends: bool = False
    """Whether the stream ends with it."""


def pseudo(
    path: bytes = b"/API/x",
    *,
    method: bytes = b"GET",
    scheme: bytes = b"https",
    authority: bytes = HOST,
) -> list[Field]:
    """The pseudo-fields of a request."""
    return [
        (b":method", method),
        (b":scheme", scheme),
        (b":path", path),
        (b":authority", authority),
    ]


class Speaker:
    """Writes a client's frames, and reads a server's."""

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._unread = b""

    @staticmethod
    def greet(**settings: int) -> bytes:
        """The preface, with settings by name."""
        codes = {globals()[name]: value for name, value in settings.items()}
        return PREFACE + SettingsFrame(0, settings=codes).serialize()

    @staticmethod
    def acknowledge() -> bytes:
        """The word that settings have been taken in."""
        return SettingsFrame(0, flags=["ACK"]).serialize()

    def head(self, stream: int, *fields: Field, ends: bool = True, **request: Any) -> bytes:
        """A request's fields behind the usual pseudo-fields, which ``pseudo`` changes."""
        return self.fields(stream, [*pseudo(**request), *fields], ends=ends)

    def fields(self, stream: int, fields: Sequence[Field], *, ends: bool = True) -> bytes:
        """A field section as it is; a path is not indexed, as clients have it."""
        written = [
            NeverIndexedHeaderTuple(*field) if field[0] == b":path" else field for field in fields
        ]
        block = self._encoder.encode(written)
        parts = [block[at : at + DATA_BYTES] for at in range(0, len(block), DATA_BYTES)]
        frames: list[Frame] = [HeadersFrame(stream, data=parts[0])]
        frames += [ContinuationFrame(stream, data=part) for part in parts[1:]]
        if ends:
            frames[0].flags.add("END_STREAM")
        frames[-1].flags.add("END_HEADERS")
        return b"".join(frame.serialize() for frame in frames)

    @staticmethod
    def open_section(stream: int, block: bytes) -> bytes:
        """The beginning of a field section, without its end."""
        return HeadersFrame(stream, data=block).serialize()

    @staticmethod
    def go_on(stream: int, block: bytes) -> bytes:
        """More of a field section, without its end."""
        return ContinuationFrame(stream, data=block).serialize()

    @staticmethod
    def data(stream: int, data: bytes = b"", *, ends: bool = False, padding: int = 0) -> bytes:
        """Content, in as many frames as it takes."""
        parts = [data[at : at + DATA_BYTES] for at in range(0, len(data), DATA_BYTES)] or [b""]
        frames = [DataFrame(stream, data=part) for part in parts]
        if padding:
            frames[-1].flags.add("PADDED")
            frames[-1].pad_length = padding
        if ends:
            frames[-1].flags.add("END_STREAM")
        return b"".join(frame.serialize() for frame in frames)

    @staticmethod
    def window(stream: int, increment: int) -> bytes:
        """WINDOW_UPDATE."""
        return WindowUpdateFrame(stream, window_increment=increment).serialize()

    @staticmethod
    def reset(stream: int, code: int = CANCEL) -> bytes:
        """RST_STREAM."""
        return RstStreamFrame(stream, error_code=code).serialize()

    @staticmethod
    def ping() -> bytes:
        """PING."""
        return PingFrame(0, opaque_data=b"12345678").serialize()

    @staticmethod
    def priority(stream: int) -> bytes:
        """PRIORITY."""
        return PriorityFrame(stream, depends_on=0, stream_weight=1).serialize()

    @staticmethod
    def settings(**settings: int) -> bytes:
        """SETTINGS, by name."""
        codes = {globals()[name]: value for name, value in settings.items()}
        return SettingsFrame(0, settings=codes).serialize()

    @staticmethod
    def leave() -> bytes:
        """GOAWAY."""
        return GoAwayFrame(0, last_stream_id=0).serialize()

    @staticmethod
    def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
        """Any frame at all."""
        head = len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4)
        return head + payload

    def hear(self, data: bytes) -> list[Heard]:
        """The frames that are whole with these bytes."""
        data = self._unread + data
        heard: list[Heard] = []
        while len(data) >= 9:
            frame, length = Frame.parse_frame_header(memoryview(data[:9]))
            if len(data) < 9 + length:
                break
            frame.parse_body(memoryview(data[9 : 9 + length]))
            data = data[9 + length :]
            heard.append(self._tell(frame))
        self._unread = data
        return heard

    def _tell(self, frame: Frame) -> Heard:
        ends = "END_STREAM" in frame.flags
        kind = {RstStreamFrame: "RST_STREAM", GoAwayFrame: "GOAWAY"}.get(type(frame))
        value: Any = None
        if isinstance(frame, HeadersFrame):
            value = [(bytes(name), bytes(value)) for name, value in self._decode(frame.data)]
        elif isinstance(frame, DataFrame):
            value = bytes(frame.data)
        elif isinstance(frame, RstStreamFrame | GoAwayFrame):
            value = frame.error_code
        elif isinstance(frame, WindowUpdateFrame):
            value = frame.window_increment
        elif isinstance(frame, SettingsFrame):
            value = "ACK" if "ACK" in frame.flags else frame.settings
        elif isinstance(frame, PingFrame):
            value = frame.opaque_data
        usual = type(frame).__name__.removesuffix("Frame").upper()
        usual = usual.replace("WINDOWUPDATE", "WINDOW_UPDATE")
        return Heard(kind or usual, frame.stream_id, value, ends)

    def _decode(self, block: bytes) -> Any:
        return self._decoder.decode(block, raw=True)
