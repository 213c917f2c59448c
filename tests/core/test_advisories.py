"""The parent's published holes, one test each, worst first: we have none of them."""

import hashlib
import hmac
import json
import zlib

import pytest

from route_addon.core.answers import answer_fields
from route_addon.core.keys import Keys
from route_addon.core.messages import Field, Forward, Respond, Verify
from route_addon.core.router import Router
from route_addon.core.targetmap import TargetMap
from tests.core.heads import (
    CLIENT,
    PROXY,
    decide,
    forward,
    make_head,
    make_router,
    make_rules,
    refusal,
    values,
)
from tests.minting import (
    LIFE_S,
    NOW,
    KeyPair,
    base64url,
    encrypt,
    key_pair,
    mint,
    sign,
    undecryptable,
)

TOKEN = mint("10.0.0.1")
PAYLOAD = {"key": 0, "exp": NOW + LIFE_S, "hash": encrypt("10.0.0.1")}


def _header(token: bytes) -> Field:
    return (b"ABCAuthorization", token)


def _refusal(token: bytes) -> tuple[int, str]:
    return refusal(make_router(), make_head(b"/filer", _header(token)))


def _unsigned(header: object, payload: object, signature: bytes) -> bytes:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return b".".join(map(base64url, parts))


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "ES256K", "EdDSA"])
@pytest.mark.parametrize("length", [0, 64, 96, 132])
def test_1_one_unauthenticated_token_kills_a_worker(alg: str, length: int) -> None:
    """An elliptic curve algorithm never meets an RSA key: it is refused by its name."""
    token = _unsigned({"typ": "JWT", "alg": alg}, PAYLOAD, bytes(length) or b"x")
    router = make_router()
    answer = router.decide(make_head(b"/filer", _header(token)), NOW)
    assert isinstance(answer, Respond)
    assert _refusal(token) == (401, "token_algorithm")


@pytest.mark.parametrize("enc", ["A256GCM", "A128CBC-HS256", "", None, True])
def test_2_signature_bypass_by_enc(enc: object) -> None:
    """``enc`` in the header refuses a token, with a third part of any kind and alg or not."""
    for header in ({"typ": "JWT", "enc": enc}, {"typ": "JWT", "enc": enc, "alg": "RS256"}):
        assert _refusal(_unsigned(header, PAYLOAD, b"any")) == (401, "token_algorithm")
        assert _refusal(sign(header, PAYLOAD)) == (401, "token_algorithm")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_3_algorithm_confusion(alg: str, signing: KeyPair) -> None:
    """The text of the public key is no secret that anything is signed with."""
    digest = getattr(hashlib, alg.replace("HS", "sha"))
    for secret in (signing.public_pem, signing.public_pem.strip(), b""):
        unsigned = _unsigned({"typ": "JWT", "alg": alg}, PAYLOAD, b"x").rpartition(b".")[0]
        signature = hmac.new(secret, unsigned, digest).digest()
        token = unsigned + b"." + base64url(signature)
        assert _refusal(token) == (401, "token_algorithm")


@pytest.mark.parametrize("parts", [4, 5])
def test_4_the_caller_chooses_how_long_the_router_works(parts: int) -> None:
    """A JWE is no token: five parts are refused by grammar, before anything is read."""
    header = {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 3_000_000, "p2s": "AAAA"}
    token = b".".join([base64url(json.dumps(header).encode())] + [b"AAAA"] * (parts - 1))
    assert _refusal(token) == (401, "token_malformed")
    three = _unsigned(header, PAYLOAD, b"x")
    assert isinstance(make_router().decide(make_head(b"/filer", _header(three)), NOW), Respond)
    bomb = zlib.compress(bytes(2**20))
    assert _refusal(_unsigned({"alg": "RS256", "zip": "DEF"}, bomb.hex(), b"x")) == (
        401,
        "token_algorithm",
    )


@pytest.mark.parametrize("status", [200, 302, 404])
def test_5_x_accel_redirect_is_not_obeyed(status: int) -> None:
    """A pod cannot send its visitor's request to pyos: the field does not even leave."""
    sent = forward(make_router(), make_head(b"/filer", _header(TOKEN)))
    fields = [(b"X-Accel-Redirect", b"/API/x"), (b"x-accel-anything", b"1")]
    names = {name for name, _ in answer_fields(status, fields, sent)}
    assert {b"X-Frame-Options", b"X-XSS-Protection"} == names


@pytest.mark.parametrize(
    ("path", "upstream"),
    [
        (b"/API/container/%s/80/y" % TOKEN, "pyos"),
        (b"/API/manager/container/word/80/y", "pyos"),
        (b"/x/container/8080", "website"),
        (b"/x/container/word/8080", "website"),
        (b"/x/terminals/1/size", "website"),
        (b"/status/container/8080", "pyos"),
    ],
)
def test_6_unanchored_expressions(path: bytes, upstream: str) -> None:
    """A pattern is of the whole path: what is below pyos or the website stays theirs."""
    sent = forward(make_router(), make_head(path, _header(TOKEN)))
    assert (upstream, path) == (sent.upstream, sent.path)
    below_filer = forward(make_router(), make_head(b"/filer/terminals/1/size", _header(TOKEN)))
    assert below_filer.server.port == 29783


def test_7_an_undecryptable_hash_becomes_a_random_host() -> None:
    """Random bytes are no target: 401, nothing is looked up and nothing is kept."""
    router = make_router()
    for _ in range(20):
        token = mint(claims={"hash": undecryptable()})
        status, slug = refusal(router, make_head(b"/filer", _header(token)))
        assert status == 401
        assert slug in ("target_malformed", "target_undecryptable")
    assert len(router.targets) == 0


@pytest.mark.parametrize(
    ("target", "upstream", "path"),
    [
        (b"/filer/../API/x", "pyos", b"/API/x"),
        (b"/API/../filer/x", "pod", b"/filer/x"),
        (b"/API/%2e%2e/filer/x", "pod", b"/filer/x"),
        (b"/x/..%2fAPI/y", "website", b"/x/..%2fAPI/y"),
        (b"/API/..%2fx", "pyos", b"/API/..%2fx"),
        (b"//API/x", "pyos", b"/API/x"),
        (b"/%41PI/x", "pyos", b"/API/x"),
        (b"/./filer//x/.", "pod", b"/filer/x/"),
    ],
)
def test_8_path_confusion(target: bytes, upstream: str, path: bytes) -> None:
    """The path that chose the location is the path that is sent."""
    router = make_router()
    sent = forward(router, make_head(target, _header(TOKEN)))
    assert (upstream, path) == (sent.upstream, sent.path)
    again = forward(router, make_head(path, _header(TOKEN)))
    assert (upstream, path) == (again.upstream, again.path)


@pytest.mark.parametrize(
    "path", [b"/API/x", b"/filer", b"/terminals/1/size", b"/speedtest/x", b"/"]
)
def test_9_the_client_chooses_its_address(path: bytes) -> None:
    """The first entry that pyos believes is the address that we saw."""
    lies: tuple[Field, ...] = (
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"X-Real-IP", b"127.0.0.1"),
        (b"X_Forwarded_For", b"127.0.0.1"),
        (b"X_Real_IP", b"127.0.0.1"),
        (b"Forwarded", b"for=127.0.0.1"),
    )
    sent = forward(make_router(), make_head(path, _header(TOKEN), *lies, peer=CLIENT))
    assert values(sent.fields, b"X-Forwarded-For") == [b"203.0.113.7"]
    assert values(sent.fields, b"X-Real-IP") == [b"203.0.113.7"]
    assert not any(b"127.0.0.1" in value for _, value in sent.fields)
    behind = make_head(
        path, _header(TOKEN), (b"X-Forwarded-For", b"127.0.0.1, 203.0.113.7"), peer=PROXY
    )
    sent = forward(make_router(), behind)
    assert values(sent.fields, b"X-Forwarded-For") == [b"203.0.113.7, 10.9.9.9"]


@pytest.mark.parametrize(
    "target",
    [
        b"/websockify?" + TOKEN,
        b"/broadcast?jwt_token=%s&a=1" % TOKEN,
        b"/broadcast?" + TOKEN,
        b"/terminals/1?" + TOKEN,
        b"/terminals/1?a=1&JWT_TOKEN=" + TOKEN,
        b"/container/%s/80/x" % TOKEN,
        b"/container/%s/80" % TOKEN,
        b"/container/%s/80/x?jwt_token=%s" % (TOKEN, TOKEN),
    ],
)
def test_10_tokens_in_urls(target: bytes) -> None:
    """A token in a URL goes no further, neither in the target nor by way of a Referer."""
    referer = (b"Referer", b"http://desk.example:8080" + target)
    sent = forward(make_router(), make_head(target, referer))
    assert TOKEN not in sent.path
    assert all(TOKEN not in value for _, value in sent.fields)
    assert TOKEN not in str(refusal(make_router(), make_head(target), NOW + LIFE_S)).encode()


@pytest.mark.parametrize("accept", [b"", b"text/html", b"application/json"])
@pytest.mark.parametrize("path", [b"/filer/x.html", b"/filer/x.svg", b"/filer/x.json"])
def test_11_refusals_echo_the_token(path: bytes, accept: bytes) -> None:
    """What was sent is not shown, and the type is not the path's extension's."""
    for token in (b"<script>alert(1)</script>.a.b", sign(b"<b>", b"<i>"), sign([], "<i>")):
        head = make_head(path, _header(token), (b"Accept", accept))
        answer = decide(make_router(), head)
        assert isinstance(answer, Respond)
        assert answer.status == 401
        shown = answer.body + b"".join(value for _, value in answer.fields)
        assert all(
            text not in shown for text in (b"<b>", b"<i>", b"script", *token.split(b".")[:1])
        )
        content_type = values(answer.fields, b"Content-Type")[0]
        assert content_type.startswith(b"text/html") is (accept == b"text/html")


def test_12_exp() -> None:
    """A missing exp is a 401, ``nfb`` means nothing, and no entry of the cache outlives exp."""
    assert _refusal(mint(claims={"exp": None})) == (401, "token_claims")
    router = make_router()
    head = make_head(b"/filer", _header(mint(claims={"nfb": NOW + 1e6})))
    start = NOW + 0.86
    assert isinstance(decide(router, head, start), Forward)
    assert isinstance(router.decide(head, NOW + LIFE_S - 0.001), Forward)
    for late in (0.0, 0.02, 0.45, 0.86):
        assert refusal(router, head, NOW + LIFE_S + late) == (401, "token_expired")


def test_13_changed_keys_need_a_restart(stranger: KeyPair) -> None:
    """New rules are a new router: with an empty cache the old keys open nothing any more."""
    targets = TargetMap(10, 600)
    head = make_head(b"/filer", _header(TOKEN))
    assert isinstance(decide(Router(make_rules(), targets), head), Forward)
    keys = Keys((stranger.public,), (key_pair("payload").private,))
    targets.clear()
    rotated = Router(make_rules(keys=keys), targets)
    assert refusal(rotated, head) == (401, "token_signature")
    fresh = make_head(b"/filer", _header(mint(signing=stranger)))
    assert isinstance(decide(rotated, fresh), Forward)


@pytest.mark.parametrize("path", [b"/websockify", b"/signalling", b"/sound", b"/microphone"])
def test_14_silence_closes_sockets(path: bytes) -> None:
    """A carrier can tell a WebSocket from a plain request, so that silence means nothing there."""
    upgrade = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
    assert forward(make_router(), make_head(path, _header(TOKEN), *upgrade)).is_websocket
    assert not forward(make_router(), make_head(path, _header(TOKEN))).is_websocket


@pytest.mark.parametrize(
    "target",
    [
        *("127.0.0.11:8080/foo", "10.0.0.1/path", "10.0.0.1?x", "10.0.0.1:80", "u@10.0.0.1"),
        *("10.0.0.1#", "http://10.0.0.1", "10.0.0.1 ", "[::1]:80", "pod/../x", "10.0.0.1\r\nX: y"),
    ],
)
def test_15_a_target_rewrites_host_port_and_path(target: str) -> None:
    """A target is a host and nothing else."""
    assert _refusal(mint(target)) == (401, "target_malformed")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/console/x", b"/x"),
        (b"/console//x", b"/x"),
        (b"/console", b"/"),
        (b"/speedtest/x?y", b"/x?y"),
        (b"/speedtest/", b"/"),
    ],
)
def test_16_two_slashes(target: bytes, path: bytes) -> None:
    """A replaced prefix leaves one slash."""
    assert path == forward(make_router(), make_head(target)).path


def test_17_uploads_are_collected_first() -> None:
    """A body costs nothing before its token is good: the refusal needs the head alone."""
    head = make_head(b"/filer", method=b"PUT", length=8 * 2**30)
    assert refusal(make_router(), head) == (401, "token_missing")
    assert refusal(make_router(), head._replace(length=8 * 2**30 + 1)) == (413, "content_too_large")


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(TOKEN + b".", id="TOKEN."),
        pytest.param(b"." + TOKEN, id=".TOKEN"),
        pytest.param(TOKEN.replace(b".", b"..", 1), id="a..b.c"),
        pytest.param(TOKEN + b"=", id="TOKEN="),
    ],
)
def test_rewritings_of_one_token(spelling: bytes) -> None:
    """One token has one spelling, so it has one entry in the cache."""
    assert _refusal(spelling) == (401, "token_malformed")


@pytest.mark.parametrize("payload", [1, True, None, "x", [], {"hash": None}, {"exp": NOW + 1}])
def test_malformed_claims_are_the_client_s_fault(payload: object) -> None:
    """Whatever a token holds, it is a 401 and no 500."""
    assert _refusal(sign({"alg": "RS256"}, payload))[0] == 401


def test_a_newline_in_a_container_path() -> None:
    """An escaped line break neither stops the rewrite nor ends a pattern."""
    sent = forward(make_router(), make_head(b"/container/%s/80/a%%0Ab" % TOKEN))
    assert sent.path == b"/a%0Ab"
    assert forward(make_router(), make_head(b"/container/8080%0A")).upstream == "website"


def test_a_verdict_is_asked_for_without_rsa_work() -> None:
    """A request with a strange token costs this thread no RSA operation."""
    head = make_head(b"/filer", _header(mint(signing=key_pair("stranger"))))
    assert isinstance(make_router().decide(head, NOW), Verify)
