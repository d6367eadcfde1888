"""Parts of the compiler are replaced for one compilation; where one is a Task still, something slower gives the same answer."""

from __future__ import annotations

import re
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import minicc
from minicc import ops, te
from minicc.compile import optimize, pipeline
from minicc.errors import ConfigError, LoopError, MiniccError, OpenTaskWarning, Task, TypeInferenceError
from minicc.frontend import load
from minicc.graph import bind, evaluate, parse
from minicc.graph.ir import Graph, Kernel, constant, input
from minicc.ir.node import replace
from minicc.ir.rewrite import Rule
from minicc.loop.ir import If, map_bodies
from minicc.ops.base import REGISTRY
from minicc.recipes import registry
from minicc.recipes.registry import Recipe
from minicc.schedule import STEPS
from minicc.schedule.replaced import replaced
from minicc.types import TensorType, float32

DIGITS = Path(minicc.__file__).parent / "cli" / "digits" / "digits.onnx"
RANDOM = np.random.default_rng(0)


def weights(*shape):
    return constant((RANDOM.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32))


def small():
    x = input("x", TensorType(float32, (5, 12)))
    return Graph("small", (x,), (ops.Relu()(ops.MatMul()(x, weights(12, 20))),), ("y",))


def residual():
    x = input("x", TensorType(float32, (1, 8, 6, 6)))
    channels = (weights(8), weights(8), weights(8), constant(np.full(8, 1.5, np.float32)))
    y = ops.Relu()(ops.BatchNormalization()(ops.Conv(padding=(1, 1, 1, 1))(x, weights(8, 8, 3, 3)), *channels))
    y = ops.Concat(axis=1)(ops.Add()(x, y), ops.MaxPool((3, 3), padding=(1, 1, 1, 1))(y))
    return Graph("residual", (x,), (y,), ("y",))


def transformer():
    x = input("x", TensorType(float32, (6, 16)))
    q, k, v = (ops.MatMul()(x, weights(16, 16)) for _ in range(3))
    scores = ops.Softmax(axis=-1)(ops.MatMul()(q, ops.Transpose((1, 0))(k)))
    y = ops.LayerNormalization()(ops.Add()(x, ops.MatMul()(scores, v)), weights(16), weights(16))
    z = ops.MatMul()(ops.Gelu()(ops.MatMul()(y, weights(16, 32))), weights(32, 16))
    return Graph("transformer", (x,), (ops.Add()(y, z),), ("z",))


MODELS = {"digits": lambda: bind(load(DIGITS), {"batch": 1}), "residual": residual, "transformer": transformer}


def hole(*_, **__):
    raise Task("3.1", "a part to be written")


def answered(graph):
    """Inputs of a graph, and the right answers."""
    random = np.random.default_rng(1)
    inputs = zip(graph.input_names, graph.inputs, strict=True)
    arrays = {name: random.standard_normal(v.type.shape).astype(v.dtype.numpy) for name, v in inputs}
    return arrays, evaluate(graph, arrays)


def right(graph, answers=None, **given):
    """The warnings of a compilation that gives the right answer; the Task where one is raised."""
    arrays, expected = answers or answered(graph)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            made = minicc.compile(graph, cache=False, **given)
            got = dict(zip(graph.output_names, made(*arrays.values()), strict=True))
        except Task as task:
            assert task.name == "3.1"
            return task
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-4)
    assert all(w.category is OpenTaskWarning for w in told) and len(told) <= 1
    return [str(w.message) for w in told]


# ---- replaced


def test_a_recipe_is_tried_before_the_others():
    def halves(s, target):
        s.split(s.loops_of(s.program.outputs[0].name)[0], 2)

    (kernel,) = minicc.compile(small(), recipes=[Recipe("halves", lambda program, target: "I say so", halves)]).kernels
    assert "# recipe halves: I say so" in kernel.stages["schedule"]
    assert "halves" not in minicc.compile(small()).kernels[0].stages["schedule"]


def test_a_primitive_is_replaced_in_recipes_in_tiles_and_by_hand():
    seen = []

    def split(program, step):
        seen.append(str(step))
        return step.transform(program)

    assert right(small(), primitives={"split": split}) == [] and seen
    A = te.placeholder((8, 8), name="A")
    B = te.compute((8, 8), lambda i, j: A[i, j] + 1.0, name="B")
    del seen[:]
    with replaced({"split": split}):
        s = te.create_schedule(B.op)
        s[B].tile(*B.op.axis, 4, 4)
        assert any(step.name == "split" for step in s.moves())
    assert seen[:2] == ['s.split("i", factor=4)', 's.split("j", factor=4)']
    before = len(seen)
    s[B].split("i_i", factor=2)
    assert len(seen) == before


def test_a_primitive_that_leaves_its_tensors_is_refused():
    def unguarded(program, step):
        return replace(step.transform(program), body=bare(step.transform(program).body))

    def bare(s):
        return bare(s.body) if isinstance(s, If) else map_bodies(s, bare)

    def thirds(s, target):
        s.split(s.loops_of(s.program.outputs[0].name)[0], factor=3)

    recipe = Recipe("thirds", lambda program, target: "always", thirds)
    with pytest.raises(LoopError):
        minicc.compile(small(), recipes=[recipe], primitives={"split": unguarded})


class Counted(ops.Relu):
    """Relu, and how often its definition is read."""

    def compute(self, x):
        SEEN.append("compute")
        return super().compute(x)


SEEN = []


def test_an_operator_is_replaced_with_its_fields():
    assert right(small(), operators={"Relu": Counted}) == [] and SEEN

    class Pooled(ops.MaxPool):
        def infer(self, *types):
            return types[0]

    graph = Graph(
        "g", (x := input("x", TensorType(float32, (1, 2, 4, 4))),), (ops.MaxPool((2, 2), strides=(2, 2))(x),), ("y",)
    )
    with pytest.raises(TypeInferenceError, match="expected Pooled to infer"):
        minicc.compile(graph, operators={"MaxPool": Pooled})


def test_what_has_no_name_is_refused_with_the_nearest():
    for given, hint in (
        ({"operators": {"Relo": Counted}}, "did you mean 'Relu'?"),
        ({"operators": {"MaxPool": Counted}}, "class Own(ops.MaxPool): with methods of its own"),
        ({"primitives": {"splitt": hole}}, "did you mean 'split'?"),
        ({"primitives": {"split": 3}}, "give one that takes a program and a step, and gives a program"),
        ({"recipes": [hole]}, "Recipe(name, matches, schedule)"),
    ):
        with pytest.raises(ConfigError) as caught:
            minicc.compile(small(), **given)
        assert caught.value.hint == hint


# ---- open


def test_by_hand_the_task_is_raised():
    A = te.placeholder((8,), name="A")
    s = te.create_schedule(te.compute((8,), lambda i: A[i] + 1.0, name="B").op)
    with replaced({"split": hole}), pytest.raises(Task, match=r"task 3\.1"):
        s["B"].split("i", factor=2)


def test_one_warning_for_each_task_says_what_took_its_place():
    (told,) = right(small(), primitives={"split": hole})
    assert told.startswith("OpenTaskWarning: task 3.1: a part to be written is open; in its place: the naive loops of ")
    (told,) = right(small(), passes=pipeline(replace={"fuse": hole}))
    assert "in its place: small without the pass fuse" in told
    assert str(right(small(), passes=pipeline(replace={"expand composites": hole}))).startswith("Task: task 3.1")


def test_an_operator_without_code_is_run_by_its_reference():
    both = {"compute": hole, "numpy": hole}
    (told,) = right(small(), operators={"Relu": type("Open", (ops.Relu,), {"compute": hole})})
    assert "the reference of " in told
    assert isinstance(right(small(), operators={"Relu": type("Open", (ops.Relu,), both)}), Task)


def test_a_rule_that_is_open_does_not_apply(monkeypatch):
    x = input("x", TensorType(float32, (4, 3)))
    graph = Graph("g", (x,), (ops.Transpose((1, 0))(ops.Transpose((1, 0))(x)),), ("y",))
    assert right(graph) == []
    groups = [
        group for group in vars(import_module("minicc.graph.simplify_graph")).values() if isinstance(group, tuple)
    ]
    for rule in (each for group in groups for each in group if isinstance(each, Rule)):
        monkeypatch.setitem(vars(rule), "rhs", lambda: hole())
    told = right(graph)
    assert len(told) == 1 and "what the rule" in told[0]


def test_what_an_open_part_has_made_is_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("MINICC_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("MINICC_CACHE", "on")
    graph = small()
    with monkeypatch.context() as patch:
        patch.setattr(STEPS["split"], "transform", hole)
        with pytest.warns(OpenTaskWarning):
            minicc.compile(graph)
    assert minicc.compile(graph).compile_report.found == 0
    minicc.compile(graph, primitives={"split": lambda program, step: step.transform(program)})
    assert minicc.compile(graph).compile_report.found > 0


@pytest.mark.course
@pytest.mark.parametrize("model", MODELS)
def test_every_primitive_and_recipe_may_be_open(model, monkeypatch):
    """Those that schedule a kernel of the model."""
    graph, asked = MODELS[model](), set()
    answers = answered(graph)
    watched = {name: lambda program, step: asked.add(step.name) or step.transform(program) for name in STEPS}
    assert right(graph, answers, primitives=watched) == []
    for name in sorted(asked)[:: 5 if model == "digits" else 1]:
        right(graph, answers, primitives={name: hole})
    taken = {kernel.stages["schedule"].split()[2].strip(":") for kernel in minicc.compile(graph, cache=False).kernels}
    for recipe in taken:
        others = [r if r.name != recipe else Recipe(r.name, r.matches, hole) for r in registry.RECIPES]
        with monkeypatch.context() as patch:
            patch.setattr(registry, "RECIPES", tuple(others))
            assert right(graph, answers)


@pytest.mark.course
@pytest.mark.parametrize("model", ["residual", "transformer"])
def test_every_pass_may_be_open(model):
    graph = MODELS[model]()
    answers = answered(graph)
    for each in (*pipeline().graph, *pipeline().loop)[:: 3 if model == "transformer" else 1]:
        found = right(graph, answers, passes=pipeline(replace={each.name: hole}))
        assert found and isinstance(found, Task) == (each.otherwise is None), each.name


@pytest.mark.course
@pytest.mark.parametrize("model", ["residual", "transformer"])
def test_every_method_of_an_operator_may_be_open(model, monkeypatch):
    """Those of the model, and those that passes make."""
    graph = MODELS[model]()
    answers = answered(graph)
    inside = [n for kernel in optimize(graph).nodes if isinstance(kernel.op, Kernel) for n in kernel.op.body.nodes]
    for name in sorted({n.op.name for n in (*graph.nodes, *inside)} & REGISTRY.keys()):
        for method in ("compute", "numpy", "expand", "infer"):
            if method in vars(REGISTRY[name]):
                with monkeypatch.context() as patch:
                    patch.setattr(REGISTRY[name], method, hole)
                    right(graph, answers)


@pytest.mark.parametrize(("parts", "said"), [
    ({"recipes": 5}, "expected a list of recipes, got 5"),
    ({"operators": [1]}, "expected a dictionary by name, got"),
    ({"primitives": {"split": lambda program, step: None}}, "stands for split, got None"),
    ({"primitives": {"split": lambda program, step: program}}, "stands for split, got one without "),
    ({"passes": pipeline(replace={"fuse": lambda graph: None})}, "pass fuse: expected a Graph, got None"),
])  # fmt: skip
def test_parts_that_give_nothing_are_told_so(parts, said):
    graph = parse(
        "graph g(x: float32[4,64], w: float32[64,32]) {\n  %0 = MatMul(x, w) : float32[4,32]\n  return y=%0\n}"
    )
    with pytest.raises(MiniccError, match=re.escape(said)):
        minicc.compile(graph, target="haswell", **parts)
