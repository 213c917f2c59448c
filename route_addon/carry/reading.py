"""How much is read from a connection at once, and how little waits to be written to another."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator
from typing import Final

READ_BYTES: Final = 64 * 1024
"""What one side has sent, and the other does not take, is held here: asyncio would read 256 KiB of
it at once, uvloop 250 KB, for each of however many clients that read slowly."""

HELD_BYTES: Final = 16 * 1024
"""What may wait to be written before whoever writes is told to wait."""

_room: Final = memoryview(bytearray(READ_BYTES))
"""What is read at the moment; by nobody else, since it is taken out before a loop goes on."""


def hold_little(transport: asyncio.Transport) -> None:
    """Let whoever writes wait soon after the kernel, which holds megabytes itself, takes no more.

    By default a loop holds 64 KiB before it says so, and what comes upon that.
    """
    # What passes the mark uvloop sends at once, and the rest together with what else a turn of it
    # brings: short answers cost a sixth less so.
    transport.set_write_buffer_limits(HELD_BYTES, 1)


def hold_more(transport: asyncio.Transport) -> None:
    """Let more wait for who has just taken what waited: a whole piece can, while one is sent.

    Who does not read never comes to it.
    """
    transport.set_write_buffer_limits(READ_BYTES)


def hold_nothing(transport: asyncio.Transport) -> None:
    """Let whoever writes wait as soon as the kernel takes no more; send all at once until then."""
    # Under TLS a mark of 0 counts as passed with nothing held: it would never be free again.
    transport.set_write_buffer_limits(1)


class BoundedProtocol(asyncio.BufferedProtocol):
    """Gets what comes in pieces of ``READ_BYTES`` at most, whatever the loop."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """A piece has come."""

    def get_buffer(self, sizehint: int) -> memoryview:
        return _room

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_room[:nbytes]))


def read_unread(transport: asyncio.Transport) -> Iterator[bytes]:
    """What a peer sent by TLS before it left, and nobody was given: loops drop what waits there.

    Half a MiB may wait while reading is paused.

    Args:
        transport: One whose end has come. Of one without TLS nothing waits.
    """
    tls = transport.get_extra_info("ssl_object")
    with contextlib.suppress(ssl.SSLError):  # there is no more
        while tls is not None and (data := tls.read(READ_BYTES)):
            yield data
