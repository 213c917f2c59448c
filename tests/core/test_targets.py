"""The hash claim -> a checked target."""

import base64
import ipaddress
from ipaddress import IPv4Address

import pytest
from Crypto.Cipher import PKCS1_OAEP
from Crypto.PublicKey import RSA
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from hypothesis import example, given, settings
from hypothesis import strategies as st

from route_addon.core.errors import (
    TargetDenied,
    TargetMalformed,
    TargetRefused,
    TargetUndecryptable,
)
from route_addon.core.keys import Keys
from route_addon.core.targets import (
    HostSet,
    TargetPolicy,
    decrypt_target,
    parse_address,
    parse_target_host,
)
from tests.core.refusals import refusal
from tests.minting import (
    KeyPair,
    encrypt,
    is_chance,
    key_pair,
    keys_in_force,
    undecryptable,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"10.0.0.1", "10.0.0.1", id="IPv4"),
        pytest.param(b"255.255.255.255", "255.255.255.255", id="the last IPv4"),
        pytest.param(b"2001:db8::1", "2001:db8::1", id="IPv6"),
        pytest.param(b"[2001:db8::1]", "2001:db8::1", id="IPv6 in brackets"),
        pytest.param(b"2001:DB8:0:0::1", "2001:db8::1", id="one spelling of IPv6"),
        pytest.param(b"pod", "pod", id="a name of one label"),
        pytest.param(b"Pod-1.Desktop.SVC", "pod-1.desktop.svc", id="names in lower case"),
        pytest.param(b"pod.svc.", "pod.svc", id="a trailing dot goes"),
        pytest.param(b"3com.example", "3com.example", id="a label that begins with a digit"),
        pytest.param(b"1.2.3.4.example", "1.2.3.4.example", id="numbers before a name"),
        pytest.param(b"10-0-0-1.pod.x1", "10-0-0-1.pod.x1", id="a last label of both"),
        pytest.param(b"0xg", "0xg", id="no hexadecimal number"),
        pytest.param(b"a" * 63, "a" * 63, id="the longest label"),
        pytest.param(b"a." * 126 + b"b", "a." * 126 + "b", id="the longest name"),
        pytest.param(b"a." * 126 + b"b.", "a." * 126 + "b", id="and a dot"),
    ],
)
def test_hosts(text: bytes, expected: str) -> None:
    """An address or a host name, in one spelling."""
    assert expected == parse_target_host(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b".", id="a dot"),
        pytest.param(b"10.0.0.1:8080", id="a port"),
        pytest.param(b"pod:8080", id="a name and a port"),
        pytest.param(b"[::1]:80", id="IPv6 and a port"),
        pytest.param(b"10.0.0.1/x", id="a path"),
        pytest.param(b"10.0.0.1:80/x", id="a port and a path"),
        pytest.param(b"10.0.0.1?x", id="a query"),
        pytest.param(b"10.0.0.1#x", id="a fragment"),
        pytest.param(b"u@10.0.0.1", id="user information"),
        pytest.param(b"http://pod", id="a URL"),
        pytest.param(b" pod", id="a space"),
        pytest.param(b"pod\n", id="a line break"),
        pytest.param(b"pod\x00", id="a NUL"),
        pytest.param(b"a b", id="text with a space"),
        pytest.param(b"127.1", id="a short form"),
        pytest.param(b"127", id="one number"),
        pytest.param(b"2130706433", id="a decimal address"),
        pytest.param(b"0x7f000001", id="a hexadecimal address"),
        pytest.param(b"0x7f.1", id="hexadecimal and short"),
        pytest.param(b"127.0.0.0x1", id="hexadecimal at the end"),
        pytest.param(b"0x", id="a hexadecimal zero"),
        pytest.param(b"0177.0.0.1", id="octal"),
        pytest.param(b"127.0.0.01", id="a leading zero"),
        pytest.param(b"10.0.0.1.", id="IPv4 with a trailing dot"),
        pytest.param(b"10.0.0.256", id="a number above 255"),
        pytest.param(b"1.2.3.4.5", id="five numbers"),
        pytest.param(b"a..b", id="an empty label"),
        pytest.param(b"a..", id="two trailing dots"),
        pytest.param(b".a", id="a dot at the start"),
        pytest.param(b"-a", id="a hyphen at the start"),
        pytest.param(b"a-", id="a hyphen at the end"),
        pytest.param(b"a_b", id="an underscore"),
        pytest.param(b"*.svc", id="an asterisk"),
        pytest.param(b"a" * 64, id="a label that is too long"),
        pytest.param(b"a." * 126 + b"bc", id="a name that is too long"),
        pytest.param("pöd".encode(), id="a letter outside ASCII"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[10.0.0.1]", id="IPv4 in brackets"),
        pytest.param(b"[pod]", id="a name in brackets"),
        pytest.param(b"[]", id="brackets"),
        pytest.param(b"[::1", id="an open bracket"),
        pytest.param(b"[[::1]]", id="double brackets"),
        pytest.param(b"fe80::1%eth0", id="a zone"),
        pytest.param(b"[fe80::1%eth0]", id="a zone in brackets"),
        pytest.param(b"1::2::3", id="no IPv6"),
        pytest.param(b":", id="a colon"),
    ],
)
def test_never_a_host(text: bytes) -> None:
    """Nothing that could change the host, the port or the path is a target."""
    assert parse_target_host(text) is None


@given(st.binary(max_size=30) | st.from_regex(rb"[0-9a-fx.:\[\]-]{0,20}", fullmatch=True))
@example(b"::ffff:127.0.0.1")
def test_any_bytes_give_a_host_or_none(text: bytes) -> None:
    """Parsing twice changes nothing, and what is numeric is an address."""
    host = parse_target_host(text)
    if host is not None:
        assert host == parse_target_host(host.encode())
        assert parse_address(host) is not None or not host.rpartition(".")[2].isdigit()


@pytest.mark.parametrize("target", ["10.0.0.1", "[2001:db8::1]", "Pod.svc.", "a" * 63])
def test_decrypt(target: str, keys: Keys) -> None:
    """What pyos encrypts is decrypted."""
    expected = parse_target_host(target.encode())
    assert expected == decrypt_target(encrypt(target), keys.payload)


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param("", id="nothing"),
        pytest.param("!", id="no base64"),
        pytest.param(encrypt("h").rstrip("="), id="no padding"),
        pytest.param(encrypt("h") + "=", id="more padding"),
        pytest.param(encrypt("h") + "\n", id="a line break"),
        pytest.param(" " + encrypt("h"), id="a space"),
        pytest.param(encrypt("h").replace("=", "é"), id="outside ASCII"),
        pytest.param(base64.urlsafe_b64encode(b"\xff" * 256).decode(), id="base64url"),
        pytest.param(base64.b64encode(bytes(255)).decode(), id="a byte short"),
        pytest.param(base64.b64encode(bytes(257)).decode(), id="a byte more"),
        pytest.param(base64.b64encode(b"\xff" * 256).decode(), id="above the modulus"),
        pytest.param(base64.b64encode(bytes(256)).decode()[:-3] + "B==", id="unused bits"),
    ],
)
def test_never_decrypts(claim: str, keys: Keys) -> None:
    """What is not base64 of a ciphertext is refused before it is looked at."""
    with pytest.raises(TargetUndecryptable):
        decrypt_target(claim, keys.payload)


@pytest.mark.parametrize("target", ["", "10.0.0.1:8080/foo", "127.1", "http://pod", "a b", "é"])
def test_never_accepts(target: str, keys: Keys) -> None:
    """What decrypts to anything but a host is refused."""
    with pytest.raises(TargetMalformed):
        decrypt_target(encrypt(target), keys.payload)


def test_bad_padding_does_not_become_a_target(keys: Keys) -> None:
    """The library answers bad padding with random bytes; they are no host."""
    claims = [
        base64.b64encode(bytes(256)).decode(),
        base64.b64encode(bytes(255) + b"\x02").decode(),
        *(_oaep(b"10.0.0.1") for _ in range(10)),
        *(undecryptable() for _ in range(10)),
    ]
    for claim in claims:
        if not is_chance(claim):
            with pytest.raises(TargetRefused):
                decrypt_target(claim, keys.payload)


def _oaep(text: bytes) -> str:
    key = RSA.import_key(key_pair("payload").public_pem)
    return base64.b64encode(PKCS1_OAEP.new(key).encrypt(text)).decode()


def test_keys_overlap_during_a_rotation(payload: KeyPair, stranger: KeyPair) -> None:
    """Each key is tried, in any order; none of them is none."""
    for order in ((payload, stranger), (stranger, payload)):
        keys = [pair.private for pair in order]
        assert decrypt_target(encrypt("10.0.0.1"), keys) == "10.0.0.1"
        assert decrypt_target(encrypt("10.0.0.2", stranger), keys) == "10.0.0.2"
    with pytest.raises(TargetUndecryptable):
        decrypt_target(encrypt("10.0.0.1"), [])


def test_keys_of_two_sizes_overlap(payload: KeyPair) -> None:
    """A key that cannot take a ciphertext of that length is passed over."""
    old = KeyPair(1024)
    keys = [old.private, payload.private]
    assert decrypt_target(encrypt("10.0.0.1"), keys) == "10.0.0.1"
    assert decrypt_target(encrypt("10.0.0.2", old), keys) == "10.0.0.2"


def test_the_longest_plaintext_wins() -> None:
    """By chance a wrong key's random bytes are a host of a letter or two: it does not win."""
    right, wrong = KeyPair(1024), KeyPair(1024)
    for _ in range(20_000):
        claim = encrypt("10.0.0.1", right)
        try:
            chance = wrong.private.decrypt(base64.b64decode(claim), PKCS1v15())
        except ValueError:  # above the modulus
            continue
        if parse_target_host(chance) is not None:
            break
    else:
        pytest.fail("no chance")
    for pairs in ((right, wrong), (wrong, right)):
        assert decrypt_target(claim, [pair.private for pair in pairs]) == "10.0.0.1"


@settings(max_examples=30)
@given(st.binary(max_size=300) | st.binary(min_size=256, max_size=256))
def test_any_ciphertext_gives_a_host_or_a_route_error(ciphertext: bytes) -> None:
    """Whatever hash holds, a host or a refusal comes out."""
    try:
        host = decrypt_target(base64.b64encode(ciphertext).decode(), keys_in_force().payload)
    except TargetRefused:
        return
    assert host == parse_target_host(host.encode())


@given(st.text(max_size=40))
def test_any_text_gives_a_host_or_a_route_error(claim: str) -> None:
    """Whatever hash says, a refusal comes out."""
    with pytest.raises(TargetRefused):
        decrypt_target(claim, keys_in_force().payload)


@pytest.mark.parametrize(
    "host",
    [
        *("10.0.0.1", "192.168.1.1", "100.64.0.1", "203.0.113.7", "2001:db8::1", "fd00::1"),
        *("pod", "pod.desktop.svc.cluster.local", "localhost.example", "mylocalhost"),
    ],
)
def test_allowed_by_default(host: str) -> None:
    """Pods live on private networks, and some on public ones."""
    assert refusal(TargetPolicy().check_host, host) is None


DENIED = [
    pytest.param("0.0.0.0", id="unspecified"),
    pytest.param("0.1.2.3", id="this network"),
    pytest.param("127.0.0.1", id="loopback"),
    pytest.param("127.255.255.254", id="the last loopback"),
    pytest.param("169.254.169.254", id="link-local, where clouds tell secrets"),
    pytest.param("224.0.0.1", id="multicast"),
    pytest.param("239.255.255.250", id="the last multicast"),
    pytest.param("255.255.255.255", id="broadcast"),
    pytest.param("::", id="unspecified IPv6"),
    pytest.param("::1", id="loopback IPv6"),
    pytest.param("fe80::1", id="link-local IPv6"),
    pytest.param("febf::1", id="the last link-local IPv6"),
    pytest.param("ff02::1", id="multicast IPv6"),
    pytest.param("::ffff:127.0.0.1", id="loopback, mapped"),
    pytest.param("::ffff:169.254.169.254", id="link-local, mapped"),
    pytest.param("2002:7f00:1::", id="loopback by 6to4"),
    pytest.param("64:ff9b::7f00:1", id="loopback by NAT64"),
    pytest.param("localhost", id="the name of loopback"),
    pytest.param("x.localhost", id="a name below localhost"),
]


@pytest.mark.parametrize("host", DENIED)
def test_denied_by_default(host: str) -> None:
    """What is never a pod is denied, in every spelling."""
    with pytest.raises(TargetDenied):
        TargetPolicy().check_host(host)


@pytest.mark.parametrize("host", DENIED[:-2])
def test_denied_after_resolution(host: str) -> None:
    """A good name that resolves to a bad address is denied when it is connected to."""
    policy = TargetPolicy()
    policy.check_host("pod.svc")
    with pytest.raises(TargetDenied):
        policy.check_address("pod.svc", ipaddress.ip_address(host))


def _hosts(*texts: str) -> HostSet:
    networks = tuple(ipaddress.ip_network(text) for text in texts if "/" in text)
    return HostSet(networks, tuple(text for text in texts if "/" not in text))


@pytest.mark.parametrize(
    ("allow", "deny", "host"),
    [
        pytest.param(_hosts("127.0.0.0/8"), _hosts(), "127.0.0.11", id="loopback"),
        pytest.param(_hosts("127.0.0.0/8"), _hosts(), "::ffff:127.0.0.11", id="mapped"),
        pytest.param(_hosts("::1/128"), _hosts(), "::1", id="loopback IPv6"),
        pytest.param(_hosts("10.1.0.0/16"), _hosts("10.0.0.0/8"), "10.1.0.1", id="within denied"),
        pytest.param(_hosts("a.svc"), _hosts("svc"), "a.svc", id="a name within denied"),
        pytest.param(_hosts("a.svc"), _hosts("svc"), "x.a.svc", id="a name below it"),
        pytest.param(_hosts("10.1.0.0/16"), _hosts(), "10.2.0.1", id="allow is no list of all"),
        pytest.param(_hosts("a.svc"), _hosts(), "b.svc", id="nor is it for names"),
        pytest.param(_hosts("localhost"), _hosts(), "localhost", id="localhost"),
        pytest.param(_hosts("127.0.0.0/8"), _hosts(), "localhost", id="its address may be allowed"),
    ],
)
def test_an_allow_match_overrides_any_denial(allow: HostSet, deny: HostSet, host: str) -> None:
    """What is allowed passes, and so does what nobody denies."""
    assert refusal(TargetPolicy(allow, deny).check_host, host) is None


def test_a_denied_name_with_an_allowed_address() -> None:
    """What a denied name resolves to decides, once networks are allowed at all."""
    policy = TargetPolicy(_hosts("127.0.0.0/8"), _hosts("svc"))
    policy.check_host("pod.svc")
    policy.check_address("pod.svc", IPv4Address("127.0.0.11"))
    with pytest.raises(TargetDenied):
        policy.check_address("pod.svc", IPv4Address("10.1.2.3"))


@pytest.mark.parametrize(
    ("allow", "deny", "host"),
    [
        pytest.param(_hosts(), _hosts("10.0.0.0/8"), "10.0.0.1", id="a network"),
        pytest.param(_hosts(), _hosts("10.0.0.0/8"), "::ffff:10.0.0.1", id="a network, mapped"),
        pytest.param(_hosts(), _hosts("fd00::/8"), "fd00::1", id="an IPv6 network"),
        pytest.param(_hosts(), _hosts("svc"), "svc", id="a name"),
        pytest.param(_hosts(), _hosts("svc"), "a.b.svc", id="a name below"),
        pytest.param(_hosts("127.0.0.0/8"), _hosts(), "::1", id="allowed for IPv4 only"),
        pytest.param(_hosts("a.svc"), _hosts("svc"), "aa.svc", id="not below what is allowed"),
    ],
)
def test_denied_by_option(allow: HostSet, deny: HostSet, host: str) -> None:
    """What is denied and not allowed is refused."""
    with pytest.raises(TargetDenied):
        TargetPolicy(allow, deny).check_host(host)


@pytest.mark.parametrize(
    ("allow", "deny", "is_denied"),
    [
        pytest.param(_hosts(), _hosts(), False, id="nothing said"),
        pytest.param(_hosts(), _hosts("10.0.0.0/8"), True, id="the address is denied"),
        pytest.param(_hosts(), _hosts("svc"), True, id="the name is denied"),
        pytest.param(_hosts("pod.svc"), _hosts("10.0.0.0/8"), False, id="the name is allowed"),
        pytest.param(_hosts("10.0.0.0/24"), _hosts("svc"), False, id="the address is allowed"),
    ],
)
def test_after_resolution(allow: HostSet, deny: HostSet, is_denied: bool) -> None:
    """At the connect both the name and the address count."""
    policy = TargetPolicy(allow, deny)
    address = ipaddress.ip_address("10.0.0.1")
    if is_denied:
        with pytest.raises(TargetDenied):
            policy.check_address("pod.svc", address)
    else:
        policy.check_address("pod.svc", address)


@pytest.mark.parametrize("host", ["svcx", "xsvc", "svc.example"])
def test_a_suffix_is_whole_labels(host: str) -> None:
    """``svc`` denies ``a.svc`` and nothing that merely ends so."""
    assert refusal(TargetPolicy(HostSet(), _hosts("svc")).check_host, host) is None


@given(st.ip_addresses())
def test_the_policy_is_total(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Every address is let through or denied, and the same way in both checks."""
    policy = TargetPolicy()
    try:
        policy.check_host(str(address))
    except TargetDenied:
        with pytest.raises(TargetDenied):
            policy.check_address("pod", address)
    else:
        policy.check_address("pod", address)
