"""A program that reads or writes outside of a tensor is refused before it is machine code, or at the call, or clamps."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.errors import CodegenError, LoopError, MiniccError, RunError
from minicc.loop import run_python
from minicc.loop.verify import verify
from minicc.schedule.te_schedule import TeSchedule

A = te.placeholder((8,), name="A")
n, m = te.var("n"), te.var("m")
An, Bm = te.placeholder((n,), name="An"), te.placeholder((m,), name="Bm")
I = te.placeholder((6,), "int64", name="I")  # noqa: E741 - as in T[I[i], j]


def schedule(shape: Any, f: Callable[..., Any]) -> TeSchedule:
    return te.create_schedule(te.compute(shape, f, name="C").op)


DOORS: dict[str, Callable[[Any], object]] = {
    "build": minicc.build,
    "lower": minicc.lower,
    "build of a Schedule": lambda s: minicc.build(s.schedule),
    "build of a program": lambda s: minicc.build(s.program),
    "compile": minicc.compile,
    "compile of a Schedule": lambda s: minicc.compile(s.schedule),
    "cuda": lambda s: minicc.build(s, target="cuda"),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_neighbour_that_is_not_there_is_refused_wherever_machine_code_is_made(door: str) -> None:
    with pytest.raises(
        LoopError, match=r"expected an index in \[0, 8\) of A\[i \+ 1\], got i \+ 1, which may be in \[1, 8\]"
    ) as error:
        DOORS[door](schedule((8,), lambda i: A[i] + A[i + 1]))
    assert "C[i] = A[i] + A[i + 1]" in error.value.where and "^ here" in error.value.where
    assert error.value.hint == "read it only where i + 1 < 8 holds (te.if_then_else), pad A, or make the loops shorter"


def test_a_schedule_does_not_hide_it() -> None:
    s = schedule((64,), lambda i: A[i // 8 + 1])
    _, inner = s["C"].split("i", 16)
    s["C"].vectorize(inner)
    with pytest.raises(LoopError, match=r"A\[i//8 \+ 1\]"):
        minicc.build(s)


k = te.reduce_axis((0, 10), name="k")


@pytest.mark.parametrize(("shape", "f"), [
    ((8,), lambda i: A[i + 100000000]), ((8,), lambda i: A[i - 1]), ((8,), lambda i: A[8 - i]), ((9,), lambda i: A[i]),
    ((4,), lambda i: A[i * i]), ((8,), lambda i: A[i * (1 << 62)]), ((8,), lambda i: te.sum(A[k], axis=k)),
    ((3,), lambda i: te.sum(A[i + k], axis=k)), ((8,), lambda i: te.if_then_else(i < 8, A[i + 1], 0.0)),
    ((8,), lambda i: te.if_then_else(te.any(i < 7, A[i] > 0.0), A[i + 1], 0.0)), ((8,), lambda i: te.if_then_else(i >= 7, A[i + 1], 0.0)),
    ((n,), lambda i: An[i + 1]), ((n,), lambda i: An[i - 1]), ((n + 1,), lambda i: An[i]), ((n,), lambda i: An[i * 2]),
    ((n,), lambda i: An[n - i]), ((n, n), lambda i, j: An[i + j]),
], ids=lambda v: None if callable(v) else str(v))  # fmt: skip
def test_refused(shape: Any, f: Callable[..., Any]) -> None:
    with pytest.raises(LoopError, match="expected an index in"):
        minicc.build(schedule(shape, f))


@pytest.mark.parametrize(("shape", "f"), [
    ((8,), lambda i: te.if_then_else(i < 7, A[i + 1], 0.0)), ((8,), lambda i: te.if_then_else(i == 0, 0.0, A[te.maximum(i - 1, 0)])),
    ((8,), lambda i: te.if_then_else(te.all(i >= 1, i < 7), A[i + 1] + A[i - 1], 0.0)),
    ((8,), lambda i: te.if_then_else(te.any(i < 1, i > 6), 0.0, A[i + 1] + A[i - 1])), ((8,), lambda i: A[(i * 5) % 8]),
    ((3,), lambda i: A[i * i]), ((8, 8), lambda i, j: te.if_then_else(i + j < 8, A[i + j], 0.0)),
    ((n - 1,), lambda i: An[i + 1]), ((n,), lambda i: An[n - 1 - i]), ((n,), lambda i: An[te.minimum(i + 1, n - 1)]),
    ((n, n), lambda i, j: te.if_then_else(i + j < n, An[i + j], 0.0)),
    ((n, m), lambda i, j: te.placeholder((n * m,), name="flat")[i * m + j]),
], ids=lambda v: None if callable(v) else str(v))  # fmt: skip
def test_accepted_and_nothing_is_asked_of_the_sizes(shape: Any, f: Callable[..., Any]) -> None:
    s = schedule(shape, f)
    verify(s.program)
    assert not s.program.requires


def test_a_scan_reads_only_what_is_there() -> None:
    x = te.placeholder((6, 4), name="X")
    state = te.placeholder((6, 4), name="state")
    init = te.compute((1, 4), lambda _, i: x[0, i], name="init")

    def scanned(f: Callable[..., Any]) -> TeSchedule:
        return te.create_schedule(te.scan(init, te.compute((6, 4), f, name="update"), state).op)

    minicc.build(scanned(lambda t, i: state[t - 1, i] + x[t, i]))
    minicc.build(scanned(lambda t, i: te.if_then_else(t >= 2, state[t - 2, i], 0.0) + x[t, i]))
    with pytest.raises(LoopError, match=r"index in \[0, 6\) of .*\[t \+ 1 - 2, i_1\].* in \[-1, 3\]"):
        minicc.build(scanned(lambda t, i: state[t - 2, i] + x[t, i]))
    for ahead in (0, 1):
        with pytest.raises(LoopError, match="expected update to read the state before time t, got state"):
            scanned(lambda t, i, ahead=ahead: state[t + ahead, i] + x[t, i])
    beside = te.compute((6, 4), lambda t, i: state[t - 1, i] * 2.0, name="beside")
    with pytest.raises(LoopError, match="expected update to read beside, which is computed beside it, at time t"):
        scanned(lambda t, i: beside[t - 1, i])


# ---- sizes that only a call knows


def call(s: TeSchedule, *shapes: tuple[int, ...]) -> None:
    """The same at both stages: machine code and Python."""
    program = minicc.lower(s)
    outcomes = []
    for run in (minicc.build(s), lambda *arrays: run_python(program, *arrays)):
        try:
            outcomes.append(run(*[np.ones(shape, np.float32) for shape in shapes]))
        except RunError as error:
            outcomes.append(error)
    assert str(outcomes[0]) == str(outcomes[1])
    if isinstance(outcomes[0], RunError):
        raise outcomes[0]


def test_two_symbols_must_fit_at_the_call() -> None:
    s = schedule((n,), lambda i: An[i] + Bm[i])
    assert 'assert n <= m, "Bm[i]"' in str(s.program)
    for good in (8, 9):
        call(s, (8,), (good,), (8,))
    with pytest.raises(
        RunError, match=r"expected sizes with n <= m, so that Bm\[i\] stays inside, got m = 7, n = 8"
    ) as error:
        call(s, (8,), (7,), (8,))
    assert error.value.where == "main(An: float32[n], Bm: float32[m], C: float32[n])" and error.value.hint
    assert minicc.lower(s).requires == s.program.requires  # arguments in another order change nothing


@pytest.mark.parametrize(("f", "condition", "good", "bad"), [
    (lambda i: Bm[i + 5], "n + 5 <= m or n < 1", [(3, 8), (0, 0), (0, 4)], [(3, 7), (1, 0)]),
    (lambda i: A[i] + Bm[0], "n <= 8", [(8, 1)], [(9, 1)]),
    (lambda i: Bm[i // 4], "(n - 1)//4 < m", [(8, 2), (0, 0)], [(9, 2)]),
    (lambda i: Bm[m - n + i], "n <= m", [(3, 3), (3, 9)], [(4, 3)]),
], ids=lambda v: None if callable(v) else str(v))  # fmt: skip
def test_conditions(
    f: Callable[..., Any], condition: str, good: list[tuple[int, int]], bad: list[tuple[int, int]]
) -> None:
    s = schedule((n,), f)
    assert condition in [str(cond) for cond, _ in s.program.requires]
    extra = [(8,)] if A.op in [t.op for t in s.lowered.buffers] else []
    for sizes in good:
        call(s, *extra, (sizes[1],), (sizes[0],))
    for sizes in bad:
        with pytest.raises(RunError, match="expected sizes with"):
            call(s, *extra, (sizes[1],), (sizes[0],))


def test_one_symbol_has_one_size() -> None:
    s = schedule((n,), lambda i: An[i] + te.placeholder((n,), name="Bn")[i])
    f = minicc.build(s)
    with pytest.raises(RunError, match=r"Bn.shape\[0\] must be n, got 9, but n is 8, by An.shape\[0\]"):
        f(*[np.ones(size, np.float32) for size in (8, 9, 8)])


def test_an_executable_has_no_symbolic_sizes() -> None:
    with pytest.raises(CodegenError, match="expected extents that are numbers, got n"):
        minicc.compile(schedule((n,), lambda i: An[i]))


# ---- data that decide an index


WILD = np.array([0, 3, 4, -1, 2**63 - 1, -(2**63)])


@pytest.mark.parametrize("offset", [0, 1, -3])
def test_an_index_that_data_decide_is_clamped_at_every_stage(offset: int) -> None:
    t = te.placeholder((4, 2), name="T")
    s = schedule((6, 2), lambda i, j: t[I[i] + offset, j])
    table = np.arange(8, dtype=np.float32).reshape(4, 2)
    with np.errstate(over="ignore"):
        right = table[np.clip(WILD + offset, 0, 3)]
    program = minicc.lower(s, [t, I, s.outputs[0]])
    for run in (minicc.build(s, [t, I, s.outputs[0]]), lambda *arrays: run_python(program, *arrays)):
        result = np.full((6, 2), np.nan, np.float32)
        run(table, WILD, result)
        assert np.array_equal(result, right)


def test_a_clamp_that_is_there_is_not_doubled() -> None:
    s = schedule((6,), lambda i: A[te.minimum(te.maximum(I[i], 0), 7)])
    assert "A[minimum(maximum(I[i], 0), 7)]" in str(s.program)
    assert "A[I[i]%8]" in str(schedule((6,), lambda i: A[I[i] % 8]).program)


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(LoopError, match=r"index in \[0, 0\) of Z"):
        minicc.build(schedule((6,), lambda i: te.placeholder((0,), name="Z")[I[i]]))
    s = schedule((6,), lambda i: Bm[I[i]])
    with pytest.raises(RunError, match=r"expected sizes with 1 <= m, .* got m = 0"):
        minicc.build(s)(np.zeros(6, np.int64), np.zeros(0, np.float32), np.zeros(6, np.float32))


# ---- properties


@st.composite
def indices(draw: st.DrawFn, variables: list[Any]) -> Any:
    """A sum of small multiples, and what tables of filters and tiles do with it."""
    total: Any = draw(st.integers(-4, 6))
    for v in variables:
        total = v * draw(st.integers(-2, 3)) + total
    op = draw(st.sampled_from(["", "", "//", "%", "min", "max"]))
    number = draw(st.integers(1, 5))
    return {
        "": lambda: total,
        "//": lambda: total // number,
        "%": lambda: total % number,
        "min": lambda: te.minimum(total, number),
        "max": lambda: te.maximum(total, number),
    }[op]()


def value(e: Any, **names: int) -> int:
    return int(eval(str(e), {"minimum": min, "maximum": max, **names}))


@given(st.data())
@settings(max_examples=60)
def test_what_is_accepted_stays_inside(data: st.DataObject) -> None:
    """Nested loops, a guard, any index: what passes the verifier is confirmed by running through all points."""
    extents = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    size = data.draw(st.integers(1, 12))
    table = te.placeholder((size,), name="table")
    found: list[Any] = []

    def body(i: Any, j: Any) -> Any:
        index, tested = data.draw(indices([i, j])), data.draw(indices([i, j]))
        cond = te.all(
            te.const(True, "bool"),
            tested < data.draw(st.integers(0, 12)),
            index >= data.draw(st.sampled_from([0, -1, -99])),
        )
        found.extend([index, cond])
        return te.if_then_else(cond, table[index], 0.0)

    s = schedule(extents, body)
    index, cond = found
    points = [dict(zip("ij", p, strict=True)) for p in itertools.product(*map(range, extents))]
    inside = all(0 <= value(index, **p) < size for p in points if value(cond, **p))
    try:
        verify(s.program)
    except LoopError:
        return
    assert inside


@given(st.data())
@settings(max_examples=60)
def test_conditions_on_sizes_are_exact_for_sums(data: st.DataObject) -> None:
    """A read at a*i + b*j + c: a call is refused where some point lies outside, and nowhere else."""
    a, b, c = (data.draw(st.integers(low, 3)) for low in (0, 0, -2))
    extent = n * data.draw(st.integers(0, 2)) + m * data.draw(st.integers(0, 2)) + data.draw(st.integers(0, 4))
    extent = extent if isinstance(extent, te.Expr) else int(extent)
    table = te.placeholder((extent,), name="table")
    s = schedule((n, m), lambda i, j: table[i * a + j * b + c])
    try:
        verify(s.program)
    except MiniccError:
        return
    for sizes in itertools.product(range(4), range(4)):
        names = dict(zip("nm", sizes, strict=True))
        points = itertools.product(*map(range, sizes))
        inside = all(0 <= i * a + j * b + c < value(extent, **names) for i, j in points)
        assert inside == all(value(cond, **names) for cond, _ in s.program.requires)
