"""Five rewrite rules. Each gets a node, and returns a node of the same value that may stand in its place, or None where it does not fit.

- `n.op` is the operator, such as `Transpose((1, 0))`, and `type(n.op)` its class; its attributes are its fields;
- `n.inputs` are the nodes that it reads, `n.type` the dtype and the shape of its value, `n.array` the value of a constant;
- an operator called with nodes makes a node: `Relu()(x)`; an array beside a node becomes a constant: `Add()(x, np.float32(1))`;
- `shared` are the nodes that have more than one reader (an output of the graph is read, too).

The same value means: every bit of it. NaN stays NaN, infinity infinity, and 0.0 is not -0.0. Only 4.4 may round differently.
"""

import numpy as np

from rewriting import is_constant, rewritten, simplified

from minicc.course import Task
from minicc.graph.ir import constant
from minicc.ops import Add, BatchNormalization, Conv, Div, Mul, Reshape, Sub, Transpose


def transposes(n, shared):
    """Transpose(q)(Transpose(p)(x)) is one Transpose of x, and x itself if the second takes the first back."""
    raise Task("4.1", "which axis of x is axis k of the result? `op.axes(rank)` is the permutation in full")


def neutral(n, shared):
    """x + c, c + x, x - c, x * c, c * x and x / c are x, if c is a constant that changes no x at all.

    Mind 0.0 and -0.0, and that c may be larger than x.
    """
    raise Task("4.2", "which number is it for each of the four? compare bits (`tobytes`), and types")


def reshapes(n, shared):
    """A Reshape of a Reshape is one Reshape, and a Reshape to the shape that is there is nothing.

    In `Reshape.shape` a 0 copies a dimension of the input, unless `allow_zero`, and -1 is what remains: both mean something else elsewhere.
    """
    raise Task("4.3", "`n.type.shape` says where it all ends; Reshape(shape, 0 in shape) means it literally")


def normalization(n, shared):
    """BatchNormalization(Conv(x, w), scale, bias, mean, var) is Conv(x, w * a) + b, if all but x are constants.

    That is (y - mean) / sqrt(var + epsilon) * scale + bias for each channel of y, which is axis 1; of `w` the channels are axis 0. If
    others read the convolution it would be done twice: then it stays.
    """
    raise Task("4.4", "a and b in float64, for each channel; cast them to the dtype of x at the end")


def integers_only(n, shared):
    """x * 0, 0 * x and x - x are 0: a constant of zeros, of the type of n. But not always."""
    raise Task("4.5", "for which dtypes is it true, whatever x is?")


# ---- your rules in minicc: minicc.compile(model, passes=pipeline(replace={"simplify": simplify}))

RULES = (transposes, neutral, reshapes, normalization, integers_only)


def simplify(graph):
    """The pass of all five rules."""
    return simplified(graph, RULES)


# ---- what the tests and the grader call; leave it as it is


def apply(name, graph):
    """The graph with one rule applied, as often as it fits."""
    return rewritten(graph, globals()[name])
