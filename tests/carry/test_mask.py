"""Placeholders: what is hidden, what comes back, and that nothing else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.mask import Mask, Masked
from route_addon.core.credentials import replace_tokens
from route_addon.core.tokens import has_token_shape
from tests.minting import mint

TOKEN = mint()
MASK = Mask(b"k" * 32)
HIDDEN = MASK.placeholder(TOKEN)
ESCAPED = TOKEN.replace(b".", b"%2E")


def holds_token(text: bytes) -> bool:
    """Whether a text shows a token; a placeholder is none, and an argument may be empty."""
    left: list[bytes] = []

    def keep(token: bytes) -> bytes:
        left.append(token)
        return b""

    replace_tokens(text, keep)
    return any(token and not token.startswith(b"hidden.") for token in left)


def hide(name: bytes, value: bytes) -> bytes:
    """The value of one field, hidden."""
    return Masked(MASK).hide_fields([(name, value)])[0][1]


def test_placeholder_is_the_same_for_one_secret() -> None:
    """In one process; in another it is another."""
    assert MASK.placeholder(TOKEN) == HIDDEN
    assert MASK.placeholder(TOKEN + b"x") != HIDDEN
    assert Mask().placeholder(TOKEN) != Mask().placeholder(TOKEN)


def test_placeholder_is_found_where_a_token_is() -> None:
    """It has a token's shape, and holds none."""
    assert has_token_shape(HIDDEN)
    assert not holds_token(HIDDEN)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(b"/x?y=1", b"/x?y=1", id="no token"),
        pytest.param(b"*", b"*", id="asterisk"),
        pytest.param(b"/w?" + TOKEN, b"/w?" + HIDDEN, id="the whole query"),
        pytest.param(
            b"/w?a=1&Jwt_Token=%b&b" % TOKEN, b"/w?a=1&Jwt_Token=%b&b" % HIDDEN, id="an argument"
        ),
        pytest.param(
            b"/w?x=%%20&jwt_token=%b" % TOKEN, b"/w?x=%%20&jwt_token=%b" % HIDDEN, id="an escape"
        ),
        pytest.param(b"/w?jwt_token=", b"/w?jwt_token=", id="an empty argument"),
        pytest.param(b"/container/%b/80/" % TOKEN, b"/container/%b/80/" % HIDDEN, id="the path"),
        pytest.param(b"http://h/%b" % TOKEN, b"http://h/%b" % HIDDEN, id="absolute"),
        pytest.param(b"/w?" + ESCAPED, b"/w?" + MASK.placeholder(ESCAPED), id="with escaped dots"),
    ],
)
def test_targets(target: bytes, expected: bytes) -> None:
    """Tokens are hidden wherever they stand, and nothing else is."""
    assert expected == Masked(MASK).hide_target(target)


def test_token_that_escapes_hide() -> None:
    """A target whose token only shows once its escapes are taken out is hidden whole."""
    target = b"/container/" + TOKEN[:3] + b"%" + TOKEN[3:4].hex().encode() + TOKEN[4:] + b"/80"
    masked = Masked(MASK)
    hidden = masked.hide_target(target)
    assert not holds_token(hidden)
    assert TOKEN[:20] not in hidden
    assert TOKEN[-20:] not in hidden
    assert hidden.startswith(b"/")
    assert masked.reveal_text(hidden) == target


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param(b"Accept", b"text/html", b"text/html", id="no secret"),
        pytest.param(b"ABCAuthorization", TOKEN, HIDDEN, id="a token"),
        pytest.param(b"ABCAuthorization", b"bearer " + TOKEN, b"bearer " + HIDDEN, id="a scheme"),
        pytest.param(b"authorization", b"Bearer  " + TOKEN, b"Bearer  " + HIDDEN, id="two spaces"),
        pytest.param(
            b"Authorization", b"Basic eDp5", b"Basic " + MASK.placeholder(b"eDp5"), id="Basic"
        ),
        pytest.param(b"Authorization", b"", b"", id="empty"),
        pytest.param(b"X-API-Key", b"k e y", MASK.placeholder(b"k e y"), id="an API key"),
        pytest.param(
            b"Cookie",
            b"jwt_token=%b; a=b=c;d; e=" % TOKEN,
            b"jwt_token=%b; a=%b;d; e=" % (HIDDEN, MASK.placeholder(b"b=c")),
            id="cookies",
        ),
        pytest.param(
            b"Set-Cookie",
            b"a=b; Path=/; HttpOnly",
            b"a=%b; Path=/; HttpOnly" % MASK.placeholder(b"b"),
            id="a cookie that is set",
        ),
        pytest.param(b"Referer", b"http://h/?" + TOKEN, b"http://h/?" + HIDDEN, id="a Referer"),
    ],
)
def test_fields(name: bytes, value: bytes, expected: bytes) -> None:
    """Credentials are hidden by their place, tokens in any."""
    assert expected == hide(name, value)


def test_another_exchange_reveals_nothing() -> None:
    """A placeholder stands for what was hidden there, and nowhere else."""
    Masked(MASK).hide_text(TOKEN)
    assert Masked(MASK).reveal_text(HIDDEN) == HIDDEN
    assert Masked(MASK).reveal_fields([(b"a", HIDDEN)]) == [(b"a", HIDDEN)]


@given(
    st.sampled_from([b"cookie", b"authorization", b"set-cookie", b"x-api-key", b"x-other"]),
    st.lists(st.sampled_from([TOKEN, b"jwt_token=", b"=", b";", b" ", b"%2e", b"a", b"\xff"])),
)
def test_what_is_hidden_comes_back(name: bytes, parts: list[bytes]) -> None:
    """Byte for byte; and no token is seen in between."""
    value = b"".join(parts)
    masked = Masked(MASK)
    hidden = masked.hide_fields([(name, value)])
    assert not holds_token(hidden[0][1])
    assert masked.reveal_fields(hidden) == [(name, value)]
    target = masked.hide_target(b"/" + value)
    assert not holds_token(target)
    assert masked.reveal_text(target) == b"/" + value
