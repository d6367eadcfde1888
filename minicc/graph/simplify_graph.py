"""Shorter graphs of the same value: rules as data, applied bottom-up until none matches.

In: a bound graph. Out: the graph without identities, with reshapes in one form, and with what
constants do to data gathered: BatchNormalization becomes a Mul and an Add, which move into the
weights and the bias of the Conv or MatMul before them.

Exactness. A rule keeps every bit, unless it is in `ROUNDING`: it then equals its left side but
for the rounding of constants, as a weight that was multiplied at run time is multiplied here,
which every inference compiler does; or in `NORMALIZATION` and `PRODUCTS`, which give a formula
its name and leave to the operator in what order the mean or the products are summed. Only a scale or a BatchNormalization behind a
contraction moves into its weights, and only if no product of constants overflows or vanishes. What
changes more than that, such as (x * c) * d to x * (c * d), is marked `fast` and is off by default.

Needs: bound types. Ensures: no rule of `RULES` matches.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Transpose
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2, 3)))
>>> graph = Graph("main", (x,), (Transpose()(Transpose()(x)),), ("y",))
>>> simplify_graph(graph).outputs == (x,)
True
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minicc import ops
from minicc.graph.ir import Constant, Graph, Node, Span, constant, make, spanned
from minicc.ir.node import node
from minicc.ir.rewrite import Rule, Wild, fixpoint
from minicc.ops.base import REGISTRY, Array, Operator
from minicc.ops.order import moves_only_ones
from minicc.types import DType

# ---- patterns -----------------------------------------------------------------------------------


@node
class Anything(Wild):
    """Fits everything: a node, a type, an attribute."""

    name: str


@node
class AnyNode(Wild):
    """Fits a node that is not a constant."""

    name: str

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Node) and not isinstance(value.op, Constant)


@node
class Known(Wild):
    """Fits a constant."""

    name: str

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Node) and isinstance(value.op, Constant)


@node
class Filled(Wild):
    """Fits a constant whose every element is `value`; 0.0 and -0.0 differ."""

    exact_key: ClassVar[bool] = True

    name: str
    value: float

    def accepts(self, value: Any) -> bool:
        if not (isinstance(value, Node) and isinstance(value.op, Constant)) or value.dtype.kind == "bool":
            return False
        return value.op.data.array.tobytes() == np.full(value.shape, self.value, value.dtype.numpy).tobytes()


@node
class Is(Wild):
    """Fits an operator of one of `classes`, whatever its attributes."""

    name: str
    classes: tuple[type[Operator], ...]

    def accepts(self, value: Any) -> bool:
        return type(value) in self.classes


_unnamed = map("_{}".format, itertools.count())


def on(op: Any, *inputs: Any) -> Any:
    """The pattern of a node: `op` is an operator, perhaps with wilds as fields, or an `Is`."""
    return Node(op, inputs, Anything(next(_unnamed)))  # type: ignore[arg-type]  # a pattern, not a type


@dataclass(frozen=True)
class GraphRule(Rule):
    """A rule on nodes. Applied only where both sides have one type, and, if `once`, where the
    inner nodes of the left side have no other reader, so that no work is done twice."""

    once: bool = False

    @property
    def classes(self) -> tuple[type[Operator], ...]:
        """The operators that the left side may start with."""
        op = self.lhs.op
        return op.classes if isinstance(op, Is) else (type(op),)


# ---- right-hand sides ---------------------------------------------------------------------------


def reshape(x: Node, shape: Sequence[int]) -> Node:
    """`x` as a Reshape in the one form used from here on: every dimension stated."""
    made: Node = ops.Reshape(tuple(shape), 0 in shape)(x)
    return made


def array_of(n: Node) -> Array:
    """The array of a constant node."""
    assert isinstance(n.op, Constant)
    return n.op.data.array


def combined(function: Any, left: Array, right: Array) -> Array | None:
    """Two constants as one, rounded once; None if it is larger than both, overflows, or vanishes."""
    with np.errstate(all="ignore"):
        result = np.asarray(function(left, right))
    if result.size > max(left.size, right.size) or result.dtype != left.dtype:
        return None
    if not DType.of(result.dtype).is_float:
        return result
    if not np.isfinite(result).all():
        return None
    tiny = np.abs(result.astype(np.float64)) < float(_smallest(result.dtype))
    if function is np.multiply and np.any(tiny & (left != 0) & (right != 0)):
        return None
    return result


def _smallest(dtype: Any) -> float:
    """The least positive normal number."""
    name = DType.of(dtype).name
    return {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}[name]


def added(x: Node, left: Node, right: Node) -> Node | None:
    """x + (left + right)."""
    total = combined(np.add, array_of(left), array_of(right))
    return None if total is None else ops.Add()(x, total)


def multiplied(x: Node, left: Node, right: Node) -> Node | None:
    """x * (left * right)."""
    product = combined(np.multiply, array_of(left), array_of(right))
    return None if product is None else ops.Mul()(x, product)


def scaled(op: Operator, x: Node, w: Node, factor: Node) -> Node | None:
    """`op(x, w) * factor` as `op(x, w * factor)`, where `factor` has one number per output channel."""
    result, weights, by = make(op, (x, w)).type, array_of(w), array_of(factor)
    axis = 1 if isinstance(op, ops.Conv) else result.rank - 1
    if by.ndim > result.rank or isinstance(op, ops.ConvTranspose):
        return None
    dims = (1,) * (result.rank - by.ndim) + by.shape
    if any(dim != 1 for a, dim in enumerate(dims) if a != axis) or (by.size > 1 and weights.ndim < 2):
        return None
    column = by.reshape(-1, *[1] * (weights.ndim - 1)) if isinstance(op, ops.Conv) else by.reshape(-1)
    product = combined(np.multiply, weights, column if by.size > 1 else by.reshape(()))
    return None if product is None else op(x, product)


def scaled_sum(op: Operator, x: Node, w: Node, c: Node, d: Node) -> Node | None:
    """`(op(x, w) + c) * d` as `op(x, w * d) + c * d`."""
    contraction, bias = scaled(op, x, w, d), combined(np.multiply, array_of(c), array_of(d))
    return None if contraction is None or bias is None else ops.Add()(contraction, bias)


def affine(norm: Any, x: Node, statistics: Sequence[Node], shift: Any = 0.0) -> tuple[Array, Array] | None:
    """a and b such that x * a + b is BatchNormalization of x + shift, each rounded once, from float64; None unless finite."""
    shape = (-1, *[1] * (x.type.rank - 2))
    s, o, m, v = (array_of(n).astype(np.float64).reshape(shape) for n in statistics)
    with np.errstate(all="ignore"):
        a = s / np.sqrt(v + norm.epsilon)
        factor, offset = (value.astype(x.dtype.numpy) for value in (a, (shift - m) * a + o))
    return (factor, offset) if np.isfinite(factor).all() and np.isfinite(offset).all() else None


def normalized(norm: Any, x: Node, scale: Node, bias: Node, mean: Node, var: Node) -> Node | None:
    """BatchNormalization of known statistics as `x * a + b`."""
    found = affine(norm, x, (scale, bias, mean, var))
    return None if found is None else ops.Add()(ops.Mul()(x, found[0]), found[1])


def normalized_sum(
    norm: Any, op: Operator, x: Node, w: Node, c: Node, scale: Node, bias: Node, mean: Node, var: Node
) -> Node | None:
    """BatchNormalization of `op(x, w) + c` as `op(x, w * a) + b`."""
    found = affine(norm, op(x, w), (scale, bias, mean, var), array_of(c).astype(np.float64))
    if found is None or found[1].size > max(found[0].size, array_of(c).size):
        return None
    contraction = scaled(op, x, w, constant(found[0]))
    return None if contraction is None else ops.Add()(contraction, found[1])


def standardized(mean: Any, x: Node, e: Node) -> Node | None:
    """LayerNormalization for its definition by a mean over the last axes; None over other axes."""
    axes = mean.axes_of(x.type)
    last = tuple(range(x.type.rank - len(axes), x.type.rank))
    if not axes or tuple(sorted(axes)) != last or not mean.keepdims or e.type.size != 1 or x.dtype.bits < 32:
        return None
    op = ops.LayerNormalization(last[0], array_of(e).item())
    return op(x, np.ones((), x.dtype.numpy))


def _fits(x: Node, c: Node) -> bool:
    return bool(np.broadcast_shapes(x.shape, c.shape) == x.shape)


def holds(wide: DType, narrow: DType) -> bool:
    """Whether `wide` has every value of `narrow`, and converts further as `narrow` would."""
    if narrow.kind == "bool" or narrow is wide:
        return True
    if narrow.is_float or wide.is_float:
        return (
            narrow.is_float
            and wide.is_float
            and {narrow.name, wide.name} != {"float16", "bfloat16"}
            and (narrow.bits < wide.bits)
        )
    return bool(wide.range[0] <= narrow.range[0] and narrow.range[1] <= wide.range[1])


def _compose(outer: Any, inner: Any, x: Node) -> Node:
    """Transpose of a Transpose."""
    first, second = inner.axes(x.type.rank), outer.axes(x.type.rank)
    made: Node = ops.Transpose(tuple(first[axis] for axis in second))(x)
    return made


# ---- the rules ----------------------------------------------------------------------------------

x, w, c, d = AnyNode("x"), Known("w"), Known("c"), Known("d")
_movement = Is("op", (ops.Squeeze, ops.Unsqueeze, ops.Flatten))
_contraction = on(Is("op", tuple(op for op in REGISTRY.values() if op.contraction)), Anything("x"), w)
_commutative = Is("op", tuple(op for op in REGISTRY.values() if op.commutative))
_statistics = (Known("scale"), Known("bias"), Known("mean"), Known("var"))

IDENTITIES = (
    GraphRule("identity", on(ops.Identity(), Anything("x")), Anything("x")),  # Identity(x) -> x
    GraphRule("constant second", on(_commutative, c, x), lambda op, x, c: op(x, c)),  # c + x -> x + c
    GraphRule("add zero", on(ops.Add(), x, Filled("c", -0.0)), x),  # x + -0.0 -> x; 0.0 would change -0.0
    GraphRule("multiply by one", on(ops.Mul(), x, Filled("c", 1.0)), x),  # x * 1 -> x
    GraphRule("divide by one", on(ops.Div(), x, Filled("c", 1.0)), x),  # x / 1 -> x
    GraphRule("subtract", on(ops.Sub(), x, c), lambda x, c: ops.Add()(x, np.asarray(-array_of(c)))),  # x - c -> x + -c
    GraphRule("double negation", on(ops.Neg(), on(ops.Neg(), x)), x),  # -(-x) -> x
    GraphRule("cast to the same", on(Is("op", (ops.Cast,)), x), x, lambda op, x: op.dtype is x.dtype),  # Cast(x.dtype)(x) -> x
    GraphRule(  # Cast(d)(Cast(c)(x)) -> Cast(d)(x)
        "cast of a cast", on(Is("op", (ops.Cast,)), on(Is("inner", (ops.Cast,)), x)), lambda op, x: op(x),
        lambda inner, x: holds(inner.dtype, x.dtype)),
)  # fmt: skip

MOVEMENT = (
    GraphRule("transpose of a transpose",  # Transpose(q)(Transpose(p)(x)) -> Transpose(p[q])(x)
              on(Is("op", (ops.Transpose,)), on(Is("inner", (ops.Transpose,)), x)),
              lambda op, inner, x: _compose(op, inner, x)),
    GraphRule("transpose of ones",  # Transpose(p)(x) -> Reshape(x) if only dimensions of 1 move
              on(Is("op", (ops.Transpose,)), x), lambda op, x: reshape(x, op.infer(x.type).shape), lambda op, x: moves_only_ones(op.axes(x.type.rank), x.shape)),
    GraphRule("one reshape",  # Squeeze(x), Unsqueeze(x), Flatten(x) -> Reshape(x)
              on(_movement, x), lambda op, x: reshape(x, op.infer(x.type).shape)),
    GraphRule("reshape stated",  # Reshape((0, -1))(x) -> Reshape((2, 12))(x)
              on(Is("op", (ops.Reshape,)), x), lambda op, x: reshape(x, op.infer(x.type).shape)),
    GraphRule("reshape of a reshape",  # Reshape(s)(Reshape(r)(x)) -> Reshape(s)(x)
              on(Is("op", (ops.Reshape,)), on(Is("inner", (ops.Reshape,)), x)),
              lambda op, inner, x: reshape(x, op.infer(inner.infer(x.type)).shape)),
    GraphRule("nothing moved",  # Reshape(x.shape)(x) -> x
              on(Is("op", (ops.Reshape, ops.Expand, ops.Tile, ops.Concat)), x), x),
    GraphRule("everything sliced", on(Is("op", (ops.Slice,)), x), x,  # x[:] -> x
              lambda op, x: all(r is None or r.step == 1 for r in op.ranges(x.type))),
)  # fmt: skip

ROUNDING = (
    GraphRule("batch normalization of a biased contraction",  # the same, of Conv(x, w) + c -> Conv(x, w * a) + b
              on(Is("norm", (ops.BatchNormalization,)), on(ops.Add(), _contraction, c), *_statistics), normalized_sum, once=True),
    GraphRule("batch normalization",  # (x - mean) / sqrt(var + e) * scale + bias -> x * a + b
              on(Is("norm", (ops.BatchNormalization,)), Anything("x"), *_statistics), normalized),
    GraphRule("scale of a contraction",  # Conv(x, w) * c -> Conv(x, w * c); MatMul likewise
              on(ops.Mul(), _contraction, c), lambda op, x, w, c: scaled(op, x, w, c), once=True),
    GraphRule("scale of a biased contraction",  # (Conv(x, w) + c) * d -> Conv(x, w * d) + c * d
              on(ops.Mul(), on(ops.Add(), _contraction, c), d), scaled_sum, once=True),
)  # fmt: skip

_centered = on(ops.Sub(), x, on(Is("mean", (ops.ReduceMean,)), x))


def _standardized(square: Any) -> Any:
    """The pattern of `(x - mean(x)) / sqrt(mean(square) + e)`."""
    return on(
        ops.Div(), _centered, on(ops.Sqrt(), on(ops.Add(), on(Is("mean", (ops.ReduceMean,)), square), Known("e")))
    )


NORMALIZATION = (
    GraphRule("layer normalization, by Pow",  # (x - mean(x)) / sqrt(mean((x - mean(x)) ** 2) + e) -> LayerNormalization(e)(x, 1)
              _standardized(on(ops.Pow(), _centered, Filled("two", 2.0))), standardized),
    GraphRule("layer normalization, by Mul",  # the same, the square as a product
              _standardized(on(ops.Mul(), _centered, _centered)), standardized),
    GraphRule("scale of a normalization",  # LayerNormalization(x, 1) * c -> LayerNormalization(x, c)
              on(ops.Mul(), on(Is("op", (ops.LayerNormalization,)), x, Filled("one", 1.0)), c),
              lambda op, x, c: op(x, c), _fits, once=True),
    GraphRule("bias of a normalization",  # LayerNormalization(x, c) + d -> LayerNormalization(x, c, d)
              on(ops.Add(), on(Is("op", (ops.LayerNormalization,)), x, c), d),
              lambda op, x, c, d: op(x, c, d), lambda x, d: _fits(x, d), once=True),
)  # fmt: skip

PRODUCTS = (
    GraphRule("einsum of two",  # Einsum("ij,kj->ik")(x, y) -> MatMul(x, Transpose(y)), if it is a product of matrices
              on(Is("op", (ops.Einsum,)), Anything("a"), Anything("b")), lambda op, a, b: op.product(a, b)),
)  # fmt: skip

INTEGERS = (
    GraphRule("two terms",  # (x + c) + d -> x + (c + d), of integers
              on(ops.Add(), on(ops.Add(), x, c), d), lambda x, c, d: added(x, c, d),
              lambda x: not x.dtype.is_float, once=True),
)  # fmt: skip

FAST = (
    GraphRule("add positive zero", on(ops.Add(), x, Filled("c", 0.0)), x, fast=True),  # x + 0.0 -> x; wrong for x = -0.0
    GraphRule("two float terms",  # (x + c) + d -> x + (c + d); wrong where c and d cancel
              on(ops.Add(), on(ops.Add(), x, c), d), lambda x, c, d: added(x, c, d), fast=True, once=True),
    GraphRule("two biases",  # (Conv(x, w) + c) + d -> Conv(x, w) + (c + d); wrong where they cancel
              on(ops.Add(), on(ops.Add(), _contraction, c), d), lambda op, x, w, c, d: added(op(x, w), c, d), fast=True, once=True),
    GraphRule("two factors",  # (x * c) * d -> x * (c * d); wrong where x * c overflows or vanishes
              on(ops.Mul(), on(ops.Mul(), x, c), d), lambda x, c, d: multiplied(x, c, d), fast=True, once=True),
)  # fmt: skip

RULES: tuple[GraphRule, ...] = IDENTITIES + MOVEMENT + ROUNDING + NORMALIZATION + PRODUCTS + INTEGERS + FAST


# ---- the pass -----------------------------------------------------------------------------------


INEXACT = frozenset(
    rule.name for rule in ROUNDING + NORMALIZATION + FAST
)  # without these each value is rounded where the model has it


def simplify_graph(graph: Graph, rules: Iterable[GraphRule] = RULES, fast: bool = False, exact: bool = False) -> Graph:
    """The graph with `rules` applied; those marked fast only if `fast`, those of `INEXACT` not if `exact`. The same graph when none matches."""
    table: dict[type[Operator], list[GraphRule]] = {}
    for rule in rules:
        left_out = (rule.fast and not fast) or (exact and rule.name in INEXACT)
        for kind in () if left_out else rule.classes:
            table.setdefault(kind, []).append(rule)
    shared = _shared(graph)
    spans: dict[Node, Span] = {}  # of the nodes that are made here

    def step(n: Node) -> Node | None:
        with spanned(spans, graph.spans.get(n) or spans.get(n)):
            found = _first(table.get(type(n.op), ()), n, shared)
        if found is not None and n in shared:
            shared.add(found)
        return found

    def rebuild(n: Node, inputs: tuple[Node, ...]) -> Node:
        with spanned(spans, graph.spans.get(n) or spans.get(n)):
            made = make(n.op, inputs)
        if n in shared:
            shared.add(made)
        return made

    done: dict[Node, Node] = {}
    for n in graph.outputs:
        fixpoint(n, step, lambda m: m.inputs, rebuild, done)
    return graph.rebuild(done, spans)


def _shared(graph: Graph) -> set[Node]:
    """The nodes with more than one reader; being an output counts as being read."""
    readers = Counter(i for n in graph.nodes for i in dict.fromkeys(n.inputs))
    readers.update(graph.outputs)
    return {n for n, count in readers.items() if count > 1}


def _first(rules: Iterable[GraphRule], n: Node, shared: set[Node]) -> Node | None:
    """What the first rule that matches makes of `n`."""
    if n.inferred is None or not n.inferred.is_bound:
        return None
    for rule in rules:
        found: Node | None = rule.apply(n)
        if found is None or found is n or found.inferred != n.inferred:
            continue
        if not (rule.once and any(i in shared for i in _inner(rule.lhs, n))):
            return found
    return None


def _inner(pattern: Any, n: Node) -> Iterator[Node]:
    """The nodes below `n` that `pattern` names by operator."""
    for part, i in zip(pattern.inputs, n.inputs, strict=True):
        if isinstance(part, Node):
            yield i
            yield from _inner(part, i)
