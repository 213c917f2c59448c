"""The client's side of HTTP/2, frame by frame, with fakes around it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from route_addon.carry.http2.client import ClientHttp2
from route_addon.carry.http2.session import (
    CONNECTION_WINDOW_BYTES,
    MAX_STREAMS,
    STREAM_WINDOW_BYTES,
)
from route_addon.core.framing import CHUNKED, UNTIL_END
from route_addon.core.messages import HTTP_2, Field
from tests.carry.http2_peer import PEER, FakeExchange, Http2Peer, connect, turn
from tests.http2_frames import (
    CANCEL,
    COMPRESSION_ERROR,
    DATA_BYTES,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    INTERNAL_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    Heard,
    Speaker,
    pseudo,
)

POST: dict[str, Any] = {"method": b"POST", "ends": False}


def length(size: int) -> Field:
    """A Content-Length."""
    return (b"content-length", b"%d" % size)


def want_content(exchange: FakeExchange) -> None:
    """Be an exchange that wants its content at once."""
    exchange.stream.resume_content()


class TestGreeting:
    async def test_settings(self) -> None:
        """Our settings come first, and extended CONNECT is not offered."""
        peer = Http2Peer()
        settings, window = await peer.heard("SETTINGS", "WINDOW_UPDATE")
        assert settings.value[3] == MAX_STREAMS
        assert settings.value[4] == STREAM_WINDOW_BYTES
        assert settings.value[6] == 32 * 1024
        assert not settings.value[8]
        assert window == ("WINDOW_UPDATE", 0, CONNECTION_WINDOW_BYTES - 65535, False)

    async def test_settings_are_acknowledged(self) -> None:
        """And a ping is answered, in the same piece."""
        peer = await connect()
        before = len(peer.wire.written)
        peer.say(peer.settings(), peer.ping())
        heard = await peer.heard("SETTINGS", "PING")
        assert [frame.value for frame in heard] == ["ACK", b"12345678"]
        assert len(peer.wire.written) == before + 1

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            pytest.param(b"GET / HTTP/1.1\r\n\r\n", PROTOCOL_ERROR, id="HTTP/1"),
            pytest.param(b"PRI * HTTP/2.0\r\n\r\nXX", PROTOCOL_ERROR, id="another preface"),
            pytest.param(Speaker.greet()[:24] + Speaker.ping(), PROTOCOL_ERROR, id="no settings"),
            pytest.param(
                Speaker.greet() + Speaker.frame(0, 0, 1, bytes(20000)),
                FRAME_SIZE_ERROR,
                id="a frame that is too long",
            ),
            pytest.param(
                Speaker.greet() + (2**24 - 1).to_bytes(3) + bytes(6),
                FRAME_SIZE_ERROR,
                id="a frame that will be too long",
            ),
            pytest.param(Speaker.greet() + Speaker.data(1), PROTOCOL_ERROR, id="idle stream"),
            pytest.param(
                Speaker.greet() + Speaker.frame(5, 4, 1, bytes(8)), PROTOCOL_ERROR, id="a push"
            ),
            pytest.param(
                Speaker.greet() + Speaker.go_on(1, b"\x82"), PROTOCOL_ERROR, id="CONTINUATION alone"
            ),
            pytest.param(
                Speaker.greet() + Speaker.open_section(1, b"\x82") + Speaker.ping(),
                PROTOCOL_ERROR,
                id="a field section that is interrupted",
            ),
            pytest.param(
                Speaker.greet() + Speaker.window(0, 2**31 - 1), FLOW_CONTROL_ERROR, id="overflow"
            ),
            pytest.param(
                Speaker.greet() + Speaker.frame(1, 5, 1, b"\xff\xff\xff\xff\xff"),
                PROTOCOL_ERROR,
                id="HPACK that is none",
            ),
            pytest.param(
                Speaker.greet() + Speaker.frame(1, 5, 2, b"\x82"), PROTOCOL_ERROR, id="even stream"
            ),
        ],
    )
    @pytest.mark.parametrize("step", [1, 10**6], ids=["byte by byte", "whole"])
    async def test_a_fault_of_framing(self, data: bytes, code: int, step: int) -> None:
        """It ends the connection, and says why."""
        peer = Http2Peer()
        for at in range(0, len(data), step):
            peer.say(data[at : at + step])
        heard = await peer.heard("GOAWAY")
        assert [frame.value for frame in heard] in ([code], [COMPRESSION_ERROR])
        assert peer.wire.is_closing
        assert not peer.relay.exchanges


class TestRequests:
    async def test_a_head(self) -> None:
        """Everything is where the core looks for it."""
        peer = await connect()
        fields = [(b"accept", b"*/*"), (b"cookie", b"a=1"), (b"cookie", b"b=2")]
        head = peer.ask(*fields, path=b"/a?b").head
        assert head[:3] == (b"GET", b"/a?b", HTTP_2)
        assert head.authority == b"desk.example"
        assert [tuple(field) for field in head.fields] == fields
        assert head.length == 0
        assert head.peer == PEER

    @pytest.mark.parametrize(
        ("fields", "ends", "expected"),
        [
            pytest.param([], True, 0, id="none"),
            pytest.param([length(0)], True, 0, id="none, and it says so"),
            pytest.param([length(5)], False, 5, id="announced"),
            pytest.param([], False, UNTIL_END, id="until the end"),
        ],
    )
    async def test_length(self, fields: list[Field], ends: bool, expected: int) -> None:
        """How long the content is."""
        peer = await connect()
        assert peer.ask(*fields, ends=ends, method=b"POST").head.length == expected

    async def test_byte_by_byte(self) -> None:
        """It is the same request however it arrives."""
        peer = await connect()
        data = peer.head(1, length(3), **POST) + peer.data(1, b"abc", ends=True)
        peer.relay.on_start = want_content
        for at in range(len(data)):
            peer.say(data[at : at + 1])
        assert peer.exchange.body == b"abc"
        assert peer.exchange.is_whole

    async def test_a_head_in_continuations(self) -> None:
        """A field section may be longer than a frame."""
        peer = await connect()
        fields = [(b"x-%d" % number, b"y" * 5000) for number in range(5)]
        assert len(peer.ask(*fields).head.fields) == 5

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            pytest.param(pseudo(b""), 400, id="empty path"),
            pytest.param([*pseudo(), (b"X-A", b"1")], 400, id="upper case"),
            pytest.param([*pseudo(), (b"connection", b"close")], 400, id="connection"),
            pytest.param([*pseudo(), (b"x", b"a\0b")], 400, id="NUL"),
            pytest.param([*pseudo(), (b"x", b"y" * 9000)], 431, id="long line"),
            pytest.param([*pseudo(), (b"x", b"y" * 40000)], 431, id="too much"),
            pytest.param([*pseudo(), *[(b"x", b"y")] * 101], 431, id="too many"),
            pytest.param(pseudo(b"/" + b"x" * 8192), 414, id="long path"),
            pytest.param([*pseudo(), (b"expect", b"cheese")], 417, id="expectation"),
            pytest.param([*pseudo(), length(1)], 400, id="content that does not come"),
            pytest.param([(b":status", b"100")], 400, id="an answer"),
        ],
    )
    async def test_a_malformed_request(self, head: list[Field], status: int) -> None:
        """It is refused by its stream; others go on."""
        peer = await connect()
        peer.ask()
        other = peer.exchange
        peer.say(peer.fields(3, head))
        assert (await peer.answer())[0] == status
        assert peer.relay.started == [other]
        other.answer(b"fine")
        assert (await peer.answer())[2] == b"fine"
        assert not peer.wire.is_closing

    async def test_a_refused_head_request(self) -> None:
        """What it is answered with must know that it is a HEAD."""
        peer = await connect()
        assert peer.ask(method=b"HEAD", path=b"").head.method == b"HEAD"

    async def test_what_no_decoder_should_hold(self) -> None:
        """Fields beyond any limit end the connection: the compression state is lost."""
        peer = await connect()
        peer.say(peer.fields(1, [*pseudo(), *[(b"x", b"y" * 8000)] * 9]))
        assert [frame.value for frame in await peer.heard("GOAWAY")] == [ENHANCE_YOUR_CALM]
        assert not peer.relay.exchanges

    async def test_many_at_once(self) -> None:
        """One stream too many is refused, and may be sent again."""
        peer = await connect()
        for _ in range(MAX_STREAMS):
            peer.ask()
        peer.ask()
        heard = await peer.heard()
        assert heard == [("RST_STREAM", 2 * MAX_STREAMS + 1, REFUSED_STREAM, False)]
        assert len(peer.relay.exchanges) == MAX_STREAMS
        peer.relay.exchanges[0].answer(b"fine")
        peer.ask()
        assert len(peer.relay.exchanges) == MAX_STREAMS + 1

    async def test_unknown_frames_and_priorities(self) -> None:
        """They change nothing."""
        peer = await connect()
        peer.say(peer.frame(0xFA, 0xFF, 7, b"what"), peer.frame(0xA, 0, 0, b"\0\0"))
        peer.say(peer.priority(5))
        peer.ask().answer(b"fine")
        assert (await peer.answer())[2] == b"fine"


class TestContent:
    async def test_held_until_wanted(self) -> None:
        """It waits, and the client's window with it."""
        peer = await connect()
        exchange = peer.ask(**POST)
        peer.say(peer.data(1, bytes(STREAM_WINDOW_BYTES)))
        assert not exchange.content
        assert not await peer.heard("WINDOW_UPDATE")
        exchange.stream.resume_content()
        assert len(exchange.body) == STREAM_WINDOW_BYTES
        assert not exchange.is_whole
        heard = await peer.heard("WINDOW_UPDATE")
        assert [frame for frame in heard if frame.stream == 1] == [
            ("WINDOW_UPDATE", 1, STREAM_WINDOW_BYTES, False)
        ]
        peer.say(peer.data(1, b"end", ends=True))
        assert exchange.is_whole
        assert exchange.body.endswith(b"end")

    async def test_beyond_the_window(self) -> None:
        """More than the window ends the connection."""
        peer = await connect()
        peer.ask(**POST)
        peer.say(peer.data(1, bytes(STREAM_WINDOW_BYTES + 1)))
        assert [frame.value for frame in await peer.heard("GOAWAY")] == [FLOW_CONTROL_ERROR]
        assert peer.exchange.is_lost

    async def test_what_comes_in_a_turn_is_one_delivery(self) -> None:
        """Frame by frame would be a write to the upstream for each."""
        peer = await connect()
        calls: list[int] = []
        peer.relay.on_start = want_content
        peer.relay.on_content = lambda exchange: calls.append(len(exchange.content))
        peer.ask(**POST)
        peer.say(*[peer.data(1, b"abc")] * 4, peer.data(1, ends=True))
        assert calls == [4]

    async def test_padding_is_credited(self) -> None:
        """It takes of the window, though it is no content."""
        peer = await connect()
        peer.relay.on_start = want_content
        peer.ask(**POST)
        for _ in range(1000):
            peer.say(peer.data(1, bytes(900), padding=255))
        total = sum(frame.value for frame in await peer.heard("WINDOW_UPDATE") if frame.stream)
        assert total > 1000 * 1100 - STREAM_WINDOW_BYTES
        assert len(peer.exchange.body) == 900_000

    async def test_pausing(self) -> None:
        """Nothing comes while the exchange does not want it."""
        peer = await connect()
        peer.relay.on_start = want_content
        peer.relay.on_content = lambda exchange: exchange.stream.pause_content()
        exchange = peer.ask(**POST)
        peer.say(peer.data(1, b"a"))
        peer.say(peer.data(1, b"b"))
        assert exchange.content == [b"a"]
        exchange.stream.resume_content()
        assert exchange.content == [b"a", b"b"]

    async def test_the_last_of_a_known_length_waits_for_the_end(self) -> None:
        """No upstream gets the whole of a request that turns out too long."""
        peer = await connect()
        peer.relay.on_start = want_content
        exchange = peer.ask(length(4), **POST)
        peer.say(peer.data(1, b"ab"))
        peer.say(peer.data(1, b"cd"))
        assert exchange.content == [b"ab"]
        peer.say(peer.data(1, ends=True))
        assert exchange.body == b"abcd"
        assert exchange.is_whole

    @pytest.mark.parametrize(
        ("size", "data"),
        [
            pytest.param(4, Speaker.data(1, b"abcde", ends=True), id="longer"),
            pytest.param(4, Speaker.data(1, b"abcd") + Speaker.data(1, b"e"), id="longer, late"),
            pytest.param(4, Speaker.data(1, b"abc", ends=True), id="shorter"),
            pytest.param(0, Speaker.data(1, b"a", ends=True), id="none announced"),
        ],
    )
    @pytest.mark.parametrize("is_wanted", [True, False])
    async def test_another_length_than_announced(
        self, size: int, data: bytes, is_wanted: bool
    ) -> None:
        """The request is refused, its stream alone."""
        peer = await connect()
        if is_wanted:
            peer.relay.on_start = want_content
        exchange = peer.ask(length(size), **POST)
        peer.say(data)
        assert not exchange.is_whole
        assert exchange.error is not None and exchange.error.slug == "bad_framing"
        assert (await peer.answer())[0] == 400
        peer.ask().answer(b"fine")
        assert (await peer.answer())[2] == b"fine"

    async def test_no_content_that_has_not_ended(self) -> None:
        """Nobody hears of it before it has."""
        peer = await connect()
        exchange = peer.ask(length(0), **POST)
        assert not peer.relay.started
        peer.say(peer.data(1))
        assert not peer.relay.started
        peer.say(peer.data(1, ends=True))
        assert peer.relay.started == [exchange]
        exchange.answer(b"fine")
        assert (await peer.answer())[2] == b"fine"
        assert len(peer.relay.deadlines) == 1

    async def test_trailers_are_dropped(self) -> None:
        """They end the content, and go nowhere."""
        peer = await connect()
        peer.relay.on_start = want_content
        exchange = peer.ask(**POST)
        peer.say(peer.data(1, b"abc"), peer.fields(1, [(b"x-checksum", b"1")]))
        assert exchange.body == b"abc"
        assert exchange.is_whole

    @pytest.mark.parametrize(
        "trailers", [[(b":path", b"/")], [(b"X", b"1")], [(b"x", b"a\nb")]], ids=str
    )
    async def test_malformed_trailers(self, trailers: list[Field]) -> None:
        """They make the request malformed."""
        peer = await connect()
        peer.relay.on_start = want_content
        exchange = peer.ask(**POST)
        peer.say(peer.data(1, b"abc"), peer.fields(1, trailers))
        assert not exchange.is_whole
        assert (await peer.answer())[0] == 400

    async def test_continue(self) -> None:
        """A client that waits for it hears that its content is wanted; others do not."""
        peer = await connect()
        expect = (b"expect", b"100-continue")
        peer.ask(expect, **POST).stream.send_continue()
        peer.ask(**POST).stream.send_continue()
        peer.ask(expect, method=b"POST").stream.send_continue()
        assert await peer.heard() == [("HEADERS", 1, [(b":status", b"100")], False)]
        peer.relay.exchanges[0].answer(b"fine")
        assert (await peer.answer())[0] == 200

    async def test_no_continue_once_content_has_come(self) -> None:
        """The client has not waited for it."""
        peer = await connect()
        exchange = peer.ask((b"expect", b"100-continue"), **POST)
        peer.say(peer.data(1, b"abc"))
        exchange.stream.send_continue()
        assert not await peer.heard()

    async def test_silence(self) -> None:
        """A client that does not go on gets a 408."""
        peer = await connect(body_s=1000)
        peer.relay.on_start = want_content
        exchange = peer.ask(**POST)
        peer.expire_stream(exchange)
        assert (await peer.answer())[0] == 408
        assert not peer.wire.is_closing

    async def test_no_deadline_while_nobody_wants_it(self) -> None:
        """It is not the client who is slow then."""
        peer = await connect()
        exchange = peer.ask(**POST)
        assert len(peer.relay.deadlines) == 1
        exchange.stream.resume_content()
        assert len(peer.relay.deadlines) == 2
        exchange.stream.pause_content()
        assert len(peer.relay.deadlines) == 1

    async def test_a_refused_upload(self) -> None:
        """The answer, then a reset without an error; what still comes is thrown away."""
        peer = await connect()
        peer.relay.on_start = lambda exchange: exchange.answer(b"no", status=401)
        exchange = peer.ask(length(2**30), **POST)
        assert (await peer.answer())[0] == 401
        peer.say(peer.data(1, bytes(1000)))
        peer.expire_stream(exchange)
        assert await peer.heard() == [("RST_STREAM", 1, NO_ERROR, False)]
        assert len(peer.relay.deadlines) == 1
        left = CONNECTION_WINDOW_BYTES
        for _ in range(15):
            peer.say(peer.data(1, bytes(DATA_BYTES)))
            left -= DATA_BYTES
        heard = await peer.heard("RST_STREAM", "GOAWAY", "WINDOW_UPDATE")
        assert {frame.kind for frame in heard} == {"WINDOW_UPDATE"}
        assert sum(frame.value for frame in heard if not frame.stream) == 15 * DATA_BYTES
        assert not exchange.content

    async def test_a_refused_upload_that_ends_by_itself(self) -> None:
        """Nothing is left to reset then."""
        peer = await connect()
        peer.relay.on_start = lambda exchange: exchange.answer(b"no", status=401)
        peer.ask(**POST)
        await peer.answer()
        peer.say(peer.data(1, b"abc", ends=True))
        assert not await peer.heard()
        assert len(peer.relay.deadlines) == 1

    async def test_content_without_end_after_a_reset(self) -> None:
        """More than the window of it breaks the rules of flow control."""
        peer = await connect()
        peer.relay.on_start = lambda exchange: exchange.answer(b"no", status=401)
        exchange = peer.ask(**POST)
        peer.expire_stream(exchange)
        for _ in range(STREAM_WINDOW_BYTES // DATA_BYTES + 1):
            peer.say(peer.data(1, bytes(DATA_BYTES)))
        assert [frame.value for frame in await peer.heard("GOAWAY")] == [FLOW_CONTROL_ERROR]

    async def test_trailers_after_a_reset(self) -> None:
        """They may still come, and their fields count for the compression."""
        peer = await connect()
        peer.relay.on_start = lambda exchange: exchange.answer(b"no", status=401)
        exchange = peer.ask(**POST)
        peer.expire_stream(exchange)
        peer.say(peer.fields(1, [(b"x-new", b"entry of the table")]))
        peer.relay.on_start = lambda exchange: None
        assert list(peer.ask((b"x-new", b"entry of the table")).head.fields) == [
            (b"x-new", b"entry of the table")
        ]
        assert not peer.wire.is_closing

    async def test_credit_of_what_nobody_took(self) -> None:
        """A stream that is over gives it back to the others."""
        peer = await connect()
        peer.ask(**POST)
        for _ in range(20):
            peer.say(peer.data(peer.exchange.stream.number, bytes(STREAM_WINDOW_BYTES - 1)))
            peer.say(peer.reset(peer.exchange.stream.number))
            peer.ask(**POST)
        assert not peer.wire.is_closing
        assert not peer.exchange.is_lost


class TestAnswers:
    async def test_fields(self) -> None:
        """Names are in lower case, and a connection's own fields stay away."""
        peer = await connect()
        fields = [
            (b"Content-Type", b"text/plain"),
            (b"X-Long", b"y" * 300),
            (b"Connection", b"close"),
            (b"Keep-Alive", b"1"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Set-Cookie", b"a"),
            (b"Set-Cookie", b"b"),
        ]
        peer.ask().answer(b"body", status=203, fields=fields)
        head, data = await peer.heard()
        assert head.value == [
            (b":status", b"203"),
            (b"content-type", b"text/plain"),
            (b"x-long", b"y" * 300),
            (b"set-cookie", b"a"),
            (b"set-cookie", b"b"),
            (b"content-length", b"4"),
        ]
        assert data == ("DATA", 1, b"body", True)

    @pytest.mark.parametrize(
        ("length", "expected"), [(7, b"7"), (0, b"0"), (None, None), (CHUNKED, None)]
    )
    async def test_without_content(self, length: int | None, expected: bytes | None) -> None:
        """HEAD, 204 and 304 end with their fields."""
        peer = await connect()
        exchange = peer.ask(method=b"HEAD")
        exchange.stream.send_head(200, None, [], length, [], True)
        exchange.finish()
        (head,) = await peer.heard()
        assert head.ends
        assert dict(head.value).get(b"content-length") == expected

    async def test_in_parts(self) -> None:
        """An end without content is a frame of its own."""
        peer = await connect()
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], CHUNKED, [], False)
        exchange.stream.send_content([b"a", b"b"], False)
        exchange.stream.send_content([], True)
        exchange.finish()
        assert [frame[2:] for frame in await peer.heard("DATA")] == [(b"ab", False), (b"", True)]

    async def test_one_write_a_turn(self) -> None:
        """Answers of many streams leave together."""
        peer = await connect()
        for _ in range(10):
            peer.ask()
        before = len(peer.wire.written)
        for exchange in peer.relay.exchanges:
            exchange.answer(b"fine")
        await turn()
        assert len(peer.wire.written) == before + 1

    async def test_large_content_is_written_in_portions(self) -> None:
        """No more is gathered than is worth a write."""
        peer = await connect()
        peer.say(peer.window(0, 2**24), peer.settings(INITIAL_WINDOW_SIZE=2**24))
        peer.ask().answer(bytes(1_000_000))
        assert max(map(len, peer.wire.written)) < 100_000
        frames = await peer.heard("DATA")
        assert {len(frame.value) for frame in frames[:-1]} == {DATA_BYTES}
        assert sum(len(frame.value) for frame in frames) == 1_000_000

    async def test_the_streams_window(self) -> None:
        """What it leaves no room for waits, and the upstream with it."""
        peer = await connect()
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], 100_000, [bytes(100_000)], False)
        assert exchange.is_paused
        assert sum(len(frame.value) for frame in await peer.heard("DATA")) == 65_535
        peer.say(peer.window(0, 2**20))
        assert not await peer.heard("DATA")
        peer.say(peer.window(1, 20_000))
        assert sum(len(frame.value) for frame in await peer.heard("DATA")) == 20_000
        assert exchange.is_paused
        peer.say(peer.settings(INITIAL_WINDOW_SIZE=2**20))
        assert sum(len(frame.value) for frame in await peer.heard("DATA")) == 14_465
        assert not exchange.is_paused

    async def test_a_little_room(self) -> None:
        """It is left until there is more, or for a moment: else frames would get ever smaller."""
        peer = await connect()
        peer.ask().answer(bytes(100_000))
        peer.say(peer.window(0, 2**20))
        await peer.heard()
        for room, expected in ((1000, []), (100, [1100]), (1023, []), (0, [])):
            peer.say(peer.window(1, room) if room else peer.ping())
            assert [len(frame.value) for frame in await peer.heard("DATA")] == expected
        await asyncio.sleep(0.1)
        assert [len(frame.value) for frame in await peer.heard("DATA")] == [1023]
        peer.say(peer.window(1, 2**20))
        assert (await peer.heard("DATA"))[-1].ends

    async def test_an_end_that_waits(self) -> None:
        """The exchange is over before its answer has left."""
        peer = await connect()
        peer.ask().answer(bytes(70_000))
        assert not (await peer.heard("DATA"))[-1].ends
        assert len(peer.relay.deadlines) == 2
        peer.say(peer.window(0, 2**20), peer.window(1, 2**20))
        assert (await peer.heard("DATA"))[-1].ends
        assert len(peer.relay.deadlines) == 1

    async def test_a_window_that_shrinks(self) -> None:
        """It may become negative (RFC 9113 6.9.2)."""
        peer = await connect()
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], 80_000, [bytes(60_000)], False)
        peer.say(peer.settings(INITIAL_WINDOW_SIZE=1000), peer.window(0, 2**20))
        exchange.stream.send_content([bytes(20_000)], True)
        exchange.finish()
        assert sum(len(frame.value) for frame in await peer.heard("DATA")) == 60_000
        peer.say(peer.window(1, 59_000 + 20_000))
        assert sum(len(frame.value) for frame in await peer.heard("DATA")) == 20_000

    async def test_streams_take_turns(self) -> None:
        """When there is room again, none of them gets all of it."""
        peer = await connect()
        peer.say(peer.settings(INITIAL_WINDOW_SIZE=2**20))
        for _ in range(3):
            peer.ask().answer(bytes(200_000))
        await peer.heard()
        peer.say(peer.window(0, 9 * DATA_BYTES))
        streams = [frame.stream for frame in await peer.heard("DATA")]
        assert sorted(streams) == [1] * 3 + [3] * 3 + [5] * 3
        assert len(set(streams[:3])) == 3

    async def test_a_client_that_takes_nothing(self) -> None:
        """Its stream is reset, and nobody waits for it."""
        peer = await connect()
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], CHUNKED, [bytes(100_000)], False)
        await peer.heard()
        peer.expire_stream(exchange)
        assert await peer.heard() == [("RST_STREAM", 1, CANCEL, False)]
        assert exchange.is_lost
        assert len(peer.relay.deadlines) == 1

    async def test_a_client_that_takes_a_byte_at_a_time(self) -> None:
        """That is no progress; a kilobyte is."""
        peer = await connect()
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], CHUNKED, [bytes(100_000)], False)
        peer.expire_stream(exchange)
        assert not exchange.is_over or exchange.is_lost
        exchange = peer.ask()
        peer.say(peer.window(0, 2000))
        exchange.stream.send_head(200, None, [], CHUNKED, [bytes(100_000)], False)
        peer.say(peer.window(0, 1500))
        peer.expire_stream(exchange)
        assert not exchange.is_lost
        peer.say(peer.window(0, 1))
        peer.expire_stream(exchange)
        assert exchange.is_lost

    async def test_cut(self) -> None:
        """The client sees that the answer is not whole."""
        peer = await connect()
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], 10, [b"abc"], False)
        exchange.is_over = True
        exchange.stream.cut()
        heard = await peer.heard()
        assert heard[-1] == ("RST_STREAM", 1, INTERNAL_ERROR, False)
        exchange.stream.send_content([b"late"], True)
        exchange.stream.send_head(200, None, [], 10, [b"abc"], True)
        exchange.stream.finish()
        assert not await peer.heard()

    async def test_an_answer_without_its_end(self) -> None:
        """An exchange that stops short cannot look whole."""
        peer = await connect()
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], 10, [b"abc"], False)
        exchange.finish()
        assert (await peer.heard())[-1] == ("RST_STREAM", 1, INTERNAL_ERROR, False)

    async def test_no_tunnels(self) -> None:
        """There is nothing that could become one."""
        peer = await connect()
        exchange = peer.ask()
        abandoned: list[bool] = []

        class Connection:
            def abandon(self) -> None:
                abandoned.append(True)

        exchange.stream.start_tunnel([], Connection(), b"", None)
        assert abandoned == [True]
        assert await peer.heard() == [("RST_STREAM", 1, INTERNAL_ERROR, False)]

    async def test_the_client(self) -> None:
        """Whoever watches asks who it is."""
        peer = await connect()
        assert peer.ask().stream.client is peer.wire.client


class TestWire:
    async def test_a_client_that_does_not_read(self) -> None:
        """Answers stop, then reading does; all goes on when it reads again."""
        peer = await connect()
        peer.say(peer.settings(INITIAL_WINDOW_SIZE=2**24), peer.window(0, 2**24))
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], CHUNKED, [b"begin"], False)
        other = peer.ask()
        await peer.heard()
        peer.wire.buffered_bytes = 300_000
        peer.server.pause_writing()
        assert exchange.is_paused
        assert not other.is_paused
        exchange.stream.send_content([bytes(50_000)], False)
        other.answer(bytes(50_000))
        assert not await peer.heard("DATA")
        peer.say(peer.ping())
        assert not peer.wire.is_reading
        peer.wire.buffered_bytes = 0
        peer.server.resume_writing()
        assert peer.wire.is_reading
        assert sum(len(frame.value) for frame in await peer.heard("DATA")) == 100_000
        assert not exchange.is_paused

    async def test_it_reads_again_with_nothing_left(self) -> None:
        """A stream that was only told to pause goes on as well."""
        peer = await connect()
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], CHUNKED, [b"begin"], False)
        peer.server.pause_writing()
        assert exchange.is_paused
        peer.server.resume_writing()
        assert not exchange.is_paused

    async def test_a_deaf_client(self) -> None:
        """It is given up, unless it makes progress."""
        peer = await connect()
        peer.ask()
        peer.wire.buffered_bytes = 100_000
        peer.server.pause_writing()
        peer.wire.buffered_bytes = 90_000
        peer.expire()
        assert not peer.wire.is_aborted
        peer.expire()
        assert peer.wire.is_aborted

    async def test_lost(self) -> None:
        """Nobody waits for answers any more, and nothing is written."""
        peer = await connect()
        exchange = peer.ask(**POST)
        peer.server.lost()
        assert exchange.is_lost
        assert len(peer.relay.deadlines) == 0
        exchange.stream.send_head(200, None, [], 0, [], True)
        exchange.stream.resume_content()
        assert not await peer.heard()

    async def test_the_end_of_what_it_sends(self) -> None:
        """A request that is whole is answered before the connection closes; others are not."""
        peer = await connect()
        whole, half = peer.ask(), peer.ask(**POST)
        peer.server.receive_eof()
        assert half.is_lost
        assert not peer.wire.is_closing
        whole.answer(b"fine")
        assert (await peer.answer())[2] == b"fine"
        assert peer.wire.is_closing

    async def test_the_end_of_a_resting_connection(self) -> None:
        """It closes at once."""
        peer = await connect()
        peer.server.receive_eof()
        assert peer.wire.is_closing
        peer.say(peer.head(1))
        assert not peer.relay.exchanges


class TestEnds:
    async def test_resting(self) -> None:
        """A connection without requests is ended after a while."""
        peer = await connect(keepalive_s=1000)
        peer.ask()
        assert peer.server.deadline == float("inf")
        peer.exchange.answer(b"fine")
        assert peer.server.deadline < float("inf")
        await peer.heard()
        peer.expire()
        assert await peer.heard() == [("GOAWAY", 0, NO_ERROR, False)]
        assert peer.wire.is_closing

    async def test_pings_do_not_keep_it(self) -> None:
        """Only requests do."""
        peer = await connect()
        before = peer.server.deadline
        await asyncio.sleep(0.01)
        peer.say(peer.ping())
        assert peer.server.deadline == before

    async def test_a_closing_that_is_not_taken(self) -> None:
        """It ends all the same."""
        peer = await connect()
        peer.expire()
        peer.wire.buffered_bytes = 17
        assert not peer.wire.is_aborted
        peer.expire()
        assert peer.wire.is_aborted

    async def test_a_field_section_without_end(self) -> None:
        """It stops all streams, so its time counts though there are others."""
        peer = await connect(head_s=1000)
        exchange = peer.ask()
        peer.say(peer.open_section(3, b"\x82"))
        assert peer.server.deadline < float("inf")
        peer.say(peer.go_on(3, b""))
        peer.expire()
        assert exchange.is_lost
        assert peer.wire.is_closing

    async def test_a_field_section_with_an_end(self) -> None:
        """Then there is no hurry any more."""
        peer = await connect(head_s=1000)
        data = peer.head(1)
        head, block = data[:9], data[9:]
        peer.say(peer.frame(1, 1, 1, block[:3]))
        assert head[4] == 5
        peer.say(peer.frame(9, 4, 1, block[3:]))
        assert peer.exchange.head.target == b"/API/x"
        assert peer.server.deadline == float("inf")

    async def test_the_client_leaves(self) -> None:
        """Its GOAWAY lets what is under way end."""
        peer = await connect()
        exchange = peer.ask()
        peer.say(peer.leave())
        assert not peer.wire.is_closing
        exchange.answer(b"fine")
        assert (await peer.answer())[2] == b"fine"
        assert peer.wire.is_closing

    async def test_draining(self) -> None:
        """What is under way ends, what comes later is refused, then the connection closes."""
        peer = await connect()
        first = peer.ask()
        peer.relay.is_draining = True
        second = peer.ask()
        peer.ask()
        heard = await peer.heard()
        assert Heard("GOAWAY", 0, NO_ERROR) in heard
        assert Heard("RST_STREAM", 5, REFUSED_STREAM) in heard
        assert len(peer.relay.exchanges) == 2
        first.answer(b"first")
        assert (await peer.answer())[2] == b"first"
        second.answer(b"second")
        assert (await peer.answer())[2] == b"second"
        assert peer.wire.is_closing

    async def test_draining_a_connection_that_is_busy(self) -> None:
        """The end of a stream says so too."""
        peer = await connect()
        exchange = peer.ask()
        peer.relay.is_draining = True
        exchange.answer(b"fine")
        assert [frame.value for frame in await peer.heard("GOAWAY")] == [NO_ERROR]
        assert peer.wire.is_closing

    async def test_drained_at_rest(self) -> None:
        """A connection with nothing under way closes at once, with a word."""
        peer = await connect()
        peer.server.drain()
        assert [frame.value for frame in await peer.heard("GOAWAY")] == [NO_ERROR]
        assert peer.wire.is_closing

    async def test_drained_while_busy(self) -> None:
        """What is under way ends; more is refused, however often it is said."""
        peer = await connect()
        exchange = peer.ask()
        peer.server.drain()
        peer.server.drain()
        peer.ask()
        heard = await peer.heard()
        assert heard.count(Heard("GOAWAY", 0, NO_ERROR)) == 1
        assert Heard("RST_STREAM", 3, REFUSED_STREAM) in heard
        exchange.answer(b"fine")
        assert (await peer.answer())[2] == b"fine"
        assert peer.wire.is_closing

    async def test_left(self) -> None:
        """Once its time is up, what is under way is lost, and the connection closes."""
        peer = await connect()
        exchange = peer.ask()
        peer.server.leave()
        assert exchange.is_lost
        assert peer.wire.is_closing


def _rapid_resets(peer: Http2Peer) -> None:
    peer.ask()
    peer.say(peer.reset(peer.exchange.stream.number))


def _tricked_resets(peer: Http2Peer) -> None:
    peer.ask(length(1), **POST)
    peer.say(peer.data(peer.exchange.stream.number, b"too much"))


FLOODS: dict[str, Callable[[Http2Peer], None]] = {
    "pings": lambda peer: peer.say(peer.ping()),
    "settings": lambda peer: peer.say(peer.settings()),
    "priorities": lambda peer: peer.say(peer.priority(1)),
    "window updates": lambda peer: peer.say(peer.window(0, 1)),
    "unknown frames": lambda peer: peer.say(peer.frame(0x7F, 0, 0)),
    "resets of nothing": lambda peer: peer.say(peer.reset(1)),
    "empty content": lambda peer: peer.say(peer.data(1)),
    "padding": lambda peer: peer.say(peer.data(1, padding=10)),
    "rapid resets": _rapid_resets,
    "tricked resets": _tricked_resets,
}


class TestAbuse:
    @pytest.mark.parametrize("attack", FLOODS.values(), ids=FLOODS)
    async def test_floods(self, attack: Callable[[Http2Peer], None]) -> None:
        """So much is borne, and no more."""
        peer = await connect()
        peer.relay.on_start = want_content
        peer.ask(**POST)
        peer._stream += 10  # what follows are other streams
        for _ in range(5000):
            if peer.wire.is_closing:
                break
            attack(peer)
        goaways = await peer.heard("GOAWAY")
        assert [frame.value for frame in goaways] == [ENHANCE_YOUR_CALM]
        assert all(exchange.is_over for exchange in peer.relay.exchanges)

    async def test_all_at_once(self) -> None:
        """Nothing behind the last straw is looked at."""
        peer = await connect()
        peer.say(peer.ping() * 3000, peer.head(1))
        assert [frame.value for frame in await peer.heard("GOAWAY")] == [ENHANCE_YOUR_CALM]
        assert not peer.relay.exchanges

    async def test_continuations_without_end(self) -> None:
        """A field section is bounded before it is decoded."""
        peer = await connect()
        peer.say(peer.open_section(1, bytes(16000)))
        for _ in range(5):
            peer.say(peer.go_on(1, bytes(16000)))
        assert [frame.value for frame in await peer.heard("GOAWAY")] == [ENHANCE_YOUR_CALM]

    async def test_empty_continuations_without_end(self) -> None:
        """So is the number of its parts."""
        peer = await connect()
        peer.say(peer.open_section(1, b"\x82"), *[peer.go_on(1, b"")] * 100)
        assert len(await peer.heard("GOAWAY")) == 1

    async def test_cancelled_downloads(self) -> None:
        """A page that is left cancels all its streams; that is no abuse."""
        peer = await connect()
        for _ in range(2):
            exchanges = [peer.ask() for _ in range(90)]
            for exchange in exchanges:
                peer.say(peer.reset(exchange.stream.number))
        assert all(exchange.is_lost for exchange in peer.relay.exchanges)
        peer.ask().answer(b"fine")
        assert (await peer.answer())[2] == b"fine"

    async def test_a_download_with_many_window_updates(self) -> None:
        """They belong to what is sent."""
        peer = await connect()
        exchange = peer.ask()
        exchange.stream.send_head(200, None, [], CHUNKED, [], False)
        for _ in range(5000):
            exchange.stream.send_content([bytes(2000)], False)
            peer.say(peer.window(0, 2000), peer.window(1, 2000))
        assert not peer.wire.is_closing

    async def test_a_window_of_a_byte(self) -> None:
        """Content dribbled out byte by byte is abuse."""
        peer = Http2Peer()
        peer.say(peer.greet(INITIAL_WINDOW_SIZE=0), peer.acknowledge())
        peer.ask().answer(bytes(50_000))
        for _ in range(5000):
            peer.say(peer.window(1, 1))
        assert [frame.value for frame in await peer.heard("GOAWAY")] == [ENHANCE_YOUR_CALM]

    async def test_a_huge_header_table(self) -> None:
        """No client makes us keep one: what we send needs none."""
        peer = await connect()
        peer.say(peer.settings(HEADER_TABLE_SIZE=2**31))
        for number in range(50):
            peer.ask().answer(b"", fields=[(b"x-%d" % number, b"y" * 100)])
        assert len(await peer.heard("HEADERS")) == 50
        peer.say(peer.settings(HEADER_TABLE_SIZE=0))
        peer.ask().answer(b"fine")
        assert (await peer.answer())[2] == b"fine"

    async def test_a_window_that_overflows(self) -> None:
        """It ends the stream that it belongs to."""
        peer = await connect()
        first, second = peer.ask(), peer.ask()
        peer.say(peer.window(1, 2**31 - 1))
        assert await peer.heard() == [("RST_STREAM", 1, FLOW_CONTROL_ERROR, False)]
        assert first.is_lost
        second.answer(b"fine")
        assert (await peer.answer())[2] == b"fine"

    async def test_content_behind_the_end(self) -> None:
        """It is the fault of its stream, or of the connection."""
        peer = await connect()
        exchange = peer.ask()
        peer.say(peer.data(1, b"more"))
        heard = await peer.heard()
        assert [frame.value for frame in heard] == [STREAM_CLOSED]
        assert exchange.is_lost


class TestFaults:
    """Faults of our own fail closed, and take no other stream along."""

    @staticmethod
    def _raise(*anything: object) -> Any:
        raise ZeroDivisionError("a secret")

    async def _check_others(self, peer: Http2Peer, caplog: pytest.LogCaptureFixture) -> None:
        assert "a secret" not in caplog.text
        assert "ZeroDivisionError" in caplog.text
        for name in ("on_start", "on_content", "on_lost", "on_fail"):
            setattr(peer.relay, name, lambda exchange: None)
        await peer.heard()
        peer.ask().answer(b"fine")
        assert (await peer.answer())[2] == b"fine"

    async def test_at_the_start(self, caplog: pytest.LogCaptureFixture) -> None:
        """The request is refused."""
        peer = await connect()
        peer.relay.on_start = self._raise
        peer.ask()
        assert (await peer.answer())[0] == 500
        await self._check_others(peer, caplog)

    async def test_before_there_is_an_exchange(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The stream is reset."""
        peer = await connect()
        make, peer.relay.make_exchange = peer.relay.make_exchange, self._raise  # type: ignore
        peer.say(peer.head(1))
        assert await peer.heard() == [("RST_STREAM", 1, INTERNAL_ERROR, False)]
        peer.relay.make_exchange = make  # type: ignore[method-assign]
        peer._stream = 1
        await self._check_others(peer, caplog)

    async def test_in_content(self, caplog: pytest.LogCaptureFixture) -> None:
        """The request is refused."""
        peer = await connect()
        peer.relay.on_start = want_content
        peer.relay.on_content = self._raise
        peer.ask(**POST)
        peer.say(peer.data(1, b"abc"))
        assert (await peer.answer())[0] == 500
        await self._check_others(peer, caplog)

    async def test_in_the_refusal(self, caplog: pytest.LogCaptureFixture) -> None:
        """The stream is reset, and the exchange let go."""
        peer = await connect()
        peer.relay.on_start = peer.relay.on_fail = self._raise
        exchange = peer.ask()
        assert await peer.heard() == [("RST_STREAM", 1, INTERNAL_ERROR, False)]
        assert exchange.is_lost
        await self._check_others(peer, caplog)

    async def test_in_a_loss(self, caplog: pytest.LogCaptureFixture) -> None:
        """The others go on."""
        peer = await connect()
        peer.relay.on_lost = self._raise
        exchange = peer.ask()
        peer.say(peer.reset(1))
        assert exchange.is_lost
        await self._check_others(peer, caplog)

    async def test_at_a_deadline(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The request is refused all the same."""
        peer = await connect()
        peer.relay.on_start = want_content
        exchange = peer.ask(**POST)
        refuse = exchange.refuse

        def fail_once(error: Any) -> None:
            exchange.refuse = refuse  # type: ignore[method-assign]
            raise ZeroDivisionError("a secret")

        exchange.refuse = fail_once  # type: ignore[method-assign]
        peer.expire_stream(exchange)
        assert (await peer.answer())[0] == 500
        await self._check_others(peer, caplog)

    async def test_of_the_connection(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What no stream can be blamed for ends all of them."""
        peer = await connect()
        exchange = peer.ask()
        await peer.heard()
        peer.server.fail()
        assert await peer.heard() == [("GOAWAY", 0, INTERNAL_ERROR, False)]
        assert exchange.is_lost
        assert peer.wire.is_closing

    async def test_in_a_late_write(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It ends the connection too, once."""
        peer = await connect()
        exchange = peer.ask()

        def fail(data: bytes) -> None:
            monkeypatch.undo()
            raise ZeroDivisionError("a secret")

        monkeypatch.setattr(peer.wire, "write", fail)
        exchange.stream.send_head(200, None, [], CHUNKED, [b"begin"], False)
        await turn()
        assert exchange.is_lost
        assert peer.wire.is_closing
        assert "a secret" not in caplog.text


async def test_it_is_a_receiver() -> None:
    """What the wire calls is all there."""
    for name in ("receive", "receive_eof", "lost", "pause_writing", "resume_writing", "fail"):
        assert callable(getattr(ClientHttp2, name))
