"""Executables: results, bad calls, concurrency, stages and the plan of the whole model."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from minicc.errors import CodegenError, RunError
from minicc.loop.ir import PARALLEL, VECTORIZE, Alloc, Buffer, For, Store, seq
from minicc.loop.place_buffers import place_buffers
from minicc.loop.program import Program
from minicc.runtime import jit, threads
from minicc.runtime.assemble import KernelCall, Values, assemble
from minicc.runtime.executable import Executable, load
from minicc.runtime.image import Port
from minicc.target import Target
from minicc.tensor.expr import Var, const
from minicc.types import TensorType, float32, int32

N = 48
i, v = Var("i"), Var("v")
TYPE = TensorType(float32, (N,))


def binary(name: str, f) -> Program:
    """C[n] = f(A[n], B[n]), with a scratch buffer in the workspace."""
    a, b, c, t = (Buffer(n, float32, (N,)) for n in "ABCt")
    at = i * 8 + v
    first = For(i, N // 8, For(v, 8, Store(t, (at,), f(a[at], b[at])), VECTORIZE), PARALLEL)
    return place_buffers(Program(name, (a, b), (c,), Alloc(t, seq(first, For(i, N, Store(c, (i,), t[i]))))))


ADD, MUL = binary("add", lambda x, y: x + y), binary("mul", lambda x, y: x * y)


def model(target: Target | None = None) -> Executable:
    """z = (x + y) * w + (x + y) by three kernels, and the intermediate s = x + y; x comes out again, twice."""
    calls = [
        KernelCall(ADD, "s", ("x", "y", "s"), flops=N, bytes=12 * N),
        KernelCall(MUL, "p", ("s", "w", "p"), flops=N, bytes=12 * N),
        KernelCall(binary("add_again", lambda x, y: x + y), "z", ("p", "s", "z"), flops=N),
    ]
    inputs = {"x": Port("x", TYPE), "y": Port("y", TYPE)}
    outputs = [
        ("z", Port("z", TYPE)),
        ("s", Port("s", TYPE)),
        ("s", Port("again", TYPE)),
        ("x", Port("same", TYPE)),
        ("w", Port("weight", TYPE)),
    ]
    values = Values(inputs, outputs, {"w": np.arange(N, dtype=np.float32)})
    return load(assemble("model", calls, values, target or Target.native(), {"graph": lambda: "the graph"}))


@pytest.fixture(scope="module")
def executable() -> Executable:
    return model()


def arrays(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=N).astype(np.float32), rng.normal(size=N).astype(np.float32)


def assert_right(results, x, y) -> None:
    s = x + y
    w = np.arange(N, dtype=np.float32)
    for got, want in zip(results, (s * w + s, s, s, x, w), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_results_by_position_and_by_name(executable: Executable) -> None:
    x, y = arrays()
    assert_right(executable(x, y), x, y)
    found = executable.run({"y": y, "x": x})
    assert list(found) == ["z", "s", "again", "same", "weight"]
    assert_right(found.values(), x, y)
    assert [(p.name, p.shape, p.dtype) for p in executable.inputs] == [("x", (N,), float32), ("y", (N,), float32)]
    assert executable.outputs[0].name == "z"


def test_outputs_are_fresh_and_inputs_are_left_alone(executable: Executable) -> None:
    x, y = arrays()
    kept = x.copy()
    first, second = executable(x, y), executable(x, y)
    assert not any(np.shares_memory(a, b) for a in first for b in (*second, x, y))
    first[3][:] = 0
    np.testing.assert_array_equal(x, kept)


def test_the_same_array_twice_strided_and_unaligned_ones(executable: Executable) -> None:
    x, _ = arrays()
    assert_right(executable(x, x), x, x)
    wide = np.repeat(x, 2)[::2]
    assert_right(executable(wide, x[::-1]), x, x[::-1])
    raw = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32)
    assert_right(executable(raw, x), x, x)


def test_lists_and_numbers_only_if_nothing_is_lost(executable: Executable) -> None:
    _, y = arrays()
    whole = list(range(N))
    assert_right(executable(whole, y), np.arange(N, dtype=np.float32), y)
    with pytest.raises(RunError, match="must have float32, got float64"):
        executable([0.1] * N, y)
    with pytest.raises(RunError, match="must have float32"):
        executable(["x"] * N, y)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda e, x: e(x), "expected 2 inputs, got 1"),
        (lambda e, x: e(x, x, x), "expected 2 inputs, got 3"),
        (lambda e, x: e(x, x.astype(np.float64)), "input 'y' must have float32, got float64"),
        (lambda e, x: e(x, x[:5]), r"input 'y' must have shape \(48,\), got \(5,\)"),
        (lambda e, x: e(x, 1), r"input 'y' must have shape"),
        (lambda e, x: e(x, x.astype(">f4")), "input 'y' must have float32, got >f4"),
        (lambda e, x: e.run({"x": x}), "expected the inputs 'x', 'y', got 'x'"),
        (lambda e, x: e.run({"x": x, "y": x, "odd": x}), "expected the inputs 'x', 'y', got 'x', 'y', 'odd'"),
        (lambda e, x: e.run({}), "got none"),
    ],
)
def test_bad_calls(executable: Executable, call, problem: str) -> None:
    with pytest.raises(RunError, match=problem) as caught:
        call(executable, arrays()[0])
    assert caught.value.call and caught.value.where and caught.value.hint


def test_two_threads_may_run_one_executable(executable: Executable) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        x, y = arrays(seed)
        for _ in range(50):
            z = executable(x, y)[0]
            s = x + y
            if not np.allclose(z, s * np.arange(N, dtype=np.float32) + s, rtol=1e-5, atol=1e-6):
                wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_equal_programs_are_compiled_once(executable: Executable) -> None:
    assert [k.symbol for k in executable.kernels] == ["add", "mul", "add"]
    assert [k.label for k in executable.kernels] == ["s", "p", "z"]
    assert executable.stages["llvm"].count("define void @add(") == 1


def test_texts_are_made_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(jit, "assembly", lambda text, target: made.append(text) or "the code")
    executable = model()
    assert not made and executable.kernels[0].stages["asm"] == "the code" and len(made) == 1


def test_stages(executable: Executable) -> None:
    assert list(executable.stages) == ["graph", "memory", "loop", "llvm", "asm"]
    assert executable.stages["graph"] == "the graph"
    assert "def add(A, B, C):" in executable.stages["loop"]
    size = 4 * N
    calls = [line.split("(")[0] for line in executable.stages["memory"].splitlines()]
    assert calls == [k.symbol for k in executable.kernels]
    assert executable.kernels[1].stages["memory"] == executable.stages["memory"].splitlines()[1]
    assert executable.stages["memory"].startswith(f"add(inputs 0[0:{size}], inputs 1[0:{size}]) -> ")
    assert "i32 @minicc_main(" in executable.stages["llvm"]
    assert "minicc_main:" in executable.stages["asm"]
    assert "void @mul(" in executable.kernels[1].stages["llvm"]
    assert repr(executable.stages) == "Stages(graph, memory, loop, llvm, asm)"
    assert "3 kernels" in repr(executable)


def test_profile_gives_seconds_per_kernel(executable: Executable) -> None:
    times = executable.profile(*arrays())
    assert len(times) == 3 and all(0 <= t < 1 for t in times)


def test_intermediates_share_the_arena(executable: Executable) -> None:
    """p, and the workspace of one kernel at a time."""
    assert executable.arena_bytes == 2 * N * 4


def test_without_openmp_it_runs_serially(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "candidates", lambda: iter(["/nonexistent/libgomp.so"]))
    for cached in (threads.openmp, jit._runtime_symbols):
        cached.cache_clear()
    with pytest.warns(RuntimeWarning, match="expected an OpenMP runtime, found none"):
        serial = model(replace(Target.native(), threads=4))
    for cached in (threads.openmp, jit._runtime_symbols):
        cached.cache_clear()
    assert serial.threads == 1
    x, y = arrays()
    assert_right(serial(x, y), x, y)


def test_the_openmp_library_is_known_by_its_file() -> None:
    found = threads.openmp_library()
    assert found is None or "omp" in found


def test_a_library_without_the_symbols_is_passed_over() -> None:
    found = threads.find(iter(["/nonexistent.so", "libm.so.6"]))
    assert found is None


def test_a_value_read_before_it_is_written() -> None:
    with pytest.raises(CodegenError, match="'a' to be written before it is read") as caught:
        assemble(
            "bad",
            [KernelCall(ADD, "first", ("a", "a", "b"))],
            Values({}, [("b", Port("b", TYPE))], {}),
            Target.native(),
        )
    assert caught.value.where and caught.value.hint


def test_invalid_ir_is_reported() -> None:
    with pytest.raises(CodegenError, match="valid LLVM IR") as caught:
        jit.optimize("define void @f() { ret i32 0 }", Target.native())
    assert caught.value.where and caught.value.hint


def test_no_inputs_and_no_kernels() -> None:
    constant = np.arange(3, dtype=np.int32)
    port = Port("y", TensorType(int32, (3,)))
    executable = load(assemble("constant", [], Values({}, [("c", port)], {"c": constant}), Target.native()))
    np.testing.assert_array_equal(executable()[0], constant)
    assert executable.profile() == ()


def test_awkward_names() -> None:
    c = Buffer("C", float32, (2,))
    values = [Values({}, [("y", Port("y", c.type))], {})]
    for name in ("memcpy", "exp", "a/b:c", "", "GOMP_parallel"):
        program = Program(name, (), (c,), For(i, 2, Store(c, (i,), const(4.0, float32))))
        executable = load(assemble(name or "model", [KernelCall(program, name, ("y",))], values[0], Target.native()))
        assert executable()[0].tolist() == [4, 4]
