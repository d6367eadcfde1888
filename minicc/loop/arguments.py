"""The arguments of a call: arrays that fit the buffers of a program, and the sizes that their shapes give.

In: a program, the order of its arguments, and what a call brings. Out: the arrays to work on and the
symbolic sizes, or a RunError that blames the first argument that does not fit. All functions made
of a program check their calls so, whatever runs them.

    arguments = Arguments(program, ["A", "B", "C"])
    arrays, sizes = arguments.checked([a, b, c])        # sizes: {n: 100}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicc.errors import CodegenError, RunError
from minicc.loop.ir import Buffer
from minicc.loop.program import Program
from minicc.loop.python import check_sizes
from minicc.loop.ranges import size_vars
from minicc.tensor.expr import Const, Expr, Var, const, substitute

Array = np.ndarray[Any, np.dtype[Any]]


class Arguments:
    """What a function of `program` takes, in the order of `names`: by default inputs, then outputs.

    Raises CodegenError when a symbolic size is the extent of no argument.
    """

    def __init__(self, program: Program, names: Sequence[str] = ()) -> None:
        self.program, self.name = program, program.name
        named = {b.name: b for b in (*program.params, *program.outputs)}
        self.buffers = tuple(named[name] for name in names or named)
        self.sizes = size_vars(program)
        self._outputs = tuple(n for n, b in enumerate(self.buffers) if b in program.outputs)
        self._check_sizes()

    def checked(self, arrays: Sequence[Any]) -> tuple[list[Array], dict[Var, int]]:
        """The arrays to work on, an input copied where it is not contiguous, and the sizes. Raises RunError."""
        if len(arrays) != len(self.buffers):
            raise self._error(
                f"expected {len(self.buffers)} arrays, got {len(arrays)}",
                f"give {', '.join(b.name for b in self.buffers)}, in this order",
            )
        for buffer, array in zip(self.buffers, arrays, strict=True):
            self._check_type(buffer, array)
        sizes = self._bind(arrays)
        check_sizes(self.program, sizes)
        held = [self._held(n, a) for n, a in enumerate(arrays)]
        self._check_overlap(held)
        return held, sizes

    def _check_type(self, buffer: Buffer, array: Any) -> None:
        if not isinstance(array, np.ndarray):
            raise self._error(f"{buffer.name} must be a NumPy array, got {type(array).__name__}", "np.asarray(x)")
        if isinstance(array, np.ma.MaskedArray):
            raise self._error(f"{buffer.name} must be an array without a mask, got a masked array", "x.filled(0)")
        if array.dtype != buffer.dtype.numpy:
            raise self._error(
                f"{buffer.name} must be of {buffer.dtype}, got {array.dtype}",
                f"convert it: x.astype({str(buffer.dtype)!r})",
            )
        if array.ndim != len(buffer.shape):
            raise self._error(
                f"{buffer.name} must have {len(buffer.shape)} dimensions, got {array.ndim}: shape {array.shape}",
                "reshape the array",
            )

    def _bind(self, arrays: Sequence[Array]) -> dict[Var, int]:
        """The symbolic sizes, by the shapes; every extent is checked."""
        sizes: dict[Var, int] = {}
        origin: dict[Var, str] = {}
        dims = [(b, d, e, a.shape[d]) for b, a in zip(self.buffers, arrays, strict=True) for d, e in enumerate(b.shape)]
        for buffer, dim, extent, got in dims:
            if isinstance(extent, Var) and extent not in sizes:
                sizes[extent], origin[extent] = got, f"{buffer.name}.shape[{dim}]"
        for buffer, dim, extent, got in dims:
            if _value(extent, sizes) != got:
                because = (
                    ", ".join(f"{v} is {n}, by {origin[v]}" for v, n in sizes.items())
                    if isinstance(extent, Expr)
                    else ""
                )
                raise self._error(
                    f"{buffer.name}.shape[{dim}] must be {extent}, got {got}" + (f", but {because}" if because else ""),
                    "give arrays of the shapes of the signature",
                )
        return sizes

    def _held(self, number: int, array: Array) -> Array:
        """The array itself, which an output must be; an input that is not contiguous is copied."""
        if number not in self._outputs:
            return np.require(array, requirements=["C", "A"])
        name = self.buffers[number].name
        if not array.flags.writeable:
            raise self._error(
                f"{name} is an output and must be writable, got a read-only array", "give a copy: x.copy()"
            )
        if not array.flags.c_contiguous or not array.flags.aligned:
            raise self._error(
                f"{name} is an output and must be C-contiguous, got strides {array.strides} for shape {array.shape}",
                "give np.empty(shape, dtype), and copy from it afterwards",
            )
        return array

    def _check_overlap(self, held: Sequence[Array]) -> None:
        for n in self._outputs:
            for m, other in enumerate(held):
                if m != n and np.may_share_memory(held[n], other):  # exact, as both are contiguous
                    raise self._error(
                        f"output {self.buffers[n].name} must not overlap {self.buffers[m].name}, got arrays "
                        "that share memory",
                        "give the output an array of its own",
                    )

    def _check_sizes(self) -> None:
        """Every symbolic size can be read off a shape."""
        bare = {extent for buffer in self.buffers for extent in buffer.shape if isinstance(extent, Var)}
        for size in self.sizes:
            if size not in bare:
                raise CodegenError(
                    f"build({self.name})",
                    f"expected an array with {size} as an extent, got {self.signature()}",
                    where=str(self.program),
                    hint=f"{size} must be known from a shape: give a tensor of extent {size}",
                )

    def _error(self, problem: str, hint: str) -> RunError:
        return RunError(f"{self.name}(...)", problem, where=self.signature(), hint=hint)

    def signature(self) -> str:
        """The function and its buffers: `main(A: float32[n], C: float32[n])`."""
        return f"{self.name}({', '.join(map(str, self.buffers))})"


def _value(extent: Any, sizes: Mapping[Var, int]) -> int:
    """An extent at these sizes."""
    if isinstance(extent, Var):
        return sizes[extent]
    if isinstance(extent, Expr):
        found = substitute(extent, {v: const(n) for v, n in sizes.items()})
        assert isinstance(found, Const)
        return int(found.value)
    return int(extent)


__all__ = ["Arguments"]
