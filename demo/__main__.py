"""Starts everything, says what to try, and stops everything."""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tornado.web import Application

from demo import echo, keys, pyos, tokens, website
from demo.check import check
from demo.listen import CannotListenError, listen
from demo.pods import Pod, addresses
from demo.router import Router, free_port

DEFAULT_PORT = 8080
CHECK_WITHIN_S = 60.0
OPEN_TO_ALL = """
Whoever reaches this address gets a shell on this machine, as you: the demo asks for no password.
"""


@dataclass(frozen=True)
class Demo:
    """All of it, running."""

    folder: Path
    issuer: pyos.Issuer
    pods: Sequence[Pod]
    router: Router


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="The router, with a pyos, a website and two users' pods on loopback addresses. "
        "One demo runs at a time: the pods' ports are fixed.",
    )
    parser.add_argument("--check", action="store_true", help="try every location, and exit 0 or 1")
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS")
    parser.add_argument(
        "--port",
        type=_port,
        help=f"default: {DEFAULT_PORT}, or with --check a free one; 0 is a free one",
    )
    parser.add_argument(
        "--token-life",
        type=_life,
        default=tokens.DEFAULT_LIFE_S,
        metavar="SECONDS",
        help="default: %(default)s",
    )
    parser.add_argument("--web", action="store_true", help="watch the router in mitmweb")
    parser.add_argument("--record", default="", metavar="FILE", help="record what passes")
    arguments = parser.parse_args(words)
    if arguments.port is None:
        arguments.port = 0 if arguments.check else DEFAULT_PORT
    return arguments


def _port(text: str) -> int:
    if not 0 <= (port := int(text)) < 2**16:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return port


def _life(text: str) -> float:
    if not 1 <= (life_s := float(text)) <= 86400:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 86400 seconds")
    return life_s


@asynccontextmanager
async def running(arguments: argparse.Namespace) -> AsyncIterator[Demo]:
    """Run the demo.

    Raises:
        RuntimeError: A part did not start; those that have are stopped.
    """
    async with AsyncExitStack() as stack:
        port = free_port(arguments.listen, arguments.port)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="route-demo-")))
        keys.make_keys(folder)
        keys.make_keys(folder / "other")
        issuer = pyos.Issuer.load(folder, folder / "other", arguments.token_life)
        pods = [Pod(address) for address in addresses()]
        for pod in pods:
            stack.push_async_callback(pod.stop)
            await pod.start()
        options = _options(folder) | {"route_record": arguments.record}
        site = website.Website("a", "b")
        stack.push_async_callback(site.close)
        options["route_website"] = ",".join(f"{url};fail_timeout=2" for url in site.urls)
        for name, application in _upstreams(issuer, pods, site).items():
            listener = listen(application, "127.0.0.1")
            stack.push_async_callback(listener.stop)
            options[f"route_{name}"] = listener.url
        router = Router(arguments.listen, port, options, folder, arguments.web)
        stack.push_async_callback(router.stop)
        yield Demo(folder, issuer, pods, await router.start())


def _upstreams(
    issuer: pyos.Issuer, pods: Sequence[Pod], site: website.Website
) -> dict[str, Application]:
    return {
        "pyos": pyos.application(issuer, pods, site),
        "console": echo.application(echo.Service("console")),
        "speedtest": echo.application(echo.Service("speedtest")),
    }


def _options(folder: Path) -> dict[str, str]:
    return {
        "route_signing_key": str(keys.public_path(folder, "signing")),
        "route_payload_key": str(keys.private_path(folder, "payload")),
        "route_node_name": "demo",
        "route_target_allow": "127.0.0.0/8,::1",
        "route_acme_root": str(_acme_root(folder)),
    }


def _acme_root(folder: Path) -> Path:
    root = folder / "acme"
    challenge = root / ".well-known" / "acme-challenge" / "demo"
    challenge.parent.mkdir(parents=True)
    challenge.write_text("demo\n")
    return root


def what_to_try(demo: Demo) -> str:
    """Say what to try."""
    url = demo.router.url
    token = f"$(curl -s '{url}/API/demo/token?{{}}')"
    filer = f'curl -i {url}/filer/ -H "ABCAuthorization: {token}"'
    first, second = (pod.address for pod in demo.pods)
    warning = "" if demo.router.is_local else OPEN_TO_ALL
    watch = f"\n  and what passes    {demo.router.web_url}" if demo.router.web else ""
    notes = "".join(f"\n  {note}" for note in sorted(demo.pods[0].notes))
    return f"""{warning}
  open in a browser  {url}/{watch}
  the router's log   {demo.router.log}
  the keys           {demo.folder}{notes}

Try, in another terminal:

  # user 1's file service, in the pod {first}
  {filer.format("user=1")}
  # user 2's token opens user 2's pod, {second}, and no other
  {filer.format("user=2")}
  # 401: no token, one that has expired, one signed by another key
  curl -i {url}/filer/
  {filer.format("kind=expired")}
  {filer.format("kind=other-key")}
  # a token of your own
  curl -i {url}/filer/ -H "ABCAuthorization: $(scripts/token --keys {demo.folder} {second})"

Ctrl-C stops all of it.
"""


async def main(arguments: argparse.Namespace) -> int:
    """Run until a signal, or until the check is through; return the exit status."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as by nohup
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    work = asyncio.ensure_future(_run(arguments))
    waiting = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await work
    return 0


async def _run(arguments: argparse.Namespace) -> int:
    try:
        limit_s = CHECK_WITHIN_S if arguments.check else None
        async with asyncio.timeout(limit_s), running(arguments) as demo:
            if arguments.check:
                return 0 if await check(demo.router.url, demo.issuer, demo.pods) else 1
            print(what_to_try(demo), flush=True)
            await demo.router.ended()
    except TimeoutError:
        print(f"scripts/demo: the check took longer than {CHECK_WITHIN_S:g} s", file=sys.stderr)
    except RuntimeError as error:
        print(f"scripts/demo: {error}", file=sys.stderr)
        if isinstance(error, CannotListenError):
            print("Is another demo running? Only one runs at a time.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    sys.exit(asyncio.run(main(parse_arguments())))
