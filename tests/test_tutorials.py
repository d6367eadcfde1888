"""Every tutorial runs as a script, and its assertions hold."""

import runpy
from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).parent.parent / "tutorials").glob("[0-9]*.py"))
RELAY = "04_relay_and_relax"
RUN = [
    pytest.param(lesson, marks=[pytest.mark.relay, pytest.mark.slow] if lesson.stem == RELAY else ())
    for lesson in LESSONS
]


@pytest.mark.parametrize("lesson", RUN, ids=lambda lesson: lesson.stem)
def test_lesson(lesson, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(lesson), run_name="__main__")
    assert capsys.readouterr().out
    assert not list(tmp_path.iterdir()), "a lesson leaves no files behind"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_lesson_is_in_percent_format(lesson):
    text = lesson.read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    markdown = [cell.partition("\n")[2] for cell in text.split("# %%")[1:] if cell.startswith(" [markdown]")]
    assert all(line.startswith("#") for cell in markdown for line in cell.splitlines() if line.strip())


def test_there_are_lessons():
    assert LESSONS
