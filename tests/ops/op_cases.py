"""Random instances of operators for the tests of this folder, from `draw`, driven by a seeded generator."""

from __future__ import annotations

import zlib

import numpy as np

from minicc import te
from minicc.loop.lower import lower
from minicc.loop.python import run_python
from minicc.ops import (
    activation,
    argreduce,
    arithmetic,
    cast,
    comparison,
    cumulative,
    einsum,
    elementwise,
    matmul,
    normalization,
    reduction,
    softmax,
)
from minicc.ops.base import REGISTRY
from minicc.types import DType, TensorType, bfloat16, float16, float32, float64

MODULES = (activation, argreduce, arithmetic, cast, comparison, cumulative, einsum, elementwise, matmul, normalization,
           reduction, softmax)  # fmt: skip
OPERATORS = sorted(name for name, op in REGISTRY.items() if op.__module__ in {m.__name__ for m in MODULES})
KINDS = {
    "float": (float32, float16, bfloat16, float64), "int": tuple(map(DType.of, ("int32", "int8", "int64"))),
    "uint": tuple(map(DType.of, ("uint8", "uint32"))), "bool": (DType.of("bool"),),
}  # fmt: skipEPSILON = {float16: 2e-3, bfloat16: 1.6e-2, float32: 2e-5, float64: 1e-9}
EPSILON = {float16: 2e-3, bfloat16: 1.6e-2, float32: 2e-5, float64: 1e-9}


class RandomDraw:
    """The `Draw` protocol over a seeded generator; dimensions stay small, as loops run in Python."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def integer(self, low, high):
        return int(self.random.integers(low, high + 1))

    def choice(self, options):
        return options[self.integer(0, len(options) - 1)]

    def boolean(self):
        return bool(self.integer(0, 1))

    def number(self, low, high):
        return float(np.float32(self.random.uniform(low, high)))

    def shape(self, rank=(0, 4), low=0, high=4):
        rank = self.integer(*rank) if isinstance(rank, tuple) else rank
        return tuple(self.integer(low if self.integer(0, 5) == 0 else max(low, 1), high) for _ in range(rank))

    def dtype(self, kinds=("float",)):
        return self.choice(KINDS[self.choice(kinds)])

    def type(self, kinds=("float",), rank=(0, 4), low=0):
        return TensorType(self.dtype(kinds), self.shape(rank, low))

    def array(self, type, low=None, high=None):
        if type.dtype.kind == "bool":
            return np.asarray(self.random.random(type.shape) < 0.5)
        if type.dtype.is_integer:
            least, most = type.dtype.range
            low, high = (low, high) if low is not None else self.choice([(-9, 9), (least, most)])
            values = self.random.integers(max(low, least), min(high, most), type.shape, type.dtype.numpy, endpoint=True)
            return np.asarray(values)
        if low is not None:
            return np.asarray(self.random.uniform(low, high, type.shape), type.dtype.numpy)
        values = self.random.normal(0, 2, type.shape)
        special = self.random.random(type.shape) < self.choice((0, 0, 0.1))
        odd = self.random.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], type.shape)
        return np.asarray(np.where(special, odd, values), type.dtype.numpy)

    def broadcastable(self, shape):
        dims = tuple(1 if self.integer(0, 3) == 0 else dim for dim in shape)
        return dims[self.integer(0, len(shape)) if self.boolean() else 0 :]


def drawn(name, case):
    """Instance number `case` of the operator `name`, and arrays to feed it."""
    draw = RandomDraw(zlib.crc32(name.encode()) + case)
    op, inputs = REGISTRY[name].draw(draw)
    return op, [draw.array(i) if isinstance(i, TensorType) else i for i in inputs]


def reference(op, arrays, dtype):
    """The result on float64 where `dtype` is a float, so that rounding is no part of the expectation."""
    wide = [a.astype(np.float64) if DType.of(a.dtype).is_float else a for a in arrays]
    return np.asarray(op.numpy(*wide) if dtype.is_float else op.numpy(*arrays))


def assert_agree(got, expected, dtype, what):
    if not dtype.is_float:
        np.testing.assert_array_equal(got, expected, err_msg=what)
        return
    with np.errstate(all="ignore"):
        expected = expected.astype(dtype.numpy).astype(np.float64)
    tolerance = EPSILON[dtype]
    np.testing.assert_allclose(got.astype(np.float64), expected, rtol=tolerance, atol=tolerance, err_msg=what)


def run_loops(output, tensors, arrays):
    """The tensor `output` of placeholders, by its naive loop program run as Python."""
    result = np.zeros(output.shape, output.dtype.numpy)
    run_python(lower([output], [*tensors, output]).program, *arrays, result)
    return result


def both(op, *arrays):
    """The result of the reference, checked to be that of the loop program."""
    arrays = [np.asarray(a) for a in arrays]
    expected = op(*arrays)
    tensors = [te.placeholder(a.shape, a.dtype, name=f"A{n}") for n, a in enumerate(arrays)]
    assert_agree(run_loops(op(*tensors), tensors, arrays), expected, DType.of(expected.dtype), str(op))
    return expected
