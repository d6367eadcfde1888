"""Hand-outs: solutions go, Tasks come, markers must pair; what is written is the same each time, and loses nobody's work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minicc.cli import app
from minicc.course.assignment import assignment, assignments
from minicc.course.handout import handout, hollowed, index, page, solution, source, write_handout
from minicc.course.hollow import KEPT_OF_COURSE
from minicc.errors import ConfigError

HANDED_OUT = Path(__file__).parents[2] / "tutorials/assignments"

SOLVED = '''def half(n):
    """Half of it."""
    # solution 2.1: say "half" of n
    # handout: odd = n % 2
    return n // 2
    # end


# solution
SECRET = 1
# end
'''


def test_a_task_takes_the_place_of_a_solution():
    text = hollowed(SOLVED)
    assert 'raise Task("2.1", "say \\"half\\" of n")' in text
    assert "    odd = n % 2\n    raise" in text
    assert "SECRET" not in text and "n // 2" not in text
    compile(text, "handout", "exec")


@pytest.mark.parametrize("text", ["# solution\nx = 1", "x = 1\n# end", "# solution\n# solution\n# end\n# end"])
def test_markers_that_do_not_pair_are_refused(text):
    with pytest.raises(ConfigError, match="in pairs"):
        hollowed(text, "a.py")


@pytest.mark.parametrize("name", assignments())
def test_handouts_are_those_of_the_solutions(name):
    """`minicc course handout --all --force tutorials/assignments` writes them anew."""
    folder = HANDED_OUT / name
    there = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "page.html"}
    assert there == handout(assignment(name)), test_handouts_are_those_of_the_solutions.__doc__


@pytest.mark.course
@pytest.mark.parametrize("name", assignments())
def test_pages_are_those_of_their_sources(name):
    """`minicc course handout --all --force tutorials/assignments` writes them anew."""
    there = (HANDED_OUT / name / "page.html").read_bytes()
    assert there == page(assignment(name)), test_pages_are_those_of_their_sources.__doc__
    assert there.count(b"<svg") and b"<h1>" in there and b"Traceback" not in there


def test_the_table_of_assignments_names_all():
    """`minicc course handout --all --force tutorials/assignments` writes it anew."""
    there = (HANDED_OUT / "README.md").read_text(encoding="utf-8")
    assert there == index(assignments().values()), test_the_table_of_assignments_names_all.__doc__


@pytest.mark.parametrize("name", assignments())
def test_a_handout_has_what_it_must_and_no_judge(name):
    this, files = assignment(name), handout(assignment(name))
    assert {*this.files, *this.given, f"test_{name}.py", "page.py", "pytest.ini", "README.md"} <= files.keys()
    assert not {"judge.py", "assignment.toml"} & files.keys()
    for file, text in files.items():
        assert not [line for line in text.decode().splitlines() if line.strip().startswith(("# solution", "# end"))], (
            file
        )
        assert not file.endswith(".py") or compile(text, file, "exec")
    readme, marks = files["README.md"].decode(), files["pytest.ini"].decode()
    for task in this.tasks:
        assert (
            f"pytest -m {task.mark}`" in readme and f"    {task.mark}: " in marks and f"task {task.name}" not in readme
        )


@pytest.fixture
def short_page(monkeypatch):
    """Pages that are not executed."""
    monkeypatch.setattr("minicc.course.handout.page", lambda _: b"<h1>")


def run(*words):
    return CliRunner().invoke(app, ["course", "handout", *map(str, words)])


def test_the_command_writes_one_or_all(tmp_path, short_page):
    assert run("a1", tmp_path / "loops").exit_code == 0
    assert run("--all", tmp_path / "all").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(["README.md", *assignments()])
    assert (tmp_path / "loops/puzzles.py").read_bytes() == (tmp_path / "all/a1/puzzles.py").read_bytes()
    assert isinstance(run("--all", "a1", "b").exception, ConfigError) and isinstance(run("a1").exception, ConfigError)


def test_what_a_student_wrote_stays_unless_force_is_given(tmp_path, short_page):
    this = assignment("a1")
    assert write_handout(this, tmp_path)
    (tmp_path / "puzzles.py").write_text("mine")
    (tmp_path / "README.md").unlink()
    with pytest.raises(ConfigError, match=r"differs from the hand-out, got puzzles\.py"):
        write_handout(this, tmp_path)
    assert (tmp_path / "puzzles.py").read_text() == "mine" and not (tmp_path / "README.md").exists()
    assert {path.name for path in write_handout(this, tmp_path, force=True)} == {"puzzles.py", "README.md"}


def test_a_link_is_not_written_through(tmp_path, short_page):
    (tmp_path / "puzzles.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(ConfigError, match="got a link"):
        write_handout(assignment("a1"), tmp_path, force=True)
    assert not (tmp_path / "elsewhere.py").exists()


@pytest.mark.course
@pytest.mark.parametrize("name", assignments())
def test_visible_tests_pass_with_the_solution_and_fail_without(name, tmp_path):
    for folder, files in (("open", {}), ("solved", solution(assignment(name)))):
        for file, text in (handout(assignment(name)) | files).items():
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / file).write_bytes(text)
    outcomes = [subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path / folder, capture_output=True, text=True)
                for folder in ("open", "solved")]  # fmt: skip
    assert [outcome.returncode for outcome in outcomes] == [1, 0], outcomes[1].stdout
    assert "error" not in outcomes[0].stdout.splitlines()[-1]


@pytest.mark.parametrize("name", assignments())
def test_files_of_a_handout_need_no_part_of_the_course_that_submissions_have_not(name):
    this = assignment(name)
    for file in (*this.given, *this.files):
        needed = set(re.findall(r"from minicc\.course\.(\w+)", source(this, file)))
        assert {f"{part}.py" for part in needed} <= set(KEPT_OF_COURSE), file
