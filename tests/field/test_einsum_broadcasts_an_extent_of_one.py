"""Einsum as NumPy has it: extents of 1 broadcast between terms, in whatever notation."""

import numpy as np
import pytest

from minicc.errors import TypeInferenceError
from minicc.ops import Einsum
from minicc.testing.draws import graph_of
from minicc.testing.oracle import STAGES
from minicc.types import TensorType, float32

CASES = [
    ("i,i->i", (1,), (3,)), ("i,i->i", (3,), (1,)), ("i,i", (1,), (3,)), ("i,i->", (3,), (1,)), ("ij,jk->ik", (2, 1), (3, 4)),
    ("ij,ij->ij", (1, 3), (2, 1)), ("bij,bjk->bik", (1, 2, 3), (4, 3, 2)), ("...i,...i->...", (2, 1, 3), (4, 1)), ("ii,i->i", (3, 3), (1,)),
    ("Ab,bA", (2, 3), (3, 2)), ("aB,bA", (2, 3), (3, 2)), (" i j , j k -> k i ", (2, 3), (3, 2)), (",i", (), (3,)), (",", (), ()), ("...,...", (2, 1), (3,)),
    ("i...,i...", (2, 3), (1, 3)), ("a...b,...b->b...a", (2, 4, 3), (1, 3)), ("i,i->i", (1,), (0,)), ("iij,j->ij", (2, 2, 1), (5,)), ("z,a", (2,), (3,)),
]  # fmt: skip


@pytest.mark.parametrize(("equation", "left", "right"), CASES)
def test_it_is_that_of_numpy(equation, left, right):
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape) for shape in (left, right)]
    expected = np.einsum(equation, *arrays)
    made = graph_of(Einsum(equation), arrays)
    assert made.graph.outputs[0].shape == expected.shape
    for stage in ("numpy", "loop", "llvm"):
        np.testing.assert_allclose(STAGES[stage](made.graph, made.inputs)["y"], expected, rtol=1e-12, atol=1e-12)


def test_three_terms_broadcast_too():
    arrays = [np.arange(n * m, dtype=np.float64).reshape(n, m) for n, m in ((1, 3), (3, 1), (2, 3))]
    for equation in ("ij,jk,ij->ik", "ij,jk,ij", "ab,bc,ab->"):
        np.testing.assert_allclose(Einsum(equation)(*arrays), np.einsum(equation, *arrays))


@pytest.mark.parametrize(
    ("equation", "shapes", "problem"),
    [
        ("i,i->i", [(2,), (3,)], "axis i must have one extent, got 2 and 3"),
        ("ii->i", [(1, 3)], "axis i must have one extent, got 1 and 3"),
        ("i->i->i", [(2,)], "a term is letters"),
        ("i..j", [(2, 2)], "a term is letters"),
        ("...i...->i", [(2, 2)], "a term is letters"),
        ("i,->i", [(2,), (2,)], "does not describe rank 1"),
        ("", [(2,)], "does not describe rank 1"),
    ],
)
def test_what_has_no_meaning_is_refused(equation, shapes, problem):
    with pytest.raises(TypeInferenceError, match=problem):
        Einsum(equation).infer(*[TensorType(float32, shape) for shape in shapes])
