"""mitmproxy's addons are imported one by one, and their list can still be had."""

import subprocess
import sys

LAZILY = "from route_addon.lazy_addons import import_addons_lazily; import_addons_lazily()\n"


def _run(code: str) -> list[str]:
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return told.split()


def test_a_service_imports_what_it_needs() -> None:
    """No web framework, no LDAP client, no content views and none of ours are loaded to serve."""
    code = f"""{LAZILY}
import sys
import route_addon.serve.command
names = "flask", "ldap3", "tornado", "urwid", "mitmproxy.contentviews", "mitmproxy.tools"
names = *names, "route_addon.debug.views", "prometheus_client"
print(*(name for name in names if name in sys.modules))
"""
    assert _run(code) == []


def test_the_list_is_there_for_who_asks() -> None:
    """Its addons are those that mitmproxy has without us, whatever was imported before."""
    names = "print(*(type(addon).__name__ for addon in default_addons()))"
    plain = _run(f"from mitmproxy.addons import default_addons; {names}")
    lazy = f"{LAZILY}from mitmproxy.addons import core, default_addons; {names}"
    assert len(plain) > 20
    assert _run(lazy) == plain
    by_name = "import mitmproxy.addons.core; default_addons = mitmproxy.addons.default_addons"
    assert _run(f"{LAZILY}{by_name}; {names}") == plain


def test_what_is_not_there_is_not_there() -> None:
    """An addon that mitmproxy does not have is an error of import, as without us."""
    code = f"""{LAZILY}
try:
    from mitmproxy.addons import no_such_addon
except ImportError:
    print("none")
"""
    assert _run(code) == ["none"]
