"""The values of all options, parsed once into frozen ``Settings``, or refused with a sentence.

Nothing here knows mitmproxy: whoever has the values hands them over.
"""

import dataclasses
import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from route_addon import nginx_files
from route_addon.carry.certificates import CertificateFiles, stamp_file
from route_addon.carry.limits import CacheLimits, DrainLimits, Limits, WatchLimits
from route_addon.carry.sockets import ListenAddress
from route_addon.config_file import ConfigFile, read_config_file
from route_addon.core.credentials import full_authority, parse_origin
from route_addon.core.encodings import CODINGS, EncodingPolicy
from route_addon.core.forwarded import TrustedProxies
from route_addon.core.httpcache_stored import Policy
from route_addon.core.keys import (
    WEAK_BITS,
    KeyFault,
    Keys,
    fingerprint,
    is_known,
    load_payload_key,
    load_signing_key,
)
from route_addon.core.locations import HERE, POD, BadLocation, Location, Locations
from route_addon.core.messages import Origin, Server
from route_addon.core.pool_config import PoolSpec
from route_addon.core.router import Rules
from route_addon.core.table import PORTS, build_locations
from route_addon.core.targets import (
    HostSet,
    Network,
    TargetPolicy,
    parse_address,
    parse_target_host,
)
from route_addon.options import OPTIONS, BadOption, Values
from route_addon.pool_spec import parse_pool
from route_addon.workers import Worker

_UPSTREAM_OPTIONS = {
    "website": "route_website",
    "pyos": "route_pyos",
    "console": "route_console",
    "speedtest": "route_speedtest",
}
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
_SUFFIX = re.compile(r"(?:\*?\.)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)\.?")
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
"""Bytes of the environment that are not UTF-8 arrive as surrogates (PEP 383)."""
_MAX_S = 30 * 86400
_LISTEN = re.compile(
    r"(?:(?P<host>\*|[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])?:)?(?P<port>[0-9]{1,5})(?P<ssl> +ssl)?"
)
_TRIES = 5
"""How often files are read again that change under our hands."""
_PORT_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


class Endpoint(NamedTuple):
    """Where to listen."""

    host: str
    """An IP address; IPv6 without brackets."""
    port: int
    is_default: bool = False
    """Whether nobody asked for it."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_METRICS = Endpoint("127.0.0.1", 9145, is_default=True)


class AccessLogSettings(NamedTuple):
    """What the access log is."""

    format: str
    """``json``, ``combined`` or ``off``."""
    path: str
    """The file; empty for standard output."""
    shows_target: bool
    """Whether lines name the server that a request went to."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration that is complete and checked."""

    rules: Rules
    pools: Mapping[str, PoolSpec]
    """The servers of each upstream, with all that is configured of them."""
    carrier: str
    """``relay`` or ``stock``."""
    limits: Limits
    cache_limits: CacheLimits
    encoding: EncodingPolicy
    watch: str
    """``auto``, ``always`` or ``never``."""
    watch_limits: WatchLimits
    listen: tuple[ListenAddress, ...]
    """Empty for where mitmproxy's own options say."""
    workers: int
    """0 for as many as there is room for."""
    drain: DrainLimits
    record: str
    """The file to record in, or empty."""
    certificates: tuple[CertificateFiles, ...]
    upstream_ca: str
    """A PEM file of CAs, or empty."""
    files: Mapping[str, object]
    """What it was made of besides the options' values: keys, CAs, the configuration file. By path,
    what they looked like before they were read."""
    cache_ttl_s: int
    cache_entries: int
    metrics: Endpoint | None
    access_log: AccessLogSettings
    signing_fingerprints: tuple[str, ...]
    payload_fingerprints: tuple[str, ...]
    warnings: tuple[str, ...]
    """What an operator should be told at the start."""

    @property
    def cache_key(self) -> object:
        """What verified tokens depend on: when it changes, they are forgotten."""
        rules = self.rules
        return (
            self.signing_fingerprints,
            self.payload_fingerprints,
            rules.policy.allow,
            rules.policy.deny,
            rules.leeway_s,
            self.cache_ttl_s,
            self.cache_entries,
        )

    def share(self, worker: Worker) -> "Settings":
        """What one of several processes gets: of all that is bounded in all, its part."""
        share, limits, cache = worker.share, self.limits, self.cache_limits
        return dataclasses.replace(
            self,
            pools={name: _share_pool(pool, worker) for name, pool in self.pools.items()},
            limits=dataclasses.replace(
                limits,
                spool_bytes=share(limits.spool_bytes),
                max_connections=share(limits.max_connections),
                max_connections_per_client=share(limits.max_connections_per_client),
            ),
            cache_limits=dataclasses.replace(cache, max_bytes=share(cache.max_bytes)),
            cache_entries=share(self.cache_entries),
        )

    def describe(self) -> str:
        """One line for the start of the log."""
        upstreams = " ".join(
            f"{name}={server.scheme.decode()}://{server.authority.decode()}"
            for name, servers in self.rules.upstreams.items()
            for server in servers
        )
        proxies = ",".join(map(str, self.rules.proxies.networks)) or "none"
        signing = ",".join(self.signing_fingerprints) or "none"
        payload = ",".join(self.payload_fingerprints) or "none"
        return (
            f"upstreams {upstreams}; trusted proxies {proxies}; "
            f"signing key sha256 {signing}; payload key sha256 {payload}"
        )


def build_settings(
    values: Values, is_set: Callable[[str], bool] = lambda name: False, *, need_keys: bool = True
) -> Settings:
    """Parse and check everything; load the keys.

    Args:
        values: The value of every option.
        is_set: Whether somebody set an option, so that it wins over the configuration file.
        need_keys: Whether keys must be there; without a listener they need not be.

    Raises:
        BadOption: Something cannot be used; the text names the option, its value and the remedy.
    """
    for _ in range(_TRIES):
        settings = _build_settings(values, is_set, need_keys=need_keys)
        if stamp_files(settings.files) == settings.files:
            break
        # They have changed while they were read: one of them may be of the old set.
    return settings


def _build_settings(values: Values, is_set: Callable[[str], bool], *, need_keys: bool) -> Settings:
    files = stamp_files(_files(values))
    config = _read_config(_text(values, "route_config"))
    pools = _pools(values, is_set, config)
    upstreams = {name: pool.in_order for name, pool in pools.items()}
    signing_keys = _load_keys(values, "route_signing_key", load_signing_key, need_keys=need_keys)
    payload_keys = _load_keys(values, "route_payload_key", load_payload_key, need_keys=need_keys)
    warnings = _check_nginx_files(values) if need_keys else []
    for key in signing_keys:
        _check_key("route_signing_key", key, values, warnings)
    for private_key in payload_keys:
        _check_key("route_payload_key", private_key, values, warnings)
    rules = Rules(
        locations=_locations(values, is_set, config, upstreams),
        upstreams=upstreams,
        proxies=TrustedProxies(_networks(values, "route_trusted_proxies")),
        policy=TargetPolicy(
            _host_set(values, "route_target_allow"), _host_set(values, "route_target_deny")
        ),
        keys=Keys(signing_keys, payload_keys),
        leeway_s=_number(values, "route_leeway", 0, 3600),
        cookie=_cookie(_text(values, "route_cookie")),
        allowed_origins=_origins(_text(values, "route_allowed_origins")),
        container_ports=_container_ports(_text(values, "route_container_ports")),
        console_allow=_console_allow(values),
        node_name=_text(values, "route_node_name"),
        acme_root=_acme_root(_text(values, "route_acme_root")),
        hsts_s=_number(values, "route_hsts", 0, 10 * 365 * 86400),
        https_redirect_port=_number(values, "route_https_redirect", 0, 65535),
    )
    return Settings(
        rules=rules,
        pools=pools,
        carrier=_choice(values, "route_carrier", ("relay", "stock")),
        limits=_limits(values),
        cache_limits=_cache_limits(values, rules.locations),
        encoding=EncodingPolicy(
            _codings(_text(values, "route_compress")), bool(values["route_compress_behind_tokens"])
        ),
        watch=_choice(values, "route_watch", ("auto", "always", "never")),
        watch_limits=WatchLimits(
            body_bytes=_number(values, "route_watch_body_bytes", 0, 2**40),
            history_messages=_number(values, "route_websocket_history", 1, 10_000_000),
            history_bytes=_number(values, "route_websocket_history_bytes", 1, 2**40),
            record_payloads=bool(values["route_record_payloads"]),
        ),
        listen=_listen(_text(values, "route_listen")),
        workers=_number(values, "route_workers", 0, 256),
        drain=DrainLimits(
            requests_s=_number(values, "route_drain", 0, _MAX_S),
            websockets_s=_number(values, "route_drain_websockets", 0, _MAX_S),
        ),
        record=_record(values),
        certificates=_certificates(_text(values, "route_certs")),
        upstream_ca=_text(values, "route_upstream_ca"),
        files=files,
        cache_ttl_s=_number(values, "route_cache_ttl", 0, 86400),
        cache_entries=_number(values, "route_cache_entries", 1, 10_000_000),
        metrics=_endpoint(_text(values, "route_metrics")),
        access_log=AccessLogSettings(
            _choice(values, "route_access_log", ("off", "json", "combined")),
            _text(values, "route_access_log_file"),
            bool(values["route_access_log_target"]),
        ),
        signing_fingerprints=tuple(map(fingerprint, signing_keys)),
        payload_fingerprints=tuple(map(fingerprint, payload_keys)),
        warnings=tuple(warnings),
    )


def _share_pool(pool: PoolSpec, worker: Worker) -> PoolSpec:
    servers = (
        dataclasses.replace(server, max_conns=worker.share(server.max_conns))
        for server in pool.servers
    )
    return dataclasses.replace(pool, servers=tuple(servers))


def stamp_files(paths: Iterable[str]) -> dict[str, object]:
    """What tells that files have changed, by path."""
    return {path: stamp_file(path) for path in paths}


def _files(values: Values) -> Iterator[str]:
    keys = (_paths(values, name) for name in ("route_signing_key", "route_payload_key"))
    others = (_text(values, name) for name in ("route_config", "route_upstream_ca"))
    return filter(None, chain(*keys, others))


def _paths(values: Values, name: str) -> list[str]:
    return [path for path in _text(values, name).split(":") if path]


def _text(values: Values, name: str) -> str:
    value = str(values[name])
    if _NOT_TEXT.search(value):
        raise BadOption(name, ascii(value), "must be UTF-8 text without a NUL")
    return value


def _number(values: Values, name: str, least: int, most: int) -> int:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadOption(name, value, f"must be a whole number from {least} to {most}")
    return value


def _limits(values: Values) -> Limits:
    spool_folder = _text(values, "route_spool_dir")
    if spool_folder and not (os.path.isdir(spool_folder) and os.access(spool_folder, os.W_OK)):
        raise BadOption("route_spool_dir", spool_folder, "must be a folder that can be written to")
    seconds = {
        field: float(_number(values, f"route_{name}_timeout", least, _MAX_S))
        for field, name, least in (
            ("tls_handshake_s", "tls_handshake", 1),
            ("head_s", "head", 1),
            ("body_s", "body", 1),
            ("send_s", "send", 1),
            ("keepalive_s", "keepalive", 1),
            ("connect_s", "connect", 1),
            ("answer_s", "answer", 0),
            ("websocket_s", "websocket", 1),
        )
    }
    return Limits(
        **seconds,
        spool_folder=spool_folder,
        spool_bytes=_number(values, "route_spool_bytes", 0, 2**62),
        max_connections=_number(values, "route_max_connections", 0, 2**20),
        max_connections_per_client=_number(values, "route_max_connections_per_client", 0, 2**20),
    )


def _record(values: Values) -> str:
    path = _text(values, "route_record")
    if path and values["route_carrier"] == "stock":
        raise BadOption("route_record", path, "stock flows hold tokens; take route_carrier=relay")
    if path and values["route_watch"] == "never":
        raise BadOption(
            "route_record", path, "records nothing with route_watch=never; leave it out"
        )
    if path and not os.path.isdir(os.path.dirname(os.path.abspath(os.path.expanduser(path)))):
        raise BadOption("route_record", path, "must be a file in a folder that is there")
    return path


def _cache_limits(values: Values, locations: Locations) -> CacheLimits:
    name = "route_http_cache"
    value = _text(values, name)
    paths = frozenset(split_list(value)) if value.strip().lower() != "none" else frozenset()
    known = {
        location.location
        for location in locations.all
        if not location.token and location.upstream not in (POD, HERE)
    }
    for path in sorted(paths - known):
        raise BadOption(
            name, value, f"{path!r} must be a location without a token: {', '.join(sorted(known))}"
        )
    return CacheLimits(
        locations=paths,
        max_bytes=_number(values, f"{name}_bytes", 0, 2**40),
        max_object_bytes=_number(values, f"{name}_object_bytes", 0, 2**40),
        policy=Policy(
            heuristic_fraction=_number(values, f"{name}_heuristic", 0, 100) / 100,
            stale_if_error_s=_number(values, f"{name}_stale_if_error", 0, _MAX_S),
        ),
    )


def _codings(value: str) -> tuple[str, ...]:
    if value.strip().lower() == "none":
        return ()
    codings = tuple(dict.fromkeys(split_list(value)))
    for coding in codings:
        if coding not in CODINGS:
            raise BadOption(
                "route_compress", value, f"{coding!r} must be one of {', '.join(CODINGS)}, or none"
            )
    return codings


def _choice(values: Values, name: str, choices: tuple[str, ...]) -> str:
    value = _text(values, name)
    if value not in choices:
        raise BadOption(name, value, f"must be one of {', '.join(choices)}")
    return value


def _endpoint(value: str) -> Endpoint | None:
    text = value.strip()
    if text.lower() == "auto":
        return _METRICS
    if text in ("", "0"):
        return None
    host, _, port = text.rpartition(":")
    address = parse_address(host.strip("[]") or _METRICS.host)
    is_bracketed = host.startswith("[") == (":" in host)
    if address is None or not is_bracketed or not _is_port_text(port):
        raise BadOption(
            "route_metrics", value, "must be ADDRESS:PORT (IPv6 in brackets), PORT, auto or 0"
        )
    return Endpoint(str(address), int(port))


def _is_port_text(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and _is_port(int(text))


def split_list(text: str) -> list[str]:
    """The items of an option that is a list, separated by commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def _read_config(path: str) -> ConfigFile:
    try:
        return read_config_file(path) if path else ConfigFile()
    except OSError as error:
        raise BadOption("route_config", path, f"cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise BadOption("route_config", path, str(error)) from None


def _pools(
    values: Values, is_set: Callable[[str], bool], config: ConfigFile
) -> dict[str, PoolSpec]:
    pools: dict[str, PoolSpec] = {}
    for upstream, pool in config.upstreams.items():
        if upstream in (POD, HERE):
            raise BadOption("route_config", config.path, f"upstream.{upstream}: the name is taken")
        pools[upstream] = pool
    for upstream, name in _UPSTREAM_OPTIONS.items():
        if upstream in pools and not is_set(name):
            continue
        value = _text(values, name)
        try:
            pools[upstream] = parse_pool(upstream, value)
        except ValueError as error:
            raise BadOption(name, value, str(error)) from None
    return pools


def _load_keys[K](
    values: Values, name: str, load: Callable[[bytes], K], *, need_keys: bool
) -> tuple[K, ...]:
    paths = _paths(values, name)
    if not paths and need_keys:
        option = next(option for option in OPTIONS if option.name == name)
        raise BadOption(
            name,
            "",
            f"is not set; name a PEM file, by --set {name}=PATH or {option.environment[0]}",
        )
    return tuple(_load_key(name, path, load) for path in paths)


def _load_key[K](name: str, path: str, load: Callable[[bytes], K]) -> K:
    try:
        return load(Path(path).read_bytes())
    except OSError as error:
        raise BadOption(
            name, path, f"cannot be read ({error.strerror}); name a PEM file that is there"
        ) from None
    except KeyFault as fault:
        raise BadOption(name, path, str(fault)) from None


def _check_nginx_files(values: Values) -> list[str]:
    """What to tell of files that are mounted for nginx, where none of them stops the start."""
    has_console_rules = bool(_text(values, "route_console_allow").strip())
    warnings = [nginx_files.find_ignored_site(nginx_files.FOLDER)]
    for lost in nginx_files.find_lost_rules(
        nginx_files.FOLDER, has_console_rules=has_console_rules
    ):
        if not values["route_ignore_nginx_config"]:
            raise BadOption(
                "route_ignore_nginx_config",
                "false",
                f"{lost.path} holds rules of nginx's, which are not in force here: {lost.remedy} "
                "and mount the file no more, or set this to true to go without them",
            )
        warnings.append(f"{lost.path} is there, and its rules are not in force")
    return [warning for warning in warnings if warning]


def _check_key(
    name: str, key: RSAPublicKey | RSAPrivateKey, values: Values, warnings: list[str]
) -> None:
    if is_known(key) and not values["route_allow_known_keys"]:
        raise BadOption(
            name,
            values[name],
            "everybody has this key: a public image ships it; make keys of your own, or set "
            "route_allow_known_keys for a test",
        )
    if key.key_size < WEAK_BITS:
        warnings.append(f"{name}: a key of {key.key_size} bits is weak; use {WEAK_BITS} or more")


def _locations(
    values: Values,
    is_set: Callable[[str], bool],
    config: ConfigFile,
    upstreams: Mapping[str, tuple[Server, ...]],
) -> Locations:
    own = _ports(_text(values, "route_ports"), config)
    first, last = (config.ports, own) if is_set("route_ports") else (own, config.ports)
    ports = {**PORTS, **first, **last}
    try:
        locations = build_locations(ports, config.rows)
    except BadLocation as error:
        raise BadOption("route_config", config.path, str(error)) from None
    for location in locations.all:
        _check_upstream(location, config, upstreams)
    return locations


def _ports(value: str, config: ConfigFile) -> dict[str, int]:
    known = {**PORTS, **config.ports}
    ports: dict[str, int] = {}
    for item in split_list(value):
        name, _, port = item.partition("=")
        if name not in known or not _is_port_text(port):
            raise BadOption(
                "route_ports", value, f"{item!r} must be NAME=PORT, NAME one of {', '.join(known)}"
            )
        ports[name] = int(port)
    return ports


def _check_upstream(
    location: Location, config: ConfigFile, upstreams: Mapping[str, tuple[Server, ...]]
) -> None:
    if location.upstream not in (POD, HERE, *upstreams):
        raise BadOption(
            "route_config",
            config.path,
            f"location {location.location!r}: no upstream {location.upstream!r} is there; "
            f"add [upstream.{location.upstream}]",
        )


def _is_port(port: int) -> bool:
    return 0 < port < 65536


def _networks(values: Values, name: str) -> tuple[Network, ...]:
    value = _text(values, name)
    if value.strip().lower() == "none":
        return ()
    return tuple(_network(name, value, item) for item in split_list(value))


def _console_allow(values: Values) -> tuple[Network, ...] | None:
    name = "route_console_allow"
    return _networks(values, name) if _text(values, name).strip() else None


def _network(name: str, value: str, item: str, other: str = "") -> Network:
    try:
        return ipaddress.ip_network(item)
    except ValueError:
        raise BadOption(
            name, value, f"{item!r} must be a network (10.0.0.0/8, without host bits){other}"
        ) from None


def _host_set(values: Values, name: str) -> HostSet:
    value = _text(values, name)
    networks: list[Network] = []
    suffixes: list[str] = []
    for item in split_list(value):
        suffix = _SUFFIX.fullmatch(item)
        host = parse_target_host(suffix[1].encode()) if suffix is not None else None
        if host is None or parse_address(host) is not None:
            networks.append(_network(name, value, item, " or a DNS suffix"))
        else:
            suffixes.append(host)
    return HostSet(tuple(networks), tuple(suffixes))


def _cookie(value: str) -> bytes:
    if not _COOKIE_NAME.fullmatch(value):
        raise BadOption("route_cookie", value, "must be a cookie name (RFC 6265)")
    return value.encode("ascii")


def _origins(value: str) -> frozenset[Origin]:
    origins: set[Origin] = set()
    for item in split_list(value):
        parsed = parse_origin(item.encode("utf-8"))
        if parsed is None or urlsplit(item).path not in ("", "/"):
            raise BadOption(
                "route_allowed_origins", value, f"{item!r} must be scheme://host[:port]"
            )
        scheme, authority = parsed
        origins.add(Origin(scheme, full_authority(scheme, authority)))
    return frozenset(origins)


def _container_ports(value: str) -> frozenset[int] | None:
    if not value.strip():
        return None
    ports: set[int] = set()
    for item in split_list(value):
        match = _PORT_RANGE.fullmatch(item)
        first = int(match[1]) if match else 0
        last = int(match[2] or match[1]) if match else 0
        if not (_is_port(first) and _is_port(last) and first <= last):
            raise BadOption(
                "route_container_ports", value, f"{item!r} must be a port or a range (9000-9100)"
            )
        ports.update(range(first, last + 1))
    return frozenset(ports)


def _listen(value: str) -> tuple[ListenAddress, ...]:
    addresses: list[ListenAddress] = []
    for item in split_list(value):
        match = _LISTEN.fullmatch(item)
        if match is None or int(match["port"]) > 65535:
            raise BadOption(
                "route_listen",
                value,
                f"{item!r} must be PORT, HOST:PORT or [IPV6]:PORT, and ' ssl' where it is for TLS "
                "only",
            )
        host = "" if match["host"] == "*" else (match["host"] or "").strip("[]")
        addresses.append(ListenAddress(host, int(match["port"]), match["ssl"] is not None))
    return tuple(addresses)


def _certificates(value: str) -> tuple[CertificateFiles, ...]:
    files: list[CertificateFiles] = []
    for item in split_list(value):
        chain, colon, key = item.partition(":")
        if not chain or (colon and not key) or ":" in key:
            raise BadOption("route_certs", value, f"{item!r} must be PATH or CHAIN:KEY")
        files.append(CertificateFiles(chain, key or chain))
    return tuple(files)


def _acme_root(value: str) -> str:
    if value and not os.path.isdir(value):
        raise BadOption("route_acme_root", value, "must be a folder that is there")
    return value
