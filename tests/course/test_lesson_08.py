"""Lesson 8: what is kept and what is computed again is counted, and wrong places are told apart."""

import functools

import pytest
from lesson_runs import lesson, wrong

from minicc import te
from minicc.course.checks import lesson_08 as check

names = functools.partial(lesson, "08_compute_at_and_inline")


def steps(*taken):
    """An answer that takes steps, written as Python."""

    def answer(s):
        for step in taken:
            eval(step, {"s": s})

    return answer


def test_open():
    blur, product, cache = (names()[name] for name in ("blur", "product", "cache"))
    assert check.ex1(...).right is None and check.ex2(lambda s: ..., blur).right is None
    assert check.ex3(..., blur, cache).right is None and check.ex4(lambda s: ..., product).right is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (4160, "nothing is computed twice"), (2304, "C has its own"), (1088, "this is one strip; there are 4"),
        (2176, "takes two additions"), (5120, "strips of 4 rows"), (7, "got 7"), ("6656", "a number, got '6656'"),
    ],
)  # fmt: skip
def test_additions_are_wrong(answer, why):
    wrong(check.ex1(answer), why)


def test_additions():
    A = te.placeholder((66, 18), name="A")
    B = te.compute((66, 16), lambda y, x: A[y, x] + A[y, x + 1] + A[y, x + 2], name="B")
    C = te.compute((64, 16), lambda i, j: B[i, j] + B[i + 1, j] + B[i + 2, j], name="C")
    s = te.create_schedule(C.op).schedule
    s.split("i", factor=16)
    s.compute_at("B", "i_o")
    assert check.ex1(s.counts(caches=[]).flops).right


COLUMNS = ('s.reorder("j", "i")', 's.compute_at("B", "j")')


@pytest.mark.parametrize(
    ("taken", "why"),
    [
        (('s.compute_inline("B")',), "nothing is kept, so 960 additions"),
        (('s.reorder("j", "i")',), "1,152 bytes are kept"),
        (('s.tile("i", "j", 4, 4)', 's.compute_at("B", "j_o")'), "which neighbours share elements"),
        (('s.compute_at("B", "i")',), "960 additions are done again, and 192 bytes"),
        ((), "no step was taken"),
        (('s.compute_at("B", "y")',), "minicc refuses it"),
    ],
)
def test_columns_are_wrong(taken, why):
    wrong(check.ex2(steps(*taken), names()["blur"]), why)


def test_columns():
    assert "in place of 145" in check.ex2(steps(*COLUMNS), names()["blur"]).why
    assert check.ex2(steps(*COLUMNS), names()["blur"]).right


@pytest.mark.parametrize(
    ("taken", "why"),
    [
        (('s.compute_at("B", "i")',), "the pieces have to be higher"),
        (('s.tile("i", "j", 16, 8)', 's.compute_at("B", "j_o")'), "the pieces have to be smaller"),
        (('s.tile("i", "j", 8, 4)', 's.compute_at("B", "j_o")'), "wants 6 of A: wider"),
        (('s.tile("i", "j", 8, 8)', 's.compute_at("B", "j_o", scope="global")'), "go through the cache, too"),
        (
            ('s.tile("i", "j", 4, 4)', 's.compute_at("B", "j_o", scope="global")'),
            "1,280 additions, 76 misses: too much",
        ),
    ],
)
def test_budget_is_missed(taken, why):
    wrong(check.ex3(steps(*taken), names()["blur"], names()["cache"]), why)


def test_budget():
    taken = 's.tile("i", "j", 8, 8)', 's.compute_at("B", "j_o")'
    assert check.ex3(steps(*taken), names()["blur"], names()["cache"]).right


COPIES = ('s.cache_read("A")', 's.cache_read("B")', 's.cache_write("C")')


@pytest.mark.parametrize(
    ("taken", "why"),
    [
        (COPIES[:1], "B is loaded 512 times: nobody"),
        ((*COPIES, 's.compute_at("B_local", "i")'), "B is loaded 512 times: its copy"),
        (COPIES[:2], "C is loaded 512 times: each addition"),
    ],
)
def test_copies_are_wrong(taken, why):
    wrong(check.ex4(steps(*taken), names()["product"]), why)


def test_copies():
    in_memory = [step.replace(")", ', scope="global")') for step in COPIES]
    assert "192 times; their copies lie in memory" in check.ex4(steps(*in_memory), names()["product"]).why
    assert "touched 192 times" in check.ex4(steps(*COPIES), names()["product"]).why
    assert check.ex4(steps(*COPIES, 's.compute_at("A_local", "i")'), names()["product"]).right
