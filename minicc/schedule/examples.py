"""Small schedules, on which the files of the primitives show what they do: lines that go, and lines that come.

>>> from minicc.schedule.unroll import UnrollStep
>>> show(doubled(8), UnrollStep("i"))
- for i in range(8):
+ for i in unroll(8):
      B[i] = A[i]*2.0
"""

from __future__ import annotations

import difflib

from minicc import tensor as te
from minicc.loop.lower import lower
from minicc.schedule.schedule import Schedule
from minicc.schedule.step import Step, loops_text
from minicc.tensor.tensor import Tensor


def show(s: Schedule, *steps: Step) -> None:
    """Print the program of a schedule, with what some steps take away and what they add."""
    before = loops_text(s.program).splitlines()
    for step in steps:
        s.apply(step)
    _, _, _, *lines = difflib.unified_diff(before, loops_text(s.program).splitlines(), n=len(before))
    print(*[f"{line[0]} {line[1:]}" for line in lines], sep="\n")


def schedule(*tensors: Tensor) -> Schedule:
    """A schedule of the last tensor, which is computed from the others."""
    return Schedule(lower([tensors[-1]], tensors, "example").program)


def doubled(*shape: int) -> Schedule:
    """B = 2 A, of one or two dimensions."""
    A = te.placeholder(shape, name="A")
    values = (lambda i: A[i] * 2.0) if len(shape) == 1 else (lambda i, j: A[i, j] * 2.0)
    return schedule(A, te.compute(shape, values, name="B"))


def row_sums(rows: int, columns: int) -> Schedule:
    """B is the sum of each row of A."""
    A, k = te.placeholder((rows, columns), name="A"), te.reduce_axis((0, columns), name="k")
    return schedule(A, te.compute((rows,), lambda i: te.sum(A[i, k], axis=k), name="B"))


def in_a_row(n: int) -> Schedule:
    """T = 2 A, and B = T + 1."""
    A = te.placeholder((n,), name="A")
    T = te.compute((n,), lambda i: A[i] * 2.0, name="T")
    return schedule(A, te.compute((n,), lambda j: T[j] + 1.0, name="B"))


def transposed(n: int, m: int) -> Schedule:
    """T is a copy of A, and B is T transposed."""
    A = te.placeholder((n, m), name="A")
    T = te.compute((n, m), lambda i, j: A[i, j], name="T")
    return schedule(A, te.compute((m, n), lambda k, l: T[l, k], name="B"))  # noqa: E741 - the name of a loop


def product(rows: int, depth: int) -> Schedule:
    """C = A B, a matrix by a vector."""
    A, B = te.placeholder((rows, depth), name="A"), te.placeholder((depth,), name="B")
    k = te.reduce_axis((0, depth), name="k")
    return schedule(A, B, te.compute((rows,), lambda i: te.sum(A[i, k] * B[k], axis=k), name="C"))


def smoothed(n: int) -> Schedule:
    """B sums up three neighbours in A, which has none beyond its ends."""
    A, k = te.placeholder((n,), name="A"), te.reduce_axis((0, 3), name="k")

    def near(i: te.Expr) -> te.Expr:
        return te.if_then_else(te.all(i + k >= 1, i + k < n + 1), A[i + k - 1], 0.0)

    return schedule(A, te.compute((n,), lambda i: te.sum(near(i), axis=k), name="B"))
