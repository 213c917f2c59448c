"""WebSockets from a copy: messages, bounds, and bytes that are none."""

import asyncio
import struct
import time
import tracemalloc
import zlib
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy.http import HTTPFlow
from mitmproxy.websocket import WebSocketData
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.limits import WatchLimits
from route_addon.carry.masks.mask import Mask
from route_addon.carry.watched.websocket import WebSocketCopy
from tests.hosting import make_flow, make_host
from tests.minting import mint

DEFLATE = b"permessage-deflate"


class Watcher:
    """An addon that counts."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.ends = 0

    def websocket_message(self, flow: HTTPFlow) -> None:
        """Note the newest, and intercept, which holds nothing."""
        assert flow.websocket is not None
        self.seen.append(flow.websocket.messages[-1].content)
        flow.intercept()  # type: ignore[no-untyped-call]

    def websocket_end(self, flow: HTTPFlow) -> None:
        """Note."""
        self.ends += 1


class Scene:
    """A copy, and who watches it."""

    def __init__(self, extensions: bytes = b"", limits: WatchLimits | None = None) -> None:
        self.watcher = Watcher()
        self.flow = make_flow()
        self.flow.websocket = WebSocketData()
        self.flow.metadata[EVIDENCE] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.copy = WebSocketCopy(
            self.flow, extensions, limits or WatchLimits(), self._run, Mask(b"k" * 32)
        )

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def settle(self) -> None:
        """Let all hooks be asked."""
        while self._tasks:
            await self._tasks.pop()

    @property
    def seen(self) -> dict[str, Any]:
        """What the flow's metadata says."""
        evidence: dict[str, Any] = self.flow.metadata[EVIDENCE]["websocket"]
        return evidence

    @property
    def kept(self) -> list[bytes]:
        """The contents that the flow keeps."""
        assert self.flow.websocket is not None
        return [message.content for message in self.flow.websocket.messages]


@pytest.fixture
def scene(host: Any) -> Scene:
    """A copy without extensions."""
    scene = Scene()
    host.master.addons.add(scene.watcher)
    return scene


@pytest.fixture
def host() -> Iterator[Any]:
    """A mitmproxy."""
    with make_host() as host:
        yield host


def frames(*, client: bool = True, deflate: bool = False) -> FrameProtocol:
    """Builds frames of one side."""
    extensions: list[Any] = []
    if deflate:
        extension = PerMessageDeflate()
        extension.finalize(DEFLATE.decode())
        extensions.append(extension)
    return FrameProtocol(client, extensions)


async def test_messages_of_both_sides(scene: Scene) -> None:
    """In order, whole, with their kinds; an intercept does not hold them."""
    client, server = frames(), frames(client=False)
    scene.copy.receive(bytes(client.send_data("hé", True)), from_client=True)
    scene.copy.receive(bytes(server.send_data(b"\xff", True)), from_client=False)
    await scene.settle()
    assert scene.flow.websocket is not None
    messages = scene.flow.websocket.messages
    assert [(m.from_client, m.type, m.content) for m in messages] == [
        (True, Opcode.TEXT, "hé".encode()),
        (False, Opcode.BINARY, b"\xff"),
    ]
    assert scene.watcher.seen == scene.kept
    assert not scene.flow.intercepted


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("step", [1, 7, 100_000])
async def test_messages_in_any_pieces(deflate: bool, step: int, host: Any) -> None:
    """Fragments, control frames in between, bytes split anywhere."""
    scene = Scene(DEFLATE if deflate else b"")
    side = frames(deflate=deflate)
    content = bytes(range(256)) * 20
    data = bytes(side.send_data(content[:100], False)) + bytes(side.ping(b"x"))
    data += bytes(side.send_data(content[100:], True)) + bytes(side.send_data("b", True))
    for start in range(0, len(data), step):
        scene.copy.receive(data[start : start + step], from_client=True)
    await scene.settle()
    assert scene.kept == [content, b"b"]


async def test_tokens_are_hidden(host: Any) -> None:
    """In messages, in those that are cut, and in the reason of a close."""
    token = mint()
    scene = Scene(limits=WatchLimits(history_bytes=len(token) // 2 + 20))
    client = frames()
    scene.copy.receive(bytes(client.send_data(b"jwt_token=abc", True)), from_client=True)
    scene.copy.receive(bytes(client.send_data(b"a " + token, True)), from_client=True)
    scene.copy.receive(bytes(client.close(4001, "jwt_token=abc")), from_client=True)
    scene.copy.end(by_client=True)
    await scene.settle()
    websocket = scene.flow.websocket
    assert websocket is not None
    whole, cut = scene.kept
    assert whole.startswith(b"jwt_token=hidden.")
    assert cut.startswith(b"a hidden.")
    assert len(cut) == len(b"a hidden.0123456789abcdef.token")
    assert websocket.close_reason == whole.decode()


async def test_flow_that_is_reverted_goes_on(scene: Scene) -> None:
    """mitmproxy gives it another WebSocket then, which nobody holds to the bounds."""
    client = frames()
    scene.copy.receive(bytes(client.send_data(b"a", True)), from_client=True)
    await scene.settle()
    websocket = scene.flow.websocket
    scene.flow.websocket = WebSocketData()
    scene.copy.receive(bytes(client.send_data(b"b", True)), from_client=True)
    scene.copy.end(by_client=True)
    await scene.settle()
    assert scene.flow.websocket is websocket
    assert scene.kept == [b"a", b"b"]


async def test_close_is_noted(scene: Scene) -> None:
    """The first close frame says who closed, and why; what follows it is not read."""
    client, server = frames(), frames(client=False)
    scene.copy.receive(bytes(server.close(4001, "as asked")), from_client=False)
    scene.copy.receive(b"after the end", from_client=False)
    scene.copy.receive(bytes(client.send_data(b"a", True)), from_client=True)
    scene.copy.receive(bytes(client.close(1000, "")), from_client=True)
    scene.copy.end(by_client=True)
    scene.copy.end(by_client=True)
    await scene.settle()
    websocket = scene.flow.websocket
    assert websocket is not None
    assert (websocket.close_code, websocket.close_reason) == (4001, "as asked")
    assert websocket.closed_by_client is False
    assert websocket.timestamp_end is not None
    assert (scene.kept, scene.watcher.ends, scene.flow.live) == ([b"a"], 1, False)


@pytest.mark.parametrize("by_client", [False, True])
async def test_end_without_a_close(by_client: bool, scene: Scene) -> None:
    """Is abnormal (RFC 6455 7.1.5), and whoever went first is said."""
    scene.copy.end(by_client=by_client)
    await scene.settle()
    websocket = scene.flow.websocket
    assert websocket is not None
    assert (websocket.close_code, websocket.closed_by_client) == (1006, by_client)


async def test_end_comes_behind_the_last_message(scene: Scene) -> None:
    """Even when it comes while messages wait."""
    client = frames()
    for number in range(5):
        scene.copy.receive(bytes(client.send_data(b"%d" % number, True)), from_client=True)
    scene.copy.end(by_client=True)
    await scene.settle()
    assert (len(scene.watcher.seen), scene.watcher.ends) == (5, 1)


async def test_history_is_bounded_by_number(host: Any) -> None:
    """The newest stay; what comes too fast is counted, and not shown."""
    scene = Scene(limits=WatchLimits(history_messages=3))
    host.master.addons.add(scene.watcher)
    client = frames()
    for number in range(4):
        scene.copy.receive(bytes(client.send_data(b"%d" % number, True)), from_client=True)
        await scene.settle()
    assert scene.kept == [b"1", b"2", b"3"]
    data = b"".join(bytes(client.send_data(b"%d" % number, True)) for number in range(4, 9))
    scene.copy.receive(data, from_client=True)
    await scene.settle()
    assert scene.kept == [b"6", b"7", b"8"]
    assert (scene.seen["messages"], scene.seen["not_shown"]) == (9, 2)


async def test_history_is_bounded_by_bytes(host: Any) -> None:
    """And so is one message."""
    scene = Scene(limits=WatchLimits(history_bytes=10))
    client = frames()
    for content in (b"aaaa", b"bbbb", b"cccc"):
        scene.copy.receive(bytes(client.send_data(content, True)), from_client=True)
        await scene.settle()
    assert scene.kept == [b"bbbb", b"cccc"]
    scene.copy.receive(bytes(client.send_data(b"d" * 30, True)), from_client=True)
    await scene.settle()
    assert scene.kept == [b"d" * 10]
    assert scene.seen["cut"] == 1


async def test_unfinished_message_is_bounded(host: Any) -> None:
    """A message without an end takes no more memory than its bound."""
    scene = Scene(limits=WatchLimits(history_bytes=1000))
    scene.copy.receive(b"\x02\x7f" + struct.pack("!Q", 2**40), from_client=False)
    block = bytes(65536)
    tracemalloc.start()
    for _ in range(200):
        scene.copy.receive(block, from_client=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    scene.copy.end(by_client=True)
    await scene.settle()
    assert scene.kept == []


async def test_bomb_is_not_unpacked(host: Any) -> None:
    """What unpacks to very much more stops the reading, in little time and memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(200))
    packed += packer.flush(zlib.Z_SYNC_FLUSH)[:-4]
    scene = Scene(DEFLATE, WatchLimits(history_bytes=1000))
    data = b"\xc2\x7f" + struct.pack("!Q", len(packed)) + packed
    tracemalloc.start()
    begun = time.monotonic()
    scene.copy.receive(data, from_client=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.monotonic() - begun < 5
    assert peak < 32 * 2**20
    assert scene.seen["stopped"] == "they unpack to too much"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff" * 20, id="reserved bits"),
        pytest.param(b"\x83\x00", id="an unknown opcode"),
        pytest.param(b"\x80\x00", id="a continuation of nothing"),
        pytest.param(b"\x81\x01\xff", id="no UTF-8"),
        pytest.param(b"\x88\x01x", id="a cut close"),
        pytest.param(b"\x89\x7e\xff\xff", id="a long ping"),
        pytest.param(b"\xc1\x01x", id="compressed, which was not agreed on"),
    ],
)
async def test_nonsense_stops_the_reading(data: bytes, scene: Scene) -> None:
    """The flow says so, and the messages before stay."""
    server = frames(client=False)
    scene.copy.receive(bytes(server.send_data(b"a", True)), from_client=False)
    scene.copy.receive(data, from_client=False)
    scene.copy.receive(bytes(server.send_data(b"b", True)), from_client=False)
    await scene.settle()
    assert scene.kept == [b"a"]
    assert scene.seen["stopped"] == "they are not understood"
    assert scene.flow.comment.endswith("messages are no longer shown: they are not understood")


@pytest.mark.parametrize(
    "extensions",
    [DEFLATE + b"; server_max_window_bits=99", DEFLATE + b"; client_max_window_bits", b"\xff"],
)
async def test_odd_extensions_stop_the_reading(extensions: bytes, host: Any) -> None:
    """Before it begins."""
    scene = Scene(extensions)
    scene.copy.receive(b"\x81\x01a", from_client=False)
    await scene.settle()
    assert scene.kept == []
    assert scene.seen["stopped"] == "its extensions are not understood"


async def test_unknown_extension_is_no_reason_to_stop(host: Any) -> None:
    """As long as no frame uses it."""
    scene = Scene(b"x-unknown; a=b")
    scene.copy.receive(b"\x81\x01a", from_client=False)
    await scene.settle()
    assert scene.kept == [b"a"]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80))), st.booleans())
def test_any_bytes_are_borne(pieces: list[tuple[bool, bytes]], deflate: bool) -> None:
    """Nothing is raised, whatever passes."""

    async def run() -> None:
        scene = Scene(DEFLATE if deflate else b"")
        for from_client, data in pieces:
            scene.copy.receive(data, from_client=from_client)
        scene.copy.end(by_client=False)
        await scene.settle()
        assert scene.flow.live is False

    with make_host():
        asyncio.run(run())


async def test_when_a_close_may_be_sent(scene: Scene) -> None:
    """Between two frames of the upstream's, not within one, and not behind its own close."""
    server = frames(client=False)
    whole = bytes(server.send_data(b"fragment", False))
    for end in range(len(whole)):
        scene.copy.receive(whole[end : end + 1], from_client=False)
        assert scene.copy.is_between_frames == (end == len(whole) - 1)
    scene.copy.receive(bytes(frames().send_data(b"abc", True))[:-1], from_client=True)
    assert scene.copy.is_between_frames
    scene.copy.receive(bytes(server.close(1000)), from_client=False)
    assert not scene.copy.is_between_frames
    assert not scene.copy.is_stopped


async def test_our_own_close(scene: Scene) -> None:
    """It is noted as ours, and it is a frame that a client understands."""
    frame = scene.copy.build_close(CloseReason.GOING_AWAY)
    client = frames()
    client.receive_bytes(frame)
    assert [frame.payload for frame in client.received_frames()] == [(1001, "")]
    scene.copy.end(by_client=True)
    await scene.settle()
    assert scene.flow.websocket is not None
    assert scene.flow.websocket.close_code == 1001
    assert scene.flow.websocket.closed_by_client is False
