"""Weights are there once: executables of one model for different batches share them, and a file's are not kept beside."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import minicc
from minicc.ir.arrays import address

W = np.random.default_rng(0).normal(size=(256, 128)).astype(np.float32)


def saved(folder):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 256])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 128])
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", [x], [y], [numpy_helper.from_array(W, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(made, folder / "m.onnx")
    return folder / "m.onnx"


def test_executables_of_different_batch_have_the_same_weights(tmp_path) -> None:
    graph = minicc.load(saved(tmp_path))
    one, four = (minicc.compile(graph, dims={"batch": n}, threads=1) for n in (1, 4))
    for exe, n in ((one, 1), (four, 4)):
        x = np.random.default_rng(n).normal(size=(n, 256)).astype(np.float32)
        np.testing.assert_allclose(exe(x)[0], x @ W, rtol=1e-4, atol=1e-4)
    (first,), (second,) = one.image.constants, four.image.constants
    assert first.nbytes == W.nbytes and address(first) == address(second) and address(first) % 64 == 0


def test_a_loaded_graph_keeps_what_the_file_had(tmp_path) -> None:
    path = saved(tmp_path)
    graph = minicc.load(path)
    exe = minicc.compile(path, dims={"batch": 1}, threads=1)
    path.write_bytes(bytes(path.stat().st_size))
    x = np.ones((1, 256), np.float32)
    for made in (exe, minicc.compile(graph, dims={"batch": 1}, threads=1)):
        np.testing.assert_allclose(made(x)[0], x @ W, rtol=1e-4, atol=1e-4)


def test_the_text_of_a_graph_whose_file_is_gone_says_so(tmp_path) -> None:
    path = saved(tmp_path)
    exe, other = (minicc.compile(path, dims={"batch": 1}, threads=1) for _ in range(2))
    assert "MatMul" in exe.stages["graph"]
    path.unlink()
    assert "MatMul" in exe.stages["graph"] and "m.onnx" in other.stages["graph"]
    assert other.stages["graph"].startswith("# LoadError: ") and "Kernel" in other.stages["fused"]
