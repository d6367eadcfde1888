"""Executables for models in which the values of some inputs, or the shapes that a call brings, decide shapes.

Code needs shapes, so it is made when a call brings them: the first call with new ones
compiles, later ones find it made. All else is as with an `Executable`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minicc.errors import RunError
from minicc.ir.arrays import Array
from minicc.runtime import memory
from minicc.runtime.executable import Executable
from minicc.runtime.image import Image, Port, Stages
from minicc.runtime.plan import ArenaPlan

KEPT = 64  # specialisations, as far as a quarter of the memory holds them; the oldest goes first


class WithoutImage(Executable):
    """Base of executables that compile as they are called."""

    _deciding: str  # what decides shapes
    _way_out = "call it: it compiles as it runs"

    @property
    def image(self) -> Image:  # type: ignore[override]  # it has none of its own
        """Raises RunError: what each call compiles has an image of its own."""
        problem = f"expected a model whose shapes are known, got one in which {self._deciding} decide them"
        raise RunError(f"{self.name}.image", problem, self._signature(), self._way_out)


class SpecializingExecutable(WithoutImage):
    """Compiles `make(values)` for each new combination of values of the inputs named `waiting`.

    `kernels`, `outputs`, `arena_bytes` and `stages` are those of the latest call; before the
    first one there are none.
    """

    _way_out = "exe.specialize({name: array}).image is that of these inputs"

    def __init__(
        self,
        name: str,
        inputs: Sequence[Port],
        waiting: Sequence[str],
        threads: int,
        make: Callable[[Mapping[str, Any]], Executable],
    ) -> None:
        self.name, self.inputs, self.waiting, self.threads = name, list(inputs), tuple(waiting), threads
        self.outputs, self.kernels, self.stages = [], [], Stages({})
        self._deciding, self._make = ", ".join(waiting) or "the shapes of a call", make
        self._latest: Executable | None = None
        self._made: dict[Any, Executable] = {}
        self._lock = threading.Lock()

    def specialize(self, values: Mapping[str, Array]) -> Executable:
        """The executable for these values of the waiting inputs, compiled if it is new."""
        return self._specialize(tuple(values[name].tobytes() for name in self.waiting), values)

    def _specialize(self, key: Any, given: Mapping[str, Any]) -> Executable:
        with self._lock:
            if key not in self._made:
                self._made[key] = self._make(given)
                while len(self._made) > 1 and (len(self._made) > KEPT or self._bytes() > memory.installed() // 4):
                    del self._made[next(iter(self._made))]
            made = self._made[key]
            self._show(made)
        return made

    def _show(self, made: Executable) -> None:
        """Look like the one that is called."""
        self._latest, self.outputs, self.kernels, self.stages = made, made.outputs, made.kernels, made.stages
        self.arena_bytes, self.compile_seconds = made.arena_bytes, made.compile_seconds
        self.compile_report = made.compile_report

    def _bytes(self) -> int:
        """What all that is kept takes."""
        return sum(made.constant_bytes + made.arena_bytes for made in self._made.values())

    @property
    def constant_bytes(self) -> int:
        return self._latest.constant_bytes if self._latest else 0

    def __reduce__(self) -> tuple[Any, ...]:
        return SpecializingExecutable, (self.name, self.inputs, self.waiting, self.threads, self._make), self._kept()

    @property
    def memory_plan(self) -> ArenaPlan:
        return self._latest.memory_plan if self._latest else super().memory_plan

    def stamps(self, *arrays: Any) -> Array:
        made, rest = self._split(self._positional(arrays))
        return made.stamps(*rest)

    def _run(self, arrays: list[Array]) -> tuple[Array, ...]:
        made, rest = self._split(arrays)
        results = made(*rest)
        if self.outputs is not made.outputs:  # it has specialised itself, too
            self._show(made)
        return results

    def _split(self, arrays: list[Array]) -> tuple[Executable, list[Array]]:
        """The specialisation for these inputs, and the inputs that it still takes."""
        values = {port.name: array for port, array in zip(self.inputs, arrays, strict=True)}
        made = self.specialize({name: values[name] for name in self.waiting})
        return made, [values[port.name] for port in made.inputs]


class ResizingExecutable(SpecializingExecutable):
    """Compiles `make(shapes)` for each new combination of shapes of its inputs, whose types have symbols.

    exe = minicc.compile("detector.onnx", dims="any")
    exe(np.zeros((1, 3, 320, 480), np.float32))
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[Port],
        defaults: tuple[str, ...],
        threads: int,
        make: Callable[[Mapping[str, Any]], Executable],
    ) -> None:
        super().__init__(name, inputs, (), threads, make)
        self.defaults = defaults

    def specialize(self, values: Mapping[str, Any]) -> Executable:
        """The executable for inputs of the shapes of these arrays, compiled if they are new."""
        shapes = {port.name: values[port.name].shape for port in self.inputs}
        return self._specialize(tuple(shapes.values()), shapes)

    def __reduce__(self) -> tuple[Any, ...]:
        return ResizingExecutable, (self.name, self.inputs, self.defaults, self.threads, self._make)

    def _run_checked(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        if isinstance(feeds, Mapping) and any(name in self.defaults for name in feeds) and self._names <= feeds.keys():
            arrays = self._positional([feeds[name] for name in self._names])
            return self.specialize(dict(zip(self._names, arrays, strict=True))).run(feeds)
        return super()._run_checked(feeds)

    def _split(self, arrays: list[Array]) -> tuple[Executable, list[Array]]:
        return self.specialize(dict(zip(self._names, arrays, strict=True))), arrays


class Variants:
    """For the names of inputs that have defaults, the executable that takes these, too: `make(names)`, kept."""

    def __init__(self, make: Callable[[tuple[str, ...]], Executable]) -> None:
        self._make = make
        self._made: dict[tuple[str, ...], Executable] = {}

    def __call__(self, names: tuple[str, ...]) -> Executable:
        if names not in self._made:
            self._made[names] = self._make(names)
        return self._made[names]

    def __reduce__(self) -> tuple[Any, ...]:
        return Variants, (self._make,)
