"""Simulated caches: which accesses of a trace miss, the same on every machine.

In: `Accesses`, and caches, the nearest to the processor first. Out: for each of them, which accesses miss it. A cache has
sets of `ways` lines each; the line at address `a` belongs to set `a // line % sets`. A set holds the lines that were used
last (LRU). A store brings its line in as a load does (write-allocate). What misses one cache is looked for in the next.
A prefetch uses its line as a load does.

Buffers lie one after the other, as `Accesses` has them, each from a multiple of the longest line. A buffer of scope
`local` is registers: it has no address, and goes through no cache.

>>> missed(np.array([0, 64, 0, 128, 64, 0]), Cache(128, line=64, ways=None)).tolist()
[True, True, False, True, True, True]
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicc.errors import LoopError
from minicc.loop.accesses import Accesses
from minicc.tensor.evaluate import Array


@dataclass(frozen=True)
class Cache:
    """A cache of so many bytes, in lines of `line` bytes, in sets of `ways` lines; None is one set of all lines.

    Raises LoopError when these are no cache.
    """

    bytes: int
    line: int = 64
    ways: int | None = 8

    def __post_init__(self) -> None:
        numbers = [n for n in (self.bytes, self.line, self.ways) if n is not None]
        sound = all(isinstance(n, int) and n > 0 for n in numbers) and self.line % 8 == 0
        if not sound or self.bytes % (self.line * (self.ways or 1)):
            problem = "expected bytes that are a multiple of line times ways, and a line that is one of 8 bytes"
            hint = "Cache(32 << 10, line=64, ways=8), or ways=None for one set of all lines"
            raise LoopError("Cache(...)", f"{problem}, got {self.bytes}, {self.line}, {self.ways}", str(self), hint)

    @property
    def sets(self) -> int:
        return self.bytes // (self.line * self.ways) if self.ways else 1


def misses(accesses: Accesses, caches: Sequence[Cache]) -> list[Array]:
    """For each cache, of each access, whether it misses that cache and those before."""
    through = np.flatnonzero(np.array([b.scope != "local" for b in accesses.buffers], bool)[accesses.buffer])
    addresses, found = _addresses(accesses, max([1, *[c.line for c in caches]]))[through], list[Array]()
    for cache in caches:
        missing = missed(addresses, cache)
        through, addresses = through[missing], addresses[missing]
        found.append(np.zeros(len(accesses), bool))
        found[-1][through] = True
    return found


def _addresses(accesses: Accesses, line: int) -> Array:
    """Of each access; one to a register has none that means anything."""
    starts, end = list[int](), 0
    for b, shape in zip(accesses.buffers, accesses.shapes, strict=True):
        starts.append(end)
        end += 0 if b.scope == "local" else -(-int(np.prod(shape, dtype=object)) * b.dtype.bytes // line) * line
    width = np.array([b.dtype.bytes for b in accesses.buffers], np.int64)
    return np.asarray(np.array(starts, np.int64)[accesses.buffer] + accesses.element * width[accesses.buffer])


def missed(addresses: Array, cache: Cache) -> Array:
    """Of accesses to these addresses, in order, which ones miss a cache that is empty at the start."""
    lines = addresses // cache.line
    order = np.argsort((lines % cache.sets).astype(np.min_scalar_type(cache.sets)), kind="stable")  # set after set
    lines = lines[order]
    used = np.flatnonzero(np.diff(lines, prepend=-1))  # what a set used last, it has
    ways, missing = cache.ways or cache.bytes // cache.line, list[int]()
    held: OrderedDict[int, None] = (
        OrderedDict()
    )  # the latest lines; those of a set before go first, and are not asked for
    for at, line in zip(used.tolist(), lines[used].tolist(), strict=True):
        if line in held:
            held.move_to_end(line)
        else:
            missing.append(at)
            held[line] = None
            if len(held) > ways:
                held.popitem(last=False)
    found = np.zeros(len(addresses), bool)
    found[order[missing]] = True
    return found
