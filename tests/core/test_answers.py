"""What an upstream's answer may carry to the client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.answers import PlainFields, answer_fields, find_fate, mend, plain_line
from route_addon.core.messages import HTTP_10, Field, Forward, Server
from tests.core.heads import TLS_CLIENT, forward, make_head, make_router, values
from tests.minting import mint

TOKEN = mint("10.0.0.1")
SECURITY = [(b"X-Frame-Options", b"SAMEORIGIN"), (b"X-XSS-Protection", b"1; mode=block")]
ROUTER = make_router()


def _forward(target: bytes) -> Forward:
    return forward(ROUTER, make_head(target, (b"ABCAuthorization", TOKEN), peer=TLS_CLIENT))


WEBSITE = _forward(b"/x")


@pytest.mark.parametrize(
    "field",
    [
        (b"Content-Type", b"text/html"),
        (b"Set-Cookie", b"a=1; Path=/"),
        (b"Date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
        (b"ETag", b'"x"'),
        (b"Content-Encoding", b"gzip"),
        (b"Sec-WebSocket-Accept", b"x"),
        (b"X-Accelerate", b"x"),
        (b"WWW-Authenticate", b"Basic"),
        (b"Via", b"1.1 x"),
    ],
)
def test_sent(field: Field) -> None:
    """Most fields go on as they are, each line apart."""
    assert [field, field, *SECURITY] == answer_fields(200, [field, field], WEBSITE)


@pytest.mark.parametrize(
    "name",
    [
        *(b"Server", b"X-Powered-By", b"x-powered-by", b"Content-Length"),
        *(b"X-Accel-Redirect", b"X-Accel-Buffering", b"x-accel-anything", b"X-ACCEL-Expires"),
        *(b"Connection", b"Keep-Alive", b"Proxy-Connection", b"TE", b"Trailer", b"Upgrade"),
        b"Transfer-Encoding",
    ],
)
def test_never_sent(name: bytes) -> None:
    """What tells of the upstream's software, or is of its connection, goes no further."""
    assert answer_fields(200, [(name, b"/x")], WEBSITE) == SECURITY
    known = find_fate(name)
    assert known is not None and not known.is_sent


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ((b"ETag", b"x"), b"ETag: x"),
        ((b"SERVER", b"x"), b""),
        ((b"Connection", b"keep-alive"), b""),
        ((b"Connection", b"close, ETag"), None),
        ((b"location", b"/"), None),
        ((b"X-Frame-Options", b"DENY"), None),
        ((b"Strict-Transport-Security", b"max-age=1"), None),
    ],
)
def test_a_plain_line(field: Field, line: bytes | None) -> None:
    """A field is sent, or dropped, by itself, unless something else of the answer counts."""
    assert plain_line(*field) == line


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"ETag", b"Server", b"date", b"X-Accel-Limit", b"Set-Cookie"]),
            st.sampled_from([b"a", b"b"]),
        )
    ),
    st.sampled_from([b"", b"max-age=1"]),
)
def test_plain_fields(fields: list[Field], hsts: bytes) -> None:
    """Lines that are joined say what the fields do, one by one."""
    sent = WEBSITE._replace(hsts=hsts)
    expected = answer_fields(200, fields, sent)
    plain = [line for line in (plain_line(*field) for field in fields) if line]
    lines = b"\r\n".join(plain)
    found = PlainFields(fields, lines)
    found = found.secure(hsts) if hsts else found
    assert found.lines == b"\r\n".join(map(b": ".join, expected))
    assert list(found) == expected == found[:]
    assert len(found) == len(expected)
    assert found == PlainFields(fields, lines, hsts)


@pytest.mark.parametrize("status", [200, 204, 304, 404, 500])
@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param([], SECURITY, id="none of its own"),
        pytest.param(
            [(b"x-frame-options", b"DENY")],
            [(b"x-frame-options", b"DENY"), SECURITY[1]],
            id="one of its own",
        ),
        pytest.param(
            [(b"X-XSS-Protection", b"0"), (b"X-Frame-Options", b"DENY")],
            [(b"X-XSS-Protection", b"0"), (b"X-Frame-Options", b"DENY")],
            id="both of its own",
        ),
        pytest.param(
            [(b"X-Frame-Options", b"DENY"), (b"X-Frame-Options", b"DENY")],
            [(b"X-Frame-Options", b"DENY"), (b"X-Frame-Options", b"DENY"), SECURITY[1]],
            id="one twice",
        ),
        pytest.param(
            [(b"X-Frame-Options", b"DENY"), (b"Connection", b"x-frame-options")],
            [(b"X-Frame-Options", b"DENY"), SECURITY[1]],
            id="one that Connection names",
        ),
    ],
)
def test_security_fields(status: int, own: list[Field], expected: list[Field]) -> None:
    """They are on every answer that does not carry its own."""
    assert expected == answer_fields(status, own, WEBSITE)


@pytest.mark.parametrize(
    ("connection", "gone"),
    [
        pytest.param([b"close"], [], id="close"),
        pytest.param([b"X-Hop"], [b"X-Hop"], id="a field"),
        pytest.param([b"keep-alive, x-hop", b"X-Other"], [b"X-Hop", b"X-Other"], id="two lines"),
    ],
)
def test_fields_named_by_connection(connection: list[bytes], gone: list[bytes]) -> None:
    """They go, as they do in requests."""
    fields = [(b"X-Hop", b"1"), (b"X-Other", b"2"), (b"Close", b"3")]
    kept = [field for field in fields if field[0] not in gone]
    lines = [(b"Connection", line) for line in connection]
    assert kept + SECURITY == answer_fields(200, [*lines, *fields], WEBSITE)


@pytest.mark.parametrize(
    ("ours", "own", "expected"),
    [
        pytest.param(b"", [], [], id="nobody says it"),
        pytest.param(b"", [b"max-age=1"], [b"max-age=1"], id="the upstream does"),
        pytest.param(b"max-age=9", [], [b"max-age=9"], id="we do"),
        pytest.param(b"max-age=9", [b"max-age=0", b"x"], [b"max-age=9"], id="both: we do"),
    ],
)
def test_hsts(ours: bytes, own: list[bytes], expected: list[bytes]) -> None:
    """Ours takes the place of the upstream's: it speaks for the whole host."""
    fields = [(b"strict-transport-security", value) for value in own]
    sent = answer_fields(200, fields, WEBSITE._replace(hsts=ours))
    assert expected == values(sent, b"Strict-Transport-Security")


def test_switching_protocols() -> None:
    """A 101 gets the two fields that make it one."""
    fields = [
        (b"Upgrade", b"WebSocket"),
        (b"Connection", b"upgrade"),
        (b"Sec-WebSocket-Accept", b"x"),
    ]
    assert [
        (b"Sec-WebSocket-Accept", b"x"),
        *SECURITY,
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
    ] == answer_fields(101, fields, _forward(b"/websockify"))


OWN = b"https://desk.example:8080"


@pytest.mark.parametrize(
    ("target", "url", "expected"),
    [
        pytest.param(b"/x", b"http://website/y?z#a", OWN + b"/y?z#a", id="website"),
        pytest.param(b"/x", b"HTTP://WebSite./y", OWN + b"/y", id="in any spelling"),
        pytest.param(b"/x", b"http://website:80/y", OWN + b"/y", id="with the scheme's own port"),
        pytest.param(b"/x", b"//website/y", OWN + b"/y", id="without a scheme"),
        pytest.param(b"/x", b"http://website", OWN + b"/", id="without a path"),
        pytest.param(b"/x", b"http://website?z", OWN + b"/?z", id="with a query alone"),
        pytest.param(b"/console/x", b"http://console/y", OWN + b"/console/y", id="console"),
        pytest.param(b"/console/x", b"http://console/", OWN + b"/console/", id="console's root"),
        pytest.param(b"/speedtest", b"http://speedtest/y", OWN + b"/speedtest/y", id="speedtest"),
        pytest.param(b"/API/x", b"http://pyos:8000/API/y", OWN + b"/API/y", id="pyos"),
        pytest.param(b"/filer", b"http://10.0.0.1:29783/filer/", OWN + b"/filer/", id="a pod"),
        pytest.param(
            b"/container/%s/8080" % TOKEN, b"http://10.0.0.1:8080/y", OWN + b"/y", id="container"
        ),
    ],
)
def test_a_location_of_the_upstream_s_own(target: bytes, url: bytes, expected: bytes) -> None:
    """It gets the client's scheme and authority, and the prefix that was taken away."""
    sent = _forward(target)
    assert expected == mend(b"location", url, sent)
    assert [expected] == values(answer_fields(302, [(b"location", url)], sent), b"Location")


@pytest.mark.parametrize(
    ("target", "url"),
    [
        pytest.param(b"/x", b"/y", id="a path"),
        pytest.param(b"/console/x", b"/y", id="a path below a prefix"),
        pytest.param(b"/x", b"y?z", id="a relative path"),
        pytest.param(b"/x", b"", id="nothing"),
        pytest.param(b"/x", b"https://website/y", id="another scheme"),
        pytest.param(b"/x", b"http://website:81/y", id="another port"),
        pytest.param(b"/x", b"http://website.example/y", id="a longer name"),
        pytest.param(b"/x", b"http://u@website/y", id="user information"),
        pytest.param(b"/x", b"http://elsewhere/http://website/", id="somewhere else"),
        pytest.param(b"/x", b"ftp://website/y", id="no scheme of ours"),
        pytest.param(b"/x", b"https://desk.example/y", id="the client's own already"),
        pytest.param(b"/filer", b"http://10.0.0.1/filer/", id="the pod's other port"),
        pytest.param(b"/filer", b"http://10.0.0.2:29783/filer/", id="another pod"),
        pytest.param(b"/x", b"http://\xff/", id="no text"),
    ],
)
def test_never_mends(target: bytes, url: bytes) -> None:
    """Any other Location stays as it is."""
    assert url == mend(b"location", url, _forward(target))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"5", b"5", id="no URL"),
        pytest.param(b"5; url=/y", b"5; url=/y", id="a path"),
        pytest.param(b"5; url=http://console/y", b"5; url=%s/console/y" % OWN, id="a URL"),
        pytest.param(b"0;URL='http://console/y'", b"0;URL='%s/console/y'" % OWN, id="quoted"),
        pytest.param(b'0; Url = "http://console/"', b'0; Url = "%s/console/"' % OWN, id="spaces"),
        pytest.param(b"0; url=http://x/", b"0; url=http://x/", id="somewhere else"),
        pytest.param(b"0; go=http://console/", b"0; go=http://console/", id="no url"),
    ],
)
def test_a_refresh(value: bytes, expected: bytes) -> None:
    """Its URL is mended as a Location is."""
    sent = _forward(b"/console/x")
    assert [expected] == values(answer_fields(200, [(b"Refresh", value)], sent), b"refresh")


def test_an_ipv6_upstream() -> None:
    """IPv6 is known in any spelling."""
    sent = WEBSITE._replace(server=Server(b"http", "2001:db8::1", 8000))
    assert mend(b"location", b"http://[2001:DB8:0::1]:8000/y", sent) == OWN + b"/y"


def test_an_upstream_without_an_authority() -> None:
    """A server whose name no URL can hold is never recognised."""
    sent = WEBSITE._replace(server=Server(b"http", "a b", 80))
    assert mend(b"location", b"http://a b/y", sent) == b"http://a b/y"


def test_a_client_that_named_no_host() -> None:
    """HTTP/1.0 without a Host: a path is all that can be said."""
    sent = forward(ROUTER, make_head(b"/console/x", version=HTTP_10, host=None))
    assert mend(b"location", b"http://console/y", sent) == b"/console/y"


_NAMES = st.sampled_from(
    [b"Location", b"Refresh", b"Connection", b"X-Frame-Options", b"Server", b"X-Accel-Redirect"]
)
_FILER = _forward(b"/filer")
_VALUES = st.sampled_from(
    [b"http://10.0.0.1:29783/", b"//10.0.0.1:29783", b"0;url=http://10.0.0.1:29783/x", b"x-a"]
)


@given(
    st.integers(100, 599),
    st.lists(
        st.tuples(_NAMES | st.binary(max_size=6), _VALUES | st.binary(max_size=9)), max_size=6
    ),
)
def test_any_fields_give_an_answer(status: int, fields: list[Field]) -> None:
    """Both security fields are there, nothing hop-by-hop is, and no Location names the pod."""
    sent = answer_fields(status, fields, _FILER)
    names = {name.lower() for name, _ in sent}
    assert {b"x-frame-options", b"x-xss-protection"} <= names
    assert not {b"server", b"content-length", b"transfer-encoding", b"x-accel-redirect"} & names
    assert (b"connection" in names) is (status == 101)
    assert not any(
        value.removeprefix(b"http:").startswith(b"//10.0.0.1:29783")
        for value in values(sent, b"location")
    )
