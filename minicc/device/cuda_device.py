"""CUDA devices: through cuda-bindings (NVIDIA's driver interface) or through CuPy, whichever is installed.

In: nothing but the machine. Out: a `Device` that `bridge.device.Session` replays a bundle on, or a
BridgeError that says what was tried. Neither TVM nor nvcc is needed, and both packages are
imported only when a device is opened.

    replay(bundle, open_device(), {"x": image})

Source of the calls: NVIDIA, CUDA Driver API; CuPy, RawModule.
"""

from __future__ import annotations

import ctypes
import importlib
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minicc.device.bundle import Bundle, KernelLaunch, Number, check_launch
from minicc.device.session import Device, do_all, finally_do
from minicc.errors import BridgeError
from minicc.ops.base import Array

PLAIN_SHARED = 48 << 10  # bytes of dynamic shared memory that a kernel gets without asking
INSTALL = "install the NVIDIA driver, and pip install cuda-bindings or cupy-cuda13x; without a GPU: --device emulated"


def open_device(ordinal: int = 0) -> Device:
    """The first way to a CUDA device that works. Raises BridgeError with what was tried."""
    tried = []
    for kind in (CudaBindings, Cupy):
        try:
            return kind(ordinal)
        except BridgeError as error:
            tried.append(f"{kind.name}: {error.problem}")
    raise BridgeError(
        "open a CUDA device", "expected an NVIDIA GPU with a driver, got none", where="\n".join(tried), hint=INSTALL
    )


def number_of(number: Number) -> ctypes._SimpleCData[int]:
    """The number as C holds it."""
    made: ctypes._SimpleCData[int] = getattr(ctypes, f"c_{number.dtype.name}")(number.value)
    return made


def _import(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except Exception as error:  # what a package raises that finds no driver is its own
        raise BridgeError(
            f"import {module}", f"expected the package {name}, got {type(error).__name__}: {error}", hint=INSTALL
        ) from None


class CudaBindings(Device):
    """A device through `cuda.bindings.driver`, on the primary context."""

    name = "cuda-bindings"

    def __init__(self, ordinal: int = 0) -> None:
        self.driver = _import("cuda.bindings.driver", "cuda-bindings")
        self.module: Any = None
        self.context: Any = None  # held from load to close
        self.functions: dict[str, Any] = {}
        self._call("cuInit", 0)
        count = self._call("cuDeviceGetCount")
        if ordinal >= count:
            raise BridgeError(
                f"CUDA device {ordinal}", f"expected a device of this number, got {count} devices", hint=INSTALL
            )
        self.device = self._call("cuDeviceGet", ordinal)
        attribute = self.driver.CUdevice_attribute
        kinds = (
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
            attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        )
        self.capability = tuple(int(self._call("cuDeviceGetAttribute", kind, self.device)) for kind in kinds)

    def _call(self, function: str, *arguments: Any) -> Any:
        """What a function of the driver returns beside its status. Raises BridgeError when that is not success."""
        try:
            status, *results = getattr(self.driver, function)(*arguments)
        except RuntimeError as error:  # no driver library on this machine
            raise BridgeError(
                function, f"expected a CUDA driver, got {type(error).__name__}: {error}", hint=INSTALL
            ) from None
        if int(status) != 0:
            raise BridgeError(function, f"expected success, got {getattr(status, 'name', status)}", hint=INSTALL)
        return results[0] if results else None

    def load(self, bundle: Bundle) -> None:
        self.refuse_if_in_use(bundle)
        arch, code = bundle.code_for(self.capability)  # type: ignore[arg-type]
        try:
            self.context = self._call("cuDevicePrimaryCtxRetain", self.device)
            self._call("cuCtxSetCurrent", self.context)
            self._load(bundle, arch, code)
        except BaseException:
            with suppress(Exception):
                self.close()
            raise
        self.bundle = bundle

    def _load(self, bundle: Bundle, arch: str, code: bytes) -> None:
        try:
            self.module = self._call("cuModuleLoadData", code)
            for launch in bundle.launches:
                self._prepare(launch)
        except BridgeError as error:
            raise _unusable(bundle, arch, error.problem) from None

    def _prepare(self, launch: KernelLaunch) -> None:
        if launch.kernel not in self.functions:
            self.functions[launch.kernel] = self._call("cuModuleGetFunction", self.module, launch.kernel.encode())
        if launch.shared_bytes > PLAIN_SHARED:
            limit = self.driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._call("cuFuncSetAttribute", self.functions[launch.kernel], limit, launch.shared_bytes)

    def use(self) -> None:
        if self.context is not None:  # each thread has a current context of its own
            self._call("cuCtxSetCurrent", self.context)

    def allocate(self, size: int) -> Any:
        return self._call("cuMemAlloc", size)

    def upload(self, memory: Any, array: Array) -> None:
        self._call("cuMemcpyHtoD", memory, array.ctypes.data, array.nbytes)

    def launch(self, launch: KernelLaunch, arguments: Sequence[Any]) -> None:
        check_launch(launch.kernel, launch.grid, launch.block, launch.shared_bytes)
        held = [number_of(a) if isinstance(a, Number) else ctypes.c_void_p(int(a)) for a in arguments]
        places = (ctypes.c_void_p * max(len(held), 1))(*map(ctypes.addressof, held))  # read before the call returns
        self._call("cuLaunchKernel", self.functions[launch.kernel], *launch.grid, *launch.block, launch.shared_bytes, 0,
                   ctypes.addressof(places), 0)  # fmt: skip

    def download(self, memory: Any, array: Array) -> None:
        self._call("cuCtxSynchronize")
        self._call("cuMemcpyDtoH", array.ctypes.data, memory, array.nbytes)

    def seconds(self, work: Callable[[], None]) -> float:
        events: list[Any] = []
        with finally_do(lambda: do_all(partial(self._call, "cuEventDestroy", event) for event in events)):
            events += [self._call("cuEventCreate", 0)]
            events += [self._call("cuEventCreate", 0)]
            begin, end = events
            self._call("cuEventRecord", begin, 0)
            work()
            self._call("cuEventRecord", end, 0)
            self._call("cuEventSynchronize", end)
            return float(self._call("cuEventElapsedTime", begin, end)) / 1e3

    def free(self, memory: Any) -> None:
        self._call("cuMemFree", memory)

    def close(self) -> None:
        held = [("cuModuleUnload", self.module, self.module), ("cuDevicePrimaryCtxRelease", self.device, self.context)]
        self.functions, self.module, self.context, self.bundle = {}, None, None, None
        do_all(partial(self._call, function, argument) for function, argument, taken in held if taken is not None)


class Cupy(Device):
    """A device through CuPy."""

    name = "cupy"

    def __init__(self, ordinal: int = 0) -> None:
        self.cupy = _import("cupy", "cupy")
        self.functions: dict[str, Any] = {}
        try:
            count = self.cupy.cuda.runtime.getDeviceCount()
            if ordinal < count:
                self.device = self.cupy.cuda.Device(ordinal)
                self.device.use()
                text = self.device.compute_capability  # "90"
        except Exception as error:  # CuPy's exceptions come from its compiled modules
            raise BridgeError(
                "cupy", f"expected a CUDA driver, got {type(error).__name__}: {error}", hint=INSTALL
            ) from None
        if ordinal >= count:
            raise BridgeError(
                f"CUDA device {ordinal}", f"expected a device of this number, got {count} devices", hint=INSTALL
            )
        self.capability = int(text[:-1]), int(text[-1])

    def load(self, bundle: Bundle) -> None:
        self.refuse_if_in_use(bundle)
        arch, code = bundle.code_for(self.capability)
        try:
            with tempfile.TemporaryDirectory() as folder:  # RawModule reads machine code from a file only
                file = Path(folder) / f"kernels.{'cubin' if arch in bundle.cubins else 'ptx'}"
                file.write_bytes(code.rstrip(b"\0") if file.suffix == ".ptx" else code)
                module = self.cupy.RawModule(path=str(file))
                self.functions = {name: module.get_function(name) for name in bundle.kernels}
            for launch in bundle.launches:
                if launch.shared_bytes > PLAIN_SHARED:
                    self.functions[launch.kernel].max_dynamic_shared_size_bytes = launch.shared_bytes
        except Exception as error:
            self.close()
            raise _unusable(bundle, arch, f"{type(error).__name__}: {error}") from None
        self.bundle = bundle

    def use(self) -> None:
        self.device.use()

    def allocate(self, size: int) -> Any:
        try:
            return self.cupy.empty(size, np.uint8)
        except Exception as error:
            raise BridgeError(
                "allocate",
                f"expected {size} bytes of device memory, got {type(error).__name__}: {error}",
                hint="use a smaller model",
            ) from None

    def upload(self, memory: Any, array: Array) -> None:
        memory[: array.nbytes].set(np.ascontiguousarray(array).reshape(-1).view(np.uint8))

    def launch(self, launch: KernelLaunch, arguments: Sequence[Any]) -> None:
        check_launch(launch.kernel, launch.grid, launch.block, launch.shared_bytes)
        passed = tuple(a.dtype.numpy.type(a.value) if isinstance(a, Number) else a for a in arguments)
        self.functions[launch.kernel](launch.grid, launch.block, passed, shared_mem=launch.shared_bytes)

    def download(self, memory: Any, array: Array) -> None:
        array.reshape(-1).view(np.uint8)[:] = memory[: array.nbytes].get()

    def seconds(self, work: Callable[[], None]) -> float:
        begin, end = self.cupy.cuda.Event(), self.cupy.cuda.Event()
        begin.record()
        work()
        end.record()
        end.synchronize()
        return float(self.cupy.cuda.get_elapsed_time(begin, end)) / 1e3

    def free(self, memory: Any) -> None:
        """CuPy's pool takes memory back when nothing refers to it."""

    def close(self) -> None:
        self.functions, self.bundle = {}, None


def _unusable(bundle: Bundle, arch: str, problem: str) -> BridgeError:
    return BridgeError(
        f"load({bundle.name})",
        f"expected machine code that the driver takes, got {problem}",
        where=f"code of {arch}",
        hint="is the driver as new as the CUDA toolkit that made the bundle? compile with --arch of this device",
    )


__all__ = ["CudaBindings", "Cupy", "open_device"]
