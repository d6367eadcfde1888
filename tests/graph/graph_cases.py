"""Graphs to test passes with: a hypothesis strategy of random ones, and what passes must keep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicc import ops
from minicc.graph import Graph, Node, constant, evaluate, input, verify
from minicc.types import TensorType, float32

SHAPES = [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (3, 2), (1, 2, 3), (2, 1, 3)]


def f32(*shape: Any) -> TensorType:
    return TensorType(float32, shape)


def graph_of(*outputs: Node) -> Graph:
    """A graph of `outputs`, its inputs those found, in order of their names."""
    found = Graph("main", (), outputs, tuple(f"out{n}" for n in range(len(outputs))))
    inputs = sorted((n for n in found.nodes if n.op.name == "Input"), key=lambda n: n.op.label)
    return Graph("main", tuple(inputs), found.outputs, found.output_names)


def arrays_for(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.uniform(-2, 2, n.shape).astype(n.dtype.numpy)
        for name, n in zip(graph.input_names, graph.inputs, strict=True)
    }


def assert_same(before: Graph, after: Graph, exact: bool = True) -> None:
    """Both are well formed, have one interface, and give the same outputs."""
    verify(after)
    assert (before.input_names, before.output_names) == (after.input_names, after.output_names)
    arrays = arrays_for(before)
    expected, got = evaluate(before, arrays), evaluate(after, arrays)
    for name in expected:
        assert got[name].dtype == expected[name].dtype
        if exact:
            np.testing.assert_array_equal(got[name], expected[name])
        else:
            np.testing.assert_allclose(
                got[name].astype(np.float64), expected[name].astype(np.float64), rtol=1e-5, atol=1e-5
            )


def _unary(draw: Callable[..., Any], x: Node, others: list[Node]) -> Node:
    return draw(st.sampled_from([ops.Relu(), ops.Neg(), ops.Tanh(), ops.Identity()]))(x)


def _binary(draw: Callable[..., Any], x: Node, others: list[Node]) -> Node:
    op = draw(st.sampled_from([ops.Add(), ops.Sub(), ops.Mul()]))
    fitting = [y for y in others if _broadcasts(x.shape, y.shape)]
    shape = draw(st.sampled_from([s for s in SHAPES if _broadcasts(x.shape, s)]))
    known = constant(np.full(shape, draw(st.sampled_from([0.0, 1.0, -0.5, 3.0])), np.float32))
    y = draw(st.sampled_from([*fitting, known]))
    return op(x, y) if draw(st.booleans()) else op(y, x)


def _broadcasts(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    try:
        return len(np.broadcast_shapes(left, right)) <= 3
    except ValueError:
        return False


def _move(draw: Callable[..., Any], x: Node, others: list[Node]) -> Node:
    rank = len(x.shape)
    choice = draw(st.sampled_from(["transpose", "reshape", "unsqueeze", "squeeze", "concat", "slice"]))
    if choice == "transpose":
        return ops.Transpose(tuple(draw(st.permutations(range(rank)))))(x)
    if choice == "reshape":
        return ops.Reshape((-1,) if draw(st.booleans()) else (1, -1))(x)
    if choice == "unsqueeze" and rank < 3:
        return ops.Unsqueeze((draw(st.integers(0, rank)),))(x)
    if choice == "concat" and rank:
        return ops.Concat(0)(x, x)
    if choice == "slice" and rank:
        return ops.Slice((0,), (draw(st.integers(1, 3)),), (rank - 1,))(x)
    return ops.Squeeze()(x)


def _heavy(draw: Callable[..., Any], x: Node, others: list[Node]) -> Node:
    rank = len(x.shape)
    if not rank:
        return ops.Relu()(x)
    if draw(st.booleans()):
        return ops.ReduceSum((draw(st.integers(0, rank - 1)),), draw(st.booleans()))(x)
    w = np.linspace(-1, 1, x.shape[-1] * 2, dtype=np.float32).reshape(x.shape[-1], 2)
    return ops.MatMul()(x, w)


@st.composite
def graphs(draw: Callable[..., Any], most: int = 14) -> Graph:
    """A random graph of a handful of operators, with shared values and several outputs."""
    values = [input(f"x{n}", f32(*draw(st.sampled_from(SHAPES)))) for n in range(draw(st.integers(1, 3)))]
    for _ in range(draw(st.integers(1, most))):
        x = values[-1] if draw(st.booleans()) else draw(st.sampled_from(values))
        made = draw(st.sampled_from([_unary, _binary, _binary, _move, _heavy]))(draw, x, values)
        if made.type.size <= 200:
            values.append(made)
    outputs = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True))
    return graph_of(*outputs)
