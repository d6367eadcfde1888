"""Every known difference is one: a judge gives another answer than the reference on the example, and on benign values the same."""

import numpy as np
import pytest

from minicc.graph import ir
from minicc.ops import Cast, Div, Floor
from minicc.ops.base import REGISTRY
from minicc.testing.compare import run_fast
from minicc.testing.differences import BY_OPERATOR, DIFFERENCES, SAME, differences_of
from minicc.testing.oracle import JUDGES, Disagreement, agree, assert_close, excuses, reference, run_judge
from minicc.testing.worker import Finding, Worker
from minicc.types import DType, TensorType, int8


def graph_of(op, arrays):
    inputs = tuple(ir.input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays))
    return ir.Graph("main", inputs, (ir.make(op, inputs),), ("y",)), {f"x{k}": a for k, a in enumerate(arrays)}


def compared_with_itself(op, arrays):
    """A graph in which `op` reads one computed value twice."""
    x = ir.input("x0", TensorType.of(arrays[0]))
    return ir.Graph("main", (x,), (op(Floor()(x), Floor()(x)),), ("y",)), {"x0": arrays[0]}


def divided(op, arrays):
    """A graph in which the result of `op` on one value, twice, is divided."""
    given = {"x0": arrays[0], "x1": np.int64([-6175726300036411064])}
    x, y = (ir.input(name, TensorType.of(a)) for name, a in given.items())
    return ir.Graph("main", (x, y), (Div()(op(x, x), y),), ("y",)), given


def divided_by(op, arrays):
    """A graph that divides by the result of `op`."""
    x = ir.input("x0", TensorType.of(arrays[0]))
    return ir.Graph("main", (x,), (Div()(np.float32([1]), op(x)),), ("y",)), {"x0": arrays[0]}


FUSED_ONLY = {
    "comparison with itself": compared_with_itself,
    "overflow of signed integers": divided,
}  # show where operators are fused


DIVIDED_BY = {"sign of zero": divided_by}  # do not show in the result itself


def benign(arrays):
    """Arrays of the same types with moderate values, no two equal."""
    return [(2 + np.arange(a.size).reshape(a.shape)).astype(a.dtype) for a in arrays]


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda d: d.name)
def test_a_judge_differs_on_the_example_if_the_table_says_so(difference, judge_name):
    op, arrays = difference.example()
    assert op.name in difference.operators and difference.applies(op, arrays)
    graph, inputs = (FUSED_ONLY | DIVIDED_BY).get(difference.name, graph_of)(op, arrays)
    assert (difference.name in excuses(graph, inputs, judge_name).names) == bool(difference.by(judge_name))
    agree(graph, inputs, ("numpy", judge_name))
    if judge_name in difference.kills:
        with Worker(JUDGES[judge_name].engine) as worker:
            outcome = worker.run([(graph, inputs)])[0]
        assert isinstance(outcome, Finding) and outcome.kind == "crash"
    elif difference.by(judge_name):
        (expected,), (tolerance,) = reference(graph, inputs)
        run = run_fast if difference.name in FUSED_ONLY else run_judge  # Relay fuses only what is to be fast
        with pytest.raises(Disagreement):
            assert_close(run(judge_name, graph, inputs)["y"], expected, tolerance=tolerance)


SHAPE_ONLY = {
    "reflection of a reflection",
    "greatest of padding alone",
    "average of padding alone",
}  # differ for every value


@pytest.mark.parametrize("difference", [d for d in DIFFERENCES if d.name not in SHAPE_ONLY], ids=lambda d: d.name)
def test_a_benign_example_is_not_excused(difference, judge_name):
    op, arrays = difference.example()
    arrays = benign(arrays)
    assert not differences_of(op, arrays, judge_name)
    agree(*graph_of(op, arrays), ("numpy", judge_name))


@pytest.mark.parametrize(("past", "names"), [(0, []), (1, ["cast out of range"])])
def test_a_cast_to_the_bounds_of_a_type_is_not_excused(past, names):
    bounds = np.array([-128 - past, 127 + past], np.float32)
    assert [d.name for d in differences_of(Cast(int8), [bounds[:1]], "relay")] == names
    assert [d.name for d in differences_of(Cast(int8), [bounds[1:]], "relay")] == names


def test_names_are_unique_and_operators_exist():
    assert len({d.name for d in DIFFERENCES}) == len(DIFFERENCES)
    assert set(BY_OPERATOR) <= set(REGISTRY)
    assert all(d.ours not in (d.relax, d.relay) and all(map(d.by, d.kills)) for d in DIFFERENCES)
    assert all(d.relax or d.relay not in ("", SAME) for d in DIFFERENCES)


def test_integers_have_no_nan():
    for difference in DIFFERENCES:
        op, arrays = difference.example()
        if difference.name.endswith("NaN"):
            assert not difference.applies(op, [np.ones(a.shape, DType.of("int32").numpy) for a in arrays])
