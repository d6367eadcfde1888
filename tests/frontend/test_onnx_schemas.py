"""What is declared of operators that the onnx package lacks, against what onnxruntime declares."""

import pytest
from onnx import AttributeProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from minicc.errors import LoadError
from minicc.frontend.onnx import NEWEST
from minicc.frontend.onnx.call import OnnxCall
from minicc.frontend.onnx.table import translations
from minicc.frontend.onnx.schemas import _tables, declared
from minicc.graph.ir import Span, constant

THEIRS = {(schema.domain, schema.name): schema for schema in get_all_operator_schema()}


def parameters(formals):
    return [(formal.name, str(formal.option).split(".")[-1]) for formal in formals]


def attributes(schema, default):
    return {
        name: (str(a.type).split(".")[-1], a.required, default(a) and helper.get_attribute_value(default(a)))
        for name, a in schema.attributes.items()
    }


def own(attribute):
    return attribute.default_value if attribute.default_value.name else None


def theirs(attribute):
    return AttributeProto.FromString(attribute._default_value) if attribute._default_value else None


@pytest.mark.parametrize("key", sorted(_tables()), ids="::".join)
def test_the_tables_say_what_onnxruntime_says(key):
    ours, other = _tables()[key], THEIRS[key]
    assert parameters(ours.inputs) == parameters(other.inputs)
    assert parameters(ours.outputs) == parameters(other.outputs)
    assert attributes(ours, own) == attributes(other, theirs)
    assert (ours.min_input, ours.max_input) == (other.min_input, other.max_input)
    assert (ours.min_output, ours.max_output) == (other.min_output, other.max_output)


def test_every_translation_of_a_domain_in_use_is_declared():
    for kind in translations():
        domain, _, name = kind.rpartition("::")
        assert domain not in ("", "com.microsoft") or declared(domain, name, NEWEST) is not None, kind


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (helper.make_node("BiasGelu", ["x"], ["y"], domain="com.microsoft"), "expected 2 inputs, got 1"),
        (helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft", alfa=1.0), "'alfa' does not exist"),
        (
            helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft", alpha=1),
            "'alpha' must be FLOAT, got INT",
        ),
        (helper.make_node("MatMulNBits", ["x"] * 3, ["y"], domain="com.microsoft", K=1), "'block_size' is required"),
    ],
)
def test_nodes_are_checked(node, problem):
    with pytest.raises(LoadError, match=problem):
        OnnxCall(node, 18, [constant(1.0)] * len(node.input), Span("m.onnx"))
