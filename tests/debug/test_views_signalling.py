"""Signalling: session descriptions and candidates, readable and without secrets."""

import json
from typing import Any

import pytest
from mitmproxy.contentviews import Metadata

from route_addon.debug.views.signalling import Signalling
from tests.debug.viewing import MAX_CHARS, Socket, find_chosen
from tests.minting import mint

CANDIDATE = "candidate:1 1 UDP 2122252543 10.0.0.5 53455 typ host"
RELAYED = "candidate:2 1 tcp 41885439 192.0.2.9 443 typ relay raddr 10.0.0.5 rport 53455"
SDP = "\r\n".join(
    [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
        "a=ice-ufrag:ufrg",
        "a=ice-pwd:icesecret",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:icesecret",
        "a=rtpmap:111 opus/48000/2",
        "a=rtpmap:0 PCMU/8000",
        "a=sendonly",
        f"a={CANDIDATE}",
        f"a={RELAYED}",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "",
    ]
)


def show(content: Any, *, from_client: bool = True) -> list[str]:
    """What is shown of a message, in lines."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    socket = Socket("/signalling")
    return socket.show(Signalling(), socket.pass_on(data, from_client=from_client))


def test_offer() -> None:
    """A session description is told by its media; its passwords and keys are not shown."""
    head, *lines = show({"type": "offer", "sdp": SDP})
    assert head.endswith(": offer")
    assert lines[:2] == ["session descriptions: 1", "candidates: 2 (1 host, 1 relay)"]
    assert json.loads("\n".join(lines[2:])) == {
        "type": "offer",
        "sdp": ["audio, sendonly: opus, PCMU", "application, sendrecv"],
    }
    assert "icesecret" not in "\n".join(lines)


def test_candidates() -> None:
    """Candidates are told one by one, however deep they stand, and counted by kind."""
    ice = {"candidate": CANDIDATE, "sdpMid": "0", "sdpMLineIndex": 0}
    _, *lines = show({"janus": "trickle", "list": [{"ice": ice}, RELAYED, "candidate:what"]})
    assert lines[0] == "candidates: 3 (1 host, 1 relay, 1 not understood)"
    shown = json.loads("\n".join(lines[1:]))
    assert shown["list"][0]["ice"]["candidate"] == "host candidate: udp 10.0.0.5 port 53455"
    assert shown["list"][1:] == [
        "relay candidate: tcp 192.0.2.9 port 443",
        "candidate not understood",
    ]


@pytest.mark.parametrize(
    "name", ["credential", "password", "apisecret", "token", "Authorization", "jwt_token", "key"]
)
def test_secrets(name: str) -> None:
    """A member whose name says that it is a secret is not shown; nor is a token anywhere."""
    token = mint().decode()
    shown = "\n".join(show({"iceServers": [{name: "icesecret"}], "msg": token, "x": f"a {token}"}))
    assert "icesecret" not in shown
    assert token not in shown
    assert f'"{name}": "not shown"' in shown


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"HELLO 1234", ["HELLO 1234"]),
        (b"\xff\x00", ["\ufffd\x00"]),
        (b"v=0\r\nm=audio", ["v=0\\r\\nm=audio"]),
        (b"[" * 5000, None),
        (b'{"a":' * 5000, None),
        (b"[1, true, null, 1.5]", ["[", "  1,", "  true,", "  null,", "  1.5", "]"]),
        (b"9" * 4000, None),
        (b"9" * 100, ['"\u2026"']),
        (b" " * 300_000, ["too long to be read"]),
    ],
)
def test_other_messages(data: bytes, told: list[str] | None) -> None:
    """What is no JSON is shown as text, and nothing is shown at any length."""
    head, *lines = show(data)
    assert head == f"client sends {len(data)} bytes"
    assert told is None or lines == told
    assert len("\n".join(lines)) < 400


def test_bounds() -> None:
    """Wide and deep JSON is cut, and it is seen where."""
    wide = show({str(number): "x" * 1000 for number in range(200)})
    assert '  "\u2026": 150' in wide
    assert len("\n".join(wide)) < MAX_CHARS
    deep: Any = "end"
    for _ in range(20):
        deep = [deep]
    assert any("\u2026" in line for line in show(deep))
    assert len(show({"list": ["a"] * 500})) < 60
    assert show({"sdp": "v=0\n" + "m=audio\n" * 100_0})[1] == "session descriptions: 1"


def test_chosen_by_location() -> None:
    """The view is chosen for the signalling's messages."""
    socket, data = Socket("/signalling"), b"{}"
    message = socket.pass_on(data, from_client=True)
    metadata = Metadata(flow=socket.flow, websocket_message=message)
    assert find_chosen(data, metadata, Signalling()) == "Signalling"
