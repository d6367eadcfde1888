"""A function on a CUDA device: one program, scheduled here with thread axes, called with NumPy arrays.

In: a program whose loops are bound to `blockIdx` and `threadIdx`, and the order of its arguments.
Out: a `CudaFunction`, called like a function for the CPU: outputs come last and are written in
place. Machine code is made by TVM's generator and nvcc at the first call with new symbolic sizes; the
device keeps it, and memory for the arrays, for the sizes that were used last.

    f = minicc.build(s, [A, B, C], target="cuda", name="vecadd")
    f(a, b, c)              # needs a device; target="emulated" runs the same kernels on the CPU
    print(f.source())       # CUDA C++: needs none
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from minicc.bridge.cuda import checked_sizes, image_of_graph, image_of_program
from minicc.bridge.tir import cuda_source
from minicc.device.architectures import ARCHITECTURES
from minicc.device.driver import CudaDevice
from minicc.device.emulated import Emulated
from minicc.device.nvcc import known_architectures
from minicc.device.session import Device, DeviceExecutable, do_all
from minicc.graph.ir import Graph
from minicc.ir.arrays import Array
from minicc.ir.passes import Event, Observer
from minicc.loop.program import Program
from minicc.runtime.function import Function
from minicc.runtime.image import Image, Stages, Text
from minicc.target import EMULATED, Target

MOST_SESSIONS = 4  # each has its own memory on the device


def device_of(target: Target) -> Device:
    """A device of this kind, for kernels of our own making. Raises BridgeError where there is none."""
    return Emulated(trusted=True) if target.kind == EMULATED else CudaDevice()


def cuda_model(graph: Graph, target: Target, observe: Observer | None = None) -> DeviceExecutable:
    """A graph after the passes for a device; the device is opened by the first call."""

    def progress(what: str, done: int, total: int) -> None:
        if observe:
            observe(Event(what, graph.name, done=done, total=total))

    architectures = target.architectures or (known_architectures() if target.has("cubin") else ("sm_75",))
    made = image_of_graph(graph, architectures, target.has("cubin"), progress)
    target = target if target.kind == EMULATED else made.target
    image = replace(made, target=target, stages=Stages({"graph": lambda: str(graph), "cuda": lambda: made.source}))
    return DeviceExecutable(image, opens=partial(device_of, target))


class CudaFunction(Function):
    """`program` for the device of `target`."""

    main_stage = "cuda"

    def __init__(self, program: Program, buffers: Sequence[str], target: Target) -> None:
        super().__init__(program, program, buffers, target)
        self._images: dict[tuple[tuple[str, int], ...], Image] = {}
        self._sessions: dict[Image, DeviceExecutable] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._sessions)
        self._source = cuda_source(program)  # so that what has no form on a GPU is refused when it is built

    def __reduce__(self) -> tuple[Any, ...]:
        return CudaFunction, (self.program, [b.name for b in self.buffers], self.target)

    def _texts(self, final: Program) -> Mapping[str, Text]:
        """As scheduled, and the CUDA C++ that TVM generates."""
        return {"loop": lambda: str(final), "cuda": lambda: self._source.source}

    def image(self, **sizes: int) -> Image:
        """What a device needs to run it; `sizes` are numbers for the symbolic sizes. Raises BridgeError where they are none, or without nvcc."""
        sizes = checked_sizes(self.program, sizes)
        key = tuple(sorted(sizes.items()))
        if key not in self._images:
            architectures, binaries = self.target.architectures or ARCHITECTURES, self.target.has("cubin")
            self._images[key] = image_of_program(self.program, architectures, binaries, sizes)
        return self._images[key]

    def _bound(self, arrays: Sequence[Any]) -> Callable[[], None]:
        held, _, sizes = self._arguments.checked(arrays)
        image = self.image(**{v.name: n for v, n in sizes.items()})
        given = dict(zip((b.name for b in self.buffers), held, strict=True))

        def run() -> None:
            for name, result in self._run(image, {b.name: given[b.name] for b in self.program.params}).items():
                given[name][...] = result

        return run

    def close(self) -> None:
        """Give back what it holds on devices; a later call takes it anew."""
        with self._lock:
            _close(self._sessions)

    def _run(self, image: Image, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, from the session of this image."""
        with self._lock:
            session = self._sessions.pop(image, None) or DeviceExecutable(image, opens=partial(device_of, self.target))
            results = session.run(inputs)
            self._sessions[image] = session  # behind all others: the first is the one that was not used for longest
            _close(self._sessions, MOST_SESSIONS)
            return results


def _close(sessions: dict[Image, DeviceExecutable], most: int = 0) -> None:
    """Close the first sessions, until there are at most so many."""
    first = list(sessions)[: max(len(sessions) - most, 0)]
    do_all([sessions.pop(image).close for image in first])
