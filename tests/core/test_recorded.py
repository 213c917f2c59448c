"""Decisions as plain data, and how two of them differ."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.keys import NO_KEYS
from route_addon.core.messages import Field, Verify
from route_addon.core.recorded import BadRecord, Difference, Recorded, find_differences
from tests.core.heads import decide, make_head, make_router
from tests.minting import NOW, mint

WEBSOCKET: tuple[Field, ...] = ((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))


def _record(target: bytes, *fields: Field, **changes: Any) -> Recorded:
    return Recorded.of(decide(make_router(**changes), make_head(target, *fields)))


def _pod(target: str = "10.0.0.1") -> Recorded:
    return _record(b"/filer/x?a=1", (b"ABCAuthorization", mint(target)))


def test_forward() -> None:
    """Of a request that goes on, it is kept where it goes, and how."""
    recorded = _pod()
    assert recorded._replace(fields=()) == Recorded(
        "forward",
        "/filer",
        "header",
        "pod",
        "10.0.0.1",
        29783,
        "/filer/x?a=1",
        "10.0.0.1:29783",
    )
    assert ("X-Request-ID", "made-by-us") in recorded.fields
    assert recorded.describe() == "/filer -> pod 10.0.0.1:29783"


def test_websocket() -> None:
    """An opening handshake is something else than a plain request."""
    recorded = _record(b"/websockify?" + mint(), *WEBSOCKET)
    assert (recorded.kind, recorded.location) == ("websocket", "/websockify")


@pytest.mark.parametrize(
    ("target", "kind", "told"),
    [
        (b"/healthz", "answer", "/healthz = 200"),
        (b"/filer/x", "answer", "/filer = 401 token_missing"),
        (b"/%zz", "answer", "no location = 400 bad_target"),
        (b"/.well-known/acme-challenge/x", "file", "/.well-known/acme-challenge/ = file"),
    ],
    ids=str,
)
def test_answer(target: bytes, kind: str, told: str) -> None:
    """Of an answer of our own, its status and why; of a file, not what is in it."""
    recorded = _record(target, acme_root="/acme")
    assert recorded.kind == kind
    assert recorded.describe() == told


def test_open_question() -> None:
    """A token that still has to be verified is no decision, but it can be told."""
    head = make_head(b"/filer", (b"ABCAuthorization", mint()))
    decision = make_router(keys=NO_KEYS).decide(head, NOW)
    assert isinstance(decision, Verify)
    assert Recorded.of(decision).describe() == "/filer = verify"


@pytest.mark.parametrize("recorded", [_pod(), _record(b"/"), _record(b"/%zz")])
def test_plain_data(recorded: Recorded) -> None:
    """What was written is what is read."""
    assert Recorded.read(recorded.to_plain()) == recorded


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"version": 2}, "version"),
        ({"version": None}, "version"),
        ({"more": 1}, "members"),
        ({"fields": "text"}, "fields"),
        ({"fields": [["X", 5]]}, "fields"),
        ({"fields": [["X"]]}, "fields"),
        ({"fields": [["X", "a", "b"]]}, "fields"),
        ({"port": 65536}, "port"),
        ({"port": -1}, "port"),
        ({"port": True}, "port"),
        ({"status": 10**400}, "status"),
        ({"kind": None}, "kind"),
        ({"path": b"/"}, "path"),
        ({"location": ["/"]}, "location"),
    ],
    ids=str,
)
def test_no_record(changes: dict[str, Any], fault: str) -> None:
    """Anything else is refused, and it is said what is wrong."""
    with pytest.raises(BadRecord, match=fault):
        Recorded.read({**_pod().to_plain(), **changes})


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_PLAIN, st.sampled_from(["version", *Recorded._fields]))
def test_any_data(value: object, member: str) -> None:
    """Whatever stands there is read, or refused."""
    for plain in (value, {**_pod_plain, member: value}):
        try:
            recorded = Recorded.read(plain)
        except BadRecord:
            continue
        assert isinstance(recorded.describe(), str)
        assert find_differences(recorded, recorded) == []


_pod_plain = _pod().to_plain()


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1"])
def test_alias(host: str) -> None:
    """Another name for a server stands wherever its address stood, and nowhere else."""
    recorded = _pod(host).with_alias("pod-1")
    assert (recorded.target, recorded.host) == ("pod-1", "pod-1:29783")
    assert recorded.describe() == "/filer -> pod pod-1:29783"
    assert host not in str(recorded)
    named = _pod(host)._replace(host="desk.example").with_alias("pod-1")
    assert named.host == "desk.example"
    answer = _record(b"/healthz")
    assert answer.with_alias("pod-1") == answer


def test_address_of_ipv6() -> None:
    """An IPv6 address stands in brackets."""
    assert _pod("fd00::1").describe() == "/filer -> pod [fd00::1]:29783"


def test_no_difference() -> None:
    """The order of fields of different names, and the case of names, count for nothing."""
    recorded = _pod()
    turned = [(name.upper(), value) for name, value in reversed(recorded.fields)]
    assert find_differences(recorded, recorded._replace(fields=tuple(turned))) == []


def test_differences() -> None:
    """Each member and each field line that differs is told once."""
    old = _pod()._replace(fields=(("A", "1"), ("B", "1"), ("B", "2"), ("C", "1")))
    new = old._replace(
        port=1, slug="not_found", fields=(("a", "1"), ("B", "2"), ("C", "1"), ("C", ""), ("D", "1"))
    )
    assert find_differences(old, new) == [
        Difference("port", "29783", "1"),
        Difference("slug", None, "not_found"),
        Difference("b:", "1", "2"),
        Difference("b:", "2", None),
        Difference("c:", None, ""),
        Difference("d:", None, "1"),
    ]


def test_difference_as_a_whole() -> None:
    """Of a request that goes nowhere any more, all else that is gone is not told."""
    old, new = _pod(), _record(b"/filer/x?a=1")
    told = [new.describe(), old.describe()]
    assert told == ["/filer = 401 token_missing", "/filer -> pod 10.0.0.1:29783"]
    assert find_differences(old, new) == [Difference("decision", told[1], told[0])]
    assert find_differences(new, old) == [Difference("decision", *told)]
