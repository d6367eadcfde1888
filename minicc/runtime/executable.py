"""A compiled model that can be called.

In: a library with an entry function, and the data that it works on. Out: an `Executable`, called
with NumPy arrays, which gives new NumPy arrays. The entry function is

    i32 main(i8** inputs, i8** outputs, i8** constants, i8* arena, i64 threads, i64* times)

and runs all kernels without coming back to Python; ctypes lets go of the interpreter lock, and
every call takes an arena of its own from a pool, so threads may run one executable at once.
"""

from __future__ import annotations

import ctypes
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicc.errors import RunError, misnamed
from minicc.ir.arrays import Array as Array
from minicc.ir.arrays import plain
from minicc.runtime import jit, memory, threads
from minicc.types import DType, TensorType

Text = str | Callable[[], str]

PROFILE_SECONDS, LEAST_RUNS, MOST_RUNS = (
    0.5,
    3,
    100,
)  # of a profile: as many runs as fit, but at least and at most so many


@dataclass(frozen=True)
class Port:
    """An input or an output: its name and type."""

    name: str
    type: TensorType

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
class KernelInfo:
    """One call of a kernel: the floating point operations and the bytes that it needs at least, and its texts."""

    label: str
    flops: int = 0
    bytes: int = 0
    symbol: str = ""
    stages: Mapping[str, str] = field(default_factory=dict, repr=False)


class Executable:
    """A compiled model: `exe(*arrays) -> tuple of arrays`, `exe.run({name: array}) -> {name: array}`.

    It never changes, so a copy of it is itself; pickled, it takes its machine code and its texts along.
    """

    compile_seconds = 0.0  # what making it took
    defaults: tuple[str, ...] = ()  # inputs that have a value of their own; `run` may be given others
    variant: Callable[[tuple[str, ...]], Executable]  # the executable that takes these of them, too

    def __init__(
        self,
        name: str,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        library: jit.Library,
        constants: Sequence[Array],
        arena: int,
        threads: int,
        kernels: Sequence[KernelInfo],
        stages: Mapping[str, Text],
    ) -> None:
        self.name, self.inputs, self.outputs = name, list(inputs), list(outputs)
        self.kernels, self.stages = list(kernels), Stages(stages)
        self.arena_bytes, self.threads = arena, threads
        self._library, self._entry = library, library.function(jit.ENTRY, jit.ENTRY_TYPE)
        self._constants = [np.require(c, requirements=["C", "A"]) for c in constants]
        self._constant_pointers = _pointers(self._constants)
        self._output_bytes = sum(port.type.bytes for port in self.outputs)
        self._arenas: deque[Array] = deque()

    def __call__(self, *arrays: Any) -> tuple[Array, ...]:
        """Run on the inputs, in order. Raises RunError when one does not fit."""
        return self._run(self._positional(arrays), None)

    def __copy__(self) -> Executable:
        return self

    def __deepcopy__(self, memo: object) -> Executable:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            Executable,
            (
                self.name,
                self.inputs,
                self.outputs,
                self._library,
                self._constants,
                self.arena_bytes,
                self.threads,
                self.kernels,
                self.stages,
            ),
            self._kept(),
        )

    def _kept(self) -> dict[str, Any]:
        """What is told to an executable after it is made."""
        kept: dict[str, Any] = {"compile_seconds": self.compile_seconds}
        return {**kept, "defaults": self.defaults, "variant": self.variant} if self.defaults else kept

    @property
    def constant_bytes(self) -> int:
        """What the weights take."""
        return sum(c.nbytes for c in self._constants)

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        """Run on the inputs, by name; the outputs by name. Raises RunError when one is missing or does not fit."""
        names = [port.name for port in self.inputs]
        if not isinstance(feeds, Mapping):
            raise RunError(
                f"{self.name}.run",
                f"expected arrays by the names {_list(names)}, got {type(feeds).__name__}",
                where=self._signature(),
                hint="run({name: array}), or call it with the arrays in order",
            )
        if given := tuple(name for name in feeds if name in self.defaults):
            return self.variant(given).run(feeds)
        problem, hint = misnamed(feeds, names, "give every input of the signature, and nothing else")
        if problem:
            raise RunError(
                f"{self.name}.run",
                f"expected the inputs {_list(names)}, got {_list(feeds)}",
                where=f"{problem}\n{self._signature()}",
                hint=hint,
            )
        results = self(*[feeds[name] for name in names])
        return {port.name: result for port, result in zip(self.outputs, results, strict=True)}

    def profile(self, *arrays: Any) -> tuple[float, ...]:
        """The median seconds of each kernel of `kernels`, over several runs after one that warms up."""
        given = self._positional(arrays)
        self._run(given, None)
        times: list[Array] = []
        until = time.perf_counter() + PROFILE_SECONDS
        while len(times) < LEAST_RUNS or (len(times) < MOST_RUNS and time.perf_counter() < until):
            times.append(np.zeros(len(self.kernels) + 1, np.int64))
            self._run(given, times[-1])
        return tuple((np.median(np.diff(times), axis=0) / 1e9).tolist())

    def _positional(self, arrays: Sequence[Any]) -> list[Array]:
        if len(arrays) != len(self.inputs):
            raise RunError(
                f"{self.name}(...)",
                f"expected {len(self.inputs)} inputs, got {len(arrays)}",
                where=self._signature(),
                hint="give the inputs in this order, or by name to run({...})",
            )
        return [self._fit(port, value) for port, value in zip(self.inputs, arrays, strict=True)]

    def _fit(self, port: Port, value: Any) -> Array:
        """`value` as a contiguous array; a Python number or list is converted if that loses nothing."""
        array = plain(value, lambda problem, hint: self._error(port, f"{port.type}: {problem}", hint))
        if array.dtype != port.dtype.numpy and not isinstance(value, (np.ndarray, np.generic)):
            array = self._exact(port, array)
        if array.dtype != port.dtype.numpy:
            convert = "x.astype" if isinstance(value, (np.ndarray, np.generic)) else "np.asarray(x).astype"
            raise self._error(port, f"{port.dtype}, got {array.dtype}", f"convert it: {convert}({str(port.dtype)!r})")
        if array.shape != port.shape:
            raise self._error(
                port,
                f"shape {port.shape}, got {array.shape}",
                "compile for this shape with input_shapes, or reshape the array",
            )
        return np.require(array, requirements=["C", "A"])

    def _exact(self, port: Port, array: Array) -> Array:
        """`array` in the dtype of the port, if every element keeps its value; else as it is."""
        with np.errstate(all="ignore"):
            made = array.astype(port.dtype.numpy)
        if array.dtype.kind == "f":
            same = np.array_equal(made.astype(array.dtype), array, equal_nan=True)
        else:  # by Python's integers: a float64 does not tell 64-bit integers apart
            same = np.isfinite(made).all() and all(int(a) == int(b) for a, b in zip(made.flat, array.flat, strict=True))
        return made if same else array

    def _error(self, port: Port, problem: str, hint: str) -> RunError:
        return RunError(
            f"{self.name}(...)", f"input {port.name!r} must have {problem}", where=self._signature(), hint=hint
        )

    def _run(self, arrays: list[Array], times: Array | None) -> tuple[Array, ...]:
        memory.check(
            f"{self.name}(...)",
            {"outputs": self._output_bytes, "intermediate values": 0 if self._arenas else self.arena_bytes},
        )
        outputs = tuple(np.empty(port.shape, port.dtype.numpy) for port in self.outputs)
        arena = self._take()
        try:
            threads.run(
                lambda: self._entry(
                    _pointers(arrays),
                    _pointers(outputs),
                    self._constant_pointers,
                    aligned(arena),
                    self.threads,
                    None if times is None else times.ctypes.data,
                ),
                self.threads,
            )
        finally:
            self._arenas.append(arena)
        return outputs

    def _take(self) -> Array:
        """A free arena, or a new one."""
        try:
            return self._arenas.pop()
        except IndexError:
            return np.empty(self.arena_bytes + 64, np.uint8)

    def _signature(self) -> str:
        return f"{self.name}({', '.join(map(str, self.inputs))}) -> {', '.join(map(str, self.outputs))}"

    def __repr__(self) -> str:
        return f"<Executable {self._signature()}, {len(self.kernels)} kernels, arena {self.arena_bytes} bytes>"


def aligned(arena: Array) -> int:
    """The first address in `arena` that is a multiple of 64."""
    return int(-(-arena.ctypes.data // 64) * 64)


def _pointers(arrays: Sequence[Array]) -> Any:
    return (ctypes.c_void_p * max(len(arrays), 1))(*[a.ctypes.data for a in arrays])


def _list(names: Any) -> str:
    return ", ".join(map(repr, names)) or "none"
