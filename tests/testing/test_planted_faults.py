"""A fault planted in the compiler is found by random graphs, reduced to a few nodes, and written as a test; one of meaning by the judges."""

import functools
import importlib
import runpy
from dataclasses import replace as changed

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from minicc import te
from minicc.graph.simplify_graph import RULES, simplify_graph
from minicc.ir.node import replace
from minicc.loop.ir import Store, rewrite
from minicc.ops import Add, Neg, Transpose
from minicc.ops.base import type_of
from minicc.schedule.nest import graft
from minicc.schedule.loop_kind import serial_loop
from minicc.schedule.vectorize import VectorizeStep
from minicc.tensor.expr import const, select
from minicc.testing.oracle import Disagreement, agree
from minicc.testing.reduce import fails_like, failure, operators, pytest_source, reduce
from minicc.testing.strategies import graphs
from minicc.types import boolean

STAGES = ("numpy", "llvm")
NAMES = ("Sub", "Mul", "Neg", "Relu", "Transpose", "Reshape", "ReduceSum")


def subtract_forgets_the_sign(patch):
    """Simplification makes x + c of x - c."""
    rules = [changed(rule, rhs=lambda x, c: Add()(x, c)) if rule.name == "subtract" else rule for rule in RULES]
    patch.setattr(
        importlib.import_module("minicc.compile"), "simplify_graph", functools.partial(simplify_graph, rules=rules)
    )


def vectors_lose_their_last_lane(patch):
    """A vectorized loop writes 77 in its last iteration, and not what it should."""

    def transform(self, program):
        loop = serial_loop(program, self.loop)
        last = loop.var.equal(loop.extent - 1)

        def lost(s):
            is_number = isinstance(s, Store) and s.value.dtype is not boolean
            return replace(s, value=select(last, const(77, s.value.dtype), s.value)) if is_number else s

        return graft(program, loop, replace(loop, kind="vectorize", body=rewrite(loop.body, lost)))

    patch.setattr(VectorizeStep, "transform", transform)


def transpose_reads_its_first_axis_backwards(patch):
    """One index of the expression of Transpose is turned round."""

    def compute(self, x):
        perm = self.axes(len(x.shape))

        def element(*i):
            first, *rest = (i[perm.index(a)] for a in range(len(perm)))
            return x[(x.shape[0] - 1 - first, *rest)]

        return te.compute(self.infer(type_of(x)).shape, element if perm else lambda: x[()], name="transpose")

    patch.setattr(Transpose, "compute", compute)


def transpose_means_another_tensor(patch):
    """Its first axis is backwards in the tensor expression, and in NumPy, too."""
    transpose_reads_its_first_axis_backwards(patch)
    right = Transpose.numpy
    patch.setattr(Transpose, "numpy", lambda self, x: np.flip(right(self, x), 0) if x.ndim else x)


def negation_means_nothing(patch):
    """In NumPy and in the tensor expression."""
    patch.setattr(Neg, "numpy", lambda self, x: x)
    patch.setattr(Neg, "compute", lambda self, x: te.compute(x.shape, lambda *i: x[i], name="neg"))


def first_failure(stages=STAGES):
    """The first of the random graphs on which the stages disagree; None when they agree on all."""
    found = []

    @settings(max_examples=400, phases=[Phase.generate], derandomize=True, database=None, deadline=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(graphs(max_nodes=8, names=NAMES))
    def search(example):
        wrong = failure(example.graph, example.inputs, stages).startswith("Disagreement")
        found.extend([example] if wrong and not found else [])
        assert not found

    try:
        search()
    except AssertionError:
        return found[0]
    return None


@pytest.mark.parametrize("plant, guilty", [
    (subtract_forgets_the_sign, "Sub"), (vectors_lose_their_last_lane, ""),
    pytest.param(transpose_reads_its_first_axis_backwards, "Transpose", marks=pytest.mark.slow),
], ids=["simplification", "vectorize", "transpose"])  # fmt: skip
def test_a_planted_fault_is_found_and_reduced(monkeypatch, tmp_path, plant, guilty):
    file = tmp_path / "test_reduced.py"
    with monkeypatch.context() as patch:
        plant(patch)
        example = first_failure()
        assert example is not None, "the harness does not see the fault"
        graph, inputs = reduce(example.graph, example.inputs, fails_like(example.graph, example.inputs, STAGES))
        assert len(operators(graph)) <= 3, str(graph)
        assert guilty in [n.op.name for n in operators(graph)] or not guilty
        file.write_text(pytest_source(graph, inputs, STAGES))
        test = runpy.run_path(str(file))["test_stages_agree"]
        with pytest.raises(Disagreement, match="stage llvm"):
            test()
    test()
    agree(graph, inputs, (*STAGES, "relax"))


@pytest.mark.slow
@pytest.mark.parametrize("plant, guilty", [(transpose_means_another_tensor, "Transpose"), (negation_means_nothing, "Neg")],
                         ids=["transpose", "negation"])  # fmt: skip
def test_a_fault_of_meaning_that_all_stages_share_is_found_by_a_judge(monkeypatch, plant, guilty, judge_name):
    stages = ("numpy", "llvm", judge_name)
    with monkeypatch.context() as patch:
        plant(patch)
        example = first_failure(stages)
        assert example is not None, "the judge does not see the fault"
        graph, inputs = reduce(example.graph, example.inputs, fails_like(example.graph, example.inputs, stages))
        assert [n.op.name for n in operators(graph)] == [guilty], str(graph)
        agree(graph, inputs, STAGES)
        with pytest.raises(Disagreement, match=f"stage {judge_name}"):
            agree(graph, inputs, (judge_name,))
    agree(graph, inputs, stages)
