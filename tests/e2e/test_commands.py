"""The commands, as mitmproxy calls them."""

import re
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.backend import Backend
from tests.e2e.harness import Command, Fleet, Router, build_request

FRESH = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 1\r\n\r\nx"


@pytest.fixture(scope="module")
def second() -> Iterator[Backend]:
    """Another server of the website's."""
    with Backend("127.0.0.1", 0, "second") as backend:
        yield backend


@pytest.fixture(scope="module")
def router(
    shared_fleet: Fleet, key_options: Mapping[str, str], second: Backend
) -> Iterator[Router]:
    """A relay with a pool of two; a service would have no commands."""
    servers = f"{shared_fleet.website.url},{second.url};weight=2;backup"
    options = {**shared_fleet.options, **key_options, "route_website": servers}
    with Router(Command({**options, "flow_detail": 0}), has_remote=True) as relay:
        yield relay


def call(router: Router, *words: str) -> str:
    """What a command returns, a line for each of a sequence."""
    return router.run_inside(
        f"""
        answer = ctx.master.commands.call_strings({words[0]!r}, {words[1:]!r})
        result = answer if isinstance(answer, str) else "\\n".join(answer)
        """
    )


def test_upstreams(router: Router, fleet: Fleet, second: Backend) -> None:
    """A line for each pool and each server."""
    router.ask(build_request(b"/x"))
    first, one, two = call(router, "route.upstreams").splitlines()
    assert first == "website: round_robin, 0 waiting, 0 turned away"
    assert one.startswith(f"  {fleet.website.url}: up, weight 1, 0 active, ")
    assert two == f"  {second.url}: up, weight 2, backup, 0 active, 0 requests, 0 failed"


def test_cache_and_purge(router: Router, fleet: Fleet) -> None:
    """What is stored, is found, and is forgotten."""
    fleet.website.play(FRESH)
    for path in (b"/a/b", b"/a/c", b"/d", b"/d"):
        router.ask(build_request(path))
    answers = call(router, "route.cache").splitlines()[1]
    assert answers.startswith("answers: 3, ")
    told = re.search("; 1 hits, ([0-9]+) misses \\(([0-9.]+) % hits\\), 3 stored, ", answers)
    assert told is not None, answers
    assert float(told[2]) == round(100 / (1 + int(told[1])), 1)
    assert call(router, "route.cache.purge", "/a") == "2 answers forgotten"
    assert call(router, "route.cache.purge") == "1 answers forgotten"
    assert "must be a path" in call(router, "route.cache.purge", "a")
