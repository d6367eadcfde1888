"""The page `tutorials/pictures.md` is true (`pages`), its pictures are those that it draws, and each says what is to be seen."""

import re
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from pages import ROOT, check_blocks, links, matches, pictures, run_all, told

PAGE = ROOT / "tutorials" / "pictures.md"
TEXT = PAGE.read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.slow
def test_the_page_draws_what_it_shows(tmp_path):
    outcomes = run_all(TEXT, tmp_path)
    wrong = [told(PAGE, example, printed) for example, printed in outcomes if not matches(example.shown, printed)]
    assert not wrong, "\n\n".join(wrong)
    for name in pictures(TEXT):
        shown, drawn = PAGE.parent / name, Path(tmp_path) / name
        assert shown.read_text() == drawn.read_text(), (
            f"python tests/pages.py {PAGE.relative_to(ROOT)} draws {name} anew"
        )


def test_the_form_of_the_page():
    check_blocks(TEXT)
    assert TEXT.startswith("# ") and all((PAGE.parent / link).exists() for link in links(TEXT))
    assert sorted(pictures(TEXT)) == sorted(f"pictures/{p.name}" for p in (PAGE.parent / "pictures").iterdir())
    for words, name in re.findall(r"!\[(.*)\]\((.*)\)", TEXT):
        tree = xml.parse(PAGE.parent / name).getroot()
        assert len(words) > 30 and tree.find(f"{SVG}title").text and len(tree.find(f"{SVG}desc").text) > 30
        assert (PAGE.parent / name).stat().st_size < 64_000 and float(tree.get("width")) <= 1100
