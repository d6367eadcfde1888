"""te against te: random programs mean the same in every te, and steps are translated for the old TVM as lessons write them."""

import random
import re

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from minicc import te
from minicc.bridge import te_lesson
from minicc.bridge.old_tvm import OldTvmFailure
from minicc.bridge.process import ChildFailure
from minicc.bridge.te_lesson import TABLE
from minicc.errors import ScheduleError
from minicc.ir.node import replace
from minicc.loop.ir import seq
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.schedule import STEPS, Schedule
from minicc.schedule.vectorize import VectorizeStep
from minicc.testing import te_campaign
from minicc.testing.oracle import Disagreement
from minicc.testing.te_campaign import MINICC, OLD_TVM, Case, Wrong, campaign, meaning, run_old
from minicc.testing.te_numpy import NumpyTe
from minicc.testing.te_programs import BOTH, TeProgram, of_workload, random_program

PROGRAM = TeProgram(
    """\
A = te.placeholder((6, 8), name="A", dtype="float32")
T1 = te.compute((6, 8), lambda i, j: A[i, j] * te.const(2, "float32"), name="T1")
k = te.reduce_axis((0, 8), name="k")
T2 = te.compute((6,), lambda i: te.sum(T1[i, k], axis=k), name="T2")
T3 = te.compute((6,), lambda i: T2[i] + te.const(1, "float32"), name="T3")""",
    ("A",),
    ("T3",),
)
LESSONS = {  # of each primitive: steps here, and there
    "bind": ('s.bind("i", "blockIdx.x")', 's[T1].bind(i, te.thread_axis("blockIdx.x"))'),
    "cache_read": ('s.cache_read("T1", "local"); s.compute_at("T1_local", "k")', """
        T1_local = s.cache_read(T1, "local", [T2])
        T1_local_0, T1_local_1 = s[T1_local].op.axis
        s[T1_local].compute_at(s[T2], k)"""),
    "cache_write": ('s.split("i_1", factor=4); s.cache_write("T2")', """
        i_1_o, i_1_i = s[T2].split(i_1, factor=4)
        T2_local = s.cache_write(T2, "local")
        i_1_o, i_1_i = s[T2_local].op.axis
        k, = s[T2_local].op.reduce_axis
        i0_copy, = s[T2].op.axis"""),
    "compute_at": ('s.compute_at("T1", "i_1"); s.split("i_1", nparts=4)', """
        s[T1].compute_at(s[T2], i_1)
        i_1_o, i_1_i = s[T2].split(i_1, nparts=4)
        s[T1].compute_at(s[T2], i_1_i)"""),
    "compute_inline": ('s.compute_inline("T1")', "s[T1].compute_inline()"),
    "compute_root": ('s.compute_at("T1", "i_1"); s.compute_root("T1")', """
        s[T1].compute_at(s[T2], i_1)
        s[T1].compute_root()"""),
    "double_buffer": ('s.cache_read("A"); s.compute_at("A_local", "i"); s.double_buffer("A_local")', """
        A_local = s.cache_read(A, "local", [T1])
        A_local_0, A_local_1 = s[A_local].op.axis
        s[A_local].compute_at(s[T1], i)
        s[A_local].double_buffer()"""),
    "fuse": ('s.fuse("i", "j")', "i_j_f = s[T1].fuse(i, j)"),
    "parallel": ('s.parallel("i")', "s[T1].parallel(i)"),
    "pragma": ('s.pragma("i", "unroll", 4)', "s[T1].pragma(i, 'unroll', 4)"),
    "prefetch": ('s.prefetch("A", "i", 2)', "s[T1].prefetch(A, i, 2)"),
    "reorder": ('s.reorder("j", "i")', "s[T1].reorder(j, i)"),
    "rfactor": ('s.split("k", factor=4); s.rfactor("T2", "k_i", -1)', """
        k_o, k_i = s[T2].split(k, factor=4)
        T2_rf = s.rfactor(T2, k_i, -1)
        i_1, k_i = s[T2_rf].op.axis
        k_o, = s[T2_rf].op.reduce_axis
        i_1_combine, = s[T2].op.axis
        k_i_combine, = s[T2].op.reduce_axis"""),
    "set_scope": ('s.set_scope("T1", "shared")', 's[T1].set_scope("shared")'),
    "split": ('s.split("j", factor=3)', "j_o, j_i = s[T1].split(j, factor=3)"),
    "storage_align": ('s.storage_align("T1", 0, 16, 1)', "s[T1].storage_align(s[T1].op.axis[0], 16, 1)"),
    "transform_layout": ('s.transform_layout("T1", "1//4", "0", "1%4")',
                         "s[T1].transform_layout(lambda a0, a1: [a1//4, a0, a1%4])"),
    "unroll": ('s.unroll("i_2")', "s[T3].unroll(i_2)"),
    "vectorize": ('s.vectorize("j")', "s[T1].vectorize(j)"),
}  # fmt: skip


def case_of(steps, program=PROGRAM):
    """The program after steps, which are Python on a schedule `s`."""
    s = Schedule(Case(program, 0).made.program)
    exec(steps, {"s": s})
    return Case(program, 0, s.trace.steps)


# ---- programs


@pytest.mark.parametrize("seed", range(0, 60, 3))
def test_a_random_program_is_the_same_in_minicc_as_in_numpy(seed):
    program = random_program(random.Random(seed))
    assert program == random_program(random.Random(seed))
    case = Case(program, seed)
    verify(case.made.program)
    results = [np.full(b.shape, 77, b.dtype.numpy) for b in case.made.program.outputs]
    run_python(case.made.program, *[case.inputs[b.name] for b in case.made.program.params], *results)
    case.compare(MINICC, results)


@pytest.mark.parametrize("name", BOTH)
def test_a_workload_is_the_same_in_minicc_as_in_numpy(name):
    case = Case(of_workload(name, 4, 5), 0)
    results = [np.full(b.shape, 77, b.dtype.numpy) for b in case.made.program.outputs]
    run_python(case.made.program, *[case.inputs[b.name] for b in case.made.program.params], *results)
    case.compare(MINICC, results)


def test_tolerances_are_of_roundings_and_no_more():
    case = case_of("")
    [(exact, nothing)] = case.expected  # whole numbers
    with pytest.raises(Disagreement, match="must be"):
        case.compare(MINICC, [exact * np.float32(1 + 1e-5)])
    assert (nothing <= 1e-6 * (1 + np.abs(exact))).all()
    sines = TeProgram(PROGRAM.text.replace("A[i, j] *", "te.tanh(A[i, j]) *"), ("A",), ("T3",))
    [(rounded, some)] = Case(sines, 0).expected
    assert (some > 0).all()
    assert (some < 1e-4 * np.abs(rounded) + 1e-4).all()


# ---- translation


@pytest.mark.parametrize("name", LESSONS)
def test_steps_read_as_in_lessons(name):
    steps, calls = LESSONS[name]
    _, *found = case_of(steps).counterparts
    assert "\n".join(line for part in found for line in part.calls) == "\n".join(
        line.strip() for line in calls.strip().split("\n")
    )
    assert not any(part.reason for part in found)


def test_every_primitive_of_both_has_a_lesson():
    assert LESSONS.keys() == TABLE.keys() <= STEPS.keys()


@pytest.mark.parametrize("steps, reason", [
    ('s.decompose_reduction("T2", "i_1")', "the old TVM has no decompose_reduction"),
    ('s.decompose_reduction("T2", "k"); s.split("k", 3, tail="peel"); s.unroll("k_tail")', "no stage has this loop"),
    ('s.cache_write("T1"); s.reverse_compute_at("T1", "i"); s.compute_at("T1_local", "i_copy"); s.fuse("i", "i_copy")',
     "the loops are of two stages"),
    ('s.cache_write("T2"); s.bind("i_1", "threadIdx.x")', "it fills a local buffer, of which each thread or block has its own there"),
    ('s.bind("i", "blockIdx.x"); s.set_scope("T1", "shared")', "it fills a shared buffer, of which each thread or block has its own there"),
    ('s.compute_at("T1", "i_1"); s.transform_layout("T1", "1", "0")', "the old TVM lays out what is read in part as if it began at 0, and writes beyond it"),
    ('s.cache_read("A"); s.compute_at("A_local", "i"); s.cache_read("A_local"); s.double_buffer("A_local_local")',
     "the old TVM fills it an iteration ahead, from what is not there yet"),
    ('s.cache_read("A"); s.cache_read("A_local"); s.compute_at("A_local_local", "i"); s.double_buffer("A_local_local"); '
     's.compute_at("A_local", "i")', "nothing moves in the old schedule"),
    ('s.transform_layout("T1", "1", "0"); s.storage_align("T1", 0, 16)', "the buffer has other axes"),
    ('s.set_scope("T1", "local"); s.compute_at("T1", "i_1"); s.compute_root("T1"); s.bind("i", "threadIdx.x")',
     "it fills a local buffer, of which each thread or block has its own there"),
    ('s.compute_at("T1", "i_1"); s.double_buffer("T1"); s.storage_align("T1", 0, 16)', "the buffer has other axes"),
])  # fmt: skip
def test_what_has_no_counterpart_says_why(steps, reason):
    assert reason in [part.reason for part in case_of(steps).counterparts]


# ---- what is wrong


class Pretended:
    """An old TVM that is NumPy, and is wrong, or dies, where a call is made."""

    def __init__(self, wrong="nothing", deadly="nothing", refused="nothing"):
        self.wrong, self.deadly, self.refused = wrong, deadly, refused

    def ask(self, name, message, arrays, timeout):
        assert name == "te.run"
        outcomes, results = [], {}
        for n, program in enumerate(message["programs"]):
            text, *calls = [calls for _, calls in program["steps"]]
            if self.deadly in "\n".join([text, *calls]):
                raise OldTvmFailure("ask", ChildFailure("crash", "SIGSEGV"))
            made = TeProgram(text.partition("\ns = ")[0], tuple(program["inputs"]), tuple(program["outputs"]))
            values = made.tensors(NumpyTe({name: arrays[f"{n}.{name}"] for name in program["inputs"]}))
            fault = self.wrong in "\n".join(calls)
            results |= {
                f"{n}.{o}": values[o].array ^ fault if values[o].array.dtype == bool else values[o].array + fault
                for o in program["outputs"]
            }
            refused = {str(k): "RuntimeError: no" for k, lines in program["steps"] if self.refused in lines}
            outcomes.append({"refused": refused, "loops": "T.func_attr({})\n    for i in range(6): ..."})
        return outcomes, results


def of_pretended(monkeypatch, count, **faults):
    monkeypatch.setattr(te_campaign, "old_tvm", lambda: Pretended(**faults))
    *_, report = campaign(count)
    return report


def test_a_campaign_counts_what_both_do_and_finds_nothing_where_nothing_is(monkeypatch):
    report = of_pretended(monkeypatch, 8, refused=".unroll(")
    first, second, *_ = text = list(report.lines())
    assert first.startswith("8 programs, ")
    assert second == "wrong: 0 in minicc, 0 in the old TVM"
    assert any(re.fullmatch(r" +\d+ unroll: RuntimeError: no \(\d+\)", line) for line in text)


def test_a_wrong_result_is_shrunk_to_the_step_that_makes_it(monkeypatch):
    report = of_pretended(monkeypatch, 8, wrong=".fuse(")
    assert report.failures
    for failure in report.failures:
        assert failure.who == OLD_TVM
        assert [type(step).name for step in failure.case.steps].count("fuse") == 1
        assert type(failure.case.steps[-1]).name == "fuse"
    monkeypatch.setattr(te_campaign, "old_tvm", lambda: Pretended(wrong=".fuse("))
    with pytest.raises(Disagreement, match="te in the old TVM: T"):
        exec(str(report.failures[0].case), {})


def test_a_crash_costs_one_step_of_one_program(monkeypatch):
    report = of_pretended(monkeypatch, 8, deadly=".parallel(")
    assert not report.failures
    assert list(report.refused) == ["parallel: crash"]


def test_a_program_that_is_refused_is_not_wrong(monkeypatch):
    report = of_pretended(monkeypatch, 4, deadly="te.create_schedule")
    assert not report.failures
    assert report.refused == {"the program: crash": [0, 1, 2, 3]}
    with pytest.raises(Wrong, match="crash"):
        Case(PROGRAM, 0).check()


def test_a_fault_of_minicc_is_one(monkeypatch):
    monkeypatch.setattr(VectorizeStep, "transform", lambda self, program: replace(program, body=seq()))
    report = of_pretended(monkeypatch, 8)
    assert {failure.who for failure in report.failures} == {MINICC}
    assert {tuple(type(s).name for s in failure.case.steps) for failure in report.failures} == {("vectorize",)}


def test_the_command_prints_failures_and_ends_with_1(monkeypatch):
    app = typer.Typer()
    app.command()(te_campaign.main)
    monkeypatch.setattr(te_campaign, "old_tvm", lambda: Pretended(wrong=".fuse("))
    found = CliRunner().invoke(app, ["--count", "8"])
    assert found.exit_code == 1
    assert "s.fuse(" in found.output
    shown = CliRunner().invoke(app, ["--show", "3"])
    assert shown.exit_code == 0
    assert "for i in range(6): ..." in shown.output


def test_a_buffer_that_equal_statements_read_elsewhere_is_not_computed_at_one_of_them():
    text = PROGRAM.text.replace("T1[i, k]", "T1[i, 0]")
    s = Schedule(Case(TeProgram(text, ("A",), ("T3",)), 0).made.program)
    s.decompose_reduction("T2", "k")
    s.split("k", factor=3, tail="peel")
    with pytest.raises(ScheduleError, match="T1 is read outside of loop k_i"):
        s.compute_at("T1", "k_i")


def test_an_axis_of_a_reduction_converts():
    i, k = te.reduce_axis((0, 3), "i"), te.reduce_axis((0, 3), "k")
    assert str(k.astype("float32")) == "float32(k)"
    assert str(i.equal(k)) == "i == k"


# ---- in the old TVM


@pytest.mark.relay
@pytest.mark.parametrize("name", LESSONS)
def test_each_primitive_does_the_same_in_the_old_tvm(name):
    case = case_of(LESSONS[name][0])
    case.ours()
    [found] = run_old([case])
    assert not found.refused
    case.theirs(found)


@pytest.mark.relay
@pytest.mark.parametrize("name", BOTH)
def test_a_workload_is_the_same_in_the_old_tvm(name):
    case = Case(of_workload(name, 4, 5), 0)
    loop = case.schedule().loops_of("D")[0]
    case_of(f's.unroll("{loop}")', case.program).check()


@pytest.mark.relay
def test_what_the_old_tvm_refuses_is_left_out_with_what_needs_it():
    case = case_of('s.split("k", factor=4); s.cache_write("T2"); s.unroll("i_1_copy"); s.vectorize("j")')
    [found] = run_old([case], lowered=True)
    case.theirs(found)
    assert {n: meaning(reason) for n, reason in found.refused.items()} == {
        2: "cache_write after the reduction is split",
        3: "it needs what a refused step makes",
    }
    assert "T.Ramp" in found.loops or ":" in found.loops.split("T1_1[")[1].split("]")[0]  # j is vectorized


@pytest.mark.relay
def test_the_old_tvm_divides_a_difference_wrongly():
    """Why `te_programs` divides by a constant only what is an element of a tensor."""
    text = """A = te.placeholder((6,), name="A", dtype="int32")
T = te.compute((6,), lambda i: (te.const(1, "int32") - A[i]) % te.const(3, "int32"), name="T")"""
    case = Case(TeProgram(text, ("A",), ("T",)), 0)
    case.ours()
    with pytest.raises(Disagreement, match="te in the old TVM"):
        case.check()


@pytest.mark.relay
def test_the_old_tvm_compares_an_index_wrongly():
    """Why an index is a value of `te_programs` as a float only."""
    text = """A = te.placeholder((11,), name="A", dtype="bool")
T = te.compute((11,), lambda i: te.select(i > A[i].astype("int32"), te.const(1, "int32"), te.const(2, "int32")), name="T")"""
    case = case_of('s.split("i", factor=8)', TeProgram(text, ("A",), ("T",)))
    case.ours()
    with pytest.raises(Disagreement, match="te in the old TVM"):
        case.check()


@pytest.mark.relay
def test_the_old_tvm_lays_out_wrongly_what_is_read_in_part(monkeypatch):
    """Why such a step has no counterpart: a buffer of two tiles is filled in three."""
    monkeypatch.setattr(te_lesson, "_is_read_whole", lambda program, buffer: True)
    text = """B = te.placeholder((8,), name="B", dtype="float32")
T = te.compute((8, 8), lambda i, j: B[i] + j.astype("float32"), name="T")
U = te.compute((8,), lambda i: te.if_then_else(i - 1 >= 0, T[i, i - 1], te.const(0, "float32")), name="U")"""
    [found] = run_old(
        [case_of('s.transform_layout("T", "1//4", "0", "1%4")', TeProgram(text, ("B",), ("U",)))], lowered=True
    )
    assert "T.allocate([64]" in found.loops
    assert "for axis0_idx in range(3)" in found.loops


@pytest.mark.relay
@pytest.mark.slow
def test_a_hundred_schedules_mean_the_same_in_both():
    *_, report = campaign(100)
    assert not report.failures, "\n\n".join(map(str, report.failures))
    assert report.translated > 300
    assert not [what for what in report.refused if what.startswith("the program")]
