"""Pools and servers for tests."""

from typing import Any

from route_addon.core.attempts import Attempts
from route_addon.core.members import Member
from route_addon.core.messages import Server
from route_addon.core.pool_config import PoolSpec, ServerSpec
from route_addon.core.pools import Pool


def server(name: str, **parameters: Any) -> ServerSpec:
    """A server with parameters."""
    return ServerSpec(Server(b"http", name, 80), **parameters)


def pool(*servers: ServerSpec | str, **columns: Any) -> Pool:
    """A pool of servers; a text is the name of one without parameters."""
    return Pool(pool_spec(*servers, **columns))


def pool_spec(*servers: ServerSpec | str, **columns: Any) -> PoolSpec:
    """The configuration of such a pool."""
    specs = tuple(server(one) if isinstance(one, str) else one for one in servers)
    return PoolSpec("pyos", specs, **columns)


def host(member: Member | None) -> str:
    """A server's name, with the address that it stands for; empty for none."""
    if member is None:
        return ""
    return member.spec.server.host + (f"@{member.address}" if member.address else "")


def begin(balanced: Pool, now: float = 0.0, method: bytes = b"GET") -> Attempts:
    """A request that has been given a server, or waits."""
    attempts = Attempts(balanced, method)
    attempts.pick(now)
    return attempts


def hosts(balanced: Pool, count: int, now: float = 0.0) -> str:
    """The servers that so many requests go to, one after the other, each of them answered."""
    names = []
    for _ in range(count):
        attempts = begin(balanced, now)
        names.append(host(attempts.member))
        attempts.judge(200, now, is_body_kept=True)
        attempts.finish()
    return " ".join(names)


def state(member: Member) -> str:
    """How a server is now: mypy takes a property for something that stays."""
    return member.state
