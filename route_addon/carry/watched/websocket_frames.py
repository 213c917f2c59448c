"""Frames of a WebSocket, as far as wsproto leaves something to do: messages, and extensions."""

from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, Frame, FrameDecoder, FrameProtocol, Opcode, RsvBits
from wsproto.utilities import split_comma_header


class Side:
    """What one side sends.

    Args:
        frames: Parses it.
        max_bytes: What is kept of one message.
    """

    def __init__(self, frames: FrameProtocol, max_bytes: int) -> None:
        self.frames = frames
        self.is_closed = False
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._kept_bytes = 0
        self.is_cut = False

    def add(self, part: bytes) -> None:
        """Keep a part of the message that is under way, as far as there is room."""
        room = self._max_bytes - self._kept_bytes
        self.is_cut = self.is_cut or len(part) > room
        if room > 0:
            self._parts.append(part[:room])
            self._kept_bytes += len(self._parts[-1])

    def take(self) -> bytes:
        """The message, now that it is whole."""
        content = b"".join(self._parts)
        self._parts, self._kept_bytes, self.is_cut = [], 0, False
        return content


class Deflate(PerMessageDeflate):
    """As wsproto has it, but for a control frame between the fragments of a message: wsproto
    takes that for the message's end, and what follows for plain content."""

    def __init__(self) -> None:
        super().__init__()
        self._is_control = False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        self._is_control = opcode.iscontrol()
        if self._is_control:
            return RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        return data if self._is_control else super().frame_inbound_payload_data(proto, data)

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        return None if self._is_control else super().frame_inbound_complete(proto, fin)


def read_content(frame: Frame) -> bytes:
    """The content of a frame that is no control frame."""
    payload = frame.payload
    return payload.encode("utf-8") if isinstance(payload, str) else bytes(payload)  # type: ignore[arg-type]


def build_extensions(value: bytes) -> list[Extension]:
    """The extensions that the handshake agreed on, as far as they are known.

    Of those that are not, the first frame that uses them is not understood.
    """
    extensions: list[Extension] = []
    for text in split_comma_header(value):
        if text.partition(";")[0].strip() == PerMessageDeflate.name:
            extension = Deflate()
            extension.finalize(text)
            extensions.append(extension)
    return extensions
