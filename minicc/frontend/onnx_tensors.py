"""Tensors of an ONNX file as NumPy arrays, read with suspicion.

In: a `TensorProto` and the folder of the model. Out: an array, or a LoadError that names the
tensor. Data in a file beside the model is read here and not by the onnx package: the file must
lie inside the model's folder after every symbolic link is followed, and must hold the bytes that
the tensor claims.

>>> from onnx import helper
>>> array(helper.make_tensor("w", 1, [2], [1.0, 2.0]), None, "m.onnx")
array([1., 2.], dtype=float32)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import ml_dtypes
import numpy as np
from onnx import TensorProto

from minicc.errors import LoadError
from minicc.ops.base import Array
from minicc.types import DType

LARGEST = 2**40  # elements; no tensor of an honest model has more

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
    raise LoadError(f"load({source!r})", f"{what} has element type {known.get(code, code)}, which is not supported",
                    where=what, hint=f"use one of {', '.join(map(str, DTYPES.values()))}")


def checked_dims(dims: Iterable[int], what: str, source: str) -> tuple[int, ...]:
    """`dims` as a shape; negative and absurd ones are refused before anything is allocated."""
    shape = tuple(dims)
    if any(dim < 0 for dim in shape) or math.prod(max(dim, 1) for dim in shape) > LARGEST:
        raise LoadError(f"load({source!r})",
                        f"{what} must have dimensions >= 0 and at most 2**40 elements, got {list(shape)}",
                        where=what, hint="the file is damaged, or not an honest model")
    return shape


def array(tensor: TensorProto, folder: Path | None, source: str, what: str = "") -> Array:
    """The values of `tensor`. `folder` is where its external data may lie; None: nowhere."""
    what = what or f"initializer {tensor.name!r}"
    dtype = dtype_of(tensor.data_type, what, source)
    shape = checked_dims(tensor.dims, what, source)
    size = math.prod(shape)
    if tensor.HasField("segment"):
        raise LoadError(f"load({source!r})", f"{what} is stored in segments", what, "save the model in one piece")
    if tensor.data_location == TensorProto.EXTERNAL:
        values = _external(tensor, dtype, size, folder, source, what)
    elif tensor.HasField("raw_data"):
        _match(len(tensor.raw_data), size * dtype.bytes, "bytes of data", shape, what, source)
        values = np.frombuffer(tensor.raw_data, _storage(dtype))
    else:
        values = _typed(tensor, dtype, size, shape, source, what)
    if dtype.kind == "bool":  # a byte of a bool may be anything in a hostile file
        values = values != 0
    return values.reshape(shape)


def _storage(dtype: DType) -> np.dtype[Any]:
    return np.dtype(np.uint8) if dtype.kind == "bool" else dtype.numpy


def _match(got: int, expected: int, unit: str, shape: tuple[int, ...], what: str, source: str) -> None:
    if got != expected:
        raise LoadError(f"load({source!r})", f"{what} of shape {list(shape)} must have {expected} {unit}, got {got}",
                        where=what, hint="the file is damaged, or was cut off")


def _typed(tensor: TensorProto, dtype: DType, size: int, shape: tuple[int, ...], source: str, what: str) -> Array:
    field = getattr(tensor, _FIELDS.get(dtype.name, "int32_data"))
    _match(len(field), size, "values", shape, what, source)
    if dtype.name in ("float16", "bfloat16"):  # these are stored as the bits of an unsigned integer
        half = np.float16 if dtype.name == "float16" else ml_dtypes.bfloat16
        return np.array(field, np.int64).astype(np.uint16).view(half)
    if dtype.is_float:
        return np.array(field, dtype.numpy)
    return np.array(field, np.uint64 if dtype.kind == "uint" else np.int64).astype(_storage(dtype))


def _external(tensor: TensorProto, dtype: DType, size: int, folder: Path | None, source: str, what: str) -> Array:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = inside(folder, entries.get("location", ""), source, what)
    available = path.stat().st_size
    offset = _count(entries, "offset", 0, source, what)
    length = _count(entries, "length", max(available - offset, 0), source, what)
    _match(length, size * dtype.bytes, "bytes of data", tuple(tensor.dims), what, source)
    if offset + length > available:
        raise LoadError(f"load({source!r})", f"{what} needs bytes {offset} to {offset + length} of {path.name}, "
                        f"which has {available}", where=what, hint="the data file is cut off, or belongs to another model")
    with path.open("rb") as file:
        file.seek(offset)
        return np.frombuffer(file.read(length), _storage(dtype))


def _count(entries: dict[str, str], key: str, default: int, source: str, what: str) -> int:
    text = entries.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise LoadError(f"load({source!r})", f"{key} of the external data of {what} must be a number of bytes, got {text!r}",
                        where=what, hint="the file is damaged, or not an honest model")
    return int(text)


def inside(folder: Path | None, location: str, source: str, what: str) -> Path:
    """The real path of `location` in `folder`; raises when it is anywhere else."""
    if folder is None:
        raise LoadError(f"load({source!r})", f"{what} keeps its data in the file {location!r}, and the model has no folder",
                        where=what, hint="load the model from its path, not from bytes")
    parts = {*PurePosixPath(location).parts, *PureWindowsPath(location).parts}
    absolute = PurePosixPath(location).is_absolute() or bool(PureWindowsPath(location).anchor)
    if not location or "\0" in location or absolute or ".." in parts:
        raise _outside(location, folder, source, what)
    try:
        root = folder.resolve()
        path = (root / location).resolve()  # follows symbolic links
        found = path.is_file()
    except (OSError, RuntimeError):  # a name too long, links in a circle
        raise _outside(location, folder, source, what) from None
    if not path.is_relative_to(root):
        raise _outside(location, folder, source, what)
    if not found:
        raise LoadError(f"load({source!r})", f"data file {location!r} of {what} is not there",
                        where=what, hint=f"put it into {folder} beside the model")
    return path


def _outside(location: str, folder: Path, source: str, what: str) -> LoadError:
    return LoadError(f"load({source!r})", f"data file of {what} must lie in the model's folder {folder}, got {location!r}",
                     where=what, hint="a model from a stranger may try to read your files; save it with its data beside it")
