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

from minicc.device.bundle import Bundle
from minicc.bridge.cuda import bundle_of_program, checked_sizes
from minicc.device.cuda_device import open_device
from minicc.device.session import Emulated, Session, do_all
from minicc.bridge.tir import cuda_source
from minicc.loop.arguments import Arguments
from minicc.loop.program import Program
from minicc.ops.base import Array

DEVICES = ("cuda", "emulated")
MOST_SESSIONS = 4  # each has its own memory on the device


class CudaFunction:
    """`program` for the device `where`, called with arrays in the order of `buffers`."""

    def __init__(self, program: Program, buffers: Sequence[str], where: str) -> None:
        self.program, self.where, self.name = program, where, program.name
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
            self._bundles[key] = bundle_of_program(self.program, binaries=self.where == "cuda", sizes=sizes)
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
            session = self._sessions.pop(bundle, None) or Session(
                bundle, Emulated(trusted=True) if self.where == "emulated" else open_device()
            )
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
