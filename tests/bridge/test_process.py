"""A child process answers, or it is known how it failed, and another takes its place."""

import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from minicc.bridge import process
from minicc.bridge.frames import DTYPES
from minicc.bridge.inside import serve
from minicc.bridge.old_tvm import OldTvm, OldTvmFailure
from minicc.bridge.process import ChildFailure, ChildProcess
from minicc.errors import WorkerError

HERE = str(Path(__file__).parent)
X = np.float32([1, 2, 3])


@pytest.fixture
def child(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", HERE)
    with ChildProcess("answers") as child:
        yield child


def ask(child, name, message=None, arrays=None, timeout=20.0):
    return child.ask(f"answers:{name}", message, arrays or {}, timeout)


def test_a_child_answers(child):
    answer, arrays = ask(
        child, "double", {"text": "äöü", "list": [1, None]}, {"x": X, "empty": np.zeros((0, 2), np.int8)}
    )
    assert answer == {"text": "äöü", "list": [1, None]}
    np.testing.assert_array_equal(arrays["x"], 2 * X)
    assert arrays["empty"].shape == (0, 2) and child.starts == 1


@pytest.mark.parametrize("how, kind, detail", [
    ("segfault", "crash", "SIGSEGV\nabout to end"), ("abort", "crash", "SIGABRT\nabout to end"), ("leave", "crash", "exit status 3\nabout to end"),
    ("garbage", "crash", "an answer that is none: expected a header"), ("cut", "crash", "exit status 0"), ("hang", "timeout", "no answer within 0.5 seconds\nabout to hang"),
    ("stop", "timeout", "no answer within 0.5 seconds"), ("fail", "error", "ValueError: a fault"), ("unsendable", "error", "FrameError: expected"),
    ("nothing_of_this_name", "error", "AttributeError: "), ("refuse", "unsupported", "BridgeError: relax(Op): expected an operator that TVM has")])  # fmt: skip
def test_how_a_child_fails_is_known_and_it_answers_again(child, how, kind, detail):
    first = ask(child, "process")[0]
    with pytest.raises(ChildFailure) as caught:
        ask(child, how, timeout=0.5 if kind == "timeout" else 20)
    assert caught.value.kind == kind and caught.value.detail.startswith(detail)
    assert caught.value.ended == (kind in ("crash", "timeout"))
    assert (ask(child, "process")[0] != first) == caught.value.ended
    assert child.starts == 1 + caught.value.ended


def test_an_error_says_what_raised_it(child):
    with pytest.raises(ChildFailure) as caught:
        ask(child, "refuse")
    assert caught.value.origin == "BridgeError in relax"


def test_what_is_printed_is_no_answer(child):
    """By Python, by a C library, and by a process that it starts."""
    assert ask(child, "talk", "hello")[0] == "hello"
    with pytest.raises(ChildFailure, match=r"SIGABRT\\nabout to end") as caught:
        ask(child, "abort")
    assert "hello" not in caught.value.detail, "what was said before the question"


def test_a_child_that_does_not_read_is_ended(child):
    ask(child, "deaf")
    with pytest.raises(ChildFailure, match=r"no answer within 0\.5 seconds"):
        ask(child, "double", None, {"x": np.zeros(10**6)}, timeout=0.5)


def test_what_cannot_be_sent_ends_no_child(child):
    ask(child, "process")
    with pytest.raises(process.FrameError, match="expected what JSON can say"):
        ask(child, "double", {1, 2})
    ask(child, "process")
    assert child.starts == 1


def test_a_frame_that_lies_ends_the_child(child):
    """It says so to its standard error, and takes no memory for what does not come."""
    first = ask(child, "process")[0]
    os.write(child._process.stdin.fileno(), b"\xff" * 100)
    with pytest.raises(ChildFailure, match=r"exit status 1[\s\S]*FrameError: expected a header of at most"):
        ask(child, "process")
    assert ask(child, "process")[0] != first


def test_another_thread_ends_a_question(child):
    ask(child, "process")
    threading.Timer(0.3, child.interrupt).start()
    with pytest.raises(InterruptedError, match="interrupt"):
        ask(child, "hang")
    child.interrupt()
    with pytest.raises(InterruptedError):
        ask(child, "process")
    child.interrupt()
    child.resume()
    ask(child, "process")


@pytest.mark.parametrize("needed, got", [
    ("no_such_module", "exit status 1\n[\\s\\S]*no_such_module"), ("answers:talk_first", "one that says something else: expected a header"),
    ("answers:sleep", r"one that is not ready within 0\.5 seconds")])  # fmt: skip
def test_a_child_that_does_not_start_is_no_failure_of_a_compiler(needed, got, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", HERE)
    if "ready" in got:
        monkeypatch.setattr(process, "START", 0.5)
    with (
        ChildProcess(needed) as child,
        pytest.raises(WorkerError, match=f"start {needed}: [\\s\\S]*{got}[\\s\\S]*\nhint: "),
    ):
        child.ask("answers:process", None, {}, 20)
    assert child._process is None


def test_a_command_that_is_not_there():
    with (
        ChildProcess("x", lambda needed: ["/nowhere/python"]) as child,
        pytest.raises(WorkerError, match="No such file"),
    ):
        child.ask("answers:process", None, {}, 20)


def is_alive(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.parametrize("last", ["process", "hang"])
def test_a_child_ends_when_its_parent_is_killed(last, monkeypatch):
    """One that waits for a question at once, one that computes when its time is over."""
    monkeypatch.setenv("PYTHONPATH", HERE)
    code = f"""if 1:
    from minicc.bridge.inside import serve
    from minicc.bridge.process import ChildProcess
    child = ChildProcess("answers:impatient")
    print(child.ask("answers:process", None, {{}}, 20)[0], flush=True)
    child.ask("answers:{last}", None, {{}}, 1)
    input()
    """
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    time.sleep(0.3)
    assert is_alive(pid)
    parent.kill()
    parent.communicate()
    end = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_alive(pid)


def test_a_child_is_watched_while_it_computes_and_not_while_it_sends(monkeypatch):
    """One without a parent ends itself when it hangs; one that sends for long does not."""
    watch, seen = [0.0], []
    monkeypatch.setattr(signal, "setitimer", lambda which, seconds: watch.__setitem__(0, seconds))
    requests = iter([((f"answers:{name}", None, 5), {}) for name in ("double", "fail")])

    class Stream:
        def read(self):
            try:
                return next(requests)
            except StopIteration:
                raise EOFError from None

        def write(self, parts):
            seen.append(watch[0])

    def found(name):
        def function(message, arrays):
            seen.append((name, watch[0]))
            if "fail" in name:
                raise ValueError
            return None, {}

        return function

    monkeypatch.setattr(serve.pkgutil, "resolve_name", found)
    serve.serve(Stream())
    assert seen == [("answers:double", 15), 0, ("answers:fail", 15), 0]


# ---- the old TVM --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old():
    with OldTvm() as old:
        yield old


PROGRAM = """\
x0 = relay.var("x0", shape=(2, 3), dtype="float32")
n0_ = relay.add(x0, c0)
n1_ = relay.split(n0_, 3, axis=1)
main = relay.Function([x0], relay.Tuple([n1_[0], n0_]))
"""
CONSTANTS = {"c0": np.float32([[1, 2, 3]])}
MESSAGE = {"source": PROGRAM, "inputs": ["x"], "outputs": ["first", "sum"]}


@pytest.mark.relay
def test_the_old_tvm_writes_a_program(old):
    text, arrays = old.ask("graphs.text", {"source": PROGRAM}, CONSTANTS)
    assert "def @main(%x0: Tensor[(2, 3), float32]" in text and "%c0: Tensor[(1, 3), float32]" in text and not arrays
    assert "span=n0_:0:0" in text and "span=n1_:0:0" in text


@pytest.mark.relay
@pytest.mark.parametrize(
    "options", [{}, {"opt_level": 3, "cpu": "haswell"}, {"opt_level": 3, "cpu": "a processor of next year"}], ids=str
)
def test_the_old_tvm_runs_a_program(old, options):
    x = np.float32([[1, 2, 3], [4, 5, 6]])
    old.ask("graphs.jobs.lower", [0, MESSAGE | options], CONSTANTS)
    old.ask("graphs.jobs.compile", None)
    outputs = old.ask("graphs.jobs.run", 0, {"x": x})[1]
    np.testing.assert_array_equal(outputs["sum"], x + CONSTANTS["c0"])
    np.testing.assert_array_equal(outputs["first"], (x + CONSTANTS["c0"])[:, :1])
    seconds, _ = old.ask("graphs.time", {"job": 0, "calls": 3, "threads": 1}, {"x": x})
    assert len(seconds) == 3 and all(0 < s < 10 for s in seconds)
    with pytest.raises(OldTvmFailure, match=r"input x: expected .*got float32\[3\]"):
        old.ask("graphs.jobs.run", 0, {"x": X})


class Bomb:
    """What writes a file when it is unpickled."""

    def __reduce__(self):
        return Path("exploded").touch, ()


@pytest.mark.relay
def test_the_current_folder_is_not_read(tmp_path, monkeypatch):
    """The old TVM unpickles this file of the current folder when it is imported."""
    monkeypatch.chdir(tmp_path)
    Path(".pkl_memoize_py3").mkdir()
    pickle.loads(data := pickle.dumps(Bomb()))
    Path("exploded").rename(tmp_path / ".pkl_memoize_py3" / "it explodes")
    Path(".pkl_memoize_py3/topi.nn.winograd_matrices.winograd_transform_matrices.pkl").write_bytes(data)
    with OldTvm() as old:
        assert "add" in old.ask("graphs.text", {"source": PROGRAM}, CONSTANTS)[0]
    assert not Path("exploded").exists()


@pytest.mark.relay
def test_nothing_is_left_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with OldTvm() as old:
        old.ask("graphs.text", {"source": PROGRAM}, CONSTANTS)
    assert not list(tmp_path.iterdir())


@pytest.mark.relay
def test_an_input_is_not_taken_for_a_constant_of_its_name_and_shape(old):
    """TVM calls the constants that it packs p0, p1, ..., whatever an input is called."""
    source = 'p0 = relay.var("p0", shape=(3,), dtype="float32")\nmain = relay.Function([p0], relay.Tuple([relay.subtract(p0, c0)]))'
    message = {"source": source, "inputs": ["p0"], "outputs": ["y"], "opt_level": 3, "cpu": "haswell"}
    outputs = old.ask("graphs.run", message, {"c0": np.float32([10, 20, 30]), "p0": X})[1]
    np.testing.assert_array_equal(outputs["y"], X - np.float32([10, 20, 30]))


@pytest.mark.relay
def test_dtypes_and_shapes_pass_through_the_old_tvm(old):
    """As inputs and as constants, under the two versions of NumPy."""
    arrays = [
        np.arange(math.prod(shape)).reshape(shape).astype(dtype)
        for shape in ((), (0, 3), (2, 3))
        for dtype in DTYPES.values()
    ]
    names = [f"x{k}" for k in range(len(arrays))]
    lines = [
        f'{name} = relay.var("{name}", shape={a.shape}, dtype="{a.dtype.name}")'
        for name, a in zip(names, arrays, strict=True)
    ]
    constants = [f"c{name}" for name in names]
    lines.append(f"main = relay.Function([{', '.join(names)}], relay.Tuple([{', '.join(names + constants)}]))")
    message = {"source": "\n".join(lines), "inputs": names, "outputs": names + constants}
    outputs = old.ask("graphs.run", message, dict(zip(names + constants, arrays * 2, strict=True)))[1]
    for name, array in zip(names + constants, arrays * 2, strict=True):
        np.testing.assert_array_equal(outputs[name], array, strict=True)


@pytest.mark.relay
def test_what_the_old_tvm_refuses_is_an_error(old):
    bad = PROGRAM.replace("(2, 3)", "(2, 4)")
    with pytest.raises(OldTvmFailure, match=r"TVM 0\.16 gave no answer: error: ") as caught:
        old.ask("graphs.text", {"source": bad}, CONSTANTS)
    assert caught.value.kind == "error"
    assert old.ask("graphs.text", {"source": PROGRAM}, CONSTANTS)[0]


@pytest.mark.slow
@pytest.mark.relay
def test_the_old_tvm_may_crash_and_hang():
    """Its code divides by zero; it takes longer than it has. Either way the next question starts another process."""
    lines = [f'x{k} = relay.var("x{k}", shape=(3,), dtype="int32")' for k in range(2)]
    source = "\n".join([*lines, "main = relay.Function([x0, x1], relay.Tuple([relay.floor_divide(x0, x1)]))"])
    message = {"source": source, "inputs": ["x0", "x1"], "outputs": ["y"]}
    x, zero = np.int32([6, 7, 8]), np.int32([0, 0, 0])
    with OldTvm() as old:
        with pytest.raises(OldTvmFailure, match="crash: SIGFPE") as caught:
            old.ask("graphs.run", message, {"x0": x, "x1": zero})
        assert caught.value.kind == "crash"
        with pytest.raises(OldTvmFailure, match=r"timeout: no answer within 0\.001 seconds"):
            old.ask("graphs.run", message, {"x0": x, "x1": x}, timeout=0.001)
        np.testing.assert_array_equal(old.ask("graphs.run", message, {"x0": x, "x1": x})[1]["y"], [1, 1, 1])
        assert old.child.starts == 3
