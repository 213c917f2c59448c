"""A request's content, from the client to the upstream: held, then collected or streamed.

A request that has none has none of this. Nor has one whose content nobody wants any more.
"""

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Protocol

from route_addon.carry.client_stream import ClientStream
from route_addon.carry.http1.writer import LAST_CHUNK, build_chunk
from route_addon.carry.spool import Spool
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.core.errors import ContentTooLarge, RouteError


class State(Enum):
    """What becomes of it."""

    HELD = auto()
    """Nothing yet: the client waits."""
    COLLECTED = auto()
    STREAMED = auto()


class Owner(Protocol):
    """Whose content it is."""

    connection: UpstreamConnection | None
    """The connection that the request is sent on, while it is."""

    @property
    def may_be_repeated(self) -> bool:
        """Whether the request may have to be sent again, as a whole."""

    def connect(self) -> None:
        """All is collected: send it."""

    def refuse(self, error: RouteError) -> None:
        """It cannot be taken."""

    def guarded[**P](self, call: Callable[P, None]) -> Callable[P, None]:
        """A callback for other hands."""


class RequestContent:
    """The content of one request.

    Args:
        owner: Whose it is.
        stream: Where it comes from.
        length: Its length in bytes as it was announced, or a mark of ``core.framing``.
    """

    __slots__ = (
        "_announced",
        "_limit_bytes",
        "_owner",
        "_spool",
        "_state",
        "_stream",
        "is_whole",
        "received_bytes",
    )

    def __init__(self, owner: Owner, stream: ClientStream, length: int) -> None:
        self.received_bytes = 0
        """What has come of it, and somebody wanted."""
        self.is_whole = False
        """Whether all of it has come."""
        self._owner = owner
        self._stream = stream
        self._announced = length
        self._limit_bytes = 0
        self._spool: Spool | None = None
        self._state = State.HELD

    @property
    def length(self) -> int:
        """Its length in bytes, or a mark of ``core.framing``."""
        return self._announced if self._spool is None else self._spool.size

    @property
    def is_kept(self) -> bool:
        """Whether it is here, and could be sent again."""
        return self._spool is not None

    # From the client.

    def allow(self, limit_bytes: int) -> None:
        """So much of it may come, and no more."""
        self._limit_bytes = limit_bytes

    def collect(self, spool: Spool) -> None:
        """Let it come, until all of it is here."""
        self._spool = spool
        self._let_come(State.COLLECTED)

    def replace(self, spool: Spool | None) -> None:
        """Send this in its place, or nothing."""
        self.close()
        self._spool = spool
        self._announced = 0

    def receive(self, pieces: list[bytes], is_end: bool) -> None:
        """Some has come.

        Args:
            pieces: In order; none of them empty.
            is_end: Whether it is whole with them.
        """
        self.is_whole = is_end
        if self._state is State.HELD:
            raise AssertionError("content that is held was delivered")
        self.received_bytes += sum(map(len, pieces))
        if self.received_bytes > self._limit_bytes:
            self._owner.refuse(ContentTooLarge(f"over {self._limit_bytes}"))
        elif self._state is State.COLLECTED:
            self._collect(pieces, is_end)
        else:
            self._pass_on(pieces, is_end)

    def _let_come(self, state: State) -> None:
        self._state = state
        self._stream.send_continue()
        self._stream.resume_content()

    def _collect(self, pieces: list[bytes], is_end: bool) -> None:
        assert self._spool is not None
        owner = self._owner
        try:
            is_taken = self._spool.write(pieces, owner.guarded(self._collected))
        except RouteError as error:
            owner.refuse(error)
            return
        if not is_taken:
            self._stream.pause_content()
        elif is_end:
            owner.connect()

    def _collected(self, error: RouteError | None) -> None:
        """A block is on the disk, or it is not."""
        if error is not None:
            self._owner.refuse(error)
        elif self.is_whole:
            self._owner.connect()
        else:
            self._stream.resume_content()

    # To the upstream.

    def send(self, connection: UpstreamConnection, head: bytes) -> None:
        """Send it behind its head: what is here of it, or as it comes."""
        spool = self._spool
        if spool is None:
            connection.write(head)
            self._let_come(State.STREAMED)
        elif spool.is_in_memory:
            self._send_rest(connection, head + spool.rest)
        else:
            connection.write(head)
            spool.rewind()
            self._pump()

    def pause(self) -> None:
        """The upstream does not read fast enough."""
        if self._state is State.STREAMED:
            self._stream.pause_content()

    def resume(self) -> None:
        """It does again."""
        if self._state is State.STREAMED:
            self._stream.resume_content()
        elif self._state is State.COLLECTED:
            self._pump()

    def _pass_on(self, pieces: list[bytes], is_end: bool) -> None:
        connection = self._owner.connection
        if connection is None:
            return
        if self._announced >= 0:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        else:
            data = build_chunk(pieces) + (LAST_CHUNK if is_end else b"")
        if is_end:
            connection.write_last(data)
        else:
            connection.write(data)

    def _pump(self) -> None:
        """Send the next block of what is collected, once the last has been read."""
        spool, connection = self._spool, self._owner.connection
        if spool is not None and connection is not None and not spool.is_busy:
            read = self._owner.guarded(partial(self._pumped, connection))
            spool.read(read, connection.lend_socket())

    def _pumped(self, reader: UpstreamConnection, block: bytes, error: RouteError | None) -> None:
        connection, spool = self._owner.connection, self._spool
        if connection is None or spool is None:
            return
        if error is not None:
            self._owner.refuse(error)
        elif connection is not reader:
            # Read for a server that has failed meanwhile; this one gets it all.
            spool.rewind()
            self._pump()
        elif block:
            connection.write(block)
            if not connection.is_paused:
                self._pump()
        else:
            self._send_rest(connection, spool.rest)

    def _send_rest(self, connection: UpstreamConnection, data: bytes) -> None:
        """Send what makes the request whole; its content stays while it may be sent again."""
        connection.write_last(data)
        if not self._owner.may_be_repeated:
            self.close()

    def close(self) -> None:
        """Give back the room that it took."""
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.close()
