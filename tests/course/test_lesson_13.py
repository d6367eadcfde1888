"""The exercises of lesson 13: right answers are accepted, wrong ones are told why."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minicc import ops
from minicc.course.checks import lesson_13 as check
from minicc.graph import Graph, input
from minicc.graph.simplify_graph import AnyNode, GraphRule, on
from minicc.types import TensorType, float32

x, y = AnyNode("x"), AnyNode("y")
NAMES = ["Add", "Neg", "Relu", "Mul", "Transpose", "ReduceSum", "Softmax", "MatMul", "Concat"]


def disagreement(op: Any, numbers: list[float], a: Any, b: Any) -> Any:
    of = input("x", TensorType(float32, (3,)))
    return Graph(op.name, (of,), (op(of),), ("y",)), {"x": np.float32(numbers)}, a, b


CASES = [
    disagreement(ops.Round(), [0.5, 1.5, 2.5], [0, 2, 2], [1, 2, 3]),
    disagreement(ops.ReduceSum((0,), False), [1e8, 1, -1e8], 0, 1),
    disagreement(ops.ArgMax(0, False), [1, 3, 3], 2, 1),
    disagreement(ops.Exp(), [0, 1, 2], [1, 2.7182817, 7.389056], [1, 2.718, 7.389]),
]


def test_who_is_right() -> None:
    assert check.ex1(["A", "both", "B", "A"], CASES).right
    assert check.ex1(("a", "Both ", "b", "A"), CASES).right
    assert (
        "expected a list" in check.ex1("AbothBA", CASES).why and "got 'C'" in check.ex1(["C", "A", "A", "A"], CASES).why
    )
    assert "number 1" in check.ex1(["both", "both", "B", "A"], CASES).why
    assert "the standard names none" in check.ex1(["A", "B", "B", "A"], CASES).why
    assert "number 4" in check.ex1(["A", "both", "B", "both"], CASES).why
    assert "expected a list" in check.ex1(["A"], CASES).why


@pytest.mark.course
def test_a_planted_fault_is_found_and_shrinks() -> None:
    tired = GraphRule("r", on(ops.Relu(), on(ops.Neg(), x)), lambda x: ops.Neg()(ops.Relu()(x)))
    reply = check.ex2(tired, NAMES)
    assert reply.right and "shrank" in reply.why and "Neg" in reply.why
    sound = GraphRule("r", on(ops.Relu(), on(ops.Relu(), x)), lambda x: ops.Relu()(x))
    assert "changed no answer" in check.ex2(sound, NAMES).why
    elsewhere = GraphRule("r", on(ops.Sinh(), x), x)
    assert "fits nowhere" in check.ex2(elsewhere, NAMES).why
    assert "expected a GraphRule" in check.ex2(3, NAMES).why
    growing = GraphRule("r", on(ops.Mul(), x, y), lambda x, y: ops.Mul()(ops.Relu()(x), y))
    assert "it never ends" in check.ex2(growing, NAMES).why


def softmax(v: Any) -> Any:
    e = np.exp(v - v.max())
    return e / e.sum()


def sorting(v: Any) -> Any:
    return np.sort(softmax(v))


def overflowing(v: Any) -> Any:
    return np.exp(v) / np.exp(v).sum()


def sums_to_one(f: Callable[[Any], Any], v: Any) -> Any:
    return np.isclose(f(v).sum(), 1)


def ignores_a_shift(f: Callable[[Any], Any], v: Any) -> Any:
    return np.allclose(f(v), f(v + 1000))


def follows_a_permutation(f: Callable[[Any], Any], v: Any) -> Any:
    return np.allclose(f(v[::-1]), f(v)[::-1])


def is_zero(f: Callable[[Any], Any], v: Any) -> Any:
    return not f(v).any()


def test_properties_kill_mutants() -> None:
    mutants, properties = [sorting, overflowing], [sums_to_one, ignores_a_shift, follows_a_permutation, is_zero]

    def reply(first: str, second: str) -> Any:
        return check.ex3({"sorting": first, "overflowing": second}, softmax, mutants, properties)

    assert reply("follows_a_permutation", "ignores_a_shift").right
    by_function = {sorting: follows_a_permutation, overflowing: ignores_a_shift}
    assert check.ex3(by_function, softmax, mutants, properties).right
    assert "survives" in reply("sums_to_one", "ignores_a_shift").why
    assert "right function" in reply("is_zero", "ignores_a_shift").why
    assert "expected one of sums_to_one" in reply("luck", "ignores_a_shift").why
    assert "expected a dictionary" in check.ex3({}, softmax, mutants, properties).why
