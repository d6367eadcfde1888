"""Where in an arena tensors live, and when: a memory plan as rectangles.

In: an `ArenaPlan`. Out: a `Picture`: calls of kernels across, bytes of the arena down, a rectangle for each tensor from the call that
writes it to the last one that reads it. No two rectangles overlap, which is what a plan is; what is alive at the peak is told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from minicc.explain.picture import Picture, amount, cut, legend, line, rect, text, ticks
from minicc.runtime.plan import ArenaPlan, Lifetime

WIDTH, HEIGHT, LEFT, RIGHT, TOP = 960, 420, 76, 16, 46  # pixels; HEIGHT is that of the arena
MOST = 3000  # rectangles in a picture; the largest are shown
PART = 60  # calls of a picture of a part
LABEL, LINE = 60, 13  # pixels that a rectangle must have to hold words: across, and down


def draw(plan: ArenaPlan, first: int = 0, calls: int | None = None) -> Picture:
    """The plan, with its peak, and what an arena without sharing would take; from the first call on, so many calls, or all."""
    use = plan.in_use()
    last = len(use) if calls is None else min(first + calls, len(use))
    peak = max(use, default=0)
    when = use.index(peak) if use else 0
    across = Across(first, max(last - first, 1))
    held = sorted(zip(plan.lifetimes, plan.offsets, plan.rooms, strict=True), key=lambda tensor: -tensor[2])
    tensors = [tensor for tensor in held if tensor[2] and tensor[0].first < last and tensor[0].last >= first]
    shapes = _axes(across, plan.size)
    for life, offset, room in tensors[:MOST]:
        shapes += _tensor(
            life,
            across,
            TOP + HEIGHT * offset / plan.size,
            HEIGHT * min(room, plan.size - offset) / plan.size,
            _kind(life, when),
        )
    if first <= when < last:
        x = across.at(when + 0.5)
        shapes += [
            line([(x, TOP - 6), (x, TOP + HEIGHT)], "strong dashed", "the peak"),
            text(min(max(x, LEFT + 130), WIDTH - 150), TOP - 10, f"peak: {amount(peak, 'B')} at call {when + 1:,}", "halo bold", "middle"),
        ]  # fmt: skip
    entries = [
        ("c3", "a tensor that is alive at the peak"),
        ("c1", "another tensor"),
        ("c2", "the workspace of a kernel, in use while that runs"),
    ]
    keys, bottom = legend(LEFT, TOP + HEIGHT + 40, entries, WIDTH - LEFT - RIGHT)
    title = "Memory plan" if calls is None else f"Memory plan, calls {first + 1:,} to {last:,}"
    return Picture(title, _words(plan, use, tensors), WIDTH, bottom + 10, [*shapes, *keys])


def parts(plan: ArenaPlan) -> Iterator[tuple[str, Picture]]:
    """A plan of many calls, PART of them in a picture; none where one picture shows all."""
    steps = len(plan.in_use())
    for first in range(0, steps if steps > PART else 0, PART):
        picture = draw(plan, first, PART)
        yield picture.title, picture


class Across(NamedTuple):
    """Where the beginning of a call is drawn."""

    first: int
    calls: int

    def at(self, call: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(call - self.first, 0), self.calls) / self.calls


def _tensor(life: Lifetime, across: Across, y: float, h: float, kind: str) -> list[str]:
    """A rectangle, with its name and size if it can hold them; its border is thin where it is small itself."""
    x = across.at(life.first)
    w, name = across.at(life.last + 1) - x, life.name or "a tensor"
    hover = f"{name}: {life.size:,} bytes, {_calls(life)}"
    shapes = [rect(x, y, w, h, kind, hover, stroke_width=round(min(w / 6, h / 6, 1), 2))]
    if w > LABEL and h > LINE:
        shapes.append(text(x + 4, y + min(h / 2 + 4, 15), cut(name, w - 8)))
    if w > LABEL and h > 2 * LINE + 4:
        shapes.append(text(x + 4, y + 29, amount(life.size, "B")))
    return shapes


def _kind(life: Lifetime, when: int) -> str:
    if life.name.startswith("workspace"):
        return "c2"
    return "c3" if life.first <= when <= life.last else "c1"


def _calls(life: Lifetime) -> str:
    return f"call {life.first + 1:,}" if life.first == life.last else f"calls {life.first + 1:,} to {life.last + 1:,}"


def _words(plan: ArenaPlan, use: Sequence[int], tensors: Sequence[tuple[Lifetime, int, int]]) -> str:
    """What is to be seen."""
    if not tensors:
        return "An empty arena: no value lives between two kernels."
    largest, _, _ = tensors[0]
    shown = f" The {MOST:,} largest are drawn." if len(tensors) > MOST else ""
    return (
        f"{len(tensors):,} tensors in an arena of {amount(plan.size, 'B')}, over {len(use):,} calls of kernels. At most {amount(max(use), 'B')} "
        f"are alive at once; without sharing all would take {amount(plan.unshared, 'B')}, {plan.unshared / plan.size:.1f} times as much. "
        f"The largest is {largest.name or 'a tensor'}, {amount(largest.size, 'B')}, {_calls(largest)}.{shown}"
    )


def _axes(across: Across, size: int) -> list[str]:
    """The arena, its bytes, and the numbers of calls."""
    right, bottom = WIDTH - RIGHT, TOP + HEIGHT
    shapes = [
        rect(LEFT, TOP, right - LEFT, HEIGHT, "soft", f"the arena: {size:,} bytes"),
        text(8, TOP - 10, "bytes"),
        text((LEFT + right) / 2, bottom + 32, "calls of kernels", anchor="middle"),
    ]
    for value in ticks(size):
        y = TOP + HEIGHT * value / max(size, 1)
        shapes += [line([(LEFT - 4, y), (LEFT, y)]), text(LEFT - 8, y + 4, amount(value, "B"), "muted", "end")]
    for call in sorted({1, *(int(k) for k in ticks(across.calls, 10) if k >= 1)}):
        x = across.at(across.first + call - 0.5)
        shapes += [line([(x, bottom), (x, bottom + 4)]), text(x, bottom + 17, f"{across.first + call:,}", "muted", "middle")]  # fmt: skip
    return shapes
