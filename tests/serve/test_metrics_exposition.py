"""The listener: a few scrapes at a time, and none of its faults tells a secret."""

import contextlib
import logging
import socket
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from route_addon.config.settings import MetricsAddress
from route_addon.serve.metrics.address import open_listener
from route_addon.serve.metrics.exposition import Listener
from route_addon.serve.metrics.joining import Snapshot

OPEN: Snapshot = {"route_open_connections": {(): 3}}


def ask(listener: Listener) -> str:
    """One scrape."""
    with urlopen(f"http://127.0.0.1:{listener.port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@contextlib.contextmanager
def listen(read: object = None) -> Iterator[Listener]:
    """A listener on a free port."""
    listening = open_listener(MetricsAddress("127.0.0.1", 0))
    listener = Listener(listening, read or (lambda: OPEN))  # type: ignore[arg-type]
    try:
        yield listener
    finally:
        listener.close()


def test_a_scrape() -> None:
    """What was read, and nothing that was not."""
    with listen() as listener:
        text = ask(listener)
    assert "route_open_connections 3.0\n" in text
    assert "python_gc" not in text and "route_requests" not in text


def test_a_fault(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """The scrape fails, which Prometheus sees; the text of the fault goes nowhere."""

    def fail() -> Snapshot:
        raise RuntimeError("a secret")

    with (
        listen(fail) as listener,
        caplog.at_level(logging.ERROR),
        pytest.raises(HTTPError) as caught,
    ):
        ask(listener)
    assert caught.value.code == 500
    assert "RuntimeError" in caplog.text
    said = [caplog.text, caught.value.read().decode(), *capfd.readouterr()]
    assert "a secret" not in "".join(said)
    caught.value.close()


def test_many_scrapers() -> None:
    """Those who open connections and say nothing shut nobody out once they are gone."""
    with listen() as listener:
        address = ("127.0.0.1", listener.port)
        silent = [socket.create_connection(address, 10) for _ in range(8)]
        with socket.create_connection(address, 10) as one_more:
            assert one_more.recv(1) == b""
        for connection in silent:
            connection.close()
        answer = ""
        for _ in range(100):
            with contextlib.suppress(OSError):
                answer = answer or ask(listener)
        assert "route_open_connections" in answer


def test_a_port_that_is_taken() -> None:
    """It says so."""
    with listen() as listener, pytest.raises(OSError):
        open_listener(MetricsAddress("127.0.0.1", listener.port))


def test_ipv6() -> None:
    """An IPv6 address is listened on as such."""
    try:
        listener = Listener(open_listener(MetricsAddress("::1", 0)), lambda: OPEN)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with contextlib.closing(listener), socket.create_connection(("::1", listener.port), 10) as one:
        one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with one.makefile("rb") as answer:
            assert b"route_open_connections" in answer.read()
