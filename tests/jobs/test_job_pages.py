"""The pages of `tutorials/jobs` are true (`pages`), and their pictures are those that they draw."""

from pathlib import Path

import pytest

from job_pages import FOLDER, ran
from pages import ROOT, check_blocks, examples, links, matches, missing, pictures, told

PAGES = sorted(page for page in FOLDER.glob("*.md"))
INDEX = FOLDER / "README.md"


@pytest.mark.jobs
@pytest.mark.parametrize("page", [page for page in PAGES if page != INDEX], ids=lambda page: page.stem)
def test_page(page):
    outcomes, _, folder = ran(page.stem)
    wrong = [told(page, example, printed) for example, printed in outcomes if not matches(example.shown, printed)]
    assert not wrong, "\n\n".join(wrong)
    for name in pictures(page.read_text(encoding="utf-8")):
        assert (Path(folder.name) / name).exists(), f"the page shows {name}, and does not draw it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_form_of_a_page(page):
    text = page.read_text(encoding="utf-8")
    check_blocks(text)
    assert text.startswith("# ") and (page == INDEX or list(examples(text)))
    for link in links(text):
        assert (page.parent / link).exists(), link
    assert page == INDEX or page.name in links(INDEX.read_text(encoding="utf-8")), "the index leaves it out"


@pytest.mark.parametrize("picture", [p for p in FOLDER.iterdir() if p.suffix != ".md"], ids=lambda p: p.name)
def test_pictures_are_shown_and_small(picture):
    assert any(picture.name in pictures(page.read_text(encoding="utf-8")) for page in PAGES)
    assert picture.stat().st_size < 100_000


def test_what_a_page_needs():
    text = "# Page\n<!-- needs: no_such_package, numpy -->\n![x](x.png) [y](../y.py) [z](https://z)\n"
    assert missing(text) == ["no_such_package"]
    assert pictures(text) == ["x.png"] and links(text) == ["x.png", "../y.py"]
    assert missing(Path(ROOT / "README.md").read_text(encoding="utf-8")) == []
