"""The steps of a decision."""

import pytest

from route_addon.core.errors import NotFound
from route_addon.core.steps import Trace


def _refuse() -> int:
    raise NotFound("nowhere")


def test_in_their_order() -> None:
    """Each step stands where it was taken, with what came of it."""
    trace = Trace()
    assert not trace.is_refused
    trace.note("client", "10.0.0.1", ["by itself"])
    trace.add_passed("host", "desk.example")
    assert trace.take("port", lambda: 80, "it is {}".format) == 80
    assert not trace.is_refused
    assert trace.steps == [
        ("client", "noted", "10.0.0.1", ("by itself",)),
        ("host", "passed", "desk.example", ()),
        ("port", "passed", "it is 80", ()),
    ]


@pytest.mark.parametrize(("hint", "more"), [("", ()), ("look there", ("look there",))])
def test_a_refusal(hint: str, more: tuple[str, ...]) -> None:
    """A step that refuses says why, with a hint where there is one, and the error goes on."""
    trace = Trace()
    with pytest.raises(NotFound):
        trace.take("location", _refuse, str, hint)
    assert trace.is_refused
    assert trace.steps == [("location", "refused", "404 not_found: nowhere", more)]
