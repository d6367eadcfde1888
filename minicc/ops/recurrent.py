"""LSTM, GRU and RNN: layers that carry a state from one step of a sequence to the next.

In: a sequence `[steps, batch, inputs]` (`layout` 1: batch first), weights W `[directions, gates * hidden, inputs]` and R
`[directions, gates * hidden, hidden]`, and, as `given` says by their ONNX names, biases, the lengths of the sequences,
first states and peepholes. Out: one of the results, `output` says which: Y `[steps, directions, batch, hidden]`, the
states of all steps (zeros after the end of a sequence), or Y_h or Y_c `[directions, batch, hidden]`, the last ones.

The products of all steps with W are one product; then the steps are written out one after the other, since each needs
the state before; of a long sequence in blocks, which are the body of a loop. Layers that differ in `output` alone share all their nodes.

>>> import numpy as np
>>> x, w, r = np.ones((2, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1))
>>> RNN(activations=("Relu",))(x, w, r).ravel()
array([1., 2.])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from minicc.ir.node import node
from minicc.ops.activation import Clip, Elu, HardSigmoid, LeakyRelu, Relu, Sigmoid, Softplus, Softsign, ThresholdedRelu
from minicc.ops.arithmetic import Add, Mul, Sub
from minicc.ops.base import FLOAT, Draw, Example, dtype_of, like, operator, same_dim
from minicc.ops.cast import Cast
from minicc.ops.comparison import Less, Where
from minicc.ops.elementwise import Tanh
from minicc.ops.given import Several
from minicc.ops.indexing import Gather, ReverseSequence
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Concat, Slice, Transpose
from minicc.ops.shape import Expand, Reshape
from minicc.types import DType, TensorType, float32, float64, int32

LONG = 512  # steps; more are run in blocks of so many
BLOCK = 32
MOST_STEPS = 4096  # of all directions: each is some nodes
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
FORM = {"X": 3, "W": 3, "R": 3, "B": 2, "sequence_lens": 1, "initial_h": 3, "initial_c": 3, "P": 2}  # ranks

Function = Callable[[Any], Any]


def _affine(x: Any, alpha: float, beta: float) -> Any:
    return Add()(Mul()(x, like(x, alpha)), like(x, beta))


def _scaled_tanh(x: Any, alpha: float, beta: float) -> Any:
    return Mul()(Tanh()(Mul()(x, like(x, beta))), like(x, alpha))


# How many of alpha and beta a function takes, what they are otherwise, and the function.
FUNCTIONS: dict[str, tuple[tuple[float, ...], Callable[..., Any]]] = {
    "affine": ((1.0, 0.0), _affine),
    "elu": ((1.0,), lambda x, alpha: Elu(alpha)(x)),
    "hardsigmoid": ((0.2, 0.5), lambda x, alpha, beta: HardSigmoid(alpha, beta)(x)),
    "leakyrelu": ((0.01,), lambda x, alpha: LeakyRelu(alpha)(x)),
    "relu": ((), lambda x: Relu()(x)),
    "scaledtanh": ((1.0, 1.0), _scaled_tanh),
    "sigmoid": ((), lambda x: Sigmoid()(x)),
    "softplus": ((), lambda x: Softplus()(x)),
    "softsign": ((), lambda x: Softsign()(x)),
    "tanh": ((), lambda x: Tanh()(x)),
    "thresholdedrelu": ((1.0,), lambda x, alpha: ThresholdedRelu(alpha)(x)),
}


class Cell(NamedTuple):
    """What a step of one direction needs: its functions, R turned, the rest of its biases and peepholes, if any."""

    functions: tuple[Function, ...]
    recurrent: Any
    bias: Any
    peepholes: Any


@node
class Recurrent(Several):
    """Base of the layers. A subclass says its gates and functions, and gives `step`."""

    accepts = FLOAT
    inputs: ClassVar[tuple[str, ...]] = ("X", "W", "R", "B", "sequence_lens", "initial_h")
    results: ClassVar[tuple[str, ...]] = ("Y", "Y_h")
    gates: ClassVar[int]
    defaults: ClassVar[tuple[str, ...]]  # the functions of one direction
    states: ClassVar[tuple[str, ...]] = ("h",)

    given: tuple[str, ...] = ("X", "W", "R")
    output: str = "Y"
    hidden_size: int | None = None
    direction: str = "forward"
    layout: bool = False
    activations: tuple[str, ...] = ()
    activation_alpha: tuple[float, ...] = ()
    activation_beta: tuple[float, ...] = ()
    clip: float | None = None

    def step(self, cell: Cell, x: Any, states: tuple[Any, ...]) -> tuple[Any, ...]:
        """The states after a step. `x` `[batch, gates * hidden]` is the product with W, with the biases."""
        raise NotImplementedError(self.name)

    def infer(self, *types: TensorType) -> TensorType:
        named = self.check(types)
        x, r = named["X"], named["R"]
        if any(t.rank != FORM[name] for name, t in named.items()):
            ranks = ", ".join(f"{name} of rank {FORM[name]}" for name in self.given)
            raise self.error(f"expected {ranks}", *types)
        floats = [t for name, t in named.items() if name != "sequence_lens"]
        self.accept(*floats)
        steps, batch = x.shape[:2] if not self.layout else x.shape[1::-1]
        hidden, count = r.shape[2], len(self.turned(types))
        wide = self.gates * hidden
        state = (batch, count, hidden) if self.layout else (count, batch, hidden)
        expected = {"W": (count, wide, x.shape[2]), "R": (count, wide, hidden), "B": (count, 2 * wide),
                    "sequence_lens": (batch,), "P": (count, 3 * hidden), "initial_h": state, "initial_c": state}  # fmt: skip
        for name, t in named.items():
            shape = expected.get(name, t.shape)
            if any(not same_dim(a, b) for a, b in zip(t.shape, shape, strict=True)):
                raise self.error(f"{name} must have shape {shape}, got {t.shape}", *types)
            if (t.dtype is not x.dtype) if name != "sequence_lens" else not t.dtype.is_integer:
                raise self.error(
                    f"{name} must be {'of integers' if t not in floats else x.dtype}, got {t.dtype}", *types
                )
        if self.hidden_size not in (None, hidden) or not 0 < steps * count <= MOST_STEPS:
            problem = f"expected hidden_size {hidden} as R has it, and 1 to {MOST_STEPS} steps in all directions, "
            raise self.error(problem + f"got {self.hidden_size} and {steps}", *types)
        self.functions(*types)
        if self.output != "Y":
            return TensorType(x.dtype, state)
        return TensorType(x.dtype, (batch, steps, count, hidden) if self.layout else (steps, count, batch, hidden))

    def turned(self, types: Sequence[TensorType] = ()) -> tuple[bool, ...]:
        """For each direction, whether it goes from the end."""
        if self.direction not in DIRECTIONS:
            raise self.error(f"no direction {self.direction!r}", *types, hint=f"one of {', '.join(DIRECTIONS)}")
        return DIRECTIONS[self.direction]

    def functions(self, *types: TensorType) -> list[Function]:
        """The functions of all directions, with what each takes of alpha and beta, in this order."""
        count = len(self.defaults) * len(self.turned(types))
        names = self.activations or self.defaults * count  # more are passed over: RNN of ONNX has two by default
        if len(names) < count or any(str(name).lower() not in FUNCTIONS for name in names):
            hint = f"{len(self.defaults)} for each direction, of {', '.join(FUNCTIONS)}"
            raise self.error(f"expected names of functions as activations, got {names}", *types, hint=hint)
        numbers = iter(self.activation_alpha), iter(self.activation_beta)
        clips = [at % len(self.defaults) < 2 for at in range(count)]  # onnxruntime clips gates, and not the cell
        return [self._function(name, numbers, clip) for name, clip in zip(names, clips, strict=False)]

    def _function(self, name: str, numbers: Sequence[Iterator[float]], clips: bool) -> Function:
        defaults, function = FUNCTIONS[name.lower()]
        taken = [next(given, default) for given, default in zip(numbers, defaults, strict=False)]
        if (limit := self.clip) is None or not clips:
            return lambda x: function(x, *taken)
        return lambda x: function(Clip()(x, like(x, -limit), like(x, limit)), *taken)

    def expand(self, *values: Any) -> Any:
        return self._expanded(values, None)

    def repeated(self, loop: Callable[..., Sequence[Any]], *values: Any) -> Any:
        """Its definition as a loop over blocks of steps, made by `loop` (`graph.control`); None where it is short."""
        x = self.named(values)["X"]
        return self._expanded(values, loop) if x.shape[1 if self.layout else 0] > LONG else None

    def _expanded(self, values: Sequence[Any], loop: Callable[..., Sequence[Any]] | None) -> Any:
        named = self.named(values)
        if self.layout:
            named |= {
                name: Transpose((1, 0, 2))(named[name]) for name in ("X", "initial_h", "initial_c") if name in named
            }
        turned, functions = self.turned(), self.functions()
        size = len(self.defaults)
        runs = [self._run(named, d, back, functions[d * size :][:size], loop) for d, back in enumerate(turned)]
        axis = 1 if self.output == "Y" else 0
        result = runs[0] if len(runs) == 1 else Concat(axis)(*runs)
        if self.layout:
            result = Transpose((2, 0, 1, 3) if self.output == "Y" else (1, 0, 2))(result)
        return result

    def _run(self, named: Mapping[str, Any], d: int, back: bool, functions: Sequence[Function], loop: Any) -> Any:
        """The result of one direction."""
        lengths, x = named.get("sequence_lens"), named["X"]
        steps, batch, _ = x.shape
        turn = ReverseSequence(1, 0)
        if back and lengths is not None:  # each sequence from its own end
            x = turn(x, lengths)
        hidden = named["R"].shape[2]
        whole = MatMul()(x, Transpose((1, 0))(_part(named["W"], d)))
        whole = Add()(whole, self._biases(_part(named["B"], d), hidden)[0]) if "B" in named else whole
        whole = _flipped(whole) if back and lengths is None else whole
        zeros = Expand((batch, hidden))(like(x, 0.0))
        states = tuple(_part(named[key], d) if (key := f"initial_{s}") in named else zeros for s in self.states)
        held = {name: named[name] for name in ("R", "B", "P", "sequence_lens") if name in named}
        rows, done = [], 0
        if loop is not None:
            done = steps // BLOCK * BLOCK

            def block(trip: Any, *values: Any) -> tuple[Sequence[Any], Sequence[Any]]:
                count = len(self.states)
                before, blocks, inner = values[:count], values[count], dict(zip(held, values[count + 1 :], strict=True))
                cell, first = self._cell(inner, d, functions), Mul()(trip, like(trip, BLOCK))
                after, found = self._steps(cell, Gather(0)(blocks, trip), before, inner.get("sequence_lens"), first)
                return after, [found]

            blocks = Reshape((done // BLOCK, BLOCK, *whole.shape[1:]))(_rows(whole, 0, done))
            *last, found = loop(block, done // BLOCK, states, [blocks, *held.values()])
            states, rows = tuple(last), [Reshape((done, batch, hidden))(found)]
        if done < steps:
            cell = self._cell(held, d, functions)
            states, found = self._steps(cell, _rows(whole, done, steps), states, lengths, like(lengths, done) if lengths is not None else None)  # fmt: skip
            rows.append(found)
        if self.output != "Y":
            return Reshape((1, batch, hidden), True)(states[self.states.index(self.output.removeprefix("Y_"))])
        result = rows[0] if len(rows) == 1 else Concat(0)(*rows)
        if back:
            result = turn(result, lengths) if lengths is not None else _flipped(result)
        return Reshape((steps, 1, batch, hidden), True)(result)

    def _cell(self, named: Mapping[str, Any], d: int, functions: Sequence[Function]) -> Cell:
        """What the steps of direction `d` need."""
        hidden = named["R"].shape[2]
        bias = self._biases(_part(named["B"], d), hidden)[1] if "B" in named else None
        peepholes = _part(named["P"], d) if "P" in named else None
        return Cell(tuple(functions), Transpose((1, 0))(_part(named["R"], d)), bias, peepholes)

    def _steps(self, cell: Cell, x: Any, states: tuple[Any, ...], lengths: Any, first: Any) -> tuple[Any, Any]:
        """The states after the steps of `x` `[steps, batch, gates * hidden]`, and all h on the way; the first is number `first`."""
        steps, batch, _ = x.shape
        rows = []
        for t in range(steps):
            fresh = self.step(cell, _part(x, t), states)
            row = fresh[0]
            if lengths is not None:
                number = Add()(Cast(dtype_of(lengths))(first), like(lengths, t))
                inside = Less()(number, Reshape((batch, 1), True)(lengths))
                row = Where()(inside, fresh[0], like(x, 0.0))
                fresh = tuple(Where()(inside, new, old) for new, old in zip(fresh, states, strict=True))
            states = fresh
            rows.append(Reshape((1, *row.shape), True)(row))
        return states, rows[0] if steps == 1 else Concat(0)(*rows)

    def _biases(self, bias: Any, hidden: int) -> tuple[Any, Any]:
        """What is added to the products with W, and what is left for the step."""
        wide = self.gates * hidden
        return Add()(_columns(bias, 0, wide), _columns(bias, wide, 2 * wide)), None

    @classmethod
    def attributes(cls, draw: Draw) -> dict[str, Any]:
        """Those of a subclass."""
        return {}

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        steps, batch, inputs, hidden = (draw.integer(1, n) for n in (2, 2, 3, 2))
        direction, layout = draw.choice(tuple(DIRECTIONS)), draw.boolean()
        count, wide = len(DIRECTIONS[direction]), cls.gates * hidden
        state = (batch, count, hidden) if layout else (count, batch, hidden)
        dtype: DType = draw.choice((float32, float64))
        shapes = {"X": (batch, steps, inputs) if layout else (steps, batch, inputs), "W": (count, wide, inputs),
                  "R": (count, wide, hidden), "B": (count, 2 * wide), "sequence_lens": (batch,),
                  "initial_h": state, "initial_c": state, "P": (count, 3 * hidden)}  # fmt: skip
        kept = {name: shapes[name] for name in cls.inputs if name in "XWR" or draw.boolean()}
        values = [draw.array(TensorType(int32, shape), 0, steps) if name == "sequence_lens" else
                  draw.array(TensorType(dtype, shape), -1, 1) for name, shape in kept.items()]  # fmt: skip
        names = tuple(draw.choice(("Tanh", "Sigmoid", "HardSigmoid")) for _ in range(len(cls.defaults) * count))
        return cls(
            tuple(kept),
            draw.choice(cls.results),
            draw.choice((None, hidden)),
            direction=direction,
            layout=layout,
            activations=draw.choice(((), names)),
            activation_alpha=draw.choice(((), (0.25, 0.5))),
            activation_beta=draw.choice(((), (0.125, 0.25))),
            clip=draw.choice((None, 0.75)),
            **cls.attributes(draw),
        ), values


def _part(x: Any, index: int) -> Any:
    """Element `index` of the first axis."""
    return Reshape(tuple(x.shape[1:]), True)(Slice((index,), (index + 1,), (0,))(x))


def _rows(x: Any, start: int, end: int) -> Any:
    """A range of the first axis."""
    return x if (start, end) == (0, x.shape[0]) else Slice((start,), (end,), (0,))(x)


def _flipped(x: Any) -> Any:
    """The last of the first axis first."""
    return Slice((-1,), (-x.shape[0] - 1,), (0,), (-1,))(x)


def _columns(x: Any, start: int, end: int) -> Any:
    """A range of the last axis."""
    return Slice((start,), (end,), (len(x.shape) - 1,))(x)


@operator
class RNN(Recurrent):
    """h = f(x W^T + h R^T + biases), with tanh for f unless `activations` says otherwise."""

    gates = 1
    defaults = ("Tanh",)

    def step(self, cell: Cell, x: Any, states: tuple[Any, ...]) -> tuple[Any, ...]:
        return (cell.functions[0](Add()(x, MatMul()(states[0], cell.recurrent))),)


@operator
class GRU(Recurrent):
    """h = (1 - z) n + z h: update gate z, reset gate r, and n of the input and of what r leaves of the state.

    With `linear_before_reset` r is a factor of the product of the state with R, otherwise of the state.
    """

    gates = 3
    defaults = ("Sigmoid", "Tanh")

    linear_before_reset: bool = False

    def _biases(self, bias: Any, hidden: int) -> tuple[Any, Any]:
        if not self.linear_before_reset:
            return Recurrent._biases(self, bias, hidden)
        inside = _columns(bias, 5 * hidden, 6 * hidden)
        zeros = Mul()(inside, like(inside, 0.0))
        outside = Concat(0)(_columns(bias, 3 * hidden, 5 * hidden), zeros)
        return Add()(_columns(bias, 0, 3 * hidden), outside), inside

    def step(self, cell: Cell, x: Any, states: tuple[Any, ...]) -> tuple[Any, ...]:
        (h,), (f, g) = states, cell.functions
        size = h.shape[1]
        weights = cell.recurrent if self.linear_before_reset else _columns(cell.recurrent, 0, 2 * size)
        product = MatMul()(h, weights)
        z, r = (f(Add()(_columns(x, at, at + size), _columns(product, at, at + size))) for at in (0, size))
        if self.linear_before_reset:
            inner = _columns(product, 2 * size, 3 * size)
            inner = Mul()(r, inner if cell.bias is None else Add()(inner, cell.bias))
        else:
            inner = MatMul()(Mul()(r, h), _columns(cell.recurrent, 2 * size, 3 * size))
        fresh = g(Add()(_columns(x, 2 * size, 3 * size), inner))
        return (Add()(Mul()(Sub()(like(z, 1.0), z), fresh), Mul()(z, h)),)

    @classmethod
    def attributes(cls, draw: Draw) -> dict[str, Any]:
        return {"linear_before_reset": draw.boolean()}


@operator
class LSTM(Recurrent):
    """c = f c + i g and h = o tanh(c): input gate i, output gate o, forget gate f and candidate g.

    `input_forget` makes f = 1 - i. Peepholes show the cell c to the gates, the new one to o.
    """

    gates = 4
    defaults = ("Sigmoid", "Tanh", "Tanh")
    states = ("h", "c")
    inputs: ClassVar[tuple[str, ...]] = (*Recurrent.inputs, "initial_c", "P")
    results: ClassVar[tuple[str, ...]] = ("Y", "Y_h", "Y_c")

    input_forget: bool = False

    def step(self, cell: Cell, x: Any, states: tuple[Any, ...]) -> tuple[Any, ...]:
        (h, c), (f, g, last) = states, cell.functions
        size = h.shape[1]
        total = Add()(x, MatMul()(h, cell.recurrent))
        i, o, forget, fresh = (_columns(total, at * size, at * size + size) for at in range(4))

        def seen(gate: Any, at: int, state: Any) -> Any:
            if cell.peepholes is None:
                return f(gate)
            return f(Add()(gate, Mul()(state, _columns(cell.peepholes, at * size, at * size + size))))

        i = seen(i, 0, c)
        forget = Sub()(like(i, 1.0), i) if self.input_forget else seen(forget, 2, c)
        c = Add()(Mul()(forget, c), Mul()(i, g(fresh)))
        return Mul()(seen(o, 1, c), last(c)), c

    @classmethod
    def attributes(cls, draw: Draw) -> dict[str, Any]:
        return {"input_forget": draw.boolean()}
