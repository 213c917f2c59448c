"""Reports of requests, for whoever counts or writes them down."""

from typing import Any

from route_addon.core.messages import Field, Forward, Respond
from route_addon.core.observer import Report
from tests.core.heads import decide, make_head, make_router
from tests.minting import NOW, mint

ROUTER = make_router()
TOKEN = mint("10.1.2.3")


class Traffic:
    """A tunnel's."""

    def __init__(self, client_bytes: int = 0, upstream_bytes: int = 0) -> None:
        self.client_bytes = client_bytes
        self.upstream_bytes = upstream_bytes
        self.is_cut = False


def make_report(
    target: bytes = b"/", *fields: Field, method: bytes = b"GET", **facts: Any
) -> Report:
    """The report of a request that has ended after a quarter of a second.

    Args:
        target: Its target.
        fields: Its fields, behind Host.
        method: Its method.
        facts: Put over what is usual: 200, and a first byte after an eighth.
    """
    head = make_head(target, *fields, method=method)
    decision = decide(ROUTER, head)
    usual: dict[str, Any] = {"status": 200, "first_byte": 100.125, "ended": 100.25}
    if isinstance(decision, Respond):
        usual |= {"answer": decision, "status": decision.status}
        if decision.error is not None:
            usual["slug"] = decision.error.slug
    assert isinstance(decision, Forward | Respond)
    return Report(head, NOW, 100.0, decision, **{**usual, **facts})


def make_unread() -> Report:
    """The report of a request whose head could not be read."""
    return Report(make_head(), NOW, 100.0, status=400, slug="bad_request", ended=100.0)
