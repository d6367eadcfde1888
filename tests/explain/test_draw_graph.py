"""The picture of a graph: everything stands in it once, nothing on something else, arrows run down, and names are words."""

import re
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darknet_files import configuration, random_weights
from minicc import load, ops
from minicc.compile import optimize
from minicc.errors import ConfigError
from minicc.explain.draw_graph import KINDS, SCREEN, draw_graph
from minicc.explain.flow import ROOM
from minicc.explain.page import Pictures
from minicc.explain.picture import Picture
from minicc.explain.sections import Chain, Screen
from minicc.graph import Graph, bind, constant, input, make
from minicc.graph.control import Conditional, Output, loop
from minicc.graph.ir import Constant, Input, Kernel, Span
from minicc.testing.strategies import graphs
from minicc.types import Symbol, TensorType, boolean, float32

SVG = "{http://www.w3.org/2000/svg}"
VECTOR = TensorType(float32, (4,))


def pictures(graph):
    made = draw_graph(graph)
    return [made] if isinstance(made, Picture) else [picture for _, picture, *_ in made.sections]


def placed(element, x=0.0, y=0.0, above=()):
    """Every shape, with its corner where it lies in the picture, and the groups around it."""
    if move := re.fullmatch(r"translate\((\S+) (\S+)\)", element.get("transform", "")):
        x, y = x + float(move[1]), y + float(move[2])
    yield element, x, y, above
    for inner in element:
        yield from placed(inner, x, y, (*above, element))


def boxes(picture):
    """The boxes of nodes, as rectangles, by what they are: (left, top, right, bottom)."""
    found = []
    for e, x, y, above in placed(xml.fromstring(picture.svg())):
        if e.tag == f"{SVG}g" and (e.get("data-node") or e.get("data-output")):
            first = next(e.iter(f"{SVG}rect"))
            left, top = x + float(first.get("x")), y + float(first.get("y"))
            size = float(first.get("width")), float(first.get("height"))
            found.append((e, above, (left, top, left + size[0], top + size[1])))
    return found


def check(picture):
    """No two boxes overlap, unless one stands in the other; all lies in the picture; arrows run down."""
    found = boxes(picture)
    for k, (e, _, (left, top, right, bottom)) in enumerate(found):
        assert 0 <= left <= right <= picture.width and 0 <= top <= bottom <= picture.height
        for other, above, (a, b, c, d) in found[k + 1 :]:
            if e in above:
                assert left <= a and top <= b and c <= right and d <= bottom
            elif other is not e:
                assert right <= a or c <= left or bottom <= b or d <= top
    tree = xml.fromstring(picture.svg())
    for line in tree.iter(f"{SVG}polyline"):
        heights = [float(point.split(",")[1]) for point in line.get("points").split()]
        assert heights == sorted(heights)


def explained(picture):
    """Whether every colour has a legend."""
    tree = xml.fromstring(picture.svg())
    used = {k for e in tree.iter() for k in (e.get("class") or "").split() if k in KINDS}
    words = [t.text for t in tree.iter(f"{SVG}text")]
    return all(KINDS[k] in words for k in used)


def drawn(graph):
    """The names of the nodes that stand in the pictures, those within nodes left out."""
    return [
        e.get("data-node")
        for p in pictures(graph)
        for e, above, _ in boxes(p)
        if not any(a.get("data-node") for a in above)
    ]


def expected(graph):
    """The names of all nodes but constants that somebody reads, as the printed graph has them."""
    read = {i for n in graph.nodes for i in n.inputs}
    names = [n for n in graph.nodes if not isinstance(n.op, Input)]
    kept = [f"%{k}" for k, n in enumerate(names) if not (isinstance(n.op, Constant) and n in read)]
    return sorted([*kept, *graph.input_names, *[None] * len(graph.outputs)], key=str)


def draws(graph):
    for made in (graph, optimize(graph)):
        for picture in pictures(made):
            check(picture)
            assert explained(picture)
        if isinstance(draw_graph(made), Picture):
            assert sorted(drawn(made), key=str) == expected(made)


@settings(max_examples=6)
@given(graphs(max_nodes=8))
def test_some_graphs_are_drawn(example):
    draws(example.graph)


@pytest.mark.slow
@given(graphs(max_nodes=16))
def test_any_graph_is_drawn(example):
    draws(example.graph)


def chain_of(count, x):
    for k in range(count):
        x = (ops.Relu, ops.Neg, ops.Exp, ops.Sqrt, ops.Abs)[k % 7 % 5]()(x)
    return x


def test_a_long_graph_has_sections_and_a_block_that_repeats_is_drawn_once():
    x = input("x", VECTOR)
    made = draw_graph(Graph("long", (x,), (chain_of(7 * 40 + 3, x),), ("y",)))
    assert isinstance(made, Pictures) and len(made.sections) < 5
    (note,) = {s.note for s in made.sections if "times" in s.note}
    assert note.startswith("40 times: also %7 to %13, %14 to %20")
    assert all(s.picture.height < 1.25 * SCREEN for s in made.sections)
    text = made.page()
    assert text.count("<details") == len(made.sections) and "40 times" in text


def test_what_looks_the_same_as_an_earlier_section_is_folded():
    x = input("x", TensorType(float32, (8, 8)))

    def block(y):
        for k in range(10):
            y = ops.Add()(ops.Tanh()(ops.MatMul()(y, constant(np.full((8, 8), k, np.float32)))), y)
        return y

    y = ops.Softmax(-1)(ops.Exp()(ops.Transpose((1, 0))(block(x))))
    y = ops.Sigmoid()(ops.Transpose((1, 0))(y))
    made = draw_graph(Graph("twice", (x,), (ops.ReduceSum((0,))(block(y)),), ("y",)))
    assert any("10 times" in s.note for s in made.sections)
    folded = [s for s in made.sections if not s.unfolded]
    assert all("the same as section" in s.note for s in folded)


def test_pieces_are_all_nodes_once_and_no_higher_than_a_screen():
    reads = {k: [k - 1] * (k > 0) + [k - 5] * (k % 9 == 8) for k in range(200)}
    chain = Chain(range(200), reads.__getitem__, lambda k: k % 9 if k > 50 else k, lambda k: (150, 40), [199])
    found = chain.pieces(Screen(330, 500, 18, 14))
    nodes = [k for piece in found for copy in piece.copies() for k in copy]
    assert sorted(nodes) == list(range(200)) and max(p.times for p in found) == 16
    assert all((p.stop - p.start) * 58 <= 500 for p in found)


def test_kernels_hold_their_operators():
    x = input("x", TensorType(float32, (1, 3, 8, 8)))
    weights = constant(np.ones((4, 3, 3, 3), np.float32))
    graph = optimize(Graph("net", (x,), (ops.Relu()(ops.Conv()(x, weights)),), ("y",)))
    found = [box for p in pictures(graph) for box in boxes(p)]
    kernels = [n for n in graph.nodes if isinstance(n.op, Kernel)]
    inner = [e for e, above, _ in found if any(a.get("data-node") for a in above)]
    assert len(inner) >= sum(len([n for n in k.op.body.nodes if not isinstance(n.op, Input)]) for k in kernels)
    words = " ".join(p.svg() for p in pictures(graph))
    assert "Conv" in words and "Relu" in words and "constant" in words


def control_flow():
    """A Conditional, one of whose branches holds a loop."""
    x, go = input("x", VECTOR), input("go", TensorType(boolean, ()))
    y, z = input("y", VECTOR), input("z", VECTOR)
    (counted,) = loop(lambda trip, total: ([ops.Add()(total, total)], []), 3, [z])
    branches = Graph("a", (y,), (ops.Relu()(y),), ("out",)), Graph("b", (z,), (counted,), ("out",))
    chosen = make(Conditional(*branches), [go, x])
    return Graph("control", (x, go), (make(Output(0, VECTOR), [chosen]),), ("r",))


def long_branch():
    x, y = input("x", VECTOR), input("y", VECTOR)
    go = input("go", TensorType(boolean, ()))
    branches = Graph("a", (y,), (chain_of(60, y),), ("out",)), Graph("b", (y,), (ops.Relu()(y),), ("out",))
    chosen = make(Conditional(*branches), [go, x])
    return Graph("long branch", (x, go), (make(Output(0, VECTOR), [chosen]),), ("r",))


def quantized():
    """A product of integers between scales, before and after the passes."""
    x, scale, zero = input("x", TensorType(float32, (4, 8))), np.float32(0.1), np.uint8(128)
    whole = ops.QuantizeLinear()(x, constant(scale), constant(zero))
    weights = ops.DequantizeLinear()(constant(np.ones((8, 3), np.int8)), constant(scale))
    made = ops.MatMul()(ops.DequantizeLinear()(whole, constant(scale), constant(zero)), weights)
    return Graph("quantized", (x,), (ops.Relu()(made),), ("y",))


def odd_graphs():
    x = input("x", VECTOR)
    big = constant(np.zeros((3000, 1000), np.float32))
    inner = Graph("k", (x,), (ops.Relu()(ops.Exp()(x)),), ("out",))
    nested = Graph("kk", (x,), (make(Kernel("inner", inner), [x]),), ("out",))
    open_type = input("n", TensorType(float32, (Symbol("batch"), 3)))
    yield "nothing", Graph("empty", (), (), ())
    yield "an input is an output", Graph("same", (x,), (x, x), ("y", "z"))
    yield "an input that is not read", Graph("unread", (x, input("z", VECTOR)), (ops.Relu()(x),), ("y",))
    yield "a constant is an output", Graph("constant", (), (big,), ("y",))
    yield "kernels in kernels", Graph("nest", (x,), (make(Kernel("outer", nested), [x]),), ("y",))
    yield "a symbol", Graph("open", (open_type,), (ops.Relu()(open_type),), ("y",))
    yield "a sequence", Graph("any", (input("s", None),), (input("s", None),), ("y",))
    yield "control flow", control_flow()
    yield "a long branch", long_branch()
    yield (
        "many inputs",
        Graph("wide", (x,), (ops.Concat(0)(*[ops.Mul()(x, np.float32(k)) for k in range(60)]),), ("y",)),
    )


@pytest.mark.parametrize(("what", "graph"), list(odd_graphs()), ids=lambda what: what if isinstance(what, str) else "")
def test_odd_graphs_are_drawn(what, graph):
    for picture in pictures(graph):
        check(picture)
        assert explained(picture) and picture.title and picture.words
    assert graph._repr_svg_() or graph._repr_html_()


def test_bodies_within_bodies_are_somewhere():
    made = draw_graph(control_flow())
    assert any("body of %2 Loop" in s.heading for s in made.sections)
    assert sum(s.picture.svg().count(">Add<") for s in made.sections) == 1
    x = input("x", VECTOR)
    body = Graph("k", (x,), (ops.Relu()(x),), ("out",))
    for k in range(300):
        body = Graph(f"k{k}", (x,), (make(Kernel(f"inner{k}", body), [x]),), ("out",))
    assert sum(s.picture.svg().count(">Relu<") for s in draw_graph(body).sections) == 1


def test_a_long_branch_has_sections_of_its_own():
    headings = [s.heading for s in draw_graph(long_branch()).sections]
    assert any("then of %0 Conditional" in h for h in headings)


NAMES = st.sampled_from(
    ["<script>alert(1)</script>", "\x1b[31m\x00", "'\"/>", "</style>", "]]>", "\ud800", "</svg><svg onload=x>"]
)


@settings(max_examples=10)
@given(NAMES)
def test_names_are_words(name):
    x = input(name, VECTOR)
    made = ops.Relu()(x)
    graph = Graph(name, (x,), (make(Kernel(name, Graph(name, (x,), (made,), (name,))), [x]),), (name,))
    graph.located({n: Span(name, name, name) for n in graph.nodes})
    (picture,) = pictures(graph)
    tags = {e.tag.removeprefix(SVG) for e in xml.fromstring(picture.svg().encode("utf-8")).iter()}
    assert tags == {"svg", "title", "desc", "style", "rect", "g", "polyline", "path", "text"}
    page = Pictures(name, name, [(name, picture)]).page()
    assert page.count("<svg ") == 1 and "<script" not in page and "onload=x>" not in page.replace("onload=x&gt;", "")


def test_the_network_of_digits():
    graph = bind(load("minicc/cli/digits/digits.onnx"), {"batch": 1})
    shown = drawn(graph)
    assert sorted(n for n in shown if n and n.startswith("%")) == sorted(
        n for n in expected(graph) if n and n.startswith("%")
    )
    together = draw_graph(graph).together()
    check(together)
    assert together.height < 800 and "Conv" in together.svg()


def test_many_values_from_elsewhere_are_one_sign_and_many_inputs_are_each_drawn():
    x = input("x", VECTOR)
    values = [ops.Mul()(x, np.float32(k)) for k in range(60)]
    wide = draw_graph(Graph("wide", (x,), (ops.Concat(0)(*values),), ("y",)))
    assert [re.findall("60 values from 1", s.picture.svg()) for s in wide.sections][-1]
    inputs = [input(f"x{k}", VECTOR) for k in range(60)]
    graph = Graph("inputs", tuple(inputs), (ops.Relu()(inputs[3]),), ("y",))
    shown = {name for name in drawn(graph) if name}
    (more,) = re.findall(r"(\d+) more inputs, not read", pictures(graph)[0].svg())
    assert {"%0", "x3"} < shown and len(shown) + int(more) == 61


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "darknet53", "yolov4", "yolo-fastest-1.1"])
def test_every_section_of_a_network_is_at_most_a_screen(tmp_path, name):
    text = configuration(name, 64)
    (tmp_path / "net.cfg").write_text(text)
    (tmp_path / "net.weights").write_bytes(random_weights(text))
    graph = bind(load(tmp_path / "net.cfg"))
    for made in (graph, optimize(graph)):
        shown = pictures(made)
        assert len(shown) > 3
        for picture in shown:
            check(picture)
            assert explained(picture) and picture.height < 1.4 * SCREEN and picture.width < 1.4 * ROOM


def test_many_sections_are_no_picture():
    x = input("x", VECTOR)
    source = np.random.default_rng(0)
    y = x
    for k in source.integers(0, 5, 400):
        y = (ops.Relu, ops.Neg, ops.Exp, ops.Sqrt, ops.Abs)[k]()(y)
    with pytest.raises(ConfigError, match=r"at most 2400 pixels in height[\s\S]*hint: .*\.html"):
        draw_graph(Graph("tall", (x,), (y,), ("y",))).together()
