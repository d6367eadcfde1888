"""The picture of a loop program is its text, line by line, whatever the program and its names are."""

import re
import xml.etree.ElementTree as xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicc.errors import ConfigError
from minicc.explain.code import INDENT, MARGIN, wrapped
from minicc.explain.draw_program import LOOK, ROWS, nested
from minicc.explain.page import Pictures
from minicc.loop.ir import Buffer, For, Store, seq
from minicc.loop.program import Program
from minicc.schedule import Schedule
from minicc.schedule.examples import doubled, in_a_row, product, smoothed
from minicc.tensor.expr import Var, const
from minicc.testing.strategies import schedules
from minicc.testing.workloads import WORKLOADS
from minicc.types import float32

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "title", "desc", "style", "rect", "text", "tspan", "g", "circle", "polyline", "path"}
HOSTILE = ["<script>alert(1)</script>", "</svg>", "]]>", "\x1b[31m\x00", "a\"'&b", "\ud800"]


def tree(picture):
    return xml.fromstring(picture.svg().encode("utf-8"))


def lines(picture):
    """The code that a picture shows, as text."""
    found = [t for t in tree(picture).iter(f"{SVG}text") if t.get("class") == "code"]
    rows = []
    for t in found:
        spans = list(t.iter(f"{SVG}tspan"))
        x = float((spans[0] if spans else t).get("x"))
        words = "".join(s.text for s in spans) if spans else t.text or ""
        rows.append(" " * round((x - MARGIN) / INDENT) + words)
    return rows


def shown(program):
    """All code of a program's pictures, parts put where the outline leaves them out."""
    made = program.picture()
    if not isinstance(made, Pictures):
        return lines(made)
    parts = [one for _, one in made.sections]
    assert all(one.height < (ROWS + 4) * 18 + 9 * 4 * ROWS for one in parts)
    return [row for one in parts for row in lines(one)]


@pytest.mark.parametrize("name", WORKLOADS)
def test_lines_are_those_of_the_text(name):
    program = WORKLOADS[name].program(5, 7)
    assert [row.rstrip() for row in lines(program.picture())] == str(program).splitlines()


@settings(max_examples=max(10, settings().max_examples // 3))
@given(st.data())
def test_any_legal_program_is_drawn(data):
    name = data.draw(st.sampled_from(sorted(WORKLOADS)))
    start = WORKLOADS[name].program(4, 5)
    program = data.draw(schedules(start)).replay(start).program
    text = str(program).splitlines()
    if all(len(wrapped(line)) < 4 for line in text):  # else the middle of a line is cut
        assert sorted(row.strip() for row in shown(program)) == sorted(line.strip() for line in text)


def test_a_long_program_is_an_outline_and_parts_that_fit_on_a_screen():
    B, i = Buffer("B", float32, (400,)), Var("i")
    program = Program(
        "long", (), (B,), seq(For(i, 4, seq(*[Store(B, (const(n),), const(n, float32)) for n in range(390)])))
    )
    made = program.picture()
    assert isinstance(made, Pictures) and [name for name, _ in made.sections][:2] == ["outline", "part 1"]
    assert sorted(row.strip() for row in shown(program)) == sorted(line.strip() for line in str(program).splitlines())
    outline = [t.text for t in tree(made.sections[0][1]).iter(f"{SVG}text") if t.get("class") == "muted"]
    counts = [int(re.search(r"\d+", words)[0]) for words in outline]
    assert sum(counts) == 390 and [words.split(": ")[1] for words in outline] == [name for name, _ in made.sections[1:]]


@pytest.mark.parametrize(
    "step, look",
    [("parallel", "parallel"), ("vectorize", "vectorize"), ("unroll", "unroll"), ("bind", "thread")],
)  # fmt: skip
def test_each_kind_of_loop_has_a_colour_and_the_legend_says_which(step, look):
    s = doubled(8)
    getattr(s, step)("i", *(["threadIdx.x"] if step == "bind" else []))
    found = tree(s.program.picture())
    kind, words = LOOK[look]
    assert [r.get("class") for r in found.iter(f"{SVG}rect")].count(kind) == 3  # the side, the head, the legend
    assert words in [t.text for t in found.iter(f"{SVG}text")]


def test_blocks_are_nested_as_python_has_them():
    top = nested(str(smoothed(8).program))
    assert [line.look for line in top] == ["", "", ""] and [inner.look for inner in top[2].inside] == ["", "range"]
    assert [len(s.inside) for s in top[2].inside] == [0, 1]
    s = in_a_row(8)
    s.set_scope("T", "local")
    assert "empty" in [line.look for line in nested(str(s.program))[2].inside]


def test_a_wide_line_is_wrapped_and_nothing_is_lost():
    line = "    " + " + ".join(f"A[i + {n}]" for n in range(20))
    assert "".join(wrapped(line)) == line.strip() and len(wrapped(line)) > 1
    assert wrapped("x" * 5000)[-1].endswith("…")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_words_whatever_it_is(name):
    B, i = Buffer(name, float32, (4,)), Var(name)
    made = Program(name, (), (B,), For(i, 4, Store(B, (i,), const(1, float32)))).picture()
    assert {e.tag.removeprefix(SVG) for e in tree(made).iter()} <= DRAWN


def test_another_kind_is_refused():
    with pytest.raises(ConfigError, match=r"example\.picture\(kind='nets'\): expected one of nest, .*got 'nets'"):
        product(4, 4).program.picture(kind="nets")


def test_notebooks_show_it():
    s = Schedule(product(4, 4).program)
    assert s.program._repr_svg_() == s.program.picture().svg() and s.program.picture().svg() in s.program._repr_html_()
