"""Every lesson runs, cell by cell as a notebook does; has the form that all have, and uses no term before it is introduced."""

import re
from pathlib import Path

import pytest

from minicc.course.concepts import early, introduced
from minicc.course.execute import executed
from minicc.course.form import malformed, misbehaved
from minicc.course.lesson import FOLDER, lessons, translated

LESSONS = lessons()
README = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("\n## Glossary\n")[2].partition("\n## ")[0]
GLOSSARY = {
    word + rest: meaning for word, rest, meaning in re.findall(r"^\| \*(.+?)\*(.*?) \| (.+?) \|$", SECTION, re.M)
}


def named(lesson):
    return lesson.name


@pytest.mark.course
@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_lesson(lesson):
    if lesson.missing:
        pytest.skip(f"needs {', '.join(lesson.missing)}")
    ran = executed(FOLDER / f"{lesson.name}.py")
    assert misbehaved(lesson, ran) == []


@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_a_lesson_has_the_form_of_all(lesson):
    assert malformed(lesson) == []


def test_no_term_is_used_before_it_is_introduced():
    """Nor a word of the README's glossary that no lesson introduces, those aside that everybody knows."""
    assert early(LESSONS, also=[word for word in GLOSSARY if word not in ("loop", "rule", "step")]) == []


@pytest.mark.parametrize("lesson", LESSONS, ids=named)
def test_a_translation_has_the_cells_of_its_lesson(lesson):
    """And the terms, in their order, each with the English word where it is another one; the first five are there in Chinese."""
    other = translated(lesson)
    assert other or lesson.number > "04"
    if other:
        assert [term.english or term.term for term in other.terms] == [term.term for term in lesson.terms]
        assert introduced(other) == {term.term for term in other.terms}


def test_a_term_has_one_meaning_here_and_in_the_readme():
    """The README may say more of it."""
    assert len(GLOSSARY) > 30
    terms = [term.term for lesson in LESSONS for term in lesson.terms]
    assert sorted(set(terms)) == sorted(terms)
    for lesson in LESSONS:
        for term in lesson.terms:
            assert term.meaning in GLOSSARY.get(term.term, term.meaning), f"{lesson.name}: {term.term}"


def test_links_of_lessons_lead_somewhere():
    for lesson in LESSONS:
        for cell in lesson.cells:
            for link in re.findall(r"\]\(([^)#\s]+)\)", cell.source) if cell.kind == "markdown" else ():
                assert link.startswith("https://") or (FOLDER / link).exists(), f"{lesson.name}:{cell.line}: {link}"


def test_every_lesson_that_the_readme_names_is_there():
    named = re.findall(r"^\| \[\d\d_.*\]\(tutorials/(\d\d_\w+)\.py\)", README, re.M)
    assert named == [lesson.name for lesson in LESSONS]
    assert [lesson.number for lesson in LESSONS] == [f"{number:02}" for number in range(15)]
    assert {path.stem for path in Path(FOLDER / "zh").glob("*.md")} <= set(named)
