"""The location table, held against a copy of it that is written by hand."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.locations import BadLocation, Location
from route_addon.core.messages import HTTP_10, Forward
from route_addon.core.table import PORTS, ROWS, Row, build_locations, compile_row
from tests.core.heads import (
    HOST,
    TLS_CLIENT,
    decide,
    forward,
    make_head,
    make_router,
    refusal,
    values,
)
from tests.minting import mint

MIB = 1024 * 1024

# kind, upstream, token sources (query, header, cookie, path), path sent, Host sent,
# headers, body, body limit in MiB, answer within seconds, location
TABLE = """
exact  |here     |-  |as sent        |client     |P |drop   |1   |60  |/healthz
exact  |here     |-  |as sent        |client     |P |drop   |1   |60  |/node
exact  |pod:6081 |qhc|/              |target:port|WS|stream |1   |60  |/websockify
exact  |pod:29787|qhc|/              |target:port|WS|stream |1   |60  |/signalling
prefix |pod:29784|qhc|as sent        |target:port|WS|stream |1   |1800|/broadcast
exact  |pod:29788|qhc|/              |target:port|WS|stream |1   |60  |/sound
exact  |pod:29788|qhc|/              |target:port|WS|stream |1   |60  |/sound/
exact  |pod:29789|qhc|/              |target:port|WS|stream |1   |60  |/microphone
exact  |pod:29789|qhc|/              |target:port|WS|stream |1   |60  |/microphone/
exact  |pod:29790|qhc|/              |target:port|WS|stream |1   |60  |/gamepad
exact  |pod:29790|qhc|/              |target:port|WS|stream |1   |60  |/gamepad/
prefix |pod:29781|qhc|as sent        |target:port|WS|stream |1   |1800|/terminals/
pattern|pod:29781|hc |as sent        |target:port|P |stream |1   |60  |/terminals/{id}/size
exact  |pod:29781|hc |as sent        |target:port|P |stream |1   |60  |/terminals
prefix |pod:29783|hc |as sent        |target:port|P |collect|8192|60  |/filer
prefix |pod:29782|hc |as sent        |target:port|P |collect|1   |60  |/printerfiler
prefix |pod:29786|hc |as sent        |client     |P |collect|8   |60  |/spawner
prefix |pod:29785|hc |as sent        |target:port|P |collect|1   |60  |/snapshot
pattern|pod:port|p|/{rest}|client|WS|stream|1|60|/container/{token}/{port}/{rest}
pattern|pod:port |p  |/, query kept  |client     |WS|stream |1   |60  |/container/{token}/{port}
pattern|pod:port |hc |as sent        |client     |P |stream |1   |60  |/container/{port}
exact  |pyos     |-  |as sent        |client     |P |collect|1   |600 |/API/composer/launchdesktop
prefix |pyos     |-  |as sent        |client     |P |collect|16  |360 |/API/manager/image
prefix |pyos     |-  |as sent        |client     |P |collect|1   |360 |/API
prefix |pyos     |-  |as sent        |client     |P |collect|1   |360 |/status
prefix |pyos     |-  |as sent        |client     |P |collect|1   |360 |/moauth
prefix |pyos     |-  |as sent        |client     |P |collect|1   |360 |/fauth
prefix |pyos     |-  |as sent        |client     |P |collect|1   |360 |/gauth
prefix |pyos     |-  |as sent        |client     |P |collect|1   |360 |/oauth
prefix |pyos     |-  |as sent        |client     |P |collect|1   |360 |/autologin
prefix |console  |-  |prefix replaced|client     |P |collect|1   |60  |/console
prefix |speedtest|-  |prefix replaced|upstream   |P |stream |256 |60  |/speedtest
prefix |here     |-  |as sent        |client     |P |drop   |1   |60  |/.well-known/acme-challenge/
prefix |website  |-  |as sent        |upstream   |P |collect|1   |60  |/
"""

_SOURCES = {"q": "query", "h": "header", "c": "cookie", "p": "path", "-": ""}

type Columns = tuple[str, str, str, int, tuple[str, ...], str, str, str, str, int, float]


def _parse(line: str) -> Columns:
    kind, server, token, path, host, headers, body, limit, within, location = (
        column.strip() for column in line.split("|")
    )
    upstream, _, port = server.partition(":")
    sources = tuple(filter(None, map(_SOURCES.__getitem__, token)))
    return (
        location,
        kind,
        upstream,
        int(port) if port.isdigit() else 0,
        sources,
        path,
        host,
        headers,
        body,
        int(limit) * MIB,
        float(within),
    )


EXPECTED = list(map(_parse, TABLE.strip().splitlines()))

BY_TEXT = {location.location: location for location in build_locations().all}


def _columns(location: Location) -> Columns:
    return (
        location.location,
        location.kind,
        location.upstream,
        location.port,
        location.token,
        location.path,
        location.host,
        location.headers,
        location.body,
        location.body_limit_bytes,
        location.answer_within_s,
    )


def test_there_is_no_other_row() -> None:
    """The table has these locations, in this order among its patterns, and no other."""
    assert [row[0] for row in EXPECTED] == [row.location for row in ROWS]
    assert len(BY_TEXT) == len(EXPECTED)


@pytest.mark.parametrize("expected", [pytest.param(row, id=row[0]) for row in EXPECTED])
def test_row(expected: Columns) -> None:
    """Every column of every row holds what it should."""
    assert expected == _columns(BY_TEXT[expected[0]])


@pytest.mark.parametrize(
    ("location", "answer"),
    [("/healthz", "healthz"), ("/node", "node"), ("/.well-known/acme-challenge/", "acme")],
)
def test_answers_made_here(location: str, answer: str) -> None:
    """Three locations have no upstream."""
    assert answer == BY_TEXT[location].answer
    assert sum(1 for known in BY_TEXT.values() if known.answer) == 3


def test_the_port_table() -> None:
    """The named ports are those of the pods in the field."""
    assert PORTS == {
        "pulseaudio_http": 4714,
        "ws_tcp_bridge": 6081,
        "xterm": 29781,
        "printerfile_service": 29782,
        "file_service": 29783,
        "broadcast": 29784,
        "snapshot_service": 29785,
        "spawner_service": 29786,
        "signalling_service": 29787,
        "sound_service": 29788,
        "microphone_service": 29789,
        "gamepad_service": 29790,
    }


def test_a_port_can_be_set_otherwise() -> None:
    """The rows name ports, so another number for a name moves its locations."""
    locations = build_locations({**PORTS, "file_service": 1234})
    match = locations.match(b"/filer/x")
    assert match is not None
    assert match[0].port == 1234


TOKEN = mint("10.0.0.1")

# request path, server, path sent for a request with the query a=1&b, Host sent
BEHAVIOUR = """
/websockify                 10.0.0.1:6081  /                                 10.0.0.1:6081
/signalling                 10.0.0.1:29787 /                                 10.0.0.1:29787
/broadcast                  10.0.0.1:29784 /broadcast?a=1&b                  10.0.0.1:29784
/broadcast/x                10.0.0.1:29784 /broadcast/x?a=1&b                10.0.0.1:29784
/sound                      10.0.0.1:29788 /                                 10.0.0.1:29788
/sound/                     10.0.0.1:29788 /                                 10.0.0.1:29788
/microphone                 10.0.0.1:29789 /                                 10.0.0.1:29789
/microphone/                10.0.0.1:29789 /                                 10.0.0.1:29789
/gamepad                    10.0.0.1:29790 /                                 10.0.0.1:29790
/gamepad/                   10.0.0.1:29790 /                                 10.0.0.1:29790
/terminals/websocket/1      10.0.0.1:29781 /terminals/websocket/1?a=1&b      10.0.0.1:29781
/terminals/1/size           10.0.0.1:29781 /terminals/1/size?a=1&b           10.0.0.1:29781
/terminals                  10.0.0.1:29781 /terminals?a=1&b                  10.0.0.1:29781
/filer/d/e                  10.0.0.1:29783 /filer/d/e?a=1&b                  10.0.0.1:29783
/printerfiler/              10.0.0.1:29782 /printerfiler/?a=1&b              10.0.0.1:29782
/spawner/x                  10.0.0.1:29786 /spawner/x?a=1&b                  desk.example:8080
/snapshot                   10.0.0.1:29785 /snapshot?a=1&b                   10.0.0.1:29785
/container/{token}/8080/x/y 10.0.0.1:8080  /x/y?a=1&b                        desk.example:8080
/container/{token}/8080/    10.0.0.1:8080  /?a=1&b                           desk.example:8080
/container/{token}/08080    10.0.0.1:8080  /?a=1&b                           desk.example:8080
/container/8080             10.0.0.1:8080  /container/8080?a=1&b             desk.example:8080
/API/composer/launchdesktop pyos:8000      /API/composer/launchdesktop?a=1&b desk.example:8080
/API/manager/image/x        pyos:8000      /API/manager/image/x?a=1&b        desk.example:8080
/API/x                      pyos:8000      /API/x?a=1&b                      desk.example:8080
/status                     pyos:8000      /status?a=1&b                     desk.example:8080
/moauth                     pyos:8000      /moauth?a=1&b                     desk.example:8080
/fauth                      pyos:8000      /fauth?a=1&b                      desk.example:8080
/gauth                      pyos:8000      /gauth?a=1&b                      desk.example:8080
/oauth                      pyos:8000      /oauth?a=1&b                      desk.example:8080
/autologin                  pyos:8000      /autologin?a=1&b                  desk.example:8080
/console                    console:80     /?a=1&b                           desk.example:8080
/console/                   console:80     /?a=1&b                           desk.example:8080
/console/x/y                console:80     /x/y?a=1&b                        desk.example:8080
/speedtest                  speedtest:80   /?a=1&b                           speedtest
/speedtest/x                speedtest:80   /x?a=1&b                          speedtest
/                           website:80     /?a=1&b                           website
/index.html                 website:80     /index.html?a=1&b                 website
"""


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=line.split()[0]) for line in BEHAVIOUR.strip().splitlines()]
)
def test_what_a_row_sends(line: str) -> None:
    """Every row has its server, its path, its Host; a query token is taken out of the query."""
    target, *expected = line.encode().replace(b"{token}", TOKEN).split()
    router = make_router()
    sent = forward(router, make_head(target + b"?a=1&b", (b"ABCAuthorization", TOKEN)))
    assert expected == [sent.server.host_and_port, sent.path, sent.host]
    if "query" in sent.location.token:
        sent = forward(router, make_head(target + b"?a=1&JWT_Token=%s&b" % TOKEN))
        assert expected == [sent.server.host_and_port, sent.path, sent.host]


SAMPLES = {
    row[0]: row[0]
    .replace("{id}", "1")
    .replace("{port}", "8080")
    .replace("{rest}", "x")
    .replace("{token}", TOKEN.decode())
    .encode()
    for row in EXPECTED
    if row[2] != "here"
}


@pytest.mark.parametrize("location", SAMPLES)
def test_the_headers_of_a_row(location: str) -> None:
    """Every row sets the P fields; only WS rows let an opening handshake through."""
    head = make_head(
        SAMPLES[location],
        (b"ABCAuthorization", TOKEN),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        peer=TLS_CLIENT,
    )
    sent = forward(make_router(), head)
    assert sent.fields[:6] == [
        (b"X-Real-IP", b"203.0.113.7"),
        (b"X-Forwarded-For", b"203.0.113.7"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Host", b"desk.example:8080"),
        (b"X-Forwarded-Port", b"8443"),
        (b"X-Request-ID", b"made-by-us"),
    ]
    is_ws = next(row for row in EXPECTED if row[0] == location)[7] == "WS"
    assert is_ws is sent.is_websocket
    assert ([b"websocket"] if is_ws else []) == values(sent.fields, b"upgrade")
    assert ([b"Upgrade"] if is_ws else []) == values(sent.fields, b"connection")


@pytest.mark.parametrize("location", SAMPLES)
def test_the_limit_of_a_row(location: str) -> None:
    """The limit passes; one byte more is a 413, before any token is looked at."""
    limit = next(row for row in EXPECTED if row[0] == location)[9]
    router = make_router()
    fields = (b"ABCAuthorization", TOKEN)
    at_limit = make_head(SAMPLES[location], fields, method=b"POST", length=limit)
    assert isinstance(decide(router, at_limit), Forward)
    over = make_head(SAMPLES[location], method=b"POST", length=limit + 1)
    assert refusal(router, over) == (413, "content_too_large")


@pytest.mark.parametrize("location", [row[0] for row in EXPECTED if row[4]])
def test_the_token_sources_of_a_row(location: str) -> None:
    """A token opens the way from the named sources, and from no other."""
    sources = next(row for row in EXPECTED if row[0] == location)[4]
    path = SAMPLES[location].replace(TOKEN, b"t")
    tries = {
        "query": make_head(path + b"?jwt_token=" + TOKEN),
        "header": make_head(path, (b"ABCAuthorization", TOKEN)),
        "cookie": make_head(path, (b"Cookie", b"jwt_token=" + TOKEN)),
        "path": make_head(SAMPLES[location]),
    }
    for source, head in tries.items():
        decision = decide(make_router(), head)
        if source in sources:
            assert isinstance(decision, Forward)
            assert source == decision.token_source
        else:
            assert refusal(make_router(), head)[0] == 401


def test_the_client_s_host_falls_back_to_the_upstream_s() -> None:
    """HTTP/1.0 without a Host: the upstream gets its own name."""
    head = make_head(b"/API/x", version=HTTP_10, host=None)
    assert forward(make_router(), head).host == b"pyos:8000"
    head = make_head(b"/container/%s/8080" % TOKEN, version=HTTP_10, host=None)
    assert forward(make_router(), head).host == b"10.0.0.1:8080"


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"/filer", b"/filer", b"[2001:db8::1]:29783"),
        (b"/container/80", b"/container/80", HOST[1].lower()),
    ],
)
def test_an_ipv6_target(target: bytes, path: bytes, host: bytes) -> None:
    """``target:port`` puts IPv6 in brackets."""
    head = make_head(target, (b"ABCAuthorization", mint("2001:db8::1")))
    sent = forward(make_router(), head)
    assert (path, host) == (sent.path, sent.host)


def test_a_row_of_one_s_own() -> None:
    """Rows from a configuration file stand beside the table; their columns may hold units."""
    row = Row(
        "/s16_1_44100",
        "exact",
        "pod:pulseaudio_http",
        ("header",),
        "as sent",
        "target:port",
        "P",
        "stream",
        "2.5 KiB",
        "2 min",
    )
    match = build_locations(PORTS, (row,)).match(b"/s16_1_44100")
    assert match is not None
    assert (
        match[0].port,
        match[0].body_limit_bytes,
        match[0].answer_within_s,
    ) == (4714, 2560, 120.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1 B", 1), ("1KiB", 1024), ("2 mib", 2 * MIB), ("1 GiB", 1024 * MIB), (77, 77)],
)
def test_body_limits(text: str | int, expected: int) -> None:
    """A body limit is bytes, or text with a unit in any case."""
    row = Row("/x", "prefix", "website", body_limit=text)
    assert expected == compile_row(row, PORTS).body_limit_bytes


@pytest.mark.parametrize(
    ("text", "expected"), [("1 s", 1.0), ("1.5 min", 90.0), ("1 H", 3600.0), (0.5, 0.5)]
)
def test_answer_times(text: str | float, expected: float) -> None:
    """A time is seconds, or text with a unit in any case."""
    row = Row("/x", "prefix", "website", answer_within=text)
    assert expected == compile_row(row, PORTS).answer_within_s


GOOD = Row("/x", "prefix", "pod:xterm", ("header",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"location": "x"}, "is not a canonical path", id="no slash at the start"),
        pytest.param({"location": ""}, "is not a canonical path", id="nothing"),
        pytest.param({"location": "/a//b"}, "is not a canonical path", id="two slashes"),
        pytest.param({"location": "/a/../b"}, "is not a canonical path", id="dots"),
        pytest.param({"location": "/%41"}, "is not a canonical path", id="an escaped letter"),
        pytest.param({"location": "/a?b"}, "is not a canonical path", id="a query"),
        pytest.param({"location": "/a?"}, "is not a canonical path", id="an empty query"),
        pytest.param({"location": "/a#b"}, "is not a canonical path", id="a fragment"),
        pytest.param({"location": "/a b"}, "is not a canonical path", id="a space"),
        pytest.param({"location": "/é"}, "is not a canonical path", id="outside ASCII"),
        pytest.param({"location": "http://h/a"}, "is not a canonical path", id="absolute-form"),
        pytest.param({"location": "/a/{x}"}, "kind must be 'pattern'", id="a pattern as prefix"),
        pytest.param(
            {"location": "/a/{X}", "kind": "pattern"}, "small letters in braces", id="{X}"
        ),
        pytest.param(
            {"location": "/a/{x", "kind": "pattern"}, "small letters in braces", id="an open brace"
        ),
        pytest.param({"location": "/a/x}"}, "small letters in braces", id="a closing brace"),
        pytest.param({"kind": "regex"}, "kind 'regex' is none of 'exact', 'pattern'", id="kind"),
        pytest.param({"upstream": "pod:ssh"}, "names no port of the port table", id="port name"),
        pytest.param({"upstream": "pod"}, "names no port of the port table", id="no port name"),
        pytest.param({"upstream": "pod:{port}"}, "needs {port}", id="{port} that is not there"),
        pytest.param(
            {"location": "/x/{port}", "kind": "pattern"},
            "'pod:{port}' needs {port}",
            id="{port} that nobody reads",
        ),
        pytest.param(
            {"upstream": "here:rce", "token": ()}, "no answer 'here:rce' is known", id="answer"
        ),
        pytest.param({"upstream": "here"}, "no answer 'here' is known", id="no answer"),
        pytest.param(
            {"upstream": "website:80", "token": ()},
            "upstream 'website:80' has a ':'",
            id="an upstream with a port",
        ),
        pytest.param({"token": ("body",)}, "must name each of", id="an unknown source"),
        pytest.param({"token": ("header", "header")}, "once at most", id="a source twice"),
        pytest.param({"token": "header"}, "must name each of", id="a source that is no list"),
        pytest.param({"token": ()}, "upstream 'pod' needs a token", id="a pod for everybody"),
        pytest.param(
            {"upstream": "website"}, "only upstream 'pod' reads a token", id="a token for nobody"
        ),
        pytest.param({"token": ("path",)}, "token source 'path' needs {token}", id="no {token}"),
        pytest.param(
            {"location": "/x/{token}", "kind": "pattern"},
            "token source 'path' needs {token}",
            id="{token} that nobody reads",
        ),
        pytest.param({"path": "/x"}, "path '/x' is none of", id="path"),
        pytest.param({"path": "/{rest}"}, "path '/{rest}' needs {rest}", id="no {rest}"),
        pytest.param(
            {"path": "prefix replaced", "kind": "exact"}, "is for kind 'prefix'", id="no prefix"
        ),
        pytest.param({"host": "h"}, "host 'h' is none of", id="host"),
        pytest.param(
            {"host": "target:port", "upstream": "website", "token": ()},
            "host 'target:port' is for upstream 'pod'",
            id="no target",
        ),
        pytest.param({"headers": "Q"}, "headers 'Q' is none of 'P', 'WS'", id="headers"),
        pytest.param({"body": "keep"}, "body 'keep' is none of", id="body"),
        pytest.param({"body": "drop"}, "is for answers made here", id="a dropped body"),
        pytest.param(
            {"upstream": "here:node", "token": ()}, "is for answers made here", id="a kept body"
        ),
        pytest.param({"body_limit": 0}, "must be a number above 0", id="no body"),
        pytest.param({"body_limit": -1}, "must be a number above 0", id="a negative limit"),
        pytest.param({"body_limit": True}, "must be a number above 0", id="a limit of true"),
        pytest.param({"body_limit": "1"}, "a unit of b, kib, mib, gib", id="text without a unit"),
        pytest.param({"body_limit": "1 MB"}, "a unit of b, kib, mib, gib", id="another unit"),
        pytest.param({"body_limit": "1 s"}, "a unit of b, kib, mib, gib", id="a time as limit"),
        pytest.param({"body_limit": "x"}, "a unit of b, kib, mib, gib", id="a word as limit"),
        pytest.param({"body_limit": None}, "must be a number above 0", id="no limit"),
        pytest.param({"body_limit": "9" * 30 + " B"}, "must be a number", id="a huge limit"),
        pytest.param({"answer_within": 0}, "must be a number above 0", id="no time"),
        pytest.param({"answer_within": float("nan")}, "must be a number", id="not a number"),
        pytest.param({"answer_within": float("inf")}, "must be a number", id="for ever"),
        pytest.param({"answer_within": "1 MiB"}, "a unit of s, min, h", id="a size as time"),
    ],
)
def test_never_accepts(changes: dict[str, Any], message: str) -> None:
    """A bad row dies at build, and the text names its location and the fault."""
    row = GOOD._replace(**changes)
    with pytest.raises(BadLocation) as caught:
        build_locations(PORTS, (row,))
    assert message in str(caught.value)
    assert repr(row.location) in str(caught.value)


def test_a_location_twice() -> None:
    """A row of one's own cannot stand in the place of one of the table."""
    with pytest.raises(BadLocation, match=r"'/filer' \(prefix\) stands there twice"):
        build_locations(PORTS, (Row("/filer", "prefix", "website"),))


_TEXTS = st.text("/{}abport.%?#", max_size=12)
_ROWS = st.builds(
    Row,
    _TEXTS | _TEXTS.map(lambda text: "/" + text),
    st.sampled_from(["exact", "pattern", "prefix"]) | st.text(max_size=3),
    st.sampled_from(["pod:xterm", "pod:{port}", "pod:", "here:node", "website"]) | st.text(),
    st.lists(st.sampled_from(["query", "header", "cookie", "path", "x"])).map(tuple),
    body_limit=st.integers() | st.text(max_size=6),
    answer_within=st.floats() | st.text(max_size=6),
)


@given(_ROWS)
def test_any_row_compiles_or_is_refused(row: Row) -> None:
    """A row gives a location that says what the row says, or a BadLocation."""
    try:
        location = compile_row(row, PORTS)
    except BadLocation:
        return
    assert (row.location, row.kind, row.token) == (
        location.location,
        location.kind,
        location.token,
    )
    assert (location.upstream == "pod") is bool(location.token)
