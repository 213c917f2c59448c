"""Tokens verified beside the loop: each one once, however many ask for it at the same time."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from route_addon.carry.faults import describe_fault
from route_addon.core.errors import InternalError, TooBusy
from route_addon.core.router import Router, Verdict

logger = logging.getLogger(__name__)

_THREADS: Final = 2
_MAX_WAITING: Final = 1024
"""Tokens under way at once; a flood of bad ones must not grow a queue without end."""


class Verifier:
    """Runs the RSA work of ``Router.verify`` in threads: cryptography lets others run meanwhile."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="verify")
        self._waiting: dict[tuple[Router, bytes], list[Callable[[Verdict], None]]] = {}

    def verify(
        self, router: Router, token: bytes, now: float, done: Callable[[Verdict], None]
    ) -> None:
        """Verify a token.

        Args:
            router: Whose keys and policy count.
            token: As a ``Verify`` holds it.
            now: The time to judge it at, in seconds since the epoch.
            done: Told the verdict, from the loop.

        Raises:
            TooBusy: Too many are under way.
        """
        key = (router, token)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(done)
            return
        if len(self._waiting) >= _MAX_WAITING:
            raise TooBusy("tokens to verify")
        self._waiting[key] = [done]
        loop = asyncio.get_running_loop()

        def finish(future: Future[Verdict]) -> None:
            if future.cancelled():
                return
            fault = future.exception()
            if fault is None:
                verdict = future.result()
            else:
                logger.error("verify failed: %s", describe_fault(fault))
                verdict = Verdict(token, InternalError())
            for waiter in self._waiting.pop(key):
                waiter(verdict)

        future = self._executor.submit(router.verify, token, now)
        future.add_done_callback(lambda ended: loop.call_soon_threadsafe(finish, ended))

    def close(self) -> None:
        """Let the threads go."""
        self._executor.shutdown(wait=False, cancel_futures=True)
