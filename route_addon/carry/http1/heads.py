r"""A strict reader of HTTP/1 heads (RFC 9112), with no I/O.

Bytes go in as they arrived, split anywhere; heads come out, with the bytes that follow them.
``content`` reads what comes behind a head, ``writer`` writes.

**How a head is read.** Three passes in C take it apart and prove it: one regular expression for the
first line, one ``findall`` for all field lines, and one ``translate`` that counts the control
bytes. A sound head of *k* fields has exactly *2k + 4*: a CRLF for each line and for the empty
one. Every match of ``_FIELD`` begins with the LF of the line before and ends with its own CR, an
LF behind it. So when the count is right, the control bytes of the matches, the first line's CR
and the LF CR LF at the end are all there are, and each match begins at the very LF that the one
before ended in front of: the matches cover the head, and hold nothing foul. Only a head for which
this proof fails, or that came in parts, is looked at line by line (``parts``).

A client's requests differ in their first line, and seldom in their field lines. So what these mean
is kept (``lines``): where the same bytes stand behind another first line of the same version,
they mean the same, and end the head at the same place. An upstream's answers differ in some of
their lines. So these are read one by one, and what each means is kept, unless it is long. One
that is asked often says the same within a second: what its last head means is kept as a whole.

**Why our own code.** Heads of a browser (16 fields, a token among them) and of an upstream (8
fields), time as a ratio to this module, on CPython 3.13:

========================================  ==============  ===============
reader                                    browser's head  upstream's head
========================================  ==============  ===============
this module                               1               1
httptools 0.9 (llhttp) alone              0.65            0.7
httptools, and what it leaves to do       1.0             1.5
h11 0.16                                  6.4             8
========================================  ==============  ===============

llhttp alone is quicker, but not what a gate needs: it takes runs of spaces in a request line,
any number of CR and LF before it, HTTP/0.9 and 2.0, and codings before ``chunked``; it knows no
limits, keeps the whitespace behind values, and does not say where a message ends. With that
added it costs as much, in C that we cannot read along with, and without a word on which fault
came first. h11 folds lines, ends them with a bare LF, and lets control bytes into values. So the
grammar is our own, and both serve as second opinions when it is fuzzed.

**Contract.** Whatever leaves a reader is free of CR, LF, NUL and every other control byte (HTAB
inside a value excepted), and names and methods are tokens. ``writer`` relies on it.
"""

import re
from typing import Final, NamedTuple

from route_addon.carry.http1.lines import MAX_LINES_BYTES, KnownLines
from route_addon.carry.http1.parts import HEAD_END, HeadBuffer, HeadLimits, HeadRules
from route_addon.core.answers import PlainFields, plain_line
from route_addon.core.errors import (
    BadAnswer,
    BadField,
    BadFraming,
    BadRequest,
    ExpectationFailed,
    FieldsTooLarge,
    UnknownTransferCoding,
    UnsupportedVersion,
    UriTooLong,
)
from route_addon.core.fields import Spellings
from route_addon.core.framing import UNTIL_END, content_length, request_length
from route_addon.core.messages import HTTP_10, HTTP_11, Field
from route_addon.core.sender import RequestFields

REQUEST_LIMITS: Final = HeadLimits()
ANSWER_LIMITS: Final = HeadLimits(line_bytes=32 * 1024, fields=500)
"""An upstream is trusted with longer lines and more of them: policies and cookies grow long."""


class RawRequest(NamedTuple):
    """A request head as it stood on the wire."""

    method: bytes
    """A token (RFC 9110 9.1), in the case received."""
    target: bytes
    version: bytes
    """``HTTP_10`` or ``HTTP_11``."""
    fields: list[Field]
    """Names as received, values without the whitespace around them."""
    length: int
    """The content's length in bytes, 0 for none, or ``CHUNKED``."""
    keep_alive: bool
    """Whether the client lets the connection live on (RFC 9112 9.3)."""
    expects_continue: bool
    """Whether the client waits for ``CONTINUE`` before it sends content (RFC 9110 10.1.1)."""


class RawAnswer(NamedTuple):
    """The head of an upstream's answer as it stood on the wire."""

    version: bytes
    status: int
    """100-599. After 1xx another head follows, except after 101."""
    reason: bytes
    """The reason phrase, often empty."""
    fields: tuple[Field, ...]
    """Names as received, values without the whitespace around them. Other answers share them."""
    length: int
    """The length in bytes of the content that follows, 0 for none, ``CHUNKED`` or ``UNTIL_END``."""
    content_length: int | None
    """What Content-Length says, which for HEAD and 304 is not what follows (RFC 9110 8.6)."""
    keep_alive: bool
    """Whether the connection can carry another request once the content has been read."""
    plain: PlainFields | None = None
    """The fields as they leave, where ``core.answers.plain_line`` is certain of all; else None."""


_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_VISIBLE = rb"[!-~\x80-\xff]"  # VCHAR and obs-text, RFC 9110 5.5

_REQUEST_LINE = re.compile(rb"(%b) (%b++) HTTP/1\.([01])\r\n" % (_TOKEN, _VISIBLE))
_OTHER_VERSION = re.compile(rb"%b %b++ HTTP/[0-9]\.[0-9]\r\n" % (_TOKEN, _VISIBLE))

# RFC 9112 4 has a space after the status code even where no reason phrase follows; origin
# servers that leave it out are common, and nothing else can be meant.
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*+))?")

# The value's class is "anything but CR" since that is the one that SRE scans quickest; other
# control bytes are found by their count. A value with whitespace behind it does not match and
# is left to the second expression: it is rare, and a trim in the first would cost every head.
_FIELD = re.compile(rb"\n(%b):[ \t]*+([^\r]*+)(?<![ \t])\r(?=\n)" % _TOKEN)
_FIELD_LINE = re.compile(rb"(%b):[ \t]*+([\t -~\x80-\xff]*+)" % _TOKEN)
_FIELD_PADDED = re.compile(rb"\n(%b):[ \t]*+([^\r]*+)\r(?=\n)" % _TOKEN)

_REMEMBERED_LINE_BYTES = 192
"""Of an answer: policies and cookies are longer, and are read each time."""
_REMEMBERED_HEAD_BYTES = 512
"""Of an answer, with all its lines."""

_CR = 0x0D
_CONTROLS = bytes(byte for byte in range(32) if byte != 0x09) + b"\x7f"

# Whether a request has any field that _sort_framing reads: most have none but one Connection.
# The first letter stands apart as a set, by which most lines are dismissed.
_FRAMING_FIELD = re.compile(
    rb"\n([CTEcte](?i:onnection|ontent-length|ransfer-encoding|xpect)):[ \t]*+([^\r]*+)"
)
_ONLY_KEEP_ALIVE = [(b"Connection", b"keep-alive")]  # what browsers send with every GET
_CONNECTION, _LENGTH, _CODING, _EXPECT = _FRAMING_NAMES = (
    b"connection",
    b"content-length",
    b"transfer-encoding",
    b"expect",
)


def _find_framing(name: bytes) -> bytes:
    """Which of the framing's names this is; empty for all others."""
    lower = name.lower()
    return lower if lower in _FRAMING_NAMES else b""


_framing = Spellings(_find_framing)


class RequestReader:
    """Reads the request heads of one client connection.

    Args:
        limits: What a head may measure.
        known: What is known of field lines; shared with other connections, if at all.
    """

    __slots__ = ("_heads", "_known", "_last", "_limits", "_lines", "_quick_bytes")

    def __init__(
        self, limits: HeadLimits = REQUEST_LIMITS, known: KnownLines[RawRequest] | None = None
    ) -> None:
        self._limits = limits
        self._quick_bytes = limits.quick_bytes
        self._heads = HeadBuffer(limits, _REQUEST_RULES)
        self._known = KnownLines[RawRequest]() if known is None else known
        self._last: RawRequest | None = None
        self._lines = b""
        """The last head from its minor version on: all that says what its field lines mean."""

    @property
    def has_part(self) -> bool:
        """Whether a head has begun and is not complete."""
        return self._heads.held is not None

    def read(self, data: bytes) -> tuple[RawRequest, bytes] | None:
        """Takes the next bytes of the connection.

        Args:
            data: What arrived, or what an earlier call or the content's reader left over.

        Returns:
            A head and the bytes behind it, or None when more bytes are needed. ``data`` is
            copied only when it does not end with the head. Where the field lines are known, so
            is the list of fields.

        Raises:
            UriTooLong: The request line is over its limit (414).
            FieldsTooLarge: A field line, their number or the whole head is (431).
            UnsupportedVersion: A well-formed version other than 1.0 and 1.1 (505).
            BadRequest: The request line is malformed (400).
            BadField: A field line is malformed (400).
            BadFraming: The content's length is not certain (400).
            UnknownTransferCoding: A transfer coding other than chunked (501).
            ExpectationFailed: An ``Expect`` other than ``100-continue`` (417).
        """
        heads = self._heads
        if heads.held is None and (line := _REQUEST_LINE.match(data)) is not None:
            read = self._read_again(data, line)
            if read is not None:
                return read
            if len(data) <= self._quick_bytes and data.endswith(HEAD_END):
                # Nearly always one whole head; of two, the proof fails at the end of the first.
                request = _parse_request(data, line, self._limits)
                if request is not None:
                    self._keep(request, data, line)
                    return request, b""
        if (
            heads.held is None
            and 4 < (stop := data.find(HEAD_END) + 4) <= self._quick_bytes
            and data[0] != _CR
        ):
            head, rest = data[:stop], data[stop:]
        elif (taken := heads.take(data)) is None:
            return None
        else:
            head, rest = taken
        line = _REQUEST_LINE.match(head)
        request = _parse_request(head, line, self._limits) if line is not None else None
        if request is None or line is None:
            heads.refuse(head)
        self._keep(request, head, line)
        return request, rest

    def _keep(self, request: RawRequest, head: bytes, line: re.Match[bytes]) -> None:
        """Keep what field lines mean, for the next head."""
        if len(head) <= self._quick_bytes:
            self._last, self._lines = request, head[line.start(3) :]
            self._known.keep(self._lines, request)

    def _read_again(self, data: bytes, line: re.Match[bytes]) -> tuple[RawRequest, bytes] | None:
        """A head whose field lines are known: those of the last one, or of another connection."""
        last, start = self._last, line.start(3)
        stop = start + len(self._lines)
        if last is None or not data.startswith(self._lines, start):
            stop = len(data)
            if stop - start > MAX_LINES_BYTES:
                return None
            lines = data[start:]
            last = self._known.find(lines)
            if last is None:
                return None
            self._last, self._lines = last, lines
        if stop > self._quick_bytes:
            return None
        return RawRequest(line[1], line[2], *last[2:]), data[stop:]


class AnswerReader:
    """Reads the answer heads of one upstream connection.

    Args:
        limits: What a head may measure.
    """

    __slots__ = ("_head", "_heads", "_last", "_limits", "_quick_bytes")

    def __init__(self, limits: HeadLimits = ANSWER_LIMITS) -> None:
        self._limits = limits
        self._last: RawAnswer | None = None
        self._head = b""
        """The last head, if it was short: all of it says what it means."""
        self._quick_bytes = limits.quick_bytes
        self._heads = HeadBuffer(limits, _ANSWER_RULES)

    @property
    def has_part(self) -> bool:
        """Whether a head has begun and is not complete."""
        return self._heads.held is not None

    def read(self, data: bytes, method: bytes) -> tuple[RawAnswer, bytes] | None:
        """Takes the next bytes of the connection.

        Args:
            data: What arrived, or what an earlier call left over.
            method: The method of the request that is answered.

        Returns:
            A head and the bytes behind it, or None when more bytes are needed. A 1xx other than
            101 is no answer yet: read on, with those bytes.

        Raises:
            BadAnswer: Anything but a well-formed head within the limits (502).
        """
        heads, last = self._heads, self._last
        if heads.held is None and 4 < (stop := data.find(HEAD_END) + 4) <= self._quick_bytes:
            head, rest = data[:stop], data[stop:]
            if last is not None and head == self._head and method != b"HEAD":
                return last, rest
        elif (taken := heads.take(data)) is None:
            return None
        else:
            head, rest = taken
        answer = _parse_answer(head, method, self._limits)
        if answer is None:
            heads.refuse(head)
        if method != b"HEAD" and len(head) <= _REMEMBERED_HEAD_BYTES:
            self._last, self._head = answer, head
        return answer, rest


def parse_fields(head: bytes, start: int) -> list[Field] | None:
    r"""The field lines of a header or trailer section (RFC 9112 5).

    Args:
        head: Bytes that end in CRLF CRLF.
        start: Where the LF is that ends the line before the first field line. No other control
            byte than its CR stands before it.

    Returns:
        Names and values, or None when anything in the section is not a field line.
    """
    fields: list[Field] = _FIELD.findall(head, start)
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if controls == 2 * len(fields) + 4:
        return fields
    fields = [(name, value.rstrip(b" \t")) for name, value in _FIELD_PADDED.findall(head, start)]
    return fields if controls == 2 * len(fields) + 4 else None


def _parse_request(head: bytes, line: re.Match[bytes], limits: HeadLimits) -> RawRequest | None:
    """One whole head, its first line matched; None when it is malformed or has too many fields."""
    start = line.end() - 1
    parsed = parse_fields(head, start)
    if parsed is None or len(parsed) > limits.fields:
        return None
    fields = RequestFields(parsed)
    method, target, minor = line.groups()
    version = HTTP_11 if minor == b"1" else HTTP_10
    found = _FRAMING_FIELD.findall(head, start)
    if not found or found == _ONLY_KEEP_ALIVE:
        keep_alive = minor == b"1" or bool(found)
        return RawRequest(method, target, version, fields, 0, keep_alive, False)
    framing = _sort_framing(fields)
    expectations = framing.get(_EXPECT, ())
    length = request_length(version, framing.get(_LENGTH, ()), framing.get(_CODING, ()))
    if any(value.lower() != b"100-continue" for value in expectations):
        raise ExpectationFailed
    # RFC 9110 10.1.1: an HTTP/1.0 client's expectation is ignored; without content there is
    # nothing to wait for.
    expects_continue = bool(expectations) and version == HTTP_11 and length != 0
    keep_alive = _is_kept_alive(version, framing.get(_CONNECTION, ()))
    return RawRequest(method, target, version, fields, length, keep_alive, expects_continue)


type _Values = tuple[bytes, ...]


def _parse_answer(head: bytes, method: bytes, limits: HeadLimits) -> RawAnswer | None:
    """One whole head; None when it is malformed or has too many fields."""
    lines = head.split(b"\r\n")
    try:
        version, status, reason = _status_lines[lines[0]]
        # Behind the last field line stand the empty one, and nothing.
        known = list(map(_answer_lines.__getitem__, lines[1:-2]))
    except _MalformedLine:
        return None
    if len(known) > limits.fields:
        return None
    fields, plain, framing = zip(*known, strict=True) if known else _NO_LINES
    length, declared, options = _read_framing(version, framing)
    keep_alive = _is_kept_alive(version, options)
    if method == b"HEAD" or status == 304:
        length = 0  # RFC 9112 6.3, rule 1, comes before all that the fields say
    elif status < 200 or status == 204:
        # These must not announce content (RFC 9110 8.6, RFC 9112 6.1). Where one does, content
        # may follow all the same, and would be taken for the next answer.
        keep_alive = keep_alive and length == UNTIL_END
        length = 0
    elif length == UNTIL_END:
        keep_alive = False
    # Two Connection lines may say together what none of them says.
    is_plain = None not in plain and len(options) < 2
    sent = PlainFields(fields, b"\r\n".join(filter(None, plain))) if is_plain else None
    return RawAnswer(version, status, reason, fields, length, declared, keep_alive, sent)


def _read_framing(
    version: bytes, framing: tuple[Field | None, ...]
) -> tuple[int, int | None, _Values]:
    """The length that an answer's fields say, the one that Content-Length says, and Connection.

    Raises:
        BadAnswer: The length is not certain.
    """
    options: _Values = ()
    lengths: _Values = ()
    codings: _Values = ()
    for name, value in filter(None, framing):
        if name == _LENGTH:
            lengths = (*lengths, value)
        elif name == _CONNECTION:
            options = (*options, value)
        elif name == _CODING:
            codings = (*codings, value)
    try:
        declared = content_length(lengths)
        if codings:
            return request_length(version, lengths, codings), declared, options
    except (BadFraming, UnknownTransferCoding) as error:
        raise BadAnswer(error.detail or error.slug) from None
    return UNTIL_END if declared is None else declared, declared, options


class _MalformedLine(Exception):
    """Neither a status line nor a field line."""


def _parse_status_line(line: bytes) -> tuple[bytes, int, bytes]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise _MalformedLine
    minor, digits, reason = match.groups(b"")
    return HTTP_11 if minor == b"1" else HTTP_10, int(digits), reason


class _Line(NamedTuple):
    """What an answer's field line means."""

    field: Field
    plain: bytes | None
    """As ``core.answers.plain_line`` has it."""
    framing: Field | None
    """The field with its name in lower case, if it is one of the framing's."""


_NO_LINES: tuple[tuple[Field, ...], tuple[bytes | None, ...], tuple[Field | None, ...]]
_NO_LINES = (), (), ()


def _parse_answer_line(line: bytes) -> _Line:
    match = _FIELD_LINE.fullmatch(line)
    if match is None:
        raise _MalformedLine
    name, value = match[1], match[2].rstrip(b" \t")
    known = _framing[name]
    return _Line((name, value), plain_line(name, value), (known, value) if known else None)


# Servers say few things, and say them again and again.
_status_lines = Spellings(_parse_status_line)
_answer_lines = Spellings(_parse_answer_line, max_bytes=_REMEMBERED_LINE_BYTES)


def _sort_framing(fields: list[Field]) -> dict[bytes, _Values]:
    """The values of Connection, Content-Length, Transfer-Encoding and Expect, where they are."""
    found: dict[bytes, _Values] = {}
    for name, value in fields:
        if known := _framing[name]:
            found[known] = (*found[known], value) if known in found else (value,)
    return found


def _is_kept_alive(version: bytes, options: _Values) -> bool:
    """RFC 9112 9.3: ``close`` first, then the version, then ``keep-alive``."""
    if not options:
        return version == HTTP_11
    if options == (b"keep-alive",):
        return True
    names = [name.strip(b" \t") for name in b",".join(options).lower().split(b",")]
    return b"close" not in names and (version == HTTP_11 or b"keep-alive" in names)


def _check_request_line(line: bytes) -> None:
    if _REQUEST_LINE.fullmatch(line) is None:
        if _OTHER_VERSION.fullmatch(line):
            raise UnsupportedVersion
        raise BadRequest("request line")


def _check_status_line(line: bytes) -> None:
    if _STATUS_LINE.fullmatch(line, 0, len(line) - 2) is None:
        raise BadAnswer("status line")


# RFC 9112 2.2: at least one empty line before a request is ignored, since old clients sent one
# behind a form's content. Two are as many as anybody needs.
_EMPTY_LINES = re.compile(rb"(?:\r\n){0,2}+")
_NOTHING = re.compile(rb"")

_REQUEST_RULES = HeadRules(
    empty_lines=_EMPTY_LINES,
    check_first_line=_check_request_line,
    first_line_bad=BadRequest,
    first_line_long=UriTooLong,
    field_bad=BadField,
    head_large=FieldsTooLarge,
)
_ANSWER_RULES = HeadRules(
    empty_lines=_NOTHING,
    check_first_line=_check_status_line,
    first_line_bad=BadAnswer,
    first_line_long=BadAnswer,
    field_bad=BadAnswer,
    head_large=BadAnswer,
)
