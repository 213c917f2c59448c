"""Log records without tokens and secret arguments, whoever writes them.

mitmproxy logs request heads that were cut off, bad lines and the stack traces of its own faults
as they are, and each may hold a token.
"""

import logging
import traceback
from typing import Any

from route_addon.carry.masks.secret_names import replace_arguments
from route_addon.core.credentials import redact

_TOKEN = b"[token]"
"""What ``redact`` puts in the place of a token."""
_MITMWEB = "mitmproxy.tools.web.master"
"""Prints the address by which whoever starts mitmweb opens it, with mitmweb's own token in it."""


class RedactedRecord(logging.LogRecord):
    """A log record with a placeholder in the place of every token."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[0] is not None:
            # Each handler writes the exception by a way of its own: let them find plain text.
            trace = "".join(traceback.format_exception(*self.exc_info))
            self.msg, self.args = f"{super().getMessage()}\n{trace.rstrip()}", None
            self.exc_info = None

    def getMessage(self) -> str:
        text = super().getMessage().encode("utf-8", "surrogatepass")
        text = redact(text) if self.name == _MITMWEB else hide_secrets(text)
        return text.decode("utf-8", "surrogatepass")


def hide_secrets(text: bytes) -> bytes:
    """A text as a log may hold it: without tokens and secret arguments."""
    text = redact(text)
    may_hold_argument = b"=" in text or b"%3" in text
    return replace_arguments(text, _hide) if may_hold_argument else text


def _hide(value: bytes) -> bytes:
    return value if value == _TOKEN else b"[secret]"


def hide_tokens_in_logs() -> None:
    """Let every log record of this process be one without tokens, from now on."""
    logging.setLogRecordFactory(RedactedRecord)
