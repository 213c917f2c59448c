"""From the ``hash`` claim to a checked target: decrypt, grammar, policy.

RSA decryption with bad padding does not fail: the library answers with pseudo-random bytes
(implicit rejection). So what comes out is believed only when it is an address or a host name.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from route_addon.core.errors import TargetDenied, TargetMalformed, TargetUndecryptable

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network

_PADDING = PKCS1v15()
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
"""A last label like this makes a name an IPv4 short form for many a resolver (127.1, 0x7f...)."""
_MAX_NAME_CHARS = 253

_DENIED_BY_DEFAULT = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "fe80::/10",
        "ff00::/8",
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def decrypt_target(hash_claim: str, payload_keys: Iterable[RSAPrivateKey]) -> str:
    """Decrypt the ``hash`` claim to a target that has the grammar of one.

    Args:
        hash_claim: Standard base64 (RFC 4648 4) of RSAES-PKCS1-v1_5 (RFC 8017 7.2).
        payload_keys: The keys to try. Each is: a wrong one may, once in a thousand, answer with
            random bytes that look like a host name of a letter or two, so the longest wins.

    Raises:
        TargetUndecryptable: Not strict base64, or no key takes a ciphertext of that length.
        TargetMalformed: It decrypts, but to no address and no host name.
    """
    try:
        text = hash_claim.encode("ascii")
        ciphertext = base64.b64decode(text, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise TargetUndecryptable("hash is not base64") from None
    if base64.b64encode(ciphertext) != text:
        raise TargetUndecryptable("hash is not canonical base64")
    plaintexts = []
    for key in payload_keys:
        try:
            plaintexts.append(key.decrypt(ciphertext, _PADDING))
        except ValueError:
            continue
    if not plaintexts:
        raise TargetUndecryptable("no payload key takes this ciphertext")
    targets = [target for target in map(parse_target_host, plaintexts) if target is not None]
    if not targets:
        raise TargetMalformed("neither an address nor a host name")
    return max(targets, key=len)


def parse_target_host(text: bytes) -> str | None:
    """An address or a host name, or None for anything else.

    IPv4 in dotted form; IPv6 bare or in brackets (returned bare), without a zone; a DNS host
    name (RFC 1123 2.1), returned in lower case without its trailing dot.
    """
    try:
        host = text.decode("ascii")
    except UnicodeDecodeError:
        return None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            return None
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host).compressed if "%" not in host else None
        except ValueError:
            return None
    name = host.removesuffix(".")
    if len(name) > _MAX_NAME_CHARS or _HOST_NAME.fullmatch(host) is None:
        return None
    if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]) is None:
        return name.lower()
    try:
        return str(IPv4Address(host))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def parse_address(host: str) -> Address | None:
    """The IP address that a host is, or None when it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class HostSet(NamedTuple):
    """Some networks and some DNS suffixes."""

    networks: tuple[Network, ...] = ()
    suffixes: tuple[str, ...] = ()

    def has_address(self, address: Address) -> bool:
        """Whether an address, or one that is wrapped in it, is in one of the networks."""
        return any(one in network for one in _unwrap(address) for network in self.networks)

    def has_name(self, name: str) -> bool:
        """Whether a name is one of the suffixes or below one."""
        return any(name == suffix or name.endswith("." + suffix) for suffix in self.suffixes)


class TargetPolicy:
    """Which targets a token may name.

    An allow match overrides any denial; it is not a list of all that may pass.

    Args:
        allow: What is let through in spite of a denial.
        deny: What is denied besides loopback, link-local, multicast and unspecified addresses.
    """

    def __init__(self, allow: HostSet = HostSet(), deny: HostSet = HostSet()) -> None:  # noqa: B008
        self.allow = allow
        self.deny = HostSet(deny.networks + _DENIED_BY_DEFAULT, (*deny.suffixes, "localhost"))

    def check_host(self, host: str) -> None:
        """Check what a token names.

        Raises:
            TargetDenied: The policy forbids it.
        """
        address = parse_address(host)
        if address is not None:
            self.check_address(host, address)
        elif not self.allow.networks:
            # With networks to allow, only the address can say.
            self.check_unresolved(host)

    def check_unresolved(self, host: str) -> None:
        """Check a name that has no address.

        Raises:
            TargetDenied: The policy forbids it.
        """
        if self.deny.has_name(host) and not self.allow.has_name(host):
            raise TargetDenied("the name is denied")

    def check_address(self, host: str, address: Address) -> None:
        """Check an address that a host resolved to, at the moment it is connected to.

        Raises:
            TargetDenied: The policy forbids it.
        """
        if self.is_allowed(host, address):
            return
        if self.deny.has_address(address) or self.deny.has_name(host):
            raise TargetDenied("the address is denied")

    def is_allowed(self, host: str, address: Address) -> bool:
        """Whether an allow match overrides every denial of this address."""
        return self.allow.has_address(address) or self.allow.has_name(host)


def _unwrap(address: Address) -> tuple[Address, ...]:
    """An address and the IPv4 address that it carries (RFC 4291 2.5.5.2, RFC 6052, RFC 3056)."""
    if isinstance(address, IPv4Address):
        return (address,)
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return (address,) if inner is None else (address, inner)
