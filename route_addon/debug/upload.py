"""mitmweb's dialog that opens a file: the list is emptied only for one that can be read."""

import io
import logging
from typing import Any

from route_addon.debug.recording import BadRecording, check_flows
from route_addon.debug.replay import show

logger = logging.getLogger(__name__)


def check_uploads() -> None:
    """Check each upload before mitmweb does anything with it."""
    # Only mitmweb brings what it is made of.
    from mitmproxy.tools.web import app

    dialog: Any = app.DumpFlows
    own = dialog.post
    if getattr(own, "is_checked", False):
        # Before the script was loaded anew.
        return

    async def post(upload: Any, /) -> None:
        try:
            check_flows(_find_name(upload), io.BytesIO(upload.filecontents))
        except BadRecording as error:
            logger.error("%s", error)
            raise app.APIError(400, str(error)) from None
        await own(upload)

    # As mitmweb has it around each method.
    guarded: Any = app.AuthRequestHandler._require_auth(post)
    guarded.is_checked = True
    dialog.post = guarded


def _find_name(upload: Any) -> str:
    """What the file is called where it comes from."""
    for files in upload.request.files.values():
        return show(files[0].filename)
    return "the upload"
