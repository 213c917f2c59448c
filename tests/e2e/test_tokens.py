"""Tokens: where they may stand, which ones open a pod, and that they open no other."""

import time
from collections.abc import Callable

import jwt
import pytest

from tests.e2e.harness import (
    Answer,
    Field,
    Fleet,
    Pod,
    Router,
    build_request,
    check_refusal,
)
from tests.minting import LIFE_S, encrypt, key_pair, sign

type Ask = Callable[[Router, bytes, Pod], Answer]
"""Ask a pod's service with a token in some place."""

ORIGIN = (b"Origin", b"http://desk.example")


def _in_field(name: bytes, prefix: bytes = b"") -> Ask:
    return lambda router, token, pod: router.ask(build_request(b"/filer/x", (name, prefix + token)))


def _in_target(form: bytes) -> Ask:
    return lambda router, token, pod: router.ask(build_request(form % token))


def _in_container_path(router: Router, token: bytes, pod: Pod) -> Answer:
    return router.ask(build_request(b"/container/%b/%d/x" % (token, pod["xterm"].port)))


SOURCES = {
    "ABCAuthorization": _in_field(b"ABCAuthorization"),
    "ABCAuthorization Bearer": _in_field(b"ABCAuthorization", b"Bearer "),
    "abcauthorization bEARER": _in_field(b"abcauthorization", b"bEARER "),
    "Authorization": _in_field(b"Authorization", b"Bearer "),
    "cookie": _in_field(b"Cookie", b"a=b; jwt_token="),
    "query argument": _in_target(b"/broadcast?x=1&jwt_token=%b"),
    "query argument in capitals": _in_target(b"/broadcast?JWT_TOKEN=%b&y=2"),
    "whole query": _in_target(b"/websockify?%b"),
    "path": _in_container_path,
}
every_source = pytest.mark.parametrize("ask", SOURCES.values(), ids=SOURCES)


@every_source
def test_a_good_token_opens_its_own_pod(ask: Ask, router: Router, fleet: Fleet) -> None:
    """From every source, to the pod that it names, and to no other."""
    for pod, other in ((fleet.alice, fleet.bob), (fleet.bob, fleet.alice)):
        for _ in range(2):  # verified, then remembered
            answer = ask(router, pod.token, pod)
            assert answer.status == 200
            assert answer.body.endswith(pod.address.encode())
        assert all(service.is_untouched for service in other.services.values())
        fleet.forget()


def _header(token: bytes, **changes: str) -> bytes:
    header = {**jwt.get_unverified_header(token), **changes}
    claims = jwt.decode(token, options={"verify_signature": False})
    return sign(header, claims)


def _of_hash(hash_claim: str) -> bytes:
    claims = {"exp": int(time.time() + LIFE_S), "hash": hash_claim}
    return sign({"alg": "RS256", "typ": "JWT"}, claims)


def _confused(pod: Pod) -> bytes:
    """HS256, keyed with the text of the public key."""
    key = key_pair("signing").public_pem
    _, claims, _ = pod.token.split(b".")
    forged = b'{"alg":"HS256","typ":"JWT"}'
    signing_input = jwt.utils.base64url_encode(forged) + b"." + claims
    digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signing_input, key
    )
    return signing_input + b"." + jwt.utils.base64url_encode(digest)


def _tampered(pod: Pod, other: Pod) -> bytes:
    """The claims of one token with the signature of another."""
    return b".".join((*other.token.split(b".")[:2], pod.token.split(b".")[2]))


BAD: dict[str, Callable[[Pod, Pod], bytes]] = {
    "expired": lambda pod, other: pod.mint(life_s=-1),
    "expired now": lambda pod, other: pod.mint(life_s=0),
    "signed by a stranger": lambda pod, other: pod.mint(signing=key_pair("stranger")),
    "without exp": lambda pod, other: pod.mint(claims={"exp": None}),
    "exp as text": lambda pod, other: pod.mint(claims={"exp": "9999999999"}),
    "not valid yet": lambda pod, other: pod.mint(claims={"nbf": int(time.time()) + 300}),
    "without hash": lambda pod, other: pod.mint(claims={"hash": None}),
    "tampered with": _tampered,
    "alg none": lambda pod, other: b".".join(
        (b"eyJhbGciOiJub25lIn0", pod.token.split(b".")[1], b"AA")
    ),
    "HS256 with the public key": lambda pod, other: _confused(pod),
    "enc in the header": lambda pod, other: _header(pod.token, enc="A256GCM"),
    "crit in the header": lambda pod, other: _header(pod.token, crit="x"),
    "two parts": lambda pod, other: pod.token.rpartition(b".")[0],
    "four parts": lambda pod, other: pod.token + b".AAAA",
    "padded": lambda pod, other: pod.token + b"==",
    "cut": lambda pod, other: pod.token[:-4],
    "of unused bits": lambda pod, other: pod.token[:-1] + _neighbour(pod.token[-1:]),
    "no token at all": lambda pod, other: b"x",
    "a hash that is no base64": lambda pod, other: _of_hash("*"),
    "a hash of the wrong length": lambda pod, other: _of_hash("AAAA"),
    "a host with a port": lambda pod, other: _of_hash(encrypt(f"{pod.address}:80")),
    "a host with a path": lambda pod, other: _of_hash(encrypt(f"{pod.address}/x")),
    "a short form of an address": lambda pod, other: _of_hash(encrypt("127.1")),
}


def _neighbour(letter: bytes) -> bytes:
    """The same bits in another spelling: a signature's last letter has four that say nothing."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = alphabet.index(letter)
    return alphabet[at ^ 1 : (at ^ 1) + 1]


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_bad_token_opens_nothing(
    make: Callable[[Pod, Pod], bytes], router: Router, fleet: Fleet
) -> None:
    """From every source it is a 401 that says what is wanted, and no upstream hears of it."""
    token = make(fleet.alice, fleet.bob)
    for source, ask in SOURCES.items():
        if source == "whole query" and token.count(b".") != 2:
            continue  # such a query is no token, but an ordinary query
        answer = ask(router, token, fleet.alice)
        check_refusal(answer, 401, fleet)
        wanted = b"Bearer" if b"token is required" in answer.body else b"invalid_token"
        assert wanted in (answer.get(b"WWW-Authenticate") or b""), source


def test_a_token_that_is_too_long(router: Router, fleet: Fleet) -> None:
    """Over 8 KiB it is no token; where it makes the line too long, that is said."""
    token = fleet.alice.mint(claims={"x": "x" * 7000})
    for ask in SOURCES.values():
        answer = ask(router, token, fleet.alice)
        check_refusal(answer, answer.status, fleet)
        assert answer.status in (401, 414, 431)


@pytest.mark.parametrize(
    "target",
    [
        b"/websockify",
        b"/websockify?x=1",
        b"/signalling",
        b"/broadcast/x",
        b"/sound",
        b"/microphone/",
        b"/gamepad",
        b"/terminals/x",
        b"/terminals/1/size",
        b"/terminals",
        b"/filer",
        b"/printerfiler/x",
        b"/spawner",
        b"/snapshot/x",
        b"/container/8080",
        b"/container/x/8080",
        b"/container/x/8080/y",
    ],
)
def test_a_missing_token(target: bytes, router: Router, fleet: Fleet) -> None:
    """Every location of a pod wants one; RFC 6750 wants no error code then."""
    answer = router.ask(build_request(target))
    check_refusal(answer, 401, fleet)
    if b"/container/x/" not in target:
        assert answer.get(b"WWW-Authenticate") == b"Bearer"


@pytest.mark.parametrize("target", [b"/filer/x?jwt_token=%b", b"/snapshot?%b", b"/terminals?%b"])
def test_the_query_is_no_source_everywhere(target: bytes, router: Router, fleet: Fleet) -> None:
    """A location reads only the sources of its row."""
    check_refusal(router.ask(build_request(target % fleet.alice.token)), 401, fleet)


def _fields(*lines: tuple[bytes, bytes]) -> Callable[[bytes, bytes], bytes]:
    return lambda good, bad: build_request(
        b"/filer/x",
        *((name, value.replace(b"GOOD", good).replace(b"BAD", bad)) for name, value in lines),
    )


AMBIGUOUS = {
    "two ABCAuthorization lines": _fields(
        (b"ABCAuthorization", b"GOOD"), (b"ABCAuthorization", b"GOOD")
    ),
    "two Authorization lines": _fields(
        (b"Authorization", b"Bearer GOOD"), (b"Authorization", b"Bearer GOOD")
    ),
    "two cookies": _fields((b"Cookie", b"jwt_token=GOOD; jwt_token=BAD")),
    "two Cookie lines": _fields((b"Cookie", b"jwt_token=BAD"), (b"Cookie", b"jwt_token=GOOD")),
    "a bad field and a good one": _fields(
        (b"ABCAuthorization", b"BAD"), (b"Authorization", b"Bearer GOOD")
    ),
    "a bad field and a good cookie": _fields(
        (b"ABCAuthorization", b"BAD"), (b"Cookie", b"jwt_token=GOOD")
    ),
    "an empty field and a good cookie": _fields(
        (b"ABCAuthorization", b""), (b"Cookie", b"jwt_token=GOOD")
    ),
    "a list": _fields((b"ABCAuthorization", b"GOOD, GOOD")),
    "a bad argument and a good field": lambda good, bad: build_request(
        b"/broadcast?jwt_token=" + bad, (b"ABCAuthorization", good)
    ),
    "an empty argument and a good field": lambda good, bad: build_request(
        b"/broadcast?jwt_token=&jwt_token=" + good, (b"ABCAuthorization", good)
    ),
    "an escaped token": lambda good, bad: build_request(
        b"/broadcast?jwt_token=" + good.replace(b".", b"%2E")
    ),
    "Bearer in the path": lambda good, bad: build_request(b"/container/Bearer%%20%b/80/" % good),
}


@pytest.mark.parametrize("make", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_doubtful_credential(
    make: Callable[[bytes, bytes], bytes], router: Router, fleet: Fleet
) -> None:
    """A credential that is present and bad, or there twice, is refused: no other is tried."""
    bad = fleet.alice.mint(signing=key_pair("stranger"))
    check_refusal(router.ask(make(fleet.alice.token, bad)), 401, fleet)


def test_another_scheme_is_no_credential(router: Router, fleet: Fleet) -> None:
    """``Authorization: Basic`` is the pod's own affair; the cookie is looked at."""
    answer = router.ask(
        build_request(
            b"/filer/x",
            (b"Authorization", b"Basic eDp5"),
            (b"Cookie", b"jwt_token=" + fleet.alice.token),
        )
    )
    assert answer.status == 200
    assert fleet.alice["file_service"].request.get(b"Authorization") == b"Basic eDp5"


def test_one_cookie_said_twice_is_one(router: Router, fleet: Fleet) -> None:
    """Two cookies of that name with one value leave no doubt."""
    token = fleet.alice.token
    cookie = (b"Cookie", b"jwt_token=%b; jwt_token=%b" % (token, token))
    assert router.ask(build_request(b"/filer/x", cookie)).status == 200


def test_a_user_token_is_not_looked_at(router: Router, fleet: Fleet) -> None:
    """On locations without a token, ABCAuthorization is pyos' affair, whatever it holds."""
    field = (b"ABCAuthorization", b"Bearer not.a.desktop-token")
    assert router.ask(build_request(b"/API/x", field)).status == 200
    assert fleet.pyos.request.get(b"ABCAuthorization") == field[1]


# --- cookies: a browser sends them, whoever asks


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param([ORIGIN], 200, id="our own Origin"),
        pytest.param([(b"Origin", b"https://desk.example")], 200, id="TLS ended before us"),
        pytest.param([(b"Referer", b"http://desk.example/x?y")], 200, id="our own Referer"),
        pytest.param([], 403, id="neither"),
        pytest.param([(b"Origin", b"null")], 403, id="null"),
        pytest.param([(b"Origin", b"http://evil.example")], 403, id="a foreign Origin"),
        pytest.param([(b"Origin", b"http://desk.example:8080")], 403, id="another port"),
        pytest.param([ORIGIN, (b"Origin", b"http://evil.example")], 403, id="two Origins"),
        pytest.param(
            [(b"Referer", b"http://evil.example/desk.example")], 403, id="a foreign Referer"
        ),
        pytest.param(
            [(b"Origin", b"http://evil.example"), (b"Referer", b"http://desk.example/")],
            403,
            id="a foreign Origin with our own Referer",
        ),
    ],
)
@pytest.mark.parametrize("method", [b"POST", b"DELETE"])
def test_a_cookie_needs_a_page_of_ours(
    method: bytes, fields: list[Field], status: int, router: Router, fleet: Fleet
) -> None:
    """A method that changes something needs an Origin, or else a Referer, that names us."""
    cookie = (b"Cookie", b"jwt_token=" + fleet.alice.token)
    answer = router.ask(build_request(b"/filer/x", cookie, *fields, method=method, body=b"x"))
    if status == 200:
        assert answer.status == 200
        assert fleet.alice["file_service"].request.body == b"x"
    else:
        check_refusal(answer, status, fleet)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
def test_a_cookie_alone_will_do_to_read(method: bytes, router: Router, fleet: Fleet) -> None:
    """A method that changes nothing needs no Origin."""
    cookie = (b"Cookie", b"jwt_token=" + fleet.alice.token)
    evil = (b"Origin", b"http://evil.example")
    assert router.ask(build_request(b"/filer/x", cookie, evil, method=method)).status == 200


# --- what pods get to see


def test_no_token_is_left_in_what_a_container_gets(router: Router, fleet: Fleet) -> None:
    """The port of /container may be anybody's: path, query, cookie and Referer hold no token."""
    token = fleet.alice.token
    router.ask(
        build_request(
            b"/container/%b/%d/x?jwt_token=%b&a=1" % (token, fleet.alice["xterm"].port, token),
            (b"Cookie", b"a=1; jwt_token=%b; b=2" % token),
            (b"Referer", b"http://desk.example/container/%b/80/" % token),
        )
    )
    request = fleet.alice["xterm"].request
    assert request.target == b"/x?a=1"
    assert request.get(b"Cookie") == b"a=1; b=2"
    assert request.get(b"Referer") == b"http://desk.example/"
    assert token not in fleet.alice["xterm"].received


def test_every_token_argument_is_taken_out(router: Router, fleet: Fleet) -> None:
    """All of them, in any case; the rest stays byte for byte."""
    token = fleet.alice.token
    router.ask(build_request(b"/broadcast?a=%%zz&jwt_token=%b&&JWT_TOKEN=%b&b=+" % (token, token)))
    assert fleet.alice["broadcast"].request.target == b"/broadcast?a=%zz&&b=+"


def test_tokens_in_fields_go_on(router: Router, fleet: Fleet) -> None:
    """A pod's own services read the header and the cookie."""
    token = fleet.alice.token
    router.ask(
        build_request(b"/filer", (b"ABCAuthorization", token), (b"Cookie", b"jwt_token=%b" % token))
    )
    request = fleet.alice["file_service"].request
    assert request.get(b"ABCAuthorization") == token
    assert request.get(b"Cookie") == b"jwt_token=" + token


# --- time


def test_a_token_ends_at_its_time(router: Router, fleet: Fleet) -> None:
    """A token that was remembered is refused once it has expired."""
    exp = time.time() + 2.5
    token = fleet.alice.mint(claims={"exp": exp})
    request = build_request(b"/filer/x", (b"ABCAuthorization", token))
    assert router.ask(request).status == 200
    assert router.ask(request).status == 200
    time.sleep(max(0.0, exp - time.time()) + 0.01)
    fleet.forget()
    check_refusal(router.ask(request), 401, fleet)
