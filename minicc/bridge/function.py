"""A function on a CUDA device: one program, scheduled here with thread axes, called with NumPy arrays.

In: a program whose loops are bound to `blockIdx` and `threadIdx`, and the order of its arguments.
Out: a `CudaFunction`, called like a function for the CPU: outputs come last and are written in
place. Machine code is made by TVM's generator and nvcc at the first call with new symbolic sizes.

    f = minicc.build(s, [A, B, C], target="cuda", name="vecadd")
    f(a, b, c)              # needs a device; target="emulated" runs the same kernels on the CPU
    print(f.source())       # CUDA C++: needs none
"""

from __future__ import annotations

from collections.abc import Sequence

from minicc.bridge.bundle import Bundle
from minicc.bridge.cuda import bundle_of_program, checked_sizes
from minicc.bridge.cuda_device import open_device
from minicc.bridge.device import Device, Emulated, replay
from minicc.bridge.tir import cuda_source
from minicc.loop.arguments import Arguments
from minicc.loop.program import Program
from minicc.ops.base import Array

DEVICES = ("cuda", "emulated")


class CudaFunction:
    """`program` for the device `where`, called with arrays in the order of `buffers`."""

    def __init__(self, program: Program, buffers: Sequence[str], where: str) -> None:
        self.program, self.where, self.name = program, where, program.name
        self._arguments = Arguments(program, buffers)
        self.buffers = self._arguments.buffers
        self._bundles: dict[tuple[tuple[str, int], ...], Bundle] = {}
        self._source = cuda_source(program)  # so that what has no form on a GPU is refused when it is built

    def source(self) -> str:
        """The CUDA C++ that TVM generates."""
        return self._source.source

    def bundle(self, **sizes: int) -> Bundle:
        """What a device needs to run it; `sizes` are numbers for the symbolic sizes. Raises BridgeError where they are none, or without nvcc."""
        sizes = checked_sizes(self.program, sizes)
        key = tuple(sorted(sizes.items()))
        if key not in self._bundles:
            self._bundles[key] = bundle_of_program(self.program, binaries=self.where == "cuda", sizes=sizes)
        return self._bundles[key]

    def __call__(self, *arrays: Array) -> None:
        """Run; outputs are written in place. Raises RunError for unfit arrays, BridgeError without a device."""
        held, sizes = self._arguments.checked(arrays)
        bundle = self.bundle(**{v.name: n for v, n in sizes.items()})
        given = dict(zip((b.name for b in self.buffers), held, strict=True))
        device: Device = Emulated() if self.where == "emulated" else open_device()
        results = replay(bundle, device, {b.name: given[b.name] for b in self.program.params})
        for name, result in results.items():
            given[name][...] = result
