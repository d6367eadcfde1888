"""`minicc run` with inputs and outputs in files: names and dtypes that NumPy's writer does not take."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from cli_cases import model, saved
from onnx import TensorProto, helper

from minicc.runtime.files import read_arrays, write_arrays
from minicc.types import bfloat16


def test_inputs_and_outputs_of_any_name(minicc, tmp_path):
    nodes = [
        helper.make_node("Add", ["file", "../x"], ["allow_pickle"]),
        helper.make_node("Sub", ["file", "../x"], ["a/b"]),
    ]
    network = saved(
        model(nodes, [("file", TensorProto.FLOAT, [2]), ("../x", TensorProto.FLOAT, [2])], ["allow_pickle", "a/b"]),
        tmp_path / "names.onnx",
    )
    write_arrays(tmp_path / "in.npz", {"file": np.float32([1, 2]), "../x": np.float32([3, 5])})
    minicc.good("run", network, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    back = read_arrays(tmp_path / "out.npz")
    assert {k: list(v) for k, v in back.items()} == {"allow_pickle": [4, 7], "a/b": [-2, -3]}


def test_outputs_of_bfloat16_are_inputs_again(minicc, tmp_path):
    proto = model([helper.make_node("Add", ["x", "x"], ["y"])], [("x", TensorProto.BFLOAT16, [3])], ["y"])
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.BFLOAT16
    network = saved(proto, tmp_path / "bfloat16.onnx")
    np.savez(tmp_path / "x.npz", x=np.array([1, 2, 3], ml_dtypes.bfloat16))
    minicc.good("run", network, "--inputs", tmp_path / "x.npz", "--outputs", tmp_path / "y.npz")
    write_arrays(tmp_path / "again.npz", {"x": read_arrays(tmp_path / "y.npz", {"y": bfloat16})["y"]})
    minicc.good("run", network, "--inputs", tmp_path / "again.npz", "--outputs", tmp_path / "z.npz")
    np.testing.assert_array_equal(read_arrays(tmp_path / "z.npz", {"y": bfloat16})["y"].astype(np.float32), [4, 8, 12])
