"""What several tests of the course need."""

from tests.explain.conftest import browser

__all__ = ["browser"]
