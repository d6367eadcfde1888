"""Sizes and teams that no machine has are refused at once, with the numbers, before anything is allocated or computed."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import onnx
import pytest

import minicc
from minicc import config, te
from minicc.errors import ConfigError, MiniccError, SerialWarning, TargetError, TooLargeError
from minicc.graph import parse
from minicc.runtime import jit, memory, threads
from minicc.target import Target

HUGE = 10**11


def refused_at_once(make, match):
    start = time.process_time()
    with pytest.raises(TooLargeError, match=match) as caught:
        make()
    assert caught.value.where and caught.value.hint
    assert time.process_time() - start < 5  # no minutes of work before it


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            f"graph g(x: float32[{HUGE},4]) {{\n  %0 = Relu(x) : float32[{HUGE},4]\n  return y=%0\n}}",
            "inputs 1.6 TB, outputs 1.6 TB",
        ),
        (
            f"graph g(x: float32[1,4]) {{\n  %0 = Expand(shape=({HUGE}, 4))(x) : float32[{HUGE},4]\n  return y=%0\n}}",
            "outputs 1.6 TB",
        ),
        (
            f"graph g(x: float32[{10**6},1], y: float32[1,{10**6}]) {{\n  %0 = MatMul(x, y) : float32[{10**6},{10**6}]\n"
            f"  %1 = Softmax(axis=1)(%0) : float32[{10**6},{10**6}]\n  return y=%1\n}}",
            "outputs 4 TB",
        ),
    ],
)
def test_a_model_larger_than_the_machine(text, what):
    graph = parse(text)
    start = time.process_time()
    with pytest.raises(TooLargeError, match=r"expected a need of at most .* of memory, got") as caught:
        minicc.compile(graph)
    assert what in caught.value.where and caught.value.hint and time.process_time() - start < 5


def test_intermediate_values_count_too(monkeypatch):
    n = 2000
    graph = parse(
        f"graph g(x: float32[{n},1], y: float32[1,{n}]) {{\n  %0 = MatMul(x, y) : float32[{n},{n}]\n"
        f"  %1 = MatMul(%0, x) : float32[{n},1]\n  return y=%1\n}}"
    )
    monkeypatch.setattr(memory, "installed", lambda: 10**6)
    refused_at_once(lambda: minicc.compile(graph), "expected a need of at most 1 MB of memory, got 16")


def test_a_call_needs_what_is_free_now(monkeypatch):
    n = 8192
    exe = minicc.compile(
        parse(
            f"graph g(x: float32[1,{n}], y: float32[{n},1]) {{\n  %0 = Add(x, y) : float32[{n},{n}]\n  return y=%0\n}}"
        )
    )
    monkeypatch.setattr(memory, "available", lambda: 100 << 20)
    x = np.zeros((1, n), np.float32)
    refused_at_once(lambda: exe(x, x.T), r"g\(\.\.\.\): expected a need of at most 104.9 MB of memory, got 268.4 MB")


def test_the_workspace_of_a_schedule_is_asked_for_at_the_call(monkeypatch):
    n = te.var("n")
    a = te.placeholder((n,), name="A")
    b = te.compute((n,), lambda i: a[i] + 1.0, name="B")
    c = te.compute((n,), lambda i: b[n - 1 - i] * 2.0, name="C")
    made = minicc.build(te.create_schedule(c.op), [a, c])
    x, out = np.zeros(1 << 25, np.float32), np.zeros(1 << 25, np.float32)
    monkeypatch.setattr(memory, "available", lambda: 100 << 20)
    refused_at_once(lambda: made(x, out), "expected a need of at most 104.9 MB of memory, got 134.2 MB")


def test_the_command_says_so_before_it_compiles(tmp_path):
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 64])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 64])
    model = onnx.helper.make_model(onnx.helper.make_graph([onnx.helper.make_node("Exp", ["x"], ["y"])], "g", [x], [y]))
    onnx.save(model, tmp_path / "m.onnx")
    done = subprocess.run(
        [sys.executable, "-m", "minicc", "run", str(tmp_path / "m.onnx"), "--dim", f"batch={HUGE // 10}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and done.stderr.startswith("TooLargeError: compile(g): expected a need of at most")
    assert "inputs 2.56 TB, outputs 2.56 TB" in done.stderr and "hint: " in done.stderr


# ---- teams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [100_000, 1025, 0, -1])
def test_a_team_that_no_machine_has(count):
    graph = parse("graph g(x: float32[4]) {\n  %0 = Exp(x) : float32[4]\n  return y=%0\n}")
    with pytest.raises(TargetError, match=f"expected 1 to 1024 threads, got {count}") as caught:
        Target.native().with_threads(count)
    assert caught.value.where and caught.value.hint
    with pytest.raises(ConfigError, match=f"expected 1 to 1024 threads, got {count}"):
        minicc.compile(graph, threads=count)
    with pytest.raises(ConfigError, match="expected a positive integer of at most 1024"):
        config.threads({"OMP_NUM_THREADS": str(count)})


def test_a_large_team_runs():
    graph = parse("graph g(x: float32[512,512]) {\n  %0 = Exp(x) : float32[512,512]\n  return y=%0\n}")
    x = np.zeros((512, 512), np.float32)
    np.testing.assert_array_equal(minicc.compile(graph, threads=200)(x)[0], 1)


def test_without_openmp_a_warning_is_an_error_of_four_parts_where_warnings_are_errors(monkeypatch):
    monkeypatch.setattr(threads, "candidates", lambda: iter(["libnone.so"]))
    threads.openmp.cache_clear()
    jit._runtime_symbols.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="expected an OpenMP runtime, found none"):
            assert threads.openmp() is None
        threads.openmp.cache_clear()
        with monkeypatch.context() as strict:
            strict.setattr(threads.warnings, "warn", _raise)
            with pytest.raises(SerialWarning) as caught:
                threads.openmp()
        assert isinstance(caught.value, MiniccError) and caught.value.where and caught.value.hint
    finally:
        threads.openmp.cache_clear()
        jit._runtime_symbols.cache_clear()


def _raise(warning, **_):
    raise warning
