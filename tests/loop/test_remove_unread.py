"""What nobody reads goes, and nothing else."""

import numpy as np
import pytest
from loop_cases import CASES, draw, run

import minicc
from minicc import ops
from minicc.graph.ir import Graph, input
from minicc.loop import Buffer, Program
from minicc.loop.ir import Alloc, For, If, Prefetch, Store, Update, seq
from minicc.loop.remove_unread import remove_unread
from minicc.tensor.expr import Var, const
from minicc.types import TensorType, float32, int64, uint64

A, B = Buffer("A", float32, (8,)), Buffer("B", float32, (8,))
i, j = Var("i"), Var("j")
zero = const(0.0, float32)


@pytest.mark.parametrize("name", CASES)
def test_programs_without_dead_buffers_stay_themselves(name: str) -> None:
    assert remove_unread(CASES[name].program) is CASES[name].program


def test_chains_and_what_reads_only_itself_go() -> None:
    first, second = (Buffer(name, float32, (8,)) for name in ("first", "second"))
    keep = For(j, 8, Store(B, (j,), A[j]))
    dead = For(
        i, 8, If(i < 7, seq(Store(first, (i,), A[i]), Prefetch(first, (i,)), Store(second, (i,), second[i] + first[i])))
    )
    program = Program("f", (A,), (B,), Alloc(first, Alloc(second, seq(dead, keep))))
    made = remove_unread(program)
    assert made.body is keep
    arrays = draw(program)
    np.testing.assert_array_equal(run(made, arrays)[0], run(program, arrays)[0])


def test_a_reduction_of_two_results_of_which_one_is_read_stays() -> None:
    top, place = Buffer("top", float32, (1,)), Buffer("place", int64, (1,))
    update = Update((top, place), (const(0),), (A[i], i), (zero, const(0)), (i,))
    program = Program(
        "f", (A,), (B,), Alloc(top, Alloc(place, seq(For(i, 8, update), For(j, 8, Store(B, (j,), top[0])))))
    )
    assert remove_unread(program) is program


def test_a_product_that_cancels_is_not_computed() -> None:
    a, b = input("a", TensorType(uint64, (2,))), input("b", TensorType(uint64, (2, 4, 2, 4)))
    product = ops.MatMul()(a, b)
    exe = minicc.compile(Graph("g", (a, b), (ops.Sub()(product, product),), ("y",)))
    result = exe.run({"a": np.ones(2, np.uint64), "b": np.ones((2, 4, 2, 4), np.uint64)})["y"]
    np.testing.assert_array_equal(result, np.zeros((2, 4, 4), np.uint64))
