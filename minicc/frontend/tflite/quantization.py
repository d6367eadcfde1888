"""Quantised values between operators on numbers: what the integers stand for, and back.

In: a node of integers and its `Quantization`. Out: a node of float32, and the reverse. An operator on quantised
tensors is the operator on numbers with these around it; the compiler makes kernels on integers of such a graph.

TensorFlow Lite's text on 8 bits: https://ai.google.dev/edge/litert/models/quantization_spec
"""

from __future__ import annotations

import numpy as np

from minicc.frontend.tflite.file import Quantization
from minicc.graph.ir import Node, constant
from minicc.ops import DequantizeLinear, QuantizeLinear, Transpose
from minicc.types import DType


def _parts(q: Quantization, dtype: DType) -> tuple[Node, ...]:
    """The scales and, unless all are 0, the zero points."""
    shape = () if q.whole else q.scales.shape
    scales, zeros = q.scales.astype(np.float32).reshape(shape), q.zeros.astype(dtype.numpy).reshape(shape)
    return (constant(scales), constant(zeros)) if q.zeros.any() else (constant(scales),)


def dequantized(x: Node, q: Quantization, axis: int) -> Node:
    """The numbers that the integers of `x` stand for; scales lie along `axis`."""
    made: Node = DequantizeLinear(axis)(x, *_parts(q, x.dtype))
    return made


def quantized(x: Node, q: Quantization, dtype: DType) -> Node:
    """The integers that stand for the numbers of `x`: before a Transpose, so that they are near what computes these."""
    if isinstance(x.op, Transpose):
        moved: Node = x.op(quantized(x.inputs[0], q, dtype))
        return moved
    made: Node = QuantizeLinear(dtype=dtype)(x, *_parts(q, dtype))
    return made
