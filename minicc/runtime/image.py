"""A compiled model as plain data: what is linked and called, or launched, and all that is known of it.

In: what a code generator made. Out: an `Image`, which can be compared, pickled, written to a file
(`minicc.package`) and read in another process; `load` makes it callable. Of kind `cpu` its sections are
object files, and one function of them, `entry`, makes all calls of kernels; of kind `cuda` they are
CUDA C++, PTX and machine code, and each kernel lists its launches over buffers of device memory.

    image = assemble("model", calls, values, target)
    exe = load(image)                               # exe.image is image
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from minicc.ir.arrays import Array
from minicc.target import Target
from minicc.types import DType, TensorType

Text = str | Callable[[], str]
Three = tuple[int, int, int]
SOURCE, PTX = "kernels.cu", "kernels.ptx"  # sections of images for CUDA devices


@dataclass(frozen=True)
class Port:
    """An input or an output: its name and type, and in an image for a device which buffer holds it."""

    name: str
    type: TensorType
    buffer: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    def __repr__(self) -> str:
        return f"{self.name}: {self.type}"


class Stages(Mapping[str, str]):
    """Stage name -> text, made when first asked for."""

    def __init__(self, texts: Mapping[str, Text]) -> None:
        self._texts = dict(texts)

    def __getitem__(self, name: str) -> str:
        found = self._texts[name]
        if not isinstance(found, str):
            found = self._texts[name] = found()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __reduce__(self) -> tuple[Any, ...]:
        return Stages, (dict(self),)

    def __repr__(self) -> str:
        return f"Stages({', '.join(self._texts)})"


@dataclass(frozen=True)
class DeviceBuffer:
    """`size` bytes of device memory from `offset` on; with `constant`, filled with that constant before the first run."""

    offset: int
    size: int
    constant: int | None = None


@dataclass(frozen=True)
class Number:
    """An argument of a launch that is no buffer."""

    value: int
    dtype: DType


@dataclass(frozen=True)
class KernelLaunch:
    """A kernel of a device over a grid of blocks. An argument is the index of a buffer, or a Number."""

    kernel: str
    grid: Three
    block: Three
    shared_bytes: int  # of dynamic shared memory; what is static is in the kernel
    arguments: tuple[int | Number, ...]


@dataclass(frozen=True)
class KernelInfo:
    """One call of a kernel: the floating point operations and the bytes that it needs at least, and its texts."""

    label: str
    flops: int = 0
    bytes: int = 0
    symbol: str = ""
    launches: tuple[KernelLaunch, ...] = ()  # on a device; on the CPU the entry function calls it
    stages: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, eq=False)
class Image:
    """A compiled model. `arena` is the bytes of its intermediate values; on a device of all its memory."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    sections: Mapping[str, bytes]
    kernels: tuple[KernelInfo, ...] = ()
    constants: tuple[Array, ...] = ()
    arena: int = 0
    buffers: tuple[DeviceBuffer, ...] = ()
    target: Target | None = None
    kind: str = "cpu"
    entry: str = ""
    threads: int = 1
    stages: Mapping[str, str] = field(default_factory=dict)

    @property
    def launches(self) -> list[KernelLaunch]:
        """All launches in order."""
        return [launch for kernel in self.kernels for launch in kernel.launches]

    @property
    def source(self) -> str:
        """The CUDA C++ of an image for devices."""
        return self.sections[SOURCE].decode()
