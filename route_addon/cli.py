"""The console command: each subcommand is a module of its own, imported when it is called."""

import gc
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple

from route_addon.lazy_addons import import_addons_lazily
from route_addon.version import find_version


class Subcommand(NamedTuple):
    """One subcommand: the module whose ``main(argv)`` runs it, and what it is for."""

    module: str
    help: str


SUBCOMMANDS = {
    "serve": Subcommand("route_addon.serve.command", "run the router, without a UI"),
    "check": Subcommand("route_addon.serve.check", "check a configuration, and show what it means"),
    "replay": Subcommand("route_addon.debug.replay_command", "judge recorded requests again"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the subcommand that the arguments name.

    Args:
        argv: The arguments; None for those of the process.

    Returns:
        The exit status: 2 where nothing that is known was asked for.
    """
    _fill_descriptors()
    name, *rest = (sys.argv[1:] if argv is None else argv) or ("--help",)
    if name in ("-h", "--help"):
        print(_usage())
        return 0
    if name in ("-V", "--version"):
        print(f"route-addon {find_version()}")
        return 0
    if name not in SUBCOMMANDS:
        near = get_close_matches(name, SUBCOMMANDS, 1) or list(SUBCOMMANDS)
        sys.stderr.write(f"route-addon: no subcommand {name!r}; did you mean {near[0]}?\n")
        return 2
    import_addons_lazily()
    # What is imported stays: to look through it for garbage while it grows finds nothing.
    gc.disable()
    module = import_module(SUBCOMMANDS[name].module)
    gc.enable()
    status: int = module.main(rest)
    return status


def _fill_descriptors() -> None:
    """Open those of the standard streams that were closed before the start (``<&-``).

    Else a client's connection would have the number of one of them.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _usage() -> str:
    lines = (f"  {name:8}{subcommand.help}" for name, subcommand in SUBCOMMANDS.items())
    more = ("", "'route-addon SUBCOMMAND --help' says more; --version tells which one this is.")
    return "\n".join(("usage: route-addon SUBCOMMAND [OPTION...]", "", *lines, *more))
