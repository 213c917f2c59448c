"""The client's side of an exchange: what framing knows how to send there."""

from typing import Protocol

from mitmproxy import connection

from route_addon.carry.splice import Sink
from route_addon.carry.tunnel import TunnelMaker
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.core.messages import Fields


class ClientStream(Protocol):
    """The client's side of one exchange."""

    def send_continue(self) -> None:
        """The content is wanted (RFC 9110 15.2.1), if the client waits for that word."""

    def send_head(
        self,
        status: int,
        reason: bytes | None,
        fields: Fields,
        length: int | None,
        pieces: list[bytes],
        is_end: bool,
    ) -> None:
        """Send the answer's head, and what there is of its content.

        Args:
            status: The status.
            reason: The reason phrase where it is not the usual one.
            fields: All fields but the framing's.
            length: The content's length in bytes, ``CHUNKED`` when it is not known, None to say
                nothing.
            pieces: Content.
            is_end: Whether the answer is whole with them.
        """

    def send_content(self, pieces: list[bytes], is_end: bool) -> None:
        """Send more content."""

    def cut(self) -> None:
        """The answer cannot be finished: let the client see that it is not whole."""

    def finish(self) -> None:
        """The exchange is over; what still comes of the request's content is for nobody."""

    def pause_content(self) -> None:
        """Let the client wait with its content."""

    def resume_content(self) -> None:
        """Let it go on."""

    def start_tunnel(
        self,
        fields: Fields,
        connection: UpstreamConnection,
        data: bytes,
        make_tunnel: TunnelMaker,
    ) -> None:
        """Answer 101, and pass all that follows on, in both directions.

        Args:
            fields: The answer's fields.
            connection: The upstream's side of the tunnel.
            data: What the upstream has sent already.
            make_tunnel: Makes the tunnel.
        """

    @property
    def sink(self) -> Sink | None:
        """Where content of a known length goes as it is; None where it is framed."""

    @property
    def client(self) -> connection.Client:
        """The connection as mitmproxy describes it, for who watches."""


class Nobody:
    """The client's side of an exchange whose answer is for the store alone."""

    def send_continue(self) -> None:
        """Nobody waits."""

    def send_head(
        self,
        status: int,
        reason: bytes | None,
        fields: Fields,
        length: int | None,
        pieces: list[bytes],
        is_end: bool,
    ) -> None:
        """Nobody reads it."""

    def send_content(self, pieces: list[bytes], is_end: bool) -> None:
        """Nobody reads it."""

    def cut(self) -> None:
        """Nobody misses the rest."""

    def finish(self) -> None:
        """Nothing follows."""

    def pause_content(self) -> None:
        """There is none."""

    def resume_content(self) -> None:
        """There is none."""

    def start_tunnel(
        self,
        fields: Fields,
        connection: UpstreamConnection,
        data: bytes,
        make_tunnel: TunnelMaker,
    ) -> None:
        """A handshake is never answered from the store."""
        raise AssertionError("a tunnel for nobody")

    @property
    def sink(self) -> Sink | None:
        """There is none."""
        return None

    @property
    def client(self) -> connection.Client:
        """There is no connection, and nobody watches."""
        raise AssertionError("a connection of nobody's")
