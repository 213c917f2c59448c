"""Placeholders: what is hidden, what comes back, and that nothing else does."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.masks.mask import Mask, Masked, hide_tokens, may_hold_secret
from route_addon.carry.masks.secret_names import names_secret, replace_arguments
from route_addon.core.credentials import replace_tokens
from route_addon.core.tokens import has_token_shape
from tests.minting import mint

TOKEN = mint()
MASK = Mask(b"k" * 32)
HIDDEN = MASK.placeholder(TOKEN)
ABC = MASK.placeholder(b"abc")
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
        pytest.param(b"/x?code=abc&b=1", b"/x?code=%b&b=1" % ABC, id="an OAuth code"),
        pytest.param(b"/x?b=1&STATE=abc", b"/x?b=1&STATE=%b" % ABC, id="an OAuth state"),
        pytest.param(b"/x?b=1;state=abc#c", b"/x?b=1;state=%b#c" % ABC, id="after a semicolon"),
        pytest.param(b"/x#access_token=abc", b"/x#access_token=%b" % ABC, id="in a fragment"),
        pytest.param(b"/x?password=abc", b"/x?password=%b" % ABC, id="a password"),
        pytest.param(b"/x?code=&estate=1", b"/x?code=&estate=1", id="no secret"),
        pytest.param(
            b"/x?to=http%3A%2F%2Fh%2F%3Fcode%3Dabc&b",
            b"/x?to=http%%3A%%2F%%2Fh%%2F%%3Fcode%%3D%b&b" % ABC,
            id="in a URL that is an argument",
        ),
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
            b"jwt_token=%b; a=b=c;; e=" % TOKEN,
            b"jwt_token=%b; a=%b;; e=" % (HIDDEN, MASK.placeholder(b"b=c")),
            id="cookies",
        ),
        pytest.param(b"Cookie", b"a=; abc", b"a=; " + ABC, id="a cookie without a name"),
        pytest.param(b"Host", b"abc@h:80", ABC + b"@h:80", id="a password before the host"),
        pytest.param(b"Host", b"h:80", b"h:80", id="a host"),
        pytest.param(
            b"Set-Cookie",
            b"a=b; Path=/; HttpOnly",
            b"a=%b; Path=/; HttpOnly" % MASK.placeholder(b"b"),
            id="a cookie that is set",
        ),
        pytest.param(b"Authorization", b"abc", ABC, id="no scheme"),
        pytest.param(b"Authorization", b"a b", MASK.placeholder(b"a b"), id="an unknown scheme"),
        pytest.param(b"AbcDesktopUserCert", b"abc", ABC, id="a client's certificate"),
        pytest.param(b"X-Auth-Token", b"abc", ABC, id="a name that says it"),
        pytest.param(b"Referer", b"http://h/?" + TOKEN, b"http://h/?" + HIDDEN, id="a Referer"),
        pytest.param(
            b"Referer", b"http://h/?a&code=abc", b"http://h/?a&code=" + ABC, id="its arguments"
        ),
        pytest.param(
            b"Location", b"/?state=abc&b=1", b"/?state=%b&b=1" % ABC, id="where to go next"
        ),
        pytest.param(b"Refresh", b"0; url=/?state=abc", b"0; url=/?state=" + ABC, id="and when"),
    ],
)
def test_fields(name: bytes, value: bytes, expected: bytes) -> None:
    """Credentials are hidden by their place, tokens in any."""
    assert expected == hide(name, value)


def test_names_hide_tokens_too() -> None:
    """Of fields, should somebody mistake one for the other."""
    masked = Masked(MASK)
    hidden = masked.hide_fields([(TOKEN, b"x")])
    # By chance its letters may spell the name of a secret, and then the value is hidden, too.
    assert hidden[0][0] == HIDDEN
    assert masked.reveal_fields(hidden) == [(TOKEN, b"x")]


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(b"/x?c%6fde=abc", id="an escaped name"),
        pytest.param(b"/x?to=http%253A%252F%252Fh%252F%253Fcode%253Dabc", id="escaped escapes"),
    ],
)
def test_arguments_that_escapes_hide(target: bytes) -> None:
    """A target that shows them once its escapes are taken out is hidden whole."""
    masked = Masked(MASK)
    hidden = masked.hide_target(target)
    assert b"abc" not in hidden
    assert masked.reveal_text(hidden) == target


def test_what_is_hidden_is_not_hidden_twice() -> None:
    """Or it would come back as a placeholder: a flow may be edited more than once."""
    masked = Masked(MASK)
    fields = [(b"Authorization", b"Bearer " + TOKEN), (b"Cookie", b"a=b"), (b"X-API-Key", b"c")]
    hidden = masked.hide_fields(fields)
    assert masked.hide_fields(hidden) == hidden
    target = masked.hide_target(b"/x?jwt_token=%b&code=d" % TOKEN)
    assert masked.hide_target(target) == target
    longer = masked.hide(hidden[0][1] + b"!")
    assert masked.reveal_text(longer) == b"Bearer " + TOKEN + b"!"


def test_value_that_is_no_string() -> None:
    """Its placeholder is a string of JSON; what it stood for comes back without the quotes."""
    masked = Masked(MASK)
    number, string = masked.hide_value(b"7"), b'"%b"' % masked.hide(b"7")
    assert number != string
    assert number[:1] == number[-1:] == b'"'
    assert masked.reveal_text(number + string) == b'7"7"'
    assert masked.hide_value(number) == number
    assert Masked(MASK).reveal_text(number) == number


@pytest.mark.parametrize(
    ("content", "is_cut", "expected"),
    [
        pytest.param(b"a %b b" % TOKEN, False, b"a %b b" % HIDDEN, id="a token"),
        pytest.param(b"x?Jwt_Token=abc", False, b"x?Jwt_Token=" + ABC, id="an argument"),
        pytest.param(bytes(range(256)) * 9, True, bytes(range(256)) * 9, id="any bytes"),
        pytest.param(b"a eyJhb.c", False, b"a eyJhb.c", id="the beginning of one"),
        pytest.param(
            b"a eyJhb.c", True, b"a " + MASK.placeholder(b"eyJhb.c"), id="what was cut of one"
        ),
    ],
)
def test_content(content: bytes, is_cut: bool, expected: bytes) -> None:
    """Tokens are hidden in it, those that were cut among them, and come back."""
    masked = Masked(MASK)
    assert masked.hide_content(content, is_cut=is_cut) == expected
    assert masked.reveal_text(expected) == content
    assert MASK.hide_message(content, is_cut=is_cut) == expected


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


ODD = st.lists(
    st.sampled_from(
        [
            *(TOKEN[:40], b"a" * 16, b"-" * 8, b"_" * 64, b".", b"%2e", b"%252E", b"%"),
            *(b"jwt_token", b"code", b"STATE", b"Api-Key", b"password", b"&", b"?", b"%26", b" "),
            *(b"=", b"%3d", b"%253D", b"\\u0063ode", b"co", b"de", "\u017ftate".encode(), b"x"),
        ]
    ),
    max_size=12,
).map(b"".join)


@given(ODD)
def test_quick_look_at_a_token(text: bytes) -> None:
    """It spares the search nothing but what the search would not have found."""
    assert hide_tokens(text, MASK.placeholder) == replace_tokens(text, MASK.placeholder)


LETTER = st.sampled_from(b"aZ09-_")


@given(
    st.lists(LETTER, min_size=7, max_size=9).map(bytes),
    st.sampled_from([b".", b"%2e", b"%2E", b"%2f", b"/"]),
    st.lists(LETTER, min_size=63, max_size=65).map(bytes),
    st.sampled_from([b"", b"%2e", b".", b"\n", b" "]),
)
def test_the_least_ending(before: bytes, dot: bytes, after: bytes, around: bytes) -> None:
    """Eight letters, a dot and sixty-four more may be a token's, and no fewer."""
    text = around + before + dot + after + around
    is_ending = len(before) >= 8 and dot in (b".", b"%2e", b"%2E") and len(after) >= 64
    assert may_hold_secret(text) is is_ending


@given(ODD)
def test_quick_look_at_a_text(text: bytes) -> None:
    """What could hold no secret holds none, with as many escapes taken out as anywhere."""
    if not may_hold_secret(text):
        for _ in range(3):
            assert replace_tokens(text, MASK.placeholder) == text
            assert replace_arguments(text, MASK.placeholder) == text
            assert not names_secret(text)
            text = unquote_to_bytes(text)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"cookie", b"authorization", b"X-Api-Key", b"x-other", HIDDEN]),
            st.lists(
                st.sampled_from([TOKEN, HIDDEN, b"a=b; c", b" ", b"%2e", b"a" * 5000, b"b"])
            ).map(b"".join),
        )
    )
)
def test_what_is_remembered_is_what_would_be_found_anew(fields: list[tuple[bytes, bytes]]) -> None:
    """However often fields have been seen, and in whosever exchange."""
    key, knowing = b"k" * 32, Masked(MASK)
    Masked(MASK).hide_fields(fields)
    anew, each = Masked(Mask(key)), Masked(Mask(key))
    hidden = [each.hide_field(field) for field in fields]
    assert knowing.hide_fields(fields) == anew.hide_fields(fields) == hidden
    assert knowing.reveal_fields(hidden) == each.reveal_fields(hidden)


def test_long_fields_are_not_remembered() -> None:
    """What is kept of fields is bounded in bytes."""
    mask = Mask()
    for length in (4000, 5000):
        Masked(mask).hide_fields([(b"x-secret", b"x" * length)])
    assert mask.hide_field.cache_info().currsize == 1


def test_secret_of_another_exchange() -> None:
    """A placeholder can be told what it stands for; without a word it is the secret's own."""
    masked = Masked(Mask())
    placeholder = masked.learn(b"a-token")
    assert masked.reveal_text(b"/x?" + placeholder) == b"/x?a-token"
    masked.learn(b"another", placeholder)
    assert masked.reveal_text(placeholder) == b"another"


def test_hidden_twice() -> None:
    """What is hidden stays as it is, so that an edited flow can be edited again."""
    masked = Masked(Mask())
    fields = [(b"ABCAuthorization", b"a-token"), (b"Cookie", b"a=b; jwt_token=c")]
    hidden = masked.hide_fields(fields)
    assert masked.hide_fields(hidden) == hidden
    assert masked.reveal_fields(hidden) == fields
