"""Bad model files: each is refused with a four-part LoadError, and nothing outside the folder is read."""

import os

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from minicc.errors import LoadError, MiniccError
from minicc.frontend import load
from minicc.frontend.onnx import NEWEST
from minicc.frontend.onnx.ops import TRANSLATIONS
from minicc.graph.bind import bind

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def info(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs=(), outputs=("y",), initializers=(), opset=NEWEST, **rest):
    graph = helper.make_graph(nodes, "net", inputs, [onnx.ValueInfoProto(name=name) for name in outputs], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], **rest)


def relu(x="x", y="y", **rest):
    return helper.make_node("Relu", [x], [y], **rest)


X = [info("x", [2, 3])]


def refused(source, *parts):
    """The error of loading `source`; it has four parts, and contains `parts`."""
    with pytest.raises(LoadError) as caught:
        load(source)
    error = caught.value
    assert error.call.startswith("load(") and error.problem and error.hint
    for part in parts:
        assert part in str(error)
    return error


def test_no_such_file(tmp_path):
    refused(tmp_path / "absent.onnx", "nothing called 'absent.onnx'")
    refused(tmp_path, "got a folder")
    refused("a\0b", "no path has")


def test_garbage_and_truncated_files():
    good = model([relu()], X).SerializeToString()
    refused(b"\xff\xfe not a model at all", "text that begins with")
    refused(b"", "an empty file")
    refused(good[: len(good) // 2])
    refused(good[:-1])


def test_names_that_are_not_text():
    refused(
        model([relu()], X).SerializeToString().replace(b"net", b"\xff\xff\xff"), "GraphProto.name = b'", "not UTF-8"
    )
    refused(model([relu()], X).SerializeToString().replace(b"Relu", b"\xff\xff\xff\xff"))


@given(st.data())
def test_no_damage_to_a_file_gets_past_our_errors(data):
    good = model(
        [relu(), helper.make_node("Reshape", ["y", "s"], ["z"])],
        X,
        ["z"],
        [numpy_helper.from_array(np.int64([3, 2]), "s")],
    ).SerializeToString()
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        load(bytes(damaged[: data.draw(st.integers(len(good) - 3, len(good)))]))
    except MiniccError as error:
        assert str(error)


def test_an_opset_or_ir_version_that_is_too_new_or_nonsense():
    refused(model([relu()], X, opset=NEWEST + 1), f"opset must be 7 to {NEWEST}", f"got opset {NEWEST + 1}")
    refused(model([relu()], X, opset=0), "opset 0")
    refused(model([relu()], X, ir_version=99), "IR version 99")
    refused(ModelProto(graph=model([relu()], X).graph), "opsets {}")


def test_an_old_form_of_an_operator():
    refused(model([relu()], X, opset=5), "Relu (of opset 5; it changed before opset 7)")
    refused(
        model([helper.make_node("Upsample", ["x", "s"], ["y"])], [*X, info("s", [2])], opset=11), "gone from opset 11"
    )
    refused(model([helper.make_node("Swish", ["x"], ["y"])], X, opset=13), "Swish (not in opset 13)")


def test_all_unsupported_operators_at_once_with_counts_and_names():
    nodes = [
        helper.make_node("StringNormalizer", ["x"], ["a"], name="first"),
        helper.make_node("StringNormalizer", ["x"], ["b"], name="second"),
        helper.make_node("NhwcMaxPool", ["x"], ["c"], domain="com.microsoft", name="third"),
        relu(),
    ]
    assert [n.op.name for n in load(model(nodes, X)).nodes] == ["Input", "Relu"], "what nothing reads is passed over"
    error = refused(
        model(nodes, X, ["y", "a", "b", "c"]), "not supported: 2, on 3 nodes", "StringNormalizer: 2 x (first, second)"
    )
    assert "com.microsoft::NhwcMaxPool: 1 x (third)" in error.where


def test_text_is_reported_as_unsupported():
    refused(model([relu()], [info("x", [1], TensorProto.STRING)]), "element type string")
    refused(model([helper.make_node("Constant", [], ["y"], value_string="text")]), "text constants")


def test_a_cycle():
    nodes = [
        helper.make_node("Add", ["x", "c"], ["a"], name="one"),
        relu("a", "b", name="two"),
        relu("b", "c", name="three"),
    ]
    error = refused(model(nodes, X, ["c"]), "no cycle")
    assert all(name in error.where for name in ("one", "two", "three"))


def test_names_that_are_missing_or_defined_twice():
    refused(model([relu("nowhere", name="act")], X), "input 'nowhere'", "'act'")
    refused(model([relu(y="z")], X), "output 'y'")
    refused(model([relu()], X, ["y", "y"]), "output 'y'")
    refused(model([relu()], X, []), "at least one output")
    refused(model([relu(), relu()], X), "value 'y' must be defined once")
    refused(model([relu(y="x")], X, ["x"]), "value 'x' must be defined once")
    refused(model([relu()], [*X, *X]), "value 'x' must have a name of its own")
    weights = numpy_helper.from_array(np.zeros(1, np.float32), "w")
    refused(model([relu()], X, initializers=[weights, weights]), "value 'w'")
    refused(model([relu("w")], [info("w", [1])] * 2, initializers=[weights]), "value 'w'")
    refused(model([relu()], [info("", [1])]), "no name")


@pytest.mark.parametrize("dims", [[-2], [2**41], [2**20, 2**21], [2**62, 2**62], [0, 2**62]])
def test_huge_and_negative_dimensions(dims):
    refused(
        model([relu("w")], initializers=[TensorProto(name="w", data_type=FLOAT, dims=dims)]),
        "initializer 'w'",
        str(dims),
    )
    refused(model([relu()], [info("x", dims)]), "input 'x'", "2**40")


def test_more_dimensions_than_an_array_may_have():
    weights = TensorProto(name="w", data_type=FLOAT, dims=[1] * 65, raw_data=b"\0" * 4)
    refused(model([relu("w")], initializers=[weights]), "initializer 'w'", "at most 64 dimensions, got 65")
    refused(model([relu()], [info("x", [1] * 65)]), "input 'x'", "at most 64 dimensions, got 65")
    shape = numpy_helper.from_array(np.ones(65, np.int64), "s")
    graph = load(model([helper.make_node("Reshape", ["x", "s"], ["y"])], [info("x", [1])], initializers=[shape]))
    with pytest.raises(MiniccError, match="at most 64 axes, got 65"):
        bind(graph)


@pytest.mark.parametrize("axis", [0.5, np.inf, np.nan, 1e30])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_an_operand_that_is_part_of_a_number(axis, dtype):
    with np.errstate(over="ignore"):
        axes = numpy_helper.from_array(np.array([axis]).astype(dtype), "a")
    node = helper.make_node("ReduceSum", ["x", "a"], ["y"])
    with pytest.raises(MiniccError, match="expected whole numbers as axes"):
        load(model([node], X, initializers=[axes]))
    graph = load(model([node], [*X, info("a", [1])]))
    with pytest.raises(MiniccError, match="expected whole numbers as axes"):
        bind(graph, values={"a": np.array([axis], np.float32)})
    assert bind(graph, values={"a": np.float32([1])}).outputs[0].type.shape == (2, 1)


def test_a_result_of_absurd_size():
    shape = numpy_helper.from_array(np.int64([2**30, 2**30]), "s")
    refused(
        model([helper.make_node("ConstantOfShape", ["s"], ["y"], name="fill")], initializers=[shape]), "2**40", "'fill'"
    )


def test_data_that_does_not_fit_its_dimensions():
    raw = TensorProto(name="w", data_type=FLOAT, dims=[3], raw_data=b"\0" * 8)
    refused(model([relu("w")], initializers=[raw]), "must have 12 bytes of data, got 8")
    typed = TensorProto(name="w", data_type=FLOAT, dims=[3], float_data=[1.0])
    refused(model([relu("w")], initializers=[typed]), "must have 3 values, got 1")
    other = TensorProto(name="w", data_type=FLOAT, dims=[1], int32_data=[1])
    refused(model([relu("w")], initializers=[other]), "must have 1 values, got 0")
    parted = TensorProto(
        name="w", data_type=FLOAT, dims=[1], float_data=[1.0], segment=TensorProto.Segment(begin=0, end=1)
    )
    refused(model([relu("w")], initializers=[parted]), "segments")
    refused(model([relu("w")], initializers=[TensorProto(name="w", data_type=99, dims=[1])]), "element type 99")


def test_a_bool_that_is_neither_true_nor_false_is_true():
    flag = TensorProto(name="w", data_type=TensorProto.BOOL, dims=[3], raw_data=b"\0\1\xff")
    held = load(model([helper.make_node("Identity", ["w"], ["y"])], initializers=[flag])).outputs[0].op.data.array
    assert held.view(np.uint8).tolist() == [0, 1, 1]


def test_inputs_that_are_no_tensor_of_known_rank():
    refused(model([relu()], [helper.make_tensor_value_info("x", FLOAT, None)]), "tensor with a shape")
    refused(model([relu()], [onnx.ValueInfoProto(name="x")]), "no type")


def test_malformed_nodes():
    refused(model([helper.make_node("Relu", ["x", "x"], ["y"])], X), "expected 1 inputs, got 2")
    refused(model([helper.make_node("Relu", [""], ["y"])], X), "input 0 is required")
    refused(model([helper.make_node("Concat", [], ["y"], axis=0)], X), "expected at least 1 inputs, got 0")
    refused(model([helper.make_node("Split", ["x"], ["a", "y"], num_outputs=3)], X), "num_outputs")
    refused(model([relu(speed=3)], X), "attribute 'speed' does not exist")
    refused(model([helper.make_node("Softmax", ["x"], ["y"], axis="last")], X), "must be INT, got STRING")
    refused(model([helper.make_node("Concat", ["x"], ["y"])], X), "attribute 'axis' is required")
    refused(model([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)], X), "element type string")
    refused(model([helper.make_node("Constant", [], ["y"])]), "expected a tensor or a number")
    two = numpy_helper.from_array(np.zeros(2, np.float32))
    refused(model([helper.make_node("ConstantOfShape", ["x"], ["y"], value=two)], X), "one element")


def test_what_only_training_needs():
    statistics = [info(name, [3]) for name in ("s", "b", "m", "v")]
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], training_mode=1)
    refused(model([node], [*X, *statistics]), "training mode")
    node = helper.make_node("Dropout", ["x", "", "t"], ["y"])
    refused(model([node], [*X, info("t", [], TensorProto.BOOL)]), "training mode")


def test_a_translation_that_fails_names_the_node():
    weights = numpy_helper.from_array(np.zeros((1, 2, 0, 0), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="bad", strides=[0, 0])
    with pytest.raises(MiniccError) as caught:
        load(model([node], [info("x", [1, 2, 4, 4])], initializers=[weights]))
    assert "'bad'" in caught.value.where


def test_a_rank_that_is_not_known():
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("GlobalLpPool", ["r"], ["y"])]
    refused(model(nodes, [*X, info("s", [4], INT64)]), "needs the rank of its input")


def test_what_a_translation_does_not_know_is_not_ignored(monkeypatch):
    monkeypatch.setitem(TRANSLATIONS, "LeakyRelu", lambda call: call[0])
    refused(model([helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.5)], X), "attribute alpha is not supported")
    monkeypatch.setitem(TRANSLATIONS, "Dropout", lambda call: call[0])
    refused(model([helper.make_node("Dropout", ["x"], ["z", "y"])], X), "output 1 of Dropout is not supported")


# External data


def external(tmp_path, entries, dims=(2,)):
    """A model in `tmp_path/model` whose weights lie where `entries` say."""
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    weights = TensorProto(name="w", data_type=FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        weights.external_data.add(key=key, value=value)
    path = folder / "m.onnx"
    path.write_bytes(model([relu("w")], initializers=[weights]).SerializeToString())
    return path


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "secret.bin"
    file.write_bytes(b"\0" * 8)
    return file


@pytest.mark.parametrize(
    "location", ["../secret.bin", "sub/../../secret.bin", "..\\secret.bin", "C:\\secret.bin", "", "\0", "."]
)
def test_data_outside_the_folder(tmp_path, secret, location):
    refused(external(tmp_path, {"location": location}), "initializer 'w'")


def test_data_at_an_absolute_path(tmp_path, secret):
    refused(external(tmp_path, {"location": str(secret)}), "must lie in the model's folder")


def test_links_that_leave_the_folder(tmp_path, secret):
    path = external(tmp_path, {"location": "link.bin"})
    (path.parent / "link.bin").symlink_to(secret)
    refused(path, "must lie in the model's folder")
    path = external(tmp_path, {"location": "up/secret.bin"})
    (path.parent / "up").symlink_to(tmp_path)
    refused(path, "must lie in the model's folder")
    path = external(tmp_path, {"location": "round"})
    (path.parent / "round").symlink_to("round")
    refused(path)


def test_data_that_is_not_there_or_no_file(tmp_path):
    refused(external(tmp_path, {"location": "absent.bin"}), "is not there")
    path = external(tmp_path, {"location": "pipe"})
    os.mkfifo(path.parent / "pipe")
    refused(path, "is not there")
    refused(external(tmp_path, {"location": "x" * 5000}))


@pytest.mark.parametrize(
    ("entries", "part"),
    [
        ({"offset": "-1"}, "offset"),
        ({"offset": "one"}, "offset"),
        ({"length": "9" * 30}, "length"),
        ({"offset": "4"}, "must have 8 bytes of data, got 4"),
        ({"offset": "4", "length": "8"}, "needs bytes 4 to 12"),
        ({"offset": "99", "length": "8"}, "needs bytes 99 to 107"),
        ({"length": "4"}, "must have 8 bytes of data, got 4"),
    ],
)
def test_places_beyond_the_file(tmp_path, entries, part):
    path = external(tmp_path, {"location": "w.bin", **entries})
    (path.parent / "w.bin").write_bytes(b"\0" * 8)
    refused(path, part)


def test_external_data_needs_a_folder(tmp_path):
    refused(external(tmp_path, {"location": "w.bin"}).read_bytes(), "has no folder")


def test_external_data_of_an_attribute_is_never_read(tmp_path):
    value = TensorProto(name="v", data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    value.external_data.add(key="location", value="w.bin")
    path = tmp_path / "m.onnx"
    path.write_bytes(model([helper.make_node("Constant", [], ["y"], value=value)]).SerializeToString())
    (tmp_path / "w.bin").write_bytes(b"\0" * 8)
    refused(path, "no folder")


# Functions and sheer size


def function(name, calls):
    nodes = [
        helper.make_node(called, ["a" if i == 0 else f"t{i}"], [f"t{i + 1}"], domain="local")
        for i, called in enumerate(calls)
    ]
    return helper.make_function("local", name, ["a"], [f"t{len(calls)}"], nodes, [helper.make_opsetid("", NEWEST)])


def test_functions_that_never_end():
    call = helper.make_node("F", ["x"], ["y"], domain="local")
    refused(model([call], X, functions=[function("F", ["F"])]), "levels deep")
    bomb = [function(f"F{i}", [f"F{i + 1}"] * 2) for i in range(40)]
    refused(model([helper.make_node("F0", ["x"], ["y"], domain="local")], X, functions=bomb), "go beyond")
    refused(
        model(
            [call],
            X,
            functions=[
                helper.make_function("local", "F", ["a"], ["b"], [relu("a", "b")], [helper.make_opsetid("", 99)])
            ],
        ),
        "opset 99",
    )


def test_a_long_chain_loads():
    nodes = [relu(f"v{i}", f"v{i + 1}") for i in range(5000)]
    assert len(load(model(nodes, [info("v0", [1])], ["v5000"])).nodes) == 5001
    assert len(load(model(nodes[::-1], [info("v0", [1])], ["v5000"])).nodes) == 5001
