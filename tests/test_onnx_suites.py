"""All suites of backend tests as machine code, and what makes a test one that should fail."""

from collections import Counter

import numpy as np
import pytest
from onnx import helper

from minicc import backend
from minicc.testing.onnx_suites import SuiteResult, expected, refusal, run_suite, runner, surprises


def test_reasons():
    def reason(op, type=1, **attributes):
        x, y = (helper.make_tensor_value_info(name, type, [2]) for name in "xy")
        graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], **attributes)], "net", [x], [y])
        return refusal("test", helper.make_model(graph))

    assert reason("Relu") == ""
    assert reason("Bernoulli") == "Bernoulli: random numbers"
    assert reason("Cast", to=17).startswith("elements of text") and reason("Relu", 8).startswith("elements of text")


def test_surprises_are_of_both_kinds():
    rows = [
        SuiteResult("s", "a", "Op", "", "wrong"),
        SuiteResult("s", "b", "Op", "why"),
        SuiteResult("s", "c", "Op", ""),
    ]
    assert surprises(rows) == ["a: wrong", "b: passes, and should not: why"]


def test_a_few_of_the_other_suites_compiled():
    chosen = [
        "test_operator_basic",
        "test_operator_addmm",
        "test_BatchNorm2d_eval",
        "test_PReLU_2d_multiparam",
        "test_sign_model",
    ]
    results = [r for suite in backend.SUITES[1:4] for r in run_suite(runner("llvm"), suite, chosen)]
    assert len(results) == len(chosen) and surprises(results) == []


@pytest.mark.slow
@pytest.mark.parametrize("suite", backend.SUITES[:-1])
def test_a_run_gives_what_is_expected(suite):
    with np.errstate(all="ignore"):
        results = run_suite(runner("llvm"), suite)
    assert surprises(results) == [], Counter(r.operator for r in results if bool(r.problem) != bool(r.reason))


@pytest.mark.slow
@pytest.mark.parametrize("name", [row.test for row in expected("light")])
def test_whole_networks(name):
    """Not in NumPy: their weights are all alike, and BLAS rounds equal columns to numbers that a Softmax sets apart."""
    (result,) = run_suite(runner("llvm"), "light", [name])
    assert not result.problem
