"""Models and calls that nobody foresees: all agree with the evaluator, or are refused in four parts."""

from __future__ import annotations

import gc
import resource
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import minicc
from minicc.errors import LoadError, RunError
from minicc.graph.bind import bind
from minicc.graph.interpret import evaluate
from minicc.testing.oracle import agree, assert_close

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def model(nodes: Sequence[onnx.NodeProto], inputs: Sequence[tuple[str, int, Sequence[int | str]]], outputs: Sequence[str],
          **weights: Any) -> onnx.ModelProto:  # fmt: skip
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info(*i) for i in inputs],
                              [onnx.ValueInfoProto(name=name) for name in outputs],
                              [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()])  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def right(proto: onnx.ModelProto, *arrays: Any, dims: dict[str, int] | None = None) -> tuple[np.ndarray, ...]:
    """The outputs of the compiled model, which are the evaluator's."""
    graph = minicc.load(proto)
    expected = evaluate(graph, dict(zip(graph.input_names, arrays, strict=True)))
    made = minicc.compile(graph, dims=dims)
    got = made(*arrays)
    for result, port, (name, wanted) in zip(got, made.outputs, expected.items(), strict=True):
        assert port.name == name and port.type == minicc.types.TensorType.of(result)
        assert_close(result, wanted, port.dtype, 64)
    named = made.run(dict(zip(graph.input_names, arrays, strict=True)))
    assert list(named) == list(expected)
    for result, again in zip(got, named.values(), strict=True):
        np.testing.assert_array_equal(result, again)
    return got


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


X = [("x", FLOAT, [3, 5])]


# ---- outputs ------------------------------------------------------------------------------------


def test_a_model_without_nodes_gives_its_input_back():
    x = normal(3, 5)
    (y,) = right(model([], X, ["x"]), x)
    assert not np.shares_memory(x, y)


def test_a_model_without_anything_is_refused():
    with pytest.raises(LoadError, match="at least one output"):
        minicc.load(model([], [], []))


def test_an_output_that_is_an_input_and_one_that_is_computed():
    x = normal(3, 5)
    same, relu = right(model([node("Relu", "x", "y")], X, ["x", "y"]), x)
    same[:] = 7
    assert not np.shares_memory(same, relu) and (x != 7).all()


def test_an_output_that_is_a_constant():
    proto = model(
        [node("Add", "a b", "c"), node("Neg", "x", "y")], X, ["a", "c", "y"], a=normal(4), b=normal(4, seed=1)
    )
    first = right(proto, normal(3, 5))
    made = minicc.compile(proto)
    a, *_ = made(normal(3, 5))
    a[:] = 0  # the caller's array, not the model's weight
    np.testing.assert_array_equal(made(normal(3, 5))[0], first[0])


def test_only_constants():
    right(model([node("Add", "a b", "c")], [], ["c"], a=normal(4), b=normal(4, seed=1)))


def test_one_value_under_two_names():
    y, z, w = right(model([node("Exp", "x", "y"), node("Identity", "y", "z"), node("Reshape", "y s", "w")], X, ["y", "z", "w"],
                          s=np.int64([5, 3])), normal(3, 5))  # fmt: skip
    assert not np.shares_memory(y, z) and w.shape == (5, 3)


def test_an_output_listed_twice_is_refused():
    with pytest.raises(LoadError, match="listed once"):
        minicc.load(model([node("Relu", "x", "y")], X, ["y", "y"]))


def test_an_intermediate_value_is_an_output_too():
    right(model([node("Relu", "x", "r"), node("Exp", "r", "e"), node("Add", "r e", "s"), node("ReduceSum", "s", "t")], X,
                ["e", "t", "r", "s"]), normal(3, 5))  # fmt: skip


# ---- inputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("unused", [FLOAT, INT64])
def test_an_input_that_nobody_reads(unused):
    values = normal(2) if unused == FLOAT else np.int64([1, 2])
    right(model([node("Relu", "x", "y")], [*X, ("z", unused, [2])], ["y"]), normal(3, 5), values)


def test_an_input_of_which_only_the_shape_is_read():
    right(model([node("Shape", "x", "s"), node("Size", "x", "n"), node("Relu", "z", "y")], [*X, ("z", FLOAT, [2])], ["s", "n", "y"]),
          normal(3, 5), normal(2))  # fmt: skip


def test_scalars():
    zero = [("x", FLOAT, []), ("z", FLOAT, [])]
    (y,) = right(model([node("Mul", "x z", "m"), node("Tanh", "m", "y")], zero, ["y"]), np.float32(0.5), np.float32(3))
    assert y.shape == () and isinstance(y, np.ndarray)
    made = minicc.compile(model([node("Mul", "x z", "y")], zero, ["y"]))
    assert made(0.5, 3)[0] == np.float32(1.5)
    assert made(np.float32(0.5), np.array(3, np.float32))[0] == np.float32(1.5)


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_any_batch(batch):
    nodes = [node("MatMul", "x w", "m"), node("Add", "m b", "a"), node("Softmax", "a", "s", axis=-1), node("ReduceMax", "s k", "y"),
             node("ReduceSum", "x all", "z", keepdims=0)]  # fmt: skip
    proto = model(
        nodes,
        [("x", FLOAT, ["batch", 6])],
        ["s", "y", "z"],
        w=normal(6, 4),
        b=normal(4),
        k=np.int64([1]),
        all=np.int64([0]),
    )
    right(proto, normal(batch, 6), dims={"batch": batch})


def test_no_pictures():
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("MaxPool", "c", "p", kernel_shape=[2, 2], strides=[2, 2]),
             node("GlobalAveragePool", "p", "g"), node("Concat", "g g", "y", axis=1)]  # fmt: skip
    right(model(nodes, [("x", FLOAT, [0, 3, 8, 8])], ["p", "y"], w=normal(4, 3, 3, 3)), normal(0, 3, 8, 8))


def test_a_reduction_of_nothing():
    nodes = [node("ReduceSum", "x a", "s"), node("ReduceProd", "x a", "p"), node("MatMul", "z x", "m")]
    s, p, m = right(
        model(nodes, [("x", FLOAT, [0, 3]), ("z", FLOAT, [2, 0])], ["s", "p", "m"], a=np.int64([0])),
        normal(0, 3),
        normal(2, 0),
    )
    assert not s.any() and (p == 1).all() and m.shape == (2, 3) and not m.any()


def test_the_same_array_twice():
    x = normal(4, 4)
    right(
        model(
            [node("MatMul", "x z", "m"), node("Sub", "m z", "y")],
            [("x", FLOAT, [4, 4]), ("z", FLOAT, [4, 4])],
            ["y", "x", "z"],
        ),
        x,
        x,
    )


ODD_ARRAYS = {
    "fortran": lambda x: np.asfortranarray(x),
    "strided": lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:1, :1], x.shape),
    "unaligned": lambda x: np.frombuffer(b"!" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "subclass": lambda x: x.view(np.matrix),
}


@pytest.mark.parametrize("kind", ODD_ARRAYS)
def test_odd_arrays(kind):
    x = ODD_ARRAYS[kind](normal(3, 5))
    proto = model([node("Exp", "x", "e"), node("Add", "e x", "y")], X, ["y", "x"])
    kept = np.array(x)
    y, same = minicc.compile(proto)(x)
    np.testing.assert_allclose(y, np.exp(kept) + kept, rtol=1e-5)
    np.testing.assert_array_equal(same, kept)
    np.testing.assert_array_equal(np.array(x), kept)
    assert type(y) is np.ndarray and y.flags.writeable and y.flags.c_contiguous


def test_byte_order_of_another_machine_is_refused_or_right():
    x = normal(3, 5)
    made = minicc.compile(model([node("Neg", "x", "y")], X, ["y"]))
    swapped = x.astype(x.dtype.newbyteorder())
    try:
        (y,) = made(swapped)
    except RunError as error:
        assert "float32" in str(error) and error.hint
    else:
        np.testing.assert_array_equal(y, -x)


# ---- dtypes -------------------------------------------------------------------------------------

FLOATS = {TensorProto.FLOAT16: np.float16, TensorProto.BFLOAT16: ml_dtypes.bfloat16, TensorProto.DOUBLE: np.float64}
INTEGERS = {TensorProto.INT8: np.int8, TensorProto.UINT8: np.uint8, TensorProto.INT16: np.int16, TensorProto.UINT16: np.uint16,
            TensorProto.INT32: np.int32, TensorProto.UINT32: np.uint32, INT64: np.int64, TensorProto.UINT64: np.uint64}  # fmt: skip


@pytest.mark.parametrize("kind", FLOATS, ids=lambda kind: np.dtype(FLOATS[kind]).name)
def test_a_network_of_another_float(kind):
    dtype = FLOATS[kind]
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Relu", "c", "r"), node("GlobalAveragePool", "r", "g"),
             node("Flatten", "g", "f"), node("Gemm", "f v b", "l", transB=1), node("Softmax", "l", "y", axis=1)]  # fmt: skip
    proto = model(nodes, [("x", kind, [2, 3, 6, 6])], ["r", "y"])
    for name, shape in {"w": (4, 3, 3, 3), "v": (5, 4), "b": (5,)}.items():
        weight = normal(*shape, dtype=dtype)
        proto.graph.initializer.append(helper.make_tensor(name, kind, shape, weight.tobytes(), raw=True))
    agree(bind(minicc.load(proto)), {"x": normal(2, 3, 6, 6, dtype=dtype)}, ("llvm",))


@pytest.mark.parametrize("kind", INTEGERS, ids=lambda kind: np.dtype(INTEGERS[kind]).name)
def test_a_model_of_integers(kind):
    dtype = INTEGERS[kind]
    values = np.random.default_rng(0).integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (4, 6), dtype, endpoint=True)
    other = np.random.default_rng(1).integers(0, 5, (4, 6), dtype)
    nodes = [node("Mul", "x z", "m"), node("Add", "m x", "a"), node("Div", "a z", "d"), node("Max", "d z", "y"),
             node("Greater", "x z", "g"), node("Where", "g x y", "w"), node("ReduceMax", "w k", "r")]  # fmt: skip
    right(model(nodes, [("x", kind, [4, 6]), ("z", kind, [4, 6])], ["y", "g", "r"], k=np.int64([1])), values, other)


def test_a_model_of_truth_values():
    x, z = normal(7) > 0, normal(7, seed=1) > 0
    inputs = [("x", TensorProto.BOOL, [7]), ("z", TensorProto.BOOL, [7])]
    right(model([node("And", "x z", "a"), node("Xor", "a x", "b"), node("Not", "b", "y"), node("Cast", "y", "f", to=FLOAT)], inputs,
                ["y", "f"]), x, z)  # fmt: skip


def test_nan_and_infinity_pass_through():
    x = np.float32([[np.nan, np.inf, -np.inf, -0.0, 1e-45], [3e38, -3e38, 0, 1, -1], [88, 89, -104, 1e-20, 5]])
    nodes = [
        node("Relu", "x", "r"),
        node("Exp", "x", "e"),
        node("Sigmoid", "x", "s"),
        node("Max", "x e", "m"),
        node("ArgMax", "x", "i", axis=1),
    ]
    right(model(nodes, X, ["r", "e", "s", "m", "i"]), x)


# ---- names --------------------------------------------------------------------------------------

NAMES = [
    "a b",
    "größe",
    "数",
    "x/y:0",
    "'; drop",
    '\\n"%s{0}',
    "def",
    "0",
    "float32",
    "[bold]",
    "a\nb",
    "i0",
    "main",
    "memcpy",
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names(name):
    out = f"{name} out"
    nodes = [
        helper.make_node("Exp", [name], [f"{name} 1"], name=name),
        helper.make_node("MatMul", [f"{name} 1", "w"], [out]),
    ]
    proto = model(nodes, [(name, FLOAT, [3, 5])], [out], w=normal(5, 2))
    proto.graph.name = name
    right(proto, normal(3, 5))
    made = minicc.compile(proto)
    assert made.inputs[0].name == name and made.outputs[0].name == out
    assert all(made.stages[stage] for stage in made.stages)
    graph = minicc.load(proto)
    assert str(graph) and str(bind(graph))


def test_a_symbol_with_an_odd_name():
    proto = model([node("Relu", "x", "y")], [("x", FLOAT, ["größe + 1", "größe + 1", 2])], ["y"])
    (symbol,) = minicc.load(proto).symbols
    right(proto, normal(3, 3, 2), dims={symbol: 3})


# ---- calls --------------------------------------------------------------------------------------


def network() -> onnx.ModelProto:
    nodes = [
        node("MatMul", "x w", "m"),
        node("Relu", "m", "r"),
        node("MatMul", "r v", "n"),
        node("Softmax", "n", "y", axis=-1),
    ]
    return model(nodes, [("x", FLOAT, [16, 32])], ["y", "r"], w=normal(32, 64), v=normal(64, 48))


def in_threads(count: int, work: Any) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    running = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert not failures, failures[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_an_executable(threads):
    made = minicc.compile(network(), threads=threads)
    inputs = [normal(16, 32, seed=seed) for seed in range(4)]
    expected = [made(x) for x in inputs]

    def work(number: int) -> None:
        for _ in range(100):
            for got, wanted in zip(made(inputs[number]), expected[number], strict=True):
                np.testing.assert_array_equal(got, wanted)

    in_threads(4, work)


def test_threads_compile_at_once():
    def work(number: int) -> None:
        made = minicc.compile(network())
        x = normal(16, 32, seed=number)
        expected = evaluate(minicc.load(network()), {"x": x})
        np.testing.assert_allclose(made(x)[0], expected["y"], rtol=1e-4, atol=1e-6)

    in_threads(3, work)


def test_threads_specialise_at_once():
    proto = model(
        [node("Reshape", "x s", "r"), node("Softmax", "r", "y", axis=-1)],
        [("x", FLOAT, [12]), ("s", INT64, [2])],
        ["y"],
    )
    made = minicc.compile(proto)
    shapes = [(3, 4), (4, 3), (12, 1), (2, 6)]

    def work(number: int) -> None:
        for turn in range(8):
            shape = shapes[(number + turn) % len(shapes)]
            y = made.run({"x": normal(12), "s": np.int64(shape)})["y"]
            assert y.shape == shape
            np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-5)

    in_threads(3, work)


def resident() -> int:
    """Bytes of memory in use now."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_thousand_calls_take_no_more_memory_than_a_few():
    made = minicc.compile(network(), threads=1)  # threads that wait for each other on busy cores take most of the time
    x = normal(16, 32)
    for _ in range(20):
        made(x)
    gc.collect()
    before = resident()
    for _ in range(1000):
        made.run({"x": x})
    gc.collect()
    assert resident() - before < 1 << 20


def test_an_executable_outlives_its_model_and_its_results_outlive_it():
    proto = network()
    made = minicc.compile(proto)
    wanted = made(normal(16, 32))[0].copy()
    del proto
    gc.collect()
    np.testing.assert_array_equal(made(normal(16, 32))[0], wanted)
    y = made(normal(16, 32))[0]
    del made
    gc.collect()
    np.testing.assert_array_equal(y, wanted)


def test_compiling_again_and_again_takes_little_memory():
    def once() -> None:
        minicc.compile(network(), threads=1)(normal(16, 32))

    for _ in range(3):
        once()
    gc.collect()
    before = resident()
    for _ in range(6):
        once()
    gc.collect()
    assert resident() - before < 6 << 20
