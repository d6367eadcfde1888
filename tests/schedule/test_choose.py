"""choose: numbers in a trace by their names, replayed with others."""

from __future__ import annotations

import copy
import pickle

import pytest

from minicc import te
from minicc.errors import ScheduleError
from minicc.loop.ir import Alloc, For, walk
from minicc.loop.lower import lower
from minicc.schedule import Schedule, Trace
from minicc.schedule.choice import Choice


def product(rows=24, columns=64, depth=16):
    a, b = te.placeholder((rows, depth), name="A"), te.placeholder((depth, columns), name="B")
    k = te.reduce_axis((0, depth), name="k")
    c = te.compute((rows, columns), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    return lower([c], [a, b, c], "product").program


def tiled(choices=None, program=None):
    s = Schedule(program or product(), choices)
    rows = s.choose("rows", (4, 6, 8), 6)
    width = s.choose("width", (8, 16), 16)
    s.cache_read("B", "global")
    s.transform_layout("B_global", "1//{width}", "0", "1%{width}")
    s.tile("i", "j", rows, width)
    s.choose("around", (1, 2), 1 + rows // 8)
    return s


TEXT = """\
rows = s.choose("rows", [4, 6, 8], 6)
width = s.choose("width", [8, 16], 16)
s.cache_read("B", "global")
s.transform_layout("B_global", "1//{width}", "0", "1%{width}")
s.split("i", factor=rows)
s.split("j", factor=width)
s.reorder("i_o", "j_o", "i_i", "j_i")
around = s.choose("around", [1, 2], 1)"""


def test_a_trace_names_its_choices():
    s = tiled()
    assert str(s.trace) == TEXT
    assert s.choices == {"rows": 6, "width": 16, "around": 1}
    assert "for i_i in range(6)" in str(s.program) and "empty((4, 16, 16)" in str(s.program)


def test_programs_hold_plain_numbers():
    numbers = []
    for s in walk(tiled().program.body):
        numbers += s.buffer.shape if isinstance(s, Alloc) else [s.extent] if isinstance(s, For) else []
    assert {6, 16} <= set(numbers) and {type(n) for n in numbers} == {int}


def test_a_trace_goes_through_json_and_python_source():
    trace = tiled().trace
    assert Trace.from_json(trace.to_json()) == trace and str(Trace.from_json(trace.to_json())) == TEXT
    s = Schedule(product())
    exec(TEXT, {"s": s})
    assert s.trace == trace and str(s.trace) == TEXT


def test_a_trace_is_replayed_with_other_choices():
    again = tiled().trace.replay(product(), {"rows": 4, "width": 8})
    assert again.choices == {"rows": 4, "width": 8, "around": 1}
    assert "for i_i in range(4)" in str(again.program) and "empty((8, 16, 8)" in str(again.program)
    assert str(again.trace) == TEXT.replace("6)", "4)", 1).replace("16], 16", "16], 8")
    assert Trace.from_json(again.trace.to_json()).replay(product()).program is again.program


def test_a_recipe_runs_again_with_other_choices():
    assert tiled({"rows": 4, "width": 8}).program is tiled().trace.replay(product(), {"rows": 4, "width": 8}).program


def test_what_is_derived_from_a_choice_is_a_plain_number():
    s = Schedule(product())
    s.split("i", factor=s.choose("rows", (2, 4), 2) * 2)
    assert 'split("i", factor=4)' in str(s.trace)


def test_undone_choices_are_free_again():
    s = Schedule(product())
    s.choose("rows", (2, 4), 2)
    s.undo()
    assert not s.choices and s.choose("rows", (2, 4), 4) == 4


def test_choices_are_copied():
    for made in (copy.deepcopy(Choice("rows", 4)), pickle.loads(pickle.dumps(Choice("rows", 4)))):
        assert (made, made.name, type(made)) == (4, "rows", Choice)


@pytest.mark.parametrize(
    "do, problem",
    [
        (lambda s: s.choose("n", (1, 2), 3), r"choose\(\"n\", \[1, 2\], 3\): expected n to be among its options 1, 2, got 3"),
        (lambda s: s.choose("n", (), 3), r"among its options none, got 3"),
        (lambda s: s.choose("n m", (3,), 3), r"expected the name of a variable other than s, got 'n m'"),
        (lambda s: s.choose("class", (3,), 3), r"expected the name of a variable other than s, got 'class'"),
        (lambda s: s.choose("s", (3,), 3), r"expected the name of a variable other than s, got 's'"),
        (lambda s: s.choose("n", (3, 2.5), 3), r"expected options to be tuple\[int, ...\], got \(3, 2.5\)"),
        (lambda s: [s.choose("n", (3,), 3) for _ in "12"], r"expected a name that is not chosen yet, got n"),
        (lambda s: s.split("i", factor=Choice("m", 4)), r"expected a choice that stands in the trace, got m"),
        (lambda s: s.pragma("i", "unroll", "{m}"), r"expected a choice that stands in the trace, got m"),
        (lambda s: tiled({"rows": 5}), r"expected rows to be among its options 4, 6, 8, got 5"),
        (lambda s: tiled().trace.replay(s.start, {"rows": 5}), r"expected rows to be among its options 4, 6, 8, got 5"),
        (lambda s: tiled().trace.replay(s.start, {"line": 4}), r"expected the name of a choice, got 'line'"),
        (lambda s: Trace.from_json('[{"step": "split", "loop": "i", "factor": {"choice": "n"}}]'), r"expected a list of steps"),
    ],
)  # fmt: skip
def test_bad_choices_are_refused_in_four_parts(do, problem):
    s = Schedule(product())
    with pytest.raises(ScheduleError, match=problem) as caught:
        do(s)
    assert caught.value.where and caught.value.hint
