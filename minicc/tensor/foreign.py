"""Functions from outside: Python callables and C functions that a program may call on whole arrays.

In: a callable, a ctypes function, or the name of one registered here or of a symbol of the
process. Out: an `ExternFunction`, whose name is its own as long as it lives, so that a printed
program finds it again. A Python function is called as `f(*inputs, output)` on NumPy arrays, and
writes the output. A C function is

    void f(const T0 *input0, ..., T *output, const int64_t *extents)

where `extents` are those of all arrays, one after the other.

>>> @register_extern("twice")
... def twice(x, out):
...     out[...] = x * 2
>>> extern_function("twice")
extern.twice
"""

from __future__ import annotations

import ctypes
import keyword
import re
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minicc.errors import TeError
from minicc.tensor.operators import refusal

Array = np.ndarray[Any, np.dtype[Any]]


class ExternFunction:
    """A function that is called on arrays: `python` if it is a callable, else `address` of machine code."""

    def __init__(self, name: str, python: Callable[..., Any] | None, c: Any = None) -> None:
        self.name, self.python, self._c = name, python, c

    @property
    def address(self) -> int:
        """Of a C function; 0 for a Python function."""
        return ctypes.cast(self._c, ctypes.c_void_p).value or 0 if self._c is not None else 0

    def __call__(self, *arrays: Array) -> None:
        """Call it on contiguous arrays."""
        if self.python is not None:
            self.python(*arrays)
            return
        extents = [n for a in arrays for n in a.shape]
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(arrays) + 1))
        kind(self.address)(*[a.ctypes.data for a in arrays], (ctypes.c_int64 * max(len(extents), 1))(*extents))

    def __repr__(self) -> str:
        return f"extern.{self.name}"


_registered: dict[str, ExternFunction] = {}  # by their users, for good
_alive: weakref.WeakValueDictionary[str, ExternFunction] = weakref.WeakValueDictionary()


def register_extern(name: str, function: Any = None) -> Any:
    """Let `te.extern` and printed programs find `function` by `name`; a decorator when it is left out."""
    if function is None:
        return lambda f: register_extern(name, f)
    if not name.isidentifier() or keyword.iskeyword(name):
        raise refusal(f"register_extern({name!r})", f"expected a name, got {name!r}", "letters, digits and _", name)
    _registered[name] = _alive[name] = _made(name, function)
    return function


def extern_function(what: Any) -> ExternFunction:
    """`what` as an `ExternFunction`. Raises TeError when it is no function, and none has this name."""
    if isinstance(what, ExternFunction):
        return what
    if isinstance(what, str):
        return _alive[what] if what in _alive else _symbol(what)
    for found in list(_alive.values()):
        if what is found.python or what is found._c:
            return found
    made = _made(_free(getattr(what, "__name__", "function")), what)
    _alive[made.name] = made
    return made


def _made(name: str, function: Any) -> ExternFunction:
    if isinstance(function, ctypes._CFuncPtr):  # type: ignore[attr-defined]  # the base of all C functions
        return ExternFunction(name, None, function)
    if callable(function):
        return ExternFunction(name, function)
    problem = f"expected a function or the name of one, got {type(function).__name__}"
    hint = "a callable f(*inputs, output), a ctypes function, or a name given to te.register_extern"
    raise refusal(f"extern({function!r})", problem, hint, function)


def _symbol(name: str) -> ExternFunction:
    """A C function of this process."""
    try:
        made = _alive[name] = ExternFunction(name, None, ctypes.CDLL(None)[name])
    except AttributeError:
        problem = (
            f"expected the name of a function, got {name!r}, which is neither registered nor a C symbol of this process"
        )
        where = f"registered: {', '.join(_alive) or 'none'}"
        raise TeError(f"extern({name!r})", problem, where, "te.register_extern(name, function)") from None
    return made


def _free(wanted: str) -> str:
    """A name like `wanted` that no living function has, and that Python can read."""
    base = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_") or "function"
    name, count = base, 0
    while name in _alive or keyword.iskeyword(name):
        count += 1
        name = f"{base}_{count}"
    return name


class ExternNames:
    """`extern.name`, as printed programs write it."""

    def __getattr__(self, name: str) -> ExternFunction:
        if name.startswith("__"):
            raise AttributeError(name)
        return extern_function(name)
