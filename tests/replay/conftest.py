"""The back ends of the end-to-end tests."""

from tests.e2e.conftest import shared_fleet

__all__ = ["shared_fleet"]
