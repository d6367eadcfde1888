"""The picture of the rooms is that of the sources, and every arrow in it runs down."""

import re
from pathlib import Path

import networkx as nx
import pytest

from minicc.explain.rooms import imports, picture

PICTURE = Path(__file__).parent.parent.parent / "tutorials" / "rooms.svg"


def package(folder, **sources):
    """A package of modules and rooms, `room_module` being a module in a room."""
    for name, text in sources.items():
        path = folder / "box" / f"{name.replace('_', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "box"


def test_the_picture_in_the_readme_is_that_of_the_sources():
    assert PICTURE.read_text() == picture(imports()).svg(), "python -m minicc.explain.rooms tutorials/rooms.svg"
    assert "tutorials/rooms.svg" in (PICTURE.parent.parent / "README.md").read_text()


def test_every_arrow_runs_down():
    lines = re.findall(r'<polyline [^>]*points="([^"]*)"', PICTURE.read_text())
    assert len(lines) > 20
    for line in lines:
        heights = [float(point.split(",")[1]) for point in line.split()]
        assert heights == sorted(heights)


def test_the_picture_says_in_words_what_it_shows():
    made = picture(imports())
    assert all(name in made.words for name in imports()) and "an IR, or makes one (bold)" in made.svg()


def test_what_a_room_imports(tmp_path):
    made = package(tmp_path, top="from box.low import a\n", low_a="import box.base\n", base="import os\n")
    assert imports(made) == {"top": {"low"}, "low": {"base"}, "base": set()}
    assert "top" in picture(imports(made)).svg()


def test_a_circle_has_no_picture(tmp_path):
    with pytest.raises((nx.HasACycle, nx.NetworkXError)):
        picture(imports(package(tmp_path, one="from box import two\n", two="from box.one import x\n")))
