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
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from route_addon.core.credentials import redact
from route_addon.core.forwarded import ForwardedFields, TrustedProxies
from route_addon.core.messages import RequestHead
from route_addon.core.observer import Report

MAX_LINE_BYTES: Final = select.PIPE_BUF
"""What is written into a pipe in one piece (POSIX)."""
_SHOWN_BYTES: Final = 1024
_SHORT_BYTES: Final = 96
"""How much is shown of what a client says: usually, and where the line would be too long."""
_METHOD_BYTES: Final = 32
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


class Said(NamedTuple):
    """What the client said, fit to be shown."""

    client: str
    method: str | None
    target: str | None
    version: str | None
    referer: str | None
    user_agent: str | None


def build_json(report: Report, event: Event, shown: Shown) -> bytes:
    """One line of JSON."""
    line = _dump(report, event, shown, _SHOWN_BYTES)
    return line if len(line) <= MAX_LINE_BYTES else _dump(report, event, shown, _SHORT_BYTES)


def build_combined(report: Report, event: Event, shown: Shown) -> bytes:
    """One line as nginx's ``combined`` has it, then ``name=value`` pairs."""
    line = _combine(report, event, shown, _SHOWN_BYTES)
    return line if len(line) <= MAX_LINE_BYTES else _combine(report, event, shown, _SHORT_BYTES)


def _dump(report: Report, event: Event, shown: Shown, max_bytes: int) -> bytes:
    said = read_said(report, shown.proxies, max_bytes)
    facts = {"time": _iso(_moment(report)), "event": event, **said._asdict()}
    facts |= _facts(report)
    if shown.target:
        facts["server"] = _server(report)
    # json leaves DEL as it is.
    return json.dumps(facts).replace("\x7f", "\\u007f").encode("ascii") + b"\n"


def _combine(report: Report, event: Event, shown: Shown, max_bytes: int) -> bytes:
    said = read_said(report, shown.proxies, max_bytes)
    request = " ".join((said.method or "-", said.target or "-", said.version or "-"))
    quoted = [f'"{_escape(text or "-")}"' for text in (request, said.referer, said.user_agent)]
    facts = {"event": event, **_facts(report)}
    status, sent = facts.pop("status"), facts.pop("sent_bytes")
    if shown.target:
        facts["server"] = _server(report)
    pairs = [f"{name}={_word(value)}" for name, value in facts.items()]
    stamp = _nginx_time(int(_moment(report)))
    first = f"{said.client} - - [{stamp}] {quoted[0]} {status or 0:03} {sent}"
    return " ".join((first, *quoted[1:], *pairs)).encode("ascii") + b"\n"


def _facts(report: Report) -> dict[str, object]:
    """What we know of a request, besides what the client said."""
    location, forward, began = report.location, report.forward, report.began
    tunnel = report.tunnel
    return {
        "status": report.status or None,
        "slug": report.slug or None,
        "location": location.location if location is not None else None,
        "upstream": forward.upstream if forward is not None else None,
        "request_id": report.request_id.decode("ascii", "replace"),
        "token_source": report.token_source,
        "token_cached": report.is_token_cached if report.token_source else None,
        "http_cache": report.http_cache.decode("ascii", "replace") or None,
        "received_bytes": tunnel.client_bytes if tunnel else report.received_bytes,
        "sent_bytes": tunnel.upstream_bytes if tunnel else report.sent_bytes,
        "cut": report.is_cut,
        "reached_s": _since(began, report.reached),
        "first_byte_s": _since(began, report.first_byte),
        "duration_s": _since(began, report.ended),
    }


def read_said(report: Report, proxies: TrustedProxies, max_bytes: int) -> Said:
    """What the client said: without tokens, and cut.

    Args:
        report: The request's.
        proxies: Whose word on the client's address counts.
        max_bytes: How much of one text is shown.
    """
    head = report.head
    fields = _find_fields(head)
    chain = tuple(fields.get(b"x-forwarded-for", ()))
    client = proxies.resolve(head.peer, b"", ForwardedFields(chain=chain)).client
    if report.decision is None:
        # It could not be read: what the head says is ours.
        return Said(client, None, None, None, None, None)
    return Said(
        client,
        head.method[:_METHOD_BYTES].decode("ascii", "backslashreplace"),
        _show(head.target, max_bytes),
        head.version.decode("ascii"),
        *(
            _show(fields[name][0], max_bytes) if name in fields else None
            for name in (b"referer", b"user-agent")
        ),
    )


def _find_fields(head: RequestHead) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in head.fields:
        lower = name.lower()
        if lower in _SHOWN_FIELDS:
            found.setdefault(lower, []).append(value)
    return found


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


def _since(began: float, moment: float | None) -> float | None:
    return None if moment is None else round(moment - began, 6)


def _iso(moment: float) -> str:
    return f"{_iso_second(int(moment))}.{int(moment % 1 * 1000):03}Z"


@lru_cache(maxsize=4)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=4)
def _nginx_time(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")


BUILDERS: Final[dict[str, LineBuilder]] = {"json": build_json, "combined": build_combined}
"""By the name that the option gives them."""
