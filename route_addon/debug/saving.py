"""What becomes of ``-w`` when the disk is full: traffic goes on without it.

mitmproxy would end, rather than let anything pass that is not written down. A router has other
duties.
"""

import contextlib
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Final

from mitmproxy import addonmanager, ctx, flow
from mitmproxy.addons.save import Save

logger = logging.getLogger(__name__)

_METHOD: Final = "save_flow"


class Saving:
    """Stands between mitmproxy's own addon for ``-w`` and its end."""

    name = "route_saving"

    def load(self, loader: addonmanager.Loader) -> None:
        """Take its place where it writes a flow."""
        save = ctx.master.addons.get("save")
        if isinstance(save, Save) and _METHOD not in vars(save):
            vars(save)[_METHOD] = partial(_save_flow, save, save.save_flow)


def _save_flow(save: Save, write: Callable[[flow.Flow], None], saved: flow.Flow) -> None:
    stream = save.stream
    begin = stream.fo.tell() if stream is not None and stream.fo.seekable() else 0
    try:
        write(saved)
    except SystemExit:
        path = save.current_path
        logger.warning("-w ends: %s cannot be written to", path)
        _close(save)
        if path is not None:
            with contextlib.suppress(OSError):
                # What is left can be read: it ends with a whole flow.
                os.truncate(path, begin)
        ctx.options.update(save_stream_file=None)


def _close(save: Save) -> None:
    stream, save.stream = save.stream, None
    save.active_flows.clear()
    save.current_path = None
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.fo.close()
