"""Random operators and random graphs, whatever the source of randomness.

In: a `RandomDraw`, which answers what the operators' `draw` asks with integers from a generator of
seeded pseudo-random numbers (`SeededDraw`), or from hypothesis (`testing.strategies`). Out: operators
with arrays to call them on, and graphs with arrays for their inputs. Shapes hold 0, 1, primes and
other odd numbers; most numbers are moderate, and some arrays have NaN, infinities, signed zeros, denormals
and extremes among them.

>>> op, arrays = drawn("Add", case=3)
>>> op(*arrays).shape == drawn("Add", case=3)[0](*arrays).shape
True
>>> example = drawn_graph(seed=1, max_nodes=4)
>>> sorted(example.inputs) == sorted(example.graph.input_names)
True
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

import minicc.ops  # noqa: F401 - registers the operators
from minicc.graph import ir
from minicc.ops.base import REGISTRY, Array, Operator
from minicc.types import DType, TensorType, float32, float64

MOST_ELEMENTS = 256  # of one drawn array: programs run as Python at a microsecond per operation
DTYPES = {
    "float": ("float32", "float64", "float16", "bfloat16"),
    "int": ("int64", "int32", "int8", "int16"),
    "uint": ("uint8", "uint32", "uint64", "uint16"),
    "bool": ("bool",),
}

V = TypeVar("V")


# ---- what operators ask for ---------------------------------------------------------------------


class RandomDraw:
    """The `Draw` that an operator's `draw` asks. A subclass says where integers come from.

    `values` are the types of the values already in a random graph, of which `type` prefers one.
    Without `extremes`, neither the greatest nor the least numbers are among the special ones.
    """

    values: Sequence[TensorType] = ()
    extremes = True

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        raise NotImplementedError

    def choice(self, options: Sequence[V]) -> V:
        """One of `options`."""
        return options[self.integer(0, len(options) - 1)]

    def boolean(self) -> bool:
        return bool(self.integer(0, 1))

    def number(self, low: float, high: float) -> float:
        """A number in [low, high], one of 65 with few digits."""
        return low + (high - low) * (self.integer(0, 64) / 64)

    def shape(self, rank: int | tuple[int, int] = (0, 4), low: int = 0, high: int = 7) -> tuple[int, ...]:
        """Dimensions from `low` to `high`, with at most MOST_ELEMENTS elements unless `low` forces more."""
        count = rank if isinstance(rank, int) else self.integer(*rank)
        least, dims = max(low, min(1, high)), list[int]()
        for _ in range(count):
            dims.append(self.integer(least, max(least, min(high, MOST_ELEMENTS // max(1, math.prod(dims))))))
        if low == 0 and dims and self.integer(0, 9) == 9:
            dims[self.integer(0, count - 1)] = 0
        return tuple(dims)

    def dtype(self, kinds: Sequence[str] = ("float",)) -> DType:
        return DType.of(self.choice([name for kind in kinds for name in DTYPES[kind]]))

    def type(self, kinds: Sequence[str] = ("float",), rank: int | tuple[int, int] = (0, 4), low: int = 0) -> TensorType:
        """The type of an input."""
        least, most = (rank, rank) if isinstance(rank, int) else rank
        fitting = [t for t in self.values if t.dtype.kind in kinds and least <= t.rank <= most]
        fitting = [t for t in fitting if min(t.shape, default=low) >= low]
        if fitting and self.integer(0, 3):
            return self.choice(fitting)
        return TensorType(self.dtype(kinds), self.shape(rank, low))

    def array(self, type: TensorType, low: float | None = None, high: float | None = None) -> Array:
        """An array of values in [low, high]; where neither is given, moderate ones and a few special ones."""
        random = np.random.default_rng(self.integer(0, 2**32 - 1))
        bounded = low is not None or high is not None
        if type.dtype.is_float and bounded:
            least, most = _interval(low, high)
            return np.clip(random.uniform(least, most, type.shape), least, most).astype(type.dtype.numpy)
        special = not bounded and self.integer(0, 3) == 3
        if type.dtype.is_float:
            return _floats(random, type, special, self.extremes)
        return _integers(random, type, low, high, special)

    def broadcastable(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts with `shape` to `shape`."""
        kept = shape[self.integer(0, len(shape)) :] if self.integer(0, 2) == 2 else shape
        return tuple(1 if self.integer(0, 3) == 3 else dim for dim in kept)


class SeededDraw(RandomDraw):
    """Pseudo-random numbers from a seed: the same in every run."""

    def __init__(self, seed: int, extremes: bool = True) -> None:
        self.random, self.extremes = random.Random(seed), extremes

    def integer(self, low: int, high: int) -> int:
        return self.random.randint(low, high)


def _interval(low: float | None, high: float | None) -> tuple[float, float]:
    least = low if low is not None else min(-3.0, high or 0.0)
    return least, high if high is not None else max(3.0, least)


def special_values(dtype: DType) -> Array:
    """Zeros, infinities, NaN, denormals and extremes of a float dtype."""
    tiny, most = np.array([1], f"uint{dtype.bits}").view(dtype.numpy)[0], largest(dtype)
    return np.array([0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny, most, -most, 1.0, -1.0]).astype(dtype.numpy)


def largest(dtype: DType) -> float:
    """The largest finite number of a float dtype."""
    infinity = np.array([np.inf]).astype(dtype.numpy).view(f"uint{dtype.bits}")
    return float((infinity - infinity.dtype.type(1)).view(dtype.numpy)[0])


def plain(type: TensorType, random: np.random.Generator) -> Array:
    """An array as an example has it: normal floats, integers in [0, 10), coin flips."""
    if type.dtype in (float32, float64):  # drawn as what they are: large ones fit once, not three times
        return np.asarray(random.standard_normal(type.shape, type.dtype.numpy))
    if type.dtype.is_float:
        return np.asarray(random.standard_normal(type.shape, np.float32)).astype(type.dtype.numpy)
    return np.asarray(random.integers(0, 2 if type.dtype.kind == "bool" else 10, type.shape)).astype(type.dtype.numpy)


def _floats(random: np.random.Generator, type: TensorType, special: bool, extremes: bool) -> Array:
    array = np.asarray(2 * random.standard_normal(type.shape)).astype(type.dtype.numpy)
    if not special:
        return array
    odd = special_values(type.dtype)
    if not extremes:
        odd = odd[np.isin(np.abs(odd.astype(np.float64)), (0, 1, np.inf)) | np.isnan(odd)]
    return np.where(random.random(type.shape) < 0.1, random.choice(odd, type.shape), array)


def _integers(random: np.random.Generator, type: TensorType, low: Any, high: Any, special: bool) -> Array:
    least, most = type.dtype.range
    if special:
        low, high = least, most
    elif low is None and high is None:
        low, high = -10, 10
    low, high = max(int(least), math.ceil(_interval(low, high)[0])), min(int(most), math.floor(_interval(low, high)[1]))
    if type.dtype.kind == "bool":
        return random.integers(low, high, type.shape, endpoint=True).astype(bool)
    return random.integers(low, high, type.shape, type.dtype.numpy, endpoint=True)


# ---- operators ----------------------------------------------------------------------------------


def operator_from(source: RandomDraw, name: str) -> tuple[Operator, list[Array]]:
    """A valid instance of the operator `name`, its operands bound, and arrays to call it on."""
    op, inputs = REGISTRY[name].draw(source)
    return bound(op, [source.array(i) if isinstance(i, TensorType) else np.asarray(i) for i in inputs])


def bound(op: Operator, values: Sequence[V]) -> tuple[Operator, list[V]]:
    """The operator with the last values bound, that it has no attributes for, and the other values."""
    count = len(values) - len(op.pending)
    return op.bind([np.asarray(v) for v in values[count:]]) if op.pending else op, list(values[:count])


def drawn(name: str, case: int, extremes: bool = True) -> tuple[Operator, list[Array]]:
    """Instance number `case` of the operator `name`, and arrays to call it on: the same in every run."""
    return operator_from(SeededDraw(zlib.crc32(name.encode()) + case, extremes), name)


def graph_of(op: Operator, arrays: Sequence[Array]) -> Example:
    """The graph of one operator on inputs of the types of `arrays`."""
    inputs = tuple(ir.input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays))
    graph = ir.Graph("main", inputs, (ir.make(op, inputs),), ("y",))
    return Example(graph, dict(zip(graph.input_names, arrays, strict=True)))


# ---- graphs -------------------------------------------------------------------------------------


@dataclass
class Example:
    """A graph, and an array for each of its inputs by name."""

    graph: ir.Graph
    inputs: dict[str, Array]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # what hypothesis shows of a failing example

    def __repr__(self) -> str:
        arrays = "".join(f"\n{name} = {array!r}" for name, array in self.inputs.items())
        return f"{self.graph}{arrays}"


class _Growing:
    """A graph under construction."""

    def __init__(self, source: RandomDraw) -> None:
        self.source = source
        self.nodes: list[ir.Node] = []
        self.inputs: dict[ir.Node, Array] = {}

    def value(self, wanted: Any) -> ir.Node:
        """A node for one input of an operator: one that is there, a new graph input, or a constant."""
        source = self.source
        if isinstance(wanted, TensorType):
            fitting = [n for n in self.nodes if n.inferred == wanted]
            if fitting and source.integer(0, 3):
                return source.choice(fitting)
            array = source.array(wanted)
        else:
            array = np.asarray(wanted)
        if source.integer(0, 4) == 4:
            return ir.constant(array)
        made = ir.input(f"x{len(self.inputs)}", TensorType.of(array))
        self.inputs[made] = array
        self.nodes.append(made)
        return made

    def grow(self, names: Sequence[str]) -> None:
        """One operator more, unless its result would be too large."""
        self.source.values = [n.type for n in self.nodes]
        op, wanted = bound(*REGISTRY[self.source.choice(names)].draw(self.source))
        made = ir.make(op, [self.value(w) for w in wanted])
        if made.inferred is not None and made.type.size <= 8 * MOST_ELEMENTS and made not in self.nodes:
            self.nodes.append(made)


def graph_from(source: RandomDraw, max_nodes: int = 6, names: Sequence[str] | None = None) -> Example | None:
    """A random graph of up to `max_nodes` operators, by default any that are registered; None when nothing grew."""
    growing = _Growing(source)
    chosen = sorted(REGISTRY) if names is None else list(names)
    for _ in range(source.integer(1, max_nodes)):
        growing.grow(chosen)
    read = {i for n in growing.nodes for i in n.inputs}
    results = [n for n in growing.nodes if n not in growing.inputs and n not in read]
    if not results:
        return None
    inputs = {n.op.label: array for n, array in growing.inputs.items() if isinstance(n.op, ir.Input)}
    graph = ir.Graph("main", tuple(growing.inputs), tuple(results), tuple(f"y{k}" for k in range(len(results))))
    return Example(graph, inputs)


def drawn_graph(seed: int, max_nodes: int = 10, names: Sequence[str] | None = None) -> Example:
    """The random graph of a seed: the same in every run."""
    source = SeededDraw(seed)
    while True:
        if example := graph_from(source, max_nodes, names):
            return example
