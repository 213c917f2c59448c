"""Who watches: whether flows are built at all.

Nobody is passed by in silence: whoever can see flows, or change them, gets them.
"""

from pathlib import Path
from typing import Final

from mitmproxy import ctx

import route_addon

_OWN_SCRIPT: Final = Path(route_addon.__file__).with_name("script.py")
_CHANGING_OPTIONS: Final = (
    "anticache",
    "anticomp",
    "block_list",
    "hardump",
    "map_local",
    "map_remote",
    "modify_body",
    "modify_headers",
    "proxyauth",
    "server_replay",
    "stickyauth",
    "stickycookie",
)
"""Options of mitmproxy's own addons that do something to flows, or with them."""

ALWAYS: Final = "always"
NEVER: Final = "never"
AUTO: Final = "auto"


def find_watchers(mode: str) -> list[str]:
    """Who watches, in words; nobody, when the list is empty.

    Args:
        mode: The option ``route_watch``.
    """
    if mode == NEVER:
        return []
    if mode == ALWAYS:
        return ["route_watch=always"]
    addons, options = ctx.master.addons, ctx.options
    watchers: list[str] = []
    if addons.get("view") is not None:
        watchers.append("a user interface")
    if addons.get("dumper") is not None and getattr(options, "flow_detail", 0) > 0:
        watchers.append("printed flows")
    if getattr(options, "save_stream_file", None):
        watchers.append("-w")
    if getattr(options, "route_record", ""):
        watchers.append("route_record")
    scripts = [Path(script).expanduser() for script in getattr(options, "scripts", ())]
    watchers += [script.name for script in scripts if script.resolve() != _OWN_SCRIPT]
    watchers += [name for name in _CHANGING_OPTIONS if getattr(options, name, None)]
    return watchers


def describe_watchers(mode: str) -> str:
    """The same for the start line."""
    watchers = find_watchers(mode)
    if watchers:
        return f"watched by {', '.join(watchers)}"
    return "watched by nobody" + (" (route_watch=never)" if mode == NEVER else "")
