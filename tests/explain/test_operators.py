"""Lines and the operators that they compute: every operator is somewhere, and where it is can be told by looking."""

from pathlib import Path

import pytest

import minicc
from minicc import ops
from minicc.compile import lower_kernel, optimize
from minicc.explain.draw_schedule import programs
from minicc.explain.lines import line_map
from minicc.explain.operators import operators_of_lines
from minicc.frontend import load
from minicc.graph import ir
from minicc.graph.bind import bind
from minicc.graph.share_storage import homes, placed
from minicc.ops.base import REGISTRY
from minicc.target import Target
from minicc.testing.draws import drawn, graph_of
from minicc.types import DType, TensorType

HASWELL = Target.of("haswell").with_threads(2)


def kernels(graph, target):
    fused = optimize(bind(graph, dict.fromkeys(graph.symbols, 1)), target)
    home = homes(fused)
    return list(dict.fromkeys(placed(n, home) for n in fused.nodes if isinstance(n.op, ir.Kernel)))


def operators(kernel):
    """Those that have something to compute."""
    return {n for n in kernel.body.nodes if not isinstance(n.op, (ir.Input, ir.Constant)) and n.type.size}


def check(kernel, target, machine_code=True):
    lowered = lower_kernel(kernel, target)
    steps = [*programs(lowered.scheduled.schedule), lowered.program]
    found = list(zip(steps, operators_of_lines(kernel, steps), strict=True))
    for program, lines in found:
        assert {n for nodes in lines.values() for n in nodes} >= operators(kernel), str(program)
        assert all(lines.values()) or not operators(kernel), str(program)
        assert max(lines, default=0) <= len(str(program).splitlines())
    if machine_code:
        texts = line_map(lowered.program, target)
        for listing in (texts.llvm, texts.asm):
            there = {listing.source[n - 1] for n in listing.instructions} - {0}
            assert {n for line in there for n in found[-1][1].get(line, ())} == operators(kernel)
    return found


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_operator_of_the_digits_has_lines(every):
    target = Target.of("skylake-avx512").with_threads(4)
    found = kernels(load(Path(minicc.__file__).parent / "cli/digits/digits.onnx"), target)
    for kernel in found if every else (found[0], found[-1]):
        check(kernel, target)


def test_lines_compute_what_stands_in_them():
    """A convolution with its epilogue: the operators meet in one statement, and what they read is their own."""
    types = [TensorType(DType.of("float32"), shape) for shape in ((1, 4, 9, 9), (8, 4, 3, 3), (1, 8, 1, 1))]
    x, w, y = (ir.input(name, type) for name, type in zip("xwy", types, strict=True))
    graph = ir.Graph("main", (x, w, y), (ops.Relu()(ops.Add()(ops.Conv(padding=(1, 1, 1, 1))(x, w), y)),), ("z",))
    kernel = next(k for k in kernels(graph, HASWELL) if any("Relu" in str(n) for n in operators(k)))
    found = check(kernel, HASWELL, machine_code=False)
    told = set()
    for program, lines in (found[0], found[-1]):
        for line, text in enumerate(str(program).splitlines(), 1):
            target, _, value = text.strip().partition(" = ")
            names = {n.op.name.removeprefix("Packed") for n in lines.get(line, ())}
            if "maximum(" in value:
                assert "Relu" in names and (" + " in value) == ("Add" in names)
            elif target.startswith(("conv[", "pad[")) or "for kh in" in text:
                assert names == {"Conv"}
            told.add((target.partition("[")[0], *sorted(names)))
    assert {("pad", "Conv"), ("conv", "Conv"), ("add", "Add"), ("relu", "Relu")} <= told
    assert any({"Add", "Relu"} <= set(names) for names in told)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_operator_has_lines(name):
    for kernel in kernels(graph_of(*drawn(name, 0)).graph, HASWELL):
        check(kernel, HASWELL, machine_code=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, options, target",
    [
        ("resnet18", {}, "skylake-avx512"),
        ("mobilenet_v2", {}, "haswell"),
        ("bert_base", {"layers": 1}, "skylake-avx512"),
    ],
    ids=["resnet18", "mobilenet_v2", "bert_base"],
)
def test_every_operator_of_a_model_has_lines(name, options, target):
    models = pytest.importorskip("benchmarks.models").MODELS
    machine = Target.of(target).with_threads(4)
    for kernel in kernels(load(models[name](**options)), machine):
        check(kernel, machine)
