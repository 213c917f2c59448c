"""The command line of ``serve`` and ``check``."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NoReturn

PORT: Final = 8080
"""Where to listen when nobody says: mitmproxy's port."""


_DESCRIPTIONS: Final = {
    "serve": "Run the router, without a UI, in as many processes as there is room for. "
    "SIGTERM drains, SIGHUP reads keys, certificates and the configuration file again.",
    "check": "Show what a configuration means, and run nothing: the value of every option and who "
    "says it, the locations, the upstreams, the fingerprints of the keys. The exit status is 0 "
    "where all of it can be used.",
}
_OPTIONS: Final = (
    "Options are named route_...: 'route-addon check' lists them, docs/configuration.md explains "
    "them. Each can also be set by the environment, its name in capitals."
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the command line says."""

    assignments: tuple[str, ...]
    """Options as ``--set`` takes them: ``name=value``."""
    config: str
    """A file of options, as mitmproxy's config.yaml is one; or empty."""
    is_check: bool
    """Whether nothing is to be run."""
    connects: bool
    """Whether a check connects to the upstreams."""


class _Parser(argparse.ArgumentParser):
    """One that knows what an unknown argument may have meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")

    def refuse(self, unknown: str) -> NoReturn:
        """End with the nearest name of what is not known."""
        known = list(self._option_string_actions)
        near = get_close_matches(unknown.partition("=")[0], known, 1) or ["--set"]
        self.error(f"no argument {unknown}; did you mean {near[0]}?")


def parse_arguments(subcommand: str, argv: Sequence[str], *, is_check: bool = False) -> Arguments:
    """Read the command line; one that cannot be understood ends the process with status 2.

    Args:
        subcommand: Its name, for messages.
        argv: The arguments behind it.
        is_check: Whether it is a check even if no argument says so.
    """
    parser = _build_parser(subcommand)
    parsed, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.refuse(unknown[0])
    assignments = list(parsed.assignments)
    if parsed.listen_host is not None or parsed.listen_port is not None:
        host = parsed.listen_host or "*"
        host = f"[{host}]" if ":" in host else host
        port = PORT if parsed.listen_port is None else parsed.listen_port
        assignments.append(f"route_listen={host}:{port}")
    if parsed.workers is not None:
        assignments.append(f"route_workers={parsed.workers}")
    return Arguments(
        tuple(assignments),
        parsed.config,
        is_check or parsed.check or parsed.connect,
        parsed.connect,
    )


def _build_parser(subcommand: str) -> _Parser:
    parser = _Parser(
        prog=f"route-addon {subcommand}",
        allow_abbrev=False,
        description=_DESCRIPTIONS[subcommand],
        epilog=_OPTIONS,
    )
    add = parser.add_argument
    add(
        "--set",
        metavar="NAME=VALUE",
        dest="assignments",
        action="append",
        default=[],
        help="set an option; may be given many times",
    )
    add("--config", metavar="FILE", default="", help="a YAML file of options: name: value")
    add("--listen-host", metavar="HOST", help="all addresses, or what route_listen says")
    add("--listen-port", metavar="PORT", type=int, help=f"{PORT}, or what route_listen says")
    add("--workers", metavar="N", type=int, help="the number of processes (route_workers)")
    shown = "the same as route-addon check" if subcommand == "serve" else argparse.SUPPRESS
    add("--check", action="store_true", help=shown)
    add("--connect", action="store_true", help="check, and connect to each upstream")
    return parser
