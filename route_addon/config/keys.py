"""The keys that options name: loaded, and refused where everybody has them."""

from collections.abc import Callable, Iterator
from pathlib import Path

from route_addon.config.values import OptionValues
from route_addon.core.keys import (
    WEAK_BITS,
    KeyFault,
    Keys,
    is_known,
    load_payload_key,
    load_signing_key,
)
from route_addon.options import OPTIONS, BadOption

_SIGNING = "route_signing_key"
_PAYLOAD = "route_payload_key"
KEY_OPTIONS = (_SIGNING, _PAYLOAD)


def load_keys(values: OptionValues, *, need_keys: bool) -> Keys:
    """Load all keys.

    Args:
        values: The options' values.
        need_keys: Whether keys must be there.

    Raises:
        BadOption: A key that is missing, that cannot be used, or that everybody has.
    """
    keys = Keys(
        _load(values, _SIGNING, load_signing_key, need_keys=need_keys),
        _load(values, _PAYLOAD, load_payload_key, need_keys=need_keys),
    )
    if not values.flag("route_allow_known_keys"):
        for name, known in ((_SIGNING, keys.signing), (_PAYLOAD, keys.payload)):
            if any(map(is_known, known)):
                raise BadOption(
                    name,
                    values.text(name),
                    "everybody has this key: a public image ships it; make keys of your own, or "
                    "set route_allow_known_keys for a test",
                )
    return keys


def find_weak_keys(keys: Keys) -> Iterator[str]:
    """A sentence on each key that is shorter than it should be."""
    for name, bits in (
        *((_SIGNING, key.key_size) for key in keys.signing),
        *((_PAYLOAD, key.key_size) for key in keys.payload),
    ):
        if bits < WEAK_BITS:
            yield f"{name}: a key of {bits} bits is weak; use {WEAK_BITS} or more"


def _load[K](
    values: OptionValues, name: str, load: Callable[[bytes], K], *, need_keys: bool
) -> tuple[K, ...]:
    paths = values.paths(name)
    if not paths and need_keys:
        option = next(option for option in OPTIONS if option.name == name)
        raise BadOption(
            name,
            "",
            f"is not set; name a PEM file, by --set {name}=PATH or {option.environment[0]}",
        )
    return tuple(_load_one(name, path, load) for path in paths)


def _load_one[K](name: str, path: str, load: Callable[[bytes], K]) -> K:
    try:
        return load(Path(path).read_bytes())
    except OSError as error:
        raise BadOption(
            name, path, f"cannot be read ({error.strerror}); name a PEM file that is there"
        ) from None
    except KeyFault as fault:
        raise BadOption(name, path, str(fault)) from None
