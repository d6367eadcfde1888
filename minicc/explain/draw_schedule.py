"""Pictures of schedules: what a step takes from a program and what it brings, and a trace as a flow of steps.

In: a schedule, or a trace. Out: a `Picture`, or `Pictures` of every step. Lines that a step takes away are marked with -, those
that it brings with +; a line that only moves deeper into loops, or out, is marked with an arrow, and a loop that changes its
place has a line from the old one to the new.

>>> from minicc.schedule.examples import doubled
>>> s = doubled(64, 64)
>>> names = s.split("i", factor=8)
>>> print(s.picture().words)
Step 1 of 1, s.split("i", factor=8), takes 2 lines and brings 3:
- for i in range(64):
+ for i_o in range(8):
+ for i_i in range(8):
- B[i, j] = A[i, j]*2.0
+ B[i_o*8 + i_i, j] = A[i_o*8 + i_i, j]*2.0
>>> s.picture(step=2)
Traceback (most recent call last):
minicc.errors.ConfigError: ConfigError: example.picture(step=2): expected a step from 1 to 1, got 2
    s.split("i", factor=8)
hint: every=True shows each step
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from minicc.errors import ConfigError
from minicc.explain.code import CHAR, INDENT, MARGIN, PAD, ROW, code, indent, reach, wrapped
from minicc.explain.draw_program import ROWS, chosen, draw_program, nest
from minicc.explain.page import Pictures
from minicc.explain.picture import Picture, arrow, count, element, legend, line, number, rect, text, wide
from minicc.ir.drawn import drawn as with_options
from minicc.loop.program import Program
from minicc.schedule.choose import ChooseStep
from minicc.schedule.schedule import Schedule, Trace
from minicc.schedule.step import Step, loops_text
from minicc.schedule.te_schedule import TeSchedule

AROUND = 3  # lines that are shown around a change
LANE = 14  # pixels between the lines beside the code
MOST_STEPS = 24  # of one picture of a trace
MARKS = {
    "-": ("cut", "- taken away"), "+": ("add", "+ brought"),
    ">": ("soft", "> deeper in loops"), "<": ("soft", "< less deep"),
}  # fmt: skip


@dataclass
class Change:
    """A line of code, and what became of it: one of MARKS, or a space. A line without code stands for `skipped` lines."""

    mark: str
    code: str
    skipped: int = 0

    @property
    def rows(self) -> list[str]:
        return [f"… {self.skipped} lines as they were"] if self.skipped else wrapped(self.code)

    @property
    def indent(self) -> int:
        return indent(self.code)


def draw_te_schedule(schedule: TeSchedule, kind: str = "step", **options: Any) -> Picture | Pictures:
    """The picture of a schedule by stages: that of the schedule by loops underneath."""
    return draw_schedule(schedule.schedule, kind, **options)


def draw_schedule(schedule: Schedule, kind: str = "step", **options: Any) -> Picture | Pictures:
    """The picture of a schedule: of its last step, of another `step` (from 1), or of `every` one; with `kind` another of KINDS.

    The kinds of a program show what it is now. Raises ConfigError for another kind, or a step that is none.
    """
    made: Picture | Pictures = with_options(chosen(KINDS, kind, schedule.program.name), schedule, **options)
    return made


def steps(schedule: Schedule, step: int | None = None, every: bool = False) -> Picture | Pictures:
    """Before and after a step, or each of them; without a step, the program."""
    many, all_programs = len(schedule.trace), programs(schedule)
    if every:
        title, words = (
            f"Steps of {schedule.program.name}",
            f"Each of {many} steps, with what it takes away and what it brings.",
        )
        return Pictures(
            title, words, [(f"{n}. {s}", _step(schedule, n, all_programs)) for n, s in enumerate(schedule.trace, 1)]
        )
    if step is None and not many:
        return nest(schedule.program)
    if step is not None and not 1 <= step <= many:
        wanted = f"a step from 1 to {many}" if many else "no step, as the trace is empty"
        call, problem = f"{schedule.program.name}.picture(step={step})", f"expected {wanted}, got {step}"
        raise ConfigError(
            call, problem, str(schedule.trace) or "s.moves() lists the first ones", "every=True shows each step"
        )
    return _step(schedule, step or many, all_programs)


def programs(schedule: Schedule) -> list[Program]:
    """The program before all steps, and after each."""
    again = Schedule(schedule.start)
    found = [again.program]
    for step in schedule.trace:
        again.apply(step)
        found.append(again.program)
    return found


def _step(schedule: Schedule, n: int, programs: Sequence[Program]) -> Picture:
    taken, many = schedule.trace.steps[n - 1], len(schedule.trace)
    changes = list(compared(*[loops_text(p) for p in programs[n - 1 : n + 1]]))
    told = [f"{c.mark} {c.code.strip()}" for c in changes if c.mark in "-+"]
    taken_away, brought = [sum(c.mark == mark for c in changes) for mark in "-+"]
    did = f"takes {count(taken_away, 'line')} and brings {brought}:" if told else "changes no line."
    return drawn(
        f"Step {n}: {taken}",
        taken,
        "\n".join([f"Step {n} of {many}, {taken}, {did}", *told[:ROWS]]),
        shortened(changes),
    )


def compared(before: str, after: str) -> Iterator[Change]:
    """The lines of two texts, each with its mark. A line is the same wherever it is indented."""
    old, new = before.splitlines(), after.splitlines()
    matcher = SequenceMatcher(None, [one.strip() for one in old], [one.strip() for one in new], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            for was, now in zip(old[a:b], new[c:d], strict=True):
                yield Change(" " if was == now else ">" if len(now) > len(was) else "<", now)
        else:
            yield from (Change("-", gone) for gone in old[a:b])
            yield from (Change("+", come) for come in new[c:d])


def shortened(changes: list[Change]) -> list[Change]:
    """The changes with what is near and the loops around, all else left out."""
    kept = set[int]()
    for n, change in enumerate(changes):
        if change.mark == " ":
            continue
        kept.update(range(n - AROUND, n + AROUND + 1))
        depth = change.indent
        for k in range(n - 1, -1, -1):
            if changes[k].indent < depth:
                kept.add(k)
                depth = changes[k].indent
    shown = list[Change]()
    for n, change in enumerate(changes):
        if n in kept or not any(c.mark != " " for c in changes):
            shown.append(change)
        elif shown and shown[-1].skipped:
            shown[-1].skipped += 1
        else:
            shown.append(Change(" ", change.code, 1))
    return shown


def drawn(title: str, step: Step, words: str, changes: list[Change]) -> Picture:
    """The picture of lines that a step changed."""
    call, left = wrapped(str(step)), MARGIN + 2 * CHAR
    shapes = [text(MARGIN, MARGIN + 12, title.partition(":")[0], "head"), code(MARGIN, MARGIN + 18, call, "code bold")]
    places, y = dict[tuple[str, str], float](), MARGIN + 24.0 + ROW * len(call)
    right = max([0, *[left + c.indent * INDENT + (wide(c.rows[0]) if c.skipped else reach(c.code)) for c in changes]])
    right = max(right + 2 * PAD, 300)
    left_out, used = 0, list[str]()
    for n, change in enumerate(changes):
        if y > ROWS * ROW:
            left_out = len(changes) - n
            break
        rows, x = change.rows, left + change.indent * INDENT
        if change.mark != " ":
            used.append(change.mark)
            places.setdefault((change.mark, change.code.strip()), y + ROW / 2)
            shapes.append(rect(MARGIN - PAD, y, right - MARGIN + PAD, ROW * len(rows), MARKS[change.mark][0]))
            shapes.append(text(MARGIN, y + ROW - 5, change.mark, "code"))
        shapes.append(code(x, y, rows, "muted" if change.skipped else "code", change.code))
        y += ROW * len(rows)
    if left_out:
        rest = f"… and {left_out} more lines, which the text has: print(schedule.program)"
        shapes.append(text(MARGIN, y + ROW - 5, rest, "muted"))
        y += ROW
    lines, edge = moved(places, right)
    width = max(edge, MARGIN + reach(str(step)) * 1.02, 360) + MARGIN
    meanings = [
        *[MARKS[m] for m in MARKS if m in used],
        *([("strong", "moved, from the old place to the new")] if lines else []),
    ]
    if meanings:
        entries, y = legend(MARGIN, y + 12, meanings, width - 2 * MARGIN)
        shapes += entries
    return Picture(title, words, width, y + MARGIN, [*shapes, *lines])


def moved(places: dict[tuple[str, str], float], right: float) -> tuple[list[str], float]:
    """A line from where a line of code was to where it is now, for each that changed its place; and where they end."""
    shapes, at = list[str](), right
    for (mark, words), y in places.items():
        now = places.get(("+", words))
        if mark == "-" and now is not None:
            at += LANE
            path = [(right, y), (at, y), (at, now), (right + 7, now)]
            shapes += [line(path, "strong", f"moved: {words}"), tip(right + 1, now)]
    return shapes, at


def tip(x: float, y: float) -> str:
    """The tip of a line that comes from the right."""
    return element("path", kind="tip", d=f"M{number(x)},{number(y)} l7,-4 v8 z")


# ---- traces


def draw_trace(trace: Trace) -> Picture | Pictures:
    """The picture of a trace: its steps in order, with the options of each choice, and who uses it."""
    every = list(enumerate(trace, 1))
    told = "; ".join(f"{n}. {s}" for n, s in every[:20]) + f"; and {len(every) - 20} more" * (len(every) > 20)
    title, words = "Trace", f"A trace of {len(every)} steps: {told or 'none'}."
    if len(every) <= MOST_STEPS:
        return _flow(title, words, every)
    some = [every[n : n + MOST_STEPS] for n in range(0, len(every), MOST_STEPS)]
    names = [f"steps {part[0][0]} to {part[-1][0]}" for part in some]
    return Pictures(
        title,
        words,
        [
            (name, _flow(f"{title}, {name}", f"The {name}. {words}", part))
            for name, part in zip(names, some, strict=True)
        ],
    )


def _flow(title: str, words: str, numbered: Sequence[tuple[int, Step]]) -> Picture:
    """Boxes from above to below, and lines from choices to the steps that use them."""
    labels = [f"{s.key} = {s.value}" if isinstance(s, ChooseStep) else str(s) for _, s in numbered]
    left = MARGIN + 28.0
    right = left + 2 * PAD + max([152.0, *map(reach, labels)])
    shapes, y, tops, edge = [text(MARGIN, MARGIN + 12, title, "head")], MARGIN + 26.0, list[float](), right
    for (n, s), part in zip(numbered, map(wrapped, labels), strict=True):
        tops.append(y)
        high = ROW * len(part) + PAD
        choice = isinstance(s, ChooseStep)
        shapes += [
            text(left - 8, y + ROW - 3, n, "muted", "end"),
            rect(left, y, right - left, high, "c2" if choice else "soft", rx=4),
        ]
        shapes.append(code(left + PAD, y + PAD / 2, part, "code", str(s)))
        if isinstance(s, ChooseStep):
            more, end = _options(right + 12, y, s)
            shapes += more
            edge = max(edge, end)
        y += high + 14
    shapes += [arrow([(left + 20, b - 14), (left + 20, b)]) for _, b in pairwise(tops)]
    lanes, edge = _uses(numbered, tops, right, edge)
    shapes += lanes
    width = max(edge, 360) + MARGIN
    if any(isinstance(s, ChooseStep) for _, s in numbered):
        entries, y = legend(
            MARGIN,
            y,
            [("c2", "a choice: the number, and in bold among its options"), ("soft", "a step")],
            width - 2 * MARGIN,
        )
        shapes += entries
    return Picture(title, words, width, y + MARGIN, shapes)


def _options(x: float, y: float, s: ChooseStep) -> tuple[list[str], float]:
    """The options of a choice, the chosen one in bold; and where they end."""
    shapes = [text(x, y + ROW - 3, "one of", "muted")]
    x += wide("one of ") + 4
    for option in s.options:
        shapes.append(text(x, y + ROW - 3, option, "bold" if option == s.value else "muted"))
        x += wide(option) + 12
    return shapes, x


def _uses(
    numbered: Sequence[tuple[int, Step]], tops: list[float], right: float, edge: float
) -> tuple[list[str], float]:
    """A line from each choice to the steps that use it, each in a lane of its own."""
    shapes, at = list[str](), edge
    for n, (_, s) in enumerate(numbered):
        users = [k for k, (_, other) in enumerate(numbered) if isinstance(s, ChooseStep) and s.key in other.chosen()]
        if not users or not isinstance(s, ChooseStep):
            continue
        at += LANE
        last = tops[users[-1]] + ROW / 2
        shapes.append(
            line([(edge + 2, tops[n] + ROW / 2), (at, tops[n] + ROW / 2), (at, last)], "strong", f"{s.key} is used")
        )
        for user in users:
            y = tops[user] + ROW / 2
            shapes += [line([(at, y), (right + 7, y)], "strong", f"{s.key} is used"), tip(right + 1, y)]
    return shapes, at


def _of_program(kind: str) -> Callable[..., Picture | Pictures]:
    return lambda schedule, **options: draw_program(schedule.program, kind, **options)


def _trace(schedule: Schedule) -> Picture | Pictures:
    return draw_trace(schedule.trace)


KINDS: dict[str, Callable[..., Picture | Pictures]] = {
    "step": steps,
    "trace": _trace,
    **{kind: _of_program(kind) for kind in ("nest", "visits", "heat")},
}
