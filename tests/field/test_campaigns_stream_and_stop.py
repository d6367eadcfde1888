"""A campaign of any length shows soon and steadily how far it is, and Ctrl-C ends it with what it has found: never a finding."""

import io
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
import typer
from rich.console import Console

from minicc.testing import campaign, graphs, operators, progress, schedules
from minicc.testing.campaign import Show, Verdict
from minicc.testing.draws import Example
from minicc.testing.progress import Running, batches, interrupted
from minicc.testing.schedules import ScheduleFailure


def judged(examples, stages, workers):
    return [Verdict(e) for e in examples]


def test_the_first_verdicts_of_every_operator_come_before_many_of_any(monkeypatch):
    monkeypatch.setattr(operators, "judge", judged)
    monkeypatch.setattr(operators, "examples", lambda name, count, seed: [Example(None, {})] * count)
    first = list(itertools.islice(operators.campaign(["relax"], 100_000), len(operators.JUDGED)))
    assert [name for name, _ in first] == operators.JUDGED and all(
        len(verdicts) == progress.FIRST for _, verdicts in first
    )


@pytest.mark.parametrize("count, most", [(1, 64), (3, 64), (50, 64), (100_000, 64), (7, 2)])
def test_batches_are_all_examples_each_once(count, most):
    parts = list(batches(count, most))
    assert [k for first, size in parts for k in range(first, first + size)] == list(range(count)) and max(
        size for _, size in parts
    ) <= most


def test_operators_in_batches_are_the_same_examples(monkeypatch):
    seen = []
    monkeypatch.setattr(operators, "judge", lambda examples, *_: seen.extend(examples) or [])
    list(operators.campaign(["relax"], 6, seed=3, names=["Add"]))
    assert [str(e) for e in seen] == [str(e) for e in operators.examples("Add", 6, 3)]


def test_graphs_begin_with_a_small_batch(monkeypatch):
    monkeypatch.setattr(graphs, "judge", judged)
    assert len(next(graphs.campaign(["relax"], 10_000, names=["Add"], max_nodes=2))) == progress.FIRST


class Flushed(io.StringIO):
    """A file that knows what was flushed."""

    seen = ""

    def flush(self):
        self.seen = self.getvalue()


def test_a_file_gets_lines_with_the_time_that_is_left(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.05)
    file = Flushed()
    with Running(Console(file=file, width=20), "graphs", 100) as running:
        assert file.seen == "graphs: 0 of 100\n"
        running.advance(50, found=3)
        time.sleep(0.3)
        assert "graphs: 50 of 100, 3 found, 0:00:00 passed, 0:00:00 left\n" in file.seen


def press():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):
        time.sleep(0.01)


def swallowed(*_):
    """Ctrl-C while a library runs that makes an error of its own of it."""
    try:
        press()
    except KeyboardInterrupt:
        raise RuntimeError("TVMError: KeyboardInterrupt") from None


@pytest.mark.parametrize("stage", ["tvm", "llvm"])
def test_ctrl_c_that_a_library_swallows_is_no_finding(stage, monkeypatch, capsys):
    monkeypatch.setitem(schedules.STAGES, stage, swallowed)
    with pytest.raises(typer.Exit) as end:
        schedules.main(count=50, seed=0, workload=["transpose"], llvm_every=1, tvm_every=1)
    said = capsys.readouterr().out
    assert (
        end.value.exit_code == 130
        and "of 50 schedules tried before you stopped, 0 failures" in said
        and "RuntimeError" not in said
    )


def test_ctrl_c_that_nobody_hears_ends_a_campaign(monkeypatch, capsys):
    def deaf(*_):
        try:
            press()
        except KeyboardInterrupt:
            return

    monkeypatch.setattr(schedules, "random_schedule", deaf)
    with pytest.raises(typer.Exit) as end:
        schedules.main(count=50, seed=0, workload=["transpose"], llvm_every=1, tvm_every=1)
    assert (
        end.value.exit_code == 130
        and "1 of 50 schedules tried before you stopped, 0 failures" in capsys.readouterr().out
    )


def test_a_stopped_campaign_that_has_failures_ends_with_130_too(monkeypatch, capsys):
    def fails(name, seed, stages):
        if seed == 2:
            raise KeyboardInterrupt
        raise ScheduleFailure(name, (2, 2), seed, schedules.Trace(), "something")

    monkeypatch.setattr(schedules, "random_schedule", fails)
    with pytest.raises(typer.Exit) as end:
        schedules.main(count=50, seed=0, workload=["transpose"], llvm_every=1, tvm_every=1)
    assert (
        end.value.exit_code == 130
        and "2 of 50 schedules tried before you stopped, 2 failures" in capsys.readouterr().out
    )


def test_an_error_that_comes_of_ctrl_c_is_not_raised():
    before = signal.getsignal(signal.SIGINT)
    with Show(Console(file=io.StringIO()), "graphs", 5) as show:
        swallowed()
    assert show.stopped and signal.getsignal(signal.SIGINT) is before
    assert not interrupted()  # of what comes later nothing was stopped
    with Show(Console(file=io.StringIO()), "graphs", 5) as show:
        assert not interrupted()
    assert not show.stopped and isinstance(show.report, campaign.Report)


def test_ctrl_c_ends_the_command_with_its_summary():
    command = [sys.executable, "-P", "-m", "minicc.testing.schedules", "--count", "1000000", "--workload", "transpose"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "schedules: 0 of 1000000\n"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (
        process.returncode == 130
        and "of 1000000 schedules tried before you stopped, 0 failures" in out
        and "Traceback" not in err
    )


def test_ctrl_c_while_an_object_dies_is_heard_afterwards():
    """Python prints what is raised in `__del__` and goes on, so nothing is raised there; the next progress ends the campaign."""

    class Dying:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):  # the handler runs in here
                pass

    ended = False
    with progress.Running(Console(file=io.StringIO()), "graphs", 9) as running:
        Dying()
        ended = progress.interrupted()
        running.advance(1, found=0)
        ended = False
    assert ended and running.stopped and not progress.interrupted()
