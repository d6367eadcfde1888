"""Loop programs run as the Python that they print: the oracle of machine code.

In: a `Program` and arrays, first its inputs, then its outputs. Out: the outputs, written in place.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> x = te.placeholder((3,), "int8", "x")
>>> y = te.compute((3,), lambda i: x[i] + x[i], name="y")
>>> given, result = np.array([1, 2, 100], np.int8), np.empty(3, np.int8)
>>> run_python(lower([y], [x, y], "double").program, given, result)
>>> result
array([  2,   4, -56], dtype=int8)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minicc.loop.arguments import check_sizes
from minicc.loop.ir import For, Update, walk
from minicc.loop.place_init import place_init
from minicc.loop.program import Program
from minicc.tensor.expr import Const, Expr, Var, const, substitute

Array = np.ndarray[Any, np.dtype[Any]]


def run_python(program: Program, *arrays: Array) -> None:
    """Run a program on arrays, first its inputs, then its outputs, which are written in place."""
    names: dict[str, Any] = {}
    extents = zip((*program.params, *program.outputs), arrays, strict=False)
    sizes = {d: n for b, a in extents for d, n in zip(b.shape, np.shape(a), strict=False) if isinstance(d, Var)}
    check_sizes(program, sizes)
    program = as_run(program, sizes)
    exec(compile(str(program), f"<{program.name}>", "exec"), names)
    with np.errstate(all="ignore"):
        names[program.name](*arrays)


def as_run(program: Program, sizes: Mapping[Var, int]) -> Program:
    """The program that is run at these sizes: where no step of a reduction is the first, none initialises."""
    return place_init(program) if _is_without_steps(program, {v: const(n) for v, n in sizes.items()}) else program


def _is_without_steps(program: Program, sizes: Mapping[Expr, Expr]) -> bool:
    """Whether a loop that reduces may have no iteration at these sizes."""
    axes = {axis for s in walk(program.body) if isinstance(s, Update) for axis in s.axes}
    loops = [s for s in walk(program.body) if isinstance(s, For) and s.var in axes]
    trips = [substitute(s.extent, sizes) if isinstance(s.extent, Expr) else const(s.extent) for s in loops]
    return any(not isinstance(n, Const) or n.value <= 0 for n in trips)
