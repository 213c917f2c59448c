"""The demo's pyos: what it answers, and what its tokens say."""

import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from demo import keys, pyos
from demo.listen import listen
from demo.pods import Pod
from demo.website import FRESH_S, Website

LIFE_S = 90.0
PODS = [Pod("127.0.0.11", "secret-1"), Pod("::1", "secret-2")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys, and a stranger's below them."""
    made = tmp_path_factory.mktemp("demo")
    keys.make_keys(made)
    keys.make_keys(made / "other")
    return made


@pytest.fixture
async def url(folder: Path) -> AsyncIterator[str]:
    """The root of a pyos that listens."""
    issuer = pyos.Issuer.load(folder, folder / "other", LIFE_S)
    site = Website("a", "b")
    listener = listen(pyos.application(issuer, PODS, site), "127.0.0.1")
    yield listener.url
    await listener.stop()
    await site.close()


async def fetch(url: str, method: str = "GET", body: str | None = None) -> HTTPResponse:
    """Send a request; an error is an answer too."""
    client = AsyncHTTPClient()
    return await client.fetch(url, method=method, body=body, raise_error=False)


async def post(url: str, body: str = "") -> Any:
    """Post, and return the answer's JSON."""
    return json.loads((await fetch(url, "POST", body)).body)


def claims(folder: Path, token: str) -> dict[str, Any]:
    """Verify a token."""
    public = keys.public_path(folder, "signing").read_bytes()
    verified: dict[str, Any] = jwt.decode(token, public, algorithms=["RS256"])
    return verified


def target(folder: Path, token: str) -> str:
    """Find the target of a token."""
    cipher = PKCS1_v1_5.new(RSA.import_key(keys.private_path(folder, "payload").read_bytes()))
    encrypted = base64.b64decode(claims(folder, token)["hash"])
    return bytes(cipher.decrypt(encrypted, b"")).decode()


async def test_launchdesktop_says_how_the_desktop_is_reached(url: str, folder: Path) -> None:
    """All that the real client reads."""
    answer = await post(f"{url}/API/composer/launchdesktop")
    assert (answer["status"], set(answer)) == (200, {"status", "message", "result"})
    result = answer["result"]
    token = result.pop("authorization")
    assert result == {
        "target_ip": "127.0.0.11",
        "vncpassword": "secret-1",
        "websocketrouting": "http_origin",
        "websockettcpport": 6081,
        "expire_in": LIFE_S,
    }
    assert target(folder, token) == "127.0.0.11"
    assert claims(folder, token)["exp"] == pytest.approx(time.time() + LIFE_S, abs=3)


@pytest.mark.parametrize(
    ("query", "body"),
    [("?user=2", ""), ("", '{"user": 2}'), ("", '{"user": "2"}'), ("?user=2", '{"user": 1}')],
)
async def test_user_is_in_the_query_or_in_the_body(
    url: str, folder: Path, query: str, body: str
) -> None:
    """The query first."""
    for action in ("launchdesktop", "refreshdesktoptoken"):
        answer = await post(f"{url}/API/composer/{action}{query}", body)
        assert target(folder, answer["result"]["authorization"]) == "::1"


async def test_refreshdesktoptoken_renews(url: str) -> None:
    """A new token and its life, and nothing else."""
    answer = await post(f"{url}/API/composer/refreshdesktoptoken")
    assert set(answer["result"]) == {"authorization", "expire_in"}


@pytest.mark.parametrize("body", ['{"user": 3}', "[]", "{", '"user"', '{"user": {}}'])
async def test_bad_request_is_a_400_in_json(url: str, body: str) -> None:
    """Neither a token nor a traceback."""
    answer = await fetch(f"{url}/API/composer/launchdesktop", "POST", body)
    assert answer.code == 400
    assert set(json.loads(answer.body)) == {"status", "message"}


async def test_good_token_is_text(url: str, folder: Path) -> None:
    """For a command line, without a parser of JSON."""
    answer = await fetch(f"{url}/API/demo/token?user=2")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert target(folder, answer.body.decode()) == "::1"


@pytest.mark.parametrize(
    ("kind", "error"),
    [(pyos.EXPIRED, jwt.ExpiredSignatureError), (pyos.OTHER_KEY, jwt.InvalidSignatureError)],
)
async def test_bad_token_is_bad_in_one_way(
    url: str, folder: Path, kind: str, error: type[Exception]
) -> None:
    """What the kind says is the fault that is found."""
    answer = await fetch(f"{url}/API/demo/token?kind={kind}")
    with pytest.raises(error):
        claims(folder, answer.body.decode())


async def test_unknown_kind_is_a_400(url: str) -> None:
    """The kinds that there are are named."""
    answer = await fetch(f"{url}/API/demo/token?kind=royal")
    assert answer.code == 400
    assert json.loads(answer.body)["message"] == "kind is one of good, expired, other-key"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("192.0.2.7", 200),
        ("localhost:8080", 200),
        ("rebound.example:8080", 403),
        ("127.0.0.1.example", 403),
        ("localhost.example", 403),
    ],
)
async def test_token_is_for_who_asks_by_address(url: str, host: str, status: int) -> None:
    """A website's name that leads here (DNS rebinding) gets none."""
    answer = await AsyncHTTPClient().fetch(
        f"{url}/API/demo/token", headers={"Host": host}, raise_error=False
    )
    assert answer.code == status


async def test_the_rest_of_pyos_says_what_it_received(url: str) -> None:
    """/status, /oauth and the others have an answer too."""
    assert (await fetch(f"{url}/API/healthz")).code == 200
    received = json.loads((await fetch(f"{url}/moauth/callback?code=1")).body)
    assert (received["service"], received["path"]) == ("pyos", "/moauth/callback?code=1")


async def test_servers_are_stopped_and_started(url: str) -> None:
    """All but the last one that runs."""
    path = f"{url}/API/demo/website"
    assert json.loads((await fetch(path)).body)["result"] == {"a": True, "b": True}
    assert (await post(path, '{"server": "a", "run": false}'))["result"] == {"a": False, "b": True}
    assert (await fetch(path, "POST", '{"server": "b", "run": false}')).code == 409
    assert (await fetch(path, "POST", '{"server": "c", "run": false}')).code == 400
    assert (await post(path, '{"server": "a", "run": true}'))["result"] == {"a": True, "b": True}


async def test_a_server_that_is_stopped_does_not_answer() -> None:
    """Until it is started again, on the same port."""
    site = Website("a", "b")
    try:
        first, second = site.urls
        assert (await fetch(f"{first}/demo/name")).body == b"a"
        await site.stop("a")
        with pytest.raises(ConnectionRefusedError):
            await fetch(f"{first}/demo/name")
        assert (await fetch(f"{second}/demo/name")).body == b"b"
        site.start("a")
        news = await fetch(f"{first}/demo/news")
        assert json.loads(news.body)["server"] == "a"
        assert news.headers["Cache-Control"] == f"max-age=0, s-maxage={FRESH_S}"
    finally:
        await site.close()
