"""The files of ACME challenges (RFC 8555 8.3): small, public, read as they are asked for."""

from pathlib import Path

from route_addon.core.error_pages import SECURITY_FIELDS
from route_addon.core.messages import Respond, ServeFile

_MAX_BYTES = 64 * 1024


def read_challenge(decision: ServeFile) -> Respond:
    """Read the file that a decision names; its ``missing`` answer when there is none."""
    path = Path(decision.path)
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return decision.missing
        body = path.read_bytes()
    except OSError:
        return decision.missing
    fields = [
        (b"Content-Type", b"text/plain"),
        *SECURITY_FIELDS,
        (b"X-Request-ID", decision.request_id),
        *decision.fields,
    ]
    return Respond(decision.location, 200, fields, body, None, decision.request_id)
