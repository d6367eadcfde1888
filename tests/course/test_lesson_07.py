"""The exercises of lesson 7: right answers are accepted, wrong ones are told why; the hot loop of a kernel is found."""

import pytest

from minicc.course.checks import lesson_07 as check
from minicc.explain.hot_loop import draw_hot_loop, hot_loop, kind_of, stack_places, sums


def with_sums(count, lanes=8, rolled=False):
    def answer(s, C):
        _, inner = s[C].split(C.op.reduce_axis[0], factor=count * lanes)
        partial = s.rfactor(C, inner)
        vector, lane = partial.split(partial.op.axis[0], factor=lanes)
        partial.reorder(*partial.op.reduce_axis, vector, lane)
        if not rolled:
            partial.unroll(vector)
        partial.vectorize(lane)
        partial.set_scope("local")

    return answer


def tensorized(inner):
    def answer(s, y):
        row, row_inner = s[y].split(y.op.axis[0], factor=4)
        column, column_inner = s[y].split(y.op.reduce_axis[0], factor=inner)
        s[y].reorder(row, column, row_inner, column_inner)
        s[y].tensorize(row_inner, "gemv_4x4_float32")

    return answer


SPILLED = ".LBB0_3:\n\tvmovups\t%ymm13, -40(%rsp)\n\tvmovups\t(%r11), %ymm0\n\tvfmadd231ps\t%ymm0, %ymm1, %ymm13\n\tjne\t.LBB0_3"


@pytest.mark.parametrize(
    ("exercise", "given", "right", "why"),
    [
        ("ex1", [...], None, "How many"),
        ("ex1", [(1, 5)], True, "one in each cycle"),
        ("ex1", [(2, 10)], False, "4 loads"),
        ("ex1", [(1, 10)], False, "fewer are on their way"),
        ("ex1", [(1, 1)], False, "on their way at a time?"),
        ("ex1", [5], False, "expected 2 numbers"),
        ("ex2", [lambda s, C: ...], None, "Schedule"),
        ("ex2", [with_sums(5)], True, "5 vectors of sums"),
        ("ex2", [with_sums(10)], True, "10 vectors of sums"),
        ("ex2", [with_sums(1)], False, "1 accumulator:"),
        ("ex2", [with_sums(20)], False, "on the stack"),
        ("ex2", [with_sums(5, rolled=True)], False, "not unrolled"),
        ("ex2", [with_sums(8)], False, "no multiple"),
        ("ex2", [lambda s, C: None], False, "8 lanes want"),
        ("ex2", [lambda s, C: s[C].vectorize(C.op.reduce_axis[0])], False, "minicc refuses it"),
        ("ex3", [(4, 3)], True, "7 loads for 12"),
        ("ex3", [(6, 2)], False, "fits, with 8 loads for 12"),
        ("ex3", [(3, 4)], False, "it spills"),
        ("ex3", [(2, 2)], False, "too few"),
        ("ex3", [(-3, -4)], False, "counted from 1"),
        ("ex3", [(3.9, 3)], False, "counted from 1"),
        ("ex3", [(4.0, 3)], True, "7 loads for 12"),
        ("ex4", ["-40(%rsp)", SPILLED], True, "vmovups there"),
        ("ex4", ["%ymm13", SPILLED], False, "is a register"),
        ("ex4", ["(%r11)", SPILLED], False, "a place of A or B"),
        ("ex4", ["8(%rsp)", SPILLED], False, "no place that the loop stores to"),
        ("ex4", [" -40(%RSP)", SPILLED], True, "vmovups there"),
        ("ex4", ["40(%rsp)", SPILLED], False, "no place that the loop stores to"),
        ("ex4", ["", SPILLED], False, "no place that the loop stores to"),
        ("ex5", [tensorized(4)], True, "the intrinsic's"),
        ("ex5", [tensorized(6)], False, "minicc refuses it"),
        ("ex5", [lambda s, y: None], False, "no intrinsic"),
    ],
)
def test_reply(exercise, given, right, why):
    reply = getattr(check, exercise)(*given)
    assert (reply.right, why in reply.why) == (right, True), reply


ARM = ".LBB0_3:\n\tldp\tq20, q21, [x16, #-16] // 16-byte Reload\n\tld1r\t{ v22.4s }, [x14], #4\n\tfmla\tv3.4s, v22.4s, v21.4s\n\tb.ne\t.LBB0_3\n\tret"


def test_hot_loop_of_arm():
    lines = hot_loop(ARM)
    assert [kind_of(row) for row in lines] == ["", "load", "broadcast", "multiply-add", "loop"]
    assert (sums(lines), stack_places(lines)) == (["v3.4s"], [])
    assert "4 lines" not in draw_hot_loop("<arm>", ARM).words and "5 lines" in draw_hot_loop("<arm>", ARM).words


def test_no_loop():
    assert hot_loop("main:\n\tretq") == []
    assert draw_hot_loop("none", "main:\n\tretq").words.startswith("none. 0 lines")
