"""Twelve small programs of the kinds that kernels are made of, on which random schedules are tried.

In: the name of a workload and its extents. Out: a naive loop program, inputs for it, and how many
terms its longest reduction sums, which decides the tolerance. Inputs are small integers, so that
all but softmax are exact in every order of evaluation.

>>> program = WORKLOADS["transpose"].program(3, 5)
>>> [str(b.type) for b in (*program.params, *program.outputs)]
['float32[3,5]', 'float32[5,3]']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from minicc import te
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.tensor.expr import maximum, select
from minicc.tensor.tensor import Tensor, scatter
from minicc.types import int32, int64

Array = np.ndarray[Any, np.dtype[Any]]
Tensors = tuple[Tensor, ...]
EXTENTS = (3, 4, 5, 7)  # a power of two, and three that no usual factor divides


@dataclass(frozen=True)
class Workload:
    """`define(n, m)` gives inputs and outputs; `terms(n, m)` is the length of the longest reduction of rounded floats."""

    name: str
    define: Callable[[int, int], tuple[Tensors, Tensors]]
    terms: Callable[[int, int], int] = lambda n, m: 1
    sizes: tuple[int, ...] = (0,)  # values of the symbolic size, where there is one

    def program(self, n: int, m: int) -> Program:
        """The naive loop program."""
        return _program(self, n, m)

    def inputs(self, program: Program, size: int, seed: int = 0) -> list[Array]:
        """Small random integers for every input, in its dtype."""
        rng = np.random.default_rng(seed)
        return [rng.integers(-2, 9, concrete(b.shape, size)).astype(b.dtype.numpy) for b in program.params]

    def outputs(self, program: Program, size: int) -> list[Array]:
        """Arrays for every output, full of what no workload computes."""
        return [np.full(concrete(b.shape, size), 77, b.dtype.numpy) for b in program.outputs]


def concrete(shape: tuple[Any, ...], size: int) -> tuple[int, ...]:
    """`shape` with `size` for every symbolic extent."""
    return tuple(d if isinstance(d, int) else size for d in shape)


@lru_cache(maxsize=256)
def _program(workload: Workload, n: int, m: int) -> Program:
    inputs, outputs = workload.define(n, m)
    return lower(outputs, [*inputs, *outputs], workload.name).program


def _elementwise(n: int, m: int) -> tuple[Tensors, Tensors]:
    size = te.var("n")
    A, B = te.placeholder((size, m), name="A"), te.placeholder((m,), name="B")
    C = te.compute((size, m), lambda i, j: A[i, j] + B[j], name="C")
    return (A, B), (te.compute((size, m), lambda i, j: maximum(C[i, j], 0.0) * 2.0, name="D"),)


def _transpose(n: int, m: int) -> tuple[Tensors, Tensors]:
    A = te.placeholder((n, m), name="A")
    T = te.compute((n, m), lambda i, j: A[i, j] * 3.0, name="T")
    return (A,), (te.compute((m, n), lambda i, j: T[j, i], name="D"),)


def _reductions(n: int, m: int) -> tuple[Tensors, Tensors]:
    A = te.placeholder((n, m), "int32", "A")
    k, r = te.reduce_axis((0, m), "k"), te.reduce_axis((0, n), "r")
    rows = te.compute((n,), lambda i: te.sum(A[i, k] * A[i, k], axis=k), name="rows")
    top = te.compute((), lambda: te.max(rows[r], axis=r), name="top")
    return (A,), (te.compute((n,), lambda i: rows[i] - top[()], name="D"),)


def _softmax(n: int, m: int) -> tuple[Tensors, Tensors]:
    A = te.placeholder((n, m), name="A")
    k, r = te.reduce_axis((0, m), "k"), te.reduce_axis((0, m), "r")
    top = te.compute((n,), lambda i: te.max(A[i, k], axis=k), name="top")
    E = te.compute((n, m), lambda i, j: te.exp(A[i, j] - top[i]), name="E")
    total = te.compute((n,), lambda i: te.sum(E[i, r], axis=r), name="total")
    return (A,), (te.compute((n, m), lambda i, j: E[i, j] / total[i], name="D"),)


def _argmax(n: int, m: int) -> tuple[Tensors, Tensors]:
    A = te.placeholder((n, m), name="A")
    k = te.reduce_axis((0, m), "k")

    def better(x: Any, y: Any) -> tuple[Any, ...]:
        """The greater value, and of equal ones the first, so that the order of steps does not matter."""
        keep = (x[1] > y[1]) | (x[1].equal(y[1]) & (x[0] <= y[0]))
        return tuple(select(keep, a, b) for a, b in zip(x, y, strict=True))

    best = te.comm_reducer(better, lambda i, v: (te.const(1 << 40, i), te.const(-np.inf, v)), "argmax")
    index, value = te.compute((n,), lambda i: best((k.var, A[i, k]), axis=k), name="M")
    return (A,), (index, value)


def _gemm(n: int, m: int) -> tuple[Tensors, Tensors]:
    A, B = te.placeholder((n, 4), name="A"), te.placeholder((4, m), name="B")
    k = te.reduce_axis((0, 4), "k")
    C = te.compute((n, m), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    return (A, B), (te.compute((n, m), lambda i, j: C[i, j] * 2.0 + 1.0, name="D"),)


def _batched_gemm(n: int, m: int) -> tuple[Tensors, Tensors]:
    A, B = te.placeholder((2, n, 3), name="A"), te.placeholder((2, 3, m), name="B")
    k = te.reduce_axis((0, 3), "k")
    return (A, B), (te.compute((2, n, m), lambda b, i, j: te.sum(A[b, i, k] * B[b, k, j], axis=k), name="D"),)


def _padded(A: Tensor, n: int, m: int) -> Tensor:
    """`A`, two channels of n by m, with a border of zeros."""

    def element(c: te.Expr, y: te.Expr, x: te.Expr) -> te.Expr:
        return select(te.all(y >= 1, y < n + 1, x >= 1, x < m + 1), A[c, y - 1, x - 1], 0.0)

    made: Tensor = te.compute((2, n + 2, m + 2), element, name="pad")
    return made


def _conv2d(n: int, m: int) -> tuple[Tensors, Tensors]:
    n, m = min(n, 4), min(m, 4)
    A, W = te.placeholder((2, n, m), name="A"), te.placeholder((2, 2, 3, 3), name="W")
    pad = _padded(A, n, m)
    c, ky, kx = te.reduce_axis((0, 2), "c"), te.reduce_axis((0, 3), "ky"), te.reduce_axis((0, 3), "kx")
    rows, columns = (n + 1) // 2, m  # a stride of two in one direction

    def product(f: te.Expr, y: te.Expr, x: te.Expr) -> te.Expr:
        return te.sum(pad[c, y * 2 + ky, x + kx] * W[f, c, ky, kx], axis=(c, ky, kx))

    C = te.compute((2, rows, columns), product, name="conv")
    return (A, W), (te.compute((2, rows, columns), lambda f, y, x: maximum(C[f, y, x], 0.0), name="D"),)


def _depthwise(n: int, m: int) -> tuple[Tensors, Tensors]:
    n, m = min(n, 4), min(m, 4)
    A, W = te.placeholder((2, n, m), name="A"), te.placeholder((2, 3, 3), name="W")
    pad = _padded(A, n, m)
    ky, kx = te.reduce_axis((0, 3), "ky"), te.reduce_axis((0, 3), "kx")
    D = te.compute((2, n, m), lambda f, y, x: te.sum(pad[f, y + ky, x + kx] * W[f, ky, kx], axis=(ky, kx)), name="D")
    return (A, W), (D,)


def _pooling(n: int, m: int) -> tuple[Tensors, Tensors]:
    A = te.placeholder((n, m), name="A")
    ky, kx = te.reduce_axis((0, 2), "ky"), te.reduce_axis((0, 2), "kx")
    T = te.compute((n, m), lambda y, x: A[y, x] + 1.0, name="T")
    return (A,), (te.compute((n // 2, m - 1), lambda y, x: te.max(T[y * 2 + ky, x + kx], axis=(ky, kx)), name="D"),)


def _scan(n: int, m: int) -> tuple[Tensors, Tensors]:
    A, state = te.placeholder((n, m), name="A"), te.placeholder((n, m), name="state")
    init = te.compute((1, m), lambda t, j: A[0, j], name="init")
    update = te.compute((n, m), lambda t, j: state[t - 1, m - 1 - j] + A[t, j], name="update")
    S = te.scan(init, update, state, name="S")
    return (A,), (te.compute((n, m), lambda i, j: S[i, j] * 2.0, name="D"),)


def _histogram(n: int, m: int) -> tuple[Tensors, Tensors]:
    A = te.placeholder((n, m), int64, "A")
    zeros = te.compute((6,), lambda i: te.const(0, int32), name="zeros")
    index, one = lambda p, q: (A[p, q],), lambda p, q: te.const(1, int32)
    bins = scatter(zeros, (n, m), index, one, "sum", where=lambda p, q: A[p, q] >= 0, name="bins")
    return (A,), (te.compute((6,), lambda i: bins[i] * 10, name="D"),)


_DEFINITIONS = (_elementwise, _transpose, _reductions, _softmax, _argmax, _gemm, _batched_gemm, _conv2d, _depthwise, _pooling,
                _scan, _histogram)  # fmt: skip
_OTHERS: dict[str, dict[str, Any]] = {"elementwise": {"sizes": (1, 6)}, "softmax": {"terms": lambda n, m: m}}
WORKLOADS = {name: Workload(name, f, **_OTHERS.get(name, {})) for f in _DEFINITIONS for name in [f.__name__[1:]]}
