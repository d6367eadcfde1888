"""The CPU in place of a CUDA device: for checking launches, not for speed.

In: an image. Out: a `Device` whose kernels run on the CPU, one thread after another.

    with DeviceExecutable(image, Emulated()) as exe:
        exe(x)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicc.device.emulate import EmulatedCode, Memory
from minicc.device.session import Device
from minicc.errors import BridgeError
from minicc.ir.arrays import Array
from minicc.runtime.image import DeviceBuffer, Image, KernelLaunch

SPARE = 16 << 10  # bytes of address space that a buffer needs beside its own


class Emulated(Device):
    """The kernels run on the CPU, one thread after another.

    Fresh memory holds bytes of 0xff (NaN), and each piece stands between guards (a signalling NaN,
    which arithmetic changes): a kernel that writes beside its buffers is an error.
    """

    name = "emulated"
    GUARD = 256  # bytes on either side
    POISON = 0xFF

    def __init__(self, trusted: bool = False) -> None:
        """`trusted`: the kernels are of this process's own making, so that they may run where nothing can be isolated."""
        self.trusted = trusted
        self.code: EmulatedCode | None = None
        self.pieces: list[Memory] = []

    def load(self, image: Image) -> None:
        self.refuse_if_in_use(image)
        memory = sum(b.size + SPARE for b in image.buffers)
        self.code = EmulatedCode(image.source, image.symbols, memory, self.trusted)
        self.image = image

    def use(self) -> None:
        """Threads are all alike."""

    def allocate(self, buffers: Sequence[DeviceBuffer], size: int) -> list[Memory]:
        try:
            self.pieces = [Memory(guards(buffer.size + 2 * self.GUARD), self.GUARD) for buffer in buffers]
        except (MemoryError, ValueError) as error:
            problem = f"expected {size} bytes of memory, got {type(error).__name__}"
            raise BridgeError("allocate", problem, hint="use a smaller model") from None
        for piece in self.pieces:
            self._content(piece)[:] = self.POISON
        return self.pieces

    def _content(self, memory: Memory) -> Array:
        """The bytes between the guards."""
        content: Array = memory.held[self.GUARD : memory.held.size - self.GUARD]
        return content

    def upload(self, memory: Memory, array: Array) -> None:
        self._content(memory)[: array.nbytes] = array.reshape(-1).view(np.uint8)

    def launch(self, launch: KernelLaunch, arguments: Sequence[Any]) -> None:
        assert self.code is not None, "load comes first"
        self.code.launch(launch, arguments)
        for piece in arguments:
            if isinstance(piece, Memory) and not self._is_guarded(piece):
                size = self._content(piece).size
                problem = f"expected writes to its buffers, got one beside a buffer of {size} bytes"
                hint = "the buffer is too small, or the kernel's index is out of bounds"
                raise BridgeError(f"launch({launch.kernel})", problem, "kernels.cu", hint)

    def _is_guarded(self, piece: Memory) -> bool:
        after, guard = piece.held.size - self.GUARD, guards(self.GUARD + 4)
        before = piece.held[: self.GUARD] == guard[: self.GUARD]
        return bool(before.all() and (piece.held[after:] == guard[after % 4 :][: self.GUARD]).all())

    def download(self, memory: Memory, array: Array) -> None:
        array.reshape(-1).view(np.uint8)[:] = self._content(memory)[: array.nbytes]

    def seconds(self, work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def close(self) -> None:
        code, self.code, self.image, self.pieces = self.code, None, None, []
        if code is not None:
            code.close()


def guards(count: int) -> Array:
    """So many bytes of signalling NaNs."""
    return np.full(-(-count // 4), 0x7FA5A5A5, "<u4").view(np.uint8)[:count]
