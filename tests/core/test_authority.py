"""Authorities (RFC 9110 4.2.3, RFC 3986 3.2)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.authority import Authority, _parse_remembered, parse_authority, same_authority


@pytest.mark.parametrize(
    ("text", "host", "port", "normalised"),
    [
        pytest.param(b"h", b"h", None, b"h", id="a name"),
        pytest.param(b"h:8080", b"h", 8080, b"h:8080", id="a name and a port"),
        pytest.param(b"Desk.EXAMPLE", b"desk.example", None, b"desk.example", id="lower case"),
        pytest.param(b"h.", b"h", None, b"h", id="a trailing dot goes"),
        pytest.param(b"h.:80", b"h", 80, b"h:80", id="a trailing dot goes before a port"),
        pytest.param(b"h:", b"h", None, b"h", id="an empty port is none"),
        pytest.param(b"h:00080", b"h", 80, b"h:80", id="leading zeros go"),
        pytest.param(b"h:65535", b"h", 65535, b"h:65535", id="the highest port"),
        pytest.param(b"a_b-c.d", b"a_b-c.d", None, b"a_b-c.d", id="underscore and hyphen"),
        pytest.param(b"192.0.2.1:1", b"192.0.2.1", 1, b"192.0.2.1:1", id="IPv4"),
        pytest.param(b"[2001:DB8:0::1]", b"[2001:db8::1]", None, b"[2001:db8::1]", id="IPv6"),
        pytest.param(b"[::1]:443", b"[::1]", 443, b"[::1]:443", id="IPv6 and a port"),
    ],
)
def test_parse(text: bytes, host: bytes, port: int | None, normalised: bytes) -> None:
    """An authority is normalised."""
    assert Authority(host, port, normalised) == parse_authority(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b".", id="a dot"),
        pytest.param(b"a..b", id="an empty label"),
        pytest.param(b".a", id="a dot at the start"),
        pytest.param(b"a..", id="two trailing dots"),
        pytest.param(b"u@h", id="user information"),
        pytest.param(b"a b", id="a space"),
        pytest.param(b" h", id="a space at the start"),
        pytest.param(b"h\n", id="a line break at the end"),
        pytest.param(b"h\x00", id="a NUL"),
        pytest.param(b"a/b", id="a slash"),
        pytest.param(b"a\\b", id="a backslash"),
        pytest.param(b"a?b", id="a question mark"),
        pytest.param(b"a#b", id="a number sign"),
        pytest.param(b"*", id="an asterisk"),
        pytest.param(b'a"b', id="a quote"),
        pytest.param(b"a%41", id="an escape"),
        pytest.param(b"\xc3\xa9", id="a letter outside ASCII"),
        pytest.param(b"a,b", id="a list"),
        pytest.param(b":80", id="a port alone"),
        pytest.param(b"h:0", id="port 0"),
        pytest.param(b"h:65536", id="a port above 65535"),
        pytest.param(b"h:100000", id="a port of six digits"),
        pytest.param(b"h:8o", id="a port that is no number"),
        pytest.param(b"h:-1", id="a negative port"),
        pytest.param(b"h:1:2", id="two ports"),
        pytest.param(b"::1", id="IPv6 without brackets"),
        pytest.param(b"[::1", id="an open bracket"),
        pytest.param(b"[::1]x", id="text behind the bracket"),
        pytest.param(b"[:::]", id="no IPv6 address"),
        pytest.param(b"[fe80::1%25eth0]", id="a zone"),
        pytest.param(b"[127.0.0.1]", id="IPv4 in brackets"),
        pytest.param(b"h" * 301, id="too long"),
    ],
)
def test_never_accepts(text: bytes) -> None:
    """What one reader might take for another host is no authority."""
    assert parse_authority(text) is None


def test_long_ones_are_not_remembered() -> None:
    """A client cannot fill our memory with them."""
    _parse_remembered.cache_clear()
    assert parse_authority(b"a" * 301) is None
    assert _parse_remembered.cache_info().currsize == 0


@given(st.binary(max_size=40) | st.from_regex(rb"[a-zA-Z0-9.:\[\]-]{0,20}", fullmatch=True))
def test_any_bytes_give_an_authority_or_none(text: bytes) -> None:
    """Normalising twice changes nothing."""
    authority = parse_authority(text)
    if authority is not None:
        assert authority == parse_authority(authority.text)


@pytest.mark.parametrize(
    ("scheme", "one", "other", "expected"),
    [
        pytest.param(b"http", b"h", b"H.", True, id="the same name"),
        pytest.param(b"http", b"h", b"h:80", True, id="http's own port may be left out"),
        pytest.param(b"https", b"h:443", b"h", True, id="https' own port may be left out"),
        pytest.param(b"https", b"h", b"h:80", False, id="the other scheme's port may not"),
        pytest.param(b"http", b"h", b"i", False, id="another name"),
        pytest.param(b"http", b"h:1", b"h:2", False, id="another port"),
        pytest.param(b"http", b"h", b"x.h", False, id="a name below"),
        pytest.param(b"http", b"[::1]", b"[0:0::1]:80", True, id="one IPv6 address, two spellings"),
    ],
)
def test_same_authority(scheme: bytes, one: bytes, other: bytes, expected: bool) -> None:
    """Two authorities are the same when they name one server under that scheme."""
    first, second = parse_authority(one), parse_authority(other)
    assert first is not None and second is not None
    assert expected is same_authority(scheme, first, second)
    assert expected is same_authority(scheme, second, first)
