"""The exercises of lesson 8, keep it or compute it again: steps are taken on a fresh schedule, and counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicc.course.exercise import called, equals, exercise, expect, number, WrongAnswer
from minicc.loop.caches import Cache
from minicc.loop.counts import BufferCounts, Counts
from minicc.loop.ir import Alloc, walk
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.schedule.schedule import Schedule

Fresh = Callable[[], Schedule]


def kept(program: Program) -> int:
    """The bytes of all buffers that a program has for itself."""
    buffers = [s.buffer for s in (program.body, *walk(program.body)) if isinstance(s, Alloc)]
    return sum(math.prod(b.shape) * b.dtype.bytes for b in dict.fromkeys(buffers))


def tried(answer: Callable[..., Any], fresh: Fresh) -> Schedule:
    """The schedule after the steps of an answer, which still computes the same."""
    s = fresh()
    called(answer, s)
    verify(s.program)
    expect(len(s.trace) > 0, "no step was taken")
    draw = np.random.default_rng(0)
    inputs = [draw.integers(0, 9, b.shape).astype(np.float32) for b in s.program.params]
    wanted, got = (np.empty(s.program.outputs[0].shape, np.float32) for _ in range(2))
    run_python(s.start, *inputs, wanted)
    run_python(s.program, *inputs, got)
    expect(np.array_equal(got, wanted), "the numbers have changed: please report it, as no step may do so")
    return s


@exercise
def ex1(answer: Any) -> str:
    """How many additions do strips of 16 rows take, of 64?"""
    given, rows, columns, strip = number(answer), 64, 16, 16
    strips = rows // strip
    of_b, of_c = 2 * columns * (strip + 2) * strips, 2 * rows * columns
    slips = {
        of_c
        + 2 * columns * (rows + 2): "so many are needed if nothing is computed twice; but strips share 2 rows of B",
        of_b: "these are the additions of B; C has its own",
        (of_b + of_c) // strips: f"this is one strip; there are {strips}",
        (of_b + of_c) // 2: "this is how many elements there are; each takes two additions",
        of_c + 2 * columns * 6 * (rows // 4): "these would be strips of 4 rows",
    }
    parts = f"{strips} strips of {strip + 2} rows of B and {strip} of C"
    equals(given, of_b + of_c, slips, f"{parts}, with two additions for each element; got {given}")
    return f"{strips} strips of {strip + 2} rows of B: of its {rows + 2} rows, {2 * (strips - 1)} are computed twice"


@exercise
def ex2(answer: Callable[..., Any], fresh: Fresh) -> str:
    """Compute nothing twice, and keep at most 100 bytes of B."""
    s, least = tried(answer, fresh), fresh().counts(caches=[]).flops
    flops, size = s.counts(caches=[]).flops, kept(s.program)
    if size == 0:
        raise WrongAnswer(f"nothing is kept, so {flops - least:,} additions are done again")
    if flops > least and size <= 100:
        raise WrongAnswer(
            f"{size} bytes are few, but {flops - least:,} additions are done again: which neighbours share elements?"
        )
    expect(flops == least, f"{flops - least:,} additions are done again, and {size} bytes are kept")
    expect(size <= 100, f"nothing is computed twice, but {size:,} bytes are kept; one *column* of B has {4 * 18}")
    cache = Cache(1 << 10, line=32, ways=None)
    before, after = (one.counts(caches=[cache]).misses[0] for one in (fresh(), s))
    return f"columns of C share nothing of B. It costs {after} misses in place of {before}: A is read along its columns"


@exercise
def ex3(answer: Callable[..., Any], fresh: Fresh, cache: Cache) -> str:
    """At most 400 bytes, at most 1,200 additions, fewer than 80 misses."""
    s = tried(answer, fresh)
    counts, size = s.counts(caches=[cache]), kept(s.program)
    misses = counts.misses[0]
    got = f"{size:,} bytes, {counts.flops:,} additions, {misses} misses"
    expect(counts.flops <= 1200, f"{got}: too much is computed again, so the pieces have to be higher")
    expect(size <= 400, f"{got}: too much is kept, so the pieces have to be smaller")
    if misses < 80:
        return f"{got}: the piece is in registers, as wide as a line of the cache, and A has the cache for itself"
    b, line = next(s.buffer for s in walk(s.program.body) if isinstance(s, Alloc)), cache.line // 4
    why = "what a piece reads of A has gone when the next piece wants it: in which order do they come?"
    if b.shape[-1] < line:
        why = f"a line of the cache has {line} numbers, and a piece wants {b.shape[-1] + 2} of A: wider pieces use more of each line"
    elif b.scope != "local":
        why = "the pieces of B go through the cache, too, and what is needed of A makes way: where else can so few numbers be?"
    raise WrongAnswer(f"{got}: {why}")


@exercise
def ex4(answer: Callable[..., Any], fresh: Fresh) -> str:
    """Load A and B 64 times each, store C 64 times and never load it."""
    s = tried(answer, fresh)
    counts = s.counts(caches=[])
    a, b, c = (_of(counts, name) for name in "ABC")
    for one in (a, b):
        if one.loads > 64 and f'"{one.name}"' not in str(s.trace):
            raise WrongAnswer(f"{one.name} is loaded {one.loads} times: nobody made a copy of it")
        if one.loads > 64:
            raise WrongAnswer(
                f"{one.name} is loaded {one.loads} times: its copy is made anew in a loop that does not need it"
            )
    if c.loads:
        raise WrongAnswer(
            f"C is loaded {c.loads} times: each addition reads the sum so far, unless cache_write keeps that elsewhere"
        )
    expect(c.stores == 64, f"C is stored {c.stores} times, 64 are enough")
    expect(a.loads == b.loads == 64, f"A is loaded {a.loads} times and B {b.loads} times")
    local = [one.name for one in counts.buffers if one.scope == "local"]
    fit = f"whether {', '.join(local)} fit into registers is another matter"
    touched = sum(one.loads + one.stores for one in (a, b, c))
    return f"A, B and C are touched {touched} times; {fit if local else 'their copies lie in memory, too'}"


def _of(counts: Counts, name: str) -> BufferCounts:
    return next(b for b in counts.buffers if b.name == name)
