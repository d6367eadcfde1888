"""What the compiler knows of an operator: one class each.

An operator is a frozen node whose fields are its attributes. Calling it applies it to values of
any room: to arrays it is the NumPy reference, to `te` tensors it is their expression, to graph
nodes it is a new node. So a definition by simpler operators (`expand`) is written once, and
serves every room.

An *operand* is a field that ONNX lets a model compute: the shape of a Reshape, the axes of a
reduction. Until its value is known the field holds `OPERAND` and the value comes as a trailing
input; binding the graph moves it into the field. Every other input is data.

>>> import numpy as np
>>> @operator
... class Twice(Operator):
...     def infer(self, x):
...         return x
...     def numpy(self, x):
...         return 2 * x
>>> Twice()(np.arange(3))
array([0, 2, 4])
>>> del REGISTRY["Twice"]
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Protocol, TypeVar, dataclass_transform, overload

import numpy as np

from minicc.errors import TypeInferenceError
from minicc.ir.node import Interned, node, replace
from minicc.ops.order import Order, Permuted
from minicc.types import DType, Symbol, TensorType, Unbound

Array = np.ndarray[Any, np.dtype[Any]]
T = TypeVar("T", bound="Operator")
V = TypeVar("V")

Kinds = tuple[str, ...]  # of dtypes
FLOAT: Kinds = ("float",)
NUMERIC: Kinds = ("float", "int", "uint")
INTEGER: Kinds = ("int", "uint")
SIGNED: Kinds = ("float", "int")
BOOLEAN: Kinds = ("bool",)
ANY: Kinds = ("float", "int", "uint", "bool")


class Kind(enum.IntEnum):
    """The fusion contract, from the freest to the strictest."""

    ELEMENTWISE = 0  # output[i] needs input[i]
    BROADCAST = 1  # output[i] needs one element of each input, stretched axes allowed
    INJECTIVE = 2  # output[i] needs one element of one input, anywhere
    REDUCTION = 3  # output[i] needs many elements, each used once
    ANCHOR = 4  # a contraction or a window: the heart of its kernel; takes an epilogue
    OPAQUE = 5  # stands alone


class Operand:
    """The type of `OPERAND`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "input"

    def __reduce__(self) -> str:
        return "OPERAND"


OPERAND: Final = Operand()


class Draw(Protocol):
    """What `draw` may ask for; `testing.strategies` answers with hypothesis."""

    def integer(self, low: int, high: int) -> int: ...
    def choice(self, options: Sequence[V]) -> V: ...
    def boolean(self) -> bool: ...
    def number(self, low: float, high: float) -> float: ...
    def shape(self, rank: int | tuple[int, int] = (0, 4), low: int = 0, high: int = 7) -> tuple[int, ...]: ...
    def dtype(self, kinds: Sequence[str] = ("float",)) -> DType: ...
    def type(self, kinds: Sequence[str] = ("float",), rank: int | tuple[int, int] = (0, 4), low: int = 0) -> TensorType:
        """The type of an input; in a random graph preferably that of a value already there."""

    def array(self, type: TensorType, low: float | None = None, high: float | None = None) -> Array: ...
    def broadcastable(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts with `shape` to `shape`."""


Example = tuple["Operator", Sequence[Any]]  # an operator and its inputs: a TensorType for any data, or an Array

REGISTRY: dict[str, type[Operator]] = {}
INTERPRETED: dict[str, type[Operator]] = {}  # those of which no kernel is made


class Operator(Interned):
    """Base of every operator. A subclass gives `infer`, and `numpy` and `compute`, or `expand`."""

    __slots__ = ()
    exact_key: ClassVar[bool] = True
    kind: ClassVar[Kind] = Kind.OPAQUE
    onnx_names: ClassVar[tuple[str, ...]] = ()  # the ONNX operators that it is; empty: the one of its own name, if any
    onnx_fields: ClassVar[dict[str, str]] = {}  # of ONNX attributes and inputs that are not called as their field
    operands: ClassVar[tuple[str, ...]] = ()  # fields that may be OPERAND, in the order of their inputs
    interpreted: ClassVar[bool] = (
        False  # run by its reference: what its value is like depends on data, or it is no tensor
    )
    composite: ClassVar[bool] = False  # a graph pass replaces it by its `expand` before fusion
    commutative: ClassVar[bool] = False  # the order of its two inputs does not matter, to the bit
    contraction: ClassVar[bool] = False  # a sum of products with weights, its second input, in which it is linear
    gathering: ClassVar[bool] = False  # its result is larger than each input, and yet repeats no element
    view: ClassVar[bool] = (
        False  # its result is its input, read in another shape: of a kernel of its own nothing is computed
    )
    accepts: ClassVar[Kinds] = ANY  # the kinds of dtypes of its data
    tvm_name: ClassVar[str] = ""  # of the TVM operator that means the same, such as nn.relu, if there is one

    @property
    def name(self) -> str:
        return type(self).__name__

    @overload
    def __call__(self, first: V, /, *rest: Any) -> V: ...
    @overload
    def __call__(self, *values: Any) -> Any: ...
    def __call__(self, *values: Any) -> Any:
        """Apply to arrays, `te` tensors or graph nodes; plain arrays may stand among the others."""
        for value in values:
            if (apply := getattr(value, "apply", None)) is not None:
                return apply(self, values)
        return self.numpy(*values)

    def infer(self, *types: Any, **_: Any) -> TensorType:
        """The type of the result. Raises TypeInferenceError, or Unbound when a symbol is in the way.

        Here and below `**_` only lets an operator name its inputs: `infer(self, x, slope)`.
        """
        raise NotImplementedError(self.name)

    def numpy(self, *arrays: Any, **_: Any) -> Any:
        """The reference: the result on NumPy arrays, exactly as ONNX defines it."""
        return self.expand(*arrays)

    def compute(self, *tensors: Any, **_: Any) -> Any:
        """The result as a `te` tensor."""
        return self.expand(*tensors)

    def expand(self, *values: Any, **_: Any) -> Any:
        """The result by simpler operators, on values of any room."""
        raise NotImplementedError(self.name)

    def tvm(self, R: Any, *values: Any, **_: Any) -> Any:
        """Its form in TVM's graph IR, by the operators of `R` (`bridge.room.Room`); by default, its definition.

        An operator that TVM cannot express raises `R.refuse(self, why)`.
        """
        try:
            return self.expand(*values)
        except NotImplementedError:
            raise R.refuse(self, "it has neither a tvm method nor a definition by simpler operators") from None

    def fold(self, *types: Any, **_: Any) -> Array | None:
        """The value, where the types of the inputs alone decide it (Shape, Size)."""
        return None

    def permuted(self, at: int, order: Order, *types: Any, **_: Any) -> Permuted | None:
        """What it is where operand `at` lies in `order` (`ops.order`); None where it must have it as it is."""
        return None

    def effective(self, *types: Any, **_: Any) -> int:
        """The floating point operations of the direct computation that it stands for; 0 where those are its own."""
        return 0

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        """A valid instance and inputs for it."""
        raise NotImplementedError(cls.__name__)

    @property
    def bodies(self) -> tuple[Any, ...]:
        """The graphs that it holds."""
        return ()

    @property
    def pending(self) -> tuple[str, ...]:
        """The operand fields whose value is still a trailing input."""
        return tuple(name for name in self.operands if getattr(self, name) is OPERAND)

    def bind(self: T, values: Sequence[Array], where: str = "") -> T:
        """Move the values of all pending operands into their fields: ints, floats or tuples of them."""
        pairs = zip(self.pending, values, strict=True)
        return replace(self, **{name: self.operand(name, value, where) for name, value in pairs})

    @classmethod
    def operand(cls, name: str, value: Any, where: str = "") -> Any:
        """A field's value: Python numbers; ints where the field has ints. Raises TypeInferenceError for parts of numbers."""
        array = np.asarray(value)
        if array.dtype.kind not in "biu" and "float" not in cls.__dataclass_fields__[name].type:
            wide = array.astype(np.float64)
            if not (abs(wide) < 2**62).all() or (wide != np.trunc(wide)).any():
                problem = f"expected whole numbers as {name}, got {array.tolist()}"
                raise TypeInferenceError(cls.__name__, problem, where, "give int64, the type that ONNX has here")
            array = wide.astype(np.int64)
        return _plain(array)

    def accept(self, *types: TensorType, expected: str = "") -> None:
        """Raise TypeInferenceError unless every dtype is of an accepted kind."""
        for t in types:
            if t.dtype.kind not in self.accepts:
                expected = expected or f"a dtype of kind {' or '.join(self.accepts)}"
                raise self.error(f"expected {expected}, got {t.dtype}", *types, hint="insert a Cast")

    def error(self, problem: str, *types: TensorType, hint: str = "") -> TypeInferenceError:
        """An inference error whose call is this operator on `types`; without a hint it is what the operator is."""
        meaning = " ".join((type(self).__doc__ or "").partition("\n\n")[0].split())
        hint = hint or f"{self.name} is: {meaning}" * bool(meaning)
        return TypeInferenceError(f"{self}({', '.join(map(str, types))})", problem, hint=hint)

    def __repr__(self) -> str:
        names = self.__match_args__
        return f"{self.name}({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})" if names else self.name


def _plain(value: Any) -> Any:
    """An array as Python numbers: a scalar from a 0-d one, else a tuple."""
    array = np.asarray(value)
    if array.ndim == 0:
        return array.item()
    return tuple(_plain(row) for row in array)


@dataclass_transform(frozen_default=True, eq_default=False)
def operator(cls: type[T]) -> type[T]:
    """Make an operator class a node and register it, which enrols it in every equivalence test."""
    made = node(cls)
    REGISTRY[made.__name__] = made
    return made


@dataclass_transform(frozen_default=True, eq_default=False)
def interpreted(cls: type[T]) -> type[T]:
    """Make an operator class a node that is run by its `numpy`, on arrays, and on tuples of them, which are sequences."""
    made = node(cls)
    made.interpreted = True
    INTERPRETED[made.__name__] = made
    return made


def infer(op: Operator, types: Sequence[TensorType | None]) -> TensorType | None:
    """The type of `op` on inputs of these types; None while a symbol, an operand or data leave it open."""
    if op.pending or (not op.interpreted and any(t is None for t in types)):
        return None
    try:
        return op.infer(*types)
    except Unbound:
        return None


def ints(value: int | tuple[int, ...] | Operand) -> tuple[int, ...]:
    """A bound operand that is a list; models write a list of one as a scalar, too."""
    assert not isinstance(value, Operand)
    return tuple(int(v) for v in value) if isinstance(value, tuple) else (int(value),)


def number(value: Any) -> Any:
    """A bound operand that is a number; models write a number as a list of one, too."""
    return number(value[0]) if isinstance(value, tuple) and len(value) == 1 else value


def dtype_of(value: Any) -> DType:
    """The dtype of a value of any room."""
    return DType.of(value.dtype)


def type_of(value: Any) -> TensorType:
    """The type of a value of any room."""
    return TensorType(dtype_of(value), tuple(value.shape))


def same_dim(left: Any, right: Any) -> bool:
    """Whether two dimensions are equal. Raises Unbound when a symbol leaves it open."""
    if left != right and (isinstance(left, Symbol) or isinstance(right, Symbol)):
        raise Unbound(f"{left} == {right}")
    return bool(left == right)


def like(value: Any, number: Any) -> Any:
    """The scalar `number` as a constant of the room and the dtype of `value`."""
    scalar = np.asarray(number).astype(dtype_of(value).numpy)
    make = getattr(value, "constant", None)
    return make(scalar) if make else scalar


def axis_of(call: Operator, axis: int, type: TensorType, rank: int | None = None) -> int:
    """`axis` counted from the front; raises when it is out of range for `rank` (default: the type's)."""
    rank = type.rank if rank is None else rank
    extent = max(rank, 1)  # a scalar is taken as a vector of one
    if not -extent <= axis < extent:
        problem = f"axis must be in [{-extent}, {extent - 1}], got {axis}"
        raise call.error(problem, type, hint="axes count from 0, or back from -1, the last one")
    return axis % rank if rank else 0
