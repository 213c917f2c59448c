"""What the kernel holds of a connection, and how it is told to treat it.

One that is gone holds nothing, and to say something about it to the kernel is no fault.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from typing import Final

_INT: Final = struct.Struct("i")
_UINT: Final = struct.Struct("I")
_UNACKED_AT: Final = 24
"""Where tcpi_unacked is in tcp_info (tcp(7)): of a listening socket, the length of its queue."""
_TCP_INFO_BYTES: Final = 32
_NO_LINGER: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing resets the connection."""
_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Seconds of silence before the first probe, seconds between probes, probes without an answer."""


def count_unsent(transport: asyncio.Transport) -> int:
    """How many bytes it has that have not reached the peer."""
    return _count(transport, termios.TIOCOUTQ)


def count_unread(transport: asyncio.Transport) -> int:
    """How many bytes have come that nobody has read yet."""
    return _count(transport, termios.FIONREAD)


def count_waiting(listening: socket.socket) -> int:
    """How many connections wait to be accepted; 0 where the system does not tell."""
    try:
        info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except (AttributeError, OSError):
        return 0
    waiting: int = _UINT.unpack_from(info, _UNACKED_AT)[0] if len(info) == _TCP_INFO_BYTES else 0
    return waiting


def keep_alive(transport: asyncio.Transport) -> None:
    """Let it ask a silent peer whether it is still there."""
    _set(transport, socket.SOL_SOCKET, "SO_KEEPALIVE", 1)
    for name, value in _KEEP_ALIVE.items():
        _set(transport, socket.IPPROTO_TCP, name, value)


def reset_at_close(transport: asyncio.Transport) -> None:
    """Let the peer see that closing is no orderly end."""
    _set(transport, socket.SOL_SOCKET, "SO_LINGER", _NO_LINGER)


def lend_socket(transport: asyncio.Transport) -> int | None:
    """A descriptor to use past a transport that has sent all it was given; to be closed.

    Returns:
        None where nobody may: it has something to send, or encrypts.

    Raises:
        OSError: No descriptor is left.
    """
    has_more = transport.is_closing() or transport.get_write_buffer_size()
    if has_more or transport.get_extra_info("sslcontext") is not None:
        return None
    # One of its own: the transport may be closed meanwhile, and its number be another's.
    return os.dup(transport.get_extra_info("socket").fileno())


def _find_socket(transport: asyncio.Transport) -> socket.socket | None:
    sock: socket.socket | None = transport.get_extra_info("socket")
    return sock if sock is not None and sock.fileno() >= 0 else None


def _count(transport: asyncio.Transport, request: int) -> int:
    sock = _find_socket(transport)
    if sock is None:
        return 0
    held: int = _INT.unpack(fcntl.ioctl(sock.fileno(), request, bytes(_INT.size)))[0]
    return held


def _set(transport: asyncio.Transport, level: int, name: str, value: int | bytes) -> None:
    """Set an option, where the system has it."""
    sock, option = _find_socket(transport), getattr(socket, name, None)
    if sock is not None and option is not None:
        # It may have been reset a moment ago.
        with contextlib.suppress(OSError):
            sock.setsockopt(level, option, value)
