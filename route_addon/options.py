"""Every ``route_*`` option and environment name, as data.

An option that was set wins over the configuration file, which wins over the environment, which
wins over the default. ``config`` gives the values their meaning.
"""

from collections.abc import Mapping
from typing import NamedTuple

from route_addon.core.forwarded import PRIVATE_NETWORKS

type Value = str | int | bool
type Values = Mapping[str, Value]


class BadOption(ValueError):
    """A configuration that cannot be used.

    Args:
        name: The option.
        value: What it holds.
        fault: What is wrong with it, and the remedy.
    """

    def __init__(self, name: str, value: object, fault: str) -> None:
        super().__init__(f"{name}={value}: {fault}" if value != "" else f"{name}: {fault}")
        self.name = name


class Option(NamedTuple):
    """One option, as mitmproxy, the environment and the documentation know it."""

    name: str
    default: Value
    help: str
    environment: tuple[str, ...] = ()
    """The deployed environment names, besides the option's own name in capitals."""
    unit: str = ""

    @property
    def environment_names(self) -> tuple[str, ...]:
        """The names to look up, the first one that is set wins."""
        return (self.name.upper(), *self.environment)


OPTIONS = (
    Option(
        "route_signing_key",
        "",
        "The RSA public keys that verify tokens: PEM files, separated by ':'; several overlap "
        "during a rotation.",
        ("JWT_DESKTOP_SIGNING_PUBLIC_KEY",),
        "paths",
    ),
    Option(
        "route_payload_key",
        "",
        "The RSA private keys that decrypt a token's target: PEM files, separated by ':'.",
        ("JWT_DESKTOP_PAYLOAD_PRIVATE_KEY",),
        "paths",
    ),
    Option(
        "route_website",
        "http://website",
        "The website's servers, for all that no other location takes: URLs, or host[:port], "
        "separated by commas; with nginx's parameters, as in http://a,http://b;weight=2,http://c;backup.",
        ("WEBSITE_FQDN",),
        "URLs",
    ),
    Option(
        "route_pyos",
        "http://pyos:8000",
        "The pyos API's servers: as for the website.",
        ("PYOS_FQDN", "PYOS_SERVICE_HOST"),
        "URLs",
    ),
    Option(
        "route_console",
        "http://console",
        "The console's servers: as for the website.",
        ("CONSOLE_FQDN",),
        "URLs",
    ),
    Option(
        "route_speedtest",
        "http://speedtest",
        "The speedtest's servers: as for the website.",
        ("SPEEDTEST_FQDN",),
        "URLs",
    ),
    Option("route_node_name", "", "What /node answers.", ("NODE_NAME",)),
    Option(
        "route_ports",
        "",
        "Ports of the pods' services that differ from the table: name=port, separated by commas.",
        unit="name=port",
    ),
    Option(
        "route_container_ports",
        "",
        "The ports that /container may name: ports and ranges (8080,9000-9100), separated by "
        "commas; empty for all.",
        unit="ports",
    ),
    Option(
        "route_console_allow",
        "",
        "The clients that may see the console: networks, separated by commas; 'none' for nobody, "
        "empty for everybody. Who the client is, route_trusted_proxies decides.",
        unit="CIDRs",
    ),
    Option(
        "route_config",
        "",
        "A TOML file with ports, upstreams and locations of one's own.",
        unit="path",
    ),
    Option(
        "route_cookie",
        "jwt_token",
        "The cookie that may hold a token; empty to read no cookie.",
        unit="cookie name",
    ),
    Option(
        "route_allowed_origins",
        "",
        "Origins besides our own whose pages may use a cookie's token (https://portal.example), "
        "separated by commas.",
        unit="origins",
    ),
    Option(
        "route_trusted_proxies",
        ",".join(PRIVATE_NETWORKS),
        "The proxies in front whose X-Forwarded-* and X-Request-ID are believed: networks, "
        "separated by commas; 'none' to believe nobody.",
        unit="CIDRs",
    ),
    Option(
        "route_target_allow",
        "",
        "Targets that pass in spite of a denial: networks and DNS suffixes, separated by commas.",
        unit="CIDRs, suffixes",
    ),
    Option(
        "route_target_deny",
        "",
        "Targets that are denied, besides loopback, link-local, multicast and unspecified "
        "addresses and our own listeners: networks and DNS suffixes, separated by commas.",
        unit="CIDRs, suffixes",
    ),
    Option(
        "route_cache_ttl",
        600,
        "The longest time that a verified token is remembered; never past its own end.",
        unit="seconds",
    ),
    Option(
        "route_cache_entries", 65536, "How many verified tokens are remembered.", unit="entries"
    ),
    Option(
        "route_http_cache",
        "/",
        "The locations whose answers are kept in the HTTP cache (RFC 9111): paths as they stand in "
        "the table, separated by commas; never one with a token; 'none' for none.",
        unit="paths",
    ),
    Option(
        "route_http_cache_bytes",
        64 * 2**20,
        "What the HTTP cache keeps in memory, in all.",
        unit="bytes",
    ),
    Option(
        "route_http_cache_object_bytes",
        2**20,
        "The largest answer that it keeps; never more than an eighth of all.",
        unit="bytes",
    ),
    Option(
        "route_http_cache_heuristic",
        0,
        "How much of the time since its Last-Modified an answer that says nothing is fresh for; 0 "
        "to ask the server each time whether it still holds.",
        unit="percent",
    ),
    Option(
        "route_http_cache_stale_if_error",
        0,
        "For how long a stale answer stands in for a server that fails, where the server itself "
        "neither says nor forbids it.",
        unit="seconds",
    ),
    Option(
        "route_compress",
        "gzip",
        "The content codings that text is compressed with, of gzip, br and zstd, best first, "
        "separated by commas; 'none' for none.",
        unit="codings",
    ),
    Option(
        "route_compress_behind_tokens",
        True,
        "Compress answers of locations with a token, too (see docs/compression.md on BREACH).",
    ),
    Option(
        "route_leeway",
        0,
        "How far the clocks of pyos and this machine may be apart.",
        unit="seconds",
    ),
    Option(
        "route_acme_root",
        "",
        "The folder below which /.well-known/acme-challenge/ is served; empty for none.",
        unit="path",
    ),
    Option(
        "route_carrier",
        "relay",
        "Who carries the bytes: the router's own relay, or mitmproxy's stock HTTP layers.",
        unit="relay or stock",
    ),
    Option(
        "route_certs",
        "",
        "The certificates for TLS, on the same port: PEM files that hold chain and key, or "
        "chain:key, separated by commas. The name that a client asks for chooses among them; the "
        "first is for all others. Changed files are taken at once. Empty for mitmproxy's certs; "
        "without either TLS is refused.",
        unit="paths",
    ),
    Option(
        "route_https_redirect",
        0,
        "Send clients that came by http to https at this port (308); 443 is not written out; 0 "
        "to serve them. A proxy in front that ends TLS must send X-Forwarded-Proto.",
        unit="port",
    ),
    Option(
        "route_hsts",
        0,
        "How long browsers shall use https only (Strict-Transport-Security, on answers over "
        "https); 0 to say nothing.",
        unit="seconds",
    ),
    Option(
        "route_upstream_ca",
        "",
        "A PEM file of CAs that https upstreams are verified with, besides those of the system.",
        unit="path",
    ),
    Option(
        "route_tls_handshake_timeout",
        10,
        "How long a client may take for a TLS handshake.",
        unit="seconds",
    ),
    Option(
        "route_head_timeout",
        60,
        "How long a client may take for a request head (nginx's client_header_timeout).",
        unit="seconds",
    ),
    Option(
        "route_body_timeout",
        60,
        "How long a client may be silent in a request's body (nginx's client_body_timeout).",
        unit="seconds",
    ),
    Option(
        "route_send_timeout",
        60,
        "How long a client may take nothing of its answer (nginx's send_timeout).",
        unit="seconds",
    ),
    Option(
        "route_keepalive_timeout",
        75,
        "How long a client's connection may rest between two requests.",
        unit="seconds",
    ),
    Option(
        "route_connect_timeout",
        5,
        "How long connecting to an address of an upstream may take.",
        unit="seconds",
    ),
    Option(
        "route_answer_timeout",
        0,
        "How long an upstream may be silent before its answer and between two parts of it; 0 "
        "for each location's own time.",
        unit="seconds",
    ),
    Option(
        "route_websocket_timeout",
        3600,
        "How long a WebSocket may be silent in both directions.",
        unit="seconds",
    ),
    Option(
        "route_spool_dir",
        "",
        "The folder for request bodies that are collected; empty for the system's temporary one.",
        unit="path",
    ),
    Option(
        "route_spool_bytes",
        8 * 2**30,
        "What all collected request bodies together may take on the disk.",
        unit="bytes",
    ),
    Option(
        "route_watch",
        "auto",
        "Whether exchanges of the relay are flows with hooks: always, never, or when somebody "
        "watches (mitmweb, the console, -w, printed flows, another script, an option that changes "
        "flows).",
        unit="auto, always or never",
    ),
    Option(
        "route_record",
        "",
        "A file that what passes is added to, without secrets and pods' addresses, for route-addon "
        "replay to judge it again; each further worker has one of its own (FILE.1). Empty for "
        "none.",
        unit="path",
    ),
    Option(
        "route_watch_body_bytes",
        2**20,
        "What a flow of the relay keeps of a request's body, and of an answer's; a longer one is "
        "marked as cut.",
        unit="bytes",
    ),
    Option(
        "route_websocket_history",
        1000,
        "How many messages of a WebSocket a flow of the relay keeps; the newest stay.",
        unit="messages",
    ),
    Option(
        "route_websocket_history_bytes",
        8 * 2**20,
        "The same in bytes; a longer message is cut.",
        unit="bytes",
    ),
    Option(
        "route_listen",
        "",
        "Where to listen, in the place of mitmproxy's listen_host and listen_port: PORT, HOST:PORT "
        "or [IPV6]:PORT, separated by commas; without a host, both families. Where 'ssl' follows "
        "(443 ssl), only with a certificate. TLS is spoken at all of them.",
        unit="addresses",
    ),
    Option(
        "route_workers",
        0,
        "How many processes `route-addon serve` runs; 0 for as many as the limits of its control "
        "group have room for: a processor and 200 MiB each.",
        unit="processes",
    ),
    Option(
        "route_drain",
        25,
        "How long requests may go on after SIGTERM; for the first 3 s new connections are taken.",
        unit="seconds",
    ),
    Option(
        "route_drain_websockets",
        25,
        "How long WebSockets may go on after SIGTERM.",
        unit="seconds",
    ),
    Option(
        "route_record_payloads",
        False,
        "Whether recordings and exports hold the messages of WebSockets: keys that are typed, "
        "screens, sound. Without it they are only seen live.",
    ),
    Option(
        "route_max_connections",
        0,
        "How many connections of clients are held at once; 0 for no bound.",
        unit="connections",
    ),
    Option(
        "route_max_connections_per_client",
        0,
        "How many connections one address may hold; trusted proxies are never counted; 0 for no "
        "bound.",
        unit="connections",
    ),
    Option(
        "route_metrics",
        "auto",
        "Where Prometheus finds the metrics: host:port, or a port on 127.0.0.1; 0 or empty for "
        "none. auto is 127.0.0.1:9145 under route-addon serve, and none elsewhere.",
        unit="address",
    ),
    Option(
        "route_access_log",
        "off",
        "One line for each request at its end: json, combined (nginx's format), or off.",
    ),
    Option(
        "route_access_log_file",
        "",
        "Where the lines go; empty for standard output. A file that is moved away is made anew.",
        unit="path",
    ),
    Option(
        "route_access_log_target",
        False,
        "Let the lines name the server that a request went to: for users' pods their addresses.",
    ),
    Option(
        "route_allow_known_keys",
        False,
        "Start even with a key that everybody has, because a public image ships it.",
    ),
    Option(
        "route_ignore_nginx_config",
        False,
        "Start even where rules are mounted for nginx (locationslash.conf, .htpasswd, console.conf "
        "in /etc/nginx), which then are not in force.",
    ),
)
"""All options, in the order of the documentation."""

IGNORED_ENVIRONMENT = ("NAMESERVER_RESOLVER",)
"""Names that the parent reads and that have no meaning here: the system's resolver is used."""
