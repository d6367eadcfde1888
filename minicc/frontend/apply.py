"""New graph nodes, as frontends make them: operators applied to what a model file says.

In: an operator, its data, and its fields as a model has them: numbers, flags, or nodes. Out: a node, or an error when
its result would be absurdly large.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from minicc.errors import LoadError
from minicc.graph.ir import Constant, Node, here, make
from minicc.ops.base import OPERAND, Array, Operator

LARGEST = 2**40  # elements; no tensor of an honest model has more


def applied(
    operator: type[Operator], data: Sequence[Node], fields: dict[str, Any], error: Callable[[str, str], LoadError]
) -> Node:
    """The node `operator(**fields)(*data)`.

    A field given as a graph node is an operand: its value where constant, else one more input.
    A field given as None keeps its default, and a flag may be given as files have it, 0 or 1.
    """
    pending: dict[str, Node] = {}
    plain: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, Node):
            if isinstance(value.op, Constant):
                array = value.op.data.array
                plain[name] = operator.operand(name, array, here()) if name in operator.operands else numbers(array)
            else:
                plain[name], pending[name] = OPERAND, value
        elif value is not None:
            plain[name] = bool(value) if isinstance(fields_of(operator)[name].default, bool) else value
    op = operator(**plain)
    made = make(op, [*data, *[pending[name] for name in op.pending]])
    if made.inferred is not None and made.inferred.is_bound and made.inferred.size > LARGEST:
        hint = "choose a smaller shape, axis size or number of repeats"
        raise error(f"a result of {made.inferred} is more than 2**40 elements", hint)
    return made


@cache
def fields_of(operator: type[Operator]) -> dict[str, dataclasses.Field[Any]]:
    """The fields of an operator, by name."""
    return {field.name: field for field in dataclasses.fields(operator)}


def numbers(values: Array) -> Any:
    """An array as Python numbers: one from a 0-d array, else a tuple."""
    if values.dtype.kind == "V":  # NumPy does not know bfloat16 as a number
        values = values.astype(np.float32)
    return values.item() if values.ndim == 0 else tuple(values.tolist())
