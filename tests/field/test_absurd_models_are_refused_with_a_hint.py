"""Hundreds of small wrong models: each loads and compiles, or is refused in four parts.

A model of one node for each operator that the reader knows, made from its schema, is damaged in one place: its inputs, types, shapes, weights, attributes, names, outputs, opset. Nothing but a MiniccError may come of it, and that has a
hint and a place.
"""

import copy
import random
import zlib
from functools import cache

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, defs, helper, numpy_helper

from minicc import compile
from minicc.errors import MiniccError
from minicc.frontend import load
from minicc.frontend.onnx import NEWEST
from minicc.frontend.onnx.schemas import declared
from minicc.frontend.onnx.table import translations
from minicc.graph.bind import bind

COUNT = 6  # wrong models of each operator
ATTRIBUTES = (-7, 2**40, 0, -1.5, float("nan"), "", "bogus", b"\xff", [], [0], [-1, -1], [2**62, 1], [1, 2, 3, 4, 5, 6, 7, 8], [0.5],
              ["bogus"], np.zeros((0,), np.float32), np.int64(-3))  # fmt: skip
NUMBERS = (99, -99, 2**62, -(2**63), 0, -1)
TYPES = (
    0,
    99,
    TensorProto.STRING,
    TensorProto.BOOL,
    TensorProto.INT64,
    TensorProto.FLOAT,
    TensorProto.COMPLEX64,
    TensorProto.FLOAT16,
    TensorProto.UINT8,
)


SHAPES = {"Gemm": [(2, 3), (3, 4)], "BatchNormalization": [(1, 2, 4, 4), (2,), (2,), (2,), (2,)], "Conv": [(1, 2, 4, 4), (3, 2, 2, 2)],
          "ConvTranspose": [(1, 2, 4, 4), (2, 3, 2, 2)], "InstanceNormalization": [(1, 2, 4, 4), (2,), (2,)], "LayerNormalization": [(1, 2, 4, 4), (4,)],
          "GroupNormalization": [(1, 2, 4, 4), (2,), (2,)], "RMSNormalization": [(1, 2, 4, 4), (4,)], "CumSum": [(1, 2, 4, 4), ()]}  # fmt: skip
WORDS = {"kernel_shape": [2, 2], "equation": "abcd->dcba", "to": 1, "num_groups": 1, "blocksize": 2, "size": 3, "direction": "LEFT", "perm": [0, 1, 3, 2],
         "scales": [1.0, 1.0, 2.0, 2.0], "split": [1]}  # fmt: skip
FIRST = ("tensor(float)", "tensor(int64)", "tensor(uint8)", "tensor(bool)", "tensor(int8)")


def types_of(schema, formal):
    """The element type that an input has here: the first of the usual ones that it may have."""
    allowed = next(
        (c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == formal.type_str), [formal.type_str]
    )
    word = next((w for w in FIRST if w in allowed), "tensor(float)")
    return getattr(TensorProto, word[7:-1].upper())


@cache
def plain_model(name):
    """A model of one node: all that its operator requires, in usual types and shapes. Most are sound."""
    opset = {"Upsample": 9}.get(name, 18) if defs.has(name, 18) or name == "Upsample" else NEWEST
    domain, _, op = name.rpartition("::")
    schema = declared(domain, op, opset)
    inputs = [
        helper.make_tensor_value_info(f"x{k}", types_of(schema, formal), SHAPES.get(name, [(1, 2, 4, 4)] * 9)[k])
        for k, formal in enumerate(schema.inputs[: max(schema.min_input, min(1, schema.max_input))])
    ]
    given = {a.name: WORDS.get(a.name, 0) for a in schema.attributes.values() if a.required}
    node = helper.make_node(op, [i.name for i in inputs], ["y"], domain=domain, **given)
    graph = helper.make_graph([node], "net", inputs, [onnx.ValueInfoProto(name="y")])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)], ir_version=10
    )


def set_shape(info, dims):
    info.CopyFrom(helper.make_tensor_value_info(info.name, info.type.tensor_type.elem_type, dims))


def wrong_input(model, draw):
    node, names = model.graph.node[0], list(model.graph.node[0].input)
    change = draw.choice(("drop", "more", "rename", "none", "itself", "swap", "twice"))
    changed = {
        "drop": names[:-1],
        "more": names + names[-1:] * 9,
        "rename": [*names[:-1], "nowhere"],
        "none": [""] * len(names),
        "itself": [*names[:-1], node.output[0]],
        "swap": names[::-1],
        "twice": names[:1] * len(names),
    }[change]
    del node.input[:]
    node.input.extend(changed)


def wrong_shape(model, draw):
    info = draw.choice(model.graph.input)
    dims = [d.dim_value for d in info.type.tensor_type.shape.dim]
    k = draw.randrange(len(dims) + 1)
    set_shape(
        info,
        draw.choice(
            ([], [*dims, 3], dims[:-1], [*dims[:k], draw.choice((0, 1, 7, -5, 2**40, "n", "")), *dims[k + 1 :]], None)
        ),
    )


def wrong_type(model, draw):
    draw.choice(model.graph.input).type.tensor_type.elem_type = draw.choice(TYPES)


def wrong_weight(model, draw):
    """An input that is a constant of odd numbers, of an odd shape, or of too few bytes."""
    integers = [i for i in model.graph.input if i.type.tensor_type.elem_type in (TensorProto.INT64, TensorProto.INT32)]
    info = draw.choice(integers or model.graph.input)
    kind = np.int64 if integers else np.float32
    shape = draw.choice(((), (1,), (2,), (0,), (3, 2), (1, 1, 1, 1, 1, 1)))
    tensor = numpy_helper.from_array(
        np.full(shape, draw.choice(NUMBERS if integers else (0.5, np.nan, -1e30)), kind), info.name
    )
    damage = draw.choice(("", "", "", "bytes", "dims", "type"))
    if damage == "bytes":
        tensor.raw_data = tensor.raw_data[:-1] + b"\0" * 3
    elif damage == "dims":
        tensor.dims[:] = [-1, 2**40]
    elif damage == "type":
        tensor.data_type = draw.choice(TYPES)
    model.graph.initializer.append(tensor)
    model.graph.input.remove(info)


def wrong_attribute(model, draw):
    node = model.graph.node[0]
    names = [*declared(node.domain, node.op_type, NEWEST).attributes, "no_such"]
    name, value = draw.choice(names), draw.choice(ATTRIBUTES)
    for old in [a for a in node.attribute if a.name == name]:
        node.attribute.remove(old)
    if isinstance(value, (np.ndarray, np.generic)):
        value = numpy_helper.from_array(np.asarray(value))
    kinds = {list: AttributeProto.INTS}
    node.attribute.append(helper.make_attribute(name, value, attr_type=kinds[list] if value == [] else None))


def wrong_output(model, draw):
    node, graph = model.graph.node[0], model.graph
    change = draw.choice(("twice", "unknown", "none", "more", "input", "second node"))
    if change == "twice":
        graph.output.append(graph.output[0])
    elif change == "unknown":
        graph.output.add(name="nowhere")
    elif change == "none":
        del graph.output[:]
    elif change == "more":
        node.output.extend(f"more{k}" for k in range(9))
        graph.output.add(name="more8")
    elif change == "input" and graph.input:
        node.output[0] = graph.input[0].name
    else:
        graph.node.append(node)


def wrong_model(model, draw):
    node = model.graph.node[0]
    change = draw.choice(("operator", "domain", "old", "new", "no opset", "no node", "name", "no graph"))
    if change == "operator":
        node.op_type = draw.choice(("", "Bogus", node.op_type.lower()))
    elif change == "domain":
        node.domain = "com.bogus"
    elif change in ("old", "new"):
        model.opset_import[0].version = draw.choice((1, 5, 7, 9) if change == "old" else (99, 2**40, -1))
    elif change == "no opset":
        del model.opset_import[:]
    elif change == "no node":
        del model.graph.node[:]
    elif change == "name":
        node.output[0] = "\x1b[31m\n"
    else:
        model.ClearField("graph")


KINDS = (
    wrong_input,
    wrong_shape,
    wrong_type,
    wrong_weight,
    wrong_attribute,
    wrong_attribute,
    wrong_output,
    wrong_model,
)


def wrong_models(name, count):
    for case in range(count):
        draw = random.Random(zlib.crc32(f"{name} {case}".encode()))
        model = copy.deepcopy(plain_model(name))
        kind = draw.choice(KINDS if model.graph.input else (wrong_attribute, wrong_output, wrong_model))
        kind(model, draw)
        yield kind.__name__, model


def refusal(model, whole):
    """The error of loading and, if `whole`, compiling; None when it works."""
    try:
        graph = load(model)
        graph = bind(graph, dict.fromkeys(graph.symbols, 2))
        if whole:
            compile(graph, threads=1)
    except MiniccError as error:
        return error
    return None


@pytest.mark.parametrize("name", sorted(translations()))
def test_a_wrong_model_works_or_is_refused_in_four_parts(name):
    for case, (kind, model) in enumerate(wrong_models(name, COUNT)):
        error = refusal(model, whole=case == 0)
        assert error is None or (error.call and error.problem and error.where and error.hint), (
            f"{kind}: {error}\n{onnx.printer.to_text(model)}"
        )
