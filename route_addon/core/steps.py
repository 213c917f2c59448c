"""The steps of a decision, as they are told to a person."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from route_addon.core.errors import RouteError
from route_addon.core.wording import describe_error

type Outcome = Literal["passed", "refused", "noted"]


class Step(NamedTuple):
    """One step, in words."""

    title: str
    outcome: Outcome
    detail: str
    more: tuple[str, ...] = ()
    """Further lines."""


class Trace:
    """Steps as they are taken; one that refuses is the last."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @property
    def is_refused(self) -> bool:
        """Whether a step has refused."""
        return bool(self.steps) and self.steps[-1].outcome == "refused"

    def note(self, title: str, detail: str, more: Sequence[str] = ()) -> None:
        """Add what is worth knowing, and refuses nothing."""
        self.steps.append(Step(title, "noted", detail, tuple(more)))

    def add_passed(self, title: str, detail: str, more: Sequence[str] = ()) -> None:
        """Add a step that could have refused, and did not."""
        self.steps.append(Step(title, "passed", detail, tuple(more)))

    def add_refused(self, title: str, error: RouteError, hint: str = "") -> None:
        """Add a step that refused.

        Args:
            title: Its name.
            error: Why.
            hint: What helps whoever reads that.
        """
        more = (hint,) if hint else ()
        self.steps.append(Step(title, "refused", describe_error(error), more))

    def take[T](
        self, title: str, step: Callable[[], T], describe: Callable[[T], str], hint: str = ""
    ) -> T:
        """Take a step, and add what came of it.

        Args:
            title: Its name.
            step: What may refuse.
            describe: Puts into words what it found.
            hint: What helps whoever reads that it refused.

        Raises:
            RouteError: The step's own.
        """
        try:
            found = step()
        except RouteError as error:
            self.add_refused(title, error, hint)
            raise
        self.add_passed(title, describe(found))
        return found
