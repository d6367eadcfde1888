"""What a value is: its dtype and its shape.

A `DType` is one of a closed set of singletons. A `TensorType` is a dtype with a shape, written
`float32[1,3,224,224]`. A dimension is an `int`, or a `Symbol` until the graph is bound.

>>> TensorType(float32, (1, Symbol("n"))).bind({"n": 4})
float32[1,4]
>>> DType.of("int8").range
(-128, 127)
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import ml_dtypes  # installed with onnx; gives NumPy the type bfloat16
import numpy as np

from minicc.errors import TypeInferenceError

Kind = Literal["float", "int", "uint", "bool"]


class DType:
    """A scalar type: `name`, `bits` in memory, `kind`. There is one object of each, so `is` compares them.

    It equals its name and hashes like it, and equals the NumPy dtype and scalar type that it is; NumPy takes it for
    a dtype, as in `np.zeros(8, dtype=A.dtype)`.
    """

    __slots__ = ("bits", "is_float", "is_integer", "kind", "name", "numpy", "range")
    table: ClassVar[dict[str, DType]] = {}

    def __init__(self, name: str, bits: int, kind: Kind) -> None:
        self.name, self.bits, self.kind = name, bits, kind
        self.numpy: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
        self.is_float, self.is_integer = kind == "float", kind in ("int", "uint")
        low, high = (-math.inf, math.inf) if self.is_float else (False, True)
        if self.is_integer:
            low, high = int(np.iinfo(self.numpy).min), int(np.iinfo(self.numpy).max)
        self.range: tuple[float, float] = low, high  # the least and the greatest value; for floats the infinities
        DType.table[name] = self

    @staticmethod
    def of(what: DType | str | type | np.dtype[Any]) -> DType:
        """The DType named by a string, a NumPy dtype or scalar type."""
        if isinstance(what, DType):
            return what
        try:
            return DType.table[what if isinstance(what, str) else np.dtype(what).name]
        except (KeyError, TypeError, ValueError):  # the last of what has an attribute dtype of another kind
            near = difflib.get_close_matches(what.casefold(), DType.table, 3) if isinstance(what, str) else []
            known = f"did you mean {' or '.join(near)}?" if near else f"use one of {', '.join(DType.table)}"
            text = repr(what) if len(repr(what)) <= 60 else f"{repr(what)[:57]}..."
            where = f"{text}: {type(what).__name__}"
            raise TypeInferenceError(f"DType.of({text})", "no such dtype", where, known) from None

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other == self.name
        if isinstance(other, np.dtype):
            return other == self.numpy
        return other is self or other is self.numpy.type

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def dtype(self) -> np.dtype[Any]:
        """By this NumPy knows it for a dtype."""
        return self.numpy

    @property
    def bytes(self) -> int:
        return self.bits // 8

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return DType.of, (self.name,)


float16 = DType("float16", 16, "float")
bfloat16 = DType("bfloat16", 16, "float")
float32 = DType("float32", 32, "float")
float64 = DType("float64", 64, "float")
int8 = DType("int8", 8, "int")
int16 = DType("int16", 16, "int")
int32 = DType("int32", 32, "int")
int64 = DType("int64", 64, "int")
uint8 = DType("uint8", 8, "uint")
uint16 = DType("uint16", 16, "uint")
uint32 = DType("uint32", 32, "uint")
uint64 = DType("uint64", 64, "uint")
boolean = DType("bool", 8, "bool")


class Unbound(Exception):
    """Raised by arithmetic on a `Symbol`: the type is not known before the graph is bound."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A dimension that is given a number when the graph is compiled, such as a batch size.

    It can be compared for equality and passed on; arithmetic raises `Unbound`.
    """

    name: str

    def _unbound(self, *_: object) -> Any:
        raise Unbound(self.name)

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __floordiv__ = __rfloordiv__ = _unbound
    __truediv__ = __rtruediv__ = _unbound
    __mod__ = __rmod__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = __index__ = __int__ = _unbound

    def __repr__(self) -> str:
        plain = self.name.strip() and not set(self.name) & set("[],'\"\n") and not self.name.lstrip("-").isdigit()
        return self.name if plain else repr(self.name)


Dim = int | Symbol


@dataclass(frozen=True, slots=True)
class TensorType:
    """A dtype and a shape. `shape` is a tuple of `int`, with a `Symbol` where not yet bound."""

    dtype: DType
    shape: tuple[Any, ...]  # of Dim; Any, because operators are written for bound shapes

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * self.dtype.bytes

    @property
    def is_bound(self) -> bool:
        return all(isinstance(dim, int) for dim in self.shape)

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape has this type; a symbol stands for any number."""
        same = (isinstance(dim, Symbol) or dim == n for dim, n in zip(self.shape, shape, strict=False))
        return len(shape) == self.rank and all(same)

    def bind(self, dims: Mapping[str, int]) -> TensorType:
        """Replace each symbol that `dims` names."""
        shape = tuple(dims.get(d.name, d) if isinstance(d, Symbol) else d for d in self.shape)
        return self if shape == self.shape else TensorType(self.dtype, shape)

    @staticmethod
    def of(array: np.ndarray[Any, Any]) -> TensorType:
        return TensorType(DType.of(array.dtype), array.shape)

    def __repr__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


def broadcast(call: str, *shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The NumPy broadcast of shapes; a `Symbol` equals itself and stretches a 1."""
    rank = max(map(len, shapes), default=0)
    result: list[Any] = []
    for dims in zip(*[(1,) * (rank - len(s)) + tuple(s) for s in shapes], strict=True):
        wide = {dim for dim in dims if dim != 1}
        if len(wide) > 1:
            if any(isinstance(dim, Symbol) for dim in wide):
                raise Unbound(str(wide))
            problem = f"shapes must broadcast, got {' and '.join(map(str, shapes))}"
            raise TypeInferenceError(call, problem, hint="dimensions, aligned from the right, must be equal or 1")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


class Subtensor(NamedTuple):
    """A part of a larger tensor: of one of `shape`, from the element `starts` on."""

    shape: tuple[int, ...]
    starts: tuple[int, ...]
