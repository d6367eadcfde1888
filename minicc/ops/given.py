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
    """Base of these. A subclass lists its inputs, of which the first `required` are there, and its results."""

    composite = True
    inputs: ClassVar[tuple[str, ...]]
    required: ClassVar[int] = 3
    results: ClassVar[tuple[str, ...]]

    given: tuple[str, ...]
    output: str

    def named(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values by the names of their inputs."""
        return dict(zip(self.given, values, strict=True))

    def check(self, types: Sequence[TensorType]) -> dict[str, TensorType]:
        """The types by name. Raises unless the names are those of inputs, in order, with all that are required."""
        names = tuple(name for name in self.inputs if name in self.given)
        if self.given != names or names[: self.required] != self.inputs[: self.required] or len(names) != len(types):
            hint = f"the inputs are {', '.join(self.inputs)}, of which {self.required} are required"
            raise self.error(f"expected an input for each of {self.given}", *types, hint=hint)
        if self.output not in self.results:
            hint = f"the results are {', '.join(self.results)}"
            raise self.error(f"no result {self.output!r}", *types, hint=hint)
        return self.named(types)
