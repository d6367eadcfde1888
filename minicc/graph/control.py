"""Control flow: operators that hold graphs and say when these run. Their value is a tuple, of which `Output` takes one.

In: values, and graphs whose inputs are listed: what a body reads from around it comes as an ordinary input. Out: for
`Conditional` (ONNX If) the outputs of the branch that is taken; for `Loop` the last carried values, then what each trip
scanned, stacked along a new first axis. Binding puts bodies in the place of what it can decide (`resolve`); what is left
runs its bodies from an executable (`kernels.stages`), or, as everywhere, by `numpy`. A value is an array, or a tuple of
values: a sequence. `loop` makes a Loop of a function from nodes to nodes.

A body of `Loop` maps (trip, condition, *carried, *captured) to (condition, *carried, *scanned). It runs as long as
the trip number is less than the first input and the condition, at first the second input, holds (ONNX Loop).

>>> import numpy as np
>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Add
>>> from minicc.types import TensorType, boolean, float32, int64
>>> number, truth, x = TensorType(int64, ()), TensorType(boolean, ()), TensorType(float32, (2,))
>>> k, go, s, step = input("k", number), input("go", truth), input("s", x), input("step", x)
>>> body = Graph("body", (k, go, s, step), (go, Add()(s, step), s), ("go", "sum", "before"))
>>> last, before = Loop(body, carried=1)(np.int64(3), np.True_, np.float32([0, 1]), np.float32([2, 2]))
>>> last, before.shape
(array([6., 7.], dtype=float32), (3, 2))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from minicc.errors import GraphError, RunError
from minicc.graph.interpret import compute
from minicc.graph.ir import Constant, Graph, Node, constant, here, input, make
from minicc.graph.transform import same
from minicc.ir.node import node, postorder
from minicc.ops.base import OPERAND, Array, Operand, Operator, interpreted, number
from minicc.types import TensorType, Unbound, boolean, int64

Value = Any  # an array, or a tuple of values
Run = Callable[[Sequence[Value]], Sequence[Value]]  # a body, from the values of its inputs to those of its outputs

Room = Callable[[int], None]

ASKED = 1 << 26  # bytes of what trips scan, before anybody is asked for room
ENDLESS = 2**40  # trips; no loop of so many ends
DEEPEST = 16  # control flow within control flow


class Control(Operator):
    """Base of what holds bodies and runs them."""

    __slots__ = ()
    interpreted = True

    @classmethod
    def intern_key(cls, args: tuple[Any, ...]) -> Any:
        return cls, *[a.key if isinstance(a, Graph) else a for a in args]

    def infer(self, *types: Any, **_: Any) -> TensorType:
        raise Unbound(self.name)  # a tuple of values is no tensor

    def numpy(self, *values: Any, **_: Any) -> tuple[Value, ...]:
        return self.run([partial(interpret, body) for body in self.bodies], values)

    def run(self, bodies: Sequence[Run], values: Sequence[Value], room: Room = lambda size: None) -> tuple[Value, ...]:
        """Its value, by what runs each of its bodies; `room` is asked for the bytes that results come to, and may refuse."""
        raise NotImplementedError(self.name)

    def types(self, values: Sequence[Node]) -> list[TensorType | None]:
        """Those of its value, of inputs that have the types of the inputs of its bodies."""
        raise NotImplementedError(self.name)

    @property
    def nested(self) -> int:
        """How deep control flow is nested in it, itself included."""
        depths: dict[Operator, int] = {}  # equal bodies are one: each is looked at once
        for op in postorder([self], lambda op: [n.op for b in op.bodies for n in b.nodes if isinstance(n.op, Control)]):
            depths[op] = 1 + max([depths[n.op] for b in op.bodies for n in b.nodes if n.op in depths], default=0)
        return depths[self]

    def __repr__(self) -> str:
        shown = {n: getattr(self, n) for n in self.__match_args__}
        fields = ", ".join(f"{n}={v!r}" for n, v in shown.items() if not isinstance(v, Graph))
        return f"{self.name}({fields})"


@node
class Output(Operator):
    """One value of the tuple that a control node gives."""

    interpreted: ClassVar[bool] = True

    index: int
    type: TensorType | None

    def infer(self, *types: Any, **_: Any) -> TensorType:
        if self.type is None:
            raise Unbound(self.name)
        return self.type

    def numpy(self, *values: Any, **_: Any) -> Value:
        return values[0][self.index]

    def __repr__(self) -> str:
        return f"Output(index={self.index})"  # its type stands behind it


@node
class Conditional(Control):
    """The outputs of `then` where the condition holds, else those of `otherwise`; both read all inputs but the condition."""

    operands: ClassVar[tuple[str, ...]] = ("condition",)

    then: Graph
    otherwise: Graph
    condition: bool | Operand = OPERAND

    @property
    def bodies(self) -> tuple[Graph, ...]:
        return self.then, self.otherwise

    @property
    def taken(self) -> int:
        """Which branch, once the condition is known."""
        return 0 if number(self.condition) else 1

    def run(self, bodies: Sequence[Run], values: Sequence[Value], room: Room = lambda size: None) -> tuple[Value, ...]:
        return tuple(bodies[self.taken](values))

    def types(self, values: Sequence[Node]) -> list[TensorType | None]:
        both = zip(self.then.outputs, self.otherwise.outputs, strict=True)
        return [a.inferred if a.inferred == b.inferred else None for a, b in both]


@node
class Loop(Control):
    """`body`, run again and again; of its values `carried` many go from trip to trip."""

    body: Graph
    carried: int

    @property
    def bodies(self) -> tuple[Graph, ...]:
        return (self.body,)

    @property
    def stops(self) -> bool:
        """Whether a trip may end it: whether its condition is neither always true nor what it was."""
        go = self.body.outputs[0]
        return go is not self.body.inputs[1] and not (isinstance(go.op, Constant) and bool(go.array.all()))

    @property
    def grows(self) -> bool:
        """Whether the type of a carried value may differ from trip to trip."""
        return any(i.inferred is None for i in self.body.inputs[2 : 2 + self.carried])

    def check_end(self, trips: int) -> None:
        """Raise RunError when there is no end to so many trips."""
        if trips > ENDLESS and not self.stops:
            problem = f"expected a loop that ends, got {trips:,} trips, and a condition that no trip changes"
            raise RunError("Loop", problem, here(), "give a smaller trip count, or a body that sets its condition")

    def run(self, bodies: Sequence[Run], values: Sequence[Value], room: Room = lambda size: None) -> tuple[Value, ...]:
        size, asked = 0, ASKED
        trips, go = int(np.asarray(values[0]).reshape(())), bool(np.asarray(values[1]).reshape(()))
        state, captured = tuple(values[2 : 2 + self.carried]), tuple(values[2 + self.carried :])
        rows: list[tuple[Array, ...]] = []
        if go:
            self.check_end(trips)
        while go and len(rows) < trips:
            results = bodies[0]((np.array(len(rows), np.int64), np.array(go), *state, *captured))
            go, state = bool(np.asarray(results[0]).reshape(())), tuple(results[1 : 1 + self.carried])
            rows.append(tuple(results[1 + self.carried :]))
            size += sum(array.nbytes for array in rows[-1])
            if size > asked:  # so often that asking costs nothing
                room(2 * size)  # they are copied when they are stacked
                asked = 2 * size
        return *state, *(self._stacked(rows) if rows else self._empty(values))

    def _stacked(self, rows: Sequence[tuple[Array, ...]]) -> Iterator[Array]:
        """What the trips scanned, each kind along a new first axis. Raises RunError where shapes differ."""
        for parts in zip(*rows, strict=True):
            if len({part.shape for part in parts}) > 1:
                shapes = ", ".join(dict.fromkeys(str(part.shape) for part in parts))
                problem = f"expected values of one shape to scan, got {shapes}"
                raise RunError("Loop", problem, here(), "carry the value, and join to it by Concat")
            yield np.stack(parts)

    def _empty(self, values: Sequence[Value]) -> Iterator[Array]:
        """What no trip has scanned: as many elements as there are in nothing, of the type that the first trip would give."""
        types = [TensorType.of(v) if hasattr(v, "dtype") else None for v in values]
        inputs = [input(name, type) for name, type in zip(self.body.input_names, types, strict=True)]
        for n in self.body.interpret(inputs, lambda n, values: same(n, tuple(values)))[1 + self.carried :]:
            shape = n.type.shape if n.inferred and n.inferred.is_bound else ()
            yield np.zeros((0, *shape), n.dtype.numpy if n.inferred else np.float32)

    def types(self, values: Sequence[Node]) -> list[TensorType | None]:
        last = [i.inferred for i in self.body.inputs[2 : 2 + self.carried]]
        rows: list[TensorType | None] = [n.inferred for n in self.body.outputs[1 + self.carried :]]
        if self.stops or not all(isinstance(v.op, Constant) for v in values[:2]) or not values[1].array.all():
            return [*last, *[None] * len(rows)]
        trips = int(values[0].array.reshape(()))
        return [*last, *[t and TensorType(t.dtype, (max(trips, 0), *t.shape)) for t in rows]]


@interpreted
class Impossible(Operator):
    """What has no answer, in a branch that nobody knows to be taken: when it runs, it says why."""

    problem: str

    def infer(self, *types: Any, **_: Any) -> TensorType:
        raise Unbound(self.name)

    def numpy(self, *values: Any, **_: Any) -> Value:
        raise RunError("a branch", self.problem, hint="the branch does not fit the inputs: call with others")


def interpret(body: Graph, values: Sequence[Value]) -> list[Value]:
    """The outputs of a body by the references of its operators."""
    return body.interpret(values, lambda n, inputs: compute(n.op, inputs))


def items(op: Control, values: Sequence[Node]) -> tuple[Node, ...]:
    """A control node on these values, as a node for each of its results.

    Raises GraphError when control flow is nested deeper than `DEEPEST`.
    """
    if op.nested > DEEPEST:
        problem = f"expected control flow nested at most {DEEPEST} deep, got {op.nested}"
        raise GraphError(op.name, problem, here(), "write nested conditions as one, by And and Or")
    made = make(op, values)
    return tuple([make(Output(k, type), [made]) for k, type in enumerate(op.types(values))])


def settled(body: Callable[[list[TensorType | None]], Graph], types: list[TensorType | None]) -> Graph:
    """The body of a loop whose carried values begin with these types: as often made as it changes one, which is then open."""
    while True:
        made = body(types)
        after = [n.inferred for n in made.outputs[1 : 1 + len(types)]]
        kept = [before if before == now else None for before, now in zip(types, after, strict=True)]
        if kept == types:
            return made
        types = kept


def loop(
    step: Callable[..., tuple[Sequence[Node], Sequence[Node]]],
    trips: Node | int,
    carried: Sequence[Node],
    captured: Sequence[Node] = (),
    name: str = "loop",
) -> tuple[Node, ...]:
    """A Loop of so many trips, as nodes: the last carried values, then what the trips scanned.

    `step(trip, *carried, *captured)` gives, as nodes, the carried values of the next trip, and those that are scanned;
    it reads nothing else but constants. It is called again where a carried value has changed its type.
    Where `trips` is a constant, and small, binding unrolls the loop.

    >>> from minicc.ops import Add, Gather
    >>> from minicc.types import float32
    >>> x, zero = input("x", TensorType(float32, (5, 2))), constant(np.zeros(2, np.float32))
    >>> def step(trip, total, rows):
    ...     total = Add()(total, Gather(0)(rows, trip))
    ...     return [total], [total]
    >>> last, sums = loop(step, constant(np.int64(5)), [zero], [x])
    >>> last.type, sums.type
    (float32[2], float32[5,2])
    """
    around = [input(f"captured{k}", n.inferred) for k, n in enumerate(captured)]
    trip, go = input("trip", TensorType(int64, ())), constant(np.True_)

    def body(types: list[TensorType | None]) -> Graph:
        state = [input(f"carried{k}", type) for k, type in enumerate(types)]
        after, scanned = step(trip, *state, *around)
        inputs, outputs = (trip, input("go", TensorType(boolean, ())), *state, *around), (go, *after, *scanned)
        return Graph(name, inputs, outputs, tuple([f"result{k}" for k in range(len(outputs))]))

    made = settled(body, [n.inferred for n in carried])
    trips = trips if isinstance(trips, Node) else constant(np.array(trips, np.int64))
    return items(Loop(made, len(carried)), [trips, go, *carried, *captured])
