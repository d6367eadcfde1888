"""Which elements a loop program reads and writes: in their order, as an animation, and how often, as shades.

In: a program, with sizes where its own are symbolic. Out: a `Picture`. Each element of each buffer is a cell. In `draw_visits`
a cell lights up when it is written, as a square, or read, as a dot; a number and a shade remain, which say when it was visited
first. What one statement reads and writes lights up together, and so do all iterations of a vectorized loop; those of a parallel
loop come one thread after another. The animation is CSS, no script; where the reader wants no motion, and on paper, numbers and
shades are all there is. It stops while it has the pointer or the focus.

>>> from minicc.schedule.examples import doubled
>>> s = doubled(2, 3)
>>> s.reorder("j", "i")
>>> print(s.picture(kind="visits").words)
The order in which example visits the elements of its buffers, in 6 moments.
A: [0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2].
B: [0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2].
>>> print(s.program.picture(kind="heat").words)
How often example reads and writes the elements of its buffers.
A is read 6 times, an element 1 to 1 times.
B is written 6 times, an element 1 to 1 times.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as changed
from itertools import accumulate, groupby
from typing import Any, NamedTuple

import numpy as np

from minicc.errors import LoopError
from minicc.explain.code import INDENT, MARGIN, PAD, ROW, code, indent, reach, wrapped
from minicc.explain.grids import MOST_COLUMNS, SHADES, Grid, cell_size, move_to, shade, shades, side_by_side
from minicc.explain.picture import Picture, circle, group, legend, rect, text, wide
from minicc.ir.node import replace
from minicc.loop.accesses import Accesses, accesses
from minicc.loop.caches import Cache, misses
from minicc.loop.ir import VECTORIZE, Alloc, Buffer, ExternCall, For, Prefetch, Stmt, Store, Update
from minicc.loop.ir import expressions, map_bodies, seq
from minicc.loop.lines import places
from minicc.loop.marks import HINT, LOAD, STORE
from minicc.loop.program import Program
from minicc.loop.queries import fresh, in_order
from minicc.tensor.expr import const, loads
from minicc.types import int8

MOST_VISITS, MOST_CELLS = 6000, 4096
FADE = 2  # moments after which a visit is dark again
MOST_LINES = 24  # rows of code below the cells
TOLD = 12  # elements that the words name, and moments that a cell names
# `--now` runs through the moments; what changes at some of them only stands in a part, of which `--n` does not change before its first
# moment `--a` and after its last one `--b`, so that a browser computes a few parts anew at each moment, and not all cells. `\3c` is `<`,
# which XML would take for a tag. Source: CSS Properties and Values API Level 1, 2; CSS Animations Level 1
STYLE = f"""
@property --now {{ syntax: "\\3c number>"; inherits: false; initial-value: 0; }}
@property --n {{ syntax: "\\3c number>"; inherits: true; initial-value: 0; }}
@keyframes minicc-visits {{ from {{ --now: 0; }} 90%, to {{ --now: var(--end); }} }}
.minicc .part {{ --n: clamp(var(--a), var(--now), var(--b)); animation: minicc-visits var(--time) var(--steps) infinite; }}
.minicc .visits:is(:hover, :focus) .part {{ animation-play-state: paused; }}
.minicc .seen {{ opacity: clamp(0, var(--n) - var(--t) + 1, 1); }}
.minicc .now {{ opacity: min(clamp(0, var(--n) - var(--t) + 1, 1), clamp(0, (var(--u, var(--t)) + {FADE} - var(--n)) / {FADE}, 1)); }}
@media print, (prefers-reduced-motion: reduce) {{ .minicc .part {{ animation: none; --now: var(--end); }} }}
"""
PART = 40  # shapes of a part


class Flash(NamedTuple):
    """A shape that appears at a moment, and what it shows until the last."""

    first: int
    last: int
    shape: str


def in_parts(flashes: Iterable[Flash]) -> Iterator[str]:
    """Groups of shapes that appear one after another."""
    ordered = sorted(flashes, key=lambda flash: flash.first)
    for n in range(0, len(ordered), PART):
        some = ordered[n : n + PART]
        style = f"--a: {some[0].first - 1}; --b: {max(flash.last for flash in some) + FADE}"
        yield group([flash.shape for flash in some], kind="part", style=style)


class Visit(NamedTuple):
    """An element, of the buffer of that number, read or written at a moment."""

    moment: int
    buffer: int
    element: int
    is_store: bool


class Visits(NamedTuple):
    """What a program visits, in order, and the statement that runs at each moment."""

    buffers: tuple[Buffer, ...]
    shapes: tuple[tuple[int, ...], ...]
    visits: list[Visit]
    running: list[Stmt]


def visited(program: Program, sizes: Mapping[Any, int] | None = None, arrays: Sequence[Any] | None = None) -> Visits:
    """The visits of a program, each once at its moment. Raises LoopError when there are more than MOST_VISITS."""
    found = accesses(program, sizes, arrays)
    if len(found) > MOST_VISITS:
        raise _too_many(program, found, f"{MOST_VISITS:,} reads and writes, got {len(found):,}")
    clock = _Clock(program)
    marked = accesses(replace(program, body=clock.body), sizes, arrays)
    visits, running = clock.read(marked)
    numbers = {n: found.buffers.index(b) for n, b in enumerate(marked.buffers) if b is not clock.marks}
    return Visits(found.buffers, found.shapes, [v._replace(buffer=numbers[v.buffer]) for v in visits], running)


def _too_many(program: Program, found: Visits | Accesses, problem: str) -> LoopError:
    """What no picture can show is refused."""
    shapes = ", ".join(f"{b.name}: {list(s)}" for b, s in zip(found.buffers, found.shapes, strict=True))
    hint = "draw the same program at smaller sizes; buffer=['A'] draws some buffers"
    return LoopError(f"{program.name}.picture(...)", f"expected at most {problem}", shapes, hint)


class _Clock:
    """A program with marks, which its accesses then have among them.

    A mark is a prefetch of a buffer of its own, which changes nothing. Its element says which statement comes, or that of a
    vectorized loop all begins, an iteration, or what is after it.
    """

    def __init__(self, program: Program) -> None:
        self.statements = list(dict.fromkeys(in_order(program.body)))
        self.vectors = [s for s in self.statements if isinstance(s, For) and s.kind == VECTORIZE]
        (name,) = fresh(program, "marks")
        self.marks = Buffer(name, int8, (len(self.statements) + 3 * len(self.vectors),))
        self.body = Alloc(self.marks, self.marked(program.body))

    def mark(self, element: int) -> Stmt:
        return Prefetch(self.marks, (const(element),))

    def marked(self, s: Stmt) -> Stmt:
        """A statement with marks in it, and before it where it reads or writes itself."""
        made = map_bodies(s, self.marked)
        if isinstance(made, For) and s in self.vectors:
            first = len(self.statements) + 3 * self.vectors.index(s)
            begin, lane, end = map(self.mark, range(first, first + 3))
            made = seq(begin, replace(made, body=seq(lane, made.body)), end)
        if isinstance(s, (Store, Update, ExternCall)) or loads(*expressions(s)):
            return seq(self.mark(self.statements.index(s)), made)
        return made

    def read(self, found: Accesses) -> tuple[list[Visit], list[Stmt]]:
        """The visits, and what runs at each moment, of a trace with marks."""
        now, begin, end = -1, [-1] * len(self.vectors), [-1] * len(self.vectors)
        visits, running, many = dict[Visit, None](), dict[int, Stmt](), len(self.statements)
        for number, element, kind in zip(
            found.buffer.tolist(), found.element.tolist(), found.kind.tolist(), strict=True
        ):
            if found.buffers[number] is not self.marks:
                if kind != HINT:
                    visits[Visit(now, number, element, kind == STORE)] = None
            elif element < many:
                now += 1
                running.setdefault(now, self.statements[element])
            else:  # the iterations of a vectorized loop begin at the same moment, and it ends with the last of them
                loop, what = divmod(element - many, 3)
                begin[loop] = now if what == 0 else begin[loop]
                end[loop] = now if what == 0 else max(end[loop], now)
                now = (now, begin[loop], end[loop])[what]
        return list(visits), [running[n] for n in range(len(running))]


def _grids(program: Program, found: Visits | Accesses, wanted: str | Sequence[str]) -> dict[int, Grid]:
    """The cells of each buffer to draw, by its number. Raises LoopError where one is unknown, or has too many elements."""
    names, known = [wanted] if isinstance(wanted, str) else list(wanted), [b.name for b in found.buffers]
    if unknown := [name for name in names if name not in known]:
        call, problem = f"{program.name}.picture(buffer={wanted!r})", f"expected names of buffers, got {unknown[0]!r}"
        raise LoopError(call, problem, str(program), f"one of {', '.join(known)}")
    chosen = [n for n, name in enumerate(known) if name in names or not names]
    cell = cell_size([found.shapes[n] for n in chosen])
    grids = {}
    for n in chosen:
        scope = "" if found.buffers[n].scope == "global" else f" {found.buffers[n].scope}"
        grids[n] = Grid(f"{known[n]}: {list(found.shapes[n])}{scope}", found.shapes[n], cell)
    cells, columns = sum(g.size for g in grids.values()), max([g.columns for g in grids.values()], default=0)
    if cells > MOST_CELLS or columns > MOST_COLUMNS:
        most = f"{MOST_CELLS:,} elements in rows of at most {MOST_COLUMNS}"
        raise _too_many(program, found, f"{most}, got {cells:,} in rows of up to {columns:,}")
    return grids


def draw_visits(
    program: Program,
    sizes: Mapping[Any, int] | None = None,
    buffer: str | Sequence[str] = (),
    arrays: Sequence[Any] | None = None,
    seconds: float | None = None,
) -> Picture:
    """The order of visits, of all buffers or of those named. `seconds` is how long all of it takes, before it begins anew.

    `sizes` are the symbolic extents, by name; `arrays` the inputs, where data decide. Raises LoopError where there are too many
    visits or elements, no such buffer, or no number for a size.
    """
    found = visited(program, sizes, arrays)
    grids, many = _grids(program, found, buffer), len(found.running)
    corners, width, bottom = side_by_side(list(grids.values()), MARGIN, MARGIN + 24)
    words, inside = (
        [f"The order in which {program.name} visits the elements of its buffers, in {many} moments."],
        list[str](),
    )
    for (n, grid), (x, y) in zip(grids.items(), corners, strict=True):
        own: dict[int, list[Visit]] = {}
        for v in found.visits:
            if v.buffer == n:
                own.setdefault(v.element, []).append(v)
        inside.append(
            group([*grid.heads(), *grid.lines(), *in_parts(_by_time(grid, own, many))], transform=move_to(x, y))
        )
        told = [f"[{', '.join(map(str, grid.index(element)))}]" for element in own][:TOLD]
        words.append(f"{found.buffers[n].name}: {', '.join(told) or 'none'}{', ...' * (len(own) > TOLD)}.")
    lines, reached, bottom = _code(program, found.running, bottom)
    title, note = (
        f"Visits of {program.name}",
        "What a statement reads and writes lights up together, all of a vector, too. A pointer on it stops it;",
    )
    more = "a parallel loop runs thread after thread. A number, and the shade, say which was visited first."
    width = max(width, reached, wide(note, 10) + MARGIN) + MARGIN
    entries, bottom = legend(MARGIN, bottom + 12, [
        ("c2", "written now (a square)"), ("c3", "read now (a dot)"), (SHADES[0], "visited early"), (SHADES[-1], "late"),
        *([("strong", "runs now")] if lines else []),
    ], width - 2 * MARGIN)  # fmt: skip
    entries += [text(MARGIN, bottom + 18, note, "small"), text(MARGIN, bottom + 32, more, "small")]
    last = many + FADE
    took = seconds or min(max(last * 0.4, 6), 60)
    style = f"--end: {last}; --time: {took:.1f}s; --steps: steps({last})"
    shapes = [
        text(MARGIN, MARGIN + 12, title, "head"),
        group([*inside, *lines], kind="visits", tabindex=0, style=style),
        *entries,
    ]
    return Picture(title, "\n".join(words), width, bottom + 32 + MARGIN, shapes, STYLE)


def _by_time(grid: Grid, own: Mapping[int, Sequence[Visit]], many: int) -> Iterator[Flash]:
    """What remains of a buffer's cells when each is visited first, and what lights up at each visit."""
    half = grid.cell / 2
    for rank, (element, visits) in enumerate(own.items(), 1):
        x, y = grid.at(element)
        kind, on = shade(visits[0].moment + 1, many)
        shown = [grid.mark(element, kind, inset=0.5)]
        if wide(rank, 10) < grid.cell:
            shown.append(text(x + half, y + half + 4, rank, on, "middle"))
        hover = f"{grid.named(element)}, number {rank}: {'; '.join(_moments(visits))}"
        first = visits[0].moment
        yield Flash(first, first, group(shown, hover, kind="seen", style=f"--t: {first}"))
        written = {v.moment for v in visits if v.is_store}
        for v in visits:
            style = f"--t: {v.moment}"
            if v.is_store:
                yield Flash(v.moment, v.moment, grid.mark(element, "c2 now", style=style))
            elif v.moment not in written:
                shape = circle(x + half, y + half, grid.cell * 0.36, "c3 now", style=style)
                yield Flash(v.moment, v.moment, shape)


def _moments(visits: Sequence[Visit]) -> Iterator[str]:
    for did, store in (("written", True), ("read", False)):
        if moments := [v.moment + 1 for v in visits if v.is_store == store]:
            more = f" and {len(moments) - TOLD} times more" if len(moments) > TOLD else ""
            yield f"{did} at {', '.join(map(str, moments[:TOLD]))}{more}"


def _code(program: Program, running: Sequence[Stmt], top: float) -> tuple[list[str], float, float]:
    """The lines of the program, each in a frame while it runs; and how far they reach to the right and below.

    Long code is left out: the cells are what is to be seen.
    """
    place = {p.stmt: p for p in places(program)}
    begin = min([p.line for p in place.values()], default=1)
    lines = textwrap.dedent("\n".join(str(program).splitlines()[begin - 1 :])).splitlines()
    below = [0, *accumulate(ROW * len(wrapped(line)) for line in lines)]
    if not running or below[-1] > ROW * MOST_LINES:
        return [], 0.0, top
    right = MARGIN + max(indent(line) * INDENT + reach(line) for line in lines) + PAD
    frames, moment = list[Flash](), 0
    for s, moments in groupby(running):
        first, moment = moment, moment + len(list(moments))
        y, end = (below[place[s].line - begin + n] for n in (0, place[s].lines))
        style = f"--t: {first}; --u: {moment - 1}"
        shape = rect(MARGIN - PAD, top + PAD + y, right - MARGIN + PAD, end - y, "strong now", rx=3, style=style)
        frames.append(Flash(first, moment - 1, shape))
    words = [
        code(MARGIN + indent(line) * INDENT, top + PAD + y, wrapped(line))
        for line, y in zip(lines, below, strict=False)
    ]
    return [*in_parts(frames), *words], right, top + 2 * PAD + below[-1]


def draw_heat(
    program: Program,
    sizes: Mapping[Any, int] | None = None,
    buffer: str | Sequence[str] = (),
    arrays: Sequence[Any] | None = None,
    caches: Sequence[Cache] = (),
) -> Picture:
    """How often each element is read and written, or with `caches` how often it misses each; the rest is as in `draw_visits`."""
    found = accesses(program, sizes, arrays)
    did, which = "reads and writes", {"is read": found.kind == LOAD, "is written": found.kind == STORE}
    if caches:
        missing = [missed & (found.kind != HINT) for missed in misses(found, caches)]
        did, which = "misses", {f"misses L{n}" if len(caches) > 1 else "misses": of for n, of in enumerate(missing, 1)}
    counted = list[tuple[Grid, list[int]]]()
    words = [f"How often {program.name} {did} the elements of its buffers."]
    for n, grid in _grids(program, found, buffer).items():
        for verb, chosen in which.items():
            elements = found.element[chosen & (found.buffer == n)]
            if len(elements):
                times: list[int] = np.bincount(elements, minlength=grid.size).tolist()
                counted.append((changed(grid, label=f"{grid.label} {verb.removeprefix('is ')}"), times))
                each = f"an element {min(times):,} to {max(times):,} times"
                words.append(f"{found.buffers[n].name} {verb} {sum(times):,} times, {each}.")
    most = max([max(times) for _, times in counted], default=1)
    corners, width, bottom = side_by_side([grid for grid, _ in counted], MARGIN, MARGIN + 24)
    title = f"{'Misses' if caches else 'Heat'} of {program.name}"
    shapes = [text(MARGIN, MARGIN + 12, title, "head")]
    for (grid, times), (x, y) in zip(counted, corners, strict=True):
        shapes.append(group([*grid.heads(), *grid.lines(), *_by_count(grid, times, most)], transform=move_to(x, y)))
    ranges = [(kind, f"{low:,} to {high:,}" if low < high else f"{low:,}") for kind, low, high in shades(most)]
    width = max(width, wide(title, 14) + MARGIN, 360) + MARGIN
    entries, bottom = legend(MARGIN, bottom + 12, [("none", "never"), *ranges], width - 2 * MARGIN)
    return Picture(title, "\n".join(words), width, bottom + MARGIN, [*shapes, *entries])


def _by_count(grid: Grid, times: Sequence[int], most: int) -> Iterator[str]:
    for element, count in enumerate(times):
        x, y = grid.at(element)
        kind, on = shade(count, most) if count else ("paper", "small")
        yield grid.mark(element, kind, f"{grid.named(element)}: {count:,}", inset=0.5)
        if wide(most, 10) < grid.cell:
            yield text(x + grid.cell / 2, y + grid.cell / 2 + 4, count, on, "middle")
