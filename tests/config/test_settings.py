"""What settings say of themselves, and what each of several workers gets."""

from pathlib import Path

import pytest

from route_addon.config.workers import ALONE, Worker
from route_addon.options import Value
from tests.config.building import KEYS, Build, build
from tests.minting import key_pair

CACHE_KEYS = {
    "the leeway": ("route_leeway", 5, True),
    "what is allowed": ("route_target_allow", "10.0.0.0/8", True),
    "what is denied": ("route_target_deny", "10.0.0.0/8", True),
    "how long": ("route_cache_ttl", 5, True),
    "how many": ("route_cache_entries", 5, True),
    "an upstream": ("route_website", "other", False),
    "a port": ("route_ports", "xterm=5", False),
    "the cookie": ("route_cookie", "other", False),
    "who is trusted": ("route_trusted_proxies", "none", False),
    "the node's name": ("route_node_name", "other", False),
    "a timeout": ("route_head_timeout", 5, False),
}


@pytest.mark.parametrize(
    ("name", "value", "differs"), CACHE_KEYS.values(), ids=list(CACHE_KEYS.keys())
)
def test_cache_key(name: str, value: Value, differs: bool) -> None:
    """Verified tokens depend on the keys, the target policy, the leeway, and the cache's size."""
    assert differs == (build({name: value}).cache_key != build().cache_key)


@pytest.mark.parametrize("name", KEYS)
def test_cache_key_of_keys(build_with_keys: Build, tmp_path: Path, name: str) -> None:
    """The same key in another file is the same; another key, or one more, is not."""
    pair = {"route_signing_key": "public_pem", "route_payload_key": "private_pem"}
    old = key_pair(name.removeprefix("route_").removesuffix("_key"))
    (tmp_path / "same.pem").write_bytes(getattr(old, pair[name]))
    (tmp_path / "other.pem").write_bytes(getattr(key_pair("stranger"), pair[name]))
    usual = build_with_keys().cache_key
    assert usual == build_with_keys({name: f"{tmp_path}/same.pem"}).cache_key
    assert usual != build_with_keys({name: f"{tmp_path}/other.pem"}).cache_key
    assert usual != build_with_keys({name: f"{tmp_path}/same.pem:{tmp_path}/other.pem"}).cache_key


def test_nobody_is_trusted() -> None:
    """The line for the log says so."""
    assert "; trusted proxies none; " in build({"route_trusted_proxies": "none"}).describe()


def test_shared_among_workers() -> None:
    """What is bounded in all is divided, rounded up; no bound stays none, and the rest is alike."""
    values: dict[str, Value] = {
        "route_website": "http://a;max_conns=5,http://b",
        "route_max_connections": 7,
        "route_http_cache_bytes": 64,
        "route_cache_entries": 1,
        "route_spool_bytes": 9,
    }
    whole = build(values)
    part = whole.share(Worker(1, 2))
    assert [server.max_conns for server in part.pools["website"].servers] == [3, 0]
    assert (part.limits.max_connections, part.limits.max_connections_per_client) == (4, 0)
    assert (part.cache_limits.max_bytes, part.cache_entries, part.limits.spool_bytes) == (32, 1, 5)
    assert part.rules == whole.rules
    assert whole.share(ALONE) == whole
