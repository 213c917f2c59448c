"""What of a stored answer a request gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.httpcache_content import Part, select_part
from route_addon.core.httpcache_stored import Stored
from route_addon.core.messages import Field
from tests.core.caching import NOW, date, make_request, make_stored
from tests.core.heads import values

TAGGED = make_stored((b"ETag", b'"a"'), (b"Last-Modified", date(-1000)))
WEAK = make_stored((b"ETag", b'W/"a"'))
DATED = make_stored((b"Last-Modified", date(-1000)))
PLAIN = make_stored()


def _select(stored: Stored, *fields: Field, method: bytes = b"GET") -> Part:
    return select_part(make_request(b"/page", *fields, method=method), stored, NOW)


def test_whole() -> None:
    """All of it."""
    stored = make_stored((b"A", b"1"), status=404)
    assert _select(stored) == Part(404, b"", list(stored.fields), 10, 0, 10)


def test_head() -> None:
    """All but the content; its length is told."""
    assert _select(PLAIN, method=b"HEAD") == Part(200, b"", list(PLAIN.fields), 10, 0, 0)


def test_no_content() -> None:
    """A 204 has no length."""
    stored = make_stored(status=204, body=b"")
    assert _select(stored) == Part(204, b"", list(stored.fields), None, 0, 0)


@pytest.mark.parametrize(
    ("stored", "fields", "is_304"),
    [
        pytest.param(TAGGED, [(b"If-None-Match", b'"a"')], True, id="strong"),
        pytest.param(TAGGED, [(b"If-None-Match", b'W/"a"')], True, id="weak of strong"),
        pytest.param(WEAK, [(b"If-None-Match", b'"a"')], True, id="strong of weak"),
        pytest.param(TAGGED, [(b"If-None-Match", b'"x", "a" , "y"')], True, id="one of several"),
        pytest.param(
            TAGGED, [(b"If-None-Match", b'"x"'), (b"If-None-Match", b'"a"')], True, id="lines"
        ),
        pytest.param(TAGGED, [(b"If-None-Match", b"*")], True, id="any"),
        pytest.param(PLAIN, [(b"If-None-Match", b" * ")], True, id="any, without a tag"),
        pytest.param(TAGGED, [(b"If-None-Match", b'"x"')], False, id="another"),
        pytest.param(TAGGED, [(b"If-None-Match", b"a")], False, id="not a tag"),
        pytest.param(TAGGED, [(b"If-None-Match", b'"A"')], False, id="another case"),
        pytest.param(PLAIN, [(b"If-None-Match", b'"a"')], False, id="no tag to compare"),
        pytest.param(DATED, [(b"If-Modified-Since", date(-1000))], True, id="same date"),
        pytest.param(DATED, [(b"If-Modified-Since", date(-999))], True, id="later"),
        pytest.param(DATED, [(b"If-Modified-Since", date(-1001))], False, id="earlier"),
        pytest.param(DATED, [(b"If-Modified-Since", b"x")], False, id="not a date"),
        pytest.param(PLAIN, [(b"If-Modified-Since", date())], True, id="since it was made"),
        pytest.param(PLAIN, [(b"If-Modified-Since", date(-1))], False, id="before it was made"),
        pytest.param(
            TAGGED,
            [(b"If-None-Match", b'"x"'), (b"If-Modified-Since", date())],
            False,
            id="the tag comes before the date",
        ),
        pytest.param(
            TAGGED,
            [(b"If-None-Match", b'"a"'), (b"If-Modified-Since", date(-9999))],
            True,
            id="and the other way round",
        ),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_not_modified(stored: Stored, fields: list[Field], is_304: bool, method: bytes) -> None:
    """The word that the client has it already."""
    part = _select(stored, *fields, method=method)
    assert (part.status == 304) is is_304
    if is_304:
        assert (part.length, part.start, part.stop) == (None, 0, 0)


def test_fields_of_304() -> None:
    """What tells of the content stays behind; what guides caches goes along."""
    kept = [(b"ETag", b'"a"'), (b"Vary", b"Foo"), (b"Cache-Control", b"max-age=1")]
    stored = make_stored(*kept, (b"Content-Type", b"text/plain"), (b"Content-Encoding", b"x"))
    fields = _select(stored, (b"If-None-Match", b'"a"')).fields
    assert fields == [*kept, (b"Date", date())]


def test_errors_have_no_preconditions() -> None:
    """RFC 9110 13.2.1: they are for what would be a 200."""
    stored = make_stored((b"ETag", b'"a"'), status=404)
    assert _select(stored, (b"If-None-Match", b'"a"')).status == 404
    assert _select(stored, (b"Range", b"bytes=0-1")).status == 404


@pytest.mark.parametrize(
    ("range_", "span"),
    [
        (b"bytes=0-1", (0, 2)),
        (b"bytes=1-", (1, 10)),
        (b"bytes=-1", (9, 10)),
        (b"bytes=-99", (0, 10)),
        (b"bytes=0-99", (0, 10)),
        (b"bytes=9-9", (9, 10)),
        (b"BYTES=0-0", (0, 1)),
        (b"bytes = 0-0 ", (0, 1)),
        (b"bytes=0-" + b"9" * 5000, (0, 10)),
    ],
)
def test_range(range_: bytes, span: tuple[int, int]) -> None:
    """A part of the content, and where it stands."""
    stored = make_stored((b"Content-Range", b"x"))
    start, stop = span
    part = _select(stored, (b"Range", range_))
    assert (part.status, part.length, part.start, part.stop) == (206, stop - start, start, stop)
    assert values(part.fields, b"Content-Range") == [b"bytes %d-%d/10" % (start, stop - 1)]


@pytest.mark.parametrize(
    "range_", [b"bytes=10-", b"bytes=10-20", b"bytes=-0", b"bytes=%b-" % (b"9" * 5000)]
)
def test_range_that_is_not_there(range_: bytes) -> None:
    """416 says how much there is, and lets nobody keep it."""
    stored = make_stored((b"Cache-Control", b"max-age=9"))
    part = _select(stored, (b"Range", range_))
    assert part[:4] == (
        416,
        b"Range Not Satisfiable",
        [(b"Date", date()), (b"Content-Range", b"bytes */10")],
        0,
    )


def test_range_of_nothing() -> None:
    """Of empty content there is none."""
    stored = make_stored(body=b"")
    assert _select(stored, (b"Range", b"bytes=0-")).status == 416
    assert _select(stored, (b"Range", b"bytes=-5")).status == 416


@pytest.mark.parametrize(
    "lines",
    [
        *([b"bytes=0-1,3-4"], [b"bytes=0-1", b"bytes=3-4"], [b"bytes=3-1"], [b"bytes=-"], [b""]),
        *([b"bytes=a-b"], [b"lines=0-1"], [b"bytes 0-1"], [b"bytes=--1"], [b"bytes=0-1;x"]),
    ],
)
def test_ranges_that_are_ignored(lines: list[bytes]) -> None:
    """Several, and those that are none: the whole is sent."""
    part = _select(PLAIN, *((b"Range", line) for line in lines))
    assert (part.status, part.start, part.stop) == (200, 0, 10)


def test_range_of_head() -> None:
    """RFC 9110 14.2: Range is defined for GET."""
    assert _select(PLAIN, (b"Range", b"bytes=0-1"), method=b"HEAD").status == 200


@pytest.mark.parametrize(
    ("stored", "named", "status"),
    [
        pytest.param(TAGGED, [b'"a"'], 206, id="tag"),
        pytest.param(TAGGED, [b'"x"'], 200, id="another tag"),
        pytest.param(WEAK, [b'W/"a"'], 200, id="weak tag"),
        pytest.param(WEAK, [b'"a"'], 200, id="strong for weak"),
        pytest.param(PLAIN, [b'"a"'], 200, id="no tag"),
        pytest.param(DATED, [date(-1000)], 206, id="date"),
        pytest.param(DATED, [date(-999)], 200, id="a later date"),
        pytest.param(
            make_stored((b"Last-Modified", date(-5))), [date(-5)], 200, id="a date that is weak"
        ),
        pytest.param(TAGGED, [b'"a"', b'"a"'], 200, id="two lines"),
    ],
)
def test_if_range(stored: Stored, named: list[bytes], status: int) -> None:
    """A range of the version that the client has, or all of the new one."""
    named_fields = [(b"If-Range", value) for value in named]
    assert _select(stored, (b"Range", b"bytes=0-1"), *named_fields).status == status


def test_precondition_before_range() -> None:
    """RFC 9110 13.2.2."""
    fields = [(b"Range", b"bytes=0-1"), (b"If-None-Match", b'"a"')]
    assert _select(TAGGED, *fields).status == 304


_NAMES = st.sampled_from([b"Range", b"If-Range", b"If-None-Match", b"If-Modified-Since"])
_TEXTS = st.one_of(
    st.binary(max_size=20),
    st.from_regex(rb"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True),
    st.sampled_from([b'"a"', b"*", date(-1000)]),
)


@given(st.lists(st.tuples(_NAMES, _TEXTS), max_size=5), st.binary(max_size=300))
def test_any_request(fields: list[Field], body: bytes) -> None:
    """Whatever is asked, what is sent lies within the content."""
    request = make_request(b"/page")._replace(
        values={name.lower(): [v for n, v in fields if n == name] for name, _ in fields}
    )
    part = select_part(request, make_stored((b"ETag", b'"a"'), body=body), NOW)
    assert 0 <= part.start <= part.stop <= len(body)
    assert part.status in (200, 206, 304, 416)
    if part.status in (200, 206):
        assert part.length == part.stop - part.start
