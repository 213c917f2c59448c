"""The values of all options: what they mean, and what is refused."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.limits import DrainLimits
from route_addon.carry.listen.sockets import ListenAddress
from route_addon.carry.tls.certificate import CertificateFiles
from route_addon.config.build import build_settings
from route_addon.config.environment import default_values
from route_addon.config.settings import AccessLogSettings, MetricsAddress, Settings
from route_addon.core.forwarded import PRIVATE_NETWORKS
from route_addon.core.keys import fingerprint
from route_addon.core.messages import Origin, Server
from route_addon.core.table import PORTS
from route_addon.core.targets import TargetPolicy
from route_addon.options import OPTIONS, BadOption, Value
from tests.config.building import KEYS, SERVER, Read, build, port, refusal, servers
from tests.minting import KeyPair, write_keys


def _networks(*texts: str) -> tuple[Any, ...]:
    return tuple(map(ipaddress.ip_network, texts))


def _allowed(settings: Settings) -> object:
    return settings.rules.policy.allow


def _answer_times(settings: Settings) -> object:
    return {location.answer_within_s for location in settings.rules.locations.all}


def _denied(settings: Settings) -> object:
    """What is denied besides what always is."""
    networks, suffixes = settings.rules.policy.deny
    assert suffixes[-1] == "localhost"
    return networks[: -len(TargetPolicy().deny.networks)], suffixes[:-1]


GOOD: list[tuple[str, Value, Read, object]] = [
    ("route_website", "site", servers("website"), (Server(b"http", "site", 80),)),
    ("route_website", "https://site/", servers("website"), (Server(b"https", "site", 443),)),
    ("route_pyos", "10.0.0.9:8000", servers("pyos"), (Server(b"http", "10.0.0.9", 8000),)),
    ("route_pyos", "[fd00::1]:8000", servers("pyos"), (Server(b"http", "fd00::1", 8000),)),
    ("route_console", "fd00::1", servers("console"), (Server(b"http", "fd00::1", 80),)),
    ("route_speedtest", "https://x:9", servers("speedtest"), (Server(b"https", "x", 9),)),
    ("route_node_name", "node-7", lambda settings: settings.rules.node_name, "node-7"),
    ("route_node_name", "é", lambda settings: settings.rules.node_name, "é"),
    ("route_ports", "xterm=81", port("/terminals"), 81),
    ("route_ports", " file_service=9 , xterm = 81".replace(" = ", "="), port("/terminals"), 81),
    ("route_ports", "xterm=81,xterm=82", port("/terminals"), 82),
    ("route_ports", "file_service=9", port("/terminals"), PORTS["xterm"]),
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
            ("auto", MetricsAddress("127.0.0.1", 9145, is_default=True)),
            ("9146", MetricsAddress("127.0.0.1", 9146)),
            ("10.0.0.1:80", MetricsAddress("10.0.0.1", 80)),
            ("[::1]:9145", MetricsAddress("::1", 9145)),
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
    ("route_answer_timeout", 0, _answer_times, {60.0, 360.0, 600.0, 1800.0}),
    ("route_answer_timeout", 6, _answer_times, {6.0}),
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
    sentence = refusal({name: value})
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
    assert "stock flows hold tokens" in refusal({**recording, "route_carrier": "stock"})
    assert "records nothing" in refusal({**recording, "route_watch": "never"})


TEXTS = [option.name for option in OPTIONS if isinstance(option.default, str)]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("value", ["x\0", "\udcff"], ids=["NUL", "not UTF-8"])
def test_never_text(name: str, value: str) -> None:
    """What no file name, header or answer could hold is refused at once."""
    assert refusal({name: value}) == f"{name}={value!a}: must be UTF-8 text without a NUL"


@given(st.sampled_from([name for name in TEXTS if name not in (*KEYS, "route_config")]), st.text())
def test_any_text(name: str, value: str) -> None:
    """Any text is a good value, or is refused with the option's name."""
    try:
        build({name: value})
    except BadOption as error:
        assert error.name == name


def test_deployed_environment(tmp_path: Path, signing: KeyPair, payload: KeyPair) -> None:
    """The environment of today's deployment is a whole configuration."""
    keys = write_keys(tmp_path, signing, payload)
    environment = {
        "WEBSITE_FQDN": "website.abcdesktop.svc.cluster.local",
        "CONSOLE_FQDN": "console.abcdesktop.svc.cluster.local",
        "SPEEDTEST_FQDN": "speedtest.abcdesktop.svc.cluster.local",
        "PYOS_FQDN": "pyos.abcdesktop.svc.cluster.local",
        "PYOS_SERVICE_HOST": "10.96.0.7",
        "PYOS_SERVICE_PORT": "8000",
        "NODE_NAME": "node-7",
        "NAMESERVER_RESOLVER": "10.96.0.10",
        "JWT_DESKTOP_SIGNING_PUBLIC_KEY": keys["route_signing_key"],
        "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY": keys["route_payload_key"],
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
