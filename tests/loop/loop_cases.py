"""Kernels with their NumPy reference, on which lowering and every loop pass is tried."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc import te
from minicc.loop import Program, lower, run_python
from minicc.te import Tensor
from minicc.tensor.expr import call, select
from minicc.tensor.tensor import scatter


@dataclass(frozen=True)
class Case:
    outputs: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    reference: Callable[..., Any]  # of float64 or integer arrays; gives a tuple of arrays

    @property
    def program(self) -> Program:
        return lower(self.outputs, [*self.inputs, *self.outputs], "kernel").program


def draw(program: Program, seed: int = 0, **sizes: int) -> list[np.ndarray]:
    """Random inputs, then outputs filled with rubbish."""
    rng = np.random.default_rng(seed)
    arrays = []
    for buffer in (*program.params, *program.outputs):
        shape = tuple(d if isinstance(d, int) else sizes[d.name] for d in buffer.shape)
        values = (
            rng.standard_normal(shape)
            if buffer.dtype.is_float
            else rng.integers(0, 2 if buffer.dtype.kind == "bool" else 6, shape)
        )
        arrays.append(np.asarray(values).astype(buffer.dtype.numpy))
    return arrays


def run(program: Program, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs on copies of `arrays`."""
    arrays = [a.copy() for a in arrays]
    run_python(program, *arrays)
    return arrays[len(program.params) :]


def check(program: Program, case: Case, tolerance: float = 1e-5, **sizes: int) -> None:
    """The program's outputs agree with the reference in float64."""
    arrays = draw(program, **sizes)
    inputs = [a.astype(np.float64) if a.dtype.kind not in "iub" else a for a in arrays[: len(program.params)]]
    expected = case.reference(*inputs)
    for got, want in zip(run(program, arrays), expected, strict=True):
        assert got.shape == np.shape(want)
        if got.dtype.kind in "iub":
            np.testing.assert_array_equal(got, want)
        else:
            slack = tolerance if got.dtype.itemsize > 2 else 2e-2
            np.testing.assert_allclose(got.astype(np.float64), want, rtol=slack, atol=slack)


def _matmul(m: int = 4, n: int = 5, k: int = 6, dtype: str = "float32") -> Case:
    a, b = te.placeholder((m, k), dtype, "A"), te.placeholder((k, n), dtype, "B")
    kk = te.reduce_axis((0, k), "k")
    c = te.compute((m, n), lambda i, j: te.sum(a[i, kk] * b[kk, j], axis=kk), name="C")
    return Case((c,), (a, b), lambda x, y: (x @ y,))


def _half(dtype: str) -> Case:
    a, b = te.placeholder((4, 6), dtype, "A"), te.placeholder((4,), dtype, "B")
    c = te.compute((4, 6), lambda i, j: select(a[i, j] < b[i], call("exp", a[i, j]) * 0.1, b[i] - a[i, j]), name="C")
    k = te.reduce_axis((0, 6), "k")
    d = te.compute((4,), lambda i: te.sum(c[i, k], axis=k), name="D")
    return Case((d,), (a, b), lambda x, y: (np.where(x < y[:, None], np.exp(x) * 0.1, y[:, None] - x).sum(1),))


def _softmax() -> Case:
    a = te.placeholder((3, 7), name="A")
    k, r = te.reduce_axis((0, 7), "k"), te.reduce_axis((0, 7), "k")
    top = te.compute((3,), lambda i: te.max(a[i, k], axis=k), name="top")
    e = te.compute((3, 7), lambda i, j: call("exp", a[i, j] - top[i]), name="e")
    total = te.compute((3,), lambda i: te.sum(e[i, r], axis=r), name="total")
    out = te.compute((3, 7), lambda i, j: e[i, j] / total[i], name="out")

    def reference(x: np.ndarray) -> tuple[np.ndarray]:
        y = np.exp(x - x.max(1, keepdims=True))
        return (y / y.sum(1, keepdims=True),)

    return Case((out,), (a,), reference)


def _argmax(both: bool) -> Case:
    a = te.placeholder((4, 8), name="A")
    k = te.reduce_axis((0, 8), "k")
    best = te.comm_reducer(
        lambda x, y: tuple(select(x[0] >= y[0], p, q) for p, q in zip(x, y, strict=True)),
        lambda v, n: (te.const(-np.inf, v), te.const(0, n)),
        "argmax",
    )
    value, index = te.compute((4,), lambda i: best((a[i, k], k.var), axis=k), name="M")
    return Case((index, value) if both else (index,), (a,), lambda x: (x.argmax(1), x.max(1))[: 2 if both else 1])


def _swap() -> Case:
    """A tuple reduction in which each component reads the other: both are computed before either is stored."""
    a = te.placeholder((3, 8), name="A")
    k = te.reduce_axis((0, 8), "k")
    mix = te.comm_reducer(
        lambda x, y: (x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]),
        lambda r, i: (te.const(1, r), te.const(0, i)),
        "complex_product",
    )
    real, imaginary = te.compute((3,), lambda i: mix((a[i, k], a[i, 7 - k.var]), axis=k), name="P")

    def reference(x: np.ndarray) -> tuple[np.ndarray, ...]:
        z = (x + 1j * x[:, ::-1]).prod(1)
        return z.real, z.imag

    return Case((real, imaginary), (a,), reference)


def _two_results() -> Case:
    a = te.placeholder((4,), name="A")
    double, square, _ = te.compute((4,), lambda i: (a[i] * 2, a[i] * a[i], a[i]), name="R")
    return Case((square, double), (a,), lambda x: (x * x, x * 2))


def _two_sums() -> Case:
    a = te.placeholder((4, 5), name="A")
    k = te.reduce_axis((0, 5), "k")
    total, top, head = te.compute((4,), lambda i: (te.sum(a[i, k], k), te.max(a[i, k], k), a[i, 0]), name="S")
    return Case((total, top, head), (a,), lambda x: (x.sum(1), x.max(1), x[:, 0]))


def _conv() -> Case:
    x, w = te.placeholder((2, 5, 5), name="x"), te.placeholder((3, 2, 3, 3), name="w")
    pad = te.compute(
        (2, 7, 7),
        lambda c, y, z: select(te.all(te.const(1) <= y, y < 6, te.const(1) <= z, z < 6), x[c, y - 1, z - 1], 0.0),
        name="pad",
    )
    ic, kh, kw = te.reduce_axis((0, 2), "ic"), te.reduce_axis((0, 3), "kh"), te.reduce_axis((0, 3), "kw")
    out = te.compute(
        (3, 5, 5),
        lambda f, y, z: te.sum(pad[ic, y + kh.var, z + kw.var] * w[f, ic, kh, kw], axis=(ic, kh, kw)),
        name="conv",
    )

    def reference(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray]:
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(a, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
        return (np.einsum("cyzhw,fchw->fyz", windows, b),)

    return Case((out,), (x, w), reference)


def _scan(steps: int) -> Case:
    n = te.var("n")
    x, state = te.placeholder((n, 3), name="x"), te.placeholder((n, 3), name="state")
    init = te.compute((steps, 3), lambda t, j: x[t, j] * 0.5, name="init")
    half = te.compute((n, 3), lambda t, j: state[t - 1, j] * 0.5, name="half")
    k = te.reduce_axis((0, 3), "k")
    update = te.compute((n, 3), lambda t, j: te.sum(half[t, k] * x[t, j], axis=k), name="update")

    def reference(a: np.ndarray) -> tuple[np.ndarray]:
        s = a * 0.5
        for t in range(steps, len(a)):
            s[t] = (s[t - 1] * 0.5).sum() * a[t]
        return (s,)

    return Case((te.scan(init, update, state, name="s"),), (x,), reference)


def _cumulative() -> Case:
    x, state, start = (
        te.placeholder((5, 3), name="x"),
        te.placeholder((5, 3), name="state"),
        te.placeholder((1, 3), name="start"),
    )
    update = te.compute((5, 3), lambda t, j: state[t - 1, j] + x[t, j], name="update")

    def reference(a: np.ndarray, first: np.ndarray) -> tuple[np.ndarray]:
        return (np.cumsum(np.concatenate([first, a[1:]]), 0),)

    return Case((te.scan(start, update, state, name="s"),), (x, start), reference)


def _scatter(combiner: str | None) -> Case:
    data, index, value = (
        te.placeholder((6,), name="data"),
        te.placeholder((9,), "int64", "index"),
        te.placeholder((9,), name="value"),
    )
    out = scatter(
        data,
        (9,),
        lambda p: (index[p] * 2 - 3,),
        lambda p: value[p],
        combiner,
        where=lambda p: index[p].not_equal(2),
        name="out",
    )

    def reference(d: np.ndarray, i: np.ndarray, v: np.ndarray) -> tuple[np.ndarray]:
        d = d.copy()
        for n, place in enumerate(i * 2 - 3):
            if i[n] != 2 and 0 <= place < 6:
                d[place] = {None: v[n], "sum": d[place] + v[n], "max": max(d[place], v[n])}[combiner]
        return (d,)

    return Case((out,), (data, index, value), reference)


def _empty_sum() -> Case:
    a = te.placeholder((3, 0, 2), name="A")
    k, r = te.reduce_axis((0, 0), "k"), te.reduce_axis((0, 2), "r")
    total = te.compute((3,), lambda i: te.sum(a[i, k, r], axis=(k, r)), name="total")
    return Case((total,), (a,), lambda x: (np.zeros(3),))


def _empty() -> Case:
    a = te.placeholder((0, 4), name="A")
    out = te.compute((0, 4), lambda i, j: a[i, j] + 1.0, name="B")
    return Case((out,), (a,), lambda x: (x + 1,))


def _scalar() -> Case:
    a, b = te.placeholder((4,), name="A"), te.placeholder((), name="B")
    k = te.reduce_axis((0, 4), "k")
    total = te.compute((), lambda: te.sum(a[k] * b[()], axis=k), name="total")
    return Case((te.compute((), lambda: total[()] + 1.0, name="C"),), (a, b), lambda x, y: ((x * y).sum() + 1,))


def _integers() -> Case:
    a, b = te.placeholder((20,), "int32", "A"), te.placeholder((20,), "int32", "B")
    out = te.compute(
        (20,), lambda i: te.if_then_else(b[i] < 5, (a[i] - 3) // b[i] + (a[i] - 2) % 4, a[i] * b[i]), name="C"
    )

    def reference(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray]:
        quotient = np.where(y == 0, 0, (x - 3) // np.where(y == 0, 1, y))
        return (np.where(y < 5, quotient + (x - 2) % 4, x * y),)

    return Case((out,), (a, b), reference)


def _copies() -> Case:
    a = te.placeholder((4,), name="A")
    b = te.compute((4,), lambda i: a[i] + 1.0, name="B")
    return Case((b, a, b), (a,), lambda x: (x + 1, x, x + 1))


CASES: dict[str, Case] = {
    "matmul": _matmul(), "float16": _half("float16"), "bfloat16": _half("bfloat16"), "matmul16": _matmul(dtype="float16"),
    "softmax": _softmax(), "argmax": _argmax(True), "argmax index": _argmax(False), "swap": _swap(),
    "two results": _two_results(), "two sums": _two_sums(), "conv": _conv(), "scan": _scan(1), "scan from 2": _scan(2),
    "cumulative": _cumulative(), "scatter": _scatter(None), "scatter sum": _scatter("sum"), "scatter max": _scatter("max"),
    "empty sum": _empty_sum(), "empty": _empty(), "scalar": _scalar(), "integers": _integers(), "copies": _copies(),
}  # fmt: skip
