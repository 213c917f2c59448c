"""The configuration file: what it may say, and how it is refused."""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from route_addon.config.file import ConfigFile, read_config_file
from route_addon.core.messages import Server
from route_addon.core.pool_config import PoolSpec, ServerSpec
from route_addon.core.table import PORTS, Row, build_locations

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

LOCATION = '[[location]]\nlocation = "/x"\nkind = "exact"\nupstream = "pyos"\n'


def _read(tmp_path: Path, text: str | bytes) -> ConfigFile:
    path = tmp_path / "route.toml"
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return read_config_file(str(path))


def test_whole_file(tmp_path: Path) -> None:
    """Ports, upstreams with their servers, and locations with the columns of the table."""
    config = _read(
        tmp_path,
        """
        [ports]
        notes = 29799
        xterm = 81

        [upstream.wiki]
        servers = ["http://wiki:8080", "wiki-2"]

        [[location]]
        location = "/notes"
        kind = "prefix"
        upstream = "pod:notes"
        token = ["header", "cookie"]
        path = "/"
        host = "target:port"
        headers = "WS"
        body = "stream"
        body_limit = "8 MiB"
        answer_within = 1800.5

        [[location]]
        location = "/wiki"
        kind = "prefix"
        upstream = "wiki"
        """,
    )
    notes = Row(
        location="/notes",
        kind="prefix",
        upstream="pod:notes",
        token=("header", "cookie"),
        path="/",
        host="target:port",
        headers="WS",
        body="stream",
        body_limit="8 MiB",
        answer_within=1800.5,
    )
    servers = (Server(b"http", "wiki", 8080), Server(b"http", "wiki-2", 80))
    expected = ConfigFile(
        str(tmp_path / "route.toml"),
        {"notes": 29799, "xterm": 81},
        {"wiki": PoolSpec("wiki", tuple(map(ServerSpec, servers)))},
        (notes, Row("/wiki", "prefix", "wiki")),
    )
    assert expected == config


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "[ports]\n[upstream]\n", "location = []"]
)
def test_nothing(tmp_path: Path, text: str) -> None:
    """A file may say nothing."""
    assert _read(tmp_path, text) == ConfigFile(str(tmp_path / "route.toml"))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_examples(path: Path) -> None:
    """The examples of the documentation are good, and so is what is commented out in them."""
    text = path.read_text("utf-8")
    config = read_config_file(str(path))
    assert config.rows
    build_locations({**PORTS, **config.ports}, config.rows)
    tables = [line for line in text.splitlines() if line.startswith("# [")]
    assert tables


def test_what_is_commented_out(tmp_path: Path) -> None:
    """So is what the example shows in comments."""
    lines = (EXAMPLES / "route.toml").read_text("utf-8").splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("# ["))
    commented = itertools.takewhile(lambda line: line.startswith("#"), lines[first:])
    config = _read(tmp_path, "\n".join(line.removeprefix("#").strip() for line in commented))
    assert config.ports
    assert config.upstreams
    build_locations({**PORTS, **config.ports}, config.rows)


def test_sound_sinks() -> None:
    """The example's own locations are those of the pod's sound sinks, with the token."""
    config = read_config_file(str(EXAMPLES / "route.toml"))
    locations = build_locations({**PORTS, **config.ports}, config.rows)
    for path in (b"/s16_1_44100", b"/s16_1_22050", b"/u8_1_11025", b"/ulaw8_1_8000"):
        match = locations.match(path)
        assert match is not None
        location, _ = match
        assert (location.upstream, location.port) == ("pod", 4714)
        assert location.token == ("query", "header", "cookie")
        assert location.body == "stream"


BAD = {
    "unknown section": ("[port]", "key 'port' is unknown; known here: ports, upstream, location"),
    "unknown key": ("x = 1", "key 'x' is unknown; known here: ports, upstream, location"),
    "unknown key of an upstream": (
        "[upstream.x]\nserver = 'y'",
        "key 'upstream.x.server' is unknown; known here: servers, method, tries, next_upstream, "
        "next_upstream_timeout, queue, queue_timeout, health",
    ),
    "unknown key of a location": (
        LOCATION + "[[location]]\nprefix = '/x'",
        "key 'location[1].prefix' is unknown; known here: location, kind, upstream, token, path, "
        "host, headers, body, body_limit, answer_within",
    ),
    "ports no table": ("ports = 1", "key 'ports' must be a table"),
    "port no number": ("[ports]\nx = '81'", "key 'ports.x' must be a port, not '81'"),
    "port no whole number": ("[ports]\nx = 81.0", "key 'ports.x' must be a port, not 81.0"),
    "port a boolean": ("[ports]\nx = true", "key 'ports.x' must be a port, not True"),
    "port 0": ("[ports]\nx = 0", "key 'ports.x' must be a port, not 0"),
    "port too large": ("[ports]\nx = 65536", "key 'ports.x' must be a port, not 65536"),
    "port negative": ("[ports]\nx = -1", "key 'ports.x' must be a port, not -1"),
    "upstreams no table": ("upstream = []", "key 'upstream' must be a table"),
    "upstream no table": ("[upstream]\nx = 'y'", "key 'upstream.x' must be a table"),
    "upstreams a list": ("[[upstream]]\nx = 'y'", "key 'upstream' must be a table"),
    "no servers": ("[upstream.x]", "key 'upstream.x.servers' must be a list of URLs"),
    "empty servers": (
        "[upstream.x]\nservers = []",
        "key 'upstream.x.servers' must be a list of URLs",
    ),
    "servers no list": (
        "[upstream.x]\nservers = 'y'",
        "key 'upstream.x.servers' must be a list of URLs",
    ),
    "a server no text": (
        "[upstream.x]\nservers = ['y', 1]",
        "key 'upstream.x.servers[1]' must be a URL, or a table with one",
    ),
    "locations a table": ("[location]", "key 'location' must be a list of tables: [[location]]"),
    "locations a text": (
        "location = '/x'",
        "key 'location' must be a list of tables: [[location]]",
    ),
    "location no table": ("location = ['/x']", "key 'location[0]' must be a table"),
    "no location": (
        "[[location]]\nkind = 'exact'\nupstream = 'x'",
        "key 'location[0].location' is missing",
    ),
    "no kind": (
        "[[location]]\nlocation = '/x'\nupstream = 'x'",
        "key 'location[0].kind' is missing",
    ),
    "no upstream": (
        "[[location]]\nlocation = '/x'\nkind = 'exact'",
        "key 'location[0].upstream' is missing",
    ),
    "token no list": (
        LOCATION + "token = 'header'",
        "key 'location[0].token' must be a list of sources",
    ),
    "a source no text": (
        LOCATION + "token = [1]",
        "key 'location[0].token' must be a list of sources",
    ),
    **{
        f"{key} no text": (LOCATION + f"{key} = 1", f"key 'location[0].{key}' must be text")
        for key in ("path", "host", "headers", "body")
    },
    "location no text": (
        "[[location]]\nlocation = 1\nkind = 'exact'\nupstream = 'x'",
        "key 'location[0].location' must be text",
    ),
}


@pytest.mark.parametrize(("text", "fault"), BAD.values(), ids=list(BAD.keys()))
def test_bad_files(tmp_path: Path, text: str, fault: str) -> None:
    """Each refusal names the key."""
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, text)
    assert fault == str(caught.value)


DUPLICATES = {
    "section": "[ports]\nx = 1\n[ports]\ny = 2",
    "port": "[ports]\nx = 1\nx = 2",
    "upstream": "[upstream.x]\nservers = ['y']\n[upstream.x]\nservers = ['z']",
    "column": LOCATION + "kind = 'prefix'",
}


@pytest.mark.parametrize("text", DUPLICATES.values(), ids=list(DUPLICATES.keys()))
def test_duplicates(tmp_path: Path, text: str) -> None:
    """What stands there twice is refused, with its place."""
    with pytest.raises(ValueError, match=r"\Ais not TOML: .*\(at line [0-9]+, column [0-9]+\)"):
        _read(tmp_path, f"{text}\n")


@pytest.mark.parametrize("text", ["x", "[ports", "x = ", "{}", "[ports]\nx = 01", "x = 'y", "\0"])
def test_never_toml(tmp_path: Path, text: str) -> None:
    """What is not TOML is refused, with the place."""
    with pytest.raises(ValueError, match=r"\Ais not TOML: .*\(at "):
        _read(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"# \xff", id="no character"),
        pytest.param("# é".encode("latin-1"), id="latin-1"),
        pytest.param("[ports]".encode("utf-16"), id="UTF-16"),
    ],
)
def test_never_utf8(tmp_path: Path, text: bytes) -> None:
    """What is not UTF-8 is refused."""
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, text)
    assert str(caught.value) == "is not UTF-8 text"


def test_never_deep(tmp_path: Path) -> None:
    """A file that would take the reader's stack is refused."""
    with pytest.raises(ValueError) as caught:
        _read(tmp_path, "x = " + "[" * 100_000)
    assert str(caught.value) == "is nested too deeply"


@pytest.mark.parametrize("name", ["nosuch.toml", ""])
def test_never_read(tmp_path: Path, name: str) -> None:
    """A file that is not there, or is a folder, is an ``OSError``."""
    with pytest.raises(OSError):
        read_config_file(str(tmp_path / name))


_VALUES = st.recursive(
    st.sampled_from(
        ["1", "0", "true", "1.5", "''", "'x'", "'/x'", "'exact'", "'pod:xterm'", "nan"]
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        values.map("{{ servers = {} }}".format),
    ),
    max_leaves=4,
)
_KEYS = st.sampled_from(
    ["ports", "upstream", "location", "servers", "kind", "token", "x", *Row._fields]
)
_LINES = st.one_of(
    _KEYS.map("[{}]".format),
    _KEYS.map("[[{}]]".format),
    _KEYS.map("[upstream.{}]".format),
    st.tuples(_KEYS, _VALUES).map(" = ".join),
    st.just(LOCATION),
    st.text(max_size=5),
)


@given(st.lists(_LINES, max_size=8).map("\n".join))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text(tmp_path: Path, text: str) -> None:
    """Any text is a file whose types are right, or a ``ValueError``."""
    try:
        config = _read(tmp_path, text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return
    assert all(0 < port < 65536 for port in config.ports.values())
    for name, pool in config.upstreams.items():
        assert pool.name == name
        assert pool.servers
    for row in config.rows:
        assert isinstance(row.location, str)
        assert all(isinstance(source, str) for source in row.token)


@given(st.binary())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(tmp_path: Path, text: bytes) -> None:
    """So are any bytes."""
    try:
        config = _read(tmp_path, text)
    except ValueError:
        return
    assert config == ConfigFile(str(tmp_path / "route.toml"))


@pytest.mark.parametrize("page", ["pools.md"])
def test_examples_in_pages(tmp_path: Path, page: str) -> None:
    """What a page shows of this file can be used as it stands."""
    text = (EXAMPLES.parent / page).read_text("utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        assert _read(tmp_path, block).upstreams
