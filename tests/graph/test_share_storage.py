"""Parts of a tensor are written and read in place: every kernel reads what the graph says, on every plan of memory."""

from __future__ import annotations

import re
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minicc
from minicc.compile import _call, pipeline
from minicc.graph import evaluate
from minicc.graph.ir import Constant, Graph, Kernel, constant, input, make
from minicc.graph.share_storage import homes, share_storage
from minicc.graph.transform import same, transform
from minicc.graph.verify import verify
from minicc.ops import Abs, AsWords, Concat, Conv, MatMul, Max, MaxPool, Min, Neg, Relu, Reshape, Slice, Split
from minicc.runtime.assemble import Values, _entry, _memory
from minicc.runtime.image import Port
from minicc.runtime.kernel_cache import KernelCode
from minicc.target import Target
from minicc.testing.oracle import compare, reference
from minicc.types import DType, TensorType, float32, int32, uint8


def alone(graph):
    """Each operator in a kernel of its own, so that all data movement is there to be released."""

    def step(n, inputs):
        if isinstance(n.op, Constant) or n.op.view:
            return same(n, inputs)
        parameters = tuple(input(f"p{k}", i.type) for k, i in enumerate(inputs))
        body = Graph(n.op.name.lower(), parameters, (n.op(*parameters),), ("out",))
        return make(Kernel(body.name, body), inputs)

    return transform(graph, step)


@st.composite
def networks(draw):
    """Products, concatenations, slices, splits and reshapes of small integer tensors."""
    x = input("x", TensorType(int32, (draw(st.integers(1, 2)), draw(st.integers(1, 3)), 4)))
    nodes = [Neg()(x), Abs()(x), x]
    for _ in range(draw(st.integers(4, 12))):
        a = nodes[-1 - min(draw(st.integers(0, 7)), len(nodes) - 1)]
        axis = draw(st.integers(0, a.type.rank - 1))
        extent = a.shape[axis]
        match draw(st.sampled_from(["product", "product", "concat", "concat", "concat", "slice", "split", "reshape"])):
            case "product":
                made = MatMul()(a, constant(np.arange(a.shape[-1] * 4, dtype=np.int32).reshape(-1, 4) % 5 - len(nodes)))
            case "concat":
                fit = [n for n in nodes if n.type.rank == a.type.rank]
                fit = [
                    n for n in fit if n.shape[:axis] == a.shape[:axis] and n.shape[axis + 1 :] == a.shape[axis + 1 :]
                ]
                made = Concat(axis)(a, *draw(st.lists(st.sampled_from(fit), min_size=1, max_size=2)))
            case "slice":
                start = draw(st.integers(0, extent - 1))
                made = Slice((start,), (draw(st.integers(start + 1, extent)),), (axis,))(a)
            case "split":
                size = draw(st.integers(1, extent))
                made = Split(axis, (size, extent - size), 2, 0)(a)
            case _:
                made = Reshape((-1, *a.shape[2:]) if a.type.rank > 2 else (1, *a.shape))(a)
        if made.type.size <= 200:
            nodes.append(made)
    read = {i for n in nodes for i in n.inputs}
    outputs = [n for n in nodes if n not in read] + draw(st.lists(st.sampled_from(nodes), max_size=1))
    return Graph("net", (x,), tuple(outputs), tuple(f"y{n}" for n in range(len(outputs))))


def rows_of(whole):
    """A graph that reads some rows of a part of a tensor, in another shape."""
    x = input("x", TensorType(int32, (4, 4)))
    part = Neg()(x) if whole == "result" else Slice((1,), (4,), (1,))(Neg()(x))
    joined = Concat(1)(part, Abs()(x)) if whole == "result" else part
    return Graph("net", (x,), (Neg()(joined), Neg()(Reshape((-1, 1))(Slice((1,), (3,), (0,))(part)))), ("y", "rows"))


def simulated(graph):
    """Every kernel writes numbers of its own to the storage that the plan gives it, and finds those that the graph says."""
    home = homes(graph)
    nodes = [n for n in graph.nodes if isinstance(n.op, Kernel)]
    steps = []
    for n in nodes:
        whole = [home[v].within.shape if home[v].within else v.shape for v in (*n.inputs, n)]
        code = KernelCode(b"", len(n.inputs), tuple(int(np.prod(shape)) * 4 for shape in whole), 128)
        ready = SimpleNamespace(compiled=SimpleNamespace(code=code))
        steps.append((_call(n.op, ready, [home[v] for v in (*n.inputs, n)]), "", code))
    ports = [Port(name, n.type) for name, n in zip(graph.input_names, graph.inputs, strict=True)]
    outputs = [(home[n].node, Port(name, n.type)) for name, n in zip(graph.output_names, graph.outputs, strict=True)]
    constants = {n: n.array for n in graph.nodes if isinstance(n.op, Constant)}
    values = Values(dict(zip(graph.inputs, ports, strict=True)), outputs, constants)
    direct, offsets, arena = _memory(steps, values)
    entry = _entry(steps, values, direct, offsets)

    fresh = iter(range(1, 10**9))
    numbers = {
        n: np.array([next(fresh) for _ in range(n.type.size)]).reshape(n.shape)
        for n in (*graph.inputs, *constants, *nodes)
    }
    memory = {("arena", 0): np.zeros(arena.size // 4, np.int64)}
    memory |= {("inputs", k): numbers[n].reshape(-1) for k, n in enumerate(graph.inputs)}
    memory |= {("constants", k): numbers[n].reshape(-1) for k, n in enumerate(constants)}
    memory |= {("outputs", k): np.zeros(port.type.size, np.int64) for k, (_, port) in enumerate(outputs)}

    def stored(place, v):
        """The view of memory that is the value `v`, at its place."""
        within = home[v].within
        shape = within.shape if within else v.shape
        whole = memory[place.table, place.number][place.offset // 4 :][: int(np.prod(shape))].reshape(shape)
        return whole[tuple(slice(s, s + e) for s, e in zip(within.starts, v.shape, strict=True))] if within else whole

    at = {n: places for n, (_, places, _) in zip(nodes, entry.calls, strict=True)}

    def step(n, inputs):
        if not isinstance(n.op, Kernel):
            return numbers[n] if n in constants else n.op.numpy(*inputs)
        *sources, target = at[n]
        for v, place, expected in zip(n.inputs, sources, inputs, strict=True):
            np.testing.assert_array_equal(stored(place, v), expected)
        stored(target, n)[...] = numbers[n]
        return numbers[n]

    found = graph.interpret([numbers[n] for n in graph.inputs], step)
    for k, place, size in entry.copies:
        memory["outputs", k][:] = memory[place.table, place.number][place.offset // 4 :][: size // 4]
    for k, expected in enumerate(found):
        np.testing.assert_array_equal(memory["outputs", k], expected.reshape(-1))


@settings(max_examples=400, deadline=None)
@given(networks())
@example(rows_of("result"))
@example(rows_of("tensor"))
def test_a_kernel_finds_in_memory_what_the_graph_says(graph):
    shared = share_storage(alone(graph), 1)
    verify(shared)
    simulated(shared)


@settings(max_examples=20, deadline=None)
@given(networks(), st.sampled_from(["native", "llvm -mcpu=haswell"]), st.integers(1, 2))
def test_the_values_are_those_of_numpy(graph, target, threads):
    target = Target.of(target).with_threads(threads)
    x = {"x": np.random.default_rng(0).integers(-9, 9, graph.inputs[0].shape).astype(np.int32)}
    passes = pipeline(target, replace={"fuse": alone, "share storage": partial(share_storage, lanes=1)})
    made = minicc.compile(graph, target=target, passes=passes).run(x)
    for name, expected in evaluate(graph, x).items():
        np.testing.assert_array_equal(made[name], expected)


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize(
    "dtype", ["float32", *(pytest.param(t, marks=pytest.mark.slow) for t in ("float16", "float64"))]
)
def test_the_blocks_of_networks_have_no_kernel_that_only_moves(dtype, threads):
    """A part of a tensor goes through convolutions, and is joined with them and with the whole, channels last."""
    random = np.random.default_rng(0)
    dtype = DType.of(dtype)
    x = input("x", TensorType(dtype, (1, 32, 9, 9)))

    def conv(of, channels):
        weight = random.standard_normal((channels, of.shape[1], 3, 3)).astype(dtype.numpy) / 20
        return Relu()(Conv(padding=(1, 1, 1, 1))(of, constant(weight)))

    first = conv(x, 64)
    half = conv(Split(1, (32, 32), 2, 1)(first), 32)
    joined = Concat(1)(conv(half, 32), half)
    whole = Concat(1)(first, conv(joined, 64))
    graph = Graph("block", (x,), (conv(whole, 16),), ("y",))
    feeds = {"x": random.standard_normal(x.shape).astype(dtype.numpy)}
    made = minicc.compile(graph, threads=threads)
    assert not [k.label for k in made.kernels if "split" in k.label or "concat" in k.label]
    assert made.stages["fused"].count(" = Concat(") == 2 and made.stages["fused"].count(" = Slice(") == 1
    compare(graph, made.run(feeds), reference(graph, feeds), "llvm")


@pytest.mark.slow
def test_a_kernel_that_works_on_a_part_moves_whole_vectors():
    """No lane is stored on its own."""
    x = input("x", TensorType(float32, (1, 32, 16, 16)))
    w = [np.random.default_rng(k).standard_normal((32, 32, 3, 3)).astype(np.float32) for k in range(3)]
    conv = Conv(padding=(1, 1, 1, 1))
    y = conv(
        Concat(1)(MaxPool((3, 3), padding=(1,) * 4)(conv(x, w[0])), Relu()(conv(x, w[1]))), np.concatenate(w[:2], 1)
    )
    made = minicc.compile(Graph("net", (x,), (y,), ("y",)), target="llvm -mcpu=skylake-avx512", threads=1)
    within = [kernel for kernel in made.kernels if "conv" in kernel.label or "max_pool" in kernel.label]
    assert len(within) >= 4 and "Concat" in made.stages["fused"]
    for kernel in within:
        assert not re.search(r"vextract\w+|vpextr|vscatter|vgather", kernel.stages["asm"]), kernel.label


@pytest.mark.parametrize("order", ["words of a part", "a part of words", "words side by side"])
def test_elements_of_another_size_lie_where_they_are(order):
    """Words of bytes, whose parts begin at other elements than those of the bytes."""
    x = input("x", TensorType(uint8, (4, 16)))
    y = Max()(x, constant(np.uint8(3)))
    if order == "words of a part":
        found = AsWords()(Slice((1,), (3,), (0,))(y))
    elif order == "a part of words":
        found = Slice((1,), (3,), (0,))(AsWords()(y))
    else:
        found = Concat(0)(AsWords()(y), AsWords()(Min()(x, constant(np.uint8(200)))))
    square = constant(np.eye(4, dtype=np.int32))
    graph = Graph("words", (x,), (MatMul()(found, square), MatMul()(AsWords()(y), square)), ("y", "z"))
    data = np.random.default_rng(0).integers(0, 256, (4, 16)).astype(np.uint8)
    np.testing.assert_array_equal(minicc.compile(graph)(data)[0], evaluate(graph, {"x": data})["y"])
