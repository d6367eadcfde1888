"""Messages between two processes: JSON with named arrays, on pipes; never pickles, so neither side can run code in the other.

In: what JSON can say, and arrays by name. Out: the same in the other process, under NumPy 1 or 2. A frame is eight bytes of
length, a header in JSON (the message; name, dtype and shape of each array), and the bytes of the arrays in turn. What a
frame says of itself is not believed: sizes are bounded, and memory is taken as bytes arrive.

>>> out, into = os.pipe()
>>> Frames(into=-1, out=into).write(pack({"rows": 2}, {"x": np.zeros((2, 3), "float16")}))
>>> Frames(into=out, out=-1).read()
({'rows': 2}, {'x': array([[0., 0., 0.],
       [0., 0., 0.]], dtype=float16)})
"""

from __future__ import annotations

import json
import math
import os
import select
import struct
from collections.abc import Mapping
from typing import Any, TypeAlias

import ml_dtypes  # gives NumPy the type bfloat16
import numpy as np

Arrays: TypeAlias = Mapping[str, "np.ndarray[Any, Any]"]
Message: TypeAlias = tuple[Any, dict[str, "np.ndarray[Any, Any]"]]

NAMES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
)  # fmt: skip
DTYPES: dict[str, np.dtype[Any]] = {"bfloat16": np.dtype(ml_dtypes.bfloat16), **{n: np.dtype(n) for n in NAMES}}
LENGTH = struct.Struct("<Q")
MOST_HEADER = 2**28  # bytes
MOST_ARRAY = 2**36  # bytes: what arrives is counted, so this only says that a shape is no shape
PIECE = 2**16  # bytes that are read at once: what a pipe holds


class FrameError(Exception):
    """What is read is no frame, or what is to be sent has no form in one."""


def pack(message: Any, arrays: Arrays) -> list[bytes | memoryview]:
    """The parts of a frame. Raises FrameError for what is no JSON, and for arrays of other dtypes, as of objects."""
    held = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in held.items():
        if array.dtype not in DTYPES.values() or not isinstance(name, str):
            raise FrameError(f"expected an array of {', '.join(DTYPES)}, got {name!r} of {array.dtype}")
    described = [(name, array.dtype.name, array.shape) for name, array in held.items()]
    try:
        header = json.dumps((message, described), separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise FrameError(f"expected what JSON can say: {error}") from None
    if len(header) > MOST_HEADER:
        raise FrameError(f"expected a message of at most {MOST_HEADER} bytes, got {len(header)}")
    bodies = [array.reshape(-1).view(np.uint8).data for array in held.values()]
    return [LENGTH.pack(len(header)) + header, *bodies]


class Frames:
    """Frames from and to the other process, by file descriptors. A timeout is for how long that may do nothing, in seconds."""

    def __init__(self, into: int, out: int) -> None:
        self.into, self.out = into, out

    def write(self, parts: list[bytes | memoryview], timeout: float | None = None) -> None:
        """Send what `pack` made. Raises TimeoutError where the pipe does not block, and BrokenPipeError when the other end is closed."""
        for part in parts:
            left = memoryview(part)
            while left:
                if not select.select([], [self.out], [], timeout)[1]:
                    raise TimeoutError
                left = left[os.write(self.out, left) :]

    def read(self, timeout: float | None = None) -> Message:
        """The next message. Raises TimeoutError, FrameError, and EOFError when the other end is closed."""
        (length,) = LENGTH.unpack(self._take(LENGTH.size, timeout))
        if length > MOST_HEADER:
            raise FrameError(f"expected a header of at most {MOST_HEADER} bytes, got one of {length}")
        try:
            message, described = json.loads(self._take(length, timeout))
            layout = [(str(name), DTYPES[dtype], _checked(shape)) for name, dtype, shape in described]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise FrameError(f"expected a header, got what is none: {type(error).__name__}: {error}") from None
        arrays = {}
        for name, dtype, shape in layout:
            size = math.prod(shape) * dtype.itemsize
            if size > MOST_ARRAY:
                raise FrameError(f"expected an array of at most {MOST_ARRAY} bytes, got one of {size}")
            arrays[name] = np.frombuffer(self._take(size, timeout), np.uint8).view(dtype).reshape(shape)
        return message, arrays

    def _take(self, size: int, timeout: float | None) -> bytearray:
        taken = bytearray()
        while len(taken) < size:
            if not select.select([self.into], [], [], timeout)[0]:
                raise TimeoutError
            piece = os.read(self.into, min(size - len(taken), PIECE))
            if not piece:
                raise EOFError
            taken += piece
        return taken


def _checked(shape: Any) -> tuple[int, ...]:
    """A shape that is one: whole numbers from 0. Raises ValueError."""
    if not all(type(extent) is int and extent >= 0 for extent in shape) or len(shape) > 32:
        raise ValueError(f"no shape: {str(shape)[:80]}")
    return tuple(shape)
