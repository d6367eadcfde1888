"""Graphs and scheduled programs as CUDA: nvcc takes them, and their plans, emulated, give NumPy's answers."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from gpu_cases import saved
from onnx import TensorProto, helper
from typer.testing import CliRunner

import minicc
from benchmarks.models import MODELS, sample_inputs
from minicc import frontend, ops, te
from minicc.bridge import _tvm
from minicc.device import nvcc
from minicc.bridge.cuda import fused, image_of_graph, image_of_program, scheduled, with_binaries
from minicc.device.emulated import Emulated
from minicc.device.session import DeviceExecutable
from minicc.bridge.device_code import cuda_target
from minicc.device.architectures import ARCHITECTURES, held_by
from minicc.device.nvcc import cubin, known_architectures, ptx
from minicc.cli import app
from minicc.compile import optimize
from minicc.errors import BridgeError, ConfigError
from minicc.graph.bind import bind
from minicc.graph.ir import Graph, constant, input
from minicc.package import read
from minicc.runtime.image import Number
from minicc.testing import gpu_kernels
from minicc.testing.oracle import assert_close, reference
from minicc.types import Symbol, TensorType, float16, float32, int64

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")
RANDOM = np.random.default_rng(0)


def normal(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def of(name, *shape, dtype=float32):
    return input(name, TensorType(dtype, shape))


def graph_of(inputs, *outputs):
    return Graph("g", tuple(inputs), outputs, tuple(f"y{k}" for k in range(len(outputs))))


def arrays_for(graph):
    return {name: (RANDOM.integers(0, 4, n.shape) if n.dtype is int64 else RANDOM.standard_normal(n.shape)).astype(n.dtype.numpy)
            for name, n in zip(graph.input_names, graph.inputs, strict=True)}  # fmt: skip


def emulate(graph):
    """Raises Disagreement unless the bundle of the graph gives the reference's outputs, within the policy of the oracle."""
    bundle = image_of_graph(graph, ["sm_75"], binaries=False)
    inputs = arrays_for(graph)
    with DeviceExecutable(bundle, Emulated()) as session:
        got = session.run(inputs)
    for name, wanted, tolerance in zip(graph.output_names, *reference(graph, inputs), strict=True):
        assert_close(got[name], wanted, None, 1, tolerance, "emulate", name)
    return bundle


def network():
    """A graph whose kernels come from every scheduling rule: matrix products, reductions, elementwise ones."""
    x, wide = of("x", 1, 4, 9, 9), of("wide", 5, 300)
    hidden = ops.Relu()(ops.Add()(ops.Conv(padding=(1, 1, 1, 1))(x, normal(6, 4, 3, 3)), normal(1, 6, 1, 1)))
    pooled = ops.ReduceMean(axes=(2, 3), keepdims=False)(hidden)
    return graph_of([x, wide], ops.MatMul()(pooled, normal(6, 7)), ops.Softmax(axis=-1)(wide), ops.ArgMax(axis=1, keepdims=False)(wide),
                    ops.LayerNormalization(axis=-1, epsilon=1e-5)(wide, normal(300), normal(300)))  # fmt: skip


# ---- graphs -----------------------------------------------------------------------------------------------------


def test_a_network():
    bundle = emulate(network())
    assert len(bundle.symbols) >= 5 and list(bundle.sections) == ["kernels.cu"]
    assert "use_fast_math" not in bundle.source


def test_a_value_twice_among_the_operands():
    """TVM gives both parameters one name, and shares the function with the next product."""
    a, b = of("a", 4, 4), of("b", 4, 4)
    bundle = emulate(graph_of([a, b], ops.MatMul()(ops.MatMul()(a, a), b)))
    assert len(bundle.symbols) == 1 and len(bundle.launches) == 2


def test_results_that_no_kernel_computes():
    a = of("a", 4, 4)
    bundle = emulate(graph_of([a], ops.Reshape(shape=(2, 8))(a), a, constant(normal(3)), ops.Relu()(a)))
    assert len(bundle.launches) == 1
    assert bundle.outputs[0].buffer == bundle.inputs[0].buffer == bundle.outputs[1].buffer


def test_odd_tensors():
    """No dimensions, no elements, 16-bit floats, integers that index."""
    scalar, empty, half = of("scalar"), of("empty", 0, 3), of("half", 16, 40, dtype=float16)
    table, index = of("table", 4, 24), of("index", 6, dtype=int64)
    bundle = emulate(graph_of([scalar, empty, half, table, index], ops.Add()(scalar, np.float32(2)), ops.Relu()(empty), ops.Exp()(ops.Relu()(half)),
                              ops.Gather(axis=0)(table, index)))  # fmt: skip
    assert all(0 not in k.grid for k in bundle.launches)


@pytest.mark.parametrize("reduction", ["add", *[pytest.param(r, marks=pytest.mark.slow) for r in ("none", "max")]])
def test_scatters(reduction):
    """TVM passes their kernels where in its memory a buffer starts."""
    data, rows, places = (
        of("data", 4, 5),
        constant(np.array([[1], [-1], [0]])),
        constant(np.array([[0, 1, -1, 2, 3], [4, 3, 2, 1, 0]])),
    )
    bundle = emulate(graph_of([data, of("some", 3, 5), of("few", 2, 5)], ops.ScatterND(reduction=reduction)(data, rows, of("some", 3, 5)),
                              ops.ScatterElements(axis=1, reduction=reduction)(data, places, of("few", 2, 5))))  # fmt: skip
    assert {a.value for k in bundle.launches for a in k.arguments if isinstance(a, Number)} == {0}


@pytest.mark.parametrize("passes", [fused, scheduled])
def test_modules_that_tvm_does_not_take(passes):
    with pytest.raises(BridgeError, match=r"TVM fails: [\s\S]*hint: run this model on the CPU"):
        passes(Unfit(), cuda_target())


class Unfit:
    """What is no module."""

    def functions_items(self):
        raise ValueError("no module")


def test_dead_memory_is_used_again():
    x = of("x", 1, 64)
    y = x
    for _ in range(6):
        y = ops.MatMul()(y, normal(64, 64))
    bundle = image_of_graph(graph_of([x], y), ["sm_75"], binaries=False)
    assert len(bundle.launches) == 6
    assert (
        len({b.offset for b in bundle.buffers if b.constant is None}) == 3
    )  # the input, and two places that take turns


def test_many_short_sums_get_a_thread_each():
    """A depthwise convolution: not a block of threads for each result."""
    x = of("x", 1, 32, 16, 16)
    bundle = emulate(graph_of([x], ops.Relu()(ops.Conv(padding=(1, 1, 1, 1), groups=32)(x, normal(32, 1, 3, 3)))))
    assert all(np.prod(k.grid) * np.prod(k.block) <= 8192 for k in bundle.launches)


def test_equal_constants_are_one():
    x, weight = of("x", 8, 8), normal(8, 8)
    bundle = image_of_graph(
        graph_of([x], ops.MatMul()(ops.Relu()(ops.MatMul()(x, weight)), weight.copy())), ["sm_75"], binaries=False
    )
    assert len(bundle.constants) == 1


def test_lowering_twice_gives_one_file():
    graph = network()
    assert saved(image_of_graph(graph, ["sm_75"], False)) == saved(image_of_graph(graph, ["sm_75"], False))


def test_an_operator_without_a_kernel_names_its_node():
    x = of("x", 4, 30)
    with pytest.raises(
        BridgeError,
        match=r"expected operators that become kernels, got relax\.\w+, which TVM leaves[\s\S]*node \d+: CumSum[\s\S]*hint: ",
    ):
        image_of_graph(graph_of([x], ops.Relu()(ops.CumSum(axis=1)(ops.Relu()(x)))), ["sm_75"], binaries=False)


def test_a_shape_that_is_not_known():
    x = input("x", TensorType(float32, (Symbol("n"), 3)))
    with pytest.raises(BridgeError, match=r"expected known shapes, got .*[\s\S]*hint: bind the graph first"):
        image_of_graph(graph_of([x], ops.Relu()(x)), ["sm_75"], binaries=False)


def test_architectures():
    graph = graph_of([of("x", 4)], ops.Relu()(of("x", 4)))
    with pytest.raises(BridgeError, match="expected one or more architectures, got none"):
        image_of_graph(graph, [])
    for wrong in ("turing", "sm_90z", "sm_9", "sm_90 ", "sm_\u0669\u0660"):
        with pytest.raises(BridgeError, match=f"expected a name such as sm_90, got {wrong!r}[\\s\\S]*hint: "):
            image_of_graph(graph, [wrong])
    for wrongs in ([None], [90], "sm_90", ["sm_90", b"sm_80"]):
        with pytest.raises(BridgeError, match=r"expected a list of names of architectures, got [\s\S]*hint: "):
            image_of_program(gpu_kernels.vector_add(64), wrongs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: image_of_graph(graph_of([of("x", 4)], ops.Relu()(of("x", 4)))),
        lambda: image_of_program(gpu_kernels.vector_add(64)),
    ],
)
def test_no_tvm(monkeypatch, make):
    monkeypatch.setattr(_tvm, "installed", lambda: dict.fromkeys(_tvm.PAIR))
    _tvm.load.cache_clear()
    try:
        with pytest.raises(
            BridgeError, match=r"import tvm: expected apache-tvm .*, got no apache-tvm[\s\S]*hint: pip install"
        ):
            make()
    finally:
        _tvm.load.cache_clear()


# ---- programs that are scheduled here ---------------------------------------------------------------------------


def convolved(x, weight):
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(2, 3))
    return np.maximum(np.einsum("nchwij,fcij->nfhw", windows, weight), 0)


def softmax_of(x):
    powers = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


PROGRAMS = {
    "vector_add": (gpu_kernels.vector_add(), {"n": 777}, [(777,), (777,)], lambda a, b: a.astype(np.float64) + b),
    "tiled_matmul": (
        gpu_kernels.tiled_matmul(72, 100, 40),
        {},
        [(72, 40), (40, 100)],
        lambda a, b: a.astype(np.float64) @ b,
    ),
    "softmax": (gpu_kernels.softmax(6, 300), {}, [(6, 300)], softmax_of),
    "conv2d_relu": (gpu_kernels.conv2d_relu(1, 5, 18, 20, 9), {}, [(1, 5, 18, 20), (9, 5, 3, 3)], convolved),
}


def emulated_program(bundle, shapes):
    """The one output of the bundle of a program on normal inputs, and these."""
    arrays = [normal(*shape) for shape in shapes]
    with DeviceExecutable(bundle, Emulated()) as session:
        (result,) = session(*arrays)
    return result, arrays


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_scheduled_by_hand(name):
    program, sizes, shapes, meaning = PROGRAMS[name]
    bundle = image_of_program(program, ["sm_75"], binaries=False, sizes=sizes)
    result, arrays = emulated_program(bundle, shapes)
    np.testing.assert_allclose(result, meaning(*arrays), rtol=1e-5, atol=1e-5)
    assert name == "vector_add" or "__syncthreads" in bundle.source


def test_a_size_that_is_missing():
    with pytest.raises(BridgeError, match="expected a number for each symbolic size"):
        image_of_program(gpu_kernels.vector_add(), ["sm_75"], binaries=False)


def bound_copy(*extents):
    """A program that copies an array whose loops are bound to these axes: `(extent, axis)`."""
    shape = tuple(te.var(e) if isinstance(e, str) else e for e, _ in extents)
    a = te.placeholder(shape, name="A")
    c = te.compute(shape, lambda *at: a[at], name="C", names=[f"i{k}" for k in range(len(shape))])
    s = te.create_schedule(c.op)
    for axis, (_, tag) in zip(s[c].op.axis, extents, strict=True):
        s[c].bind(axis, te.thread_axis(tag))
    return minicc.lower(s, [a, c], name="copy")


@pytest.mark.parametrize("extents, sizes, said", [
    ([(4, "blockIdx.x"), (128, "threadIdx.z")], {}, "expected at most 64 for threadIdx.z, got 128"),
    ([(70000, "blockIdx.y"), (32, "threadIdx.x")], {}, "expected at most 65535 for blockIdx.y, got 70000"),
    ([(64, "blockIdx.x"), ("n", "threadIdx.x")], {"n": 2048}, "expected three positive integers of at most (1024, 1024, 64), got (2048, 1, 1)"),
    ([("n", "threadIdx.y"), (64, "threadIdx.x")], {"n": 17}, "expected at most 1024 threads, got 1088"),
    ([("n", "threadIdx.z"), (2, "threadIdx.x")], {"n": 65}, "expected three positive integers of at most (1024, 1024, 64), got (2, 1, 65)"),
    ([("n", "blockIdx.z"), (2, "threadIdx.x")], {"n": 65536}, "expected three positive integers of at most (2147483647, 65535, 65535), got (1, 1, 65536)"),
    ([("n", "blockIdx.x"), (2, "threadIdx.x")], {"n": 1 << 31}, "expected three positive integers of at most (2147483647, 65535, 65535), got (2147483648, 1, 1)"),
    ([("n", "blockIdx.x"), (2, "threadIdx.x")], {"n": 1 << 39}, "expected at most 1099511627776 bytes of device memory, got 8796093022208"),
    ([("n", "blockIdx.x"), (2, "threadIdx.x")], {"n": 1 << 62}, "expected an integer from 0 to 1099511627776 for n, got 4611686018427387904"),
    ([("n", "blockIdx.x"), (2, "threadIdx.x")], {"n": -5}, "expected an integer from 0 to 1099511627776 for n, got -5"),
    ([("n", "blockIdx.x"), (2, "threadIdx.x")], {"n": 2.5}, "for n, got 2.5"),
    ([("n", "blockIdx.x"), (2, "threadIdx.x")], {"n": True}, "for n, got True"),
    ([("n", "blockIdx.x"), (2, "threadIdx.x")], {"n": "a"}, "for n, got 'a'"),
])  # fmt: skip
def test_launches_beyond_the_limits_of_devices(extents, sizes, said):
    with pytest.raises(BridgeError) as caught:
        image_of_program(bound_copy(*extents), ["sm_75"], binaries=False, sizes=sizes)
    assert said in caught.value.problem and caught.value.hint and (caught.value.where or "bytes of device" in said)


@pytest.mark.parametrize("extents, size", [
    ([("n", "blockIdx.x"), (2, "threadIdx.x")], 0),
    ([(2, "blockIdx.x"), ("n", "threadIdx.x")], 0),
    ([(2, "blockIdx.x"), ("n", "threadIdx.x")], np.int64(1024)),
])  # fmt: skip
def test_launches_at_the_limits_of_devices(extents, size):
    bundle = image_of_program(bound_copy(*extents), ["sm_75"], binaries=False, sizes={"n": size})
    assert bool(bundle.launches) == bool(size)
    got, (given,) = emulated_program(bundle, [bundle.inputs[0].type.shape])
    np.testing.assert_array_equal(got, given)


def test_the_check_of_a_plan_has_teeth():
    """Without its barriers the source gives another answer; a barrier for half of the threads is an error."""
    program, _, shapes, meaning = PROGRAMS["tiled_matmul"]
    bundle = image_of_program(program, ["sm_75"], binaries=False)
    result, arrays = emulated_program(bundle_of(bundle, bundle.source.replace("__syncthreads();", "")), shapes)
    assert not np.allclose(result, meaning(*arrays), rtol=1e-3)
    with pytest.raises(BridgeError, match=r"(waits|is) at the barrier"):
        emulated_program(
            bundle_of(bundle, bundle.source.replace("__syncthreads();", "if (threadIdx.x < 8) __syncthreads();", 1)),
            shapes,
        )


def bundle_of(bundle, source):
    """The bundle with another source."""
    return replace(bundle, sections={"kernels.cu": source.encode()})


# ---- nvcc -------------------------------------------------------------------------------------------------------


@needs_nvcc
def test_nvcc_takes_the_kernels_of_graphs():
    bundle = image_of_graph(network(), ["sm_90a", "sm_75"])
    cubins, texts = held_by(bundle)
    assert sorted(cubins) == ["sm_75", "sm_90a"] and list(texts) == ["sm_75"]
    for code in cubins.values():
        assert code.startswith(b"\x7fELF") and all(name.encode() in code for name in bundle.symbols)
    text = texts["sm_75"].decode()
    assert ".target sm_75" in text and all(f".entry {name}(" in text for name in bundle.symbols)


@needs_nvcc
def test_nvcc_takes_the_kernels_of_programs():
    source = "".join(
        image_of_program(program, ["sm_75"], binaries=False, sizes=sizes).source
        for program, sizes, *_ in PROGRAMS.values()
    )
    for arch in ("sm_75", "sm_90a"):
        code = cubin(source, arch)
        assert all(f"{name}_kernel".encode() in code for name in PROGRAMS)


@needs_nvcc
def test_what_nvcc_refuses():
    with pytest.raises(
        BridgeError,
        match=r"nvcc -cubin -arch=sm_90: expected source that nvcc accepts, got an error\n.*error[\s\S]*hint: ",
    ):
        cubin("this is no C++", "sm_90")
    with pytest.raises(BridgeError, match=r"got an error[\s\S]*hint: is sm_20 known to this nvcc"):
        ptx("", "sm_20")
    with pytest.raises(BridgeError, match="expected an architecture such as sm_90, got 'sm_90 -x'"):
        cubin("", "sm_90 -x")


@needs_nvcc
def test_architectures_that_nvcc_knows():
    assert set(known_architectures()) <= set(ARCHITECTURES) and "sm_90a" in known_architectures()


def test_no_nvcc(monkeypatch):
    monkeypatch.setattr(nvcc.shutil, "which", lambda name: None)
    monkeypatch.setattr(nvcc, "PLACES", ())
    assert known_architectures() == ("sm_90",)
    graph = graph_of([of("x", 4)], ops.Relu()(of("x", 4)))
    with pytest.raises(
        BridgeError,
        match=r"nvcc: expected NVIDIA's compiler, got none: .*[\s\S]*hint: install the CUDA toolkit.*--no-cubin",
    ):
        image_of_graph(graph, ["sm_90"])
    assert image_of_graph(graph, ["sm_90"], binaries=False).source


def test_nvcc_that_cannot_start(monkeypatch):
    monkeypatch.setattr(nvcc.shutil, "which", lambda name: "/nowhere/nvcc")
    with pytest.raises(BridgeError, match=r"expected nvcc to work, got .*nowhere"):
        cubin("", "sm_90")


@needs_nvcc
def test_nvcc_that_is_not_on_the_path(monkeypatch):
    there = shutil.which("nvcc")
    monkeypatch.setattr(nvcc.shutil, "which", lambda name: None)
    monkeypatch.setattr(nvcc, "PLACES", (nvcc.Path("/nowhere"), nvcc.Path(there)))
    assert nvcc.find_nvcc() == there


# ---- the command line -------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path):
    """`y = softmax(relu(x w))` as an ONNX file."""
    weight = onnx.numpy_helper.from_array(normal(8, 5), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Softmax", ["r"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "small", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])], [weight])  # fmt: skip
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@needs_nvcc
def test_compile_and_run_a_bundle(model, tmp_path):
    bundle, given, answers = tmp_path / "small.tar", tmp_path / "x.npz", tmp_path / "y.npz"
    done = invoke("compile", model, "--dim", "n=3", "--target", "cuda", "--arch", "sm_80", "-o", bundle)
    assert done.exit_code == 0 and "code for sm_80, PTX of sm_80" in done.output and f"wrote {bundle}" in done.output
    x = normal(3, 8)
    np.savez(given, x=x)
    done = invoke(
        "run", bundle, "--device", "emulated", "--inputs", given, "--outputs", answers, "--repeat", 2, "--profile"
    )
    assert (
        done.exit_code == 0
        and "y: float32[3, 5]" in done.output
        and "by the device's clock" in done.output
        and "share" in done.output
    )
    np.testing.assert_allclose(
        np.load(answers)["y"], minicc.compile(model, dims={"n": 3}).run({"x": x})["y"], rtol=1e-5, atol=1e-6
    )


def test_compile_to_source_only(model, tmp_path):
    done = invoke("compile", model, "--dim", "n=3", "--target", "cuda", "--no-cubin", "-o", tmp_path / "small.tar")
    assert done.exit_code == 0 and "source only" in done.output
    assert list(read(tmp_path / "small.tar").sections) == ["kernels.cu"]
    assert "nothing is written" in invoke("compile", model, "--dim", "n=3", "--target", "cuda", "--no-cubin").output
    assert invoke("run", tmp_path / "small.tar", "--device", "emulated").exit_code == 0
    said = str(invoke("run", tmp_path / "small.tar").exception)
    assert "expected --device cuda or --device emulated for a package of kind cuda" in said and "hint: " in said


@pytest.mark.parametrize("arguments, said", [
    (("compile", "MODEL", "--target", "cuda", "-o", "x.so"), "expected a name that ends in .tar"),
    (("run", "MODEL", "--device", "cuda"), "expected a package, which ends in .tar, got small.onnx"),
])  # fmt: skip
def test_files_of_the_wrong_kind(model, arguments, said):
    done = invoke(*(model if a == "MODEL" else a for a in arguments))
    assert isinstance(done.exception, ConfigError) and said in str(done.exception) and "hint: " in str(done.exception)


# ---- a whole network --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name, glue", [("resnet18", False), ("resnet18", True)], ids=["resnet18", "resnet18-glue"])
def test_resnet18(name, glue):
    model = MODELS[name](glue)
    graph = optimize(bind(frontend.load(model)), "cuda")
    bundle = image_of_graph(graph, ["sm_75"], binaries=False)
    inputs = sample_inputs(model)
    with DeviceExecutable(bundle, Emulated()) as session:
        got = session.run(inputs)
    for label, wanted, tolerance in zip(graph.output_names, *reference(graph, inputs), strict=True):
        assert_close(got[label], wanted, None, 1, tolerance, name, label)


@pytest.mark.slow
@needs_nvcc
def test_nvcc_takes_all_of_resnet18():
    graph = optimize(bind(frontend.load(MODELS["resnet18"]())), "cuda")
    bundle = with_binaries(image_of_graph(graph, ["sm_75"], binaries=False), known_architectures())
    cubins, _ = held_by(bundle)
    assert set(cubins) == set(known_architectures()) and len(bundle.symbols) == 18
    assert all(name.encode() in code for code in cubins.values() for name in bundle.symbols)
