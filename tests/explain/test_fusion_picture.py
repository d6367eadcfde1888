"""The picture of a comparison is a well-formed file in which everything stands once for each that fuses."""

import xml.etree.ElementTree as xml

import numpy as np
import pytest

from minicc import ops
from minicc.explain.fusion import compare_fusion
from minicc.explain.fusion_picture import AGREED, COLOURS, CUT, FUSED, picture
from minicc.graph import Graph, constant, input
from minicc.types import TensorType, float32, int64

SVG = "{http://www.w3.org/2000/svg}"
KERNELS = [constant(np.linspace(a, 1, 4 * 4 * 9, dtype=np.float32).reshape(4, 4, 3, 3)) for a in (-1, -2)]


def two_convolutions(name="x", dialects=("relax",)):
    """relu(conv(x) + conv(x)) and exp(sum(x)): one region that is regrouped, one that is split."""
    image = input(name, TensorType(float32, (1, 4, 8, 8)))
    convs = [ops.Conv(padding=(1, 1, 1, 1))(image, k) for k in KERNELS]
    outputs = (ops.Relu()(ops.Add()(*convs)), ops.Exp()(ops.ReduceSum((1,))(image)), ops.Neg()(ops.Sqrt()(image)))
    return compare_fusion(Graph("net", (image,), outputs, ("a", "b", "c")), dialects)


def texts(tree):
    return [t.text for t in tree.iter(f"{SVG}text")]


def test_every_operator_stands_on_both_sides():
    made = two_convolutions()
    tree = xml.fromstring(picture(made))
    words = texts(tree)
    for n in (n for n in made.graph.nodes if n in made.partition.of):
        assert words.count(f"n{made.index[n]}") == 2
    assert words.count("Conv") == 4 and words.count("x") == 2 and "1x4x8x8" in [w.replace("\u00d7", "x") for w in words]
    assert "minicc: 4 kernels" in words and f"Relax: {len(made.groupings[0].groups)} groups" in words


@pytest.mark.relay
def test_relay_has_a_panel_between():
    made = two_convolutions(dialects=("relay", "relax"))
    tree = xml.fromstring(picture(made))
    heads = {t.text.split(":")[0]: float(t.get("x")) for t in tree.iter(f"{SVG}text") if t.get("class") == "head"}
    assert list(heads) == ["minicc", "Relay", "Relax", "Where they differ"] and sorted(heads.values()) == list(
        heads.values()
    )
    assert texts(tree).count("Conv") == 6
    lines = [p.get("stroke") for p in tree.iter(f"{SVG}path")]
    fused = [f for e in made.differences for f in e.fused.values()]
    assert (lines.count(FUSED), lines.count(CUT)) == (fused.count(True) + 1, fused.count(False) + 1)


def test_an_edge_that_differs_is_fused_on_one_side_and_cut_on_the_other():
    made = two_convolutions()
    tree = xml.fromstring(picture(made))
    lines = [p.get("stroke") for p in tree.iter(f"{SVG}path")]
    assert lines.count(FUSED) == lines.count(CUT) == len(made.differences) + 1  # and one of each in the legend
    numbers = [int(t) for t in texts(tree) if t.isdigit()]
    assert set(numbers) == set(range(1, len(made.reasons) + 1))
    assert len(numbers) == len(made.reasons) + 2 * len(made.differences)


def test_every_operator_lies_in_a_hull_and_the_reasons_beside_both_sides():
    """By the coordinates: boxes of operators have a height of 24, hulls round corners of 10."""
    tree = xml.fromstring(picture(two_convolutions()))
    rects = [
        (r.get("rx"), r.get("height"), *(float(r.get(k)) for k in ("x", "y", "width", "height")))
        for r in tree.iter(f"{SVG}rect")
        if r.get("x")
    ]
    hulls, boxes = [r[2:] for r in rects if r[0] == "10"], [r[2:] for r in rects if r[1] == "24"]
    assert len(boxes) == 2 * 8
    for x, y, w, h in boxes:
        assert any(
            left <= x and x + w <= left + wide and top <= y and y + h <= top + high for left, top, wide, high in hulls
        )
    (heading,) = [t for t in tree.iter(f"{SVG}text") if t.text == "Where they differ"]
    assert max(x + w for x, _, w, _ in hulls) < float(heading.get("x")) < float(tree.get("width"))


def test_hulls_are_named_and_grey_where_both_agree():
    text = picture(two_convolutions())
    titles = [t.text for t in xml.fromstring(text).iter(f"{SVG}title")]
    assert titles.count("sqrt_neg") == 1 and "conv_add_relu" in titles and "conv" in titles
    assert text.count(f'fill="{AGREED}"') == 2 * 2 + 1  # two nodes that run together on both sides; the legend


def test_a_group_that_ends_no_operator_is_a_tab_on_what_it_computes_a_part_of():
    x, at = input("x", TensorType(float32, (4, 6))), input("at", TensorType(int64, (2, 6)))
    made = compare_fusion(Graph("net", (x, at), (ops.GatherElements(0)(x, at),), ("y",)))
    tree = xml.fromstring(picture(made))
    titles = [t.text for t in tree.iter(f"{SVG}title")]
    assert titles.count("fused_less_add_where_maximum_minimum") == titles.count("gather") == 1
    tabs = [r for r in tree.iter(f"{SVG}rect") if "fused_less" in "".join(t.text for t in r.iter(f"{SVG}title"))]
    assert len(tabs) == 1 and tabs[0].get("fill") in COLOURS
    numbers = [t for t in texts(tree) if t.isdigit()]
    assert numbers == ["1"] * 3 and "a part of an operator" in texts(tree)


def test_where_nothing_differs_the_picture_says_so():
    x = input("x", TensorType(float32, (2, 3)))
    made = compare_fusion(Graph("net", (x,), (ops.Identity()(ops.Exp()(x)),), ("y",)))
    assert "They are the same" not in texts(xml.fromstring(picture(made)))
    same = compare_fusion(Graph("net", (x,), (ops.Relu()(ops.Exp()(x)),), ("y",)))
    assert "They are the same" in texts(xml.fromstring(picture(same)))


def test_names_are_written_as_text():
    text = picture(two_convolutions("a<b>&c and more than fits"))
    assert "a<b>&c and mor…" in texts(xml.fromstring(text))


def test_characters_that_xml_has_not_are_replaced():
    text = picture(two_convolutions("a\x01b\ud800\ufffe\n"))
    assert "a\ufffdb\ufffd\ufffd\n" in texts(xml.fromstring(text.encode("utf-8")))
    made = two_convolutions()
    named = Graph("n\x00t", made.graph.inputs, made.graph.outputs, made.graph.output_names)
    assert "n\ufffdt: kernels of minicc, groups of Relax" in texts(xml.fromstring(picture(compare_fusion(named))))


def test_without_operators_the_picture_says_so():
    x = input("x", TensorType(float32, (2, 3)))
    words = texts(xml.fromstring(picture(compare_fusion(Graph("net", (x,), (x,), ("y",))))))
    assert "There are no operators" in words and "They are the same" not in words


def test_the_picture_is_the_same_each_time():
    assert picture(two_convolutions()) == picture(two_convolutions())
