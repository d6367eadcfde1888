"""The ONNX backend tests that an inference compiler should pass, and the table of what passes.

In: `run_case`, a function that runs an ONNX model on arrays, and the tests of the onnx package.
Out: a `Result` per test, and a table per operator. The list of tests is in
`onnx-classic-tests.txt`: test, operator, opset, whether a shape operand is a run-time input
(`shape_in`), dtypes.

    from minicc import backend
    print(table(run_suite(backend.run_model, backend.node_tests())))
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

RunCase = Callable[[Any, list[Any]], Sequence[Any]]  # an onnx.ModelProto and its inputs, to its outputs


@dataclass(frozen=True)
class Listed:
    """A test of the list."""

    test: str
    operator: str
    opset: str
    shape_in: bool
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What came of a test: `problem` is empty where it passed."""

    listed: Listed
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem


def listed() -> tuple[Listed, ...]:
    """The list of tests, in order."""
    lines = Path(__file__).with_name("onnx-classic-tests.txt").read_text().splitlines()
    rows = [line.split("\t") for line in lines]
    return tuple(Listed(a, b, c, given == "shape_in", tuple(dtypes.split("|"))) for a, b, c, given, dtypes in rows)


def run_suite(run_case: RunCase, tests: Mapping[str, Any], chosen: Iterable[Listed] | None = None) -> list[Result]:
    """Run the tests of the list (or those `chosen`); a test that is wrong or raises does not end the suite."""
    return [run_test(run_case, tests[entry.test], entry) for entry in (listed() if chosen is None else chosen)]


def run_test(run_case: RunCase, test: Any, entry: Listed) -> Result:
    """Run one test of the onnx package on all its data sets, with its own tolerance."""
    for inputs, outputs in test.data_sets:
        try:
            _compare(run_case(test.model, list(inputs)), outputs, test.rtol, test.atol)
        except Exception as error:  # whatever goes wrong is the result of this test
            lines = str(error).strip().splitlines() or [""]
            return Result(entry, f"{type(error).__name__}: {lines[0]}")
    return Result(entry)


def table(results: Sequence[Result]) -> str:
    """Passes per operator, and the failures by name."""
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        groups[result.listed.operator].append(result)
    width = max(map(len, groups), default=0)
    lines = []
    for operator, group in sorted(groups.items()):
        failed = [result.listed.test for result in group if not result.passed]
        counts = f"{operator:<{width}}  {len(group) - len(failed):>3} of {len(group):>3}"
        lines.append(f"{counts}  {'' if not failed else 'not: ' + ' '.join(failed)}".rstrip())
    passed = sum(result.passed for result in results)
    return "\n".join([*lines, f"{'all':<{width}}  {passed:>3} of {len(results):>3}"])


def _compare(got: Sequence[Any], expected: Sequence[Any], rtol: float, atol: float) -> None:
    if len(got) != len(expected):
        raise AssertionError(f"expected {len(expected)} outputs, got {len(got)}")
    for ours, theirs in zip(got, expected, strict=True):
        if isinstance(theirs, (list, tuple)):  # a sequence
            _compare(ours, theirs, rtol, atol)
        elif ours is not theirs:  # None is an optional that is empty
            _compare_arrays(ours, theirs, rtol, atol)


def _compare_arrays(ours: Any, theirs: Any, rtol: float, atol: float) -> None:
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        raise AssertionError(f"expected {theirs.dtype}{list(theirs.shape)}, got {ours.dtype}{list(ours.shape)}")
    wide = np.float64 if theirs.dtype.kind in "fV" else theirs.dtype
    assert_allclose(ours.astype(wide), theirs.astype(wide), rtol=rtol, atol=atol)
