"""The picture of a comparison: sections of a screen, in which everything stands once for each that fuses, and why they differ."""

import re
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from test_draw_graph import SVG, boxes, check, placed

from minicc import ops
from minicc.errors import ConfigError
from minicc.explain.draw_fusion import SCREEN
from minicc.explain.fusion import compare_fusion
from minicc.graph import Graph, constant, input
from minicc.types import TensorType, float32, int64

KERNELS = [constant(np.linspace(a, 1, 4 * 4 * 9, dtype=np.float32).reshape(4, 4, 3, 3)) for a in (-1, -2)]


def two_convolutions(name="x", dialects=("relax",)):
    """relu(conv(x) + conv(x)) and exp(sum(x)): one region that is regrouped, one that is split."""
    image = input(name, TensorType(float32, (1, 4, 8, 8)))
    convs = [ops.Conv(padding=(1, 1, 1, 1))(image, k) for k in KERNELS]
    outputs = (ops.Relu()(ops.Add()(*convs)), ops.Exp()(ops.ReduceSum((1,))(image)), ops.Neg()(ops.Sqrt()(image)))
    return compare_fusion(Graph("net", (image,), outputs, ("a", "b", "c")), dialects)


def panels(made):
    """The pictures of all sections, one after the other, those of a side in a list."""
    rows = [(plate.picture, *plate.more) for plate in made.picture().sections]
    return list(zip(*rows, strict=True))


def reasons(made):
    return [words for plate in made.picture().sections for words in plate.words]


def attributes(picture, tag, name="class"):
    return [e.get(name) for e in xml.fromstring(picture.svg()).iter(f"{SVG}{tag}")]


@pytest.fixture(scope="module")
def made():
    return two_convolutions()


def test_every_operator_stands_on_both_sides(made):
    names = sorted(f"n{made.index[n]}" for n in made.graph.nodes if n in made.partition.of)
    for side in panels(made):
        assert sorted(e.get("data-node") for picture in side for e, *_ in boxes(picture)) == names
        for picture in side:
            assert picture.title and picture.words and picture.height < 1.4 * SCREEN
    assert re.search(r"minicc runs together: conv of n\d+ Conv", panels(made)[0][0].words)


def test_nothing_overlaps_and_every_colour_is_explained(made):
    for side in panels(made):
        for picture in side:
            check(picture)
            used = {
                k
                for k in attributes(picture, "rect") + attributes(picture, "polyline")
                if re.fullmatch("c[1-8]|soft|strong.*", k)
            }
            tree = xml.fromstring(picture.svg())
            legend = {e.get("class") for e in tree.iter(f"{SVG}rect") if e.get("width") == e.get("height") == "14"}
            assert used <= legend


def test_an_edge_that_differs_is_fused_on_one_side_and_cut_on_the_other(made):
    kinds = [k for side in panels(made) for p in side for k in attributes(p, "polyline")]
    assert kinds.count("strong") == kinds.count("strong dashed") == len(made.differences)
    numbers = [
        t.text
        for side in panels(made)
        for p in side
        for t in xml.fromstring(p.svg()).iter(f"{SVG}text")
        if (t.text or "").isdigit()
    ]
    assert set(numbers) == {str(k) for k in range(1, len(made.reasons) + 1)} and len(numbers) == 2 * len(
        made.differences
    )
    assert [int(words.split(".")[0]) for words in reasons(made)] == list(range(1, len(made.reasons) + 1))
    for words, why in zip(reasons(made), made.reasons, strict=True):
        assert words.endswith(why)


def test_every_operator_lies_in_a_hull_of_its_group(made):
    """By the coordinates: hulls are the rectangles with round corners of 8."""
    for side in panels(made):
        for picture in side:
            found = [(x + float(e.get("x")), y + float(e.get("y")), float(e.get("width")), float(e.get("height")), above[-1])
                     for e, x, y, above in placed(xml.fromstring(picture.svg())) if e.get("rx") == "8"]  # fmt: skip
            for e, _, (left, top, right, bottom) in boxes(picture):
                around = [h for a, b, w, v, h in found if a <= left and right <= a + w and b <= top and bottom <= b + v]
                assert around, e.get("data-node")
                assert len(set(around)) == 1


def test_hulls_are_named_and_grey_where_both_agree(made):
    titles = [t.text for side in panels(made) for p in side for t in xml.fromstring(p.svg()).iter(f"{SVG}title")]
    assert "sqrt_neg" in titles and "conv_add_relu" in titles and "conv" in titles
    grey = [e for side in panels(made) for p in side for e in xml.fromstring(p.svg()).iter(f"{SVG}rect")
            if e.get("class") == "soft" and e.get("rx") == "8"]  # fmt: skip
    assert len(grey) == 2 * 2  # two nodes that run together on both sides


def test_a_group_that_ends_no_operator_is_named_below_what_it_computes_a_part_of():
    x, at = input("x", TensorType(float32, (4, 6))), input("at", TensorType(int64, (2, 6)))
    made = compare_fusion(Graph("net", (x, at), (ops.GatherElements(0)(x, at),), ("y",)))
    _, relax = panels(made)
    text = relax[0].svg()
    assert "parts of it: B" in text and "fused_less_add_where_maximum_minimum" in text
    assert len(reasons(made)) == 1 and reasons(made)[0].startswith("1. n2 GatherElements: ")


def test_where_all_agree_the_picture_says_so_and_is_folded():
    x = input("x", TensorType(float32, (2, 3)))
    same = compare_fusion(Graph("net", (x,), (ops.Relu()(ops.Exp()(x)),), ("y",))).picture()
    assert "They are the same" in same.words and [(p.note, p.unfolded) for p in same.sections] == [("all agree", False)]
    other = compare_fusion(Graph("net", (x,), (ops.Identity()(ops.Exp()(x)),), ("y",))).picture()
    assert "They are the same" not in other.words and other.sections[0].unfolded
    page = other.page()
    assert page.count("<details open>") == 1 and same.page().count("<details open>") == 0


def test_without_operators_the_picture_says_so(tmp_path):
    x = input("x", TensorType(float32, (2, 3)))
    made = compare_fusion(Graph("net", (x,), (x,), ("y",))).picture()
    assert "There are no operators" in made.words and "They are the same" not in made.words
    made.save(tmp_path / "none.svg")
    assert xml.parse(tmp_path / "none.svg").getroot().tag == f"{SVG}svg"


def test_names_are_written_as_text():
    for name in ("a<b>&c", "a\x01b\ud800\ufffe\n", "</svg><script>alert(1)</script>"):
        made = two_convolutions(name)
        for picture in (*panels(made)[0], made.picture().together()):
            xml.fromstring(picture.svg().encode("utf-8"))
        assert "<script" not in made.picture().page()


def test_one_picture_holds_all_of_few_sections_with_their_reasons(made):
    whole = made.picture().together()
    assert xml.fromstring(whole.svg()) is not None and "Relax" in whole.svg()
    words = " ".join(t.text or "" for t in xml.fromstring(whole.svg()).iter(f"{SVG}text"))
    assert all(why in words for why in made.reasons)


def test_the_picture_is_the_same_each_time(made):
    assert made.picture().page() == two_convolutions().picture().page()


def long_network(blocks):
    """Convolutions with residual additions, whose blocks repeat."""
    y = x = input("x", TensorType(float32, (1, 4, 8, 8)))
    for _ in range(blocks):
        z = ops.Relu()(ops.Conv(padding=(1, 1, 1, 1))(y, KERNELS[0]))
        y = ops.Relu()(ops.Add()(ops.Conv(padding=(1, 1, 1, 1))(z, KERNELS[1]), y))
    for k in range(40):
        y = (ops.Exp, ops.Softmax, ops.Tanh)[(k * k) % 3]()(y)
    return Graph("long", (x,), (y,), ("y",))


def test_blocks_that_repeat_are_drawn_once():
    shown = compare_fusion(long_network(30)).picture()
    assert any(re.match(r"\d+ times: also from n", p.note) for p in shown.sections) and len(shown.sections) < 12
    assert max(p.height for plate in shown.sections for p in (plate.picture, *plate.more)) < 1.4 * SCREEN


def test_what_is_too_long_for_one_picture_is_a_page(tmp_path):
    shown = compare_fusion(long_network(1)).picture()
    tall = type(shown)(shown.title, shown.words, [*shown.sections] * 9)
    with pytest.raises(
        ConfigError,
        match=r"save\(.*tall\.svg.*at most 2400 pixels in height, got one of \d+\nhint: a name that ends in \.html",
    ):
        tall.save(tmp_path / "tall.svg")
    tall.save(tmp_path / "tall.html")
    assert (tmp_path / "tall.html").read_text().count("<details") == len(tall.sections)


@pytest.mark.relay
def test_relay_stands_between():
    made = two_convolutions(dialects=("relay", "relax"))
    heads = [
        xml.fromstring(side[0].svg()).find(f".//{SVG}text[@class='head']").text.split(":")[0] for side in panels(made)
    ]
    assert heads == ["minicc", "Relay", "Relax"]
    lines = [k for side in panels(made) for p in side for k in attributes(p, "polyline")]
    fused = [f for e in made.differences for f in e.fused.values()]
    assert (lines.count("strong"), lines.count("strong dashed")) == (fused.count(True), fused.count(False))
