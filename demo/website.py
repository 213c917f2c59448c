"""The website: one page that shows every location, live, and the pages it opens."""

from pathlib import Path

from tornado.web import Application, RequestHandler, StaticFileHandler

from demo import tour

HERE = Path(__file__).parent


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


def application() -> Application:
    """Build the website."""
    pages = {"path": HERE / "website", "default_filename": "index.html"}
    return Application(
        [
            (r"/demo/tour\.json", Tour),
            (r"/demo/npm/(.*)", StaticFileHandler, {"path": HERE / "node_modules"}),
            (r"/(?:demo/)?(.*)", Page, pages),
        ],
    )
