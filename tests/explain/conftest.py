"""What several tests of pages need."""

import pytest

from tests.explain.chromium import chromium


@pytest.fixture(scope="module")
def browser():
    """Chromium, for the tests of a file: Playwright runs one at a time in a process."""
    with chromium() as started:
        yield started
