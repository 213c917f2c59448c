"""Code that runs inside a relay: see ``tests.e2e.remote``."""

import socket
import time
from functools import partial
from pathlib import Path
from typing import Final

from scripts.benchmarks.proxies import Proxy

_START_S: Final = 30.0


def wait_for_start(proxy: Proxy) -> None:
    """Wait until a relay's script has started: it listens a moment before that, too.

    Raises:
        TimeoutError: It has not.
    """
    end = time.monotonic() + _START_S
    while not Path(proxy.remote).is_socket():
        if time.monotonic() > end:
            raise TimeoutError("the relay does not start")
        time.sleep(0.05)


def run_inside(proxy: Proxy, code: str) -> str:
    """Run code where ``ctx`` is mitmproxy's.

    Args:
        proxy: A relay under mitmdump.
        code: What to run; its outcome is what it leaves in ``result``.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(proxy.remote)
        connection.sendall(code.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(partial(connection.recv, 65536), b"")).decode()
