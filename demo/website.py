"""The website: one page that shows every location, live, and the pages it opens; on two servers."""

import time
from collections.abc import Mapping
from pathlib import Path

from tornado.web import Application, RequestHandler, StaticFileHandler

from demo import tour
from demo.listen import Listener, listen

HERE = Path(__file__).parent
FRESH_S = 10
"""How long the router's cache keeps the news."""


class Page(StaticFileHandler):
    """A file that is asked for anew each time, as one that is being worked on should be."""

    def set_extra_headers(self, path: str) -> None:
        """Let the browser keep it, but ask before it uses it."""
        self.set_header("Cache-Control", "no-cache")


class Tour(RequestHandler):
    """`GET /demo/tour.json`."""

    def get(self) -> None:
        """Answer the tour."""
        self.set_header("Content-Type", "application/json")
        self.finish(tour.as_json())


class Name(RequestHandler):
    """`GET /demo/name`: who answers."""

    def initialize(self, name: str) -> None:
        """Take the server's name."""
        self._name = name

    def get(self) -> None:
        """Answer the name, which no cache keeps."""
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain")
        self.finish(self._name)


class News(Name):
    """`GET /demo/news`: something that the router's cache may keep, and the browser's may not."""

    def get(self) -> None:
        """Answer who made it, and when; its entity tag changes with the minute."""
        self.set_header("Cache-Control", f"max-age=0, s-maxage={FRESH_S}")
        self.set_header("ETag", f'"{int(time.time() // 60)}"')
        self.finish({"server": self._name, "made": time.strftime("%H:%M:%S")})


def application(name: str = "a") -> Application:
    """Build one server of the website."""
    pages = {"path": HERE / "website", "default_filename": "index.html"}
    return Application(
        [
            (r"/demo/tour\.json", Tour),
            (r"/demo/name", Name, {"name": name}),
            (r"/demo/news", News, {"name": name}),
            (r"/demo/npm/(.*)", StaticFileHandler, {"path": HERE / "node_modules"}),
            (r"/(?:demo/)?(.*)", Page, pages),
        ],
    )


class Website:
    """Its servers: all alike but for their names; each can be stopped, and started again.

    Args:
        names: Their names.
    """

    def __init__(self, *names: str) -> None:
        self._listeners: dict[str, Listener | None] = {
            name: listen(application(name), "127.0.0.1") for name in names
        }
        self.urls = [one.url for one in self._listeners.values() if one is not None]
        self._ports = {name: one.port for name, one in self._listeners.items() if one is not None}

    @property
    def running(self) -> Mapping[str, bool]:
        """Which of them run."""
        return {name: listener is not None for name, listener in self._listeners.items()}

    def start(self, name: str) -> None:
        """Start one, on the port that it had.

        Raises:
            KeyError: There is none of this name.
            CannotListenError: The port is taken meanwhile.
        """
        if self._listeners[name] is None:
            self._listeners[name] = listen(application(name), "127.0.0.1", self._ports[name])

    async def stop(self, name: str) -> None:
        """Stop one.

        Raises:
            KeyError: There is none of this name.
        """
        listener, self._listeners[name] = self._listeners[name], None
        if listener is not None:
            await listener.stop()

    async def close(self) -> None:
        """Stop all of them."""
        for name in self._listeners:
            await self.stop(name)
