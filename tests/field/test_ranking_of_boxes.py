"""What detectors do after their last convolution: rank scores, gather boxes, compare each with the better ones; and ArgMax over much."""

import numpy as np
import pytest

import minicc
from minicc import ops
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Graph, constant, input
from minicc.types import TensorType, float32

BOXES, KEPT = 2000, 150


def corner(boxes, n):
    return ops.Slice((n,), (n + 1,), (1,))(boxes)


def ranked() -> Graph:
    """The best boxes, in order, and for each of them how much it overlaps the better one that it overlaps most."""
    boxes, scores = input("boxes", TensorType(float32, (BOXES, 4))), input("scores", TensorType(float32, (BOXES,)))
    places = ops.TopKIndices(KEPT)(scores)
    best = ops.Gather(0)(boxes, places)
    x0, y0, x1, y1 = (corner(best, n) for n in range(4))
    area = ops.Mul()(ops.Sub()(x1, x0), ops.Sub()(y1, y0))
    across = ops.Transpose((1, 0))
    zero = constant(np.float32(0))
    width = ops.Max()(ops.Sub()(ops.Min()(x1, across(x1)), ops.Max()(x0, across(x0))), zero)
    height = ops.Max()(ops.Sub()(ops.Min()(y1, across(y1)), ops.Max()(y0, across(y0))), zero)
    shared = ops.Mul()(width, height)
    overlap = ops.Div()(shared, ops.Sub()(ops.Add()(area, across(area)), shared))
    worst = ops.ReduceMax((1,), keepdims=False)(ops.Trilu(-1, upper=False)(overlap))
    return Graph("ranked", (boxes, scores), (places, worst), ("places", "worst"))


def test_boxes_are_ranked_and_compared_with_the_better_ones():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 60, (BOXES, 2))
    boxes = np.hstack([corners, corners + rng.integers(1, 30, (BOXES, 2))]).astype(np.float32)
    scores = (rng.integers(0, 400, BOXES) / 400).astype(np.float32)
    order = sorted(range(BOXES), key=lambda n: (-scores[n], n))[:KEPT]
    x0, y0, x1, y1 = boxes[order].astype(np.float64).T[:, :, None]
    shared = np.clip(np.minimum(x1, x1.T) - np.maximum(x0, x0.T), 0, None) * np.clip(
        np.minimum(y1, y1.T) - np.maximum(y0, y0.T), 0, None
    )
    area = (x1 - x0) * (y1 - y0)
    want = np.tril(shared / (area + area.T - shared), -1).max(1)
    graph = ranked()
    for places, worst in (
        minicc.compile(graph)(boxes, scores),
        evaluate(graph, {"boxes": boxes, "scores": scores}).values(),
    ):
        assert places.tolist() == order
        np.testing.assert_allclose(worst, want, rtol=1e-5)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("op", [ops.ArgMax, ops.ArgMin])
def test_the_position_of_the_extreme_of_many(op, last):
    x = np.random.default_rng(1).integers(-9, 9, (2, 100_000)).astype(np.float32)
    extreme = x.max() if op is ops.ArgMax else x.min()
    want = [np.flatnonzero(row == extreme)[-1 if last else 0] for row in x]
    node = input("x", TensorType(float32, x.shape))
    got = minicc.compile(Graph("main", (node,), (op(1, False, last)(node),), ("y",)))(x)[0]
    assert got.tolist() == want
    x[1, 500] = np.nan
    assert minicc.compile(Graph("main", (node,), (op(1, False, last)(node),), ("y",)))(x)[0].tolist() == [want[0], 500]
