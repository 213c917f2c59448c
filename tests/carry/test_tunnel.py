"""Bytes in both directions, and how it ends."""

import asyncio
import logging
from typing import Any, cast

import pytest

from route_addon.carry.deadlines import Deadlines
from route_addon.carry.tunnel import Tunnel
from route_addon.carry.wire import Receiver, Wire


class Transport:
    """Stands in for a socket's: keeps what it is told."""

    def __init__(self) -> None:
        self.written = b""
        self.buffered = 0
        self.said: list[str] = []
        self.protocol: asyncio.Protocol | None = None

    def get_extra_info(self, name: str) -> None:
        return None

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return bool({"close", "abort"} & set(self.said))

    def write(self, data: bytes) -> None:
        self.written += data

    def __getattr__(self, name: str) -> Any:
        if name not in ("write_eof", "close", "abort", "pause_reading", "resume_reading"):
            raise AttributeError(name)
        return lambda: self.said.append(name)


class ClientWire(Transport):
    """The same for a client's wire."""

    def __init__(self) -> None:
        super().__init__()
        self.transport = self
        self.receiver: Receiver | None = None

    @property
    def buffered_bytes(self) -> int:
        return self.buffered

    def switch(self, receiver: Receiver) -> None:
        self.receiver = receiver


class Joined:
    """A tunnel that has begun, and its four ends."""

    def __init__(self, data: bytes = b"", silence_s: float = 3600) -> None:
        self.deadlines = Deadlines()
        self.wire, self.transport = ClientWire(), Transport()
        self.tunnel = Tunnel(
            cast(Wire, self.wire),
            cast(asyncio.Transport, self.transport),
            self.deadlines,
            silence_s,
        )
        self.tunnel.start(data)
        assert self.wire.receiver is not None
        assert self.transport.protocol is not None
        self.client: Receiver = self.wire.receiver
        self.upstream: asyncio.Protocol = self.transport.protocol

    @property
    def left_s(self) -> float:
        """How long it still waits."""
        return self.tunnel.deadline - asyncio.get_running_loop().time()


async def test_both_directions() -> None:
    """What one side sends the other gets, the beginning included."""
    joined = Joined(b"first")
    joined.upstream.data_received(b" second")
    joined.client.receive(b"hello")
    joined.client.receive(b" again")
    assert joined.wire.written == b"first second"
    assert joined.transport.written == b"hello again"
    assert joined.wire.said == joined.transport.said == []


async def test_back_pressure() -> None:
    """Each side is read while the other takes it."""
    joined = Joined()
    joined.client.pause_writing()
    assert joined.transport.said == ["pause_reading"]
    joined.client.resume_writing()
    assert joined.transport.said == ["pause_reading", "resume_reading"]
    joined.upstream.pause_writing()
    joined.upstream.resume_writing()
    assert joined.wire.said == ["pause_reading", "resume_reading"]


async def test_one_side_ends() -> None:
    """The other is told, may go on, and has less time."""
    joined = Joined()
    assert joined.left_s > 3000
    joined.client.receive_eof()
    assert joined.transport.said == ["write_eof"]
    assert joined.wire.said == []
    assert joined.left_s <= 60
    joined.upstream.data_received(b"more")
    assert joined.wire.written == b"more"
    joined.client.receive_eof()
    assert "close" not in joined.transport.said
    joined.upstream.eof_received()
    assert joined.wire.said == ["write_eof", "close"]
    assert joined.transport.said[-1] == "close"
    assert len(joined.deadlines) == 0


async def test_the_upstream_ends_first() -> None:
    """The same from the other side; its transport stays open."""
    joined = Joined()
    assert joined.upstream.eof_received() is True
    assert joined.wire.said == ["write_eof"]
    joined.client.receive(b"more")
    assert joined.transport.written == b"more"
    joined.client.receive_eof()
    assert "close" in joined.wire.said
    assert "close" in joined.transport.said


@pytest.mark.parametrize("side", ["client", "upstream"])
async def test_a_side_is_cut(side: str) -> None:
    """So is the other: an end that was none is not made to look like one."""
    joined = Joined()
    if side == "client":
        joined.client.lost()
    else:
        joined.upstream.connection_lost(ConnectionResetError())
    assert joined.wire.said == joined.transport.said == ["abort"]
    assert len(joined.deadlines) == 0


async def test_the_upstream_is_closed_in_order() -> None:
    """Nothing that is buffered for the client is lost."""
    joined = Joined()
    joined.wire.buffered = 1000
    joined.upstream.connection_lost(None)
    assert joined.wire.said == ["close"]


async def test_what_is_buffered_at_the_end() -> None:
    """It may still be taken by either side, for some time; then all is over."""
    joined = Joined()
    joined.wire.buffered = joined.transport.buffered = 1000
    joined.client.receive_eof()
    joined.upstream.eof_received()
    assert "abort" not in joined.wire.said + joined.transport.said
    assert joined.left_s <= 60
    assert len(joined.deadlines) == 1
    joined.upstream.connection_lost(ConnectionResetError())
    assert "abort" not in joined.wire.said
    joined.tunnel.expire(0.0)
    assert joined.wire.said[-1] == joined.transport.said[-1] == "abort"
    assert len(joined.deadlines) == 0


@pytest.mark.parametrize("is_upstream_first", [True, False])
async def test_both_sides_are_gone(is_upstream_first: bool) -> None:
    """After the last of them, what was buffered or not, nobody waits any more."""
    joined = Joined()
    joined.wire.buffered = joined.transport.buffered = 1000
    joined.client.receive_eof()
    joined.upstream.eof_received()
    sides = [lambda: joined.upstream.connection_lost(None), joined.client.lost]
    first, second = sides if is_upstream_first else sides[::-1]
    first()
    assert len(joined.deadlines) == 1
    second()
    assert len(joined.deadlines) == 0
    assert "abort" not in joined.wire.said + joined.transport.said


async def test_silence() -> None:
    """Whatever moves renews the time; when it is past, both sides are closed."""
    joined = Joined(silence_s=10)
    for move in (joined.client.receive, joined.upstream.data_received):
        joined.tunnel.deadline = 0.0
        move(b"x")
        assert 9 < joined.left_s < 11
    joined.tunnel.expire(0.0)
    assert joined.wire.said == joined.transport.said == ["close"]


async def test_a_fault(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the tunnel, and the log does not tell what passed."""
    joined = Joined()

    def fail(data: bytes) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(joined.wire, "write", fail)
    with caplog.at_level(logging.ERROR):
        joined.upstream.data_received(b"x")
    assert joined.wire.said == joined.transport.said == ["abort"]
    assert "RuntimeError" in caplog.text
    assert "a secret" not in caplog.text
    joined.client.fail()


@pytest.mark.parametrize(("error", "is_cut"), [(None, False), (ConnectionResetError(), True)])
async def test_what_passed_is_known(error: Exception | None, is_cut: bool) -> None:
    """Bytes in each direction, and whether a side was lost, when the upstream is told gone."""
    joined = Joined(b"first")
    tunnel = joined.tunnel
    told: list[tuple[int, int, bool]] = []

    def tell() -> None:
        told.append((tunnel.client_bytes, tunnel.upstream_bytes, tunnel.is_cut))

    tunnel.on_upstream_lost = tell
    joined.client.receive(b"abc")
    joined.upstream.data_received(b"de")
    joined.upstream.connection_lost(error)
    assert told == [(3, 7, is_cut)]


async def test_drained_and_left() -> None:
    """Silence is not idleness; once its time is up, both sides end."""
    joined = Joined()
    joined.tunnel.drain()
    assert joined.wire.said == joined.transport.said == []
    joined.tunnel.leave()
    assert joined.wire.said == joined.transport.said == ["close"]
