"""Counted costs: the loads, stores, operations and cache misses of a loop program, the same on every machine.

In: a program, sizes, and caches. Out: `Counts`, which print as a table. All can be worked out by hand:

- A *load* or a *store* is an element that is read or written, as the program runs as Python, in the order that
  `loop.accesses` tells: what a statement has twice it evaluates once, a select reads what it takes, an update also stores its
  initial values, at its first step. Totals are of memory (scopes `global` and `shared`); buffers of scope `local` are
  registers, and have rows of their own.
- A *flop* is an operator or a function that makes a float: `+`, `maximum` and `exp` are one each, an `fma` two. Comparisons,
  selects, conversions and integers are none, so that indices cost nothing; only a sum of products of bytes counts, as
  `loop.cost` has it, whose `operations` no count is below. What happens in an extern call is not seen.
- A *trip* is an iteration of any loop.
- A *miss* is a load or a store of a line that a simulated cache does not have (`loop.caches`); misses of the first cache
  go to the second. A prefetch is no load, and misses nothing; what it brings is `prefetched`, and misses no more.

A product of 16 x 16 matrices, of which each row is a line, in a cache of 16 lines. As it is written, each element of C
takes all 16 lines of a column of B. With one of A and one of C they are 17, so that the one that is used next has always gone:
16 * 16 * 16 misses of B, and one for each row of A and C. With k in two halves outside, the 8 lines of B that a half
takes stay, for one miss each; all the rows of A and C pass by in each half, for 2 * 16 misses each.

>>> from minicc import te
>>> from minicc.schedule.examples import schedule
>>> A, B, k = te.placeholder((16, 16), name="A"), te.placeholder((16, 16), name="B"), te.reduce_axis((0, 16), "k")
>>> s = schedule(A, B, te.compute((16, 16), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C"))
>>> cache = Cache(1024, line=64, ways=None)
>>> count(s.program, caches=[cache])
           loads  stores  misses
  A        4,096       0      16
  B        4,096       0   4,096
  C        4,096   4,352      16
  memory  12,288   4,352   4,128
8,192 flops, 4,368 trips
>>> outer, inner = s.split("k", factor=8)
>>> s.reorder(outer, "i", "j", inner)
>>> count(s.program, caches=[cache]).misses
(80,)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from minicc.errors import LoopError
from minicc.loop.accesses import LIMIT, Accesses, accesses, buffers_in
from minicc.loop.caches import Cache, misses
from minicc.loop.marks import HINT, LOAD, STORE
from minicc.loop.program import Program
from minicc.loop.totals import Totals, totals
from minicc.tensor.evaluate import Array

CACHES = (Cache(32 << 10),)  # the first one of many processors


@dataclass(frozen=True)
class BufferCounts:
    """Loads, stores and misses of one buffer; one miss count for each cache."""

    name: str
    scope: str
    loads: int
    stores: int
    misses: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Counts:
    """What a program costs, as the module defines it. Totals are of memory: of buffers that are not of scope `local`."""

    buffers: tuple[BufferCounts, ...]
    flops: int
    trips: int
    prefetched: tuple[int, ...]  # lines that prefetches bring into each cache

    @property
    def memory(self) -> BufferCounts:
        """The sum over all buffers in memory."""
        return self._sum("memory", [b for b in self.buffers if b.scope != "local"])

    @property
    def local(self) -> BufferCounts:
        """The sum over all buffers in registers."""
        return self._sum("local", [b for b in self.buffers if b.scope == "local"])

    @property
    def loads(self) -> int:
        """Elements read from memory."""
        return self.memory.loads

    @property
    def stores(self) -> int:
        """Elements written to memory."""
        return self.memory.stores

    @property
    def misses(self) -> tuple[int, ...]:
        """Loads and stores that miss each cache."""
        return self.memory.misses

    def _sum(self, name: str, rows: Sequence[BufferCounts]) -> BufferCounts:
        by_cache = zip(*[b.misses for b in rows], strict=True) if rows else [[0]] * len(self.prefetched)
        return BufferCounts(
            name, name, sum(b.loads for b in rows), sum(b.stores for b in rows), tuple(map(sum, by_cache))
        )

    def as_json(self) -> dict[str, Any]:
        """All numbers, for `json.dumps`."""
        return {
            **{name: getattr(self, name) for name in ("loads", "stores", "misses", "flops", "trips", "prefetched")},
            "local": {"loads": self.local.loads, "stores": self.local.stores},
            "buffers": [asdict(b) for b in self.buffers],
        }

    def __str__(self) -> str:
        caches = range(1, 1 + len(self.prefetched))
        head = ["", "loads", "stores", *(["misses"] if len(caches) == 1 else [f"misses of L{n}" for n in caches])]
        rows = [[_label(b), *[f"{n:,}" for n in (b.loads, b.stores, *b.misses)]] for b in (*self.buffers, self.memory)]
        first, *others = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = ["".join([f"  {name:<{first}}", *[f"  {cell:>{n}}" for cell, n in zip(cells, others, strict=True)]])
                 for name, *cells in (head, *rows)]  # fmt: skip
        brought = [f", {n:,} lines prefetched into L{c}" for c, n in zip(caches, self.prefetched, strict=True) if n]
        return "\n".join([*lines, f"{self.flops:,} flops, {self.trips:,} trips{''.join(brought)}"])

    __repr__ = __str__


def _label(b: BufferCounts) -> str:
    return f"{b.name} ({b.scope})" if b.scope in ("local", "shared") else b.name


def count(
    program: Program,
    sizes: Mapping[Any, int] | None = None,
    caches: Sequence[Cache] = CACHES,
    arrays: Sequence[Array] | None = None,
    limit: int = LIMIT,
) -> Counts:
    """What a run of a loop program costs; `sizes`, `arrays`, `limit` and what is raised are those of `accesses`.

    `caches` are empty at the start, and the first one is the nearest to the processor. Without any, a program may be of any
    size, unless data decide what it touches (`loop.totals`).
    """
    _check(program, sizes, caches, arrays, limit)
    known = None if caches else totals(program, sizes, limit)
    return counted(accesses(program, sizes, arrays, limit), caches) if known is None else _summed(program, known)


def _check(program: Program, sizes: Any, caches: Any, arrays: Any, limit: Any) -> None:
    """Raise LoopError for an argument of another kind."""
    wanted = (
        ("sizes", sizes, sizes is None or isinstance(sizes, Mapping), "a number for each size, {'n': 8}"),
        ("caches", caches, isinstance(caches, (list, tuple)) and all(isinstance(c, Cache) for c in caches), "a list of caches, [Cache(32768)]"),
        ("arrays", arrays, arrays is None or isinstance(arrays, (list, tuple)), "a list of arrays, one for each input"),
        ("limit", limit, isinstance(limit, int), "a number of accesses, 1_000_000"),
    )  # fmt: skip
    for name, given, fits, hint in wanted:
        if not fits:
            problem = f"expected {name} to be {hint.partition(',')[0]}, got {repr(given)[:80]}"
            raise LoopError(f"count({program.name})", problem, str(program), f"{name} is {hint}")


def _summed(program: Program, known: Totals) -> Counts:
    """The counts of a program of these totals."""
    rows = zip(buffers_in(program), known.loads, known.stores, strict=True)
    return Counts(tuple(BufferCounts(b.name, b.scope, n, m, ()) for b, n, m in rows), known.flops, known.trips, ())


def counted(trace: Accesses, caches: Sequence[Cache] = CACHES) -> Counts:
    """What the run costs whose accesses these are."""
    missing = misses(trace, caches)

    def by_buffer(which: Array) -> list[int]:
        return list(map(int, np.bincount(trace.buffer[which], minlength=len(trace.buffers))))

    loads, stores = by_buffer(trace.kind == LOAD), by_buffer(trace.kind == STORE)
    by_cache = [by_buffer(m & (trace.kind != HINT)) for m in missing]
    rows = [
        BufferCounts(b.name, b.scope, loads[n], stores[n], tuple(found[n] for found in by_cache))
        for n, b in enumerate(trace.buffers)
    ]
    prefetched = tuple(int(np.count_nonzero(m & (trace.kind == HINT))) for m in missing)
    return Counts(tuple(rows), trace.flops, trace.trips, prefetched)
