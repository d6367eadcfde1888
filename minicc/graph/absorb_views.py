"""Views and paddings out of the way: what stands behind a product can be its epilogue, what pads is the window's own.

In: a bound graph. Out: the graph in which a Reshape between a contraction and elementwise operators comes behind these,
and a Pad that a window could do itself is gone; simplified as by `simplify_graph`. Every bit is kept.

Needs: bound types. Ensures: no rule of `RULES`, `PADDING` or `VIEWS` matches.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import MatMul, Relu
>>> from minicc.types import TensorType, float32
>>> a, b = (input(name, TensorType(float32, (4, 4))) for name in "ab")
>>> graph = Graph("main", (a, b), (Relu()(Reshape((2, 2, 4))(MatMul()(a, b))),), ("y",))
>>> [n.op.name for n in absorb_views(graph).nodes]
['Input', 'Input', 'MatMul', 'Relu', 'Reshape']
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicc.graph.ir import Constant, Graph, Node
from minicc.graph.simplify_graph import RULES, AnyNode, Anything, GraphRule, Is, Known, on, reshape, simplify_graph
from minicc.ir.node import replace
from minicc.ops import Clip, Conv, Identity, MaxPool, Pad, Reshape
from minicc.ops.base import REGISTRY, Kind, Operator, number
from minicc.ops.elementwise import Elementwise

LONGEST = 32  # operators of an epilogue


def absorb_views(graph: Graph, exact: bool = False) -> Graph:
    """The graph with paddings in windows, and views behind epilogues; the same graph when no rule matches."""
    return simplify_graph(graph, (*RULES, *PADDING, *VIEWS), exact=exact)


def _pads(op: Any, pad: Any, x: Node) -> Operator | None:
    """A window that pads by what a Pad before it puts around the spatial axes; None where it puts something else."""
    widths, nothing = pad.widths(x.type), -np.inf if isinstance(op, MaxPool) else 0
    spatial = widths[2:]
    if (
        pad.mode != "constant"
        or number(pad.value) != nothing
        or any(map(any, widths[:2]))
        or min(map(min, spatial)) < 0
    ):
        return None
    if op.auto_pad not in ("NOTSET", "VALID") or getattr(op, "ceil_mode", False) or getattr(op, "channels_last", False):
        return None
    around = [side for end in (0, 1) for side in (width[end] for width in spatial)]
    padding = op.padding if op.padding and op.auto_pad == "NOTSET" else (0,) * len(around)
    made: Operator = replace(op, padding=tuple(map(sum, zip(padding, around, strict=True))), auto_pad="NOTSET")
    return made


def _before_view(op: Operator, view: Any, x: Node, y: Node, swapped: bool) -> Node | None:
    """`op` of two on `x` before a Reshape of it, and what `y` is then; None where no free view of `y` is that."""
    shape = view.infer(x.type).shape
    if y.type.size == 1:
        other = reshape(y, ())
    elif y.shape[-1:] == (y.type.size,) == shape[-1:] == x.shape[-1:]:
        other = reshape(y, y.shape[-1:])
    elif y.shape == shape and (_is_plain(y) or _source(y).shape == x.shape or len(_source(y).shape) > len(x.shape)):
        other = reshape(y, x.shape)
    else:
        return None
    return reshape(op(other, x) if swapped else op(x, other), shape)


def _source(y: Node) -> Node:
    """What a view is of; of anything else, that."""
    return y.inputs[0] if isinstance(y.op, Reshape) else y


def _is_plain(y: Node) -> bool:
    """Whether `y` is no product, nor a view of one: of two products in two shapes the one of fewer axes leads."""
    return not _is_product(_source(y))


def _is_product(x: Node) -> bool:
    """Whether elementwise operators alone stand between `x` and a contraction: further ones may be its epilogue, too."""
    for _ in range(LONGEST):
        if not isinstance(x.op, Elementwise):
            break
        x = next((i for i in x.inputs if not isinstance(i.op, Constant)), x.inputs[0])
    return x.op.kind is Kind.ANCHOR


# ---- the rules --------------------------------------------------------------------------------------------------

x, c, d = AnyNode("x"), Known("c"), Known("d")
PADDING = (
    GraphRule("nothing padded", on(Is("pad", (Pad,)), x), x, lambda pad, x: not any(map(any, pad.widths(x.type)))),
    GraphRule("padded convolution",  # Conv(Pad(0)(x), w) -> Conv(padding)(x, w)
              on(Is("op", (Conv,)), on(Is("pad", (Pad,)), x), Anything("w")),
              lambda op, pad, x, w: (made := _pads(op, pad, x)) and made(x, w)),
    GraphRule("padded maximum",  # MaxPool(Pad(-inf)(x)) -> MaxPool(padding)(x)
              on(Is("op", (MaxPool,)), on(Is("pad", (Pad,)), x)),
              lambda op, pad, x: (made := _pads(op, pad, x)) and made(x)),
)  # fmt: skip

_elementwise = [op for op in REGISTRY.values() if issubclass(op, Elementwise) and op is not Identity]
_unary, _binary = (Is("op", tuple(op for op in _elementwise if op.arity == count)) for count in (1, 2))
_view = on(Is("view", (Reshape,)), x)

VIEWS = (  # down, out of the way between a product and what may be its epilogue
    GraphRule("function of a view", on(_unary, _view),  # Relu(Reshape(x)) -> Reshape(Relu(x))
              lambda op, view, x: reshape(op(x), view.infer(x.type).shape), _is_product),
    GraphRule("clipped view", on(Is("op", (Clip,)), _view, c, d),
              lambda op, view, x, c, d: reshape(op(x, c, d), view.infer(x.type).shape), _is_product),
    GraphRule("operator on a view", on(_binary, _view, Anything("y")),  # Reshape(x) + y -> Reshape(x + Reshape(y))
              lambda op, view, x, y: _before_view(op, view, x, y, False), _is_product),
    GraphRule("operator on a view, second", on(_binary, Anything("y"), _view),
              lambda op, view, x, y: _before_view(op, view, x, y, True), _is_product),
)  # fmt: skip
