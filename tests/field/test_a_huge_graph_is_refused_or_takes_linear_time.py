"""Twice the nodes take twice the work, from the file to the kernels; a model of a million nodes is refused at once."""

from __future__ import annotations

import cProfile
import pstats
import tracemalloc

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from minicc.compile import optimize
from minicc.errors import LoadError
from minicc.frontend import load
from minicc.frontend.onnx import MOST_NODES
from minicc.graph import bind, constant, evaluate, input, verify
from minicc.graph.ir import Graph
from minicc.ops import Concat, Identity
from minicc.runtime.plan import Lifetime, plan
from minicc.types import TensorType, float32


def model(nodes, outputs, inputs=("x",), initializers=()):
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4] if "n" in name else [4]) for name in inputs
    ]
    graph = helper.make_graph(
        nodes, "net", infos, [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs], initializers
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def chain(n):
    return model(
        [helper.make_node(("Relu", "Neg", "Tanh")[k % 3], [f"v{k}" if k else "x"], [f"v{k + 1}"]) for k in range(n)],
        [f"v{n}"],
    )


def reversed_chain(n):
    made = chain(n)
    nodes = list(made.graph.node)[::-1]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def fan(n):
    """One value with n readers, and one reader of n values."""
    nodes = [helper.make_node("Elu", ["x"], [f"v{k}"], alpha=float(k)) for k in range(n)]
    return model([*nodes, helper.make_node("Concat", [f"v{k}" for k in range(n)], ["y"], axis=0)], ["y"])


def ladder(n):
    """Every value is read twice, once far away."""
    nodes = [helper.make_node("Neg", [f"v{k}" if k else "x"], [f"v{k + 1}"]) for k in range(n)]
    nodes += [helper.make_node("Add", [f"s{k}" if k else "x", f"v{n - k}"], [f"s{k + 1}"]) for k in range(n)]
    return model(nodes, [f"s{n}"])


def many_outputs(n):
    return model(
        [helper.make_node("Elu", ["x"], [f"v{k}"], alpha=float(k)) for k in range(n)], [f"v{k}" for k in range(n)]
    )


def many_inputs(n):
    names = [f"x{k}" for k in range(n)]
    return model(
        [helper.make_node("Neg", [name], [f"y{name}"]) for name in names], [f"y{name}" for name in names], names
    )


def many_initializers(n):
    weights = [numpy_helper.from_array(np.full(4, k, np.float32), f"w{k}") for k in range(n)]
    return model(
        [helper.make_node("Add", [f"s{k}" if k else "x", f"w{k}"], [f"s{k + 1}"]) for k in range(n)],
        [f"s{n}"],
        initializers=weights,
    )


def dead(n):
    nodes = [helper.make_node("StringNormalizer", [f"v{k}" if k else "x"], [f"v{k + 1}"]) for k in range(n)]
    return model([*nodes, helper.make_node("Neg", ["x"], ["y"])], ["y"])


def work(proto) -> int:
    """How many functions are called between the file and the kernels."""
    profile = cProfile.Profile()
    profile.enable()
    graph = optimize(bind(load(proto)))
    verify(graph)
    profile.disable()
    return pstats.Stats(profile).total_calls


@pytest.mark.parametrize(
    "make", [chain, reversed_chain, fan, ladder, many_outputs, many_inputs, many_initializers, dead]
)
def test_twice_the_nodes_take_twice_the_work(make):
    work(make(10))  # tables that are made once
    small, large = work(make(150)), work(make(300))
    assert large < 2.3 * small, f"{large / small:.1f} times"


def test_symbols_of_one_name_are_many_quickly():
    infos = [helper.make_tensor_value_info(f"x{k}", TensorProto.FLOAT, ["?" * (k + 1) + "n"]) for k in range(400)]
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x0"], ["y"])],
        "net",
        infos,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert len(load(proto).symbols) == 400


def test_a_wide_fusion_keeps_its_value():
    x = input("x", TensorType(float32, (2,)))
    y = Concat(0)(*[Identity()(constant(np.float32([k]))) for k in range(40)], x)
    graph = Graph("main", (x,), (y,), ("y",))
    given = {"x": np.float32([7, 8])}
    np.testing.assert_array_equal(evaluate(optimize(graph), given)["y"], evaluate(graph, given)["y"])


def encoded(field: int, content: bytes) -> bytes:
    """A field of a protobuf message."""
    size, length = b"", len(content)
    while length > 127:
        size, length = size + bytes([length % 128 + 128]), length // 128
    return bytes([field * 8 + 2]) + size + bytes([length]) + content


def test_a_million_nodes_are_refused_at_once(tmp_path):
    node = encoded(1, helper.make_node("Neg", ["x"], ["y"]).SerializeToString())
    rest = model([], ["y"]).graph.SerializeToString()
    whole = helper.make_model(
        helper.make_graph([], "net", [], []), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    whole.ClearField("graph")
    (tmp_path / "m.onnx").write_bytes(whole.SerializeToString() + encoded(7, node * 10**6 + rest))
    profile = cProfile.Profile()
    with pytest.raises(LoadError) as caught, profile:
        load(tmp_path / "m.onnx")
    assert pstats.Stats(profile).total_calls < 1000, "no node is looked at"
    assert caught.value.problem == f"expected at most {MOST_NODES:,} nodes, got 1,000,000" and caught.value.hint


def test_thousands_of_tensors_that_live_at_once_have_a_plan():
    tracemalloc.start()
    made = plan([Lifetime(64 * (1 + n % 3), n, 3000) for n in range(3000)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.size == 64 * (1 + 2 + 3) * 1000 and len(set(made.offsets)) == 3000
    assert peak < 10**7, "no list of who lives beside whom"
