"""Tokens verified beside the loop: each one once, and each client in its turn.

Measured on two cores: in threads a token costs a tenth more CPU than on the loop, but no other
connection stands still for it, and both cores work.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

from route_addon.carry.faults import describe_fault
from route_addon.core.errors import InternalError, TokenSignature, TooBusy
from route_addon.core.router import Router, Verdict

logger = logging.getLogger(__name__)

_THREADS: Final = 2
_MAX_BEGUN: Final = 2 * _THREADS
"""Tokens handed to the threads at once: none of them waits for the loop to name the next."""
_MAX_WAITING: Final = 1024
"""Tokens under way at once; a flood of bad ones must not grow a queue without end."""
_MAX_WAITING_PER_CLIENT: Final = 256
_MAX_REFUSED: Final = 1024
_MAX_REFUSED_BYTES: Final = 2048
"""Tokens of pyos' have about 900 bytes; who sends longer ones pays for each."""

type _Listener = Callable[[Verdict], None]


class _Work(NamedTuple):
    """A token to verify."""

    router: Router
    token: bytes
    now: float


class Verifier:
    """Runs the RSA work of ``Router.verify`` in threads: cryptography lets others run meanwhile.

    A signature that was just refused is remembered by the whole token, for as long as the same
    router judges: no key of its own verifies it, whatever the time. Nothing else is remembered.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="verify")
        self._listeners: dict[tuple[Router, bytes], list[_Listener]] = {}
        self._queues: dict[str, deque[_Work]] = {}
        """What waits, by client; the one whose turn it is first."""
        self._begun = 0
        self._refused: OrderedDict[bytes, None] = OrderedDict()
        self._refused_by: Router | None = None

    def verify(
        self, router: Router, token: bytes, now: float, done: _Listener, client: str = ""
    ) -> None:
        """Verify a token.

        Args:
            router: Whose keys and policy count.
            token: As a ``Verify`` holds it.
            now: The time to judge it at, in seconds since the epoch.
            done: Told the verdict, from the loop; at once, when it is known.
            client: Who asks: all get their turn.

        Raises:
            TooBusy: Too many are under way, in all or of this client.
        """
        if self._refused_by is router and token in self._refused:
            self._refused.move_to_end(token)
            done(Verdict(token, TokenSignature("refused before")))
            return
        listeners = self._listeners.get((router, token))
        if listeners is not None:
            listeners.append(done)
            return
        queue = self._queues.get(client, deque())
        if len(self._listeners) >= _MAX_WAITING or len(queue) >= _MAX_WAITING_PER_CLIENT:
            raise TooBusy("tokens to verify")
        self._listeners[router, token] = [done]
        queue.append(_Work(router, token, now))
        self._queues[client] = queue
        try:
            self._begin()
        except Exception:
            # Who asks for the same later must not wait for what will never be said.
            self._listeners.pop((router, token), None)
            raise

    def close(self) -> None:
        """Let the threads go."""
        self._queues.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        """Keep the threads busy, each client in its turn."""
        while self._queues and self._begun < _MAX_BEGUN:
            client = next(iter(self._queues))
            queue = self._queues.pop(client)
            work = queue.popleft()
            if queue:
                self._queues[client] = queue
            self._begun += 1
            try:
                self._submit(work)
            except Exception as fault:
                failed = Future[Verdict]()
                failed.set_exception(fault)
                self._guard(work, failed)

    def _submit(self, work: _Work) -> None:
        loop = asyncio.get_running_loop()

        def end(ended: Future[Verdict]) -> None:
            loop.call_soon_threadsafe(self._guard, work, ended)
            loop.call_soon_threadsafe(self._begin)

        self._executor.submit(work.router.verify, work.token, work.now).add_done_callback(end)

    def _guard(self, work: _Work, future: Future[Verdict]) -> None:
        """It has ended: whatever is wrong, with the token or with us, whoever waits is told."""
        if future.cancelled():
            return
        self._begun -= 1
        verdict = Verdict(work.token, InternalError())
        try:
            verdict = self._finish(work, future)
        except Exception as fault:
            logger.error("verify failed: %s", describe_fault(fault))
        for listener in self._listeners.pop((work.router, work.token), ()):
            listener(verdict)

    def _finish(self, work: _Work, future: Future[Verdict]) -> Verdict:
        verdict = future.result()
        self._remember(work, verdict)
        return verdict

    def _remember(self, work: _Work, verdict: Verdict) -> None:
        if self._refused_by is not work.router:
            self._refused.clear()
            self._refused_by = work.router
        if type(verdict.outcome) is TokenSignature and len(work.token) <= _MAX_REFUSED_BYTES:
            self._refused[work.token] = None
            if len(self._refused) > _MAX_REFUSED:
                self._refused.popitem(last=False)
