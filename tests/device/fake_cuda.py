"""Stand-ins for cuda-bindings and CuPy over ordinary memory, and the CUDA source that the tests of devices run."""

from __future__ import annotations

import ctypes
import types
from pathlib import Path

import numpy as np
from gpu_cases import ADD

from minicc.device.bundle import Number
from minicc.device.emulate import EmulatedCode
from minicc.types import DType, int32

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
KERNELS = [
    line.split("(")[0].split()[-1]
    for line in SOURCE.replace("__launch_bounds__(64) ", "").splitlines()
    if "__global__" in line
]


class FakeDriver(types.ModuleType):
    """`cuda.bindings.driver` over ordinary memory, with its conventions: a tuple of a status and the results."""

    CUdevice_attribute = types.SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=76
    )
    CUfunction_attribute = types.SimpleNamespace(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES=8)

    def __init__(self, capability=(9, 0), devices=1, fails=()):
        super().__init__("driver")
        self.capability, self.devices, self.fails = (
            capability,
            devices,
            {fails} if isinstance(fails, str) else set(fails),
        )
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
        read = [self.memory[ctypes.c_void_p.from_address(p).value] if k == "p" else Number(ctypes.c_int.from_address(p).value, int32)
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
        given = [a.held if isinstance(a, FakeArray) else Number(int(a), DType.of(a.dtype)) for a in args]
        self.code.launch(self.name, grid, block, shared_mem, given)
