"""The picture of a step has every line before and after; that of a trace has every step, and the options of each choice."""

from itertools import pairwise
import xml.etree.ElementTree as xml

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicc import te
from minicc.errors import ConfigError
from minicc.explain.draw_schedule import AROUND, compared, programs, shortened
from minicc.explain.page import Pictures
from minicc.schedule import Schedule, Trace
from minicc.schedule.choose import ChooseStep
from minicc.schedule.examples import doubled, product
from minicc.schedule.split import SplitStep
from minicc.schedule.step import loops_text
from minicc.testing.strategies import schedules
from minicc.testing.workloads import WORKLOADS
from tests.explain.test_draw_program import DRAWN, HOSTILE

SVG = "{http://www.w3.org/2000/svg}"


def words(picture):
    return [t.text for t in xml.fromstring(picture.svg().encode()).iter(f"{SVG}text")]


@settings(max_examples=max(10, settings().max_examples // 3))
@given(st.data())
def test_a_change_is_all_lines_before_and_after(data):
    start = WORKLOADS[data.draw(st.sampled_from(sorted(WORKLOADS)))].program(4, 5)
    s = data.draw(schedules(start)).replay(start)
    for before, after in pairwise(programs(s)):
        changes = list(compared(*map(loops_text, (before, after))))
        old = [c.code.strip() for c in changes if c.mark != "+"]
        assert old == [line.strip() for line in loops_text(before).splitlines()]
        assert [c.code for c in changes if c.mark != "-"] == loops_text(after).splitlines()
    made = s.picture(every=True)
    assert [name for name, _ in made.sections] == [f"{n}. {step}" for n, step in enumerate(s.trace, 1)]
    for _, one in made.sections:
        xml.fromstring(one.svg().encode())
    flow = s.trace.picture()
    for step in s.trace:
        assert str(step) in flow.words


def test_a_loop_that_moves_has_a_line_to_its_place():
    s = doubled(4, 8)
    s.reorder("j", "i")
    made = s.picture()
    assert (
        made.title == 'Step 1: s.reorder("j", "i")'
        and made.svg().count("<title>moved: for j in range(8):</title>") == 1
    )
    assert words(made)[-4:] == [
        "- taken away",
        "+ brought",
        "> deeper in loops",
        "moved, from the old place to the new",
    ]
    marks = [(c.mark, c.code.strip()) for c in compared(loops_text(s.start), loops_text(s.program))]
    again = "for j in range(8):"
    assert marks == [("+", again), (">", "for i in range(4):"), ("-", again), (" ", "B[i, j] = A[i, j]*2.0")]


def test_what_is_far_from_a_change_is_left_out_but_for_the_loops_around():
    before = "for i in range(4):\n" + "\n".join(f"    x{n}()" for n in range(20))
    shown = shortened(list(compared(before, before.replace("x10()", "y()"))))
    assert shown[0].code == "for i in range(4):" and [c.skipped for c in shown if c.skipped] == [
        10 - AROUND,
        9 - AROUND,
    ]
    assert len(shown) == 1 + 2 + 2 * AROUND + 2


def test_a_trace_has_the_options_of_a_choice_and_who_uses_it():
    s = product(64, 64)
    rows = s.choose("rows", (2, 4, 8), 4)
    s.split("i", factor=rows)
    made = s.trace.picture()
    bold = [t.text for t in xml.fromstring(made.svg()).iter(f"{SVG}text") if t.get("class") == "bold"]
    assert bold == ["4"] and {"rows = 4", "one of", "2", "8", 's.split("i", factor=rows)'} <= set(words(made))
    assert made.svg().count("rows is used") == 2
    assert s.picture(step=1).words.endswith("changes no line.")


def test_a_long_trace_folds():
    s = doubled(1 << 30)
    name = "i"
    for _ in range(27):
        name, _ = s.split(name, factor=2)
    made = s.trace.picture()
    assert isinstance(made, Pictures) and [name for name, _ in made.sections] == ["steps 1 to 24", "steps 25 to 27"]
    assert isinstance(Trace().picture().svg(), str)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_words_whatever_it_is(name):
    made = Trace((ChooseStep(name, (1, 2), 1), SplitStep(name, factor=2))).picture()
    assert {e.tag.removeprefix(SVG) for e in xml.fromstring(made.svg().encode("utf-8")).iter()} <= DRAWN


def test_a_schedule_by_stages_shows_the_same():
    A = te.placeholder((8,), name="A")
    B = te.compute((8,), lambda i: A[i] + 1.0, name="B")
    s = te.create_schedule(B.op)
    assert s.picture().svg() == s.program.picture().svg()  # no step yet
    s[B].vectorize(B.op.axis[0])
    assert s.picture().svg() == s.schedule.picture(step=1).svg() and "for i in vectorize(8):" in words(s.picture())
    assert s.picture(kind="nest").svg() == s.program.picture().svg()
    assert s.picture(kind="trace").svg() == s.trace.picture().svg()


def test_what_is_no_step_or_kind_is_refused():
    s = Schedule(doubled(8).program)
    with pytest.raises(ConfigError, match=r"picture\(step=1\): expected no step, as the trace is empty, got 1"):
        s.picture(step=1)
    with pytest.raises(ConfigError, match=r"expected one of step, trace, nest, .*got 'all'"):
        s.picture(kind="all")
