"""An executable at a glance: what goes in, the kernels in order with their operations and bytes, what comes out, and its memory.

In: an `Executable`. Out: `Pictures`. Of one that compiles as it is called the kernels are those of the latest call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minicc.errors import RunError
from minicc.explain import draw_memory
from minicc.explain.page import Pictures, Plate
from minicc.explain.picture import Picture, amount, arrow, count, cut, legend, rect, text
from minicc.runtime.executable import Executable
from minicc.runtime.image import KernelInfo, Port

WIDTH, ROW, NAMES, FIGURES = 560, 26, 230, 150  # pixels: of the calls; of a row; of a name; of its figures
BOX = 420  # pixels: the width of the overview
PART, MOST = 30, 3000  # calls in a picture, and drawn at most
PORTS = 12  # inputs, or outputs, that are drawn


def draw(made: Executable) -> Pictures:
    """Its ports, its kernels, and its arena, where that is known."""
    sections = [Plate("Inputs, kernels, outputs", overview(made)), *kernels(made)]
    try:
        plan = made.memory_plan
    except RunError:  # it compiles when it is called
        return Pictures(f"The executable {made.name}", words(made), sections)
    if plan.size:
        sections.append(Plate("Memory", draw_memory.draw(plan)))
    return Pictures(f"The executable {made.name}", words(made), sections)


def words(made: Executable) -> str:
    """What it is, in short."""
    flops, moved = sum(k.flops for k in made.kernels), sum(k.bytes for k in made.kernels)
    work = f", {amount(flops, 'FLOP')} on at least {amount(moved, 'B')}" if flops or moved else ""
    return (
        f"{made.name}: {count(len(made.inputs), 'input')}, {count(len(made.kernels), 'call')} of {count(len({k.symbol for k in made.kernels}), 'kernel')}{work}, "
        f"{count(len(made.outputs), 'output')}, {count(made.threads, 'thread')}. Weights take {amount(made.constant_bytes, 'B')}, "
        f"intermediate values {amount(made.arena_bytes, 'B')}."
    )


def overview(made: Executable) -> Picture:
    """Boxes from the inputs through the kernels to the outputs."""
    shapes, y = [], 8.0
    middle = [
        f"{count(len(made.kernels), 'call')} of kernels",
        f"weights of {amount(made.constant_bytes, 'B')}, arena of {amount(made.arena_bytes, 'B')}",
    ]
    for kind, lines in (("c2", _ports(made.inputs)), ("c1", middle), ("c3", _ports(made.outputs))):
        if y > 8:
            shapes.append(arrow([(BOX / 2, y), (BOX / 2, y + 26)]))
            y += 26
        shapes.append(rect(8, y, BOX - 16, ROW * max(len(lines), 1), kind))
        shapes += [text(BOX / 2, y + ROW * n + 17, cut(row, BOX - 32), anchor="middle") for n, row in enumerate(lines)]
        y += ROW * max(len(lines), 1)
    keys, y = legend(8, y + 12, [("c2", "inputs"), ("c1", "what runs"), ("c3", "outputs")])
    return Picture(f"The executable {made.name}", words(made), BOX, y + 8, [*shapes, *keys])


def _ports(ports: Sequence[Port]) -> list[str]:
    """A line for each, and one for those that there is no room for."""
    rest = len(ports) - PORTS
    return [*map(str, ports[:PORTS]), *([f"and {rest} more"] if rest > 0 else [])] or ["none"]


def kernels(made: Executable) -> Iterator[Plate]:
    """The calls in order, so many in a picture, the first of which stands open: how many operations each needs, and how many bytes."""
    calls = made.kernels[:MOST]
    most = max((k.flops for k in calls), default=0) or 1, max((k.bytes for k in calls), default=0) or 1
    for first in range(0, len(calls), PART):
        some = calls[first : first + PART]
        rest = f", of {len(made.kernels):,}" if len(made.kernels) > PART else ""
        heading = f"Calls {first + 1} to {first + len(some)}{rest}"
        yield Plate(heading, _calls(heading, some, first, most), unfolded=first == 0)


def _calls(heading: str, calls: Sequence[KernelInfo], first: int, most: tuple[int, int]) -> Picture:
    """A row for each call with two bars: operations above, bytes below; both by those of the largest call of all."""
    names, room, shapes, told = NAMES, WIDTH - NAMES - FIGURES, list[str](), list[str]()
    for n, k in enumerate(calls):
        y, figures = 8 + n * ROW, f"{amount(k.flops, 'FLOP')}, {amount(k.bytes, 'B')}"
        hover = f"call {first + n + 1}, {k.symbol}: {figures}"
        told.append(f"{first + n + 1} {k.label} {figures}")
        shapes += [
            text(names - 8, y + 15, cut(f"{first + n + 1} {k.label}", names - 16), anchor="end"),
            rect(names, y + 2, max(room * k.flops / most[0], 1), 9, "c1", hover),
            rect(names, y + 12, max(room * k.bytes / most[1], 1), 9, "c2", hover),
            text(WIDTH - 8, y + 15, figures, "muted", "end"),
        ]
    keys, bottom = legend(8, 16 + len(calls) * ROW, [("c1", "operations"), ("c2", "bytes, at least")])
    return Picture(heading, f"{heading}: {'; '.join(told)}.", WIDTH, bottom + 8, [*shapes, *keys])
