"""One operator of a TensorFlow Lite file, as its translation sees it.

A `TfliteCall` holds the operator's options, its inputs as graph nodes, and makes new nodes that carry its span. An
input that is quantised is the numbers that it stands for; the loader quantises the result. Where an operator only
moves elements, and the quantisation stays the same, it moves the integers.

    call["StrideH"], call[0], call(ops.Relu, call[0])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minicc.errors import LoadError
from minicc.frontend.apply import applied
from minicc.frontend.tflite.file import Quantization, TfliteFile
from minicc.frontend.tflite.quantization import dequantized
from minicc.frontend.tflite.shapes import dims_of
from minicc.graph.ir import Constant, Node, Span, constant
from minicc.ops import Cast, Reshape, Transpose
from minicc.ops.base import Array, Operator
from minicc.types import DType, Symbol, TensorType

Result = Node | Sequence[Node]
TfliteTranslation = Callable[["TfliteCall"], Result]


@dataclass(frozen=True, eq=False)
class TfliteTensor:
    """What a file says of a tensor: its name, its type, how it is quantised, and where its data are."""

    index: int
    name: str
    type: TensorType
    quantization: Quantization | None
    buffer: int = 0
    sparsity: Any = None
    variable: bool = False

    @property
    def what(self) -> str:
        return f"tensor {self.index} {self.name!r}"


class Meaning(NamedTuple):
    """How an operator is translated, the name of its table of options, and whether it only moves elements."""

    translate: TfliteTranslation
    options: str = ""
    moves: bool = False


class TfliteCall:
    """An operator: `call["Axis"]` is an option, `call[0]` an input, `call(op, ...)` a new graph node."""

    def __init__(
        self,
        file: TfliteFile,
        kind: str,
        meaning: Meaning,
        table: Any,
        tensors: Sequence[TfliteTensor | None],
        outputs: Sequence[TfliteTensor],
        values: Mapping[int, Node],
        span: Span,
        shapes: dict[Node, Array | None],
    ) -> None:
        self.shapes = shapes
        self.file, self.kind, self.table, self.span = file, kind, table, span
        self.tensors, self.outputs = tuple(tensors), tuple(outputs)
        self.nodes = tuple(None if t is None else values[t.index] for t in tensors)
        self.options = self._options(meaning.options)
        quantised = [t.quantization for t in (*self.tensors, *self.outputs) if t is not None and t.quantization]
        same = all(q.whole and q.same_as(quantised[0]) for q in quantised)
        self.as_stored = meaning.moves and same and not getattr(self.options, "FusedActivationFunction", int)()

    def error(self, problem: str, hint: str = "") -> LoadError:
        """A LoadError whose place is this operator."""
        hint = hint or f"see {self.kind} in the reference of operators of TensorFlow Lite; convert the model again"
        return self.file.error(f"{self.kind}: {problem}", str(self.span), hint)

    # ---- what the file says ----

    def __getitem__(self, key: str | int) -> Any:
        """The option of this name, or the input at this position, as numbers."""
        if isinstance(key, int):
            return self.real(self.stored(key), key)
        return getattr(self.options, key)()

    def _options(self, name: str) -> Any:
        """The table of options; one of defaults where the file has none."""
        import tflite

        kind, union = self.table.BuiltinOptionsType(), self.table.BuiltinOptions()
        expected = getattr(tflite.BuiltinOptions, name or "NONE")
        if kind not in (expected, tflite.BuiltinOptions.NONE) and name:
            raise self.error(f"expected {name}, got options of type {kind}", "the file is damaged: convert it again")
        made = getattr(tflite, name)() if name else None
        if made is not None:  # an empty table: its one field says that it has none
            has = kind == expected and union is not None
            made.Init(union.Bytes, union.Pos) if has else made.Init(b"\x04\0\x04\0\x04\0\0\0", 4)
        return made

    def given(self, position: int) -> bool:
        """Whether there is an input at this position."""
        return position < len(self.nodes) and self.nodes[position] is not None

    def stored(self, position: int) -> Node:
        """The input at this position, as the file has it."""
        found = self.nodes[position] if position < len(self.nodes) else None
        if found is None:
            raise self.error(f"input {position} is required, got {len(self.nodes)} inputs")
        return found

    def real(self, x: Node, position: int, axis: int | None = None) -> Node:
        """The numbers that `x` stands for, which is the input at this position, its axis of scales being `axis` now."""
        tensor = self.tensors[position]
        q = tensor.quantization if tensor is not None else None
        if q is None or self.as_stored or not x.dtype.is_integer:
            return x
        return dequantized(x, q, q.axis if axis is None else axis)

    def moved(self, position: int, perm: tuple[int, ...]) -> Node:
        """The input at this position with its axes in another order."""
        x, tensor = self.stored(position), self.tensors[position]
        self.rank(position, len(perm))
        axis = tensor.quantization.axis if tensor is not None and tensor.quantization is not None else 0
        return self.real(self(Transpose, x, perm=perm), position, perm.index(axis) if axis < len(perm) else 0)

    def channels_first(self, position: int = 0) -> Node:
        """The input at this position, an image [N, H, W, C], as [N, C, H, W]."""
        return self.moved(position, (0, 3, 1, 2))

    def channels_last(self, y: Node) -> Node:
        """What was computed with channels first, as the file has it."""
        return self(Transpose, y, perm=(0, 2, 3, 1))

    def rank(self, position: int, expected: int | None = None) -> int:
        """The number of axes of an input; raises when it is not the expected one."""
        rank = self.type_of(self.stored(position)).rank
        if expected not in (None, rank):
            raise self.error(f"input {position} must have {expected} axes, got {self.stored(position).type}")
        return rank

    def type_of(self, x: Node) -> TensorType:
        """The type of `x`; raises when it is not known yet."""
        if x.inferred is None:
            hint = "convert the model with fixed shapes"
            raise self.error("the rank of its input depends on a symbol or on a value of a call", hint)
        return x.inferred

    def extent(self, x: Node, axis: int) -> int:
        """How long an axis of `x` is; raises when that is not known yet."""
        dim = self.type_of(x).shape[axis]
        if isinstance(dim, Symbol):
            hint = "convert the model with fixed shapes; the batch alone may stay open"
            raise self.error(f"axis {axis} of its input must have a size, got {x.inferred}", hint)
        return int(dim)

    def known(self, position: int) -> Array | None:
        """The value of the input at this position where it is a constant, or made of known sizes; None otherwise."""
        found = self.nodes[position] if position < len(self.nodes) else None
        if found is None or isinstance(found.op, Constant):
            return found.op.data.array if found is not None and isinstance(found.op, Constant) else None
        dims = self.dims(position)
        sizes = dims is not None and all(isinstance(dim, int) for dim in dims.flat)
        return dims.astype(np.int64) if dims is not None and sizes else None

    def dims(self, position: int) -> Array | None:
        """The elements of an input that is made of sizes, numbers and symbols (`shapes`); None otherwise."""
        return dims_of(self.stored(position), self.shapes)

    def numbers(self, position: int, count: int | None = None) -> tuple[int, ...]:
        """The integers of a constant input; raises when it is computed, or of another length."""
        array = self.known(position)
        if array is None or array.dtype.kind not in "iu":
            got = "a computed one" if array is None else str(array.dtype)
            raise self.error(f"input {position} must be a constant of integers, got {got}", "convert with fixed shapes")
        if count not in (None, array.size):
            raise self.error(f"input {position} must have {count} numbers, got {array.size}")
        return tuple(array.reshape(-1).tolist())

    def operand(self, position: int, rank: int = 1) -> Node:
        """The input at this position as one number (rank 0) or as a list (rank 1), computed or not."""
        found = self.known(position)
        if found is not None:
            return constant(found.reshape((-1,) * rank))
        return self(Reshape, self.stored(position), shape=(-1,) * rank)

    # ---- new nodes ----

    def __call__(self, operator: type[Operator], *data: Node, **fields: Any) -> Node:
        """The node `operator(**fields)(*data)`; a field that is a node is an operand (`frontend.apply`)."""
        return applied(operator, data, fields, self.error)

    def constant(self, value: Any, dtype: DType | str = "float32") -> Node:
        """A constant node."""
        return constant(np.asarray(value, DType.of(dtype).numpy))

    def like(self, value: float, x: Node) -> Node:
        """The scalar `value` in the dtype of `x`."""
        return self.constant(value, self.type_of(x).dtype)

    def cast(self, x: Node, position: int = 0) -> Node:
        """`x` in the dtype of the result at this position."""
        dtype = self.outputs[position].type.dtype
        return x if self.type_of(x).dtype is dtype else self(Cast, x, dtype=dtype)
