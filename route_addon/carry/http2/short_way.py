"""hyper-h2 with a short way for what comes most: a request without content, an answer, a body.

hyper-h2 makes a dozen objects for each frame, describes them to a log that nobody reads, and looks
each step up twice: that is half of what such a request costs. Most of them need none of it, as
the state of connection and stream is at hand, and allows the step. Then it is taken here, to the
state that hyper-h2 would have come to; all else goes its own way. Two private names are used, of
the windows for content; the tests hold both ways against each other, attribute by attribute.
"""

from typing import Any, Final

from h2.connection import ConnectionState, H2Connection
from h2.stream import H2Stream, StreamClosedBy, StreamState

from route_addon.carry.http2.frames import (
    END_HEADERS,
    END_STREAM,
    HEAD_BYTES,
    PADDED,
    PRIORITY,
    Frame,
    Kind,
    build_head,
)

_MAX_CLOSED: Final = 16
"""How many streams that have ended are held among those that are open."""
_WHOLE: Final = END_HEADERS | END_STREAM
_PRIORITY_BYTES: Final = 5
_OPEN: Final = ConnectionState.SERVER_OPEN
_HALF_CLOSED: Final = StreamState.HALF_CLOSED_REMOTE


def find_block(frame: Frame) -> int:
    """Find the field section of a request that is whole with one frame.

    Returns:
        Where it begins; 0 where this is no such frame, or hyper-h2 has to judge it.
    """
    flags, start = frame.flags, HEAD_BYTES
    if frame.kind != Kind.HEADERS or flags & (_WHOLE | PADDED) != _WHOLE:
        return 0
    if flags & PRIORITY:  # nobody heeds it, but a stream must not depend on itself
        start += _PRIORITY_BYTES
        depends_on = int.from_bytes(frame.data[HEAD_BYTES : HEAD_BYTES + 4]) & 0x7FFFFFFF
        if depends_on == frame.stream:
            return 0
    return start


class ShortWay(H2Connection):
    """A server's connection."""

    MAX_CLOSED_STREAMS = 256
    """What is still under way was sent when one of the last hundreds was open. Each takes 165 bytes
    for as long as the connection lives; hyper-h2 would hold 65,536 of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._frames: list[bytes | memoryview] = []
        self._full = _MAX_CLOSED
        """How many streams are too many to hold those that have ended among them."""

    def may_begin(self, number: int) -> bool:
        """Whether nothing but its fields could be wrong with a client's new stream."""
        return (
            number & 1 == 1
            and number > self.highest_inbound_stream_id
            and self.state_machine.state is _OPEN
        )

    def begin(self, number: int) -> None:
        """A request without content has come, on a stream that may begin."""
        if len(self.streams) >= self._full:
            self._full = self.open_inbound_streams + _MAX_CLOSED  # it forgets what is closed
        stream = H2Stream(
            number,
            self.config,
            self.local_settings.initial_window_size,
            self.remote_settings.initial_window_size,
        )
        stream.max_outbound_frame_size = self.max_outbound_frame_size
        machine = stream.state_machine
        machine.client = False
        machine.headers_received = True
        machine.state = _HALF_CLOSED
        self.streams[number] = stream
        self.highest_inbound_stream_id = number

    def take_content(self, number: int, size: int) -> bool:
        """A frame of content has come, without padding, and not the last of its stream.

        Args:
            number: The stream.
            size: Of the content. hyper-h2 would write it out in hexadecimal, for its log.

        Returns:
            Whether it was expected, and no more than there is room for.
        """
        stream, window = self.streams.get(number), self._inbound_flow_control_window_manager
        if (
            stream is None
            or stream.state_machine.state is not StreamState.OPEN
            or self.state_machine.state is not _OPEN
            or size > stream._inbound_window_manager.current_window_size
            or size > window.current_window_size
        ):
            return False
        stream._inbound_window_manager.window_consumed(size)
        window.window_consumed(size)
        return True

    def answer(self, number: int, *, is_end: bool) -> bool:
        """Send the fields that the encoder has, as a stream's only ones, in one frame.

        Returns:
            Whether that could be done here.
        """
        stream = self._find_answering(number)
        if stream is None or stream.state_machine.headers_sent:
            return False
        stream.state_machine.headers_sent = True
        block = self.encoder.encode(())
        flags = END_HEADERS
        if is_end:
            flags |= END_STREAM
            self._close(stream)
        self._write_frame(Kind.HEADERS, flags, number, block)
        return True

    def answer_on(self, number: int, data: bytes | memoryview, *, is_end: bool) -> bool:
        """Send a frame of content, which is not empty.

        Returns:
            Whether that could be done here.
        """
        stream, size = self._find_answering(number), len(data)
        if (
            stream is None
            or size > stream.outbound_flow_control_window
            or size > self.outbound_flow_control_window
            or size > self.max_outbound_frame_size
        ):
            return False
        stream.outbound_flow_control_window -= size
        self.outbound_flow_control_window -= size
        if is_end:
            self._close(stream)
        self._write_frame(Kind.DATA, END_STREAM if is_end else 0, number, data)
        return True

    def write(self, frame: bytes) -> None:
        """Write a frame behind those of hyper-h2's."""
        earlier = super().data_to_send()
        if earlier:
            self._frames.append(earlier)
        self._frames.append(frame)

    def data_to_send(self, amount: int | None = None) -> bytes:
        """All that is to be written, in order."""
        if not self._frames:
            return super().data_to_send()
        self._frames.append(super().data_to_send())
        data = b"".join(self._frames)
        self._frames.clear()
        return data

    def _find_answering(self, number: int) -> H2Stream | None:
        """A stream whose client has sent all, and whose answer has not ended."""
        stream = self.streams.get(number)
        is_answering = (
            stream is not None
            and stream.state_machine.state is _HALF_CLOSED
            and self.state_machine.state is _OPEN
        )
        return stream if is_answering else None

    def _close(self, stream: H2Stream) -> None:
        stream.state_machine.state = StreamState.CLOSED
        stream.state_machine.stream_closed_by = StreamClosedBy.SEND_END_STREAM

    def _write_frame(self, kind: int, flags: int, number: int, payload: bytes | memoryview) -> None:
        self.write(build_head(len(payload), kind, flags, number))
        self._frames.append(payload)
