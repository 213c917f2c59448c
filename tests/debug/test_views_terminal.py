"""Terminals: what a shell writes is shown, what is typed is not."""

import json

import pytest
from mitmproxy.contentviews import Metadata

from route_addon.debug.views.terminal import Terminal
from tests.debug.viewing import MAX_CHARS, Socket, find_chosen
from tests.minting import mint

SECRET = "hunter2"


def show(data: bytes | str, *, from_client: bool) -> list[str]:
    """What is shown of a message, in lines."""
    socket = Socket("/terminals/")
    content = data if isinstance(data, bytes) else data.encode()
    return socket.show(Terminal(), socket.pass_on(content, from_client=from_client))


@pytest.mark.parametrize(
    "data",
    [
        f"{SECRET}\r",
        json.dumps(["stdin", f"{SECRET}\r"]),
        json.dumps(["stdin", SECRET, "\r"]),
        json.dumps(["unknown", SECRET]),
        f'["stdin", "{SECRET}',
        json.dumps({"stdin": SECRET}),
    ],
)
def test_typed(data: str) -> None:
    """How much was typed is shown, in whatever form it came; what was typed is not."""
    head, line = show(data, from_client=True)
    assert head == f"client sends {len(data)} bytes"
    assert line.endswith("what is typed is not shown")
    assert SECRET not in line


def test_typed_in_json() -> None:
    """terminado's JSON counts what is typed, and not the JSON."""
    assert show('["stdin", "ls\\r"]', from_client=True)[1:] == [
        "stdin: 3 characters, 1 line ends; what is typed is not shown"
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ('["set_size", 24, 80, 480, 640]', "set_size, rows and columns: 24, 80"),
        ('["set_size", null]', "set_size, rows and columns: \u2026"),
    ],
)
def test_size(data: str, told: str) -> None:
    """A new size of the window."""
    assert show(data, from_client=True)[1:] == [told]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ('["setup", {}]', ["setup: \u2026"]),
        ('["disconnect", 1]', ["disconnect: 1"]),
        ('["stdout", "a\\r\\nb"]', ["stdout", "4 characters", "", "a", "b"]),
        ("a\r\nb", ["4 characters", "", "a", "b"]),
        ("\x1b[1;32mgreen\x1b[0m \x1b]0;title\x07\x1b(Bend", ["33 characters", "", "green end"]),
        ('["stdin", "x"]', ["14 characters", "", '["stdin", "x"]']),
    ],
)
def test_written(data: str, told: list[str]) -> None:
    """What a shell writes is shown without colours and cursor movements, in JSON or bare."""
    assert show(data, from_client=False)[1:] == told


def test_token_that_is_written() -> None:
    """A token on the screen is not shown again."""
    token = mint()
    shown = "\n".join(show(b"$ echo " + token, from_client=False))
    assert token.decode() not in shown
    assert "[token]" in shown


def test_bounds() -> None:
    """Much text is cut, and it is said how much there was."""
    told = show("x " * 150_000, from_client=False)
    assert told[:2] == ["pod sends 300000 bytes", "300000 characters"]
    assert told[-1] == "\u2026 cut"
    assert MAX_CHARS // 2 < len("\n".join(told)) < MAX_CHARS
    assert show('["' + "[" * 100_000, from_client=False)[1].endswith("characters")


def test_chosen_by_location() -> None:
    """The view is chosen for a terminal's messages."""
    socket, data = Socket("/terminals/"), b"x"
    message = socket.pass_on(data, from_client=False)
    metadata = Metadata(flow=socket.flow, websocket_message=message)
    assert find_chosen(data, metadata, Terminal()) == "Terminal"
    assert Terminal().prettify(SECRET.encode(), Metadata()).count(SECRET) == 0
