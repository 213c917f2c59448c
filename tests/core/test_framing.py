"""How long a request's content is (RFC 9112 6.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.errors import BadFraming, RouteError, UnknownTransferCoding
from route_addon.core.framing import CHUNKED, UNTIL_END, content_length, request_length
from route_addon.core.messages import HTTP_2, HTTP_10, HTTP_11


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], None, id="no line"),
        pytest.param([b"0"], 0, id="zero"),
        pytest.param([b"0042"], 42, id="leading zeros"),
        pytest.param([b"9" * 18], 10**18 - 1, id="the longest"),
    ],
)
def test_content_length(values: list[bytes], expected: int | None) -> None:
    """One line of ASCII digits is a length."""
    assert expected == content_length(values)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([b"1", b"1"], id="two lines that agree"),
        pytest.param([b"1", b"2"], id="two lines that differ"),
        pytest.param([b"1, 1"], id="a list"),
        pytest.param([b""], id="nothing"),
        pytest.param([b" 1"], id="a space before"),
        pytest.param([b"1 "], id="a space behind"),
        pytest.param([b"+1"], id="a plus"),
        pytest.param([b"-1"], id="a minus"),
        pytest.param([b"1.0"], id="a fraction"),
        pytest.param([b"1_0"], id="an underscore"),
        pytest.param([b"0x1"], id="hexadecimal"),
        pytest.param([b"\xd9\xa1"], id="digits outside ASCII"),
        pytest.param([b"1\x00"], id="a NUL"),
        pytest.param([b"9" * 19], id="too long"),
    ],
)
def test_never_a_content_length(values: list[bytes]) -> None:
    """Anything that another reader may read otherwise is refused."""
    with pytest.raises(BadFraming):
        content_length(values)


@pytest.mark.parametrize(
    ("version", "lengths", "codings", "expected"),
    [
        pytest.param(HTTP_11, [], [], 0, id="HTTP/1.1 without either"),
        pytest.param(HTTP_10, [], [], 0, id="HTTP/1.0 without either"),
        pytest.param(HTTP_2, [], [], UNTIL_END, id="HTTP/2 until the stream's end"),
        pytest.param(HTTP_11, [b"5"], [], 5, id="HTTP/1.1 with a length"),
        pytest.param(HTTP_10, [b"5"], [], 5, id="HTTP/1.0 with a length"),
        pytest.param(HTTP_2, [b"5"], [], 5, id="HTTP/2 with a length"),
        pytest.param(HTTP_11, [], [b"chunked"], CHUNKED, id="chunked"),
        pytest.param(HTTP_11, [], [b"Chunked"], CHUNKED, id="chunked in any case"),
    ],
)
def test_request_length(
    version: bytes, lengths: list[bytes], codings: list[bytes], expected: int
) -> None:
    """A request has one length, or one mark."""
    assert expected == request_length(version, lengths, codings)


@pytest.mark.parametrize(
    ("version", "lengths", "codings", "error"),
    [
        pytest.param(HTTP_11, [b"5"], [b"chunked"], BadFraming, id="both"),
        pytest.param(HTTP_11, [b"x"], [b"chunked"], BadFraming, id="both, one bad"),
        pytest.param(HTTP_10, [], [b"chunked"], BadFraming, id="chunked on HTTP/1.0"),
        pytest.param(HTTP_2, [], [b"chunked"], BadFraming, id="chunked on HTTP/2"),
        pytest.param(HTTP_11, [], [b"gzip"], UnknownTransferCoding, id="gzip"),
        pytest.param(HTTP_11, [], [b"gzip, chunked"], UnknownTransferCoding, id="two codings"),
        pytest.param(HTTP_11, [], [b"chunked", b"chunked"], UnknownTransferCoding, id="two lines"),
        pytest.param(HTTP_11, [], [b"identity"], UnknownTransferCoding, id="identity"),
        pytest.param(HTTP_11, [], [b""], UnknownTransferCoding, id="empty"),
        pytest.param(HTTP_11, [], [b"xchunked"], UnknownTransferCoding, id="a longer word"),
        pytest.param(HTTP_11, [], [b"chunked "], UnknownTransferCoding, id="a space behind"),
        pytest.param(HTTP_11, [], [b"\x0bchunked"], UnknownTransferCoding, id="a control byte"),
        pytest.param(HTTP_11, [], [b"chunked;q=1"], UnknownTransferCoding, id="a parameter"),
    ],
)
def test_never_a_request_length(
    version: bytes, lengths: list[bytes], codings: list[bytes], error: type[RouteError]
) -> None:
    """A length that is not certain is none."""
    with pytest.raises(error):
        request_length(version, lengths, codings)


@given(
    st.sampled_from([HTTP_10, HTTP_11, HTTP_2]),
    st.lists(st.binary(max_size=4) | st.from_regex(rb"[0-9]{1,4}", fullmatch=True), max_size=2),
    st.lists(st.binary(max_size=4) | st.just(b"chunked"), max_size=2),
)
def test_any_bytes_give_a_length_or_a_route_error(
    version: bytes, lengths: list[bytes], codings: list[bytes]
) -> None:
    """What is accepted has one length line or one coding line, never both."""
    try:
        length = request_length(version, lengths, codings)
    except (BadFraming, UnknownTransferCoding):
        return
    assert len(lengths) + len(codings) <= 1
    assert length >= 0 or length in (CHUNKED, UNTIL_END)
