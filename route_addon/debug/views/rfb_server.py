"""What an RFB server sends (RFC 6143 7.1, 7.6, and the community's additions)."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from route_addon.debug.views.rfb_client import NO_SECURITY, VNC_AUTHENTICATION, read_version
from route_addon.debug.views.rfb_names import LAST_RECT, encoding_name, security_name
from route_addon.debug.views.rfb_rectangles import Rectangle, read_content
from route_addon.debug.views.rfb_session import (
    Session,
    describe_pixel_format,
    read_cut_text,
    read_fence,
)
from route_addon.debug.views.stream import (
    Closed,
    Lost,
    More,
    Reading,
    Skip,
    read_number,
    read_signed,
    read_text,
)

_MAX_SIDE: Final = 16384
"""Of a screen. What is greater was no rectangle, where it is not certain that it is one."""


def read_server(session: Session) -> Reading[None]:
    """All that a server sends, from the handshake on."""
    yield from _read_handshake(session)
    yield from read_server_messages(session)


def read_server_messages(session: Session) -> Reading[None]:
    """All that a server sends behind the handshake."""
    while True:
        number = yield from read_number(1)
        read = _MESSAGES.get(number)
        if read is None:
            raise Lost(f"server message of unknown type {number}")
        yield from read(session)


def _read_handshake(session: Session) -> Reading[None]:
    session.minor = yield from read_version()
    session.tally.tell(f"ProtocolVersion 3.{session.minor}")
    yield More()
    yield from _read_security(session)
    yield More()
    if session.security == VNC_AUTHENTICATION:
        yield Skip(16)
        session.tally.tell("challenge: 16 bytes, not shown")
    elif session.security != NO_SECURITY:
        raise Closed(f"{security_name(session.security or 0)} hides what follows")
    if session.security == VNC_AUTHENTICATION or session.minor >= 8:
        yield from _read_security_result(session)
    yield from _read_init(session)


def _read_security(session: Session) -> Reading[None]:
    """The security types to choose from; the client has chosen when more is read.

    A client may answer with an older version than the server's, so what comes here decides: RFB
    3.3 says one type in four bytes.
    """
    count = yield from read_number(1)
    if count == 0 and session.minor < 7:
        yield Skip(2)
        session.security = yield from read_number(1)
        session.tally.tell(f"security type: {security_name(session.security)}")
    elif count == 0:
        yield from _read_reason(session)
    else:
        types = ", ".join(map(security_name, (yield count)))
        session.tally.tell(f"security types: {types}")


def _read_security_result(session: Session) -> Reading[None]:
    failed = yield from read_number(4)
    session.tally.tell(f"SecurityResult: {'failed' if failed else 'OK'}")
    if failed and session.minor >= 8:
        yield from _read_reason(session)


def _read_reason(session: Session) -> Reading[None]:
    reason = yield from read_text((yield from read_number(4)))
    session.tally.tell(f"refused: {reason}")


def _read_init(session: Session) -> Reading[None]:
    width = yield from read_number(2)
    height = yield from read_number(2)
    pixels = yield 16
    name = yield from read_text((yield from read_number(4)))
    session.take_pixel_format(pixels)
    session.tally.tell(f"ServerInit: {width}x{height}, {describe_pixel_format(pixels)}, {name!r}")


def _read_update(session: Session) -> Reading[None]:
    if (yield from read_number(1)) != 0:
        raise Lost("a framebuffer update whose padding is not 0")
    count = yield from read_number(2)
    seen: Counter[str] = Counter()
    for _ in range(count):
        rectangle = yield from _read_rectangle()
        seen[encoding_name(rectangle.encoding)] += 1
        yield from read_content(session, rectangle)
        if rectangle.encoding == LAST_RECT:
            break
    encodings = ", ".join(f"{number} {name}" for name, number in seen.items())
    session.tally.tell(f"framebuffer update: {seen.total()} rectangles: {encodings or 'none'}")


def _read_rectangle() -> Reading[Rectangle]:
    yield Skip(4)
    width = yield from read_number(2)
    height = yield from read_number(2)
    encoding = yield from read_signed(4)
    if max(width, height) > _MAX_SIDE:
        raise Lost(f"a rectangle of {width}x{height}")
    return Rectangle(width, height, encoding)


def _read_colour_map(session: Session) -> Reading[None]:
    yield Skip(3)
    count = yield from read_number(2)
    yield Skip(6 * count)
    session.tally.tell(f"SetColourMapEntries: {count}")


def _read_bell(session: Session) -> Reading[None]:
    session.tally.count("bell")
    yield Skip(0)


def _read_cut_text(session: Session) -> Reading[None]:
    return read_cut_text(session, "server")


def _read_end_of_updates(session: Session) -> Reading[None]:
    session.tally.tell("EndOfContinuousUpdates")
    yield Skip(0)


def _read_fence(session: Session) -> Reading[None]:
    return read_fence(session, "server")


def _read_xvp(session: Session) -> Reading[None]:
    yield Skip(3)
    session.tally.tell("xvp")


_MESSAGES: Final[Mapping[int, Callable[[Session], Reading[None]]]] = {
    0: _read_update,
    1: _read_colour_map,
    2: _read_bell,
    3: _read_cut_text,
    150: _read_end_of_updates,
    248: _read_fence,
    250: _read_xvp,
}
