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
    assert (report.location, report.forward, report.server) == (None, None, None)
    assert report.request_id == REQUEST_ID
    assert report.token_source is None


def test_a_head_that_was_refused_unread() -> None:
    """The answer's identifier is the one that the client has been told."""
    head = make_head()
    answer = ROUTER.refuse(head, BadFraming())._replace(request_id=b"told")
    report = Report(head, NOW, 0, answer=answer)
    assert report.request_id == b"told"
    assert report.location is None


def test_a_request_that_was_forwarded() -> None:
    """It names its location, its server and where its credential was found."""
    head = make_head(b"/websockify?jwt_token=" + mint("10.1.2.3"))
    decision = forward(ROUTER, head)
    report = Report(head, NOW, 0, decision)
    assert report.location is decision.location
    assert report.forward is decision
    assert report.server == decision.server
    assert report.token_source == "query"
    assert report.request_id == decision.request_id


def test_a_request_that_was_refused() -> None:
    """It has a location, and neither a server nor a credential."""
    head = make_head(b"/filer")
    decision = decide(ROUTER, head)
    assert isinstance(decision, Respond) and not isinstance(decision, Forward)
    report = Report(head, NOW, 0, decision, answer=decision)
    assert report.location is not None and report.location.location == "/filer"
    assert (report.forward, report.server, report.token_source) == (None, None, None)


def test_reports_are_not_equal() -> None:
    """Two requests that look alike are two: an observer keeps them in a set."""
    head = make_head()
    assert len({Report(head, NOW, 0), Report(head, NOW, 0)}) == 2
