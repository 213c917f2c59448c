"""What an exchange notes of itself, and that it ends once."""

from collections.abc import Callable
from typing import cast

from route_addon.carry.account import Account
from route_addon.carry.tunnel import Tunnel
from route_addon.core.errors import InternalError, NotFound, UpstreamReset
from route_addon.core.messages import Forward, Respond
from route_addon.core.observer import CLIENT_CLOSED, Report
from tests.core.heads import decide, forward, make_head, make_router

ROUTER = make_router()


class Notebook:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Report]] = []

    def begin(self, report: Report) -> None:
        self.told.append(("begin", report))

    def switch(self, report: Report) -> None:
        self.told.append(("switch", report))

    def end(self, report: Report) -> None:
        self.told.append(("end", report))

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.told]


class FakeTunnel:
    """The part of a tunnel that an account looks at."""

    def __init__(self) -> None:
        self.client_bytes = self.upstream_bytes = 0
        self.is_cut = False
        self.lost: list[str] = []
        self.on_upstream_lost: Callable[[], None] = lambda: self.lost.append("lost")


def open_account(target: bytes = b"/") -> tuple[Account, Notebook, Forward]:
    """An account of a request that was forwarded."""
    notebook = Notebook()
    head = make_head(target)
    account = Account(notebook, head)
    decision = forward(ROUTER, head)
    account.decide(decision, is_token_new=False)
    account.use(decision)
    return account, notebook, decision


def test_an_answer_of_the_upstream() -> None:
    """Status, sizes and times are noted, in the order of events."""
    account, notebook, decision = open_account()
    account.forward_answer(206, [(b"Cache-Status", b"theirs")], [b"ab", b"c"], is_cached=False)
    account.send([b"de"])
    account.end(7)
    report = account
    assert notebook.told == [("begin", report), ("end", report)]
    assert (report.status, report.sent_bytes, report.received_bytes) == (206, 5, 7)
    assert report.decision is decision
    assert report.is_token_cached and not report.is_cut
    assert report.http_cache == b""
    assert report.reached is not None and report.first_byte is not None
    assert report.ended is not None
    assert report.began <= report.reached <= report.first_byte <= report.ended


def test_what_the_cache_says() -> None:
    """Of several Cache-Status fields ours is the last."""
    account, _, _ = open_account()
    fields = [(b"Cache-Status", b"theirs"), (b"Cache-Status", b"ours; hit")]
    account.forward_answer(200, fields, [], is_cached=True)
    assert account.http_cache == b"ours; hit"


def test_a_cache_that_says_nothing() -> None:
    """Then nothing is noted."""
    account, _, _ = open_account()
    account.forward_answer(200, [], [], is_cached=True)
    assert account.http_cache == b""


def test_a_refusal() -> None:
    """The slug is the refusal's; an answer of our own that is none has no slug."""
    for target, slug in ((b"/filer", "token_missing"), (b"/healthz", "")):
        notebook = Notebook()
        head = make_head(target)
        account = Account(notebook, head)
        answer = decide(ROUTER, head)
        assert isinstance(answer, Respond)
        account.decide(answer, is_token_new=False)
        account.respond(answer, [answer.body])
        account.end(0)
        assert account.slug == slug
        assert account.status == answer.status
        assert account.sent_bytes == len(answer.body)
        assert account.answer is answer


def test_a_client_that_has_gone() -> None:
    """Before the answer it is 499; after its head the status stays what was sent."""
    account, _, _ = open_account()
    account.lose(3)
    assert (account.status, account.is_cut) == (CLIENT_CLOSED, True)
    assert account.received_bytes == 3
    account, _, _ = open_account()
    account.forward_answer(200, [], [b"part"], is_cached=False)
    account.lose(0)
    assert (account.status, account.is_cut) == (200, True)


def test_an_answer_that_is_cut() -> None:
    """The reason is the first one that was known."""
    account, _, _ = open_account()
    account.forward_answer(200, [], [b"part"], is_cached=False)
    account.cut(UpstreamReset(), 0)
    assert (account.slug, account.is_cut) == ("upstream_reset", True)
    head = make_head()
    account = Account(Notebook(), head)
    account.respond(ROUTER.refuse(head, NotFound()), [])
    account.cut(InternalError(), 0)
    assert account.slug == "not_found"


def test_it_ends_once() -> None:
    """What comes after the end changes nothing and is told to nobody."""
    account, notebook, _ = open_account()
    account.end(1)
    account.lose(2)
    assert notebook.words == ["begin", "end"]
    assert (account.received_bytes, account.is_cut) == (1, False)


def test_a_token_that_was_verified() -> None:
    """A token is said to be known unless it had to be verified."""
    account, _, decision = open_account()
    account.decide(decision, is_token_new=True)
    account.decide(decision, is_token_new=False)
    assert not account.is_token_cached


def test_a_tunnel() -> None:
    """It ends with the upstream's connection, its server is let go, its bytes are known."""
    account, notebook, _ = open_account()
    tunnel = FakeTunnel()
    account.open_tunnel(cast(Tunnel, tunnel))
    assert notebook.words == ["begin", "switch"]
    assert account.status == 101
    assert account.tunnel is tunnel
    tunnel.client_bytes, tunnel.upstream_bytes, tunnel.is_cut = 5, 9, True
    tunnel.on_upstream_lost()
    assert notebook.words == ["begin", "switch", "end"]
    assert tunnel.lost == ["lost"]
    report = account
    assert (report.received_bytes, report.sent_bytes, report.is_cut) == (5, 9, True)
