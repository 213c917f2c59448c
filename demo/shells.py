"""Shells on real ptys, reached as abcdesktop's xterm.js service is.

`POST /terminals` starts a shell and answers its process id, `POST /terminals/{id}/size` resizes
it, and the WebSocket `/terminals/{id}` carries its text, bare, both ways.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from terminado.management import MaxTerminalsReached, NamedTermManager, PtyWithClients
from terminado.websocket import TermSocket
from tornado.web import Application, HTTPError, RequestHandler

from demo.leash import hold

MAX_TERMINALS = 32
MAX_SIDE = 1000
GRACE_S = 2.0
SHELL = ["bash", "--norc"]


class Shells(NamedTermManager):
    """The shells that run, by process id."""

    def open(self, columns: int, rows: int) -> str:
        """Start a shell, and return its name.

        Raises:
            MaxTerminalsReached: Somebody asks for shells without ever closing one.
        """
        if len(self.terminals) >= MAX_TERMINALS:
            raise MaxTerminalsReached(MAX_TERMINALS)
        terminal = self.new_terminal(width=columns, height=rows)
        terminal.ptyproc.setwinsize(rows, columns)
        name = terminal.term_name = str(terminal.ptyproc.pid)
        self.terminals[name] = terminal
        self.start_reading(terminal)
        return name

    def client_disconnected(self, websocket: Any) -> None:
        """End a shell when its last viewer has gone and none comes back."""
        if websocket.terminal:
            asyncio.get_running_loop().call_later(GRACE_S, self._end_unseen, websocket.terminal)

    def _end_unseen(self, terminal: PtyWithClients) -> None:
        if not terminal.clients and terminal.term_name in self.terminals:
            terminal.killpg(signal.SIGHUP)


class ShellHandler(RequestHandler):
    """What both POST handlers share: the shells, and a size in the query."""

    def initialize(self, term_manager: Shells) -> None:
        """Take what the application hands to each of its handlers."""
        self.shells = term_manager

    def side(self, name: str, default: str) -> int:
        """Read one side of the terminal's size.

        Raises:
            HTTPError: 400, it is no number between 1 and 1000.
        """
        text = self.get_query_argument(name, default)
        if not (text.isascii() and text.isdigit() and 0 < int(text) <= MAX_SIDE):
            raise HTTPError(400, reason=f"{name} is not a size")
        return int(text)


class OpenHandler(ShellHandler):
    """`POST /terminals`."""

    def post(self) -> None:
        """Start a shell, and answer its process id."""
        try:
            name = self.shells.open(self.side("cols", "80"), self.side("rows", "24"))
        except MaxTerminalsReached:
            raise HTTPError(503, reason="too many terminals") from None
        self.set_header("Content-Type", "text/plain")
        self.write(name)


class SizeHandler(ShellHandler):
    """`POST /terminals/{id}/size`."""

    def post(self, name: str) -> None:
        """Resize a shell's terminal."""
        if name not in self.shells.terminals:
            raise HTTPError(404)
        columns, rows = self.side("cols", "80"), self.side("rows", "24")
        self.shells.terminals[name].ptyproc.setwinsize(rows, columns)


class ShellSocket(TermSocket):
    """terminado's socket speaks JSON; abcdesktop's service, and so this one, bare text."""

    term_manager: Shells

    def check_origin(self, origin: str) -> bool:
        """Leave the Origin to the router: the Host seen here is the pod's, not the page's."""
        return True

    async def get(self, name: str) -> None:
        """Refuse a name that was never opened before the handshake, not after it."""
        if name not in self.term_manager.terminals:
            raise HTTPError(404)
        await super().get(name)

    def send_json_message(self, content: Any) -> None:
        """Send what the shell writes; the other messages are terminado's own."""
        if content[0] == "stdout":
            self.write_message(content[1])

    async def on_message(self, message: str | bytes) -> None:  # type: ignore[override]
        """Type what the browser sends."""
        text = message if isinstance(message, str) else message.decode(errors="replace")
        await self.stdin_to_ptyproc(text)


async def serve(address: str, port: int, secret: str, ready: Callable[[], None]) -> None:
    """Serve shells until cancelled, then end them all."""
    shells = Shells(shell_command=SHELL)
    shared = {"term_manager": shells}
    application = Application(
        [
            (r"/terminals", OpenHandler, shared),
            (r"/terminals/(\d+)/size", SizeHandler, shared),
            (r"/terminals/(\d+)", ShellSocket, shared),
        ],
        log_function=lambda handler: None,
    )
    application.listen(port, address)
    ready()
    try:
        await asyncio.Event().wait()
    finally:
        await shells.shutdown()


if __name__ == "__main__":
    hold(serve)
