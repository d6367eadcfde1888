"""Lessons are read, executed and judged as they are meant to be: each fault is found, at its place."""

import re

import pytest

from minicc.course.concepts import concepts, early
from minicc.course.execute import execute, executed
from minicc.course.form import malformed, misbehaved
from minicc.course.lesson import lessons, parse, translated
from minicc.course.prose import spoken
from minicc.errors import ConfigError, RunError

LESSON = '''
# %% [markdown]
# # Loops
#
# How often does it run?

# %%
from minicc.explain.picture import Picture, circle

# %% [markdown]
# A **loop** repeats; its **extent** says how often. Extents are integers.

# %%
Picture("a dot", "A dot.", 9, 9, [circle(4, 4, 3)])

# %% [markdown]
# ### Exercise 1
# <details><summary>Hint</summary> Count `i`. </details>

# %%
answer = ...
check.ex1(answer)

# %% [markdown]
# ## Words
# - **loop**: what repeats
# - **extent**: how many trips a loop makes

# %% [markdown]
# ## What was not told
# A cache line.
'''.lstrip()  # fmt: skip


def run(text):
    return execute(parse(text, "00_x.py"), "00_x.py")


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("x = 1\n# %%\n", "a.py:1", "a first line"),
        ("", "a.py:1", "a first line"),
        ("# %% [markdown]\n# # T\nx = 1\n", "a.py:3", "a line of prose"),
        ("# %% [raw]\n# # T\n", "a.py:1", "or `# %% \\[markdown\\]`"),
    ],
)
def test_what_is_in_no_percent_format_is_refused(text, place, expected):
    with pytest.raises(ConfigError, match=f"expected .*{expected}") as error:
        parse(text, "a.py")
    assert error.value.where == place


def test_a_cell_is_shown_as_a_notebook_shows_it():
    shown = run(
        "# %%\nclass A:\n    _repr_html_ = lambda self: '<b>a</b>'\nprint(1)\nA()\n# %%\nA\n# %%\nx = A()\n# %%\nNone\n"
    )
    assert [[(o.kind, o.text) for o in cell] for cell in shown] == [
        [("printed", "1\n"), ("html", "<b>a</b>")], [("text", "<class '__main__.A'>\n")], [], []]  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "place"),
    [
        ("# %%\ndef f():\n    return 1 / 0\n# %%\nf()\n", "00_x.py:3: return 1 / 0"),
        ("# %%\nx = 1\n# %%\nx = = 2\n", "00_x.py:4: x = = 2"),
        ("# %%\nimport sys\nsys.exit(0)\n", "00_x.py:3: sys.exit(0)"),
        ("# %%\nassert not 1\n", "00_x.py:2: assert not 1"),
    ],
)
def test_a_cell_that_fails_says_where(cells, place):
    with pytest.raises(RunError, match="expected a cell that runs to its end") as error:
        run(cells)
    assert error.value.where == place


def test_the_form_of_a_lesson_is_checked(monkeypatch):
    lesson = parse(LESSON, "99_loops.py")
    monkeypatch.setattr("minicc.course.form.EXERCISES", 1)
    assert malformed(lesson) == ["99_loops.py:16: course.checks.lesson_99 has no ex1"]
    for old, new, problem in [
        ("run?", "run.", ":2: the first cell asks no question"),
        ("## Words", "## Names", ": 0 cells are `## Words`; one is"),
        ("- **extent**: how", "- extent, how", ":24: a line is not `- **term**: meaning`"),
        ("**extent**: how", "**loop**: how", ":24: `loop` is defined twice"),
        ("its **extent**", "its extent", ":24: `extent` never stands in bold in the prose before"),
        ("Exercise 1", "Exercise 2", ": 1 exercises; three or more are, numbered from 1"),
        ("# ### Exercise 1", "# So:\n# ### Exercise 1", ":17: ### Exercise 1 does not begin its cell"),
        ("check.ex1(answer)", "answer", ":16: no cell after exercise 1 ends with check.ex1(answer)"),
        ("## What was not told", "## The end", ": the last cell is no `## What was not told`"),
    ]:
        assert old in LESSON and f"99_loops.py{problem}" in malformed(
            parse(LESSON.replace(old, new, 1), "99_loops.py")
        ), problem


@pytest.mark.course
def test_what_a_lesson_does_is_checked(tmp_path):
    reply = "class check:\n    def ex1(answer):\n        from minicc.course.exercise import Reply\n        return Reply('1', None, 'how often?')\n"
    text = LESSON.replace("answer = ...", reply + "answer = ...")
    path = tmp_path / "99_loops.py"
    path.write_text(text)
    lesson = parse(text, "99_loops.py")
    assert misbehaved(lesson, executed(path)) == []
    for old, new, problem in [
        ('Picture("a dot', "repr(Picture)#", "no picture"),
        ("answer = ...", "open('x', 'w')\nanswer = ...", "files are left behind: x"),
        ("answer = ...", "print('\\n' * 90)\nanswer = ...", "91 lines are printed; at most 80 are"),
        ("None, 'how", "True, 'how", "exercise 1 is not open"),
    ]:
        changed = text.replace(old, new, 1)
        path.write_text(changed)
        assert misbehaved(parse(changed, "99_loops.py"), executed(path)) == [f"99_loops.py: {problem}"]
    path.write_text("# %%\nimport subprocess\nsubprocess.run(['sleep', '5'])\n")
    with pytest.raises(RunError, match=r"expected a lesson of at most 0\.5 s, got a longer one"):
        executed(path, seconds=0.5)
    path.write_text("# %%\nimport os\nos._exit(3)\n")
    with pytest.raises(RunError, match="expected outputs, got exit code 3"):
        executed(path)


def test_a_term_is_found_before_it_is_introduced():
    later = parse(LESSON, "02_loops.py")

    def before(prose):
        return early([parse(f"# %% [markdown]\n# # Early loops\n#\n# {prose}\n", "01_before.py"), later])

    assert before("`loop` and\n#\n# ```\n# loop\n# ```\n# ## A loop") == []  # code, and headings
    assert before("loophole, reloop, loop-carried") == []
    for words in ("loop", "Loops", "extents", "**loop**"):
        assert before(f"What {words} are") == [
            f"01_before.py:2: `{words.strip('*')}` is used before lesson 02 introduces it"
        ]
    here = LESSON.replace("How often does it", "How often does the loop")
    assert early([parse(here, "02_loops.py")]) == ["02_loops.py:2: `loop` is used before lesson 02 introduces it"]
    assert early([later], also=["cache", "trip"]) == []  # the last cell looks ahead, code and Words do not count
    assert early([parse(LESSON.replace("repeats", "makes a trip"), "02_loops.py")], also=["trip"]) == [
        "02_loops.py:10: `trip` is used and no lesson introduces it"]  # fmt: skip


def test_the_table_of_concepts():
    after = parse("# %% [markdown]\n# # After\n# Two loops.\n", "03_after.py")
    table = concepts([parse(LESSON, "02_loops.py"), after])
    assert [(c.term.term, c.term.meaning, c.introduced.number, [u.number for u in c.used]) for c in table] == [
        ("loop", "what repeats", "02", ["03"]), ("extent", "how many trips a loop makes", "02", [])]  # fmt: skip


def test_a_translation_has_as_many_cells(tmp_path):
    lesson = parse(LESSON, "02_loops.py")
    assert translated(lesson, folder=tmp_path) is None
    (tmp_path / "zh").mkdir()
    path = tmp_path / "zh" / "02_loops.md"
    cells = ["# 循环\n\n多少次?", "**循环**（loop）", "### 练习 1", "## 词汇\n- **循环**（loop）：重复", "## 没有讲的"]
    path.write_text("\n%%\n".join(cells))
    other = translated(lesson, folder=tmp_path)
    assert other.title == "循环" and [(t.term, t.english, t.meaning) for t in other.terms] == [("循环", "loop", "重复")]
    assert [c.kind for c in other.cells] == [c.kind for c in lesson.cells] and other.cells[4].line == 7
    path.write_text("\n%%\n".join(cells[1:]))
    with pytest.raises(ConfigError, match=r"expected 5 cells, as 02_loops\.py has of prose, got 4"):
        translated(lesson, folder=tmp_path)


def test_every_emphasis_ends():
    """Beside a full stop and a Chinese character no `*` ends an emphasis: Markdown wants a blank there."""
    both = [[lesson, translated(lesson)] for lesson in lessons()]
    cells = [cell for each in both for lesson in each if lesson for cell in lesson.cells if cell.kind == "markdown"]
    assert len(cells) > 300 and not [
        said for cell in cells for said in spoken(cell.source) if re.search(r"\S\*|\*\S", said.words)
    ]
