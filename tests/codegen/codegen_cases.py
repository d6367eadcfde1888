"""Helpers of the codegen tests: run a program as machine code and as Python, and compare."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from minicc.loop.place_buffers import place_buffers
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.loop.widen_floats import widen_floats
from minicc.runtime.assemble import KernelCall, Values, assemble
from minicc.runtime.executable import Executable, load
from minicc.runtime.image import Port
from minicc.target import Target


@cache
def native(threads: int = 2) -> Target:
    return replace(Target.native(), threads=threads)


def build(program: Program, target: Target | None = None) -> Executable:
    """An executable of one kernel."""
    ids = [b.name for b in (*program.params, *program.outputs)]
    inputs = {b.name: Port(b.name, b.type) for b in program.params}
    outputs = [(b.name, Port(b.name, b.type)) for b in program.outputs]
    call = KernelCall(place_buffers(widen_floats(program)), program.name, tuple(ids))
    return load(assemble("model", [call], Values(inputs, outputs, {}), target or native()))


def expected(program: Program, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """What Python computes; integers as they are, NaN where nothing was written."""
    made = tuple(np.zeros(b.shape, b.dtype.numpy) for b in program.outputs)
    run_python(program, *arrays, *made)
    return made


def check(program: Program, *arrays: np.ndarray, rtol: float = 1e-5, target: Target | None = None) -> None:
    """Machine code agrees with Python: integers exactly, floats up to fused multiply-adds."""
    for got, want in zip(build(program, target)(*arrays), expected(program, *arrays), strict=True):
        assert got.dtype == want.dtype
        if want.dtype.kind in "iub":
            np.testing.assert_array_equal(got, want, err_msg=str(program))
        else:
            wide = np.asarray(want, np.float64)
            np.testing.assert_allclose(np.asarray(got, np.float64), wide, rtol=rtol, atol=rtol, err_msg=str(program))
