"""mitmproxy without a UI: its listener, its options and its hooks, and our addon."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from socket import socket

from mitmproxy import exceptions, master, options, optmanager
from mitmproxy.addons import core, errorcheck, next_layer, proxyserver

from route_addon.addon import RouteAddon
from route_addon.compose import build_service
from route_addon.config.workers import ALONE, Worker
from route_addon.options import BadOption
from route_addon.serve.arguments import Arguments
from route_addon.serve.standard_error import StandardError
from route_addon.start import refuse_start

_QUIET = ("mitmproxy.proxy.server", "mitmproxy.proxy.mode_servers", "asyncio", "hpack")
"""Who would log each connection that comes and goes."""


class LeanMaster(master.Master):
    """A master with nothing but what the router stands on.

    Args:
        opts: mitmproxy's options.
        on_ready: Called once it serves.
    """

    def __init__(self, opts: options.Options, on_ready: Callable[[], None]) -> None:
        super().__init__(opts)
        # Every log record would become a hook, for addons that are not here.
        self._legacy_log_events.uninstall()
        self._on_ready = on_ready
        self._errors = errorcheck.ErrorCheck()
        self.addons.add(
            core.Core(), proxyserver.Proxyserver(), next_layer.NextLayer(), self._errors
        )

    async def running(self) -> None:
        """Start; where that has logged an error, the process is about to end."""
        await super().running()
        if not self._errors.logger.has_errored:
            self._on_ready()

    def close(self) -> None:
        """Let go of what a master that never runs has taken."""
        self._errors.finish()
        for addon in list(self.addons.chain):
            self.addons.remove(addon)


def load_master(
    arguments: Arguments,
    worker: Worker = ALONE,
    sockets: Sequence[socket] = (),
    on_ready: Callable[[], None] = lambda: None,
) -> tuple[LeanMaster, RouteAddon]:
    """Load everything, as far as it goes without listening.

    A configuration that cannot be used ends the process: one sentence, exit status 1.

    Args:
        arguments: The options.
        worker: Which of several processes this is.
        sockets: What to listen with.
        on_ready: Called once the master serves.
    """
    opts = options.Options()
    lean = LeanMaster(opts, on_ready)
    try:
        _take_options(opts, arguments)
        composition = build_service(worker, sockets)
        lean.addons.add(composition)
        _check_options(opts)
    except BadOption as error:
        refuse_start(str(error))
    # The guard has the last word.
    guard = composition.route.guard
    lean.addons.chain.sort(key=lambda addon: addon is guard)
    return lean, composition.route


def refuse_deaf(lean: LeanMaster, route: RouteAddon) -> None:
    """End the process where it would listen at nothing: all its addresses are for TLS."""
    listen = route.settings.listen if route.settings is not None else ()
    if listen and not route.certificates and all(address.is_for_tls for address in listen):
        given = lean.options.route_listen
        refuse_start(str(BadOption("route_listen", given, "needs a certificate: route_certs")))


def _take_options(opts: options.Options, arguments: Arguments) -> None:
    # The guard opens the listener: mitmproxy's own would be a forward proxy's, for a moment.
    opts.update(mode=[])
    try:
        if arguments.config:
            text = Path(arguments.config).read_text("utf-8")
            optmanager.load(opts, text, Path(arguments.config).absolute().parent)
        opts.set(*arguments.assignments, defer=True)
    except (OSError, UnicodeDecodeError) as error:
        raise BadOption("--config", arguments.config, f"cannot be read ({error})") from None
    except (exceptions.OptionsError, AttributeError, TypeError) as error:
        raise BadOption("--set or --config", "", f"{error}") from None


def _check_options(opts: options.Options) -> None:
    """Refuse what would have no effect.

    Raises:
        BadOption: An option that is not there, or one that this program has no use for.
    """
    for name in opts.deferred:
        near = get_close_matches(name, opts.keys(), 1) or ["route_config"]
        raise BadOption(name, "", f"is no option of this program; did you mean {near[0]}?")
    if opts.mode:
        raise BadOption("mode", ",".join(opts.mode), "the router sets its own mode; leave it out")
    if opts.route_carrier != "relay":
        raise BadOption("route_carrier", opts.route_carrier, "takes mitmdump -s; leave it out")


class _Formatter(logging.Formatter):
    """Tells the time in UTC, to the second."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return _stamp(int(record.created))


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))


def log_to_stderr() -> None:
    """Log to stderr, one line for each record; that nobody reads it ends and stops nothing."""
    logging.raiseExceptions = False
    # What no line shows is not looked up: each refusal is a line.
    logging.logThreads = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]
    logging._srcfile = None
    handler = logging.StreamHandler(StandardError(sys.stderr.fileno() if sys.stderr else 2))
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s [%(process)d] %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
