"""Arrays from outside: what a caller hands over, as a NumPy array of a dtype that minicc has, or an error.

In: an array, a number, a list, or an object of another library that speaks `__array__` or
`__dlpack__`. Out: an `ndarray` of its values, which may share the caller's memory. What has no such form is refused: objects, text, times, complex numbers, records,
lists of unequal lengths, a mask (its loss would be silent), and whatever its library cannot convert.

>>> plain([1, 2], lambda problem, hint: MiniccError("f(x)", problem, hint=hint))
array([1, 2])
>>> plain([[1], [2, 3]], lambda problem, hint: MiniccError("f(x)", problem, hint=hint))
Traceback (most recent call last):
minicc.errors.MiniccError: MiniccError: f(x): expected an array, got lists of unequal lengths
hint: give every row the same length
"""

from __future__ import annotations

import ctypes
import mmap
from io import BufferedReader
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from minicc.errors import MiniccError
from minicc.types import DType

Array = np.ndarray[Any, np.dtype[Any]]
Refusal = Callable[[str, str], MiniccError]  # from the problem and a hint

_addressof: Callable[[Any], int] = ctypes.addressof
_shown: Callable[[Any], Any] = ctypes.c_char.from_buffer
LARGE = 1 << 14  # bytes from which on an array has pages of its own
ALIGNMENT = 64  # a cache line, and the widest vector
READY, WRITEABLE = 0x101, 0x400  # bits of `array.flags.num`: C-contiguous and aligned; and that it may be written
_NATIVE = frozenset(dtype.numpy for dtype in DType.table.values())
_HINTS = {
    "O": "give an array or numbers: of a table or a sparse matrix x.to_numpy('float32') or x.toarray()",
    "S": "give numbers",
    "U": "give numbers: of text that spells them x.astype('float32')",
    "M": "give a number of days or seconds: x.astype('int64')",
    "m": "give a number of days or seconds: x.astype('int64')",
    "c": "give the parts as arrays of their own: x.real, x.imag",
    "V": "give one field, x['name'], or its bits as what they mean: x.view(ml_dtypes.bfloat16)",
}


def plain(value: Any, refuse: Refusal) -> Array:
    """`value` as an array, its memory shared where that is possible. Raises what `refuse(problem, hint)` makes."""
    if type(value) is np.ndarray and value.dtype in _NATIVE:
        return value
    if _is_masked(value):
        hint = "say what stands in the masked places: x.filled(0)"
        raise refuse("expected an array without a mask, got a masked array", hint)
    found = _converted(value, refuse)
    if found.dtype.newbyteorder("=") not in _NATIVE:
        single = found.dtype == object and found.ndim == 0
        what = f"{type(value).__name__} that is no array" if single else f"elements of {found.dtype}"
        hint = _HINTS.get(found.dtype.kind, f"the dtypes are {', '.join(DType.table)}: x.astype('float32')")
        raise refuse(f"expected an array of numbers, got {what}", hint)
    return found


def sequence(value: Any, refuse: Refusal) -> Any:
    """What a caller gives for a sequence or an optional: a tuple of arrays or tuples, an array, or None."""
    if isinstance(value, (list, tuple)):
        return tuple([sequence(element, refuse) for element in value])
    return None if value is None else plain(value, refuse)


def apart(results: Sequence[Any], inputs: Iterable[Any]) -> list[Any]:
    """The results, each in memory of its own: none shows an input, a constant or another result."""
    taken = {id(array) for array in inputs}
    made: list[Any] = []
    for value in results:
        if isinstance(value, tuple):
            made.append(tuple(apart(value, ())))
        elif value is None or (value.flags.owndata and value.flags.writeable and id(value) not in taken):
            made.append(value)
        else:
            made.append(value.copy())
        taken.add(id(value))
    return made


def frozen(array: Array) -> Array:
    """`array` in the byte order of this machine, in memory that nobody can write: as it is if so, else a copy.

    A read-only flag says nothing of the owner, who may still write. Only the memory of `bytes` is certain, and that
    of pages which we map ourselves: there large copies live, as vectors are read faster from a multiple of their size.
    """
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    owner = _owner(array)
    ours = isinstance(owner, memoryview) and isinstance(owner.obj, _Pages)
    if array.flags.c_contiguous and (ours or isinstance(owner, bytes)):
        return array
    return (
        on_pages(array) if array.nbytes >= LARGE else np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
    )


_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}  # Windows has none


class _Pages(mmap.mmap):
    """Memory that `on_pages` alone writes to, once."""


def on_pages(array: Array) -> Array:
    """A copy in memory that begins at a page, and that nobody can write."""
    pages = _pages(array.nbytes)
    np.frombuffer(pages, array.dtype).reshape(array.shape)[...] = array
    return np.frombuffer(memoryview(pages).toreadonly(), array.dtype).reshape(array.shape)


def read_pages(file: BufferedReader, size: int) -> Array:
    """The next `size` bytes of a file, or as many as there are, in such memory."""
    if size < LARGE:
        return np.frombuffer(file.read(size), np.uint8)
    pages, done = _pages(size), 0
    with memoryview(pages) as whole:
        while done < size and (more := file.readinto(whole[done:])):
            done += more
    return np.frombuffer(memoryview(pages).toreadonly(), np.uint8, done)


def _pages(size: int) -> _Pages:
    pages = _Pages(-1, size, **_PRIVATE)
    if hasattr(mmap, "MADV_HUGEPAGE"):  # fewer page faults now, and fewer misses of the table of pages in each run
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages


def aligned(array: Array) -> Array:
    """`array` contiguous, in memory that begins at a multiple of the widest vector, unless it is small; as it is if so."""
    if array.flags.num & READY == READY and (array.nbytes < LARGE or address(array) % ALIGNMENT == 0):
        return array
    return on_pages(array) if array.nbytes >= LARGE else np.require(array, requirements=["C", "A"])


def address(array: Array) -> int:
    """Where the elements of a contiguous array are: there they stay as long as it lives."""
    try:  # by the buffer protocol: `array.ctypes` takes longer than a small kernel
        return _addressof(_shown(array))
    except (TypeError, ValueError):  # read-only, empty, or of a dtype that the protocol does not have
        return int(array.ctypes.data)


def _owner(array: Array) -> Any:
    """The object whose memory the array shows."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return owner


def _is_masked(value: Any) -> bool:
    """Whether a mask stands anywhere in `value`, inside lists, too."""
    waiting: list[Iterable[Any]] = [(value,)]
    while waiting:
        for item in waiting.pop():
            if isinstance(item, np.ma.MaskedArray):
                return True
            if isinstance(item, (list, tuple)):
                waiting.append(item)
    return False


def _converted(value: Any, refuse: Refusal) -> Array:
    foreign = hasattr(type(value), "__dlpack__") and not hasattr(type(value), "__array__")
    try:
        return np.from_dlpack(value) if foreign else np.asarray(value)
    except Exception as error:  # the protocols run code of other libraries, which may raise anything
        if isinstance(value, (list, tuple)) and "inhomogeneous" in str(error):
            raise refuse("expected an array, got lists of unequal lengths", "give every row the same length") from None
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise refuse(f"expected what NumPy can read, got {type(value).__name__}: {reason}", _way_out(value)) from error


def _way_out(value: Any) -> str:
    """How an object that does not convert becomes an array; tensors of PyTorch are what people bring."""
    dtype, layout = str(getattr(value, "dtype", "")), str(getattr(value, "layout", ""))
    if "sparse" in layout:
        return "make it dense: x.to_dense()"
    if "bfloat16" in dtype:
        return "give its bits: x.view(torch.int16).numpy().view(ml_dtypes.bfloat16), or x.float() for float32"
    if getattr(value, "requires_grad", False) is True:
        return "leave its gradient behind: x.detach()"
    if str(getattr(value, "device", "cpu")) != "cpu":
        return "bring it to the CPU: x.cpu()"
    return "convert it to a NumPy array first"
