"""Where an image of CUDA kernels runs: a device, or the CPU in its place.

In: an image and arrays. Out: arrays. A `Device` can allocate, copy, launch and measure; a `DeviceExecutable`
holds the memory of an image on a device and makes its launches, and is the same for all of them.

    load(image)(x)                                   # opens a device at the first call
    with DeviceExecutable(image, Emulated()) as exe:
        exe.run({"x": image})
        exe.seconds()                                # of one more pass over all kernels

An image is a program. In place of a device it runs in a process without rights (`emulate`), whoever made it; on a
device it can do what kernels can, so run there only images that you trust.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, Protocol

import numpy as np

from minicc.errors import BridgeError
from minicc.ir.arrays import Array
from minicc.runtime.executable import ImageExecutable
from minicc.runtime.image import DeviceBuffer, Image, KernelLaunch, Number, Port

REBUILD = "make it again: minicc compile MODEL --target cuda --output FILE.tar"


class Device(Protocol):
    """What running an image needs. Memory is whatever `allocate` returns; memory and kernels are those of one image."""

    name: str
    image: Image | None = None  # whose kernels are ready

    def load(self, image: Image) -> None:
        """Make the kernels ready, up to `close`.

        Raises BridgeError, and holds nothing, when they are not for this device; or when it is in use.
        """

    def use(self) -> None:
        """Get ready for calls from this thread, which may be another than the one that loaded the image."""

    def allocate(self, buffers: Sequence[DeviceBuffer], size: int) -> list[Any]:
        """Device memory for each buffer, with arbitrary content, up to `close`. All lie in `size` bytes."""

    def upload(self, memory: Any, array: Array) -> None:
        """Copy an array to the begin of `memory`."""

    def launch(self, launch: KernelLaunch, arguments: Sequence[Any]) -> None:
        """Start a kernel; each argument is memory or a Number."""

    def download(self, memory: Any, array: Array) -> None:
        """Wait for the kernels, then fill the array from the begin of `memory`."""

    def seconds(self, work: Callable[[], None]) -> float:
        """How long the kernels that `work` starts take, by the device's clock."""

    def close(self) -> None:
        """Give memory and kernels back, whatever of that fails; then raise the first error."""

    def refuse_if_in_use(self, image: Image) -> None:
        """Raise BridgeError when the kernels of an image are loaded."""
        if self.image is not None:
            problem = f"expected a device that no other session uses, got one that runs {self.image.name}"
            raise BridgeError(f"load({image.name})", problem, hint="close that session, or open the device once more")


def do_all(actions: Iterable[Callable[[], object]]) -> None:
    """Do each of them, also after one that fails; then raise the first error."""
    errors: list[Exception] = []
    for action in actions:
        try:
            action()
        except Exception as error:  # whatever it is, the others are to be done
            errors.append(error)
    if errors:
        raise errors[0]


@contextmanager
def finally_do(give_back: Callable[[], object]) -> Iterator[None]:
    """Do it after the block. When the block fails, its exception is the one that is seen, whatever comes after it."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            give_back()
        raise
    give_back()


def check_launch(launch: KernelLaunch) -> str:
    """The launch as text, for errors about it. Raises BridgeError when CUDA does not take it."""
    call = f"launch({launch.kernel}, grid={tuple(launch.grid)}, block={tuple(launch.block)})"
    if problem := launch.problem():
        name, wanted, got = problem
        raise BridgeError(call, f"expected {wanted}, got {got}", where=name, hint=REBUILD)
    return call


class DeviceExecutable(ImageExecutable):
    """An image on a device: its memory, with the constants in place. A context manager; calls take turns.

    On the device that is given it is loaded at once, and closed for good. `opens`, when there is none, gives one at
    the first call, and again at the first call after `close` or after one that failed.
    Raises BridgeError when the device cannot run the image, or another executable uses it.
    """

    def __init__(self, image: Image, device: Device | None = None, opens: Callable[[], Device] | None = None) -> None:
        super().__init__(image)
        self.device, self._opens, self.is_open = device, opens, False
        self._memory: list[Any] = []
        self._turn = threading.RLock()
        if device is not None:
            self._load(device)

    def _load(self, device: Device) -> None:
        device.load(self.image)
        self.device, self.is_open = device, True
        try:
            self._memory = device.allocate(self.image.buffers, self.image.arena)
            for buffer, memory in zip(self.image.buffers, self._memory, strict=True):
                if buffer.constant is not None and buffer.size:
                    device.upload(memory, self.image.constants[buffer.constant])
        except BaseException:
            with suppress(Exception):
                self.close()
            raise

    def __enter__(self) -> DeviceExecutable:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with suppress(Exception) if kind else nullcontext():  # what ends the block is what is seen
            self.close()

    def _run(self, arrays: list[Array]) -> tuple[Array, ...]:
        with self._turn:
            device = self._ready("run")
            try:
                for port, array in zip(self.inputs, arrays, strict=True):
                    if array.nbytes:
                        device.upload(self._memory[port.buffer or 0], array)
                self.launch()
                return tuple(self._download(device, port) for port in self.outputs)
            except BaseException:
                if self._opens:  # a kernel that fails leaves nothing to go on with
                    with suppress(Exception):
                        self.close()
                raise

    def launch(self) -> None:
        """Start every kernel in order."""
        with self._turn:
            self._start(self.image.launches)

    def _start(self, launches: Sequence[KernelLaunch]) -> None:
        device = self._ready("launch")
        for launch in launches:
            device.launch(launch, [a if isinstance(a, Number) else self._memory[a] for a in launch.arguments])

    def seconds(self) -> float:
        """The time of one pass over all kernels, on what the buffers hold, by the device's clock."""
        with self._turn:
            return self._ready("seconds").seconds(self.launch)

    def stamps(self, *arrays: Any) -> Array:
        """One run of the kernels of `kernels`, by the device's clock; without arrays on what the buffers hold."""
        with self._turn:
            if arrays:
                self(*arrays)
            device = self._ready("profile")
            each = [device.seconds(partial(self._start, kernel.launches)) for kernel in self.kernels]
            return np.cumsum([[0.0, *each]], axis=1)

    def _download(self, device: Device, port: Port) -> Array:
        array = np.empty(port.shape, port.dtype.numpy)
        if array.nbytes:
            device.download(self._memory[port.buffer or 0], array)
        return array

    def close(self) -> None:
        """Give back what it holds on the device, whatever of that fails; then raise the first error. Again does nothing."""
        with self._turn:
            if self.is_open and self.device is not None:
                self._memory, self.is_open = [], False
                do_all([self.device.use, self.device.close])

    def _ready(self, what: str) -> Device:
        """The device, open and ready for calls from this thread."""
        if not self.is_open and self._opens:
            self._load(self._opens())
        if not self.is_open or self.device is None:
            problem = "expected an open session, got a closed one"
            raise BridgeError(f"{what}({self.name})", problem, hint="make another DeviceExecutable")
        self.device.use()
        return self.device
