"""What is configured of a pool."""

import pytest

from route_addon.core.pool_config import Failure, HealthSpec, PoolSpec
from tests.core.pooling import pool_spec, server


def test_defaults() -> None:
    """They are nginx's, where nginx has a bound; where it has none, there is one."""
    one = server("a")
    assert (one.weight, one.max_fails, one.fail_timeout_s, one.max_conns) == (1, 1, 10.0, 0)
    spec = pool_spec("a")
    assert (spec.method, spec.tries) == ("round_robin", 0)
    assert spec.next_upstream == {Failure.ERROR, Failure.TIMEOUT}
    assert (spec.next_upstream_timeout_s, spec.queue, spec.queue_timeout_s) == (30.0, 256, 60.0)
    health = HealthSpec("/healthz")
    assert (health.interval_s, health.rise, health.fall) == (5.0, 2, 3)
    assert (min(health.status), max(health.status)) == (200, 399)


@pytest.mark.parametrize(
    ("spec", "is_plain"),
    [
        pytest.param(pool_spec("a"), True, id="one server"),
        pytest.param(
            pool_spec(server("a", weight=3, max_fails=0)), True, id="parameters without effect"
        ),
        pytest.param(pool_spec("a", "b"), False, id="two servers"),
        pytest.param(pool_spec(server("a", max_conns=1)), False, id="max_conns"),
        pytest.param(pool_spec(server("a", is_resolved=True)), False, id="resolve"),
        pytest.param(pool_spec(server("a", is_down=True)), False, id="down"),
        pytest.param(pool_spec("a", health=HealthSpec("/")), False, id="health"),
    ],
)
def test_plain(spec: PoolSpec, is_plain: bool) -> None:
    """One server without bounds needs no pool."""
    assert is_plain is spec.is_plain


def test_in_order() -> None:
    """Who takes the first takes one that is in service, and no backup if it can be helped."""
    spec = pool_spec(
        server("down", is_down=True),
        server("backup", is_backup=True),
        server("down backup", is_down=True, is_backup=True),
        "b",
        "a",
    )
    assert [one.host for one in spec.in_order] == ["b", "a", "backup", "down", "down backup"]
