"""Code that runs inside a relay: see ``tests.e2e.remote``."""

import socket
from functools import partial

from scripts.benchmarks.proxies import Proxy


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
