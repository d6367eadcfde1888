"""Campaigns: what is counted as what, what is shown and saved, and that Ctrl-C ends with the report."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import typer
from rich.console import Console

from minicc.errors import BridgeError, ConfigError
from minicc.graph import ir
from minicc.ops import Add, Div, Equal, Max, Neg
from minicc.testing import campaign, graphs, operators, oracle
from minicc.testing.campaign import Report, Show, Trouble, Verdict, check_judges, check_names, judge, load, save
from minicc.testing.draws import Example, drawn_graph, graph_of
from minicc.testing.worker import MINICC, Finding, Worker
from minicc.types import TensorType, bfloat16

X = np.float32([1, 2])
GOOD = graph_of(Neg(), [X])
EXCUSED = graph_of(Max(), [np.float32([np.nan, 1]), X])
DEADLY = graph_of(Div(), [np.int32([1, 2]), np.int32([0, 1])])


class FakeWorker:
    """Gives these answers; -x where there is none."""

    def __init__(self, *answers):
        self.answers, self.asked, self.interrupted = list(answers), [], False

    def run(self, jobs, timeout):
        self.asked += jobs
        return [self.answers.pop(0) if self.answers else {"y": -inputs["x0"]} for _, inputs in jobs]

    def interrupt(self):
        self.interrupted = True

    def resume(self):
        self.resumed = self.interrupted


def test_what_agrees_is_compared():
    (verdict,) = judge([GOOD], ("numpy", "loop", "llvm", "relax"), {"relax": FakeWorker()})
    assert verdict.fine and not verdict.is_shown and verdict.compared == {"numpy": 1, "loop": 1, "llvm": 1, "relax": 1}


def test_a_wrong_answer_of_tvm_is_found():
    verdicts = judge([GOOD, GOOD], ("numpy", "relax"), {"relax": FakeWorker({"y": -X}, {"y": X})})
    report = Report()
    report.extend(verdicts)
    assert [v.fine for v in verdicts] == [True, False] and report.wrong == {"relax": 1} and not report.fine
    assert "stage relax: Disagreement" in str(verdicts[1]) and "x0 = array([1., 2.], dtype=float32)" in str(verdicts[1])


@pytest.mark.parametrize("kind, shown", [("crash", True), ("timeout", True), ("error", True), ("unsupported", False)])
def test_a_failure_of_tvm_is_a_finding_and_nothing_wrong(kind, shown):
    verdicts = judge([GOOD], ("relax",), {"relax": FakeWorker(Finding(kind, "SIGSEGV", GOOD.graph, GOOD.inputs))})
    report = Report()
    report.extend(verdicts)
    assert report.fine and report.findings == {("relax", kind): 1}
    assert bool(report.shown) == shown and report.compared["relax"] == 0


def test_known_differences_are_excused_and_counted():
    worker = FakeWorker({"y": X})
    report = Report()
    report.extend(judge([EXCUSED, DEADLY], ("relax",), {"relax": worker}))
    assert report.fine and report.with_excuse == {"relax": 2} and report.compared["relax"] == 0
    assert report.excused == {("relax", "maximum of NaN"): 1, ("relax", "integer division by zero"): 1}
    assert [graph for graph, _ in worker.asked] == [EXCUSED.graph], "TVM would die of the other"


def test_judges_are_asked_in_one_run_and_counted_apart():
    """Equal of NaN and itself is a known difference of Relax alone; the wrong answer is Relay's."""
    nan = graph_of(Equal(), [np.float32([np.nan]), np.float32([np.nan])])
    answer, failed = {"y": np.array([True])}, Finding("error", "no", GOOD.graph, GOOD.inputs)
    workers = {"relax": FakeWorker(answer, failed), "relay": FakeWorker(answer)}
    verdicts = judge([nan, GOOD], ("relax", "relay"), workers)
    report = Report()
    report.extend(verdicts)
    assert verdicts[0].excused == {"relax": ("comparison with itself",)}
    assert [t.stage for t in verdicts[0].troubles] == ["relay"] and report.wrong == {"relay": 1}
    rows = dict(report.rows())
    assert rows["relax: excused: comparison with itself"] == rows["relax: error"] == rows["relay: wrong answer"] == 1
    assert rows["compared: relay"] == 2 and rows["relax: wrong answer"] == 0 and "compared: relax" not in rows


@pytest.mark.parametrize("text, got", [("relax,tvm", "tvm"), (" , ", "none")])
def test_names_of_judges(text, got):
    with pytest.raises(typer.BadParameter, match=f"expected judges among relax, relay, got {got}"):
        check_judges(text)
    assert check_judges(" relax ") == ["relax"] and set(check_judges(None)) <= set(oracle.JUDGES)


def test_a_judge_that_is_not_installed_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("MINICC_RELAY", str(tmp_path / "none"))
    with pytest.raises(BridgeError, match="expected an environment for TVM"):
        check_judges("relay")
    assert "relay" not in oracle.installed_judges()


def test_what_minicc_does_wrong_is_told_from_what_tvm_does(monkeypatch):
    def fails(graph, inputs):
        raise RuntimeError("no registers left")

    monkeypatch.setitem(oracle.STAGES, "llvm", fails)
    monkeypatch.setitem(oracle.STAGES, "loop", lambda graph, inputs: {"y": X})
    report = Report()
    report.extend(judge([GOOD], ("loop", "llvm", "relax"), {"relax": FakeWorker()}))
    assert report.wrong == {"loop": 1, "llvm": 1} and "RuntimeError: no registers left" in str(report.shown[0])
    assert dict(report.rows())["minicc: wrong or failed"] == 2 and dict(report.rows())["relax: wrong answer"] == 0


def test_loop_programs_of_large_graphs_are_not_run():
    large = graph_of(Neg(), [np.zeros(campaign.LOOPS, np.float32)])
    assert judge([large], ("numpy", "loop"), {"relax": FakeWorker()})[0].compared == {"numpy": 1}


def test_tvm_is_ended_when_the_judge_fails(monkeypatch):
    worker = FakeWorker()
    monkeypatch.setattr(campaign, "reference", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        judge([GOOD], ("relax",), {"relax": worker})
    assert worker.interrupted and worker.resumed, "the next run is not to be ended"


@pytest.mark.slow
def test_a_judge_that_fails_leaves_its_worker_fit_for_the_next(monkeypatch):
    """Whether the run had ended by then or not."""
    with Worker(MINICC) as llvm:
        for seconds in (0, 0.05, 3):
            with monkeypatch.context() as patch:
                patch.setattr(campaign, "reference", lambda *_, seconds=seconds: time.sleep(seconds) or 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    judge([GOOD], ("llvm",), {"llvm": llvm})
            assert judge([GOOD], ("llvm",), {"llvm": llvm})[0].compared == {"llvm": 1}


@pytest.mark.parametrize("workers", [{}, {"llvm": FakeWorker()}])
def test_tvm_is_judged_in_a_worker_only(workers):
    with pytest.raises(
        ConfigError, match=r"judge\(relax\): expected a worker for stage relax, got workers for (none|llvm)\nhint: "
    ):
        judge([GOOD], ("relax",), workers)


def test_unknown_stages_are_refused():
    with pytest.raises(ConfigError, match="expected stages of numpy, loop, llvm, relax, relay, got nympy"):
        judge([GOOD], ("numpy", "nympy"), {})


def test_without_workers_all_runs_here():
    assert judge([GOOD], ("numpy", "llvm"), {})[0].compared == {"numpy": 1, "llvm": 1}


@pytest.mark.parametrize("seed", range(20))
def test_what_is_saved_is_loaded(tmp_path, seed):
    example = drawn_graph(seed)
    save(Verdict(example, troubles=[Trouble("llvm", "wrong")]), tmp_path, "one")
    assert (tmp_path / "one.problem").read_text().startswith("stage llvm: wrong\ngraph main(")
    again = load(tmp_path / "one.txt")
    assert again.graph.same_as(example.graph)
    assert again.inputs.keys() == example.inputs.keys()
    for name, array in example.inputs.items():
        assert again.inputs[name].dtype == array.dtype and again.inputs[name].tobytes() == array.tobytes()


def test_large_constants_of_every_float_are_saved(tmp_path):
    x = ir.input("x", TensorType(bfloat16, (40,)))
    graph = ir.Graph("g", (x,), (Add()(x, np.arange(40).astype(bfloat16.numpy)),), ("y",))
    save(Verdict(Example(graph, {"x": np.ones(40, bfloat16.numpy)})), tmp_path, "one")
    assert load(tmp_path / "one.txt").graph.same_as(graph)


@pytest.mark.parametrize("name", ["file", "allow_pickle"])
def test_inputs_of_any_name_are_saved(tmp_path, name):
    x = ir.input(name, TensorType(bfloat16, (2,)))
    save(
        Verdict(Example(ir.Graph("g", (x,), (Neg()(x),), ("y",)), {name: np.ones(2, bfloat16.numpy)})), tmp_path, "one"
    )
    again = load(tmp_path / "one.txt").inputs
    assert again[name].dtype == bfloat16.numpy and again[name].tolist() == [1, 1]


def test_a_pair_that_is_not_whole_is_refused(tmp_path):
    save(Verdict(GOOD), tmp_path, "one")
    (tmp_path / "one.npz").write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"expected the text of a graph and one.npz beside it, got"):
        load(tmp_path / "one.txt")
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "two.txt")
    save(Verdict(GOOD), tmp_path, "one")
    (tmp_path / "one.npz").write_bytes((tmp_path / "one.npz").read_bytes().replace(b"x0.npy", b"x1.npy"))
    with pytest.raises(ConfigError, match=r"expected the text of a graph and one.npz beside it, got KeyError: 'x0'"):
        load(tmp_path / "one.txt")


def test_what_is_found_is_shown_and_saved(tmp_path, capsys):
    show = Show(Console(width=100), "graphs", 3, tmp_path / "a" / "found")
    with show:
        show.add([Verdict(GOOD), Verdict(GOOD, troubles=[Trouble("relax", "y must be 1, got 2")])])
        show.add([Verdict(GOOD, findings={"relax": Finding("crash", "SIGFPE", GOOD.graph, GOOD.inputs)})])
    with pytest.raises(typer.Exit) as end:
        show.finish()
    out = capsys.readouterr().out
    assert (
        end.value.exit_code == 1
        and "stage relax: y must be 1, got 2\ngraph main(x0: float32[2]) {" in out
        and "relax: crash: SIGFPE" in out
    )
    names = sorted(p.name for p in (tmp_path / "a" / "found").iterdir())
    stems = "0001-relax", "0002-relax-crash"
    assert names == [f"{stem}.{end}" for stem in stems for end in ("npz", "problem", "txt")]


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(typer.BadParameter, match=r"expected a folder to write in, got .*file"):
        Show(Console(), "graphs", 1, tmp_path / "file")


def test_names_of_operators():
    assert check_names(" Add, Neg ") == ["Add", "Neg"] and len(check_names("")) > 100
    with pytest.raises(typer.BadParameter, match="did you mean Relu"):
        check_names("Add,Rleu")


def run(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_the_command_of_operators(capsys):
    with pytest.raises(typer.Exit) as end:
        operators.main(count=3, seed=0, operators="Add,Max", judges="relax", save=None)
    out = capsys.readouterr().out
    assert (
        end.value.exit_code == 0
        and re.search(r"Add +relax +3 +3 +0 +0 +0", out)
        and re.search(r"^examples +6$", out, re.MULTILINE)
    )


def test_the_command_of_graphs_ends_early_with_its_report(monkeypatch, capsys):
    def interrupted(*_, **options):
        yield [Verdict(GOOD, {"relax": 1})] * 5
        raise KeyboardInterrupt

    monkeypatch.setattr(graphs, "campaign", interrupted)
    with pytest.raises(typer.Exit) as end:
        graphs.main(count=9, seed=0, operators="", max_nodes=3, judges="relax", save=None)
    out = capsys.readouterr().out
    assert end.value.exit_code == 130 and re.search(r"compared: relax +5", out) and "stopped after 5 of 9" in out


@pytest.mark.slow
def test_ctrl_c_ends_the_command_of_graphs_with_the_report():
    process = run("minicc.testing.graphs", "--count", "100000", "--operators", "Add,Neg", start_new_session=True)
    time.sleep(12)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (
        process.returncode == 130 and re.search(r"stopped after \d+ of 100000", out) and "relax: wrong answer  " in out
    )
    assert "Traceback" not in err


def test_minicc_may_run_in_a_process_of_its_own():
    with Worker(MINICC) as llvm:
        (verdict,) = judge([GOOD], ("llvm",), {"llvm": llvm})
    assert verdict.fine and verdict.compared == {"llvm": 1}


def test_a_crash_of_minicc_is_wrong():
    (verdict,) = judge([GOOD], ("llvm",), {"llvm": FakeWorker(Finding("crash", "SIGSEGV", GOOD.graph, GOOD.inputs))})
    assert not verdict.findings and verdict.troubles == [Trouble("llvm", "crash: SIGSEGV")]
