"""Names to addresses, in threads of their own, remembered for a short time."""

import asyncio
import ipaddress
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from cachetools import TTLCache

from route_addon.core.errors import TargetDenied, UpstreamUnresolved
from route_addon.core.targets import Address, TargetPolicy, parse_address

NAME_LIFE_S = 10.0
"""How long an answer is believed; names are asked again after this."""
PATIENCE_S = 10.0
"""How long an answer is waited for: the system's resolver asks twice, for 5 s each."""
_MAX_NAMES = 4096
_THREADS = 8
"""The loop's own executor has few threads, and a slow resolver would hold them all."""


class Resolver:
    """Resolves names as the system does: hosts file, search domains, both families."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolve")
        self._answers: TTLCache[str, tuple[Address, ...]] = TTLCache(
            _MAX_NAMES, NAME_LIFE_S, time.monotonic
        )
        self._asking: dict[str, asyncio.Future[tuple[Address, ...]]] = {}

    async def resolve(self, host: str) -> tuple[Address, ...]:
        """The addresses of a host, in the order to try them.

        Args:
            host: An IP address, or a name.

        Raises:
            UpstreamUnresolved: The name has no address, or nobody says so in time.
        """
        address = parse_address(host)
        if address is not None:
            return (address,)
        answer = self._answers.get(host)
        if answer is None:
            answer = await self._ask(host)
        return answer

    async def _ask(self, host: str) -> tuple[Address, ...]:
        """Ask the system, once for all who want to know."""
        asking = self._asking.get(host)
        if asking is None:
            loop = asyncio.get_running_loop()
            asking = loop.run_in_executor(self._executor, _look_up, host)
            self._asking[host] = asking
            asking.add_done_callback(partial(self._remember, host))
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await asyncio.shield(asking)
        except TimeoutError:
            raise UpstreamUnresolved("no answer in time") from None

    def _remember(self, host: str, asking: asyncio.Future[tuple[Address, ...]]) -> None:
        del self._asking[host]
        if not asking.cancelled() and asking.exception() is None:
            self._answers[host] = asking.result()

    def close(self) -> None:
        """Let the threads go; a look-up under way is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str) -> tuple[Address, ...]:
    try:
        entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UpstreamUnresolved from None
    hosts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in entries)
    return tuple(map(ipaddress.ip_address, hosts))


def is_local(address: Address) -> bool:
    """Whether an address is one of this machine's: only those can be bound to."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
        return True


async def resolve_pod(resolver: Resolver, policy: TargetPolicy, host: str) -> tuple[Address, ...]:
    """The addresses of a host that a token names.

    Raises:
        TargetDenied: It has none, and its name is denied: no network that is allowed can save it.
        UpstreamUnresolved: It has none.
    """
    try:
        return await resolver.resolve(host)
    except UpstreamUnresolved:
        policy.check_unresolved(host)
        raise


def check_pod_address(
    policy: TargetPolicy, host: str, address: Address, port: int, own_ports: frozenset[int]
) -> None:
    """Check an address that a pod's host resolved to, right before it is connected to.

    Args:
        policy: The target policy.
        host: What the token names.
        address: What that resolved to.
        port: The port that will be connected to.
        own_ports: The ports that we listen on.

    Raises:
        TargetDenied: The policy forbids it, or it is a listener of our own.
    """
    policy.check_address(host, address)
    if port in own_ports and is_local(address) and not policy.is_allowed(host, address):
        raise TargetDenied("a listener of our own")
