"""Settings built from the defaults and changes, and what is read of them."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from route_addon.config.build import build_settings
from route_addon.config.environment import default_values
from route_addon.config.settings import Settings
from route_addon.options import BadOption, Value

type Read = Callable[[Settings], Any]


type Build = Callable[..., Settings]


KEYS = ("route_signing_key", "route_payload_key")


def build(
    changes: Mapping[str, Value] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    is_set: Callable[[str], bool] = lambda name: False,
    need_keys: bool = False,
) -> Settings:
    """Settings from the defaults and changes, without keys: to parse one takes a while."""
    values = {**default_values(environment or {}), **(changes or {})}
    return build_settings(values, is_set, need_keys=need_keys)


def refusal(changes: Mapping[str, Value], make: Build | None = None, **details: Any) -> str:
    with pytest.raises(BadOption) as caught:
        (make or build)(changes, **details)
    sentence = str(caught.value)
    assert caught.value.name in sentence
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return sentence


def servers(name: str) -> Read:
    return lambda settings: settings.rules.upstreams[name]


def port(location: str) -> Read:
    def read(settings: Settings) -> int:
        return next(one.port for one in settings.rules.locations.all if one.location == location)

    return read


SERVER = "must be a URL (http://host:port) or host[:port]"
