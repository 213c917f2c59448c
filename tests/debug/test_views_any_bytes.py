"""Content views are given whatever anybody sends."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.contentviews import Contentview, Metadata

from route_addon.carry.masks.mask import Mask
from route_addon.debug.views.desktop_token import DesktopToken
from route_addon.debug.views.rfb import Rfb
from route_addon.debug.views.signalling import Signalling
from route_addon.debug.views.terminal import Terminal
from tests.core.heads import make_router
from tests.debug.test_views_rfb import HANDSHAKE, PIXELS_16, RECTANGLES, TIGHT, rectangle, update
from tests.debug.test_views_signalling import CANDIDATE, SDP
from tests.debug.viewing import MAX_CHARS, Socket
from tests.minting import mint

ROUTER = make_router()
VIEWS: list[tuple[Contentview, str]] = [
    (Rfb(), "/websockify"),
    (Terminal(), "/terminals/"),
    (Signalling(), "/signalling"),
    (DesktopToken(lambda: ROUTER, Mask()), "/API"),
]
TOKEN = mint()

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(alphabet=st.characters(), max_size=20)
    | st.sampled_from([SDP, CANDIDATE, TOKEN.decode(), "stdin", "stdout", "set_size", "setup"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=20,
)
PIECES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [
            *(data for data, _ in HANDSHAKE),
            b"\x00\0\0\0" + PIXELS_16,
            *map(update, RECTANGLES.values()),
            *(update(rectangle(7, content)) for content in TIGHT.values()),
            TOKEN,
            b"eyJ.eyJ.x",
            b"\x1b[",
            b"hidden.0123456789abcdef.token",
        ]
    ),
    JSON.map(lambda value: json.dumps(value).encode()),
)
SENT = st.lists(st.tuples(st.booleans(), st.lists(PIECES, max_size=4).map(b"".join)), max_size=12)


@pytest.mark.parametrize(("view", "location"), VIEWS, ids=[view.name for view, _ in VIEWS])
@given(sent=SENT)
def test_any_bytes(view: Contentview, location: str, sent: list[tuple[bool, bytes]]) -> None:
    """Any messages in any direction give a bounded text that can be encoded, without a token."""
    socket = Socket(location)
    for from_client, data in sent:
        socket.pass_on(data, from_client=from_client)
    for message in socket.messages:
        metadata = Metadata(flow=socket.flow, websocket_message=message)
        shown = view.prettify(message.content, metadata)
        assert len(shown) < MAX_CHARS
        assert TOKEN not in shown.encode("utf-8")
        assert isinstance(view.render_priority(message.content, metadata), float)


DEEP: dict[str, Any] = {
    "lists": b"[" * 200_000,
    "objects": b'{"a":' * 100_000,
    "closed": b"[" * 900 + b"]" * 900,
    "set_size": b'["set_size", ' + b"[" * 900 + b"]" * 900 + b"]",
    "setup": b'["setup", ' + b"9" * 4000 + b"]",
    "digits": b"9" * 200_000,
    "words": b"eyJ" * 100_000,
    "dots": b"." * 300_000,
    "dotted": b"aaaaaaaaaaaaaaaa." * 20_000,
    "escapes": b"\x1b[" * 200_000,
    "titles": b"\x1b]" * 200_000,
    "candidates": json.dumps({"sdp": "v=0\n" + f"a={CANDIDATE}\n" * 4000}).encode(),
    "surrogates": b'{"\\ud800": "\\udfff"}',
    "zeros": bytes(4 * 2**20),
    "tiles": update(rectangle(5, bytes(2**20), 16384, 16384)),
    "lights": update(*[rectangle(-261, b"")] * 60_000),
}


@pytest.mark.parametrize(("view", "location"), VIEWS, ids=[view.name for view, _ in VIEWS])
@pytest.mark.parametrize("name", DEEP)
def test_hostile_bytes(view: Contentview, location: str, name: str) -> None:
    """So does what was made to hurt."""
    socket = Socket(location)
    for from_client in (True, False):
        message = socket.pass_on(DEEP[name], from_client=from_client)
        shown = "\n".join(socket.show(view, message))
        assert len(shown.encode("utf-8")) < 4 * MAX_CHARS
        metadata = Metadata(flow=socket.flow, websocket_message=message)
        assert isinstance(view.render_priority(message.content, metadata), float)
