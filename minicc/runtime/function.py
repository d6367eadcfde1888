"""A built function: machine code of one program, called with NumPy arrays.

In: a program ready for codegen, and the order of its arguments. Out: a `Function`. Its outputs
come last, as in the call that built it, and are written in place. Symbolic sizes are taken from
the shapes of the arrays. Every call checks its arguments; what would corrupt memory is an error.

    f = minicc.build(s, [A, B, C])
    f(a, b, c)                                       # c now holds the result
    f.run({"A": a, "B": b})["C"]                     # or a new array does
    f.time_evaluator(number=10)(a, b, c).mean        # seconds of one call
"""

from __future__ import annotations

import ctypes
import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minicc.errors import RunError, misnamed
from minicc.ir.arrays import Array
from minicc.loop.arguments import Arguments
from minicc.loop.place_buffers import workspace_bytes
from minicc.loop.program import Program
from minicc.runtime import jit, memory, threads
from minicc.runtime.assemble import compile_program, unique_symbol
from minicc.runtime.externs import Externs
from minicc.runtime.image import Stages, Text
from minicc.runtime.plan import Arenas
from minicc.target import Target
from minicc.tensor.expr import Const, Expr, Var, const, substitute


@dataclass(frozen=True)
class Timing:
    """What a measurement found: seconds of one call, a mean over `number` calls, for each repetition."""

    results: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.results)

    @property
    def median(self) -> float:
        return statistics.median(self.results)

    @property
    def min(self) -> float:
        return min(self.results)

    @property
    def max(self) -> float:
        return max(self.results)

    def __str__(self) -> str:
        return f"median {self.median * 1e6:.1f} us, from {self.min * 1e6:.1f} to {self.max * 1e6:.1f}"


class Function(ABC):
    """A built function of `program`, called with arrays in the order of `buffers`; outputs are written in place.

    `run` takes inputs and gives outputs by name, as an `Executable` does.
    """

    main_stage: str  # the one that `source` shows

    def __init__(self, program: Program, final: Program, buffers: Sequence[str], target: Target) -> None:
        self.program, self.target, self.name = program, target, program.name
        self._arguments = Arguments(final, buffers)
        self.buffers, self.sizes = self._arguments.buffers, self._arguments.sizes
        self.inputs, self.outputs = final.params, final.outputs
        self.stages = Stages(self._texts(final))
        self._names = dict.fromkeys([b.name for b in self.inputs]).keys()
        self._made = {b.name: b.dtype.numpy for b in self.outputs}
        self._last_shapes: tuple[Any, list[tuple[int, ...]]] = (None, [])

    @abstractmethod
    def _texts(self, final: Program) -> Mapping[str, Text]:
        """The text of each stage, or what makes it."""

    @abstractmethod
    def _bound(self, arrays: Sequence[Any]) -> Callable[[], None]:
        """What runs it on these arrays. Raises RunError when one does not fit."""

    def __call__(self, *arrays: Array) -> None:
        """Run; outputs are written in place. Raises RunError when an argument does not fit."""
        self._bound(arrays)()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name, for the inputs by name. Raises RunError when one is missing or does not fit."""
        if feeds.keys() != self._names:
            hint = "give every input of the signature, and nothing else"
            problem, hint = misnamed(feeds, list(self._names), hint)
            raise RunError(f"{self.name}.run", problem, self._arguments.signature(), hint)
        made = dict(zip(self._made, map(np.empty, self._output_shapes(feeds), self._made.values()), strict=True))
        arrays = {**feeds, **made}
        self(*[arrays[b.name] for b in self.buffers])
        return made

    def _output_shapes(self, feeds: Mapping[str, Array]) -> list[tuple[int, ...]]:
        """Those of the outputs; what was found for inputs of the shapes of the last call is remembered."""
        given, (last, found) = [np.shape(feeds[b.name]) for b in self.inputs], self._last_shapes
        if given != last:
            extents = {
                e: n for b, shape in zip(self.inputs, given, strict=True) for e, n in zip(b.shape, shape, strict=False)
            }
            sizes: dict[Expr, Expr] = {v: const(extents[v]) for v in self.sizes if v in extents}
            found = [tuple([_number(e, sizes, self) for e in b.shape]) for b in self.outputs]
            self._last_shapes = given, found
        return found

    def time_evaluator(self, number: int = 10, repeat: int = 3) -> Callable[..., Timing]:
        """A function of the same arrays that runs it `repeat` times `number` times, after a warm-up."""

        def measure(*arrays: Array) -> Timing:
            run = self._bound(arrays)
            run()
            results = []
            for _ in range(repeat):
                started = time.perf_counter()
                for _ in range(number):
                    run()
                results.append((time.perf_counter() - started) / number)
            return Timing(tuple(results))

        if number < 1 or repeat < 1:
            call = f"{self.name}.time_evaluator(number={number}, repeat={repeat})"
            raise RunError(call, f"expected positive numbers, got {number} and {repeat}", hint="number=10, repeat=3")
        return measure

    def __copy__(self) -> Function:
        return self

    def __deepcopy__(self, memo: object) -> Function:
        return self

    def source(self, stage: str = "") -> str:
        """The text of a stage, by default of machine-near code: LLVM IR, or CUDA C++."""
        stage = stage or self.main_stage
        if stage not in self.stages:
            call, hint = f"{self.name}.source({stage!r})", f"one of {', '.join(self.stages)}"
            raise RunError(call, f"expected a stage, got {stage!r}", hint=hint)
        return self.stages[stage]

    def __repr__(self) -> str:
        return f"<Function {self._arguments.signature()}>"


def _number(extent: Any, sizes: Mapping[Expr, Expr], function: Function) -> int:
    """An extent of an output, which the inputs tell. Raises RunError where they do not."""
    found = substitute(extent, sizes) if isinstance(extent, Expr) else const(extent)
    if not isinstance(found, Const):
        problem = f"expected inputs that tell {extent}, an extent of an output, got inputs that do not"
        raise RunError(f"{function.name}.run", problem, repr(function), "call it with an array for each output")
    return int(found.value)


class CpuFunction(Function):
    """Machine code of `final`, which came of `program`."""

    main_stage = "llvm"

    def __init__(self, program: Program, final: Program, buffers: Sequence[str], target: Target) -> None:
        super().__init__(program, final, buffers, target)
        # from our order to that of the machine code
        self._order = [self.buffers.index(b) for b in (*final.params, *final.outputs)]
        self._kernel = compile_program(final, target)
        self._final = final
        self._externs = Externs(final)
        symbol = self._symbol = unique_symbol(final.name)
        objects = [self._kernel.object(symbol), *jit.conversions(target).values()]
        self._library = jit.load(objects, [symbol], target, self._externs.symbols)
        pointers, numbers = [ctypes.c_void_p] * len(buffers), [ctypes.c_int64] * len(self.sizes)
        kind = ctypes.CFUNCTYPE(None, *pointers, *numbers, ctypes.c_void_p, ctypes.c_int64)
        entry = self._library.function(symbol, kind)
        self._arenas = Arenas()
        self._last: tuple[dict[Var, int] | None, tuple[int, ...], int] = (None, (), 0)
        self._threads = target.threads if target.threads == 1 or threads.openmp() else 1
        self._enter = entry if self._threads == 1 else partial(threads.run, entry, self._threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return CpuFunction, (self.program, self._final, [b.name for b in self.buffers], self.target)

    def _texts(self, final: Program) -> Mapping[str, Text]:
        """As scheduled, after the loop passes, and as machine code."""
        return {
            "loop": lambda: str(self.program),
            "final": lambda: str(final),
            "llvm": lambda: self._kernel.stages(self._symbol)["llvm"],
            "asm": lambda: self._kernel.stages(self._symbol)["asm"],
        }

    def _bound(self, arrays: Sequence[Any]) -> Callable[[], None]:
        held, addresses, sizes = self._arguments.checked(arrays)
        numbers, room = self._numbers(sizes)
        arguments = (*[addresses[n] for n in self._order], *numbers)

        def run(kept: Any = held) -> None:  # the arrays live as long as what runs on them
            arena = self._arenas.take(room)
            self._enter(*arguments, arena.start, self._threads)
            self._arenas.give(arena)
            if self._externs.symbols:
                self._externs.check(self._arguments.signature)

        return run

    def _numbers(self, sizes: dict[Var, int]) -> tuple[tuple[int, ...], int]:
        """The sizes in order, and the bytes of workspace that they need; those of the last call are remembered."""
        last, numbers, room = self._last
        if last is not sizes:
            numbers, room = tuple([sizes[v] for v in self.sizes]), workspace_bytes(self._final, self._threads, sizes)
            memory.check(self._arguments.signature(), {"workspace": room})
            self._last = sizes, numbers, room
        return numbers, room
