"""The lines of the access log: JSON, or nginx's combined format with a few words behind it.

A line is ASCII without control bytes, whatever a client sends; it holds no token; and it is short
enough for one write into a pipe, so that the lines of several workers never mix.
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

from route_addon.core.credentials import redact
from route_addon.core.fields import Spellings
from route_addon.core.forwarded import ForwardedFields, TrustedProxies
from route_addon.core.messages import Forward, RequestHead
from route_addon.core.observer import Report

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

    proxies: TrustedProxies
    """Whose word on the client's address counts."""
    target: bool = False
    """Whether to tell the server that a request was sent to, which may be a user's pod."""


_SAID: Final = ("client", "method", "target", "version", "referer", "user_agent")
"""What the client said."""
_WORDS: Final = {True: "true", False: "false", None: "null"}


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


def _dump(report: Report, event: Event, shown: Shown, max_bytes: int) -> bytes:
    """All facts, in one template of parts that are remembered: every request pays for this."""
    head, decision, tunnel, began = report.head, report.decision, report.tunnel, report.began
    request_id = report.request_id.decode("ascii", "replace")
    client, referer, user_agent = _find_said(head, shown.proxies)
    address = _quote_client(client)
    source = upstream = location = None
    if decision is not None and decision.location is not None:
        location = decision.location.location
    if isinstance(decision, Forward):
        upstream, source = decision.upstream, decision.token_source
    if decision is None:
        # It could not be read: what the head says is ours.
        request, fields = _UNREAD
    else:
        show = _show_request if len(head.target) <= _REMEMBERED_BYTES else _show_long_request
        request = show(head.method, head.target, head.version, max_bytes)
        is_short = len(referer or b"") + len(user_agent or b"") <= _REMEMBERED_BYTES
        fields = (_show_fields if is_short else _show_long_fields)(referer, user_agent, max_bytes)
    line = (
        f'{{"time": "{_iso(_moment(report))}", "event": "{event}", "client": {address}, '
        f"{request}, {fields}, "
        f"{_show_outcome(report.status, report.slug, location, upstream)}, "
        f'"request_id": {encode_basestring_ascii(request_id)}, '
        f"{_show_token(source, report.is_token_cached)}, "
        f'"http_cache": {_text(report.http_cache.decode("ascii", "replace") or None)}, '
        f'"received_bytes": {tunnel.client_bytes if tunnel else report.received_bytes}, '
        f'"sent_bytes": {tunnel.upstream_bytes if tunnel else report.sent_bytes}, '
        f'"cut": {_WORDS[report.is_cut]}, "reached_s": {_since(began, report.reached)}, '
        f'"first_byte_s": {_since(began, report.first_byte)}, '
        f'"duration_s": {_since(began, report.ended)}'
    )
    if shown.target:
        line += f', "server": {_text(_server(report))}'
    return (line + "}\n").encode("ascii")


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


def _quote(text: str) -> str:
    # JSON leaves DEL as it is.
    return encode_basestring_ascii(text).replace("\x7f", "\\u007f")


def _text(text: str | None) -> str:
    return "null" if text is None else _quote(text)


def _find_said(
    head: RequestHead, proxies: TrustedProxies
) -> tuple[str, bytes | None, bytes | None]:
    """The client's address, and the first Referer and User-Agent.

    Args:
        head: The request's head.
        proxies: Whose word on the client's address counts.
    """
    referer: bytes | None = None
    user_agent: bytes | None = None
    chain: list[bytes] = []
    for name, value in head.fields:
        if shown := _shown_fields[name]:
            if shown == b"x-forwarded-for":
                chain.append(value)
            elif shown == b"referer":
                referer = value if referer is None else referer
            elif user_agent is None:
                user_agent = value
    if not chain:
        return head.peer.address, referer, user_agent
    said = ForwardedFields(chain=tuple(chain))
    return proxies.resolve(head.peer, b"", said).client, referer, user_agent


def _show_long_request(method: bytes, target: bytes, version: bytes, max_bytes: int) -> str:
    """What a request's first line says."""
    shown_method = method[:_METHOD_BYTES].decode("ascii", "backslashreplace")
    return (
        f'"method": {_quote(shown_method)}, "target": {_quote(_show(target, max_bytes))}, '
        f'"version": {_quote(version.decode("ascii"))}'
    )


def _show_long_fields(referer: bytes | None, user_agent: bytes | None, max_bytes: int) -> str:
    """What its fields say."""
    shown = (None if one is None else _show(one, max_bytes) for one in (referer, user_agent))
    return '"referer": {}, "user_agent": {}'.format(*map(_text, shown))


@lru_cache(maxsize=1024)
def _show_outcome(status: int, slug: str, location: str | None, upstream: str | None) -> str:
    """What became of it."""
    return (
        f'"status": {status or "null"}, "slug": {_text(slug or None)}, '
        f'"location": {_text(location)}, "upstream": {_text(upstream)}'
    )


@lru_cache(maxsize=16)
def _show_token(source: str | None, is_cached: bool) -> str:
    """What opened the way."""
    cached = _WORDS[is_cached if source else None]
    return f'"token_source": {_text(source)}, "token_cached": {cached}'


# What is short is remembered: a token is longer.
_quote_client = lru_cache(maxsize=1024)(_quote)
_show_request = lru_cache(maxsize=1024)(_show_long_request)
_show_fields = lru_cache(maxsize=1024)(_show_long_fields)
_UNREAD: Final = (
    '"method": null, "target": null, "version": null',
    '"referer": null, "user_agent": null',
)


def _show(text: bytes, max_bytes: int) -> str:
    """A text without tokens, also where they are escaped; cut, and never inside a placeholder."""
    shown = redact(text)
    if b"%" in shown:
        plain = unquote_to_bytes(shown)
        if redact(plain) != plain:
            shown = redact(plain)
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


def _since(began: float, moment: float | None) -> str:
    return "null" if moment is None else f"{moment - began:.6f}"


def _iso(moment: float) -> str:
    second = int(moment)
    return f"{_iso_second(second)}.{int((moment - second) * 1000):03}Z"


@lru_cache(maxsize=4)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=4)
def _nginx_time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


BUILDERS: Final[dict[str, LineBuilder]] = {"json": build_json, "combined": build_combined}
"""By the name that the option gives them."""
