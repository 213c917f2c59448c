"""A script for ``-s``, beside the router's: it notes every hook, and does what a request asks for.

A request asks by its query: ``?probe=request:kill`` kills the flow in ``request``. What was noted
is a file of JSON lines, whose path is the environment variable ``PROBE_NOTES``.
"""

import json
import os
from pathlib import Path
from typing import Any

from mitmproxy import ctx, http

_NOTES = Path(os.environ["PROBE_NOTES"])


def _note(hook: str, flow: http.HTTPFlow, **more: Any) -> None:
    response, error = flow.response, flow.error
    content = flow.request.raw_content
    entry = {
        "hook": hook,
        "path": flow.request.path,
        "live": flow.live,
        "content": None if content is None else len(content),
        "status": response.status_code if response is not None else None,
        "error": error.msg if error is not None else None,
        **more,
    }
    with _NOTES.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def _act(hook: str, flow: http.HTTPFlow) -> None:
    wanted = str(flow.request.query.get("probe", ""))
    when, _, deed = wanted.partition(":")
    if when != hook:
        return
    data = flow.request.data
    if deed == "kill":
        flow.kill()  # type: ignore[no-untyped-call]
    elif deed == "answer":
        flow.response = http.Response.make(418, b"from the probe", {"X-Probe": "yes"})
    elif deed == "raise":
        raise ValueError("the probe fails")
    elif deed == "field":
        flow.request.headers["X-Probe"] = "yes"
    elif deed == "split":
        flow.request.headers["X-Probe"] = "yes\r\nX-Split: yes"
    elif deed == "forget":
        del flow.request.headers["ABCAuthorization"]
    elif deed == "remember":
        flow.request.headers["ABCAuthorization"] = os.environ["PROBE_TOKEN"]
    elif deed == "elsewhere":
        data.path = b"/API/elsewhere"
    elif deed == "url":
        flow.request.url = "http://desk.example/API/elsewhere"
    elif deed == "host":
        data.host, data.port = "127.0.0.1", 9
    elif deed == "delete":
        flow.request.method = "DELETE"
    elif deed == "head":
        flow.request.method = "HEAD"
    elif deed == "body":
        flow.request.raw_content = b"from the probe, and longer"
    elif deed == "no-body":
        flow.request.raw_content = b""
    elif deed == "unstamp":
        guard: Any = ctx.master.addons.lookup["route_guard"]
        guard._stamps.pop(flow, None)
    elif flow.response is not None:
        _act_on_answer(deed, flow.response)


def _act_on_answer(deed: str, response: http.Response) -> None:
    if deed == "status":
        response.status_code = 418
    elif deed == "no-content":
        response.status_code = 204
    elif deed == "field-back":
        response.headers["X-Probe"] = "yes"
    elif deed == "split-back":
        response.headers["X-Probe"] = "yes\r\nX-Split: yes"
    elif deed == "body-back":
        response.raw_content = b"from the probe, and longer"


def requestheaders(flow: http.HTTPFlow) -> None:
    """Note, and act."""
    _note("requestheaders", flow)
    _act("requestheaders", flow)


def request(flow: http.HTTPFlow) -> None:
    """Note, and act."""
    _note("request", flow)
    _act("request", flow)


def responseheaders(flow: http.HTTPFlow) -> None:
    """Note, and act."""
    _note("responseheaders", flow)
    _act("responseheaders", flow)


def response(flow: http.HTTPFlow) -> None:
    """Note, and act."""
    assert flow.response is not None
    content = flow.response.raw_content
    _note("response", flow, answer=None if content is None else len(content))
    _act("response", flow)


def error(flow: http.HTTPFlow) -> None:
    """Note."""
    _note("error", flow)


def websocket_start(flow: http.HTTPFlow) -> None:
    """Note."""
    _note("websocket_start", flow)


def websocket_message(flow: http.HTTPFlow) -> None:
    """Note the newest message."""
    assert flow.websocket is not None
    message = flow.websocket.messages[-1]
    _note(
        "websocket_message",
        flow,
        from_client=message.from_client,
        is_text=message.is_text,
        bytes=len(message.content),
        kept=len(flow.websocket.messages),
    )
    _act("websocket_message", flow)


def websocket_end(flow: http.HTTPFlow) -> None:
    """Note how it ended."""
    assert flow.websocket is not None
    _note(
        "websocket_end",
        flow,
        code=flow.websocket.close_code,
        by_client=flow.websocket.closed_by_client,
        comment=flow.comment,
        route=flow.metadata.get("route"),
    )
