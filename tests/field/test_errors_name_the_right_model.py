"""Two models may hold equal nodes, which are one node: what is said of it names the model at hand."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import minicc
from minicc import ops
from minicc.compile import optimize, pipeline
from minicc.errors import GraphError, MiniccError, TypeInferenceError
from minicc.frontend import load
from minicc.graph import Graph, Span, bind, constant, evaluate, input, parse, verify
from minicc.target import Target
from minicc.types import TensorType, float32

NATIVE = Target.native()


def network(name: str, wrong: bool = False) -> onnx.ModelProto:
    """Nodes equal in every network, called by its name; if `wrong` the last cannot be once n is known."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["g"], name=f"{name}_gemm"),
        helper.make_node("Relu", ["g"], ["r"], name=f"{name}_relu"),
        helper.make_node("Softmax", ["r"], ["s"], name=f"{name}_softmax", axis=-1),
        helper.make_node("Reshape", ["s", "shape"], ["y"], name=f"{name}_reshape"),
    ]
    weights = {"w": np.eye(3, dtype=np.float32), "b": np.ones(3, np.float32), "shape": np.int64([7 if wrong else -1])}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(a, f"{name}_{k}" if k == "b" else k) for k, a in weights.items()],
    )
    for node in graph.node:
        node.input[:] = [f"{name}_b" if i == "b" else i for i in node.input]
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def loaded(folder, name: str, wrong: bool = False) -> Graph:
    path = folder / f"{name}.onnx"
    onnx.save(network(name, wrong), path)
    return load(path)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_text_of_a_graph(order, tmp_path):
    graphs = {name: loaded(tmp_path, name) for name in order}
    for name, graph in graphs.items():
        lines = [line for line in str(graph).splitlines() if "#" in line]
        assert lines and all(f"# {name}.onnx" in line for line in lines)
    assert graphs["a"].same_as(graphs["b"]) and graphs["a"].outputs[0] is graphs["b"].outputs[0]


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize(
    "call",
    [
        lambda graph, path: bind(graph, {"n": 2}),
        lambda graph, path: minicc.compile(path, dims={"n": 2}),
        lambda graph, path: minicc.compile(graph, input_shapes={"x": (2, 3)}),
    ],
)
def test_an_error_of_binding(order, call, tmp_path):
    graphs = {name: loaded(tmp_path, name, wrong=True) for name in order}
    for name, graph in graphs.items():
        with pytest.raises(TypeInferenceError) as caught:
            call(graph, tmp_path / f"{name}.onnx")
        assert caught.value.where == f"{name}.onnx:3 Reshape '{name}_reshape'"


def test_an_error_of_loading(tmp_path):
    for name in "ab":
        proto = network(name)
        proto.graph.node[1].op_type = "Concat"
        proto.graph.node[1].attribute.append(helper.make_attribute("axis", 5))
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
        (tmp_path / f"{name}.onnx").write_bytes(proto.SerializeToString())
        with pytest.raises(MiniccError) as caught:
            load(tmp_path / f"{name}.onnx")
        assert caught.value.where == f"{name}.onnx:1 Concat '{name}_relu'"


def test_errors_of_evaluation_and_of_the_verifier(tmp_path):
    x = input("x", TensorType(float32, (2,)))
    lie = type(ops.Relu()(x))(ops.Relu(), (x,), TensorType(float32, (3,)))
    for name in "ab":
        graph = Graph(name, (x,), (lie,), ("y",)).located({lie: Span(f"{name}.onnx", "lie")})
        for call in (
            lambda graph=graph: verify(graph),
            lambda graph=graph: evaluate(graph, {"x": np.zeros(2, np.float32)}),
        ):
            with pytest.raises(GraphError) as caught:
                call()
            assert caught.value.where == f"{name}.onnx 'lie'"


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_after_every_pass(order, tmp_path):
    """Each pass keeps the places of what it keeps, and gives what it makes the place of what it was made from."""
    graphs = {name: bind(loaded(tmp_path, name), {"n": 2}) for name in order}
    for title, run in (("bind", lambda g: g), *((p.name, p.run) for p in pipeline(NATIVE).graph)):
        graphs = {name: run(graph) for name, graph in graphs.items()}
        for name, graph in graphs.items():
            assert {graph.spans[n].source for n in graph.nodes if n in graph.spans} == {f"{name}.onnx"}, title
            assert all(n in graph.spans for n in graph.nodes), title
            assert set(graph.spans) <= set(graph.nodes), title


@given(
    st.permutations(["a", "b", "c"]),
    st.sampled_from([ops.Relu(), ops.Neg(), ops.Gelu(), ops.Softmax(), ops.Transpose(), ops.Flatten()]),
    st.sampled_from([1.0, 0.0, 2.0]),
)
def test_after_all_passes_of_any_operators(names, op, factor):
    """Graphs of the same nodes, optimized in any order: every node has the span of its own graph."""
    x = input("x", TensorType(float32, (2, 3)))
    y = ops.Add()(op(ops.Mul()(x, np.float32(factor))), ops.Identity()(constant(np.ones(1, np.float32))))
    for name in names:
        graph = Graph("main", (x,), (y,), ("y",))
        after = optimize(graph.located({n: Span(name, n.op.name) for n in graph.nodes}))
        assert {span.source for span in after.spans.values()} == {name}
        assert set(after.spans) == set(after.nodes)


def test_text_gives_places_back(tmp_path):
    graphs = [loaded(tmp_path, name) for name in "ab"]
    for graph in graphs:
        again = parse(str(graph), graph.constants)
        assert str(again) == str(graph)


def test_places_keep_nothing_alive(tmp_path):
    graph = bind(loaded(tmp_path, "a"), {"n": 2})
    held = [weakref.ref(n) for n in graph.nodes if n.op.name == "Gemm"]
    after = optimize(graph)
    del graph
    gc.collect()
    assert held and all(ref() is None for ref in held) and after.nodes
