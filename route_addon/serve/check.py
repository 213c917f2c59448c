"""``route-addon check``: what a configuration means, without running it."""

import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping, Sequence

from route_addon.carry.upstreams.resolve import Resolver
from route_addon.config.describe import locations_table
from route_addon.config.settings import Settings
from route_addon.core.errors import RouteError
from route_addon.core.messages import Server
from route_addon.options import OPTIONS, Option
from route_addon.serve.arguments import Arguments, parse_arguments
from route_addon.serve.cgroup import measure_room
from route_addon.serve.lean import load_master, refuse_deaf
from route_addon.start import is_set, load_upstream_context, option_values


def main(argv: Sequence[str]) -> int:
    """Check a configuration, and show it.

    Args:
        argv: The arguments.

    Returns:
        The exit status: 0 where all of it can be used.
    """
    return run_check(parse_arguments("check", argv, is_check=True))


def run_check(arguments: Arguments) -> int:
    """The same, with arguments that have been read."""
    return asyncio.run(_check(arguments))


async def _check(arguments: Arguments) -> int:
    lean, route = load_master(arguments)
    refuse_deaf(lean, route)
    settings, certificates = route.settings, route.certificates
    assert settings is not None and certificates is not None
    print("\n".join(_describe(settings, os.environ)))
    print(f"certificates: {certificates.describe()}")
    for fault in (*settings.warnings, *certificates.find_faults()):
        print(f"warning: {fault}")
    status = 0
    if arguments.connects:
        context = load_upstream_context(settings)
        faults = [
            await _connect(name, server, settings, context) for name, server in _all(settings)
        ]
        status = int(any(faults))
    lean.close()
    return status


def _describe(settings: Settings, environment: Mapping[str, str]) -> Iterator[str]:
    values = option_values()
    for option in OPTIONS:
        yield f"{option.name}={values[option.name]} ({_origin(option, environment)})"
    yield ""
    yield locations_table(settings.rules.locations.all)
    yield ""
    for name, server in _all(settings):
        yield f"upstream {name}: {server.scheme.decode()}://{server.authority.decode()}"
    room = measure_room()
    yield f"workers: {settings.workers or room.workers}"
    for what, fingerprints in (
        ("signing", settings.signing_fingerprints),
        ("payload", settings.payload_fingerprints),
    ):
        yield from (f"{what} key sha256: {fingerprint}" for fingerprint in fingerprints)


def _origin(option: Option, environment: Mapping[str, str]) -> str:
    """Who says an option's value."""
    if is_set(option.name):
        return "set"
    return next((name for name in option.environment_names if environment.get(name)), "default")


def _all(settings: Settings) -> Iterator[tuple[str, Server]]:
    for name, servers in settings.rules.upstreams.items():
        yield from ((name, server) for server in servers)


async def _connect(
    name: str, server: Server, settings: Settings, context: ssl.SSLContext | None
) -> bool:
    """Resolve a server's name and connect to each address, and tell of it.

    Returns:
        Whether one of them failed.
    """
    what = f"upstream {name}: {server.scheme.decode()}://{server.authority.decode()}"
    tls = context if server.scheme == b"https" else None
    resolver = Resolver()
    try:
        addresses = await resolver.resolve(server.host)
        for address in addresses:
            async with asyncio.timeout(settings.limits.connect_s):
                _, writer = await asyncio.open_connection(
                    str(address),
                    server.port,
                    ssl=tls,
                    server_hostname=server.host if tls else None,
                )
            writer.close()
    except (RouteError, OSError, TimeoutError) as error:
        print(f"{what}: failed: {error or type(error).__name__}")
        return True
    finally:
        resolver.close()
    print(f"{what}: connected to {', '.join(map(str, addresses))}")
    return False
