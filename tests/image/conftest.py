"""The image, built once for all tests of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.containerfile import Rooms, Stage, build_image

ROOT = Path(__file__).parents[2]
CONTAINERFILE = ROOT / "deploy" / "Containerfile"


@pytest.fixture(scope="session")
def image() -> Iterator[tuple[Rooms, Stage]]:
    """The image."""
    try:
        with build_image(ROOT, CONTAINERFILE) as built:
            yield built
    except OSError as error:
        pytest.skip(f"the Containerfile's steps are not performed: {error}")
