"""JSON for a person: readable, and without what is secret in it."""

import json
from typing import Any, Final

from route_addon.carry.masks.secret_names import may_be_secret
from route_addon.core.credentials import redact

NOT_SHOWN: Final = "not shown"


def hide_tokens(text: str) -> str:
    """A text without the tokens in it, and without what cannot be encoded."""
    return redact(text.encode("utf-8", "replace")).decode("utf-8")


def show_json(data: bytes) -> str | None:
    """JSON with an indent, without secrets; None for anything else."""
    try:
        return json.dumps(_hide(json.loads(data)), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None


def _hide(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: NOT_SHOWN if may_be_secret(name) and isinstance(it, str) else _hide(it)
            for name, it in value.items()
        }
    return [_hide(item) for item in value] if isinstance(value, list) else value
