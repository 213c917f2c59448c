"""How much is read from a connection at once."""

import asyncio
from typing import Final

READ_BYTES: Final = 64 * 1024
"""What one side has sent, and the other does not take, is held here: asyncio would read 256 KiB of
it at once, for each of however many clients that read slowly."""


def bound_reads(transport: asyncio.Transport) -> None:
    """Read no more than ``READ_BYTES`` from a connection at once, TLS to upstreams excepted."""
    transport.max_size = READ_BYTES  # type: ignore[attr-defined]
