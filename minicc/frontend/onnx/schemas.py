"""What operators are declared to take and give: by the onnx package, and, of those in use that it lacks, by the tables here.

The tables say what onnxruntime declares, from which exporters and its own optimizer write these operators:
`NAME(INPUTS) -> OUTPUTS; ATTRIBUTES`, where `?` marks what may be absent, `*` what may come any number of times, and `!` an
attribute that is required. An operator of which neither knows has no schema: then the node alone says what it is.

>>> declared("com.microsoft", "FastGelu", 18).max_input
2
>>> declared("custom", "Attention", 18) is None
True
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from onnx import AttributeProto, defs, helper

Schema = defs.OpSchema
Option = Schema.FormalParameterOption
OPTIONS = {"": Option.Single, "?": Option.Optional, "*": Option.Variadic}
READ = {"INT": int, "FLOAT": float, "STRING": str}  # defaults

ONNX = """
SimplifiedLayerNormalization(X, scale) -> Y, inv_std_var?; axis: INT = -1, epsilon: FLOAT = 1e-05, stash_type: INT
    = 1
"""

MICROSOFT = """
Attention(input, weights, bias?, mask_index?, past?, attention_bias?, past_sequence_length?) -> output, present?;
    do_rotary: INT, mask_filter_value: FLOAT, num_heads: INT!, past_present_share_buffer: INT, qkv_hidden_sizes: INTS,
    rotary_embedding_dim: INT, scale: FLOAT, unidirectional: INT = 0
BiasGelu(A, B) -> C
DequantizeLinear(x, x_scale, x_zero_point?) -> y; axis: INT
DynamicQuantizeMatMul(A, B, b_scale, b_zero_point?, bias?) -> Y
EmbedLayerNormalization(input_ids, segment_ids?, word_embedding, position_embedding, segment_embedding?, gamma,
    beta, mask?, position_ids?) -> output, mask_index?, embedding_sum?; epsilon: FLOAT = 1e-12, mask_index_type: INT
FastGelu(X, bias?) -> Y
FusedConv(X, W, B?, Z?) -> Y; activation: STRING, activation_params: FLOATS, auto_pad: STRING = NOTSET, dilations:
    INTS, group: INT = 1, kernel_shape: INTS, pads: INTS, strides: INTS
FusedGemm(A, B, C?) -> Y; activation: STRING, activation_alpha: FLOAT, activation_beta: FLOAT, activation_gamma:
    FLOAT, alpha: FLOAT = 1.0, beta: FLOAT = 1.0, transA: INT = 0, transB: INT = 0
FusedMatMul(A, B) -> Y; alpha: FLOAT = 1.0, transA: INT = 0, transB: INT = 0, transBatchA: INT = 0, transBatchB:
    INT = 0
Gelu(X) -> Y
GroupQueryAttention(query, key?, value?, past_key?, past_value?, seqlens_k, total_sequence_length, cos_cache?,
    sin_cache?, position_ids?, attention_bias?, head_sink?, k_scale?, v_scale?, q_norm_weight?, k_norm_weight?) ->
    output, present_key?, present_value?, output_qk?; causal: INT = 1, do_rotary: INT, k_quant_type: STRING = NONE,
    kv_cache_bit_width: INT, kv_num_heads: INT!, local_window_size: INT = -1, num_heads: INT!, qk_norm_epsilon: FLOAT
    = 1e-06, qk_output: INT = 0, rotary_interleaved: INT, scale: FLOAT, sliding_window_cache: INT = 0, smooth_softmax:
    INT = -1, softcap: FLOAT, v_quant_type: STRING = NONE
MatMulIntegerToFloat(A, B, a_scale, b_scale, a_zero_point?, b_zero_point?, bias?) -> Y
MatMulNBits(A, B, scales, zero_points?, g_idx?, bias?) -> Y; K: INT!, N: INT!, accuracy_level: INT = 0, bits: INT
    = 4, block_size: INT!, weight_prepacked: INT = 0
MultiHeadAttention(query, key?, value?, bias?, key_padding_mask?, attention_bias?, past_key?, past_value?,
    past_sequence_length?, cache_indirection?) -> output, present_key?, present_value?, qk?; mask_filter_value: FLOAT,
    num_heads: INT!, scale: FLOAT, unidirectional: INT = 0
QAttention(input, weight, bias, input_scale, weight_scale, mask_index?, input_zero_point?, weight_zero_point?,
    past?) -> output, present?; do_rotary: INT, mask_filter_value: FLOAT, num_heads: INT!, past_present_share_buffer:
    INT, scale: FLOAT, unidirectional: INT = 0
QGemm(A, a_scale, a_zero_point, B, b_scale, b_zero_point, C?, y_scale?, y_zero_point?) -> Y; alpha: FLOAT = 1.0,
    transA: INT = 0, transB: INT = 0
QLinearAdd(A, A_scale, A_zero_point?, B, B_scale, B_zero_point?, C_scale, C_zero_point?) -> C
QLinearAveragePool(X, x_scale, x_zero_point?, y_scale, y_zero_point?) -> Y; auto_pad: STRING = NOTSET, ceil_mode:
    INT = 0, channels_last: INT = 0, count_include_pad: INT = 0, kernel_shape: INTS!, pads: INTS, strides: INTS
QLinearConcat(Y_scale, Y_zero_point, inputs*) -> Y; axis: INT!
QLinearConv(x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B?) -> y; auto_pad: STRING
    = NOTSET, channels_last: INT = 0, dilations: INTS, group: INT = 1, kernel_shape: INTS, pads: INTS, strides: INTS
QLinearGlobalAveragePool(X, x_scale, x_zero_point, y_scale, y_zero_point) -> Y; channels_last: INT = 0
QLinearLeakyRelu(X, X_scale, X_zero_point?, Y_scale, Y_zero_point?) -> Y; alpha: FLOAT = 0.01
QLinearMul(A, A_scale, A_zero_point?, B, B_scale, B_zero_point?, C_scale, C_zero_point?) -> C
QLinearReduceMean(data, data_scale, data_zero_point?, reduced_scale, reduced_zero_point?) -> reduced; axes: INTS!,
    keepdims: INT!
QLinearSigmoid(X, X_scale, X_zero_point?, Y_scale, Y_zero_point?) -> Y
QLinearSoftmax(X, X_scale, x_zero_point?, y_scale, y_zero_point) -> Y; axis: INT = -1, opset: INT!
QLinearWhere(condition, X, x_scale, x_zero_point, Y, y_scale, y_zero_point, z_scale, z_zero_point) -> Z
QuantizeLinear(x, y_scale, y_zero_point?) -> y; axis: INT
QuickGelu(X) -> Y; alpha: FLOAT = 1.702
RotaryEmbedding(input, position_ids, cos_cache, sin_cache) -> output; interleaved: INT, is_packed_batching: INT,
    num_heads: INT, rotary_embedding_dim: INT, scale: FLOAT
SkipLayerNormalization(input, skip, gamma, beta?, bias?) -> output, mean?, inv_std_var?, input_skip_bias_sum?;
    epsilon: FLOAT = 1e-12
SkipSimplifiedLayerNormalization(input, skip, gamma, bias?) -> output, mean?, inv_std_var?, input_skip_bias_sum?;
    epsilon: FLOAT = 1e-12
TransposeMatMul(A, B) -> Y; alpha: FLOAT = 1.0, transA: INT = 0, transB: INT = 0
"""


def declared(domain: str, name: str, version: int) -> Schema | None:
    """The schema of an operator as of this opset; None where nobody declares it."""
    if domain in ("", "ai.onnx") and defs.has(name):
        return defs.get_schema(name, version, "")
    return _tables().get((domain.removeprefix("ai.onnx"), name))


@cache
def _tables() -> dict[tuple[str, str], Schema]:
    texts = {"": ONNX, "com.microsoft": MICROSOFT}
    lines = {domain: text.replace("\n    ", " ").strip().splitlines() for domain, text in texts.items()}
    made = [_read(domain, line) for domain, found in lines.items() for line in found]
    return {(schema.domain, schema.name): schema for schema in made}


def _read(domain: str, line: str) -> Schema:
    """The schema that a line of a table declares."""
    name, _, rest = line.partition("(")
    head, _, attributes = rest.partition("; ")
    inputs, _, outputs = head.partition(") -> ")
    types = [("T", ["tensor(float)"], "")]
    formals = [list(map(_formal, text.split(", "))) for text in (inputs, outputs)]
    declared = map(_attribute, filter(None, attributes.split(", ")))
    return Schema(
        name, domain, 1, inputs=formals[0], outputs=formals[1], type_constraints=types, attributes=[*declared]
    )


def _formal(text: str) -> defs.OpSchema.FormalParameter:
    name = text.rstrip("?*")
    return Schema.FormalParameter(name, "T", param_option=OPTIONS[text[len(name) :]])


def _attribute(text: str) -> defs.OpSchema.Attribute:
    found = re.fullmatch(r"(\w+): ([A-Z]+)(!?)(?: = (.*))?", text)
    assert found is not None, text
    name, kind, required, default = found.groups()
    of = getattr(Schema.AttrType, kind)
    if default is None:
        return Schema.Attribute(name, of, required=bool(required))
    return Schema.Attribute(name, helper.make_attribute(name, READ[kind](default)))


def undeclared(domain: str, name: str, attributes: Iterable[AttributeProto]) -> Schema:
    """The schema of an operator of which only a node is known: any inputs and outputs, and the attributes of the node."""
    many = [Schema.FormalParameter("values", "T", param_option=Option.Variadic, min_arity=0)]
    kinds = {a.name: getattr(Schema.AttrType, AttributeProto.AttributeType.Name(a.type)) for a in attributes}
    fields = [Schema.Attribute(name, kind, required=False) for name, kind in kinds.items()]
    types = [("T", ["tensor(float)"], "")]
    return Schema(name, domain, 1, inputs=many, outputs=many, type_constraints=types, attributes=fields)


@cache
def history() -> dict[str, tuple[int, ...]]:
    """The operators of ONNX itself, and in which opsets each has changed; those that are gone are left out."""
    found: dict[str, list[int]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            found.setdefault(schema.name, []).append(schema.since_version)
    last = {name: defs.get_schema(name, max(versions), "") for name, versions in found.items()}
    kept = {name: versions for name, versions in found.items() if not last[name].deprecated or name == "Upsample"}
    return {name: tuple(sorted(versions)) for name, versions in sorted(kept.items())}
