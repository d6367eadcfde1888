"""Losses of classes, which models have that are compared with what they should give: by operators of `ops`.

>>> sorted(TRANSLATIONS)
['NegativeLogLikelihoodLoss', 'SoftmaxCrossEntropyLoss']
"""

from __future__ import annotations

import numpy as np

from minicc import ops
from minicc.frontend.onnx.call import OnnxCall, Result, Translation
from minicc.graph.ir import Node


def likelihood(call: OnnxCall, x: Node) -> Node:
    """The logarithms of probabilities `x` `[n, classes, ...]` at the targets `[n, ...]`, negative, weighted by class and reduced."""
    target, weight, ignored, reduction = call[1], call.input(2), call["ignore_index"], call["reduction"]
    if reduction not in ("none", "sum", "mean"):
        raise call.error(f"reduction must be none, sum or mean, got {reduction!r}", "reduction='mean'")
    at = call(ops.Unsqueeze, target, axes=(1,))
    loss = call(ops.Neg, call(ops.Squeeze, call(ops.GatherElements, x, at, axis=1), axes=(1,)))
    factor = call(ops.CastLike, call.constant(1.0), x) if weight is None else call(ops.Gather, weight, target)
    if ignored is not None:
        left_out = call(ops.Equal, target, call(ops.CastLike, call.constant(np.int64(ignored), "int64"), target))
        factor = call(ops.Where, left_out, call(ops.CastLike, call.constant(0.0), x), factor)
    weighted = weight is not None or ignored is not None
    loss = call(ops.Mul, loss, factor) if weighted else loss
    if reduction == "none":
        return loss
    if reduction == "mean" and not weighted:
        return call(ops.ReduceMean, loss, keepdims=False)
    total = call(ops.ReduceSum, loss, keepdims=False)
    return total if reduction == "sum" else call(ops.Div, total, call(ops.ReduceSum, factor, keepdims=False))


def negative_log_likelihood(call: OnnxCall) -> Node:
    """Of logarithms of probabilities."""
    return likelihood(call, call[0])


def softmax_cross_entropy(call: OnnxCall) -> Result:
    """Of scores, whose logarithms of probabilities are a result, too."""
    logarithms = call(ops.LogSoftmax, call[0], axis=1)
    return likelihood(call, logarithms), logarithms


TRANSLATIONS: dict[str, Translation] = {
    "NegativeLogLikelihoodLoss": negative_log_likelihood,
    "SoftmaxCrossEntropyLoss": softmax_cross_entropy,
}
