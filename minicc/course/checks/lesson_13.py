"""Checks of lesson 13: disagreements are judged by the oracle, a planted fault is found and shrinks, properties kill mutants."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from minicc.course.checks.lesson_10 import Trial
from minicc.course.exercise import WrongAnswer, exercise, expect, parts, word
from minicc.graph import Graph, evaluate
from minicc.testing.draws import drawn_graph
from minicc.testing.oracle import distance, reference
from minicc.testing.reduce import fails_like, failure, reduce
from minicc.types import DType

GRAPHS = 500  # that are drawn to find a fault
Function = Callable[[Any], Any]
Property = Callable[[Function, Any], Any]


@exercise
def ex1(answer: Any, cases: Sequence[tuple[Graph, Mapping[str, Any], Any, Any]]) -> str:
    """Who is right in each of the four disagreements: A, B, or both?"""
    words = parts(answer, f'a list of {len(cases)} words, each "A", "B" or "both"', len(cases))
    verdicts = [word(each, ["A", "B", "both"]) for each in words]
    for k, (said, (graph, inputs, *given)) in enumerate(zip(verdicts, cases, strict=True), 1):
        (wanted,), (tolerance,) = reference(graph, inputs)
        right = [bool((distance(np.asarray(a, wanted.dtype), wanted) <= tolerance).all()) for a in given]
        verdict = "both" if all(right) else "AB"[right.index(True)]
        if said != verdict and verdict == "both":
            exact = f"in float64 it is {wanted.tolist()}, but float32 may be off by {float(np.max(tolerance)):.3g} here"
            raise WrongAnswer(
                f"number {k}, {graph.name}: {exact}: an order of the additions decides, and the standard names none"
            )
        if said != verdict:
            exact = f"the reference says {wanted.tolist()}"
            limit = f", and allows {float(np.max(tolerance)):.2g}" if DType.of(wanted.dtype).is_float else ", exactly"
            raise WrongAnswer(f"number {k}, {graph.name}: {exact}{limit}")
    return "the standard decides what is meant, and the bound of the rounding what is blamed on nobody"


@exercise
def ex2(rule: Any, names: Collection[str]) -> str:
    """Plant a fault: write a rule that is wrong."""
    planted, fired = Trial(rule), 0
    runs = {"simplified": lambda graph, inputs: evaluate(planted(graph), inputs)}
    for seed in range(GRAPHS):
        example = drawn_graph(seed, max_nodes=8, names=list(names))
        if example is None or planted(example.graph) is example.graph:
            continue
        fired += 1
        if failure(example.graph, example.inputs, list(runs), runs):
            fails = fails_like(example.graph, example.inputs, list(runs), runs)
            graph, inputs = reduce(example.graph, example.inputs, fails)
            values = ", ".join(f"{name} = {array.tolist()}" for name, array in inputs.items())
            return f"graph {seed} found it, and it shrank to this, for {values}: {' '.join(str(graph).split())}"
    expect(
        fired > 0, f"it fits nowhere in {GRAPHS} graphs of {', '.join(names)}: a rule that never fires cannot be wrong"
    )
    raise WrongAnswer(
        f"it fired in {fired} of {GRAPHS} graphs and changed no answer by more than rounding: it is sound, or wrong for rare numbers only"
    )


def survives(f: Function, prop: Property) -> Any:
    """None if a function has a property, else an input on which it has not."""
    random = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        for size in (2, 3, 4, 5, 7, 9):
            x = random.standard_normal(size)
            if not prop(f, x):
                return np.round(x, 2).tolist()
    return None


def _name(named: Any) -> Any:
    """The name of a function, as an answer may have the function itself."""
    return getattr(named, "__name__", named)


@exercise
def ex3(answer: Any, right: Function, mutants: Sequence[Function], properties: Sequence[Property]) -> str:
    """Which property kills which mutant?"""
    known, named = {p.__name__: p for p in properties}, [m.__name__ for m in mutants]
    given = {_name(key): _name(value) for key, value in answer.items()} if isinstance(answer, Mapping) else {}
    expect(set(given) == set(named), f"expected a dictionary with each of {', '.join(named)}, got {answer!r:.200}")
    for mutant in mutants:
        chosen = word(given[mutant.__name__], known)
        expect(survives(right, known[chosen]) is None, f"{chosen} does not even hold for the right function")
        if survives(mutant, known[chosen]) is None:
            raise WrongAnswer(
                f"{mutant.__name__} has the property {chosen}, and survives; what does it do to its input?"
            )
    return "each mutant breaks what you chose. No single property kills them all: a test of a function is a set of properties"
