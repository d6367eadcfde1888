"""The judges, one after the other, for the tests that ask each of them."""

import pytest


@pytest.fixture(params=["relax", pytest.param("relay", marks=pytest.mark.relay)])
def judge_name(request):
    """Stage and peer of that name: TVM through one of its two languages for graphs."""
    return request.param
