"""Random te programs, as text that runs in minicc, in TVM and in NumPy.

In: a source of random numbers. Out: a `TeProgram`: some inputs, up to five tensors computed from them and from each other,
and which of them are outputs. Elements are maths on what other tensors hold at shifted, reversed, strided, wrapped, padded or
looked-up places, or reductions of it. All dtypes are written out, so nothing is promoted. Each value is drawn with bounds, and with
how many binary places it has while it is exact, so that no integer overflows, nothing is divided by zero, and
no comparison, rounding or conversion to integers hangs on the last bit of a rounded number. And two faults of the old TVM are
kept out of the way, which tests show: how it divides a difference by a constant, and how it
compares an index, as an integer, with what memory holds.

>>> print(random_program(random.Random(207)).text)
A = te.placeholder((2, 3), name="A", dtype="int32")
k1 = te.reduce_axis((0, 3), name="k1")
T1 = te.compute((), lambda: te.prod(A[k1 // 2, k1].astype("float32"), axis=k1), name="T1")
"""

from __future__ import annotations

import inspect
import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minicc.testing import workloads
from minicc.types import DType

Array = np.ndarray[Any, np.dtype[Any]]
EXTENTS = (1, 2, 3, 4, 5, 7, 8, 11)
DTYPES = ("float32", "float32", "float32", "float64", "int32", "int32", "int64", "int8", "uint8", "bool")
LETTERS = "ijl"
MOST = 1 << 16  # the greatest magnitude of a float
EXACT = 1 << 22  # so many multiples of the last binary place are exact in a float32
WINDOW = 3  # what some reductions are over, as in convolutions
ELEMENTS = 256  # of a tensor, at most
TERMS = 16  # of a product
BOTH = ("transpose", "reductions", "softmax", "gemm", "batched_gemm", "conv2d", "depthwise", "pooling")
OF_WORKLOADS = 0.25  # of programs
FUTURE = "from __future__ import annotations"
LINE = 60  # characters
# What the old TVM knows no lower bound of. To divide what has one, such as 1 - A[i], by a constant, it makes it positive, and
# may overflow.
PLAIN = re.compile(r"\w+\[[^\[\]]*\]")
INPUTS = {
    "float32": (-4, 6),
    "float64": (-4, 6),
    "int32": (-9, 9),
    "int64": (-9, 9),
    "int8": (-5, 6),
    "uint8": (0, 9),
    "bool": (0, 1),
}


@dataclass(frozen=True)
class TeProgram:
    """`text` defines tensors, each called as its variable is."""

    text: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def tensors(self, te: Any) -> dict[str, Any]:
        """What the text defines in a te."""
        names: dict[str, Any] = {"te": te}
        exec(self.text, names)
        return {name: names[name] for name in (*self.inputs, *self.outputs)}


class _Value(NamedTuple):
    """An expression, between which bounds it lies, and its binary places; None where it is rounded."""

    text: str
    dtype: str
    low: float
    high: float
    places: int | None = 0

    @property
    def size(self) -> float:
        return max(abs(self.low), abs(self.high))


class _Tensor(NamedTuple):
    name: str
    shape: tuple[int, ...]
    value: _Value  # of any element


class _Axis(NamedTuple):
    name: str
    extent: int


def fits(v: _Value) -> bool:
    """Whether no element of these bounds overflows."""
    if v.dtype.startswith("float"):
        return v.size <= MOST
    low, high = DType.of(v.dtype).range
    return bool(low <= v.low and v.high <= high)


def const(value: float, dtype: str) -> _Value:
    """A number of a dtype."""
    places = 0 if float(value).is_integer() else 1
    return _Value(f'te.const({value}, "{dtype}")', dtype, value, value, places)


# ---- operators: what they write, and what comes out


def _places(*values: _Value) -> int | None:
    found = [v.places for v in values]
    return None if None in found else max(p for p in found if p is not None)


def _sum(a: _Value, b: _Value) -> _Value:
    return _Value(f"({a.text} + {b.text})", a.dtype, a.low + b.low, a.high + b.high, _places(a, b))


def _difference(a: _Value, b: _Value) -> _Value:
    return _Value(f"({a.text} - {b.text})", a.dtype, a.low - b.high, a.high - b.low, _places(a, b))


def _product(a: _Value, b: _Value) -> _Value:
    corners = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    places = None if a.places is None or b.places is None else a.places + b.places
    return _Value(f"({a.text} * {b.text})", a.dtype, min(corners), max(corners), places)


def _maximum(a: _Value, b: _Value) -> _Value:
    return _Value(f"te.maximum({a.text}, {b.text})", a.dtype, max(a.low, b.low), max(a.high, b.high), _places(a, b))


def _minimum(a: _Value, b: _Value) -> _Value:
    return _Value(f"te.minimum({a.text}, {b.text})", a.dtype, min(a.low, b.low), min(a.high, b.high), _places(a, b))


def _abs(a: _Value) -> _Value:
    return _Value(f"te.abs({a.text})", a.dtype, 0, a.size, a.places)


def _above_zero(a: _Value) -> _Value:
    """A divisor made of any value."""
    return _sum(_abs(a), const(1, a.dtype))


def _quotient(a: _Value, b: _Value) -> _Value:
    return _Value(f"({a.text} / {_above_zero(b).text})", a.dtype, -a.size, a.size, None)


def _floordiv(a: _Value, b: _Value) -> _Value:
    return _Value(f"({a.text} // {_above_zero(b).text})", a.dtype, min(a.low, 0), max(a.high, 0))


def _floormod(a: _Value, b: _Value) -> _Value:
    return _Value(f"({a.text} % {_above_zero(b).text})", a.dtype, 0, b.size)


def _masked(a: _Value, b: _Value) -> _Value:
    mask = const(5, a.dtype)
    return _Value(f"(({a.text} ^ {b.text}) & {mask.text})", a.dtype, 0, 5)


def _shifted(a: _Value, _: _Value) -> _Value:
    return _Value(f"({a.text} >> {const(1, a.dtype).text})", a.dtype, math.floor(a.low / 2), math.floor(a.high / 2))


def _selected(a: _Value, b: _Value) -> _Value:
    """The greater of two exact values where they differ by much, the sum of both elsewhere."""
    total = _sum(a, b)
    text = f"te.select({a.text} > {b.text}, {a.text}, {total.text})"
    return _Value(text, a.dtype, min(a.low, total.low), max(a.high, total.high), total.places)


def _function(text: str, low: float, high: float | None = None) -> Callable[[_Value, _Value], _Value]:
    """A function of floats whose result is rounded, within bounds or, without an upper one, within its operand's."""
    return lambda a, _: _Value(text.format(x=a.text, d=a.dtype), a.dtype, low, a.size if high is None else high, None)


def _whole(name: str) -> Callable[[_Value, _Value], _Value]:
    return lambda a, _: _Value(f"te.{name}({a.text})", a.dtype, math.floor(a.low), math.ceil(a.high))


Operator = Callable[[_Value, _Value], _Value]
ALWAYS: tuple[Operator, ...] = (_sum, _difference, _product, _maximum, _minimum, lambda a, _: _abs(a))
OF_FLOATS: tuple[Operator, ...] = (
    _quotient, lambda a, _: _product(a, const(0.5, a.dtype)), _function('te.exp(te.minimum({x}, te.const(1, "{d}")))', 0, 3),
    _function("te.tanh({x})", -1, 1), _function("te.sigmoid({x})", 0, 1), _function("te.sqrt(te.abs({x}))", 0),
    _function('te.log(te.abs({x}) + te.const(1, "{d}"))', 0),
)  # fmt: skip
OF_INTEGERS: tuple[Operator, ...] = (_floordiv, _floormod, _masked, _shifted)
OF_EXACT: tuple[Operator, ...] = (_selected,)
OF_EXACT_FLOATS: tuple[Operator, ...] = (_whole("floor"), _whole("ceil"), _whole("trunc"))


def _operators(a: _Value, b: _Value) -> list[Operator]:
    exact, floats = _places(a, b) is not None, a.dtype.startswith("float")
    found = [*ALWAYS, *(OF_FLOATS if floats else OF_INTEGERS)]
    if not floats and b.low == b.high and not PLAIN.fullmatch(a.text):
        found = [f for f in found if f not in (_floordiv, _floormod)]
    short = len(a.text) + len(b.text) < LINE  # it is written twice
    return [*found, *(OF_EXACT if exact and short else ()), *(OF_EXACT_FLOATS if exact and floats else ())]


def _converted(v: _Value, dtype: str) -> _Value | None:
    """The value in another dtype; None where it may not be the same in every te."""
    if v.dtype == dtype:
        return v
    if dtype == "bool":
        return None if v.places is None else _Value(f"({v.text} > {const(0, v.dtype).text})", dtype, 0, 1)
    made = v._replace(text=f'{v.text}.astype("{dtype}")', dtype=dtype)
    if not dtype.startswith("float"):
        made = made._replace(low=math.floor(v.low), high=math.ceil(v.high), places=0)
        return made if v.places is not None and fits(made) else None
    return made if fits(made) else None


def _exact(v: _Value) -> _Value:
    """The value; its places are unknown where it may not be exact in a float32."""
    rounded = v.places is not None and v.size * (1 << v.places) > EXACT and v.dtype.startswith("float")
    return v._replace(places=None) if rounded else v


# ---- one program


class _Drawing:
    """A program on its way."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.lines, self.tensors = rng, list[str](), list[_Tensor]()
        self.extents = [rng.choice(EXTENTS) for _ in range(2)]
        self.extents.append(max(self.extents[0] - WINDOW + 1, 1))

    def shape(self, least: int, most: int = ELEMENTS) -> tuple[int, ...]:
        """A shape of extents that other tensors have, too."""
        made = [
            self.rng.choice(self.extents)
            for _ in range(self.rng.choice((1, 2, 2, 3)) if least else self.rng.randint(0, 2))
        ]
        while math.prod(made) > most:
            made.pop()
        return tuple(made)

    def placeholder(self, name: str) -> None:
        dtype, shape = self.rng.choice(DTYPES), self.shape(1)
        low, high = INPUTS[dtype]
        self.lines.append(f'{name} = te.placeholder({shape}, name="{name}", dtype="{dtype}")')
        self.tensors.append(_Tensor(name, shape, _Value("", dtype, low, high)))

    def index(self, extent: int, axes: Sequence[_Axis]) -> tuple[str, str]:
        """A place along a dimension, and the condition that it lies inside; "" where it always does."""
        rng = self.rng
        if not axes or rng.random() < 0.05:
            return str(rng.randrange(extent)), ""
        axis = rng.choice([a for a in axes if a.extent == extent] or axes)
        name, n = axis
        if rng.random() < (0.7 if n <= extent else 0):
            return name, ""
        if rng.random() < 0.3:
            place = f"{name} {rng.choice(('+ 1', '- 1', '* 2 - 1'))}"
            return place, f"{place} >= 0, {place} < {extent}"
        inside = [f"{extent - 1} - {name}"] if n <= extent else [f"{name} // {-(-n // extent)}", f"{name} % {extent}"]
        inside += [f"{name} * {(extent - 1) // (n - 1)}"] if 1 < n <= extent // 2 else []
        inside += [f"{name} + {other.name}" for other in axes if other is not axis and n + other.extent - 1 <= extent]
        lookups = [t.name for t in self.tensors if t.value.dtype == "int32" and len(t.shape) == 1 and t.shape[0] >= n]
        inside += [f"{table}[{name}] % {extent}" for table in lookups if extent > 1]
        return rng.choice(inside), ""

    def load(self, tensor: _Tensor, axes: Sequence[_Axis]) -> _Value:
        """An element of a tensor at a place that the axes say, or 0 where that is outside of it."""
        rest, found = list(axes), []
        for extent in tensor.shape:
            found.append(self.index(extent, rest or axes))
            rest = [axis for axis in rest if axis.name not in found[-1][0]]
        v = tensor.value._replace(text=f"{tensor.name}[{', '.join(place for place, _ in found) or '()'}]")
        if guards := ", ".join(guard for _, guard in found if guard):
            zero = const(0, v.dtype).text
            return v._replace(
                text=f"te.if_then_else(te.all({guards}), {v.text}, {zero})", low=min(v.low, 0), high=max(v.high, 0)
            )
        return v

    def leaf(self, tensor: _Tensor, axes: Sequence[_Axis], dtype: str) -> _Value:
        """Something of a dtype: an element if it can be converted, a number else; a float may be an index."""
        if axes and dtype.startswith("float") and self.rng.random() < 0.08:
            axis = self.rng.choice(axes)
            return _Value(f'{axis.name}.astype("{dtype}")', dtype, 0, axis.extent - 1)
        return _converted(self.load(tensor, axes), dtype) or const(self.rng.choice((1, 2, 3)), dtype)

    def element(self, sources: Sequence[_Tensor], axes: Sequence[_Axis], dtype: str) -> _Value:
        """An expression of a dtype in which each of the sources is read."""
        if dtype == "bool":
            return self.truth(sources, axes)
        value = self.leaf(sources[0], axes, dtype)
        for source in (*sources[1:], None, None):
            other = self.leaf(source, axes, dtype) if source else const(self.rng.choice((1, 2, 3)), dtype)
            if source or self.rng.random() < 0.6:
                value = self.combined(value, other)
        return value

    def combined(self, a: _Value, b: _Value) -> _Value:
        """Both under a random operator whose result fits."""
        made = [_exact(v) for operator in _operators(a, b) if fits(v := operator(a, b))]
        return self.rng.choice([v for v in made if b.text in v.text or "te.const" in b.text] or made)

    def truth(self, sources: Sequence[_Tensor], axes: Sequence[_Axis]) -> _Value:
        """A comparison of exact values, or what some truths make together."""
        found = []
        for source in sources:
            v = self.leaf(source, axes, "int32" if source.value.dtype == "bool" else source.value.dtype)
            sign = self.rng.choice(("<", "<=", ">", ">="))
            found.append(f"{v.text} {sign} {const(self.rng.choice((0, 1, 2)), v.dtype).text}")
        together = self.rng.choice(("all", "any"))
        return _Value(f"te.{together}({', '.join(found)})" if len(found) > 1 else f"({found[0]})", "bool", 0, 1)

    def stage(self, number: int) -> None:
        """One more tensor, which reads the newest and up to two others."""
        rng, name = self.rng, f"T{number}"
        sources = [
            self.tensors[-1],
            *rng.sample(self.tensors[:-1], min(len(self.tensors) - 1, rng.choice((0, 1, 1, 2)))),
        ]
        reduces = rng.random() < 0.45
        shape, dtype = self.shape(0 if reduces else 1), rng.choice(DTYPES)
        axes = [_Axis(letter, n) for letter, n in zip(LETTERS, shape, strict=False)]
        reduced: list[_Axis] = []
        if dtype == "bool" and (reduces or any(source.value.places is None for source in sources)):
            dtype = "float32"
        if reduces:
            extents = [d for d in sources[0].shape if d > 1][: rng.choice((0, 1, 1, 2))] or [WINDOW]
            reduced = [_Axis(f"{letter}{number}", n) for letter, n in zip("kr", extents, strict=False)]
        value = _exact(self.element(sources, [*reduced, *axes], dtype))
        if reduces:
            value = self.reduction(value, reduced)
        arguments = ", ".join(axis.name for axis in axes)
        self.lines.append(
            f'{name} = te.compute({shape}, lambda{" " * bool(axes)}{arguments}: {value.text}, name="{name}")'
        )
        self.tensors.append(_Tensor(name, shape, value))

    def reduction(self, v: _Value, axes: Sequence[_Axis]) -> _Value:
        """The value over all of the axes, by a reduction whose result fits."""
        for axis in axes:
            self.lines.append(f'{axis.name} = te.reduce_axis((0, {axis.extent}), name="{axis.name}")')
        n, names = math.prod(axis.extent for axis in axes), ", ".join(axis.name for axis in axes)
        over = f"axis=({names})" if len(axes) > 1 else f"axis={names}"
        power = max(v.size, 1) ** n if n < TERMS else math.inf
        places = None if v.places is None else v.places * n
        total = _Value(f"te.sum({v.text}, {over})", v.dtype, min(v.low * n, v.low), max(v.high * n, v.high), v.places)
        product = _Value(f"te.prod({v.text}, {over})", v.dtype, -power if v.low < 0 else 0, power, places)
        most = v._replace(text=f"te.{self.rng.choice(('max', 'min'))}({v.text}, {over})")
        return _exact(self.rng.choice([r for r in (total, total, total, product, most) if fits(r)]))

    def program(self) -> TeProgram:
        inputs = [chr(ord("A") + n) for n in range(self.rng.choice((1, 2, 2, 3)))]
        for name in inputs:
            self.placeholder(name)
        stages = self.rng.randint(1, 5)
        for number in range(1, stages + 1):
            self.stage(number)
        computed = [t.name for t in self.tensors[len(inputs) :]]
        read = {t.name for t in self.tensors if any(f"{t.name}[" in line for line in self.lines)}
        outputs = [n for n in computed if n not in read or self.rng.random() < 0.1]
        lines = [line for line in self.lines if line[0] not in inputs or line[0] in read]
        return TeProgram("\n".join(lines), tuple(n for n in inputs if n in read), tuple(outputs))


def random_program(rng: random.Random) -> TeProgram:
    """A program that no te computes otherwise than another: a workload, or one that is made up."""
    if rng.random() < OF_WORKLOADS:
        return of_workload(rng.choice(BOTH), rng.choice(workloads.EXTENTS), rng.choice(workloads.EXTENTS))
    return _Drawing(rng).program()


def of_workload(name: str, n: int, m: int) -> TeProgram:
    """A workload of `testing.workloads` as text: the source of what defines it, and a call."""
    made = workloads.WORKLOADS[name]
    program, source = made.program(n, m), [inspect.getsource(f) for f in (workloads._padded, made.define)]
    inputs, outputs = (tuple(b.name for b in part) for part in (program.params, program.outputs))
    call = f"({', '.join(inputs)},), ({', '.join(outputs)},) = {made.define.__name__}({n}, {m})"
    lines = [FUTURE, "maximum, select = te.maximum, te.if_then_else", *source, call]
    return TeProgram("\n".join(lines).replace('"""', "'''"), inputs, outputs)


def random_inputs(types: Mapping[str, tuple[DType, tuple[int, ...]]], seed: int) -> dict[str, Array]:
    """Whole numbers for every input, by its name, within the bounds that programs are drawn for."""
    rng, ends = np.random.default_rng(seed), True
    return {n: rng.integers(*INPUTS[str(d)], s, endpoint=ends).astype(d.numpy) for n, (d, s) in types.items()}
