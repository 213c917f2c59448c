"""Who is compared: this router in all its forms, and other proxies doing the same work.

All carry to the same origin, over HTTP and TLS, pinned to one core but for two workers on two.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from scripts.benchmarks.machine import BOTH_CORES, PROXY_CORE, free_port, pinned, wait_for_port
from scripts.benchmarks.origin import NGINX_USER, Origin
from tests.e2e.process import REMOTE_SCRIPT, SCRIPT

PARENT: Final = "nginx as the parent"
PLAIN: Final = "plain mitmdump"
RELAY: Final = "relay"
WATCHED: Final = "relay, watched"
STOCK: Final = "stock"
SERVE: Final = "serve, 1 worker"
SERVE_2: Final = "serve, 2 workers"
COLD: Final = "relay, no token kept"
COLD_2: Final = "serve, 2 workers, no token kept"
POOLED: Final = "nginx with a pool"
HAPROXY: Final = "HAProxy"


class Files(NamedTuple):
    """What proxies read."""

    folder: Path
    certificate: Path
    """With its key."""
    signing_key: Path
    payload_key: Path


class Proxy(NamedTuple):
    """One that runs."""

    name: str
    port: int
    tls_port: int
    pid: int
    remote: str = ""
    """The socket by which code runs inside it."""
    websocket_port: int = 0
    """Where WebSockets are opened, if not at ``port``."""


type Start = Callable[[str, Origin, Files], contextlib.AbstractContextManager[Proxy]]

_BIN: Final = Path(sys.executable).parent

_PARENT: Final = """
        location / {{
            set $target 127.0.0.1;
            proxy_pass http://$target:{origin}$request_uri;
            proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
        location = /websockify {{
            set $target 127.0.0.1;
            proxy_pass http://$target:{websocket}/;
            proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade; proxy_read_timeout 600;
        }}
"""
_POOLED: Final = """
        location / {{
            proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
        location /kept {{
            proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_cache kept;
        }}
        location = /websockify {{
            proxy_pass http://127.0.0.1:{websocket}/; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
            proxy_read_timeout 600;
        }}
"""
_NGINX: Final = """
{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 16384; }}
http {{
    access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 3600;
    client_max_body_size 8g; client_body_temp_path {folder}/body; proxy_temp_path {folder}/p;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    proxy_cache_path {folder}/cache keys_zone=kept:10m;
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{tls} ssl backlog=4096; http2 on;
        ssl_certificate {certificate}; ssl_certificate_key {certificate};
        ssl_session_cache shared:one:10m;
        location = /refused {{ return 401 "A desktop token is required."; }}
{locations}
    }}
}}
"""
_HAPROXY: Final = """
global
    maxconn 4000
    nbthread 1
defaults
    mode http
    timeout client 600s
    timeout server 600s
    timeout connect 5s
    timeout tunnel 600s
frontend front
    bind 127.0.0.1:{port}
    bind 127.0.0.1:{tls} ssl crt {certificate} alpn h2,http/1.1
    http-request return status 401 if {{ path /refused }}
    option forwardfor
    use_backend sockets if {{ path /websockify }}
    default_backend origin
backend origin
    http-reuse always
    server one 127.0.0.1:{origin}
backend sockets
    server one 127.0.0.1:{websocket}
"""


def _run_nginx(locations: str) -> Start:
    @contextlib.contextmanager
    def run(name: str, origin: Origin, files: Files) -> Iterator[Proxy]:
        port, tls = free_port(), free_port()
        with tempfile.TemporaryDirectory() as folder:
            text = _NGINX.format(
                user=NGINX_USER,
                folder=folder,
                port=port,
                tls=tls,
                certificate=files.certificate,
                origin=origin.http_port,
                locations=locations.format(
                    origin=origin.http_port, websocket=origin.websocket_port
                ),
            )
            text = text.replace("http2 on;", "") if not _knows_http2_on() else text
            config = Path(folder, "nginx.conf")
            config.write_text(text)
            words = ["nginx", "-p", folder, "-e", f"{folder}/error.log", "-c", str(config)]
            with pinned(words, PROXY_CORE) as pid:
                wait_for_port(port)
                yield Proxy(name, port, tls, pid)

    return run


@contextlib.contextmanager
def _run_haproxy(name: str, origin: Origin, files: Files) -> Iterator[Proxy]:
    port, tls = free_port(), free_port()
    config = files.folder / "haproxy.cfg"
    config.write_text(
        _HAPROXY.format(
            port=port,
            tls=tls,
            certificate=files.certificate,
            origin=origin.http_port,
            websocket=origin.websocket_port,
        )
    )
    with pinned(["haproxy", "-db", "-f", str(config)], PROXY_CORE) as pid:
        wait_for_port(port)
        yield Proxy(name, port, tls, pid)


@contextlib.contextmanager
def _run_plain(name: str, origin: Origin, files: Files) -> Iterator[Proxy]:
    port, websocket_port = free_port(), free_port()
    words = [str(_BIN / "mitmdump"), "-q", "--listen-host", "127.0.0.1"]
    words += ["--mode", f"reverse:http://127.0.0.1:{origin.http_port}@{port}"]
    words += ["--mode", f"reverse:http://127.0.0.1:{origin.websocket_port}@{websocket_port}"]
    words += ["--set", f"confdir={files.folder}/plain", "--set", f"certs=*={files.certificate}"]
    with pinned(words, PROXY_CORE) as pid:
        wait_for_port(port)
        yield Proxy(name, port, port, pid, websocket_port=websocket_port)


def _options(origin: Origin, files: Files, own: Mapping[str, object]) -> list[str]:
    url = f"http://127.0.0.1:{origin.http_port}"
    options: dict[str, object] = {
        "confdir": files.folder / "confdir",
        "route_signing_key": files.signing_key,
        "route_payload_key": files.payload_key,
        "route_website": url,
        "route_pyos": url,
        "route_speedtest": url,
        "route_ports": f"file_service={origin.http_port},ws_tcp_bridge={origin.websocket_port}",
        "route_target_allow": "127.0.0.0/8",
        "route_certs": files.certificate,
        **own,
    }
    return [word for key, value in options.items() for word in ("--set", f"{key}={value}")]


def _run_mitmdump(**own: object) -> Start:
    @contextlib.contextmanager
    def run(name: str, origin: Origin, files: Files) -> Iterator[Proxy]:
        port = free_port()
        remote = str(files.folder / f"remote-{port}")
        words = [str(_BIN / "mitmdump"), "-q", "--listen-host", "127.0.0.1", "-p", str(port)]
        words += ["-s", str(SCRIPT), "-s", str(REMOTE_SCRIPT), *_options(origin, files, own)]
        with pinned(words, PROXY_CORE, {"REMOTE_SOCKET": remote}) as pid:
            wait_for_port(port)
            yield Proxy(name, port, port, pid, remote)

    return run


def _run_serve(workers: int, **own: object) -> Start:
    @contextlib.contextmanager
    def run(name: str, origin: Origin, files: Files) -> Iterator[Proxy]:
        port = free_port()
        words = [str(_BIN / "route-addon"), "serve", "--listen-host", "127.0.0.1"]
        words += ["--listen-port", str(port), "--workers", str(workers)]
        words += _options(origin, files, own)
        with pinned(words, PROXY_CORE if workers == 1 else BOTH_CORES) as pid:
            wait_for_port(port)
            yield Proxy(name, port, port, pid)

    return run


# The script that looks inside does not look at flows.
_UNWATCHED: Final = {"route_watch": "never"}

STARTS: Final[Mapping[str, Start]] = {
    PARENT: _run_nginx(_PARENT),
    POOLED: _run_nginx(_POOLED),
    HAPROXY: _run_haproxy,
    PLAIN: _run_plain,
    STOCK: _run_mitmdump(route_carrier="stock"),
    WATCHED: _run_mitmdump(route_watch="always"),
    RELAY: _run_mitmdump(**_UNWATCHED),
    SERVE: _run_serve(1),
    SERVE_2: _run_serve(2),
    COLD: _run_mitmdump(route_cache_ttl=0, **_UNWATCHED),
    COLD_2: _run_serve(2, route_cache_ttl=0),
}
"""How each is started, in the order of the table."""


def _knows_http2_on() -> bool:
    """Whether this nginx has the directive ``http2`` (1.25.1)."""
    version = os.popen("nginx -v 2>&1").read().rpartition("/")[2].split(".")
    return tuple(map(int, version[:2])) >= (1, 25)
