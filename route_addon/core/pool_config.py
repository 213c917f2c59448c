"""What is configured of a pool: its servers, its method, and when the next server is tried.

The names and defaults are those of nginx's ``server``, ``least_conn``, ``proxy_next_upstream*``,
``queue`` and ``health_check`` directives, unless a comment says why not.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from route_addon.core.messages import Server

type Method = Literal["round_robin", "least_conn"]


class Failure(StrEnum):
    """The ways in which a server fails, as ``proxy_next_upstream`` calls them."""

    ERROR = "error"
    """It does not take the connection, or resets it before its answer's head is whole."""
    TIMEOUT = "timeout"
    INVALID_HEADER = "invalid_header"
    """An answer that we do not understand."""
    HTTP_502 = "http_502"
    HTTP_503 = "http_503"
    HTTP_504 = "http_504"


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One ``server`` of a pool, with nginx's parameters."""

    server: Server
    weight: int = 1
    max_fails: int = 1
    """So many failures within ``fail_timeout_s`` make it unavailable; 0 to count none."""
    fail_timeout_s: float = 10.0
    """The time in which failures are counted, and for which it is unavailable then."""
    max_conns: int = 0
    """How many requests it may have at once; 0 for no bound."""
    is_backup: bool = False
    """Whether it is for the time when none of the others is available."""
    is_down: bool = False
    """Whether it is out of service by configuration."""
    is_resolved: bool = False
    """Whether each address of its name is a server, with all of these parameters."""


@dataclass(frozen=True, slots=True)
class HealthSpec:
    """How servers are asked for their health, from time to time."""

    path: str
    interval_s: float = 5.0
    status: frozenset[int] = frozenset(range(200, 400))
    """The answers that are good ones."""
    # nginx's health_check says passes=1 and fails=1: one lost packet, and a server is out. These
    # are HAProxy's, whose words they are.
    rise: int = 2
    """After so many good answers in a row it is healthy again."""
    fall: int = 3
    """After so many bad ones in a row it is not."""


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """An upstream's servers, and how requests are spread over them."""

    name: str
    servers: tuple[ServerSpec, ...]
    method: Method = "round_robin"
    tries: int = 0
    """``proxy_next_upstream_tries``: how many servers one request may try; 0 for all."""
    next_upstream: frozenset[Failure] = frozenset({Failure.ERROR, Failure.TIMEOUT})
    """``proxy_next_upstream``: after which failures a request that was sent may be sent again."""
    # nginx has no bound. A pool whose servers have all vanished without a word would then hold a
    # client for its number of servers times the time to connect.
    next_upstream_timeout_s: float = 30.0
    """``proxy_next_upstream_timeout``: how long after the first try another may begin; 0 for
    ever."""
    # nginx queues nothing unless told. But max_conns is there to hold a rush back, not to turn
    # it into errors, and a pool of one line (an option's value) has no room for a queue of its own.
    queue: int = 256
    """How many requests may wait for a server that is at ``max_conns``."""
    queue_timeout_s: float = 60.0
    """How long each of them may."""
    health: HealthSpec | None = None

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to choose, to count or to ask: one server, without bounds."""
        if len(self.servers) > 1 or self.health is not None:
            return False
        server = self.servers[0]
        return not (server.max_conns or server.is_down or server.is_resolved)

    @property
    def in_order(self) -> tuple[Server, ...]:
        """The servers for who takes the first: those in service, then backups, then the rest."""
        ranked = sorted(self.servers, key=lambda spec: (spec.is_down, spec.is_backup))
        return tuple(spec.server for spec in ranked)
