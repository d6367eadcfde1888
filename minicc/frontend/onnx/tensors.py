"""Tensors of an ONNX file as NumPy arrays, read with suspicion.

In: a `TensorProto` and the `ModelFile` it is of. Out: an array, or a LoadError that names the
tensor. Data in a file beside the model is read here and not by the onnx package: after every
symbolic link is followed, the file must lie inside the model's folder, or beside the file that the
model's own path is a link to (as in the cache of Hugging Face, where both are links to one folder
of blobs), and must hold the bytes that the tensor claims.

>>> from onnx import helper
>>> ModelFile("m.onnx").array(helper.make_tensor("w", 1, [2], [1.0, 2.0]))
array([1., 2.], dtype=float32)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

import ml_dtypes
import numpy as np
from onnx import SparseTensorProto, TensorProto

from minicc.errors import LoadError
from minicc.frontend.apply import LARGEST
from minicc.frontend.onnx.weights import Held
from minicc.ir.arrays import read_pages
from minicc.ops.base import Array
from minicc.types import DType

HIGHEST_RANK = 64  # of an array of NumPy
LARGEST_DENSE = 2**30  # bytes of a sparse tensor with its zeros, which the file need not hold

_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_NAMES = ("float32", "float64", "float16", "bfloat16", *_INTEGERS, "bool")
_ONNX_NAMES = {"float32": "FLOAT", "float64": "DOUBLE"}  # others are called alike
DTYPES = {TensorProto.DataType.Value(_ONNX_NAMES.get(name, name.upper())): DType.of(name) for name in _NAMES}

# The field of a TensorProto that holds the values of a dtype, when they are not raw bytes; of all others int32_data.
_FIELDS = {"float32": "float_data", "float64": "double_data", "int64": "int64_data"}
_FIELDS |= dict.fromkeys(("uint32", "uint64"), "uint64_data")

NARROW: dict[int, tuple[int, bool]] = {  # of integers that share bytes: how many bits, and whether they have a sign
    TensorProto.INT4: (4, True), TensorProto.UINT4: (4, False), TensorProto.INT2: (2, True), TensorProto.UINT2: (2, False),
}  # fmt: skip


@dataclass(frozen=True)
class ModelFile:
    """A model's name, and the folders in which data beside it may lie: those of its path and of its real path, or none."""

    name: str
    folders: tuple[Path, ...] = ()
    held: dict[Path, Held] = field(default_factory=dict, compare=False)  # weights that the model's own file has, unread

    def place(self, tensor: TensorProto) -> tuple[Path, int, int] | None:
        """The file, the offset and the size of an initializer's `raw_data`, where that was left there."""
        found = [(path, *held[tensor.name]) for path, held in self.held.items() if tensor.name in held]
        return found[0] if found and not tensor.HasField("raw_data") else None

    def error(self, problem: str, where: str, hint: str) -> LoadError:
        return LoadError(f"load({self.name!r})", problem, where, hint)

    def dtype(self, code: int, what: str) -> DType:
        """The DType of an ONNX element type; `what` names the value that has it, here and below."""
        if code in DTYPES:
            return DTYPES[code]
        kind = {number: name.lower() for name, number in TensorProto.DataType.items()}.get(code, code)
        hint = f"use one of {', '.join(map(str, DTYPES.values()))}"
        raise self.error(f"{what} has element type {kind}, which is not supported", what, hint)

    def shape(self, dims: Iterable[int], what: str) -> tuple[int, ...]:
        """`dims` as a shape; negative and absurd ones are refused before anything is allocated."""
        shape = tuple(dims)
        if len(shape) > HIGHEST_RANK:
            hint = "NumPy has no more, either: the file is damaged"
            raise self.error(f"{what} must have at most {HIGHEST_RANK} dimensions, got {len(shape)}", what, hint)
        if any(dim < 0 for dim in shape) or math.prod(max(dim, 1) for dim in shape) > LARGEST:
            hint = "give real sizes; a dimension that is not known yet has a name, dim_param, in place of a number"
            problem = f"{what} must have dimensions >= 0 and at most 2**40 elements, got {list(shape)}"
            raise self.error(problem, what, hint)
        return shape

    def array(self, tensor: TensorProto, what: str = "") -> Array:
        """The values of `tensor`; integers of fewer than 8 bits in bytes."""
        stored, narrow = self.stored(tensor, what), NARROW.get(tensor.data_type)
        if narrow is None:
            return stored
        bits, signed = narrow
        steps = np.arange(8 // bits, dtype=np.uint8) * np.uint8(bits)
        values: Array = stored[:, None] >> steps & np.uint8(2**bits - 1)  # the first is lowest
        values = values.reshape(-1)[: math.prod(tensor.dims)].reshape(tuple(tensor.dims))
        if signed:  # the highest bit counts negative
            half = np.int8(2 ** (bits - 1))
            values = (values.astype(np.int8) ^ half) - half
        return values

    def stored(self, tensor: TensorProto, what: str = "") -> Array:
        """The values of `tensor` as the file has them: bytes that hold several where they have fewer than 8 bits."""
        what = what or f"initializer {tensor.name!r}"
        if tensor.data_type in NARROW:
            size = math.prod(self.shape(tensor.dims, what))
            held = TensorProto()
            held.CopyFrom(tensor)
            held.data_type, held.dims[:] = TensorProto.UINT8, [-(-size * NARROW[tensor.data_type][0] // 8)]
            tensor = held
        dtype, shape = self.dtype(tensor.data_type, what), self.shape(tensor.dims, what)
        size, storage = math.prod(shape), np.dtype(np.uint8) if dtype.kind == "bool" else dtype.numpy
        if tensor.HasField("segment"):
            raise self.error(f"{what} is stored in segments", what, "save the model in one piece")
        if place := self.place(tensor):
            self._match(place[2], size * dtype.bytes, "bytes of data", shape, what)
            values = self._read(*place, what).view(storage)
        elif tensor.data_location == TensorProto.EXTERNAL:
            values = self._external(tensor, size * dtype.bytes, what).view(storage)
        elif tensor.HasField("raw_data"):
            content = tensor.raw_data  # a copy, each time
            self._match(len(content), size * dtype.bytes, "bytes of data", shape, what)
            values = np.frombuffer(content, storage)
        else:
            numbers = getattr(tensor, _FIELDS.get(dtype.name, "int32_data"))
            self._match(len(numbers), size, "values", shape, what)
            if dtype.name in ("float16", "bfloat16"):  # these are stored as the bits of an unsigned integer
                half = np.float16 if dtype.name == "float16" else ml_dtypes.bfloat16
                values = np.array(numbers, np.int64).astype(np.uint16).view(half)
            elif dtype.is_float:
                values = np.array(numbers, storage)
            else:
                values = np.array(numbers, np.uint64 if dtype.kind == "uint" else np.int64).astype(storage)
        if dtype.kind == "bool":  # a byte of a bool may be anything in a hostile file
            values = values != 0
        return values.reshape(shape)

    def dense(self, sparse: SparseTensorProto, what: str = "") -> Array:
        """The values of a sparse tensor, with zeros between them. Its indices are positions, or one row of coordinates each."""
        what = what or f"sparse initializer {sparse.values.name!r}"
        hint = "store it as a dense initializer, or export the model again"
        values = self.array(sparse.values, f"the values of {what}")
        indices = self.array(sparse.indices, f"the indices of {what}")
        shape = self.shape(sparse.dims, what)
        if math.prod(shape) * values.itemsize > LARGEST_DENSE:
            problem = f"{what} must have at most {LARGEST_DENSE} bytes with its zeros, got shape {list(shape)}"
            raise self.error(problem, what, hint)
        rows = (values.size,), (values.size, len(shape))
        if values.ndim != 1 or indices.dtype != np.int64 or indices.shape not in rows:
            got = f"{values.dtype}{list(values.shape)} and {indices.dtype}{list(indices.shape)}"
            raise self.error(f"{what} must have a list of values and int64 indices for each, got {got}", what, hint)
        limits = np.array(shape if indices.ndim == 2 else math.prod(shape), np.int64)
        if np.any((indices < 0) | (indices >= limits)):
            got = f"{indices.min()} to {indices.max()}"
            raise self.error(f"{what} must have indices within {list(shape)}, got {got}", what, hint)
        result = np.zeros(shape, values.dtype)
        result[tuple(indices.T) if indices.ndim == 2 else np.unravel_index(indices, shape)] = values
        return result

    def _match(self, got: int, expected: int, unit: str, shape: Iterable[int], what: str) -> None:
        if got != expected:
            hint = "make it by onnx.numpy_helper.from_array; a file that was sound is damaged or cut off: copy it again"
            raise self.error(f"{what} of shape {list(shape)} must have {expected} {unit}, got {got}", what, hint)

    def _external(self, tensor: TensorProto, size: int, what: str) -> Array:
        """The bytes of `tensor` that lie in a file beside the model."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        path = self._beside(entries.get("location", ""), what)
        available = path.stat().st_size
        offset = self._count(entries, "offset", 0, what)
        length = self._count(entries, "length", max(available - offset, 0), what)
        self._match(length, size, "bytes of data", tensor.dims, what)
        if offset + length > available:
            problem = f"{what} needs bytes {offset} to {offset + length} of {path.name}, which has {available}"
            raise self.error(problem, what, "the data file is cut off, or belongs to another model")
        return self._read(path, offset, length, what)

    def _read(self, path: Path, offset: int, length: int, what: str) -> Array:
        """Bytes of a file."""
        hint = "the file has changed since it was loaded: load it again"
        try:
            with path.open("rb") as file:
                file.seek(offset)
                found = read_pages(file, length)
        except OSError as error:
            raise self.error(f"{what} must be readable, got: {error.strerror}", str(path), hint) from None
        if found.size < length:
            raise self.error(f"{what} must have {length} bytes, got {found.size}", str(path), hint)
        return found

    def _count(self, entries: dict[str, str], key: str, default: int, what: str) -> int:
        text = entries.get(key, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            hint = "write the model again: onnx.save(model, path, save_as_external_data=True)"
            problem = f"{key} of the external data of {what} must be a number of bytes, got {text!r}"
            raise self.error(problem, what, hint)
        return int(text)

    def _beside(self, location: str, what: str) -> Path:
        """The real path of `location` in the model's folder or that of its real path; raises when it is anywhere else."""
        if not self.folders:
            problem = f"{what} keeps its data in the file {location!r}, and the model has no folder"
            raise self.error(problem, what, "load the model from its path, not from bytes")
        parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
        absolute = PurePosixPath(location).is_absolute() or bool(PureWindowsPath(location).anchor)
        beyond = not location or "\0" in location or absolute or ".." in parts
        try:
            real = self.folders[-1].resolve()
            for root in () if beyond else dict.fromkeys((self.folders[0].resolve(), real)):
                path = (root / location).resolve()  # follows symbolic links
                if not (path.is_relative_to(root) or path.parent == real):
                    beyond = True
                elif path.is_file():
                    return path
        except (OSError, RuntimeError):  # a name too long, links in a circle
            beyond = True
        if beyond:
            hint = "a model from a stranger may try to read your files; save it with its data beside it"
            problem = f"data file of {what} must lie in the model's folder {self.folders[0]}, got {location!r}"
            raise self.error(problem, what, hint)
        hint = f"put it into {self.folders[0]} beside the model"
        raise self.error(f"data file {location!r} of {what} is not there", what, hint)
