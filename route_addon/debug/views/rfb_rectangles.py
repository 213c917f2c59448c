"""How long a rectangle's content is, which only its encoding says (RFC 6143 7.7, 7.8)."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from route_addon.debug.views import rfb_names as names
from route_addon.debug.views.rfb_session import Session
from route_addon.debug.views.stream import Lost, Reading, Skip, read_number, read_text

_TILE: Final = 16
_SMALL_BYTES: Final = 12
"""Tight compresses nothing below this."""


class Rectangle(NamedTuple):
    """A rectangle's head, as far as it says how long the content is."""

    width: int
    height: int
    encoding: int

    @property
    def area(self) -> int:
        """In pixels."""
        return self.width * self.height


def read_content(session: Session, rectangle: Rectangle) -> Reading[None]:
    """A rectangle's content.

    Raises:
        Lost: Its length is not known.
    """
    read = _CONTENTS.get(rectangle.encoding)
    if read is None:
        raise Lost(f"a rectangle in {names.encoding_name(rectangle.encoding)}, of unknown length")
    yield from read(session, rectangle)


def _read_raw(session: Session, rectangle: Rectangle) -> Reading[None]:
    yield Skip(rectangle.area * session.pixel_bytes)


def _read_copy_rect(session: Session, rectangle: Rectangle) -> Reading[None]:
    yield Skip(4)


def _read_rre(session: Session, rectangle: Rectangle) -> Reading[None]:
    count = yield from read_number(4)
    yield Skip(session.pixel_bytes + count * (session.pixel_bytes + 8))


def _read_hextile(session: Session, rectangle: Rectangle) -> Reading[None]:
    for top in range(0, rectangle.height, _TILE):
        height = min(_TILE, rectangle.height - top)
        for left in range(0, rectangle.width, _TILE):
            yield from _read_tile(session, min(_TILE, rectangle.width - left) * height)


def _read_tile(session: Session, area: int) -> Reading[None]:
    """A tile (RFC 6143 7.7.4): raw, or a background, a foreground and rectangles on it."""
    mask = yield from read_number(1)
    pixel_bytes = session.pixel_bytes
    if mask & 1:
        yield Skip(area * pixel_bytes)
        return
    yield Skip(pixel_bytes * ((mask >> 1 & 1) + (mask >> 2 & 1)))
    if mask & 8:
        count = yield from read_number(1)
        yield Skip(count * (2 + (pixel_bytes if mask & 16 else 0)))


def _read_counted(session: Session, rectangle: Rectangle) -> Reading[None]:
    """Zlib and ZRLE: a length, and that many bytes."""
    yield Skip((yield from read_number(4)))


def _read_h264(session: Session, rectangle: Rectangle) -> Reading[None]:
    size = yield from read_number(4)
    yield Skip(4 + size)


def _read_tight(session: Session, rectangle: Rectangle) -> Reading[None]:
    control = (yield from read_number(1)) >> 4
    if control == 0x8:
        yield Skip(session.tight_pixel_bytes)
    elif control in (0x9, 0xA):  # JPEG, and PNG in TightPNG
        yield Skip((yield from _read_compact_length()))
    elif control > 0xA:
        raise Lost("a Tight rectangle of unknown kind")
    else:
        yield from _read_tight_basic(session, rectangle, has_filter=bool(control & 0x4))


def _read_tight_basic(session: Session, rectangle: Rectangle, *, has_filter: bool) -> Reading[None]:
    size = rectangle.area * session.tight_pixel_bytes
    number = (yield from read_number(1)) if has_filter else 0
    if number == 1:
        colours = 1 + (yield from read_number(1))
        yield Skip(colours * session.tight_pixel_bytes)
        row = (rectangle.width + 7) // 8 if colours <= 2 else rectangle.width
        size = row * rectangle.height
    elif number > 2:
        raise Lost(f"Tight filter {number}")
    yield Skip(size if size < _SMALL_BYTES else (yield from _read_compact_length()))


def _read_compact_length() -> Reading[int]:
    """A length in one to three bytes, seven bits first."""
    length = 0
    for shift in (0, 7, 14):
        part = yield from read_number(1)
        length |= (part & (0x7F if shift < 14 else 0xFF)) << shift
        if part < 0x80:
            break
    return length


def _read_nothing(session: Session, rectangle: Rectangle) -> Reading[None]:
    yield Skip(0)


def _read_wide_buttons(session: Session, rectangle: Rectangle) -> Reading[None]:
    session.has_wide_buttons = True
    yield Skip(0)


def _read_cursor(session: Session, rectangle: Rectangle) -> Reading[None]:
    yield Skip(rectangle.area * session.pixel_bytes + (rectangle.width + 7) // 8 * rectangle.height)


def _read_desktop_size(session: Session, rectangle: Rectangle) -> Reading[None]:
    session.tally.tell(f"  the desktop is {rectangle.width}x{rectangle.height}")
    yield Skip(0)


def _read_extended_desktop_size(session: Session, rectangle: Rectangle) -> Reading[None]:
    screens = yield from read_number(1)
    yield Skip(3 + 16 * screens)
    yield from _read_desktop_size(session, rectangle)


def _read_desktop_name(session: Session, rectangle: Rectangle) -> Reading[None]:
    name = yield from read_text((yield from read_number(4)))
    session.tally.tell(f"  the desktop is called {name!r}")


def _read_vmware_cursor(session: Session, rectangle: Rectangle) -> Reading[None]:
    has_alpha = yield from read_number(1)
    yield Skip(1 + rectangle.area * 4 * (1 if has_alpha else 2))


def _read_led_byte(session: Session, rectangle: Rectangle) -> Reading[None]:
    yield Skip(1)


def _read_led_word(session: Session, rectangle: Rectangle) -> Reading[None]:
    yield Skip(4)


_CONTENTS: Final[Mapping[int, Callable[[Session, Rectangle], Reading[None]]]] = {
    names.RAW: _read_raw,
    names.COPY_RECT: _read_copy_rect,
    names.RRE: _read_rre,
    names.HEXTILE: _read_hextile,
    names.ZLIB: _read_counted,
    names.TIGHT: _read_tight,
    names.ZRLE: _read_counted,
    names.H264: _read_h264,
    names.TIGHT_PNG: _read_tight,
    names.CURSOR: _read_cursor,
    names.DESKTOP_SIZE: _read_desktop_size,
    names.LAST_RECT: _read_nothing,
    names.QEMU_POINTER: _read_nothing,
    names.QEMU_KEY: _read_nothing,
    names.QEMU_AUDIO: _read_nothing,
    names.QEMU_LED: _read_led_byte,
    names.DESKTOP_NAME: _read_desktop_name,
    names.EXTENDED_DESKTOP_SIZE: _read_extended_desktop_size,
    names.EXTENDED_BUTTONS: _read_wide_buttons,
    names.VMWARE_CURSOR: _read_vmware_cursor,
    names.VMWARE_LED: _read_led_word,
}
