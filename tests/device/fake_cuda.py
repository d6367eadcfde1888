"""A stand-in for the library of NVIDIA's driver over ordinary memory, and the CUDA source that the tests of devices run."""

from __future__ import annotations

import ctypes

import numpy as np
from gpu_cases import ADD

from minicc.device.emulate import EmulatedCode
from minicc.runtime.image import KernelLaunch, Number
from minicc.types import int32

DEVICE, CONTEXT, MODULE, FUNCTION, EVENT = (
    3,
    1 << 40,
    2 << 40,
    3 << 40,
    4 << 40,
)  # handles, wider than 32 bits where pointers are
POINTER, HANDLE, MEMORY, SIZE, WHOLE = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t, ctypes.c_uint
HEADER = {  # of cuda.h
    "cuInit": [WHOLE],
    "cuGetErrorName": [ctypes.c_int, POINTER],
    "cuDeviceGetCount": [POINTER],
    "cuDeviceGet": [POINTER, ctypes.c_int],
    "cuDeviceGetAttribute": [POINTER, ctypes.c_int, ctypes.c_int],
    "cuDevicePrimaryCtxRetain": [POINTER, ctypes.c_int],
    "cuDevicePrimaryCtxRelease": [ctypes.c_int],
    "cuCtxSetCurrent": [HANDLE],
    "cuCtxSynchronize": [],
    "cuModuleLoadData": [POINTER, POINTER],
    "cuModuleUnload": [HANDLE],
    "cuModuleGetFunction": [POINTER, HANDLE, POINTER],
    "cuFuncSetAttribute": [HANDLE, ctypes.c_int, ctypes.c_int],
    "cuMemAlloc": [POINTER, SIZE],
    "cuMemFree": [MEMORY],
    "cuMemcpyHtoD": [MEMORY, POINTER, SIZE],
    "cuMemcpyDtoH": [POINTER, MEMORY, SIZE],
    "cuLaunchKernel": [HANDLE, *[WHOLE] * 7, HANDLE, POINTER, POINTER],
    "cuEventCreate": [POINTER, WHOLE],
    "cuEventRecord": [HANDLE, HANDLE],
    "cuEventSynchronize": [HANDLE],
    "cuEventElapsedTime": [POINTER, HANDLE, HANDLE],
    "cuEventDestroy": [HANDLE],
}  # fmt: skip

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


class FakeDriver:
    """The driver's library over ordinary memory: its functions take and give what NVIDIA's header declares, through pointers of C."""

    def __init__(self, capability=(9, 0), devices=1, fails=()):
        self.capability, self.devices, self.fails = (
            capability,
            devices,
            {fails} if isinstance(fails, str) else set(fails),
        )
        self.memory, self.loaded, self.limits, self.calls, self.functions = {}, [], {}, [], {}
        self.modules = self.contexts = self.events = 0  # alive
        self.names = {}
        self.keep = ctypes.create_string_buffer(b"CUDA_ERROR_UNKNOWN")

    def __getattr__(self, name):
        if not name.startswith("cu") or name.removesuffix("_v2") not in HEADER:
            raise AttributeError(name)
        return self.functions.setdefault(name, self.made(name.removesuffix("_v2")))

    def made(self, name):
        """A function of C that counts its calls, and does what the method of its name does."""

        def function(*arguments):
            self.calls.append(name)
            if name in self.fails:
                return 999
            return getattr(self, f"do_{name}")(*arguments) or 0

        return ctypes.CFUNCTYPE(ctypes.c_int, *HEADER[name])(function)

    def do_cuInit(self, flags):
        assert flags == 0

    def do_cuGetErrorName(self, status, place):
        assert status == 999
        at(place, ctypes.c_void_p).value = ctypes.addressof(self.keep)

    def do_cuDeviceGetCount(self, place):
        at(place, ctypes.c_int).value = self.devices

    def do_cuDeviceGet(self, place, ordinal):
        at(place, ctypes.c_int).value = DEVICE + ordinal

    def do_cuDeviceGetAttribute(self, place, attribute, device):
        assert device == DEVICE
        at(place, ctypes.c_int).value = self.capability[attribute - 75]

    def do_cuDevicePrimaryCtxRetain(self, place, device):
        assert device == DEVICE
        self.contexts += 1
        at(place, ctypes.c_void_p).value = CONTEXT

    def do_cuDevicePrimaryCtxRelease(self, device):
        assert device == DEVICE
        self.contexts -= 1
        assert self.contexts >= 0

    def do_cuCtxSetCurrent(self, context):
        assert context == CONTEXT and self.contexts

    def do_cuModuleLoadData(self, place, image):
        self.loaded.append(ctypes.string_at(image))
        self.code = EmulatedCode(SOURCE + ADD, ["add_kernel", "turn"])
        self.modules += 1
        at(place, ctypes.c_void_p).value = MODULE

    def do_cuModuleUnload(self, module):
        assert module == MODULE
        self.modules -= 1

    def do_cuModuleGetFunction(self, place, module, name):
        assert module == MODULE
        self.names[FUNCTION + len(self.names)] = ctypes.string_at(name).decode()
        at(place, ctypes.c_void_p).value = FUNCTION + len(self.names) - 1

    def do_cuFuncSetAttribute(self, function, attribute, value):
        assert attribute == 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self.limits[self.names[function]] = value

    def do_cuMemAlloc(self, place, size):
        held = np.zeros(size, np.uint8)
        self.memory[held.ctypes.data] = held
        at(place, ctypes.c_uint64).value = held.ctypes.data

    def do_cuMemFree(self, pointer):
        del self.memory[pointer]

    def do_cuMemcpyHtoD(self, pointer, host, size):
        ctypes.memmove(pointer, host, size)

    def do_cuMemcpyDtoH(self, host, pointer, size):
        ctypes.memmove(host, pointer, size)

    def do_cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared, stream, parameters, extra):
        assert not stream and not extra
        name = self.names[function]
        kinds = {"add_kernel": "ppp", "turn": "ppi"}[name]
        places = (ctypes.c_void_p * 3).from_address(parameters)
        pointers = sorted(at(p, ctypes.c_uint64).value for k, p in zip(kinds, places, strict=True) if k == "p")
        read = [self.held(at(p, ctypes.c_uint64).value, pointers) if k == "p" else Number(at(p, ctypes.c_int).value, int32)
                for k, p in zip(kinds, places, strict=True)]  # fmt: skip
        self.code.launch(KernelLaunch(name, (gx, gy, gz), (bx, by, bz), shared, ()), read)

    def held(self, pointer, pointers):
        """The memory from a pointer on, to the next of them or to the end of what was allocated."""
        ((start, whole),) = [(p, h) for p, h in self.memory.items() if p <= pointer < p + h.size]
        return whole[pointer - start : min([p - start for p in pointers if p > pointer], default=whole.size)]

    def do_cuCtxSynchronize(self):
        """Nothing to wait for."""

    def do_cuEventCreate(self, place, flags):
        self.events += 1
        at(place, ctypes.c_void_p).value = EVENT

    def do_cuEventRecord(self, event, stream):
        assert event == EVENT and not stream

    def do_cuEventSynchronize(self, event):
        assert event == EVENT

    def do_cuEventElapsedTime(self, place, begin, end):
        at(place, ctypes.c_float).value = 2.5

    def do_cuEventDestroy(self, event):
        self.events -= 1


def at(place, kind):
    """What stands at an address."""
    return kind.from_address(place)
