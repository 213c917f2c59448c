"""JSON: what is hidden in it, and that all else stays byte for byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.masks.mask import Mask, Masked
from route_addon.carry.masks.mask_json import hide_json, is_json
from route_addon.carry.masks.secret_names import names_secret
from tests.minting import mint

TOKEN = next(token for token in iter(mint, None) if not names_secret(token))
"""As a name it must not be a secret's by chance."""
MASK = Mask(b"k" * 32)


def hidden(secret: bytes) -> bytes:
    """The placeholder of a secret."""
    return MASK.placeholder(secret)


def value(secret: bytes) -> bytes:
    """The placeholder of a value that is no string, with its quotes."""
    return Masked(MASK).hide_value(secret)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b' {"a" : [1, "b", null]} ', None, id="no secret"),
        pytest.param(b"7", None, id="a number"),
        pytest.param(b'{"password": ""}', None, id="an empty one"),
        pytest.param(b'{"password": null, "token": true}', None, id="none"),
        pytest.param(b'{"password":"x"}', b'{"password":"%b"}' % hidden(b"x"), id="a member"),
        pytest.param(
            b'[{"a":{"VncPassword" :\n"x","b":1}}]',
            b'[{"a":{"VncPassword" :\n"%b","b":1}}]' % hidden(b"x"),
            id="at any depth",
        ),
        pytest.param(
            b'{"pass\\u0077ord":"x"}',
            b'{"pass\\u0077ord":"%b"}' % hidden(b"x"),
            id="an escaped name",
        ),
        pytest.param(
            b'{"password":"a\\"b\\\\","c":"d"}',
            b'{"password":"%b","c":"d"}' % hidden(b'a\\"b\\\\'),
            id="escapes",
        ),
        pytest.param(
            b'{"password":1,"password":"2"}',
            b'{"password":%b,"password":"%b"}' % (value(b"1"), hidden(b"2")),
            id="one twice",
        ),
        pytest.param(
            b'{"secrets":[{"a":"]"},[1]],"b":[2]}',
            b'{"secrets":%b,"b":[2]}' % value(b'[{"a":"]"},[1]]'),
            id="a list",
        ),
        pytest.param(b'{"jwt_x":{"a":"}"}}', b'{"jwt_x":%b}' % value(b'{"a":"}"}'), id="an object"),
        pytest.param(b'{"a":["password","x"]}', None, id="a value of that name"),
        pytest.param(b'["%b"]' % TOKEN, b'["%b"]' % hidden(TOKEN), id="a token without a name"),
        pytest.param(
            b'{"a":"%b"}' % TOKEN.replace(b".", b"\\u002e"),
            b'{"a":"%b"}' % hidden(TOKEN.replace(b".", b"\\u002e")),
            id="a token with escapes",
        ),
        pytest.param(b'{"%b":1}' % TOKEN, b'{"%b":1}' % hidden(TOKEN), id="a token as a name"),
        pytest.param(
            b'{"url":"https://idp/?a&state=x"}',
            b'{"url":"https://idp/?a&state=%b"}' % hidden(b"x"),
            id="a URL",
        ),
        pytest.param(
            b'{"url":"https:\\/\\/idp\\/?state=x"}',
            b'{"url":"%b"}' % hidden(b"https:\\/\\/idp\\/?state=x"),
            id="a URL with escapes",
        ),
        pytest.param(
            b'{"a":"{\\"password\\":\\"x\\"}"}',
            b'{"a":"%b"}' % hidden(b'{\\"password\\":\\"x\\"}'),
            id="JSON in a string",
        ),
        pytest.param(b'{"a":"{\\"b\\":1}","c":"[not"}', None, id="JSON in a string, no secret"),
    ],
)
def test_secrets(text: bytes, expected: bytes | None) -> None:
    """They are hidden, the text is JSON still, and they come back."""
    masked = Masked(MASK)
    result = hide_json(masked, text)
    assert result == (text if expected is None else expected)
    assert is_json(result)
    assert masked.reveal_text(result) == text


@pytest.mark.parametrize(
    "text", [b"", b"{", b"{'a':1}", b'{"a":1}}', b"\xff", b"[" * 100_000], ids=range(6)
)
def test_no_json(text: bytes) -> None:
    """Neither is anything too deep."""
    assert not is_json(text)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(), st.sampled_from(["{}", "[1]"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.text(), st.sampled_from(["password", "token", "a"])), inner, max_size=3
        ),
    ),
)


@given(_VALUES, st.sampled_from([None, 1]), st.booleans())
def test_any_json(any_value: Any, indent: int | None, is_ascii: bool) -> None:
    """Comes back byte for byte; of a member that is a secret nothing is seen in between."""
    secret = "s3cret-" * 5
    document = {"other": any_value, "password": secret, "nested": [{"a": {"token": [secret]}}]}
    text = json.dumps(document, indent=indent, ensure_ascii=is_ascii).encode(
        "utf-8", "surrogatepass"
    )
    masked = Masked(MASK)
    if not is_json(text):
        return
    result = hide_json(masked, text)
    assert is_json(result)
    assert secret.encode() not in result
    assert masked.reveal_text(result) == text
