"""A TensorFlow Lite file, read with suspicion: its tables, its tensors, the bytes of its weights.

In: the bytes of a file, a flatbuffer. Out: texts, numbers, types and arrays, or a LoadError. The accessors of the
schema read no byte outside of the file: what lies there is an error, and so is a vector that is longer than the file. A
flatbuffer may say one thing in many places; an honest one does so little. So all that is read is counted, and a file
of which several times its size is read is refused: work and memory stay in proportion to the file.

The format: `schema.fbs` of TensorFlow Lite, version 3.

>>> TfliteFile("model.tflite", b"").shape([2, 3], "tensor 'x'")
(2, 3)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np

from minicc.errors import LoadError
from minicc.frontend.apply import LARGEST
from minicc.ops.base import Array
from minicc.types import DType

MOST_READ = 4  # times the size of the file, as some things are looked at more than once
LEAST_READ = 1 << 16  # bytes that may be read of any file
LONGEST_TEXT = 1 << 16  # bytes of a name
HIGHEST_RANK = 32  # axes of a tensor, as in NumPy

# by the number of the schema's TensorType
DTYPES = {
    code: DType.of(name)
    for code, name in {
        0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float64",
        12: "uint64", 15: "uint32", 16: "uint16", 18: "bfloat16",
    }.items()
}  # fmt: skip
OTHERS = {5: "string", 8: "complex64", 11: "complex128", 13: "resource", 14: "variant", 17: "int4"}


@dataclass(frozen=True, eq=False)
class Quantization:
    """A number that an integer `q` stands for is `scale * (q - zero)`, with a scale and a zero for each part of `axis`."""

    scales: Array  # float32
    zeros: Array  # int64
    axis: int = 0

    @property
    def whole(self) -> bool:
        """Whether one scale serves the tensor."""
        return self.scales.size == 1

    def same_as(self, other: Quantization | None) -> bool:
        return other is not None and all(
            np.array_equal(a, b) for a, b in ((self.scales, other.scales), (self.zeros, other.zeros))
        )


@dataclass
class TfliteFile:
    """The name and the bytes of a file, and how much of it was read."""

    name: str
    content: bytes = field(repr=False)
    read: int = 0

    def error(self, problem: str, where: str, hint: str) -> LoadError:
        return LoadError(f"load({self.name!r})", problem, where, hint)

    def damaged(self, problem: str, where: str = "") -> LoadError:
        """An error for what no converter writes."""
        return self.error(problem, where or self.name, "the file is damaged: copy, download or convert it again")

    @cached_property
    def model(self) -> Any:
        """The root table."""
        import tflite

        return tflite.Model.GetRootAs(self.content, 0)

    # ---- what tables hold, by the names of the schema ----

    def count(self, table: Any, name: str, size: int = 4) -> int:
        """The length of a vector of elements of so many bytes."""
        length = int(getattr(table, f"{name}Length")())
        if length * size > len(self.content):
            raise self.damaged(
                f"{name} must have at most the {len(self.content):,} bytes of the file, got {length:,} elements"
            )
        self.read += length * size
        if self.read > MOST_READ * len(self.content) + LEAST_READ:
            problem = f"expected tables that do not overlap, got more than {MOST_READ} times the bytes of the file"
            raise self.damaged(problem)
        return length

    def array(self, table: Any, name: str, size: int = 4) -> Array:
        """A vector of numbers, each of so many bytes; it shows the bytes of the file."""
        found: Array = getattr(table, f"{name}AsNumpy")() if self.count(table, name, size) else np.zeros(0, np.int32)
        return found

    def numbers(self, table: Any, name: str) -> tuple[int, ...]:
        """A vector of integers."""
        return tuple(self.array(table, name).tolist())

    def tables(self, table: Any, name: str) -> Iterator[Any]:
        """A vector of tables."""
        at = getattr(table, name)
        return (at(k) for k in range(self.count(table, name)))

    def text(self, value: bytes | None) -> str:
        """A name; bytes that are no text are escaped."""
        self.read += len(value or b"")
        if len(value or b"") > LONGEST_TEXT:
            raise self.damaged(f"a name must have at most {LONGEST_TEXT:,} bytes, got {len(value or b''):,}")
        return (value or b"").decode("utf-8", "backslashreplace")

    # ---- what tensors are ----

    def dtype(self, code: int, what: str) -> DType:
        """The DType of a number of the schema; `what` names the value that has it, here and below."""
        if code in DTYPES:
            return DTYPES[code]
        problem = f"{what} has element type {OTHERS.get(code, code)}, which is not supported"
        raise self.error(problem, what, f"use one of {', '.join(map(str, DTYPES.values()))}")

    def shape(self, dims: Iterable[int], what: str) -> tuple[int, ...]:
        """`dims` as a shape; negative and absurd ones are refused before anything is allocated."""
        shape = tuple(dims)
        absurd = len(shape) > HIGHEST_RANK or any(dim < 0 for dim in shape)
        if absurd or math.prod(max(dim, 1) for dim in shape) > LARGEST:
            problem = f"{what} must have up to {HIGHEST_RANK} dimensions >= 0 and at most 2**40 elements, got {list(shape[:40])}"
            raise self.damaged(problem, what)
        return shape

    def quantization(self, table: Any, shape: tuple[int, ...], what: str) -> Quantization | None:
        """The scales and zero points of a tensor; None when it has none."""
        params = table.Quantization()
        if params is None or not (scales := self.array(params, "Scale")).size:
            return None
        if params.DetailsType():
            raise self.error(f"{what} has a custom quantization", what, "quantise with scales and zero points")
        zeros = self.array(params, "ZeroPoint", 8).astype(np.int64)
        zeros = zeros if zeros.size else np.zeros(1, np.int64)
        axis = int(params.QuantizedDimension())
        if scales.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scales.size):
            problem = f"{what} of shape {list(shape)} must have one scale, or one for each part of an axis"
            raise self.damaged(f"{problem}, got {scales.size} on axis {axis}", what)
        if zeros.size not in (1, scales.size):
            raise self.damaged(
                f"{what} must have as many zero points as scales, got {zeros.size} and {scales.size}", what
            )
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise self.damaged(f"{what} must have scales that are positive and finite, got {scales.min()}", what)
        return Quantization(scales, np.broadcast_to(zeros, scales.shape), axis if scales.size > 1 else 0)

    def content_of(self, index: int, what: str) -> Array:
        """The bytes of a buffer, as they lie in the file; none of one that is empty."""
        count = self.count(self.model, "Buffers", 0)
        if not 0 <= index < count:
            raise self.damaged(f"{what} must have its data in one of {count} buffers, got {index}", what)
        buffer = self.model.Buffers(index)
        start, size = int(buffer.Offset()), int(buffer.Size())
        if start > 1:  # of models that are larger than a flatbuffer can be
            if start + size > len(self.content):
                problem = f"{what} needs bytes {start} to {start + size} of the file, which has {len(self.content)}"
                raise self.damaged(problem, what)
            return np.frombuffer(self.content, np.uint8, size, start)
        return self.array(buffer, "Data", 1)

    def weights(self, content: Array, dtype: DType, shape: tuple[int, ...], what: str) -> Array:
        """The elements of a tensor whose bytes are `content`."""
        size = math.prod(shape) * dtype.bytes
        if content.size != size:
            hint = "a file that was sound is damaged or cut off: copy or convert it again"
            problem = f"{what} of shape {list(shape)} must have {size} bytes of data, got {content.size}"
            raise self.error(problem, what, hint)
        storage = np.dtype(ml_dtypes.bfloat16) if dtype.name == "bfloat16" else dtype.numpy
        if dtype.kind == "bool":  # a byte of a bool may be anything in a hostile file
            return np.asarray(content != 0).reshape(shape)
        aligned = content if content.ctypes.data % dtype.bytes == 0 else content.copy()
        elements: Array = aligned.view(storage)
        return elements.reshape(shape)
