"""The tour passes every location, and the check notices what is wrong."""

import json
from collections.abc import AsyncIterator

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

from demo import tour, website
from demo.check import SWITCHED, Answer, Visitor, find_faults
from demo.listen import listen
from demo.pods import Pod
from demo.tour import TOUR, Stop
from route_addon.core.table import ROWS

POD = Pod("127.0.0.11")
USER = Visitor("user 1", "a.b.c", POD)
STRANGER = Visitor("expired", "a.b.c")
SOUND = next(stop for stop in TOUR if stop.location == "/sound")
FILER = next(stop for stop in TOUR if stop.location == "/filer")
API = next(stop for stop in TOUR if stop.location == "/status")


def test_tour_passes_every_location() -> None:
    """A location that is added to the table needs a stop here."""
    assert sorted(stop.location for stop in TOUR) == sorted(row.location for row in ROWS)


def test_tour_knows_what_takes_a_token() -> None:
    """As the table says."""
    guarded = {row.location for row in ROWS if row.token}
    assert {stop.location for stop in TOUR if stop.is_guarded} == guarded


@pytest.mark.parametrize(
    ("path", "token", "target"),
    [
        ("/x?v=1", "T", "/x?v=1"),
        ("/x?v=1", None, "/x?v=1"),
        ("/x?{token}", "T", "/x?T"),
        ("/x?{token}", None, "/x"),
        ("/x?room=1&jwt_token={token}", "T", "/x?room=1&jwt_token=T"),
        ("/x?room=1&jwt_token={token}", None, "/x"),
        ("/x/{token}/y?z", "T", "/x/T/y?z"),
        ("/x/{token}/y?z", None, "/x/-/y?z"),
        ("/t/{id}?{token}", "T", "/t/7?T"),
    ],
)
def test_target_with_and_without_a_token(path: str, token: str | None, target: str) -> None:
    """A missing token takes its query along; its segment stays."""
    assert Stop("/x", "x", path).target(token, "7") == target


@pytest.mark.parametrize(
    ("path", "sent", "seen"),
    [("/x?v", None, "/x?v"), ("/x?{token}", "/", "/"), ("/t/{id}?{token}", "/t/{id}", "/t/1")],
)
def test_seen_is_what_was_sent_on(path: str, sent: str | None, seen: str) -> None:
    """As it came, or as the table says."""
    assert Stop("/x", "x", path, sent).seen == seen


def answer(stop: Stop, **other: object) -> Answer:
    """What an echo service behind a stop answers."""
    received = {"service": stop.service, "pod": POD.address, "path": stop.seen} | other
    return Answer(SWITCHED if stop.websocket else 200, json.dumps(received))


@pytest.mark.parametrize(
    ("stop", "visitor", "got", "reached"),
    [
        pytest.param(SOUND, USER, answer(SOUND), 1, id="a WebSocket opens"),
        pytest.param(FILER, USER, answer(FILER), 1, id="a request is answered"),
        pytest.param(FILER, STRANGER, Answer(401), 0, id="a bad token is refused"),
        pytest.param(API, USER, answer(API, pod=None), 0, id="no token is needed"),
        pytest.param(SOUND, USER, Answer(SWITCHED, "RFB 003.008\n"), 0, id="a real program"),
    ],
)
def test_check_passes_what_is_right(
    stop: Stop, visitor: Visitor, got: Answer, reached: int
) -> None:
    """No fault is found."""
    assert list(find_faults(stop, visitor, got, reached)) == []


@pytest.mark.parametrize(
    ("stop", "visitor", "got", "reached", "fault"),
    [
        pytest.param(
            SOUND,
            USER,
            answer(SOUND, pod="127.0.0.12"),
            1,
            "pod 127.0.0.12 and not 127.0.0.11",
            id="another user's pod",
        ),
        pytest.param(
            SOUND, USER, answer(SOUND, path="/?T"), 1, "path /?T and not /", id="a token is sent on"
        ),
        pytest.param(
            FILER,
            USER,
            answer(FILER, service="xterm"),
            1,
            "service xterm and not file_service",
            id="another service",
        ),
        pytest.param(
            FILER, STRANGER, Answer(200), 0, "status 200 and not 401: ", id="a bad token is taken"
        ),
        pytest.param(
            FILER,
            STRANGER,
            Answer(401),
            1,
            "a refused request has reached a pod",
            id="refused too late",
        ),
        pytest.param(
            FILER, USER, Answer(502, "no"), 0, "status 502 and not 200: no", id="no upstream"
        ),
        pytest.param(
            SOUND, USER, Answer(SWITCHED), 1, "the WebSocket said nothing", id="a silent WebSocket"
        ),
        pytest.param(
            SOUND,
            USER,
            Answer(0, "timed out"),
            0,
            "status 0 and not 101: timed out",
            id="no answer",
        ),
    ],
)
def test_check_notices(stop: Stop, visitor: Visitor, got: Answer, reached: int, fault: str) -> None:
    """Each fault is found, in words."""
    assert list(find_faults(stop, visitor, got, reached)) == [fault]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The root of a website that listens."""
    listener = listen(website.application(), "127.0.0.1")
    yield listener.url
    await listener.stop()


async def test_website_serves_its_page_and_what_that_names(url: str) -> None:
    """Nothing comes from elsewhere."""
    client = AsyncHTTPClient()
    page = (await client.fetch(f"{url}/")).body.decode()
    assert "//" not in page.replace("<!--", "")
    for path in ("/demo/page.css", "/demo/page.js", "/demo/desktop.html", "/demo/terminal.html"):
        assert path in page
        assert (await client.fetch(url + path)).body
    assert (await client.fetch(f"{url}/demo/tour.json")).body.decode() == tour.as_json()


@pytest.mark.parametrize("path", ["/nothing", "/demo/../pyos.py", "/demo/%2e%2e/pyos.py"])
async def test_website_serves_nothing_else(url: str, path: str) -> None:
    """No file outside its folder."""
    with pytest.raises(HTTPClientError) as caught:
        await AsyncHTTPClient().fetch(url + path)
    assert caught.value.code in (403, 404)
