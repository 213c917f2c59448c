"""Requests and answers of flows, made without a look at the type of each of their values.

mitmproxy takes that look whenever it makes one, and it takes longer than all the rest. What is
made here is made of values whose types are certain.
"""

from mitmproxy import http


def make_request(
    *,
    host: str,
    port: int,
    method: bytes,
    scheme: bytes,
    authority: bytes,
    path: bytes,
    http_version: bytes,
    headers: http.Headers,
    content: bytes | None,
    trailers: http.Headers | None,
    timestamp_start: float,
    timestamp_end: float | None,
) -> http.Request:
    """A request as ``http.Request`` makes it."""
    values = locals()
    request = object.__new__(http.Request)
    request.data = object.__new__(http.RequestData)
    vars(request.data).update(values)
    return request


def make_response(
    *,
    http_version: bytes,
    status_code: int,
    reason: bytes,
    headers: http.Headers,
    content: bytes | None,
    trailers: http.Headers | None,
    timestamp_start: float,
    timestamp_end: float | None,
) -> http.Response:
    """An answer as ``http.Response`` makes it."""
    values = locals()
    response = object.__new__(http.Response)
    response.data = object.__new__(http.ResponseData)
    vars(response.data).update(values)
    return response
