"""An input goes by its name, also where there is only one: a wrong, missing or extra name is an error of exit code 2.

Only an `.npy` has no name, so it is the one input of a model that has one.
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import minicc
from minicc import backend, cli, ops
from minicc.device.session import DeviceExecutable
from minicc.errors import GraphError, MiniccError, RunError, misnamed, nearest
from minicc.frontend import load
from minicc.graph import Graph, bind, evaluate, input
from minicc.runtime.files import read_arrays
from minicc.runtime.image import Image, Port
from minicc.target import Target
from minicc.types import Symbol, TensorType, bfloat16, float32

X = np.float32([1, 2])
WRONG = {  # the names of a call, and what the error says of them, where the model has x alone, or x and mask
    "another name": (("input",), ("y", "mask"), "unknown: {0}"),
    "upper case": (("X",), ("X", "mask"), "did you mean 'x' by 'X'"),
    "an extra name": (("x", "z"), ("x", "mask", "z"), "unknown: 'z'"),
    "nothing": ((), (), "missing: 'x'"),
    "a name NumPy makes up": (("arr_0",), ("arr_0", "arr_1"), "unknown: 'arr_0'"),
    "a space too many": (("x ",), ("x ", "mask"), "did you mean 'x' by 'x '"),
    "a letter too few": (("_x",), ("x", "msk"), "did you mean"),
}


def network(two: bool) -> onnx.ModelProto:
    names = ["x", "mask"] if two else ["x"]
    node = helper.make_node("Add" if two else "Neg", names, ["y"])
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in names]
    graph = helper.make_graph([node], "net", infos, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def shown(message: str, names: tuple[str, ...]) -> str:
    return message.format(*map(repr, names))


@pytest.mark.parametrize("two", [False, True])
@pytest.mark.parametrize("case", WRONG)
def test_in_every_way_to_call_a_model(two, case):
    names, message = WRONG[case][two], WRONG[case][2]
    proto = network(two)
    graph, exe = load(proto), minicc.compile(load(proto))
    feeds = dict.fromkeys(names, X)
    ports = tuple(Port(n, TensorType(float32, (2,)), k) for k, n in enumerate(graph.input_names))
    on_a_device = DeviceExecutable(Image("net", ports, (), Target.of("cuda"), {}))
    for run in (
        lambda: exe.run(feeds),
        lambda: backend.prepare(proto).run(feeds),
        lambda: evaluate(graph, feeds),
        lambda: on_a_device.run(feeds),
    ):
        with pytest.raises((RunError, GraphError)) as caught:
            run()
        assert shown(message, names) in str(caught.value) and caught.value.hint


@pytest.mark.parametrize("command", ["run", "compare"])
@pytest.mark.parametrize("case", WRONG)
def test_in_a_file_of_arrays(case, command, tmp_path, monkeypatch, capsys):
    onnx.save(network(False), tmp_path / "net.onnx")
    names, _, message = WRONG[case]
    np.savez(tmp_path / "in.npz", **dict.fromkeys(names, X))
    arguments = ["--with", "numpy"] if command == "compare" else []
    monkeypatch.setattr(
        sys, "argv", ["minicc", command, str(tmp_path / "net.onnx"), "--inputs", str(tmp_path / "in.npz"), *arguments]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert shown(message, names) in printed and "hint: " in printed


def test_an_npy_is_the_one_input(tmp_path):
    np.save(tmp_path / "picture.npy", X)
    assert list(read_arrays(tmp_path / "picture.npy", {"x": float32})) == ["x"]
    assert list(read_arrays(tmp_path / "picture.npy", {"x": float32, "y": bfloat16})) == ["picture"]
    np.savez(tmp_path / "named.npz", other=X)
    assert list(read_arrays(tmp_path / "named.npz", {"x": float32})) == ["other"]


@pytest.mark.parametrize("feeds", [X, [X], None, "x"])
def test_what_has_no_names(feeds):
    with pytest.raises(RunError, match="expected arrays by the names 'x'"):
        minicc.compile(load(network(False))).run(feeds)


def test_names_of_shapes_and_symbols_are_suggested():
    x = input("pixel_values", TensorType(float32, (Symbol("batch"), 2)))
    graph = Graph("main", (x,), (ops.Neg()(x),), ("y",))
    for call in (
        lambda: bind(graph, shapes={"Pixel_Values": (1, 2)}),
        lambda: bind(graph, values={"pixel_value": X}),
        lambda: bind(graph, dims={"Batch": 1}),
    ):
        with pytest.raises(GraphError) as caught:
            call()
        assert "did you mean" in caught.value.hint and (
            "batch" in caught.value.hint or "pixel_values" in caught.value.hint
        )


def test_the_nearest_name():
    assert nearest("Input", ["input", "output"]) == "input"
    assert nearest("qqq", ["input", "output"]) == "" == nearest("x", [])
    assert misnamed(["a"], ["a"]) == ("", "")
    assert issubclass(RunError, MiniccError)
