"""A process that has run a model on two threads forks, as gunicorn and multiprocessing do: the child can call it, too."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import minicc
from minicc import ops, te
from minicc.graph import parse
from minicc.graph.ir import Graph, Span, input
from minicc.ops.base import OPERAND
from minicc.types import TensorType, float32, int64

SHARED = """
import copy, multiprocessing, os, pickle, sys, threading
import numpy as np
import minicc
from minicc import te
from minicc.graph import parse

graph = parse('''graph g(x: float32[512,512], w: float32[512,512]) {
  %0 = MatMul(x, w) : float32[512,512]
  return y=%0
}''')
exe = minicc.compile(graph, threads=2)
x = np.arange(512 * 512, dtype=np.float32).reshape(512, 512) % 7
expected = (x.astype(np.float64) @ x).astype(np.float32)

A = te.placeholder((1 << 16,), name="A")
C = te.compute((1 << 16,), lambda i: A[i] + 1.0, name="C")
s = te.create_schedule(C.op)
outer, _ = s[C].split(C.op.axis[0], factor=1024)
s[C].parallel(outer)
from minicc.target import Target
added = minicc.build(s, [A, C], target=Target.native().with_threads(2))
a, c = np.ones(1 << 16, np.float32), np.zeros(1 << 16, np.float32)

def right(_=None):
    c[:] = 0
    added(a, c)
    return bool((exe(x, x)[0] == expected).all() and (c == 2).all())

def child(work):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if work() else 3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(right()))
    thread.start()
    thread.join()
    return found == [True] and right()

assert right()  # the parent has a team of two
"""

CASES = {
    "a call in the child": "assert child(right) == 0",
    "calls in child and parent by turns": "assert [child(lambda: right() and right()) for _ in range(3)] == [0] * 3 and right()",
    "a grandchild": "assert child(lambda: right() and child(right) == 0) == 0",
    "a grandchild of a child without a call": "assert child(lambda: child(right) == 0 and right()) == 0",
    "threads of the child": "assert child(in_a_thread) == 0",
    "compiling in the child": "assert child(lambda: (minicc.compile(graph, threads=2)(x, x)[0] == expected).all() and right()) == 0",
    "multiprocessing": "with multiprocessing.get_context('fork').Pool(2) as pool:\n    assert pool.map(right, range(4)) == [True] * 4",
}


@pytest.mark.parametrize("name", CASES)
def test_a_forked_child_calls_the_model_of_its_parent(name, tmp_path):
    script = tmp_path / "forks.py"
    script.write_text(SHARED + CASES[name])
    done = subprocess.run([sys.executable, "-W", "ignore", str(script)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


# ---- copies -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    graph = parse("""
        graph g(x: float32[4,8], w: float32[8,4]) {
          %0 = MatMul(x, w) : float32[4,4]
          %1 = Relu(%0) : float32[4,4]
          return y=%1
        }""")
    return minicc.compile(graph, threads=1)


X = np.arange(32, dtype=np.float32).reshape(4, 8) - 12


def test_a_pickled_model_gives_the_same_answers_and_texts(model):
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back(X, X.T)[0], np.maximum(X @ X.T, 0))
    assert dict(back.stages) == dict(model.stages) and back.kernels == model.kernels
    assert (back.inputs, back.outputs, back.arena_bytes, back.threads) == (
        model.inputs,
        model.outputs,
        model.arena_bytes,
        model.threads,
    )
    assert back.compile_seconds == model.compile_seconds


def test_a_pickled_model_is_loaded_in_another_process(model, tmp_path):
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "x.npy", X)
    script = tmp_path / "load.py"
    script.write_text(
        "import pickle, sys, numpy as np\nfrom pathlib import Path\nhere = Path(sys.argv[1])\n"
        "exe, x = pickle.loads((here / 'model').read_bytes()), np.load(here / 'x.npy')\nnp.save(here / 'y.npy', exe(x, x.T)[0])\n"
    )
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.maximum(X @ X.T, 0))


def test_a_copy_of_a_model_is_itself(model):
    assert copy.copy(model) is model and copy.deepcopy({"exe": model})["exe"] is model


def test_a_function_of_a_schedule_is_copied_and_pickled():
    n = te.var("n")
    a = te.placeholder((n,), name="A")
    c = te.compute((n,), lambda i: a[i] * 2.0, name="C")
    made = minicc.build(te.create_schedule(c.op), [c, a], name="twice")
    back = pickle.loads(pickle.dumps(made))
    out = np.zeros(5, np.float32)
    back(out, np.arange(5, dtype=np.float32))
    assert out.tolist() == [0, 2, 4, 6, 8] and copy.deepcopy(made) is made and back.name == "twice"


def test_a_model_that_specialises_itself_is_pickled():
    x, shape = input("x", TensorType(float32, (2, 6))), input("shape", TensorType(int64, (2,)))
    graph = Graph("g", (x, shape), (ops.Reshape(OPERAND)(x, shape),), ("y",))
    exe = minicc.compile(graph)
    data = np.arange(12, dtype=np.float32).reshape(2, 6)
    for one in (exe, pickle.loads(pickle.dumps(exe)), copy.deepcopy(exe)):
        assert one(data, np.array([3, 4]))[0].shape == (3, 4)


def test_a_graph_of_any_depth_is_pickled_and_copied_with_its_spans():
    x = input("x", TensorType(float32, (4,)))
    n, spans = x, {}
    for k in range(3000):
        n = (ops.Neg() if k % 2 else ops.Exp())(n)
        spans[n] = Span("m.onnx", f"node{k}", n.op.name, k)
    graph = Graph("deep", (x,), (n, x), ("y", "z"), spans)
    for back in (pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph)):
        assert (back.inputs, back.outputs, back.output_names, back.spans) == (
            graph.inputs,
            graph.outputs,
            ("y", "z"),
            spans,
        )
