"""The picture of a loop program: its text, line by line, in nested boxes, a colour for each kind of loop.

In: a program. Out: a `Picture`; of a long one `Pictures`, an outline and parts, none of them longer than a screen. A line of
the picture is a line of `str(program)`, wrapped where it is wide.

>>> from minicc.schedule.examples import doubled
>>> s = doubled(8, 64)
>>> s.vectorize("j")
>>> print(s.program.picture().words)
The loop program example, 7 lines: loop i, serial, 8 iterations; loop j, vectorized, 64 iterations.
>>> s.program.picture(kind="nets")
Traceback (most recent call last):
minicc.errors.ConfigError: ConfigError: example.picture(kind='nets'): expected one of nest, visits, heat, got 'nets'
    kinds: nest, visits, heat
hint: kind="nest"
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from minicc.errors import ConfigError
from minicc.explain.code import INDENT, MARGIN, PAD, ROW, code, indent, reach, wrapped
from minicc.explain.draw_visits import draw_heat, draw_visits
from minicc.explain.page import Pictures
from minicc.explain.picture import Picture, legend, rect, text, wide
from minicc.ir.drawn import drawn as with_options
from minicc.loop.ir import PARALLEL, SERIAL, UNROLL, VECTORIZE, For
from minicc.loop.program import Program
from minicc.loop.queries import in_order

ROWS = 48  # of a part at most: what fits on a screen
LOOK = {  # what a line begins: the class of its box, and what the legend says
    "range": ("soft", "serial loop"), PARALLEL: ("c3", "parallel loop"), VECTORIZE: ("c1", "vectorized loop"),
    UNROLL: ("c2", "unrolled loop"), "thread": ("c7", "loop over threads of a GPU"), "if": ("c4", "guard"),
    "empty": ("c5", "buffer that lives in the lines below"),
}  # fmt: skip
HEAD = re.compile(r" *(?:for .+? in ([\w.]+)\(|(if) |.+ = (empty)\()")
WORDS = {SERIAL: "serial", PARALLEL: "parallel", VECTORIZE: "vectorized", UNROLL: "unrolled"}


@dataclass
class Line:
    """A line of a program's text, with those inside of it: a block, where there are any."""

    code: str
    inside: list[Line] = field(default_factory=list)

    @property
    def indent(self) -> int:
        return indent(self.code)

    @property
    def look(self) -> str:
        """What of LOOK it begins; nothing for a plain line."""
        if isinstance(self, Elsewhere) or (found := HEAD.match(self.code)) is None:
            return ""
        kind = found[1] or found[2] or found[3]
        return kind if kind in LOOK else "thread"

    def __len__(self) -> int:
        """The rows that it takes, all inside included."""
        return len(wrapped(self.code)) + sum(map(len, self.inside))


@dataclass
class Elsewhere(Line):
    """Lines that are left out here, as a part of its own shows them."""

    hidden: list[Line] = field(default_factory=list)

    def __len__(self) -> int:
        return 1


def nested(code: str) -> list[Line]:
    """The lines of a text, each inside of the line that begins its block."""
    top: list[Line] = []
    around: list[Line] = []
    for line in map(Line, code.splitlines()):
        while around and line.code and around[-1].indent >= line.indent:
            around.pop()
        (around[-1].inside if around else top).append(line)
        if line.code.endswith(":") or line.look not in ("", "empty"):
            around.append(line)
    return top


def draw_program(program: Program, kind: str = "nest", **options: Any) -> Picture | Pictures:
    """The picture of a program, of one of KINDS. Raises ConfigError for another kind."""
    made: Picture | Pictures = with_options(chosen(KINDS, kind, program.name), program, **options)
    return made


def chosen(kinds: dict[str, Callable[..., Any]], kind: str, name: str) -> Callable[..., Any]:
    """What draws the kind of picture that a user wants."""
    if not isinstance(kind, str) or kind not in kinds:
        shown = repr(kind)[:80]
        problem = f"expected one of {', '.join(kinds)}, got {shown}"
        raise ConfigError(
            f"{name}.picture(kind={shown})", problem, f"kinds: {', '.join(kinds)}", f'kind="{next(iter(kinds))}"'
        )
    return kinds[kind]


def nest(program: Program) -> Picture | Pictures:
    """The loop nest."""
    top = nested(str(program))
    title, words = f"Loop nest of {program.name}", summary(program)
    if sum(map(len, top)) <= ROWS:
        return drawn(title, words, top)
    outline = shortened(top)
    named = [("outline", outline), *parts(outline, (f"part {n}" for n in itertools.count(1)))]
    pictures = [(name, drawn(f"{title}, {name}", f"The {name} of it. {words}", lines)) for name, lines in named]
    return Pictures(title, f"{words} The outline leaves out what the parts show.", pictures)


def summary(program: Program) -> str:
    """A program in words: its loops, of many the first."""
    found = [s for s in in_order(program.body) if isinstance(s, For)]
    told = [f"loop {s.name}, {WORDS.get(s.kind, s.kind)}, {s.extent} iterations" for s in found[:20]]
    told += [f"and {len(found) - 20} more"] * (len(found) > 20)
    return f"The loop program {program.name}, {len(str(program).splitlines())} lines: {'; '.join(told) or 'no loop'}."


def shortened(lines: list[Line]) -> list[Line]:
    """Lines that fit on a screen, as some are left out: large blocks, or where there is none, stretches of lines."""
    for line in lines:
        line.inside = shortened(line.inside)
    while sum(map(len, lines)) > ROWS:
        largest = max(lines, key=len)
        if len(largest) > ROWS // 2:
            largest.inside = [Elsewhere(largest.inside[0].code, hidden=largest.inside)]
            continue
        stretches = [[lines[0]]]
        for line in lines[1:]:
            if sum(map(len, stretches[-1])) + len(line) > ROWS:
                stretches.append([])
            stretches[-1].append(line)
        lines = [Elsewhere(some[0].code, hidden=some) for some in stretches]
    return lines


def parts(lines: list[Line], names: Iterator[str]) -> Iterator[tuple[str, list[Line]]]:
    """Each part of these lines with its name, in the order of the text; what stands for them here says so."""
    for line in lines:
        if isinstance(line, Elsewhere):
            name = next(names)
            line.code = f"{' ' * line.indent}… {count(line.hidden)} lines: {name}"
            yield name, line.hidden
            yield from parts(line.hidden, names)
        else:
            yield from parts(line.inside, names)


def count(lines: list[Line]) -> int:
    return sum(count(line.hidden) if isinstance(line, Elsewhere) else 1 + count(line.inside) for line in lines)


def drawn(title: str, words: str, lines: list[Line]) -> Picture:
    """The picture of lines of code."""
    shift = min(line.indent for line in lines if line.code)
    width = max(wide(title, 14), 360, *[MARGIN + right_of(line, shift) for line in lines]) + 2 * MARGIN
    shapes, looks = list[str](), dict[str, None]()

    def place(line: Line, y: float, right: float) -> float:
        """Draw a line at y, and all inside of it; and where it ends below."""
        x, begin, at = MARGIN + (line.indent - shift) * INDENT, y, len(shapes)
        rows = [line.code.strip()] if isinstance(line, Elsewhere) else wrapped(line.code)
        kind = "muted" if isinstance(line, Elsewhere) else "code"
        shapes.append(code(x, y, rows, kind, line.code))
        y += ROW * len(rows)
        head = y
        for inner in line.inside:
            y = place(inner, y, right - PAD)
        if line.look:
            looks[line.look] = None
            look, meaning = LOOK[line.look]
            boxes = [rect(x - PAD, begin, right - x + PAD, head - begin, look, meaning, rx=3)]
            if line.inside:
                y += PAD
                boxes = [rect(x - PAD, begin, right - x + PAD, y - begin, "none", rx=3),
                         rect(x - PAD, begin, PAD, y - begin, look, meaning, rx=2), *boxes]  # fmt: skip
            shapes[at:at] = boxes
        return y

    y = MARGIN + 14.0
    shapes.append(text(MARGIN, y - 2, title, "head"))
    y += PAD * 2
    for line in lines:
        y = place(line, y, width - MARGIN)
    if looks:
        entries, y = legend(MARGIN, y + 12, [LOOK[look] for look in LOOK if look in looks], width - 2 * MARGIN)
        shapes += entries
    return Picture(title, words, width, y + MARGIN, shapes)


def right_of(line: Line, shift: int) -> float:
    """How far to the right a line needs room, with all inside."""
    inner = [right_of(inner, shift) + PAD for inner in line.inside]
    return max([(line.indent - shift) * INDENT + reach(line.code), *inner])


KINDS: dict[str, Callable[..., Picture | Pictures]] = {"nest": nest, "visits": draw_visits, "heat": draw_heat}
