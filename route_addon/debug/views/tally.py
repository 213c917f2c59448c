"""What one message holds, counted and in lines, within bounds."""

from collections import Counter
from typing import Final

MAX_LINES: Final = 100
MAX_LINE_CHARS: Final = 300


def shorten(text: str, max_chars: int = MAX_LINE_CHARS) -> str:
    """A text of bounded length in one line, which says when it was cut."""
    text = text[: max_chars + 1].replace("\n", "\\n").replace("\r", "\\r")
    return text if len(text) <= max_chars else f"{text[:max_chars]}…"


class Tally:
    """Counts of what is told no more of, and lines of what is."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lines: list[str] = []
        self._left_out = 0

    def count(self, name: str) -> None:
        """One more of this."""
        self._counts[name] += 1

    def tell(self, line: str) -> None:
        """A line, as long as there is room."""
        if len(self._lines) < MAX_LINES:
            self._lines.append(shorten(line))
        else:
            self._left_out += 1

    def lines(self) -> list[str]:
        """All of it."""
        more = [f"… and {self._left_out} more"] if self._left_out else []
        counts = [f"{name}: {number}" for name, number in self._counts.items()]
        return [*self._lines, *more, *counts]
