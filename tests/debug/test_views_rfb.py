"""RFB: what a desktop and its viewer say, without which keys and what is copied."""

import struct
from collections.abc import Iterable

import pytest
from mitmproxy.contentviews import Metadata
from mitmproxy.websocket import WebSocketMessage

from route_addon.debug.views import rfb_names
from route_addon.debug.views.rfb import Rfb
from tests.debug.viewing import Socket, find_chosen
from tests.desktop_session import read_session

VERSION = b"RFB 003.008\n"
PIXELS_32 = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
PIXELS_16 = struct.pack(">BBBBHHHBBBxxx", 16, 16, 0, 1, 31, 63, 31, 11, 5, 0)
INIT = struct.pack(">HH", 800, 520) + PIXELS_32 + struct.pack(">I", 4) + b"desk"
KEY_EVENT = struct.pack(">BBxxI", 4, 1, 0xFF0D)
POINTER_EVENT = struct.pack(">BBHH", 5, 0, 10, 20)
UPDATE_REQUEST = struct.pack(">BBHHHH", 3, 1, 0, 0, 800, 520)
BELL = b"\x02"
FROM_THE_MIDDLE = "read from the middle: what came before is not kept"

CLIENT, POD = True, False


def rectangle(encoding: int, content: bytes, width: int = 8, height: int = 4) -> bytes:
    """One rectangle of an update."""
    return struct.pack(">HHHHi", 0, 0, width, height, encoding) + content


def update(*rectangles: bytes, count: int | None = None) -> bytes:
    """A framebuffer update."""
    number = len(rectangles) if count is None else count
    return struct.pack(">BxH", 0, number) + b"".join(rectangles)


class Desktop:
    """A desktop's WebSocket, and what the view shows of it."""

    def __init__(self) -> None:
        self.view = Rfb()
        self.socket = Socket("/websockify")

    def say(self, data: bytes, from_client: bool = POD) -> list[str]:
        """What is shown of one more message, without who sent how much."""
        message = self.socket.pass_on(data, from_client=from_client)
        return self.socket.show(self.view, message)[1:]

    def shake_hands(self) -> None:
        """The whole handshake, without authentication."""
        for data, from_client in HANDSHAKE:
            self.say(data, from_client)


HANDSHAKE = [
    (VERSION, POD),
    (VERSION, CLIENT),
    (b"\x01\x01", POD),
    (b"\x01", CLIENT),
    (bytes(4), POD),
    (b"\x01", CLIENT),
    (INIT, POD),
]


@pytest.fixture
def desktop() -> Desktop:
    """A desktop that nothing was heard of."""
    return Desktop()


@pytest.fixture
def open_desktop(desktop: Desktop) -> Desktop:
    """A desktop that has shaken hands."""
    desktop.shake_hands()
    return desktop


def test_handshake(desktop: Desktop) -> None:
    """The handshake is told step by step; challenge and response are not shown."""
    told = [
        desktop.say(data, from_client)
        for data, from_client in [
            (VERSION, POD),
            (VERSION, CLIENT),
            (b"\x03\x01\x02\x13", POD),
            (b"\x02", CLIENT),
            (b"C" * 16, POD),
            (b"R" * 16, CLIENT),
            (bytes(4), POD),
            (b"\x01", CLIENT),
            (INIT, POD),
        ]
    ]
    assert told == [
        ["ProtocolVersion 3.8"],
        ["ProtocolVersion 3.8"],
        ["security types: None, VNC authentication, VeNCrypt"],
        ["chooses VNC authentication"],
        ["challenge: 16 bytes, not shown"],
        ["response to the challenge: 16 bytes, not shown"],
        ["SecurityResult: OK"],
        ["ClientInit: shared"],
        ["ServerInit: 800x520, 32 bits a pixel, depth 24, true colour, 'desk'"],
    ]


def test_version_3_3(desktop: Desktop) -> None:
    """With RFB 3.3 the server chooses, and a client may ask for it of a newer server."""
    desktop.say(VERSION)
    assert desktop.say(b"RFB 003.003\n", CLIENT) == ["ProtocolVersion 3.3"]
    assert desktop.say(struct.pack(">I", 2) + b"C" * 16) == [
        "security type: VNC authentication",
        "challenge: 16 bytes, not shown",
    ]
    assert desktop.say(b"R" * 16 + b"\x00", CLIENT)[1] == "ClientInit: exclusive"
    assert desktop.say(bytes(4) + INIT)[0] == "SecurityResult: OK"


def test_version_3_7_without_authentication(desktop: Desktop) -> None:
    """RFB 3.7 says no result where nothing was to be proved."""
    desktop.say(b"RFB 003.007\n")
    desktop.say(b"RFB 003.007\n", CLIENT)
    desktop.say(b"\x01\x01")
    desktop.say(b"\x01\x01", CLIENT)
    assert desktop.say(INIT)[0].startswith("ServerInit: 800x520")


def test_refusals(desktop: Desktop) -> None:
    """A server that lets nobody in, and one that does not take the password, say why."""
    desktop.say(VERSION)
    desktop.say(VERSION, CLIENT)
    assert desktop.say(b"\x00" + struct.pack(">I", 4) + b"busy") == ["refused: busy"]
    other = Desktop()
    other.say(VERSION)
    other.say(VERSION, CLIENT)
    other.say(b"\x01\x02")
    other.say(b"\x02" + b"R" * 16, CLIENT)
    refusal = b"C" * 16 + struct.pack(">II", 1, 5) + b"wrong"
    assert other.say(refusal)[1:] == ["SecurityResult: failed", "refused: wrong"]


def test_security_that_hides_the_rest(desktop: Desktop) -> None:
    """What an unknown security type lets pass is not taken for anything, in either direction."""
    desktop.say(VERSION)
    desktop.say(VERSION, CLIENT)
    desktop.say(b"\x01\x13")
    assert (
        desktop.say(b"\x13\x00\x02", CLIENT)
        == [
            "ProtocolVersion 3.8",
            "chooses VeNCrypt",
            "not read any further: VeNCrypt hides what follows",
        ][1:]
    )
    assert desktop.say(KEY_EVENT, CLIENT) == ["not read: VeNCrypt hides what follows"]
    assert desktop.say(BELL) == ["not read: VeNCrypt hides what follows"]


def test_input(open_desktop: Desktop) -> None:
    """Keys and the pointer are counted; which key cannot be told from what is shown."""
    data = KEY_EVENT * 3 + POINTER_EVENT * 2 + UPDATE_REQUEST
    assert open_desktop.say(data, CLIENT) == [
        "key event: 3",
        "pointer event: 2",
        "framebuffer update request: 1",
    ]
    others = [struct.pack(">BBxxI", 4, down, key) for down in (0, 1) for key in (0x61, 0xFFE1)]
    qemu = [struct.pack(">BBHII", 255, 0, 1, key, key) for key in (1, 99)]
    shown = {tuple(open_desktop.say(one, CLIENT)) for one in (*others, *qemu)}
    assert shown == {("key event: 1",)}


def test_message_in_portions(open_desktop: Desktop) -> None:
    """A message of the protocol may be cut anywhere."""
    for byte in KEY_EVENT[:-1]:
        assert open_desktop.say(bytes([byte]), CLIENT) == ["part of a message that goes on"]
    assert open_desktop.say(KEY_EVENT[-1:], CLIENT) == ["key event: 1"]


def test_clipboard(open_desktop: Desktop) -> None:
    """Of a clipboard it is said how much is in it."""
    text = b"hunter2"
    cut = struct.pack(">i", len(text)) + text
    assert open_desktop.say(b"\x06\0\0\0" + cut, CLIENT) == [
        "client cut text: 7 characters, not shown"
    ]
    assert open_desktop.say(b"\x03\0\0\0" + cut) == ["server cut text: 7 characters, not shown"]
    extended = struct.pack(">iI", -11, 1 << 28 | 1) + text
    assert open_desktop.say(b"\x06\0\0\0" + extended + KEY_EVENT, CLIENT) == [
        "client cut text, extended: provide, 11 bytes, not shown",
        "key event: 1",
    ]


def test_what_a_client_sets(open_desktop: Desktop) -> None:
    """Encodings by name, the pixel format, and the rest by what it is called."""
    encodings = struct.pack(">BxHiiiii", 2, 5, 7, -26, -254, 0xC0A1E5CE - 2**32, 4711)
    assert open_desktop.say(encodings, CLIENT) == [
        "SetEncodings: 5",
        "  Tight",
        "  JPEG quality 6",
        "  compression 2",
        "  ExtendedClipboard",
        "  encoding 4711",
    ]
    others = {
        b"\x00\0\0\0" + PIXELS_16: "SetPixelFormat: 16 bits a pixel, depth 16, true colour",
        b"\x96\x01" + bytes(8): "EnableContinuousUpdates: on",
        b"\xf8\0\0\0" + bytes(4) + b"\x02ab": "client fence: 1",
        b"\xfa\0\x01\x02": "xvp: shut down, reboot or reset",
        b"\xfb\0" + struct.pack(">HHBx", 64, 48, 1) + bytes(16): "SetDesktopSize: 64x48, 1 screens",
        b"\xff\x01\x00\x01": "QEMU audio: 1",
        b"\xff\x01\x00\x02" + bytes(6): "QEMU audio: 1",
        b"\x03\x00" + bytes(8): "framebuffer update request, not incremental: 1",
    }
    for data, told in others.items():
        assert open_desktop.say(data, CLIENT) == [told]
    assert open_desktop.say(b"".join(others) + KEY_EVENT, CLIENT)[-1] == "key event: 1"


TILES = b"\x01" + bytes(16 * 4 * 4) + b"\x1e" + bytes(8) + b"\x01" + bytes(6)
RECTANGLES = {
    "Raw": rectangle(rfb_names.RAW, bytes(8 * 4 * 4)),
    "CopyRect": rectangle(rfb_names.COPY_RECT, bytes(4)),
    "RRE": rectangle(rfb_names.RRE, struct.pack(">I", 2) + bytes(4 + 2 * 12)),
    "Hextile": rectangle(rfb_names.HEXTILE, TILES, width=20),
    "Zlib": rectangle(rfb_names.ZLIB, struct.pack(">I", 3) + b"abc"),
    "ZRLE": rectangle(rfb_names.ZRLE, struct.pack(">I", 3) + b"abc"),
    "H.264": rectangle(rfb_names.H264, struct.pack(">II", 3, 0) + b"abc"),
    "Cursor": rectangle(rfb_names.CURSOR, bytes(8 * 4 * 4 + 4)),
    "VMware cursor": rectangle(rfb_names.VMWARE_CURSOR, b"\x00\0" + bytes(8 * 4 * 8)),
    "VMware LED state": rectangle(rfb_names.VMWARE_LED, bytes(4)),
    "QEMU LED state": rectangle(rfb_names.QEMU_LED, b"\x01"),
    "QEMU extended key event": rectangle(rfb_names.QEMU_KEY, b""),
    "TightPNG": rectangle(rfb_names.TIGHT_PNG, b"\xa0\x03png"),
}
TIGHT = {
    "fill": b"\x80" + b"rgb",
    "JPEG": b"\x90\x80\x01" + bytes(128),
    "long": b"\x90\x80\x80\x01" + bytes(2**14),
    "copy": b"\x00\x02zz",
    "filter": b"\x40\x02\x02zz",
    "two colours": b"\x40\x01\x01" + bytes(6) + bytes(4),
    "palette": b"\x40\x01\x02" + bytes(9) + b"\x02zz",
}


@pytest.mark.parametrize("name", RECTANGLES)
def test_encodings(open_desktop: Desktop, name: str) -> None:
    """What follows a rectangle is found, however its encoding says its length."""
    told = open_desktop.say(update(RECTANGLES[name], RECTANGLES["CopyRect"]) + BELL)
    names = "2 CopyRect" if name == "CopyRect" else f"1 {name}, 1 CopyRect"
    assert told == [f"framebuffer update: 2 rectangles: {names}", "bell: 1"]


@pytest.mark.parametrize("name", TIGHT)
def test_tight(open_desktop: Desktop, name: str) -> None:
    """So it is in all kinds of Tight."""
    told = open_desktop.say(update(rectangle(rfb_names.TIGHT, TIGHT[name])) + BELL)
    assert told == ["framebuffer update: 1 rectangles: 1 Tight", "bell: 1"]


def test_pixel_format_decides(open_desktop: Desktop) -> None:
    """A rectangle is as long as the client's pixels make it."""
    open_desktop.say(b"\x00\0\0\0" + PIXELS_16, CLIENT)
    raw = rectangle(rfb_names.RAW, bytes(8 * 4 * 2))
    fill = rectangle(rfb_names.TIGHT, b"\x80\0\0")
    assert open_desktop.say(update(raw, fill) + BELL)[-1] == "bell: 1"


def test_what_changes_the_desktop(open_desktop: Desktop) -> None:
    """Its size and its name are told; LastRect ends an update of unknown number."""
    name = struct.pack(">I", 3) + b"new"
    data = update(
        rectangle(rfb_names.DESKTOP_SIZE, b"", 64, 48),
        rectangle(rfb_names.EXTENDED_DESKTOP_SIZE, b"\x01\0\0\0" + bytes(16), 32, 16),
        rectangle(rfb_names.DESKTOP_NAME, name),
        rectangle(rfb_names.LAST_RECT, b""),
        count=0xFFFF,
    )
    *told, last = open_desktop.say(data + BELL)[:-1]
    assert told == [
        "  the desktop is 64x48",
        "  the desktop is 32x16",
        "  the desktop is called 'new'",
    ]
    assert last.startswith("framebuffer update: 4 rectangles: ")


def test_more_than_seven_buttons(open_desktop: Desktop) -> None:
    """A pointer event is a byte longer once the server has said that it may be."""
    wide = struct.pack(">BBHHB", 5, 0x80, 1, 1, 1)
    open_desktop.say(update(rectangle(rfb_names.EXTENDED_BUTTONS, b"")))
    assert open_desktop.say(wide + POINTER_EVENT, CLIENT) == ["pointer event: 2"]


def test_other_server_messages(open_desktop: Desktop) -> None:
    """The rest of what a server sends."""
    colours = struct.pack(">BxHH", 1, 0, 2) + bytes(12)
    data = colours + b"\x96" + b"\xf8" + bytes(7) + b"\x01f" + b"\xfa\0\x01\x01" + BELL
    assert open_desktop.say(data) == [
        "SetColourMapEntries: 2",
        "EndOfContinuousUpdates",
        "xvp",
        "server fence: 1",
        "bell: 1",
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x63", "server message of unknown type 99"),
        (update(rectangle(21, b"")), "a rectangle in JPEG, of unknown length"),
        (update(rectangle(7, b"\xb0")), "a Tight rectangle of unknown kind"),
        (update(rectangle(7, b"\x40\x07")), "Tight filter 7"),
        (update(rectangle(0, b"", width=20000)), "a rectangle of 20000x4"),
        (b"\x00\x01", "a framebuffer update whose padding is not 0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_understood(open_desktop: Desktop, data: bytes, why: str) -> None:
    """It is said why, and the next message is read as if a new one began there."""
    assert open_desktop.say(data) == [f"not read any further: {why}"]
    assert open_desktop.say(BELL) == [
        FROM_THE_MIDDLE,
        "bell: 1",
    ]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x63", "client message of unknown type 99"),
        (b"\xff\x07", "QEMU client message of unknown type 7"),
        (b"\x00\0\0\0" + bytes(16), "0 bits a pixel"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_client_that_is_not_understood(open_desktop: Desktop, data: bytes, why: str) -> None:
    """The same of a client."""
    assert open_desktop.say(data, CLIENT) == [f"not read any further: {why}"]
    assert open_desktop.say(KEY_EVENT, CLIENT)[-1] == "key event: 1"


@pytest.mark.parametrize("from_client", [CLIENT, POD])
def test_no_rfb(desktop: Desktop, from_client: bool) -> None:
    """A WebSocket that begins with something else is read from the middle."""
    assert desktop.say(b"RFB 004.000\n", from_client)[0].startswith("read from the middle")


def test_beginning_is_gone(desktop: Desktop) -> None:
    """Where the oldest messages have left, the rest is read without them."""
    assert desktop.say(KEY_EVENT, CLIENT) == [
        FROM_THE_MIDDLE,
        "key event: 1",
    ]
    assert desktop.say(KEY_EVENT, CLIENT) == ["key event: 1"]
    assert desktop.say(update(RECTANGLES["ZRLE"]))[1:] == [
        "framebuffer update: 1 rectangles: 1 ZRLE"
    ]


def test_messages_that_came_and_went(open_desktop: Desktop) -> None:
    """What has left before it was looked at cannot be built upon."""
    half = open_desktop.say(KEY_EVENT[:3], CLIENT)
    assert half == ["part of a message that goes on"]
    open_desktop.socket.messages.clear()
    told = open_desktop.say(POINTER_EVENT, CLIENT)
    assert told == [FROM_THE_MIDDLE, "pointer event: 1"]


def test_message_that_has_left(open_desktop: Desktop) -> None:
    """A message that is no longer kept is described by itself, and disturbs nothing."""
    gone = WebSocketMessage(2, CLIENT, KEY_EVENT[:4])
    shown = open_desktop.socket.show(open_desktop.view, gone)
    assert shown[1:] == [
        FROM_THE_MIDDLE,
    ]
    assert open_desktop.say(KEY_EVENT, CLIENT) == ["key event: 1"]


def show_all(desktop: Desktop, messages: Iterable[WebSocketMessage]) -> list[list[str]]:
    """What is shown of some messages."""
    return [desktop.socket.show(desktop.view, message) for message in messages]


def test_order_of_looking(desktop: Desktop) -> None:
    """Messages may be looked at in any order, and as often as one likes."""
    for data, from_client in [*HANDSHAKE, (KEY_EVENT, CLIENT), (BELL, POD)]:
        desktop.socket.pass_on(data, from_client=from_client)
    messages = desktop.socket.messages
    backwards = show_all(desktop, messages[::-1])[::-1]
    assert backwards == show_all(desktop, messages)
    assert backwards[-2:] == [
        ["client sends 8 bytes", "key event: 1"],
        ["pod sends 1 bytes", "bell: 1"],
    ]


def replay_session(desktop: Desktop, start: int = 0) -> list[str]:
    """All that is told of a real session, in which three keys were typed."""
    return [
        line
        for from_client, data in read_session()[start:]
        for line in desktop.say(data, from_client)
    ]


def test_real_session(desktop: Desktop) -> None:
    """Every message between a real viewer and a real desktop is understood."""
    told = replay_session(desktop)
    assert not [line for line in told if "not read" in line or "middle" in line]
    assert "ServerInit: 800x520, 32 bits a pixel, depth 24, true colour, 'route_addon'" in told
    assert sum(int(line.split()[-1]) for line in told if line.startswith("key event: ")) == 6
    assert sum(line.startswith("framebuffer update: ") for line in told) > 3


@pytest.mark.parametrize("start", [9, 20, 30])
def test_real_session_from_the_middle(desktop: Desktop, start: int) -> None:
    """Where its beginning is gone, the rest is found again."""
    told = replay_session(desktop, start)
    assert sum(int(line.split()[-1]) for line in told if line.startswith("key event: ")) == 6
    assert any(line.startswith("framebuffer update: ") for line in told)


def test_too_many_parts(open_desktop: Desktop) -> None:
    """A message of very many parts is not read to its end, and a WebSocket of such neither."""
    assert open_desktop.say(BELL * 50_000)[-1].startswith("bell: ")
    assert open_desktop.say(BELL * 50_000)[-2] == "not read any further: too many parts to read"
    for _ in range(30):
        open_desktop.socket.pass_on(BELL * 50_000, from_client=POD)
    assert open_desktop.say(BELL) == [
        FROM_THE_MIDDLE,
        "not read any further: too many parts to read",
    ]


def test_lines_are_bounded(open_desktop: Desktop) -> None:
    """What is told is bounded, and how much was left out is said."""
    told = open_desktop.say(b"\x96" * 500)
    assert told[-1] == "… and 400 more"
    assert len(told) == 101


def test_chosen_by_location() -> None:
    """The view is chosen for a desktop's messages, and for nothing else."""
    socket, view = Socket("/websockify"), Rfb()
    message = socket.pass_on(BELL, from_client=POD)
    assert find_chosen(BELL, Metadata(flow=socket.flow, websocket_message=message), view) == "RFB"
    other = Socket("/broadcast")
    assert find_chosen(BELL, Metadata(flow=other.flow, websocket_message=message), view) != "RFB"
    assert find_chosen(BELL, Metadata(flow=socket.flow), view) != "RFB"
    assert find_chosen(BELL, Metadata(), view) != "RFB"


def test_without_a_flow() -> None:
    """Chosen by hand for something else, it shows what it can."""
    assert Rfb().prettify(KEY_EVENT, Metadata()).startswith("8 bytes\nread from the middle")
