"""Which lesson introduces which term, which lessons use it, and which use one too early.

In: lessons in their order. Out: the table of concepts, and what breaks the order: prose that uses a term before the place where it
stands in bold, in the lesson whose cell `## Words` says what it means. Headings announce, and the last cell looks ahead: both may.

>>> from minicc.course.lesson import parse
>>> first = parse("# %% [markdown]\\n# # One\\n# Cut the loop nest.\\n", "01_one.py")
>>> second = parse("# %% [markdown]\\n# # Two\\n# A **loop nest**.\\n# %% [markdown]\\n# ## Words\\n# - **loop nest**: loops in loops\\n", "02_two.py")
>>> early([first, second])
['01_one.py:2: `loop nest` is used before lesson 02 introduces it']
>>> [(c.term.term, c.introduced.number, [lesson.number for lesson in c.used]) for c in concepts([second, first])]
[('loop nest', '02', ['01'])]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minicc.course.lesson import LEFT_OUT, LessonCell, Lesson, Term, heads
from minicc.course.prose import Terms, spoken


@dataclass(frozen=True)
class Concept:
    """A term, the lesson that introduces it, and all others that use it."""

    term: Term
    introduced: Lesson
    used: Sequence[Lesson]


def concepts(lessons: Sequence[Lesson]) -> list[Concept]:
    """Every term of the lessons, in the order of these."""
    found = [(term, lesson) for lesson in lessons for term in lesson.terms]
    terms = Terms(term.term for term, _ in found)
    uses = {
        lesson.name: {term for cell in prose(lesson, whole=True) for _, term, _ in _uses(cell, terms)}
        for lesson in lessons
    }
    return [
        Concept(term, lesson, [other for other in lessons if other != lesson and term.term in uses[other.name]])
        for term, lesson in found
    ]


def early(lessons: Sequence[Lesson], also: Sequence[str] = ()) -> list[str]:
    """Each use of a term before the place that introduces it; `also` are terms that must be introduced where they are used at all."""
    home = {term.term: lesson for lesson in reversed(lessons) for term in lesson.terms}
    known, wrong = set[str](), list[str]()
    terms = Terms([*home, *also])
    for lesson in lessons:
        for cell in prose(lesson):
            for words, term, strong in _uses(cell, terms):
                if strong and home.get(term) == lesson:
                    known.add(term)
                elif term not in known:
                    when = (
                        f"before lesson {home[term].number} introduces it"
                        if term in home
                        else "and no lesson introduces it"
                    )
                    wrong.append(f"{lesson.name}.py:{cell.line}: `{words}` is used {when}")
    return wrong


def introduced(lesson: Lesson) -> set[str]:
    """The terms of a lesson that stand in bold in its prose."""
    terms = Terms(term.term for term in lesson.terms)
    return {term for cell in prose(lesson) for _, term, strong in _uses(cell, terms) if strong}


def prose(lesson: Lesson, whole: bool = False) -> list[LessonCell]:
    """The cells of prose, without the one that defines the terms; `whole` takes the one that looks ahead, too."""
    ahead = () if whole else (LEFT_OUT,)
    return [
        cell
        for number, cell in enumerate(lesson.cells)
        if cell.kind == "markdown" and number not in lesson.glossary and not heads(cell, *ahead)
    ]


def _uses(cell: LessonCell, terms: Terms) -> Iterator[tuple[str, str, bool]]:
    """Each use of a term in a cell: its words, the term, and whether all that stands in bold is the term."""
    for piece in spoken(cell.source):
        for found, term in terms.find(piece.words):
            yield found.group(), term, piece.strong and found.group() == piece.words.strip()
