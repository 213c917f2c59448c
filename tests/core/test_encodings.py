"""Which answers get a content coding, which one, and what their heads say then."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.encodings import (
    CODINGS,
    MIN_BYTES,
    TYPES,
    Encoded,
    EncodingPolicy,
    _negotiate_remembered,
    encode_head,
    negotiate,
)
from route_addon.core.framing import CHUNKED, UNTIL_END
from route_addon.core.messages import HTTP_2, HTTP_10, HTTP_11, Field, Fields
from tests.core.heads import forward, make_head, make_router, values
from tests.minting import mint

ROUTER = make_router()
GZIP = (b"Accept-Encoding", b"gzip, deflate, br, zstd")
HTML = (b"Content-Type", b"text/html; charset=utf-8")
VARY = (b"Vary", b"Accept-Encoding")


def encode(
    *fields: Field,
    asks: Fields = (GZIP,),
    status: int = 200,
    length: int | None = MIN_BYTES,
    target: bytes = b"/page",
    version: bytes = HTTP_11,
    policy: EncodingPolicy = EncodingPolicy(),  # noqa: B008
) -> Encoded | None:
    """What becomes of an answer."""
    head = make_head(target, *asks, version=version)
    return encode_head(policy, head, forward(ROUTER, head), status, fields, length)


def test_an_answer_that_is_encoded() -> None:
    """What was true of the plain content alone goes, or is weakened."""
    encoded = encode(
        HTML,
        *((b"Content-Length", b"2048"), (b"ETag", b'"v1"'), (b"Accept-Ranges", b"bytes")),
        *((b"Content-MD5", b"x"), (b"Repr-Digest", b"x"), (b"Digest", b"x"), (b"X", b"y")),
    )
    assert encoded is not None
    assert encoded.coding == "gzip"
    assert encoded.fields == [
        HTML,
        *((b"ETag", b'W/"v1"'), (b"X", b"y"), (b"Content-Encoding", b"gzip"), VARY),
    ]


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_types(kind: bytes) -> None:
    """Text of the listed kinds, in any case, with parameters or without."""
    for value in (kind, kind.upper(), kind + b" ; charset=x"):
        encoded = encode((b"content-type", value))
        assert encoded is not None and encoded.coding == "gzip"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="no type"),
        pytest.param([(b"Content-Type", b"image/png")], id="a picture"),
        pytest.param([(b"Content-Type", b"text/event-stream")], id="events"),
        pytest.param([(b"Content-Type", b"text/html2")], id="only the beginning"),
        pytest.param([HTML, (b"Content-Encoding", b"br")], id="encoded"),
        pytest.param([HTML, (b"Content-Encoding", b"identity")], id="identity"),
        pytest.param([HTML, (b"Content-Range", b"bytes 0-1/2")], id="a part"),
        pytest.param([HTML, (b"Cache-Control", b"no-transform")], id="no-transform"),
        pytest.param([HTML, (b"Cache-Control", b"max-age=1, No-Transform")], id="No-Transform"),
        pytest.param([HTML, (b"Cache-Control", b"a"), (b"Cache-Control", b"no-transform")], id="2"),
    ],
)
def test_answers_that_go_as_they_are(fields: list[Field]) -> None:
    """For every client, so Vary is silent."""
    assert encode(*fields) is None


@pytest.mark.parametrize("status", [200, 403, 404])
def test_statuses(status: int) -> None:
    """nginx's."""
    assert encode(HTML, status=status) is not None


@pytest.mark.parametrize("status", [101, 201, 204, 206, 301, 401, 416, 500, 502])
def test_other_statuses(status: int) -> None:
    """All others go as they are."""
    assert encode(HTML, status=status) is None


@pytest.mark.parametrize(
    ("length", "is_encoded"),
    [
        *((0, False), (MIN_BYTES - 1, False), (MIN_BYTES, True), (2**40, True)),
        *((CHUNKED, True), (UNTIL_END, True), (None, True)),
    ],
)
def test_lengths(length: int | None, is_encoded: bool) -> None:
    """From 2048 bytes on, or not known."""
    assert (encode(HTML, length=length) is not None) is is_encoded


def test_who_takes_none_is_told_that_others_do() -> None:
    """So that a cache behind us keeps them apart."""
    for asks in ((), ((b"Accept-Encoding", b"identity"),), ((b"Accept-Encoding", b""),)):
        assert encode(HTML, asks=asks) == Encoded(None, [HTML, VARY])


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([b"Cookie"], [b"Cookie", b"Accept-Encoding"]),
        ([b"Cookie, accept-encoding"], [b"Cookie, accept-encoding"]),
        ([b"*"], [b"*"]),
        ([b"Accept-Encoding-2"], [b"Accept-Encoding-2", b"Accept-Encoding"]),
    ],
)
def test_vary_is_not_said_twice(said: list[bytes], told: list[bytes]) -> None:
    """Nor where nothing matches anyway."""
    encoded = encode(HTML, *((b"Vary", value) for value in said))
    assert encoded is not None
    assert values(encoded.fields, b"Vary") == told


def test_versions() -> None:
    """HTTP/1.0 knows no chunks."""
    encoded = encode(HTML, version=HTTP_10)
    assert encoded is not None and encoded.coding is None
    encoded = encode(HTML, version=HTTP_2)
    assert encoded is not None and encoded.coding == "gzip"


def test_several_lines() -> None:
    """RFC 9110 5.3: they are one list."""
    encoded = encode(HTML, asks=((b"accept-encoding", b"br"), (b"Accept-Encoding", b"gzip")))
    assert encoded is not None and encoded.coding == "gzip"


def test_locations() -> None:
    """Never where bytes are measured, or sockets opened; behind a token unless it is off."""
    assert encode(HTML, target=b"/speedtest/x") is None
    token = (b"ABCAuthorization", mint("10.0.0.1"))
    asks = (GZIP, token)
    assert encode(HTML, target=b"/filer/x", asks=asks) is not None
    shy = EncodingPolicy(is_behind_tokens=False)
    assert encode(HTML, target=b"/filer/x", asks=asks, policy=shy) is None
    assert encode(HTML, target=b"/page", policy=shy) is not None
    assert encode(HTML, target=b"/terminals/x", asks=asks) is None


def test_off() -> None:
    """No codings, no Vary."""
    assert encode(HTML, policy=EncodingPolicy(codings=())) is None


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        *((b"gzip", "gzip"), (b"GZIP", "gzip"), (b" gzip ;q=0.5 ", "gzip")),
        *((b"gzip;q=0", None), (b"gzip;q=0.000", None), (b"gzip;q=2", None), (b"gzip;x=1", None)),
        *((b"*", None), (b"x-gzip", None), (b"gzip;q=", None), (b"gzip;q=1;q=0", None)),
        *((b"gzip, br", "gzip"), (b"br, gzip;q=0.9", "br"), (b"gzip;q=0.1, zstd;q=0.2", "zstd")),
        *((b"br;q=1.000, gzip", "gzip"), (b"gzip;q=0, br", "br"), (b"gzip;Q=0.3", "gzip")),
        *((b"identity, gzip;q=0.5", None), (b"identity;q=0.5, gzip", "gzip")),
        *((b"identity", None), (b"identity;q=0", None), (b"gzip, identity", "gzip")),
        *((b"", None), (b",,", None), (b"gzip,gzip;q=0", "gzip"), (b"deflate", None)),
    ],
)
def test_negotiation(accepted: bytes, coding: str | None) -> None:
    """The client's weights first, then ours."""
    assert negotiate(CODINGS, accepted) == coding


def test_ours_comes_first_among_equals() -> None:
    """In the order of the option."""
    assert negotiate(("zstd", "gzip"), b"gzip, zstd") == "zstd"
    assert negotiate(("gzip",), b"zstd, br") is None


def test_long_ones_are_not_remembered() -> None:
    """A client cannot fill our memory with them, and is understood all the same."""
    _negotiate_remembered.cache_clear()
    accepted = b"x" * 300 + b", gzip"
    assert negotiate(CODINGS, accepted) == "gzip"
    assert _negotiate_remembered.cache_info().currsize == 0


@given(st.binary(max_size=80))
def test_any_accept_encoding(accepted: bytes) -> None:
    """Never a coding that is not named."""
    coding = negotiate(CODINGS, accepted)
    assert coding is None or re.search(coding.encode(), accepted, re.IGNORECASE)


def test_a_304_for_who_has_it_encoded() -> None:
    """Its tag is the one that the client has."""
    asks = (GZIP, (b"If-None-Match", b'W/"v1", "v0"'))
    said: list[Field] = [(b"ETag", b'"v1"'), (b"Date", b"x")]
    encoded = encode(*said, asks=asks, status=304, length=None)
    assert encoded == Encoded(None, [(b"ETag", b'W/"v1"'), (b"Date", b"x"), VARY])


@pytest.mark.parametrize("known", [b'"v1"', b'W/"v2"', b"*", b""])
def test_a_304_for_who_has_it_plain(known: bytes) -> None:
    """It goes as it is."""
    asks = (GZIP, (b"If-None-Match", known))
    assert encode((b"ETag", b'"v1"'), asks=asks, status=304, length=None) is None
    assert encode((b"ETag", b'W/"v1"'), asks=asks, status=304, length=None) is None
