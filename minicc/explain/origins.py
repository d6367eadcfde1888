"""Which nodes of a graph come from which nodes of the graph before, from the fused kernels back to the model's operators.

In: the graphs before and after a pass, or after several. Out: for each operator of the later graph those of the earlier
one that it does the work of. An operator that is in both is itself. Equal operators are one node, so a kernel tells what
is in it: its body, applied to what it reads, is the very nodes that it was made of. What a pass rewrites comes from where
its span says, and an operator that is gone is in what reads it: a BatchNorm in its convolution, a mask in its attention.

>>> from minicc.graph.fuse import fuse
>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Neg, Relu
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (4,)))
>>> graph = Graph("main", (x,), (Relu()(Neg()(x)),), ("y",))
>>> origins(graph, fuse(graph))
{<Kernel: float32[4]>: (<Neg: float32[4]>, <Relu: float32[4]>)}
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from minicc.graph.ir import Constant, Graph, Input, Kernel, Node, Span
from minicc.ops.base import Kind

Origins = dict[Node, tuple[Node, ...]]  # of each operator of a graph, producers first


def traced(graphs: Sequence[Graph]) -> Origins:
    """The origins, in the first of several graphs, each made of the one before, of the operators of the last."""
    found: Origins = {n: (n,) for n in operators(graphs[0])}
    for before, after in itertools.pairwise(graphs):
        order = {n: k for k, n in enumerate(graphs[0].nodes)}
        step = origins(before, after)
        found = {
            n: tuple(sorted({o for b in froms for o in found[b]}, key=order.__getitem__)) for n, froms in step.items()
        }
    return found


def origins(before: Graph, after: Graph) -> Origins:
    """For each operator of `after` the operators of `before` that it does the work of. Inputs and constants are none."""
    made_in: dict[Node, list[Node]] = {}
    for n, inside in parts(before).items():
        for plain in inside.values():
            made_in.setdefault(plain, []).append(n)
    found: dict[Node, set[Node]] = {}
    for n, inside in parts(after).items():
        found[n] = {o for plain in inside.values() for o in made_in.get(plain, ())}
    new = [n for n, inside in parts(after).items() if any(plain not in made_in for plain in inside.values())]
    for n, froms in _by_span(before, after, new).items():
        found[n] |= froms
    for n, gone in _absorbed(before, found).items():
        found[n] |= gone
    order = {n: k for k, n in enumerate(before.nodes)}
    return {n: tuple(sorted(froms, key=order.__getitem__)) for n, froms in found.items()}


def operators(graph: Graph) -> list[Node]:
    """The nodes of a graph that are no inputs and no constants, producers first."""
    return [n for n in graph.nodes if not isinstance(n.op, (Input, Constant))]


def parts(graph: Graph) -> dict[Node, dict[Node, Node]]:
    """For each operator what is in it: of a kernel, for each operator of its body the node that it is where nothing is fused.

    Calls of one kernel share a body, so it is this that tells one call from another. Any other operator is its own part.
    """
    plain: dict[Node, Node] = {}
    found: dict[Node, dict[Node, Node]] = {}
    for n in graph.nodes:
        inputs = [plain[i] for i in n.inputs]
        inside: dict[Node, Node] = {}

        def step(b: Node, values: Sequence[Node], inside: dict[Node, Node] = inside) -> Node:
            inside[b] = Node(b.op, tuple(values), b.inferred)
            return inside[b]

        plain[n] = n.op.body.interpret(inputs, step)[0] if isinstance(n.op, Kernel) else step(n, inputs)
        found[n] = {b: made for b, made in inside.items() if not isinstance(b.op, (Input, Constant))}
    return {n: inside for n, inside in found.items() if not isinstance(n.op, (Input, Constant))}


def _by_span(before: Graph, after: Graph, new: Iterable[Node]) -> dict[Node, set[Node]]:
    """Of nodes that were made anew those of their span: with the same operator, where there are such, else with another."""
    old, made = _grouped(before, operators(before)), _grouped(after, new)
    found: dict[Node, set[Node]] = {}
    for span, nodes in made.items():
        there = old.get(span, [])
        kept = {o.op for o in there} & {n.op for n in nodes}
        rest = [o for o in there if o.op not in kept] or there
        for n in nodes:
            found[n] = {o for o in there if o.op is n.op} if n.op in kept else set(rest)
    return found


def _grouped(graph: Graph, nodes: Iterable[Node]) -> dict[Span, list[Node]]:
    found: dict[Span, list[Node]] = {}
    for n in nodes:
        if (span := graph.spans.get(n)) is not None:
            found.setdefault(span, []).append(n)
    return found


def _moves(n: Node) -> bool:
    """Whether a node computes nothing, but has elements elsewhere."""
    return n.op.view or n.op.kind is Kind.INJECTIVE


def _absorbed(before: Graph, found: Mapping[Node, set[Node]]) -> dict[Node, set[Node]]:
    """For nodes after a pass those before that are gone, and were read by what they come from; or made what they read."""
    homes: dict[Node, set[Node]] = {}
    for n, froms in found.items():
        for o in froms:
            homes.setdefault(o, set()).add(n)
    for o, there in homes.items():  # what is computed, not moved, is in what computes
        homes[o] = {n for n in there if not _moves(n)} or there
    users, nodes = before.users(), operators(before)
    gone = [n for n in nodes if n not in homes]
    for n in reversed(gone):
        homes[n] = {home for user in users[n] for home in homes.get(user, ())}
    for n in gone:
        homes[n] = homes[n] or {home for i in n.inputs for home in homes.get(i, ())}
    absorbed: dict[Node, set[Node]] = {}
    for n in gone:
        for home in homes[n]:
            absorbed.setdefault(home, set()).add(n)
    return absorbed
