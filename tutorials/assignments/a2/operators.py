"""Three operators that neither minicc nor ONNX has, each in three languages: its type, NumPy, and tensor expressions.

- `infer` gets the types of the inputs, each with a `dtype` and a `shape`, and returns the type of the result, or raises
  the error that `self.error(problem, *types, hint=...)` makes: what was expected, and what was got;
- `numpy` gets arrays, and returns the array that the operator means. It may be slow; it must be right;
- `compute` gets tensors of `te`, and returns the tensor that is computed from them, an element at a time.

NaN stays NaN, infinity is a number like others, integers wrap around, and a tensor may be empty.
"""

import numpy as np

from minicc import te
from minicc.course import Task
from minicc.ir.node import node
from minicc.loop.lower import lower
from minicc.ops.base import ANY, FLOAT, NUMERIC, Kind, Operator, axis_of
from minicc.types import TensorType, broadcast


@node  # `@operator` would also enrol it in every test of minicc
class Huber(Operator):
    """Half the square of x - y where that is at most `delta` in size, delta * (|x - y| - delta/2) beyond.

    x and y are of one float dtype, and broadcast as in NumPy; `delta` is positive. [Huber 1964, Robust estimation of a location]
    """

    kind = Kind.BROADCAST
    accepts = FLOAT

    delta: float = 1.0

    def infer(self, x, y):
        raise Task("2.1", "the broadcast shape; refuse integers, two dtypes, shapes that do not fit, a delta that is not positive")

    def numpy(self, x, y):
        raise Task("2.2", "both cases, and the one that holds for each element")

    def compute(self, x, y):
        raise Task("2.3", "an element of each input, at the indices that broadcasting gives it, and a select")


@node
class Interleave(Operator):
    """Along `axis`, the elements of x and y in turns: x[0], y[0], x[1], y[1] and so on.

    x and y are of one type, of any dtype, and have at least one axis. `axis` counts from 0, or back from -1, the last one.
    """

    kind = Kind.INJECTIVE
    accepts = ANY

    axis: int = -1

    def infer(self, x, y):
        raise Task("2.4", "the same type, twice as long along the axis; refuse two types, scalars, an axis that is not there")

    def numpy(self, x, y):
        raise Task("2.5", "x at even places, y at odd ones")

    def compute(self, x, y):
        raise Task("2.6", "which of the two an index means, and where in it")


@node
class CircularCorrelation(Operator):
    """How much x is like y shifted: along the last axis, of n elements, result[s] is the sum of x[k] * y[(k + s) % n].

    x and y are of one numeric type, and have at least one axis. What the other axes have is correlated one by one.
    """

    kind = Kind.ANCHOR
    accepts = NUMERIC

    def infer(self, x, y):
        raise Task("2.7", "the type of the inputs; refuse bool, scalars, and two types")

    def numpy(self, x, y):
        raise Task("2.8", "a sum for each shift; sums of integers wrap around in their own dtype")

    def compute(self, x, y):
        raise Task("2.9", "a reduction, whose index into y goes around")


# ---- what the tests and the grader call; leave it as it is


OPERATORS = {kind.__name__: kind for kind in (Huber, Interleave, CircularCorrelation)}


def infer(name, attributes, types):
    """The type of the result of an operator."""
    return OPERATORS[name](**attributes).infer(*types)


def reference(name, attributes, arrays):
    """The result of an operator, by NumPy."""
    return np.asarray(OPERATORS[name](**attributes).numpy(*arrays))


def program(name, attributes, types):
    """The naive loop program of an operator."""
    inputs = [te.placeholder(t.shape, t.dtype, name) for t, name in zip(types, "xy", strict=True)]
    output = OPERATORS[name](**attributes).compute(*inputs)
    return lower([output], [*inputs, output], "kernel").program
