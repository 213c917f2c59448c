"""``route-addon serve`` whose workers run what a test sends them: python -m tests.e2e.served."""

import sys
from importlib import import_module
from typing import Any

from route_addon.cli import main
from tests.e2e.remote import addons

worker: Any = import_module("route_addon.serve.worker")
load_master = worker.load_master


def load_with_remote(*args: Any) -> Any:
    """Load all that a worker has, and the script."""
    lean, route = load_master(*args)
    lean.addons.add(*addons)
    return lean, route


if __name__ == "__main__":
    worker.load_master = load_with_remote
    sys.exit(main(["serve", *sys.argv[1:]]))
