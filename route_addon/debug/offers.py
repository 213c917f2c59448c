"""Arguments of commands for which something is offered, and anything is taken.

mitmproxy's own kind of them, a choice, answers whatever it does not offer with two words. Whoever
asks about what is not there wants to be told that.
"""

from collections.abc import Sequence
from typing import Any

from mitmproxy import types
from mitmproxy.command import CommandManager


class Offer(types.Choice):
    """An argument for which a command makes offers.

    Args:
        options_command: The command.
    """

    def __repr__(self) -> str:
        """As mitmproxy names its type, where it tells that an argument is missing."""
        return OfferType.display


class OfferType(types._BaseType):
    """What mitmproxy knows of such an argument."""

    typ = Offer
    display = "str"

    def completion(self, manager: CommandManager, t: Any, s: str) -> Sequence[str]:
        offered: Sequence[str] = manager.execute(t.options_command)
        return offered

    def parse(self, manager: CommandManager, typ: Any, s: str) -> str:
        return s

    def is_valid(self, manager: CommandManager, typ: Any, val: Any) -> bool:
        return isinstance(val, str)


types.CommandTypes.typemap[Offer] = OfferType()
