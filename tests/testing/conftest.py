"""The judges, one after the other, for the tests that ask each of them: Relay where there is time for it."""

import pytest


@pytest.fixture(params=["relax", pytest.param("relay", marks=[pytest.mark.relay, pytest.mark.slow])])
def judge_name(request):
    """Stage and peer of that name: TVM through one of its two languages for graphs."""
    return request.param
