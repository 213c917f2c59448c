"""The lines of the access log: JSON, or nginx's combined format with a few words behind it.

A line is ASCII without control bytes, whatever a client sends; it holds no token, nor a secret that
an argument's name tells; and it is short enough for one write into a pipe, so that the lines of
several workers never mix.
"""

import json
import re
import select
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from route_addon.carry.masks.log_records import hide_secrets
from route_addon.core.fields import Spellings
from route_addon.core.forwarded import ForwardedFields, TrustedProxies
from route_addon.core.messages import Fields, Forward, Peer
from route_addon.core.observer import Report
from route_addon.core.sender import RequestFields, Said

MAX_LINE_BYTES: Final = select.PIPE_BUF
"""What is written into a pipe in one piece (POSIX)."""
_SHOWN_BYTES: Final = 1024
_SHORT_BYTES: Final = 96
"""How much is shown of what a client says: usually, and where the line would be too long."""
_METHOD_BYTES: Final = 32
_REMEMBERED_BYTES: Final = 192
"""Of one text: a user agent, a page, a target."""
_SHOWN_FIELDS: Final = frozenset({b"referer", b"user-agent", b"x-forwarded-for"})
_UNSAFE: Final = re.compile(r"[^ !#-\[\]-~]")
"""What nginx escapes: control bytes, quotes, backslashes, all that is not ASCII."""

type Event = str
"""``request``, ``websocket_open`` or ``websocket_end``."""
type LineBuilder = Callable[[Report, Event, "Shown"], bytes]


class Shown(NamedTuple):
    """What the lines are made with, besides the report."""

    proxies: Callable[[], TrustedProxies]
    """Whose word on the client's address counts at the moment."""
    target: bool = False
    """Whether to tell the server that a request was sent to, which may be a user's pod."""


_SAID: Final = ("client", "method", "target", "version", "referer", "user_agent")
"""What the client said."""
_WORDS: Final = {True: b"true", False: b"false", None: b"null"}


def _find_shown(name: bytes) -> bytes:
    """Which of the fields that are shown this is; empty for all others."""
    lower = name.lower()
    return lower if lower in _SHOWN_FIELDS else b""


_shown_fields = Spellings(_find_shown)


def build_json(report: Report, event: Event, shown: Shown) -> bytes:
    """One line of JSON."""
    line = _dump(report, event, shown, _SHOWN_BYTES)
    return line if len(line) <= MAX_LINE_BYTES else _dump(report, event, shown, _SHORT_BYTES)


def build_combined(report: Report, event: Event, shown: Shown) -> bytes:
    """One line as nginx's ``combined`` has it, then ``name=value`` pairs."""
    line = _combine(report, event, shown, _SHOWN_BYTES)
    return line if len(line) <= MAX_LINE_BYTES else _combine(report, event, shown, _SHORT_BYTES)


_LINE: Final = (
    b'{"time": "%b.%03dZ", "event": "%b", "client": %b, %b, %b, %b, "request_id": "%b", '
    b'%b, "received_bytes": %d, "sent_bytes": %d, "cut": %b, %b'
)


def _dump(report: Report, event: Event, shown: Shown, max_bytes: int) -> bytes:
    """All facts, in one template of parts that are remembered: every request pays for this."""
    head, decision, tunnel, began = report.head, report.decision, report.tunnel, report.began
    chain, fields = _find_said(head.fields, max_bytes)
    source = upstream = location = None
    if isinstance(decision, Forward):
        upstream, source = decision.upstream, decision.token_source
        location = decision.location.location
    elif decision is not None and decision.location is not None:
        location = decision.location.location
    if decision is None:
        # It could not be read: what the head says is ours.
        request = _UNREAD
    else:
        show = _show_request if len(head.target) <= _REMEMBERED_BYTES else _show_long_request
        request = show(head.method, head.target, head.version, max_bytes)
    moment = report.time + ((report.ended or report.first_byte or began) - began)
    line = _LINE % (
        _iso_second(int(moment)),
        moment % 1 * 1000,
        event.encode(),
        _quote_client(_find_client(head.peer, chain, shown) if chain else head.peer.address),
        request,
        fields,
        _show_outcome(report.status, report.slug, location, upstream),
        report.request_id,  # ours, or as harmless (``core.sender.trusted_id``)
        _show_token(source, report.is_token_cached, report.http_cache),
        tunnel.client_bytes if tunnel else report.received_bytes,
        tunnel.upstream_bytes if tunnel else report.sent_bytes,
        _WORDS[report.is_cut],
        _show_times(began, report.reached, report.first_byte, report.ended),
    )
    if shown.target:
        line += b', "server": ' + _text(_server(report))
    return line + b"}\n"


def _combine(report: Report, event: Event, shown: Shown, max_bytes: int) -> bytes:
    facts = json.loads(_dump(report, event, shown, max_bytes))
    client, method, target, version, referer, user_agent = (facts.pop(name) for name in _SAID)
    request = " ".join((method or "-", target or "-", version or "-"))
    quoted = [f'"{_escape(text or "-")}"' for text in (request, referer, user_agent)]
    status, sent = facts.pop("status"), facts.pop("sent_bytes")
    del facts["time"]
    pairs = [f"{name}={_word(value)}" for name, value in facts.items()]
    stamp = _nginx_time(int(_moment(report)))
    first = f"{client} - - [{stamp}] {quoted[0]} {status or 0:03} {sent}"
    return " ".join((first, *quoted[1:], *pairs)).encode("ascii") + b"\n"


def _quote(text: str) -> bytes:
    # JSON leaves DEL as it is.
    return encode_basestring_ascii(text).replace("\x7f", "\\u007f").encode("ascii")


def _text(text: str | None) -> bytes:
    return b"null" if text is None else _quote(text)


def _find_said(fields: Fields, max_bytes: int) -> Said:
    """What a request's fields say. A client says the same with the next request."""
    if max_bytes != _SHOWN_BYTES or not isinstance(fields, RequestFields):
        return _read_said(fields, max_bytes)
    if fields.said is None:
        fields.said = _read_said(fields, max_bytes)
    return fields.said


def _read_said(fields: Fields, max_bytes: int) -> Said:
    said: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if known := _shown_fields[name]:
            said.setdefault(known, []).append(value)
    referers, agents = said.get(b"referer"), said.get(b"user-agent")
    return tuple(said.get(b"x-forwarded-for", ())), b'"referer": %b, "user_agent": %b' % (
        _text(None if referers is None else _show(referers[0], max_bytes)),
        _text(None if agents is None else _show(agents[0], max_bytes)),
    )


def _find_client(peer: Peer, chain: tuple[bytes, ...], shown: Shown) -> str:
    """The client's address, where somebody speaks for it."""
    return shown.proxies().resolve(peer, b"", ForwardedFields(chain=chain)).client


def _show_long_request(method: bytes, target: bytes, version: bytes, max_bytes: int) -> bytes:
    """What a request's first line says."""
    return b'"method": %b, "target": %b, "version": %b' % (
        _quote(method[:_METHOD_BYTES].decode("ascii", "backslashreplace")),
        _quote(_show(target, max_bytes)),
        _quote(version.decode("ascii")),
    )


@lru_cache(maxsize=1024)
def _show_outcome(status: int, slug: str, location: str | None, upstream: str | None) -> bytes:
    """What became of it."""
    return b'"status": %b, "slug": %b, "location": %b, "upstream": %b' % (
        b"%d" % status if status else b"null",
        _text(slug or None),
        _text(location),
        _text(upstream),
    )


@lru_cache(maxsize=1024)
def _show_token(source: str | None, is_cached: bool, http_cache: bytes) -> bytes:
    """What opened the way, and what the HTTP cache said."""
    return b'"token_source": %b, "token_cached": %b, "http_cache": %b' % (
        _text(source),
        _WORDS[is_cached if source else None],
        _text(http_cache.decode("ascii", "replace") or None),
    )


def _show_times(
    began: float, reached: float | None, first_byte: float | None, ended: float | None
) -> bytes:
    """How long it took to each of its steps."""
    if reached is not None and first_byte is not None and ended is not None:
        passed = reached - began, first_byte - began, ended - began
        return b'"reached_s": %.6f, "first_byte_s": %.6f, "duration_s": %.6f' % passed
    known = (
        b"null" if moment is None else b"%.6f" % (moment - began)
        for moment in (reached, first_byte, ended)
    )
    return b'"reached_s": %b, "first_byte_s": %b, "duration_s": %b' % tuple(known)


# What is short is remembered: a token is longer.
_quote_client = lru_cache(maxsize=1024)(_quote)
_show_request = lru_cache(maxsize=1024)(_show_long_request)
_UNREAD: Final = b'"method": null, "target": null, "version": null'


def _show(text: bytes, max_bytes: int) -> str:
    """A text without secrets, also where they are escaped; cut, and never inside a placeholder."""
    shown = hide_secrets(text)
    if b"%" in shown:
        plain = unquote_to_bytes(shown)
        if (hidden := hide_secrets(plain)) != plain:
            shown = hidden
    return shown[:max_bytes].decode("utf-8", "backslashreplace")


def _escape(text: str) -> str:
    r"""As nginx does: ``\xHH`` for each byte that could break a line, or leave its quotes."""
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(
        lambda match: "".join(f"\\x{byte:02X}" for byte in match[0].encode("utf-8")), text
    )


def _word(value: object) -> str:
    """A value without spaces."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return _escape(str(value)).replace(" ", "")


def _server(report: Report) -> str | None:
    server = report.server
    return server.host_and_port.decode("ascii") if server is not None else None


def _moment(report: Report) -> float:
    """When what the line tells of happened, in seconds since the epoch."""
    last = report.ended or report.first_byte or report.began
    return report.time + (last - report.began)


@lru_cache(maxsize=4)
def _iso_second(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode("ascii")


@lru_cache(maxsize=4)
def _nginx_time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


BUILDERS: Final[dict[str, LineBuilder]] = {"json": build_json, "combined": build_combined}
"""By the name that the option gives them."""
