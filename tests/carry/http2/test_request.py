"""Which HTTP/2 requests are well-formed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.http2.request import LIMITS, blank_head, check_trailers, read_request
from route_addon.core.errors import RouteError
from route_addon.core.framing import UNTIL_END
from route_addon.core.messages import Field
from tests.carry.http2_peer import PEER
from tests.http2_frames import pseudo


def with_fields(*fields: Field) -> list[Field]:
    """A request with these fields."""
    return [*pseudo(), *fields]


def without(name: bytes) -> list[Field]:
    """A request without a pseudo-field."""
    return [field for field in pseudo() if field[0] != name]


GOOD = {
    "the usual": with_fields((b"accept", b"*/*"), (b"x-a", b"b c\td")),
    "no authority": [*without(b":authority"), (b"host", b"desk.example")],
    "authority and Host": with_fields((b"host", b"other.example")),  # the core compares them
    "http": pseudo(scheme=b"http"),
    "TE: trailers": with_fields((b"te", b"Trailers")),
    "an empty value": with_fields((b"x-a", b"")),
    "obs-text": with_fields((b"x-a", b"\xff")),
    "CONNECT": [(b":method", b"CONNECT"), (b":authority", b"desk.example:80")],
    "any method": pseudo(method=b"get"),  # the core's to judge
    "all that a name may hold": with_fields((b"!#$%&'*+-.^_`|~0a", b"1")),
    "a line at its limit": with_fields((b"x", b"y" * (LIMITS.line_bytes - 1))),
    "a path at its limit": pseudo(b"/" + b"x" * (LIMITS.line_bytes - 6)),
    "fields at their limit": with_fields(*[(b"x", b"y")] * LIMITS.fields),
    "many crumbs": with_fields(*[(b"cookie", b"a=b")] * 200),
}

BAD = {
    "no method": (without(b":method"), "bad_request"),
    "no scheme": (without(b":scheme"), "bad_request"),
    "no path": (without(b":path"), "bad_request"),
    "nothing": ([], "bad_request"),
    "two methods": ([*pseudo(), (b":method", b"GET")], "bad_request"),
    "two authorities": ([*pseudo(), (b":authority", b"desk.example")], "bad_request"),
    "an answer's": ([*pseudo(), (b":status", b"200")], "bad_request"),
    "extended CONNECT": ([*pseudo(method=b"CONNECT"), (b":protocol", b"websocket")], "bad_request"),
    "pseudo-field behind": ([(b"a", b"b"), *pseudo()], "bad_field"),
    "a pseudo-field in upper case": ([*pseudo(), (b":Path", b"/")], "bad_request"),
    "another scheme": (pseudo(scheme=b"ftp"), "bad_request"),
    "an empty path": (pseudo(b""), "bad_target"),
    "absolute-form": (pseudo(b"https://desk.example/"), "bad_target"),
    "asterisk-form": (pseudo(b"*", method=b"OPTIONS"), "bad_target"),
    "a path without a slash": (pseudo(b"x"), "bad_target"),
    "control byte in the path": (pseudo(b"/\r\n"), "bad_field"),
    "control byte in the method": (pseudo(method=b"GET\0"), "bad_field"),
    "control byte in the authority": (pseudo(authority=b"a\n"), "bad_field"),
    "upper case": (with_fields((b"X-a", b"b")), "bad_field"),
    "Connection in upper case": (with_fields((b"Connection", b"close")), "bad_field"),
    "an empty name": (with_fields((b"", b"b")), "bad_field"),
    "a space in a name": (with_fields((b"x a", b"b")), "bad_field"),
    "a colon in a name": (with_fields((b"x:a", b"b")), "bad_field"),
    "obs-text in a name": (with_fields((b"x\xff", b"b")), "bad_field"),
    "NUL": (with_fields((b"accept", b"a\0b")), "bad_field"),
    "CR": (with_fields((b"accept", b"a\rb")), "bad_field"),
    "LF": (with_fields((b"accept", b"a\nb")), "bad_field"),
    "a blank before": (with_fields((b"accept", b" a")), "bad_field"),
    "a tab behind": (with_fields((b"accept", b"a\t")), "bad_field"),
    "nothing but a blank": (with_fields((b"accept", b" ")), "bad_field"),
    "connection": (with_fields((b"connection", b"x-a")), "bad_field"),
    "keep-alive": (with_fields((b"keep-alive", b"1")), "bad_field"),
    "proxy-connection": (with_fields((b"proxy-connection", b"close")), "bad_field"),
    "transfer-encoding": (with_fields((b"transfer-encoding", b"chunked")), "bad_field"),
    "upgrade": (with_fields((b"upgrade", b"websocket")), "bad_field"),
    "te": (with_fields((b"te", b"trailers, deflate")), "bad_field"),
    "two lengths": (
        with_fields((b"content-length", b"0"), (b"content-length", b"0")),
        "bad_framing",
    ),
    "no number": (with_fields((b"content-length", b"1_0")), "bad_framing"),
    "content that is not there": (with_fields((b"content-length", b"1")), "bad_framing"),
    "another expectation": (with_fields((b"expect", b"200-ok")), "expectation_failed"),
    "two expectations": (
        with_fields((b"expect", b"100-continue"), (b"expect", b"x")),
        "expectation_failed",
    ),
    "a long line": (with_fields((b"x", b"y" * LIMITS.line_bytes)), "fields_too_large"),
    "long crumbs": (with_fields(*[(b"cookie", b"y" * 1020)] * 8), "fields_too_large"),
    "too many": (with_fields(*[(b"x", b"y")] * (LIMITS.fields + 1)), "fields_too_large"),
    "too much": (with_fields(*[(b"x", b"y" * 1000)] * 32), "fields_too_large"),
    "a long path": (pseudo(b"/" + b"x" * LIMITS.line_bytes), "uri_too_long"),
}


@pytest.mark.parametrize("fields", GOOD.values(), ids=GOOD)
def test_well_formed(fields: list[Field]) -> None:
    """It is read, and nothing is lost but the pseudo-fields."""
    head, expects_continue = read_request(fields, PEER, is_whole=True)
    assert list(head.fields) == [field for field in fields if not field[0].startswith(b":")]
    assert head.method == dict(fields)[b":method"]
    assert head.authority == dict(fields).get(b":authority")
    assert head.length == 0
    assert not expects_continue


@pytest.mark.parametrize(("fields", "slug"), BAD.values(), ids=BAD)
def test_malformed(fields: list[Field], slug: str) -> None:
    """It is refused, for the right reason."""
    with pytest.raises(RouteError) as caught:
        read_request(fields, PEER, is_whole=True)
    assert caught.value.slug == slug


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param([], UNTIL_END, id="unknown"),
        pytest.param([(b"content-length", b"7")], 7, id="known"),
    ],
)
def test_content(fields: list[Field], expected: int) -> None:
    """How long it will be, and whether the client waits to be asked for it."""
    request = read_request(
        [*pseudo(method=b"POST"), *fields, (b"expect", b"100-Continue")], PEER, is_whole=False
    )
    assert request.head.length == expected
    assert request.expects_continue


def test_a_head_to_answer_by() -> None:
    """It holds nothing of a request that cannot be trusted."""
    head = blank_head([(b":method", b"HEAD"), (b"x", b"\0")], PEER)
    assert (head.method, head.target, list(head.fields)) == (b"HEAD", b"/", [])
    assert blank_head([], PEER).method == b"GET"


def test_trailers() -> None:
    """Names and values keep the rules."""
    check_trailers([(b"x-a", b"b")])
    for field in ((b":path", b"/"), (b"X", b"y"), (b"x", b" y"), (b"x", b"a\0")):
        with pytest.raises(RouteError):
            check_trailers([field])


NAMES = st.one_of(st.sampled_from([field[0] for field in pseudo()]), st.binary(max_size=6))


@given(fields=st.lists(st.tuples(NAMES, st.binary(max_size=6)), max_size=8), is_whole=st.booleans())
def test_anything(fields: list[Field], is_whole: bool) -> None:
    """Any fields make a head without control bytes, or a refusal."""
    try:
        head = read_request(fields, PEER, is_whole=is_whole).head
    except RouteError:
        return
    for name, value in [*head.fields, (head.method, head.target)]:
        assert not any(octet < 32 and octet != 9 for octet in name + value)
    assert head.target.startswith(b"/")
