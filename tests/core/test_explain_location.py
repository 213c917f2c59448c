"""Why this location, and not another."""

import pytest

from route_addon.core.explain_location import describe_location, list_losers
from route_addon.core.table import build_locations

LOCATIONS = build_locations()


@pytest.mark.parametrize(
    ("path", "winner", "losers"),
    [
        pytest.param(
            b"/filer/x",
            "/filer (prefix) -> pod:29783",
            ["not / (prefix): fits, but is the shorter prefix"],
            id="a prefix",
        ),
        pytest.param(
            b"/filerx",
            "/ (prefix) -> website",
            ["not /filer (prefix): is for whole segments"],
            id="no whole segment",
        ),
        pytest.param(
            b"/terminals/7/size",
            "/terminals/{id}/size (pattern) -> pod:29781",
            [
                "not /terminals/ (prefix): fits, but patterns go before prefixes",
                "not /terminals (exact): is for that very path",
                "not / (prefix): fits, but patterns go before prefixes",
            ],
            id="a pattern",
        ),
        pytest.param(
            b"/container/80",
            "/container/{port} (pattern) -> pod:{port}",
            [
                "not /container/{token}/{port}/{rest} (pattern): must fit from end to end",
                "not /container/{token}/{port} (pattern): must fit from end to end",
                "not / (prefix): fits, but patterns go before prefixes",
            ],
            id="a captured port",
        ),
        pytest.param(
            b"/container/80/80",
            "/container/{token}/{port} (pattern) -> pod:{port}",
            [
                "not /container/{token}/{port}/{rest} (pattern): must fit from end to end",
                "not /container/{port} (pattern): must fit from end to end",
                "not / (prefix): fits, but patterns go before prefixes",
            ],
            id="another",
        ),
        pytest.param(
            b"/healthz",
            "/healthz (exact) is answered here: healthz",
            ["not / (prefix): fits, but an exact location goes first"],
            id="exact",
        ),
    ],
)
def test_who_wins(path: bytes, winner: str, losers: list[str]) -> None:
    """Those that fit and those that look near are told, each with its reason."""
    match = LOCATIONS.match(path)
    assert match is not None
    assert describe_location(match[0]) == winner
    assert list(list_losers(LOCATIONS, path, match[0])) == losers
