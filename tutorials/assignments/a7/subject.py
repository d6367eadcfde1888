"""What A7 gives: what operators mean, how values are compared, and candidates to try a check on.

A candidate is a function. One of operators is called as `candidate("Softmax", {"axis": 1}, [x])` and returns an array; one of graphs as
`candidate(graph, {"x": array})` and returns the outputs by name. It is right where it means what the reference means: floats that are computed
in another order, or in more bits, differ in their last digits, and no two libraries agree which NaN is the right one.
"""

import numpy as np

from minicc.graph import evaluate
from minicc.ops.base import REGISTRY


def reference(name, attributes, arrays):
    """What an operator means: its result by NumPy."""
    with np.errstate(all="ignore"):
        return np.asarray(REGISTRY[name](**attributes).numpy(*arrays))


def expect_same(got, expected, tolerance=0.0, about=""):
    """Raise AssertionError unless two arrays are of one dtype and shape, and have the same values.

    NaN is NaN. Zeros have one sign. Other numbers may differ by `tolerance`, and by as large a part of the expected one.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape), (
        f"{about}: expected {expected.dtype}{expected.shape}"
    )
    if expected.dtype.kind != "f":
        assert np.array_equal(got, expected), f"{about}: expected {expected}, got {got}"
        return
    with np.errstate(all="ignore"):
        apart = np.abs(got.astype(np.float64) - expected)
        good = (got == expected) | (np.isnan(got) & np.isnan(expected))
        good |= np.isfinite(expected) & (apart <= tolerance * np.maximum(1.0, np.abs(expected)))
    good &= (expected != 0) | (got != 0) | (np.signbit(got) == np.signbit(expected))
    assert good.all(), f"{about}: expected {expected}, got {got}"


# ---- candidates to try a check on: right ones, which must pass, and one with a fault


def in_more_bits(name, attributes, arrays):
    """Right: floats are computed in float64, and rounded at the end."""
    made = reference(name, attributes, [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays])
    return made.astype(arrays[0].dtype) if made.dtype.kind == "f" else made


def with_another_nan(name, attributes, arrays):
    """Right: NaN is NaN, with whichever sign."""
    made = reference(name, attributes, arrays)
    return np.where(np.isnan(made), -np.array(np.nan, made.dtype), made) if made.dtype.kind == "f" else made


def that_forgets_signs(name, attributes, arrays):
    """Wrong: Relu keeps the size of what is negative."""
    return np.abs(arrays[0]) if name == "Relu" else reference(name, attributes, arrays)


def that_sums_squares(name, attributes, arrays):
    """Wrong: ReduceSum adds up squares."""
    return (
        reference(name, attributes, [arrays[0] * arrays[0]])
        if name == "ReduceSum"
        else reference(name, attributes, arrays)
    )


def that_adds_for_sub(graph, arrays):
    """Wrong: Sub is Add."""
    values = [arrays[name] for name in graph.input_names]

    def step(n, inputs):
        return inputs[0] + inputs[1] if n.op.name == "Sub" else n.op.numpy(*inputs)

    return dict(zip(graph.output_names, graph.interpret(values, step), strict=True))


RIGHT, RIGHT_OF_GRAPHS = (reference, in_more_bits, with_another_nan), (evaluate,)
