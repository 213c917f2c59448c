"""Fresh request identifiers."""

import re

from route_addon.carry.request_id import make_request_id


def test_fresh() -> None:
    """Each is another one, of characters that every log and header takes."""
    made = [make_request_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(re.fullmatch(rb"[0-9a-f]{24}", one) for one in made)
