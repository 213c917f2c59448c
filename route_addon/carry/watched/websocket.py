"""A WebSocket that is watched: its messages, read from a copy of what passes.

The tunnel goes on as it does when nobody watches: bytes are passed on before they are looked at,
and nothing that is found here changes or holds them. What is kept is bounded, however long the
WebSocket lives; when its bytes cannot be understood, it is said in the flow and no more is read.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from mitmproxy import http
from mitmproxy.hooks import Hook
from mitmproxy.proxy.layers.websocket import WebsocketEndHook, WebsocketMessageHook
from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto.frame_protocol import (
    CloseReason,
    Frame,
    FrameProtocol,
    Opcode,
    ParseFailed,
)

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.faults import describe_fault
from route_addon.carry.limits import WatchLimits
from route_addon.carry.masks.mask import Mask
from route_addon.carry.watched.firing import fire
from route_addon.carry.watched.websocket_frames import Side, build_extensions, read_content

logger = logging.getLogger(__name__)

_SLICE_BYTES: Final = 4096
"""How much of a compressed stream is read at once: deflate makes up to a thousand times of it."""
_MAX_INFLATED_BYTES: Final = 32 * 2**20
"""What one portion may become: more would hold up the connections of all others."""

type Runner = Callable[[Coroutine[Any, Any, None]], object]
"""Runs work beside."""


class WebSocketCopy:
    """Reads messages from a copy of the bytes, and keeps the newest in the flow.

    Args:
        flow: The flow; its ``websocket`` is there.
        extensions: The value of the answer's Sec-WebSocket-Extensions.
        limits: How much is kept.
        run: Runs the hooks' work.
        mask: Makes the placeholders of tokens in messages.
    """

    def __init__(
        self,
        flow: http.HTTPFlow,
        extensions: bytes,
        limits: WatchLimits,
        run: Runner,
        mask: Mask,
    ) -> None:
        self._flow = flow
        self._websocket = flow.websocket
        self._mask = mask
        self._limits = limits
        self._run = run
        self._is_compressed = False
        self._sides: dict[bool, Side] = {}
        self._waiting: deque[WebSocketMessage] = deque()
        self._waiting_bytes = 0
        self._kept_bytes = 0
        self._seen = {"messages": 0, "bytes": 0, "not_shown": 0, "cut": 0}
        self._is_showing = False
        self._is_ended = False
        self._close: tuple[bool | None, int, str] | None = None
        self._stopped = ""
        try:
            for from_client in (True, False):
                agreed = build_extensions(extensions)
                self._is_compressed = bool(agreed)
                frames = FrameProtocol(not from_client, agreed)
                self._sides[from_client] = Side(frames, limits.history_bytes)
        except (ValueError, IndexError):
            self._stop("its extensions are not understood")

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is understood any more."""
        return bool(self._stopped)

    @property
    def is_between_frames(self) -> bool:
        """Whether what the client has got ends with a whole frame, and not with a close."""
        side = self._sides[False]
        decoder = side.frames._frame_decoder
        return not side.is_closed and decoder.header is None and not len(decoder.buffer)

    def build_close(self, code: CloseReason) -> bytes:
        """A close frame for the client, which is noted as ours."""
        if self._close is None:
            self._close = (False, int(code), "")
        return bytes(FrameProtocol(False, []).close(code))

    def receive(self, data: bytes, *, from_client: bool) -> None:
        """Bytes have passed. Nothing that goes wrong here is let out."""
        if self._stopped or self._is_ended:
            return
        side = self._sides[from_client]
        try:
            self._read(side, data, from_client)
        except ParseFailed:
            self._stop("they are not understood")
        except Exception as fault:
            logger.error("a WebSocket's copy failed: %s", describe_fault(fault))
            self._stop("a fault of ours")
        if self._waiting and not self._is_showing:
            self._is_showing = True
            self._run(self._show())

    def end(self, *, by_client: bool) -> None:
        """The tunnel has ended.

        Args:
            by_client: Whether the client was the first to go, where no close frame says so.
        """
        if self._is_ended:
            return
        self._is_ended = True
        if self._close is None:
            self._close = (by_client, CloseReason.ABNORMAL_CLOSURE, "")
        if not self._is_showing:
            self._is_showing = True
            self._run(self._show())

    def _read(self, side: Side, data: bytes, from_client: bool) -> None:
        if not self._is_compressed:
            self._read_slice(side, data, from_client)
            return
        inflated = 0
        for start in range(0, len(data), _SLICE_BYTES):
            inflated += self._read_slice(side, data[start : start + _SLICE_BYTES], from_client)
            if inflated > _MAX_INFLATED_BYTES:
                self._stop("they unpack to too much")
                return

    def _read_slice(self, side: Side, data: bytes, from_client: bool) -> int:
        """Read a portion.

        Returns:
            How many bytes of content came out of it.
        """
        size = 0
        if side.is_closed:
            return 0
        side.frames.receive_bytes(data)
        for frame in side.frames.received_frames():
            if frame.opcode is Opcode.CLOSE:
                self._note_close(frame, from_client)
                side.is_closed = True
            elif not frame.opcode.iscontrol():
                part = read_content(frame)
                size += len(part)
                side.add(part)
                if frame.message_finished:
                    self._keep(frame.opcode, side, from_client)
        return size

    def _note_close(self, frame: Frame, from_client: bool) -> None:
        if self._close is None and isinstance(frame.payload, tuple):
            code, reason = frame.payload
            hidden = self._mask.hide_message((reason or "").encode())
            self._close = (from_client, int(code), hidden.decode())

    def _keep(self, opcode: Opcode, side: Side, from_client: bool) -> None:
        """A message is whole: it waits to be shown, if it is not too old by then."""
        is_cut, content = side.is_cut, side.take()
        hidden = self._mask.hide_message(content, is_cut=is_cut)
        message = WebSocketMessage(opcode, from_client, hidden)
        self._seen["cut"] += is_cut
        self._seen["messages"] += 1
        self._seen["bytes"] += len(content)
        self._waiting.append(message)
        self._waiting_bytes += len(message.content)
        limits = self._limits
        while len(self._waiting) > 1 and (
            len(self._waiting) > limits.history_messages
            or self._waiting_bytes > limits.history_bytes
        ):
            self._waiting_bytes -= len(self._waiting.popleft().content)
            self._seen["not_shown"] += 1

    async def _show(self) -> None:
        """Show what waits, one message after the other, and the end behind the last."""
        while self._waiting:
            message = self._waiting.popleft()
            self._waiting_bytes -= len(message.content)
            self._add(message)
            await self._tell(WebsocketMessageHook)
            # Others have their turn between two messages, the tunnel itself among them.
            await asyncio.sleep(0)
        if self._is_ended:
            await self._show_end()
        self._is_showing = False

    async def _show_end(self) -> None:
        flow, websocket = self._flow, self._restore()
        self._note_seen()
        if self._close is not None:
            websocket.timestamp_end = time.time()
            websocket.closed_by_client, websocket.close_code, websocket.close_reason = self._close
        await self._tell(WebsocketEndHook)
        flow.live = False
        vars(flow).pop("kill", None)

    def _add(self, message: WebSocketMessage) -> None:
        """Keep a message in the flow; the oldest leave."""
        messages, limits = self._restore().messages, self._limits
        messages.append(message)
        del messages[: max(0, len(messages) - limits.history_messages)]
        self._kept_bytes += len(message.content)
        if self._kept_bytes > limits.history_bytes:
            self._kept_bytes = sum(len(kept.content) for kept in messages)
            while len(messages) > 1 and self._kept_bytes > limits.history_bytes:
                self._kept_bytes -= len(messages.pop(0).content)

    def _restore(self) -> WebSocketData:
        """The flow's own: a flow that somebody reverts to what it was gets another."""
        assert self._websocket is not None
        self._flow.websocket = self._websocket
        return self._websocket

    async def _tell(self, hook: type[Hook]) -> None:
        """Fire a hook. An intercept cannot hold what has passed: it is over at once."""
        self._note_seen()
        await fire(hook, self._flow)
        self._flow.resume()

    def _note_seen(self) -> None:
        evidence = self._flow.metadata.get(EVIDENCE)
        if isinstance(evidence, dict):
            evidence["websocket"] = {**self._seen, "stopped": self._stopped}

    def _stop(self, why: str) -> None:
        self._stopped = why
        self._flow.comment += f" · messages are no longer shown: {why}"
        self._note_seen()
