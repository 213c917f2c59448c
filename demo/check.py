"""Walks every location with an HTTP or a WebSocket client, with good tokens and with bad ones."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from demo.pods import Pod
from demo.pyos import EXPIRED, OTHER_KEY, Issuer
from demo.tour import STAND_IN_TERMINAL, TOUR, Stop

ANSWER_WITHIN_S = 10.0
SWITCHED = 101
NO_ANSWER = 599  # Tornado's status for an answer that did not come
ECHO = "is anybody there?"


@dataclass(frozen=True)
class Visitor:
    """Somebody with a token, good for one pod or for none."""

    name: str
    token: str | None
    pod: Pod | None = None


@dataclass(frozen=True)
class Answer:
    """A status, and a body or a WebSocket's first message."""

    status: int
    text: str = ""

    def received(self) -> dict[str, object]:
        """What an echo service says that it has received; empty when another one answers."""
        try:
            value = json.loads(self.text)
        except ValueError:
            return {}
        return value if isinstance(value, dict) and "service" in value else {}


def visitors(issuer: Issuer, pods: Sequence[Pod]) -> list[Visitor]:
    """Make one visitor for each pod, and those who are to be refused."""
    somewhere = pods[0].address
    return [
        *(
            Visitor(f"user {number}", issuer.mint(pod.address), pod)
            for number, pod in enumerate(pods, 1)
        ),
        Visitor("no token", None),
        Visitor("expired", issuer.mint(somewhere, EXPIRED)),
        Visitor("other key", issuer.mint(somewhere, OTHER_KEY)),
    ]


async def check(url: str, issuer: Issuer, pods: Sequence[Pod]) -> bool:
    """Walk the tour, print a table, and say whether everything was as it has to be."""
    everybody = visitors(issuer, pods)
    faults: list[str] = []
    print(_row("location", [visitor.name for visitor in everybody]))
    terminals = dict.fromkeys(everybody, STAND_IN_TERMINAL)
    for stop in TOUR:
        cells = []
        for visitor in everybody if stop.is_guarded else everybody[:1]:
            before = _requests(pods)
            answer = await ask(url, stop, visitor.token, terminals[visitor])
            found = list(find_faults(stop, visitor, answer, _requests(pods) - before))
            faults += [f"{stop.location}, {visitor.name}: {fault}" for fault in found]
            cells.append(f"{answer.status} {'WRONG' if found else 'ok'}")
            if stop.path == "/terminals" and answer.text.isdigit():
                terminals[visitor] = answer.text
        print(_row(stop.location, cells), flush=True)
    print("", *(faults or ["Everything is as it has to be."]), sep="\n")
    return not faults


async def ask(url: str, stop: Stop, token: str | None, terminal: str = STAND_IN_TERMINAL) -> Answer:
    """Ask for one stop of the tour.

    Returns:
        The answer; status 0 stands for none, and the text says why.
    """
    request = HTTPRequest(
        url + stop.target(token, terminal),
        method="GET" if stop.websocket else stop.method,
        body=b"{}" if stop.method == "POST" else None,
        headers=dict(stop.fields(token)),
        request_timeout=ANSWER_WITHIN_S,
        follow_redirects=False,
    )
    try:
        return await (_converse(request) if stop.websocket else _fetch(request))
    except (HTTPClientError, OSError, TimeoutError) as error:
        status = error.code if isinstance(error, HTTPClientError) else 0
        return Answer(0 if status == NO_ANSWER else status, str(error))


async def _fetch(request: HTTPRequest) -> Answer:
    response = await AsyncHTTPClient().fetch(request, raise_error=False)
    return Answer(response.code, response.body.decode(errors="replace"))


async def _converse(request: HTTPRequest) -> Answer:
    """Open a WebSocket, take what it says first, and where it is an echo, hear it."""
    request.url = request.url.replace("http", "ws", 1)
    async with asyncio.timeout(ANSWER_WITHIN_S):
        socket = await websocket_connect(request)
        try:
            answer = Answer(SWITCHED, _text(await socket.read_message()))
            if answer.received():
                await socket.write_message(ECHO)
                if _text(await socket.read_message()) != ECHO:
                    return Answer(SWITCHED, "no echo")
            return answer
        finally:
            socket.close()


def find_faults(stop: Stop, visitor: Visitor, answer: Answer, reached: int) -> Iterator[str]:
    """Say what is not as it has to be, in words.

    The real terminal and desktop do not say what they received, nor do they count.
    """
    is_let_in = not stop.is_guarded or visitor.pod is not None
    status = (SWITCHED if stop.websocket else 200) if is_let_in else 401
    if answer.status != status:
        yield f"status {answer.status} and not {status}: {answer.text[:200]}"
    if not is_let_in and reached:
        yield "a refused request has reached a pod"
    if answer.status == SWITCHED and not answer.text:
        yield "the WebSocket said nothing"
    if is_let_in and (received := answer.received()):
        wanted = {
            "service": stop.service,
            "pod": visitor.pod.address if visitor.pod and stop.is_guarded else None,
            "path": stop.seen,
        }
        for member, value in wanted.items():
            if received[member] != value:
                yield f"{member} {received[member]} and not {value}"


def _requests(pods: Sequence[Pod]) -> int:
    return sum(pod.requests for pod in pods)


def _text(message: str | bytes | None) -> str:
    return message.decode("latin-1") if isinstance(message, bytes) else message or ""


def _row(first: str, cells: Sequence[str]) -> str:
    return f"{first:<34}" + "".join(f"{cell:<12}" for cell in cells)
