"""A schedule's methods take what a user means, and refuse the rest in four parts, never by a bare TypeError."""

from typing import Any

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.errors import MiniccError, ScheduleError
from minicc.schedule.te_schedule import TeSchedule


def product() -> tuple[Any, Any, Any, TeSchedule]:
    a = te.placeholder((8, 8), name="A")
    k = te.reduce_axis((0, 8), "k")
    b = te.compute((8, 8), lambda i, j: a[i, j] + 1.0, name="B")
    c = te.compute((8, 8), lambda i, j: te.sum(b[i, k] * a[k, j], axis=k), name="C")
    return a, b, c, te.create_schedule(c.op)


def refused(action: Any, match: str, hint: str) -> None:
    with pytest.raises(ScheduleError, match=match) as error:
        action()
    assert error.value.where and hint in error.value.hint


# ---- thread axes


def test_a_thread_axis_has_as_many_threads_as_its_loop_iterations() -> None:
    for threads in (64, 7, 9):
        _, _, c, s = product()
        refused(
            lambda s=s, c=c, n=threads: s[c].bind(c.op.axis[0], te.thread_axis((0, n), "threadIdx.x")),
            f"expected a loop of the {threads} iterations that the thread axis has, got i_1 of 8",
            "leave the extent out",
        )
        s[c].bind(c.op.axis[0], te.thread_axis((0, 8), "threadIdx.x"))


def test_an_axis_of_a_given_extent_fits_every_loop_that_is_bound_to_it() -> None:
    n, m = te.var("n"), te.var("m")
    x, y = te.placeholder((n,), name="X"), te.placeholder((m,), name="Y")
    one, two = te.compute((n,), lambda i: x[i] * 2.0, name="one"), te.compute((m,), lambda i: y[i] * 2.0, name="two")
    s = te.create_schedule([one.op, two.op])
    axis = te.thread_axis((0, n), "blockIdx.x")
    s[one].bind(one.op.axis[0], axis)
    refused(lambda: s[two].bind(two.op.axis[0], axis), "iterations that the thread axis has", "split")
    refused(
        lambda: s[two].bind(two.op.axis[0], te.thread_axis((0, 4), "vthread")),
        "expected a loop of the 4 iterations",
        "split",
    )


@pytest.mark.parametrize(
    "domain",
    [(0, 0), (1, 8), (0, -4), (0, 2.5), (0, True), 2.5, "x", (0, "n"), (0, 1, 2), object()],
    ids=lambda v: type(v).__name__,
)
def test_domains_of_thread_axes(domain: Any) -> None:
    with pytest.raises(ScheduleError, match=r"expected (a domain|the name of a thread axis)") as error:
        te.thread_axis(domain, "threadIdx.x")
    assert error.value.hint
    refused(
        lambda: te.thread_axis((0, 8), "threadIdx.w"),
        "expected the name of a thread axis, got 'threadIdx.w'",
        "threadIdx.x",
    )


def test_the_name_of_a_thread_axis_is_enough() -> None:
    _, _, c, s = product()
    s[c].bind(c.op.axis[0], "threadIdx.x")
    assert "i_1 in threadIdx.x(8)" in str(s.program)
    assert te.thread_axis((0, np.int64(8)), "threadIdx.x").extent == 8


# ---- what users wrote


def test_the_reduce_axis_of_the_text_after_a_write_cache() -> None:
    a, _, c, s = product()
    cached = s.cache_write(c, "local")
    outer, inner = s[cached].split(c.op.reduce_axis[0], factor=np.int64(4))
    assert (outer, inner) == ("k_o", "k_i")
    x, out = np.random.default_rng(0).random((8, 8), np.float32), np.empty((8, 8), np.float32)
    minicc.build(s, [a, c])(x, out)
    np.testing.assert_allclose(out, (x + 1).astype(np.float64) @ x, rtol=1e-5)
    with pytest.raises(ScheduleError, match="expected an axis of C_local"):
        s[cached].unroll(c.op.reduce_axis[0])


def test_a_misspelt_method_is_named() -> None:
    _, _, c, s = product()
    refused(lambda: s[c].vectorise("i_1"), "expected a method of a Stage, got 'vectorise'", "did you mean vectorize?")
    refused(lambda: s.schedule.reoder("i", "j"), "expected a method of a Schedule", "did you mean reorder?")
    refused(lambda: s.cache_wrote(c), "expected a method of a TeSchedule", "did you mean cache_write?")
    assert not hasattr(s[c], "vectorise")


def test_the_guard_of_a_ragged_tile_and_fuse() -> None:
    _, _, c, s = product()
    inner = s[c].split(c.op.axis[0], factor=3)[1]
    refused(lambda: s[c].fuse(inner, c.op.axis[1]), "must be all that loop i_1_i contains", 'tail="mask"')
    s.undo()
    inner = s[c].split(c.op.axis[0], factor=3, tail="mask")[1]
    s[c].fuse(inner, c.op.axis[1])
    refused(lambda: s["B"].fuse("j", "i"), "must be all that loop", 's.fuse("i", "j")')
    refused(lambda: s["B"].fuse("i", "k"), "must be all that loop", "one nest")


# ---- iterations that depend on each other


def recurrence() -> TeSchedule:
    x, state = te.placeholder((9, 8), name="X"), te.placeholder((9, 8), name="S")
    first = te.compute((1, 8), lambda _, i: x[0, i], name="first")
    step = te.compute((9, 8), lambda t, i: state[t - 1, i] + x[t, i], name="step")
    return te.create_schedule(te.scan(first, step, state, name="R").op)


@pytest.mark.parametrize("step", ["parallel", "vectorize", "bind"])
def test_a_recurrence_names_its_accesses_and_the_loop_that_is_free(step: str) -> None:
    s = recurrence().schedule
    axis = ("blockIdx.x",) if step == "bind" else ()
    refused(
        lambda: getattr(s, step)("t", *axis),
        r"loop t depend on each other: R\[t \+ 1, i_1\] is written and R\[t \+ 1 - 1, i_1\] is read",
        "the iterations of i_1 are independent",
    )
    getattr(s, step)("i_1", *axis)


def test_what_helps_a_reduction_a_scatter_and_a_buffer_that_is_shared() -> None:
    s = product()[3]
    refused(lambda: s.schedule.parallel("k"), "C is reduced over loop k", 's.rfactor("C", "k") first')
    s.schedule.rfactor("C", "k")
    s.schedule.parallel("k")
    s = product()[3]
    s.schedule.decompose_reduction("C", "k")
    refused(
        lambda: s.schedule.parallel("k"),
        r"C\[i_1, j_1\] is written and C\[i_1, j_1\] is read",
        "the iterations of i_1 and of j_1 are",
    )
    where = te.placeholder((20,), "int32", name="I")
    s = te.create_schedule(
        te.scatter(te.placeholder((8,)), (20,), lambda p: (where[p],), lambda p: 1.0, "sum", name="Q").op
    )
    refused(lambda: s.schedule.parallel("p0"), "depend on each other", "leave p0 serial")


def test_the_order_that_a_value_needs() -> None:
    x, state = te.placeholder((9, 8), name="X"), te.placeholder((9, 8), name="S")
    first = te.compute((1, 8), lambda _, i: x[0, i], name="first")
    step = te.compute((9, 8), lambda t, i: te.if_then_else(i < 7, state[t - 1, i + 1], x[t, i]), name="step")
    s = te.create_schedule(te.scan(first, step, state, name="R").op).schedule
    refused(lambda: s.reorder("i_1", "t"), "the order of t, i_1 matters: R", "keep t, i_1 in this order")
    refused(lambda: s.reorder("t"), "two different loops, got t", 's.reorder("i", "_")')
    refused(lambda: s.split("t", 2.5), "expected factor to be int", "give an integer")
    with pytest.raises(ScheduleError) as error:
        s.split("t", 2.5)
    assert "for t in range(8):\n    ^ here" in error.value.where


# ---- all of them


ODD = [
    None,
    2.5,
    -1,
    0,
    True,
    np.int64(4),
    "i_1",
    "nope",
    "",
    "C",
    object(),
    {},
    b"i",
    10**30,
    float("nan"),
    np.array([4]),
    [],
    ["i", "j"],
    3 + 0j,
]


@pytest.mark.parametrize("kind", ["Schedule", "TeSchedule", "Stage"])
def test_every_method_with_every_sort_of_argument(kind: str) -> None:
    a, b, c, s = product()
    own = [
        a,
        b,
        c,
        [c],
        c.op.axis[0],
        b.op.axis[1],
        c.op.reduce_axis[0],
        te.thread_axis("threadIdx.x"),
        te.compute((3,), lambda q: a[q, 0]).op.axis[0],
    ]
    target: Any = {"Schedule": s.schedule, "TeSchedule": s, "Stage": s[c]}[kind]
    names = [n for n in dir(type(target)) if not n.startswith("_") and callable(getattr(type(target), n))]
    for name in names:
        odd = [*ODD, *own]
        calls = [
            (),
            (1,) * 7,
            *[(v,) for v in odd],
            *[("i_1", v) for v in odd],
            *[("C", v) for v in odd],
            *[("i_1", "j_1", v) for v in odd],
        ]
        for args in calls:
            _outcome(target, name, args, {})
            while len(s.trace):
                s.undo()
        _outcome(target, name, ("i_1",), {"nonsense": 1})


def _outcome(target: Any, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """It works, or says what is wrong and where."""
    try:
        getattr(target, name)(*args, **options)
    except MiniccError as error:
        assert error.call and error.problem and error.where and error.hint, error
