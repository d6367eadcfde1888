"""Convolutions with channels last, and all that runs between them in that order, too.

In: a bound graph, and a target. Out: the graph with each `Conv` that suits replaced by an operator on channels last:
its data `[N, spatial..., C]`, its weights packed by `Pad`, `Reshape` and `Transpose`, which constant folding computes.
`FAMILIES` are tried in order: each looks at shapes and target, and gives the node that it makes, or None.

How a value lies is a fact beside the graph: a value that lies in another order (`ops.order`) is its `Transpose` by that
order, and the Transpose back is made for nobody but a reader that must have it. So each operator, producers first, is
asked what it is on operands as they lie (`Operator.permuted`); it follows where that moves no more bytes than bringing
them back would. A Transpose in the graph is nothing but a value that lies in another order, and the two cancel.

Needs: bound types; BatchNormalization in the weights. Ensures: the same values; a value is brought to an order once.

>>> from minicc.graph.ir import Graph, constant, input
>>> from minicc.ops import Conv, Relu
>>> from minicc.types import TensorType, float32
>>> import numpy as np
>>> x, w = input("x", TensorType(float32, (1, 16, 8, 8))), constant(np.ones((16, 16, 1, 1), np.float32))
>>> graph = Graph("main", (x,), (Relu()(Conv()(x, w)),), ("y",))
>>> [n.op.name for n in choose_layouts(graph, Target.of("haswell")).nodes if n.inputs and n.inputs[0] is not w]
['Transpose', 'Transpose', 'PackedConv', 'Relu', 'Transpose']
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from minicc.graph.estimate_winograd import as_winograd
from minicc.graph.ir import Constant, Graph, Node, Span, make, spanned
from minicc.graph.moves import moved, padded, reshaped
from minicc.graph.pack_integers import packed_convolution, suits_words
from minicc.graph.split_phases import by_phases, splits
from minicc.graph.transform import same
from minicc.ir.node import replace
from minicc.ops import AveragePool, Conv, ConvInteger, ConvTranspose, Identity, MaxPool, Mul, Transpose
from minicc.ops.base import Kind, Operator
from minicc.ops.conv import Convolution
from minicc.ops.depthwise import DepthwiseConv
from minicc.ops.order import Order, Permuted, between, channels_last, lifted, moves_only_ones
from minicc.ops.pool import Pooling
from minicc.ops.window import first, last
from minicc.ops.packed import PackedConv, block_of
from minicc.target import Target
from minicc.types import float32, float64

# ---- convolutions -----------------------------------------------------------------------------------------------

Family = Callable[[Conv, Node, Node, Target], Node | None]  # of a convolution, its data (channels last) and its weights
LEAST_TAPS = 1.3  # of a pool, for each element to be moved: for fewer, bringing it to channels last and back costs more
LEAST_POINTS = 16  # of a result, per channel: for fewer it does not pay to pack weights that are computed


def depthwise(op: Conv, x: Node, w: Node, target: Target) -> Node | None:
    """By `DepthwiseConv`, where each channel has a kernel of its own."""
    outputs, inputs, *kernel = w.shape
    if not op.groups == outputs > 1 == inputs:
        return None
    weights = moved(reshaped(w, (outputs, *kernel)), (*range(1, len(kernel) + 1), 0))
    made: Node = DepthwiseConv(op.strides, op.padding, op.dilation, op.auto_pad)(x, weights)
    return made


def few_outputs(op: Conv, x: Node, w: Node, target: Target) -> Node | None:
    """As it is, with channels first, where the outputs do not fill vectors, and its positions do.

    Of one output in a group nothing else is as fast, but of one tap. A few are so only if the data has channels first.
    """
    one = op.groups == w.shape[0] and math.prod(w.shape[2:]) > 1
    few = w.shape[0] <= target.lanes(w.dtype) // 4 and isinstance(x.op, Transpose)
    made: Node | None = last(op(first(x), w)) if one or few else None
    return made


def packed(op: Conv, x: Node, w: Node, target: Target) -> Node | None:
    """By `PackedConv`, which takes any; its weights in blocks of output channels, whole vectors where there are enough."""
    outputs, inputs, *kernel = w.shape
    each = outputs // op.groups
    made = PackedConv(outputs, op.strides, op.padding, op.dilation, op.groups, op.auto_pad)
    block = block_of(each, target.lanes(w.dtype))
    count = -(-each // block)
    w, gate = _without_gate(w)
    grouped = padded(reshaped(w, (op.groups, each, inputs, *kernel)), 1, count * block - each)
    whole = reshaped(grouped, (op.groups * count, block, inputs, *kernel))
    weights = moved(whole, (0, *range(3, whole.type.rank), 2, 1))
    result: Node = made(x, weights if gate is None else Mul()(weights, reshaped(gate, (inputs, 1))))
    return result


def _without_gate(w: Node) -> tuple[Node, Node | None]:
    """Constant weights, and a number for each input channel that scales them, if they are such a product: these are
    packed when they are compiled, and scaled as they lie."""
    if isinstance(w.op, Mul) and isinstance(w.inputs[0].op, Constant):
        w, gate = w.inputs
        if gate.shape == (1, w.shape[1], *(1,) * (w.type.rank - 2)):
            return w, gate
        w = Mul()(w, gate)
    return w, None


def winograd(op: Conv, x: Node, w: Node, target: Target) -> Node | None:
    """By `WinogradConv`, where the estimate says that it is faster."""
    return as_winograd(x, w, op, target)


FAMILIES: tuple[Family, ...] = (depthwise, few_outputs, winograd, packed)  # the first that gives a node is taken


def is_slow_pool(n: Node, target: Target) -> bool:
    """Whether a node is a pool that gains more than two Transposes cost: its channels fill vectors, and its rows do not."""
    if not isinstance(n.op, (MaxPool, AveragePool)) or n.op.channels_last or n.type.size == 0:
        return False
    lanes, taps = target.lanes(n.dtype), math.prod(n.op.kernel) * n.type.size / (n.type.size + n.inputs[0].type.size)
    return bool(n.shape[-1] <= lanes <= n.shape[1] and taps >= LEAST_TAPS)


def suits(n: Node) -> bool:
    """Whether a node is a convolution that a family may take."""
    if not isinstance(n.op, Convolution) or n.inferred is None or n.dtype not in (float32, float64) or n.type.size == 0:
        return False
    x, w = n.inputs
    if isinstance(n.op, ConvTranspose):
        finite = isinstance(w.op, Constant) and np.isfinite(w.op.data.array).all()  # padding times these is 0
        return bool(finite and x.type.size and splits(n.op, x.shape[2:], w.shape[2:]))
    return isinstance(w.op, Constant) or n.type.size // n.shape[1] >= LEAST_POINTS


# ---- the pass ---------------------------------------------------------------------------------------------------


def choose_layouts(graph: Graph, target: Target, families: Sequence[Family] = ()) -> Graph:
    """The graph with convolutions on channels last, by FAMILIES or others; the same graph when it has none that suits."""
    convolutions = {n for n in graph.nodes if suits(n) or suits_words(n, target) or is_slow_pool(n, target)}
    if not convolutions:
        return graph
    layouts = Layouts(graph, target, convolutions, families or FAMILIES)
    for n in graph.nodes:
        with spanned(layouts.spans, graph.spans.get(n)):
            layouts.visit(n)
    outputs: dict[Node, Node] = {}
    for n in graph.outputs:
        with spanned(layouts.spans, graph.spans.get(n)):
            outputs[n] = layouts.get(n, plain(n))
    return graph.rebuild(outputs, layouts.spans)


def plain(n: Node) -> Order:
    """The order in which a value lies as it is."""
    return tuple(range(n.type.rank)) if n.inferred is not None else ()


class Layouts:
    """How the values of a graph lie in the graph to be: `forms[n][order]` is the node that is `n` in that order."""

    def __init__(self, graph: Graph, target: Target, convolutions: set[Node], families: Sequence[Family]) -> None:
        self.target, self.convolutions, self.families = target, convolutions, families
        self.forms: dict[Node, dict[Order, Node]] = {}
        self.spans: dict[Node, Span] = {}
        self.borrowed: set[Node] = (
            set()
        )  # values that lie otherwise because of a Transpose in the graph, not of a family
        self.wanted, self.later = _wanted(graph, convolutions), _later(graph)

    def visit(self, n: Node) -> None:
        """Find how `n` lies, its operands known."""
        if n in self.convolutions:
            self.forms[n] = {channels_last(n.type.rank): self._convolution(n)}
        elif isinstance(n.op, Transpose) and n.inferred is not None:
            axes, (x,) = n.op.axes(n.type.rank), n.inputs
            self.forms[n] = {between(axes, order): form for order, form in self.forms[x].items()}
            if x in self.borrowed or plain(x) in self.forms[x]:
                self.borrowed.add(n)
        elif found := self._followed(n):
            operands = [self.get(i, order) for i, order in zip(n.inputs, found.operands, strict=True)]
            result = operands[0] if isinstance(found.op, Identity) else make(found.op, operands)
            self.forms[n] = {found.result: result}
            if all(i in self.borrowed or plain(i) in self.forms[i] for i in n.inputs):
                self.borrowed.add(n)
        else:
            self.forms[n] = {plain(n): same(n, tuple([self.get(i, plain(i)) for i in n.inputs]))}

    def _convolution(self, n: Node) -> Node:
        if isinstance(n.op, Pooling):
            (x,) = n.inputs
            return make(replace(n.op, channels_last=True), [self.get(x, channels_last(x.type.rank))])
        x, w = n.inputs
        data, weights = self.get(x, channels_last(x.type.rank)), self.get(w, plain(w))
        if isinstance(w.op, Mul):  # by a gate, which `packed` looks for
            weights = Mul()(*[self.get(i, plain(i)) for i in w.inputs])
        if isinstance(n.op, ConvTranspose):
            made: Node = by_phases(n.op, data, weights, self._by_family)
            return made
        if isinstance(n.op, ConvInteger):
            return packed_convolution(n.op, data, weights, self.target)
        assert isinstance(n.op, Conv)
        return self._by_family(n.op, data, weights)

    def _by_family(self, op: Conv, x: Node, w: Node) -> Node:
        made = (family(op, x, w, self.target) for family in self.families)
        return next(node for node in made if node is not None)

    # ---- following ----

    def _followed(self, n: Node) -> Permuted | None:
        """What `n` is on operands as they lie, where that moves fewer bytes than bringing them back, or as few."""
        if n.inferred is None or any(i.inferred is None for i in n.inputs):
            return None
        lying = [(at, order) for at, i in enumerate(n.inputs) for order in self.forms[i] if order != plain(i)]
        if n not in self.wanted:
            lying = [(at, order) for at, order in lying if n.inputs[at] not in self.borrowed]
        best, least = None, float(sum(self.cost(i, plain(i)) for i in n.inputs))
        types = [i.type for i in n.inputs]
        for at, order in dict.fromkeys(lying):
            found = n.op.permuted(at, order, *types)
            if found is None:
                continue
            cost = sum(self.cost(i, o) for i, o in zip(n.inputs, found.operands, strict=True))
            if n not in self.wanted and not moves_only_ones(found.result, n.shape):
                cost += self.later[n]
            if cost < least or (cost == least and best is None):
                best, least = found, cost
        return best

    # ---- forms ----

    def cost(self, n: Node, order: Order) -> int:
        """The bytes that bringing `n` to `order` moves."""
        free = isinstance(n.op, Constant) or n.type.size <= 1 or self._nearest(n, order or plain(n))[1]
        return 0 if free else n.type.bytes

    def _nearest(self, n: Node, order: Order) -> tuple[Order, bool]:
        """The order among those of `n` to bring it to `order` from, lifted to as many axes, and whether nothing moves then."""
        shape = (1,) * (len(order) - n.type.rank) + n.shape
        orders = [plain(n), *self.forms[n]] if plain(n) in self.forms[n] else list(self.forms[n])
        for known in orders:
            lies = lifted(known, len(order))
            if moves_only_ones(between(lies, order), [shape[axis] for axis in lies]):
                return known, True
        return orders[0], False

    def get(self, n: Node, order: Order) -> Node:
        """`n` as it lies in `order`, `()` for as it is: of more axes of 1 in front where the order has more axes."""
        order = order or plain(n)
        forms = self.forms[n]
        if order in forms:
            return forms[order]
        if n.type.size == 1 and len(order) and plain(n) in forms:
            return forms[plain(n)]
        known, _ = self._nearest(n, order)
        lies, form = lifted(known, len(order)), forms[known]
        made = moved(reshaped(form, (1,) * (len(order) - n.type.rank) + form.shape), between(lies, order))
        if len(order) > n.type.rank:  # an operand that broadcasts needs no axes of 1 in front
            made = reshaped(made, _without_ones(made.shape))
        forms[order] = made
        return made


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the dimensions of 1 that it begins with."""
    first = next((axis for axis, dim in enumerate(shape) if dim != 1), len(shape) - 1)
    return shape[first:]


def _wanted(graph: Graph, convolutions: set[Node]) -> set[Node]:
    """The nodes from which a convolution, a Transpose or a reduction is reached through operators that can run in another order."""
    found: set[Node] = set()
    for n in reversed(graph.nodes):
        follows = type(n.op).permuted is not Operator.permuted
        if n in convolutions or isinstance(n.op, Transpose) or (follows and n.op.kind is Kind.REDUCTION):
            found.add(n.inputs[0])
        elif n in found and follows:
            found.update(n.inputs)
    return found


def _later(graph: Graph) -> dict[Node, int]:
    """The bytes that bringing a value back moves, where that is done: behind it, if less is left there."""
    found: dict[Node, int] = {}
    users, outputs = graph.users(), set(graph.outputs)
    for n in reversed(graph.nodes):
        if n.inferred is None:
            continue
        found[n] = n.type.bytes
        if n not in outputs and all(u in found and type(u.op).permuted is not Operator.permuted for u in users[n]):
            found[n] = min(n.type.bytes, sum(found[u] for u in users[n]))
    return found
