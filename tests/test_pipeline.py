"""The list of passes and its one door; who watches; kinds of targets that have generators of their own."""

from __future__ import annotations

import numpy as np
import pytest

import minicc
from minicc import ops, te
from minicc.compile import LEFT_TO_OTHERS, check_stage, optimize, pipeline
from minicc.errors import CodegenError, ConfigError, TargetError
from minicc.graph import bind, evaluate
from minicc.graph.ir import Graph, Kernel, constant, input
from minicc.graph.verify import verify as verify_graph
from minicc.ir.passes import Times
from minicc.kernels.generators import GENERATORS, Generator
from minicc.loop.program import Program
from minicc.loop.verify import verify as verify_program
from minicc.target import Target
from minicc.types import Symbol, TensorType, float32

WEIGHT = np.random.default_rng(0).standard_normal((16, 3, 3, 3)).astype(np.float32)
IMAGE = np.random.default_rng(1).standard_normal((1, 3, 8, 8)).astype(np.float32)


def network(batch=1):
    """A convolution and what follows it, with a part that nobody needs twice."""
    x = input("x", TensorType(float32, (batch, 3, 8, 8)))
    y = ops.Relu()(ops.Conv()(x, constant(WEIGHT)))
    return Graph("net", (x,), (ops.Softmax(axis=1)(y),), ("y",))


def test_every_pass_says_why_and_what_it_ensures():
    passes = pipeline()
    assert all(p.name and p.why and p.ensures for p in (*passes.graph, *passes.loop))
    names = [p.name for p in (*passes.graph, *passes.loop)]
    assert len(set(names)) == len(names) and names.index("fuse") == len(passes.graph) - 2


def test_devices_have_layouts_and_kernels_of_their_own():
    names = [p.name for p in pipeline("cuda").graph]
    assert {p.name for p in pipeline().graph} - {*names} == {*LEFT_TO_OTHERS} - {"place buffers"}
    assert [p.name for p in pipeline("emulated").graph] == names
    made = optimize(network(), "cuda")
    assert not any(isinstance(n.op, Kernel) or n.op.name == "PackedConv" for n in made.nodes)


def test_the_door():
    graph, plain = network(), pipeline(without=["choose layouts"], replace={"simplify views": lambda g: g})
    assert [p.name for p in plain.graph] == [p.name for p in pipeline().graph if p.name != "choose layouts"]
    ours = minicc.compile(graph, passes=plain)
    assert "PackedConv" not in ours.stages["fused"] and "PackedConv" in minicc.compile(graph).stages["fused"]
    np.testing.assert_allclose(ours(IMAGE)[0], evaluate(graph, {"x": IMAGE})["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("call", [lambda: pipeline(without=["fus"]), lambda: pipeline(replace={"fus": lambda g: g}),
                                  lambda: check_stage("here", "fus")])  # fmt: skip
def test_no_pass_of_the_name(call):
    with pytest.raises(ConfigError, match="expected the name of a pass, got 'fus'") as caught:
        call()
    assert caught.value.hint == "did you mean 'fuse'?" and "pack weights" in caught.value.where


def test_an_observer_sees_every_stage_before_and_after():
    seen, passes = [], pipeline()
    minicc.compile(network(), observe=seen.append)
    whole = [(e.stage, e.seconds is None) for e in seen if e.subject == "net"]
    names = ["bind", *(p.name for p in passes.graph), "assemble", "link"]
    assert whole == [(name, before) for name in names for before in (True, False)]
    kernel = next(e.subject for e in seen if e.stage == "lower" and "conv" in e.subject)
    stages = [e.stage for e in seen if e.subject == kernel and e.seconds is None and e.stage != "emit"]
    assert stages == ["lower", "schedule", *(p.name for p in passes.loop)]
    graphs = [e.ir for e in seen if e.stage == "fuse"]
    assert graphs[0] is not graphs[1] and any(isinstance(n.op, Kernel) for n in graphs[1].nodes)
    progress = [(e.done, e.total) for e in seen if e.total]
    assert progress == sorted(progress) and 0 < progress[-1][0] <= progress[-1][1]
    for event in seen:  # each IR is one that its room's rules hold for
        if isinstance(event.ir, Graph):
            verify_graph(event.ir)
        elif isinstance(event.ir, Program):
            verify_program(event.ir)


def test_an_observer_sees_what_a_call_compiles():
    n = Symbol("n")
    x, shape = input("x", TensorType(float32, (n,))), input("shape", TensorType(minicc.types.int64, (2,)))
    exe = minicc.compile(
        Graph("late", (x, shape), (ops.Reshape()(x, shape),), ("y",)), dims={"n": 6}, observe=(times := Times())
    )
    assert "fuse" not in times
    assert exe(np.arange(6, dtype=np.float32), np.int64([2, 3]))[0].shape == (2, 3) and "fuse" in times


# ---- kinds of targets -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["emulated", "llvm -mcpu=x86-64-v2", "native", {"kind": "llvm", "mcpu": "x86-64-v2"}]
)
def test_a_model_on_any_target(target):
    if target != "emulated" and Target.of(target).lacking():
        pytest.skip("not a processor of this kind")
    if target == "emulated":
        pytest.importorskip("tvm")
    exe = minicc.compile(network(Symbol("n")), target=target, dims={"n": 1})
    assert exe.run({"x": IMAGE})["y"].shape == (1, 16, 6, 6)
    np.testing.assert_allclose(exe(IMAGE)[0], evaluate(network(), {"x": IMAGE})["y"], rtol=1e-5, atol=1e-6)


def test_a_model_for_a_device_that_is_not_here():
    pytest.importorskip("tvm")
    exe = minicc.compile(network(), target="cuda -arch=sm_80 -code=source")
    assert "__global__" in exe.stages["cuda"]


def test_a_kind_that_nobody_generates_code_for(monkeypatch):
    monkeypatch.delitem(GENERATORS, "cuda")
    with pytest.raises(TargetError, match="expected a kind of target with a code generator, got cuda") as caught:
        minicc.compile(network(), target="cuda")
    assert "emulated" in caught.value.where and caught.value.hint


def nobody(graph, target, observe):
    """A generator: an executable that has no outputs."""
    return minicc.compile(Graph(graph.name, graph.inputs, (), ()))


def test_anyone_registers_a_generator(monkeypatch):
    monkeypatch.setitem(GENERATORS, "cuda", Generator(f"{__name__}:nobody", ""))
    assert minicc.compile(network(), target="cuda")(IMAGE) == ()


def test_a_schedule_for_a_device_is_a_function():
    A = te.placeholder((4,), name="A")
    s = te.create_schedule(te.compute((4,), lambda i: A[i] + 1, name="B").op)
    with pytest.raises(CodegenError, match="expected a graph for cuda, got a schedule") as caught:
        minicc.compile(s, target="cuda")
    assert "minicc.build" in caught.value.hint and caught.value.where


def test_optimize_is_the_graph_passes():
    graph = bind(network())
    assert optimize(graph).same_as(optimize(graph, Target.native()))
