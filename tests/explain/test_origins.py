"""Origins: what a pass makes comes from somewhere, and what it takes away is somewhere."""

from pathlib import Path

import pytest

import minicc
from minicc import ops
from minicc.compile import pipeline
from minicc.explain.origins import operators, origins, parts, traced
from minicc.frontend import load
from minicc.graph import ir
from minicc.graph.bind import bind
from minicc.graph.fuse import fuse
from minicc.ops.base import REGISTRY
from minicc.target import Target
from minicc.testing.draws import drawn, graph_of
from minicc.testing.graphs import examples
from minicc.types import TensorType, float32

HASWELL = Target.of("haswell").with_threads(2)


def stages(graph):
    """The graph before all passes, and after each."""
    made = [graph]
    for each in pipeline(HASWELL).graph:
        made.append(each.run(made[-1]))
    return made


def placed(graph):
    """The graph, each node from a place of its own."""
    spans = {n: ir.Span("test", index=k) for k, n in enumerate(graph.nodes)}
    return ir.Graph(graph.name, graph.inputs, graph.outputs, graph.output_names, spans)


def check(graph):
    made = stages(graph)
    names = [each.name for each in pipeline(HASWELL).graph]
    for name, before, after in zip(names, made, made[1:], strict=False):
        found = origins(before, after)
        assert list(found) == operators(after)
        assert all(n in after.spans for n in found), f"{name} makes nodes that come from nowhere"
        assert all(found.values()), f"after {name}"
        gone = set(operators(before)) - {n for froms in found.values() for n in froms}
        for n, users in before.users().items():  # a chain that is folded as a whole is in nothing
            assert n not in gone or gone.issuperset(users), f"{name} takes {n} out of what reads it"
    assert set(traced(made)) == set(operators(made[-1])) and all(traced(made).values())
    assert all(n in made[-1].spans for n in operators(made[-1]))


@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 40)]])
def test_passes_of_random_graphs(seed):
    for example in examples(5, seed):
        check(placed(example.graph))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_passes_of_every_operator(name):
    for case in range(2):
        check(placed(graph_of(*drawn(name, case)).graph))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "bert_base", "yolov3_tiny"])
def test_passes_of_models(name):
    models = pytest.importorskip("benchmarks.models").MODELS
    check(load(models[name](**({"layers": 1} if name == "bert_base" else {}))))


def test_the_kernels_of_the_digits_come_from_its_layers():
    model = load(Path(minicc.__file__).parent / "cli/digits/digits.onnx")
    bound = bind(model, {"batch": 1})
    found = [{model.spans[o].name for o in froms} for froms in traced([model, *stages(bound)]).values()]
    layers = [
        "conv0 norm1 relu2",
        "conv3 norm4 relu5",
        "pool6",
        "conv7 norm8 relu9",
        "pool10",
        "flat11",
        "linear12",
        "probability",
    ]
    assert [names for names in found if names != {"conv0", "norm1"}] == [set(layer.split()) for layer in layers]


def test_an_output_that_is_turned_comes_from_what_makes_it():
    x, w = ir.input("x", TensorType(float32, (1, 8, 9, 9))), ir.input("w", TensorType(float32, (8, 8, 3, 3)))
    check(placed(ir.Graph("main", (x, w), (ops.Conv()(x, w),), ("y",))))


def test_two_calls_of_a_kernel_are_of_two_places():
    x, y = (ir.input(name, TensorType(float32, (4, 4))) for name in "xy")
    first = ops.Relu()(ops.MatMul()(x, y))
    graph = ir.Graph("main", (x, y), (ops.Relu()(ops.MatMul()(first, y)),), ("z",))
    fused = fuse(graph)
    calls = operators(fused)
    assert len({n.op for n in calls}) == 1 and [len(inside) for inside in parts(fused).values()] == [2, 2]
    assert [plain for n in calls for plain in parts(fused)[n].values()] == operators(graph)
    assert set(parts(fused)[calls[0]]) == set(parts(fused)[calls[1]]) == set(operators(calls[0].op.body))
