"""All suites of backend tests that the onnx package has, what of them is refused and why, and the page that says so.

In: `RunCase`, as `testing.backend_suite` has it. Out: results by suite; a table; the page `tutorials/onnx-support.md`, a line
for each operator of ONNX. What should fail is derived: from the operators and element types that there are, and from
KNOWN, which gives the reason of every other failure. So whoever adds an operator changes nothing here.

    python -m minicc.testing.onnx_suites --stage llvm --suite simple
    python -m minicc.testing.onnx_suites --page tutorials/onnx-support.md
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from minicc import backend
from minicc.frontend import load
from minicc.frontend.onnx.supported import NEWEST, OLDEST
from minicc.frontend.onnx.schemas import history
from minicc.frontend.onnx.table import translations
from minicc.frontend.onnx.tensors import DTYPES
from minicc.graph.bind import bind
from minicc.runtime.files import write_file
from minicc.testing.backend_suite import Listed, Result, RunCase, listed, run_test
from minicc.testing.oracle import STAGES
from minicc.testing.progress import run

# Tests of operators and element types that are supported, and yet are not passed: a pattern of their names, and why.
KNOWN = {
    r"test_batchnorm_.*_training_mode|test_training_dropout.*": "training mode",
    r"test_attention_(3d|4d)_(attn_mask_)?(causal_|padded_kv_|causal_padded_kv_)+(bf16|fp16)(_expanded)?":
        "the reference rounds every step of a Softmax to 16 bits, minicc the result",
    r"test_dft_inverse(_opset19)?": "the expected zeros are rounding errors of float32, of 2e-7; the test allows 1e-7",
    r"test_optional_has_element_empty_optional_input": "a caller cannot leave out an input",
    r"test_melweightmatrix": "its sizes must be constants",
}  # fmt: skip

# Why an operator that is not supported will not be.
REASONS = {
    **dict.fromkeys(("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
                    "random numbers"),
    **dict.fromkeys(("StringConcat", "StringNormalizer", "StringSplit", "RegexFullMatch", "TfIdfVectorizer"), "text"),
    "ImageDecoder": "files of pictures: `minicc.vision` reads them",
    "BitCast": "bits of numbers have no reference in float64",
    "MaxRoiPool": "RoiAlign took its place",
}  # fmt: skip
OTHERS = "not yet"


@dataclass(frozen=True)
class SuiteResult:
    """What came of a test: `problem` is empty where it passed, `reason` where it should."""

    suite: str
    test: str
    operator: str
    reason: str
    problem: str = ""


def nodes(graph: Any) -> Iterator[Any]:
    """All nodes of a graph, of its branches and bodies, too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                yield from nodes(inner)


@cache
def _supported() -> frozenset[str]:
    return frozenset(translations())


def kind(node: Any) -> str:
    """An operator's name, with its domain if that is not ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"


def refusal(name: str, model: Any) -> str:
    """Why a test is not passed; empty where it is."""
    functions = {f.name for f in model.functions}
    inner = [node for f in model.functions for node in nodes(f)]
    used = [n for n in [*nodes(model.graph), *inner] if n.op_type not in functions]
    lacking = sorted({kind(n) for n in used} - _supported())
    if lacking:
        return f"{', '.join(lacking)}: {REASONS.get(lacking[0], OTHERS)}"
    types = [value.type for value in (*model.graph.input, *model.graph.output)]
    codes = {t.tensor_type.elem_type for t in types if t.HasField("tensor_type")} | {
        a.i for n in used for a in n.attribute if a.name == "to"
    }
    if codes - DTYPES.keys():
        return "elements of text, or of floats and integers of fewer than 8 bits, or of 8-bit floats"
    return next((why for pattern, why in KNOWN.items() if re.fullmatch(pattern, name)), "")


@cache
def expected(suite: str) -> tuple[SuiteResult, ...]:
    """What should come of each test of a suite."""
    tests = backend.suite_tests(suite)
    found = []
    for name, test in sorted(tests.items()):
        base = tests.get(name.split("_expanded")[0], test)  # a twin belongs to the operator that it defines
        found.append(SuiteResult(suite, name, kind(base.model.graph.node[0]), refusal(name, test.model)))
    return tuple(found)


def run_suite(run_case: RunCase, suite: str, chosen: Iterable[str] | None = None) -> list[SuiteResult]:
    """Run the tests of a suite, or those `chosen` by name. Tests of what is refused run, too: they must fail."""
    tests, wanted = backend.suite_tests(suite), None if chosen is None else set(chosen)
    results = []
    for row in expected(suite):
        if wanted is None or row.test in wanted:
            entry = Listed(row.test, row.operator, "", False, ())
            result: Result = run_test(run_case, tests[row.test], entry)
            results.append(SuiteResult(row.suite, row.test, row.operator, row.reason, result.problem))
    return results


def runner(stage: str) -> RunCase:
    """A `RunCase` by one stage of the oracle."""

    def run_case(model: Any, inputs: list[Any]) -> Sequence[Any]:
        graph = load(model)
        if graph.symbols:
            shapes = {name: x.shape for name, x in zip(graph.input_names, inputs, strict=True) if hasattr(x, "shape")}
            graph = bind(graph, shapes=shapes)
        return list(STAGES[stage](graph, dict(zip(graph.input_names, inputs, strict=True))).values())

    return run_case


def surprises(results: Iterable[SuiteResult]) -> list[str]:
    """A line for each test that fails, or passes, against what is expected."""
    return [
        f"{r.test}: {r.problem or f'passes, and should not: {r.reason}'}"
        for r in results
        if bool(r.problem) != bool(r.reason)
    ]


# ---- the page ---------------------------------------------------------------------------------------------------


def page() -> str:
    """The page, in Markdown, of what is expected; the tests show that a run gives that."""
    rows = [row for suite in backend.SUITES for row in expected(suite)]
    lines = [HEAD.format(oldest=OLDEST, newest=NEWEST), *_suites(rows), "", "## Operators", "", *_operators(rows)]
    foreign = sorted(name for name in _supported() if name.startswith("com.microsoft::"))
    lines += [
        "",
        "## Operators of onnxruntime",
        "",
        "Of the domain `com.microsoft`, which exporters for onnxruntime write, with",
        "",
    ]
    lines += ["its own declarations:", "", ", ".join(f"`{name.partition('::')[2]}`" for name in foreign) + "."]
    return "\n".join(lines) + "\n"


HEAD = """# What minicc reads of ONNX

Opset {oldest} to {newest}, and of older ones what has not changed or is one of the forms that old exporters wrote. This page is
made by `python -m minicc.testing.onnx_suites --page tutorials/onnx-support.md` from the tests that the onnx package has for
backends; each of them runs in NumPy and as machine code, and passes or fails as it says here.

## Suites

`classic` are the tests of `node` that any inference compiler should pass; `expanded` are those in which ONNX defines an
operator by others; `light` are whole networks."""


def _suites(rows: Sequence[SuiteResult]) -> list[str]:
    classic = {entry.test for entry in listed()}
    groups: dict[str, list[SuiteResult]] = defaultdict(list)
    for row in rows:
        groups[row.suite].append(row)
        if row.suite == "node" and row.test in classic:
            groups["classic"].append(row)
        if row.suite == "node" and "_expanded" in row.test:
            groups["expanded"].append(row)
    lines = ["", "| suite | passes | of | others |", "| --- | --: | --: | --- |"]
    for suite in ("classic", "expanded", *backend.SUITES):
        group = groups[suite]
        counts = Counter(row.reason for row in group if row.reason)
        why = "; ".join(f"{count} {reason}" for reason, count in counts.most_common(4))
        more = sum(counts.values()) - sum(count for _, count in counts.most_common(4))
        lines.append(
            f"| {suite} | {len(group) - counts.total()} | {len(group)} | {why}{f'; {more} for other reasons' * bool(more)} |"
        )
    return lines


def _operators(rows: Sequence[SuiteResult]) -> list[str]:
    by_operator: dict[str, list[SuiteResult]] = defaultdict(list)
    for row in rows:
        if row.suite == "node":
            by_operator[row.operator].append(row)
    lines = ["| operator | changed in opset | tests passed | of | what is refused |", "| --- | --- | --: | --: | --- |"]
    for name, versions in history().items():
        lines.append(_operator(name, versions, by_operator.get(name, [])))
    return lines


def _operator(name: str, versions: Sequence[int], rows: Sequence[SuiteResult]) -> str:
    passed = sum(not row.reason for row in rows)
    reasons = dict.fromkeys(row.reason for row in rows if row.reason)
    if name not in _supported():
        reasons = dict.fromkeys([f"the operator: {REASONS.get(name, OTHERS)}"])
    changed = ", ".join(map(str, versions))
    return f"| {name} | {changed} | {passed or ''} | {len(rows) or ''} | {'; '.join(reasons)} |"


def main(
    stage: Annotated[str, typer.Option(help="numpy, loop or llvm.")] = "numpy",
    suite: Annotated[list[str] | None, typer.Option(help="Only this suite; may be given more than once.")] = None,
    output: Annotated[Path | None, typer.Option("--page", help="Write the page to this file.")] = None,
) -> None:
    """Run the suites of backend tests, and say what differs from what is expected; or write the page."""
    if output:
        write_file(output, page().encode())
        return
    suites = suite or [name for name in backend.SUITES if name != "light" or stage == "llvm"]
    results = [result for name in suites for result in run_suite(runner(stage), name)]
    found = surprises(results)
    passed = sum(not result.problem for result in results)
    print("\n".join([*found, f"{passed} of {len(results)} pass, {len(found)} differ from what is expected"]))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    run(main)
