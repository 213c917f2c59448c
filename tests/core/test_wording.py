"""How a person is told of things."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.errors import BadTarget, TokenExpired
from route_addon.core.framing import CHUNKED, UNTIL_END
from route_addon.core.wording import (
    describe_error,
    describe_length,
    describe_size,
    describe_time,
    printable,
)


def test_errors() -> None:
    """The detail where there is one, else the reason that the client reads."""
    assert describe_error(TokenExpired("expired 9 s ago")) == "401 token_expired: expired 9 s ago"
    assert describe_error(BadTarget()) == "400 bad_target: The request target is malformed."


@pytest.mark.parametrize(
    ("size_bytes", "told"),
    [(0, "0 bytes"), (1, "1 bytes"), (1025, "1025 bytes"), (2048, "2 KiB"), (2**33, "8 GiB")],
)
def test_sizes(size_bytes: int, told: str) -> None:
    """The largest unit that leaves them whole."""
    assert describe_size(size_bytes) == told


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (0, "no content"),
        (5, "5 bytes"),
        (CHUNKED, "chunked content"),
        (UNTIL_END, "content until the stream's end"),
    ],
)
def test_lengths(length: int, told: str) -> None:
    """Those that are not known are told by how they are found out."""
    assert describe_length(length) == told


def test_times() -> None:
    """A time is told to the second, in UTC."""
    assert describe_time(1_700_000_000.9) == "2023-11-14 22:13:20 UTC"


@pytest.mark.parametrize("time", [1e300, float("inf"), -1e18])
def test_times_beyond_the_calendar(time: float) -> None:
    """They are told as the numbers that they are."""
    assert describe_time(time) == f"{time} s since the epoch"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é", "plain é"),
        ("a\nb\x1b[1m\u2028", "a\\nb\\x1b[1m\\u2028"),
        (b"\xc3\xa9\xff", "é\\xff"),
        ("0123456789", "0123456789"),
        ("0123456789a", "0123456789..."),
        (b"0123456789a", "0123456789..."),
    ],
)
def test_strangers_texts(text: str | bytes, shown: str) -> None:
    """They stay on their line, and are no longer than they may be."""
    assert printable(text, 10) == shown


@given(st.text() | st.binary(), st.integers(1, 30))
def test_any_text(text: str | bytes, max_chars: int) -> None:
    """Whatever is in it, nothing of what is shown moves a cursor."""
    shown = printable(text, max_chars)
    assert shown.isprintable()
    assert len(shown) <= max_chars * 10 + 3
