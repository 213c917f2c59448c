"""Where connections come in: straight to the relay, or by way of mitmproxy.

mitmproxy's way has an object, a task and a hook for each step of each connection. They are for
who looks on: flows that somebody watches, and addons that want to know of connections. Where
there is neither, and no doubt of it, the relay is the transport's protocol from the first byte on.
"""

from types import ModuleType
from typing import Final

from mitmproxy import addonmanager, ctx

from route_addon.carry.listen.visitor import Visitor
from route_addon.carry.relay import Relay

_HOOKS: Final = (
    "client_connected",
    "client_disconnected",
    "next_layer",
    "tls_clienthello",
    "tls_start_client",
    "tls_established_client",
    "tls_failed_client",
)
"""The hooks of a client's connection, below HTTP."""

_SPARED: Final = (
    "mitmproxy.addons.block.Block",
    "mitmproxy.addons.next_layer.NextLayer",
    "mitmproxy.addons.tlsconfig.TlsConfig",
)
"""mitmproxy's own addons that have some of them, and do nothing of use for the relay; by name, as
a service has no need to import them all."""

_BLOCKING: Final = ("block_global", "block_private")
"""The options by which ``Block`` refuses connections."""


class Door:
    """Lets connections in.

    Args:
        relay: Whose connections they are.
        spared: The addons of ours that have hooks of connections: what they do, the relay does.
    """

    def __init__(self, relay: Relay, *spared: type) -> None:
        self._relay = relay
        self._spared = {*_SPARED, *map(_name, spared)}
        self._seen: list[object] = []
        self._is_free = False

    def admit(self) -> Visitor | None:
        """A connection has been accepted.

        Returns:
            What is to be its protocol; None if it has to go by way of mitmproxy.
        """
        if self._relay.is_watched or not self._is_nobody_asked():
            return None
        return Visitor(self._relay)

    def look_again(self) -> None:
        """Options have changed."""
        self._seen = []

    def _is_nobody_asked(self) -> bool:
        """Whether no addon has a hook for connections. Addons come and go at any time."""
        addons = list(ctx.master.addons.lookup.values())
        # Two lists of the same objects are compared in no time.
        if addons != self._seen:
            self._is_free = not self._find_askers()
            self._seen = addons
        return self._is_free

    def _find_askers(self) -> list[object]:
        """The addons that want to know of connections."""
        options = ctx.options
        if any(getattr(options, name, False) for name in _BLOCKING):
            return list(_BLOCKING)
        return [
            addon
            for addon in addonmanager.traverse(ctx.master.addons.chain)
            if _name(type(addon)) not in self._spared
            and any(_has_hook(addon, name) for name in _HOOKS)
        ]


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _has_hook(addon: object, name: str) -> bool:
    # A script may import a module of a hook's name.
    return not isinstance(getattr(addon, name, None), ModuleType | None)
