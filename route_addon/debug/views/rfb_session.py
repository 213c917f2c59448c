"""What both sides of an RFB session have agreed on, and what both may send (RFC 6143)."""

from dataclasses import dataclass

from route_addon.debug.views.stream import Lost, Reading, Skip, read_number, read_signed
from route_addon.debug.views.tally import Tally

_CLIPBOARD_ACTIONS = {24: "caps", 25: "request", 26: "peek", 27: "notify", 28: "provide"}


@dataclass
class Session:
    """The state of a session; unless told, as noVNC asks for it.

    Attributes:
        tally: Takes what is read; another one for each portion.
        minor: The protocol's version is 3 and this.
        security: The security type that the client chose.
        pixel_bytes: What a pixel takes (RFC 6143 7.4).
        tight_pixel_bytes: What one takes in Tight, which leaves the unused byte of four out.
        has_wide_buttons: Whether the client may tell of more buttons than seven.
    """

    tally: Tally
    minor: int = 8
    security: int | None = None
    pixel_bytes: int = 4
    tight_pixel_bytes: int = 3
    has_wide_buttons: bool = False

    def take_pixel_format(self, data: bytes) -> None:
        """Take the 16 bytes of a pixel format.

        Raises:
            Lost: Neither 8, 16 nor 32 bits a pixel.
        """
        bits, depth, maxima = data[0], data[1], data[4:10]
        if bits not in (8, 16, 32):
            raise Lost(f"{bits} bits a pixel")
        self.pixel_bytes = bits // 8
        leaves_out = bits == 32 and depth == 24 and maxima == b"\x00\xff" * 3
        self.tight_pixel_bytes = 3 if leaves_out else self.pixel_bytes


def describe_pixel_format(data: bytes) -> str:
    """The 16 bytes of a pixel format, for a person."""
    colours = "true colour" if data[3] else "a colour map"
    return f"{data[0]} bits a pixel, depth {data[1]}, {colours}"


def read_cut_text(session: Session, who: str) -> Reading[None]:
    """A clipboard, behind its type: how much is in it, and never what.

    A negative length is the extended clipboard's.
    """
    yield Skip(3)
    size = yield from read_signed(4)
    if size >= 0:
        yield Skip(size)
        session.tally.tell(f"{who} cut text: {size} characters, not shown")
        return
    flags = yield from read_number(4)
    yield Skip(max(0, -size - 4))
    actions = [name for bit, name in _CLIPBOARD_ACTIONS.items() if flags >> bit & 1]
    session.tally.tell(
        f"{who} cut text, extended: {', '.join(actions) or 'no action'}, {-size} bytes, not shown"
    )


def read_fence(session: Session, who: str) -> Reading[None]:
    """A fence, behind its type."""
    yield Skip(7)
    yield Skip((yield from read_number(1)))
    session.tally.count(f"{who} fence")
