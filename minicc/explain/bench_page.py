"""A page of measured latencies: for each model bars of all peers, and one table; it needs no server and no script.

In: `BenchResult`s of `minicc.testing.bench`, and the kernels of ours where they were profiled. Out: the text of an HTML file, or of an SVG
picture of one model. A bar has its number beside it, so that colours say nothing that words do not: ours is dark and hatched, the others plain.

    write_file(Path("bench.html"), page(results).encode())
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from minicc.testing.bench import OURS, BenchResult, columns

WIDTH, ROW, LABEL, NUMBER = 760, 22, 120, 210  # of a chart: pixels; of a bar; of the names; of what stands behind a bar
CHART, PLOT = 300, 44  # height of a roofline; its margin
STYLE = """
  :root { color-scheme: light dark; --ink: #1d2430; --paper: #ffffff; --grey: #6b7380; --line: #c3cad6; --ours: #0b5cad; --other: #9aa5b5; }
  @media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #14181f; --grey: #9aa3b2; --line: #3a4250; --ours: #5aa9f5; --other: #5d6878; } }
  body { font: 15px/1.45 "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; color: var(--ink); background: var(--paper); max-width: 1080px; margin: 2em auto; padding: 0 1em; }
  table { border-collapse: collapse; display: block; overflow-x: auto; } td, th { padding: .2em .7em; text-align: right; border-bottom: 1px solid var(--line); }
  td:first-child, th:first-child { text-align: left; } .ahead { font-weight: bold; } .note { color: var(--grey); }
  svg { max-width: 100%; height: auto; } svg text { font: 13px "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; fill: var(--ink, #1d2430); }
  .ours { fill: var(--ours, #0b5cad); } .other { fill: var(--other, #9aa5b5); } .axis { stroke: var(--grey, #6b7380); fill: none; }
  @media print { body { max-width: none; } h2 { break-after: avoid; } svg { break-inside: avoid; } }
"""


class Dot(NamedTuple):
    """A kernel in the roofline: its operations, bytes and seconds, over all its calls, and its share of the limit.

    `effective` are the operations of the direct computation that it stands for, where it executes others.
    """

    name: str
    calls: int
    flops: int
    bytes: int
    seconds: float
    share: float
    effective: int = 0


class Kernels(NamedTuple):
    """The kernels of one executable, the slowest first, and the limits of the machine: FLOP/s, and bytes/s of its memory."""

    rows: Sequence[Dot]
    peak: float
    bandwidth: float


def page(results: Sequence[BenchResult], kernels: Mapping[str, Kernels] | None = None) -> str:
    """The HTML text."""
    processors = ", ".join(dict.fromkeys(r.processor for r in results))
    notes = "".join(f"<p class='note'>{escape(note)}</p>" for note in dict.fromkeys(r.note for r in results if r.note))
    charts = "".join(f"<h2>{escape(title(r))}</h2>\n{bars(r)}\n" for r in results)
    parts = "".join(
        f"<h2>Kernels of {escape(name)}</h2>\n{roofline(k)}\n{_kernel_table(k)}" for name, k in (kernels or {}).items()
    )
    return (
        f"<!doctype html>\n<html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>\n"
        f"<title>minicc bench</title>\n<style>{STYLE}</style>\n<h1>Latency beside peers</h1>\n"
        f"<p>{escape(processors)}. Medians in milliseconds, ± half the distance of the quartiles; peers take turns. "
        f"<i>Ratio</i>: the fastest other's time by ours; above 1 we are ahead.</p>\n{notes}{_table(results)}\n{charts}{parts}</html>\n"
    )


def title(result: BenchResult) -> str:
    return f"{result.model}, batch {result.batch}, {result.threads} thread{'s' * (result.threads > 1)}"


def _table(results: Sequence[BenchResult]) -> str:
    names = columns(results)
    head = "".join(f"<th>{escape(n)}</th>" for n in ("model", "batch", "threads", *names, "ratio"))
    lines = []
    for r in results:
        cells = [f"<td>{_milliseconds(r, peer)}</td>" for peer in names]
        kind = " class='ahead'" if r.ratio > 1 else ""
        lines.append(
            f"<tr><td>{escape(r.model)}</td><td>{r.batch}</td><td>{r.threads}</td>{''.join(cells)}<td{kind}>{r.ratio:.2f}</td></tr>"
        )
    return f"<table><tr>{head}</tr>\n{chr(10).join(lines)}</table>"


def _milliseconds(result: BenchResult, peer: str) -> str:
    found = result.of(peer)
    return f"{found.median * 1e3:.2f} <span class='note'>±{found.spread:.0%}</span>" if found else "-"


def bars(result: BenchResult) -> str:
    """An SVG picture: a bar for each peer, the fastest first."""
    timings = sorted((t for t in result.timings if t.seconds), key=lambda t: t.median)
    most = max((t.median for t in timings), default=1.0)
    lines = []
    for n, t in enumerate(timings):
        wide, y = (WIDTH - LABEL - NUMBER) * t.median / most, n * ROW
        kind = "ours" if t.peer == OURS else "other"
        lines.append(
            f"<text x='{LABEL - 8}' y='{y + 15}' text-anchor='end'>{escape(t.peer)}</text>"
            f"<rect class='{kind}' x='{LABEL}' y='{y + 3}' width='{wide:.1f}' height='{ROW - 6}'/>"
            f"<text x='{LABEL + wide + 6:.1f}' y='{y + 15}'>{t.median * 1e3:.2f} ms, built in {t.build:.1f} s</text>"
        )
    words = "; ".join(f"{t.peer} {t.median * 1e3:.2f} ms" for t in timings)
    return _svg(f"{title(result)}: {words}", WIDTH, max(len(timings), 1) * ROW, lines)


def _svg(words: str, width: int, height: int, lines: Sequence[str]) -> str:
    text = "\n".join(lines)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' role='img' aria-label='{escape(words, True)}'>"
        f"<title>{escape(words)}</title>\n{text}\n</svg>"
    )


def picture(result: BenchResult) -> str:
    """`bars` as a file of its own, with its title and colours."""
    own = "text { font: 13px 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: #1d2430; } .ours { fill: #0b5cad; } .other { fill: #9aa5b5; }"
    head, height = (
        f"<text x='8' y='18' font-weight='bold'>{escape(title(result))}</text>",
        max(len(result.timings), 1) * ROW,
    )
    lines = [
        f"<style>{own}</style><rect width='100%' height='100%' fill='#ffffff'/>",
        head,
        f"<g transform='translate(0 {ROW + 6})'>",
        bars(result),
        "</g>",
    ]
    return _svg(title(result), WIDTH, height + ROW + 6, lines)


def roofline(kernels: Kernels) -> str:
    """A dot for each kernel: operations a byte, and operations a second, below what the machine allows. Both axes are logarithmic."""
    rows = [k for k in kernels.rows if k.flops and k.bytes and k.seconds]
    intensity = [k.flops / k.bytes for k in rows] or [1.0]
    low, high = math.log10(min(*intensity, 0.1)), math.log10(max(*intensity, 100.0))
    top, bottom = math.log10(kernels.peak * 1.5), math.log10(kernels.peak / 1000)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low) / (high - low)
        up = (min(max(math.log10(y), bottom), top) - bottom) / (top - bottom)
        return PLOT + across * (WIDTH - 2 * PLOT), CHART - PLOT - up * (CHART - 2 * PLOT)

    ridge = kernels.peak / kernels.bandwidth
    points = [at(10**low, 10**low * kernels.bandwidth), at(ridge, kernels.peak), at(10**high, kernels.peak)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    total = sum(k.seconds for k in rows) or 1.0
    dots = []
    for k in rows:
        x, y = at(k.flops / k.bytes, k.flops / k.seconds)
        words = (
            f"{k.name}: {k.seconds * 1e6:.0f} us, {k.flops / k.seconds / 1e9:.1f} GFLOP/s, {k.share:.0%} of its limit"
        )
        dots.append(
            f"<circle class='ours' opacity='.7' cx='{x:.1f}' cy='{y:.1f}' r='{3 + 14 * math.sqrt(k.seconds / total):.1f}'><title>{escape(words)}</title></circle>"
        )
    axes = (
        f"<path class='axis' d='M{PLOT},{PLOT} V{CHART - PLOT} H{WIDTH - PLOT}'/><polyline class='axis' points='{path}'/>"
        f"<text x='{WIDTH / 2}' y='{CHART - 12}' text-anchor='middle'>operations a byte, {10**low:.2g} to {10**high:.3g}</text>"
        f"<text x='{PLOT}' y='{PLOT - 14}'>operations a second; the machine allows {kernels.peak / 1e9:.0f} GFLOP/s, and {kernels.bandwidth / 1e9:.0f} GB/s from memory</text>"
    )
    return _svg("roofline: a dot for each kernel, its area is its time", WIDTH, CHART, [axes, *dots])


def _kernel_table(kernels: Kernels) -> str:
    head = "".join(
        f"<th>{n}</th>"
        for n in ("kernel", "calls", "us", "share", "GFLOP/s", "GB/s", "of roofline", "effective GFLOP/s")
    )
    total = sum(k.seconds for k in kernels.rows) or 1.0
    lines = [
        f"<tr><td>{escape(k.name)}</td><td>{k.calls}</td><td>{k.seconds * 1e6:.1f}</td><td>{k.seconds / total:.1%}</td>"
        f"<td>{k.flops / k.seconds / 1e9:.1f}</td><td>{k.bytes / k.seconds / 1e9:.1f}</td><td>{k.share:.0%}</td>"
        f"<td>{f'{k.effective / k.seconds / 1e9:.1f}' if k.effective else ''}</td></tr>"
        for k in kernels.rows
        if k.seconds
    ]
    return f"<table><tr>{head}</tr>\n{chr(10).join(lines)}</table>"
