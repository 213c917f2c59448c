"""How it starts, and how it refuses to.

Each way to fail is tried with a real process once; all the values are in
the tests of the settings.
"""

import concurrent.futures
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from route_addon.core.keys import fingerprint
from tests.e2e.harness import (
    SCRIPT,
    UNTRUSTED,
    Backend,
    Command,
    Fleet,
    Router,
    build_request,
    check_refusal,
    wait_until,
)
from tests.e2e.ports import free_port
from tests.minting import KeyPair


@dataclass(frozen=True)
class Failure:
    """A start that must fail.

    Attributes:
        says: What the sentence must hold.
        options: Put over good options; None takes one away.
        arguments: Further arguments.
        environment: Further environment.
        files: Files to write, by name; ``{folder}`` in values and arguments is where.
    """

    says: tuple[str, ...]
    options: Mapping[str, str | None] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def _value(name: str, value: str, *says: str) -> Failure:
    return Failure((name, value, *says), {name: value})


def _config(text: str, *says: str) -> Failure:
    return Failure(
        ("route_config", "route.toml", *says),
        {"route_config": "{folder}/route.toml"},
        files={"route.toml": text},
    )


LOCATION = '[[location]]\nlocation = "/x"\nkind = "prefix"\nupstream = "website"\n'

FAILURES = {
    "no signing key": Failure(
        ("route_signing_key", "not set", "JWT_DESKTOP_SIGNING_PUBLIC_KEY"),
        {"route_signing_key": None},
    ),
    "one absent key of two": Failure(
        ("route_signing_key", "/nowhere/key.pem"),
        {"route_signing_key": "{folder}/signing.pem:/nowhere/key.pem"},
    ),
    "a key that is none": Failure(
        ("route_signing_key", "bad.pem", "not an RSA public key"),
        {"route_signing_key": "{folder}/bad.pem"},
        files={"bad.pem": "hello"},
    ),
    "a URL with a path": _value("route_website", "http://website/x", "URL"),
    "text for a number": _value("route_cache_ttl", "abc"),
    "text for a switch": _value("route_allow_known_keys", "perhaps"),
    "text for a number in the environment": Failure(
        ("ROUTE_CACHE_TTL", "abc", "whole number"), environment={"ROUTE_CACHE_TTL": "abc"}
    ),
    "an option twice": Failure(
        ("route_node_name", "once"),
        {"route_node_name": "a"},
        ("--set", "route_node_name=b"),
    ),
    "an unknown option": Failure(("route_wesbite", "route_website"), {"route_wesbite": "x"}),
    "an absent configuration file": _value("route_config", "/nowhere/route.toml", "cannot be read"),
    "an unknown key": _config(LOCATION + 'bodies = "stream"\n', "location[0].bodies", "body"),
    "a location of the table": _config(
        '[[location]]\nlocation = "/filer"\nkind = "prefix"\nupstream = "website"\n',
        "/filer",
        "twice",
    ),
    "proxy_debug": Failure(("proxy_debug", "leave it out"), {"proxy_debug": "true"}),
    "a recording by stock": Failure(
        ("save_stream_file", "flows.mitm", "leave -w out"),
        {"route_carrier": "stock"},
        ("-w", "{folder}/flows.mitm"),
    ),
    "a forward proxy": Failure(("mode", "regular"), arguments=("--mode", "regular")),
    "a TCP proxy": Failure(
        ("mode", "reverse:tcp://127.0.0.1:9"), arguments=("--mode", "reverse:tcp://127.0.0.1:9")
    ),
}


@pytest.fixture(scope="module")
def outcomes(
    key_options: Mapping[str, str], signing: KeyPair, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, "concurrent.futures.Future[CompletedProcess[str]]"]]:
    """How each start ended; two run at a time."""

    def run(failure: Failure) -> CompletedProcess[str]:
        folder = tmp_path_factory.mktemp("start")
        (folder / "signing.pem").write_bytes(signing.public_pem)
        for name, text in failure.files.items():
            (folder / name).write_text(text)
        options = {**key_options, **failure.options}
        command = Command(
            {
                name: value.replace("{folder}", str(folder))
                for name, value in options.items()
                if value is not None
            },
            arguments=[word.replace("{folder}", str(folder)) for word in failure.arguments],
            environment=failure.environment,
        )
        return command.run()

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        yield {name: pool.submit(run, failure) for name, failure in FAILURES.items()}


@pytest.mark.parametrize("name", FAILURES)
def test_a_start_that_is_refused(
    name: str, outcomes: Mapping[str, "concurrent.futures.Future[CompletedProcess[str]]"]
) -> None:
    """Exit status 1, one sentence that names option, value and remedy; nothing has listened."""
    outcome = outcomes[name].result()
    assert outcome.returncode == 1
    lines = outcome.stderr.strip().splitlines()
    assert len(lines) == 1, outcome.stderr
    assert lines[0].startswith("route_addon: ")
    for text in FAILURES[name].says:
        assert text in lines[0]
    assert "listening" not in outcome.stdout
    assert "Traceback" not in outcome.stdout


def _patched_start(folder: Path, key_options: Mapping[str, str], known: str) -> Command:
    """A start in which one of the configured keys is one that everybody has."""
    patch = folder / "known.py"
    patch.write_text(
        "import route_addon.config.keys as keys\n"
        "from route_addon.core.keys import is_known\n"
        f"keys.is_known = lambda key: is_known(key, {{{known!r}}})\n"
    )
    return Command(key_options, scripts=(patch, SCRIPT))


@pytest.mark.parametrize("name", ["signing", "payload"])
def test_a_key_that_everybody_has(
    name: str,
    key_options: Mapping[str, str],
    signing: KeyPair,
    payload: KeyPair,
    tmp_path: Path,
) -> None:
    """It ends the start, and the sentence says what is wrong with it."""
    key = fingerprint(signing.public if name == "signing" else payload.public)
    outcome = _patched_start(tmp_path, key_options, key).run()
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(f"route_addon: route_{name}_key=")
    assert "everybody has this key" in outcome.stderr
    assert "route_allow_known_keys" in outcome.stderr


def test_a_key_that_everybody_has_is_allowed_for_a_test(
    key_options: Mapping[str, str], signing: KeyPair, tmp_path: Path
) -> None:
    """``route_allow_known_keys`` starts all the same."""
    options = {**key_options, "route_allow_known_keys": "true"}
    with Router(_patched_start(tmp_path, options, fingerprint(signing.public))) as router:
        assert router.ask(build_request(b"/healthz")).status == 200


def _mounted_start(folder: Path, options: Mapping[str, str], files: Mapping[str, str]) -> Command:
    """A start on a machine where these files are mounted for nginx."""
    nginx = folder / "nginx"
    for name, text in files.items():
        (nginx / name).parent.mkdir(parents=True, exist_ok=True)
        (nginx / name).write_text(text)
    patch = folder / "mounted.py"
    patch.write_text(
        "import pathlib\nimport route_addon.config.nginx_files as nginx_files\n"
        f"nginx_files.FOLDER = pathlib.Path({str(nginx)!r})\n"
    )
    return Command(options, scripts=(patch, SCRIPT))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("locationslash.conf", "auth_basic x;", "a proxy in front"),
        ("console.conf", "allow 10.0.0.0/8; deny all;", "set route_console_allow=10.0.0.0/8"),
    ],
)
def test_rules_of_nginx_that_would_be_lost(
    name: str, text: str, says: str, key_options: Mapping[str, str], tmp_path: Path
) -> None:
    """They end the start with the remedy."""
    outcome = _mounted_start(tmp_path, key_options, {name: text}).run()
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("route_addon: route_ignore_nginx_config=false: ")
    assert f"{name} holds rules of nginx's" in outcome.stderr
    assert says in outcome.stderr


def test_what_is_mounted_for_nginx(
    fleet: Fleet,
    installation: Mapping[str, str],
    certificate: Path,
    tls: ssl.SSLContext,
    tmp_path: Path,
) -> None:
    """With the remedy taken it starts: the certificate serves, the console is closed to others."""
    files = {
        "console.conf": "allow 10.0.0.0/8; deny all;",
        "sites-enabled/routehttp.conf": "server { listen 80; }",
        "ssl/tls.crt": certificate.read_text(),
        "ssl/tls.key": certificate.read_text(),
    }
    options = {**installation, "route_console_allow": "10.0.0.0/8"}
    del options["certs"]
    with Router(_mounted_start(tmp_path, options, files)) as router:
        router.wait_for("sites-enabled/routehttp.conf is not read")
        assert router.ask(build_request(b"/x"), tls=tls).body == b"website"
        fleet.forget()
        check_refusal(router.ask(build_request(b"/console/x"), source=UNTRUSTED), 403, fleet)
        near = (b"X-Forwarded-For", b"10.1.2.3")
        assert router.ask(build_request(b"/console/x", near)).body == b"console"


def test_a_port_that_is_taken(key_options: Mapping[str, str]) -> None:
    """The start ends, with a word of the port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        outcome = Command(key_options, port=port).run()
    assert outcome.returncode == 1
    assert str(port) in outcome.stdout + outcome.stderr
    assert "Traceback" not in outcome.stdout + outcome.stderr


# --- the start line, and where values come from


def test_the_start_line(router: Router, fleet: Fleet, signing: KeyPair, payload: KeyPair) -> None:
    """It names the listener, the upstreams, the trusted proxies and the keys' fingerprints."""
    line = next(line for line in router.log.splitlines() if "route_addon listens at" in line)
    assert f"127.0.0.1:{router.port};" in line
    for name, server in fleet.servers.items():
        assert f"{name}={server.url}" in line
    assert "trusted proxies 127.0.0.1/32,10.0.0.0/8;" in line
    assert f"signing key sha256 {fingerprint(signing.public)}" in line
    assert f"payload key sha256 {fingerprint(payload.public)}" in line


def test_the_deployed_environment(fleet: Fleet, key_options: Mapping[str, str]) -> None:
    """The environment of the parent's Deployment is all that it takes."""
    environment = {
        "WEBSITE_FQDN": fleet.website.authority,
        "CONSOLE_FQDN": fleet.console.authority,
        "SPEEDTEST_FQDN": fleet.speedtest.authority,
        "PYOS_SERVICE_HOST": fleet.pyos.address,
        "PYOS_SERVICE_PORT": str(fleet.pyos.port),
        "NODE_NAME": "node-9",
        "JWT_DESKTOP_SIGNING_PUBLIC_KEY": key_options["route_signing_key"],
        "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY": key_options["route_payload_key"],
        "NAMESERVER_RESOLVER": "10.96.0.10",
    }
    with Router(Command(environment=environment)) as router:
        for target, body in (
            (b"/x", b"website"),
            (b"/console/x", b"console"),
            (b"/speedtest/x", b"speedtest"),
            (b"/API/x", b"pyos"),
            (b"/node", b"node-9\n"),
        ):
            assert router.ask(build_request(target)).body == body
        router.wait_for("NAMESERVER_RESOLVER is ignored")


def test_pyos_by_its_name(fleet: Fleet, key_options: Mapping[str, str]) -> None:
    """``PYOS_FQDN`` goes before ``PYOS_SERVICE_HOST``; the port joins it. Nothing is resolved."""
    environment = {
        "PYOS_FQDN": "pyos.no-such-domain.invalid",
        "PYOS_SERVICE_HOST": "127.0.0.1",
        "PYOS_SERVICE_PORT": "8001",
    }
    with Router(Command(key_options, environment=environment)) as router:
        assert "pyos=http://pyos.no-such-domain.invalid:8001" in router.log
        assert "website=http://website " in router.log
        assert "trusted proxies 127.0.0.0/8,::1/128,10.0.0.0/8" in router.log
        check_refusal(router.ask(build_request(b"/API/x")), 502, fleet)


def test_what_wins(fleet: Fleet, key_options: Mapping[str, str], tmp_path: Path) -> None:
    """An option wins over the configuration file, which wins over the environment."""
    config = tmp_path / "route.toml"
    config.write_text(
        '[upstream.website]\nservers = ["http://from-file"]\n'
        '[upstream.console]\nservers = ["http://from-file"]\n'
    )
    environment = {
        "WEBSITE_FQDN": "from-environment",
        "CONSOLE_FQDN": "from-environment",
        "SPEEDTEST_FQDN": "from-environment",
        "ROUTE_PYOS": "from-environment",
        "PYOS_FQDN": "from-deployment",
        "ROUTE_CONFIG": str(config),
    }
    options = {**key_options, "route_website": "from-option"}
    with Router(Command(options, environment=environment)) as router:
        assert "website=http://from-option " in router.log
        assert "console=http://from-file " in router.log
        assert "speedtest=http://from-environment" in router.log
        assert "pyos=http://from-environment " in router.log


@pytest.mark.parametrize("host", ["127.0.0.31", "::1"])
def test_listen_host_and_port(host: str, key_options: Mapping[str, str]) -> None:
    """``--listen-host`` and ``--listen-port`` mean what they always mean."""
    with closing(Backend(host)) as probe:
        port = probe.port
    arguments = ("--listen-host", host, "--listen-port", str(port))
    with Router(Command(key_options, arguments=arguments, port=None)) as router:
        assert router.address == (host, port)
        assert router.ask(build_request(b"/healthz")).body == b"OK\n"


# --- the other programs


def test_mitmweb(fleet: Fleet, installation: Mapping[str, object]) -> None:
    """It needs no other flag; a bad change at run time is refused, a good one counts at once."""
    options = {**installation, "web_password": "secret"}
    web_port = free_port()
    arguments = ("--no-web-open-browser", "--web-port", str(web_port))
    # A listener on any free port would move to another one when it is opened anew.
    command = Command(options, "mitmweb", arguments=arguments, port=free_port())
    with Router(command) as router:
        token = (b"ABCAuthorization", fleet.alice.token)
        assert router.ask(build_request(b"/filer/x", token)).status == 200
        fleet.forget()
        check_refusal(router.ask(build_request(b"/filer/x")), 401, fleet)
        router.wait_for("Web server listening at")
        web = Web(web_port, "secret")
        for change, says in (
            ({"route_website": "ftp://x"}, "URL"),
            ({"route_cache_ttl": -1}, "0 to"),
            ({"route_signing_key": "/nowhere/key.pem"}, "cannot be read"),
            ({"route_signing_key": ""}, "not set"),
            ({"route_config": "/nowhere/route.toml"}, "cannot be read"),
            ({"proxy_debug": True}, "leave it out"),
            ({"connection_strategy": "eager"}, "leave it out"),
            ({"mode": ["regular"]}, "own mode"),
        ):
            old = {name: web.options()[name] for name in change}
            status, text = web.put_options(change)
            assert status == 400, text
            assert says in text
            assert {name: web.options()[name] for name in change} == old
        # A mode that is taken back opens the listener anew.
        wait_until(router.is_answering, "the router answers again")
        assert router.ask(build_request(b"/x")).body == b"website"
        assert router.ask(build_request(b"/filer/x", token)).status == 200
        status, text = web.put_options({"route_website": fleet.console.url})
        assert status == 200, text
        assert router.ask(build_request(b"/x")).body == b"console"
    assert "Traceback" not in router.log


class Web:
    """A client of mitmweb's API."""

    def __init__(self, port: int, password: str) -> None:
        self._port = port
        # mitmweb compares the field with the cookie, whatever they hold.
        self._headers = {
            "Authorization": f"Bearer {password}",
            "Cookie": "_mitmproxy_xsrf=00",
            "X-XSRFToken": "00",
            "Content-Type": "application/json",
        }

    def options(self) -> dict[str, Any]:
        """The value of every option."""
        _, text = self._ask("GET", "/options")
        return {name: option["value"] for name, option in json.loads(text).items()}

    def put_options(self, change: Mapping[str, object]) -> tuple[int, str]:
        """Change options.

        Returns:
            The status, and what it says.
        """
        return self._ask("PUT", "/options", json.dumps(change))

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as client:
            client.request(method, path, body, self._headers)
            answer = client.getresponse()
            return answer.status, answer.read().decode()


def test_mitmproxy(fleet: Fleet, installation: Mapping[str, object]) -> None:
    """The console, in a terminal, needs no other flag either."""
    command = Command(installation, "mitmproxy", port=free_port())
    with Router(command, has_terminal=True) as router:
        assert router.ask(build_request(b"/x")).body == b"website"
        fleet.forget()
        check_refusal(router.ask(build_request(b"/filer/x")), 401, fleet)


def test_it_stops(key_options: Mapping[str, str]) -> None:
    """SIGTERM ends it within seconds, with exit status 0."""
    router = Router(Command(key_options))
    router.start()
    assert router.stop() == 0
    assert "Traceback" not in router.log
