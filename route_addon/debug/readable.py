"""What commands answer, where a person can read it.

They answer with lines. The console shows each as a row of a window that scrolls; a text of more
lines than it has room for would be cut. mitmweb's command bar writes all on one line, as JSON;
there the event log gets it, too.
"""

import logging
from collections.abc import Sequence

from mitmproxy import ctx

logger = logging.getLogger(__name__)

_WEB_ADDON = "webaddon"


def make_readable(text: str) -> Sequence[str]:
    """The lines that a command returns; in mitmweb they are logged."""
    if ctx.master.addons.get(_WEB_ADDON) is not None:
        logger.info("%s", text)
    return text.split("\n")
