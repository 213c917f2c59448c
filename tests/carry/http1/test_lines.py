"""What is known of field lines: exactly those, and not too many."""

from route_addon.carry.http1.heads import RawRequest, RequestReader
from route_addon.carry.http1.lines import MAX_BYTES, MAX_LINES_BYTES, KnownLines
from route_addon.core.messages import HTTP_10, HTTP_11


def test_lines_are_known_exactly() -> None:
    """Nothing but the same bytes has the same meaning."""
    known = KnownLines[int]()
    known.keep(b"1\r\nA: b\r\n\r\n", 1)
    assert known.find(b"1\r\nA: b\r\n\r\n") == 1
    assert known.find(b"0\r\nA: b\r\n\r\n") is None
    assert known.find(b"1\r\na: b\r\n\r\n") is None


def test_few_lines_are_known() -> None:
    """Long ones never, and of many those that were used last."""
    known = KnownLines[int]()
    known.keep(b"x" * (MAX_LINES_BYTES + 1), 1)
    assert len(known) == 0
    known.keep(b"x" * MAX_LINES_BYTES, 1)
    count = MAX_BYTES // 1000
    for number in range(count):
        known.keep(b"%d" % number, number)
        assert known.find(b"0") == 0
    assert count // 2 < len(known) < count
    assert known.used_bytes <= MAX_BYTES
    assert known.find(b"1") is None
    assert known.find(b"x" * MAX_LINES_BYTES) is None


def test_what_is_known_is_counted_with_all_that_it_takes() -> None:
    """Lines in great number take more than their bytes; the same ones count once."""
    known = KnownLines[int]()
    for _ in range(2):
        known.keep(b"A: b\r\n" * 95, 1)
    assert 95 * 300 < known.used_bytes < 95 * 400
    for number in range(3000):
        known.keep(b"A: b\r\n" * 95 + b"%d" % number, number)
    assert known.used_bytes <= MAX_BYTES
    assert len(known) < 600


def test_connections_share_what_they_know() -> None:
    """What one has read another need not take apart; each has its own first line and version."""
    known = KnownLines[RawRequest]()
    one, other = RequestReader(known=known), RequestReader(known=known)
    lines = b"A: b\r\n\r\n"
    first = one.read(b"GET /1 HTTP/1.1\r\n" + lines)
    second = other.read(b"PUT /2 HTTP/1.1\r\n" + lines)
    third = other.read(b"PUT /3 HTTP/1.0\r\n" + lines)
    assert first is not None and second is not None and third is not None
    assert second[0] == first[0]._replace(method=b"PUT", target=b"/2")
    assert second[0].fields is first[0].fields
    assert (third[0].version, third[0].keep_alive) == (HTTP_10, False)
    assert (second[0].version, second[0].keep_alive) == (HTTP_11, True)
    assert third[0].fields is not first[0].fields
