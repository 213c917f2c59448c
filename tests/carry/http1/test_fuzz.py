"""Mutated messages, read by us and by two other parsers: llhttp (httptools) and h11.

A gate may be stricter than they are, never laxer and never of another mind. So, for whatever we
accept: at least one of them accepts it, and each that does finds the same method or status,
target, version, fields, content, and end. And whatever the bytes are, we raise nothing but a
refusal, and say the same however they are split. Where we differ on purpose, ``EXCUSES`` has it.

As a program (``scripts/fuzz``) it runs as long as one likes: ``--help``.
"""

import argparse
import multiprocessing
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import h11
import httptools
import pytest

from route_addon.carry.http1.content import content_reader
from route_addon.carry.http1.heads import AnswerReader, RawAnswer, RawRequest, RequestReader
from route_addon.core.errors import BadAnswer, BadFraming, RouteError
from route_addon.core.messages import HTTP_11

ENOUGH = 1 << 20
"""More bytes than any sample has: h11 is not to refuse what is only long."""


class Reading(NamedTuple):
    """What a parser makes of the first message in some bytes."""

    start: tuple[bytes, bytes, bytes]
    """Method and target, or status and reason phrase; and the version's number."""
    fields: tuple[tuple[bytes, bytes], ...]
    """Names in lower case, values without the whitespace around them."""
    content: bytes
    is_complete: bool
    """Whether the message has ended."""
    rest: bytes | None
    """The bytes behind it; None where there is no end, or the parser does not tell."""


class Sample(NamedTuple):
    """Bytes to read."""

    wire: bytes
    method: bytes | None
    """The method of the request that these bytes answer; None for a request."""


# --- the three readers


def read_ours(sample: Sample, parts: Sequence[bytes]) -> Reading | type[RouteError] | None:
    """Our reading of a sample that comes in parts; None when a head is not complete."""
    requests, answers = RequestReader(), AnswerReader()
    try:
        for index, part in enumerate(parts):
            taken: tuple[RawRequest | RawAnswer, bytes] | None = (
                requests.read(part) if sample.method is None else answers.read(part, sample.method)
            )
            if taken is not None:
                head, rest = taken
                return _read_content(head, [rest, *parts[index + 1 :]])
    except RouteError as error:
        return type(error)
    return None


def _read_content(head: RawRequest | RawAnswer, parts: list[bytes]) -> Reading:
    error = BadFraming if isinstance(head, RawRequest) else BadAnswer
    reader = content_reader(head.length, error=error)
    content = b""
    rest: bytes | None = None
    for index, part in enumerate(parts):
        pieces, rest = reader.read(part)
        content += b"".join(pieces)
        if rest is not None:
            rest += b"".join(parts[index + 1 :])
            break
    version = b"1.1" if head.version == HTTP_11 else b"1.0"
    if isinstance(head, RawRequest):
        start = (head.method, head.target, version)
    else:
        start = (b"%d" % head.status, head.reason, version)
    return Reading(start, _canonical(head.fields), content, rest is not None, rest)


def _canonical(fields: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    canonical = []
    for name, value in fields:
        lower = bytes(name).lower()
        text = bytes(value).strip(b" \t")
        # h11 gives transfer codings in lower case.
        canonical.append((lower, text.lower() if lower == b"transfer-encoding" else text))
    return tuple(canonical)


class _Callbacks:
    """What httptools calls while llhttp reads."""

    def __init__(self) -> None:
        self.text = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.content = b""
        self.has_head = False
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        if not self.is_complete:
            self.text += url

    on_status = on_url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:  # else a trailer
            self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        if not self.is_complete:
            self.content += body

    def on_message_complete(self) -> None:
        self.is_complete = True
        raise _EndOfMessage


class _EndOfMessage(Exception):
    """The first message has been read; the next one is none of our business."""


def read_llhttp(sample: Sample) -> Reading | None:
    """llhttp's reading; None when it refuses, or has not seen a whole head."""
    callbacks = _Callbacks()
    requests = httptools.HttpRequestParser(callbacks)
    answers = httptools.HttpResponseParser(callbacks)
    parser = requests if sample.method is None else answers
    try:
        parser.feed_data(sample.wire)
    except httptools.HttpParserUpgrade:
        callbacks.is_complete = True
    except httptools.HttpParserCallbackError as error:
        if not isinstance(error.__context__, _EndOfMessage):
            raise
    except httptools.HttpParserError:
        return None
    if not callbacks.has_head:
        return None
    version = parser.get_http_version().encode()
    if sample.method is None:
        start = (requests.get_method(), callbacks.text, version)
    else:
        start = (b"%d" % answers.get_status_code(), callbacks.text, version)
    fields = _canonical(callbacks.fields)
    if sample.method == b"HEAD":  # which httptools has no way to tell llhttp
        return Reading(start, fields, b"", True, None)
    return Reading(start, fields, callbacks.content, callbacks.is_complete, None)


def read_h11(sample: Sample) -> Reading | None:
    """h11's reading; None when it refuses, or has not seen a whole head."""
    if sample.method is None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=ENOUGH)
    else:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=ENOUGH)
        connection.send(h11.Request(method=sample.method, target="/", headers=[("host", "h")]))
        connection.send(h11.EndOfMessage())
    try:
        connection.receive_data(sample.wire)
        head = connection.next_event()
        if isinstance(head, h11.Request):
            start = (head.method, head.target, head.http_version)
        elif isinstance(head, h11.Response | h11.InformationalResponse):
            start = (b"%d" % head.status_code, head.reason, head.http_version)
        else:
            return None
        fields = _canonical(head.headers.raw_items())
        if isinstance(head, h11.InformationalResponse):
            return Reading(_bytes(start), fields, b"", True, bytes(connection.trailing_data[0]))
        content = b""
        while isinstance(event := connection.next_event(), h11.Data):
            content += event.data
    except h11.RemoteProtocolError:
        return None
    is_complete = isinstance(event, h11.EndOfMessage)
    rest = bytes(connection.trailing_data[0]) if is_complete else None
    return Reading(_bytes(start), fields, content, is_complete, rest)


def _bytes(start: tuple[bytes, bytes, bytes]) -> tuple[bytes, bytes, bytes]:
    return bytes(start[0]), bytes(start[1]), bytes(start[2])


# --- where we differ on purpose


class Difference(NamedTuple):
    """Something in a head that others refuse or read otherwise, and how to do without it."""

    reason: str
    mend: Callable[[list[bytes]], list[bytes]]
    """From the lines of a head to ones that show no such difference."""
    is_in_answers: bool = False


_INTERIM = re.compile(rb"\A(HTTP/1\.[01] )1[0-9][0-9]")

DIFFERENCES = (
    Difference(
        "A method is any token, about which core decides; llhttp knows a list, and takes CONNECT"
        " for the end of HTTP.",
        lambda lines: [b"GET " + lines[0].split(b" ", 1)[1], *lines[1:]],
    ),
    Difference(
        "A target is any visible bytes and obs-text, of which core makes a canonical path; llhttp"
        " parses URLs, and neither takes obs-text.",
        lambda lines: [b" / ".join(lines[0].split(b" ")[::2]), *lines[1:]],
    ),
    Difference(
        "Host is looked at by core, which knows HTTP/2's too; h11 asks for exactly one.",
        lambda lines: [lines[0], b"Host: h", *_without(b"host", lines[1:])],
    ),
    Difference(
        "Content comes before another protocol (RFC 9110 7.8); llhttp takes what stands behind"
        " the head of a request with an Upgrade for that protocol already.",
        lambda lines: [lines[0], *_without(b"upgrade", lines[1:])],
    ),
    Difference(
        "Whitespace behind a value is none of it (RFC 9112 5.1); llhttp does not know a transfer"
        " coding with a tab behind it, and reads such an answer until the connection's end.",
        lambda lines: [lines[0], *(line.rstrip(b" \t") for line in lines[1:])],
        is_in_answers=True,
    ),
    Difference(
        "No 1xx has content (RFC 9112 6.3); llhttp knows it of those that are registered.",
        lambda lines: [_INTERIM.sub(rb"\g<1>100", lines[0]), *lines[1:]],
        is_in_answers=True,
    ),
)


def _without(name: bytes, lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if line.partition(b":")[0].lower() != name]


def mend(sample: Sample) -> Sample:
    """A message without any of the differences."""
    wire = sample.wire
    if sample.method is None:
        wire = wire.removeprefix(b"\r\n").removeprefix(b"\r\n")
    head, end, rest = wire.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for difference in DIFFERENCES:
        if sample.method is None or difference.is_in_answers:
            lines = difference.mend(lines)
    return sample._replace(wire=b"\r\n".join(lines) + end + rest)


_PARSERS = {"llhttp": read_llhttp, "h11": read_h11}


def find_disagreement(sample: Sample, ours: Reading) -> str | None:
    """What speaks against our having accepted a sample; None when nothing does."""
    against = _compare(sample, ours)
    if against is None:
        return None
    mended = mend(sample)
    again = read_ours(mended, [mended.wire])
    if not isinstance(again, Reading) or again[2:] != ours[2:]:
        return f"mended, {mended} is not the same\n  {against}"
    return _compare(mended, again)


def _compare(sample: Sample, ours: Reading) -> str | None:
    is_backed = False
    for name, read in _PARSERS.items():
        theirs = read(sample)
        if theirs is None:
            continue
        is_backed = True
        if not _is_same(ours, theirs):
            return f"{name} reads it otherwise\n  ours:   {ours}\n  theirs: {theirs}"
    return None if is_backed else f"only we accept it\n  ours:   {ours}"


def _is_same(ours: Reading, theirs: Reading) -> bool:
    if ours.rest is not None and theirs.rest is not None and ours.rest != theirs.rest:
        return False
    return ours[:4] == theirs[:4]


# --- samples


FIELD_LINES = (
    b"Host: h",
    b"Accept: */*",
    b"Cookie: a=b; c=d",
    b"X-Obs: \x80\xff",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"X_Y:  padded \t",
    b"Empty:",
)
CONTENTS = (
    b"",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n",
    b"0\r\n\r\n",
)
REQUEST_LINES = (
    b"GET / HTTP/1.1",
    b"POST /a/b?c=d HTTP/1.1",
    b"PUT http://h/x HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET / HTTP/1.0",
    b"HEAD /x HTTP/1.1",
)
STATUS_LINES = (
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 404 Not Found",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 299 ",
)
FRAGMENTS = (
    *(bytes([byte]) for byte in b'\r\n \t:;,\x00\x0b\x0c\x7f\x80\xff0159aAfx+-_"/.*'),
    b"\r\n",
    b"\r\n\r\n",
    b"\r\n ",
    b"\n\n",
    b": ",
    b" HTTP/1.1",
    b"HTTP/2.0",
    b"chunked",
    b", chunked",
    b"identity",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\nTransfer-Encoding: gzip, chunked",
    b"\r\nContent-Length: 5",
    b"\r\nContent-Length: 4",
    b"\r\nContent-Length: +5",
    b"\r\nA: b",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
)


def make_sample(chance: random.Random) -> Sample:
    """A message, mutated up to four times."""
    is_answer = chance.random() < 0.4
    first_line = chance.choice(STATUS_LINES if is_answer else REQUEST_LINES)
    lines = chance.sample(FIELD_LINES, chance.randrange(5))
    if not is_answer and chance.random() < 0.9:
        lines.insert(0, b"Host: h")
    wire = b"\r\n".join((first_line, *lines, b"", chance.choice(CONTENTS)))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        wire = chance.choice(MUTATIONS)(chance, wire)
    method = None
    if is_answer:
        method = b"HEAD" if chance.random() < 0.1 else b"GET"
    return Sample(wire, method)


def _insert(chance: random.Random, wire: bytes) -> bytes:
    at = chance.randint(0, len(wire))
    return wire[:at] + chance.choice(FRAGMENTS) + wire[at:]


def _replace(chance: random.Random, wire: bytes) -> bytes:
    at = chance.randint(0, len(wire))
    return wire[:at] + chance.choice(FRAGMENTS) + wire[at + 1 :]


def _set_byte(chance: random.Random, wire: bytes) -> bytes:
    at = chance.randint(0, len(wire))
    return wire[:at] + bytes([chance.randrange(256)]) + wire[at + 1 :]


def _delete(chance: random.Random, wire: bytes) -> bytes:
    at = chance.randint(0, len(wire))
    return wire[:at] + wire[at + chance.randint(1, 4) :]


def _swap_case(chance: random.Random, wire: bytes) -> bytes:
    at = chance.randint(0, len(wire))
    stop = at + chance.randint(1, 20)
    return wire[:at] + wire[at:stop].swapcase() + wire[stop:]


def _repeat_line(chance: random.Random, wire: bytes) -> bytes:
    lines = wire.split(b"\r\n")
    lines.insert(chance.randint(1, len(lines)), chance.choice(lines))
    return b"\r\n".join(lines)


def _add_line(chance: random.Random, wire: bytes) -> bytes:
    lines = wire.split(b"\r\n")
    lines.insert(chance.randint(1, len(lines)), chance.choice(FIELD_LINES))
    return b"\r\n".join(lines)


def _cut(chance: random.Random, wire: bytes) -> bytes:
    return wire[: chance.randint(0, len(wire))]


MUTATIONS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _insert,
    _insert,
    _insert,
    _replace,
    _replace,
    _set_byte,
    _delete,
    _swap_case,
    _repeat_line,
    _add_line,
    _cut,
)


def check_sample(sample: Sample, cut: int) -> tuple[str, str | None]:
    """Reads a sample in every way.

    Args:
        sample: What to read.
        cut: Where to split it.

    Returns:
        Our verdict in a word, and what speaks against it, if anything does.
    """
    ours = read_ours(sample, [sample.wire])
    parts = [sample.wire[:cut], sample.wire[cut:]]
    if read_ours(sample, parts) != ours:
        return "split", f"split at {cut} it reads otherwise"
    if isinstance(ours, Reading):
        return "accepted", find_disagreement(sample, ours)
    return (ours.__name__ if ours else "incomplete"), None


def fuzz(count: int, seed: int) -> Counter[str]:
    """Checks so many samples.

    Returns:
        How often we said what.

    Raises:
        AssertionError: With the sample, at the first disagreement.
    """
    chance = random.Random(seed)
    verdicts: Counter[str] = Counter()
    for _ in range(count):
        sample = make_sample(chance)
        verdict, against = check_sample(sample, chance.randint(0, len(sample.wire)))
        assert against is None, f"{sample}: {against}"
        verdicts[verdict] += 1
    return verdicts


@pytest.mark.parametrize("seed", range(4))
def test_fuzz(seed: int) -> None:
    """A few thousand mutated messages; ``scripts/fuzz`` reads a million."""
    verdicts = fuzz(1000, seed)
    assert verdicts["accepted"] > 200  # else the mutations are too wild to say anything


def test_differences_are_real() -> None:
    """An excuse that is no longer needed is to go."""
    wires = (
        (b"BREW / HTTP/1.1\r\n\r\n", None),
        (b"GET \xff HTTP/1.1\r\nHost: h\r\n\r\n", None),
        (b"BREW / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", None),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n"
            b"Content-Length: 1\r\n\r\n?",
            None,
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", b"GET"),
        (b"HTTP/1.1 104 ?\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"GET"),
    )
    assert len(wires) == len(DIFFERENCES)
    for wire, method in wires:
        sample = Sample(wire, method)
        ours = read_ours(sample, [wire])
        assert isinstance(ours, Reading)
        assert _compare(sample, ours) is not None
        assert find_disagreement(sample, ours) is None


def test_disagreement_is_seen() -> None:
    """The fuzzer is not blind: a reading that no other parser shares is told."""
    sample = Sample(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nab", None)
    ours = read_ours(sample, [sample.wire])
    assert isinstance(ours, Reading)
    assert find_disagreement(sample, ours) is None
    assert "otherwise" in str(_compare(sample, ours._replace(content=b"ab")))
    folded = Sample(b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", None)
    assert "only we" in str(_compare(folded, ours))


# --- as a program


def _work(arguments: tuple[int, int]) -> Counter[str]:
    return fuzz(*arguments)


def main() -> int:
    """Fuzzes as many samples as asked for, on all processors."""
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz",
        description="Reads mutated HTTP/1 messages with our parser, llhttp and h11.",
    )
    parser.add_argument("--count", type=int, default=1_000_000, help="messages (1,000,000)")
    parser.add_argument("--seed", type=int, default=None, help="to repeat a run (the time)")
    parser.add_argument("--jobs", type=int, default=None, help="processes (one per processor)")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    batch = 10_000
    batches = [
        (min(batch, options.count - done), seed * 1_000_003 + done)
        for done in range(0, options.count, batch)
    ]
    print(f"{options.count} messages, seed {seed}", flush=True)
    began = time.monotonic()
    verdicts: Counter[str] = Counter()
    with multiprocessing.Pool(options.jobs) as pool:
        try:
            for part in pool.imap_unordered(_work, batches):
                verdicts += part
        except AssertionError as disagreement:
            print(disagreement)
            return 1
    for verdict, number in verdicts.most_common():
        print(f"{number:10} {verdict}")
    print(f"no disagreement in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
