"""What must be true before the router listens, and what mitmproxy has to be told for it."""

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from typing import NoReturn

from mitmproxy import addonmanager, ctx, exceptions, optmanager

from route_addon.options import OPTIONS, BadOption, Value, default_values

NAMES = frozenset(option.name for option in OPTIONS)

_HOST_OPTIONS: dict[str, object] = {
    "connection_strategy": "lazy",
    "keep_host_header": True,
    "block_global": False,
    "onboarding": False,
    "tcp_timeout": 3600,
}
"""mitmproxy's own options that a public gateway needs otherwise; what the user sets stays."""


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
    except exceptions.OptionsError as error:
        raise BadOption("--set", "", f"{error}; give each option once, with its type") from None
    unknown = sorted(name for name in ctx.options.deferred if name.startswith("route_"))
    if unknown:
        near = get_close_matches(unknown[0], NAMES, 1) or sorted(NAMES)
        raise BadOption(unknown[0], "", f"is no option; did you mean {near[0]}?")
    for name, value in _HOST_OPTIONS.items():
        if not is_set(name):
            ctx.options.update(**{name: value})


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
    modes = options.mode if is_set("mode") else []
    for mode in modes:
        if not mode.startswith("reverse:http"):
            raise BadOption("mode", mode, "the router sets its own mode; leave it out")
    if options.server and options.save_stream_file:
        raise BadOption(
            "save_stream_file",
            options.save_stream_file,
            "flows of the stock carrier hold tokens; leave -w out",
        )


def option_values() -> dict[str, Value]:
    """The value of every option of ours, as it is now."""
    return {name: getattr(ctx.options, name) for name in NAMES}


def refuse_start(sentence: str) -> NoReturn:
    """End the process: one sentence, no stack trace, exit status 1."""
    print(f"route_addon: {sentence}", file=sys.stderr, flush=True)
    sys.exit(1)
