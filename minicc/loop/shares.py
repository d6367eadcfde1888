"""How a parallel loop is shared among threads: contiguous chunks, known before it runs.

In: a loop program. Out: for each of its outermost parallel loops, how many trips each of 2, 4, ... threads takes, and
the share of their time in which threads wait for the one with the most. It is what code generation does.

>>> partition(10, 4)
[range(0, 2), range(2, 5), range(5, 7), range(7, 10)]
>>> idle(10, 4)  # 3 trips take the time of 12
0.16666666666666663
>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> from minicc.schedule import Schedule
>>> x = te.placeholder((10, 8), name="x")
>>> y = te.compute((10, 8), lambda i, j: x[i, j] + 1.0, name="y", names=["i", "j"])
>>> s = Schedule(lower([y], [x, y], "add").program)
>>> s.parallel("i")
>>> print(shares(s.program, 4))
# parallel i: 10 trips; 2 threads take 5 each; 4 threads take 2 to 3 each, idle 16.7%
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.loop.ir import PARALLEL, For, Stmt, bodies
from minicc.loop.program import Program


def partition(extent: int, threads: int) -> list[range]:
    """The trips of each thread of a team, in order. No more threads than trips take part."""
    team = max(1, min(extent, threads))
    return [range(extent * n // team, extent * (n + 1) // team) for n in range(team)]


def idle(extent: int, threads: int) -> float:
    """The share of the time of all threads in which they do nothing, if trips take equally long."""
    most = max(map(len, partition(extent, threads)))
    return 1 - extent / (most * threads) if most else 0.0


def shares(program: Program, threads: int) -> str:
    """A line for each outermost parallel loop, for numbers of threads up to `threads`; empty if there is none."""
    counts = sorted({1 << n for n in range(1, threads.bit_length())} | {threads} - {1})
    return "\n".join(_line(loop, counts) for loop in _parallel(program.body))


def _line(loop: For, counts: list[int]) -> str:
    if not isinstance(loop.extent, int):
        return f"# parallel {loop.name}: {loop.extent} trips, in chunks that differ by one at most"
    parts = [f"{loop.extent} trip{'s' * (loop.extent != 1)}"]
    for threads in counts:
        sizes = sorted({len(chunk) for chunk in partition(loop.extent, threads)})
        each, waiting = " to ".join(map(str, sizes)), idle(loop.extent, threads)
        takes = f"{threads} threads take {each} each"
        if threads > loop.extent > 0:
            takes = f"of {threads} threads {loop.extent} take{'s' * (loop.extent == 1)} 1"
        parts.append(takes + (f", idle {waiting:.1%}" if waiting else ""))
    return f"# parallel {loop.name}: {'; '.join(parts)}"


def _parallel(s: Stmt) -> Iterator[For]:
    """The parallel loops that are inside of no other."""
    if isinstance(s, For) and s.kind == PARALLEL:
        yield s
        return
    for inner in bodies(s):
        yield from _parallel(inner)
