"""The smallest reverse proxy that joins the HTTP cache's policy and store: what the suite runs on.

    python -m tests.conformance.cache_driver PORT ORIGIN_PORT [HEURISTIC_FRACTION]

Everything that is not the cache is as plain as can be: a connection to the origin for each request,
bodies collected, no limits. What the relay must do with the verdicts is all in ``Proxy._answer``.
"""

import asyncio
import contextlib
import sys
import time

from route_addon.carry.http1 import AnswerReader, RawAnswer, RawRequest, RequestReader
from route_addon.carry.http1_content import content_reader
from route_addon.carry.http1_writer import build_answer_head, build_request_head
from route_addon.carry.store import Store
from route_addon.core.answers import answer_fields
from route_addon.core.errors import RouteError
from route_addon.core.framing import UNTIL_END
from route_addon.core.httpcache import (
    Amend,
    Asked,
    DontStore,
    Freshen,
    Invalidate,
    Refuse,
    Use,
    judge_answer,
    judge_failure,
    judge_request,
)
from route_addon.core.httpcache import Store as StoreIt
from route_addon.core.httpcache_request import CacheRequest, describe_request
from route_addon.core.httpcache_stored import DEFAULT_POLICY, Policy
from route_addon.core.messages import Fields, Forward, Peer, RequestHead, Server
from tests.core.heads import make_router

type Answered = tuple[int, bytes, Fields, int | None, bytes]
"""Status, reason, fields as an upstream would send them, Content-Length, content."""

_BAD_GATEWAY: Answered = (502, b"Bad Gateway", (), 11, b"Bad Gateway")


class Proxy:
    """Serves clients from the store and one origin.

    Args:
        origin: Where all requests go.
        policy: What an operator may choose.
    """

    def __init__(self, origin: Server, policy: Policy = DEFAULT_POLICY) -> None:
        self._policy = policy
        self.store = Store(64 * 2**20, 2**20)
        self._router = make_router(upstreams={name: (origin,) for name in _UPSTREAMS})
        self._refreshing: set[asyncio.Task[Answered]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client."""
        requests, data = RequestReader(), b""
        with contextlib.suppress(ConnectionError, RouteError):
            while True:
                read = requests.read(data)
                while read is None:
                    if not (data := await reader.read(65536)):
                        break
                    read = requests.read(data)
                else:
                    request, data = read
                    body, data = await _read_content(reader, request.length, data)
                    writer.write(await self._respond(request, body))
                    continue
                break
        writer.close()

    async def _respond(self, request: RawRequest, body: bytes) -> bytes:
        peer = Peer("203.0.113.7", b"http", 8080)
        head = RequestHead(*request[:3], None, request.fields, len(body), peer, b"driver")
        forward = self._router.decide(head, time.time())
        if not isinstance(forward, Forward):
            return build_answer_head(404, (), 0)
        status, reason, fields, length, content = await self._answer(forward, body)
        fields = answer_fields(status, fields, forward)
        if request.method == b"HEAD":
            content = b""
        return build_answer_head(status, fields, length, None, reason) + content

    async def _answer(self, forward: Forward, body: bytes) -> Answered:
        now = time.time()
        request = describe_request(forward, len(body), now)
        if request is None:
            answer, content = await self._ask(forward, forward.fields, body)
            return _passed_on(answer, content)
        verdict = judge_request(request, self.store.find(request.key), now)
        if isinstance(verdict, Refuse):
            return 504, b"Gateway Timeout", (), 0, b""
        if not isinstance(verdict, Use):
            return await self._fetch(forward, body, request, verdict)
        if verdict.refresh is not None:
            asked = self._fetch(forward, body, request, verdict.refresh)
            self._refreshing.add(task := asyncio.create_task(asked))
            task.add_done_callback(self._refreshing.discard)
        return self._used(verdict)

    async def _fetch(
        self, forward: Forward, body: bytes, request: CacheRequest, asked: Asked
    ) -> Answered:
        fields = forward.fields if asked.fields is None else asked.fields
        filling = self.store.begin(request.key)
        try:
            answer, content = await self._ask(forward, fields, body)
            verdict = judge_answer(request, asked, *answer[1:4], time.time(), self._policy)
            # What ends with its connection may have been cut: nobody can tell.
            if isinstance(verdict, StoreIt) and answer.length != UNTIL_END:
                filling.start(verdict.stored, answer.content_length)
                filling.write([content])
                filling.commit()
        except (OSError, RouteError):
            use = judge_failure(request, asked, time.time(), self._policy)
            return _BAD_GATEWAY if use is None else self._used(use)
        finally:
            filling.abandon()
        match verdict:
            case Freshen(old, new, use):
                self.store.replace(old, new)
                return self._used(use)
            case Use():
                return self._used(verdict)
            case Amend(old, new):
                self.store.replace(old, new)
            case Invalidate(targets):
                for target in targets:
                    self.store.invalidate(forward.upstream, target)
            case StoreIt() | DontStore():
                pass
        status, reason, sent, length, content = _passed_on(answer, content)
        said = (b"Cache-Status", verdict.cache_status)
        return status, reason, (*sent, said), length, content

    def _used(self, use: Use) -> Answered:
        self.store.touch(use.stored)
        part = use.part
        return part.status, part.reason, part.fields, part.length, b"".join(use.pieces)

    async def _ask(self, forward: Forward, fields: Fields, body: bytes) -> tuple[RawAnswer, bytes]:
        server = forward.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        try:
            head = build_request_head(
                forward.method, forward.path, forward.host, fields, len(body), b"close"
            )
            writer.write(head + body)
            answers = AnswerReader()
            while True:
                if not (data := await reader.read(65536)):
                    raise ConnectionResetError
                read = answers.read(data, forward.method)
                if read is not None:
                    break
            answer, data = read
            content, _ = await _read_content(reader, answer.length, data)
            return answer, content
        finally:
            writer.close()


def _passed_on(answer: RawAnswer, content: bytes) -> Answered:
    length = answer.content_length if answer.content_length is not None else len(content)
    bodiless = answer.status in (204, 304)
    return answer.status, answer.reason, answer.fields, None if bodiless else length, content


async def _read_content(
    reader: asyncio.StreamReader, length: int, data: bytes
) -> tuple[bytes, bytes]:
    """The content, and what stands behind it."""
    if length == 0:
        return b"", data
    content, pieces = content_reader(length), []
    while True:
        found, rest = content.read(data)
        pieces += found
        if rest is not None:
            return b"".join(pieces), rest
        if not (data := await reader.read(65536)):
            if content.ends_with_connection:
                return b"".join(pieces), b""
            raise ConnectionResetError


_UPSTREAMS = ("website", "pyos", "console", "speedtest")


async def main(port: int, origin_port: int, heuristic_fraction: float = 0.0) -> None:
    """Serve until stopped."""
    policy = Policy(heuristic_fraction=heuristic_fraction)
    proxy = Proxy(Server(b"http", "127.0.0.1", origin_port), policy)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:])))
