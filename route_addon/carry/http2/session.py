"""hyper-h2 as the relay uses it: frames in, events out, and what is to be written.

It guards frames, the states of streams, and windows, and it sees no field (``sections``).
Three things are done behind its back, because it would end the connection or say too much: a
stream too many, content of a stream that we have reset, and a GOAWAY after which streams go on.
"""

from typing import Final

from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame, WindowUpdateFrame

from route_addon.carry.http2.fields import FieldEncoder
from route_addon.carry.http2.frames import (
    HEAD_BYTES,
    MAX_FRAME_BYTES,
    PREFACE,
    ConnectionFault,
    Frame,
    Kind,
)
from route_addon.carry.http2.request import LIMITS
from route_addon.carry.http2.sections import FieldDecoder, Section
from route_addon.carry.http2.short_way import ShortWay, find_block

MAX_STREAMS: Final = 100
"""At once (RFC 9113 6.5.2 asks for 100 at least; nginx has 128)."""
STREAM_WINDOW_BYTES: Final = 256 * 1024
"""Of content that nobody has taken yet, on one stream."""
CONNECTION_WINDOW_BYTES: Final = 2 * 1024 * 1024
"""The same on all streams together: eight that wait for slow upstreams do not stop a ninth."""

_MAX_DISCARDED: Final = 200
"""Streams of which content may still come after they were reset."""
_UNLIMITED: Final = 2**31 - 1

_FINAL: Final = ((b":status", b"200"),)
_INTERIM: Final = ((b":status", b"100"),)
"""What hyper-h2 needs to see of an answer's fields."""


class Session:
    """One HTTP/2 connection of a client, with no I/O."""

    def __init__(self) -> None:
        self._decoder = FieldDecoder()
        self._encoder = FieldEncoder()
        self._h2 = _open(self._decoder, self._encoder)
        self._discarded: dict[int, int] = {}
        """What may still come on streams that we have reset, in bytes."""
        self.is_over = False
        """Whether all that is sent goes nowhere."""
        self.gathered_bytes = 0
        """About how much is to be written."""

    @property
    def section(self) -> Section:
        """The field section of the request or the trailers that came last."""
        return self._decoder.section

    @property
    def last_number(self) -> int:
        """The highest stream that the client has opened."""
        return self._h2.highest_inbound_stream_id

    def receive(self, frame: Frame) -> list[Event]:
        """Take one frame in.

        Raises:
            ConnectionFault: More content than a window of it, on a stream that was reset.
            ProtocolError: hyper-h2's, for what ends the connection; it has said so to the client.
        """
        if frame.kind == Kind.DATA:
            if frame.stream in self._discarded:
                self._discard(frame)
                return []
            size = frame.payload_bytes
            if not frame.flags and self._h2.take_content(frame.stream, size):
                data = frame.data[HEAD_BYTES:]
                event = DataReceived(stream_id=frame.stream, data=data, flow_controlled_length=size)
                return [event]
        return self._h2.receive_data(frame.data)

    def receive_known(self, frame: Frame) -> bool:
        """Take in a request without content whose fields are known but for the path.

        Returns:
            Whether the frame was such a one; else it is still to be received.
        """
        start = find_block(frame)
        if start and self._h2.may_begin(frame.stream) and self._decoder.recall(frame.data[start:]):
            self._h2.begin(frame.stream)
            return True
        return False

    def room(self, number: int) -> int:
        """How much content may be sent on a stream at once."""
        if self.is_over:
            return 0
        window = self._h2.local_flow_control_window(number)
        return min(window, self._h2.max_outbound_frame_size, MAX_FRAME_BYTES)

    def send_fields(
        self, number: int, block: bytes, *, is_end: bool = False, is_interim: bool = False
    ) -> None:
        """Send an answer's fields, which are encoded already."""
        if not self.is_over:
            self._encoder.block = block
            is_short = not is_interim and len(block) < MAX_FRAME_BYTES
            if not is_short or not self._h2.answer(number, is_end=is_end):
                self._h2.send_headers(number, _INTERIM if is_interim else _FINAL, end_stream=is_end)
            self.gathered_bytes += len(block)

    def send_data(self, number: int, data: memoryview | bytes, *, is_end: bool) -> None:
        """Send one frame of content, no more than there is room for."""
        if self.is_over:
            return
        if data:
            if not self._h2.answer_on(number, data, is_end=is_end):
                self._h2.send_data(number, data, end_stream=is_end)
            self.gathered_bytes += len(data)
        elif is_end:
            self._h2.end_stream(number)

    def acknowledge(self, number: int, credit_bytes: int) -> None:
        """Content was taken: let the client send as much again."""
        if not self.is_over:
            self._h2.acknowledge_received_data(credit_bytes, number)

    def reset(self, number: int, code: ErrorCodes, *, is_whole: bool) -> None:
        """End a stream before its end.

        Args:
            number: The stream.
            code: What to tell the client.
            is_whole: Whether the client has ended it: nothing more can come.
        """
        if self.is_over:
            return
        self._h2.reset_stream(number, code)
        if not is_whole:
            self._discarded[number] = STREAM_WINDOW_BYTES
            if len(self._discarded) > _MAX_DISCARDED:
                del self._discarded[next(iter(self._discarded))]

    def go_away(self, last_number: int, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Say that no stream after this one is taken. hyper-h2 would then end those before it."""
        frame = GoAwayFrame(0, last_stream_id=last_number, error_code=code)
        self._h2.write(frame.serialize())

    def take(self) -> bytes:
        """What is to be written."""
        self.gathered_bytes = 0
        return self._h2.data_to_send()

    def _discard(self, frame: Frame) -> None:
        """Throw content away; other streams need the room that it took of the window.

        hyper-h2 would answer each such frame with another reset. It does not hear of this one,
        so the window is given back without it.
        """
        left = self._discarded[frame.stream] - frame.payload_bytes
        if left < 0:
            raise ConnectionFault(ErrorCodes.FLOW_CONTROL_ERROR, "content after a reset")
        self._discarded[frame.stream] = left
        if frame.payload_bytes:
            update = WindowUpdateFrame(0, window_increment=frame.payload_bytes)
            self._h2.write(update.serialize())


def _open(decoder: FieldDecoder, encoder: FieldEncoder) -> ShortWay:
    """hyper-h2, with our settings sent, and blind to fields."""
    config = H2Configuration(
        client_side=False,
        header_encoding=None,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    h2 = ShortWay(config)
    h2.decoder = decoder
    h2.encoder = encoder  # type: ignore[assignment]
    settings = {
        SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
        SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
        SettingCodes.MAX_HEADER_LIST_SIZE: LIMITS.head_bytes,
    }
    h2.local_settings = Settings(client=False, initial_values=settings)
    h2.initiate_connection()
    # It would end the connection over a stream too many, where one stream can be refused.
    settings[SettingCodes.MAX_CONCURRENT_STREAMS] = _UNLIMITED
    h2.local_settings = Settings(client=False, initial_values=settings)
    h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - h2.inbound_flow_control_window)
    # The reader of frames has seen to it already.
    h2.receive_data(PREFACE)
    return h2
