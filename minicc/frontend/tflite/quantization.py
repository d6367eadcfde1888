"""Quantised values between operators on numbers: what the integers stand for, and back.

In: a node of integers and its `Quantization`. Out: a node of float32, and the reverse. An operator on quantised
tensors is the operator on numbers with these around it; the compiler makes kernels on integers of such a graph.

TensorFlow Lite's text on 8 bits: https://ai.google.dev/edge/litert/models/quantization_spec
"""

from __future__ import annotations

import numpy as np

from minicc.frontend.tflite.file import Quantization
from minicc.graph.ir import Node, constant
from minicc.ops import Add, Cast, Clip, Div, Mul, Round, Sub, Transpose
from minicc.types import DType, float32


def dequantized(x: Node, q: Quantization, axis: int) -> Node:
    """The numbers that the integers of `x` stand for; scales lie along `axis`."""
    shape = () if q.whole else (-1, *[1] * (x.type.rank - axis - 1))
    zeros, scales = (constant(v.astype(np.float32).reshape(shape)) for v in (q.zeros, q.scales))
    number: Node = Cast(float32)(x)
    made: Node = Mul()(Sub()(number, zeros) if q.zeros.any() else number, scales)
    return made


def quantized(x: Node, q: Quantization, dtype: DType) -> Node:
    """The integers that stand for the numbers of `x`: before a Transpose, so that they are near what computes these."""
    if isinstance(x.op, Transpose):
        moved: Node = x.op(quantized(x.inputs[0], q, dtype))
        return moved
    least, most, scale, zero = (constant(np.float32(v)) for v in (*dtype.range, q.scales[0], q.zeros[0]))
    made: Node = Cast(dtype)(Clip()(Add()(Round()(Div()(x, scale)), zero), least, most))
    return made
