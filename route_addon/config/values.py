"""The values of options, read by name: each of the type that it must have, or refused."""

import re
from collections.abc import Callable
from typing import Final

from route_addon.options import BadOption, Values

_NOT_TEXT: Final = re.compile("[\0\ud800-\udfff]")
"""Bytes of the environment that are not UTF-8 arrive as surrogates (PEP 383)."""


class OptionValues:
    """The value of every option.

    Every method raises ``BadOption`` for a value that is not of the form that it gives.

    Args:
        values: The values, by the options' names.
        is_set: Whether somebody set an option, so that it wins over the configuration file.
    """

    def __init__(self, values: Values, is_set: Callable[[str], bool]) -> None:
        self._values = values
        self.is_set = is_set

    def flag(self, name: str) -> bool:
        """Whether an option is switched on."""
        return bool(self._values[name])

    def text(self, name: str) -> str:
        """A text that a file's name, a field or an answer can hold."""
        value = str(self._values[name])
        if _NOT_TEXT.search(value):
            raise BadOption(name, ascii(value), "must be UTF-8 text without a NUL")
        return value

    def number(self, name: str, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self._values[name]
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise BadOption(name, value, f"must be a whole number from {least} to {most}")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """One of several words."""
        value = self.text(name)
        if value not in choices:
            raise BadOption(name, value, f"must be one of {', '.join(choices)}")
        return value

    def paths(self, name: str) -> list[str]:
        """The paths of an option that names several."""
        return [path for path in self.text(name).split(":") if path]


def split_list(text: str) -> list[str]:
    """The items of an option that is a list, separated by commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def is_none(text: str) -> bool:
    """Whether a list is the word for an empty one, where an empty text means something else."""
    return text.strip().lower() == "none"


def parse_port(text: str) -> int | None:
    """A port from 1 to 65535, or None for anything else."""
    port = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    return port if 0 < port < 65536 else None
