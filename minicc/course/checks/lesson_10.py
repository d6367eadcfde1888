"""Checks of lesson 10: a rule is written and doubted, an unsound one found, passes ordered, a shared value kept."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from minicc import ops
from minicc.course.exercise import WrongAnswer, called, exercise, expect, number, parts, word
from minicc.graph import Graph, Node, evaluate, fold_constants, input, merge_common_subexpressions, simplify_graph
from minicc.graph.simplify_graph import GraphRule
from minicc.ir.rewrite import Wild
from minicc.testing.draws import special_values
from minicc.types import TensorType, float32

MOST = 1000  # times that a rule may fire on a graph of a few nodes
Side = Callable[[Node, Node], Node]
PASSES: dict[str, Callable[[Graph], Graph]] = {
    "fold": fold_constants,
    "simplify": simplify_graph,
    "merge": merge_common_subexpressions,
}
PROPOSED: dict[str, tuple[Side, Side, str]] = {
    "A": (
        lambda x, y: ops.Relu()(ops.Relu()(x)),
        lambda x, y: ops.Relu()(x),
        "after one Relu nothing is negative, so that the second one changes no bit",
    ),
    "B": (lambda x, y: ops.Neg()(ops.Sub()(x, y)), lambda x, y: ops.Sub()(y, x), ""),
    "C": (
        lambda x, y: ops.Mul()(x, np.float32(2)),
        lambda x, y: ops.Add()(x, x),
        "a doubled float is exact, or overflows on both sides",
    ),
    "D": (lambda x, y: ops.Max()(x, x), lambda x, y: x, "of two equal numbers, NaN included, each is the greatest"),
}


def operators(graph: Graph) -> list[str]:
    """The names of the operators of a graph, in order."""
    return [n.op.name for n in graph.nodes if n.op.name not in ("Input", "Constant")]


def pair(side: Side, count: int) -> Graph:
    """A function of two values as a graph of two vectors."""
    x, y = (input(name, TensorType(float32, (count,))) for name in "xy")
    return Graph("side", (x, y), (side(x, y),), ("out",))


def apart(before: Graph, after: Graph, x: Any, y: Any) -> tuple[float, ...] | None:
    """The first numbers for which two graphs differ in a bit, and both results."""
    one, other = (evaluate(g, {"x": x, "y": y})["out"] for g in (before, after))
    same = ((one == other) & (np.signbit(one) == np.signbit(other))) | (np.isnan(one) & np.isnan(other))
    where = np.flatnonzero(~same)
    return tuple(float(a[where[0]]) for a in (x, y, one, other)) if len(where) else None


def wildcards(pattern: Any) -> set[str]:
    """The names of the wildcards in a left side."""
    if isinstance(pattern, Wild):
        return {pattern.name}
    return set().union(*map(wildcards, pattern.inputs)) if isinstance(pattern, Node) else set()


class Trial:
    """A rule of an answer, as a pass of its own. Raises WrongAnswer for what is no rule, and where it makes no node, or no end."""

    def __init__(self, rule: Any) -> None:
        expect(isinstance(rule, GraphRule), f'expected a GraphRule("name", left, right), got {rule!r:.80}')
        known = wildcards(rule.lhs)
        expect(isinstance(rule.lhs, Node), f"expected an operator on the left side, `on(...)`, got {rule.lhs!r:.80}")
        expect(
            not isinstance(rule.rhs, Node),
            "`on(...)` is a pattern, which is looked for; the right side makes a node: a function of x and y",
        )
        makes = isinstance(rule.rhs, Wild) or callable(rule.rhs)
        expect(makes, f"expected a wildcard or a function on the right side, got {rule.rhs!r:.80}")
        for function in (rule.rhs, rule.where):
            asked = [] if isinstance(function, Wild | None) else list(inspect.signature(function).parameters)
            expect(
                known.issuperset(asked),
                f"a function of {', '.join(asked)}, but the left side has wildcards of other names: {', '.join(sorted(known))}",
            )
        self.fired = 0
        self.rule = rule if isinstance(rule.rhs, Wild) else replace(rule, rhs=self._watched(rule.rhs))

    def _watched(self, rhs: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(rhs)
        def made(*found: Node) -> Node:
            self.fired += 1
            expect(self.fired < MOST, "it never ends: what it makes fits its left side again")
            node = called(rhs, *found)
            expect(isinstance(node, Node), f"its right side gave {node!r:.80}, and not a node as `ops.Add()(x, y)` is")
            return cast(Node, node)

        return made

    def __call__(self, graph: Graph) -> Graph:
        self.fired = 0
        return simplify_graph(graph, [self.rule], fast=True)


@exercise
def ex1(answer: Any) -> str:
    """Write the rule (-x) * (-y) -> x * y."""
    rule = Trial(answer)
    numbers = np.array([*special_values(float32), 1.5, -3, 7], np.float32)
    x, y = (np.ascontiguousarray(a.ravel(), np.float32) for a in np.meshgrid(numbers, numbers))
    before = pair(lambda x, y: ops.Mul()(ops.Neg()(x), ops.Neg()(y)), len(x))
    after = rule(before)
    expect(
        after is not before or not rule.fired, "its left side fits, but what you put there has another shape or dtype"
    )
    if after is before:
        squared = pair(lambda x, y: ops.Mul()(ops.Neg()(x), ops.Neg()(x)), len(x))
        if rule(squared) is not squared:
            raise WrongAnswer(
                "it fits (-x) * (-x) only: a wildcard that stands twice is one node twice. Name two of them"
            )
        raise WrongAnswer(
            "its left side does not fit (-x) * (-y): a product of two negations, each with a wildcard in it"
        )
    if found := apart(before, after, x, y):
        raise WrongAnswer("for x = {}, y = {} the left side is {}, and what you put there {}".format(*found))
    left = operators(after)
    expect("Neg" not in left, f"the value is right, but a negation is left: {', '.join(left)}")
    expect(left == ["Mul"], f"the value is right, but one Mul is enough: {', '.join(left)}")
    other = pair(lambda x, y: ops.Mul()(ops.Neg()(x), y), len(x))
    expect(rule(other) is other, "it fires where only one factor is negated, too")
    expect(
        not answer.fast, "it keeps every bit, so that it needs no `fast`: signs are exact, and multiply as they should"
    )
    return f"both sides are equal for {len(x)} pairs of numbers, to the bit: a sign is a bit of its own, and two of them cancel"


@exercise
def ex2(answer: Any) -> str:
    """Which of the four rules is wrong for floats, and for which x and y?"""
    letter, *pairs = parts(answer, 'a letter and two numbers, such as ("A", 1.0, 2.0)', 3)
    name, numbers = word(letter, PROPOSED), [np.array([number(n, finite=False)], np.float32) for n in pairs]
    before, after, why = PROPOSED[name]
    graphs = pair(before, 1), pair(after, 1)
    found = apart(*graphs, *numbers)
    if why:
        raise WrongAnswer(f"{name} is right for all floats: {why}")
    if not found:
        both = evaluate(graphs[0], dict(zip("xy", numbers, strict=True)))["out"][0]
        raise WrongAnswer(
            f"it is {name}, but for these numbers both sides are {both}. When is a difference without a sign?"
        )
    return f"for x = y the one side is {found[2]} and the other {found[3]}: equal, until somebody divides by it"


@exercise
def ex3(answer: Any, puzzle: Graph) -> str:
    """In which order do fold, simplify and merge leave the fewest operators?"""
    form = f"each of {', '.join(PASSES)} once, in a list"
    order = [word(name, PASSES) for name in parts(answer, form, len(PASSES))]
    expect(len(set(order)) == len(PASSES), f"expected {form}, got {answer!r}")

    def after(order: Sequence[str]) -> list[str]:
        graph = puzzle
        for name in order:
            graph = PASSES[name](graph)
        return operators(graph)

    left, fewest = after(order), min(len(after(order)) for order in itertools.permutations(PASSES))
    where = {name: order.index(name) for name in order}
    if len(left) > fewest and where["simplify"] < where["fold"]:
        reason = "simplify looks for a constant 1, and that is computed only by fold"
    else:
        reason = "the two additions differ in more than their order until simplify has been there"
    expect(
        len(left) == fewest, f"{len(left)} operators are left ({', '.join(left)}), and {fewest} are possible: {reason}"
    )
    return f"{fewest} operators are left: fold makes the 1 that simplify looks for, and simplify makes equal what merge finds"


@exercise
def ex4(answer: Any, shared: Graph) -> str:
    """How many operators are left where the value of a convolution has two readers?"""
    given, left = number(answer), operators(simplify_graph(shared))
    if given == len(operators(shared)) - 1:
        raise WrongAnswer(
            "that would be right if the scale moved into the weights. But then the second reader would get scaled values"
        )
    if given == len(operators(shared)):
        raise WrongAnswer("the normalization does not stay: its constants are known, so what is it?")
    expect(given == len(left), f"expected the number of operators after simplify_graph, got {given}")
    return f"{', '.join(left)}: the normalization became a Mul and an Add, and the weights stay, as somebody else reads the value"
