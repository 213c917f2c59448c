"""What an RFB client sends (RFC 6143 7.1, 7.5, and the community's additions).

Which key, and what stands in a clipboard, is skipped unread: it cannot be shown by mistake.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

from route_addon.debug.views.rfb_names import encoding_name, security_name
from route_addon.debug.views.rfb_session import (
    Session,
    describe_pixel_format,
    read_cut_text,
    read_fence,
)
from route_addon.debug.views.stream import Closed, Lost, More, Reading, Skip, read_number

VERSION: Final = re.compile(rb"RFB 003\.\d{3}\n")
"""How a side begins (RFC 6143 7.1.1)."""
NO_SECURITY: Final = 1
VNC_AUTHENTICATION: Final = 2
_MAX_ENCODINGS: Final = 64


def read_version() -> Reading[int]:
    """The version's second number, of a ``VERSION``."""
    return int((yield 12)[8:11])


def read_client(session: Session) -> Reading[None]:
    """All that a client sends, from the handshake on."""
    yield from _read_handshake(session)
    yield from read_client_messages(session)


def read_client_messages(session: Session) -> Reading[None]:
    """All that a client sends behind the handshake."""
    while True:
        number = yield from read_number(1)
        read = _MESSAGES.get(number)
        if read is None:
            raise Lost(f"client message of unknown type {number}")
        yield from read(session)


def _read_handshake(session: Session) -> Reading[None]:
    session.minor = yield from read_version()
    session.tally.tell(f"ProtocolVersion 3.{session.minor}")
    if session.minor >= 7:
        session.security = yield from read_number(1)
        session.tally.tell(f"chooses {security_name(session.security)}")
    yield from _read_authentication(session)
    is_shared = yield from read_number(1)
    session.tally.tell(f"ClientInit: {'shared' if is_shared else 'exclusive'}")


def _read_authentication(session: Session) -> Reading[None]:
    """What proves who the client is. With RFB 3.3 the server has chosen how."""
    yield More()
    if session.security == VNC_AUTHENTICATION:
        yield Skip(16)
        session.tally.tell("response to the challenge: 16 bytes, not shown")
    elif session.security != NO_SECURITY:
        raise Closed(f"{security_name(session.security or 0)} hides what follows")


def _read_set_pixel_format(session: Session) -> Reading[None]:
    yield Skip(3)
    data = yield 16
    session.take_pixel_format(data)
    session.tally.tell(f"SetPixelFormat: {describe_pixel_format(data)}")


def _read_set_encodings(session: Session) -> Reading[None]:
    yield Skip(1)
    count = yield from read_number(2)
    data = yield 4 * min(count, _MAX_ENCODINGS)
    yield Skip(4 * count - len(data))
    numbers = [
        int.from_bytes(data[start : start + 4], "big", signed=True)
        for start in range(0, len(data), 4)
    ]
    session.tally.tell(f"SetEncodings: {count}")
    for number in numbers:
        session.tally.tell(f"  {encoding_name(number)}")


def _read_update_request(session: Session) -> Reading[None]:
    is_incremental = yield from read_number(1)
    yield Skip(8)
    whole = "" if is_incremental else ", not incremental"
    session.tally.count(f"framebuffer update request{whole}")


def _read_key_event(session: Session) -> Reading[None]:
    yield Skip(7)
    session.tally.count("key event")


def _read_pointer_event(session: Session) -> Reading[None]:
    buttons = yield from read_number(1)
    yield Skip(4 + (session.has_wide_buttons and buttons >> 7))
    session.tally.count("pointer event")


def _read_cut_text(session: Session) -> Reading[None]:
    return read_cut_text(session, "client")


def _read_continuous_updates(session: Session) -> Reading[None]:
    is_on = yield from read_number(1)
    yield Skip(8)
    session.tally.tell(f"EnableContinuousUpdates: {'on' if is_on else 'off'}")


def _read_fence(session: Session) -> Reading[None]:
    return read_fence(session, "client")


def _read_xvp(session: Session) -> Reading[None]:
    yield Skip(3)
    session.tally.tell("xvp: shut down, reboot or reset")


def _read_set_desktop_size(session: Session) -> Reading[None]:
    yield Skip(1)
    width = yield from read_number(2)
    height = yield from read_number(2)
    screens = yield from read_number(1)
    yield Skip(1 + 16 * screens)
    session.tally.tell(f"SetDesktopSize: {width}x{height}, {screens} screens")


def _read_qemu(session: Session) -> Reading[None]:
    """QEMU's own messages: a key with its place on the keyboard, and sound."""
    subtype = yield from read_number(1)
    if subtype == 0:
        yield Skip(10)
        session.tally.count("key event")
    elif subtype == 1:
        sets_format = (yield from read_number(2)) == 2
        yield Skip(6 * sets_format)
        session.tally.count("QEMU audio")
    else:
        raise Lost(f"QEMU client message of unknown type {subtype}")


_MESSAGES: Final[Mapping[int, Callable[[Session], Reading[None]]]] = {
    0: _read_set_pixel_format,
    2: _read_set_encodings,
    3: _read_update_request,
    4: _read_key_event,
    5: _read_pointer_event,
    6: _read_cut_text,
    150: _read_continuous_updates,
    248: _read_fence,
    250: _read_xvp,
    251: _read_set_desktop_size,
    255: _read_qemu,
}
