"""Do the tests notice? Small faults, planted one by one in a copy of the project, and the quick suite run on each.

In: the checkout, a seed, a count. Out: for each mutant where it is, what was changed, and the first test
that failed, or that none did. The rooms take turns, so every one of them is drawn from.

    python -m minicc.testing.mutants --count 60 --seed 1 --jobs 2

A mutant changes one place of a syntax tree: a comparison or its limit, an operator, a constant, a
condition, the sides of a choice, the order of two arguments (DeMillo, Lipton and Sayward, Hints on test
data selection, 1978). What a test cannot see is left alone: annotations, docstrings, texts of errors.
The tests of its own room run first, then those that name its file, then those of faults that users met,
then all others, each on the mutants that are left: one that survives has passed the whole suite.

>>> source = "def f(a, b):\\n    return a if a < b else b\\n"
>>> [str(m) for m in mutants("f.py", source)]
['f.py:2: a if a < b else b -> b if a < b else a', 'f.py:2: a < b -> a <= b']
"""

from __future__ import annotations

import ast
import builtins
import copy
import itertools
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from minicc.bridge.environment import has_relay
from minicc.config import relay_dir
from minicc.errors import ConfigError

ROOT = Path(__file__).parents[2]
COPIED = ("minicc", "tests", "tutorials", "benchmarks", ".ci", "pyproject.toml", "README.md", "Makefile", "LICENSE")
LIMIT = 1800  # seconds of one run of pytest; a mutant that loops for ever is noticed so
STAGES = ("own tests", "tests that name it", "tests/field", "all others")
PASSED = "The tests have passed without a mutant: do not run them so again."
QUIET = ("-q", "-x", "-p", "no:cacheprovider", "--no-header", "--tb=no")

_LESS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
         ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
_OTHER = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult, ast.Mod: ast.FloorDiv,
          ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}  # fmt: skip
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """A file with one place changed: its bytes from `first` to `last`, which are `old`, to `new`."""

    path: str
    line: int
    old: str
    new: str
    first: int
    last: int

    def planted(self, source: str) -> str:
        """`source`, the text of the file, with the fault in it."""
        text = source.encode()
        return (text[: self.first] + f"({self.new})".encode() + text[self.last :]).decode()

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {' '.join(self.old.split())} -> {' '.join(self.new.split())}"


@dataclass(frozen=True)
class Outcome:
    """`test` is the first that failed; None where none did."""

    mutant: Mutant
    test: str | None
    seconds: float

    def __str__(self) -> str:
        what, test = ("survives", "") if self.test is None else ("noticed ", f"  [{self.test}]")
        return f"{what} {self.seconds:5.0f} s  {self.mutant}{test}"


# ---- drawing ------------------------------------------------------------------------------------


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a file, in the order of its text."""
    whole = source.encode()
    starts = list(itertools.accumulate(map(len, whole.splitlines(keepends=True)), initial=0))
    for found in _seen(ast.parse(source)):
        for changed in _changes(found):
            first = starts[found.lineno - 1] + found.col_offset
            last = starts[(found.end_lineno or found.lineno) - 1] + (found.end_col_offset or 0)
            new = ast.unparse(ast.fix_missing_locations(changed))
            yield Mutant(path, found.lineno, whole[first:last].decode(), new, first, last)


def _seen(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions of which a test may see something, those that stand inside others after them."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.JoinedStr | ast.Raise | ast.Import | ast.ImportFrom | ast.arg):
            continue
        if child in (getattr(tree, "annotation", None), getattr(tree, "returns", None)):
            continue
        if child in getattr(tree, "decorator_list", ()):
            continue
        if isinstance(child, ast.expr):
            yield child
        yield from _seen(child)


def _changes(e: ast.expr) -> Iterator[ast.expr]:
    match e:
        case ast.Compare(ops=[op]) if type(op) in _LESS:
            yield _with(e, "ops", [_LESS[type(op)]()])
        case ast.BinOp(op=op) if type(op) in _OTHER and not _of_text_or_types(e):
            yield _with(e, "op", _OTHER[type(op)]())
        case ast.BoolOp(op=op):
            yield _with(e, "op", ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Call(func=ast.Name(id=name)) if name in _NAMES:
            yield _with(e, "func", ast.Name(_NAMES[name]))
        case ast.Call(args=[first, second], keywords=[]) if _may_change_places(e, first, second):
            yield _with(e, "args", [second, first])


def _may_change_places(call: ast.Call, first: ast.expr, second: ast.expr) -> bool:
    """Not those whose order every caller knows, and not two that are the same."""
    known = isinstance(call.func, ast.Name) and call.func.id in ("isinstance", "getattr", "hasattr", "map", "filter")
    starred = isinstance(first, ast.Starred) or isinstance(second, ast.Starred)
    return not known and not starred and ast.dump(first) != ast.dump(second)


def _with(e: ast.expr, field: str, value: object) -> ast.expr:
    made = copy.copy(e)
    setattr(made, field, value)
    return made


def _of_text_or_types(e: ast.BinOp) -> bool:
    sides = [side for side in ast.walk(e) if isinstance(side, ast.expr)]
    names = [s.id for s in sides if isinstance(s, ast.Name)]
    types = isinstance(e.op, ast.BitOr) and any(name[0].isupper() or name in dir(builtins) for name in names)
    texts = (isinstance(s, ast.JoinedStr) or isinstance(getattr(s, "value", None), str) for s in sides)
    return types or any(texts)


def draw(count: int, seed: int, root: Path = ROOT) -> list[Mutant]:
    """`count` mutants, of each room in turn; the same for a seed and a checkout."""
    rng = random.Random(seed)
    rooms: dict[str, list[Path]] = {}
    for path in sorted((root / "minicc").rglob("*.py")):
        rooms.setdefault(path.relative_to(root / "minicc").parts[0], []).append(path)

    def of(path: Path) -> Iterator[Mutant]:
        return mutants(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8"))

    of_rooms = {room: [m for path in paths for m in of(path)] for room, paths in rooms.items()}
    turns = [room for room, found in of_rooms.items() if found]
    rng.shuffle(turns)
    if not turns:
        problem = f"expected a checkout with the folder minicc, got {root}"
        raise ConfigError("mutants", problem, hint="run it from a clone of the project")
    for found in of_rooms.values():
        rng.shuffle(found)
    places = [(k // len(turns), of_rooms[turns[k % len(turns)]]) for k in range(count)]
    return [found[turn] for turn, found in places if turn < len(found)]


# ---- running ------------------------------------------------------------------------------------


def suites(path: str, root: Path = ROOT) -> list[list[str]]:
    """What pytest is given, run by run, as STAGES says; nothing where there are no such tests."""
    parts = Path(path).with_suffix("").parts
    whole, package = (re.escape(".".join(p)) for p in (parts, parts[:-1]))
    names = re.compile(rf"\b{whole}\b|from {package} import [^\n]*\b{parts[-1]}\b")
    own = [f"tests/{name}" for name in (parts[1], f"test_{parts[1]}.py") if (root / "tests" / name).exists()]
    field = ["tests/field"] if (root / "tests/field").exists() else []
    tests = sorted((root / "tests").rglob("test_*.py"))
    named = [t.relative_to(root).as_posix() for t in tests if names.search(t.read_text(encoding="utf-8"))]
    named = [test for test in named if not test.startswith((*[f"{folder}/" for folder in (*own, *field)], *own))]
    return [own, named, field, ["tests", *[f"--ignore={name}" for name in (*own, *named, *field)]]]


def judge(mutant: Mutant, folder: Path, tests: list[str]) -> Outcome:
    """Plant the mutant in the copy of the project in `folder`, run `tests` until one fails, and take it out again."""
    started = time.monotonic()
    path = folder / mutant.path
    sound = path.read_text(encoding="utf-8")
    path.write_text(mutant.planted(sound), encoding="utf-8")
    try:
        return Outcome(mutant, _first_failure(tests, folder) if tests else None, time.monotonic() - started)
    finally:
        path.write_text(sound, encoding="utf-8")


def _first_failure(tests: list[str], folder: Path, processes: int = 0) -> str | None:
    # every process that the tests start finds the copy, too; bytecode of one mutant must not pass for the next
    command = [
        "env",
        f"PYTHONPATH={folder}",
        "PYTHONDONTWRITEBYTECODE=1",
        sys.executable,
        "-m",
        "pytest",
        *QUIET,
        "-n",
        str(processes),
        *tests,
    ]
    try:
        streams: dict[str, Any] = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
        done = subprocess.run(command, cwd=folder, timeout=LIMIT, **streams)
    except subprocess.TimeoutExpired:
        return "no end"
    if done.returncode in (0, 5):  # passed, or there were no tests
        return None
    if done.returncode == 4:
        raise ConfigError(" ".join(command), f"expected tests, got {done.stderr.strip()}", hint="make test")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    named = [line.split(" - ")[0].split(" ", 1)[1] for line in failed]
    return named[0] if named else f"pytest ended with {done.returncode}"


def campaign(
    drawn: list[Mutant], jobs: int, show: Callable[[str, int, int, Outcome], None], passed: bool = False
) -> dict[Mutant, str | None]:
    """For each mutant the test that noticed it, or None; `jobs` run at once, each in a copy of the project.

    `show(what, done, total, outcome)` is told of each run. After Ctrl-C the mutants that are not decided are left out.
    Raises ConfigError when a test fails without any mutant, unless they have `passed` already: then nothing could be said.
    """
    noticed: dict[Mutant, str | None] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary, ThreadPoolExecutor(jobs) as pool:
        free = [_copied(Path(temporary) / str(k)) for k in range(jobs)]
        if not passed and (failed := _first_failure(["tests"], free[0], jobs)) is not None:
            problem = f"expected tests that pass without a mutant, got a failure of {failed}"
            raise ConfigError("mutants", problem, hint="make test")

        def work(mutant: Mutant, stage: int) -> Outcome:
            folder = free.pop()
            try:
                return judge(mutant, folder, suites(mutant.path, folder)[stage])
            finally:
                free.append(folder)

        alive = drawn
        try:
            for stage, what in enumerate(STAGES):
                for done, ended in enumerate(as_completed([pool.submit(work, m, stage) for m in alive]), 1):
                    outcome = ended.result()
                    if outcome.test is not None:
                        noticed[outcome.mutant] = outcome.test
                    show(what, done, len(alive), outcome)
                alive = [m for m in alive if m not in noticed]
            noticed.update(dict.fromkeys(alive))
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
    return noticed


def _copied(folder: Path) -> Path:
    folder.mkdir()
    for name in COPIED:
        with suppress(FileNotFoundError):
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, folder / name)
    if has_relay():  # else the tests that need it are skipped in the copy, and notice nothing
        (folder / ".venv-relay").symlink_to(relay_dir())
    return folder


def main(
    count: Annotated[int, typer.Option(help="How many mutants.", min=1)] = 60,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 0,
    jobs: Annotated[int, typer.Option(help="How many at once, each on a core.", min=1)] = 1,
    passed: Annotated[bool, typer.Option("--passed", help=PASSED)] = False,
    listed: Annotated[bool, typer.Option("--list", help="Print the mutants, and run none.")] = False,
) -> None:
    """Plant small faults in a copy of the project, and see whether its tests notice. Takes hours; Ctrl-C ends it with what is known.

    Example:

        python -m minicc.testing.mutants --count 60 --seed 1 --jobs 2
    """
    drawn, console = draw(count, seed), Console(highlight=False, markup=False, soft_wrap=True)
    if listed:
        for mutant in drawn:
            console.print(str(mutant))
        return
    started = dict.fromkeys(STAGES, 0.0)

    def show(what: str, done: int, total: int, outcome: Outcome) -> None:
        started[what] = started[what] or time.monotonic() - outcome.seconds
        left = (time.monotonic() - started[what]) / done * (total - done)
        console.print(f"{what} {done}/{total}  eta {left / 60:.0f} min  {outcome}")

    noticed = campaign(drawn, jobs, show, passed)
    survivors = [mutant for mutant, test in noticed.items() if test is None]
    counts = f"{len(noticed) - len(survivors)} noticed, {len(survivors)} survive"
    console.print(f"{len(noticed)} mutants of {len(drawn)}: {counts}")
    for mutant in survivors:
        console.print(f"  {mutant}")
    raise typer.Exit(130 if len(noticed) < len(drawn) else int(bool(survivors)))


if __name__ == "__main__":
    typer.run(main)
