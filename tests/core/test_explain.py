"""Why a request goes where it goes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from route_addon.core.explain import Explanation, explain
from route_addon.core.framing import CHUNKED
from route_addon.core.locations import PREFIX, Location, Locations
from route_addon.core.messages import (
    HTTP_2,
    HTTP_10,
    HTTP_11,
    Decision,
    Field,
    Fields,
    Forward,
    RequestHead,
    Respond,
    ServeFile,
    Server,
)
from route_addon.core.router import Router, Verdict
from route_addon.core.steps import Step
from route_addon.core.targetmap import Verified
from route_addon.core.witness import Known
from tests.core.heads import (
    CLIENT,
    PROXY,
    TLS_CLIENT,
    UPSTREAMS,
    decide,
    make_head,
    make_router,
)
from tests.minting import NOW, key_pair, mint

TOKEN = mint("10.0.0.1")
HEADER: Field = (b"ABCAuthorization", TOKEN)
WS: tuple[Field, ...] = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))


class Censor:
    """Hides the token."""

    def hide_target(self, target: bytes) -> bytes:
        """The target without it."""
        return target.replace(TOKEN, b"***")

    def hide_fields(self, fields: Fields) -> list[Field]:
        """The fields without it."""
        return [(name, self.hide_target(value)) for name, value in fields]


def ask(head: RequestHead, router: Router | None = None, known: Known | None = None) -> Explanation:
    """Explain, and see that the token is told nowhere."""
    explanation = explain(router or make_router(), head, NOW, Censor(), known)
    assert TOKEN.decode() not in str(explanation.steps)
    return explanation


def steps(head: RequestHead, router: Router | None = None) -> dict[str, Step]:
    """The steps by their names."""
    return {step.title: step for step in ask(head, router).steps}


def test_the_way_to_a_pod() -> None:
    """Each step is told, in the order in which it is taken."""
    head = make_head(b"/filer//x?a=1", HEADER, (b"TE", b"trailers"))
    explanation = ask(head)
    assert isinstance(explanation.decision, Forward)
    assert [step.title for step in explanation.steps] == [
        "request line",
        "path",
        "host",
        "location",
        "client",
        "credential",
        "token cache",
        "token spelling",
        "token header",
        "token signature",
        "token claims",
        "token target",
        "target policy",
        "server",
        "path sent",
        "host sent",
        "fields sent",
        "content",
        "answer",
    ]
    told = {step.title: step for step in explanation.steps}
    assert told["request line"].detail == "GET /filer//x?a=1 HTTP/1.1"
    assert told["path"].detail == "/filer/x, made canonical"
    assert told["host"].detail == "Desk.Example:8080"
    assert told["location"].detail == "/filer (prefix) -> pod:29783"
    assert told["location"].more == ("not / (prefix): fits, but is the shorter prefix",)
    assert told["server"].detail == "10.0.0.1:29783, the target of the token"
    assert told["path sent"].detail == "GET /filer/x?a=1: the canonical path"
    assert told["host sent"].detail == "10.0.0.1:29783: the server's address"
    assert told["fields sent"].detail == "8; the client's were 3"
    assert told["fields sent"].more[0] == (
        "dropped TE: trailers: belongs to the client's connection"
    )
    assert told["content"].detail == (
        "no content; at most 8 GiB, collected first, then sent with a Content-Length"
    )
    assert told["answer"].detail == (
        "streamed, compressed where that is worth it; 504 after 60 s of silence"
    )


@pytest.mark.parametrize(
    ("head", "last", "detail"),
    [
        pytest.param(
            make_head(method=b"get"),
            "request line",
            "400 bad_method: The method is malformed.",
            id="the method",
        ),
        pytest.param(make_head(b"/.."), "path", "400 bad_target: above the root", id="the path"),
        pytest.param(make_head(host=None), "host", "400 bad_host: no Host", id="the host"),
        pytest.param(
            make_head(b"/x", length=2**21),
            "content",
            "413 content_too_large: Content-Length over 1048576",
            id="the content",
        ),
        pytest.param(
            make_head(b"/filer"),
            "credential",
            "401 token_missing: A desktop token is required.",
            id="the credential",
        ),
        pytest.param(
            make_head(b"/.well-known/acme-challenge/x", method=b"PUT"),
            "answer",
            "405 method_not_allowed: The method is not allowed here.",
            id="the answer",
        ),
        pytest.param(
            make_head(b"/filer", (b"ABCAuthorization", mint("127.0.0.1"))),
            "target policy",
            "401 target_denied: the address is denied",
            id="the policy",
        ),
    ],
)
def test_a_refusal(head: RequestHead, last: str, detail: str) -> None:
    """The step that refuses is the last one, and all before it were passed."""
    explanation = ask(head)
    assert isinstance(explanation.decision, Respond)
    assert explanation.steps[-1][:3] == (last, "refused", detail)
    assert all(step.outcome != "refused" for step in explanation.steps[:-1])


def test_no_location() -> None:
    """Where nothing is, the step that says so is the location."""
    rules = make_router(locations=Locations([Location("/a", PREFIX, "website")]))
    assert ask(make_head(b"/b"), rules).steps[-1][:2] == ("location", "refused")


@pytest.mark.parametrize(
    ("head", "changes", "detail"),
    [
        pytest.param(make_head(b"/healthz"), {}, "200, made here", id="healthz"),
        pytest.param(
            make_head(b"/x"),
            {"https_redirect_port": 443},
            "308, to the same place by https",
            id="by https",
        ),
        pytest.param(
            make_head(b"/.well-known/acme-challenge/x"),
            {"acme_root": "/srv"},
            "the file /srv/.well-known/acme-challenge/x, or 404 without it",
            id="a challenge",
        ),
    ],
)
def test_answers_of_our_own(head: RequestHead, changes: dict[str, object], detail: str) -> None:
    """What is answered here is told as the answer."""
    explanation = ask(head, make_router(**changes))
    assert isinstance(explanation.decision, Respond | ServeFile)
    assert explanation.steps[-1] == ("answer", "noted", detail, ())


def test_hosts() -> None:
    """The host is told as the client named it, in whichever way."""
    assert steps(make_head(version=HTTP_10, host=None))["host"].detail == "none, as HTTP/1.0 may"
    head = make_head(version=HTTP_2, authority=b"desk.example", host=None)
    assert steps(head)["host"].detail == "desk.example"
    assert steps(make_head(b"http://desk.example:8080/x"))["path"].detail == "/x, made canonical"


def test_a_pool() -> None:
    """Of a pool, it is told who may be chosen."""
    servers = (Server(b"http", "a", 80), Server(b"https", "b", 443))
    router = make_router(upstreams={**UPSTREAMS, "website": servers})
    assert steps(make_head(), router)["server"] == (
        "server",
        "noted",
        "a:80, of the upstream website",
        ("the pool chooses when it is sent, from a:80, b:443",),
    )
    assert steps(make_head())["server"].more == ()


def test_a_websocket() -> None:
    """A handshake's content is the tunnel behind it."""
    told = steps(make_head(b"/websockify?" + TOKEN, *WS))
    assert told["request line"].detail == "GET /websockify?*** HTTP/1.1"
    assert told["path sent"].detail == "GET /: always / here, without the query"
    assert told["content"].detail == "a WebSocket: a tunnel in both directions"
    assert told["answer"].detail.startswith("streamed, not compressed")


def test_content() -> None:
    """How long it is, how long it may be, and what is done with it."""
    head = make_head(b"/speedtest/x", method=b"POST", length=CHUNKED)
    assert steps(head)["content"].detail == (
        "chunked content; at most 256 MiB, passed on as it comes"
    )


def test_hsts() -> None:
    """What our answers say of https is told."""
    head = make_head(peer=TLS_CLIENT)
    told = steps(head, make_router(hsts_s=60))
    assert told["answer"].more == ("with Strict-Transport-Security: max-age=60",)


def test_a_token_that_is_known_of() -> None:
    """The request of a recording holds no token: what is known of it decides."""
    head = make_head(b"/filer", (b"ABCAuthorization", b"hidden.0123456789abcdef.token"))
    known = Known(Verdict(None, Verified("10.0.0.7", NOW + 9)), "as recorded")
    explanation = ask(head, known=known)
    assert isinstance(explanation.decision, Forward)
    assert explanation.decision.server.host == "10.0.0.7"
    assert "as recorded" in str(explanation.steps)


GOOD = st.sampled_from([TOKEN, mint("pod.example")])
BAD = st.sampled_from(
    [b"", b"x", b"a.b.c", mint(life_s=-1), mint("127.0.0.1"), mint(signing=key_pair("stranger"))]
)
TOKENS = GOOD | BAD
PLAIN_TARGETS = (
    *(b"/", b"/filer/x", b"/filerx", b"/healthz", b"/node", b"/terminals/1/size", b"/console/x"),
    *(b"/container/80", b"/container/0", b"/API/x", b"/speedtest/a?b", b"/%zz", b"/a/../.."),
    *(b"/.well-known/acme-challenge/x", b"*", b"http://desk.example:8080/snapshot", b"//filer"),
)
PLAIN_FIELDS: tuple[Field, ...] = (
    *WS,
    (b"Origin", b"http://desk.example:8080"),
    (b"Origin", b"null"),
    (b"Connection", b"x-a, cookie"),
    (b"X-A", b"1"),
    (b"X_y", b"1"),
    (b"X-Forwarded-For", b"1.2.3.4"),
    (b"Forwarded", b"for=1.2.3.4"),
    (b"X-Request-ID", b"abc"),
    (b"Host", b"two"),
)
TARGETS = st.one_of(
    st.sampled_from(PLAIN_TARGETS),
    st.builds(b"/websockify?jwt_token=%b".__mod__, TOKENS),
    st.builds(b"/terminals/ws?%b".__mod__, TOKENS),
    st.builds(b"/container/%b/80/x?y".__mod__, TOKENS),
    st.binary(max_size=12),
)
FIELDS = st.lists(
    st.one_of(
        st.builds(lambda token: (b"ABCAuthorization", token), TOKENS),
        st.builds(lambda token: (b"Authorization", b"Bearer " + token), TOKENS),
        st.builds(lambda token: (b"Cookie", b"a=b; jwt_token=" + token), TOKENS),
        st.builds(lambda token: (b"Referer", b"http://desk.example:8080/?" + token), TOKENS),
        st.sampled_from(PLAIN_FIELDS),
    ),
    max_size=4,
)
HEADS = st.builds(
    lambda target, fields, method, version, length, peer: make_head(
        target, *fields, method=method, version=version, length=length, peer=peer
    ),
    TARGETS,
    FIELDS,
    st.sampled_from([b"GET", b"POST", b"PUT", b"TRACE", b"get"]),
    st.sampled_from([HTTP_10, HTTP_11, HTTP_2, b"HTTP/3"]),
    st.sampled_from([0, 5, 2**24, CHUNKED]),
    st.sampled_from([CLIENT, PROXY, TLS_CLIENT]),
)
ROUTERS = [
    make_router(),
    make_router(https_redirect_port=8443, hsts_s=9, console_allow=(), acme_root="/srv"),
    make_router(container_ports=frozenset({81}), cookie=b""),
]


def comparable(decision: Decision) -> object:
    """A decision, with its error as type and text: errors are equal to themselves alone."""
    if isinstance(decision, ServeFile):
        return decision._replace(missing=decision.missing._replace(error=None))
    if isinstance(decision, Respond):
        error = decision.error
        return decision._replace(error=None), type(error), str(error)
    return decision


@given(HEADS, st.sampled_from(ROUTERS), st.booleans())
@settings(max_examples=400, deadline=None)
def test_the_same_as_the_router(head: RequestHead, router: Router, is_cached: bool) -> None:
    """What is explained is what is decided, and its last step refuses just when the router does."""
    fresh = Router(router.rules, make_router().targets)
    if is_cached:
        fresh.targets.put(TOKEN, Verified("10.0.0.1", NOW + 60), NOW)
    explanation = explain(fresh, head, NOW, Censor())
    decision = decide(fresh, head)
    assert comparable(explanation.decision) == comparable(decision)
    is_refused = isinstance(decision, Respond) and decision.error is not None
    refusals = [step.outcome == "refused" for step in explanation.steps]
    assert refusals == [*[False] * (len(refusals) - 1), is_refused]
    assert all(
        line.isprintable() for step in explanation.steps for line in (step.detail, *step.more)
    )
