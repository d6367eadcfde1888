"""Two small ONNX models whose texts, as `relay.frontend.from_onnx(model, freeze_params=False)` made them, lie beside this file.

python tests/bridge/relay_onnx_models.py FOLDER    # writes resnet_block.onnx and attention.onnx
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(nodes, inputs, output, weights):
    """A model of opset 13, whose weights are of names and arrays."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in output.items()]
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "model", infos, outputs, held), opset_imports=[helper.make_opsetid("", 13)]
    )
    made.ir_version = 8
    onnx.checker.check_model(made)
    return made


def weights(**shapes):
    """Small numbers, the same at every run."""
    random = np.random.RandomState(0)
    return {name: np.asarray(random.randn(*shape) / 4, np.float32) for name, shape in shapes.items()}


def resnet_block():
    """Convolutions with batch normalisation, and a shortcut that is a convolution; pooled, and classified."""
    n = helper.make_node
    held = weights(w1=(6, 4, 3, 3), w2=(6, 6, 3, 3), w3=(6, 4, 1, 1), g=(6,), b=(6,), m=(6,), fc=(5, 6), fb=(5,))
    held["v"] = np.linspace(0.5, 2, 6, dtype=np.float32)
    nodes = [
        n("Conv", ["x", "w1"], ["c1"], strides=[2, 2], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        n("BatchNormalization", ["c1", "g", "b", "m", "v"], ["n1"]),
        n("Relu", ["n1"], ["r1"]),
        n("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        n("BatchNormalization", ["c2", "g", "b", "m", "v"], ["n2"]),
        n("Conv", ["x", "w3"], ["c3"], strides=[2, 2], kernel_shape=[1, 1]),
        n("Add", ["n2", "c3"], ["s"]),
        n("Relu", ["s"], ["r2"]),
        n("MaxPool", ["r2"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        n("GlobalAveragePool", ["p"], ["q"]),
        n("Flatten", ["q"], ["f"]),
        n("Gemm", ["f", "fc", "fb"], ["y"], transB=1),
    ]
    return model(nodes, {"x": (1, 4, 8, 8)}, {"y": (1, 5)}, held)


def attention():
    """A layer of BERT: two heads, a residual, a layer normalisation as exporters write it, and a GELU."""
    n = helper.make_node
    held = weights(wq=(8, 8), wk=(8, 8), wv=(8, 8), bq=(8,), wo=(8, 8), g=(8,), b=(8,), w1=(8, 16), w2=(16, 8))
    scalars = {"root": 2.0, "half": 0.5, "one": 1.0, "eps": 1e-5, "two": 2.0, "sqrt2": 2**0.5}
    held |= {name: np.asarray(value, np.float32) for name, value in scalars.items()}
    held |= {"heads": np.array([1, 5, 2, 4]), "flat": np.array([1, 5, 8])}
    nodes = []
    for name in "qkv":
        nodes += [n("MatMul", ["x", f"w{name}"], [f"m{name}"]), n("Add", [f"m{name}", "bq"], [f"a{name}"]),
                  n("Reshape", [f"a{name}", "heads"], [f"r{name}"]), n("Transpose", [f"r{name}"], [name], perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3])]  # fmt: skip
    nodes += [
        n("MatMul", ["q", "k"], ["qk"]), n("Div", ["qk", "root"], ["scaled"]), n("Softmax", ["scaled"], ["p"], axis=-1),
        n("MatMul", ["p", "v"], ["pv"]), n("Transpose", ["pv"], ["t"], perm=[0, 2, 1, 3]), n("Reshape", ["t", "flat"], ["o"]),
        n("MatMul", ["o", "wo"], ["mo"]), n("Add", ["mo", "x"], ["res"]),
        n("ReduceMean", ["res"], ["mean"], axes=[-1], keepdims=1), n("Sub", ["res", "mean"], ["d"]), n("Pow", ["d", "two"], ["d2"]),
        n("ReduceMean", ["d2"], ["var"], axes=[-1], keepdims=1), n("Add", ["var", "eps"], ["ve"]), n("Sqrt", ["ve"], ["sd"]),
        n("Div", ["d", "sd"], ["nd"]), n("Mul", ["nd", "g"], ["ng"]), n("Add", ["ng", "b"], ["ln"]),
        n("MatMul", ["ln", "w1"], ["h"]), n("Div", ["h", "sqrt2"], ["hs"]), n("Erf", ["hs"], ["he"]), n("Add", ["he", "one"], ["h1"]),
        n("Mul", ["h", "h1"], ["hh"]), n("Mul", ["hh", "half"], ["gelu"]), n("MatMul", ["gelu", "w2"], ["y"]),
    ]  # fmt: skip
    return model(nodes, {"x": (1, 5, 8)}, {"y": (1, 5, 8)}, held)


MODELS = {"resnet_block": resnet_block, "attention": attention}

if __name__ == "__main__":
    for name, make in MODELS.items():
        onnx.save(make(), Path(sys.argv[1]) / f"{name}.onnx")
