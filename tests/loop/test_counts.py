"""Counts are those of a plain interpreter and of plain caches, access by access."""

import json
import random
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_cases import CASES, draw
from plain_counts import Interpreter, hits, plain_misses

from minicc import te
from minicc.errors import LoopError, RunError
from minicc.kernels.lower import finish
from minicc.loop import Buffer, Program, lower
from minicc.loop.accesses import accesses
from minicc.loop.caches import Cache, missed
from minicc.loop.cost import operations
from minicc.loop.counts import Counts, count, counted
from minicc.loop.queries import in_order
from minicc.loop.ir import For, Store, Update
from minicc.loop.totals import totals
from minicc.schedule import Schedule
from minicc.schedule.examples import schedule
from minicc.tensor.expr import Var, call, const, maximum, select
from minicc.testing.schedules import Walk, extend, start
from minicc.testing.te_programs import random_inputs, random_program
from minicc.testing.workloads import EXTENTS, WORKLOADS
from minicc.types import float32, int64

KINDS = ("load", "store", "hint")
MOST = 100_000  # accesses of a random program: the interpreter takes its time


def check(
    program: Program, arrays: list[np.ndarray], caches: list[Cache], limit: int = 1 << 20, **sizes: int
) -> Counts:
    """The trace and the counts of a program are those of the interpreter."""
    trace = accesses(program, sizes, arrays, limit)
    plain = Interpreter(trace.program, sizes, arrays)
    assert plain.trace == [
        (KINDS[kind], trace.buffers[number].name, int(element))
        for kind, number, element in zip(trace.kind, trace.buffer, trace.element, strict=True)
    ]
    assert trace.statements == tuple(in_order(trace.program.body))
    assert [trace.statements[n] for n in trace.statement] == plain.doing
    found = counted(trace, caches)
    assert (found.flops, found.trips) == (plain.flops, plain.trips)
    assert found.flops >= operations(program)
    touched, missing = Counter(access[:2] for access in plain.trace), plain_misses(plain, caches)
    for b in found.buffers:
        load, store = ("load", b.name), ("store", b.name)
        assert (b.loads, b.stores) == (touched[load], touched[store])
        assert b.misses == tuple(missed[load] + missed[store] for missed in missing)
    if known := totals(program, sizes):
        assert known.loads == tuple(b.loads for b in found.buffers)
        assert known.stores == tuple(b.stores for b in found.buffers)
        assert (known.flops, known.trips) == (found.flops, found.trips)
    assert found.prefetched == tuple(sum(n for (kind, _), n in missed.items() if kind == "hint") for missed in missing)
    return found


def random_caches(rng: random.Random) -> list[Cache]:
    """One or two small ones, the second one larger."""
    made = [Cache(line * ways * sets, line, rng.choice([ways, None]) if sets == 1 else ways)
            for line, ways, sets in [(rng.choice([8, 16, 64]), rng.choice([1, 2, 3, 8]), rng.choice([1, 2, 5])) for _ in "12"]]  # fmt: skip
    return sorted(made, key=lambda c: c.bytes)[: rng.randint(1, 2)]


def random_walk(program: Program, rng: random.Random) -> Program:
    """Up to twelve legal steps; for half of them all loop passes then."""
    walk = Walk(program)
    for _ in range(rng.randint(0, 12)):
        extend(walk, rng)
    return finish(walk.program) if rng.random() < 0.5 else walk.program


def check_random(seed: int) -> None:
    """A random schedule of a random program: a workload, a case of lowering, or one that is made up."""
    rng = random.Random(seed)
    caches, size, least = random_caches(rng), 0, 0
    match seed % 4:
        case 0 | 1:
            workload = rng.choice(list(WORKLOADS.values()))
            size, extents = rng.choice(workload.sizes), (rng.choice(EXTENTS), rng.choice(EXTENTS))
            program = random_walk(start(workload.name, extents).program, rng)
            arrays = workload.inputs(program, size)
            least = operations(workload.program(*extents))
        case 2:
            name = rng.choice(list(CASES))
            size = rng.randint(3, 6)
            program = random_walk(CASES[name].program, rng)
            arrays = draw(program, n=size)[: len(program.params)]
        case _:
            text = random_program(rng)
            tensors = text.tensors(SimpleNamespace(**vars(te), select=te.if_then_else))
            inputs, outputs = ([tensors[name] for name in names] for names in (text.inputs, text.outputs))
            naive = lower(outputs, [*inputs, *outputs], "made_up").program
            types = {b.name: (b.dtype, b.shape) for b in naive.params}
            arrays, program = [*random_inputs(types, seed).values()], random_walk(naive, rng)
    try:
        found = check(program, arrays, caches, MOST, **({"n": size} if size else {}))
    except LoopError as error:
        assert "at most 100,000" in str(error)
    else:
        assert found.flops >= least  # no step makes less of it


@pytest.mark.parametrize("name", sorted({*CASES} - {"conv"}))  # of many accesses
def test_naive_programs(name: str) -> None:
    sizes = {"n": 5} if "scan" in name else {}
    program = CASES[name].program
    check(program, draw(program, **sizes)[: len(program.params)], [Cache(128, 16, 2)], **sizes)


@pytest.mark.parametrize("seed", range(25))
def test_random_programs(seed: int) -> None:
    check_random(seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(25))
def test_many_random_programs(part: int) -> None:
    for seed in range(20 * part, 20 * part + 20):
        check_random(seed + 25)


@given(st.lists(st.integers(0, 40)), st.integers(1, 4), st.sampled_from([1, 2, 3, None]))
def test_any_addresses_in_any_cache(lines: list[int], sets: int, ways: int | None) -> None:
    cache, held = Cache(8 * sets * (ways or 1), 8, ways), dict[int, list[int]]()
    addresses = [8 * line + line % 8 for line in lines]
    assert missed(np.array(addresses, np.int64), cache).tolist() == [not hits(cache, held, a) for a in addresses]


def test_more_sets_than_two_bytes_can_number() -> None:
    cache = Cache(8 << 17, 8, 1)
    assert missed(np.array([0, 8 << 16, 0, 8 << 17, 0]), cache).tolist() == [True, True, False, True, True]


# ---- what is counted how


def vector(*dtypes: str, n: int = 8) -> list[te.Tensor]:
    return [te.placeholder((n,), dtype, name) for name, dtype in zip("ABIJ", dtypes, strict=False)]


def program_of(inputs: list[te.Tensor], *outputs: te.Tensor) -> Program:
    return lower(outputs, [*inputs, *outputs], "kernel").program


def test_what_a_statement_has_twice_is_evaluated_once() -> None:
    (A,) = vector("float32")
    found = count(program_of([A], te.compute((8,), lambda i: te.exp(A[i]) * te.exp(A[i]) + A[i], name="B")))
    assert (found.loads, found.stores, found.flops, found.trips) == (8, 8, 24, 8)


def test_a_multiply_add_is_two_operations() -> None:
    (A,) = vector("float32")
    B = te.compute((8,), lambda i: maximum(call("fma", A[i], A[i], A[i]), A[i]).astype("float64"), name="B")
    assert count(program_of([A], B)).flops == 8 * 3


def test_a_sum_of_nothing_is_stored() -> None:
    n = te.var("n")
    A, k = te.placeholder((3, n), name="A"), te.reduce_axis((0, n), "k")
    program = program_of([A], te.compute((3,), lambda i: te.sum(A[i, k], axis=k), name="B"))
    assert [count(program, {"n": size}).stores for size in (0, 1, 2)] == [3, 6, 9]


def test_the_first_step_may_read_what_the_update_has_stored() -> None:
    A, B, C, k = Buffer("A", float32, (4,)), Buffer("B", float32, (4,)), Buffer("C", float32, ()), Var("k")
    grown = select(C[()] > 0.5, C[()] + A[k], C[()] + B[k])
    update = Update((C,), (), (grown,), (const(1.0, float32),), (k,))
    program = Program("f", (A, B), (C,), For(k, 4, update))
    check(program, [np.ones(4, np.float32), np.ones(4, np.float32)], [Cache(64, 8, 2)])
    assert [b.loads for b in count(program).buffers][:2] == [4, 0]


def test_a_select_reads_what_it_takes() -> None:
    A, B = vector("float32", "float32")
    shifted = te.compute((8,), lambda i: te.if_then_else(i < 5, A[i + 3] * 2.0, B[i] + 1.0 + A[i]), name="C")
    found = count(program_of([A, B], shifted))
    assert [(b.name, b.loads) for b in found.buffers] == [("A", 5 + 3), ("B", 3), ("C", 0)]
    assert found.flops == 5 + 2 * 3


def test_indices_of_indices_that_a_select_leaves_out() -> None:
    """Where data decide, the program is run; what would be out of bounds is not read to know what it would have been."""
    A, B, I, J = vector("float32", "bool", "int32", "int64")  # noqa: E741
    C = te.compute((8,), lambda i: te.if_then_else(te.all(i > 2, B[i]), A[I[J[i - 3]]], 0.5), name="C")
    program = program_of([A, B, I, J], C)
    rng = np.random.default_rng(0)
    arrays = [
        rng.random(8, np.float32),
        rng.random(8) < 0.5,
        rng.integers(-9, 19, 8, np.int32),
        rng.integers(-9, 19, 8),
    ]
    check(program, arrays, [Cache(64, 8, 2)])
    read = [i for i in range(8) if i > 2 and arrays[1][i]]
    assert {b.name: b.loads for b in count(program, arrays=arrays).buffers} == {
        "A": len(read), "B": 8, "I": len(read), "J": len(read), "C": 0,
    }  # fmt: skip


def test_a_call_reads_its_inputs_and_writes_its_output() -> None:
    n = te.var("n")
    A = te.placeholder((n, 2), name="A")
    T = te.extern((n, 2), [A], lambda x, out: np.multiply(x, 2, out=out), name="T")
    B = te.compute((2,), lambda j: T[0, j] * 2.0, name="B")
    program = program_of([A], B)
    check(program, [np.ones((3, 2), np.float32)], [Cache(64, 8, 2)], n=3)
    assert count(program, {n: 3}).loads == 6 + 2


def test_a_loop_whose_extent_is_read() -> None:
    A, N, i, j = Buffer("A", float32, (4, 4)), Buffer("N", int64, (4,)), Var("i"), Var("j")
    program = Program("f", (N,), (A,), For(i, 4, For(j, N[i], Store(A, (i, j), const(1.0, float32)))))
    check(program, [np.array([3, 0, -1, 4])], [Cache(64, 8, 2)])
    assert count(program, arrays=[np.array([3, 0, -1, 4])]).stores == 7


def test_prefetched_lines_do_not_miss() -> None:
    (A,) = vector("float32", n=64)
    s = Schedule(program_of([A], te.compute((64,), lambda i: A[i] * 2.0, name="B")))
    before = s.counts()
    s.prefetch("A", "i", 16)
    after = s.counts()
    assert (before.misses, before.prefetched) == ((4 + 4,), (0,))
    assert (after.misses, after.prefetched) == ((1 + 4,), (3,))  # the first line, and nothing beyond the end
    assert str(after).endswith("64 flops, 64 trips, 3 lines prefetched into L1") and after.loads == before.loads


def test_registers_go_through_no_cache() -> None:
    A, k = te.placeholder((4, 16), name="A"), te.reduce_axis((0, 16), "k")
    s = te.create_schedule(te.compute((4,), lambda i: te.sum(A[i, k], axis=k), name="B").op)
    before, local = s.counts(), s.cache_write(s.outputs[0], "local")
    local.compute_at(s[s.outputs[0]], "i_copy")
    after = s.counts()
    assert (before.loads, before.stores) == (4 * 16 * 2, 4 * 17) and (after.loads, after.stores) == (4 * 16, 4)
    assert (after.local.loads, after.local.stores, after.local.misses) == (4 * 17, 4 * 17, (0,))
    assert "B_local (local)" in str(after) and json.loads(json.dumps(after.as_json()))["local"]["loads"] == 4 * 17


def test_arrays_that_are_not_given_are_always_the_same() -> None:
    program = CASES["scatter"].program
    assert count(program) == count(program)


# ---- what is refused


def test_too_many_are_refused_at_once() -> None:
    for program in (CASES["matmul"].program, CASES["scatter"].program):
        with pytest.raises(LoopError, match=r"at most 10 accesses and iterations, got at least \d\d+") as refused:
            count(program, limit=10)
        assert "smaller sizes" in str(refused.value)


def test_a_size_that_is_missing_is_named() -> None:
    with pytest.raises(LoopError, match="expected a number for each of n, got None for n"):
        count(CASES["scan"].program)


def test_sizes_that_do_not_fit_each_other() -> None:
    n, m = te.var("n"), te.var("m")
    A = te.placeholder((n,), name="A")
    program = program_of([A], te.compute((m,), lambda i: A[i], name="B"))
    with pytest.raises(RunError, match="m <= n"):
        count(program, {"n": 3, "m": 4})


@pytest.mark.parametrize("numbers", [(0,), (100,), (64, 12), (64, 64, 0), (64, 64, 2), (64.0,)])
def test_no_cache(numbers: tuple[int, ...]) -> None:
    with pytest.raises(LoopError, match="expected bytes that are a multiple of line times ways"):
        te.Cache(*numbers)


def test_without_caches_a_program_may_be_of_any_size() -> None:
    """2 n^3 operations; C is read and written at each step, and written once more at the first; tiles change only the trips."""
    n = 4096
    A, B, k = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B"), te.reduce_axis((0, n), "k")
    s = schedule(A, B, te.compute((n, n), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C"))
    naive = s.counts(caches=())
    assert [(b.name, b.loads, b.stores) for b in naive.buffers] == [
        ("A", n**3, 0),
        ("B", n**3, 0),
        ("C", n**3, n**3 + n**2),
    ]
    assert (naive.flops, naive.trips, naive.misses) == (2 * n**3, n**3 + n**2 + n, ())
    s.split("k", factor=48)
    s.tile("i", "j", 8, 8)
    tiled = s.counts(caches=())
    assert (tiled.loads, tiled.stores, tiled.flops) == (naive.loads, naive.stores, naive.flops)


def test_where_conditions_look_at_too_much() -> None:
    (A,) = vector("float32", n=5000)
    B = te.compute((5000, 5000), lambda i, j: te.if_then_else(i * j < 7, A[i], 0.0), name="B")
    with pytest.raises(LoopError, match=r"conditions that look at no more than 1,048,576 points, got 25,000,000"):
        count(program_of([A], B), caches=())
