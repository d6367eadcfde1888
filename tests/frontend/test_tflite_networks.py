"""Whole networks of TensorFlow Lite: as machine code, against LiteRT; names, open batches, layouts."""

import numpy as np
import pytest

import minicc
from minicc.compile import optimize
from minicc.errors import LoadError
from minicc.frontend import load
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Kernel
from minicc.testing import tflite_networks as networks
from minicc.testing.tflite_models import TfliteModel
from tests.frontend.litert import litert

NETWORKS = {"mobilenet": networks.mobilenet, "detector": networks.detector, "segmenter": networks.segmenter}


def image(graph, seed=0):
    type = graph.inputs[0].type
    random = np.random.default_rng(seed)
    if type.dtype.is_float:
        return random.uniform(-1, 1, type.shape).astype(np.float32)
    return random.integers(-128, 128, type.shape).astype(type.dtype.numpy)


GATE = {("mobilenet", True), ("detector", False), ("segmenter", True)}
CASES = [pytest.param(name, quantised, id=f"{name}-{'int8' if quantised else 'float'}", marks=[pytest.mark.slow] * ((name, quantised) not in GATE))
         for name in NETWORKS for quantised in (False, True)]  # fmt: skip


@pytest.mark.jobs
@pytest.mark.parametrize("name, quantised", CASES)
def test_a_network_agrees_with_litert(name, quantised):
    pytest.importorskip("ai_edge_litert")
    model = NETWORKS[name](np.random.default_rng(7), quantised)
    graph = load(model)
    x = image(graph)
    expected = litert(model, [x])
    got = list(minicc.compile(graph, threads=1).run({graph.input_names[0]: x}).values())
    if name == "detector":
        count = int(expected[3][0])
        assert count == int(got[3][0]) > 0
        got, expected = ([part[:, :count] for part in parts[:3]] for parts in (got, expected))
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        if not quantised:
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
        elif ours.dtype == np.int8:  # each layer may be a step off
            apart = np.abs(ours.astype(int) - theirs.astype(int))
            assert apart.max() <= 6 and apart.mean() < 0.6, (apart.max(), apart.mean())
        elif ours.dtype == np.int32:
            assert (ours == theirs).mean() > 0.9
        else:
            np.testing.assert_allclose(ours, theirs, atol=0.03)


@pytest.mark.jobs
def test_a_transformer_agrees_with_litert():
    pytest.importorskip("ai_edge_litert")
    model = networks.transformer(np.random.default_rng(0))
    graph = load(model)
    x = image(graph)
    (expected,) = litert(model, [x])
    np.testing.assert_allclose(
        minicc.compile(graph, threads=1).run({"tokens": x}).popitem()[1], expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.jobs
def test_an_open_batch_is_bound(batch=3):
    pytest.importorskip("ai_edge_litert")
    model = networks.mobilenet(np.random.default_rng(1), dynamic=True)
    graph = load(model)
    assert str(graph.inputs[0].type) == "float32[image_0,32,32,3]" and graph.output_names == ("probabilities",)
    x = np.random.default_rng(0).uniform(-1, 1, (batch, 32, 32, 3)).astype(np.float32)
    (expected,) = litert(model, [x])
    exe = minicc.compile(graph, dims={"image_0": batch}, threads=1)
    np.testing.assert_allclose(exe.run({"image": x})["probabilities"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("quantised", [False, True], ids=["float", "int8"])
def test_no_kernel_only_moves_an_image(quantised):
    """Images of these files have their channels last, and so have our kernels: no Transpose is left."""
    graph = optimize(load(networks.mobilenet(np.random.default_rng(0), quantised)))
    found = [n.op for n in graph.nodes if isinstance(n.op, Kernel)]
    moving = [op.label for op in found if {n.op.name for n in op.body.nodes if n.inputs} <= {"Transpose", "Pad"}]
    assert len(found) > 10 and not moving


def test_a_shape_made_of_an_open_batch_is_known():
    """As TensorFlow's converter writes it: the batch is cut out of a shape, and packed with numbers."""
    net = TfliteModel()
    x = net.tensor((1, 4, 4, 2), name="x", signature=(-1, 4, 4, 2))
    shape = net.op("SHAPE", [x], "ShapeOptions", result={"dtype": "int32"}, OutType=2)
    parts = [net.constant([k], "int32") for k in (0, 1, 1)]
    batch = net.op("STRIDED_SLICE", [shape, *parts], "StridedSliceOptions", ShrinkAxisMask=1)
    sizes = [net.constant(k, "int32") for k in (16, 2)]
    wanted = net.op("PACK", [batch, *sizes], "PackOptions", ValuesCount=3)
    y = net.op("RESHAPE", [x, wanted], "ReshapeOptions")
    z = net.op("RESHAPE", [y, net.constant([-1, 32], "int32")], "ReshapeOptions")
    graph = load(net.write([x], [y, z]))
    assert [str(n.type) for n in graph.outputs] == ["float32[x_0,16,2]", "float32[x_0,32]"]
    array = np.arange(96, dtype=np.float32).reshape(3, 4, 4, 2)
    found = evaluate(graph, {"x": array})
    assert np.array_equal(list(found.values())[1], array.reshape(3, 32))


def test_names_of_a_signature_and_of_tensors():
    net = TfliteModel()
    x, y = net.tensor((2,), name="serving_default_x:0"), net.tensor((2,), name="serving_default_x:0")
    z = net.op("ADD", [x, y], "AddOptions", result={"name": "StatefulPartitionedCall:0"})
    graph = load(net.write([x, y], [z, z], (["left", "right"], ["sum", "sum"])))
    assert graph.input_names == ("left", "right") and graph.output_names == ("sum", "sum_1")
    graph = load(net.write([x, y], [z]))
    assert graph.input_names == ("serving_default_x:0", "serving_default_x:0_1")
    assert graph.output_names == ("StatefulPartitionedCall:0",)
    assert graph.where(graph.outputs[0]) == "model.tflite:0 ADD 'StatefulPartitionedCall:0'"


def test_weights_are_the_bytes_of_the_file():
    net = TfliteModel()
    x, w = net.tensor((1, 4096)), net.constant(np.arange(4096 * 8).reshape(8, 4096))
    model = net.write([x], [net.op("FULLY_CONNECTED", [x, w], "FullyConnectedOptions")])
    (held,) = [a for a in load(model).constants.values() if a.size == 4096 * 8]
    owner = held
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert owner is model, "no copy was made"


def test_without_the_package_the_hint_says_how_to_get_it(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LoadError, match=r'hint: pip install "minicc\[tflite\]"'):
        load(networks.transformer(np.random.default_rng(0)))


def test_seeded_damage_is_refused_or_runs():
    """A few of `python -m minicc.testing.mutate_files --reader tflite --count 5000`: whatever loads is a graph."""
    import random

    from minicc.errors import MiniccError
    from minicc.testing.mutate_tflite import draw

    loaded = 0
    for number in range(50):
        try:
            loaded += bool(load(draw(random.Random(f"tflite {number}"))["model.tflite"]).nodes)
        except MiniccError as error:
            assert error.call and error.problem and error.hint
            assert "expected well-formed" not in error.problem, str(error)
    assert 5 < loaded < 45
