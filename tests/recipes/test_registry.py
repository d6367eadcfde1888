"""Recipes from outside of the package, what a kernel remembers of its recipe, and tables of traces and choices."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import minicc
from minicc import ops
from minicc.cli import app
from minicc.compile import lower_kernel, optimize, pipeline
from minicc.errors import ConfigError, ScheduleError
from minicc.graph.ir import Graph, Kernel, input, make
from minicc.recipes import registry
from minicc.recipes.registry import DEFAULT, Recipe, register, scheduled, unregister
from minicc.schedule import Trace
from minicc.schedule.choose import ChooseStep
from minicc.target import Caches, Target
from minicc.testing.oracle import compare, reference
from minicc.types import TensorType, float32

HASWELL = Target.of("haswell")


def chain(*types, op, then=()):
    """A graph of one operator, and others that take its result."""
    inputs = tuple(input(f"x{n}", TensorType(float32, shape)) for n, shape in enumerate(types))
    result = make(op, inputs)
    for after in then:
        result = make(after, (result,))
    return Graph("main", inputs, (result,), ("y",))


def reason(program, target):
    return "it has sixty rows" if "range(60)" in str(program) else None


def rows(s, target):
    loop = s.loops_of(s.program.outputs[0].name)[0]
    _, inner = s.split(loop, factor=s.choose("rows", (4, 6, 12), 6))
    s.unroll(inner)


@pytest.fixture
def third_party(monkeypatch):
    monkeypatch.setattr(registry, "RECIPES", registry.RECIPES)
    register(Recipe("rows", reason, rows))


SOFTPLUS = chain((60, 8), op=ops.Softplus())


@pytest.mark.usefixtures("third_party")
def test_a_recipe_from_outside_is_chosen_and_told():
    model = minicc.compile(SOFTPLUS, target="native")
    (kernel,) = model.kernels
    assert kernel.stages["schedule"] == (
        '# recipe rows: it has sixty rows\nrows = s.choose("rows", [4, 6, 12], 6)\ns.split("i0", factor=rows)\ns.unroll("i0_i")'
    )
    assert "in unroll(6)" in kernel.stages["loop"]
    other = minicc.compile(chain((61, 8), op=ops.Softplus()), target="native")
    assert other.kernels[0].stages["schedule"].startswith("# recipe default: no other recipe matches\n")


@pytest.mark.usefixtures("third_party")
def test_show_prints_the_recipe_and_its_reason(tmp_path):
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Softplus", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, 1, [60, 8]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "main", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]), tmp_path / "m.onnx")
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "m.onnx"), "--stage", "schedule"])
    assert shown.exit_code == 0, shown.output
    assert "# recipe rows: it has sixty rows" in shown.output and 's.split("i0", factor=rows)' in shown.output


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("by", ["label", "kernel"])
def test_kernels_get_the_choices_and_traces_of_a_table(by):
    (kernel,) = (n.op for n in optimize(SOFTPLUS).nodes if isinstance(n.op, Kernel))
    key = kernel.label if by == "label" else kernel
    x = np.linspace(-3, 3, 480, dtype=np.float32).reshape(60, 8)
    plain = minicc.compile(SOFTPLUS)
    other = minicc.compile(SOFTPLUS, schedules={key: {"rows": 12}})
    assert "in unroll(12)" in other.kernels[0].stages["loop"]
    trace = scheduled(*_naive(kernel), {"rows": 12}).schedule.trace
    replayed = minicc.compile(SOFTPLUS, schedules={key: Trace.from_json(trace.to_json())})
    assert replayed.kernels[0].stages["loop"] == other.kernels[0].stages["loop"]
    assert replayed.kernels[0].stages["schedule"].startswith("# recipe none: the trace was given\n")
    expected = plain.run({"x0": x})["y"]
    assert all(np.array_equal(made.run({"x0": x})["y"], expected) for made in (other, replayed))


def _naive(kernel):
    return lower_kernel(kernel, HASWELL).naive, HASWELL


@pytest.mark.usefixtures("third_party")
def test_tables_that_do_not_fit_are_refused():
    def refused(error, problem, schedules):
        with pytest.raises(error, match=problem) as caught:
            minicc.compile(SOFTPLUS, schedules=schedules)
        assert caught.value.where and caught.value.hint
        return caught.value

    told = refused(
        ConfigError, r"compile\(schedules=\{'softpls': ...\}\): expected the label of a kernel", {"softpls": {}}
    )
    assert told.hint == "did you mean 'softplus'?"
    refused(
        ScheduleError,
        "recipe rows of softplus: .*expected rows to be among its options 4, 6, 12, got 5",
        {"softplus": {"rows": 5}},
    )
    refused(ScheduleError, "expected the name of a choice, got 'columns'", {"softplus": {"columns": 5}})
    refused(ScheduleError, "expected a Trace or a table of choices, got 12", {"softplus": 12})
    elsewhere = Trace.from_json('[{"step": "split", "loop": "z", "factor": 4}]')
    refused(ScheduleError, r"split\(\"z\", factor=4\): no loop is called 'z'", {"softplus": elsewhere})


@pytest.mark.parametrize("part", ["matches", "schedule"])
def test_a_recipe_that_raises_is_named_with_the_kernel_and_the_cause(third_party, part):
    def broken(*_):
        return {}["rows"]

    register(Recipe("broken", *((broken, rows) if part == "matches" else (lambda *_: "it always does", broken))))
    with pytest.raises(ScheduleError) as caught:
        minicc.compile(SOFTPLUS)
    error = caught.value
    assert error.call == "recipe broken of softplus" and error.problem == "expected a schedule, got KeyError('rows')"
    assert "def softplus(" in error.where and error.hint == "correct the recipe broken, or unregister('broken')"
    assert isinstance(error.__cause__, KeyError)
    unregister("broken")
    minicc.compile(SOFTPLUS)


def test_a_step_of_a_recipe_that_is_not_legal_shows_the_program(third_party):
    register(Recipe("illegal", lambda *_: "", lambda s, target: s.split("z", factor=4)))
    with pytest.raises(ScheduleError, match=r"recipe illegal of softplus: .*no loop is called 'z'") as caught:
        minicc.compile(SOFTPLUS)
    assert caught.value.hint


def test_names_of_recipes(third_party):
    for wrong in (
        lambda: register(Recipe("rows", reason, rows)),
        lambda: unregister("row"),
        lambda: unregister(DEFAULT.name),
    ):
        with pytest.raises(
            ScheduleError, match=r"register\(.*\): expected (a new name|the name of a recipe), got"
        ) as told:
            wrong()
        assert told.value.where.startswith("recipes: rows, ") and "gemm" in told.value.where and told.value.hint
    unregister("rows")
    names = [r.name for r in registry.RECIPES]
    assert "rows" not in names and names[-1] == "default"


# ---- the recipe of matrix products, in models --------------------------------------------------------------------


MODELS = {
    "product": chain((40, 300), (300, 600), op=ops.MatMul()),
    "epilogue": chain((1, 64, 1100), (1100, 512), op=ops.MatMul(), then=(ops.Gelu(), ops.Tanh())),
    "rows apart": chain((3, 33, 7, 100), (100, 512), op=ops.MatMul(), then=(ops.Relu(),)),
    "batches": chain((3, 64, 512), (3, 512, 513), op=ops.MatMul()),
    "columns left over": chain((1, 50, 200), (1, 200, 777), op=ops.MatMul(), then=(ops.Sigmoid(),)),
    "deep": chain((50, 6000), (6000, 160), op=ops.MatMul(), then=(ops.Neg(),)),
    "gemm": chain((600, 64), (700, 600), (700,), op=ops.Gemm(alpha=0.5, trans_a=True, trans_b=True)),
}


@functools.cache
def known(name):
    """Inputs of one of the MODELS, and what they give: it takes longer than compiling."""
    graph, rng = MODELS[name], np.random.default_rng(0)
    inputs = {f"x{n}": rng.standard_normal(port.shape).astype(np.float32) for n, port in enumerate(graph.inputs)}
    return inputs, reference(graph, inputs)


@pytest.mark.parametrize("packed", [True, False], ids=["packed in the graph", "packed in the kernel"])
@pytest.mark.parametrize("name", MODELS)
def test_products_of_models_are_made_by_their_recipe(name, packed):
    graph, target = MODELS[name], replace(Target.native(), caches=Caches(l2=64 << 10), threads=2)
    model = minicc.compile(graph, target, passes=pipeline(target, without=() if packed else ("pack weights",)))
    told = "".join(kernel.stages["schedule"].splitlines()[0] for kernel in model.kernels)
    assert "# recipe gemm: a product of " in told, told
    assert ("the right matrix in panels" if packed else "the right matrix to pack") in told
    inputs, expected = known(name)
    compare(graph, model.run(inputs), expected, "llvm")


@pytest.mark.parametrize("graph", [
    chain((3, 512), (512, 512), op=ops.MatMul()),  # few rows
    chain((1, 64, 30, 30), (64, 64, 3, 3), op=ops.Conv()),
    chain((512,), (512, 512), op=ops.MatMul()),
], ids=str)  # fmt: skip
def test_other_kernels_are_left_to_the_default_recipe(graph):
    model = minicc.compile(graph, replace(Target.native(), caches=Caches(l2=64 << 10), threads=1))
    assert not any("recipe gemm" in kernel.stages["schedule"] for kernel in model.kernels)


def test_what_the_recipe_picks_can_be_picked_otherwise():
    graph, target = MODELS["epilogue"], replace(Target.native(), caches=Caches(l2=64 << 10), threads=1)
    inputs, expected = known("epilogue")
    (kernel,) = (n.op for n in optimize(graph, target).nodes if isinstance(n.op, Kernel) and "matmul" in n.op.label)
    naive = lower_kernel(kernel, target).naive
    steps = scheduled(naive, target).schedule.trace
    choices = [step for step in steps if isinstance(step, ChooseStep)]
    assert [step.key for step in choices] == ["width", "rows", "depth", "tiles", "panels", "terms"]
    for choice in choices:
        for option in {choice.options[0], choice.options[-1]}:
            again = minicc.compile(graph, target, schedules={kernel: {choice.key: option}})
            compare(graph, again.run(inputs), expected, "llvm")
            replayed = steps.replay(naive, {choice.key: option})
            again = minicc.compile(graph, target, schedules={kernel: replayed.trace})
            compare(graph, again.run(inputs), expected, "llvm")


TARGETS = [Target.of(name) for name in ("haswell", "skylake-avx512", "x86-64")]


@given(st.data())
def test_every_small_sum_of_products_finds_a_recipe_and_is_right(data):
    """Of one tensor by itself or of two, over any of their axes: all of them, and axes of extent 1."""
    letters = data.draw(st.lists(st.sampled_from("abcde"), min_size=1, max_size=4, unique=True))
    left = "".join(data.draw(st.permutations(letters)))
    right = data.draw(st.sampled_from((left, "".join(data.draw(st.lists(st.sampled_from(letters), unique=True))))))
    kept = "".join(data.draw(st.lists(st.sampled_from(letters), unique=True)))
    extents = {letter: data.draw(st.sampled_from((1, 2, 3, 16, 17))) for letter in letters}
    x, y = (
        input(name, TensorType(float32, tuple(extents[i] for i in side)))
        for name, side in zip("xy", (left, right), strict=True)
    )
    y, inputs = (x, (x,)) if left == right and data.draw(st.booleans()) else (y, (x, y))
    result = make(ops.Sigmoid(), (make(ops.Einsum(f"{left},{right}->{kept}"), (x, y)),))
    graph = Graph("main", inputs, (result,), ("z",))
    for target in TARGETS:
        for kernel in (n.op for n in optimize(graph, target).nodes if isinstance(n.op, Kernel)):
            scheduled(lower_kernel(kernel, target).naive, target)
    random = np.random.default_rng(0)
    values = {name: random.standard_normal(n.type.shape, np.float32) for name, n in zip("xy", inputs, strict=False)}
    compare(graph, minicc.compile(graph).run(values), reference(graph, values), "llvm")
