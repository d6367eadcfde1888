"""Tensors of an ONNX file as NumPy arrays, read with suspicion.

In: a `TensorProto` and the folders of the model. Out: an array, or a LoadError that names the
tensor. Data in a file beside the model is read here and not by the onnx package: after every
symbolic link is followed, the file must lie inside the model's folder, or beside the file that the
model's own path is a link to (as in the cache of Hugging Face, where both are links to one folder
of blobs), and must hold the bytes that the tensor claims.

>>> from onnx import helper
>>> array(helper.make_tensor("w", 1, [2], [1.0, 2.0]), (), "m.onnx")
array([1., 2.], dtype=float32)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import ml_dtypes
import numpy as np
from onnx import SparseTensorProto, TensorProto

from minicc.errors import LoadError
from minicc.ops.base import Array
from minicc.types import DType

LARGEST = 2**40  # elements; no tensor of an honest model has more

LARGEST_DENSE = 2**30  # bytes of a sparse tensor with its zeros, which the file need not hold

DTYPES: dict[int, DType] = {
    TensorProto.FLOAT: DType.of("float32"),
    TensorProto.DOUBLE: DType.of("float64"),
    TensorProto.FLOAT16: DType.of("float16"),
    TensorProto.BFLOAT16: DType.of("bfloat16"),
    TensorProto.INT8: DType.of("int8"),
    TensorProto.INT16: DType.of("int16"),
    TensorProto.INT32: DType.of("int32"),
    TensorProto.INT64: DType.of("int64"),
    TensorProto.UINT8: DType.of("uint8"),
    TensorProto.UINT16: DType.of("uint16"),
    TensorProto.UINT32: DType.of("uint32"),
    TensorProto.UINT64: DType.of("uint64"),
    TensorProto.BOOL: DType.of("bool"),
}

# The field of a TensorProto that holds the values of a dtype, when they are not raw bytes.
_FIELDS = {
    "float32": "float_data",
    "float64": "double_data",
    "int64": "int64_data",
    "uint32": "uint64_data",
    "uint64": "uint64_data",
}  # all others: int32_data


def dtype_of(code: int, what: str, source: str) -> DType:
    """The DType of an ONNX element type; `what` names the value that has it."""
    if code in DTYPES:
        return DTYPES[code]
    known = {number: name.lower() for name, number in TensorProto.DataType.items()}
    raise LoadError(
        f"load({source!r})",
        f"{what} has element type {known.get(code, code)}, which is not supported",
        where=what,
        hint=f"use one of {', '.join(map(str, DTYPES.values()))}",
    )


def checked_dims(dims: Iterable[int], what: str, source: str) -> tuple[int, ...]:
    """`dims` as a shape; negative and absurd ones are refused before anything is allocated."""
    shape = tuple(dims)
    if any(dim < 0 for dim in shape) or math.prod(max(dim, 1) for dim in shape) > LARGEST:
        raise LoadError(
            f"load({source!r})",
            f"{what} must have dimensions >= 0 and at most 2**40 elements, got {list(shape)}",
            where=what,
            hint="give real sizes; a dimension that is not known yet has a name, dim_param, in place of a number",
        )
    return shape


def array(tensor: TensorProto, folders: Sequence[Path], source: str, what: str = "") -> Array:
    """The values of `tensor`. `folders` is where its external data may lie: the model's, and that of its real path."""
    what = what or f"initializer {tensor.name!r}"
    dtype = dtype_of(tensor.data_type, what, source)
    shape = checked_dims(tensor.dims, what, source)
    size = math.prod(shape)
    if tensor.HasField("segment"):
        raise LoadError(f"load({source!r})", f"{what} is stored in segments", what, "save the model in one piece")
    if tensor.data_location == TensorProto.EXTERNAL:
        values = _external(tensor, dtype, size, folders, source, what)
    elif tensor.HasField("raw_data"):
        _match(len(tensor.raw_data), size * dtype.bytes, "bytes of data", shape, what, source)
        values = np.frombuffer(tensor.raw_data, _storage(dtype))
    else:
        values = _typed(tensor, dtype, size, shape, source, what)
    if dtype.kind == "bool":  # a byte of a bool may be anything in a hostile file
        values = values != 0
    return values.reshape(shape)


def dense(sparse: SparseTensorProto, folders: Sequence[Path], source: str, what: str = "") -> Array:
    """The values of a sparse tensor, with zeros between them. Its indices are positions, or one row of coordinates each."""
    what = what or f"sparse initializer {sparse.values.name!r}"

    def error(problem: str) -> LoadError:
        return LoadError(
            f"load({source!r})",
            f"{what} {problem}",
            where=what,
            hint="store it as a dense initializer, or export the model again",
        )

    values = array(sparse.values, folders, source, f"the values of {what}")
    indices = array(sparse.indices, folders, source, f"the indices of {what}")
    shape = checked_dims(sparse.dims, what, source)
    if math.prod(shape) * values.itemsize > LARGEST_DENSE:
        raise error(f"must have at most {LARGEST_DENSE} bytes with its zeros, got shape {list(shape)}")
    if (
        values.ndim != 1
        or indices.dtype != np.int64
        or indices.shape not in ((values.size,), (values.size, len(shape)))
    ):
        raise error(
            f"must have a list of values and int64 indices for each, got {values.dtype}{list(values.shape)} and "
            f"{indices.dtype}{list(indices.shape)}"
        )
    limits = np.array(shape if indices.ndim == 2 else math.prod(shape), np.int64)
    if np.any((indices < 0) | (indices >= limits)):
        raise error(f"must have indices within {list(shape)}, got {indices.min()} to {indices.max()}")
    result = np.zeros(shape, values.dtype)
    result[tuple(indices.T) if indices.ndim == 2 else np.unravel_index(indices, shape)] = values
    return result


def _storage(dtype: DType) -> np.dtype[Any]:
    return np.dtype(np.uint8) if dtype.kind == "bool" else dtype.numpy


def _match(got: int, expected: int, unit: str, shape: tuple[int, ...], what: str, source: str) -> None:
    if got != expected:
        raise LoadError(
            f"load({source!r})",
            f"{what} of shape {list(shape)} must have {expected} {unit}, got {got}",
            where=what,
            hint="make it by onnx.numpy_helper.from_array; a file that was sound is damaged or cut off: copy it again",
        )


def _typed(tensor: TensorProto, dtype: DType, size: int, shape: tuple[int, ...], source: str, what: str) -> Array:
    field = getattr(tensor, _FIELDS.get(dtype.name, "int32_data"))
    _match(len(field), size, "values", shape, what, source)
    if dtype.name in ("float16", "bfloat16"):  # these are stored as the bits of an unsigned integer
        half = np.float16 if dtype.name == "float16" else ml_dtypes.bfloat16
        return np.array(field, np.int64).astype(np.uint16).view(half)
    if dtype.is_float:
        return np.array(field, dtype.numpy)
    return np.array(field, np.uint64 if dtype.kind == "uint" else np.int64).astype(_storage(dtype))


def _external(tensor: TensorProto, dtype: DType, size: int, folders: Sequence[Path], source: str, what: str) -> Array:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = inside(folders, entries.get("location", ""), source, what)
    available = path.stat().st_size
    offset = _count(entries, "offset", 0, source, what)
    length = _count(entries, "length", max(available - offset, 0), source, what)
    _match(length, size * dtype.bytes, "bytes of data", tuple(tensor.dims), what, source)
    if offset + length > available:
        raise LoadError(
            f"load({source!r})",
            f"{what} needs bytes {offset} to {offset + length} of {path.name}, which has {available}",
            where=what,
            hint="the data file is cut off, or belongs to another model",
        )
    with path.open("rb") as file:
        file.seek(offset)
        return np.frombuffer(file.read(length), _storage(dtype))


def _count(entries: dict[str, str], key: str, default: int, source: str, what: str) -> int:
    text = entries.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise LoadError(
            f"load({source!r})",
            f"{key} of the external data of {what} must be a number of bytes, got {text!r}",
            where=what,
            hint="write the model again: onnx.save(model, path, save_as_external_data=True)",
        )
    return int(text)


def inside(folders: Sequence[Path], location: str, source: str, what: str) -> Path:
    """The real path of `location` in the model's folder or that of its real path; raises when it is anywhere else."""
    if not folders:
        raise LoadError(
            f"load({source!r})",
            f"{what} keeps its data in the file {location!r}, and the model has no folder",
            where=what,
            hint="load the model from its path, not from bytes",
        )
    parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
    absolute = PurePosixPath(location).is_absolute() or bool(PureWindowsPath(location).anchor)
    if not location or "\0" in location or absolute or ".." in parts:
        raise _outside(location, folders, source, what)
    try:
        beyond, real = False, folders[-1].resolve()
        for root in dict.fromkeys((folders[0].resolve(), real)):
            path = (root / location).resolve()  # follows symbolic links
            if not (path.is_relative_to(root) or path.parent == real):
                beyond = True
            elif path.is_file():
                return path
    except (OSError, RuntimeError):  # a name too long, links in a circle
        beyond = True
    if beyond:
        raise _outside(location, folders, source, what)
    raise LoadError(
        f"load({source!r})",
        f"data file {location!r} of {what} is not there",
        where=what,
        hint=f"put it into {folders[0]} beside the model",
    )


def _outside(location: str, folders: Sequence[Path], source: str, what: str) -> LoadError:
    return LoadError(
        f"load({source!r})",
        f"data file of {what} must lie in the model's folder {folders[0]}, got {location!r}",
        where=what,
        hint="a model from a stranger may try to read your files; save it with its data beside it",
    )
