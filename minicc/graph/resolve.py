"""What a node is once its inputs are bound: operands become fields, decided control flow its bodies, known sequences values.

In: a node, and its inputs as they are now. Out: the node in their place. Operands whose values are constants move into
their operator; Shape and Size of known types are computed; the branch that a constant chooses stands in the place of
its Conditional, and the trips of a Loop one after the other, where their number is known and their nodes are not too
many; elements are taken out of sequences that are put together in sight. The bodies of what stays are resolved on the
types that they get, and a composite of very many equal steps becomes a Loop.

>>> from minicc.graph.control import items
>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Neg, Relu
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2,)))
>>> one, other = (Graph("b", (x,), (op()(x),), ("y",)) for op in (Relu, Neg))
>>> (y,) = items(Conditional(one, other), [x, constant(np.False_)])
>>> made = Resolver()
>>> made.resolve(y, (made.resolve(y.inputs[0], y.inputs[0].inputs),)).op
Neg
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc.errors import GraphError, MiniccError, TypeInferenceError
from minicc.graph.control import Conditional, Control, Impossible, Output, Loop, loop, settled
from minicc.graph.interpret import compute
from minicc.graph.ir import Constant, Graph, Input, Node, Span, constant, here, input, make, spanned, within
from minicc.graph.transform import same
from minicc.ir.node import postorder
from minicc.ops.base import Array, Operator
from minicc.ops.movement import Concat
from minicc.ops.sequence import Absent, OptionalHasElement, SequenceConstruct, SequenceOperator, SplitToSequence
from minicc.ops.shape import Unsqueeze
from minicc.types import TensorType, Unbound

LONGEST = 4096  # numbers of an operand: a shape, axes, the sizes of parts
UNROLLED = 4096  # nodes that all loops together become
TRIED = 1 << 18  # nodes that are made at most to find out
STEPS = 64  # nodes of a condition that is looked at before the graph is bound
SMALL = 1 << 16  # bytes of a value of a body that is computed here


class Resolver:
    """Resolves the nodes of one graph, and of the bodies in it."""

    def __init__(self) -> None:
        self.left, self.tries = UNROLLED, TRIED
        self.sure = True  # that what is resolved is going to run
        self._known: dict[tuple[Operator, tuple[Node, ...], bool], Node] = {}

    def resolve(self, n: Node, inputs: tuple[Node, ...]) -> Node:
        """What stands for `n` on these inputs."""
        op = n.op
        if isinstance(op, Control):
            key = op, inputs, self.sure
            if key not in self._known:
                self._known[key] = self._loop(op, inputs) if isinstance(op, Loop) else self._if(op, inputs)
            return self._known[key]
        if isinstance(op, Output):
            return _item(op, inputs[0])
        if pending := len(op.pending):
            if not all(isinstance(i.op, Constant) for i in inputs[-pending:]):
                return same(n, inputs)
            n, inputs = _with_operands(op, inputs), inputs[:-pending]
        if isinstance(n.op, SequenceOperator):
            return _of_sequence(n, inputs)
        return _by_types(n, inputs) or self._repeated(n, inputs) or same(n, inputs)

    def _repeated(self, n: Node, inputs: tuple[Node, ...]) -> Node | None:
        """A composite of many equal steps as the loop that it says it is; None of any other."""
        repeated = getattr(n.op, "repeated", None)
        if repeated is None or not all(i.inferred and i.inferred.is_bound for i in inputs):
            return None

        def looped(*arguments: Any) -> list[Node]:
            made = loop(*arguments)
            value = self.resolve(made[0].inputs[0], made[0].inputs[0].inputs)
            return [_item(output.op, value) for output in made if isinstance(output.op, Output)]

        found: Node | None = repeated(looped, *inputs)
        return found

    def put(self, body: Graph, values: Sequence[Node]) -> list[Node]:
        """The outputs of `body`, put in the place of what runs it on these values; constants are computed on the way."""

        def step(n: Node, inputs: list[Node]) -> Node:
            with within(body.spans.get(n)):
                try:
                    return computed(self.resolve(n, tuple(inputs)))
                except TypeInferenceError as error:
                    if self.sure:
                        raise
                    return make(Impossible(f"{error.call}: {error.problem}"), inputs)

        return body.interpret(values, step)

    def typed(self, body: Graph, values: Sequence[Node]) -> tuple[Graph, list[Node]]:
        """The body on inputs of the types of these values, and the values that it then takes.

        Constants move into it, and known sequences come as their elements.
        """
        inputs: list[Node] = []
        taken: list[Node] = []

        def parameter(name: str, value: Node) -> Node:
            if isinstance(value.op, (Constant, Absent)):
                return value
            if isinstance(value.op, SequenceConstruct):
                return make(value.op, [parameter(f"{name}.{k}", element) for k, element in enumerate(value.inputs)])
            inputs.append(input(name, value.inferred))
            taken.append(value)
            return inputs[-1]

        spans: dict[Node, Span] = {}
        with spanned(spans, None):
            given = [parameter(name, value) for name, value in zip(body.input_names, values, strict=True)]
            outputs = tuple(self.put(body, given))
        return Graph(body.name, tuple(inputs), outputs, body.output_names).located(body.spans).located(spans), taken

    def _if(self, op: Control, inputs: tuple[Node, ...]) -> Node:
        assert isinstance(op, Conditional)
        if op.pending and isinstance(inputs[-1].op, Constant):
            op, inputs = op.bind([inputs[-1].array]), inputs[:-1]
        if not op.pending:
            return make(SequenceConstruct(), self.put(op.bodies[op.taken], inputs))
        before, self.sure = self.sure, False
        (then, taken), (otherwise, _) = (self.typed(branch, inputs[:-1]) for branch in op.bodies)
        self.sure = before
        read = [k for k, i in enumerate(then.inputs) if _reads(then, i) or _reads(otherwise, i)]
        return make(Conditional(_of(then, read), _of(otherwise, read)), [*[taken[k] for k in read], inputs[-1]])

    def _loop(self, op: Loop, inputs: tuple[Node, ...]) -> Node:
        trips, go, *rest = inputs
        state, captured = rest[: op.carried], rest[op.carried :]
        number, names = op.body.inputs[:2], op.body.input_names
        found = list[Node]()

        def body(types: list[TensorType | None]) -> Graph:
            carried = [input(name, type) for name, type in zip(names[2:], types, strict=False)]
            made, found[:] = self.typed(op.body, [*number, *carried, *captured])
            return made

        if (results := self._unrolled(op, inputs)) is not None:
            return make(SequenceConstruct(), results)
        made, first = settled(body, [v.inferred for v in state]), 2 + op.carried
        read = [k for k, i in enumerate(made.inputs) if k < first or _reads(made, i)]
        return make(Loop(_of(made, read), op.carried), [trips, go, *state, *[found[k] for k in read[first:]]])

    def _unrolled(self, op: Loop, inputs: tuple[Node, ...]) -> list[Node] | None:
        """The results of all trips, one after the other; None where they are too many or data decides how many."""
        if not (isinstance(inputs[0].op, Constant) and isinstance(inputs[1].op, Constant)):
            return None
        most, go = int(inputs[0].array.reshape(())), bool(inputs[1].array.reshape(()))
        size, left = len(op.body.nodes), self.left
        if go and not op.stops:
            op.check_end(most)
            if most * size > min(left, self.tries):
                return None
        state, captured = inputs[2 : 2 + op.carried], inputs[2 + op.carried :]
        rows: list[Sequence[Node]] = []
        while go and len(rows) < most:
            if size > min(self.left, self.tries):
                self.left = left
                return None
            self.left, self.tries = self.left - size, self.tries - size
            trip = constant(np.array(len(rows), np.int64))
            condition, *results = self.put(op.body, [trip, constant(np.True_), *state, *captured])
            if not isinstance(condition.op, Constant):
                self.left = left
                return None
            go, state = bool(condition.array.reshape(())), tuple(results[: op.carried])
            rows.append(results[op.carried :])
        scanned = [n.inferred for n in op.body.outputs[1 + op.carried :]]
        if not rows and not all(type and type.is_bound for type in scanned):
            return None
        stacked = [Concat(0)(*[Unsqueeze((0,))(row[k]) for row in rows]) for k in range(len(scanned) if rows else 0)]
        empty = [constant(np.zeros((0, *t.shape), t.dtype.numpy)) for t in scanned if t and not rows]
        return [*state, *stacked, *empty]


def stand_in(name: str, value: Any) -> Node:
    """A node for a value of a call: an input of its type, a sequence of such, or an absent optional."""
    if isinstance(value, tuple):
        return make(SequenceConstruct(), [stand_in(f"{name}.{k}", element) for k, element in enumerate(value)])
    return make(Absent(), []) if value is None else input(name, TensorType.of(value))


def value_of(n: Node) -> Array | None:
    """The value of a node, where constants and types decide it by few steps; else None."""
    known: dict[Node, Node] = {}
    resolver = Resolver()
    for k, step in enumerate(postorder([n], lambda i: () if by_type(i.op) else i.inputs)):
        if k >= STEPS or isinstance(step.op, (Input, Control)):
            return None
        known[step] = computed(resolver.resolve(step, tuple([known.get(i, i) for i in step.inputs])))
    return known[n].array if isinstance(known[n].op, Constant) else None


def _reads(body: Graph, i: Node) -> bool:
    return i in body.outputs or any(i in n.inputs for n in body.nodes)


def _of(body: Graph, inputs: Sequence[int]) -> Graph:
    """The body that takes only these of its inputs."""
    return Graph(body.name, tuple([body.inputs[k] for k in inputs]), body.outputs, body.output_names, body.spans)


def _with_operands(op: Operator, inputs: tuple[Node, ...]) -> Node:
    """The operator with the values of its operands, which are constants, as fields."""
    pending = len(op.pending)
    operands = [i.array for i in inputs[-pending:]]
    if (longest := max(operand.size for operand in operands)) > LONGEST:
        problem = f"expected an operand of at most {LONGEST:,} numbers, got {longest:,}"
        raise GraphError(f"bind: {op}", problem, here(), "shapes, axes and sizes are operands; data is not")
    return make(op.bind(operands, here()), inputs[:-pending])


def _by_types(n: Node, inputs: tuple[Node, ...]) -> Node | None:
    """The constant that the types alone decide (Shape, Size); None where they do not."""
    if not by_type(n.op) or any(i.inferred is None for i in inputs):
        return None
    try:
        value = n.op.fold(*[i.inferred for i in inputs])
    except Unbound:
        return None
    return None if value is None else constant(value)


def by_type(op: Operator) -> bool:
    """Whether the types of the inputs decide the value (Shape, Size)."""
    return type(op).fold is not Operator.fold


def _item(op: Output, value: Node) -> Node:
    if isinstance(value.op, SequenceConstruct):
        return value.inputs[op.index]
    assert isinstance(value.op, Control)
    return make(Output(op.index, value.op.types(value.inputs)[op.index]), [value])


def _of_sequence(n: Node, inputs: tuple[Node, ...]) -> Node:
    """What an operator on sequences gives, where it is known of which values these consist."""
    op = n.op
    assert isinstance(op, SequenceOperator)
    values: list[Any] = [i.inputs if k < op.sequences else i for k, i in enumerate(inputs)]
    known = all(isinstance(i.op, SequenceConstruct) for i in inputs[: op.sequences])
    if isinstance(op, OptionalHasElement):
        known = inputs[0].inferred is not None or isinstance(inputs[0].op, (Absent, SequenceConstruct))
        values = [None if isinstance(inputs[0].op, Absent) else inputs[0]]
    elif isinstance(op, SplitToSequence):
        known = inputs[0].inferred is not None and inputs[0].inferred.is_bound
    if not known or isinstance(op, (Absent, SequenceConstruct)):
        return same(n, inputs)
    try:
        return _as_node(op.numpy(*values))
    except TypeInferenceError as error:
        error.where = error.where or here()
        raise


def _as_node(value: Any) -> Node:
    if isinstance(value, tuple):
        return make(SequenceConstruct(), [_as_node(element) for element in value])
    return value if isinstance(value, Node) else constant(value)


def computed(n: Node) -> Node:
    """The constant that a node of a body computes from constants, if it is small; else the node."""
    if isinstance(n.op, (Input, Constant, Control, Output, SequenceOperator)):
        return n
    if not all(isinstance(i.op, Constant) for i in n.inputs) or sum(i.type.bytes for i in n.inputs) > SMALL:
        return n
    if not n.op.interpreted and (n.inferred is None or n.inferred.bytes > SMALL):
        return n
    try:
        return constant(compute(n.op, [i.array for i in n.inputs]))
    except (ArithmeticError, LookupError, MiniccError, TypeError, ValueError):  # it may be a branch that is not taken
        return n
