"""Samples of where a process spends its CPU time, taken inside it.

A signal comes after each millisecond of CPU, and finds the stack at the next bytecode: a call
into C counts for the line that made it. So nothing is slowed down but by the samples themselves,
unlike with a tracing profiler, which makes small functions look dear.
"""

import json
import signal
from collections import Counter
from types import FrameType
from typing import Final

_INTERVAL_S: Final = 0.001

type Place = tuple[str, int, str]
"""A file, a line in it, and a function."""


class Sampler:
    """Counts where the main thread was found."""

    def __init__(self) -> None:
        self.samples = 0
        self.own: Counter[Place] = Counter()
        """By the innermost line."""
        self.whole: Counter[Place] = Counter()
        """By function, wherever on the stack."""

    def start(self) -> None:
        """Sample from now on."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)

    def stop(self) -> str:
        """Stop; what was found, as JSON."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        return json.dumps([self.samples, list(self.own.items()), list(self.whole.items())])

    def _sample(self, number: int, frame: FrameType | None) -> None:
        self.samples += 1
        if frame is not None:
            code = frame.f_code
            self.own[code.co_filename, frame.f_lineno, code.co_qualname] += 1
        seen: set[Place] = set()
        while frame is not None:
            code = frame.f_code
            seen.add((code.co_filename, code.co_firstlineno, code.co_qualname))
            frame = frame.f_back
        self.whole.update(seen)


SAMPLER: Final = Sampler()
"""The one of this process."""
