"""One door for all pictures: the ending says what a file holds."""

from pathlib import Path

import pytest

from minicc.errors import ConfigError
from minicc.explain.page import Pictures
from minicc.explain.picture import Picture, circle
from minicc.explain.save import save

DOT = Picture("a <dot>", "It is round.", 10, 10, [circle(5, 5, 2)])


def test_the_ending_decides(tmp_path):
    save(DOT, tmp_path / "dot.svg")
    save(DOT, tmp_path / "dot.html")
    save(Pictures("dots", "Two.", [("one", DOT), ("two", DOT)]), tmp_path / "dots.html")
    pages = [(tmp_path / name).read_text() for name in ("dot.svg", "dot.html", "dots.html")]
    assert [p.count("<svg ") for p in pages] == [1, 1, 2]
    assert pages[0] == DOT.svg() and "<h1>a &lt;dot&gt;</h1>" in pages[1] and "It is round." in pages[1]


@pytest.mark.parametrize("shown", [DOT, Pictures("dots", "Two.", [("one", DOT)])])
def test_another_ending_says_nothing(shown):
    with pytest.raises(ConfigError, match="expected a name that ends in"):
        save(shown, Path("dot.gif"))
