"""The roofline of a machine, and where kernels stand below it.

In: a `Roofline`, and the kernels of a `Profile`. Out: a `Picture`: operations a byte across, operations a second up, both logarithmic;
a slope for each place that bytes come from, a flat roof for the peak, and a dot for each kernel whose area is its time.
Source: Williams, Waterman and Patterson 2009, Roofline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from minicc.explain.picture import Picture, amount, circle, cut, line, text, wide
from minicc.runtime.profile import KernelRow
from minicc.runtime.roofline import Roofline

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 440, 74, 14, 28, 44
LARGEST = 34  # pixels: the radius of a dot that takes all of the time
LABEL, LABELS = 130, 8  # pixels of the name of a kernel, and names, at most


Box = tuple[float, float, float, float]  # left, top, right, bottom


class Dot(NamedTuple):
    """A kernel that has operations, bytes and a time."""

    row: KernelRow
    number: int
    intensity: float
    speed: float


class Axes:
    """Where a point of so many operations a byte, and a second, is drawn."""

    def __init__(self, limits: Mapping[str, float], dots: Sequence[Dot]) -> None:
        peak, ridges = limits["peak"], [limits["peak"] / v for name, v in limits.items() if name != "peak"]
        self.low = math.log10(min([0.1, min(ridges) / 2, *(d.intensity for d in dots)])) - 0.05
        self.high = math.log10(max([100, max(ridges) * 4, *(d.intensity for d in dots)])) + 0.1
        self.bottom = math.log10(min([peak / 200, *(max(d.speed / 2, peak / 1e5) for d in dots)]))
        self.top = math.log10(peak * 1.6)
        self.right, self.lowest = WIDTH - RIGHT, HEIGHT - BOTTOM

    def at(self, intensity: float, speed: float) -> tuple[float, float]:
        """The pixel of a point; one beyond an end of the axis is drawn on that."""
        across = (math.log10(intensity) - self.low) / (self.high - self.low)
        up = (math.log10(max(speed, 1e-9)) - self.bottom) / (self.top - self.bottom)
        return LEFT + across * (self.right - LEFT), self.lowest - min(max(up, 0), 1) * (self.lowest - TOP)

    def drawn(self) -> list[str]:
        """The axes, with a line and a number for each power of ten."""
        shapes = []
        for power in range(math.ceil(self.low), math.floor(self.high) + 1):
            x, _ = self.at(10.0**power, 10.0**self.bottom)
            shapes += [line([(x, TOP), (x, self.lowest)], "none"), text(x, self.lowest + 16, f"{10.0**power:g}", "muted", "middle")]  # fmt: skip
        for power in range(math.ceil(self.bottom), math.floor(self.top) + 1):
            _, y = self.at(1, 10.0**power)
            shapes += [line([(LEFT, y), (self.right, y)], "none"), text(LEFT - 6, y + 4, amount(10.0**power, ""), "muted", "end")]  # fmt: skip
        return [
            *shapes,
            text((LEFT + self.right) / 2, HEIGHT - 8, "operations a byte", anchor="middle"),
            text(8, 16, "operations a second"),
        ]

    def roofs(self, limits: Mapping[str, float]) -> tuple[list[str], list[str], Box]:
        """A slope for each bandwidth, and the peak; their numbers, to stand over all else; and where the words on the peak are."""
        peak, shapes, said, slopes = (
            limits["peak"],
            list[str](),
            list[str](),
            [(k, v) for k, v in limits.items() if k != "peak"],
        )
        steep = (self.lowest - TOP) / (self.top - self.bottom) * (self.high - self.low) / (self.right - LEFT)
        for n, (name, speed) in enumerate(sorted(slopes, key=lambda s: s[1])):
            start = max(10.0**self.low, 10.0**self.bottom / speed)
            ends = [self.at(start, start * speed), self.at(peak / speed, peak)]
            words = f"{name}: {amount(speed, 'B/s')}"
            shapes.insert(0, line(ends, "strong" if n == 0 else "strong dashed", words))
            intensity = start * (peak / speed / start) ** (0.06 + 0.2 * n)
            x, y = self.at(intensity, intensity * speed)
            turn = f"rotate({-math.degrees(math.atan(steep)):.1f} {x:.1f} {y - 6:.1f})"
            said.append(text(x, y - 6, words, "halo", transform=turn))
        first = min(peak / speed for _, speed in slopes)
        roof = [self.at(first, peak), (self.right, self.at(1, peak)[1])]
        words = f"peak: {amount(peak, 'FLOP/s')}"
        box = (self.right - wide(words), roof[0][1] - 19, self.right, roof[0][1] - 4)
        said.append(text(self.right, roof[0][1] - 7, words, "halo", "end"))
        return [*shapes, line(roof, "strong", words)], said, box


def draw(roofline: Roofline, rows: Sequence[KernelRow] = (), kinds: Mapping[str, str] | None = None) -> Picture:
    """The limits, and below them a dot for each of these kernels that has operations; `kinds` are their colours, by name."""
    limits, kinds, total = roofline.limits(), kinds or {}, sum(k.seconds for k in rows) or 1.0
    dots = [Dot(k, n, k.flops / k.bytes, k.flops / k.seconds) for n, k in enumerate(rows, 1) if k.flops and k.bytes and k.seconds]  # fmt: skip
    axes = Axes(limits, dots)
    places = {d: (*axes.at(d.intensity, d.speed), max(LARGEST * math.sqrt(d.row.seconds / total), 2.5)) for d in dots}
    roofs, said, peak = axes.roofs(limits)
    shapes = [*axes.drawn(), *roofs]
    for d, (x, y, r) in sorted(places.items(), key=lambda item: -item[1][2]):
        hover = f"{d.number} {d.row.name}: {amount(d.row.seconds, 's')}, {amount(d.speed, 'FLOP/s')}, {d.intensity:.3g} operations a byte, {d.row.share:.0%} of its limit"
        shapes.append(circle(x, y, r, kinds.get(d.row.name, "c1"), hover, fill_opacity=0.8))
    shapes += [*said, *_labels(places, axes.right, peak)]
    slopes = ", ".join(f"{amount(speed, 'B/s')} from {name}" for name, speed in limits.items() if name != "peak")
    words = f"The machine allows {amount(limits['peak'], 'FLOP/s')}, and {slopes}."
    if rows:
        told = "; ".join(f"{d.number} {d.row.name} {amount(d.speed, 'FLOP/s')}, {d.row.share:.0%} of its limit" for d in dots[:7])  # fmt: skip
        words += f" A dot for each kernel that computes, its area its time: {told or 'none'}."
        if others := len(rows) - len(dots):
            words += f" {others} kernels without arithmetic have no dot."
    return Picture("Roofline", words, WIDTH, HEIGHT, shapes)


def _labels(places: Mapping[Dot, tuple[float, float, float]], right: float, peak: Box) -> list[str]:
    """The numbers of kernels, with their names where there is room, the slowest first; none over another, over a large dot or the words on the peak."""
    taken = [peak, *((x - r, y - r, x + r, y + r) for x, y, r in places.values() if r > 8)]
    shapes = []
    for d, (x, y, r) in list(places.items())[:LABELS]:
        mine = (x - r, y - r, x + r, y + r)
        for words in (f"{d.number} {cut(d.row.name, LABEL)}", str(d.number)):
            w = wide(words) + 4
            spots = [(x + r + 3, y - 6), (x - r - 3 - w, y - 6), (x - w / 2, y - r - 15), (x - w / 2, y + r + 3)]
            boxes = [(a, b, a + w, b + 13) for a, b in spots if a > LEFT and a + w < right and TOP < b < HEIGHT - BOTTOM - 13]  # fmt: skip
            box = next((b for b in boxes if not any(_meet(b, other) for other in taken if other != mine)), None)
            if box:
                taken.append(box)
                shapes.append(text(box[0] + 2, box[1] + 11, words, "halo"))
                break
    return shapes


def _meet(a: Box, b: Box) -> bool:
    """Whether two boxes share some of the paper."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
