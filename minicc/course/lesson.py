"""Lessons: files of Python whose cells begin with `# %%`, of prose where `[markdown]` follows.

In: the path of a lesson. Out: its cells, its terms and its exercises. A lesson reads the same as a script, as a notebook and as a
page. Its first cell has its title and the question that it answers; its terms stand in bold where they are introduced, and each
has a line in the cell `## Words`.

>>> lesson = parse("# %% [markdown]\\n# # Loops\\n#\\n# What is a loop?\\n\\n# %%\\nprint(1)\\n", "03_loops.py")
>>> lesson.title, lesson.number, [(cell.kind, cell.line) for cell in lesson.cells]
('Loops', '03', [('markdown', 2), ('code', 7)])

Source: Jupytext, the percent format. A translation, `zh/NN_name.md`, has the cells of prose alone, between lines `%%`.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from minicc.errors import ConfigError
from minicc.paths import unreadable

FOLDER = Path(__file__).parents[2] / "tutorials"
WORDS, LEFT_OUT = "## Words", "## What was not told"
BEGIN = re.compile(r"^# %%(?P<markdown> \[markdown\])?$")
ENTRY = re.compile(r"^- \*\*(?P<term>[^*]+)\*\*(?:（(?P<english>[^）]+)）)?\s*[:：]\s*(?P<meaning>\S.*)$", re.M)
FOLDED = re.compile(r"(<details>\s*<summary>.*?</summary>)\s*(.*?)\s*(</details>)", re.S)
EXERCISE = re.compile(r"^### (?:Exercise|练习) (?P<number>\d+)", re.M)
CHECK = re.compile(r"^check\.ex(?P<number>\d+)\(", re.M)


@dataclass(frozen=True)
class LessonCell:
    """A cell: `markdown` or `code`, its text, and the line of the file at which that begins."""

    kind: str
    source: str
    line: int

    @property
    def exercise(self) -> str:
        """The number of the exercise that the cell asks, or has the check of; empty where it is none."""
        found = (EXERCISE.match if self.kind == "markdown" else CHECK.search)(self.source)
        return found["number"] if found else ""


@dataclass(frozen=True)
class Term:
    """What a lesson says a word of the field means; a translation tells the English one, too."""

    term: str
    meaning: str
    english: str = ""


@dataclass(frozen=True)
class Lesson:
    """A lesson, by the name of its file without its ending."""

    name: str
    cells: Sequence[LessonCell]
    language: str = "en"

    @property
    def number(self) -> str:
        return self.name.partition("_")[0]

    @property
    def title(self) -> str:
        return self.cells[0].source.partition("\n")[0].removeprefix("# ").strip()

    @property
    def question(self) -> str:
        """The first cell without the title and the comments."""
        return re.sub(r"<!--.*?-->", "", self.cells[0].source.partition("\n")[2], flags=re.S).strip()

    @property
    def needs(self) -> list[str]:
        """The extras of minicc that the lesson needs: `<!-- needs: tvm -->`."""
        return re.findall(r"[\w.-]+", " ".join(re.findall(r"^<!-- needs: (.*) -->$", self.cells[0].source, re.M)))

    @cached_property
    def missing(self) -> list[str]:
        """What the lesson needs that is not here."""
        return [name for name in self.needs if not importlib.util.find_spec(name)]

    @cached_property
    def terms(self) -> list[Term]:
        """What the cell `## Words` defines, in its order."""
        return [
            Term(found["term"].strip(), found["meaning"].strip(), found["english"] or "")
            for number in self.glossary
            for found in ENTRY.finditer(re.sub(r"\n {2,}", " ", self.cells[number].source))
        ]

    @property
    def glossary(self) -> list[int]:
        """The numbers of the cells `## Words`; one, if all is well."""
        return [k for k, cell in enumerate(self.cells) if cell.kind == "markdown" and heads(cell, WORDS, "## 词汇")]


def heads(cell: LessonCell, *headings: str) -> bool:
    """Whether a cell begins with one of the headings."""
    return cell.source.partition("\n")[0].strip() in headings


def lessons(folder: Path = FOLDER) -> list[Lesson]:
    """All lessons of a folder, in order. Raises ConfigError where there are none."""
    if not (paths := sorted(folder.glob("[0-9][0-9]_*.py"))):
        hint = "they are in tutorials/ of a clone of minicc, and are not installed with it"
        raise ConfigError("lessons", "expected a folder of lessons, got none", str(folder), hint)
    return [read(path) for path in paths]


def read(path: Path) -> Lesson:
    """The lesson of a file. Raises ConfigError when that is in no percent format."""
    if refused := unreadable(path, ".py"):
        raise ConfigError(f"lesson {path}", f"expected a file, got {refused[0]}", str(path), refused[1])
    return parse(path.read_text(encoding="utf-8"), path.name)


def parse(text: str, name: str) -> Lesson:
    """The lesson of a text."""
    lines = text.split("\n")
    begins = [k for k, line in enumerate(lines) if line.startswith("# %%")]
    if not begins or any(line.strip() for line in lines[: begins[0]]):
        raise _malformed(name, 1, "a first line `# %% [markdown]`", lines[0])
    spans = zip(begins, [*begins[1:], len(lines)], strict=True)
    return Lesson(name.removesuffix(".py"), [_cell(lines, start, end, name) for start, end in spans])


def _cell(lines: Sequence[str], start: int, end: int, name: str) -> LessonCell:
    if not (begin := BEGIN.match(lines[start])):
        raise _malformed(name, start + 1, "`# %%` or `# %% [markdown]`", lines[start])
    body = "\n".join(lines[start + 1 : end]).rstrip().split("\n")
    if not begin["markdown"]:
        return LessonCell("code", "\n".join(body), start + 2)
    for number, line in enumerate(body, start + 2):
        if line not in ("", "#") and not line.startswith("# "):
            raise _malformed(name, number, "a line of prose that begins with `# `", line)
    return LessonCell("markdown", apart("\n".join(line[2:] for line in body)), start + 2)


def apart(markdown: str) -> str:
    """Prose whose folded parts stand between empty lines, so that they are read as Markdown, too."""
    return FOLDED.sub(r"\1\n\n\2\n\n\3", markdown)


def translated(lesson: Lesson, language: str = "zh", folder: Path = FOLDER) -> Lesson | None:
    """The lesson with its prose in another language; None where nobody has translated it.

    Raises ConfigError unless the translation has as many cells as the lesson has of prose.
    """
    path = folder / language / f"{lesson.name}.md"
    if not path.is_file():
        return None
    prose = list(_prose(path.read_text(encoding="utf-8")))
    expected = sum(cell.kind == "markdown" for cell in lesson.cells)
    if len(prose) != expected:
        problem = f"expected {expected} cells, as {lesson.name}.py has of prose, got {len(prose)}"
        raise ConfigError(f"translated({lesson.name!r})", problem, f"{language}/{path.name}", "a line `%%` ends a cell")
    rest = iter(prose)
    cells = [next(rest) if cell.kind == "markdown" else cell for cell in lesson.cells]
    return replace(lesson, cells=cells, language=language)


def _prose(text: str) -> Iterator[LessonCell]:
    line = 1
    for part in re.split(r"^%%$", text, flags=re.M):
        yield LessonCell("markdown", apart(part.strip()), line + len(part) - len(part.lstrip("\n")))
        line += part.count("\n")


def _malformed(name: str, line: int, expected: str, got: str) -> ConfigError:
    problem = f"expected {expected}, got {got[:80]!r}"
    return ConfigError(f"lesson {name}", problem, f"{name}:{line}", "cells begin with `# %%`, or `# %% [markdown]`")
