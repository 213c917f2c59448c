"""The HTTP cache against http-cache-tests: its origin, a relay, and its client."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.suites.relays import Row, relay
from tests.e2e.wire import wait_until

PACKAGE = "http-cache-tests@0.4.5"
REQUIRED = 138
OPTIONAL = 65
"""At least so many of the required and of the optimal tests; docs/cache.md has the figures."""
_SCORE = Path(__file__).with_name("cache_score.mjs").absolute()


def run_http_cache(programs: Path) -> Iterator[Row]:
    """The required and the optimal tests, and what each of those that fail says."""
    suite = _install(programs.parent)
    origin = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "npm_config_protocol": "http",
            "npm_config_port": str(origin),
            "npm_config_pidfile": str(Path(folder, "pid")),
            # No test in particular: all.
            "npm_package_config_id": "",
        }
        command = ["node", "server/server.mjs"]
        with (
            subprocess.Popen(
                command, cwd=suite, env=environment, stdout=subprocess.DEVNULL
            ) as server,
            relay(route_website=f"http://127.0.0.1:{origin}") as (router, _),
        ):
            try:
                wait_until(lambda: _is_open(origin), "the origin listens")
                # Everything is the website's: the suite's paths are no location's.
                base = {**environment, "npm_config_base": f"http://127.0.0.1:{router.port}"}
                client = ["node", "--no-warnings", "cli.mjs"]
                done = subprocess.run(
                    client, cwd=suite, env=base, capture_output=True, text=True, check=True
                )
            finally:
                server.terminate()
        results = Path(folder, "results.json")
        results.write_text(done.stdout)
        score = ["node", str(_SCORE), str(suite), str(results), str(REQUIRED), str(OPTIONAL)]
        scored = subprocess.run(score, capture_output=True, text=True, check=False)
    *failed, summary = scored.stdout.splitlines()
    for line in failed:
        kind, test, message = line.split(" ", 2)
        yield Row("http-cache-tests", f"{kind} {test.rstrip(':')}", message[:90], True)
    yield Row("http-cache-tests", "passed", summary, scored.returncode == 0)


def _install(folder: Path) -> Path:
    suite = folder / "node_modules" / PACKAGE.partition("@")[0]
    if not suite.is_dir():
        words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
        subprocess.run([*words, PACKAGE], check=True)
    return suite


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
