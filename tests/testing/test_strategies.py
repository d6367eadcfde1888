"""The strategies give what they promise: dtypes, shapes and schedules that a test can use, and the same draws from a seed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicc.graph.ir import Graph, input
from minicc.loop.python import run_python
from minicc.ops import Mul, Sigmoid
from minicc.ops.base import REGISTRY
from minicc.testing.draws import SeededDraw, drawn, drawn_graph
from minicc.testing.oracle import agree
from minicc.testing.strategies import arrays, dtypes, schedules, shapes
from minicc.testing.workloads import WORKLOADS
from minicc.types import DType, TensorType

PROGRAM = WORKLOADS["gemm"].program(4, 5)


@given(dtypes("int", "bool"), dtypes())
def test_dtypes(some, any_dtype):
    assert some.kind in ("int", "bool") and any_dtype in DType.table.values()


@given(shapes(), shapes(rank=3), shapes(rank=(1, 2), low=2, high=5))
def test_shapes(any_shape, three, small):
    assert len(any_shape) <= 4 and all(0 <= d <= 7 for d in any_shape) and len(three) == 3
    assert len(small) in (1, 2) and all(2 <= d <= 5 for d in small)


@given(st.data(), dtypes(), shapes())
def test_arrays(data, dtype, shape):
    made = data.draw(arrays(TensorType(dtype, shape), 0, 1))
    assert TensorType.of(made) == TensorType(dtype, shape) and ((made >= 0) & (made <= 1)).all()


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(schedules(PROGRAM))
def test_schedules_are_legal_and_mean_the_same(trace):
    workload = WORKLOADS["gemm"]
    given_arrays, wanted, got = workload.inputs(PROGRAM, 0), workload.outputs(PROGRAM, 0), workload.outputs(PROGRAM, 0)
    run_python(PROGRAM, *given_arrays, *wanted)
    run_python(trace.replay(PROGRAM).program, *given_arrays, *got)
    np.testing.assert_array_equal(got, wanted)


@settings(max_examples=10)
@given(dtypes("float"), shapes(rank=(1, 4)), st.data())
def test_the_example_of_the_docstring(dtype, shape, data):
    x = input("x", TensorType(dtype, shape))
    graph = Graph("swish", (x,), (Mul()(x, Sigmoid()(x)),), ("y",))
    agree(graph, {"x": data.draw(arrays(x.type))}, ("numpy", "llvm", "relax"))


ANY_ORDER = "any order is as good, and ours is the sorted one"
SAME = {
    ("Cast", "saturate"): "of float8 alone",
    ("MaxPoolIndices", "channels_last"): "of pools alone",
    ("TopK", "sorted"): ANY_ORDER,
    ("TopKIndices", "sorted"): ANY_ORDER,
}


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_the_draws_of_an_operator_vary_every_field(name):
    """A field that is never varied could be ignored, and no test of the operators would see it."""
    drawn_ops = [drawn(name, case)[0] for case in range(60)]
    for field in dataclasses.fields(REGISTRY[name]):
        seen = {repr(getattr(op, field.name)) for op in drawn_ops}
        assert len(seen) > 1 or (name, field.name) in SAME, f"{name}.{field.name} is always {seen.pop()}"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_an_operator_is_drawn_from_a_seed(name):
    """The same twice, of the types it infers, its operands bound."""
    (op, one), (again, other) = drawn(name, 7), drawn(name, 7)
    assert op is again and not op.pending
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
    assert op.infer(*map(TensorType.of, one)) == TensorType.of(op.numpy(*one))


def test_a_graph_is_drawn_from_a_seed():
    one, other = drawn_graph(5), drawn_graph(5)
    assert one.graph.same_as(other.graph) and str(one) == str(other) != str(drawn_graph(6))
    only = drawn_graph(5, 10, ["Add", "Neg"])
    assert {n.op.name for n in only.graph.nodes} <= {"Add", "Neg", "Input", "Constant"}


def test_extremes_can_be_left_out():
    wide = [SeededDraw(k).array(TensorType(DType.of("float32"), (50,))) for k in range(40)]
    tame = [SeededDraw(k, extremes=False).array(TensorType(DType.of("float32"), (50,))) for k in range(40)]
    sizes = [np.abs(np.concatenate(a)) for a in (wide, tame)]
    assert any(np.isfinite(s).all() for s in tame) and not all(np.isfinite(s).all() for s in tame)
    assert (sizes[0][np.isfinite(sizes[0])] > 1e30).any() and not (sizes[1][np.isfinite(sizes[1])] > 1e30).any()
