"""``route-addon replay FILE``: recorded traffic, decided again by the configuration of now."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence

from mitmproxy import exceptions, optmanager

from route_addon.config.build import build_settings
from route_addon.config.environment import default_values
from route_addon.core.router import Router
from route_addon.core.targetmap import TargetMap
from route_addon.debug.recording import BadRecording
from route_addon.debug.replay import DIFFERENT, report, sum_up
from route_addon.options import OPTIONS, BadOption, Value

_KEYS = ("route_signing_key", "route_payload_key")
"""Not looked at: what became of a token stands in the recording."""


def main(argv: Sequence[str]) -> int:
    """Run the subcommand.

    Returns:
        The exit status: 0 when all is decided as it was, 1 when something is not, 2 when a file
        or the configuration cannot be used.
    """
    arguments = _parse_arguments(argv)
    try:
        router = _build_router(arguments.set)
        counts: Counter[str] = Counter()
        for path in arguments.file:
            print(path)
            for line in report(path, router, counts):
                print(line)
    except (BadOption, BadRecording) as error:
        sys.stderr.write(f"route-addon replay: {error}\n")
        return 2
    except BrokenPipeError:
        # Whoever reads the report has seen enough; the interpreter would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    print(sum_up(counts))
    return 1 if counts[DIFFERENT] else 0


def _parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="route-addon replay",
        description="Decide recorded requests again, at the time they were recorded, without keys, "
        "network or pods. Exit status: 0 all the same, 1 something differs, 2 a file or the "
        "configuration cannot be used.",
    )
    parser.add_argument("file", nargs="+", metavar="FILE", help="as route.record, or -w, wrote it")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option, as mitmproxy takes it; the environment counts, too",
    )
    return parser.parse_args(argv)


def _build_router(specs: Sequence[str]) -> Router:
    """The router of a configuration.

    Raises:
        BadOption: It cannot be used.
    """
    options = optmanager.OptManager()
    for option in OPTIONS:
        options.add_option(option.name, type(option.default), option.default, option.help)
    given = {spec.partition("=")[0] for spec in specs}
    try:
        options.update(**default_values(os.environ))
        options.set(*specs)
    except exceptions.OptionsError as error:
        raise BadOption("--set", " ".join(specs), str(error)) from None
    values: dict[str, Value] = {option.name: getattr(options, option.name) for option in OPTIONS}
    values |= dict.fromkeys(_KEYS, "")
    rules = build_settings(values, given.__contains__, need_keys=False).rules
    return Router(rules, TargetMap(1, 0))
