"""Where a bundle runs: a CUDA device through cuda-bindings or CuPy, or the CPU in its place.

In: a bundle and arrays. Out: arrays. A `Device` can allocate, copy, launch and measure; `Session`
holds the memory of a bundle on a device and replays its plan, and is the same for all three.

    replay(bundle, Emulated(), {"x": image})        # {"y": array}
    with Session(bundle, open_device()) as session:
        session.run({"x": image})
        session.seconds()                           # of one more pass over all kernels

A bundle is a program. In place of a device it runs in a process without rights (`emulate`), whoever made it; on a
device it can do what kernels can, so run there only bundles that you trust.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, Protocol

import numpy as np

from minicc.device.bundle import Bundle, KernelLaunch, Number, Port
from minicc.device.emulate import EmulatedCode, Piece
from minicc.errors import BridgeError, RunError, misnamed
from minicc.ir.arrays import plain
from minicc.ops.base import Array

SPARE = 16 << 10  # bytes of address space that a buffer needs beside its own


class Device(Protocol):
    """What replaying a plan needs. Memory is whatever `allocate` returns; the kernels are those of one bundle."""

    name: str
    bundle: Bundle | None = None  # whose kernels are ready

    def load(self, bundle: Bundle) -> None:
        """Make the kernels ready, up to `close`.

        Raises BridgeError, and holds nothing, when they are not for this device; or when it is in use.
        """

    def use(self) -> None:
        """Get ready for calls from this thread, which may be another than the one that loaded the bundle."""

    def allocate(self, size: int) -> Any:
        """So many bytes of device memory, with arbitrary content."""

    def upload(self, memory: Any, array: Array) -> None:
        """Copy an array to the begin of `memory`."""

    def launch(self, launch: KernelLaunch, arguments: Sequence[Any]) -> None:
        """Start a kernel; each argument is memory or a Number."""

    def download(self, memory: Any, array: Array) -> None:
        """Wait for the kernels, then fill the array from the begin of `memory`."""

    def seconds(self, work: Callable[[], None]) -> float:
        """How long the kernels that `work` starts take, by the device's clock."""

    def free(self, memory: Any) -> None:
        """Give memory back."""

    def close(self) -> None:
        """Give the kernels back."""

    def refuse_if_in_use(self, bundle: Bundle) -> None:
        """Raise BridgeError when the kernels of a bundle are loaded."""
        if self.bundle is not None:
            raise BridgeError(
                f"load({bundle.name})",
                f"expected a device that no other session uses, got one that runs {self.bundle.name}",
                hint="close that session, or open the device once more",
            )


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


class Session:
    """A bundle on a device: its memory, with the constants in place. A context manager; not re-entrant.

    Raises BridgeError when the device cannot run the bundle, or another session uses it.
    """

    def __init__(self, bundle: Bundle, device: Device) -> None:
        self.bundle, self.device = bundle, device
        self.memory: list[Any] = []
        device.load(bundle)
        self.is_open = True
        try:
            for buffer in bundle.buffers:
                self.memory.append(device.allocate(max(buffer.size, 1)))
                if buffer.constant is not None and buffer.size:
                    device.upload(self.memory[-1], bundle.constants[buffer.constant])
        except BaseException:
            with suppress(Exception):
                self.close()
            raise

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with suppress(Exception) if kind else nullcontext():  # what ends the block is what is seen
            self.close()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name. Raises RunError when an input is missing or of another type, BridgeError when the session is closed."""
        self._enter("run")
        for port, array in zip(self.bundle.inputs, checked(self.bundle, inputs), strict=True):
            if array.nbytes:
                self.device.upload(self.memory[port.buffer], array)
        self.launch()
        return {port.name: self._download(port) for port in self.bundle.outputs}

    def launch(self) -> None:
        """Start every kernel of the plan in order."""
        self._start(self.bundle.launches)

    def _start(self, launches: Sequence[KernelLaunch]) -> None:
        self._enter("launch")
        for launch in launches:
            self.device.launch(launch, [a if isinstance(a, Number) else self.memory[a] for a in launch.arguments])

    def seconds(self) -> float:
        """The time of one pass over all kernels, on what the buffers hold."""
        self._enter("seconds")
        return self.device.seconds(self.launch)

    def profile(self) -> list[tuple[str, float]]:
        """The time of each step, by name."""
        self._enter("profile")
        return [(s.name, self.device.seconds(partial(self._start, s.launches))) for s in self.bundle.steps]

    def _download(self, port: Port) -> Array:
        array = np.empty(port.type.shape, port.type.dtype.numpy)
        if array.nbytes:
            self.device.download(self.memory[port.buffer], array)
        return array

    def close(self) -> None:
        """Give all memory back and close the device, whatever of that fails; then raise the first error. Again does nothing."""
        if self.is_open:
            memory, self.memory, self.is_open = self.memory, [], False
            do_all([self.device.use, *(partial(self.device.free, held) for held in memory), self.device.close])

    def _enter(self, what: str) -> None:
        if not self.is_open:
            raise BridgeError(
                f"{what}({self.bundle.name})", "expected an open session, got a closed one", hint="make another Session"
            )
        self.device.use()


def replay(bundle: Bundle, device: Device, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs by name of one run of the plan on the device."""
    with Session(bundle, device) as session:
        return session.run(inputs)


def checked(bundle: Bundle, inputs: Mapping[str, Array]) -> list[Array]:
    """The inputs in order, contiguous. Raises RunError when names, dtypes or shapes are not the bundle's."""
    call = f"run({bundle.name})"
    names = [port.name for port in bundle.inputs]
    problem, hint = misnamed(inputs, names, "give each input of the model by its name")
    if problem:
        raise RunError(
            call,
            f"expected the inputs {', '.join(names) or 'none'}, got {', '.join(map(str, inputs)) or 'none'}",
            where=problem,
            hint=hint,
        )
    return [_fit(call, port, inputs[port.name]) for port in bundle.inputs]


def _fit(call: str, port: Port, value: Any) -> Array:
    array = plain(value, lambda problem, hint: RunError(call, f"{port.name}: {problem}", hint=hint))
    if array.dtype != port.type.dtype.numpy or array.shape != port.type.shape:
        raise RunError(
            call,
            f"expected {port.name}: {port.type}, got {array.dtype}{list(array.shape)}",
            hint="a bundle is made for one dtype and shape of each input",
        )
    return np.array(array, order="C", copy=None)


# ---- the CPU in place of a device -------------------------------------------------------------------------------


class Emulated(Device):
    """The kernels run on the CPU, one thread after another: for checking plans, not for speed.

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
        self.pieces: list[Piece] = []

    def load(self, bundle: Bundle) -> None:
        self.refuse_if_in_use(bundle)
        self.code = EmulatedCode(
            bundle.source, bundle.kernels, sum(b.size + SPARE for b in bundle.buffers), self.trusted
        )
        self.bundle = bundle

    def use(self) -> None:
        """Threads are all alike."""

    def allocate(self, size: int) -> Piece:
        try:
            held = guards(size + 2 * self.GUARD)
        except (MemoryError, ValueError) as error:
            raise BridgeError(
                "allocate", f"expected {size} bytes of memory, got {type(error).__name__}", hint="use a smaller model"
            ) from None
        piece = Piece(held, self.GUARD)
        self._content(piece)[:] = self.POISON
        self.pieces.append(piece)
        return piece

    def _content(self, memory: Piece) -> Array:
        """The bytes between the guards."""
        content: Array = memory.held[self.GUARD : memory.held.size - self.GUARD]
        return content

    def upload(self, memory: Piece, array: Array) -> None:
        self._content(memory)[: array.nbytes] = array.reshape(-1).view(np.uint8)

    def launch(self, launch: KernelLaunch, arguments: Sequence[Any]) -> None:
        assert self.code is not None, "load comes first"
        self.code.launch(launch.kernel, launch.grid, launch.block, launch.shared_bytes, arguments)
        for piece in arguments:
            if isinstance(piece, Piece) and not self._is_guarded(piece):
                raise BridgeError(
                    f"launch({launch.kernel})",
                    f"expected writes to its buffers, got one beside a buffer of {self._content(piece).size} bytes",
                    where="kernels.cu",
                    hint="the buffer is too small, or the kernel's index is out of bounds",
                )

    def _is_guarded(self, piece: Piece) -> bool:
        after = piece.held.size - self.GUARD
        guard = guards(self.GUARD + 4)
        return bool(
            (piece.held[: self.GUARD] == guard[: self.GUARD]).all()
            and (piece.held[after:] == guard[after % 4 :][: self.GUARD]).all()
        )

    def download(self, memory: Piece, array: Array) -> None:
        array.reshape(-1).view(np.uint8)[:] = self._content(memory)[: array.nbytes]

    def seconds(self, work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    def free(self, memory: Piece) -> None:
        self.pieces = [piece for piece in self.pieces if piece is not memory]

    def close(self) -> None:
        code, self.code, self.bundle = self.code, None, None
        if code is not None:
            code.close()


def guards(count: int) -> Array:
    """So many bytes of signalling NaNs."""
    return np.full(-(-count // 4), 0x7FA5A5A5, "<u4").view(np.uint8)[:count]


__all__ = ["Device", "Emulated", "Session", "checked", "replay"]
