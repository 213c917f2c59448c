"""A small pyos: it starts no desktop, but hands out the token of one that is there."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.netutil import is_valid_ip
from tornado.web import Application, HTTPError, RequestHandler

from demo import echo, keys, tokens
from demo.pods import POD_PORTS, Pod
from demo.website import Website

GOOD = "good"
EXPIRED = "expired"
OTHER_KEY = "other-key"
KINDS = (GOOD, EXPIRED, OTHER_KEY)


@dataclass(frozen=True)
class Issuer:
    """Who mints tokens: the keys that pyos holds, and one pair of keys that nobody knows."""

    signing_private: bytes
    payload_public: bytes
    other_private: bytes
    life_s: float

    @classmethod
    def load(cls, folder: Path, other: Path, life_s: float) -> "Issuer":
        """Read the keys that `demo.keys` has made in two folders; one is a stranger's."""
        return cls(
            signing_private=keys.private_path(folder, "signing").read_bytes(),
            payload_public=keys.public_path(folder, "payload").read_bytes(),
            other_private=keys.private_path(other, "signing").read_bytes(),
            life_s=life_s,
        )

    def mint(self, target: str, kind: str = GOOD) -> str:
        """Mint a good token, or one that is bad in one way."""
        return tokens.mint(
            target,
            signing_private=self.other_private if kind == OTHER_KEY else self.signing_private,
            payload_public=self.payload_public,
            now=time.time(),
            life_s=-60 if kind == EXPIRED else self.life_s,
        )


class Answer(RequestHandler):
    """What all answers of pyos share: JSON, and a user who is asked for by number.

    The real pyos knows its user by a token of another kind; here whoever asks is believed.
    """

    def initialize(self, issuer: Issuer, pods: Sequence[Pod]) -> None:
        """Take the issuer and the users' pods."""
        self._issuer = issuer
        self._pods = pods

    def prepare(self) -> None:
        """Refuse to be called by a name.

        A page of any website can have its own name lead to this machine (DNS rebinding), and
        would then read a token that opens a shell.

        Raises:
            HTTPError: 403, it is no address and not localhost.
        """
        name = self.request.host_name.strip("[]")
        if name != "localhost" and not is_valid_ip(name):
            raise HTTPError(403, reason="ask by address, or as localhost")

    def pod(self) -> Pod:
        """Find the pod of the user that the query or the JSON body names; the first if none.

        Raises:
            HTTPError: 400, the body is not JSON, or there is no such user.
        """
        user = self.get_query_argument("user", None) or self._body().get("user", "1")
        pods = {str(number): pod for number, pod in enumerate(self._pods, 1)}
        if str(user) not in pods:
            raise HTTPError(400, reason=f"user is one of {', '.join(pods)}")
        return pods[str(user)]

    def _body(self) -> Mapping[str, Any]:
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise HTTPError(400, reason="the body is no JSON object")
        return body

    def succeed(self, result: object) -> None:
        """Answer as pyos does: the status stands in the JSON too."""
        self.finish({"status": 200, "message": "ok", "result": result})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what is wrong in the same form."""
        self.finish({"status": status_code, "message": self._reason})

    def authorization(self, pod: Pod) -> dict[str, object]:
        """The members of a result that a client renews."""
        return {
            "authorization": self._issuer.mint(pod.address),
            "expire_in": self._issuer.life_s,
        }


class LaunchDesktop(Answer):
    """`POST /API/composer/launchdesktop`."""

    def post(self) -> None:
        """Answer how the user's desktop is reached."""
        pod = self.pod()
        self.succeed(
            {
                "target_ip": pod.address,
                "vncpassword": pod.vnc_password,
                "websocketrouting": "http_origin",
                "websockettcpport": POD_PORTS["ws_tcp_bridge"],
                **self.authorization(pod),
            }
        )


class RefreshDesktopToken(Answer):
    """`POST /API/composer/refreshdesktoptoken`."""

    def post(self) -> None:
        """Answer a new token for the same pod."""
        self.succeed(self.authorization(self.pod()))


class Healthz(Answer):
    """`GET /API/healthz`."""

    def get(self) -> None:
        """Say that pyos is there."""
        self.succeed({"controller": "demo"})


class AnyToken(Answer):
    """`GET /API/demo/token`: a good or a bad token as text, for the command line and the page."""

    def get(self) -> None:
        """Answer the token that `user` and `kind` ask for."""
        kind = self.get_query_argument("kind", GOOD)
        if kind not in KINDS:
            raise HTTPError(400, reason=f"kind is one of {', '.join(KINDS)}")
        self.set_header("Content-Type", "text/plain")
        self.finish(self._issuer.mint(self.pod().address, kind))


class Servers(Answer):
    """`/API/demo/website`: which servers of the website run; the page stops and starts them."""

    def initialize(self, issuer: Issuer, pods: Sequence[Pod], site: Website) -> None:  # type: ignore[override]
        """Take the website, too."""
        super().initialize(issuer, pods)
        self._site = site

    def get(self) -> None:
        """Answer which run."""
        self.succeed(self._site.running)

    async def post(self) -> None:
        """Stop or start the one that `server` names, as `run` says.

        Raises:
            HTTPError: 400, there is none of this name; 409, it is the last one that runs.
        """
        body = self._body()
        name, runs = str(body.get("server")), body.get("run") is True
        running = self._site.running
        if name not in running:
            raise HTTPError(400, reason=f"server is one of {', '.join(running)}")
        if not runs and [one for one, is_up in running.items() if is_up] == [name]:
            raise HTTPError(409, reason="the page comes from this one: start the other first")
        if runs:
            self._site.start(name)
        else:
            await self._site.stop(name)
        self.get()


def application(issuer: Issuer, pods: Sequence[Pod], site: Website) -> Application:
    """Build pyos; what it does not know it says that it has received."""
    shared = {"issuer": issuer, "pods": pods}
    return Application(
        [
            (r"/API/composer/launchdesktop", LaunchDesktop, shared),
            (r"/API/composer/refreshdesktoptoken", RefreshDesktopToken, shared),
            (r"/API/healthz", Healthz, shared),
            (r"/API/demo/token", AnyToken, shared),
            (r"/API/demo/website", Servers, {**shared, "site": site}),
            (r".*", echo.Echo, {"service": echo.Service("pyos")}),
        ],
    )
