"""Concatenations are written in place, parts are read in place: no kernel runs only to move them.

In: a graph of kernels. Out: the graph in which a Kernel of nothing but a Concat, or a Slice or Split without steps, is
that operator itself where the storage of one tensor serves for whole and part. Like a Reshape it is no step then: what
makes an operand of the Concat writes it where it lies in the result, and what reads a Slice reads the tensor it is of.
`homes` says where each value lies: in the storage of which node, and from which element on, or as which part.

An operand is written in place that a kernel makes, which is no output, nor an operand of two. A part whose elements do
not lie in one run has rows of whole vectors, so that the kernels that work on it are as fast, and no Reshape.

Needs: a graph after `fuse`. Ensures: no such kernel is left where the rules above allow it.

>>> from minicc.graph.fuse import fuse
>>> from minicc.graph.ir import input
>>> from minicc.ops import MatMul
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (1, 16)))
>>> y, w = Concat(0)(MatMul()(x, np.ones((16, 16), "f")), MatMul()(x, np.zeros((16, 16), "f"))), np.ones((16, 2), "f")
>>> graph = share_storage(fuse(Graph("main", (x,), (MatMul()(y, w),), ("y",))), 16)
>>> for n, home in homes(graph).items():
...     if isinstance(n.op, Kernel):
...         print(n.op.label, "in", home.node.op.name, "from element", home.offset)
matmul in Concat from element 0
matmul in Concat from element 16
matmul in Kernel from element 0
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicc.graph.ir import Graph, Kernel, Node
from minicc.graph.transform import same, transform
from minicc.ir.node import replace
from minicc.ops import Concat, Slice, Split
from minicc.ops.base import Operator
from minicc.types import Subtensor


class Home(NamedTuple):
    """Where a value lies: in the storage of `node`, from element `offset` on, dense or as a part of what lies there."""

    node: Node
    offset: int = 0
    within: Subtensor | None = None

    def part(self, whole: Node, shape: tuple[int, ...], starts: Sequence[int]) -> Home:
        """The home of a part of `whole`, which lives here."""
        within = self.within or Subtensor(whole.shape, (0,) * len(starts))
        at = tuple(map(sum, zip(within.starts, starts, strict=True)))
        if run(shape, within.shape) < math.prod(shape):
            return Home(self.node, self.offset, Subtensor(within.shape, at))
        return Home(self.node, self.offset + int(np.ravel_multi_index(at, within.shape)))


def run(shape: Sequence[int], whole: Sequence[int]) -> int:
    """How many elements of a part of this shape lie one after the other in the whole.

    >>> run((1, 8, 4), (5, 9, 4)), run((2, 8, 4), (5, 9, 4)), run((2, 8, 3), (5, 9, 4))
    (32, 32, 3)
    """
    cut = max((axis for axis, (part, all) in enumerate(zip(shape, whole, strict=True)) if part != all), default=0)
    return math.prod(shape[cut:])


def share_storage(graph: Graph, lanes: int) -> Graph:
    """The graph with such kernels as plain operators; rows are multiples of `lanes` elements."""
    made = _Sharing(graph, lanes).released
    return transform(
        graph, lambda n, inputs: made[n](*[inputs[k] for k in _order(n)]) if n in made else same(n, inputs)
    )


def homes(graph: Graph) -> dict[Node, Home]:
    """The home of every value."""
    found: dict[Node, Home] = {}
    for n in reversed(graph.nodes):
        if isinstance(n.op, Concat):
            home = found.setdefault(n, Home(n))
            for operand, starts in _operands(n.op, n.inputs):
                found[operand] = home.part(n, operand.shape, starts)
        elif n.op.view and n in found:
            found[n.inputs[0]] = found[n]
    for n in graph.nodes:
        if isinstance(n.op, Slice):
            (x,) = n.inputs
            found[n] = found[x].part(x, n.shape, _starts(n.op, x))
        else:
            found.setdefault(n, found[n.inputs[0]] if n.op.view else Home(n))
    return found


def placed(n: Node, homes: dict[Node, Home]) -> Kernel:
    """The kernel of a node, told which of its arguments are parts of larger tensors."""
    assert isinstance(n.op, Kernel)
    within = tuple(homes[v].within for v in (*n.inputs, n))
    return replace(n.op, within=within) if any(within) else n.op


class _Sharing:
    """Which kernels are released. `dense` says of a value that is in another's storage whether it lies there in one run."""

    def __init__(self, graph: Graph, lanes: int) -> None:
        self.lanes, self.users = lanes, graph.users()
        self.kept = {_source(n) for n in graph.outputs}.union(graph.outputs)
        self.released: dict[Node, Operator] = {}
        self.dense: dict[Node, bool] = {}
        for n in reversed(graph.nodes):
            op = _moved(n)
            if isinstance(op, Concat) and self._owns(n, op):
                self.released[n] = op
        for n in graph.nodes:
            op = _moved(n)
            if isinstance(op, Slice) and self._is_part(n):
                self.released[n] = op

    def _owns(self, n: Node, op: Concat) -> bool:
        """Whether all operands can be written in place; these are noted then."""
        operands = [n.inputs[k] for k in _order(n)]
        sources = [_source(v) for v in operands]
        fit = {v: self._fits(v, n) for v in operands}
        if len({*sources}) < len(sources) or None in fit.values() or not all(v.type.size for v in operands):
            return False
        if not all(isinstance(s.op, Kernel) and s not in self.kept and s not in self.dense for s in sources):
            return False
        self.dense |= {w: bool(fit[v]) for v in operands for w in _views(v)}
        return True

    def _is_part(self, n: Node) -> bool:
        """Whether what a kernel copies can be read where it is; it is noted then."""
        fit = self._fits(n, n.inputs[0])
        if n in self.dense or n in self.kept or 0 in n.shape or fit is None:
            return False
        self.dense[n] = fit
        return True

    def _fits(self, part: Node, whole: Node) -> bool | None:
        """Whether a part of `whole` lies in one run; None if it has rows that do not do as they are."""
        if _source(whole).dtype is not whole.dtype or any(
            n.op.view and n.dtype is not part.dtype for n in self.users[part]
        ):
            return None  # its elements are no elements there
        if run(part.shape, whole.shape) == part.type.size and self.dense.get(whole, True):
            return True
        views = part.op.view or any(n.op.view for n in self.users[part])
        return None if views or run(part.shape, whole.shape) % self.lanes else False


def _moved(n: Node) -> Operator | None:
    """The Concat, or the Slice without steps, that a kernel consists of."""
    if not isinstance(n.op, Kernel) or len(n.op.body.nodes) != len(n.op.body.inputs) + 1:
        return None
    (result,) = n.op.body.outputs
    op: Operator = result.op
    if isinstance(op, Split):
        op = op.slice(result.inputs[0].type)
    if isinstance(op, Slice):
        return op if all(r is None or r.step == 1 for r in op.ranges(result.inputs[0].type)) else None
    return op if isinstance(op, Concat) else None


def _order(n: Node) -> list[int]:
    """Which inputs of a kernel are the inputs of its one operator."""
    assert isinstance(n.op, Kernel)
    return [n.op.body.inputs.index(i) for i in n.op.body.outputs[0].inputs]


def _operands(op: Concat, operands: Sequence[Node]) -> list[tuple[Node, list[int]]]:
    """Each operand, and where it starts in the result."""
    found, at = [], 0
    for x in operands:
        axis = op.axis % x.type.rank
        found.append((x, [at if a == axis else 0 for a in range(x.type.rank)]))
        at += x.shape[axis]
    return found


def _starts(op: Slice, x: Node) -> list[int]:
    return [0 if taken is None else taken.start for taken in op.ranges(x.type)]


def _views(n: Node) -> list[Node]:
    """`n`, and if it is a view what it is of."""
    return [n, *_views(n.inputs[0])] if n.op.view else [n]


def _source(n: Node) -> Node:
    return _views(n)[-1]
