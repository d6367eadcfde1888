"""A profile as pictures: bars of kernels, the roofline, and one run in time with the memory that it uses.

In: a `Profile`. Out: `Pictures`, each of a part; the seven slowest kernels have a number and a colour that are the same in all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from minicc.explain import draw_memory, draw_roofline
from minicc.explain.draw_bars import Bar, bars
from minicc.explain.page import Pictures
from minicc.explain.picture import (
    AMOUNTS,
    KINDS,
    Picture,
    amount,
    count,
    cut,
    element,
    legend,
    line,
    number,
    rect,
    text,
    ticks,
    wide,
)
from minicc.runtime.profile import TICK, KernelRow, Profile

WIDTH, LEFT, RIGHT, LANE, AREA, ROW = (
    960,
    76,
    16,
    34,
    90,
    20,
)  # pixels: of the timeline; of its lane, of memory, of a call
OTHERS = KINDS[-1]
PART = 40  # calls in a picture
LEGEND = 24  # letters of a kernel in a legend


def pictures(found: Profile) -> Pictures:
    """All of a profile, on one page."""
    title = f"Where the time of {found.name} goes"
    sections = [("Kernels", kernels(found))]
    if found.roofline:
        sections.append(("Roofline", roofline(found)))
    sections.append(("One run", run(found)))
    if found.memory and found.memory.size:
        sections.append(("Memory", draw_memory.draw(found.memory)))
    return Pictures(title, summary(found), sections)


def summary(found: Profile) -> str:
    """What the profile says, in short."""
    slowest = found.rows[0] if found.rows else None
    most = f" {slowest.name} takes {slowest.seconds / found.total:.0%} of it." if slowest else ""
    return (
        f"{found.processor}, {count(found.threads, 'thread')}: {amount(sum(found.seconds), 's')} in {count(len(found.calls), 'call')} of {count(len(found.rows), 'kernel')}, "
        f"by medians of repeated runs after a first one.{most}"
    )


def kinds(rows: Sequence[KernelRow]) -> dict[str, str]:
    """The colour of each kernel: one of its own for the slowest."""
    return {row.name: KINDS[n] if n < len(KINDS) - 1 else OTHERS for n, row in enumerate(rows)}


def entries(found: Profile) -> list[tuple[str, str]]:
    """The legend of these colours."""
    own = [
        (KINDS[n], f"{n + 1} {cut(row.name, wide('m' * LEGEND))}") for n, row in enumerate(found.rows[: len(KINDS) - 1])
    ]
    return [*own, *([(OTHERS, "others")] if len(found.rows) >= len(KINDS) else [])]


def kernels(found: Profile) -> Picture:
    """A bar for each distinct kernel, the slowest first."""
    colours = kinds(found.rows)
    rows = []
    for n, k in enumerate(found.rows, 1):
        limit = f", {k.share:.0%} of limit" if found.roofline else ""
        words = f"{amount(k.seconds, 's')}, {k.seconds / found.total:.1%}{f', {k.calls} calls' if k.calls > 1 else ''}{limit}"
        speed = f"{amount(k.flops / max(k.seconds, TICK), 'FLOP/s')}, {amount(k.bytes / max(k.seconds, TICK), 'B/s')}"
        rows.append(Bar(f"{n} {k.name}", k.seconds, words, colours[k.name], f"{k.name}: {words}, {speed}"))
    return bars("Time by kernel", rows)


def roofline(found: Profile) -> Picture:
    """The kernels below the limits of the machine."""
    assert found.roofline is not None
    return draw_roofline.draw(found.roofline, found.rows, kinds(found.rows))


def run(found: Profile) -> Picture:
    """One run from its start to its end: which kernel runs when, and the bytes that are alive meanwhile."""
    colours, end = kinds(found.rows), max(found.starts[-1], TICK)
    scale, numbers = (WIDTH - LEFT - RIGHT) / end, {row.name: n for n, row in enumerate(found.rows, 1)}
    shapes = [text(8, 34, "kernels")]
    for n, (kernel, start, stop) in enumerate(_calls(found), 1):
        x, w = LEFT + start * scale, (stop - start) * scale
        hover = f"call {n}: {kernel}, from {amount(start, 's')}, for {amount(stop - start, 's')}"
        shapes.append(rect(x, 12, max(w, 0.5), LANE, colours[kernel], hover, data_call=n))
        if w > wide(numbers[kernel]) + 6:
            shapes.append(text(x + w / 2, 34, numbers[kernel], anchor="middle"))
    y, used = 12.0 + LANE, ""
    if found.memory and (use := found.memory.in_use()) and len(use) <= len(found.calls):
        used = f" At most {amount(max(use), 'B')} of memory are in use, from {amount(found.starts[use.index(max(use))], 's')} on."
        shapes += _memory(found.starts, use, scale, y + 14)
        y += 14 + AREA
    shapes += _time(end, scale, y)
    held = [(AMOUNTS[2], "bytes that are alive")] if used else []
    keys, bottom = legend(LEFT, y + 44, [*entries(found), *held], WIDTH - LEFT - RIGHT)
    words = (
        f"A usual run takes {amount(end, 's')}, {count(len(found.calls), 'call')} of kernels one after the other.{used}"
    )
    return Picture("One run", words, WIDTH, bottom + 10, [*shapes, *keys])


def _calls(found: Profile) -> Iterator[tuple[str, float, float]]:
    """Each call of that run: its kernel, when it begins, and when it ends."""
    ends = zip(found.calls, found.starts, found.starts[1:], strict=False)
    return ((kernel.symbol or kernel.label, start, stop) for kernel, start, stop in ends)


def _memory(starts: Sequence[float], use: Sequence[int], scale: float, top: float) -> list[str]:
    """The bytes that are alive, as an area below the calls."""
    most, bottom = max(use) or 1, top + AREA
    heights = [AREA * value / most for value in use]
    points = [
        (LEFT + at * scale, bottom - h) for h, *both in zip(heights, starts, starts[1:], strict=False) for at in both
    ]
    outline = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    first, last = points[0][0], points[-1][0]
    area = f"M{number(first)},{number(bottom)} L{outline} L{number(last)},{number(bottom)} z"
    shapes = [element("path", kind=AMOUNTS[2], d=area), line([(LEFT, bottom), (WIDTH - RIGHT, bottom)])]
    for value in ticks(most, 3):
        y = bottom - AREA * value / most
        shapes += [line([(LEFT - 4, y), (LEFT, y)]), text(LEFT - 8, y + 4, amount(value, "B"), "muted", "end")]
    return shapes


def _time(end: float, scale: float, y: float) -> list[str]:
    """An axis of seconds."""
    shapes = [text((LEFT + WIDTH - RIGHT) / 2, y + 32, "time", anchor="middle")]
    for value in ticks(end, 8):
        x, words = LEFT + value * scale, amount(value, "s")
        middle = min(x, WIDTH - wide(words) / 2)
        shapes += [line([(x, y), (x, y + 4)]), text(middle, y + 17, words, "muted", "middle")]
    return shapes


def parts(found: Profile) -> Iterator[tuple[str, Picture]]:
    """The run call by call: a row for each, in pictures of PART calls with a scale of their own, under what they show."""
    calls = list(_calls(found))
    colours = kinds(found.rows)
    for first in range(0, len(calls), PART):
        some = calls[first : first + PART]
        begin, end = some[0][1], some[-1][2]
        heading = f"calls {first + 1} to {first + len(some)}, from {amount(begin, 's')} to {amount(end, 's')}"
        yield heading, _waterfall(heading, some, first, colours)


def _waterfall(
    heading: str, calls: Sequence[tuple[str, float, float]], first: int, colours: Mapping[str, str]
) -> Picture:
    """A row for each call, from its start to its end."""
    begin, end = calls[0][1], max(calls[-1][2], calls[0][1] + TICK)
    names, most = 250.0, WIDTH - RIGHT - 70.0
    scale, shapes = (most - names) / (end - begin), []
    for n, (kernel, start, stop) in enumerate(calls):
        y, x, w = 4 + n * ROW, names + (start - begin) * scale, max((stop - start) * scale, 1)
        words = amount(stop - start, "s")
        shapes += [
            text(names - 8, y + 13, cut(f"{first + n + 1} {kernel}", names - 12), anchor="end"),
            line([(names, y + ROW - 1), (most, y + ROW - 1)], "none"),
            rect(
                x,
                y + 2,
                w,
                ROW - 5,
                colours[kernel],
                f"call {first + n + 1}: {kernel}, {words}",
                data_call=first + n + 1,
            ),
            text(x + w + 5, y + 13, words, "muted"),
        ]
    told = "; ".join(f"{first + n + 1} {kernel} {amount(b - a, 's')}" for n, (kernel, a, b) in enumerate(calls))
    return Picture(heading, f"{heading}: {told}.", WIDTH, len(calls) * ROW + 8, shapes)
