"""A 1x1 convolution before an enlargement gives what it gave after it."""

import numpy as np
import pytest
from graph_cases import arrays_for, f32, graph_of
from hypothesis import given
from hypothesis import strategies as st

from minicc import ops
from minicc.graph import Graph, Node, constant, evaluate, input, verify
from minicc.graph.resize_later import resize_later
from minicc.types import TensorType, float64

rng = np.random.default_rng(0)
FORMS = [
    {"scales": (1.0, 1.0, 2.0, 2.0)},
    {"sizes": (1, 4, 6, 9)},
    {"sizes": (6, 9), "axes": (2, 3)},
    {"scales": (3.0,), "axes": (-1,)},
]


def pointwise(x: Node, outputs: int, **fields: object) -> Node:
    return ops.Conv(**fields)(x, constant(rng.standard_normal((outputs, x.shape[1], 1, 1)).astype(x.dtype.numpy)))


def names(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes if n.inputs]


def checked(*outputs: Node) -> list[str]:
    graph = graph_of(*outputs)
    made = resize_later(graph)
    verify(made)
    before, after = evaluate(graph, arrays_for(graph)), evaluate(made, arrays_for(graph))
    for name, expected in before.items():
        np.testing.assert_allclose(after[name], expected, rtol=1e-9, atol=1e-9)
    assert resize_later(graph, exact=True) is graph
    return names(made)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_of_one_image(mode: str, form: dict[str, object]) -> None:
    x = input("x", TensorType(float64, (1, 4, 3, 4)))
    assert checked(ops.Relu()(pointwise(ops.Resize(mode=mode, **form)(x), 5))) == ["Conv", "Resize", "Relu"]


@given(st.permutations(range(4)), st.sampled_from(["nearest", "linear"]))
def test_of_several_images(order: list[int], mode: str) -> None:
    parts = [input("a", TensorType(float64, (2, 3, 8, 6))), input("b", TensorType(float64, (2, 1, 8, 6)))]
    for name, channels, size in (("c", 2, (4, 3)), ("d", 4, (2, 6))):
        small = input(name, TensorType(float64, (2, channels, *size)))
        parts.append(ops.Resize(sizes=(2, channels, 8, 6), mode=mode)(small))
    made = checked(ops.Add()(pointwise(ops.Concat(1)(*[parts[k] for k in order]), 3), np.ones((3, 1, 1))))
    assert made.count("Conv") == 3 and made.count("Resize") == 2 and made.count("Add") == 3
    assert [name for name in made if name in ("Conv", "Add")][-4:] == ["Add", "Conv", "Add", "Add"]


def test_what_stays() -> None:
    x = input("x", f32(1, 4, 3, 4))
    large = ops.Resize(scales=(1.0, 1.0, 2.0, 2.0))(x)
    cropped = ops.Resize(
        scales=(2.0, 2.0), axes=(2, 3), coordinate_transformation_mode="tf_crop_and_resize", roi=(0, 0, 1, 1)
    )(x)
    vectors = [np.ones(5, np.float32)] * 4
    for n in (pointwise(ops.Resize(scales=(1.0, 1.0, 0.5, 0.5))(x), 5), pointwise(ops.Resize(scales=(1.0, 2.0, 1.0, 1.0))(x), 5),
              pointwise(large, 5, strides=(2, 2)), pointwise(ops.Concat(2)(large, large), 5), pointwise(cropped, 5),
              ops.BatchNormalization()(pointwise(large, 5), *vectors), pointwise(x, 5)):  # fmt: skip
        graph = graph_of(n)
        assert resize_later(graph) is graph
    both = graph_of(pointwise(large, 5), ops.Relu()(large))
    assert resize_later(both) is both
