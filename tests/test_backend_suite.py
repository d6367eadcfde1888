"""The ONNX backend tests of the list, through the stages of the oracle: references, loop programs, machine code.

The known failures are exact: one that starts to pass must leave the list.
"""

import functools
import re
from pathlib import Path

import pytest

from minicc import backend
from minicc.frontend.onnx.schemas import history
from minicc.testing.backend_suite import Listed, Result, listed, run_suite, table
from minicc.testing.onnx_suites import KNOWN, expected, page, runner, surprises
from minicc.testing.onnx_suites import run_suite as run_every

PAGE = Path(__file__).parent.parent / "tutorials" / "onnx-support.md"

KNOWN_FAILURES: dict[str, dict[str, str]] = {"numpy": {}, "loop": {}, "llvm": {}}  # stage: {test: why}


@functools.cache
def results(stage) -> list[Result]:
    return run_suite(runner(stage), backend.node_tests())


def problems(found):
    return {result.listed.test: result.problem for result in found if not result.passed}


def test_the_list_is_whole():
    entries = listed()
    assert len(entries) == len({entry.test for entry in entries}) == 725
    assert entries[0] == Listed("test_abs", "Abs", "opset13", False, ("f32",))
    assert sum(entry.shape_in for entry in entries) == 210


@pytest.mark.parametrize("stage", ["numpy", *(pytest.param(s, marks=pytest.mark.slow) for s in ("loop", "llvm"))])
def test_failures_are_the_known_ones(stage):
    failed = problems(results(stage))
    assert failed.keys() == KNOWN_FAILURES[stage].keys(), failed
    assert len(results(stage)) - len(failed) >= 650


def test_one_test_of_each_operator_compiled():
    chosen = {entry.operator: entry for entry in listed() if entry.test not in KNOWN_FAILURES["llvm"]}
    assert problems(run_suite(runner("llvm"), backend.node_tests(), chosen.values())) == {}


def test_table_counts_per_operator():
    lines = table(results("numpy")).splitlines()
    assert lines[0].split() == ["Abs", "1", "of", "1"]
    assert lines[-1].split() == ["all", "725", "of", "725"]


@pytest.mark.parametrize(
    ("outputs", "problem"),
    [
        (lambda x: [abs(x)], ""),
        (lambda x: [x], "AssertionError: Not equal to tolerance"),
        (lambda x: [], "AssertionError: expected 1 outputs, got 0"),
        (lambda x: [abs(x).astype("float64")], "AssertionError: expected float32[3, 4, 5], got float64[3, 4, 5]"),
        (lambda x: [abs(x)[0]], "AssertionError: expected float32[3, 4, 5], got float32[4, 5]"),
    ],
)
def test_a_wrong_result_is_a_failure(outputs, problem):
    entry = listed()[0]
    (result,) = run_suite(lambda model, inputs: outputs(*inputs), backend.node_tests(), [entry])
    assert result.problem.startswith(problem) and result.passed == (not problem)
    assert ("not: test_abs" in table([result])) == bool(problem)


# ---- all suites, and the page that says what passes -----


def test_the_page_is_what_is_expected():
    assert PAGE.read_text() == page(), "run python -m minicc.testing.onnx_suites --page tutorials/onnx-support.md"
    assert all(f"\n| {name} |" in page() for name in history())


def test_what_an_inference_compiler_should_pass():
    passes = {suite: [row.test for row in expected(suite) if not row.reason] for suite in backend.SUITES}
    assert {entry.test for entry in listed()} <= set(passes["node"])
    assert sum("_expanded" in name for name in passes["node"]) >= 380
    assert [len(passes[suite]) for suite in ("pytorch-operator", "pytorch-converted", "light")] == [35, 82, 9]


def test_every_known_failure_is_one():
    names = [row.test for row in expected("node")]
    assert all(any(re.fullmatch(pattern, name) for name in names) for pattern in KNOWN)


@pytest.mark.slow
@pytest.mark.parametrize("suite", backend.SUITES[:-1])
def test_every_suite_gives_what_is_expected(suite):
    assert surprises(run_every(runner("numpy"), suite)) == []
