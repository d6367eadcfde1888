"""Lesson 5: what is refused, what is allowed, and what is refused although it would be right."""

import functools

import pytest
from lesson_runs import lesson, wrong

from minicc import te
from minicc.course.checks import lesson_05 as check

names = functools.partial(lesson, "05_legality")
pytestmark = pytest.mark.course  # the lesson takes a walk of some seconds


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"_", "i", "j"}, "k is missing: does any trip"),
        ({"i", "j", "k"}, "_ is missing: it makes a single trip"),
        ({"_", "i", "j", "k", "t"}, "t may not: the iterations of loop t depend"),
        ({"_", "i", "j", "k", "h"}, "h may not: D is reduced"),
        ({"x"}, "the loops are"),
        ([1, "i"], "got 1"),
        (None, "expected words"),
    ],
)
def test_parallel_is_wrong(answer, why):
    wrong(check.ex1(answer, names()["three"]), why)


def test_parallel():
    assert check.ex1({"_", "i", "j", "k"}, names()["three"]).right and check.ex1("_, i, j, k", names()["three"]).right
    assert check.ex1(..., names()["three"]).right is None


def partial_sums(factor, loop, then=None):
    def answer(s):
        s.split("k", factor=factor)
        s.rfactor("total", loop)
        s.parallel(then or loop)

    return answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda s: None, "no step was taken"),
        (lambda s: s.parallel("i"), "a single trip"),
        (lambda s: s.parallel("k"), "minicc refuses it"),
        (lambda s: s.rfactor("total", "k"), "no loop is parallel yet"),
        (partial_sums(16, "k_i"), "makes 16 trips"),
        (partial_sums(4, "k_i"), "no neighbours"),
        (partial_sums(8, "k_o"), "makes 8 trips"),
        (partial_sums(16, "k_o", "k_o_combine"), "minicc refuses it"),
    ],
)
def test_partial_sums_are_wrong(answer, why):
    wrong(check.ex2(answer, names()["total"]), why)


def test_partial_sums():
    assert check.ex2(partial_sums(16, "k_o"), names()["total"]).right
    assert check.ex2(lambda s: ..., names()["total"]).right is None


REFUSED = {
    "dependence": lambda s: s.parallel("t"),
    "sum": lambda s: s.parallel("h"),
    "nest": lambda s: s.reorder("j", "k"),
}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"dependence": lambda s: s.parallel("h")}, "dependence: it is refused because of sum"),
        ({"sum": lambda s: s.parallel("j")}, "sum: this step is legal; it was done"),
        ({"nest": lambda s: s.split("k", factor=0)}, "for something else"),
        ({"rest": lambda s: None}, "the reasons are"),
    ],
)
def test_refusal_is_wrong(change, why):
    wrong(check.ex3(REFUSED | change, names()["three"]), why)


def test_refusal():
    assert check.ex3(REFUSED, names()["three"]).right
    assert check.ex3(
        REFUSED | {"sum": lambda s: s.fuse("k", "h"), "nest": lambda s: s.fuse("i", "j")}, names()["three"]
    ).right
    assert check.ex3(REFUSED | {"nest": ...}, names()["three"]).right is None
    wrong(check.ex3({"sum": REFUSED["sum"]}, names()["three"]), "no step for dependence, nest")
    wrong(check.ex3(list(REFUSED.values()), names()["three"]), "expected a dictionary")


def of(*shifts):
    """A scan that reads the row before at these places."""

    def formula(before, X, t, j):
        terms = [te.if_then_else(te.all(j + s >= 0, j + s < 6), before[t - 1, j + s], 0.0) for s in shifts]
        return sum(terms, X[t, j])

    return formula


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (of(), "reads nothing"),
        (of(1), "before` in 1 place, before[t - 1, j + 1]; two"),
        (of(1, 2, 0), "before` in 3 places"),
        (lambda before, X, t, j: before[t - 1, 5] + before[t - 1, 5] * X[t, j], "before` in 1 place, "),
        (lambda before, X, t, j: 1.0, "expected a formula"),
        (of(0, -1), "the numbers stay the same"),
        (lambda before, X, t, j: before[t - 1, j] + before[t - 1, j + 1], "minicc refuses it"),
        (lambda before, X, t, j: before[t - 1, j] + te.if_then_else(t > 1, before[t - 2, j], 0.0), "minicc allows it"),
    ],
)
def test_scan_is_wrong(answer, why):
    wrong(check.ex4(answer), why)


def test_scan():
    assert "are wrong" in check.ex4(of(0, 1)).why and check.ex4(of(0, 1)).right
    assert check.ex4(of(-1, 1)).right and check.ex4(of(2, 1)).right
    assert check.ex4(lambda *_: ...).right is None
