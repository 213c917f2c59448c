"""Which names stand before secrets."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.masks.secret_names import (
    is_secret_argument,
    is_secret_name,
    may_be_secret,
    may_name_secret,
    names_secret,
    replace_arguments,
)

SECRET = [
    "password",
    "vncpassword",
    "Password",
    "authorization",
    "ABCAuthorization",
    "jwt_user_token",
    "jwt_desktop_token",
    "secret",
    "secretkey",
    "token",
    "tokens",
    "access_token",
    "x-api-key",
    "ABCDESKTOPUSERCERT",
]
OPEN = ["", "user", "status", "code", "state", "result", "expires_in", "pass", "key", "author"]


@pytest.mark.parametrize("name", SECRET)
def test_secret(name: str) -> None:
    """As a member of JSON, as an argument, and as a field."""
    assert is_secret_name(name)
    assert is_secret_argument(name)


@pytest.mark.parametrize("name", OPEN)
def test_open(name: str) -> None:
    """OAuth's two are secret as arguments alone: as members they are everyday words."""
    assert not is_secret_name(name)
    assert is_secret_argument(name) is (name in ("code", "state"))


@pytest.mark.parametrize("name", [*SECRET, "pwd", "key", "pass", "cookie", "credential", "apiKey"])
def test_what_is_not_shown(name: str) -> None:
    """A person is shown nothing of what is masked, and nothing of what may be a secret."""
    assert may_be_secret(name)


@pytest.mark.parametrize("name", ["", "user", "status", "code", "result", "keyboard", "urls"])
def test_what_is_shown(name: str) -> None:
    """Everyday words are no secrets."""
    assert not may_be_secret(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", False),
        (b"a page without any", False),
        (b'{"code": 7}', False),
        (b"<input name=PassWord>", True),
        (b'{"pass\\u0077ord"', True),
        (b"a=1&pass%77ord", True),
        (b"\xff\x00token", True),
    ],
)
def test_texts(text: bytes, expected: bool) -> None:
    """A name is found anywhere, whatever escapes are in it."""
    assert names_secret(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"code=1", b"code=*"),
        (b"/x?code=1&b=2", b"/x?code=*&b=2"),
        (b"/x?barcode=1&codes=2", b"/x?barcode=1&codes=2"),
        (b"/x?a&amp;state=1;2 b", b"/x?a&amp;state=* b"),
        (b"/x?a%26state%3D1", b"/x?a%26state%3D*"),
        (b"GET /x?code=1 and ?state=2", b"GET /x?code=* and ?state=*"),
    ],
)
def test_arguments(text: bytes, expected: bytes) -> None:
    """The values of secret arguments are replaced, and nothing else is."""
    assert replace_arguments(text, lambda value: b"*") == expected


@pytest.mark.parametrize("name", SECRET)
def test_one_name_in_much(name: str) -> None:
    """It is found by itself, whatever letters the text around it lacks."""
    text = b"1" * 1000 + name.encode() + b"0" * 1000
    assert may_name_secret(text)
    assert names_secret(text)


@pytest.mark.parametrize("argument", [b"code=1", b"CODE%3D1", b"state=1", b"State%3d1"])
def test_one_argument_in_much(argument: bytes) -> None:
    """OAuth's are found as arguments, and nowhere else."""
    assert may_name_secret(b"1" * 1000 + argument)
    assert not may_name_secret(b"1" * 1000 + argument[:4])


STEMS = (
    *("passw", "secret", "token", "jwt", "authorization", "api_key", "api-key"),
    "desktopusercert",
)
WORDS = (*STEMS, "code=", "code%3d", "state=", "state%3d")
PARTS = st.sampled_from(
    [
        *(word[:stop] for word in WORDS for stop in range(1, len(word) + 1)),
        *(word[start:] for word in WORDS for start in range(1, len(word))),
        *("=", "%", " ", "kk", "ww"),
    ]
)
CASES = st.sampled_from([str, str.upper, str.title])


@given(st.lists(st.tuples(PARTS, CASES), max_size=8))
def test_every_word_in_any_case(parts: list[tuple[str, Callable[[str], str]]]) -> None:
    """The search finds what a plain look for each word finds, and nothing else."""
    text = "".join(change(part) for part, change in parts)
    assert may_name_secret(text.encode()) is any(word in text.lower() for word in WORDS)
