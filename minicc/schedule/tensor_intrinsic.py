"""Tensor intrinsics: small pieces of work that are known to be done well in one way.

In: what one means, a naive loop nest, and an implementation, any loop program over buffers of the
same shapes. Both are programs, so both print, verify and run, and a declaration runs them side by
side. Out: a name in `TENSOR_INTRINSICS`, by which `tensorize` replaces nests that mean the same.

>>> from minicc.schedule.step import loops_text
>>> print(loops_text(TENSOR_INTRINSICS["gemv_4x4_float32"].meaning))
for i in range(4):
    for k in range(4):
        if first(k):
            y[i] = 0.0
        y[i] = y[i] + w[i, k]*x[k]
>>> print(loops_text(TENSOR_INTRINSICS["gemv_4x4_float32"].implementation))
for k in unroll(4):
    for i in vectorize(4):
        if first(k):
            y[i] = 0.0
        y[i] = y[i] + w[i, k]*x[k]
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minicc.errors import LoopError, ScheduleError
from minicc.loop.combiner import combiner_of
from minicc.loop.ir import UNROLL, VECTORIZE, Alloc, Buffer, For, Stmt, Store, Update, seq
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.loop.queries import all_reads, targets, writes
from minicc.loop.verify import verify
from minicc.tensor.expr import Combiner, Expr, Var, const
from minicc.types import float32

TRIALS = 3  # random inputs on which a declaration compares both programs


@dataclass(frozen=True)
class TensorIntrinsic:
    """`implementation` computes what `meaning` says; the buffers of both correspond by position."""

    name: str
    meaning: Program
    implementation: Program

    @cached_property
    def accumulates(self) -> bool:
        """Whether the implementation adds to its output, so that a reduction may go on around it."""
        combiner = _combiner(self.meaning)
        return combiner is not None and combiner is _combiner(self.implementation)


TENSOR_INTRINSICS: dict[str, TensorIntrinsic] = {}


def declare_intrinsic(name: str, meaning: Program, implementation: Program) -> TensorIntrinsic:
    """Make `implementation` known as one way to compute `meaning`, a single loop nest, for `tensorize`.

    Raises ScheduleError when the two do not compute the same, or the name is taken by another.
    """
    intrinsic = TensorIntrinsic(name, meaning, implementation)
    for problem, where, hint in itertools.chain(_objections(intrinsic), _differences(intrinsic)):
        raise ScheduleError(f"declare_intrinsic({name!r}, ...)", problem, str(where), hint)
    return TENSOR_INTRINSICS.setdefault(name, intrinsic)


Objection = tuple[str, Program | str, str]  # a problem, where it shows, and a hint


def _objections(intrinsic: TensorIntrinsic) -> Iterator[Objection]:
    """The programs are sound, of constant shapes that correspond, and the meaning is one nest; or why not."""
    name, meaning, implementation = intrinsic.name, intrinsic.meaning, intrinsic.implementation
    if not name.isidentifier():
        yield "expected a name made of letters, digits and _", meaning, 'for example "gemv_4x4"'
    if not isinstance(meaning.body, For):
        hint = "a meaning has no buffers of its own, and one statement"
        yield "expected one loop nest as its meaning, got something around it", meaning, hint
    for unused in [b.name for b in meaning.params if not all_reads(meaning.body, b)]:
        problem = f"expected a meaning that reads all of its inputs, got none of {unused}"
        yield problem, meaning, f"leave {unused} out of its parameters, or use it"
    mine, other = ([[b.type for b in part] for part in (p.params, p.outputs)] for p in (meaning, implementation))
    if mine != other:
        got = ", ".join(map(repr, (*implementation.params, *implementation.outputs)))
        problem = f"expected an implementation over buffers like those of its meaning, got {got}"
        yield problem, meaning, "the same dtypes and shapes, in the same order"
    for b in (*meaning.params, *meaning.outputs):
        if any(isinstance(d, Expr) for d in b.shape):
            hint = "declare one for each size; split makes nests of that size"
            yield f"expected constant shapes, got {b}", meaning, hint
    for program in (meaning, implementation):
        try:
            verify(program)
        except LoopError as error:
            yield error.problem, error.where, error.hint
    if TENSOR_INTRINSICS.get(name, intrinsic) != intrinsic:
        problem = "expected a name that is not taken, got that of another intrinsic"
        yield problem, TENSOR_INTRINSICS[name].meaning, "choose another name"


def _differences(intrinsic: TensorIntrinsic) -> Iterator[Objection]:
    """What the programs compute differently of random small integers, which are exact in every dtype."""
    rng = np.random.default_rng(0)
    for _ in range(TRIALS):
        inputs = [np.asarray(rng.integers(0, 5, b.shape)).astype(b.dtype.numpy) for b in intrinsic.meaning.params]
        results = []
        for program in (intrinsic.meaning, intrinsic.implementation):
            results.append([np.zeros(b.shape, b.dtype.numpy) for b in program.outputs])
            run_python(program, *inputs, *results[-1])
        for buffer, want, got in zip(intrinsic.meaning.outputs, *results, strict=True):
            if not np.allclose(got.astype(np.float64), want.astype(np.float64), rtol=1e-3, equal_nan=True):
                values = f"{want.ravel()[:4]}..., got {got.ravel()[:4]}..."
                problem = f"expected the implementation to compute {buffer.name} as its meaning does, {values}"
                yield problem, intrinsic.implementation, "run both with minicc.loop.python.run_python on small arrays"


def _combiner(program: Program) -> Combiner | None:
    """How the one output of a program is accumulated, when nothing but reductions writes it."""
    outer = [w for w in writes(program.body) if set(targets(w)) & set(program.outputs)]
    found = {combiner_of(w) if isinstance(w, Update) else None for w in outer}
    return found.pop() if len(found) == 1 and len(program.outputs) == 1 else None


# ---- those that are always there


def _gemv(n: int) -> TensorIntrinsic:
    """A matrix of n x n by a vector, a column at a time."""
    w, x, y = Buffer("w", float32, (n, n)), Buffer("x", float32, (n,)), Buffer("y", float32, (n,))
    i, k = Var("i"), Var("k")
    step = Update((y,), (i,), (y[i] + w[i, k] * x[k],), (const(0.0, float32),), (k,))
    name = f"gemv_{n}x{n}_float32"
    meaning, fast = For(i, n, For(k, n, step)), For(k, n, For(i, n, step, VECTORIZE), UNROLL)
    return TensorIntrinsic(name, Program(name, (w, x), (y,), meaning), Program(name, (w, x), (y,), fast))


def _dot(lanes: int) -> TensorIntrinsic:
    """The scalar product of two vectors: all products at once, then sums of halves."""
    a, b, c = Buffer("a", float32, (lanes,)), Buffer("b", float32, (lanes,)), Buffer("c", float32, ())
    products, k, zero = Buffer("products", float32, (lanes,), "local"), Var("k"), (const(0.0, float32),)
    meaning = For(k, lanes, Update((c,), (), (c[()] + a[k] * b[k],), zero, (k,)))
    steps: list[Stmt] = [For(k, lanes, Store(products, (k,), a[k] * b[k]), VECTORIZE)]
    half = lanes // 2
    while half:
        lane = Var(f"lane_{half}")
        steps.append(For(lane, half, Store(products, (lane,), products[lane] + products[lane + half]), VECTORIZE))
        half //= 2
    steps.append(Update((c,), (), (c[()] + products[0],), zero, ()))
    name = f"dot_{lanes}_float32"
    fast = Alloc(products, seq(*steps))
    return TensorIntrinsic(name, Program(name, (a, b), (c,), meaning), Program(name, (a, b), (c,), fast))


TENSOR_INTRINSICS.update({made.name: made for made in (_gemv(4), _dot(4), _dot(16))})
