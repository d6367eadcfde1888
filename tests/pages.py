"""Pages are true: every block of one is executed, and every output that it shows is what came out.

In: a page, in Markdown. Its blocks share one set of names, in the order of the file. There are three kinds that show
outputs:

- ```python blocks with `>>>`: sessions.
- ```console blocks: lines `$ minicc ...` and what these commands print.
- any block under a comment `<!-- prints: EXPRESSION -->`: what `print(EXPRESSION)` prints.

`...` in an output stands for anything, as in a doctest. The rest is plain: ```text is a picture,
and ```sh holds commands without outputs. A page names the packages and programs that it needs beyond minicc's own,
where any, in a comment `<!-- needs: magika, espeak-ng -->`. It runs in an empty folder, so a picture
that lies beside the page is one that the page itself has drawn there. After a change of what comes out,

    python tests/pages.py PAGE ...

writes it over every output that no longer matches, and the pictures over those of the page; review the difference as
code.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from minicc import cli

ROOT = Path(__file__).parent.parent
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
            exec(compile(example.source, "page", "single"), names)
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


def run_all(text: str, folder: Path, names: dict[str, object] | None = None) -> list[tuple[Example, str]]:
    """Every example with what it printed, run in a folder where `minicc/` and `tests/` are the project's; `names` are filled."""
    names = {} if names is None else names
    names["excerpt"] = excerpt
    outcomes = []
    (folder / "minicc").symlink_to(ROOT / "minicc", target_is_directory=True)
    (folder / "tests").symlink_to(ROOT / "tests", target_is_directory=True)
    with contextlib.chdir(folder):
        for example in examples(text):
            try:
                printed = run(example, names)
            except Exception:
                printed = FAILED + traceback.format_exc()
            outcomes.append((example, printed))
    return outcomes


def missing(text: str) -> list[str]:
    """What the page needs that is not here: packages that cannot be imported, programs that are not found."""
    needs = re.findall(r"[\w.-]+", " ".join(re.findall(r"^<!-- needs: (.*) -->$", text, re.M)))
    return [name for name in needs if not (shutil.which(name) or importlib.util.find_spec(name))]


def links(text: str) -> list[str]:
    """Where a page's links and pictures lead, outside of the web."""
    found = re.findall(r"\]\(([^)#]+)\)", FENCE.sub("", text))
    return [link for link in found if not link.startswith("https://")]


def pictures(text: str) -> list[str]:
    """The pictures that lie beside a page, or in a folder `pictures` there."""
    return [link for link in links(text) if re.fullmatch(r"(pictures/)?[\w-]+\.(png|jpg|svg)", link)]


def check_blocks(text: str) -> None:
    """Every block is of a known kind, and closed."""
    assert text.count("\n```") == 2 * len(list(FENCE.finditer(text))), "a fence does not close"
    for fence in FENCE.finditer(text):
        session = fence["language"] == "python" and fence["text"].startswith(">>> ")
        assert fence["prints"] or session or fence["language"] in ("console", "sh", "text"), fence[0]


def matches(shown: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(shown, printed, doctest.ELLIPSIS)


def told(page: Path, example: Example, printed: str) -> str:
    """What to say of an example that printed something else."""
    name = page.relative_to(ROOT)
    begin = f"{name}:{example.line}: {example.source.strip()}\nshown:\n{example.shown}\nprinted:\n{printed}\n"
    return f"{begin}python tests/pages.py {name}"


def regenerate(page: Path) -> None:
    """Write what came out over every output that no longer matches, and over pictures; nothing, when an example fails."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run_all(text, Path(folder))
        for example, printed in outcomes:
            if printed.startswith(FAILED):
                sys.exit(f"{page}:{example.line}: {example.source.strip()}\n{printed}")
        for example, printed in reversed(outcomes):
            if not matches(example.shown, printed):
                print(f"{page}:{example.line}: {example.source.strip()}")
                text = text[: example.start] + printed + text[example.end :]
        for name in pictures(text):
            (page.parent / name).parent.mkdir(exist_ok=True)
            shutil.copy(Path(folder) / name, page.parent / name)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    for name in sys.argv[1:]:
        regenerate(Path(name).resolve())
