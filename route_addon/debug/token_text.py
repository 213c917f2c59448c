"""A pasted token, looked at, as text."""

from route_addon.core.errors import RouteError
from route_addon.core.inspection import inspect_token
from route_addon.core.router import Rules
from route_addon.core.tokens import PLACEHOLDER
from route_addon.core.wording import describe_error, describe_time
from route_addon.debug.explanation_text import build_steps_text

_IS_PLACEHOLDER = (
    "a placeholder, which stands for a secret in the flows of one process, and is no token: "
    "route.explain on the flow says what became of it"
)


def build_token_text(pasted: str, rules: Rules, now: float) -> str:
    """What a token says, the verdict first, then each check of it. Nothing of use is shown of it.

    Args:
        pasted: The token, as it is found in a field's value: ``Bearer`` may stand before it.
        rules: The keys and the policy to judge it by.
        now: The time to judge it at, in seconds since the epoch.
    """
    token = pasted.strip().encode("utf-8", "replace")
    scheme, _, rest = token.partition(b" ")
    if scheme.lower() == b"bearer":
        token = rest.strip()
    if PLACEHOLDER.fullmatch(token) is not None:
        return _IS_PLACEHOLDER
    inspection = inspect_token(rules, token, now)
    outcome = inspection.outcome
    if isinstance(outcome, RouteError):
        verdict = f"refused: {describe_error(outcome)}"
    else:
        verdict = f"good: it opens {outcome.host} until {describe_time(outcome.expires)}"
    return f"{verdict}\nas of {describe_time(now)}\n\n{build_steps_text(inspection.steps)}"
