"""What a line says, and what no line ever holds."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.messages import Field
from route_addon.core.observer import Report
from route_addon.serve.access_log.lines import (
    BUILDERS,
    MAX_LINE_BYTES,
    Shown,
    build_combined,
    build_json,
)
from tests.core.heads import PROXY
from tests.serve.reports import ROUTER, TOKEN, Traffic, make_report, make_unread

SHOWN = Shown(lambda: ROUTER.rules.proxies)
WITH_TARGET = Shown(lambda: ROUTER.rules.proxies, target=True)
BEARER = (b"ABCAuthorization", TOKEN)

COMBINED = re.compile(
    r'(?P<client>\S+) - - \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)" (?P<status>\d{3}) (?P<sent>\d+)'
    r' "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"(?P<pairs>( [a-z_]+=\S+)+)\n'
)


def read_json(report: Report, event: str = "request", shown: Shown = SHOWN) -> dict[str, Any]:
    """The JSON line of a report, read."""
    line = build_json(report, event, shown)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    read: dict[str, Any] = json.loads(line)
    return read


def read_combined(report: Report, event: str = "request", shown: Shown = SHOWN) -> dict[str, str]:
    """The combined line of a report, taken apart."""
    match = COMBINED.fullmatch(build_combined(report, event, shown).decode("ascii"))
    assert match is not None
    pairs = dict(pair.split("=", 1) for pair in match["pairs"].split())
    return {**match.groupdict(), **pairs}


def test_a_request() -> None:
    """All that is known of one that was forwarded; its server only when that is asked for."""
    fields = (BEARER, (b"User-Agent", b"curl/8"), (b"Referer", b"https://desk.example/"))
    report = make_report(b"/filer/a?b=c", *fields, received_bytes=1, sent_bytes=2, reached=100.0625)
    report.is_token_cached = False
    assert read_json(report) == {
        "time": "2023-11-14T22:13:20.250Z",
        "event": "request",
        "client": "203.0.113.7",
        "method": "GET",
        "target": "/filer/a?b=c",
        "version": "HTTP/1.1",
        "referer": "https://desk.example/",
        "user_agent": "curl/8",
        "status": 200,
        "slug": None,
        "location": "/filer",
        "upstream": "pod",
        "request_id": "made-by-us",
        "token_source": "header",
        "token_cached": False,
        "http_cache": None,
        "received_bytes": 1,
        "sent_bytes": 2,
        "cut": False,
        "reached_s": 0.0625,
        "first_byte_s": 0.125,
        "duration_s": 0.25,
    }
    assert read_json(report, shown=WITH_TARGET)["server"] == "10.1.2.3:29783"


def test_combined() -> None:
    """What nginx's combined has stands first, word for word; the rest follows in pairs."""
    fields = (BEARER, (b"User-Agent", b"curl/8"))
    line = read_combined(make_report(b"/filer/a", *fields, sent_bytes=2), shown=WITH_TARGET)
    assert line["client"] == "203.0.113.7"
    assert line["time"] == "14/Nov/2023:22:13:20 +0000"
    assert line["request"] == "GET /filer/a HTTP/1.1"
    assert (line["status"], line["sent"]) == ("200", "2")
    assert (line["referer"], line["agent"]) == ("-", "curl/8")
    assert (line["location"], line["upstream"], line["slug"]) == ("/filer", "pod", "-")
    assert (line["token_cached"], line["cut"]) == ("true", "false")
    assert (line["first_byte_s"], line["duration_s"]) == ("0.125", "0.25")
    assert line["server"] == "10.1.2.3:29783"


def test_a_refusal() -> None:
    """It says why; it has no upstream and no server."""
    line = read_json(make_report(b"/filer"), shown=WITH_TARGET)
    assert (line["status"], line["slug"]) == (401, "token_missing")
    assert (line["upstream"], line["server"], line["token_source"]) == (None, None, None)
    assert line["token_cached"] is None


def test_a_head_that_could_not_be_read() -> None:
    """Nothing of it is shown: what the head says is ours."""
    line = read_json(make_unread())
    assert (line["method"], line["target"], line["version"]) == (None, None, None)
    assert (line["status"], line["slug"], line["location"]) == (400, "bad_request", None)
    assert read_combined(make_unread())["request"] == "- - -"


def test_no_answer() -> None:
    """Without one the status is nginx's 000."""
    assert read_combined(make_report(status=0))["status"] == "000"
    assert read_json(make_report(status=0))["status"] is None


def test_a_websocket() -> None:
    """Its first line tells when it opened, its last one what passed and how long it lasted."""
    report = make_report(
        b"/websockify?" + TOKEN, status=101, ended=None, tunnel=Traffic(0, 0), first_byte=100.125
    )
    line = read_json(report, "websocket_open")
    assert (line["time"], line["duration_s"]) == ("2023-11-14T22:13:20.125Z", None)
    report.tunnel = Traffic(7, 9)
    report.ended = 160.0
    line = read_json(report, "websocket_end")
    assert (line["time"], line["duration_s"]) == ("2023-11-14T22:14:20.000Z", 60.0)
    assert (line["received_bytes"], line["sent_bytes"]) == (7, 9)


def test_the_client_behind_a_proxy() -> None:
    """A trusted proxy's word counts, as it does for upstreams; another's does not."""
    said = (b"X-Forwarded-For", b"192.0.2.1, 198.51.100.9")
    report = make_report(b"/", said)
    assert read_json(report)["client"] == "203.0.113.7"
    report.head = report.head._replace(peer=PROXY)
    assert read_json(report)["client"] == "198.51.100.9"


@pytest.mark.parametrize(
    "target",
    [
        b"/filer?jwt_token=" + TOKEN,
        b"/filer?a=b&JWT_token=" + TOKEN + b"&c=d",
        b"/filer?jwt_token=short",
        b"/websockify?" + TOKEN,
        b"/container/" + TOKEN + b"/80/x",
        b"/filer?x=" + TOKEN.replace(b".", b"%2E"),
        b"/filer?x=" + b"".join(b"%%%02X" % byte for byte in TOKEN),
        b"/filer?%6Awt_token=" + TOKEN[:40],
        b"/" + b"x" * 900 + TOKEN,
    ],
    ids=lambda target: target[:24].decode(),
)
@pytest.mark.parametrize("name", BUILDERS)
def test_no_token(name: str, target: bytes) -> None:
    """Wherever it stands and however it is escaped, no part of one that is of use is shown."""
    fields = ((b"Referer", b"https://desk.example" + target), (b"User-Agent", TOKEN))
    line = BUILDERS[name](make_report(target, *fields), "request", WITH_TARGET)
    for part in (*TOKEN.split(b"."), b"short", TOKEN[-32:]):
        assert part[-24:] not in line
    assert b"[token]" in line


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/oauth?code=geheim&b=1", "/oauth?code=[secret]&b=1"),
        (b"/oauth?a=%20&state=geheim", "/oauth?a=%20&state=[secret]"),
        (b"/API?c%6Fde=geheim", "/API?code=[secret]"),
        (
            b"/API?password=geheim#access_token=geheim",
            "/API?password=[secret]#access_token=[secret]",
        ),
        (b"/a?to=https%3A%2F%2Fidp%3Fcode%3Dgeheim", "/a?to=https%3A%2F%2Fidp%3Fcode%3D[secret]"),
        (b"/a?jwt_token=short&code=geheim", "/a?[token]&code=[secret]"),
        (b"/a?estate=1&b=%20", "/a?estate=1&b=%20"),
    ],
)
def test_no_secret_argument(target: bytes, shown: str) -> None:
    """Nor do those of OAuth and the like stand there, in a page that asks neither."""
    read = read_json(make_report(target, (b"Referer", b"https://idp.example" + target)))
    assert (read["target"], read["referer"]) == (shown, "https://idp.example" + shown)


HOSTILE = st.binary(max_size=3000).map(lambda text: text.translate(None, b"\r\n\0"))


@pytest.mark.parametrize("name", BUILDERS)
@given(agent=HOSTILE, referer=HOSTILE, query=HOSTILE, method=st.from_regex(rb"[A-Z][A-Z_-]{0,99}"))
def test_no_injection(name: str, agent: bytes, referer: bytes, query: bytes, method: bytes) -> None:
    """Whatever a client says, it is one short line of ASCII that reads as what it is."""
    fields: tuple[Field, ...] = ((b"User-Agent", agent), (b"Referer", referer))
    report = make_report(b"/")
    report.head = report.head._replace(
        fields=fields, method=method.rstrip(b"\n"), target=b"/?" + query
    )
    line = BUILDERS[name](report, "request", WITH_TARGET)
    assert len(line) <= MAX_LINE_BYTES
    assert re.fullmatch(rb"[ -~]+\n", line)
    if name == "json":
        assert json.loads(line)["location"] == "/"
    else:
        match = COMBINED.fullmatch(line.decode("ascii"))
        assert match is not None
        assert " location=/ " in match["pairs"]


def test_what_is_long_is_cut() -> None:
    """A text is shown up to a bound, and less of it where it takes many escapes."""
    plain = make_report(b"/", (b"User-Agent", b"x" * 5000))
    assert read_json(plain)["user_agent"] == "x" * 1024
    escaped = make_report(b"/", (b"User-Agent", b"\xc3\xa9" * 5000), (b"Referer", b"\xff" * 5000))
    assert read_json(escaped)["user_agent"] == "\xe9" * 48
    assert len(build_combined(escaped, "request", SHOWN)) <= MAX_LINE_BYTES
