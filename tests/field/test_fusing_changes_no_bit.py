"""What users saw as other digits in a fused model: a node's value depended on what it was fused with.

Random chains of elementwise nodes give, bit for bit, what NumPy gives one node at a time, on every target
that this machine can run; so do the 16-bit floats, which are computed in float32 and rounded where a node ends.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc import Target, ops
from minicc.graph import Graph, Node, constant, evaluate, input
from minicc.ops.base import Operator
from minicc.types import DType, TensorType, bfloat16, float16, float32, float64

SHAPE = (3, 19)
NAMED = map(Target.of, ("x86-64-v2", "haswell", "skylake-avx512"))
TARGETS = [Target.native(), *[t for t in NAMED if not t.lacking()]]
DTYPES = [float32, float64, float16, bfloat16]
UNARY = [ops.Neg(), ops.Abs(), ops.Sqrt(), ops.Relu(), ops.Floor(), ops.Identity(), ops.Reciprocal(), ops.LeakyRelu(0.1),
         ops.ThresholdedRelu(0.5)]  # fmt: skip
BINARY = [ops.Add(), ops.Sub(), ops.Mul(), ops.Div(), ops.Min(), ops.Max(), ops.Mul(), ops.Sub()]
NUMBERS = [0.1, -1.7, 3.0, 0.5, 585.9, 1e-5, -0.0, 1e20, 1e-30]


def cast(values: object, dtype: DType) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(values).astype(dtype.numpy)


def apply(op: Operator, *values: Node) -> Node:
    """`op` on values; extrema see no -0.0, as NumPy's choice between zeros depends on the processor."""
    if op.name in ("Min", "Max", "Relu"):
        values = tuple(ops.Add()(v, constant(np.asarray(0.0, v.dtype.numpy))) for v in values)
    return op(*values)


@st.composite
def chains(draw: st.DrawFn, dtype: DType) -> Graph:
    """A graph of up to 9 nodes on two matrices and a row, whose last node reads many of the others."""
    x, y = (input(name, TensorType(dtype, SHAPE)) for name in "xy")
    row = input("row", TensorType(dtype, SHAPE[1:]))
    values: list[Node] = [x, y, row]
    for _ in range(draw(st.integers(2, 9))):
        a, b = (draw(st.sampled_from(values)) for _ in range(2))
        form = draw(st.integers(0, 5))
        if form == 0:
            values.append(apply(draw(st.sampled_from(UNARY)), a))
        elif form == 1:
            number = constant(cast(draw(st.sampled_from(NUMBERS)), dtype))
            values.append(apply(draw(st.sampled_from(BINARY)), a, number))
        elif form == 2:
            values.append(ops.Where()(ops.Less()(a, b), a, draw(st.sampled_from(values))))
        else:
            values.append(apply(draw(st.sampled_from(BINARY)), a, b))
    result = values[-1]
    for other in values[3:-1]:
        result = draw(st.sampled_from(BINARY[:4]))(result, other) if other.shape == SHAPE else result
    return Graph("chain", (x, y, row), (ops.Add()(result, x),), ("out",))


def data(dtype: DType, seed: int) -> list[np.ndarray]:
    """Two matrices and a row: numbers of many sizes, equal ones among them, zeros, infinities, NaN and the greatest."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=SHAPE) * 10.0 ** rng.integers(-6, 6, SHAPE)
    y = np.where(rng.random(SHAPE) < 0.3, x, rng.normal(size=SHAPE))
    row = rng.normal(size=SHAPE[1:])
    arrays = [cast(a, dtype) for a in (x, y, row)]
    extremes = cast([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, 65504.0], dtype)
    arrays[0][1, : len(extremes)] = extremes
    return arrays


def bits(a: np.ndarray) -> np.ndarray:
    """The bits of the elements, all NaN alike."""
    return np.where(np.isnan(a), np.asarray(np.nan, a.dtype), a).view(f"uint{8 * a.itemsize}")


def same(graph: Graph, seed: int, target: Target) -> None:
    arrays = data(graph.inputs[0].dtype, seed)
    (expected,) = evaluate(graph, dict(zip(graph.input_names, arrays, strict=True))).values()
    (got,) = minicc.compile(graph, target)(*arrays)
    np.testing.assert_array_equal(bits(got), bits(expected), err_msg=f"{target.cpu}\n{graph}")


@given(st.data())
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_fused_chain_is_its_nodes_one_by_one(dtype: DType, draw: st.DataObject) -> None:
    graph = draw.draw(chains(dtype))
    same(graph, draw.draw(st.integers(0, 1000)), draw.draw(st.sampled_from(TARGETS)))


@pytest.mark.parametrize("target", [
    TARGETS[0], *[pytest.param(t, marks=pytest.mark.slow) for t in TARGETS[1:]]], ids=lambda t: t.cpu)  # fmt: skip
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_products_beside_sums(dtype: DType, target: Target) -> None:
    """The forms that a fused multiply-add would take."""
    x, y = (input(name, TensorType(dtype, SHAPE)) for name in "xy")
    row = input("row", TensorType(dtype, SHAPE[1:]))
    xx, xy, add, sub, mul = ops.Mul()(x, x), ops.Mul()(x, y), ops.Add(), ops.Sub(), ops.Mul()
    for out in (
        add(xx, y),
        add(xy, row),
        sub(xx, xy),
        sub(y, xy),
        sub(xx, ops.Mul()(y, y)),
        ops.Sqrt()(sub(xx, xy)),
        add(mul(x, constant(np.asarray(1.1, dtype.numpy))), x),
        add(add(xy, xx), mul(xy, row)),
        mul(add(xy, x), xx),
    ):
        same(Graph("g", (x, y, row), (out,), ("out",)), 0, target)


FUNCTIONS = [
    ops.Exp(),
    ops.Log(),
    ops.Tanh(),
    ops.Sigmoid(),
    ops.Erf(),
    ops.Gelu(),
    ops.Softplus(),
    ops.Sin(),
    ops.HardSwish(),
]


@pytest.mark.parametrize("dtype", [float32, float16, bfloat16], ids=str)
def test_functions_are_what_they_are_alone(dtype: DType) -> None:
    """Between products and sums, against each node compiled on its own: NumPy's functions have other last bits."""
    arrays = data(dtype, 1)[:2]
    x, y = (input(name, TensorType(dtype, SHAPE)) for name in "xy")

    def alone(op: Operator, *values: np.ndarray) -> np.ndarray:
        inputs = [input(f"v{n}", TensorType.of(v)) for n, v in enumerate(values)]
        return minicc.compile(Graph("node", tuple(inputs), (op(*inputs),), ("out",)))(*values)[0]

    product, square = alone(ops.Mul(), *arrays), alone(ops.Mul(), arrays[0], arrays[0])
    fused = [ops.Sub()(ops.Mul()(op(ops.Mul()(x, y)), y), ops.Mul()(x, x)) for op in FUNCTIONS]
    exe = minicc.compile(Graph("chains", (x, y), tuple(fused), tuple(op.name for op in FUNCTIONS)))
    for op, got in zip(FUNCTIONS, exe(*arrays), strict=True):
        expected = alone(ops.Sub(), alone(ops.Mul(), alone(op, product), arrays[1]), square)
        np.testing.assert_array_equal(bits(got), bits(expected), err_msg=op.name)
