"""Field lines: sent, noted or dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.errors import BadField
from route_addon.core.fields import (
    Fate,
    Spellings,
    check_values,
    connection_options,
    field_values,
    find_fate,
    is_harmless,
    sort_request,
)
from route_addon.core.messages import Field
from tests.core.refusals import refusal


@pytest.mark.parametrize(
    "name",
    [
        *(b"Accept", b"User-Agent", b"X-Custom-1", b"Sec-WebSocket-Key", b"Content-Type"),
        *(b"Range", b"Proxy-Authorization", b"Via", b"Accept-Encoding", b"X-Requested-With"),
    ],
)
def test_sent(name: bytes) -> None:
    """Most fields go on as they are."""
    assert find_fate(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *(b"ABCAuthorization", b"Authorization", b"Cookie", b"Origin", b"Referer", b"Forwarded"),
        *(b"abcauthorization", b"COOKIE"),
    ],
)
def test_noted_and_sent(name: bytes) -> None:
    """Fields that a decision needs are noted, and go on."""
    assert Fate(name.lower(), is_sent=True) == find_fate(name)


@pytest.mark.parametrize(
    "name",
    [
        *(b"Connection", b"Keep-Alive", b"Proxy-Connection", b"TE", b"Trailer"),
        *(b"Transfer-Encoding", b"Upgrade", b"Content-Length", b"Expect", b"Host"),
        *(b"X-Real-IP", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host"),
        *(b"X-Forwarded-Port", b"X-Request-ID", b"x-forwarded-FOR"),
    ],
)
def test_dropped_and_noted(name: bytes) -> None:
    """Fields of this connection, and fields that we set, are noted and go no further."""
    assert Fate(name.lower(), is_sent=False) == find_fate(name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"X_Forwarded_For", id="an underscore"),
        pytest.param(b"X-Forwarded_For", id="one underscore"),
        pytest.param(b"X.Forwarded.For", id="dots"),
        pytest.param(b"a(b", id="a bracket"),
        pytest.param(b"a b", id="a space"),
        pytest.param(b"a:", id="a colon"),
        pytest.param(b":path", id="a pseudo-header"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"h\xf6st", id="a letter outside ASCII"),
        pytest.param(b"a\r\nb", id="a line break"),
    ],
)
def test_odd_names_are_dropped(name: bytes) -> None:
    """A name that a server may fold into another goes no further."""
    assert Fate(b"", is_sent=False) == find_fate(name)


def test_fates_are_remembered_within_bounds() -> None:
    """Each spelling is looked at once; long names, and more than there can be, take no room."""
    asked: list[bytes] = []

    def find(name: bytes) -> Fate | None:
        asked.append(name)
        return find_fate(name)

    fates = Spellings(find)
    long = b"x" * 65
    for name in (b"Host", b"Host", b"host", b"Accept", b"Accept", long, long):
        assert fates[name] == find_fate(name)
    assert asked == [b"Host", b"host", b"Accept", long, long]
    for number in range(5000):
        assert fates[b"X-%d" % number] is None
    assert len(fates) <= 1024


def test_order_and_repetition_stay() -> None:
    """Fields that are sent keep their order, their spelling and their repetitions."""
    fields = [(b"b", b"1"), (b"A", b"2"), (b"Cookie", b"x=1"), (b"B", b""), (b"cookie", b"y=2")]
    sent, noted = sort_request([(b"Host", b"h"), *fields, (b"Upgrade", b"h2c")])
    assert fields == sent
    assert noted == {b"host": [b"h"], b"cookie": [b"x=1", b"y=2"], b"upgrade": [b"h2c"]}


@pytest.mark.parametrize(
    ("connection", "gone"),
    [
        pytest.param([b"close"], set(), id="close"),
        pytest.param([b"keep-alive, Upgrade"], set(), id="what browsers send"),
        pytest.param([b"X-Hop"], {b"X-Hop"}, id="a field"),
        pytest.param([b"x-hop , ,X-HOP2"], {b"X-Hop", b"X-Hop2"}, id="a list"),
        pytest.param([b"close", b"x-hop"], {b"X-Hop"}, id="two lines"),
        pytest.param([b"authorization"], {b"Authorization"}, id="Authorization may be named"),
        pytest.param([b"abcauthorization"], set(), id="ABCAuthorization may not"),
        pytest.param([b"Cookie"], set(), id="Cookie may not"),
        pytest.param([b"x-hop, cookie, host"], {b"X-Hop"}, id="the others in a list may"),
    ],
)
def test_fields_named_by_connection(connection: list[bytes], gone: set[bytes]) -> None:
    """Fields that Connection names go, but for those that it must not take away."""
    names = [b"X-Hop", b"X-Hop2", b"ABCAuthorization", b"Authorization", b"Cookie", b"Accept"]
    fields: list[Field] = [(name, b"v") for name in names]
    sent, _ = sort_request([*fields, *((b"Connection", value) for value in connection)])
    assert [field for field in fields if field[0] not in gone] == sent


@pytest.mark.parametrize(
    "name",
    [b"host", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-proto", b"x-request-id", b"cookie"],
)
def test_connection_hides_nothing_from_us(name: bytes) -> None:
    """A field that Connection names is noted all the same."""
    _, noted = sort_request([(name, b"v"), (b"Connection", name)])
    assert noted[name] == [b"v"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"close"], {b"close"}),
        ([b" Keep-Alive ,\tUpgrade"], {b"keep-alive", b"upgrade"}),
        ([b"a,,b", b"C"], {b"a", b"b", b"c"}),
        ([b"", b" , "], set()),
    ],
)
def test_connection_options(values: list[bytes], expected: set[bytes]) -> None:
    """All lines are one list."""
    assert expected == connection_options(values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([b"Close"], True),
        ([b"Keep-Alive, Upgrade"], True),
        ([b"x"], False),
        ([b"close"] * 2, False),
    ],
)
def test_is_harmless(values: list[bytes], expected: bool) -> None:
    """What nearly everybody sends names no field."""
    assert expected is is_harmless(values)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"a b\tc", id="a tab inside"),
        pytest.param(b"caf\xc3\xa9 \xff", id="outside ASCII"),
    ],
)
def test_good_values(value: bytes) -> None:
    """RFC 9110 5.5 lets these through."""
    assert refusal(check_values, [(b"a", b"1"), (b"b", value)]) is None


@pytest.mark.parametrize(
    "byte", [pytest.param(byte, id=hex(byte)) for byte in (*range(0x20), 0x7F) if byte != 0x09]
)
def test_never_a_control_byte(byte: int) -> None:
    """Any other control byte is refused, wherever it stands."""
    for value in (b"%c", b"a%cb", b"a%c"):
        with pytest.raises(BadField):
            check_values([(b"a", b"1"), (b"b", value % byte), (b"c", b"2")])


_FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b"Connection", b"Host", b"Cookie", b"X-A", b"x_b", b"TE"])
        | st.binary(max_size=8),
        st.sampled_from([b"close", b"x-a", b"cookie, x-a", b"host"]) | st.binary(max_size=8),
    ),
    max_size=8,
)


@given(_FIELDS)
def test_any_fields_are_sorted(fields: list[Field]) -> None:
    """What is sent was there, in order, has a plain name and is no field of this connection."""
    sent, noted = sort_request(fields)
    remaining = iter(fields)
    assert all(field in remaining for field in sent)
    for name, _ in sent:
        assert name.replace(b"-", b"").isalnum()
        assert name.lower() not in {b"connection", b"host", b"te"}
    assert [value for name, value in fields if name.lower() == b"cookie"] == noted.get(
        b"cookie", []
    )
    again, _ = sort_request(sent)
    assert sent == again


def test_values_of_a_name() -> None:
    """All lines count, in their order and whatever the case of their names."""
    fields = [(b"A", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert field_values(fields, b"a") == [b"1", b"3"]
    assert field_values(fields, b"c") == []
