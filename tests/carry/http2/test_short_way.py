"""The short way through hyper-h2 leads where the long one does."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from h2.connection import H2ConnectionStateMachine
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamReset, TrailersReceived, WindowUpdated
from h2.exceptions import ProtocolError
from h2.settings import Settings
from h2.stream import H2Stream, H2StreamStateMachine
from h2.windows import WindowManager
from hypothesis import given, settings
from hypothesis import strategies as st

from route_addon.carry.http2.fields import build_block
from route_addon.carry.http2.frames import ConnectionFault, FrameReader
from route_addon.carry.http2.session import Session
from route_addon.carry.http2.short_way import ShortWay
from tests.http2_frames import Speaker

type Step = Callable[[Session], object]

BLOCKS = [
    b"\x82\x87\x04\x01/",  # known, once it has come
    b"\x82\x87\x04\x02/x",
    b"\x82\x87\x04\x02/x\xbe",
    b"\x40\x01a\x01b\x04\x01/",  # changes the table
    b"",
    b"\x04\x7f",  # is none
]
HEARD = (RequestReceived, DataReceived, TrailersReceived, StreamReset, WindowUpdated)
NUMBERS = st.sampled_from([1, 5, 7, 7, 9, 11, 12])
SIZES = st.sampled_from([0, 1, 999, 16383, 16384, 16384])


class Pair:
    """A connection that takes the short way, and one that cannot."""

    def __init__(self) -> None:
        self.short, self.long = Session(), Session()
        way: Any = self.long._h2
        way.may_begin = lambda number: False
        way.answer = way.answer_on = lambda *args, is_end: False
        way.take_content = lambda *args: False
        self.ways = 0
        self._count()

    def _count(self) -> None:
        way: Any = self.short._h2
        begin = way.begin

        def counted(number: int) -> None:
            self.ways += 1
            begin(number)

        way.begin = counted

    def take(self, step: Step) -> bool:
        """Let both take a step; whether it was a good one."""
        outcomes = [_try(step, session) for session in (self.short, self.long)]
        assert outcomes[0] == outcomes[1]
        return not isinstance(outcomes[0], Exception | str)

    def compare(self) -> None:
        """Both write the same, and are in the same state once what is closed is forgotten."""
        assert self.short.take() == self.long.take()
        short, long = (_describe(session._h2) for session in (self.short, self.long))
        assert short == long


def _try(step: Step, session: Session) -> object:
    try:
        return step(session)
    except (ProtocolError, ConnectionFault, KeyError):
        return "a fault"  # what the client is told of it is compared with all that is written


OURS = ("_full", "_frames", "begin", "may_begin", "answer", "answer_on", "take_content")
# hyper-h2 sees no Content-Length, so it counts content for nothing.
APART = (
    "_actual_content_length",
    "config",
    "encoder",
    "decoder",
    "incoming_buffer",
    "_frame_dispatch_table",
)


def _describe(way: ShortWay) -> dict[str, object]:
    _ = way.open_inbound_streams
    told = {name: _tell(value) for name, value in vars(way).items() if name not in OURS + APART}
    told["closed"] = sorted(way._closed_streams.items())
    return told


def _tell(value: Any) -> object:
    """What hyper-h2 holds, as plain data."""
    if isinstance(
        value, H2Stream | H2StreamStateMachine | H2ConnectionStateMachine | WindowManager
    ):
        return {name: _tell(one) for name, one in vars(value).items() if name not in APART}
    if isinstance(value, dict | Settings):
        return sorted((key, _tell(one)) for key, one in value.items())
    return repr(value)


def hear(data: bytes) -> Step:
    """The client has sent frames."""

    def step(session: Session) -> object:
        reader = FrameReader()
        reader.read(Speaker.greet())
        return [event for frame in reader.read(data) for event in _receive(session, frame)]

    return step


def _receive(session: Session, frame: Any) -> Iterable[object]:
    if session.receive_known(frame):
        return [("RequestReceived", frame.stream, True, session.section[:2])]
    return [_read(event, session) for event in session.receive(frame) if isinstance(event, HEARD)]


def _read(event: Any, session: Session) -> object:
    if isinstance(event, RequestReceived):
        is_whole = event.stream_ended is not None
        return ("RequestReceived", event.stream_id, is_whole, session.section[:2])
    return repr(event)


def head(number: int, flags: int, block: bytes, depends_on: int | None = None) -> bytes:
    """A HEADERS frame."""
    if depends_on is not None:
        flags, block = flags | 0x20, depends_on.to_bytes(4) + b"\x0f" + block
    return Speaker.frame(1, flags, number, block)


def on_stream(number: int, step: Step) -> Step:
    """What is said on a stream; nothing once it has ended."""

    def step_if_open(session: Session) -> object:
        stream = session._h2.streams.get(number)
        return step(session) if stream is not None and not stream.closed else "ended"

    return step_if_open


def send(number: int, size: int, *, is_end: bool) -> Step:
    """Content of an answer."""

    def step(session: Session) -> object:
        room = session.room(number) if size % 2 == 0 else size  # odd ones come whatever the room
        session.send_data(number, memoryview(bytes(max(min(size, room), 0))), is_end=is_end)
        return room

    return on_stream(number, step)


def answer(number: int, size: int, *, is_end: bool, is_interim: bool) -> Step:
    """An answer's fields."""
    fields = [(b"a", b"b" * size)]
    block = build_block(100 if is_interim else 200, fields, None)
    return on_stream(
        number,
        lambda session: session.send_fields(number, block, is_end=is_end, is_interim=is_interim),
    )


def reset(number: int, *, is_whole: bool) -> Step:
    """The end of a stream before its end."""
    return on_stream(
        number, lambda session: session.reset(number, ErrorCodes.CANCEL, is_whole=is_whole)
    )


def acknowledge(number: int, size: int) -> Step:
    """Content has been taken."""
    return on_stream(number, lambda session: session.acknowledge(number, size))


CONTENT = st.sampled_from([b"", b"x", bytes(17 * 16384)])
ENDS, PADDING = st.sampled_from([False, False, True]), st.sampled_from([0, 0, 3])
FLAGS = st.sampled_from([0x5, 0x5, 0x5, 0x4, 0x5 | 0x8])
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(head, NUMBERS, FLAGS, st.sampled_from(BLOCKS)).map(hear),
    st.builds(head, NUMBERS, FLAGS, st.sampled_from(BLOCKS[:2]), NUMBERS).map(hear),
    st.builds(Speaker.data, NUMBERS, CONTENT, ends=ENDS, padding=PADDING).map(hear),
    st.builds(acknowledge, NUMBERS, st.sampled_from([1, 2**17])),
    st.builds(Speaker.window, NUMBERS | st.just(0), st.sampled_from([1, 2**16])).map(hear),
    st.builds(Speaker.reset, NUMBERS).map(hear),
    st.builds(Speaker.settings, INITIAL_WINDOW_SIZE=st.sampled_from([0, 1000, 2**20])).map(hear),
    st.builds(Speaker.settings, MAX_FRAME_SIZE=st.sampled_from([16384, 2**20])).map(hear),
    st.builds(answer, NUMBERS, SIZES, is_end=st.booleans(), is_interim=st.booleans()),
    st.builds(send, NUMBERS, SIZES, is_end=st.booleans()),
    st.builds(reset, NUMBERS, is_whole=st.booleans()),
    st.just(lambda session: session.go_away(5)),
)


@given(steps=st.lists(STEPS, min_size=4, max_size=30), is_compared=st.booleans())
@settings(max_examples=400)
def test_any_steps(steps: list[Step], is_compared: bool) -> None:
    """Events, what is written, faults and all that hyper-h2 knows are the same."""
    pair = Pair()
    pair.take(hear(Speaker.settings()))
    for number, block in enumerate([BLOCKS[0], BLOCKS[3], BLOCKS[2]]):
        assert pair.take(hear(head(2 * number + 1, 0x5, block)))
    assert pair.take(hear(head(7, 0x4, BLOCKS[0])))
    for step in steps:
        if not pair.take(step) or is_compared:
            pair.compare()
    pair.compare()


def test_the_short_way_is_taken() -> None:
    """By a request that is known, and by its answer; those that have ended are forgotten."""
    pair = Pair()
    pair.take(hear(Speaker.settings()))
    for number in range(1, 201, 2):
        assert pair.take(hear(head(number, 0x5, BLOCKS[0], None if number % 3 else 0)))
        assert pair.take(answer(number, 100, is_end=False, is_interim=number % 5 == 0))
        assert pair.take(send(number, 100, is_end=True))
        assert len(pair.short._h2.streams) < 20
    pair.compare()
    assert pair.ways == 99


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(head(9, 0x4, BLOCKS[0]), id="content follows"),
        pytest.param(head(9, 0x1, BLOCKS[0]) + Speaker.go_on(9, b"\x82"), id="fields follow"),
        pytest.param(head(9, 0x5 | 0x8, b"\x03" + BLOCKS[0]), id="padded"),
        pytest.param(head(9, 0x5, BLOCKS[0], depends_on=9), id="depends on itself"),
        pytest.param(head(9, 0x5 | 0x20, b"\x00\x00\x00"), id="a priority cut short"),
        pytest.param(head(10, 0x5, BLOCKS[0]), id="a server's number"),
        pytest.param(head(5, 0x5, BLOCKS[0]), id="a number passed over"),
        pytest.param(head(7, 0x5, BLOCKS[0]), id="a stream that is open"),
        pytest.param(head(9, 0x5, BLOCKS[1] + BLOCKS[3]), id="fields that are not known"),
    ],
)
def test_the_long_way_is_taken(frame: bytes) -> None:
    """By all else."""
    pair = Pair()
    pair.take(hear(Speaker.settings()))
    pair.take(hear(head(7, 0x5, BLOCKS[0])))
    pair.take(hear(frame))
    assert pair.ways == 0
    pair.compare()


@pytest.mark.parametrize(("window", "spent"), [(3, []), (2**20, [16383] * 4)])
def test_windows(window: int, spent: list[int]) -> None:
    """No more is sent than the client leaves room for: 3 bytes on the stream, or on all."""
    pair = Pair()
    pair.take(hear(Speaker.settings(INITIAL_WINDOW_SIZE=window)))
    pair.take(hear(head(1, 0x5, BLOCKS[0])))
    pair.take(answer(1, 0, is_end=False, is_interim=False))
    for size in spent:
        assert pair.take(send(1, size, is_end=False))
    assert not pair.take(send(1, 5, is_end=True))
    pair.compare()
    assert pair.take(send(1, 3, is_end=True))
    pair.compare()


@pytest.mark.parametrize(("size", "streams"), [(256, 1), (228, 9)])
def test_windows_for_content(size: int, streams: int) -> None:
    """No more is taken than we leave room for: so many KiB on a stream, and on all of them."""
    pair = Pair()
    pair.take(hear(Speaker.settings()))
    for number in range(1, 2 * streams, 2):
        pair.take(hear(head(number, 0x4, BLOCKS[0])))
        for _ in range(size // 4 - (number == 17)):
            assert pair.take(hear(Speaker.data(number, bytes(4096))))
    pair.compare()
    assert not pair.take(hear(Speaker.data(2 * streams - 1, bytes(4097))))
    pair.compare()


def test_fields_are_sent_once() -> None:
    """More of them would be trailers, which end a stream."""
    pair = Pair()
    pair.take(hear(Speaker.settings()))
    pair.take(hear(head(1, 0x5, BLOCKS[0])))
    assert pair.take(answer(1, 0, is_end=False, is_interim=False))
    assert not pair.take(answer(1, 0, is_end=False, is_interim=False))
    pair.compare()


def test_what_is_reset_is_forgotten_too() -> None:
    """Streams that a client opens and resets are not held."""
    pair = Pair()
    pair.take(hear(Speaker.settings()))
    for number in range(1, 201, 2):
        pair.take(hear(head(number, 0x5, BLOCKS[0]) + Speaker.reset(number)))
    assert len(pair.short._h2.streams) < 20
    pair.compare()
