"""What end-to-end tests are built from.

``Backend`` and ``Fleet`` are what the router sends to, ``Router`` is the running program,
``Client`` and ``Http2Client`` talk to it. The fixtures of ``conftest`` share one fleet and one
router among all tests of a run.
"""

import re

from tests.e2e.backend import ABORT, LEAVE, Backend, Script, echo_websocket, untouched
from tests.e2e.client import (
    HOST,
    UNTRUSTED,
    Client,
    Http2Client,
    StreamRefused,
    build_chunks,
    build_request,
)
from tests.e2e.fleet import ALICE, BOB, NOBODY, Fleet, Pod
from tests.e2e.process import (
    ROOT,
    SCRIPT,
    START_LINE,
    Command,
    Router,
    ServeCommand,
    record_flows,
    unwatched,
)
from tests.e2e.wire import PATIENCE_S, Answer, Field, Request, Wire, wait_until

TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{64}")
"""A token with a whole signature, anywhere in a text."""

__all__ = [
    "ABORT",
    "ALICE",
    "BOB",
    "HOST",
    "LEAVE",
    "NOBODY",
    "PATIENCE_S",
    "ROOT",
    "SCRIPT",
    "START_LINE",
    "TOKEN",
    "UNTRUSTED",
    "Answer",
    "Backend",
    "Client",
    "Command",
    "Field",
    "Fleet",
    "Http2Client",
    "Pod",
    "Request",
    "Router",
    "Script",
    "ServeCommand",
    "StreamRefused",
    "Wire",
    "build_chunks",
    "build_request",
    "check_refusal",
    "check_secrets",
    "echo_websocket",
    "record_flows",
    "untouched",
    "unwatched",
    "wait_until",
]


def check_refusal(answer: Answer, status: int, fleet: Fleet) -> None:
    """Check that a request was refused, and that nobody upstream heard of it."""
    assert answer.status == status, answer.raw
    assert fleet.is_untouched, fleet.touched_but()
    check_secrets(answer.raw or answer.body)


def check_secrets(text: bytes) -> None:
    """Check that a text tells of no token, no pod's address, and no fault of ours."""
    assert TOKEN.search(text) is None, text
    for secret in (ALICE.encode(), BOB.encode(), b"Traceback"):
        assert secret not in text, text
