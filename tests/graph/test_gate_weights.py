"""A gate of channels scales the weights of the convolution that reads it."""

import numpy as np
import pytest
from graph_cases import arrays_for, graph_of
from hypothesis import given
from hypothesis import strategies as st

from minicc import ops
from minicc.compile import optimize
from minicc.graph import Graph, Kernel, Node, constant, evaluate, input, verify
from minicc.graph.gate_weights import gate_weights
from minicc.types import TensorType, float32, float64

rng = np.random.default_rng(0)


def excited(x: Node, outputs: int, swapped: bool = False, **fields: object) -> Node:
    """Squeeze and excitation, and the pointwise convolution behind it."""
    channels = x.shape[1]

    def pointwise(x: Node, outputs: int, **fields: object) -> Node:
        w = rng.standard_normal((outputs, x.shape[1], *[1] * (x.type.rank - 2))).astype(x.dtype.numpy)
        return ops.Conv(**fields)(x, constant(w))

    gate = ops.Sigmoid()(pointwise(ops.ReduceMean(tuple(range(2, x.type.rank)))(x), channels))
    return pointwise(ops.Mul()(gate, x) if swapped else ops.Mul()(x, gate), outputs, **fields)


def images_scaled(graph: Graph) -> int:
    return sum(n.op.name == "Mul" and max(n.shape[2:]) > 1 for n in graph.nodes)


@given(st.sampled_from([(9,), (5, 7), (2, 5, 4)]), st.integers(1, 9), st.integers(1, 17), st.booleans(), st.booleans())
def test_the_image_is_not_stored_to_be_scaled(
    spatial: tuple[int, ...], channels: int, outputs: int, swapped: bool, strided: bool
) -> None:
    x = input("x", TensorType(float64, (1, channels, *spatial)))
    graph = graph_of(excited(x, outputs, swapped, **({"strides": (2,) * len(spatial)} if strided else {})))
    made, arrays = gate_weights(graph), arrays_for(graph)
    verify(made)
    points = graph.outputs[0].type.size // outputs
    assert images_scaled(made) == (points < 2 * outputs) and gate_weights(graph, exact=True) is graph
    expected = evaluate(graph, arrays)["out0"]
    np.testing.assert_allclose(evaluate(made, arrays)["out0"], expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(evaluate(optimize(graph), arrays)["out0"], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch, read", [(2, False), (1, True)])
def test_what_stays(batch: int, read: bool) -> None:
    made = excited(input("x", TensorType(float32, (batch, 4, 9, 9))), 4)
    graph = graph_of(made, *([made.inputs[0]] if read else []))
    assert gate_weights(graph) is graph


def test_weights_are_packed_before_they_are_scaled() -> None:
    graph = optimize(graph_of(excited(input("x", TensorType(float32, (1, 32, 28, 28))), 48)))
    kernels = [n for n in graph.nodes if isinstance(n.op, Kernel)]
    (scaled,) = [n for n in kernels if n.op.label == "mul"]
    assert scaled.type.rank == 5 and scaled.shape[-2] == 32
