"""The exercises of lesson 10: right answers are accepted, wrong ones are told why."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicc import ops
from minicc.course.checks import lesson_10 as check
from minicc.graph import Graph, constant, input
from minicc.graph.simplify_graph import AnyNode, GraphRule, on
from minicc.types import TensorType, float32

x, y = AnyNode("x"), AnyNode("y")
NEGATED = on(ops.Mul(), on(ops.Neg(), x), on(ops.Neg(), y))
RIGHT = GraphRule("two negations", NEGATED, lambda x, y: ops.Mul()(x, y))
a, b = (input(name, TensorType(float32, (4,))) for name in "ab")


def puzzle() -> Graph:
    half = ops.Mul()(constant(np.float32(2)), constant(np.float32(0.5)))
    one = ops.Add()(ops.Relu()(ops.Mul()(a, half)), ops.Relu()(b))
    other = ops.Add()(ops.Relu()(b), ops.Relu()(ops.Neg()(ops.Neg()(a))))
    return Graph("puzzle", (a, b), (ops.Mul()(one, other),), ("y",))


def shared() -> Graph:
    pixels = input("pixels", TensorType(float32, (1, 3, 6, 6)))
    convolved = ops.Conv()(pixels, np.ones((4, 3, 3, 3), np.float32))
    normalized = ops.BatchNormalization()(convolved, *[np.arange(1, 5).astype(np.float32)] * 4)
    return Graph("shared", (pixels,), (ops.Add()(ops.Relu()(normalized), convolved),), ("y",))


@pytest.mark.parametrize(
    "rule, why",
    [
        ("x * y", "expected a GraphRule"),
        (GraphRule("r", x, lambda x: x), "expected an operator on the left side"),
        (GraphRule("r", NEGATED, None), "a wildcard or a function on the right side, got None"),
        (GraphRule("r", NEGATED, lambda a, b: ops.Mul()(a, b)), "wildcards of other names: x, y"),
        (GraphRule("r", NEGATED, lambda x, y: ops.Mul()(x, y), lambda z: True), "wildcards of other names: x, y"),
        (GraphRule("r", NEGATED, lambda x, y: "x * y"), "its right side gave 'x * y'"),
        (GraphRule("r", NEGATED, lambda x, y: None), "its right side gave None"),
        (GraphRule("r", NEGATED, lambda x, y: constant(np.float32(1))), "another shape or dtype"),
        (
            GraphRule("r", NEGATED, lambda x, y: ops.Sub()(ops.Mul()(x, y), np.float32(0))),
            "one Mul is enough: Mul, Sub",
        ),
        (GraphRule("r", on(ops.Mul(), x, y), lambda x, y: ops.Mul()(ops.Relu()(x), y)), "it never ends"),
        (GraphRule("r", on(ops.Mul(), x, y), lambda x, y: ops.Mul()(y, x)), "rules that make progress"),
        (GraphRule("r", NEGATED, lambda x, y: 1 / 0), "ZeroDivisionError"),
        (GraphRule("r", NEGATED, on(ops.Mul(), x, y)), "a function of x and y"),
        (GraphRule("r", on(ops.Mul(), on(ops.Neg(), x), on(ops.Neg(), x)), lambda x: ops.Mul()(x, x)), "stands twice"),
        (GraphRule("r", on(ops.Neg(), on(ops.Mul(), x, y)), lambda x, y: ops.Mul()(x, y)), "does not fit"),
        (GraphRule("r", NEGATED, lambda x, y: ops.Mul()(x, x)), "the left side is"),
        (GraphRule("r", NEGATED, lambda x, y: ops.Neg()(ops.Mul()(x, ops.Neg()(y)))), "a negation is left"),
        (GraphRule("r", NEGATED, lambda x, y: ops.Mul()(x, y), fast=True), "keeps every bit"),
    ],
)
def test_a_rule(rule: object, why: str) -> None:
    assert check.ex1(RIGHT).right
    wrong = check.ex1(rule)
    assert wrong.right is False and why in wrong.why


@pytest.mark.parametrize(
    "rhs", [lambda y, x: ops.Mul()(x, y), lambda x, y: ops.Mul()(y, x), lambda p, q: ops.Mul()(p, q)]
)
def test_a_rule_in_other_words(rhs: Any) -> None:
    names = (AnyNode(name) for name in rhs.__code__.co_varnames)
    assert check.ex1(GraphRule("r", on(ops.Mul(), *[on(ops.Neg(), name) for name in names]), rhs)).right
    assert check.ex1(GraphRule("r", NEGATED, lambda x, y: ...)).right is None


def test_the_unsound_rule() -> None:
    assert check.ex2((" b", np.int64(5), 5)).right and check.ex2(["B", 1e-45, 1e-45]).right
    assert "both sides are nan" in check.ex2(("B", np.inf, float("inf"))).why
    assert "expected a number, got '1'" in check.ex2(("B", "1", 1)).why
    assert check.ex2(("B", 1.0, 1.0)).right and check.ex2(["B", 0, 0]).right
    assert "without a sign" in check.ex2(("B", 1.0, 2.0)).why
    assert "right for all floats" in check.ex2(("A", 1.0, 1.0)).why
    assert "expected a letter" in check.ex2("B").why


@pytest.mark.parametrize("name", "ACD")
def test_the_sound_rules_are_sound(name: str) -> None:
    before, after, _ = check.PROPOSED[name]
    numbers = np.float32([0, -0.0, 1, -1, 1e-45, 3e38, -3e38, np.inf, -np.inf, np.nan])
    first, second = (np.ascontiguousarray(v.ravel()) for v in np.meshgrid(numbers, numbers))
    assert check.apart(check.pair(before, 100), check.pair(after, 100), first, second) is None


def test_the_order_of_passes() -> None:
    assert check.ex3(["fold", "simplify", "merge"], puzzle()).right
    assert "computed only by fold" in check.ex3(["simplify", "fold", "merge"], puzzle()).why
    assert "differ in more than their order" in check.ex3(["fold", "merge", "simplify"], puzzle()).why
    assert check.ex3(("Fold ", "simplify", "merge"), puzzle()).right
    assert "once" in check.ex3(["fold"], puzzle()).why and "once" in check.ex3(["fold"] * 3, puzzle()).why
    assert "in a list, got 'fold" in check.ex3("fold, simplify, merge", puzzle()).why


def test_a_value_with_two_readers() -> None:
    assert check.ex4(5, shared()).right
    assert "second reader" in check.ex4(3, shared()).why
    assert "does not stay" in check.ex4(4, shared()).why
    assert check.ex4(17, shared()).right is False
    assert check.ex4(..., shared()).right is None


def test_the_lesson_asks_what_is_checked_here() -> None:
    text = (Path(__file__).parents[2] / "tutorials/10_graph_rewriting.py").read_text(encoding="utf-8")
    assert all(f"check.ex{k}(answer" in text for k in range(1, 5))
