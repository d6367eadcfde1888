"""A lesson, executed cell by cell as a notebook is, and what each cell showed.

In: a lesson. Out: for each cell what it printed and what its last expression is shown as: markup (`_repr_html_`), a drawing
(`_repr_svg_`), or text. All cells share the names of one module, in a folder that is empty; a cell that fails ends the lesson with
its place. `python -m minicc.course.execute LESSON OUT` writes it as JSON, from a process of its own, which `executed` starts.

>>> from minicc.course.lesson import parse
>>> [outputs] = execute(parse("# %%\\nx = 20\\nprint(x)\\nx + 1", "00_x.py"), "00_x.py")
>>> outputs
[Shown(kind='printed', text='20\\n'), Shown(kind='text', text='21\\n')]
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import CodeType, ModuleType

from minicc.course.lesson import LessonCell, Lesson, read
from minicc.errors import ConfigError, RunError
from minicc.runtime.files import write_file

SECONDS = 60.0  # that a lesson may take
FORMS = {"html": "_repr_html_", "svg": "_repr_svg_"}  # what an object may be shown as, the best first


@dataclass(frozen=True)
class Shown:
    """What a cell showed: what it `printed`, or its value as `text`, `html` or `svg`."""

    kind: str
    text: str


@dataclass(frozen=True)
class Executed:
    """A lesson's outputs, cell by cell; how many seconds it took, and the files that it left in its folder, hidden ones aside."""

    outputs: Sequence[Sequence[Shown]]
    seconds: float
    left: Sequence[str]


def executed(path: Path, seconds: float = SECONDS) -> Executed:
    """A lesson, executed by a process of its own. Raises RunError when a cell fails, or it takes longer."""
    call = f"lesson {path.name}"
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "outputs.json"
        command = [sys.executable, "-m", "minicc.course.execute", str(path.resolve()), str(found)]
        try:
            with Path(folder, "errors").open(
                "w+b"
            ) as errors:  # a pipe would stay open as long as what the lesson started
                ended = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, timeout=seconds
                )
        except subprocess.TimeoutExpired:
            problem = f"expected a lesson of at most {seconds:g} s, got a longer one"
            raise RunError(call, problem, path.name, "smaller sizes show the same") from None
        if not found.is_file():
            said = Path(folder, "errors").read_text(errors="replace").strip().rpartition("\n")[2]
            raise RunError(
                call, f"expected outputs, got exit code {ended.returncode}: {said}", path.name, f"python {path}"
            )
        told = json.loads(found.read_text(encoding="utf-8"))
    if "error" in told:
        problem, where, hint = told["error"]
        raise RunError(call, problem, where, hint)
    outputs = [[Shown(**output) for output in cell] for cell in told["outputs"]]
    return Executed(outputs, told["seconds"], told["left"])


def execute(lesson: Lesson, filename: str) -> list[list[Shown]]:
    """What the cells of a lesson show, in this process. Raises RunError when one fails."""
    module, main = ModuleType("__main__"), sys.modules["__main__"]
    sys.modules["__main__"] = module  # where pickle and dataclasses look for what a lesson defines
    try:
        return [_run(cell, module, lesson, filename) if cell.kind == "code" else [] for cell in lesson.cells]
    finally:
        sys.modules["__main__"] = main


def _run(cell: LessonCell, module: ModuleType, lesson: Lesson, filename: str) -> list[Shown]:
    printed, value = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            for code in _parts(cell, filename):
                value = eval(code, module.__dict__)  # of statements: None
            shown = list(_shown(value))
    except (Exception, SystemExit) as error:
        raise _failed(error, cell, lesson, filename) from error
    return [*([Shown("printed", printed.getvalue())] if printed.getvalue() else []), *shown]


def _parts(cell: LessonCell, filename: str) -> Iterator[CodeType]:
    """The statements of a cell, then its last expression, if it ends with one; at their lines of the file."""
    statements = ast.parse("\n" * (cell.line - 1) + cell.source, filename).body
    last = statements.pop() if statements and isinstance(statements[-1], ast.Expr) else None
    yield compile(ast.Module(statements, []), filename, "exec", dont_inherit=True)
    if isinstance(last, ast.Expr):
        yield compile(ast.Expression(last.value), filename, "eval", dont_inherit=True)


def _shown(value: object) -> Iterator[Shown]:
    """What a notebook shows of the value of a cell."""
    if value is None:
        return
    for kind, method in FORMS.items():
        form = None if isinstance(value, type) else getattr(value, method, None)
        if form is not None and (shown := form()) is not None:
            yield Shown(kind, shown)
            return
    yield Shown("text", f"{value!r}\n")


def _failed(error: BaseException, cell: LessonCell, lesson: Lesson, filename: str) -> RunError:
    """The error of a lesson, with the last of its lines that took part."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    line = error.lineno if isinstance(error, SyntaxError) and not lines else (lines or [cell.line])[-1]
    code = {k: text for cell in lesson.cells for k, text in enumerate(cell.source.split("\n"), cell.line)}
    name = Path(filename).name
    problem = f"expected a cell that runs to its end, got {type(error).__name__}: {error}"
    return RunError(
        f"lesson {name}", problem, f"{name}:{line}: {code.get(line or 0, '').strip()}", f"python {name} says more"
    )


def _main(path: Path, out: Path) -> None:
    """Execute a lesson in an empty folder, and write what it showed as JSON."""
    lesson, start = read(path), time.perf_counter()
    sys.path.insert(0, str(path.parent))  # as where it is run as a script
    told: dict[str, object]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            outputs = execute(lesson, str(path))
            told = {"outputs": [[asdict(output) for output in cell] for cell in outputs]}
            told |= {
                "seconds": time.perf_counter() - start,
                "left": sorted(path.name for path in Path(folder).glob("[!.]*")),
            }
        except (RunError, ConfigError) as error:
            told = {"error": [error.problem, error.where, error.hint]}
    write_file(out, json.dumps(told).encode())


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
