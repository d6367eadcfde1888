"""What a picture shows as visited is what Python visits when it runs the program's text, in its order."""

import ast
import re
import sys
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minicc import te
from minicc.errors import LoopError
from minicc.explain.draw_visits import FADE, MOST_VISITS, STYLE, draw_heat, draw_visits, visited
from minicc.explain.grids import SHADES, Grid, shade, shades
from minicc.explain.page import figure, page
from minicc.explain.picture import DARK, LIGHT
from minicc.loop.accesses import accesses
from minicc.loop.caches import Cache
from minicc.loop.ir import Buffer, For, Store
from minicc.loop.lower import lower
from minicc.loop.prelude import PRELUDE
from minicc.loop.program import Program
from minicc.schedule.examples import doubled, in_a_row, product, smoothed
from minicc.tensor.expr import Var, const
from minicc.testing.strategies import schedules
from minicc.testing.workloads import WORKLOADS
from minicc.types import float32
from tests.explain.chromium import chromium, opened
from tests.explain.test_draw_program import DRAWN, HOSTILE
from tests.explain.test_picture import contrast

SVG = "{http://www.w3.org/2000/svg}"


class BothSides(ast.NodeTransformer):
    """`and` and `or` as machine code has them: both sides are evaluated."""

    def visit_BoolOp(self, node):
        self.generic_visit(node)
        name = ast.Name("all" if isinstance(node.op, ast.And) else "any", ast.Load())
        return ast.copy_location(ast.Call(name, [ast.List(node.values, ast.Load())], []), node)


class Watched:
    """An array that tells each access, and a run of a program's text that tells the moment of each.

    A line of the text begins a moment when it reads or writes; that of an update goes on with the one that initialises it.
    """

    def __init__(self, program, inputs):
        self.lines, self.found, self.now, self.fresh, self.after = str(program).splitlines(), set(), -1, False, 0
        names = {**PRELUDE, "vectorize": self.vectorize, "empty": self.empty, "__builtins__": __builtins__}
        body = "\n".join("" if line.startswith("from ") else line for line in self.lines)
        tree = ast.fix_missing_locations(BothSides().visit(ast.parse(body)))
        exec(compile(tree, "watched", "exec"), names)
        size = next(
            (
                n
                for b, a in zip(program.params, inputs, strict=True)
                for d, n in zip(b.shape, a.shape, strict=True)
                if not isinstance(d, int)
            ),
            0,
        )
        outputs = [np.empty([d if isinstance(d, int) else size for d in b.shape]) for b in program.outputs]
        named = zip((*program.params, *program.outputs), (*inputs, *outputs), strict=True)
        arrays = [self.array(b.name, a) for b, a in named]
        sys.settrace(self.trace)
        try:
            names[program.name](*arrays)
        finally:
            sys.settrace(None)

    def trace(self, frame, event, argument):
        if frame.f_code.co_filename != "watched":
            return None
        if event == "line":
            line, above = (self.lines[frame.f_lineno - n].strip() for n in (1, 2))
            self.fresh = not (self.after and self.after + 1 == frame.f_lineno)
            self.after = frame.f_lineno if above.startswith("if first(") and " = " in line else 0
            self.name = line.split(" = empty(")[0]
        return self.trace

    def empty(self, shape, dtype):
        return self.array(self.name, PRELUDE["empty"](shape, dtype))

    def array(self, name, held):
        run = self

        class Array:
            shape = held.shape

            def tell(self, at, store):
                run.now, run.fresh = run.now + run.fresh, False
                at = at if isinstance(at, tuple) else (at,)
                run.found.add((run.now, name, int(np.ravel_multi_index(at, held.shape)) if at else 0, store))

            def __getitem__(self, at):
                self.tell(at, False)
                return held[at]

            def __setitem__(self, at, value):
                self.tell(at, True)
                held[at] = value

        return Array()

    def vectorize(self, extent):
        begin = end = self.now
        for n in range(extent):
            end, self.now = max(end, self.now), begin
            yield n
        self.now = max(end, self.now)


def by_name(found):
    return {(v.moment, found.buffers[v.buffer].name, v.element, v.is_store) for v in found.visits}


@settings(max_examples=max(10, settings().max_examples // 3))
@given(st.data())
def test_visits_are_those_of_python(data):
    name = data.draw(st.sampled_from(sorted(WORKLOADS)))
    start = WORKLOADS[name].program(2, 3)
    program = data.draw(schedules(start)).replay(start).program
    arrays = [np.ones([d if isinstance(d, int) else 3 for d in b.shape], b.dtype.numpy) for b in program.params]
    assume(len(accesses(program, arrays=arrays)) <= MOST_VISITS)
    found = visited(program, arrays=arrays)
    assert by_name(found) == Watched(program, arrays).found
    assert len(found.running) == 1 + max(v.moment for v in found.visits)


def drawn_visits(picture):
    """Of each buffer, by its label: what lights up in the picture, as moment, element, and whether it is written."""
    grids = {}
    tree = xml.fromstring(picture.svg())
    for g in tree.iter(f"{SVG}g"):
        label = g.find(f"{SVG}text")
        if g.get("transform") and label is not None:
            shape = tuple(map(int, re.search(r"\[(.*)\]", label.text)[1].split(",")))
            cell = float(g.find(f".//{SVG}g[@class='seen']/{SVG}rect").get("width")) + 1
            places = {tuple(map(float, Grid("", shape, cell).at(e))): e for e in range(int(np.prod(shape)))}
            grids[label.text.split(":")[0]] = sorted(
                (int(re.match(r"--t: (\d+)", e.get("style"))[1]), places[corner(e, cell)], "c2" in e.get("class"))
                for e in g.iter()
                if "now" in (e.get("class") or "").split()
            )
    return grids


def corner(e, cell):
    if e.tag.endswith("rect"):
        return float(e.get("x")), float(e.get("y"))
    return float(e.get("cx")) - cell / 2, float(e.get("cy")) - cell / 2


def test_the_picture_shows_these_visits():
    s = product(4, 6)
    s.split("k", factor=3)
    s.reorder("k_o", "i", "k_i")
    found = visited(s.program)
    shown = drawn_visits(s.picture(kind="visits"))
    for n, buffer in enumerate(found.buffers):
        own = {(v.moment, v.element): False for v in found.visits if v.buffer == n}
        own |= {(v.moment, v.element): True for v in found.visits if v.buffer == n and v.is_store}
        assert shown[buffer.name] == sorted((*key, store) for key, store in own.items())


def test_vectors_light_up_together_and_threads_one_after_another():
    for step, moments in (("vectorize", 1), ("parallel", 8), ("unroll", 8)):
        s = doubled(8)
        getattr(s, step)("i")
        assert len(visited(s.program).running) == moments
    s = in_a_row(8)
    s.split("i", factor=4)
    s.vectorize("i_i")
    s.split("j", factor=4)
    s.vectorize("j_i")
    assert {v.moment for v in visited(s.program).visits} == {0, 1, 2, 3}


def test_heat_counts_reads_and_writes():
    made = smoothed(4).program.picture(kind="heat")
    assert made.words.splitlines()[1:] == [
        "A is read 10 times, an element 2 to 3 times.",
        "B is read 12 times, an element 3 to 3 times.",
        "B is written 16 times, an element 4 to 4 times.",
    ]
    numbers = [t.text for t in xml.fromstring(made.svg()).iter(f"{SVG}text") if t.get("class") == "small"]
    assert sorted(map(int, numbers)) == [2, 2] + [3] * 6


def test_heat_of_caches_counts_misses():
    """A row of B reads a column of A, of four lines, which a cache of three has lost before the next; two rows of B are a line."""
    A = te.placeholder((4, 8), name="A")
    B = te.compute((8, 4), lambda i, j: A[j, i], name="B")
    program = lower([B], [A, B], "turned").program
    caches = [Cache(3 * 32, line=32, ways=None), Cache(1024, line=32)]
    assert program.picture(kind="heat", caches=caches).words.splitlines()[1:] == [
        "A misses L1 32 times, an element 1 to 1 times.",
        "A misses L2 4 times, an element 0 to 1 times.",
        "B misses L1 4 times, an element 0 to 1 times.",
        "B misses L2 4 times, an element 0 to 1 times.",
    ]
    assert draw_heat(program, caches=caches[:1]).words.splitlines()[1] == "A misses 32 times, an element 1 to 1 times."


def test_symbolic_sizes_are_given():
    n = te.var("n")
    A = te.placeholder((n,), name="A")
    B = te.compute((n,), lambda i: A[i] + 1.0, name="B")
    s = te.create_schedule(B.op)
    assert "in 5 moments" in s.picture(kind="visits", sizes={"n": 5}).words
    with pytest.raises(LoopError, match=r"expected a number for each of n"):
        s.picture(kind="heat")


def test_what_no_picture_can_show_is_refused():
    with pytest.raises(LoopError, match=f"expected at most {MOST_VISITS:,} reads and writes, got 20,000"):
        draw_visits(doubled(100, 100).program)
    with pytest.raises(
        LoopError, match=r"expected at most 4,096 elements in rows of at most 144, got 20,000 in rows of up to 100"
    ):
        draw_heat(doubled(100, 100).program)
    with pytest.raises(LoopError, match=r"got 600 in rows of up to 150"):
        draw_heat(doubled(2, 150).program)
    with pytest.raises(LoopError, match=r"expected names of buffers, got 'D'"):
        draw_visits(product(4, 4).program, buffer="D")
    assert "A: " not in draw_visits(product(4, 4).program, buffer=["C"]).words


def test_slices_and_wrapped_rows():
    grid = Grid("A", (3, 4, 5), 10)
    assert (grid.slices, grid.rows, grid.columns) == (3, 4, 5) and len({grid.at(e) for e in range(60)}) == 60
    assert grid.index(59) == (2, 3, 4) and all(x < grid.width and y < grid.height for x, y in map(grid.at, range(60)))
    assert (Grid("B", (100,), 10).rows, Grid("B", (1, 100), 10).columns) == (4, 32)
    assert (Grid("B", (), 10).size, Grid("B", (), 10).index(0), Grid("B", (0, 3), 10).height) == (1, (), 18)


def test_words_can_be_read_on_every_shade():
    for colours in (LIGHT, DARK):
        for step, kind in enumerate(SHADES, 1):
            assert contrast(colours["paper" if "paper" in shade(step, len(SHADES))[1] else "ink"], colours[kind]) >= 4.5
    for most in (1, 5, 6, 7, 100):
        given_shades = {amount: shade(amount, most)[0] for amount in range(1, most + 1)}
        assert given_shades == {a: kind for kind, low, high in shades(most) for a in range(low, high + 1)}


def hostile(name):
    B, i = Buffer(name, float32, (4,)), Var(name)
    return Program(name, (), (B,), For(i, 4, Store(B, (i,), const(1, float32))))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_words_whatever_it_is(name):
    program = hostile(name)
    for made in (draw_visits(program), draw_heat(program)):
        tree = xml.fromstring(made.svg().encode("utf-8"))
        assert {e.tag.removeprefix(SVG) for e in tree.iter()} <= DRAWN


def test_where_motion_is_not_wanted_and_on_paper_it_stands_still():
    assert "@media print, (prefers-reduced-motion: reduce)" in STYLE
    program = lower([B := te.compute((3,), lambda i: i * 2, name="B")], [B], "numbers").program
    made = draw_visits(program)
    numbers = [
        t.text
        for t in xml.fromstring(made.svg()).iter(f"{SVG}text")
        if "small" in (t.get("class") or "").split() and t.text.isdigit()
    ]
    assert numbers == ["1", "2", "3"]


# What is to be seen at a share of the time until all is done: of each shape its class, its style, and how opaque it is
OPACITIES = """share => {
    for (const a of document.getAnimations()) { a.pause(); a.currentTime = share * 0.9 * a.effect.getTiming().duration; }
    return [...document.querySelectorAll(".now, .seen")].map(
        e => [e.getAttribute("class"), e.getAttribute("style"), +getComputedStyle(e).opacity]);
}"""


@pytest.mark.browser
def test_at_each_moment_a_browser_shows_what_is_visited_then(tmp_path):
    """Each shape is opaque at its own moments only, and a cell keeps its shade from its first visit on; so in a page with its policy."""
    pytest.importorskip("playwright.sync_api")
    s = product(3, 4)
    s.vectorize("i")
    made, found = s.picture(kind="visits"), visited(s.program)
    (tmp_path / "visits.html").write_text(
        page("visits", figure(made), figure(draw_visits(hostile("<script>alert(1)</script>"))))
    )
    with chromium() as browser, opened(browser, (tmp_path / "visits.html").as_uri()) as shown:
        for moment in range(len(found.running)):
            for kind, style, opacity in shown.evaluate(OPACITIES, (moment + 0.5) / (len(found.running) + FADE))[
                : made.svg().count('style="--t: ')
            ]:
                first, *last = map(int, re.findall(r"--[tu]: (\d+)", style))
                faded = 0 if kind == "seen" else max(moment - max([first, *last]), 0) / FADE
                assert opacity == pytest.approx(max(0, 1 - faded) * (first <= moment)), (moment, kind, style)
        shown.emulate_media(reduced_motion="reduce")
        still = shown.evaluate(OPACITIES, 0)
        assert {(kind == "seen", opacity) for kind, _, opacity in still} == {(True, 1), (False, 0)}
