"""The worker survives whatever runs in it, and says what happened; one bad job costs the others nothing."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minicc.errors import BridgeError
from minicc.graph import ir
from minicc.ops import Add, Mul
from minicc.testing import worker as module
from minicc.testing.worker import FAST_RELAY, RELAX, RELAY, Engine, Finding, Worker, shared_worker
from minicc.types import TensorType

HERE = str(Path(__file__).parent)
X = np.float32([1, 2, 3])


def job(name="x", value=X):
    x = ir.input(name, TensorType.of(value))
    return ir.Graph("g", (x,), (Add()(x, x),), ("y",)), {name: value}


@pytest.fixture
def faulty(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", HERE)
    with Worker(Engine("worker_engines:faulty")) as worker:
        yield worker


def kinds(outcomes):
    return [o.kind if isinstance(o, Finding) else "ok" for o in outcomes]


@pytest.mark.parametrize("how, stage, kind, detail", [
    ("crash", "lower", "crash", "SIGSEGV\nabout to crash"), ("crash", "compile", "crash", "SIGSEGV\nabout to crash"),
    ("crash", "run", "crash", "SIGSEGV\nabout to crash"), ("divide", "run", "crash", "SIGFPE"), ("exit", "run", "crash", "exit status 3"),
    ("raise", "lower", "error", "ValueError: a fault"), ("raise", "compile", "error", "ValueError: a fault"),
    ("raise", "run", "error", "ValueError: a fault")])  # fmt: skip
def test_one_bad_job_among_many_is_found(faulty, how, stage, kind, detail):
    jobs = [job(value=X * k) for k in range(7)]
    jobs[3] = job(f"{how}_{stage}")
    outcomes = faulty.run(jobs)
    assert kinds(outcomes) == ["ok"] * 3 + [kind] + ["ok"] * 3
    assert outcomes[3].detail.startswith(detail)
    assert outcomes[3].graph is jobs[3][0] and outcomes[3].inputs is jobs[3][1]
    for k in (0, 1, 2, 4, 5, 6):
        np.testing.assert_array_equal(outcomes[k]["y"], 2 * k * X)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["compile", "run"])
def test_a_job_that_hangs_is_ended(faulty, stage):
    faulty.run([job()])  # starting takes longer than the time that is given here
    start = time.monotonic()
    outcomes = faulty.run([job(), job(f"hang_{stage}")], timeout=3)
    assert kinds(outcomes) == ["ok", "timeout"]
    assert outcomes[1].detail.startswith("no answer within 3 seconds\nabout to hang")
    assert time.monotonic() - start < 30


def test_what_has_no_form_is_unsupported(faulty):
    outcomes = faulty.run([job("refuse_lower"), job()])
    assert kinds(outcomes) == ["unsupported", "ok"]
    assert "for the test" in outcomes[0].detail


def test_the_process_is_kept_between_calls_and_replaced_after_a_crash(faulty):
    first, second = faulty.run([job()])[0]["process"], faulty.run([job()])[0]["process"]
    assert first == second != os.getpid()
    assert kinds(faulty.run([job("crash_run")])) == ["crash"]
    assert faulty.run([job()])[0]["process"] != first
    assert faulty.starts == 2


def batches_of(worker, monkeypatch):
    """The jobs of every batch that the worker runs, from now on."""
    seen, batch = [], worker._batch
    monkeypatch.setattr(
        worker, "_batch", lambda jobs, places, *rest: seen.append(list(places)) or batch(jobs, places, *rest)
    )
    return seen


def test_many_jobs_are_several_batches(faulty, monkeypatch):
    seen = batches_of(faulty, monkeypatch)
    outcomes = faulty.run([job(value=np.float32([k])) for k in range(150)])
    assert [float(o["y"][0]) for o in outcomes] == [2.0 * k for k in range(150)]
    assert seen == [list(range(64)), list(range(64, 128)), list(range(128, 150))] and faulty.starts == 1


def test_a_batch_that_cannot_be_compiled_is_bisected(faulty, monkeypatch):
    seen = batches_of(faulty, monkeypatch)
    assert (
        kinds(faulty.run([job("raise_compile" if k == 5 else "x") for k in range(8)]))
        == ["ok"] * 5 + ["error"] + ["ok"] * 2
    )
    assert seen == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5], [4], [5], [6, 7]]


def test_a_process_that_has_run_many_jobs_is_replaced(faulty, monkeypatch):
    monkeypatch.setattr(module, "MOST_JOBS", 3)
    processes = [outcome["process"] for size in (2, 2, 1) for outcome in faulty.run([job()] * size)]
    assert processes[:4] == [processes[0]] * 4 and processes[4] != processes[0] and faulty.starts == 2


def test_no_jobs_start_no_process(faulty):
    assert faulty.run([]) == [] and faulty.starts == 0


def test_a_finding_says_everything(faulty):
    text = str(faulty.run([job("raise_run")])[0])
    assert text.splitlines()[0] == "error: ValueError: a fault"
    assert "graph g(raise_run: float32[3]) {" in text and "raise_run = array([1., 2., 3.], dtype=float32)" in text


def test_another_thread_may_end_a_run(faulty):
    faulty.run([job()])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(faulty.run, [job("hang_run"), job()])
        time.sleep(0.5)
        faulty.interrupt()
        with pytest.raises(InterruptedError, match="interrupt"):
            running.result(timeout=20)
    assert kinds(faulty.run([job()])) == ["ok"]


def test_a_run_that_is_ended_in_its_last_job_raises(faulty):
    faulty.run([job()])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(faulty.run, [job("hang_run")])
        time.sleep(0.5)
        faulty.interrupt()
        with pytest.raises(InterruptedError, match="interrupt"):
            running.result(timeout=20)


def test_an_early_interrupt_ends_the_next_run(faulty):
    """What another thread ends may not have begun: the interrupt is kept for it, and for no later one."""
    faulty.interrupt()
    with pytest.raises(InterruptedError, match="interrupt"):
        faulty.run([job()])
    assert faulty.starts == 0
    assert kinds(faulty.run([job()])) == ["ok"]
    faulty.interrupt()
    faulty.resume()
    assert kinds(faulty.run([job()])) == ["ok"]


def test_threads_share_a_worker(faulty):
    """Each gets the answers to its own jobs."""

    def run(k):
        return [
            float(outcome["y"][0]) for outcome in faulty.run([job(value=np.float32([10 * k + i])) for i in range(5)])
        ]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(24))) == [[2.0 * (10 * k + i) for i in range(5)] for k in range(24)]
    assert faulty.starts == 1


def test_large_arrays_travel(faulty):
    large = np.arange(2**24, dtype=np.float32)  # 64 MB
    (outcome,) = faulty.run([job(value=large)])
    np.testing.assert_array_equal(outcome["y"], 2 * large)


def test_ctrl_c_ends_the_worker(tmp_path):
    """The parent gets KeyboardInterrupt at once, and no child is left."""
    script = tmp_path / "interrupted.py"
    script.write_text("""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
from test_worker import Engine, Worker, job
with Worker(Engine("worker_engines:faulty")) as worker:
    print(worker.run([job()])[0]["process"], flush=True)
    try:
        worker.run([job("hang_run")])
    except KeyboardInterrupt:
        print("interrupted", flush=True)
""")
    environment = {**os.environ, "PYTHONPATH": HERE}
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    child = int(process.stdout.readline())
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "interrupted\n" and err == "" and process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_tvm_computes_in_the_worker():
    graph, inputs = job()
    x, y = ir.input("x", TensorType.of(X)), ir.input("y", TensorType.of(X))
    product = ir.Graph("h", (x, y), (Mul()(Add()(x, y), y),), ("z",))
    outcomes = shared_worker(RELAX).run([(graph, inputs), (product, {"x": X, "y": X})])
    np.testing.assert_array_equal(outcomes[0]["y"], 2 * X)
    np.testing.assert_array_equal(outcomes[1]["z"], 2 * X * X)


def test_constants_travel():
    weights = np.arange(100, dtype=np.float32)
    x = ir.input("x", TensorType.of(weights))
    outcomes = shared_worker(RELAX).run([(ir.Graph("g", (x,), (Mul()(x, weights),), ("y",)), {"x": weights})])
    np.testing.assert_array_equal(outcomes[0]["y"], weights * weights)


@pytest.mark.relay
def test_relay_computes_in_the_worker():
    """What has no form is known without asking; what the old TVM refuses costs the others nothing."""

    def sent(graph):
        (name,) = graph.input_names
        if name == "no_form":
            raise BridgeError("relay(Op)", "expected an operator that TVM has, got one it has not: for the test")
        message, constants = RELAY.sent(graph)
        return message | {
            "source": message["source"].replace("relay.add", "relay.refused" if name == "refused" else "relay.add")
        }, constants

    with Worker(replace(RELAY, sent=sent)) as worker:
        outcomes = worker.run([job(), job("no_form"), job("refused"), job(value=2 * X)])
        assert worker.starts == 1
    assert kinds(outcomes) == ["ok", "unsupported", "error", "ok"]
    assert "has no attribute 'refused'" in outcomes[2].detail
    np.testing.assert_array_equal(outcomes[0]["y"], 2 * X)
    np.testing.assert_array_equal(outcomes[3]["y"], 4 * X)


@pytest.mark.relay
def test_optimised_code_of_relay_computes_the_same():
    graph, inputs = job()
    with Worker(FAST_RELAY) as worker:
        np.testing.assert_array_equal(worker.run([(graph, inputs)])[0]["y"], 2 * X)


def test_without_the_old_tvm_nothing_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("MINICC_RELAY", str(tmp_path))
    with Worker(RELAY) as worker, pytest.raises(BridgeError, match="expected an environment for TVM"):
        worker.run([job()])
