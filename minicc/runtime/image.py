"""A compiled model as plain data: what is linked and called, or launched, and all that is known of it.

In: what a code generator made. Out: an `Image`, which can be compared, pickled, written to a file
(`minicc.package`) and read in another process; `load` makes it callable. Of kind `cpu` its sections are
object files, and one function of them, `entry`, makes all calls of kernels; of kind `cuda` they are
CUDA C++, PTX and machine code, and each kernel lists its launches over buffers of device memory.

    image = assemble("model", calls, values, target)
    exe = load(image)                               # exe.image is image
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from minicc.ir.arrays import Array
from minicc.runtime.plan import ArenaPlan
from minicc.target import Target
from minicc.types import DType

Text = str | Callable[[], str]
SOURCE = "kernels.cu"  # the section of the CUDA C++; beside it stand kernels.sm_90.cubin and kernels.compute_75.ptx
# What every CUDA device from compute capability 5.0 on takes, and the shared memory of the newest (CUDA C++ Programming Guide).
MOST_GRID, MOST_BLOCK, MOST_BLOCK_THREADS, MOST_SHARED = (2**31 - 1, 65535, 65535), (1024, 1024, 64), 1024, 227 << 10


@dataclass(frozen=True)
class Port:
    """An input or an output: its name and type and in an image for a device which buffer holds it."""

    name: str
    type: Any  # a TensorType; None where it is no tensor, or its shape not known
    buffer: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.type.shape
        return shape

    @property
    def dtype(self) -> DType:
        dtype: DType = self.type.dtype
        return dtype

    def __repr__(self) -> str:
        return f"{self.name}: {self.type or '?'}"


class Stages(Mapping[str, str]):
    """Stage name -> text, made when first asked for. Of several mappings the later ones win."""

    def __init__(self, *mappings: Mapping[str, Text]) -> None:
        self._texts: dict[str, Text] = {}
        for texts in mappings:
            self._texts |= texts._texts if isinstance(texts, Stages) else texts

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
    grid: tuple[int, ...]  # of three, as the block: see `problem`
    block: tuple[int, ...]
    shared_bytes: int  # of dynamic shared memory; what is static is in the kernel
    arguments: tuple[int | Number, ...]

    def problem(self) -> tuple[str, str, str] | None:
        """Which field CUDA does not take, what it takes, and what it got instead; None when all are well."""
        for name, numbers, most in (("grid", self.grid, MOST_GRID), ("block", self.block, MOST_BLOCK)):
            if len(numbers) != 3 or any(not 1 <= n <= m for n, m in zip(numbers, most, strict=True)):
                return name, f"three positive integers of at most {most}", str(tuple(numbers))
        if (threads := math.prod(self.block)) > MOST_BLOCK_THREADS:
            return "block", f"at most {MOST_BLOCK_THREADS} threads", str(threads)
        if not 0 <= self.shared_bytes <= MOST_SHARED:
            return "shared_bytes", f"at most {MOST_SHARED >> 10} KiB of shared memory", f"{self.shared_bytes} bytes"
        return None


@dataclass(frozen=True)
class KernelInfo:
    """One call of a kernel: the floating point operations and the bytes that it needs at least, and its texts.

    A kernel that stands for a direct computation of more operations, as Winograd's does, has their number as `effective`.
    """

    label: str
    flops: int = 0
    bytes: int = 0
    symbol: str = ""
    launches: tuple[KernelLaunch, ...] = ()  # on a device; on the CPU the entry function calls it
    stages: Mapping[str, str] = field(default_factory=dict, repr=False)
    effective: int = 0


@dataclass(frozen=True, eq=False)
class Image:
    """A compiled model. `arena` is the bytes of its intermediate values, on a device of all its memory; `memory` who is where in it."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    target: Target
    sections: Mapping[str, bytes]
    kernels: tuple[KernelInfo, ...] = ()
    constants: tuple[Array, ...] = ()
    arena: int = 0
    buffers: tuple[DeviceBuffer, ...] = ()
    entry: str = ""
    threads: int = 1
    stages: Mapping[str, str] = field(default_factory=dict)
    memory: ArenaPlan = field(default_factory=ArenaPlan)

    @property
    def kind(self) -> str:
        """That of the target: what loads it."""
        return self.target.kind

    @property
    def launches(self) -> list[KernelLaunch]:
        """All launches in order."""
        return [launch for kernel in self.kernels for launch in kernel.launches]

    @property
    def symbols(self) -> list[str]:
        """The names of the kernels that are launched, each once, in order of first launch."""
        return list(dict.fromkeys(launch.kernel for launch in self.launches))

    @property
    def source(self) -> str:
        """The CUDA C++ of an image for devices."""
        return self.sections[SOURCE].decode()
