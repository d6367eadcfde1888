"""The form of a lesson: what every one has, so that a reader finds his way in all of them.

In: a lesson, and where it was executed what came out. Out: what is missing, each with its place; nothing, if all is well.

>>> from minicc.course.lesson import parse
>>> for problem in malformed(parse("# %% [markdown]\\n# # Loops\\n", "03_loops.py")):
...     print(problem)
03_loops.py:2: the first cell asks no question
03_loops.py: the last cell is no `## What was not told`
03_loops.py: 0 cells are `## Words`; one is
03_loops.py: 0 exercises; three or more are, numbered from 1
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib import import_module

from minicc.course.concepts import introduced
from minicc.course.execute import Executed
from minicc.course.lesson import CHECK, EXERCISE, LEFT_OUT, Lesson, heads

LINES = 80  # that a lesson prints as a script, at most
EXERCISES = 3  # of a lesson, at least


def malformed(lesson: Lesson) -> list[str]:
    """What a lesson lacks that can be seen without running it."""
    return [f"{lesson.name}.py{problem}" for problem in (*_beginning(lesson), *_words(lesson), *_exercises(lesson))]


def misbehaved(lesson: Lesson, ran: Executed) -> list[str]:
    """What a lesson lacks that is seen when it runs: a picture, an answer of each check, few lines, no files left."""
    shown = [output for outputs in ran.outputs for output in outputs]
    lines = sum(output.text.count("\n") for output in shown if output.kind == "printed")
    wrong = [
        (any(output.kind == "svg" or "<svg" in output.text for output in shown), "no picture"),
        (lines <= LINES, f"{lines} lines are printed; at most {LINES} are"),
        (not ran.left, f"files are left behind: {', '.join(ran.left)}"),
    ]
    wrong += [
        (any("reply open" in output.text for output in outputs), f"exercise {cell.exercise} is not open")
        for cell, outputs in zip(lesson.cells, ran.outputs, strict=True)
        if cell.kind == "code" and cell.exercise
    ]
    return [f"{lesson.name}.py: {problem}" for right, problem in wrong if not right]


def _beginning(lesson: Lesson) -> Iterator[str]:
    first, last = lesson.cells[0], lesson.cells[-1]
    if not first.source.startswith("# "):
        yield f":{first.line}: the first line is no title `# # Title`"
    if "?" not in lesson.question:
        yield f":{first.line}: the first cell asks no question"
    if not heads(last, LEFT_OUT):
        yield f": the last cell is no `{LEFT_OUT}`"


def _words(lesson: Lesson) -> Iterator[str]:
    if len(lesson.glossary) != 1:
        yield f": {len(lesson.glossary)} cells are `## Words`; one is"
        return
    line = lesson.cells[lesson.glossary[0]].line
    terms = [term.term for term in lesson.terms]
    if len(terms) != lesson.cells[lesson.glossary[0]].source.count("\n- ") or not terms:
        yield f":{line}: a line is not `- **term**: meaning`"
    for term in dict.fromkeys(terms):
        if terms.count(term) > 1:
            yield f":{line}: `{term}` is defined twice"
    for term in sorted(set(terms) - introduced(lesson)):
        yield f":{line}: `{term}` never stands in bold in the prose before"


def _exercises(lesson: Lesson) -> Iterator[str]:
    for cell in lesson.cells:
        if found := EXERCISE.search(cell.source, 1) if cell.kind == "markdown" else None:
            yield f":{cell.line + cell.source.count(chr(10), 0, found.start())}: {found[0]} does not begin its cell"
    asked = [(k, cell) for k, cell in enumerate(lesson.cells) if cell.kind == "markdown" and cell.exercise]
    if len(asked) < EXERCISES or [cell.exercise for _, cell in asked] != [str(n + 1) for n in range(len(asked))]:
        yield f": {len(asked)} exercises; three or more are, numbered from 1"
    ends = [*(at for at, _ in asked), len(lesson.cells)][1:]
    for (at, cell), end in zip(asked, ends, strict=True):
        last = [after.source.rpartition("\n")[2] for after in lesson.cells[at:end] if after.kind == "code"]
        if not any((found := CHECK.match(line)) and found["number"] == cell.exercise for line in last):
            yield f":{cell.line}: no cell after exercise {cell.exercise} ends with check.ex{cell.exercise}(answer)"
        elif not hasattr(_checks(lesson), f"ex{cell.exercise}"):
            yield f":{cell.line}: course.checks.lesson_{lesson.number} has no ex{cell.exercise}"


def _checks(lesson: Lesson) -> object:
    name = f"minicc.course.checks.lesson_{lesson.number}"
    return import_module(name) if importlib.util.find_spec(name) else None
