"""Checks of lesson 11: kernels are predicted, the end of an epilogue explained, bytes counted; `fuse` itself is asked why."""

from __future__ import annotations

from itertools import chain
from typing import Any

from minicc.course.exercise import WrongAnswer, exercise, expect, number, parts, word
from minicc.graph import Graph, Node, fuse
from minicc.graph.fuse import Partition, partition

REASONS = {  # words of the reason that `fuse` gives
    "a": "is an output of the graph",
    "b": "keeps its shape",
    "c": "is the heart of a kernel of its own",
    "d": "meet nowhere",
}


def operators(graph: Graph) -> list[Node]:
    """What is computed, in order."""
    return [n for n in graph.nodes if n.op.name not in ("Input", "Constant")]


def edges(graph: Graph) -> list[tuple[Node, Node]]:
    """Each value that an operator computes, with each operator that reads it."""
    computed = operators(graph)
    return [(i, n) for n in computed for i in dict.fromkeys(n.inputs) if i in computed]


@exercise
def ex1(answer: Any, puzzle: Graph) -> str:
    """Which operators of the graph does minicc put into one kernel?"""
    names = [n.op.name for n in operators(puzzle)]
    form = f"each of {', '.join(names)} once, in lists of a list"
    kernels = [[word(name, names) for name in parts(kernel, form)] for kernel in parts(answer, form)]
    expect(sorted(chain(*kernels)) == sorted(names), f"expected {form}, got {answer!r:.200}")
    home = {name: k for k, kernel in enumerate(kernels) for name in kernel}
    made = partition(puzzle)
    for producer, consumer in edges(puzzle):
        first, last, why = producer.op.name, consumer.op.name, made.why[producer, consumer]
        are_one = made.of[producer] is made.of[consumer]
        if are_one and home[first] != home[last]:
            raise WrongAnswer(f"{first} and {last} run together: {why}")
        if not are_one and home[first] == home[last]:
            raise WrongAnswer(f"{first} and {last} are apart: {why}")
    expect(
        len(set(home.values())) == len(set(made.of.values())),
        "operators in one kernel of yours have nothing to do with each other",
    )
    return f"{len(set(home.values()))} kernels: each has one heart, nothing joins what an anchor reads, and what follows is its epilogue"


def _cut(graph: Graph, made: Partition) -> tuple[Node, Node]:
    """The first edge between two kernels."""
    return next((i, n) for i, n in edges(graph) if made.of[i] is not made.of[n])


@exercise
def ex2(answer: Any, stopped: Graph) -> str:
    """Between which two operators does the epilogue end, and why?"""
    *between, letter = parts(answer, 'two names and a letter, such as ("MatMul", "Relu", "a")', 3)
    first, second = (word(name, [n.op.name for n in operators(stopped)]) for name in between)
    reason = REASONS[word(letter, REASONS)]
    made = partition(stopped)
    producer, consumer = _cut(stopped, made)
    found = next(((i, n) for i, n in edges(stopped) if (i.op.name, n.op.name) == (first, second)), None)
    if found is None:
        raise WrongAnswer(f"there is no edge from {first} to {second}")
    expect(found == (producer, consumer), f"these two run together: {made.why[found]}")
    why = made.why[producer, consumer]
    expect(
        reason in why, f"the place is right. But the reason is another one: look at {producer.type} and {consumer.type}"
    )
    return f"{why}: {producer.type} became {consumer.type}, and the loops of the product have no trips for that"


def traffic(graph: Graph) -> int:
    """Bytes that operators, or kernels, read and write."""
    return sum(n.type.bytes + sum(i.type.bytes for i in dict.fromkeys(n.inputs)) for n in operators(graph))


@exercise
def ex3(answer: Any, savings: Graph) -> str:
    """How many bytes less does the fused graph move?"""
    given, before, after = number(answer), traffic(savings), traffic(fuse(savings))
    saved, size = before - after, savings.outputs[0].dtype.bytes
    if given == saved // size:
        raise WrongAnswer(f"that is elements; each of them has {size} bytes")
    if given == after:
        raise WrongAnswer("that is what the fused graph still moves; how much did the other one?")
    inner = sum(n.type.bytes for n in operators(savings) if n not in savings.outputs)
    if given == inner:
        raise WrongAnswer("that counts what is no longer written; it is no longer read either")
    if given == 2 * inner:
        raise WrongAnswer(
            "each value that went is counted as written once and read once; but is each of them, and the input, read once?"
        )
    expect(given == saved, f"expected bytes before minus bytes after, and before it is {before:,}; got {given:,}")
    return f"{before:,} - {after:,}: one value is read and one written, and all between stays in registers"
