"""Functions from outside as machine code finds them: an address for each symbol that a program calls.

In: a program. Out: `Externs`, which must live as long as the code does. A Python function gets a
callback that makes NumPy arrays of the pointers; inputs are read-only. What it raises is kept,
because it cannot pass through machine code, and raised again by `check` after the call.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicc.codegen.llvm import extern_symbol
from minicc.errors import RunError
from minicc.ir.arrays import Array
from minicc.loop.ir import Buffer, ExternCall, walk
from minicc.loop.program import Program


class Externs:
    """`symbols` are the addresses of the functions from outside that a program calls."""

    def __init__(self, program: Program) -> None:
        self.symbols: dict[str, int] = {}
        self._keep: list[Any] = []
        self._raised = threading.local()  # a call runs in the thread of its caller
        for s in walk(program.body):
            if isinstance(s, ExternCall) and extern_symbol(s) not in self.symbols:
                self.symbols[extern_symbol(s)] = s.function.address or self._callback(s)

    def check(self, call: Callable[[], str]) -> None:
        """Raise RunError if a Python function has raised since the last check in this thread."""
        error = getattr(self._raised, "error", None)
        if error is None:
            return
        self._raised.error = None
        function, cause = error
        problem = f"expected {function} to return, but it raised {type(cause).__name__}: {cause}"
        raise RunError(call(), problem, str(function), "see the exception that caused this one") from cause

    def _callback(self, s: ExternCall) -> int:
        buffers = (*s.inputs, s.output)

        def call(*pointers: int) -> None:
            try:
                if getattr(self._raised, "error", None) is None:
                    s.function(*_views(buffers, pointers))
            except BaseException as error:
                self._raised.error = s.function, error

        kind: Callable[..., Any] = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(buffers) + 1))
        made = kind(call)
        self._keep.append(made)
        return ctypes.cast(made, ctypes.c_void_p).value or 0


def _views(buffers: Sequence[Buffer], pointers: Sequence[int]) -> list[Array]:
    """The buffers as arrays; all but the last are read-only."""
    ranks = [len(b.shape) for b in buffers]
    extents = iter((ctypes.c_int64 * max(sum(ranks), 1)).from_address(pointers[-1]))
    arrays = []
    for buffer, rank, pointer in zip(buffers, ranks, pointers, strict=False):
        shape = tuple([next(extents) for _ in range(rank)])
        size = int(np.prod(shape, dtype=np.int64)) * buffer.dtype.bytes
        memory: Any = (ctypes.c_char * size).from_address(pointer or 1)
        arrays.append(np.ndarray(shape, buffer.dtype.numpy, memory))
    for array in arrays[:-1]:
        array.flags.writeable = False
    return arrays
