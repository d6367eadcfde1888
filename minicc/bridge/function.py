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
from collections.abc import Mapping, Sequence
from contextlib import suppress

from minicc.bridge.cuda import bundle_of_graph, bundle_of_program, checked_sizes
from minicc.bridge.tir import cuda_source
from minicc.device.bundle import Bundle
from minicc.device.cuda_device import open_device
from minicc.device.nvcc import ARCHITECTURES, known_architectures
from minicc.device.session import Device, Emulated, Session, do_all
from minicc.graph.ir import Graph
from minicc.ir.passes import Event, Observer
from minicc.loop.arguments import Arguments
from minicc.loop.program import Program
from minicc.ops.base import Array
from minicc.runtime.executable import Executable
from minicc.runtime.image import Port, Stages
from minicc.target import EMULATED, Target

MOST_SESSIONS = 4  # each has its own memory on the device


def device_of(target: Target) -> Device:
    """A device of this kind. Raises BridgeError where there is none."""
    return Emulated(trusted=True) if target.kind == EMULATED else open_device()


class CudaModel(Executable):
    """A graph after the passes for a device, as its bundle; the device is opened by the first call."""

    def __init__(self, graph: Graph, target: Target, observe: Observer | None = None) -> None:
        def progress(what: str, done: int, total: int) -> None:
            if observe:
                observe(Event(what, graph.name, done=done, total=total))

        architectures = target.architectures or (known_architectures() if target.has("cubin") else ("sm_75",))
        self.bundle = bundle_of_graph(graph, architectures, target.has("cubin"), progress)
        self.target, self.threads, self.arena_bytes = target, 1, self.bundle.memory_bytes
        self.name, self.kernels = graph.name, []
        self.inputs, self.outputs = (
            [Port(p.name, p.type) for p in ports] for ports in (self.bundle.inputs, self.bundle.outputs)
        )
        self.stages = Stages({"graph": str(graph), "cuda": self.bundle.source})
        self._session: Session | None = None
        self._lock = threading.Lock()

    def profile(self, *arrays: Array) -> tuple[float, ...]:
        return ()

    @property
    def constant_bytes(self) -> int:
        return sum(c.nbytes for c in self.bundle.constants)

    def _run(self, arrays: list[Array]) -> tuple[Array, ...]:
        with self._lock:  # a session is not re-entrant
            self._session = self._session or Session(self.bundle, device_of(self.target))
            given = {port.name: array for port, array in zip(self.inputs, arrays, strict=True)}
            return tuple(self._session.run(given).values())


class CudaFunction:
    """`program` for the device `where`, called with arrays in the order of `buffers`."""

    def __init__(self, program: Program, buffers: Sequence[str], target: Target) -> None:
        self.program, self.target, self.name = program, target, program.name
        self._arguments = Arguments(program, buffers)
        self.buffers = self._arguments.buffers
        self._bundles: dict[tuple[tuple[str, int], ...], Bundle] = {}
        self._sessions: dict[Bundle, Session] = {}
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._sessions)
        self._source = cuda_source(program)  # so that what has no form on a GPU is refused when it is built

    def source(self) -> str:
        """The CUDA C++ that TVM generates."""
        return self._source.source

    def bundle(self, **sizes: int) -> Bundle:
        """What a device needs to run it; `sizes` are numbers for the symbolic sizes. Raises BridgeError where they are none, or without nvcc."""
        sizes = checked_sizes(self.program, sizes)
        key = tuple(sorted(sizes.items()))
        if key not in self._bundles:
            self._bundles[key] = bundle_of_program(
                self.program, self.target.architectures or ARCHITECTURES, self.target.has("cubin"), sizes
            )
        return self._bundles[key]

    def __call__(self, *arrays: Array) -> None:
        """Run; outputs are written in place. Raises RunError for unfit arrays, BridgeError without a device."""
        held, sizes = self._arguments.checked(arrays)
        bundle = self.bundle(**{v.name: n for v, n in sizes.items()})
        given = dict(zip((b.name for b in self.buffers), held, strict=True))
        results = self._run(bundle, {b.name: given[b.name] for b in self.program.params})
        for name, result in results.items():
            given[name][...] = result

    def close(self) -> None:
        """Give back what it holds on devices; a later call takes it anew."""
        with self._lock:
            _close(self._sessions)

    def _run(self, bundle: Bundle, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, from the session of this bundle."""
        with self._lock:  # a session is not re-entrant
            session = self._sessions.pop(bundle, None) or Session(bundle, device_of(self.target))
            try:
                results = session.run(inputs)
            except BaseException:  # a kernel that fails leaves nothing to go on with
                with suppress(Exception):
                    session.close()
                raise
            self._sessions[bundle] = session  # behind all others: the first is the one that was not used for longest
            _close(self._sessions, MOST_SESSIONS)
            return results


def _close(sessions: dict[Bundle, Session], most: int = 0) -> None:
    """Close the first sessions, until there are at most so many."""
    first = list(sessions)[: max(len(sessions) - most, 0)]
    do_all([sessions.pop(bundle).close for bundle in first])
