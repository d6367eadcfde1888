"""Random legal schedules of twelve workloads mean what the unscheduled programs mean, and a fault in a primitive shows."""

import pytest
import typer
from typer.testing import CliRunner

from minicc.loop.ir import For
from minicc.schedule import STEPS, Trace, compute_at
from minicc.schedule.choose import ChooseStep
from minicc.schedule.reorder import ReorderStep
from minicc.schedule.split import SplitStep
from minicc.schedule.tensorize import TensorizeStep
from minicc.testing import schedules
from minicc.testing.schedules import ScheduleFailure, campaign, check, random_schedule, start
from minicc.testing.workloads import WORKLOADS

FEW, EACH = 22, 84  # of each of twelve workloads: in the quick suite; more than 1,000 in all, in 20 seconds of one core
NIGHTLY = 20_000


def failures(count, **options):
    return [failure for failure in campaign(count, **options) if failure]


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize(
    "seeds", [range(FEW), pytest.param(range(FEW, EACH), marks=pytest.mark.slow)], ids=["few", "each"]
)
def test_random_schedules_keep_the_meaning(workload, seeds):
    found = failures(len(seeds), seed=seeds.start, workloads=[workload], llvm_every=21)
    assert not found, "\n\n".join(map(str, found))


@pytest.mark.slow
def test_the_nightly_campaign():
    found = failures(NIGHTLY, seed=10_000)
    assert not found, "\n\n".join(map(str, found))


def test_every_kind_of_step_comes_up():
    missing = set(STEPS.values()) - {TensorizeStep, ChooseStep}  # no intrinsic is declared, and a choice is no move
    for number in range(12 * EACH):
        missing -= {type(step) for step in random_schedule(list(WORKLOADS)[number % 12], number)}
        if not missing:
            return
    raise AssertionError(f"no schedule takes a step of {missing}")


def test_a_schedule_is_that_of_its_seed():
    traces = [random_schedule("gemm", 5), random_schedule("gemm", 5)]
    assert traces[0] == traces[1] != random_schedule("gemm", 6)


# ---- planted faults


def without_guard(self, program, loop, factor, ragged):
    made = guarded(self, program, loop, factor, False)
    return For(
        made.var,
        -(-loop.extent // factor),
        For(made.body.var, factor, made.body.body.body if ragged else made.body.body),
    )


guarded, region = SplitStep._guarded, compute_at.box


def too_small(found, shape, inner, simplify):
    return [
        (start, max(extent - 1, 1) if isinstance(extent, int) else extent)
        for start, extent in region(found, shape, inner, simplify)
    ]


FAULTS = {
    "reorder always says yes": (ReorderStep, "_check", lambda *args: None, "scan", "s.reorder"),
    "split forgets the guard": (SplitStep, "_guarded", without_guard, "gemm", "s.split"),
    "compute_at copies too little": (compute_at, "box", too_small, "pooling", "s.compute_at"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found_and_shrunk(fault, monkeypatch):
    where, name, planted, workload, step = FAULTS[fault]
    monkeypatch.setattr(where, name, planted)
    failure = next(f for f in campaign(200, workloads=[workload], llvm_every=0) if f)
    assert 1 <= len(failure.trace) <= 2
    assert str(failure.trace.steps[-1]).startswith(step)
    assert f's = start("{workload}", {failure.extents})' in str(failure) and str(failure.trace) in str(failure)
    with pytest.raises(Exception) as again:  # what is printed reproduces it
        exec(failure.source(), {})
    assert str(again.value) in failure.problem
    monkeypatch.undo()
    try:
        repaired = failure.trace.replay(start(workload, failure.extents).program).program
    except Exception as error:
        assert "ScheduleError" in str(error)  # it was never legal
    else:
        check(repaired, workload, failure.extents)


def test_a_crash_is_a_failure(monkeypatch):
    monkeypatch.setattr(SplitStep, "names", lambda self, program: 1 / 0)
    failure = failures(40, workloads=["gemm"], llvm_every=0)[0]
    assert failure.problem == "ZeroDivisionError: division by zero" and len(failure.trace) == 1


def test_moves_that_crash_are_a_failure(monkeypatch):
    monkeypatch.setattr(ReorderStep, "candidates", classmethod(lambda cls, program: 1 // 0))
    failure = failures(10, workloads=["gemm"], llvm_every=0)[0]
    assert failure.stage == "moves" and failure.trace == Trace()
    assert failure.source().endswith("s.moves()")


# ---- the command


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(schedules.main)
    return lambda *args: CliRunner().invoke(app, [*args, "--llvm-every", "0"])


def test_the_command_reports_what_it_tried(command):
    done = command("--count", "3", "--workload", "transpose")
    assert done.exit_code == 0 and "3 of 3 schedules tried, 0 failures" in done.output


def test_the_command_prints_reproducers(command, monkeypatch):
    monkeypatch.setattr(SplitStep, "_guarded", without_guard)
    done = command("--count", "40", "--workload", "transpose")
    assert done.exit_code == 1 and "s = start(" in done.output and "s.split(" in done.output


def test_the_command_survives_being_stopped(command, monkeypatch):
    def stop(*args):
        if args[1] == 2:
            raise KeyboardInterrupt
        return Trace()

    monkeypatch.setattr(schedules, "random_schedule", stop)
    done = command("--count", "5", "--workload", "transpose")
    assert done.exit_code == 130 and "2 of 5 schedules tried before you stopped" in done.output


def test_the_command_knows_its_workloads(command):
    done = command("--workload", "nothing")
    assert done.exit_code == 2 and "transpose" in done.output


def test_a_failure_shows_itself():
    failure = ScheduleFailure("gemm", (3, 5), 7, Trace((SplitStep("i", 2),)), "wrong", "llvm")
    assert str(failure).splitlines() == [
        "gemm (3, 5), seed 7: wrong",
        "from minicc.testing.schedules import check, start",
        's = start("gemm", (3, 5))',
        's.split("i", factor=2)',
        'check(s.program, "gemm", (3, 5), "llvm")',
    ]
