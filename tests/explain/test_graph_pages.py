"""The pages of graphs and of fusions in Chromium: a section is a screen, and can be read on narrow and wide ones; names are words."""

import pytest
from chromium import opened
from test_draw_fusion import long_network, two_convolutions

from minicc import ops
from minicc.explain.fusion import compare_fusion
from minicc.explain.save import save
from minicc.graph import Graph, input
from minicc.graph.ir import Span
from minicc.types import TensorType, float32

pytestmark = pytest.mark.browser
SIZES = """() => [...document.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().height).map(s => {
  const box = s.getBoundingClientRect();
  return [box.height, box.left, box.right, 10 * box.width / s.viewBox.baseVal.width];
})"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    save(long_network(30).picture(), folder / "graph.html")
    save(compare_fusion(long_network(2)).picture(), folder / "fusion.html")
    save(two_convolutions("<img src=x onerror=alert(1)>").picture(), folder / "names.html")
    x = input("</text><script>alert(1)</script>", TensorType(float32, (4,)))
    graph = Graph("</title><script>alert(1)</script>", (x,), (ops.Relu()(x),), ("\x1b[31m<svg onload=alert(1)>",))
    graph.located({n: Span("<script>alert(1)</script>", "'\"><b>") for n in graph.nodes})
    save(graph.picture(), folder / "hostile.html")
    return folder


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("name", ["graph", "fusion", "names", "hostile"])
def test_pages_can_be_read(browser, pages, name, width):
    with opened(browser, (pages / f"{name}.html").as_uri(), width, 900, "dark" if width == 400 else "light") as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        sizes = page.evaluate(SIZES)
        assert sizes
        for height, left, right, letter in sizes:
            assert height < 800 and left >= 0 and right <= width and letter > 7.5  # pixels of the smallest letters


def test_sides_stand_beside_each_other_where_there_is_room(browser, pages):
    for width, columns in ((400, 1), (1600, 2)):
        with opened(browser, (pages / "fusion.html").as_uri(), width, 900) as page:
            page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            tops = page.evaluate(
                "[...document.querySelector('details .flow').querySelectorAll('svg')].map(s => s.getBoundingClientRect().top)"
            )
            assert len(tops) == 2 and (len(set(tops)) == 1) == (columns == 2)
