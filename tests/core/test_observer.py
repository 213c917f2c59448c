"""What a report says of a request, however far that came."""

from route_addon.core.errors import BadFraming
from route_addon.core.messages import Forward, Respond
from route_addon.core.observer import Report
from tests.core.heads import REQUEST_ID, decide, forward, make_head, make_router
from tests.minting import NOW, mint

ROUTER = make_router()


def test_a_head_that_could_not_be_read() -> None:
    """Nothing is known of it but the identifier that we made."""
    report = Report(make_head(), NOW, 0)
    assert report.server is None
    assert report.request_id == REQUEST_ID


def test_a_head_that_was_refused_unread() -> None:
    """The answer's identifier is the one that the client has been told."""
    head = make_head()
    answer = ROUTER.refuse(head, BadFraming())._replace(request_id=b"told")
    report = Report(head, NOW, 0, answer=answer)
    assert report.request_id == b"told"


def test_a_request_that_was_forwarded() -> None:
    """It names its server, and the identifier that went there."""
    head = make_head(b"/websockify?jwt_token=" + mint("10.1.2.3"))
    decision = forward(ROUTER, head)
    report = Report(head, NOW, 0, decision)
    assert report.server == decision.server
    assert report.request_id == decision.request_id


def test_a_request_that_was_refused() -> None:
    """It has no server."""
    head = make_head(b"/filer")
    decision = decide(ROUTER, head)
    assert isinstance(decision, Respond) and not isinstance(decision, Forward)
    report = Report(head, NOW, 0, decision, answer=decision)
    assert report.server is None


def test_reports_are_not_equal() -> None:
    """Two requests that look alike are two: an observer keeps them in a set."""
    head = make_head()
    assert len({Report(head, NOW, 0), Report(head, NOW, 0)}) == 2
