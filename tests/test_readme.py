"""README.md is true: every block of it is executed, and every output it shows is what came out.

Blocks share one set of names, in the order of the file. There are three kinds that show outputs:

- ```python blocks with `>>>`: sessions.
- ```console blocks: lines `$ minicc ...` and what these commands print.
- any block under a comment `<!-- prints: EXPRESSION -->`: what `print(EXPRESSION)` prints.

`...` in an output stands for anything, as in a doctest. The rest is plain: ```text is a picture,
and ```sh holds commands without outputs. After a change of what the compiler prints,

    python tests/test_readme.py --regenerate

writes what came out over every output that no longer matches; review the difference as code.
"""

from __future__ import annotations

import contextlib
import doctest
import functools
import io
import os
import platform
import re
import shlex
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from minicc import cli

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FENCE = re.compile(r"(?:^<!-- prints: (?P<prints>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
FAILED = "this failed:\n"
COMMAND = re.compile(r"^\$ (?P<source>.*)\n(?P<shown>(?:(?!\$ ).*\n)*)", re.M)


@dataclass(frozen=True)
class Example:
    """What is executed, and the output that is shown for it between two positions of the file."""

    kind: str  # session, prints or console
    source: str
    shown: str
    start: int
    end: int
    line: int


def examples(text: str) -> Iterator[Example]:
    """Every example of a Markdown text, in order."""
    for fence in FENCE.finditer(text):
        start = fence.start("text")
        if fence["prints"]:
            yield _example("prints", fence["prints"], fence["text"], start, text)
        elif fence["language"] == "console":
            for command in COMMAND.finditer(fence["text"]):
                yield _example("console", command["source"], command["shown"], start + command.start("shown"), text)
        elif fence["language"] == "python":
            yield from _session(fence["text"], start, text)


def _example(kind: str, source: str, shown: str, start: int, text: str) -> Example:
    return Example(kind, source, shown, start, start + len(shown), text.count("\n", 0, start) + 1)


def _session(block: str, start: int, text: str) -> Iterator[Example]:
    at = 0
    for part in doctest.DocTestParser().parse(block):
        if isinstance(part, str):
            at += len(part)
            continue
        at += sum(len(line) + 5 for line in part.source.rstrip("\n").split("\n"))  # ">>> " and the end of the line
        yield _example("session", part.source, part.want, start + at, text)
        at += len(part.want)


def run(example: Example, names: dict[str, object]) -> str:
    """What an example prints, on either stream."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        if example.kind == "console":
            _command(shlex.split(example.source, comments=True))
        elif example.kind == "prints":
            print(eval(example.source, names))
        else:
            exec(compile(example.source, "README.md", "single"), names)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().strip("\n").split("\n") if out.getvalue())


def _command(words: list[str]) -> None:
    assert words[0] == "minicc", f"expected a command `minicc ...`, got {words}"
    columns = mock.patch.dict(os.environ, {"COLUMNS": "120"})
    with mock.patch.object(sys, "argv", words), columns, contextlib.suppress(SystemExit):
        cli.main()


def excerpt(text: str, first: str, last: str) -> str:
    """The lines of `text` from the one that starts with `first` to the one with `last`, and marks for the rest."""
    lines = text.expandtabs(8).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(first))
    end = next(n for n, line in enumerate(lines) if n >= start and last in line)
    return "\n".join(["...", *lines[start : end + 1], "..."])


def run_all(text: str) -> list[tuple[Example, str]]:
    """Every example with what it printed, run in a folder where `minicc/` is the package."""
    names: dict[str, object] = {"excerpt": excerpt}
    outcomes = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("minicc").symlink_to(ROOT / "minicc", target_is_directory=True)
        for example in examples(text):
            try:
                printed = run(example, names)
            except Exception:
                printed = FAILED + traceback.format_exc()
            outcomes.append((example, printed))
    return outcomes


def matches(shown: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)


def regenerate() -> None:
    """Write what came out over every output that no longer matches; nothing, when an example fails."""
    text = README.read_text(encoding="utf-8")
    for example, printed in reversed(run_all(text)):
        if printed.startswith(FAILED):
            sys.exit(f"README.md:{example.line}: {example.source.strip()}\n{printed}")
        if not matches(example.shown, printed):
            print(f"README.md:{example.line}: {example.source.strip()}")
            text = text[: example.start] + printed + text[example.end :]
    README.write_text(text, encoding="utf-8")


# ---- the tests ----------------------------------------------------------------------------------

TEXT = README.read_text(encoding="utf-8")
NATIVE = platform.machine() == "x86_64"  # the example is compiled for a processor of this family


@functools.cache
def outcomes() -> list[tuple[Example, str]]:
    return run_all(TEXT)


@pytest.mark.skipif(not NATIVE, reason="the example is compiled for x86-64")
@pytest.mark.parametrize(
    "number",
    range(len(list(examples(TEXT)))),
    ids=[f"line {e.line}: {e.source.strip().splitlines()[0][:40]}" for e in examples(TEXT)],
)
def test_example(number):
    example, printed = outcomes()[number]
    if not matches(example.shown, printed):
        pytest.fail(
            f"README.md:{example.line}: {example.source.strip()}\nshown:\n{example.shown}\nprinted:\n{printed}\n"
            "python tests/test_readme.py --regenerate",
            pytrace=False,
        )


def test_every_block_is_of_a_known_kind():
    assert TEXT.count("\n```") == 2 * len(list(FENCE.finditer(TEXT))), "a fence does not close"
    for fence in FENCE.finditer(TEXT):
        session = fence["language"] == "python" and fence["text"].startswith(">>> ")
        assert fence["prints"] or session or fence["language"] in ("console", "sh", "text"), fence[0]


def test_commands_of_the_shell_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for fence in FENCE.finditer(TEXT):
        if fence["language"] == "sh":
            for line in fence["text"].splitlines():
                words = shlex.split(line, comments=True)
                match words:
                    case ["make", target]:
                        assert target in targets, line
                    case ["python", "-m", module, *_]:
                        place = ROOT / module.replace(".", "/")
                        assert (
                            (place / "__main__.py").exists() or place.with_suffix(".py").exists() or module == "pytest"
                        ), line
                    case ["python", file, *_]:
                        assert (ROOT / file).exists(), line
                    case _:
                        assert words == [".", ".venv/bin/activate"], f"unknown command: {line}"


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", FENCE.sub("", TEXT)):
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_every_folder_is_in_the_layout():
    ours = {f.parent.name for f in ROOT.glob("minicc/*/*.py")}
    ours |= {f.name for f in ROOT.glob("minicc/*.py") if not f.name.startswith("_")}
    layout = TEXT.partition("\n## Folders\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `minicc/(\w[\w.]*)/?`", layout, re.M))
    assert listed == ours


def test_an_excerpt_is_marked():
    assert excerpt("a\nb 1\nc\nd 2\ne", "b", "2") == "...\nb 1\nc\nd 2\n..."


def test_positions_of_outputs():
    text = "# t\n```python\n>>> 1 + \\\n... 1\n2\n>>> x = 3\n>>> x\n4\n```\n\n```console\n$ minicc ops\nA\n\nB\n$ minicc demo\n```\n"
    text += "<!-- prints: x -->\n```llvm\n5\n```\n"
    found = list(examples(text))
    assert [e.kind for e in found] == ["session"] * 3 + ["console"] * 2 + ["prints"]
    assert [e.shown for e in found] == ["2\n", "", "4\n", "A\n\nB\n", "", "5\n"]
    assert all(text[e.start : e.end] == e.shown for e in found)
    assert [e.line for e in found] == [5, 7, 8, 13, 17, 20]


if __name__ == "__main__":
    assert sys.argv[1:] == ["--regenerate"], __doc__
    regenerate()
