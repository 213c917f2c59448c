"""mitmproxy commands that explain: a flow, a request that nobody has sent, a token."""

import time
from collections.abc import Callable, Sequence

from mitmproxy import command, exceptions, flow, http

from route_addon.carry.faults import describe_fault
from route_addon.carry.masks.mask import Mask
from route_addon.core.router import Router
from route_addon.debug.dry_run import METHODS, read_request
from route_addon.debug.explaining import read_case
from route_addon.debug.explanation_text import build_explanation
from route_addon.debug.history import forget_typed
from route_addon.debug.offers import Offer
from route_addon.debug.readable import make_readable
from route_addon.debug.token_text import build_token_text


class ExplainCommands:
    """Commands for the console, mitmweb's command bar, and scripts.

    Args:
        router: The router in force; None while there is none.
        mask: Makes the placeholders.
    """

    name = "route_explain_commands"

    def __init__(self, router: Callable[[], Router | None], mask: Mask) -> None:
        self._router = router
        self._mask = mask

    @command.command("route.explain")
    def explain(self, flow: flow.Flow) -> Sequence[str]:
        """Why a flow went where it went, step by step, and what its upstream really got."""
        if not isinstance(flow, http.HTTPFlow):
            raise exceptions.CommandError("only HTTP flows are decided")
        router = self._in_force()
        try:
            text = build_explanation(read_case(flow), router, self._mask)
        except Exception as fault:
            # Its metadata may be a stranger's, and the console ends with whatever is raised here.
            cause = describe_fault(fault)
            raise exceptions.CommandError(f"this flow cannot be explained: {cause}") from None
        return make_readable(text)

    @command.command("route.decide")
    @command.argument("method", type=Offer("route.decide.methods"))
    def decide(self, method: str, url: str, *headers: str) -> Sequence[str]:
        """What would become of a request, now. Headers are written as "Name: value", in quotes.
        Nothing is sent and nothing is kept."""
        forget_typed()
        try:
            case = read_request(method, url, headers)
        except ValueError as error:
            raise exceptions.CommandError(str(error)) from None
        return make_readable(build_explanation(case, self._in_force(), self._mask))

    @command.command("route.decide.methods")
    def methods(self) -> Sequence[str]:
        """Methods to ask route.decide about; it takes any other, too."""
        return METHODS

    @command.command("route.token.inspect")
    def inspect_token(self, token: str) -> Sequence[str]:
        """What a pasted token says, and each check of it. It is kept nowhere, not in the history
        of commands either."""
        forget_typed()
        rules = self._in_force().rules
        return make_readable(build_token_text(token, rules, time.time()))

    def _in_force(self) -> Router:
        router = self._router()
        if router is None:
            raise exceptions.CommandError("no router is in force")
        return router
