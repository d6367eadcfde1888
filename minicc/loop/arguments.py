"""The arguments of a call: arrays that fit the buffers of a program, and the sizes that their shapes give.

In: a program, the order of its arguments, and what a call brings. Out: the arrays to work on and the
symbolic sizes, or a RunError that blames the first argument that does not fit. All functions made
of a program check their calls so, whatever runs them.

    arguments = Arguments(program, ["A", "B", "C"])
    arrays, addresses, sizes = arguments.checked([a, b, c])        # sizes: {n: 100}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicc.errors import CodegenError, RunError
from minicc.ir.arrays import READY, WRITEABLE, address
from minicc.loop.ir import Buffer
from minicc.loop.program import Program
from minicc.loop.ranges import size_vars
from minicc.tensor.expr import Const, Expr, Var, const, free_vars, substitute
from minicc.tensor.simplify import simplify

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
        written = [b in program.outputs for b in self.buffers]
        flags = [READY | WRITEABLE if out else READY for out in written]
        ranks = [len(b.shape) for b in self.buffers]
        self._expected = list(zip([b.dtype.numpy for b in self.buffers], ranks, flags, self.buffers, strict=True))
        # of each pair that must not overlap the positions, an output first
        self._apart = [(n, k) for n, out in enumerate(written) for k in range(len(written)) if out and k != n]
        self._known: tuple[Any, dict[Var, int]] = (None, {})  # the shapes of the last call, and its sizes
        bare = {extent for buffer in self.buffers for extent in buffer.shape}
        for size in [size for size in self.sizes if size not in bare]:
            problem = f"expected an array with {size} as an extent, got {self.signature()}"
            hint = f"{size} must be known from a shape: give a tensor of extent {size}"
            raise CodegenError(f"build({self.name})", problem, where=str(program), hint=hint)

    def checked(self, arrays: Sequence[Any]) -> tuple[list[Array], list[int], dict[Var, int]]:
        """The arrays to work on, an input copied where it is not contiguous, their addresses, and the sizes. Raises RunError."""
        if len(arrays) != len(self.buffers):
            problem = f"expected {len(self.buffers)} arrays, got {len(arrays)}"
            raise self._error(problem, f"give {', '.join(b.name for b in self.buffers)}, in this order")
        for array, (dtype, rank, _, buffer) in zip(arrays, self._expected):  # noqa: B905  # their number is known
            if type(array) is not np.ndarray or array.dtype is not dtype or array.ndim != rank:
                self._check_type(buffer, array)
        shapes, known = [array.shape for array in arrays], self._known
        if shapes != known[0]:
            sizes = self._bind(arrays)
            check_sizes(self.program, sizes)
            self._known = known = shapes, sizes
        held = [a if a.flags.num & flags == flags else self._held(buffer, a)
                for a, (_, _, flags, buffer) in zip(arrays, self._expected)]  # noqa: B905  # fmt: skip
        addresses = list(map(address, held))
        self._check_overlap(held, addresses)
        return held, addresses, known[1]

    def _check_type(self, buffer: Buffer, array: Any) -> None:
        name, rank = buffer.name, len(buffer.shape)
        if not isinstance(array, np.ndarray):
            raise self._error(f"{name} must be a NumPy array, got {type(array).__name__}", "np.asarray(x)")
        if isinstance(array, np.ma.MaskedArray):
            raise self._error(f"{name} must be an array without a mask, got a masked array", "x.filled(0)")
        if array.dtype != buffer.dtype.numpy:
            hint = f"convert it: x.astype({str(buffer.dtype)!r})"
            raise self._error(f"{name} must be of {buffer.dtype}, got {array.dtype}", hint)
        if array.ndim != rank:
            problem = f"{name} must have {rank} dimensions, got {array.ndim}: shape {array.shape}"
            raise self._error(problem, "reshape the array")

    def _bind(self, arrays: Sequence[Array]) -> dict[Var, int]:
        """The symbolic sizes, by the shapes; every extent is checked."""
        sizes: dict[Var, int] = {}
        origin: dict[Var, str] = {}
        dims = [(b, d, e, a.shape[d]) for b, a in zip(self.buffers, arrays, strict=True) for d, e in enumerate(b.shape)]
        for buffer, dim, extent, got in dims:
            if isinstance(extent, Var) and extent not in sizes:
                sizes[extent], origin[extent] = got, f"{buffer.name}.shape[{dim}]"
        values: dict[Expr, Expr] = {v: const(n) for v, n in sizes.items()}
        for buffer, dim, extent, got in dims:
            expected = substitute(extent, values) if isinstance(extent, Expr) else const(extent)
            if expected is not const(got):
                because = ", ".join(f"{v} is {n}, by {origin[v]}" for v, n in sizes.items())
                problem = f"{buffer.name}.shape[{dim}] must be {extent}, got {got}"
                problem += f", but {because}" if isinstance(extent, Expr) else ""
                raise self._error(problem, "give arrays of the shapes of the signature")
        return sizes

    def _held(self, buffer: Buffer, array: Array) -> Array:
        """The array itself, which an output must be; an input that is not contiguous is copied."""
        if buffer not in self.program.outputs:
            return np.require(array, requirements=["C", "A"])
        problem = f"{buffer.name} is an output and must be "
        if not array.flags.writeable:
            raise self._error(problem + "writable, got a read-only array", "give a copy: x.copy()")
        if not array.flags.c_contiguous or not array.flags.aligned:
            problem += f"C-contiguous, got strides {array.strides} for shape {array.shape}"
            raise self._error(problem, "give np.empty(shape, dtype), and copy from it afterwards")
        return array

    def _check_overlap(self, held: Sequence[Array], addresses: Sequence[int]) -> None:
        """All are contiguous, so each is all that there is from its address on."""
        for n, k in self._apart:
            if addresses[n] < addresses[k] + held[k].nbytes and addresses[k] < addresses[n] + held[n].nbytes:
                output, other = self.buffers[n].name, self.buffers[k].name
                problem = f"output {output} must not overlap {other}, got arrays that share memory"
                raise self._error(problem, "give the output an array of its own")

    def _error(self, problem: str, hint: str) -> RunError:
        return RunError(f"{self.name}(...)", problem, where=self.signature(), hint=hint)

    def signature(self) -> str:
        """The function and its buffers: `main(A: float32[n], C: float32[n])`."""
        return f"{self.name}({', '.join(map(str, self.buffers))})"


def check_sizes(program: Program, sizes: Mapping[Var, int]) -> None:
    """Raise RunError where a call's sizes break what the program requires."""
    values: dict[Expr, Expr] = {v: const(n) for v, n in sizes.items()}
    for cond, element in program.requires:
        if isinstance(holds := simplify(substitute(cond, values)), Const) and not holds.value:
            given = ", ".join(f"{v} = {sizes[v]}" for v in sorted(free_vars(cond), key=str))
            problem = f"expected sizes with {cond}, so that {element} stays inside, got {given}"
            where = f"{program.name}({', '.join(map(repr, (*program.params, *program.outputs)))})"
            raise RunError(f"{program.name}(...)", problem, where=where, hint="give arrays whose sizes fit each other")
