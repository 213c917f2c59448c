"""Who reads log lines: what nobody reads need not be made.

mitmproxy makes records even where it is quiet, and tells every addon of each by its old
``add_log`` event: that alone costs more than to refuse a request.
"""

import logging

from mitmproxy import ctx
from mitmproxy.log import LegacyLogEvents


def is_read(level: int) -> bool:
    """Whether anybody would read a line of this level."""
    root = logging.getLogger()
    return root.isEnabledFor(level) and any(
        handler.level <= level and (not isinstance(handler, LegacyLogEvents) or has_listener())
        for handler in root.handlers
    )


def has_listener() -> bool:
    """Whether an addon waits for the old event."""
    return any(hasattr(addon, "add_log") for addon in ctx.master.addons.lookup.values())


def spare_log_events() -> None:
    """Make the old event for nobody but addons that wait for it."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LegacyLogEvents) and _is_wanted not in handler.filters:
            handler.addFilter(_is_wanted)


def _is_wanted(record: logging.LogRecord) -> bool:
    return has_listener()
