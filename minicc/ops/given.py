"""Operators of ONNX with inputs that may be absent and with several results.

The field `given` names the inputs that there are, in the order of the values; `output` names the result that a node
gives, so that an operator of several results is several nodes, which share what their definitions have in common.

>>> from minicc.ops import RNN
>>> RNN(("X", "W", "R", "initial_h"), "Y_h").named("abcd")
{'X': 'a', 'W': 'b', 'R': 'c', 'initial_h': 'd'}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minicc.ir.node import node
from minicc.ops.base import Operator
from minicc.types import TensorType


@node
class Given(Operator):
    """Base of those whose inputs may be absent. A subclass lists them; the first `required` are always there."""

    composite = True
    inputs: ClassVar[tuple[str, ...]]
    required: ClassVar[int] = 3
    results: ClassVar[tuple[str, ...]] = ()

    given: tuple[str, ...]

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values by the names of their inputs."""
        return dict(zip(self.given, values, strict=True))

    def check(self, types: Sequence[TensorType]) -> dict[str, TensorType]:
        """The types by name. Raises unless the names are those of inputs, in order, with all that are required."""
        names = tuple(name for name in self.inputs if name in self.given)
        if self.given != names or names[: self.required] != self.inputs[: self.required] or len(names) != len(types):
            hint = f"the inputs are {', '.join(self.inputs)}, of which {self.required} are required"
            raise self.error(f"expected an input for each of {self.given}", *types, hint=hint)
        if self.results and (found := getattr(self, "output", None)) not in self.results:
            raise self.error(f"no result {found!r}", *types, hint=f"the results are {', '.join(self.results)}")
        return self.named(types)


@node
class Several(Given):
    """Base of those of several results. A subclass lists them."""

    output: str
