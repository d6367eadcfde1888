"""The NumPy reference of an operator does not follow from what it judges, the scalar definition."""

import numpy as np
import pytest

from minicc.ops.base import REGISTRY
from minicc.ops.elementwise import Elementwise, IntrinsicOperator

ELEMENTWISE = [c for c in REGISTRY.values() if issubclass(c, Elementwise) and not issubclass(c, IntrinsicOperator)]


@pytest.mark.parametrize("operator", ELEMENTWISE, ids=lambda c: c.__name__)
def test_an_operator_has_a_reference_of_its_own(operator):
    assert operator.reference is not Elementwise.reference or operator.numpy is not Elementwise.numpy


def test_a_wrong_definition_is_noticed(monkeypatch):
    monkeypatch.setattr(REGISTRY["Relu"], "scalar", lambda self, x: x)
    assert list(REGISTRY["Relu"]()(np.float32([-1, 2]))) == [0, 2]
