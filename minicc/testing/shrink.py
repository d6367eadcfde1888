"""Delta debugging: from a case that fails to a small one that fails in the same way.

In: a case, the changes that may make it smaller, and what accepts a candidate. Out: ever smaller cases. What a case
is, a graph with arrays or the steps of a schedule, only the changes know.

>>> halves = lambda text: (text[: len(text) // 2], text[len(text) // 2 :])
>>> list(shrink("aabxaaaa", [halves], lambda case, best: case if "x" in case and len(case) < len(best) else None))
['aabx', 'bx', 'x']

Source of the method: Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
C = TypeVar("C")


def shrink(best: T, changes: Sequence[Callable[[T], Iterable[C]]], accept: Callable[[C, T], T | None]) -> Iterator[T]:
    """Each smaller case that is found, until no change gives another one.

    A change gives candidates, the boldest first; `accept(candidate, best)` is the case that it makes, if that still fails
    and is smaller than `best`. A change is tried again for as long as it helps.
    """
    before = None
    while best is not before:
        before = best
        for change in changes:
            found: T | None = best
            while found is not None:
                found = next((made for c in change(best) if (made := accept(c, best)) is not None), None)
                if found is not None:
                    best = found
                    yield best
