"""Who the client is, and what upstreams are told of it.

X-Forwarded-* are believed from trusted proxies only; what a client says of itself is dropped.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from route_addon.core.authority import DEFAULT_PORTS, parse_authority
from route_addon.core.messages import Field, Origin, Peer
from route_addon.core.targets import Network

PRIVATE_NETWORKS = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "fc00::/7",
)
"""Where proxies of one's own usually are: trusted by default."""

_MAX_REMEMBERED = 4096
"""How many clients' facts are remembered: a client asks more than once."""
_MAX_REMEMBERED_BYTES = 256
"""Longer X-Forwarded fields are worked out each time, so that memory stays small."""


class ForwardedFields(NamedTuple):
    """The X-Forwarded-* values of a request, one list for each field, in the order received."""

    chain: tuple[bytes, ...] = ()
    """X-Forwarded-For."""
    proto: tuple[bytes, ...] = ()
    host: tuple[bytes, ...] = ()
    port: tuple[bytes, ...] = ()


NOTHING_SAID = ForwardedFields()


class Forwarded(NamedTuple):
    """What is known of the client and of the way it came."""

    client: str
    """The client's IP address."""
    origin: Origin
    """What the client calls us; the authority is empty where it did not say (HTTP/1.0)."""
    is_peer_trusted: bool
    fields: tuple[Field, ...]
    """X-Real-IP and X-Forwarded-*, to be sent upstream."""


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks; IPv4 in IPv6 (RFC 4291 2.5.5.2) is IPv4."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)


class TrustedProxies:
    """The proxies whose X-Forwarded-* are believed.

    Args:
        networks: Where they are; none, to believe nobody.
    """

    def __init__(self, networks: Iterable[Network]) -> None:
        self.networks = tuple(networks)
        self.trusts = lru_cache(maxsize=_MAX_REMEMBERED)(self._trusts)
        self._remembered = lru_cache(maxsize=_MAX_REMEMBERED)(self._resolve)

    def _trusts(self, address: str) -> bool:
        """Whether an address is one of a trusted proxy."""
        return is_within(address, self.networks)

    def resolve(self, peer: Peer, authority: bytes, said: ForwardedFields) -> Forwarded:
        """Find out who the client is.

        Args:
            peer: The other end of the connection.
            authority: The request's authority; empty where there is none.
            said: What the request says; counts when the peer is trusted.
        """
        if said is NOTHING_SAID or not self.trusts(peer.address):
            return self._remembered(peer, authority, NOTHING_SAID)
        if sum(len(value) for values in said for value in values) <= _MAX_REMEMBERED_BYTES:
            return self._remembered(peer, authority, said)
        return self._resolve(peer, authority, said)

    def _resolve(self, peer: Peer, authority: bytes, said: ForwardedFields) -> Forwarded:
        is_trusted = self.trusts(peer.address)
        client, hops = self._client(peer.address, said.chain)
        scheme = _said_scheme(said.proto)
        said_authority = _said_authority(said.host)
        port = _said_port(said.port)
        if port is None and said_authority is not None:
            said_parsed = parse_authority(said_authority)
            port = said_parsed.port if said_parsed is not None else None
        if port is None:
            port = DEFAULT_PORTS[scheme] if scheme is not None else peer.port
        origin = Origin(scheme or peer.scheme, said_authority or authority)
        chain = ", ".join((client, *hops))
        fields = [
            (b"X-Real-IP", client.encode("ascii")),
            (b"X-Forwarded-For", chain.encode("ascii")),
            (b"X-Forwarded-Proto", origin.scheme),
            (b"X-Forwarded-Host", origin.authority),
            (b"X-Forwarded-Port", b"%d" % port),
        ]
        if not origin.authority:
            del fields[3]
        return Forwarded(client, origin, is_trusted, tuple(fields))

    def _client(self, peer: str, chain: Sequence[bytes]) -> tuple[str, list[str]]:
        """The client's address, and the trusted hops behind it, the peer last.

        The right-most entry that is not trusted is the client; when all are, the left-most.
        An entry that is no address ends the walk: nobody vouches for what stands left of it.
        """
        hops = [peer]
        for entry in reversed(b",".join(chain).split(b",")):
            text = entry.strip()
            if not text:
                continue
            address = _parse_hop(text)
            if address is None:
                break
            hops.insert(0, address)
            if not self.trusts(address):
                break
        return hops[0], hops[1:]


def _parse_hop(text: bytes) -> str | None:
    """An address of X-Forwarded-For; some proxies add a port, IPv6 then in brackets."""
    entry = text.decode("latin-1")
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        return str(ipaddress.ip_address(entry)) if "%" not in entry else None
    except ValueError:
        return None


def _said_scheme(values: Sequence[bytes]) -> bytes | None:
    value = values[0].lower() if len(values) == 1 else b""
    return value if value in DEFAULT_PORTS else None


def _said_authority(values: Sequence[bytes]) -> bytes | None:
    authority = parse_authority(values[0]) if len(values) == 1 else None
    return None if authority is None else authority.text


def _said_port(values: Sequence[bytes]) -> int | None:
    value = values[0] if len(values) == 1 else b""
    return int(value) if value.isdigit() and len(value) <= 5 and 0 < int(value) < 65536 else None
