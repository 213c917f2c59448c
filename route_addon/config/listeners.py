"""Where to listen, with which certificates, and where the metrics are."""

import re
from typing import Final

from route_addon.carry.listen.sockets import ListenAddress
from route_addon.carry.tls.certificate import CertificateFiles
from route_addon.config.settings import MetricsAddress
from route_addon.config.values import OptionValues, parse_port, split_list
from route_addon.core.targets import parse_address
from route_addon.options import BadOption

_LISTEN: Final = re.compile(
    r"(?:(?P<host>\*|[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])?:)?(?P<port>[0-9]{1,5})(?P<ssl> +ssl)?"
)
_METRICS: Final = MetricsAddress("127.0.0.1", 9145, is_default=True)


def parse_listen(values: OptionValues) -> tuple[ListenAddress, ...]:
    """The addresses to listen at; port 0 is one that the system chooses.

    Raises:
        BadOption: One that is not an address.
    """
    value = values.text("route_listen")
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


def parse_certificates(values: OptionValues) -> tuple[CertificateFiles, ...]:
    """The files of each certificate.

    Raises:
        BadOption: One that names no files.
    """
    value = values.text("route_certs")
    files: list[CertificateFiles] = []
    for item in split_list(value):
        chain, colon, key = item.partition(":")
        if not chain or (colon and not key) or ":" in key:
            raise BadOption("route_certs", value, f"{item!r} must be PATH or CHAIN:KEY")
        files.append(CertificateFiles(chain, key or chain))
    return tuple(files)


def parse_metrics(values: OptionValues) -> MetricsAddress | None:
    """Where the metrics are to be had.

    Raises:
        BadOption: What is not an address.
    """
    value = values.text("route_metrics")
    text = value.strip()
    if text.lower() == "auto":
        return _METRICS
    if text in ("", "0"):
        return None
    host, _, port_text = text.rpartition(":")
    address = parse_address(host.strip("[]") or _METRICS.host)
    port = parse_port(port_text)
    is_bracketed = host.startswith("[") == (":" in host)
    if address is None or not is_bracketed or port is None:
        raise BadOption(
            "route_metrics", value, "must be ADDRESS:PORT (IPv6 in brackets), PORT, auto or 0"
        )
    return MetricsAddress(str(address), port)
