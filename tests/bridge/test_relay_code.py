"""Source code that the old TVM generates: the C is C, and computes what the graph means; OpenCL has a kernel for each group."""

import ctypes
import re
import shutil
import subprocess

import numpy as np
import pytest

from minicc import ops
from minicc.bridge.environment import python_of_relay
from minicc.bridge.relay_code import relay_code
from minicc.errors import BridgeError
from minicc.graph import Graph, constant, input
from minicc.testing.oracle import assert_close, reference
from minicc.types import TensorType, float16, float32, float64, int64

pytestmark = pytest.mark.relay
KERNEL, SHIFT, WEIGHT = (
    constant(np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape))
    for shape in ((8, 3, 3, 3), (8, 1, 1), (128, 10))
)
image = input("image", TensorType(float32, (1, 3, 8, 8)))
x, y = (input(name, TensorType(float32, (4, 6))) for name in "xy")
relu, exp, add, mul = ops.Relu(), ops.Exp(), ops.Add(), ops.Mul()


def network():
    pooled = ops.MaxPool((2, 2), (2, 2))(relu(add(ops.Conv(padding=(1, 1, 1, 1))(image, KERNEL), SHIFT)))
    classes = ops.Softmax()(ops.MatMul()(ops.Reshape((1, 128))(pooled), WEIGHT))
    return Graph("network", (image,), (classes,), ("classes",))


def shifted(dtype, *shifts):
    """A number and each of these shifts."""
    n = input("n", TensorType(dtype, (4,)))
    sums = tuple(add(n, constant(np.asarray(shift, dtype.numpy))) for shift in shifts)
    return Graph("g", (n,), sums, tuple("abc"[: len(sums)]))


GRAPHS = {
    "a network": network(),
    "three outputs, one of them an input": Graph("g", (x, y), (exp(add(x, y)), x, mul(x, y)), ("a", "b", "c")),
    "integers": Graph("g", (n := input("n", TensorType(int64, (5,))),), (mul(n, n),), ("square",)),
    "half floats": Graph("g", (h := input("h", TensorType(float16, (4, 6))),), (add(exp(h), h),), ("y",)),
    "special numbers": shifted(float32, np.inf, -np.inf, np.nan),
    "special numbers of float64": shifted(float64, np.inf, np.nan),
    "a scalar": Graph("g", (s := input("s", TensorType(float32, ())),), (exp(s),), ("y",)),
}


def compiled(text, folder):
    """The C text as a library, by the compiler of this machine."""
    (tvm,) = python_of_relay().parent.parent.glob("lib/python*/site-packages/tvm")
    source, library = folder / "model.c", folder / "model.so"
    source.write_text(text)
    headers = [f"-I{tvm}/include", f"-I{tvm}/dlpack/include"]
    subprocess.run(["gcc", "-shared", "-fPIC", "-Werror=implicit", *headers, source, "-o", library, "-lm"], check=True)
    return ctypes.CDLL(str(library))


def pointers(arrays):
    """The arrays as the structure of inputs or outputs."""
    return (ctypes.c_void_p * len(arrays))(*[a.ctypes.data for a in arrays])


@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc")
@pytest.mark.parametrize("name", GRAPHS)
def test_the_c_computes_what_numpy_does(name, tmp_path):
    graph, random = GRAPHS[name], np.random.default_rng(0)
    inputs = [np.array(random.standard_normal(n.type.shape) * 2, n.dtype.numpy) for n in graph.inputs]
    outputs = [np.zeros(n.type.shape, n.dtype.numpy) for n in graph.outputs]
    library = compiled(relay_code(graph, "c"), tmp_path)
    assert library.tvmgen_default_run(pointers(inputs), pointers(outputs)) == 0
    expected, tolerances = reference(graph, dict(zip(graph.input_names, inputs, strict=True)))
    for output, wanted, tolerance, n in zip(outputs, expected, tolerances, graph.outputs, strict=True):
        assert_close(output, wanted, n.dtype, tolerance=tolerance)


def test_the_text_begins_with_the_ports():
    named = Graph("a\nb", (input("x\\", x.type),), (constant(np.float32(1)),), ("\n*/",))
    for language in ("c", "opencl"):
        assert relay_code(named, language).splitlines()[:3] == [
            "// a\\nb: made by TVM 0.16, through Relay", "// input x\\: float32[4,6]", "// output \\n*/: float32[]"
        ]  # fmt: skip


def test_opencl_has_kernels_for_each_group():
    text = relay_code(network(), "opencl")
    kernels = set(re.findall(r"__kernel void tvmgen_default_(\w+?)_kernel\w*\(.*\) \{", text))
    assert kernels == {
        "fused_nn_conv2d_add_nn_relu",
        "fused_nn_max_pool2d",
        "fused_reshape",
        "fused_nn_dense",
        "fused_nn_softmax",
    }
    assert text.count("{") == text.count("}") > 5


@pytest.mark.parametrize("op", [ops.Add(), ops.Sub(), ops.Mul(), ops.Div()], ids=lambda op: op.name)
def test_opencl_has_schedules_for_arithmetic(op):
    """This build of TVM comes without."""
    assert "__kernel void" in relay_code(Graph("g", (x, y), (op(x, y),), ("z",)), "opencl")


def test_a_failure_of_the_generator_is_an_error():
    """This one has no constants of bools."""
    flags = constant(np.array([True, False]))
    graph = Graph("g", (b := input("b", TensorType.of(flags.array)),), (ops.Xor()(b, flags),), ("y",))
    with pytest.raises(BridgeError, match=r"TVM 0\.16 gave no answer: error") as caught:
        relay_code(graph, "c")
    assert caught.value.hint
