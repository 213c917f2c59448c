"""Tokens in a content: what they say and what becomes of them, never the tokens themselves."""

import json
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.contentviews import Metadata

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.masks.mask import Mask
from route_addon.core.keys import NO_KEYS
from route_addon.core.router import Router
from route_addon.core.targetmap import Verified
from route_addon.debug.views.desktop_token import DesktopToken
from tests.core.heads import make_router
from tests.debug.viewing import MAX_CHARS, find_chosen
from tests.hosting import make_flow
from tests.minting import LIFE_S, NOW, KeyPair, mint

TOKEN = mint("10.0.0.1")
MASK = Mask(b"key")
PLACEHOLDER = MASK.placeholder(TOKEN)
ANSWER = {"status": 200, "result": {"target_ip": "10.0.0.1", "authorization": TOKEN.decode()}}


def make_metadata(
    location: str | None = None, *fields: tuple[bytes, bytes], **evidence: Any
) -> Metadata:
    """What mitmproxy says of an answer's content."""
    flow = make_flow(b"/", *fields)
    flow.response = http.Response.make(200, b"")
    flow.metadata[EVIDENCE] = {"location": location, "time": NOW, **evidence}
    return Metadata(flow=flow, http_message=flow.response, content_type="application/json")


@pytest.fixture(scope="module")
def router() -> Router:
    """A router with the keys in force."""
    return make_router()


@pytest.fixture(scope="module")
def view(router: Router) -> DesktopToken:
    """The view, with a router."""
    return DesktopToken(lambda: router, MASK)


def show(view: DesktopToken, data: bytes, metadata: Metadata | None = None) -> str:
    """What is shown; never a token, nor a part of one that is of use."""
    shown = view.prettify(data, metadata or make_metadata())
    _, payload, signature = TOKEN.decode().split(".")
    assert payload not in shown
    assert signature not in shown
    assert len(shown) < MAX_CHARS
    return shown


@pytest.mark.parametrize("data", [TOKEN, b" " + TOKEN + b"\n"])
def test_good_token(view: DesktopToken, data: bytes) -> None:
    """Header, claims, life, verdict and target, as of the time when the request came."""
    first, *lines = show(view, data).rstrip().split("\n")
    assert first == "content: a token, judged as of 2023-11-14 22:13:20 UTC"
    assert lines[0].startswith("  token spelling: passed")
    assert "alg RS256" in lines[1]
    assert f"{LIFE_S:.0f} s left" in lines[3]
    assert lines[-1] == "  verdict: opens 10.0.0.1, for 420 s more"


@pytest.mark.parametrize(
    ("token", "verdict"),
    [
        (mint(life_s=-12), "401 token_expired"),
        (mint("127.0.0.1"), "401 target_denied"),
        (mint(claims={"hash": 1}), "401 token_claims"),
    ],
)
def test_bad_tokens(view: DesktopToken, token: bytes, verdict: str) -> None:
    """The first check that refuses decides, and what was checked before it is told."""
    shown = show(view, token)
    assert "token signature: passed" in shown
    assert f"verdict: {verdict}" in shown
    assert ": refused, " in shown


def test_token_of_another_key(view: DesktopToken, stranger: KeyPair) -> None:
    """A token that another key has signed says so."""
    assert "verdict: 401 token_signature" in show(view, mint(signing=stranger))


def test_without_keys() -> None:
    """Without keys, and without a router, it is said that nobody can judge."""
    keyless = make_router(keys=NO_KEYS)
    assert "0 signing keys were tried" in show(DesktopToken(lambda: keyless, MASK), TOKEN)
    assert "no router" in show(DesktopToken(lambda: None, MASK), TOKEN)


def test_token_in_an_answer(view: DesktopToken) -> None:
    """A token in JSON is named by its members; the rest of the JSON follows without secrets."""
    content = {**ANSWER, "list": [{"vncpassword": "hunter2", "note": f"see {TOKEN.decode()}"}]}
    shown = show(view, json.dumps(content).encode())
    assert "result.authorization: a token, judged as of" in shown
    assert "list[0].note: a token, judged as of" in shown
    assert '"target_ip": "10.0.0.1"' in shown
    assert "hunter2" not in shown


def test_escaped_token(view: DesktopToken) -> None:
    """Escapes of JSON hide no token from the view, and none from being hidden."""
    escaped = "".join(f"\\u{ord(char):04x}" for char in TOKEN.decode())
    shown = show(view, b'{"a": "%b"}' % escaped.encode())
    assert "a: a token" in shown
    assert "10.0.0.1" in shown


def test_token_in_a_text(view: DesktopToken) -> None:
    """In a text, too."""
    shown = show(view, b"see /filer?jwt_token=" + TOKEN + b" and go")
    assert "content: a token" in shown
    assert "see /filer?[token] and go" in shown


def test_many_tokens(view: DesktopToken) -> None:
    """Of many tokens the first are judged."""
    tokens = [f"{TOKEN.decode()}{number:04d}" for number in range(40)]
    assert show(view, json.dumps(tokens).encode()).count("judged as of") == 8


def test_nothing_to_show(view: DesktopToken) -> None:
    """Chosen by hand for a content without a token, it says so; and much is not looked through."""
    assert show(view, b"www.example.com").startswith("no token\n")
    assert show(view, TOKEN + b" " * 2**17).startswith("no token\n")


def test_placeholder_of_this_request(view: DesktopToken) -> None:
    """What was hidden in this request is told as the evidence says it."""
    metadata = make_metadata(
        "/filer",
        (b"ABCAuthorization", PLACEHOLDER),
        token_source="header",
        token_cached=True,
        expires=NOW + 143,
        host="10.1.2.3",
    )
    shown = show(view, b'{"sent": "%b"}' % PLACEHOLDER, metadata)
    assert f"sent: {PLACEHOLDER.decode()}, in the place of this request's token" in shown
    assert "source: header" in shown
    assert "verdict: good, 143 s left, from the cache" in shown
    assert "target: 10.1.2.3" in shown
    refused = make_metadata(
        "/filer", (b"ABCAuthorization", PLACEHOLDER), token_source="header", slug="token_expired"
    )
    assert "verdict: token_expired" in show(view, PLACEHOLDER, refused)


def test_placeholder_of_something_else(view: DesktopToken) -> None:
    """What this flow knows nothing of is not told of."""
    for metadata in (make_metadata("/API"), make_metadata("/filer", token_source="header")):
        shown = show(view, PLACEHOLDER, metadata)
        assert "in the place of a secret that nobody has used yet, or no more" in shown
    assert "nobody has used" in show(view, PLACEHOLDER, Metadata())


def test_placeholder_of_a_token_in_use() -> None:
    """A token that has opened something is told of wherever its placeholder stands."""
    router = make_router()
    router.targets.put(TOKEN, Verified("10.0.0.1", NOW + LIFE_S), NOW)
    router.targets.put(mint("10.0.0.2"), Verified("10.0.0.2", NOW + LIFE_S), NOW)
    counted = (router.targets.hits, router.targets.misses)
    shown = show(DesktopToken(lambda: router, MASK), b'{"authorization": "%b"}' % PLACEHOLDER)
    first = f"authorization: {PLACEHOLDER.decode()}, in the place of a token, judged as of "
    assert shown.startswith(first)
    assert "verdict: opens 10.0.0.1, for 420 s more" in shown
    assert "10.0.0.2" not in shown
    assert (router.targets.hits, router.targets.misses) == counted
    without = DesktopToken(lambda: None, MASK)
    assert "nobody has used" in without.prettify(PLACEHOLDER, make_metadata())


def test_chosen(view: DesktopToken) -> None:
    """Chosen for a token, and for an answer of pyos with one; not for others that hold one."""
    answer = json.dumps(ANSWER).encode()
    hidden = answer.replace(TOKEN, PLACEHOLDER)
    at_pyos = make_metadata("/API/composer/launchdesktop")
    assert find_chosen(TOKEN, make_metadata("/filer"), view) == "Desktop token"
    assert find_chosen(PLACEHOLDER, make_metadata("/filer"), view) == "Desktop token"
    assert find_chosen(answer, at_pyos, view) == "Desktop token"
    assert find_chosen(hidden, at_pyos, view) == "Desktop token"
    assert find_chosen(answer, make_metadata("/filer"), view) == "JSON"
    assert find_chosen(b"{}", at_pyos, view) == "JSON"
    assert find_chosen(b"", at_pyos, view) != "Desktop token"
