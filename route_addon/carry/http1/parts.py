"""Heads that arrive in parts or are malformed: when to wait, and what to refuse.

``heads`` reads a whole and sound head without coming here. The rest is looked at line by line, as
it arrives and each byte once, and the first fault in the order of the bytes is raised as soon as
it is there: a line without an end meets its limit, and a client that speaks HTTP/0.9 or ends its
lines with a bare LF gets its answer, though the end of a head never comes. Since the order is that
of the bytes, the verdict does not depend on how a head was split.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from route_addon.core.errors import RouteError

HEAD_END = b"\r\n\r\n"

# A CR at the end of what has arrived may yet be followed by its LF.
_FOUL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)|(?<!\r)\n")


class HeadLimits(NamedTuple):
    """How large a head may be. What is as large as a limit still passes."""

    line_bytes: int = 8 * 1024
    """The longest line, without its CRLF (nginx's large_client_header_buffers: 8k)."""
    head_bytes: int = 32 * 1024
    """The whole head, with the empty line (nginx: four such buffers)."""
    fields: int = 100
    """The number of field lines (Apache httpd's LimitRequestFields: 100)."""

    @property
    def quick_bytes(self) -> int:
        """A head of no more bytes meets no limit but that on the number of fields."""
        return min(self.line_bytes, self.head_bytes)


class HeadRules(NamedTuple):
    """What differs between requests and answers."""

    empty_lines: re.Pattern[bytes]
    """What may precede the first line."""
    check_first_line: Callable[[bytes], None]
    """Raises for a first line, CRLF included, that is not one."""
    first_line_bad: type[RouteError]
    first_line_long: type[RouteError]
    field_bad: type[RouteError]
    head_large: type[RouteError]


class HeadBuffer:
    """The bytes of a head that arrives in parts.

    Args:
        limits: How large it may be.
        rules: What to raise.
    """

    __slots__ = ("_limits", "_rules", "_survey", "held")

    def __init__(self, limits: HeadLimits, rules: HeadRules) -> None:
        self._limits = limits
        self._rules = rules
        self._survey: _Survey | None = None
        self.held: bytearray | None = None
        """What has arrived of an incomplete head."""

    def take(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Takes the next bytes of the connection.

        Args:
            data: What arrived.

        Returns:
            A whole head without empty lines before it, and the bytes behind it; or None when
            more bytes are needed. Its field lines are free of control bytes and within the
            limits; whether they are field lines is yet to be seen.

        Raises:
            RouteError: The first fault.
        """
        held = self.held
        if held is None:
            if not data:
                return None
            held = self.held = bytearray()
            self._survey = _Survey(self._limits, self._rules)
        held += data
        assert self._survey is not None
        stop = self._survey.read(held)
        if stop == 0:
            return None
        start = self._survey.start
        self.held = self._survey = None
        return bytes(held[start:stop]), bytes(held[stop:])

    def refuse(self, head: bytes) -> NoReturn:
        """Raises what is first wrong with a whole head that could not be parsed.

        Raises:
            RouteError: Always.
        """
        _Survey(self._limits, self._rules).read(head)
        # Each line is sound by itself and they are not too many. What is left is a name that is
        # no token, whitespace before the colon, no colon, or obs-fold (RFC 9112 5.1, 5.2).
        raise self._rules.field_bad("not a field line")


class _Survey:
    """How far one head has been looked at.

    Args:
        limits: How large it may be.
        rules: What to raise.
    """

    __slots__ = ("_limits", "_line", "_lines", "_rules", "_seen", "start")

    def __init__(self, limits: HeadLimits, rules: HeadRules) -> None:
        self._limits = limits
        self._rules = rules
        self._line = 0  # where the current line begins
        self._lines = 0  # the number of complete lines
        self._seen = 0  # how many bytes have been looked at
        self.start = 0
        """Where the head begins, behind empty lines."""

    def read(self, buffer: bytes | bytearray) -> int:
        """Looks at what is new.

        Args:
            buffer: All that has arrived so far.

        Returns:
            Where the head ends, or 0 when it is not complete.

        Raises:
            RouteError: The first fault.
        """
        if self._lines == 0 and (empty := self._rules.empty_lines.match(buffer)):
            self._line = self.start = empty.end()
        while True:
            line = self._line
            stop = buffer.find(b"\n", max(line, self._seen)) + 1
            self._check_bytes(buffer, stop or len(buffer))
            if stop == 0:
                self._seen = len(buffer)
                return 0
            if self._lines == 0:
                self._rules.check_first_line(bytes(buffer[line:stop]))
            elif stop - line == 2:
                return stop
            self._line = stop
            self._lines += 1
            if self._lines > self._limits.fields + 1:
                raise self._rules.head_large("too many fields")

    def _check_bytes(self, buffer: bytes | bytearray, stop: int) -> None:
        """Checks the current line as far as ``stop``: foul bytes or a limit, the first of them."""
        line_limit = self._line + self._limits.line_bytes
        head_limit = self.start + self._limits.head_bytes
        foul = _FOUL.search(buffer, max(self._line, self._seen - 1), stop)
        if foul and foul.start() <= line_limit and _known_at(foul) <= head_limit:
            error = self._rules.field_bad if self._lines else self._rules.first_line_bad
            raise error("control byte or bare line end")
        line_stop = stop
        if buffer.endswith(b"\r\n", self._line, stop):
            line_stop -= 2
        elif buffer.endswith(b"\r", self._line, stop):
            line_stop -= 1
        if line_stop > line_limit or stop > head_limit:
            raise (self._rules.head_large if self._lines else self._rules.first_line_long)


def _known_at(foul: re.Match[bytes]) -> int:
    """Which byte shows that this one is foul: of a CR, the next, since it is no LF."""
    return foul.end() if foul[0] == b"\r" else foul.start()
