"""A desktop's WebSocket: what noVNC 1.7 and Xtigervnc 1.12 said to each other.

Messages of websockify, recorded behind the demo's desktop with a password of that time;
``ls`` was typed.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

from websockets.frames import Frame
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol
from websockets.sync.client import ClientConnection

from tests.e2e.wire import Request, Wire

_FILE = Path(__file__).parent / "vectors" / "desktop_session.json"

type Message = tuple[bool, bytes]
"""Whether the viewer sent it, and what it is."""


def read_session() -> list[Message]:
    """The messages, in their order."""
    return [
        (is_viewers, base64.b64decode(data)) for is_viewers, data in json.loads(_FILE.read_text())
    ]


def play_viewer(websocket: ClientConnection) -> None:
    """Say the viewer's part, and hear the desktop's."""
    for is_viewers, data in read_session():
        if is_viewers:
            websocket.send(data)
        else:
            assert websocket.recv() == data


def play_desktop(wire: Wire, request: Request) -> None:
    """Say the desktop's part, and hear the viewer's; a back end's script."""
    protocol = ServerProtocol(max_size=None)
    protocol.receive_data(request.raw)
    handshake = protocol.events_received()[0]
    assert isinstance(handshake, Handshake)
    protocol.send_response(protocol.accept(handshake))
    received = _read_messages(protocol, wire)
    for is_viewers, data in read_session():
        if is_viewers:
            assert next(received) == data
        else:
            protocol.send_binary(data)
        _flush(protocol, wire)
    next(received, None)
    _flush(protocol, wire)
    wire.close()


def _flush(protocol: ServerProtocol, wire: Wire) -> None:
    for data in filter(None, protocol.data_to_send()):
        wire.send(data)


def _read_messages(protocol: ServerProtocol, wire: Wire) -> Iterator[bytes]:
    """The viewer's messages, each in one frame, and the close frame's content."""
    while data := wire.receive():
        protocol.receive_data(data)
        for event in protocol.events_received():
            assert isinstance(event, Frame)
            yield bytes(event.data)
