"""From the values of all options to ``Settings``, whole and checked, or a sentence that refuses.

Nothing here knows mitmproxy: whoever has the values hands them over.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final

from route_addon.config import nginx_files
from route_addon.config.keys import find_weak_keys, load_keys
from route_addon.config.limits import (
    parse_cache_limits,
    parse_drain_limits,
    parse_limits,
    parse_watch_limits,
)
from route_addon.config.listeners import parse_certificates, parse_listen, parse_metrics
from route_addon.config.locations import build_pools, build_table, load_config_file
from route_addon.config.rules import build_rules
from route_addon.config.settings import AccessLogSettings, Settings
from route_addon.config.stamps import find_files, stamp_files
from route_addon.config.values import OptionValues, is_none, split_list
from route_addon.core.encodings import CODINGS, EncodingPolicy
from route_addon.core.keys import fingerprint
from route_addon.options import BadOption, Values

_TRIES: Final = 5
"""How often files are read again that change under our hands."""


def build_settings(
    values: Values, is_set: Callable[[str], bool] = lambda name: False, *, need_keys: bool = True
) -> Settings:
    """Parse and check everything; load the keys.

    Args:
        values: The value of every option.
        is_set: Whether somebody set an option, so that it wins over the configuration file.
        need_keys: Whether keys must be there; without a listener they need not be.

    Raises:
        BadOption: Something cannot be used; the text names the option, its value and the remedy.
    """
    for _ in range(_TRIES):
        settings = _build(OptionValues(values, is_set), need_keys=need_keys)
        if stamp_files(settings.files) == settings.files:
            break
        # They have changed while they were read: one of them may be of the old set.
    return settings


def _build(values: OptionValues, *, need_keys: bool) -> Settings:
    files = stamp_files(find_files(values))
    file = load_config_file(values)
    pools = build_pools(values, file)
    upstreams = {name: pool.in_order for name, pool in pools.items()}
    keys = load_keys(values, need_keys=need_keys)
    nginx = list(_check_nginx_files(values)) if need_keys else []
    rules = build_rules(values, build_table(values, file, upstreams), upstreams, keys)
    return Settings(
        rules=rules,
        pools=pools,
        carrier=values.choice("route_carrier", ("relay", "stock")),
        limits=parse_limits(values),
        cache_limits=parse_cache_limits(values, rules.locations),
        encoding=_encoding(values),
        watch=values.choice("route_watch", ("auto", "always", "never")),
        watch_limits=parse_watch_limits(values),
        listen=parse_listen(values),
        workers=values.number("route_workers", 0, 256),
        drain=parse_drain_limits(values),
        record=_record(values),
        certificates=parse_certificates(values),
        upstream_ca=values.text("route_upstream_ca"),
        files=files,
        cache_ttl_s=values.number("route_cache_ttl", 0, 86400),
        cache_entries=values.number("route_cache_entries", 1, 10_000_000),
        metrics=parse_metrics(values),
        access_log=_access_log(values),
        signing_fingerprints=tuple(map(fingerprint, keys.signing)),
        payload_fingerprints=tuple(map(fingerprint, keys.payload)),
        warnings=(*nginx, *find_weak_keys(keys)),
    )


def _encoding(values: OptionValues) -> EncodingPolicy:
    value = values.text("route_compress")
    codings = () if is_none(value) else tuple(dict.fromkeys(split_list(value)))
    for coding in codings:
        if coding not in CODINGS:
            raise BadOption(
                "route_compress", value, f"{coding!r} must be one of {', '.join(CODINGS)}, or none"
            )
    return EncodingPolicy(codings, values.flag("route_compress_behind_tokens"))


def _record(values: OptionValues) -> str:
    path = values.text("route_record")
    if path and values.text("route_carrier") == "stock":
        raise BadOption("route_record", path, "stock flows hold tokens; take route_carrier=relay")
    if path and values.text("route_watch") == "never":
        raise BadOption(
            "route_record", path, "records nothing with route_watch=never; leave it out"
        )
    if path and not os.path.isdir(os.path.dirname(os.path.abspath(os.path.expanduser(path)))):
        raise BadOption("route_record", path, "must be a file in a folder that is there")
    return path


def _access_log(values: OptionValues) -> AccessLogSettings:
    return AccessLogSettings(
        values.choice("route_access_log", ("off", "json", "combined")),
        values.text("route_access_log_file"),
        values.flag("route_access_log_target"),
    )


def _check_nginx_files(values: OptionValues) -> Iterator[str]:
    """What to tell of files that are mounted for nginx, where none of them stops the start."""
    folder = nginx_files.FOLDER
    ignored = nginx_files.find_ignored_site(folder)
    if ignored:
        yield ignored
    has_console_rules = bool(values.text("route_console_allow").strip())
    for lost in nginx_files.find_lost_rules(folder, has_console_rules=has_console_rules):
        if not values.flag("route_ignore_nginx_config"):
            raise BadOption(
                "route_ignore_nginx_config",
                "false",
                f"{lost.path} holds rules of nginx's, which are not in force here: {lost.remedy} "
                "and mount the file no more, or set this to true to go without them",
            )
        yield f"{lost.path} is there, and its rules are not in force"
