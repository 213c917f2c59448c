"""Choosing a location: exact, then patterns, then the longest prefix, by whole segments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.errors import BadTarget
from route_addon.core.locations import (
    EXACT,
    NO_CAPTURES,
    PATTERN,
    PREFIX,
    BadLocation,
    Kind,
    Location,
    Locations,
    compile_pattern,
    first_segment,
)
from route_addon.core.table import build_locations

TABLE = build_locations()


def _match(locations: Locations, path: bytes) -> str | None:
    match = locations.match(path)
    return None if match is None else match[0].location


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(b"/healthz", "/healthz", id="exact"),
        pytest.param(b"/healthz/", "/", id="exact: not with a slash behind"),
        pytest.param(b"/healthzz", "/", id="exact: not with more letters"),
        pytest.param(b"/node", "/node", id="node"),
        pytest.param(b"/node/", "/", id="node/"),
        pytest.param(b"/websockify", "/websockify", id="websockify"),
        pytest.param(b"/websockify/", "/", id="websockify/"),
        pytest.param(b"/websockify/x", "/", id="websockify/x"),
        pytest.param(b"/signalling", "/signalling", id="signalling"),
        pytest.param(b"/signalling/", "/", id="signalling/"),
        pytest.param(b"/broadcast", "/broadcast", id="broadcast"),
        pytest.param(b"/broadcast/x/y", "/broadcast", id="a prefix takes what is below"),
        pytest.param(b"/broadcastx", "/", id="a prefix ends with its segment"),
        pytest.param(b"/sound", "/sound", id="sound"),
        pytest.param(b"/sound/", "/sound/", id="sound with a slash"),
        pytest.param(b"/sound/connexion.mp3", "/", id="a file under sound is the website's"),
        pytest.param(b"/soundfoo", "/", id="soundfoo"),
        pytest.param(b"/microphone", "/microphone", id="microphone"),
        pytest.param(b"/microphone/", "/microphone/", id="microphone with a slash"),
        pytest.param(b"/microphone/x", "/", id="a file under microphone is the website's"),
        pytest.param(b"/gamepad", "/gamepad", id="gamepad"),
        pytest.param(b"/gamepad/", "/gamepad/", id="gamepad with a slash"),
        pytest.param(b"/gamepad/x", "/", id="a file under gamepad is the website's"),
        pytest.param(b"/terminals", "/terminals", id="terminals itself"),
        pytest.param(b"/terminals/", "/terminals/", id="terminals with a slash"),
        pytest.param(b"/terminals/websocket/1", "/terminals/", id="below terminals"),
        pytest.param(b"/terminals/1/size", "/terminals/{id}/size", id="a terminal's size"),
        pytest.param(b"/terminals/1/size/", "/terminals/", id="a size with a slash is below"),
        pytest.param(b"/terminals/1/sizes", "/terminals/", id="sizes is below"),
        pytest.param(b"/terminals/a/b/size", "/terminals/", id="an id is one segment"),
        pytest.param(b"/terminals/a%2Fb/size", "/terminals/{id}/size", id="an escape is data"),
        pytest.param(b"/terminalsx", "/", id="terminalsx"),
        pytest.param(b"/filer", "/filer", id="filer"),
        pytest.param(b"/filer/", "/filer", id="filer with a slash"),
        pytest.param(b"/filerx", "/", id="filerx"),
        pytest.param(b"/Filer", "/", id="case matters"),
        pytest.param(b"/filer%2Fx", "/", id="an escaped slash ends no segment"),
        pytest.param(b"/filer/terminals/1/size", "/filer", id="patterns are anchored"),
        pytest.param(b"/printerfiler/x", "/printerfiler", id="printerfiler"),
        pytest.param(b"/spawner/x", "/spawner", id="spawner"),
        pytest.param(b"/snapshot/x", "/snapshot", id="snapshot"),
        pytest.param(b"/container", "/", id="container itself is the website's"),
        pytest.param(b"/container/8080", "/container/{port}", id="a port"),
        pytest.param(b"/container/8080/", "/", id="a port with a slash is the website's"),
        pytest.param(b"/container/8080/x", "/", id="a port cannot be a token and x a port"),
        pytest.param(b"/container/x", "/", id="a port is digits"),
        pytest.param(b"/container/t/80", "/container/{token}/{port}", id="token and port"),
        pytest.param(b"/container/80/80", "/container/{token}/{port}", id="a token of digits"),
        pytest.param(b"/container/t/80/", "/container/{token}/{port}/{rest}", id="an empty rest"),
        pytest.param(b"/container/t/80/a/b", "/container/{token}/{port}/{rest}", id="a rest"),
        pytest.param(b"/container/t/80x/a", "/", id="80x is no port"),
        pytest.param(b"/container/t/+80", "/", id="+80 is no port"),
        pytest.param(b"/x/container/8080", "/", id="container is anchored at the start"),
        pytest.param(b"/API", "/API", id="API"),
        pytest.param(b"/API/x", "/API", id="below API"),
        pytest.param(b"/APIx", "/", id="APIx"),
        pytest.param(b"/api/x", "/", id="api in small letters"),
        pytest.param(b"/API/container/t/80/y", "/API", id="a container path below API is pyos'"),
        pytest.param(b"/API/composer/launchdesktop", "/API/composer/launchdesktop", id="launch"),
        pytest.param(b"/API/composer/launchdesktop/", "/API", id="launch is exact"),
        pytest.param(b"/API/manager/image", "/API/manager/image", id="image"),
        pytest.param(b"/API/manager/image/x", "/API/manager/image", id="the longest prefix wins"),
        pytest.param(b"/API/manager/images", "/API", id="the longest prefix ends with a segment"),
        pytest.param(b"/status", "/status", id="status"),
        pytest.param(b"/moauth/x", "/moauth", id="moauth"),
        pytest.param(b"/fauth", "/fauth", id="fauth"),
        pytest.param(b"/gauth", "/gauth", id="gauth"),
        pytest.param(b"/oauth", "/oauth", id="oauth"),
        pytest.param(b"/oauth2", "/", id="oauth2"),
        pytest.param(b"/autologin", "/autologin", id="autologin"),
        pytest.param(b"/console", "/console", id="console"),
        pytest.param(b"/console/x", "/console", id="below console"),
        pytest.param(b"/consolefoo", "/", id="consolefoo"),
        pytest.param(b"/speedtest/x", "/speedtest", id="below speedtest"),
        pytest.param(
            b"/.well-known/acme-challenge/x", "/.well-known/acme-challenge/", id="a challenge"
        ),
        pytest.param(b"/.well-known/acme-challenge", "/", id="challenges end with a slash"),
        pytest.param(b"/.well-known/x", "/", id="well known, but not a challenge"),
        pytest.param(b"/", "/", id="the root"),
        pytest.param(b"/x", "/", id="everything else"),
    ],
)
def test_the_table(path: bytes, expected: str) -> None:
    """Each path belongs to one location of the table."""
    assert expected == _match(TABLE, path)


@pytest.mark.parametrize(
    ("path", "captures"),
    [
        pytest.param(b"/filer/x", NO_CAPTURES, id="a prefix holds nothing"),
        pytest.param(b"/node", NO_CAPTURES, id="an exact location holds nothing"),
        pytest.param(b"/terminals/7/size", {"id": b"7"}, id="one placeholder"),
        pytest.param(b"/container/8080", {"port": b"8080"}, id="a port"),
        pytest.param(b"/container/a.b.c/80", {"token": b"a.b.c", "port": b"80"}, id="a token"),
        pytest.param(
            b"/container/t/80/", {"token": b"t", "port": b"80", "rest": b""}, id="an empty rest"
        ),
        pytest.param(
            b"/container/t/080/a/b/",
            {"token": b"t", "port": b"080", "rest": b"a/b/"},
            id="a rest with slashes",
        ),
    ],
)
def test_captures(path: bytes, captures: dict[str, bytes]) -> None:
    """Placeholders hold what stood in their place."""
    match = TABLE.match(path)
    assert match is not None
    assert captures == match[1]


def _locations(*rows: tuple[Kind, str]) -> Locations:
    return Locations(Location(text, kind, "website") for kind, text in rows)


@pytest.mark.parametrize(
    ("rows", "path", "expected"),
    [
        pytest.param(
            [(PREFIX, "/a/1"), (PATTERN, "/a/{x}"), (EXACT, "/a/1")], b"/a/1", EXACT, id="exact"
        ),
        pytest.param([(PREFIX, "/a/1"), (PATTERN, "/a/{x}")], b"/a/1", PATTERN, id="pattern"),
        pytest.param([(PREFIX, "/a"), (PREFIX, "/")], b"/a/1", PREFIX, id="prefix"),
    ],
)
def test_the_order_of_kinds(rows: list[tuple[Kind, str]], path: bytes, expected: Kind) -> None:
    """Exact beats pattern, and pattern beats prefix, wherever they stand."""
    match = _locations(*rows).match(path)
    assert match is not None
    assert expected == match[0].kind


def test_the_first_pattern_wins() -> None:
    """Patterns are tried in the order of the table."""
    rows: list[tuple[Kind, str]] = [(PATTERN, "/a/{x}/{rest}"), (PATTERN, "/a/{x}/{y}")]
    assert _match(_locations(*rows), b"/a/1/2") == "/a/{x}/{rest}"
    assert _match(_locations(*reversed(rows)), b"/a/1/2") == "/a/{x}/{y}"


def test_the_longest_prefix_wins() -> None:
    """The order of the table does not matter among prefixes."""
    rows: list[tuple[Kind, str]] = [(PREFIX, "/a"), (PREFIX, "/a/b/c"), (PREFIX, "/a/b")]
    for order in (rows, rows[::-1]):
        assert _match(_locations(*order), b"/a/b/c/d") == "/a/b/c"
        assert _match(_locations(*order), b"/a/b/cd") == "/a/b"
        assert _match(_locations(*order), b"/a/bc") == "/a"


@pytest.mark.parametrize("slash_first", [True, False])
def test_a_prefix_with_a_slash_beats_one_without(slash_first: bool) -> None:
    """``/a/`` takes what is below and leaves ``/a`` itself, whichever stands first."""
    rows: list[tuple[Kind, str]] = [(PREFIX, "/a/"), (PREFIX, "/a")]
    locations = _locations(*(rows if slash_first else reversed(rows)))
    assert _match(locations, b"/a") == "/a"
    assert _match(locations, b"/a/") == "/a/"
    assert _match(locations, b"/a/x") == "/a/"


@pytest.mark.parametrize(
    ("rows", "path"),
    [
        pytest.param([(EXACT, "/a")], b"/a/", id="exact: a slash more"),
        pytest.param([(EXACT, "/a")], b"/A", id="exact: another case"),
        pytest.param([(PREFIX, "/a")], b"/ab", id="prefix: within a segment"),
        pytest.param([(PREFIX, "/a")], b"/x/a", id="prefix: not at the start"),
        pytest.param([(PREFIX, "/a/")], b"/a", id="prefix with a slash: without it"),
        pytest.param([(PATTERN, "/a/{x}")], b"/a/", id="pattern: an empty segment"),
        pytest.param([(PATTERN, "/a/{x}")], b"/a/b/c", id="pattern: two segments"),
        pytest.param([(PATTERN, "/a/{x}/b")], b"/a/1/bb", id="pattern: more at the end"),
        pytest.param([(PATTERN, "/a/{x}/b")], b"/z/a/1/b", id="pattern: more at the start"),
        pytest.param([(PATTERN, "/a/{port}")], b"/a/\xd9\xa1", id="pattern: digits are ASCII"),
        pytest.param([(PATTERN, "/a/{x}.b")], b"/a/1xb", id="pattern: a dot is a dot"),
        pytest.param([], b"/", id="no location at all"),
        pytest.param([(PREFIX, "/a")], b"/", id="no location for the root"),
    ],
)
def test_never_matches(rows: list[tuple[Kind, str]], path: bytes) -> None:
    """A path that no location takes has none."""
    assert _locations(*rows).match(path) is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([(EXACT, "/a"), (EXACT, "/a")], "'/a' (exact) stands there twice", id="exact"),
        pytest.param([(PREFIX, "/a"), (PREFIX, "/a")], "twice", id="prefix"),
        pytest.param([(PATTERN, "/a/{x}"), (PATTERN, "/a/{x}")], "twice", id="pattern"),
        pytest.param([(PATTERN, "/{x}/a")], "the first segment must be literal", id="first"),
        pytest.param([(PATTERN, "/a/{x}/{x}")], "{x} cannot stand there", id="a name twice"),
        pytest.param([(PATTERN, "/a/{rest}/{x}")], "{x} cannot stand there", id="behind a rest"),
        pytest.param([(PATTERN, "/a/{rest}/b")], "{rest} stands at the end only", id="rest"),
    ],
)
def test_bad_tables_die_at_build(rows: list[tuple[Kind, str]], message: str) -> None:
    """A location that could never be chosen is refused when the table is built."""
    with pytest.raises(BadLocation) as caught:
        _locations(*rows)
    assert message in str(caught.value)


def test_websockets_are_let_through_by_name() -> None:
    """A location lets opening handshakes through when its headers column says so."""
    assert Location("/a", EXACT, "website", headers="WS").is_websocket
    assert not Location("/a", EXACT, "website", headers="P").is_websocket


def test_one_text_may_have_two_kinds() -> None:
    """``/a`` as exact and as prefix are two locations."""
    assert len(_locations((EXACT, "/a"), (PREFIX, "/a")).all) == 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"/", b""), (b"/a", b"a"), (b"/a/", b"a"), (b"/a/b/c", b"a")],
)
def test_first_segment(path: bytes, expected: bytes) -> None:
    """The first segment is what stands between the first two slashes."""
    assert expected == first_segment(path)


@given(st.binary(max_size=30))
def test_any_path_has_a_location(rest: bytes) -> None:
    """The website takes what no other location does."""
    assert TABLE.match(b"/" + rest) is not None


@given(st.from_regex(r"(/[a-z.]{1,3}|/\{[a-z]{1,3}\}|/\{rest\}){1,4}", fullmatch=True))
def test_any_pattern_compiles_or_is_refused(text: str) -> None:
    """A pattern matches its own text with the placeholders filled in, or is a BadLocation."""
    try:
        pattern = compile_pattern(text)
    except BadLocation:
        return
    filled = {name: b"7" for name in pattern.groupindex}
    path = text.format(**{name: "7" for name in filled}).encode()
    match = pattern.fullmatch(path)
    assert match is not None
    assert filled == match.groupdict()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(b"/", True, id="a page"),
        pytest.param(b"/filer", True, id="a pod's files"),
        pytest.param(b"/websockify", False, id="WebSockets"),
        pytest.param(b"/speedtest", False, id="what measures the line"),
    ],
)
def test_answers_may_be_compressed(path: bytes, expected: bool) -> None:
    """All but those that a coding would hold up or falsify."""
    match = TABLE.match(path)
    assert match is not None and match[0].is_compressed is expected


@pytest.mark.parametrize("rest", [b"x", b"x" * 200], ids=["short", "long"])
def test_a_target_leads_to_a_location(rest: bytes) -> None:
    """The target is taken apart, and its canonical path matched, each time with the same result."""
    for _ in range(2):
        found = TABLE.find(b"/./container/8080?" + rest)
        assert found.target == (b"/container/8080", rest, None)
        assert found.location is not None
        assert (found.location.location, found.captures) == ("/container/{port}", {"port": b"8080"})


def test_a_target_may_lead_nowhere() -> None:
    """Without a location for the root, something matches nothing."""
    found = Locations([Location("/x", EXACT, "here")]).find(b"/y?z")
    assert found == ((b"/y", b"z", None), None, NO_CAPTURES)


def test_a_malformed_target_leads_nowhere() -> None:
    """It is refused again each time."""
    for _ in range(2):
        with pytest.raises(BadTarget):
            TABLE.find(b"/%zz")
