"""An executable for models in which the values of some inputs decide shapes.

Code needs shapes, so it is made when a call brings the values: the first call with new ones
compiles, later ones find it made. All else is as with an `Executable`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minicc.errors import RunError
from minicc.ir.arrays import Array
from minicc.runtime.executable import Executable
from minicc.runtime.image import Image, Port, Stages

KEPT = 64  # specialisations; the oldest goes first


class SpecializingExecutable(Executable):
    """Compiles `make(values)` for each new combination of values of the inputs named `waiting`.

    `kernels`, `outputs`, `arena_bytes` and `stages` are those of the latest call; before the
    first one there are none.
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[Port],
        waiting: Sequence[str],
        threads: int,
        make: Callable[[Mapping[str, Array]], Executable],
    ) -> None:
        self.name, self.inputs, self.waiting, self.threads = name, list(inputs), tuple(waiting), threads
        self.outputs, self.kernels, self.stages = [], [], Stages({})
        self._make = make
        self._latest: Executable | None = None
        self._made: dict[tuple[bytes, ...], Executable] = {}
        self._lock = threading.Lock()

    def specialize(self, values: Mapping[str, Array]) -> Executable:
        """The executable for these values of the waiting inputs, compiled if it is new."""
        key = tuple(values[name].tobytes() for name in self.waiting)
        with self._lock:
            if key not in self._made:
                if len(self._made) >= KEPT:
                    del self._made[next(iter(self._made))]
                self._made[key] = self._make(values)
            made = self._latest = self._made[key]
            self.outputs, self.kernels, self.stages = made.outputs, made.kernels, made.stages
            self.arena_bytes, self.compile_seconds = made.arena_bytes, made.compile_seconds
            self.compile_report = made.compile_report
        return made

    @property
    def constant_bytes(self) -> int:
        return self._latest.constant_bytes if self._latest else 0

    @property
    def image(self) -> Image:  # type: ignore[override]  # it has none of its own
        """Raises RunError: each combination of values has an image of its own."""
        problem = f"expected a model whose shapes are known, got one in which {', '.join(self.waiting)} decide them"
        hint = "exe.specialize({name: array}).image is that of these values"
        raise RunError(f"{self.name}.image", problem, self._signature(), hint)

    def __reduce__(self) -> tuple[Any, ...]:
        return SpecializingExecutable, (self.name, self.inputs, self.waiting, self.threads, self._make), self._kept()

    def profile(self, *arrays: Any) -> tuple[float, ...]:
        made, rest = self._split(self._positional(arrays))
        return made.profile(*rest)

    def _run(self, arrays: list[Array]) -> tuple[Array, ...]:
        made, rest = self._split(arrays)
        return made(*rest)

    def _split(self, arrays: list[Array]) -> tuple[Executable, list[Array]]:
        """The specialisation for these inputs, and the inputs that it still takes."""
        values = {port.name: array for port, array in zip(self.inputs, arrays, strict=True)}
        made = self.specialize({name: values[name] for name in self.waiting})
        return made, [values[port.name] for port in made.inputs]


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
