"""Control flow, sequences and optionals of ONNX: nodes that hold graphs.

A body is translated like the graph around it; what it reads from there becomes an input of it, but for constants, which
it has itself. An If whose condition is known is the nodes of its branch. A Scan is a Loop whose body gathers its slices.

>>> sorted(TRANSLATIONS)[:4]
['If', 'Loop', 'Optional', 'OptionalGetElement']
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from onnx import GraphProto

from minicc import ops
from minicc.frontend.onnx.call import OnnxCall, Result, Translation
from minicc.graph.control import Conditional, Control, Loop, Output, items, settled
from minicc.graph.ir import Constant, Graph, Input, Node, constant, input, make
from minicc.graph.resolve import value_of
from minicc.ops.base import OPERAND
from minicc.types import TensorType, boolean, int64

ENDLESS = np.int64(2**63 - 1)  # trips, where a model does not say how many
NUMBER, TRUTH = TensorType(int64, ()), TensorType(boolean, ())


class Around:
    """What bodies read from around them: inputs of the bodies, and the values that these then get."""

    def __init__(self, call: OnnxCall, taken: Sequence[str] = ()) -> None:
        self.call, self.taken = call, set(taken)
        self.inner: list[Node] = []
        self.outer: list[Node] = []
        self._known: dict[str, Node] = {}

    def __call__(self, name: str) -> Node | None:
        """What `name` is in the body; None where nothing is called so."""
        if name not in self._known:
            value = self.call.scope.look(name)
            if value is None:
                return None
            self._known[name] = value if isinstance(value.op, Constant) else self.add(name, value)
        return self._known[name]

    def add(self, name: str, value: Node) -> Node:
        """A new input of the bodies, for a value."""
        while name in self.taken:
            name += "'"
        self.taken.add(name)
        self.inner.append(input(name, value.inferred))
        self.outer.append(value)
        return self.inner[-1]

    def graph(self, inputs: Sequence[Node], outputs: Sequence[Node], name: str) -> Graph:
        """A body on these inputs, and those from around."""
        made = Graph(name, (*inputs, *self.inner), tuple(outputs), tuple([f"result{k}" for k in range(len(outputs))]))
        return made.located(self.call.scope.spans)


def if_(call: OnnxCall) -> Result:
    """The nodes of the branch, where the condition is known before the graph is bound."""
    branches: list[GraphProto] = [call[f"{which}_branch"] for which in ("then", "else")]
    for branch in branches:
        if len(branch.output) != len(call.asked) or branch.input:
            problem = f"a branch must have no inputs, and {len(call.asked)} outputs as the If, "
            problem += f"got {len(branch.input)} and {len(branch.output)} of {branch.name!r}"
            raise call.error(problem, "a branch reads what is around it by name")
    condition = call.operand(0, rank=0)
    assert condition is not None
    if (known := value_of(condition)) is not None:
        return call.scope.enter(branches[int(not known.any())], [], call.scope.look)
    around = Around(call)
    both = [call.scope.enter(branch, [], around, sure=False) for branch in branches]
    for k, (a, b) in enumerate(zip(*both, strict=True)):
        if a.inferred and b.inferred and a.dtype is not b.dtype:
            problem = f"output {k} must have one dtype in both branches, got {a.dtype} and {b.dtype}"
            raise call.error(problem, "cast it in one of them")
    then, otherwise = around.graph([], both[0], "then"), around.graph([], both[1], "otherwise")
    return items(Conditional(then, otherwise), [*around.outer, condition])


def loop(call: OnnxCall) -> Result:
    """Without a number of trips, or a condition, these do not end it."""
    body: GraphProto = call["body"]
    carried = [call[k] for k in range(2, len(call.inputs))]
    _check(call, body, 2 + len(carried), 1 + len(carried), len(call.asked) + 1)
    trips, go = call.operand(0, rank=0), call.operand(1, rank=0)
    start = [constant(ENDLESS) if trips is None else trips, constant(np.True_) if go is None else go, *carried]
    names = [info.name for info in body.input]

    def run(around: Around, inputs: Sequence[Node]) -> Sequence[Node]:
        return call.scope.enter(body, inputs, around)

    return _repeated(call, run, names, start)


def _check(call: OnnxCall, body: GraphProto, inputs: int, least: int, most: int) -> None:
    """Raise unless a body has so many inputs, and outputs for those of the node."""
    if len(body.input) != inputs or not max(least, most) <= len(body.output):
        problem = f"its body must have {inputs} inputs and at least {max(least, most)} outputs, "
        problem += f"got {len(body.input)} and {len(body.output)}"
        raise call.error(
            problem, f"see the inputs and outputs of a body in the operator reference: {call.proto.op_type}"
        )


def _repeated(
    call: OnnxCall, run: Callable[[Around, Sequence[Node]], Sequence[Node]], names: Sequence[str], start: Sequence[Node]
) -> tuple[Node, ...]:
    """A Loop from `start` (the number of trips, the condition, carried values); `run` gives the outputs of its body."""
    held: list[Around] = []

    def body(types: list[TensorType | None]) -> Graph:
        around = Around(call, names)
        inputs = [input(name, type) for name, type in zip(names, [NUMBER, TRUTH, *types], strict=True)]
        held[:] = [around]
        outputs = run(around, inputs)
        return around.graph(inputs, outputs, "body")

    made = settled(body, [value.inferred for value in start[2:]])
    return items(Loop(made, len(start) - 2), [*start, *held[0].outer])


def scan(call: OnnxCall) -> Result:
    """From opset 9 on without a batch; before, one after the other for each of it."""
    if call.version >= 9:
        return _scan(call, call.data, call["scan_input_directions"], "scan_")
    if call.input(0) is not None:
        raise call.error("sequence_lens is not supported", "export the model with opset 9 or later")
    batch = call.type(call[1], "a batch").shape[0]
    if not isinstance(batch, int):
        raise call.error("its batch must be a number", "export the model with opset 9 or later")
    values = [call[k] for k in range(1, len(call.inputs))]
    at = [[call(ops.Gather, x, call.constant(k, "int64"), axis=0) for x in values] for k in range(batch)]
    results = [_scan(call, values, call["directions"], "") for values in at]
    parts = zip(*[[call(ops.Unsqueeze, x, axes=(0,)) for x in result] for result in results], strict=True)
    return [call(ops.Concat, *part, axis=0) for part in parts]


def _scan(call: OnnxCall, values: Sequence[Node], directions: Sequence[int] | None, prefix: str) -> list[Node]:
    body: GraphProto = call["body"]
    count = len(values) - call["num_scan_inputs"]
    if not 0 <= count < len(values):
        raise call.error(f"num_scan_inputs must be 1 to {len(values)}, got {call['num_scan_inputs']}")
    _check(call, body, len(values), count, len(call.asked))
    state, rows, given = values[:count], values[count:], [info.name for info in body.input]
    axes, reverse = (call[f"{prefix}input_axes"] if prefix else None) or [0] * len(rows), directions or [0] * len(rows)
    lengths = [_length(call, x, axis) for x, axis in zip(rows, axes, strict=True)]
    if len(known := {int(n.array) for n in lengths if isinstance(n.op, Constant)}) > 1:
        raise call.error(f"what it scans must be equally long, got {sorted(known)}", "cut or pad the inputs")

    def run(around: Around, inputs: Sequence[Node]) -> Sequence[Node]:
        trip, _, *now = inputs
        length = lengths[0] if known else around.add("trips", lengths[0])
        slices = []
        for name, x, axis, back in zip(given[count:], rows, axes, reverse, strict=True):
            place = call(ops.Sub, call(ops.Sub, length, call.constant(1, "int64")), trip) if back else trip
            whole = x if isinstance(x.op, Constant) else around.add(f"{name} of all trips", x)
            slices.append(call(ops.Gather, whole, place, axis=axis))
        return [constant(np.True_), *call.scope.enter(body, [*now, *slices], around)]

    names = ["trip", "condition", *given[:count]]
    results = list(_repeated(call, run, names, [lengths[0], constant(np.True_), *state]))
    ends = (call["scan_output_axes"], call["scan_output_directions"]) if prefix else (None, None)
    for k in range(len(results) - count):
        axis, back = ends[0][k] if ends[0] else 0, ends[1][k] if ends[1] else 0
        results[count + k] = _turned(call, results[count + k], axis, back)
    return results


def _length(call: OnnxCall, x: Node, axis: int) -> Node:
    """The extent of an axis, as a constant where it is known."""
    if x.inferred is not None and -x.inferred.rank <= axis < x.inferred.rank and isinstance(x.shape[axis], int):
        return call.constant(x.shape[axis], "int64")
    return call(ops.Gather, call(ops.Shape, x), call.constant(axis, "int64"), axis=0)


def _turned(call: OnnxCall, x: Node, axis: int, back: int) -> Node:
    """What was scanned, its first axis the last one first if `back`, and moved to `axis`."""
    if back:
        x = call(ops.Slice, x, starts=(-1,), ends=(-(2**63),), axes=(0,), steps=(-1,))
    if axis == 0:
        return x
    rank = call.type(x, "scan_output_axes").rank
    order = list(range(1, rank))
    order.insert(axis % rank, 0)
    return call(ops.Transpose, x, perm=tuple(order))


def sequence_map(call: OnnxCall) -> Result:
    """A Loop that carries a sequence for each result."""
    body: GraphProto = call["body"]
    _check(call, body, len(call.inputs), 0, len(call.asked))
    count = len(body.output)

    def run(around: Around, inputs: Sequence[Node]) -> Sequence[Node]:
        trip, _, *found = inputs
        values = []
        for k, x in enumerate(call.data):
            inner = x if isinstance(x.op, Constant) else around.add(f"input{k}", x)
            values.append(make(ops.SequenceAt(OPERAND), [inner, trip]) if k == 0 or is_sequence(x) else inner)
        results = call.scope.enter(body, values, around)
        longer = [make(ops.SequenceInsert(), pair) for pair in zip(found, results, strict=True)]
        return [constant(np.True_), *longer]

    start = [call(ops.SequenceLength, call[0]), constant(np.True_), *[make(ops.SequenceConstruct(), [])] * count]
    return _repeated(call, run, ["trip", "condition", *[f"found{k}" for k in range(count)]], start)


def is_sequence(x: Node) -> bool:
    """Whether a value is a sequence, as far as can be told before it is there."""
    if isinstance(x.op, Output):
        source = x.inputs[0]
        assert isinstance(source.op, Control)
        first = isinstance(source.op, Loop)
        return is_sequence(source.inputs[2 + x.op.index] if first else source.op.bodies[0].outputs[x.op.index])
    kinds = (ops.SequenceConstruct, ops.SequenceInsert, ops.SequenceErase, ops.SplitToSequence)
    return isinstance(x.op, kinds) or (isinstance(x.op, Input) and x.inferred is None)


def split_to_sequence(call: OnnxCall) -> Node:
    """Its sizes are one number, or a list."""
    sizes = call.input(1)
    rank = 0 if sizes is None else call.type(sizes, "split").rank
    return call(ops.SplitToSequence, call[0], split=call.operand(1, rank), axis=call["axis"], keepdims=call["keepdims"])


def sequence_empty(call: OnnxCall) -> Node:
    """It has no elements, so their dtype does not matter."""
    call["dtype"]  # of elements that there are not
    return make(ops.SequenceConstruct(), [])


def optional(call: OnnxCall) -> Node:
    """What has an element is that element."""
    call["type"]  # of an element that there is not
    found = call.input(0)
    return make(ops.Absent(), []) if found is None else found


def optional_has_element(call: OnnxCall) -> Node:
    """Without an input there is none."""
    return call.constant(False, "bool") if call.input(0) is None else call.direct(ops.OptionalHasElement)


TRANSLATIONS: dict[str, Translation] = {
    "If": if_,
    "Loop": loop,
    "Optional": optional,
    "OptionalGetElement": lambda call: call[0],
    "OptionalHasElement": optional_has_element,
    "Scan": scan,
    "SequenceEmpty": sequence_empty,
    "SequenceMap": sequence_map,
    "SplitToSequence": split_to_sequence,
}
