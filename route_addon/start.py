"""What must be true before the router listens, and what mitmproxy has to be told for it."""

import gc
import ssl
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from mitmproxy import addonmanager, ctx, exceptions, optmanager

from route_addon.carry.tls.certificate import CertificateFault, CertificateFiles
from route_addon.carry.tls.certificates import Certificates
from route_addon.carry.tls.layer import build_upstream_context
from route_addon.config import nginx_files
from route_addon.config.environment import default_values
from route_addon.config.settings import Settings
from route_addon.options import OPTIONS, BadOption, Value

NAMES = frozenset(option.name for option in OPTIONS)

_HOST_OPTIONS: dict[str, object] = {
    "connection_strategy": "lazy",
    "keep_host_header": True,
    "block_global": False,
    "onboarding": False,
    "tcp_timeout": 3600,
    # A flow that somebody watches leaves as it would if nobody did.
    "keep_alt_svc_header": True,
    # mitmweb's: the comment says where a flow went.
    "web_columns": ["path", "method", "status", "comment", "time"],
}
"""mitmproxy's own options that a public gateway needs otherwise; what the user sets stays."""

_HOST_ADDONS = ("disableh2c", "onboarding")
"""mitmproxy's own addons that change requests or answer them: the one would take Connection away
with the Upgrade; the other looks at each request in a task, to find that its option is off."""


def register_options(loader: addonmanager.Loader, environment: Mapping[str, str]) -> None:
    """Register every option, and take what the command line and mitmproxy's config say of them.

    Args:
        loader: mitmproxy's.
        environment: The process environment: its values are the defaults.

    Raises:
        BadOption: A value of the wrong type, an option set twice, or one that does not exist.
    """
    defaults = default_values(environment)
    for option in OPTIONS:
        unit = f" Unit: {option.unit}." if option.unit else ""
        names = ", ".join(option.environment_names)
        loader.add_option(
            option.name,
            type(option.default),
            defaults[option.name],
            f"{option.help}{unit} Environment: {names}.",
        )
    try:
        # Later would be too late: a failure there ends the loading of the script in silence.
        ctx.options.process_deferred()
    except (exceptions.OptionsError, TypeError) as error:
        name, given = _find_deferred(str(error))
        raise BadOption(name, given, f"{error}; give each option once, with its type") from None
    unknown = sorted(name for name in ctx.options.deferred if name.startswith("route_"))
    if unknown:
        near = get_close_matches(unknown[0], NAMES, 1) or sorted(NAMES)
        raise BadOption(unknown[0], "", f"is no option; did you mean {near[0]}?")
    for name, value in _HOST_OPTIONS.items():
        if name in ctx.options and not is_set(name):
            ctx.options.update(**{name: value})


def remove_host_addons() -> None:
    """Remove those of mitmproxy's own addons that would change what passes.

    Not while an addon loads: the one that is being added would be lost with the old chain.
    """
    for name in _HOST_ADDONS:
        addon = ctx.master.addons.get(name)
        is_wanted = name in ctx.options and getattr(ctx.options, name)
        if addon is not None and not is_wanted:
            ctx.master.addons.remove(addon)


def _find_deferred(fault: str) -> tuple[str, str]:
    """The option that a fault of mitmproxy's speaks of, and what was given for it."""
    # One name may be the beginning of another.
    name = max((name for name in ctx.options.deferred if name in fault), key=len, default="--set")
    given = ctx.options.deferred.get(name, "")
    return name, ", ".join(map(str, getattr(given, "val", [given])))


def is_set(name: str) -> bool:
    """Whether somebody set an option: ``has_changed`` cannot tell that from a default."""
    return ctx.options._options[name].value is not optmanager.unset


def check_host_options() -> None:
    """Check mitmproxy's own options against what the router can be run with.

    Raises:
        BadOption: One that would open the gate, or show secrets.
    """
    options = ctx.options
    if options.proxy_debug:
        raise BadOption("proxy_debug", "true", "would log tokens; leave it out")
    strategy = getattr(options, "connection_strategy", "lazy")
    if options.server and strategy != "lazy":
        fault = "would connect before anything is decided, and be refused; leave it out"
        raise BadOption("connection_strategy", strategy, fault)
    modes = options.mode if is_set("mode") else []
    for mode in modes:
        if not mode.startswith("reverse:http"):
            raise BadOption("mode", mode, "the router sets its own mode; leave it out")
    is_stock = options.server and options.route_carrier == "stock"
    for name, flag in (("save_stream_file", "-w"), ("hardump", "it")):
        value = getattr(options, name, None)
        if is_stock and value:
            raise BadOption(
                name,
                value,
                f"flows of the stock carrier hold tokens; leave {flag} out, or take the relay",
            )


def option_values() -> dict[str, Value]:
    """The value of every option of ours, as it is now."""
    return {name: getattr(ctx.options, name) for name in NAMES}


def load_certificates(settings: Settings, old: Certificates | None) -> Certificates:
    """The certificates that the options name, ours or mitmproxy's, or else those for nginx.

    Args:
        settings: The settings that will be in force.
        old: The certificates in force; they are kept when the options name the same.

    Raises:
        BadOption: One that cannot be used.
    """
    name, files = "route_certs", settings.certificates
    if not ctx.options.server:
        files = ()
    elif not files:
        name, files = "certs", tuple(map(_parse_cert, ctx.options.certs))
        files = files or _find_mounted(old)
    passphrase = ctx.options.cert_passphrase or ""
    if old is not None and old.source == (files, passphrase):
        return old
    try:
        return Certificates(files, passphrase)
    except CertificateFault as fault:
        raise BadOption(name, fault.files, str(fault)) from None


def _find_mounted(old: Certificates | None) -> tuple[CertificateFiles, ...]:
    """The certificate for nginx; one that has been in force stays so, if it is gone."""
    there = nginx_files.find_certificate(nginx_files.FOLDER)
    known = (nginx_files.certificate_files(nginx_files.FOLDER),)
    return known if old is not None and old.source[0] == known else there


def _parse_cert(spec: str) -> CertificateFiles:
    """One of mitmproxy's ``certs``: ``[NAME=]PATH``."""
    name, _, path = spec.rpartition("=")
    path = str(Path(path).expanduser())
    return CertificateFiles(path, path, (name or "*",))


def load_upstream_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context towards upstreams, where one is needed.

    Raises:
        BadOption: CAs that cannot be read.
    """
    schemes = {server.scheme for servers in settings.rules.upstreams.values() for server in servers}
    if not settings.upstream_ca and b"https" not in schemes:
        return None
    try:
        return build_upstream_context(settings.upstream_ca)
    except OSError:
        raise BadOption(
            "route_upstream_ca",
            settings.upstream_ca,
            "must be a PEM file of CA certificates that can be read",
        ) from None


def spare_collector() -> None:
    """Let the garbage collector look no more at what is there after the start: it stays.

    Without this a whole collection, some minutes later, would look at a hundred thousand objects
    of mitmproxy's, with every connection standing still for some 20 to 60 ms.
    """
    gc.collect()
    gc.freeze()


def refuse_start(sentence: str) -> NoReturn:
    """End the process: one sentence, no stack trace, exit status 1."""
    print(f"route_addon: {sentence}", file=sys.stderr, flush=True)
    sys.exit(1)
