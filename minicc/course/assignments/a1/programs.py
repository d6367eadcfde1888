"""The programs of the puzzles, and what they cost.

Nothing here is to be changed: the grader has its own. `PUZZLES` holds for each puzzle its program, the primitives that it may use,
and which costs are counted; `costs` counts them:

- `loads`, `stores`, `misses`, `flops`: as `s.counts()` has them, for a cache of 32 lines of 64 bytes;
- `asked`: how often a condition is asked, of a guard or of a select;
- `rounds`: how often a statement runs, where a vectorized loop runs 8 of its iterations at once;
- `room`: elements of the buffers that the program has for itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

from minicc import te
from minicc.course.costs import asked, room, rounds
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.schedule import Schedule

CACHE = te.Cache(32 * 64, line=64, ways=None)


@dataclass(frozen=True)
class Puzzle:
    """A program of some sizes, the primitives that a trace may use, the costs that count, and the sizes of the visible test."""

    program: Callable[..., Program]
    primitives: tuple[str, ...]
    counted: tuple[str, ...]
    sizes: tuple[int, ...]


def costs(program, counted):
    """The costs of these names."""
    counts = Schedule(program).counts(caches=[CACHE])
    own = {"asked": asked, "rounds": rounds, "room": room}
    known = {"loads": counts.loads, "stores": counts.stores, "misses": counts.misses[0], "flops": counts.flops}
    return {name: known[name] if name in known else own[name](program.body) for name in counted}


def lowered(name, *tensors):
    """The naive program of the last tensor, which is computed from the others that are placeholders."""
    return lower([tensors[-1]], list(tensors), name).program


def sum_columns(rows, columns):
    A, i = te.placeholder((rows, columns), name="A"), te.reduce_axis((0, rows), name="i")
    return lowered("sum_columns", A, te.compute((columns,), lambda j: te.sum(A[i, j], axis=i), name="S"))


def turn(rows, columns):
    A = te.placeholder((rows, columns), name="A")
    return lowered("turn", A, te.compute((columns, rows), lambda i, j: A[j, i], name="T"))


def double(rows, columns):
    A = te.placeholder((rows, columns), name="A")
    return lowered("double", A, te.compute((rows, columns), lambda i, j: A[i, j] * 2.0, name="B"))


def smooth(n):
    A = te.placeholder((n,), name="A")

    def at(i):
        return te.if_then_else(te.all(i >= 0, i < n), A[i], 0.0)

    return lowered("smooth", A, te.compute((n,), lambda i: at(i - 1) + A[i] + at(i + 1), name="B"))


def frame(rows, columns):
    A = te.placeholder((rows, columns), name="A")
    edge = te.compute(
        (rows + 2, columns), lambda i, j: te.if_then_else(te.all(i >= 1, i < rows + 1), A[i - 1, j], 0.0), name="B"
    )
    return lowered("frame", A, edge)


def blur(rows, columns):
    A = te.placeholder((rows + 2, columns + 2), name="A")
    X = te.compute((rows + 2, columns), lambda y, x: A[y, x] + A[y, x + 1] + A[y, x + 2], name="X")
    return lowered("blur", A, te.compute((rows, columns), lambda i, j: X[i, j] + X[i + 1, j] + X[i + 2, j], name="B"))


def shift(rows, columns):
    A, k = te.placeholder((rows, columns), name="A"), te.reduce_axis((0, columns), name="k")
    M = te.compute((rows,), lambda r: te.max(A[r, k], axis=k), name="M")
    D = te.compute((rows, columns), lambda y, x: A[y, x] - M[y], name="D")
    return lowered("shift", A, te.compute((rows, columns), lambda i, j: te.exp(D[i, j]), name="E"))


def matmul(rows, columns, depth):
    A, B = te.placeholder((rows, depth), name="A"), te.placeholder((depth, columns), name="B")
    k = te.reduce_axis((0, depth), name="k")
    C = te.compute((rows, columns), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    return lowered("matmul", A, B, C)


def sum_rows(rows, columns):
    A, k = te.placeholder((rows, columns), name="A"), te.reduce_axis((0, columns), name="k")
    return lowered("sum_rows", A, te.compute((rows,), lambda i: te.sum(A[i, k], axis=k), name="S"))


PUZZLES = {
    "along_rows": Puzzle(sum_columns, ("reorder",), ("misses",), (64, 64)),
    "in_tiles": Puzzle(turn, ("split", "reorder"), ("misses",), (64, 64)),
    "whole_vectors": Puzzle(double, ("fuse", "split", "vectorize"), ("rounds", "asked"), (24, 12)),
    "calm_middle": Puzzle(smooth, ("partition_loop",), ("asked",), (64,)),
    "ask_once": Puzzle(frame, ("unswitch",), ("asked",), (16, 16)),
    "few_rows": Puzzle(blur, ("split", "reorder", "compute_at"), ("room", "flops"), (32, 16)),
    "nothing_between": Puzzle(shift, ("compute_inline",), ("loads", "stores", "room"), (8, 16)),
    "read_once": Puzzle(matmul, ("reorder", "cache_read", "compute_at"), ("loads", "room"), (12, 16, 20)),
    "in_a_register": Puzzle(sum_rows, ("cache_write", "compute_at"), ("loads", "stores", "room"), (16, 24)),
    "eight_sums": Puzzle(sum_rows, ("split", "rfactor", "reorder", "vectorize", "compute_at"), ("rounds",), (3, 128)),
    "register_tile": Puzzle(
        matmul,
        ("split", "reorder", "cache_write", "cache_read", "compute_at"),
        ("loads", "stores", "room"),
        (16, 16, 16),
    ),
}
