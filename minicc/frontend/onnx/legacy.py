"""What operators meant before opset 7, where they have changed since: two operands broadcast only where told to.

A function of this table takes an `OnnxCall` of an older opset and returns the graph node of its output, as those of
`frontend.onnx.ops` do for all later opsets.

>>> sorted(LEGACY)[:3]
['Add', 'And', 'AveragePool']
"""

from __future__ import annotations

from functools import partial
from typing import Any

from onnx import defs

from minicc import ops
from minicc.frontend.onnx.call import OnnxCall, Result, Translation
from minicc.frontend.onnx.functions import Item
from minicc.frontend.onnx.ops import dropout
from minicc.graph.ir import Node
from minicc.ops.base import REGISTRY, Operator

TWO_OPERANDS = ("Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "Sub", "Xor")


def two_operands(operator: type[Operator], call: OnnxCall) -> Node:
    """With `broadcast`, the axes of the second operand are those of the first from `axis` on, or its last ones."""
    x, y = call[0], call[1]
    axis, broadcast, _ = call["axis"], call["broadcast"], call["consumed_inputs"]
    if not broadcast or axis is None:
        return call(operator, x, y)
    rank, inner = (call.type(v, "axis").rank for v in (x, y))
    shape = (*[0] * inner, *[1] * (rank - axis % max(rank, 1) - inner))
    return call(operator, x, call(ops.Reshape, y, shape=shape))


def prelu(call: OnnxCall) -> Node:
    """A slope is one number, or one for each channel."""
    x, slope, _ = call[0], call[1], call["consumed_inputs"]
    if (rank := call.type(x, "a slope").rank) < 2:
        return call(ops.PRelu, x, slope)
    return call(ops.PRelu, x, call(ops.Reshape, slope, shape=(-1, *[1] * (rank - 2))))


def tested(translation: Translation, call: OnnxCall) -> Result:
    """Unless `is_test` says so, the node is for training."""
    _ = call["consumed_inputs"]
    if not call["is_test"]:
        raise call.error("training mode is not supported", "export the model for inference: is_test=1")
    return translation(call)


def is_legacy(item: Item) -> bool:
    """Whether the operator has changed between the opset of the node and 7, the oldest that is supported as a whole."""
    kind, version = item.kind, item.version
    return version < 7 and defs.has(kind) and bool(defs.get_schema(kind, 7, "").since_version > version)


def ignoring(attribute: str, operator: type[Operator], call: OnnxCall) -> Node:
    """The node as it stands, but for an attribute that says nothing here."""
    _: Any = call[attribute]
    return call.direct(operator)


LEGACY: dict[str, Translation] = {
    **{name: partial(two_operands, REGISTRY[name]) for name in TWO_OPERANDS},
    "AveragePool": partial(OnnxCall.direct, operator=ops.AveragePool),
    "BatchNormalization": partial(tested, partial(ignoring, "spatial", ops.BatchNormalization)),
    "Dropout": partial(tested, dropout),
    "Gemm": partial(ignoring, "broadcast", ops.Gemm),
    "PRelu": prelu,
}
