"""Pools as text: what options and the configuration file say of servers, and what is refused."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.config.pool_spec import parse_pool, read_pool
from route_addon.core.messages import Server
from route_addon.core.pool_config import Failure, HealthSpec, PoolSpec, ServerSpec

URL = "must be a URL (http://host:port) or host[:port]"
A = Server(b"http", "a", 8000)
B = Server(b"http", "b", 8000)
C = Server(b"http", "c", 80)
PARAMETERS = "weight=, max_fails=, fail_timeout=, max_conns=, backup, down, resolve"

GOOD: dict[str, tuple[ServerSpec, ...]] = {
    "http://a:8000": (ServerSpec(A),),
    "a:8000": (ServerSpec(A),),
    "http://a:8000,http://b:8000;weight=2;backup": (
        ServerSpec(A),
        ServerSpec(B, weight=2, is_backup=True),
    ),
    " a:8000 , b:8000 ; weight=2 ; backup ": (
        ServerSpec(A),
        ServerSpec(B, weight=2, is_backup=True),
    ),
    "c;resolve": (ServerSpec(C, is_resolved=True),),
    "a:8000,b:8000;down": (ServerSpec(A), ServerSpec(B, is_down=True)),
    "c;max_conns=10": (ServerSpec(C, max_conns=10),),
    "c;max_fails=0": (ServerSpec(C, max_fails=0),),
    "c;max_fails=3;fail_timeout=30": (ServerSpec(C, max_fails=3, fail_timeout_s=30.0),),
    "c;fail_timeout=500ms": (ServerSpec(C, fail_timeout_s=0.5),),
    "c;fail_timeout=2m": (ServerSpec(C, fail_timeout_s=120.0),),
    "c;fail_timeout=1h": (ServerSpec(C, fail_timeout_s=3600.0),),
    "c;fail_timeout=30d": (ServerSpec(C, fail_timeout_s=2592000.0),),
    "c;fail_timeout=0s": (ServerSpec(C, fail_timeout_s=0.0),),
    "https://[::1]:8443,::1": (
        ServerSpec(Server(b"https", "::1", 8443)),
        ServerSpec(Server(b"http", "::1", 80)),
    ),
    "http://a:8000,https://a:8000": (ServerSpec(A), ServerSpec(A._replace(scheme=b"https"))),
}


@pytest.mark.parametrize(("text", "servers"), GOOD.items(), ids=GOOD.keys())
def test_options(text: str, servers: tuple[ServerSpec, ...]) -> None:
    """An option's value: servers, with nginx's parameters."""
    assert parse_pool("pyos", text) == PoolSpec("pyos", servers)


BAD = {
    "": URL,
    "ftp://a": URL,
    "a b": URL,
    "a,": f"'' {URL}",
    ",": f"'' {URL}",
    ";weight=2": f"';weight=2' {URL}",
    "a,ftp://b": f"'ftp://b' {URL}",
    "a,b/path": f"'b/path' {URL}, without a path",
    "a;": f"'a;' has '': must be, once each, of {PARAMETERS}",
    "a;wieght=2": f"'a;wieght=2' has 'wieght=2': must be, once each, of {PARAMETERS}",
    "a;weight": f"'a;weight' has 'weight': must be, once each, of {PARAMETERS}",
    "a;backup=yes": f"'a;backup=yes' has 'backup=yes': must be, once each, of {PARAMETERS}",
    "a;weight=1;weight=2": (
        f"'a;weight=1;weight=2' has 'weight=2': must be, once each, of {PARAMETERS}"
    ),
    "a;weight=0": "'a;weight=0' has weight=0: it must be a whole number from 1 to 65535",
    "a;weight=": "'a;weight=' has weight=: it must be a whole number from 1 to 65535",
    "a;weight=x": "'a;weight=x' has weight=x: it must be a whole number from 1 to 65535",
    "a;weight=1.5": "'a;weight=1.5' has weight=1.5: it must be a whole number from 1 to 65535",
    "a;weight=٣": "'a;weight=٣' has weight=٣: it must be a whole number from 1 to 65535",
    "a;max_fails=-1": "'a;max_fails=-1' has max_fails=-1: it must be a whole number from 0 to 1000",
    "a;max_conns=2000000": (
        "'a;max_conns=2000000' has max_conns=2000000: it must be a whole number from 0 to 1048576"
    ),
    **{
        f"a;fail_timeout={value}": (
            f"'a;fail_timeout={value}' has fail_timeout={value}: it must be a time: seconds, or "
            "500ms, 10s, 1m, at most 30d"
        )
        for value in ("", "-1", "1y", "1.5", "31d", "s", "10 s")
    },
    "a,a": "http://a must stand there once only; give it a weight",
    "a:80;weight=2,http://a/": "http://a must stand there once only; give it a weight",
    "a;backup,b;backup": "must have a server that is not a backup",
    "a;backup": "must have a server that is not a backup",
    "10.0.0.1;resolve": "'10.0.0.1;resolve' has resolve: must be a DNS name, not an address",
    "[::1];resolve": "'[::1];resolve' has resolve: must be a DNS name, not an address",
}


@pytest.mark.parametrize(("text", "fault"), BAD.items(), ids=BAD.keys())
def test_never_options(text: str, fault: str) -> None:
    """Each refusal names the server, and says what is wanted."""
    with pytest.raises(ValueError) as caught:
        parse_pool("pyos", text)
    assert fault == str(caught.value)


@given(st.text())
def test_any_option(text: str) -> None:
    """Any text is a pool with servers, or is refused."""
    try:
        pool = parse_pool("pyos", text)
    except ValueError:
        return
    assert pool.servers


_WORDS = st.sampled_from(
    ["a", "b:1", "http://c", ",", ";", "weight", "=", "3", "backup", "down", "resolve", " ", "ms"]
)


@given(st.lists(_WORDS, max_size=12).map("".join))
def test_any_words(text: str) -> None:
    """What can be read can be written down and read again."""
    try:
        pool = parse_pool("pyos", text)
    except ValueError:
        return
    assert parse_pool("pyos", ",".join(map(_write, pool.servers))) == pool


def _write(spec: ServerSpec) -> str:
    server = spec.server
    flags = (("backup", spec.is_backup), ("down", spec.is_down), ("resolve", spec.is_resolved))
    return ";".join(
        (
            f"{server.scheme.decode()}://{server.host_and_port.decode()}",
            f"weight={spec.weight}",
            *(name for name, is_set in flags if is_set),
        )
    )


def _read(text: str) -> PoolSpec:
    return read_pool("pyos", tomllib.loads(text))


def test_a_whole_table() -> None:
    """Servers as text and as tables, and all that a pool may say."""
    text = """
        method = "least_conn"
        tries = 2
        next_upstream = ["error", "http_503"]
        next_upstream_timeout = "10s"
        queue = 100
        queue_timeout = 1.5
        servers = ["http://a:8000", "http://b:8000;weight=2", {url = "http://c", weight = 3}]
        [health]
        path = "/healthz?x=1"
        interval = "2s"
        status = [200, "300-302"]
        rise = 1
        fall = 4
        """
    assert _read(text) == PoolSpec(
        "pyos",
        (ServerSpec(A), ServerSpec(B, weight=2), ServerSpec(C, weight=3)),
        method="least_conn",
        tries=2,
        next_upstream=frozenset({Failure.ERROR, Failure.HTTP_503}),
        next_upstream_timeout_s=10.0,
        queue=100,
        queue_timeout_s=1.5,
        health=HealthSpec("/healthz?x=1", 2.0, frozenset({200, 300, 301, 302}), 1, 4),
    )


def test_a_server_as_a_table() -> None:
    """A table has all the parameters that a text has."""
    pool = _read(
        """
        [[servers]]
        url = "http://a:8000"
        weight = 3
        max_fails = 2
        fail_timeout = 5
        max_conns = 10
        backup = false
        [[servers]]
        url = "c"
        fail_timeout = "1m"
        backup = true
        down = true
        resolve = true
        """
    )
    assert pool.servers == (
        ServerSpec(A, 3, 2, 5.0, 10),
        ServerSpec(C, 1, 1, 60.0, is_backup=True, is_down=True, is_resolved=True),
    )


def test_defaults() -> None:
    """What is not said is as it is for a pool of an option."""
    assert _read('servers = ["http://a:8000"]') == parse_pool("pyos", "http://a:8000")
    assert _read('servers = ["a"]\nhealth = {path = "/"}').health == HealthSpec("/")
    assert _read('servers = ["a"]\nnext_upstream = []').next_upstream == frozenset()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("204", {204}),
        ("'204'", {204}),
        ("'200-202'", {200, 201, 202}),
        ("[200, 404]", {200, 404}),
        ("['200-201', 204]", {200, 201, 204}),
    ],
)
def test_status(status: str, expected: set[int]) -> None:
    """A status, a range, or a list of them."""
    health = _read(f"servers = ['a']\nhealth = {{path = '/', status = {status}}}").health
    assert health is not None
    assert expected == health.status


SERVERS = "servers = ['a']\n"
TIME = "must be a time: seconds, or 500ms, 10s, 1m, at most 30d"
STATUS = "must be a status, a range (200-399), or a list of them"
HEALTH = "path, interval, status, rise, fall"
KEYS = "servers, method, tries, next_upstream, next_upstream_timeout, queue, queue_timeout, health"
BAD_TABLES: dict[str, str] = {
    "": "key 'upstream.pyos.servers' must be a list of URLs",
    "servers = []": "key 'upstream.pyos.servers' must be a list of URLs",
    "servers = 'a'": "key 'upstream.pyos.servers' must be a list of URLs",
    "servers = [1]": "key 'upstream.pyos.servers[0]' must be a URL, or a table with one",
    "servers = ['a', 'b;x']": (
        f"key 'upstream.pyos.servers[1]' 'b;x' has 'x': must be, once each, of {PARAMETERS}"
    ),
    "servers = ['a', 'ftp://b']": f"key 'upstream.pyos.servers[1]' 'ftp://b' {URL}",
    "servers = ['a,b']": f"key 'upstream.pyos.servers[0]' 'a,b' {URL}",
    "servers = [{}]": "key 'upstream.pyos.servers[0].url' must be a URL",
    "servers = [{url = 1}]": "key 'upstream.pyos.servers[0].url' must be a URL",
    "servers = [{url = 'a;weight=2'}]": f"key 'upstream.pyos.servers[0].url' 'a;weight=2' {URL}",
    "servers = [{url = 'a', x = 1}]": (
        "key 'upstream.pyos.servers[0].x' is unknown; known here: url, weight, max_fails, "
        "fail_timeout, max_conns, backup, down, resolve"
    ),
    "servers = [{url = 'a', weight = true}]": (
        "key 'upstream.pyos.servers[0].weight' must be a whole number from 1 to 65535"
    ),
    "servers = [{url = 'a', backup = 1}]": (
        "key 'upstream.pyos.servers[0].backup' must be true or false"
    ),
    "servers = [{url = '::1', resolve = true}]": (
        "key 'upstream.pyos.servers[0]' has resolve: must be a DNS name, not an address"
    ),
    "servers = ['a', 'a']": (
        "key 'upstream.pyos.servers' http://a must stand there once only; give it a weight"
    ),
    "servers = ['a;backup']": (
        "key 'upstream.pyos.servers' must have a server that is not a backup"
    ),
    SERVERS + "server = 'b'": f"key 'upstream.pyos.server' is unknown; known here: {KEYS}",
    SERVERS + "method = 'random'": "key 'upstream.pyos.method' must be round_robin or least_conn",
    SERVERS + "tries = -1": "key 'upstream.pyos.tries' must be a whole number from 0 to 1000",
    **{
        SERVERS + f"next_upstream = {value}": (
            "key 'upstream.pyos.next_upstream' must be a list of error, timeout, invalid_header, "
            "http_502, http_503, http_504"
        )
        for value in ("'error'", "['non_idempotent']", "[1]", "[['error']]", "{}")
    },
    **{
        SERVERS + f"next_upstream_timeout = {value}": (
            f"key 'upstream.pyos.next_upstream_timeout' {TIME}"
        )
        for value in ("true", "-1", "nan", "inf", "'x'", "[]", "2592001")
    },
    SERVERS + "tries = 0x" + "F" * 5000: (
        "key 'upstream.pyos.tries' must be a whole number from 0 to 1000"
    ),
    SERVERS + "queue = 1.0": "key 'upstream.pyos.queue' must be a whole number from 0 to 65536",
    SERVERS + "queue_timeout = '1w'": f"key 'upstream.pyos.queue_timeout' {TIME}",
    SERVERS + "health = '/'": (
        "key 'upstream.pyos.health' must be a table: {path = ..., interval = 5, rise = 2, fall = 3}"
    ),
    SERVERS + "health = {}": "key 'upstream.pyos.health' must have a path",
    SERVERS + "health = {path = '/', uri = '/'}": (
        f"key 'upstream.pyos.health' has 'uri', which is unknown; known here: {HEALTH}"
    ),
    **{
        SERVERS + f"health = {{path = {value}}}": (
            "key 'upstream.pyos.health' has a path that must be a path that begins with /"
        )
        for value in ("1", "''", "'x'", "'/a b'", '"/\\r\\n"', "'/é'", "'/x#y'")
    },
    SERVERS + "health = {path = '/', interval = 0.5}": (
        "key 'upstream.pyos.health' has a interval that must be a time of one second or more"
    ),
    SERVERS + "health = {path = '/', rise = 0}": (
        "key 'upstream.pyos.health' has a rise that must be a whole number from 1 to 1000"
    ),
    **{
        SERVERS + f"health = {{path = '/', status = {value}}}": (
            f"key 'upstream.pyos.health' has a status that {STATUS}"
        )
        for value in (
            "true",
            "99",
            "600",
            "'2xx'",
            "'300-200'",
            "[]",
            "[true]",
            "1.0",
            "0x" + "F" * 5000,
        )
    },
}


@pytest.mark.parametrize(
    ("text", "fault"), BAD_TABLES.items(), ids=[text[:80] for text in BAD_TABLES]
)
def test_never_tables(text: str, fault: str) -> None:
    """Each refusal names the key, and says what is wanted."""
    with pytest.raises(ValueError) as caught:
        _read(text)
    assert fault == str(caught.value)


_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=4),
        st.sampled_from(["a", "a;weight=2", "10s", "/", "error", "least_conn", 2**64]),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3),
        st.dictionaries(st.sampled_from(["url", "path", "weight", "backup", "x"]), values),
    ),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*KEYS.split(", "), "x"]), _VALUES))
def test_any_table(table: dict[str, Any]) -> None:
    """Any table is a pool with servers, or is refused."""
    try:
        pool = read_pool("pyos", table)
    except ValueError:
        return
    assert pool.servers
