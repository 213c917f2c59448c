"""What clients and upstreams may take of the relay, in seconds, bytes and numbers."""

from dataclasses import dataclass

from route_addon.core.httpcache_stored import DEFAULT_POLICY, Policy


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the relay. A number of 0 is no bound."""

    tls_handshake_s: float = 10.0
    head_s: float = 60.0
    """For a whole request head, from its first byte; from the accept for the first one."""
    body_s: float = 60.0
    """Of silence in a request's content."""
    send_s: float = 60.0
    """For a client that takes nothing of its answer."""
    keepalive_s: float = 75.0
    """Between two requests on a connection."""
    connect_s: float = 5.0
    """To connect to one address of an upstream."""
    websocket_s: float = 3600.0
    """Of silence in both directions of a WebSocket."""
    spool_folder: str = ""
    """Where collected bodies are kept; empty for the system's temporary folder."""
    spool_bytes: int = 8 * 2**30
    """What all collected bodies together may take on the disk."""
    max_connections: int = 0
    max_connections_per_client: int = 0


@dataclass(frozen=True, slots=True)
class DrainLimits:
    """How long who is served is waited for, when the service ends; from its first moment on."""

    requests_s: float = 25.0
    websockets_s: float = 25.0

    @property
    def total_s(self) -> float:
        """For all."""
        return max(self.requests_s, self.websockets_s)


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """What is kept of an exchange for who watches it."""

    body_bytes: int = 2**20
    """Of a request's content, and of an answer's."""
    history_messages: int = 1000
    """The newest messages of a WebSocket."""
    history_bytes: int = 8 * 2**20
    """The same in bytes; also of one message."""
    record_payloads: bool = False
    """Whether they are written with the flow."""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """What the HTTP cache keeps."""

    locations: frozenset[str] = frozenset()
    """The paths of the locations that are cached."""
    max_bytes: int = 64 * 2**20
    """What all stored answers take together."""
    max_object_bytes: int = 2**20
    """What one may take; never more than an eighth of all."""
    policy: Policy = DEFAULT_POLICY
