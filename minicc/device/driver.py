"""A CUDA device, through the interface of NVIDIA's driver: the library that is there wherever a GPU works.

In: nothing but the machine. Out: a `CudaDevice` for `device.session`, or a BridgeError that says what is
missing. Neither the CUDA toolkit nor a Python package for CUDA is needed.

    with DeviceExecutable(image, CudaDevice()) as exe:
        exe(x)

Source of the calls: NVIDIA, CUDA Driver API.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p
from functools import partial
from typing import Any

from minicc.device.architectures import code_for
from minicc.device.session import Device, check_launch, do_all, finally_do
from minicc.errors import BridgeError
from minicc.ir.arrays import Array
from minicc.runtime.image import DeviceBuffer, Image, KernelLaunch, Number

PLAIN_SHARED = 48 << 10  # bytes of dynamic shared memory that a kernel gets without asking
INSTALL = "install the NVIDIA driver; without a GPU: --device emulated"
LIBRARIES = ("libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1", "nvcuda.dll")
MAJOR, MINOR, DYNAMIC_SHARED = 75, 76, 8  # of CUdevice_attribute and CUfunction_attribute
FUNCTIONS: dict[str, tuple[Any, ...]] = {  # what each takes; a result is returned through the first argument
    "cuInit": (c_uint,),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxSetCurrent": (c_void_p,),
    "cuCtxSynchronize": (),
    "cuModuleLoadData": (POINTER(c_void_p), c_char_p),
    "cuModuleUnload": (c_void_p,),
    "cuModuleGetFunction": (POINTER(c_void_p), c_void_p, c_char_p),
    "cuFuncSetAttribute": (c_void_p, c_int, c_int),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemcpyHtoD_v2": (c_uint64, c_void_p, c_size_t),
    "cuMemcpyDtoH_v2": (c_void_p, c_uint64, c_size_t),
    "cuLaunchKernel": (c_void_p, *[c_uint] * 7, c_void_p, POINTER(c_void_p), c_void_p),
    "cuEventCreate": (POINTER(c_void_p), c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventSynchronize": (c_void_p,),
    "cuEventElapsedTime": (POINTER(c_float), c_void_p, c_void_p),
    "cuEventDestroy_v2": (c_void_p,),
}


def library() -> Any:
    """The driver. Raises BridgeError when there is none."""
    tried = []
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            tried.append(str(error))
    raise BridgeError("open a CUDA device", "expected an NVIDIA GPU with a driver, got none", "\n".join(tried), INSTALL)


class CudaDevice(Device):
    """A device, on its primary context."""

    name = "cuda"

    def __init__(self, ordinal: int = 0) -> None:
        self._library = library()
        self.module: Any = None  # this and the next two are held from load to close
        self.context: Any = None
        self.arena: int | None = None
        self.functions: dict[str, Any] = {}
        self._call("cuInit", 0)
        if ordinal >= (count := self._result("cuDeviceGetCount")):
            problem = f"expected a device of this number, got {count} devices"
            raise BridgeError(f"CUDA device {ordinal}", problem, hint=INSTALL)
        self.device = self._result("cuDeviceGet", ordinal)
        major, minor = (self._result("cuDeviceGetAttribute", kind, self.device) for kind in (MAJOR, MINOR))
        self.capability: tuple[int, int] = (major, minor)

    def _function(self, name: str) -> Any:
        function = getattr(self._library, name)
        function.argtypes, function.restype = FUNCTIONS[name], c_int
        return function

    def _call(self, name: str, *arguments: Any) -> None:
        """Call a function of the driver. Raises BridgeError when its status is not success."""
        if status := self._function(name)(*arguments):
            said = c_char_p()
            self._function("cuGetErrorName")(status, ctypes.byref(said))
            problem = f"expected success, got {said.value.decode() if said.value else status}"
            raise BridgeError(name.removesuffix("_v2"), problem, hint=INSTALL)

    def _result(self, name: str, *arguments: Any) -> Any:
        """What a function gives through its first argument. Raises BridgeError."""
        made = FUNCTIONS[name][0]._type_()
        self._call(name, ctypes.byref(made), *arguments)
        return made.value

    def load(self, image: Image) -> None:
        self.refuse_if_in_use(image)
        arch, code = code_for(image, self.capability)
        try:
            self.context = self._result("cuDevicePrimaryCtxRetain", self.device)
            self.use()
            self._load(image, arch, code)
        except BaseException:
            with suppress(Exception):
                self.close()
            raise
        self.image = image

    def _load(self, image: Image, arch: str, code: bytes) -> None:
        try:
            self.module = self._result("cuModuleLoadData", code)
            for launch in image.launches:
                if launch.kernel not in self.functions:
                    found = self._result("cuModuleGetFunction", self.module, launch.kernel.encode())
                    self.functions[launch.kernel] = found
                if launch.shared_bytes > PLAIN_SHARED:
                    self._call("cuFuncSetAttribute", self.functions[launch.kernel], DYNAMIC_SHARED, launch.shared_bytes)
        except BridgeError as error:
            problem = f"expected machine code that the driver takes, got {error.problem}"
            hint = "is the driver as new as the CUDA toolkit that made it? compile with --arch of this device"
            raise BridgeError(f"load({image.name})", problem, f"code of {arch}", hint) from None

    def use(self) -> None:
        if self.context is not None:  # each thread has a current context of its own
            self._call("cuCtxSetCurrent", self.context)

    def allocate(self, buffers: Sequence[DeviceBuffer], size: int) -> list[int]:
        self.arena = self._result("cuMemAlloc_v2", max(size, 1))
        return [self.arena + buffer.offset for buffer in buffers]

    def upload(self, memory: int, array: Array) -> None:
        self._call("cuMemcpyHtoD_v2", memory, array.ctypes.data, array.nbytes)

    def launch(self, launch: KernelLaunch, arguments: Sequence[Any]) -> None:
        check_launch(launch)
        held = [_number(a) if isinstance(a, Number) else c_uint64(a) for a in arguments]
        places = (c_void_p * max(len(held), 1))(*map(ctypes.addressof, held))  # read before the call returns
        function, shared = self.functions[launch.kernel], launch.shared_bytes
        self._call("cuLaunchKernel", function, *launch.grid, *launch.block, shared, None, places, None)

    def download(self, memory: int, array: Array) -> None:
        self._call("cuCtxSynchronize")
        self._call("cuMemcpyDtoH_v2", array.ctypes.data, memory, array.nbytes)

    def seconds(self, work: Callable[[], None]) -> float:
        events: list[Any] = []
        with finally_do(lambda: do_all(partial(self._call, "cuEventDestroy_v2", event) for event in events)):
            events += [self._result("cuEventCreate", 0)]
            events += [self._result("cuEventCreate", 0)]
            begin, end = events
            self._call("cuEventRecord", begin, None)
            work()
            self._call("cuEventRecord", end, None)
            self._call("cuEventSynchronize", end)
            return float(self._result("cuEventElapsedTime", begin, end)) / 1e3

    def close(self) -> None:
        held = [("cuMemFree_v2", self.arena), ("cuModuleUnload", self.module)]
        held += [("cuDevicePrimaryCtxRelease_v2", None if self.context is None else self.device)]
        calls = [partial(self._call, function, argument) for function, argument in held if argument is not None]
        with finally_do(self._forget):
            do_all(calls)

    def _forget(self) -> None:
        self.functions, self.arena, self.module, self.context, self.image = {}, None, None, None, None


def _number(number: Number) -> ctypes._SimpleCData[int]:
    """The number as C holds it."""
    made: ctypes._SimpleCData[int] = getattr(ctypes, f"c_{number.dtype.name}")(number.value)
    return made
