"""README.md is true (`pages`): what it shows is what came out, its commands and links lead somewhere."""

import functools
import platform
import re
import shlex
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
import typer
from pages import FENCE, ROOT, check_blocks, examples, excerpt, links, matches, run_all, told

from minicc.cli import app

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
NATIVE = platform.machine() == "x86_64"  # the example is compiled for a processor of this family


@functools.cache
def outcomes():
    with tempfile.TemporaryDirectory() as folder:
        return run_all(TEXT, Path(folder))


@pytest.mark.skipif(not NATIVE, reason="the example is compiled for x86-64")
@pytest.mark.parametrize(
    "number",
    range(len(list(examples(TEXT)))),
    ids=[f"line {e.line}: {e.source.strip().splitlines()[0][:40]}" for e in examples(TEXT)],
)
def test_example(number):
    example, printed = outcomes()[number]
    if not matches(example.shown, printed):
        pytest.fail(told(README, example, printed), pytrace=False)


def test_every_block_is_of_a_known_kind():
    check_blocks(TEXT)


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


def test_commands_of_minicc_exist():
    assert {*re.findall(r"`minicc ([a-z]+)", TEXT)} <= {*typer.main.get_command(app).commands}


def test_links_lead_somewhere():
    for link in links(TEXT):
        assert (ROOT / link).exists(), link


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


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *ROOT.glob("tutorials/**/*.md")]), ids=lambda page: page.name
)
def test_every_picture_of_a_page_says_what_is_to_be_seen(page):
    """In words beside it; a drawing has a title and a text alternative of its own, too."""
    for words, name in re.findall(r"!\[([^]]*)\]\(([^)]*)\)", page.read_text(encoding="utf-8")):
        place = page.parent / name
        assert place.exists() and len(words.split()) > 3, name
        if place.suffix == ".svg":
            tree = xml.parse(place).getroot()
            assert tree.get("role") == "img" and all(
                tree.findtext(f"{{http://www.w3.org/2000/svg}}{part}") for part in ("title", "desc")
            )
