"""Names to addresses."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from route_addon.carry.upstreams import resolve
from route_addon.carry.upstreams.resolve import Resolver, check_pod_address, is_local
from route_addon.core.errors import TargetDenied, UpstreamUnresolved
from route_addon.core.targets import HostSet, TargetPolicy

LOOPBACK = ipaddress.ip_address("127.0.0.1")
ANYWHERE = ipaddress.ip_address("203.0.113.7")
ALLOWING = TargetPolicy(HostSet((ipaddress.ip_network("127.0.0.0/8"),), ()), HostSet((), ()))


class Names:
    """What the system's resolver would say."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def getaddrinfo(self, host: str, *details: Any, **more: Any) -> list[Any]:
        self.asked.append(host)
        self.may_answer.wait(10)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0)) for one in self.addresses[host]
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """The only names that there are."""
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    """One with its threads."""
    resolver = Resolver()
    yield resolver
    resolver.close()


async def test_an_address_is_asked_of_nobody(resolver: Resolver, names: Names) -> None:
    """It is its own answer."""
    assert await resolver.resolve("203.0.113.7") == (ANYWHERE,)
    assert await resolver.resolve("::1") == (ipaddress.ip_address("::1"),)
    assert names.asked == []


async def test_addresses_come_in_order(resolver: Resolver, names: Names) -> None:
    """Each once, without the zone of a link."""
    names.addresses["pod"] = ["203.0.113.7", "127.0.0.1", "203.0.113.7", "fe80::1%eth0"]
    assert await resolver.resolve("pod") == (ANYWHERE, LOOPBACK, ipaddress.ip_address("fe80::1"))


async def test_answers_are_remembered(
    resolver: Resolver, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a short time; then the name is asked again."""
    names.addresses["pod"] = ["203.0.113.7"]
    for _ in range(3):
        await resolver.resolve("pod")
    assert names.asked == ["pod"]
    names.addresses["pod"] = ["127.0.0.1"]
    expired = resolver._answers.timer() + resolve.NAME_LIFE_S + 1
    resolver._answers.expire(expired)
    assert await resolver.resolve("pod") == (LOOPBACK,)


async def test_a_name_is_asked_once_at_a_time(resolver: Resolver, names: Names) -> None:
    """However many want to know, one that is slow holds one thread."""
    names.addresses["pod"] = ["203.0.113.7"]
    names.may_answer.clear()
    waiting = [asyncio.create_task(resolver.resolve("pod")) for _ in range(20)]
    await asyncio.sleep(0.05)
    names.addresses["other"] = ["127.0.0.1"]
    waiting[0].cancel()
    names.may_answer.set()
    assert await resolver.resolve("other") == (LOOPBACK,)
    assert await asyncio.gather(*waiting[1:]) == [(ANYWHERE,)] * 19
    assert names.asked.count("pod") == 1


async def test_a_name_without_an_address(resolver: Resolver, names: Names) -> None:
    """It is not remembered: a pod that has just come is found at once."""
    for _ in range(2):
        with pytest.raises(UpstreamUnresolved):
            await resolver.resolve("pod")
    names.addresses["pod"] = ["203.0.113.7"]
    assert await resolver.resolve("pod") == (ANYWHERE,)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b", "\ud800"])
async def test_a_name_that_is_none(host: str, resolver: Resolver) -> None:
    """What the system cannot even ask has no address."""
    with pytest.raises(UpstreamUnresolved):
        await resolver.resolve(host)


async def test_a_resolver_that_is_slow(
    resolver: Resolver, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever; what it says in the end is remembered."""
    monkeypatch.setattr(resolve, "PATIENCE_S", 0.1)
    names.addresses["pod"] = ["203.0.113.7"]
    names.may_answer.clear()
    with pytest.raises(UpstreamUnresolved):
        await resolver.resolve("pod")
    names.may_answer.set()
    async with asyncio.timeout(10):
        while "pod" not in resolver._answers:
            await asyncio.sleep(0.01)
    assert await resolver.resolve("pod") == (ANYWHERE,)
    assert names.asked == ["pod"]


def test_what_is_local() -> None:
    """The addresses that can be bound to."""
    assert is_local(LOOPBACK)
    assert not is_local(ANYWHERE)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "::1"])
def test_addresses_that_are_denied(address: str) -> None:
    """Wherever a name leads, the policy holds for the address."""
    with pytest.raises(TargetDenied):
        check_pod_address(
            TargetPolicy(), "pod.example", ipaddress.ip_address(address), 80, frozenset()
        )


def test_a_listener_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A local address with one of our own ports, unless it was allowed by name."""
    monkeypatch.setattr(resolve, "is_local", lambda address: True)
    own = frozenset({8080})
    with pytest.raises(TargetDenied):
        check_pod_address(TargetPolicy(), "pod.example", ANYWHERE, 8080, own)
    check_pod_address(TargetPolicy(), "pod.example", ANYWHERE, 8081, own)
    check_pod_address(ALLOWING, "pod.example", LOOPBACK, 8080, own)
