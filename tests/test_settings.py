"""The values of all options: what they mean, what is refused, and what wins over what."""

import functools
import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.certificates import CertificateFiles
from route_addon.carry.limits import DrainLimits
from route_addon.carry.sockets import ListenAddress
from route_addon.core.forwarded import PRIVATE_NETWORKS
from route_addon.core.keys import fingerprint, is_known
from route_addon.core.messages import Origin, Server
from route_addon.core.table import PORTS
from route_addon.core.targets import TargetPolicy
from route_addon.options import OPTIONS, BadOption, Value, default_values
from route_addon.pool_spec import parse_server
from route_addon.settings import (
    AccessLogSettings,
    Endpoint,
    Settings,
    build_settings,
    split_list,
    stamp_files,
)
from route_addon.workers import ALONE, Worker
from tests.keys import Pems
from tests.minting import KeyPair, key_pair

type Read = Callable[[Settings], Any]
type Build = Callable[..., Settings]

KEYS = ("route_signing_key", "route_payload_key")


def build(
    changes: Mapping[str, Value] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    is_set: Callable[[str], bool] = lambda name: False,
    need_keys: bool = False,
) -> Settings:
    """Settings from the defaults and changes, without keys: to parse one takes a while."""
    values = {**default_values(environment or {}), **(changes or {})}
    return build_settings(values, is_set, need_keys=need_keys)


@pytest.fixture
def build_with_keys(key_options: Mapping[str, str]) -> Build:
    """Builds settings from the defaults, the keys in force, and changes."""
    return lambda changes=MappingProxyType({}), **details: build(
        {**key_options, **changes}, **{"need_keys": True, **details}
    )


def _refusal(changes: Mapping[str, Value], make: Build | None = None, **details: Any) -> str:
    with pytest.raises(BadOption) as caught:
        (make or build)(changes, **details)
    sentence = str(caught.value)
    assert caught.value.name in sentence
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return sentence


def _servers(name: str) -> Read:
    return lambda settings: settings.rules.upstreams[name]


def _port(location: str) -> Read:
    def read(settings: Settings) -> int:
        return next(one.port for one in settings.rules.locations.all if one.location == location)

    return read


def _networks(*texts: str) -> tuple[Any, ...]:
    return tuple(map(ipaddress.ip_network, texts))


def _allowed(settings: Settings) -> object:
    return settings.rules.policy.allow


def _denied(settings: Settings) -> object:
    """What is denied besides what always is."""
    networks, suffixes = settings.rules.policy.deny
    assert suffixes[-1] == "localhost"
    return networks[: -len(TargetPolicy().deny.networks)], suffixes[:-1]


GOOD: list[tuple[str, Value, Read, object]] = [
    ("route_website", "site", _servers("website"), (Server(b"http", "site", 80),)),
    ("route_website", "https://site/", _servers("website"), (Server(b"https", "site", 443),)),
    ("route_pyos", "10.0.0.9:8000", _servers("pyos"), (Server(b"http", "10.0.0.9", 8000),)),
    ("route_pyos", "[fd00::1]:8000", _servers("pyos"), (Server(b"http", "fd00::1", 8000),)),
    ("route_console", "fd00::1", _servers("console"), (Server(b"http", "fd00::1", 80),)),
    ("route_speedtest", "https://x:9", _servers("speedtest"), (Server(b"https", "x", 9),)),
    ("route_node_name", "node-7", lambda settings: settings.rules.node_name, "node-7"),
    ("route_node_name", "é", lambda settings: settings.rules.node_name, "é"),
    ("route_ports", "xterm=81", _port("/terminals"), 81),
    ("route_ports", " file_service=9 , xterm = 81".replace(" = ", "="), _port("/terminals"), 81),
    ("route_ports", "xterm=81,xterm=82", _port("/terminals"), 82),
    ("route_ports", "file_service=9", _port("/terminals"), PORTS["xterm"]),
    ("route_container_ports", "", lambda settings: settings.rules.container_ports, None),
    ("route_container_ports", " ", lambda settings: settings.rules.container_ports, None),
    ("route_container_ports", "80", lambda settings: settings.rules.container_ports, {80}),
    (
        "route_container_ports",
        "80, 9000-9002,65535",
        lambda settings: settings.rules.container_ports,
        {80, 9000, 9001, 9002, 65535},
    ),
    ("route_cookie", "", lambda settings: settings.rules.cookie, b""),
    ("route_cookie", "__Host-jwt", lambda settings: settings.rules.cookie, b"__Host-jwt"),
    ("route_allowed_origins", "", lambda settings: settings.rules.allowed_origins, set()),
    (
        "route_allowed_origins",
        "https://Portal.example, http://x:81/",
        lambda settings: settings.rules.allowed_origins,
        {Origin(b"https", b"portal.example:443"), Origin(b"http", b"x:81")},
    ),
    ("route_console_allow", " ", lambda settings: settings.rules.console_allow, None),
    ("route_console_allow", "none", lambda settings: settings.rules.console_allow, ()),
    (
        "route_console_allow",
        "10.0.0.0/8, ::1",
        lambda settings: settings.rules.console_allow,
        _networks("10.0.0.0/8", "::1"),
    ),
    ("route_trusted_proxies", "none", lambda settings: settings.rules.proxies.networks, ()),
    ("route_trusted_proxies", " None", lambda settings: settings.rules.proxies.networks, ()),
    (
        "route_trusted_proxies",
        "192.0.2.1,2001:db8::/32",
        lambda settings: settings.rules.proxies.networks,
        _networks("192.0.2.1/32", "2001:db8::/32"),
    ),
    (
        "route_target_allow",
        "127.0.0.0/8, ::1, .Pods.example, *.x.y, z.",
        _allowed,
        (_networks("127.0.0.0/8", "::1"), ("pods.example", "x.y", "z")),
    ),
    ("route_target_deny", "10.1.0.0/16,a.b", _denied, (_networks("10.1.0.0/16"), ("a.b",))),
    *(
        ("route_metrics", value, lambda settings: settings.metrics, expected)
        for value, expected in (
            ("auto", Endpoint("127.0.0.1", 9145, is_default=True)),
            ("9146", Endpoint("127.0.0.1", 9146)),
            ("10.0.0.1:80", Endpoint("10.0.0.1", 80)),
            ("[::1]:9145", Endpoint("::1", 9145)),
            ("", None),
            (" 0 ", None),
        )
    ),
    *(
        (name, value, lambda settings: settings.access_log, expected)
        for name, value, expected in (
            ("route_access_log", "off", AccessLogSettings("off", "", False)),
            ("route_access_log", "json", AccessLogSettings("json", "", False)),
            ("route_access_log_file", "/x", AccessLogSettings("off", "/x", False)),
            ("route_access_log_target", True, AccessLogSettings("off", "", True)),
        )
    ),
    ("route_http_cache", "/", lambda settings: settings.cache_limits.locations, {"/"}),
    (
        "route_http_cache",
        " /, /API ",
        lambda settings: settings.cache_limits.locations,
        {"/", "/API"},
    ),
    ("route_http_cache", "None", lambda settings: settings.cache_limits.locations, set()),
    ("route_http_cache_bytes", 0, lambda settings: settings.cache_limits.max_bytes, 0),
    (
        "route_http_cache_object_bytes",
        4096,
        lambda settings: settings.cache_limits.max_object_bytes,
        4096,
    ),
    (
        "route_http_cache_heuristic",
        10,
        lambda settings: settings.cache_limits.policy.heuristic_fraction,
        0.1,
    ),
    (
        "route_http_cache_stale_if_error",
        60,
        lambda settings: settings.cache_limits.policy.stale_if_error_s,
        60,
    ),
    ("route_compress", "gzip", lambda settings: settings.encoding.codings, ("gzip",)),
    ("route_compress", "zstd, gzip", lambda settings: settings.encoding.codings, ("zstd", "gzip")),
    ("route_compress", "none", lambda settings: settings.encoding.codings, ()),
    (
        "route_compress_behind_tokens",
        False,
        lambda settings: settings.encoding.is_behind_tokens,
        False,
    ),
    ("route_cache_ttl", 0, lambda settings: settings.cache_ttl_s, 0),
    ("route_cache_ttl", 86400, lambda settings: settings.cache_ttl_s, 86400),
    ("route_cache_entries", 1, lambda settings: settings.cache_entries, 1),
    ("route_leeway", 0, lambda settings: settings.rules.leeway_s, 0),
    ("route_leeway", 3600, lambda settings: settings.rules.leeway_s, 3600),
    ("route_acme_root", "", lambda settings: settings.rules.acme_root, ""),
    ("route_acme_root", "/", lambda settings: settings.rules.acme_root, "/"),
    ("route_carrier", "relay", lambda settings: settings.carrier, "relay"),
    ("route_carrier", "stock", lambda settings: settings.carrier, "stock"),
    ("route_head_timeout", 1, lambda settings: settings.limits.head_s, 1.0),
    ("route_body_timeout", 2, lambda settings: settings.limits.body_s, 2.0),
    ("route_send_timeout", 3, lambda settings: settings.limits.send_s, 3.0),
    ("route_keepalive_timeout", 4, lambda settings: settings.limits.keepalive_s, 4.0),
    ("route_connect_timeout", 5, lambda settings: settings.limits.connect_s, 5.0),
    ("route_answer_timeout", 0, lambda settings: settings.limits.answer_s, 0.0),
    ("route_answer_timeout", 6, lambda settings: settings.limits.answer_s, 6.0),
    ("route_websocket_timeout", 2592000, lambda settings: settings.limits.websocket_s, 2592000.0),
    ("route_spool_dir", "", lambda settings: settings.limits.spool_folder, ""),
    ("route_spool_dir", "/tmp", lambda settings: settings.limits.spool_folder, "/tmp"),
    ("route_spool_bytes", 0, lambda settings: settings.limits.spool_bytes, 0),
    ("route_spool_bytes", 2**40, lambda settings: settings.limits.spool_bytes, 2**40),
    ("route_max_connections", 7, lambda settings: settings.limits.max_connections, 7),
    (
        "route_max_connections_per_client",
        7,
        lambda settings: settings.limits.max_connections_per_client,
        7,
    ),
    ("route_listen", "", lambda settings: settings.listen, ()),
    (
        "route_listen",
        "80, *:81, 127.0.0.1:0, [::1]:83, desk.example:84, 443 ssl",
        lambda settings: settings.listen,
        (
            ListenAddress("", 80),
            ListenAddress("", 81),
            ListenAddress("127.0.0.1", 0),
            ListenAddress("::1", 83),
            ListenAddress("desk.example", 84),
            ListenAddress("", 443, is_for_tls=True),
        ),
    ),
    ("route_workers", 3, lambda settings: settings.workers, 3),
    ("route_drain", 7, lambda settings: settings.drain, DrainLimits(7, 25)),
    ("route_drain_websockets", 3600, lambda settings: settings.drain, DrainLimits(25, 3600)),
    ("route_watch", "auto", lambda settings: settings.watch, "auto"),
    ("route_watch", "always", lambda settings: settings.watch, "always"),
    ("route_watch", "never", lambda settings: settings.watch, "never"),
    ("route_record", "", lambda settings: settings.record, ""),
    ("route_record", "flows.mitm", lambda settings: settings.record, "flows.mitm"),
    ("route_watch_body_bytes", 0, lambda settings: settings.watch_limits.body_bytes, 0),
    ("route_websocket_history", 7, lambda settings: settings.watch_limits.history_messages, 7),
    ("route_websocket_history_bytes", 7, lambda settings: settings.watch_limits.history_bytes, 7),
    ("route_record_payloads", True, lambda settings: settings.watch_limits.record_payloads, True),
    (
        "route_certs",
        "a.pem, b.crt:b.key",
        lambda settings: settings.certificates,
        (CertificateFiles("a.pem", "a.pem"), CertificateFiles("b.crt", "b.key")),
    ),
    ("route_certs", "", lambda settings: settings.certificates, ()),
    ("route_upstream_ca", "ca.pem", lambda settings: settings.upstream_ca, "ca.pem"),
    ("route_hsts", 31536000, lambda settings: settings.rules.hsts_s, 31536000),
    ("route_https_redirect", 0, lambda settings: settings.rules.https_redirect_port, 0),
    ("route_https_redirect", 65535, lambda settings: settings.rules.https_redirect_port, 65535),
    ("route_tls_handshake_timeout", 7, lambda settings: settings.limits.tls_handshake_s, 7.0),
    ("route_allow_known_keys", True, lambda settings: settings.warnings, ()),
    ("route_ignore_nginx_config", True, lambda settings: settings.warnings, ()),
]


@pytest.mark.parametrize(
    ("name", "value", "read", "expected"), GOOD, ids=[f"{name}={value}" for name, value, *_ in GOOD]
)
def test_good_values(name: str, value: Value, read: Read, expected: object) -> None:
    """Each option reaches the settings in the form that is used."""
    assert expected == read(build({name: value}))


SERVER = "must be a URL (http://host:port) or host[:port]"
NETWORK = "must be a network (10.0.0.0/8, without host bits)"

BAD: list[tuple[str, Value, str]] = [
    *(
        (f"route_{name}", value, SERVER)
        for name in ("website", "pyos", "console", "speedtest")
        for value in ("", "ftp://x", "no such host", "x:0", "x:65536")
    ),
    ("route_website", "http://x/path", f"{SERVER}, without a path"),
    ("route_website", "http://x?query", f"{SERVER}, without a path"),
    ("route_website", "http://x#fragment", f"{SERVER}, without a path"),
    ("route_website", "http://a,ftp://x", f"'ftp://x' {SERVER}"),
    ("route_pyos", "a;weight=0", "'a;weight=0' has weight=0: it must be a whole number from 1 to "),
    ("route_ports", "nonsense", "'nonsense' must be NAME=PORT, NAME one of pulseaudio_http, "),
    ("route_ports", "xterm=81,nosuch=9", "'nosuch=9' must be NAME=PORT"),
    ("route_ports", "xterm=0", "'xterm=0' must be NAME=PORT"),
    ("route_ports", "xterm=65536", "'xterm=65536' must be NAME=PORT"),
    ("route_ports", "xterm=x", "'xterm=x' must be NAME=PORT"),
    ("route_ports", "xterm=81=82", "'xterm=81=82' must be NAME=PORT"),
    *(
        ("route_container_ports", value, f"{value!r} must be a port or a range (9000-9100)")
        for value in ("0", "65536", "x", "90-80", "80-65536", "0-80", "80-", "-80", "1-2-3", "8.0")
    ),
    *(
        ("route_cookie", value, "must be a cookie name (RFC 6265)")
        for value in ("a b", "a=b", "a;b", 'a"b', "é", "a\n")
    ),
    *(
        ("route_allowed_origins", value, f"{value!r} must be scheme://host[:port]")
        for value in ("null", "*", "x", "ftp://x", "https://", "https://x/path", "https://u@x")
    ),
    ("route_allowed_origins", "https://x, y", "'y' must be scheme://host[:port]"),
    ("route_allowed_origins", "https://é", "'https://é' must be scheme://host[:port]"),
    *(
        ("route_trusted_proxies", value, f"{value!r} {NETWORK}")
        for value in ("10.0.0.1/8", "10.0.0", "x", "10.0.0.0/33", "10.0.0.0-10.0.0.9", "localhost")
    ),
    ("route_trusted_proxies", "none,10.0.0.0/8", f"'none' {NETWORK}"),
    ("route_console_allow", "10.0.0.1/8", f"'10.0.0.1/8' {NETWORK}"),
    *(
        (name, value, f"{value!r} {NETWORK} or a DNS suffix")
        for name in ("route_target_allow", "route_target_deny")
        for value in ("10.0.0.1/8", "10.0.0", "*", "-x", "a..b", "x/y", "é", "10.0.0.1.", "[::1]")
    ),
    ("route_http_cache", "/filer", "'/filer' must be a location without a token: /, "),
    ("route_http_cache", "/nowhere", "'/nowhere' must be a location without a token: /, "),
    *(
        ("route_metrics", value, "must be ADDRESS:PORT (IPv6 in brackets), PORT, auto or 0")
        for value in ("70000", "localhost:80", "::1:80", "[10.0.0.1]:80", "10.0.0.1:", "on", "-1")
    ),
    ("route_access_log", "xml", "must be one of off, json, combined"),
    ("route_http_cache_bytes", -1, "must be a whole number from 0 to 1099511627776"),
    ("route_http_cache_object_bytes", -1, "must be a whole number from 0 to 1099511627776"),
    ("route_http_cache_heuristic", 101, "must be a whole number from 0 to 100"),
    ("route_http_cache_stale_if_error", -1, "must be a whole number from 0 to 2592000"),
    ("route_compress", "gzip,lzw", "'lzw' must be one of gzip, br, zstd, or none"),
    ("route_cache_ttl", -1, "must be a whole number from 0 to 86400"),
    ("route_cache_ttl", 86401, "must be a whole number from 0 to 86400"),
    ("route_cache_ttl", True, "must be a whole number from 0 to 86400"),
    ("route_cache_ttl", "600", "must be a whole number from 0 to 86400"),
    ("route_cache_entries", 0, "must be a whole number from 1 to 10000000"),
    ("route_cache_entries", 10_000_001, "must be a whole number from 1 to 10000000"),
    ("route_leeway", -1, "must be a whole number from 0 to 3600"),
    ("route_leeway", 3601, "must be a whole number from 0 to 3600"),
    ("route_acme_root", "/no/such/folder", "must be a folder that is there"),
    ("route_acme_root", __file__, "must be a folder that is there"),
    ("route_carrier", "", "must be one of relay, stock"),
    ("route_carrier", "Relay", "must be one of relay, stock"),
    *(
        (f"route_{name}_timeout", value, "must be a whole number from 1 to 2592000")
        for name in ("tls_handshake", "head", "body", "send", "keepalive", "connect", "websocket")
        for value in (0, 2592001)
    ),
    ("route_answer_timeout", -1, "must be a whole number from 0 to 2592000"),
    *(
        ("route_certs", value, f"{value!r} must be PATH or CHAIN:KEY")
        for value in (":key.pem", "chain.pem:", "a:b:c", ":")
    ),
    ("route_certs", "a.pem,b:", "'b:' must be PATH or CHAIN:KEY"),
    ("route_watch", "", "must be one of auto, always, never"),
    ("route_watch", "yes", "must be one of auto, always, never"),
    ("route_record", "/no/such/folder/x", "must be a file in a folder that is there"),
    ("route_watch_body_bytes", -1, f"must be a whole number from 0 to {2**40}"),
    ("route_websocket_history", 0, "must be a whole number from 1 to 10000000"),
    ("route_websocket_history_bytes", 0, f"must be a whole number from 1 to {2**40}"),
    ("route_hsts", -1, "must be a whole number from 0 to 315360000"),
    ("route_https_redirect", 65536, "must be a whole number from 0 to 65535"),
    ("route_spool_dir", "/no/such/folder", "must be a folder that can be written to"),
    ("route_spool_dir", __file__, "must be a folder that can be written to"),
    ("route_spool_dir", "/proc/sys", "must be a folder that can be written to"),
    ("route_spool_bytes", -1, f"must be a whole number from 0 to {2**62}"),
    ("route_max_connections", -1, f"must be a whole number from 0 to {2**20}"),
    ("route_max_connections_per_client", -1, f"must be a whole number from 0 to {2**20}"),
    *(
        ("route_listen", value, f"{value!r} must be PORT, HOST:PORT or [IPV6]:PORT")
        for value in ("x", "65536", "::1:80", "[::1]", "a/b:80", "80 tls", "80ssl", "-1")
    ),
    ("route_workers", 257, "must be a whole number from 0 to 256"),
    ("route_drain", -1, "must be a whole number from 0 to 2592000"),
    ("route_drain_websockets", -1, "must be a whole number from 0 to 2592000"),
    *((name, "/no/such.pem", "No such file or directory") for name in KEYS),
    *((name, "/", "Is a directory") for name in KEYS),
    ("route_config", "/no/such.toml", "cannot be read (No such file or directory)"),
    ("route_config", "/", "cannot be read (Is a directory)"),
]


@pytest.mark.parametrize(
    ("name", "value", "fault"), BAD, ids=[f"{name}={value}" for name, value, _ in BAD]
)
def test_bad_values(name: str, value: Value, fault: str) -> None:
    """Each refusal is one sentence that names the option, its value and the remedy."""
    sentence = _refusal({name: value})
    assert sentence.startswith(f"{name}={value}: " if value != "" else f"{name}: ")
    assert fault in sentence


def test_all_options() -> None:
    """Every option stands in both tables, but for those of which any value is good."""
    names = {option.name for option in OPTIONS}
    never_bad = {
        *("route_node_name", "route_allow_known_keys", "route_compress_behind_tokens"),
        *("route_ignore_nginx_config", "route_access_log_target", "route_access_log_file"),
        "route_record_payloads",
    }
    of_the_carrier = {"route_upstream_ca"}
    of_files = {*KEYS, "route_config"}
    assert {name for name, *_ in GOOD} | of_files == names
    assert {name for name, *_ in BAD} | never_bad | of_the_carrier == names


def test_recording_of_nothing() -> None:
    """Nobody is left to believe in a recording that does not, or must not, take place."""
    recording = {"route_record": "flows.mitm"}
    assert "stock flows hold tokens" in _refusal({**recording, "route_carrier": "stock"})
    assert "records nothing" in _refusal({**recording, "route_watch": "never"})


TEXTS = [option.name for option in OPTIONS if isinstance(option.default, str)]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", ["x\0", "\udcff"], ids=["NUL", "not UTF-8"])
def test_never_text(name: str, value: str) -> None:
    """What no file name, header or answer could hold is refused at once."""
    assert _refusal({name: value}) == f"{name}={value!a}: must be UTF-8 text without a NUL"


@given(st.sampled_from([name for name in TEXTS if name not in (*KEYS, "route_config")]), st.text())
def test_any_text(name: str, value: str) -> None:
    """Any text is a good value, or is refused with the option's name."""
    try:
        build({name: value})
    except BadOption as error:
        assert error.name == name


SERVERS = {
    "website": Server(b"http", "website", 80),
    "website:81": Server(b"http", "website", 81),
    "website:": Server(b"http", "website", 80),
    "WebSite.ns.svc.cluster.local.": Server(b"http", "website.ns.svc.cluster.local", 80),
    "a_b": Server(b"http", "a_b", 80),
    "http://website": Server(b"http", "website", 80),
    "HTTP://website/": Server(b"http", "website", 80),
    "https://website": Server(b"https", "website", 443),
    "https://website:80": Server(b"https", "website", 80),
    "192.0.2.1": Server(b"http", "192.0.2.1", 80),
    "192.0.2.1:81": Server(b"http", "192.0.2.1", 81),
    "::1": Server(b"http", "::1", 80),
    "2001:DB8:0:0::1": Server(b"http", "2001:db8::1", 80),
    "[2001:db8::1]": Server(b"http", "2001:db8::1", 80),
    "[2001:db8::1]:81": Server(b"http", "2001:db8::1", 81),
    "https://[2001:db8::1]": Server(b"https", "2001:db8::1", 443),
    "https://[2001:db8::1]:81/": Server(b"https", "2001:db8::1", 81),
}


@pytest.mark.parametrize(("text", "server"), SERVERS.items(), ids=SERVERS.keys())
def test_servers(text: str, server: Server) -> None:
    """A URL, or a host with or without a port; IPv6 with or without brackets."""
    assert server == parse_server(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":80", "http://", "://x", "x://y", "file:///etc", "http:/x", "//x"),
        *("x:0", "x:65536", "x:y", "x:80:80", "http://x:80:80", "x:-1"),
        *("user@x", "http://user:secret@x", "x/y", "x?y", "x#y", "http://x/y"),
        *("[", "[::1", "[::1]x", "[x]", "a:b:c", "::1%eth0", "[::1]:0"),
        *(" x", "x ", "x y", "x\n", "we\nb", "http://we\tb", "x\\y", "a..b", ".x", "é", "a℀b"),
    ],
)
def test_never_servers(text: str) -> None:
    """Anything else is refused, in words of ours."""
    with pytest.raises(ValueError, match=r"\Amust be a URL \(http://host:port\) or host\[:port\]"):
        parse_server(text)


@given(st.one_of(st.text(), st.from_regex(r"(https?://)?[\[\]:/?#@a-f0-9.%]*", fullmatch=True)))
def test_any_server(text: str) -> None:
    """Any text is a server whose address reads back as the same server, or is refused."""
    try:
        server = parse_server(text)
    except ValueError:
        return
    assert 0 < server.port < 65536
    assert parse_server(f"{server.scheme.decode()}://{server.host_and_port.decode()}") == server


@pytest.mark.parametrize(
    ("text", "items"),
    [("", []), (" , ,", []), ("a", ["a"]), (" a , b,", ["a", "b"]), ("a b", ["a b"])],
)
def test_lists(text: str, items: list[str]) -> None:
    """Commas part, white space around them and empty items do not count."""
    assert items == split_list(text)


PRECEDENCE = {
    "default": (False, None, {}),
    "environment over default": (False, None, {"environment"}),
    "file over default": (False, "file", {}),
    "file over environment": (False, "file", {"environment"}),
    "option over default": (True, None, {}),
    "option over environment": (True, None, {"environment"}),
    "option over file": (True, "file", {}),
    "option over file and environment": (True, "file", {"environment"}),
}


@pytest.mark.parametrize("case", PRECEDENCE)
@pytest.mark.parametrize(
    ("option", "text", "default", "read"),
    [
        ("route_pyos", "{}:8000", "pyos", lambda server: server[0].host),
        ("route_website", "{}:80", "website", lambda server: server[0].host),
    ],
)
def test_precedence_of_upstreams(
    tmp_path: Path,
    case: str,
    option: str,
    text: str,
    default: str,
    read: Callable[[Any], str],
) -> None:
    """The option wins over the configuration file, which wins over the environment."""
    is_set, file, environment = PRECEDENCE[case]
    name = option.removeprefix("route_")
    changes: dict[str, Value] = {}
    if file:
        config = tmp_path / "route.toml"
        config.write_text(f'[upstream.{name}]\nservers = ["{text.format("file")}"]\n')
        changes["route_config"] = str(config)
    if is_set:
        changes[option] = text.format("option")
    settings = build(
        changes,
        environment={option.upper(): text.format("environment")} if environment else {},
        is_set=lambda asked: is_set and asked == option,
    )
    expected = case.partition(" ")[0]
    assert (default if expected == "default" else expected) == read(_servers(name)(settings))


@pytest.mark.parametrize("case", PRECEDENCE)
def test_precedence_of_ports(tmp_path: Path, case: str) -> None:
    """So for each port of the table."""
    is_set, file, environment = PRECEDENCE[case]
    ports = {"default": PORTS["xterm"], "environment": 1001, "file": 1002, "option": 1003}
    changes: dict[str, Value] = {}
    if file:
        config = tmp_path / "route.toml"
        config.write_text(f"[ports]\nxterm = {ports['file']}\n")
        changes["route_config"] = str(config)
    if is_set:
        changes["route_ports"] = f"xterm={ports['option']}"
    settings = build(
        changes,
        environment={"ROUTE_PORTS": f"xterm={ports['environment']}"} if environment else {},
        is_set=lambda asked: is_set and asked == "route_ports",
    )
    assert ports[case.partition(" ")[0]] == _port("/terminals")(settings)


def test_ports_add_up(tmp_path: Path) -> None:
    """Who sets one port leaves the others to those who set them; a file may add names."""
    config = tmp_path / "route.toml"
    config.write_text("[ports]\nxterm = 1002\nfile_service = 1002\nnotes = 1002\n")
    changes = {"route_config": str(config), "route_ports": "xterm=1003,notes=1003"}
    settings = build(changes, is_set=lambda name: name == "route_ports")
    assert _port("/terminals")(settings) == 1003
    assert _port("/filer")(settings) == 1002
    assert _port("/snapshot")(settings) == PORTS["snapshot_service"]


def test_deployed_environment(tmp_path: Path, signing: KeyPair, payload: KeyPair) -> None:
    """The environment of today's deployment is a whole configuration."""
    (tmp_path / "signing.pem").write_bytes(signing.public_pem)
    (tmp_path / "payload.pem").write_bytes(payload.private_pem)
    environment = {
        "WEBSITE_FQDN": "website.abcdesktop.svc.cluster.local",
        "CONSOLE_FQDN": "console.abcdesktop.svc.cluster.local",
        "SPEEDTEST_FQDN": "speedtest.abcdesktop.svc.cluster.local",
        "PYOS_FQDN": "pyos.abcdesktop.svc.cluster.local",
        "PYOS_SERVICE_HOST": "10.96.0.7",
        "PYOS_SERVICE_PORT": "8000",
        "NODE_NAME": "node-7",
        "NAMESERVER_RESOLVER": "10.96.0.10",
        "JWT_DESKTOP_SIGNING_PUBLIC_KEY": str(tmp_path / "signing.pem"),
        "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY": str(tmp_path / "payload.pem"),
    }
    settings = build_settings(default_values(environment))
    assert settings.describe() == (
        "upstreams "
        "website=http://website.abcdesktop.svc.cluster.local "
        "pyos=http://pyos.abcdesktop.svc.cluster.local:8000 "
        "console=http://console.abcdesktop.svc.cluster.local "
        "speedtest=http://speedtest.abcdesktop.svc.cluster.local; "
        f"trusted proxies {','.join(PRIVATE_NETWORKS)}; "
        f"signing key sha256 {fingerprint(signing.public)}; "
        f"payload key sha256 {fingerprint(payload.private)}"
    )
    assert settings.rules.node_name == "node-7"
    assert settings.warnings == ()


def test_nobody_is_trusted() -> None:
    """The line for the log says so."""
    assert "; trusted proxies none; " in build({"route_trusted_proxies": "none"}).describe()


@pytest.mark.parametrize("name", KEYS)
def test_missing_keys(build_with_keys: Build, name: str) -> None:
    """A listener needs keys: the refusal says how to name them."""
    option = next(option for option in OPTIONS if option.name == name)
    for value in ("", ":", "::"):
        assert _refusal({name: value}, build_with_keys) == (
            f"{name}: is not set; name a PEM file, by --set {name}=PATH or {option.environment[0]}"
        )


def test_no_keys() -> None:
    """Without a listener keys may be missing."""
    settings = build(dict.fromkeys(KEYS, ""))
    assert settings.rules.keys == ((), ())
    assert settings.describe().endswith("; signing key sha256 none; payload key sha256 none")


@pytest.mark.parametrize("name", KEYS)
def test_bad_key_without_listener(name: str) -> None:
    """But a key that is named must be good even then."""
    assert "No such file" in _refusal({name: "/no/such.pem"})


def test_several_keys(
    build_with_keys: Build, tmp_path: Path, signing: KeyPair, payload: KeyPair
) -> None:
    """Keys overlap during a rotation, the first one is tried first."""
    other = key_pair("stranger")
    files = {
        "old.pem": signing.public_pem,
        "new.pem": other.public_pem,
        "old.key": payload.private_pem,
        "new.key": other.private_pem,
    }
    for name, pem in files.items():
        (tmp_path / name).write_bytes(pem)
    settings = build_with_keys(
        {
            "route_signing_key": f"{tmp_path}/new.pem:{tmp_path}/old.pem",
            "route_payload_key": f"{tmp_path}/new.key::{tmp_path}/old.key:",
        }
    )
    assert settings.rules.keys.signing == (other.public, signing.public)
    assert settings.signing_fingerprints == (
        fingerprint(other.public),
        fingerprint(signing.public),
    )
    assert settings.payload_fingerprints == (
        fingerprint(other.private),
        fingerprint(payload.private),
    )
    assert ",".join(settings.signing_fingerprints) in settings.describe()


@pytest.mark.parametrize("is_first", [True, False])
def test_one_bad_key_of_several(
    build_with_keys: Build,
    tmp_path: Path,
    key_options: Mapping[str, str],
    is_first: bool,
) -> None:
    """One bad key refuses all, and is the one that is named."""
    bad = tmp_path / "bad.pem"
    bad.write_text("nonsense")
    paths = [str(bad), key_options["route_signing_key"]]
    joined = ":".join(paths if is_first else paths[::-1])
    assert _refusal({"route_signing_key": joined}, build_with_keys).startswith(
        f"route_signing_key={bad}: "
    )


@pytest.mark.parametrize(
    ("name", "kind", "fault"),
    [
        ("route_signing_key", "empty", "the file is empty"),
        ("route_signing_key", "garbage", "the file is not an RSA public key or a certificate"),
        ("route_signing_key", "private PKCS#8", "the file does not hold an RSA public key"),
        ("route_signing_key", "public EC", "the key is not an RSA key"),
        ("route_payload_key", "white space", "the file is empty"),
        ("route_payload_key", "garbage", "the file is not an RSA private key"),
        ("route_payload_key", "public PKIX", "the file does not hold an RSA private key"),
        ("route_payload_key", "private PKCS#8, encrypted", "the key is encrypted with a password"),
        ("route_payload_key", "private Ed25519", "the key is not an RSA key"),
    ],
)
def test_never_keys(
    build_with_keys: Build,
    tmp_path: Path,
    pems: Pems,
    name: str,
    kind: str,
    fault: str,
) -> None:
    """A file that holds no such key is refused with the reason, and nothing of the file."""
    path = tmp_path / "key.pem"
    path.write_bytes(pems[kind])
    sentence = _refusal({name: str(path)}, build_with_keys)
    assert sentence.startswith(f"{name}={path}: {fault}")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("name", "kind"),
    [("route_signing_key", "public, 1024 bits"), ("route_payload_key", "private, 1024 bits")],
)
def test_weak_keys(
    build_with_keys: Build, tmp_path: Path, pems: Pems, name: str, kind: str
) -> None:
    """Keys of old installations load, with a warning."""
    path = tmp_path / "key.pem"
    path.write_bytes(pems[kind])
    assert build_with_keys({name: str(path)}).warnings == (
        f"{name}: a key of 1024 bits is weak; use 2048 or more",
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("route_signing_key", "public, 512 bits"), ("route_payload_key", "private, 512 bits")],
)
def test_keys_of_512_bits(
    build_with_keys: Build, tmp_path: Path, pems: Pems, name: str, kind: str
) -> None:
    """So do the weakest where the library can; where it cannot, the refusal names the size."""
    path = tmp_path / "key.pem"
    path.write_bytes(pems[kind])
    try:
        settings = build_with_keys({name: str(path)})
    except BadOption as error:
        assert str(error).startswith(f"{name}={path}: ")
        assert "of a size that can be used (1024 bits at least)" in str(error)
    else:
        assert settings.warnings == (f"{name}: a key of 512 bits is weak; use 2048 or more",)


@pytest.mark.parametrize("name", KEYS)
def test_known_keys(
    build_with_keys: Build,
    monkeypatch: pytest.MonkeyPatch,
    key_options: Mapping[str, str],
    signing: KeyPair,
    payload: KeyPair,
    name: str,
) -> None:
    """A key that everybody has is refused, unless that is allowed."""
    known = {
        "route_signing_key": fingerprint(signing.public),
        "route_payload_key": fingerprint(payload.private),
    }[name]
    monkeypatch.setattr("route_addon.settings.is_known", functools.partial(is_known, known={known}))
    assert _refusal({}, build_with_keys).startswith(
        f"{name}={key_options[name]}: everybody has this key: a public image ships it; make keys "
        "of your own"
    )
    assert build_with_keys({"route_allow_known_keys": True}).warnings == ()


CACHE_KEYS = {
    "the leeway": ("route_leeway", 5, True),
    "what is allowed": ("route_target_allow", "10.0.0.0/8", True),
    "what is denied": ("route_target_deny", "10.0.0.0/8", True),
    "how long": ("route_cache_ttl", 5, True),
    "how many": ("route_cache_entries", 5, True),
    "an upstream": ("route_website", "other", False),
    "a port": ("route_ports", "xterm=5", False),
    "the cookie": ("route_cookie", "other", False),
    "who is trusted": ("route_trusted_proxies", "none", False),
    "the node's name": ("route_node_name", "other", False),
    "a timeout": ("route_head_timeout", 5, False),
}


@pytest.mark.parametrize(
    ("name", "value", "differs"), CACHE_KEYS.values(), ids=list(CACHE_KEYS.keys())
)
def test_cache_key(name: str, value: Value, differs: bool) -> None:
    """Verified tokens depend on the keys, the target policy, the leeway, and the cache's size."""
    assert differs == (build({name: value}).cache_key != build().cache_key)


@pytest.mark.parametrize("name", KEYS)
def test_cache_key_of_keys(build_with_keys: Build, tmp_path: Path, name: str) -> None:
    """The same key in another file is the same; another key, or one more, is not."""
    pair = {"route_signing_key": "public_pem", "route_payload_key": "private_pem"}
    old = key_pair(name.removeprefix("route_").removesuffix("_key"))
    (tmp_path / "same.pem").write_bytes(getattr(old, pair[name]))
    (tmp_path / "other.pem").write_bytes(getattr(key_pair("stranger"), pair[name]))
    usual = build_with_keys().cache_key
    assert usual == build_with_keys({name: f"{tmp_path}/same.pem"}).cache_key
    assert usual != build_with_keys({name: f"{tmp_path}/other.pem"}).cache_key
    assert usual != build_with_keys({name: f"{tmp_path}/same.pem:{tmp_path}/other.pem"}).cache_key


def _with_file(tmp_path: Path, text: str) -> Settings:
    config = tmp_path / "route.toml"
    config.write_text(text)
    return build({"route_config": str(config)})


OWN_LOCATION = """
[upstream.wiki]
servers = ["http://wiki:8080", "https://wiki-2"]
[[location]]
location = "/wiki"
kind = "prefix"
upstream = "wiki"
"""


def test_own_location(tmp_path: Path) -> None:
    """A configuration file adds locations and upstreams."""
    settings = _with_file(tmp_path, OWN_LOCATION)
    match = settings.rules.locations.match(b"/wiki/x")
    assert match is not None
    assert match[0].upstream == "wiki"
    assert settings.rules.upstreams["wiki"] == (
        Server(b"http", "wiki", 8080),
        Server(b"https", "wiki-2", 443),
    )
    assert "wiki=http://wiki:8080 wiki=https://wiki-2 " in settings.describe()


def test_pools(tmp_path: Path) -> None:
    """An upstream is a pool, by option or by file; who takes one server takes the first."""
    config = tmp_path / "route.toml"
    config.write_text(
        '[upstream.website]\nservers = ["w;backup", {url = "v", weight = 2}]\ntries = 1\n'
        '[upstream.pyos]\nservers = ["nobody"]'
    )
    settings = build(
        {"route_config": str(config), "route_pyos": "http://a:8000;down,http://b:8000;weight=2"},
        is_set=lambda name: name == "route_pyos",
    )
    assert list(settings.pools) == list(settings.rules.upstreams)
    website, pyos = settings.pools["website"], settings.pools["pyos"]
    assert (website.name, website.tries, website.is_plain) == ("website", 1, False)
    assert settings.rules.upstreams["website"] == website.in_order
    assert [server.host for server in website.in_order] == ["v", "w"]
    assert [(spec.server.host, spec.weight) for spec in pyos.servers] == [("a", 1), ("b", 2)]
    assert [server.host for server in pyos.in_order] == ["b", "a"]
    assert settings.pools["console"].is_plain


BAD_FILES = {
    "unknown upstream": (
        '[[location]]\nlocation = "/x"\nkind = "exact"\nupstream = "nosuch"',
        "location '/x': no upstream 'nosuch' is there; add [upstream.nosuch]",
    ),
    "upstream's name is taken": ('[upstream.pod]\nservers = ["x"]', "upstream.pod: the name is "),
    "upstream's name is taken, too": ('[upstream.here]\nservers = ["x"]', "upstream.here: the "),
    "bad server": (
        '[upstream.x]\nservers = ["y", "ftp://x"]',
        f"key 'upstream.x.servers[1]' 'ftp://x' {SERVER}",
    ),
    "location stands there twice": (
        '[[location]]\nlocation = "/filer"\nkind = "prefix"\nupstream = "pyos"',
        "'/filer' (prefix) stands there twice",
    ),
    "location is not canonical": (
        '[[location]]\nlocation = "/a//b"\nkind = "exact"\nupstream = "pyos"',
        "location '/a//b' is not a canonical path",
    ),
    "unknown port": (
        '[[location]]\nlocation = "/x"\nkind = "exact"\nupstream = "pod:nosuch"\ntoken = ["path"]',
        "location '/x': upstream 'pod:nosuch' names no port of the port table",
    ),
    "not TOML": ("x", "is not TOML: "),
    "unknown key": ("x = 1", "key 'x' is unknown"),
}


@pytest.mark.parametrize(("text", "fault"), BAD_FILES.values(), ids=list(BAD_FILES.keys()))
def test_bad_files(tmp_path: Path, text: str, fault: str) -> None:
    """Each refusal names the file and what is wrong in it."""
    config = tmp_path / "route.toml"
    config.write_text(text)
    sentence = _refusal({"route_config": str(config)})
    assert sentence.startswith(f"route_config={config}: {fault}")


def test_shared_among_workers() -> None:
    """What is bounded in all is divided, rounded up; no bound stays none, and the rest is alike."""
    values: dict[str, Value] = {
        "route_website": "http://a;max_conns=5,http://b",
        "route_max_connections": 7,
        "route_http_cache_bytes": 64,
        "route_cache_entries": 1,
        "route_spool_bytes": 9,
    }
    whole = build(values)
    part = whole.share(Worker(1, 2))
    assert [server.max_conns for server in part.pools["website"].servers] == [3, 0]
    assert (part.limits.max_connections, part.limits.max_connections_per_client) == (4, 0)
    assert (part.cache_limits.max_bytes, part.cache_entries, part.limits.spool_bytes) == (32, 1, 5)
    assert part.rules == whole.rules
    assert whole.share(ALONE) == whole


def test_files_that_settings_are_made_of() -> None:
    """Keys, CAs and the configuration file are told of, so that they can be watched."""
    assert set(build({"route_upstream_ca": "ca.pem"}).files) == {"ca.pem"}


def test_files_that_change_while_they_are_read(tmp_path: Path) -> None:
    """They are read again: settings are never made of an old file and a new one."""
    file = tmp_path / "config.toml"
    file.write_text('[upstream.website]\nservers = ["old"]', "utf-8")

    def is_set(name: str) -> bool:
        # Asked for once the file has been read.
        file.write_text('[upstream.website]\nservers = ["newer"]', "utf-8")
        return False

    settings = build({"route_config": str(file)}, is_set=is_set)
    assert settings.rules.upstreams["website"] == (Server(b"http", "newer", 80),)


def test_files_that_never_stop_changing(tmp_path: Path) -> None:
    """They are taken as they were read last, and seen to have changed since."""
    file = tmp_path / "config.toml"
    file.write_text('[upstream.website]\nservers = ["x"]', "utf-8")

    def is_set(name: str) -> bool:
        file.write_text(file.read_text("utf-8") + " ", "utf-8")
        return False

    settings = build({"route_config": str(file)}, is_set=is_set)
    assert settings.files != stamp_files(settings.files)
