"""Split a graph where data decide shapes: what can be compiled now, what is interpreted then, and the rest.

In: a bound graph with nodes that are interpreted (control flow, sequences, NonZero and its kin), or whose operands data
decide. Out: `first`, the graph of all that does not depend on these; the nodes to be interpreted after it, one by one,
each when its inputs are there; and `rest`, a graph on what these gave, whose types are known only then. A node of the
rest that only moves, selects or combines elements is interpreted, too, where `light` says so: making code takes longer.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import MatMul, NonZero, Relu, Transpose
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2, 2)))
>>> found = NonZero()(Relu()(x))
>>> y = MatMul()(found, Transpose((1, 0))(found))
>>> first, interpreted, rest, _ = split_stages(Graph("g", (x,), (y,), ("y",)))
>>> [n.op.name for n in first.nodes], [n.op.name for n in interpreted], [n.op.name for n in rest.nodes]
(['Input', 'Relu'], ['NonZero', 'Transpose'], ['Input', 'Input', 'MatMul'])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from minicc.graph.ir import Constant, Graph, Input, Node, Span, input, spanned
from minicc.graph.transform import same
from minicc.ops.base import Kind, Operator


class StageSplit(NamedTuple):
    """The parts of a graph. The outputs of `first` are the nodes that others read, the inputs of `rest` stand for `taken`.

    The outputs of `rest` are those of the graph that it computes, in their order.
    """

    first: Graph | None
    interpreted: tuple[Node, ...]
    rest: Graph | None
    taken: tuple[Node, ...]


def is_open(n: Node) -> bool:
    """Whether a node cannot be compiled as it is."""
    return n.op.interpreted or n.inferred is None or bool(n.op.pending)


def is_light(n: Node) -> bool:
    """Whether its reference takes about as long as code would: no product, no window, nothing that is many operators."""
    many = n.op.composite and type(n.op).numpy is Operator.numpy
    return n.op.kind is not Kind.ANCHOR and not many


def split_stages(graph: Graph, light: Callable[[Node], bool] = is_light) -> StageSplit:
    """The stages of a graph; `light` says which nodes may be interpreted, apart from those that must be."""
    late, done = set[Node](), list[Node]()
    there = set(graph.inputs)  # what has a value before the rest
    for n in graph.nodes:
        if n in there or isinstance(n.op, Constant):
            there.add(n)
        elif not late.isdisjoint(n.inputs) or is_open(n):
            late.add(n)
            if there.issuperset(n.inputs) and (light(n) or n.op.interpreted or n.op.pending):
                done.append(n)
                there.add(n)
        else:
            there.add(n)
    rest = [n for n in graph.nodes if n not in there]
    read = {i for n in (*done, *rest) for i in n.inputs}.union(graph.outputs)
    early = [n for n in graph.nodes if n in read and n not in late and not isinstance(n.op, (Input, Constant))]
    first = Graph(graph.name, (), tuple(early), tuple([f"value{k}" for k in range(len(early))]))
    needed = set(first.nodes)
    first = replace(first, inputs=tuple([i for i in graph.inputs if i in needed]))
    return StageSplit(first.located(graph.spans) if early else None, tuple(done), *_rest(graph, rest))


def _rest(graph: Graph, nodes: list[Node]) -> tuple[Graph | None, tuple[Node, ...]]:
    """The graph of these nodes, on inputs for what they read of others, and these others."""
    made, taken, spans = dict[Node, Node](), list[Node](), dict[Node, Span]()
    for n in nodes:
        for i in n.inputs:
            if i not in made:
                made[i] = i if isinstance(i.op, Constant) else input(f"value{len(taken)}", i.inferred)
                taken += [] if made[i] is i else [i]
        with spanned(spans, graph.spans.get(n)):
            made[n] = same(n, tuple([made[i] for i in n.inputs]))
    inside = set(nodes)
    ends = [(name, made[n]) for name, n in zip(graph.output_names, graph.outputs, strict=True) if n in inside]
    if not nodes:
        return None, ()
    inputs = tuple([made[i] for i in taken])
    result = Graph(graph.name, inputs, tuple([n for _, n in ends]), tuple([name for name, _ in ends]))
    return result.located(spans), tuple(taken)
