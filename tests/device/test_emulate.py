"""Kernels on the CPU do what CUDA says; what would hang, corrupt or end a process is an error."""

from __future__ import annotations

import ctypes
import re
import signal

import numpy as np
import pytest
from fake_cuda import KERNELS, SOURCE
from gpu_cases import add_image

from minicc.device import emulate
from minicc.device.emulate import EmulatedCode
from minicc.device.emulated import Emulated
from minicc.runtime.image import KernelLaunch, Number
from minicc.errors import BridgeError
from minicc.types import DType, int32


@pytest.fixture(scope="module")
def code():
    made = EmulatedCode(SOURCE, KERNELS)
    yield made
    made.close()


def launch(code, kernel, grid, block, arrays, shared_bytes=0):
    code.launch(KernelLaunch(kernel, grid, block, shared_bytes, ()), arrays)
    return arrays[0]


def test_threads_and_blocks_are_all_there(code):
    out = launch(code, "where", (3, 2, 2), (5, 3, 2), [np.zeros(360, np.int32)])
    np.testing.assert_array_equal(out, [100 * b + t for b in range(12) for t in range(30)])


def test_barriers_shared_memory_and_numbers(code):
    given = np.arange(192, dtype=np.int32)
    out = launch(code, "turn", (3, 1, 1), (64, 1, 1), [np.zeros(192, np.int32), given, Number(64, int32)], 256)
    rows = given.reshape(3, 64)
    np.testing.assert_array_equal(out.reshape(3, 64), rows[:, ::-1] + 1000 * rows.sum(1, keepdims=True))


def test_warp_shuffles(code):
    v, masks = np.random.default_rng(0).standard_normal(32).astype(np.float32), np.zeros(32, np.uint32)
    out = launch(code, "shuffles", (1, 1, 1), (32, 1, 1), [np.zeros(128, np.float32), v, masks]).reshape(4, 32)
    lane = np.arange(32)
    down = np.where(lane + 3 < 32, v[(lane + 3) % 32], v)
    down[:7] += v[1:8]
    np.testing.assert_array_equal(out[0, :7], down[:7])
    assert np.isnan(out[0, 7]), "lane 8 takes no part: what it holds is not known"
    np.testing.assert_array_equal(out[0, 8:], down[8:])
    np.testing.assert_array_equal(out[1], np.where(lane % 8 >= 2, v[lane - 2], v))
    np.testing.assert_array_equal(out[2], v[lane ^ 5])
    np.testing.assert_array_equal(out[3], v[lane // 16 * 16 + (lane // 2 + 1) % 16])
    assert masks[0] == 0xFF and masks[31] == sum(1 << k for k in range(0, 32, 3))


@pytest.mark.parametrize("kernel, threads, said", [
    ("some_miss_it", 64, r"thread \(0, 0, 0\) waits at the barrier of line (\d+), thread \(63, 0, 0\) has left the kernel\n    kernels.cu:\1: .*some_miss"),
    ("other_line", 64, r"at the barrier of line \d+, thread \(40, 0, 0\) at that of line \d+\n.*if \(threadIdx.x < 40\) .*\n.*__syncthreads"),
    ("lanes_that_never_come", 32, r"a warp operation waits for lanes that never come, line \d+, thread \(0, 0, 0\)\n.*__shfl_sync"),
    ("too_much_shared", 64, "beyond its 16 bytes of dynamic shared memory"),
])  # fmt: skip
def test_what_would_hang_or_corrupt_a_device_is_an_error(code, kernel, threads, said):
    with pytest.raises(BridgeError, match=rf"launch\({kernel}.*block \(0, 0, 0\): .*{said}"):
        launch(code, kernel, (2, 1, 1), (threads, 1, 1), [np.zeros(64, np.int32)], 16)
    test_barriers_shared_memory_and_numbers(code)  # and the next launch is as good as ever


FAULTS = r"""
template <class T> __device__ void divide(T* out, T* a, T* b, int n) {
  for (int i = 0; i < n; i++) {
    out[2 * i] = a[i] / b[i];
    out[2 * i + 1] = a[i] % b[i];
  }
}
extern "C" __global__ void divide_int8(signed char* out, signed char* a, signed char* b, int n) { divide(out, a, b, n); }
extern "C" __global__ void divide_uint8(unsigned char* out, unsigned char* a, unsigned char* b, int n) { divide(out, a, b, n); }
extern "C" __global__ void divide_int16(short* out, short* a, short* b, int n) { divide(out, a, b, n); }
extern "C" __global__ void divide_uint16(unsigned short* out, unsigned short* a, unsigned short* b, int n) { divide(out, a, b, n); }
extern "C" __global__ void divide_int32(int* out, int* a, int* b, int n) { divide(out, a, b, n); }
extern "C" __global__ void divide_uint32(unsigned* out, unsigned* a, unsigned* b, int n) { divide(out, a, b, n); }
extern "C" __global__ void divide_int64(long long* out, long long* a, long long* b, int n) { divide(out, a, b, n); }
extern "C" __global__ void divide_uint64(unsigned long long* out, unsigned long long* a, unsigned long long* b, int n) { divide(out, a, b, n); }
extern "C" __global__ void divide_block(int* out, int* a, int* b) {
  __syncthreads();
  out[threadIdx.x] = a[threadIdx.x] / b[threadIdx.x];
}
extern "C" __global__ void far_away(int* out) { out[(1ll << 45) + threadIdx.x] = 1; }
extern "C" __global__ void of_nothing(int* out) {
  __syncthreads();
  if (threadIdx.x == 5) out = nullptr;
  out[0] = 1;
}
extern "C" __global__ void much_memory(int* out, int n) {
  volatile int held[100 << 10];
  for (int i = 0; i < 100 << 10; i++) held[i] = i;
  __syncthreads();
  out[threadIdx.x] = held[n];
}
extern "C" __global__ void too_much_memory(int* out, int n) {
  volatile int held[1 << 20];
  held[n] = 1;
  __syncthreads();
  out[0] = held[n];
}
__device__ int deeper(int n) { volatile int held[64]; held[n % 64] = n; return deeper(n + 1) + held[(n + 1) % 64]; }
extern "C" __global__ void without_end(int* out, int n) { out[0] = deeper(n); }
extern "C" __global__ void gives_up(int* out) { if (threadIdx.x == 3) abort(); }
"""


@pytest.fixture(scope="module")
def faulty():
    made = EmulatedCode(FAULTS, re.findall(r"__global__ void (\w+)", FAULTS))
    yield made
    made.close()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_integer_division_that_traps_on_a_cpu_goes_on(faulty, dtype):
    """By zero a device gives a value that is not specified; the least number by -1 wraps."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    a = np.array([7, 7, low, low, high, 100, 0], dtype)
    b = np.array([0, 3, 0, -1 if low else 1, 0, 9, 0], dtype)
    out = launch(
        faulty, f"divide_{dtype}", (1, 1, 1), (1, 1, 1), [np.zeros(14, dtype), a, b, Number(7, int32)]
    ).reshape(7, 2)
    np.testing.assert_array_equal(out[[1, 3, 5]], [[2, 1], [low, 0], [11, 1]])


def test_threads_that_divide_by_zero_do_not_disturb_others(faulty):
    a = np.arange(-512, 512, dtype=np.int32)
    b = (np.arange(1024) % 3).astype(np.int32)
    out = launch(faulty, "divide_block", (1, 1, 1), (1024, 1, 1), [np.zeros(1024, np.int32), a, b])
    some = b != 0
    np.testing.assert_array_equal(out[some], np.fix(a[some] / b[some]))


@pytest.mark.parametrize("kernel, thread, said", [
    ("far_away", 0, "it reads or writes at an address that is no memory of this process"),
    ("of_nothing", 5, "it reads or writes at an address that is no memory of this process"),
    ("too_much_memory", 0, "its stack overflows: it needs more than the 640 KiB of a thread"),
    ("without_end", 0, "its stack overflows: it needs more than the 640 KiB of a thread"),
    ("gives_up", 3, "it aborts"),
])  # fmt: skip
def test_a_kernel_that_would_kill_the_process_is_an_error(faulty, kernel, thread, said):
    numbers = [Number(3, int32)] if kernel in ("too_much_memory", "without_end") else []
    for _ in range(2):
        with pytest.raises(
            BridgeError, match=rf"launch\({kernel}.*block \(0, 0, 0\): thread \({thread}, 0, 0\): {said}[\s\S]*hint: "
        ):
            launch(faulty, kernel, (1, 1, 1), (8, 1, 1), [np.zeros(64, np.int32), *numbers])
    test_threads_that_divide_by_zero_do_not_disturb_others(faulty)


def test_a_thread_has_the_local_memory_of_a_device(faulty):
    out = launch(faulty, "much_memory", (1, 1, 1), (16, 1, 1), [np.zeros(16, np.int32), Number(102399, int32)])
    np.testing.assert_array_equal(out, np.full(16, 102399))


def test_signals_are_handled_as_before_a_launch(faulty):
    before = [signal_handler(number) for number in FATAL]
    test_a_thread_has_the_local_memory_of_a_device(faulty)
    assert [signal_handler(number) for number in FATAL] == before


FATAL = (signal.SIGFPE, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGABRT)


def signal_handler(number):
    """The address of the C function that handles a signal."""
    action = ctypes.create_string_buffer(256)
    assert ctypes.CDLL(None).sigaction(int(number), None, action) == 0
    return action.raw[:8]


def test_lines_that_the_source_does_not_have():
    source = '#line 1000000 "other.cu"\nextern "C" __global__ void k() { if (threadIdx.x) __syncthreads(); }\n'
    made = EmulatedCode(source, ["k"])
    with pytest.raises(BridgeError, match=r"waits at the barrier of line 1000000, .*\n    kernels.cu\nhint: "):
        made.launch(KernelLaunch("k", (1, 1, 1), (2, 1, 1), 0, ()), [])


def test_shared_memory_starts_unknown(code):
    assert np.isnan(launch(code, "uninitialised", (1, 1, 1), (64, 1, 1), [np.zeros(64, np.float32)])).all()


def test_arguments_must_fit_the_kernel(code):
    data = np.zeros(64, np.int32)
    with pytest.raises(BridgeError, match="expected 3 arguments, got 2"):
        launch(code, "turn", (1, 1, 1), (64, 1, 1), [data, data], 256)
    with pytest.raises(BridgeError, match="expected a number of 4 bytes as argument 2, got a pointer of 8"):
        launch(code, "turn", (1, 1, 1), (64, 1, 1), [data, data, data], 256)
    with pytest.raises(BridgeError, match="expected a pointer of 8 bytes as argument 0, got a number of 8 bytes"):
        launch(code, "turn", (1, 1, 1), (64, 1, 1), [Number(1, DType.of("int64")), data, data], 256)
    with pytest.raises(BridgeError, match="at most the 64 threads of its launch bounds, got 65"):
        launch(code, "turn", (1, 1, 1), (65, 1, 1), [data, data, Number(65, int32)], 260)
    with pytest.raises(BridgeError, match="at most 227 KiB"):
        launch(code, "turn", (1, 1, 1), (64, 1, 1), [data, data, Number(64, int32)], 1 << 20)


def test_half_is_read_exactly(code):
    bits = np.arange(1 << 16, dtype=np.uint16)
    out = launch(code, "from_half", (256, 1, 1), (256, 1, 1), [np.zeros(1 << 16, np.float32), bits])
    np.testing.assert_array_equal(out, bits.view(np.float16).astype(np.float32))


def test_half_is_rounded_to_nearest_even(code):
    random = np.random.default_rng(0)
    values = random.integers(0, 1 << 32, 1 << 16, np.uint32).view(np.float32)
    values[: 1 << 15] = random.standard_normal(1 << 15) * np.exp(random.uniform(-20, 12, 1 << 15))
    edges = np.arange(0, 31 << 10, 7, dtype=np.uint16).view(np.float16).astype(np.float32)
    values[: edges.size] = edges / 2 + np.append(edges[1:], edges[-1]) / 2  # ties
    values[-4:] = [65519.996, 65520.0, -0.0, 5.9e-8 / 2]
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = values.astype(np.float16)
    out = launch(code, "to_half", (256, 1, 1), (256, 1, 1), [np.zeros(1 << 16, np.float16), values])
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(np.signbit(out[-2:]), np.signbit(wanted[-2:]))


def test_half_arithmetic_rounds_each_result(code):
    x = np.linspace(-2, 2, 64).astype(np.float16)
    out = launch(code, "half_sums", (1, 1, 1), (64, 1, 1), [np.zeros(64, np.float16), x])
    np.testing.assert_allclose(out, np.exp(x * x) + x, rtol=2e-3)


def test_vector_types(code):
    x = np.linspace(0.1, 3, 32, dtype=np.float32)
    out = launch(code, "vectors", (1, 1, 1), (8, 1, 1), [np.zeros(32, np.float32), x]).reshape(8, 4)
    rows = x.reshape(8, 4)
    np.testing.assert_allclose(
        out, np.stack([rows[:, 3], np.maximum(rows[:, 0], 0.5), rows[:, 1] ** -0.5, np.full(8, x[3])], 1), rtol=1e-6
    )


def test_source_that_only_a_device_runs():
    with pytest.raises(BridgeError, match=r"inline assembly[\s\S]*bar.sync[\s\S]*hint: run on a device"):
        EmulatedCode('extern "C" __global__ void k() { asm volatile("bar.sync 0;"); }', ["k"])


def test_source_that_does_not_compile():
    with pytest.raises(BridgeError, match=r"got an error\n    kernels.cu:1.*error[\s\S]*hint: "):
        EmulatedCode('extern "C" __global__ void k() { wmma::fragment f; }', ["k"])


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(emulate.shutil, "which", lambda name: None)
    with pytest.raises(
        BridgeError, match=r"expected a C\+\+ compiler, got none: g\+\+, clang\+\+[\s\S]*hint: apt install g\+\+"
    ):
        Emulated().load(add_image())


def test_a_compiler_that_cannot_start(monkeypatch):
    monkeypatch.setattr(emulate.shutil, "which", lambda name: "/nowhere/g++")
    with pytest.raises(BridgeError, match=r"expected the C\+\+ compiler to work, got .*nowhere"):
        Emulated().load(add_image())
