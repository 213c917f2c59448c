"""mitmproxy's addons, imported one by one.

The package imports all of them for a list, and with them a web framework, an LDAP client and a
hundred modules more: a quarter of what a service took to start. A program that makes a master of
its own names the few addons that it needs, and can do without the list.
"""

import sys
from importlib.util import find_spec, module_from_spec
from typing import Final

_PACKAGE: Final = "mitmproxy.addons"
_LIST: Final = "default_addons"


def import_addons_lazily() -> None:
    """Let the package import its addons when somebody asks for the list of them, and not before.

    Where it has been imported already, there is nothing left to spare.
    """
    if _PACKAGE in sys.modules:
        return
    spec = find_spec(_PACKAGE)
    assert spec is not None and spec.loader is not None
    loader, package = spec.loader, module_from_spec(spec)

    def find(name: str) -> object:
        if name != _LIST:
            raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")
        loader.exec_module(package)
        return vars(package)[name]

    package.__getattr__ = find  # type: ignore[method-assign]
    sys.modules[_PACKAGE] = package
    sys.modules["mitmproxy"].addons = package  # type: ignore[attr-defined]
