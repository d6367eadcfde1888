"""Weights that are read from the file and not by the parser: the same model, however it is laid out or damaged."""

from __future__ import annotations


import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import minicc
from minicc.errors import MiniccError
from minicc.frontend.onnx import weights as onnx_weights
from minicc.frontend.onnx import read_model
from minicc.frontend.onnx.weights import without_weights

W = np.random.default_rng(0).normal(size=(70, 300)).astype(np.float32)


def model(*weights: onnx.TensorProto) -> onnx.ModelProto:
    """The sum of x and all weights."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [70, 300]) for name in "xy")
    names = ["x", *[f"s{n}" for n in range(len(weights) - 1)], "y"]
    nodes = [helper.make_node("Add", [names[n], w.name], [names[n + 1]]) for n, w in enumerate(weights)]
    graph = helper.make_graph(nodes, "sums", [x], [y], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def saved(made: onnx.ModelProto, folder, tail: bytes = b""):
    path = folder / "m.onnx"
    path.write_bytes(made.SerializeToString() + tail)
    return path


def agrees(path) -> None:
    """What is loaded of the file is what is loaded of its bytes."""
    assert str(minicc.load(path)) == str(minicc.load(path.read_bytes())).replace(" # model", " # m.onnx").replace(
        "# model:", "# m.onnx:"
    )


def test_the_parser_gets_all_but_the_large_weights(tmp_path) -> None:
    small = numpy_helper.from_array(W[:1], "small")
    path = saved(model(numpy_helper.from_array(W, "w"), small, numpy_helper.from_array(W * 2, "v")), tmp_path)
    rest, held = without_weights(path.open("rb"))
    assert set(held) == {"w", "v"} and len(rest) < 5000 + W[:1].nbytes
    for name, factor in (("w", 1), ("v", 2)):
        offset, size = held[name]
        assert path.read_bytes()[offset : offset + size] == (W * factor).tobytes()
    parsed = onnx.ModelProto.FromString(rest)
    assert [t.HasField("raw_data") for t in parsed.graph.initializer] == [False, True, False]
    agrees(path)
    exe = minicc.compile(path, threads=1)
    np.testing.assert_allclose(exe(W)[0], W + W + W[:1] + W * 2, rtol=1e-6)
    assert read_model(path).SerializeToString() == path.read_bytes()


@pytest.mark.parametrize("kind", ["two graphs", "two values", "twice", "no weights", "float_data"])
def test_what_is_unusual_is_left_to_the_parser(kind: str, tmp_path) -> None:
    w = numpy_helper.from_array(W, "w")
    made, tail = model(w), b""
    if kind == "two graphs":
        tail = onnx.ModelProto(graph=onnx.GraphProto(doc_string="more")).SerializeToString()
    elif kind == "two values":
        content = w.SerializeToString() + onnx.TensorProto(raw_data=W.tobytes()).SerializeToString()
        (tmp_path / "tensor").write_bytes(content)
        assert without_weights((tmp_path / "tensor").open("rb")) is None
        made.graph.initializer[0].ParseFromString(content)
    elif kind == "no weights":
        made = model(numpy_helper.from_array(W[:1], "w"))
    elif kind == "float_data":
        made = model(helper.make_tensor("w", TensorProto.FLOAT, W.shape, W.ravel()))
    path = saved(made, tmp_path, tail)
    if kind == "twice":
        made.graph.initializer.append(w)
        path = saved(made, tmp_path)
        with pytest.raises(MiniccError):
            minicc.load(path)
    assert (without_weights(path.open("rb")) is None) == (kind not in ("two values",))
    if kind != "twice":
        agrees(path)


@given(data=st.data())
def test_a_damaged_file_is_loaded_or_refused_as_its_bytes_are(tmp_path_factory, data) -> None:
    whole = model(numpy_helper.from_array(W, "w")).SerializeToString()
    edge = data.draw(st.integers(0, 300)), data.draw(st.integers(len(whole) - 200, len(whole) - 1))
    at = data.draw(st.sampled_from(edge), "where")
    content = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    content = content[: data.draw(st.sampled_from([len(content), at]), "end")]
    path = tmp_path_factory.mktemp("damaged") / "m.onnx"
    path.write_bytes(content)
    results = []
    for source in (path, content):
        try:
            graph = minicc.load(source)
            results.append((graph.input_names, sorted(graph.constants)))
        except MiniccError:
            results.append("refused")
    assert results[0] == results[1]


def test_numbers_of_fields() -> None:
    source = b"".join(map(onnx_weights._varint, (0, 1, 127, 128, 2**40)))
    at, found = 0, []
    while at < len(source):
        number, at = onnx_weights._number(source, at)
        found.append(number)
    assert found == [0, 1, 127, 128, 2**40]
    with pytest.raises(ValueError, match="too long"):
        onnx_weights._number(b"\xff" * 11, 0)
    for wrong in (b"\x0b", b"\x0a\x05a", b"\x0d\0", b"\x80", b"\x0a", b"\x08\x80"):
        with pytest.raises((ValueError, IndexError)):
            list(onnx_weights._fields(wrong, 0, len(wrong), ()))


def test_what_is_not_wanted_is_one_piece() -> None:
    source = b"\x08\x01\x12\x02ab\x08\x02\x2a\x01c\x10\x80\x01"
    found = list(onnx_weights._fields(source, 0, len(source), (5,)))
    assert found == [(0, 0, 0, 8), (5, 8, 10, 11), (0, 11, 11, 14)]
    assert [f[0] for f in onnx_weights._fields(source, 0, len(source), onnx_weights.ALL)] == [1, 2, 1, 5, 2]
    many = b"\x0a\0" * (onnx_weights.MOST + 1)
    with pytest.raises(ValueError, match="too many"):
        list(onnx_weights._fields(many, 0, len(many), (5,)))
    assert len(list(onnx_weights._fields(many, 2, len(many), (5,)))) == 1
