"""The solutions of assignments in the place of minicc's own parts: whole models on a student's loops, rules and kernels."""

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import minicc
from minicc.compile import pipeline
from minicc.course.assignment import assignment
from minicc.frontend import load
from minicc.graph import bind, evaluate

pytestmark = pytest.mark.course
DIGITS = Path(minicc.__file__).parent / "cli" / "digits" / "digits.onnx"


def solved(name, module, monkeypatch):
    """A module of a solution."""
    folder = str(assignment(name).folder)
    monkeypatch.syspath_prepend(folder)
    for path in Path(folder).glob("*.py"):
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    return import_module(module)


def gives_digits(**parts):
    graph = bind(load(DIGITS), {"batch": 2})
    image = np.random.default_rng(0).standard_normal(graph.inputs[0].shape).astype(np.float32)
    made = minicc.compile(graph, **parts)
    expected = evaluate(graph, {graph.input_names[0]: image})
    for name, got in zip(graph.output_names, made(image), strict=True):
        np.testing.assert_allclose(got, expected[name], rtol=1e-4, atol=1e-5)


def test_digits_on_split_and_fuse_of_a3(monkeypatch):
    primitives = solved("a3", "primitives", monkeypatch)
    asked = []
    watched = {name: lambda program, step, own=own: asked.append(step) or own(program, step)
               for name, own in primitives.PRIMITIVES.items()}  # fmt: skip
    gives_digits(primitives=watched)
    assert {step.name for step in asked} == {"split", "fuse"}


def test_digits_by_the_rules_of_a4(monkeypatch):
    rules = solved("a4", "rules", monkeypatch)
    gives_digits(passes=pipeline(replace={"simplify": rules.simplify}))


def test_digits_in_the_kernels_of_a5(monkeypatch):
    fusion = solved("a5", "fusion", monkeypatch)
    gives_digits(passes=pipeline(replace={"fuse": fusion.fuse}))
