"""What can be called: a compiled model, whatever runs it.

In: an `Image`, which `load` makes callable here. Out: an `Executable`, called with NumPy arrays, which gives
new NumPy arrays. On the CPU the entry function of an image is

    i32 main(i8** inputs, i8** outputs, i8** constants, i8* arena, i64 threads, i64* times)

and runs all kernels without coming back to Python; ctypes lets go of the interpreter lock, and
every call takes an arena of its own from a pool, so threads may run one executable at once. A call of a small
kernel is mostly Python, so what a call needs is made once, and checked with as few questions as there can be.
"""

from __future__ import annotations

import ctypes
import importlib
import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, KeysView, Mapping, Sequence
from functools import cached_property, partial
from operator import itemgetter
from typing import Any

import numpy as np

from minicc.errors import CodegenError, RunError, misnamed
from minicc.ir.arrays import READY, Array, address, plain, sequence
from minicc.ir.drawn import Drawn
from minicc.ir.passes import CompileReport
from minicc.runtime import jit, memory, stamps, threads
from minicc.runtime.image import Image, KernelInfo, Port
from minicc.runtime.plan import Arena, ArenaPlan

LOADERS = {"cpu": "minicc.runtime.executable:CpuExecutable"}  # by kind of image: what makes one callable


class Executable(Drawn, ABC):
    """A compiled model: `exe(*arrays) -> tuple of arrays`, `exe.run({name: array}) -> {name: array}`.

    It never changes, so a copy of it is itself; pickled, it takes its image along, machine code and texts.
    """

    name: str
    inputs: Sequence[Port]
    outputs: Sequence[Port]
    kernels: Sequence[KernelInfo]
    stages: Mapping[str, str]
    threads = 1
    arena_bytes = 0
    compile_seconds = 0.0  # what making it took
    compile_report = CompileReport({})  # where these went
    defaults: tuple[str, ...] = ()  # inputs that have a value of their own; `run` may be given others
    variant: Callable[[tuple[str, ...]], Executable]  # the executable that takes these of them, too
    image: Image

    def __call__(self, *arrays: Any) -> tuple[Array, ...]:
        """Run on the inputs, in order. Raises RunError when one does not fit."""
        return self._run(self._positional(arrays))

    def __copy__(self) -> Executable:
        return self

    def __deepcopy__(self, memo: object) -> Executable:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.image,), self._kept()

    def _kept(self) -> dict[str, Any]:
        """What is told to an executable after it is made."""
        kept: dict[str, Any] = {"compile_seconds": self.compile_seconds, "compile_report": self.compile_report}
        return {**kept, "defaults": self.defaults, "variant": self.variant} if self.defaults else kept

    @property
    def constant_bytes(self) -> int:
        """What the weights take."""
        return sum(c.nbytes for c in self.image.constants)

    @property
    def memory_plan(self) -> ArenaPlan:
        """Where in the arena each intermediate value lives, and when. Raises RunError before it is known."""
        return self.image.memory

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        """Run on the inputs, by name; the outputs by name. Raises RunError when one is missing or does not fit."""
        if type(feeds) is not dict or feeds.keys() != self._names:
            return self._run_checked(feeds)
        results = self._run(self._positional(self._pick(feeds)))
        return dict(zip(self._output_names, results))  # noqa: B905  # `strict` takes longer than all the rest

    def _run_checked(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        """`run`, with a mapping that is no dictionary, or of other names than those of the inputs."""
        names = list(self._names)
        if not isinstance(feeds, Mapping):
            raise self._error(
                f"expected arrays by the names {_list(names)}, got {type(feeds).__name__}",
                "run({name: array}), or call it with the arrays in order",
                f"{self.name}.run",
            )
        if given := tuple(name for name in feeds if name in self.defaults):
            return self.variant(given).run(feeds)
        problem, hint = misnamed(feeds, names, "give every input of the signature, and nothing else")
        if problem:
            where = f"{problem}\n{self._signature()}"
            raise RunError(f"{self.name}.run", f"expected the inputs {_list(names)}, got {_list(feeds)}", where, hint)
        return self.run({name: feeds[name] for name in names})

    def profile(self, *arrays: Any) -> tuple[float, ...]:
        """The median seconds of each kernel of `kernels`, over several runs after one that warms up."""
        return stamps.medians(self.stamps(*arrays))

    @abstractmethod
    def stamps(self, *arrays: Any) -> Array:
        """When each kernel of `kernels` begins, and the last ends, in seconds of each of those runs: `[runs, kernels + 1]`."""

    @abstractmethod
    def _run(self, arrays: list[Array]) -> tuple[Array, ...]:
        """The outputs for inputs that fit."""

    def _positional(self, arrays: Sequence[Any]) -> list[Array]:
        if len(arrays) != len(self.inputs):
            raise self._error(
                f"expected {len(self.inputs)} inputs, got {len(arrays)}",
                "give the inputs in this order, or by name to run({...})",
            )
        return [
            a if type(a) is np.ndarray and a.dtype is dtype and a.shape == shape and a.flags.num & READY == READY
            else self._fit(port, a)
            for a, (dtype, shape, port) in zip(arrays, self._expected)  # noqa: B905  # their number is known
        ]  # fmt: skip

    @cached_property
    def _names(self) -> KeysView[str]:
        """The names of the inputs, in order; compared as a set."""
        return {port.name: port for port in self.inputs}.keys()

    @cached_property
    def _pick(self) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
        """The inputs in order, of a dictionary that has them all and no others."""
        return itemgetter(*self._names) if len(self._names) > 1 else lambda feeds: tuple(feeds.values())

    @property
    def _output_names(self) -> Sequence[str]:
        return [port.name for port in self.outputs]

    @cached_property
    def _expected(self) -> list[tuple[np.dtype[Any], tuple[int, ...], Port]]:
        """What an array has that fits as it is, for each input."""
        return [(port.type and port.dtype.numpy, port.type and port.shape, port) for port in self.inputs]

    def _fit(self, port: Port, value: Any) -> Any:
        """`value` as a contiguous array; a Python number or list is converted if that loses nothing."""
        must = f"input {port.name!r} must have"
        if port.type is None:
            return sequence(value, lambda problem, hint: self._error(f"input {port.name!r}: {problem}", hint))
        array = plain(value, lambda problem, hint: self._error(f"{must} {port.type}: {problem}", hint))
        is_array = isinstance(value, (np.ndarray, np.generic))
        if array.dtype != port.dtype.numpy and not is_array:
            array = _exact(port, array)
        if array.dtype != port.dtype.numpy:
            convert = "x.astype" if is_array else "np.asarray(x).astype"
            raise self._error(f"{must} {port.dtype}, got {array.dtype}", f"convert it: {convert}({str(port.dtype)!r})")
        if not port.type.admits(array.shape):
            hint = "compile for this shape with input_shapes, or reshape the array"
            raise self._error(f"{must} shape {port.shape}, got {array.shape}", hint)
        return np.require(array, requirements=["C", "A"])

    def _error(self, problem: str, hint: str, call: str = "") -> RunError:
        return RunError(call or f"{self.name}(...)", problem, where=self._signature(), hint=hint)

    def _signature(self) -> str:
        return f"{self.name}({', '.join(map(str, self.inputs))}) -> {', '.join(map(str, self.outputs))}"

    def __repr__(self) -> str:
        return f"<Executable {self._signature()}, {len(self.kernels)} kernels, arena {self.arena_bytes} bytes>"


class ImageExecutable(Executable):
    """An executable that is all told by an image."""

    def __init__(self, image: Image) -> None:
        self.image, self.name, self.stages = image, image.name, image.stages
        self.inputs, self.outputs, self.kernels = list(image.inputs), list(image.outputs), list(image.kernels)
        self.arena_bytes, self.threads = image.arena, image.threads

    @cached_property
    def _output_names(self) -> Sequence[str]:
        return [port.name for port in self.outputs]


class CpuExecutable(ImageExecutable):
    """An image for the CPU, its machine code linked."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self._library = jit.load(list(image.sections.values()), [image.entry], image.target)
        entry = self._library.function(image.entry, jit.ENTRY_TYPE)
        self._enter = entry if self.threads == 1 else partial(threads.run, entry, self.threads)
        self._constants = [np.require(c, requirements=["C", "A"]) for c in image.constants]
        self._constant_pointers = _pointers(self._constants)
        self._made = [port.shape for port in self.outputs], [port.dtype.numpy for port in self.outputs]
        self._output_bytes = sum(port.type.bytes for port in self.outputs)
        self._fill = struct.Struct(f"{len(self.inputs) + len(self.outputs)}P").pack_into
        self._frames: deque[_Frame] = deque()

    def stamps(self, *arrays: Any) -> Array:
        return stamps.warm_stamps(partial(self._run, self._positional(arrays)), len(self.kernels))

    def _run(self, arrays: list[Array], times: Array | None = None) -> tuple[Array, ...]:
        try:
            frame = self._frames.pop()
        except IndexError:  # asked for so, because another thread may take the last one
            frame = self._frame()
        if self._output_bytes > memory.SMALL:
            memory.check(f"{self.name}(...)", {"outputs": self._output_bytes})
        outputs = tuple(map(np.empty, *self._made))
        self._fill(frame.pointers, 0, *map(address, arrays), *map(address, outputs))
        self._enter(*(frame.arguments if times is None else (*frame.arguments[:-1], address(times))))
        self._frames.append(frame)
        return outputs

    def _frame(self) -> _Frame:
        needs = {"outputs": self._output_bytes, "intermediate values": self.arena_bytes}
        memory.check(f"{self.name}(...)", needs)
        return _Frame(len(self.inputs), len(self.outputs), self._constant_pointers, self.arena_bytes, self.threads)


class _Frame:
    """What one call at a time has: an arena, pointers to inputs and outputs, and the arguments of the entry function."""

    def __init__(self, inputs: int, outputs: int, constants: Any, arena_bytes: int, threads: int) -> None:
        self.pointers, self.arena = (ctypes.c_void_p * (inputs + outputs))(), Arena(arena_bytes)
        first = ctypes.addressof(self.pointers)
        starts = (first, first + inputs * ctypes.sizeof(ctypes.c_void_p), ctypes.addressof(constants), self.arena.start)
        self.arguments = (*map(ctypes.c_void_p, starts), ctypes.c_int64(threads), ctypes.c_void_p())


def load(image: Image) -> Executable:
    """The image as something to call here; that of a device opens it at the first call. Raises CodegenError for a kind that nobody loads."""
    if image.kind not in LOADERS:
        problem = f"expected an image for {', '.join(sorted(LOADERS))}, got one for {image.kind!r}"
        raise CodegenError(f"load({image.name})", problem, hint="is it made by a newer minicc?")
    module, _, name = LOADERS[image.kind].partition(":")
    made: Executable = getattr(importlib.import_module(module), name)(image)
    return made


def _exact(port: Port, array: Array) -> Array:
    """`array` in the dtype of the port, if every element keeps its value; else as it is."""
    with np.errstate(all="ignore"):
        made = array.astype(port.dtype.numpy)
    if array.dtype.kind == "f":
        same = np.array_equal(made.astype(array.dtype), array, equal_nan=True)
    else:  # by Python's integers: a float64 does not tell 64-bit integers apart
        same = np.isfinite(made).all() and all(int(a) == int(b) for a, b in zip(made.flat, array.flat, strict=True))
    return made if same else array


def _pointers(arrays: Sequence[Array]) -> Any:
    return (ctypes.c_void_p * len(arrays))(*map(address, arrays))


def _list(names: Any) -> str:
    return ", ".join(map(repr, names)) or "none"
