"""Compact JWS -> claims (RFC 7515, RFC 7519, RFC 8725)."""

import json
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from route_addon.core.errors import (
    RouteError,
    TokenAlgorithm,
    TokenClaims,
    TokenExpired,
    TokenMalformed,
    TokenNotYetValid,
    TokenSignature,
    Unauthorized,
)
from route_addon.core.keys import Keys
from route_addon.core.tokens import (
    MAX_TOKEN_BYTES,
    Claims,
    check_grammar,
    check_header,
    has_token_shape,
    verify_token,
)
from tests.core.refusals import refusal
from tests.keys import Pems
from tests.minting import NOW, KeyPair, base64url, key_pair, keys_in_force, mint, sign

HEADER = {"alg": "RS256", "typ": "JWT"}
CLAIMS = {"exp": NOW + 420, "hash": "aGFzaA=="}
TOKEN = mint()
PARTS = TOKEN.split(b".")


def test_a_token_of_pyos(keys: Keys) -> None:
    """What pyos mints is good, with the misspelt claim and all."""
    header, payload, _ = map(jwt.utils.base64url_decode, PARTS)
    assert json.loads(header) == {"alg": "RS256", "typ": "JWT"}
    claims = json.loads(payload)
    assert {"key", "nfb", "exp", "hash"} == set(claims)
    assert Claims(NOW + 420, claims["hash"]) == verify_token(TOKEN, keys.signing, NOW)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"a.b.c", id="three letters"),
        pytest.param(TOKEN, id="a token"),
        pytest.param(b"-_.0.Z", id="every kind of letter"),
    ],
)
def test_shape(text: bytes) -> None:
    """Three parts of base64url mean to be a token."""
    assert has_token_shape(text)


@pytest.mark.parametrize(
    "text",
    [b"", b"a.b", b"a.b.c.d", b"a..c", b".b.c", b"a.b.c=", b"a.b.c&d", b"a.b.c\n", b"a b.c.d"],
)
def test_never_a_shape(text: bytes) -> None:
    """Anything else does not."""
    assert not has_token_shape(text)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"AA.AAA.AAAA", id="every length"),
        pytest.param(b"AQ.AAE.AAAB", id="unused bits that are zero"),
        pytest.param(b"A" * (MAX_TOKEN_BYTES - 6) + b".AA.AA", id="as long as can be"),
    ],
)
def test_grammar(token: bytes) -> None:
    """Three parts of canonical base64url are a token's spelling."""
    assert refusal(check_grammar, token) is None


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b".".join(PARTS[:2]), id="two parts"),
        pytest.param(TOKEN + b".AAAA", id="four parts"),
        pytest.param(TOKEN + b".AAAA.AAAA", id="five parts, as a JWE has"),
        pytest.param(b"." + TOKEN, id="an empty part before"),
        pytest.param(TOKEN + b".", id="an empty part behind"),
        pytest.param(PARTS[0] + b".." + PARTS[2], id="an empty payload"),
        pytest.param(TOKEN + b"=", id="padding"),
        pytest.param(PARTS[0] + b"==." + PARTS[1] + b"." + PARTS[2], id="padding inside"),
        pytest.param(b" " + TOKEN, id="a space before"),
        pytest.param(TOKEN + b"\n", id="a line break behind"),
        pytest.param(TOKEN.replace(b".", b"%2E", 1), id="an escape"),
        pytest.param(TOKEN + b"\xff", id="a byte outside ASCII"),
        pytest.param("AA.AA.AÁ".encode(), id="a letter outside ASCII"),
        pytest.param(b"AA.AA.A+", id="standard base64"),
        pytest.param(b"AA.AA./A", id="a slash"),
        pytest.param(b"AB.AA.AA", id="four unused bits that are not zero"),
        pytest.param(b"AAB.AA.AA", id="two unused bits that are not zero"),
        pytest.param(b"AA.AA.A", id="a length that no text has"),
        pytest.param(b"A" * (MAX_TOKEN_BYTES - 5) + b".AA.AA", id="too long"),
    ],
)
def test_never_accepts_another_spelling(token: bytes) -> None:
    """One token has one spelling, and it is checked before anything else."""
    with pytest.raises(TokenMalformed):
        check_grammar(token)
    with pytest.raises(TokenMalformed):
        verify_token(token, [], NOW)


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (b"", "not a compact JWS: parts: 0 instead of 3"),
        (b"Bearer", "not a compact JWS: parts: 1 instead of 3"),
        (b"." + TOKEN, "not a compact JWS: parts: 3 instead of 3"),
        (b".".join(PARTS[:2]), "not a compact JWS: parts: 2 instead of 3"),
        (TOKEN + b"\n", f"not a compact JWS: byte {len(TOKEN) + 1} is no letter of base64url"),
        (b"jwt_token=" + TOKEN, "not a compact JWS: byte 10 is no letter of base64url"),
        (TOKEN[:-1], "not a compact JWS: part 3 does not end as base64url does; is it whole?"),
        (b"AB.AA.AA", "not a compact JWS: part 1 does not end as base64url does; is it whole?"),
        (
            b"hidden.0123456789abcdef.token",
            "not a compact JWS: a placeholder, and nobody here knows what it stands for",
        ),
        (b"A" * 8193, "8193 bytes; 8192 at most"),
    ],
)
def test_what_is_wrong_with_a_spelling(token: bytes, told: str) -> None:
    """Whoever pasted it is told, and nothing of the token is."""
    with pytest.raises(TokenMalformed) as caught:
        check_grammar(token)
    assert caught.value.detail == told


def test_every_rewriting_of_the_last_letter_is_another_token(keys: Keys) -> None:
    """Unused low bits in the last letter make no second spelling of a good token."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    accepted = []
    for letter in letters:
        try:
            verify_token(TOKEN[:-1] + bytes((letter,)), keys.signing, NOW)
        except Unauthorized:
            continue
        accepted.append(letter)
    assert [TOKEN[-1]] == accepted


@pytest.mark.parametrize(
    ("header", "error"),
    [
        pytest.param({}, TokenAlgorithm, id="no alg"),
        pytest.param({"alg": None}, TokenAlgorithm, id="alg null"),
        pytest.param({"alg": "none"}, TokenAlgorithm, id="alg none"),
        pytest.param({"alg": "None"}, TokenAlgorithm, id="alg None"),
        pytest.param({"alg": ""}, TokenAlgorithm, id="alg empty"),
        pytest.param({"alg": "rs256"}, TokenAlgorithm, id="alg in small letters"),
        pytest.param({"alg": "RS256 "}, TokenAlgorithm, id="alg with a space"),
        pytest.param({"alg": ["RS256"]}, TokenAlgorithm, id="alg in a list"),
        pytest.param({"alg": 256}, TokenAlgorithm, id="alg a number"),
        *(
            pytest.param({"alg": alg}, TokenAlgorithm, id=f"alg {alg}")
            for alg in (
                *("HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "PS384", "PS512"),
                *("ES256", "ES384", "ES512", "ES256K", "EdDSA", "dir", "RSA-OAEP", "RSA1_5"),
                "PBES2-HS256+A128KW",
            )
        ),
        pytest.param(HEADER | {"enc": "A256GCM"}, TokenAlgorithm, id="enc"),
        pytest.param(HEADER | {"enc": None}, TokenAlgorithm, id="enc null"),
        pytest.param(HEADER | {"zip": "DEF"}, TokenAlgorithm, id="zip"),
        pytest.param(HEADER | {"crit": ["exp"]}, TokenAlgorithm, id="crit"),
        pytest.param(HEADER | {"crit": []}, TokenAlgorithm, id="crit empty"),
        pytest.param(HEADER | {"b64": False, "crit": ["b64"]}, TokenAlgorithm, id="b64"),
        pytest.param([], TokenMalformed, id="a list"),
        pytest.param("RS256", TokenMalformed, id="a string"),
        pytest.param(None, TokenMalformed, id="null"),
        pytest.param(1, TokenMalformed, id="a number"),
        pytest.param(b"", TokenMalformed, id="nothing"),
        pytest.param(b"{", TokenMalformed, id="half an object"),
        pytest.param(b'{"alg":"RS256"}x', TokenMalformed, id="more than an object"),
        pytest.param(b'\xef\xbb\xbf{"alg":"RS256"}', TokenMalformed, id="a byte order mark"),
        pytest.param('{"alg":"RS256"}'.encode("utf-16"), TokenMalformed, id="UTF-16"),
        pytest.param(b'{"alg":"RS256","x":"\xff"}', TokenMalformed, id="no UTF-8"),
        pytest.param(b'{"alg":"RS256","x":NaN}', TokenMalformed, id="NaN is not JSON"),
        pytest.param(b"{'alg':'RS256'}", TokenMalformed, id="single quotes"),
    ],
)
def test_never_accepts_a_header(header: Any, error: type[RouteError], keys: Keys) -> None:
    """A header other than plain RS256 is refused, though the signature is good."""
    token = sign(header, CLAIMS)
    if header != b"":
        with pytest.raises(error):
            check_header(token)
    with pytest.raises(error):
        verify_token(token, keys.signing, NOW)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"alg": "RS256"}, id="without typ"),
        pytest.param(HEADER | {"kid": "../../etc/passwd"}, id="kid"),
        pytest.param(HEADER | {"jku": "http://evil/"}, id="jku"),
        pytest.param(HEADER | {"x5u": "http://evil/"}, id="x5u"),
        pytest.param(HEADER | {"x5c": ["AAAA"]}, id="x5c"),
        pytest.param(HEADER | {"jwk": {"kty": "RSA", "n": "AQ", "e": "AQAB"}}, id="jwk"),
        pytest.param(HEADER | {"typ": "JOSE", "cty": "x"}, id="another typ"),
        pytest.param(b' {"alg" : "RS256" } ', id="white space"),
    ],
)
def test_parameters_that_are_not_looked_at(header: Any, keys: Keys, stranger: KeyPair) -> None:
    """They neither refuse a good signature nor help a bad one."""
    assert Claims(NOW + 420, "aGFzaA==") == verify_token(sign(header, CLAIMS), keys.signing, NOW)
    with pytest.raises(TokenSignature):
        verify_token(sign(header, CLAIMS, stranger), keys.signing, NOW)


def test_a_key_in_the_header_is_not_used(keys: Keys, stranger: KeyPair) -> None:
    """A token that brings its own key along is signed by a stranger."""
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(stranger.public))
    with pytest.raises(TokenSignature):
        verify_token(sign(HEADER | {"jwk": jwk}, CLAIMS, stranger), keys.signing, NOW)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(mint(signing=key_pair("stranger")), id="signed by another key"),
        pytest.param(mint(signing=key_pair("payload")), id="signed by the payload key"),
        pytest.param(b".".join((*PARTS[:2], b"AAAA")), id="a short signature"),
        pytest.param(b".".join((*PARTS[:2], PARTS[2] + b"AAAA")), id="a long signature"),
        pytest.param(b".".join((*PARTS[:2], base64url(bytes(256)))), id="a signature of zeros"),
        pytest.param(b".".join((*PARTS[:2], mint("h").split(b".")[2])), id="another's signature"),
        pytest.param(
            b".".join((PARTS[0], mint("h").split(b".")[1], PARTS[2])), id="another's claims"
        ),
        pytest.param(b".".join((base64url(b'{"alg":"RS256"}'), *PARTS[1:])), id="another's header"),
    ],
)
def test_never_accepts_a_signature(token: bytes, keys: Keys) -> None:
    """What the signing key did not sign is refused."""
    with pytest.raises(TokenSignature):
        verify_token(token, keys.signing, NOW)


def test_the_signature_comes_before_the_claims(keys: Keys, stranger: KeyPair) -> None:
    """A stranger does not learn what is wrong with the claims."""
    with pytest.raises(TokenSignature):
        verify_token(mint(life_s=-1, signing=stranger), keys.signing, NOW)
    with pytest.raises(TokenSignature):
        verify_token(sign(HEADER, b"no JSON", stranger), keys.signing, NOW)


def test_keys_overlap_during_a_rotation(signing: KeyPair, stranger: KeyPair) -> None:
    """Each key is tried in turn; none of them is none."""
    for pair in (signing, stranger):
        verify_token(mint(signing=pair), (signing.public, stranger.public), NOW)
    with pytest.raises(TokenSignature):
        verify_token(TOKEN, (), NOW)


def test_a_short_key_makes_no_noise(pems: Pems) -> None:
    """A signing key of 1024 bits verifies without a warning at every token."""
    old = key_pair("old", 1024)
    assert verify_token(sign(HEADER, CLAIMS, old), [old.public], NOW).exp == NOW + 420


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"exp": None}, TokenClaims, id="exp null"),
        pytest.param({"exp": "1700000420"}, TokenClaims, id="exp a string"),
        pytest.param({"exp": True}, TokenClaims, id="exp true"),
        pytest.param({"exp": [1]}, TokenClaims, id="exp a list"),
        pytest.param({"exp": 10**400}, TokenClaims, id="exp beyond any float"),
        pytest.param({"exp": NOW}, TokenExpired, id="exp is now"),
        pytest.param({"exp": NOW - 1}, TokenExpired, id="exp is over"),
        pytest.param({"exp": 0}, TokenExpired, id="exp zero"),
        pytest.param({"exp": -1e300}, TokenExpired, id="exp long ago"),
        pytest.param({"nbf": NOW + 1}, TokenNotYetValid, id="nbf to come"),
        pytest.param({"nbf": None}, TokenClaims, id="nbf null"),
        pytest.param({"nbf": "0"}, TokenClaims, id="nbf a string"),
        pytest.param({"nbf": False}, TokenClaims, id="nbf false"),
        pytest.param({"hash": None}, TokenClaims, id="hash null"),
        pytest.param({"hash": 1}, TokenClaims, id="hash a number"),
        pytest.param({"hash": True}, TokenClaims, id="hash true"),
        pytest.param({"hash": ["x"]}, TokenClaims, id="hash a list"),
        pytest.param({"hash": {"x": 1}}, TokenClaims, id="hash an object"),
        pytest.param({"exp": NOW, "nbf": NOW + 1, "hash": 1}, TokenExpired, id="exp decides first"),
        pytest.param({"nbf": NOW + 1, "hash": 1}, TokenNotYetValid, id="nbf decides second"),
    ],
)
def test_never_accepts_claims(changes: dict[str, Any], error: type[RouteError], keys: Keys) -> None:
    """A claim that is missing, of another type or not of this time is refused."""
    with pytest.raises(error):
        verify_token(sign(HEADER, CLAIMS | changes), keys.signing, NOW)


@pytest.mark.parametrize("missing", ["exp", "hash"])
def test_claims_that_must_be_there(missing: str, keys: Keys) -> None:
    """exp and hash must be there; it is the client's fault when they are not."""
    claims = {name: value for name, value in CLAIMS.items() if name != missing}
    with pytest.raises(TokenClaims):
        verify_token(sign(HEADER, claims), keys.signing, NOW)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"x", id="no JSON"),
        pytest.param([], id="a list"),
        pytest.param("x", id="a string"),
        pytest.param(1, id="a number"),
        pytest.param(True, id="true"),
        pytest.param(None, id="null"),
        pytest.param(b'{"exp":Infinity,"hash":"x"}', id="Infinity"),
        pytest.param(b'{"exp":NaN,"hash":"x"}', id="NaN"),
        pytest.param(b'{"exp":%s,"hash":"x"}' % (b"9" * 5000), id="a number of 5000 digits"),
        pytest.param(b'{"exp":1,"hash":"\xff"}', id="no UTF-8"),
    ],
)
def test_never_accepts_a_payload(payload: Any, keys: Keys) -> None:
    """A payload that is no JSON object is refused."""
    with pytest.raises(TokenMalformed):
        verify_token(sign(HEADER, payload), keys.signing, NOW)


@pytest.mark.parametrize("depth", [100, 1000, 2400])
def test_deep_json(depth: int, keys: Keys) -> None:
    """However deep the JSON goes, a verdict comes out of it."""
    deep = b"[" * depth + b"]" * depth
    for token in (
        sign(b'{"alg":"RS256","x":%s}' % deep, CLAIMS),
        sign(HEADER, b'{"exp":%d,"hash":"x","x":%s}' % (NOW + 420, deep)),
    ):
        try:
            verify_token(token, keys.signing, NOW)
        except Unauthorized as error:
            assert isinstance(error, TokenMalformed)


@pytest.mark.parametrize(
    ("claims", "now", "leeway_s"),
    [
        pytest.param({"exp": NOW + 0.001}, NOW, 0.0, id="a moment before exp"),
        pytest.param({"exp": NOW + 0.5}, NOW, 0.0, id="exp with a fraction"),
        pytest.param({"exp": NOW}, NOW, 0.1, id="exp within the leeway"),
        pytest.param({"exp": NOW - 9}, NOW, 10.0, id="exp within a long leeway"),
        pytest.param({"nbf": NOW}, NOW, 0.0, id="nbf is now"),
        pytest.param({"nbf": NOW + 10}, NOW, 10.0, id="nbf within the leeway"),
        pytest.param({"nfb": NOW + 999}, NOW, 0.0, id="nfb is not nbf"),
        pytest.param({"iat": NOW + 999, "iss": 1, "aud": 2, "key": "x"}, NOW, 0.0, id="others"),
        pytest.param({"exp": 1e300}, NOW, 0.0, id="exp far away"),
    ],
)
def test_time(claims: dict[str, Any], now: float, leeway_s: float, keys: Keys) -> None:
    """A token is good until exp and from nbf on, give or take the leeway."""
    token = sign(HEADER, CLAIMS | claims)
    assert refusal(verify_token, token, keys.signing, now, leeway_s) is None


@pytest.mark.parametrize(
    ("claims", "leeway_s", "error"),
    [
        ({"exp": NOW - 10}, 10.0, TokenExpired),
        ({"nbf": NOW + 10.5}, 10.0, TokenNotYetValid),
    ],
)
def test_the_leeway_ends(
    claims: dict[str, Any], leeway_s: float, error: type[RouteError], keys: Keys
) -> None:
    """Beyond the leeway a token is as bad as without."""
    with pytest.raises(error):
        verify_token(sign(HEADER, CLAIMS | claims), keys.signing, NOW, leeway_s)


def _grammatical(parts: list[bytes]) -> bytes:
    return b".".join(map(base64url, parts))


_TOKENS = (
    st.binary(max_size=60)
    | st.lists(st.binary(min_size=1, max_size=30), min_size=3, max_size=3).map(_grammatical)
    | st.builds(
        lambda position, letter: TOKEN[:position] + letter + TOKEN[position + 1 :],
        st.integers(0, len(TOKEN) - 1),
        st.binary(min_size=1, max_size=1),
    )
)


@given(_TOKENS)
def test_any_bytes_give_claims_or_a_route_error(token: bytes) -> None:
    """Nothing but the one good token is accepted, and nothing else comes out."""
    try:
        claims = verify_token(token, keys_in_force().signing, NOW)
    except Unauthorized as error:
        assert len(token) < 10 or token.decode("latin-1") not in error.detail
        return
    assert token == TOKEN
    assert claims.exp == NOW + 420


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)
_NAMES = st.sampled_from(["exp", "nbf", "hash", "alg", "enc", "kid", "b64", "crit"])


@settings(max_examples=50)
@given(st.dictionaries(_NAMES, _JSON), _JSON | st.dictionaries(_NAMES, _JSON))
def test_any_signed_json_gives_claims_or_a_route_error(header: Any, payload: Any) -> None:
    """Whatever the signing key signs, a verdict comes out of it."""
    token = sign({"alg": "RS256"} | header, payload)
    try:
        claims = verify_token(token, keys_in_force().signing, NOW)
    except Unauthorized:
        return
    assert claims.exp > NOW
    assert isinstance(claims.hash, str)
