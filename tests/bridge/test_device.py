"""Devices: kernels on the CPU do what CUDA says; the real devices against stand-ins for their packages."""

from __future__ import annotations

import ctypes
import re
import signal
import types
from pathlib import Path

import numpy as np
import pytest
from gpu_cases import ADD, IMPOSSIBLE, add_bundle

from minicc.bridge import cuda_device, emulate
from minicc.bridge.bundle import Buffer, Bundle, KernelLaunch, Number, Port, Step
from minicc.bridge.cuda_device import CudaBindings, Cupy, open_device
from minicc.bridge.device import Emulated, Session, replay
from minicc.bridge.emulate import EmulatedCode
from minicc.errors import BridgeError, RunError
from minicc.types import DType, TensorType, float32, int32

X = np.linspace(-1, 1, 100, dtype=np.float32)

# ---- kernels on the CPU -----------------------------------------------------------------------------------------

SOURCE = r"""
#include <cuda_fp16.h>
#include <mma.h>
#define uint unsigned int
extern "C" __global__ void __launch_bounds__(64) turn(int* out, int* in, int n) {
  extern __shared__ __align__(16) int held[];
  __shared__ alignas(64) int sum[1];
  if (threadIdx.x == 0) sum[0] = 0;
  held[threadIdx.x] = in[blockIdx.x * n + threadIdx.x];
  __syncthreads();
  atomicAdd(&sum[0], held[threadIdx.x]);
  __syncthreads();
  out[blockIdx.x * n + threadIdx.x] = held[n - 1 - threadIdx.x] + 1000 * sum[0];
}
extern "C" __global__ void shuffles(float* out, float* in, int* masks) {
  int lane = threadIdx.x;
  float v = in[lane];
  out[lane] = __shfl_down_sync(0xffffffffu, v, 3, 32);
  out[32 + lane] = __shfl_up_sync(0xffffffffu, v, 2, 8);
  out[64 + lane] = __shfl_xor_sync(0xffffffffu, v, 5, 32);
  out[96 + lane] = __shfl_sync(0xffffffffu, v, lane / 2 + 1, 16);
  masks[lane] = __ballot_sync(0xffffffffu, lane % 3 == 0);
  __syncwarp();
  if (lane < 8) {
    uint mask = __activemask();
    masks[lane] = mask;
    out[lane] += __shfl_down_sync(mask, v, 1, 32);
  }
}
extern "C" __global__ void where(int* out) {
  int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  int b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  out[b * blockDim.x * blockDim.y * blockDim.z + t] += 100 * b + t;
}
extern "C" __global__ void some_miss_it(int* out) { if (threadIdx.x < 40) __syncthreads(); out[0] = 1; }
extern "C" __global__ void other_line(int* out) {
  if (threadIdx.x < 40) __syncthreads();
  else
    __syncthreads();
}
extern "C" __global__ void lanes_that_never_come(float* out) { if (threadIdx.x < 16) out[0] = __shfl_sync(0xffffffffu, out[0], 0, 32); }
extern "C" __global__ void too_much_shared(int* out) { extern __shared__ int held[]; held[threadIdx.x] = 1; }
extern "C" __global__ void uninitialised(float* out) { __shared__ float held[64]; out[threadIdx.x] = held[threadIdx.x]; }
extern "C" __global__ void beside(int* out) { out[-1] = 3; }
extern "C" __global__ void from_half(float* out, half* in) { int i = blockIdx.x * 256 + threadIdx.x; out[i] = __half2float(in[i]); }
extern "C" __global__ void to_half(half* out, float* in) { int i = blockIdx.x * 256 + threadIdx.x; out[i] = __float2half(in[i]); }
extern "C" __global__ void half_sums(half* out, half* in) { out[threadIdx.x] = hexp(in[threadIdx.x] * in[threadIdx.x]) + in[threadIdx.x]; }
extern "C" __global__ void vectors(float* out, float* in) {
  float4 v = *(float4*)(in + threadIdx.x * 4);
  int2 at = make_int2(3, 0);
  *(float4*)(out + threadIdx.x * 4) = make_float4(v.w, max(v.x, 0.5f), rsqrtf(v.y), in[at.x]);
}
"""
KERNELS = [line.split("(")[0].split()[-1] for line in SOURCE.replace("__launch_bounds__(64) ", "").splitlines() if "__global__" in line]


@pytest.fixture(scope="module")
def code():
    made = EmulatedCode(SOURCE, KERNELS)
    yield made
    made.close()


def launch(code, kernel, grid, block, arrays, shared_bytes=0):
    code.launch(kernel, grid, block, shared_bytes, [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arrays])
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
    out = launch(faulty, f"divide_{dtype}", (1, 1, 1), (1, 1, 1), [np.zeros(14, dtype), a, b, Number(7, int32)]).reshape(7, 2)
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
        with pytest.raises(BridgeError, match=rf"launch\({kernel}.*block \(0, 0, 0\): thread \({thread}, 0, 0\): {said}[\s\S]*hint: "):
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
        made.launch("k", (1, 1, 1), (2, 1, 1), 0, [])


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
    np.testing.assert_allclose(out, np.stack([rows[:, 3], np.maximum(rows[:, 0], 0.5), rows[:, 1] ** -0.5, np.full(8, x[3])], 1), rtol=1e-6)


def test_source_that_only_a_device_runs():
    with pytest.raises(BridgeError, match=r"inline assembly[\s\S]*bar.sync[\s\S]*hint: run on a device"):
        EmulatedCode('extern "C" __global__ void k() { asm volatile("bar.sync 0;"); }', ["k"])


def test_source_that_does_not_compile():
    with pytest.raises(BridgeError, match=r"got an error\n    kernels.cu:1.*error[\s\S]*hint: "):
        EmulatedCode('extern "C" __global__ void k() { wmma::fragment f; }', ["k"])


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(emulate.shutil, "which", lambda name: None)
    with pytest.raises(BridgeError, match=r"expected a C\+\+ compiler, got none: g\+\+, clang\+\+[\s\S]*hint: apt install g\+\+"):
        Emulated().load(add_bundle())


def test_a_compiler_that_cannot_start(monkeypatch):
    monkeypatch.setattr(emulate.shutil, "which", lambda name: "/nowhere/g++")
    with pytest.raises(BridgeError, match=r"expected the C\+\+ compiler to work, got .*nowhere"):
        Emulated().load(add_bundle())


# ---- sessions ---------------------------------------------------------------------------------------------------


def test_a_bundle_replayed_on_the_cpu():
    out = replay(add_bundle(), Emulated(), {"x": X})
    np.testing.assert_array_equal(out["y"], X + np.arange(100, dtype=np.float32))


def test_a_session_runs_many_times():
    with Session(add_bundle(), Emulated()) as session:
        for k in range(3):
            np.testing.assert_array_equal(session.run({"x": X * k})["y"], X * k + np.arange(100, dtype=np.float32))
        assert session.seconds() > 0
        assert [name for name, _ in session.profile()] == ["add"]


def test_inputs_are_copied_in_order_whatever_their_strides():
    wide = np.zeros((100, 2), np.float32)
    wide[:, 1] = X
    np.testing.assert_array_equal(replay(add_bundle(), Emulated(), {"x": wide[:, 1]})["y"], X + np.arange(100, dtype=np.float32))


@pytest.mark.parametrize("inputs, said", [
    ({}, "expected the inputs x, got none"),
    ({"x": X, "z": X}, "expected the inputs x, got x, z"),
    ({"x": X[:5]}, r"expected x: float32\[100\], got float32\[5\]"),
    ({"x": X.astype(np.float64)}, r"got float64\[100\]"),
])  # fmt: skip
def test_inputs_are_checked(inputs, said):
    with pytest.raises(RunError, match=said):
        replay(add_bundle(), Emulated(), inputs)


def test_inputs_that_are_outputs_and_empty_tensors():
    empty = TensorType(float32, (0, 3))
    bundle = Bundle("same", (Port("x", TensorType(float32, (2,)), 0), Port("e", empty, 1)), (Port("y", TensorType(float32, (2, 1)), 0), Port("z", empty, 1)),
                    (Buffer(8), Buffer(0)), (), "")  # fmt: skip
    out = replay(bundle, Emulated(), {"x": np.float32([1, 2]), "e": np.zeros((0, 3), np.float32)})
    np.testing.assert_array_equal(out["y"], [[1], [2]])
    assert out["z"].shape == (0, 3)


def test_wrong_plans_show():
    """What the check of a plan is for: each of these is one mistake in it."""
    wanted = X + np.arange(100, dtype=np.float32)
    swapped = replay(add_bundle(arguments=(2, 1, 0)), Emulated(), {"x": X})["y"]
    assert not np.array_equal(swapped, wanted)
    short = replay(add_bundle(grid=(3, 1, 1)), Emulated(), {"x": X})["y"]
    assert np.isnan(short[96:]).all() and np.array_equal(short[:96], wanted[:96])
    with pytest.raises(BridgeError, match="launch bounds"):
        replay(add_bundle(block=(64, 1, 1)), Emulated(), {"x": X})
    with pytest.raises(BridgeError, match="expected 3 arguments, got 2"):
        replay(add_bundle(arguments=(0, 1)), Emulated(), {"x": X})


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_launch_that_no_device_does_is_refused(name):
    change, place, said = IMPOSSIBLE[name]
    with pytest.raises(BridgeError, match=rf"launch\(add_kernel, .*: expected {said}.*\n    {place}\nhint: "):
        replay(add_bundle(**change), Emulated(), {"x": X})


def test_a_write_beside_a_buffer_is_an_error():
    source = ADD.replace("if (i < 100)", "")
    with pytest.raises(BridgeError, match="expected writes to its buffers, got one beside a buffer of 400 bytes"):
        replay(add_bundle(source=source), Emulated(), {"x": X})
    with pytest.raises(BridgeError, match="beside a buffer"):
        step = Step("b", (KernelLaunch("beside", (1, 1, 1), (1, 1, 1), 0, (0,)),))
        replay(Bundle("b", (), (), (Buffer(4),), (step,), SOURCE), Emulated(), {})


def test_memory_that_is_not_there():
    with pytest.raises(BridgeError, match=r"expected .* bytes of memory, got"):
        Emulated().allocate(1 << 60)


# ---- stand-ins for the packages of CUDA -------------------------------------------------------------------------


class FakeDriver(types.ModuleType):
    """`cuda.bindings.driver` over ordinary memory, with its conventions: a tuple of a status and the results."""

    CUdevice_attribute = types.SimpleNamespace(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=76)
    CUfunction_attribute = types.SimpleNamespace(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=8)

    def __init__(self, capability=(9, 0), devices=1, fails=()):
        super().__init__("driver")
        self.capability, self.devices, self.fails = capability, devices, {fails} if isinstance(fails, str) else set(fails)
        self.memory, self.loaded, self.limits, self.calls = {}, [], {}, []
        self.modules = self.contexts = self.events = 0  # alive

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if not name.startswith("cu"):
            return found
        self.calls.append(name)
        if name in self.fails:
            return lambda *_: (Status(999),)
        return found

    def cuInit(self, flags):
        return (Status(0),)

    def cuDeviceGetCount(self):
        return Status(0), self.devices

    def cuDeviceGet(self, ordinal):
        return Status(0), ordinal

    def cuDevicePrimaryCtxRetain(self, device):
        self.contexts += 1
        return Status(0), "context"

    def cuDevicePrimaryCtxRelease(self, device):
        self.contexts -= 1
        assert self.contexts >= 0
        return (Status(0),)

    def cuCtxSetCurrent(self, context):
        assert context == "context" and self.contexts
        return (Status(0),)

    def cuDeviceGetAttribute(self, attribute, device):
        return Status(0), self.capability[attribute - 75]

    def cuModuleLoadData(self, image):
        self.loaded.append(image)
        self.code = EmulatedCode(SOURCE + ADD, ["add_kernel", "turn"])
        self.modules += 1
        return Status(0), "module"

    def cuModuleGetFunction(self, module, name):
        assert isinstance(name, bytes)
        return Status(0), name.decode()

    def cuFuncSetAttribute(self, function, attribute, value):
        self.limits[function] = value
        return (Status(0),)

    def cuMemAlloc(self, size):
        held = np.zeros(size, np.uint8)
        self.memory[held.ctypes.data] = held
        return Status(0), Pointer(held.ctypes.data)

    def cuMemFree(self, pointer):
        del self.memory[int(pointer)]
        return (Status(0),)

    def cuMemcpyHtoD(self, pointer, host, size):
        ctypes.memmove(int(pointer), host, size)
        return (Status(0),)

    def cuMemcpyDtoH(self, host, pointer, size):
        ctypes.memmove(host, int(pointer), size)
        return (Status(0),)

    def cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
        kinds = {"add_kernel": "ppp", "turn": "ppi"}[function]
        places = (ctypes.c_void_p * 3).from_address(parameters)
        read = [ctypes.c_void_p.from_address(p).value if k == "p" else Number(ctypes.c_int.from_address(p).value, int32)
                for k, p in zip(kinds, places, strict=True)]  # fmt: skip
        self.code.launch(function, (gx, gy, gz), (bx, by, bz), shared, read)
        return (Status(0),)

    def cuCtxSynchronize(self):
        return (Status(0),)

    def cuEventCreate(self, flags):
        self.events += 1
        return Status(0), "event"

    def cuEventRecord(self, event, stream):
        return (Status(0),)

    def cuEventSynchronize(self, event):
        return (Status(0),)

    def cuEventElapsedTime(self, begin, end):
        return Status(0), 2.5

    def cuEventDestroy(self, event):
        self.events -= 1
        return (Status(0),)

    def cuModuleUnload(self, module):
        self.modules -= 1
        return (Status(0),)


class Status(int):
    name = "CUDA_ERROR_UNKNOWN"


class Pointer(int):
    """As CUdeviceptr: an object that int() reads."""


class FakeCupy(types.ModuleType):
    """The part of CuPy that is used, over NumPy."""

    def __init__(self, capability="90", devices=1):
        super().__init__("cupy")
        self.made = []
        runtime = types.SimpleNamespace(getDeviceCount=lambda: devices)
        self.cuda = types.SimpleNamespace(runtime=runtime, Event=FakeEvent, get_elapsed_time=lambda a, b: 2.5, Device=lambda k: types.SimpleNamespace(
            use=lambda: None, compute_capability=capability))  # fmt: skip

    def empty(self, size, dtype):
        return FakeArray(np.zeros(size, dtype))

    def RawModule(self, path):
        self.made.append((path, Path(path).read_bytes()))
        return types.SimpleNamespace(get_function=FakeKernel)


class FakeEvent:
    def record(self):
        """Nothing to wait for."""

    synchronize = record


class FakeArray:
    def __init__(self, held):
        self.held = held

    def __getitem__(self, key):
        return FakeArray(self.held[key])

    def set(self, array):
        assert array.dtype == np.uint8
        self.held[:] = array

    def get(self):
        return self.held.copy()


class FakeKernel:
    max_dynamic_shared_size_bytes = 48 << 10

    def __init__(self, name):
        self.name, self.code = name, EmulatedCode(SOURCE + ADD, [name])

    def __call__(self, grid, block, args, *, shared_mem):
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        given = [a.held.ctypes.data if isinstance(a, FakeArray) else Number(int(a), DType.of(a.dtype)) for a in args]
        self.code.launch(self.name, grid, block, shared_mem, given)


@pytest.fixture
def packages(monkeypatch):
    """Installs modules by name in place of imports; those that are not given are absent."""

    def install(**modules):
        def find(name):
            if name.split(".")[0] not in modules:
                raise ModuleNotFoundError(f"No module named {name!r}")
            return modules[name.split(".")[0]]

        monkeypatch.setattr(cuda_device.importlib, "import_module", find)

    return install


def turn_bundle(**rest):
    """Reverses 3 rows of 64, with a number among its arguments and much shared memory."""
    rows = TensorType(int32, (3, 64))
    step = Step("turn", (KernelLaunch("turn", (3, 1, 1), (64, 1, 1), 64 << 10, (1, 0, Number(64, int32))),))
    return Bundle("turn", (Port("x", rows, 0),), (Port("y", rows, 1),), (Buffer(768), Buffer(768)), (step,), SOURCE, **rest)


@pytest.fixture(params=["cuda-bindings", "cupy"])
def device(request, packages):
    packages(**({"cuda": FakeDriver()} if request.param == "cuda-bindings" else {"cupy": FakeCupy()}))
    opened = open_device()
    assert opened.name == request.param and opened.capability == (9, 0)
    return opened


def test_a_bundle_on_a_device(device):
    bundle = add_bundle(cubins={"sm_90": b"code"})
    with Session(bundle, device) as session:
        for _ in range(2):
            np.testing.assert_array_equal(session.run({"x": X})["y"], X + np.arange(100, dtype=np.float32))
        assert session.seconds() == 2.5e-3
    with Session(bundle, device) as session:  # and again, after all was given back
        session.run({"x": X})


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_launch_that_no_device_does_is_refused_before_the_driver_sees_it(device, name):
    change, place, said = IMPOSSIBLE[name]
    with pytest.raises(BridgeError, match=rf"launch\(add_kernel, .*: expected {said}.*\n    {place}\nhint: "):
        replay(add_bundle(cubins={"sm_90": b"code"}, **change), device, {"x": X})


def test_numbers_and_much_shared_memory_on_a_device(device):
    rows = np.arange(192, dtype=np.int32).reshape(3, 64)
    out = replay(turn_bundle(ptx="ptx", ptx_arch="sm_80"), device, {"x": rows})["y"]
    np.testing.assert_array_equal(out, rows[:, ::-1] + 1000 * rows.sum(1, keepdims=True))


def test_the_driver_gets_what_it_needs(packages):
    driver = FakeDriver()
    packages(cuda=driver)
    replay(turn_bundle(ptx="ptx", ptx_arch="sm_80"), CudaBindings(), {"x": np.zeros((3, 64), np.int32)})
    assert driver.loaded == [b"ptx\0"] and driver.limits == {"turn": 64 << 10} and not driver.memory
    assert driver.calls[-2:] == ["cuModuleUnload", "cuDevicePrimaryCtxRelease"] and not driver.contexts


def test_cupy_reads_a_file_of_the_right_kind(packages):
    cupy = FakeCupy()
    packages(cupy=cupy)
    replay(add_bundle(cubins={"sm_90": b"code"}), Cupy(), {"x": X})
    replay(add_bundle(ptx="ptx", ptx_arch="sm_80"), Cupy(), {"x": X})
    assert [(path.rsplit(".")[-1], code) for path, code in cupy.made] == [("cubin", b"code"), ("ptx", b"ptx")]


def test_a_bundle_for_another_architecture(device):
    with pytest.raises(BridgeError, match=r"expected a bundle for sm_90, got one for another architecture: sm_75[\s\S]*hint: compile with --arch sm_90"):
        replay(add_bundle(cubins={"sm_75": b"code"}), device, {"x": X})


def test_no_gpu_says_what_was_tried(packages):
    packages()
    with pytest.raises(BridgeError, match=r"got none\n    cuda-bindings: .*No module named[\s\S]*cupy: .*No module named[\s\S]*hint: install the NVIDIA driver"):
        open_device()


def test_no_driver(packages, monkeypatch):
    driver, cupy = FakeDriver(), FakeCupy()

    def broken(*_):
        raise RuntimeError("libcuda.so.1 is not there")

    driver.__dict__["cuInit"] = broken
    cupy.cuda.runtime.getDeviceCount = broken
    packages(cuda=driver, cupy=cupy)
    with pytest.raises(BridgeError, match=r"cuda-bindings: expected a CUDA driver, got RuntimeError: libcuda[\s\S]*cupy: expected a CUDA driver"):
        open_device()


def test_no_device(packages):
    packages(cuda=FakeDriver(devices=0), cupy=FakeCupy(devices=0))
    with pytest.raises(BridgeError, match=r"cuda-bindings: expected a device of this number, got 0[\s\S]*cupy: .*got 0 devices"):
        open_device()


@pytest.mark.parametrize("function", ["cuInit", "cuMemAlloc", "cuMemcpyHtoD", "cuLaunchKernel", "cuMemcpyDtoH"])
def test_a_call_of_the_driver_that_fails(packages, function):
    packages(cuda=FakeDriver(fails=function))
    with pytest.raises(BridgeError, match=rf"{function}: expected success, got CUDA_ERROR_UNKNOWN"):
        replay(add_bundle(cubins={"sm_90": b"code"}), CudaBindings(), {"x": X})


def test_code_that_the_driver_does_not_take(packages, monkeypatch):
    packages(cuda=FakeDriver(fails="cuModuleLoadData"))
    with pytest.raises(BridgeError, match=r"expected machine code that the driver takes, got .*\n    code of sm_90"):
        replay(add_bundle(cubins={"sm_90": b"code"}), CudaBindings(), {"x": X})
    cupy = FakeCupy()
    monkeypatch.setattr(cupy, "RawModule", lambda path: 1 / 0)
    packages(cupy=cupy)
    with pytest.raises(BridgeError, match="expected machine code that the driver takes, got ZeroDivisionError"):
        replay(add_bundle(cubins={"sm_90": b"code"}), Cupy(), {"x": X})


def test_device_memory_that_is_not_there(packages, monkeypatch):
    cupy = FakeCupy()
    monkeypatch.setattr(cupy, "empty", lambda *_: 1 / 0)
    packages(cupy=cupy)
    with pytest.raises(BridgeError, match="expected 400 bytes of device memory"):
        replay(add_bundle(cubins={"sm_90": b"code"}), Cupy(), {"x": X})


# ---- giving back ------------------------------------------------------------------------------------------------

FAILING = ["cuCtxSynchronize", "cuMemFree", "cuModuleUnload", "cuDevicePrimaryCtxRelease"]


@pytest.fixture
def driver(packages):
    made = FakeDriver()
    packages(cuda=made)
    return made


def alive(driver):
    return len(driver.memory), driver.modules, driver.contexts, driver.events


@pytest.mark.parametrize("function", ["cuModuleLoadData", "cuModuleGetFunction", "cuMemAlloc", "cuMemcpyHtoD", "cuLaunchKernel", "cuMemcpyDtoH",
                                      "cuCtxSynchronize", "cuCtxSetCurrent"])  # fmt: skip
def test_all_is_given_back_after_a_failure(driver, function):
    driver.fails = {function}
    device = CudaBindings()
    with pytest.raises(BridgeError, match="CUDA_ERROR_UNKNOWN"):
        replay(add_bundle(cubins={"sm_90": b"code"}), device, {"x": X})
    assert alive(driver) == (0, 0, 0, 0)
    driver.fails = set()
    np.testing.assert_array_equal(replay(add_bundle(cubins={"sm_90": b"code"}), device, {"x": X})["y"], X + np.arange(100, dtype=np.float32))


@pytest.mark.parametrize("first", range(len(FAILING)))
def test_the_first_error_is_the_one_that_is_seen(driver, first):
    """A device that has failed fails in all that gives back, too; that hides nothing, and stops nothing."""
    driver.fails = set(FAILING[first:])
    with pytest.raises(BridgeError, match=f"{FAILING[first]}: expected success"):
        replay(add_bundle(cubins={"sm_90": b"code"}), CudaBindings(), {"x": X})
    assert [driver.calls.count(f) for f in FAILING[1:]] == [3, 1, 1]


def test_an_exception_of_the_caller_is_not_replaced(driver):
    with pytest.raises(KeyboardInterrupt), Session(add_bundle(cubins={"sm_90": b"code"}), CudaBindings()):
        driver.fails = set(FAILING)
        raise KeyboardInterrupt


@pytest.mark.parametrize("function", ["cuEventCreate", "cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime", "cuLaunchKernel", "cuEventDestroy"])
def test_events_are_given_back(driver, function):
    with Session(add_bundle(cubins={"sm_90": b"code"}), CudaBindings()) as session:
        session.run({"x": X})
        driver.fails = {function}
        with pytest.raises(BridgeError, match=f"{function}: expected success"):
            session.seconds()
        assert function == "cuEventDestroy" or not driver.events
        driver.fails = {"cuLaunchKernel", "cuEventDestroy"}
        with pytest.raises(BridgeError, match="cuLaunchKernel: expected success"):
            session.seconds()
        assert driver.calls.count("cuEventDestroy") >= 2
        driver.fails = set()


def test_the_context_is_given_back_as_often_as_it_is_taken(driver):
    device = CudaBindings()
    for _ in range(2):
        with Session(add_bundle(cubins={"sm_90": b"code"}), device) as session:
            assert driver.contexts == 1
            session.close()
            session.close()
    assert driver.calls.count("cuDevicePrimaryCtxRetain") == driver.calls.count("cuDevicePrimaryCtxRelease") == 2


@pytest.fixture(params=["cuda-bindings", "cupy", "emulated"])
def any_device(request, packages):
    packages(**({"cuda": FakeDriver()} if request.param == "cuda-bindings" else {"cupy": FakeCupy()}))
    return Emulated() if request.param == "emulated" else open_device()


def test_a_closed_session_says_so(any_device):
    session = Session(add_bundle(cubins={"sm_90": b"code"}), any_device)
    session.close()
    for use in (lambda: session.run({"x": X}), session.launch, session.seconds, session.profile):
        with pytest.raises(BridgeError, match=r"add.*: expected an open session, got a closed one\nhint: make another"):
            use()


def test_a_device_in_use_is_refused_and_stays_in_use(any_device):
    bundle = add_bundle(cubins={"sm_90": b"code"})
    with Session(bundle, any_device) as session:
        with pytest.raises(BridgeError, match=r"load\(add\): expected a device that no other session uses, got one that runs add\nhint: "):
            Session(bundle, any_device)
        np.testing.assert_array_equal(session.run({"x": X})["y"], X + np.arange(100, dtype=np.float32))
    replay(bundle, any_device, {"x": X})


def test_what_cannot_be_loaded_leaves_the_device_free(any_device):
    with pytest.raises(BridgeError):
        Session(add_bundle(cubins={"sm_75": b"code"}, source="this is no C++"), any_device)
    replay(add_bundle(cubins={"sm_90": b"code"}), any_device, {"x": X})
