"""Measured latencies as pictures and a page: for each model a bar for each peer, one table, and the kernels of ours.

In: `BenchResult`s of `minicc.testing.bench`, and profiles of ours where there are any. Out: a `Picture` of one model, or `Measurements` of all.

    report(results, {"resnet50": profile(exe, arrays)}).save("bench.html")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minicc.explain import draw_profile
from minicc.explain.draw_bars import Bar, bars
from minicc.explain.page import paragraph, section, table
from minicc.explain.picture import Picture, amount, count
from minicc.explain.report import Measurements, details
from minicc.runtime.profile import Profile
from minicc.testing.bench import OURS, BenchResult, columns, rows

KINDS = [("c1", OURS), ("c2", "another")]


def draw(result: BenchResult) -> Picture:
    """A bar for each peer, the fastest first."""
    timings = sorted((t for t in result.timings if t.seconds), key=lambda t: t.median)
    shown = [
        Bar(t.peer, t.median, f"{amount(t.median, 's')} ±{t.spread:.0%}, built in {amount(t.build, 's')}", "c1" if t.peer == OURS else "c2")
        for t in timings
    ]  # fmt: skip
    return bars(title(result), shown, KINDS)


def title(result: BenchResult) -> str:
    return f"{result.model}, batch {result.batch}, {count(result.threads, 'thread')}"


def report(
    results: Sequence[BenchResult], kernels: Mapping[str, Profile] | None = None, record: Any = None
) -> Measurements:
    """The report of all results, and of our kernels by the name of a model. `record` is what JSON has."""
    processors = ", ".join(dict.fromkeys(r.processor for r in results))
    words = (
        f"{processors}. Medians in milliseconds, ± half the distance of the quartiles; peers take turns. "
        "Ratio: the fastest other's time by ours; above 1 we are ahead."
    )
    sections = [(title(r), draw(r)) for r in results]
    more = [section("All figures", table(["model", "batch", "threads", *columns(results), "ratio"], rows(results)))]
    more += [paragraph(note, "note") for note in dict.fromkeys(r.note for r in results if r.note)]
    more += [paragraph(f"{r.model}: no {t.peer}: {t.problem}", "note") for r in results for t in r.timings if t.problem]
    for name, found in (kernels or {}).items():
        shown = draw_profile.pictures(found)
        sections += [(f"{name}: {heading}", picture) for heading, picture, *_ in shown.sections]
        more += [section(f"{name}: where the time goes", paragraph(shown.words), *details(found))]
    return Measurements("Latency beside peers", words, sections, more, record or [r.record() for r in results])
