"""Calls of every Relay operator that minicc reads, as Relay's Python has them, and what the old TVM makes of them.

`CASES` maps a name, whose first word is the operator, to an expression and its parameters. Run by the Python of the old TVM, this
file prints, as JSON, the text of each case and what the debug executor computes of it.
"""

import json
import sys

import numpy as np


def ints(*shape, high=3, dtype="int64"):
    """A parameter of whole numbers from 0, below `high`."""
    return shape, dtype, high


MATRIX = {"x": (3, 4)}
PAIR = {"x": (3, 4), "y": (1, 4)}
WHOLE = {"x": ints(2, 3, high=9, dtype="int32"), "y": ((2, 3), "int32", (1, 5))}
LOGIC = {"x": ints(2, 3, high=2, dtype="bool"), "y": ints(2, 3, high=2, dtype="bool")}
IMAGE = {"x": (1, 4, 5, 6)}
LAST = {"x": (1, 5, 6, 4)}
SMALL = {"x": (1, 4, 2, 3)}
CHANNELS = {"g": (4,), "b": (4,)}

UNARY = ["abs", "ceil", "cos", "erf", "exp", "floor", "isfinite", "isinf", "isnan", "negative", "nn.relu", "round", "sigmoid",
         "sign", "sin", "tan", "tanh", "trunc", "atan", "asinh", "sinh", "cosh", "copy"]  # fmt: skip
POSITIVE = ["log", "sqrt", "rsqrt"]
UNIT = ["acos", "asin", "atanh"]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "floor_divide", "floor_mod", "mod", "equal", "not_equal",
          "greater", "greater_equal", "less", "less_equal"]  # fmt: skip
INTEGER = [
    "divide",
    "mod",
    "floor_divide",
    "floor_mod",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "left_shift",
    "right_shift",
    "add",
]

CASES = {
    **{name: (f"relay.{name}(x)", MATRIX) for name in UNARY},
    **{name: (f"relay.{name}(x)", {"x": ((3, 4), "float32", (0.5, 4))}) for name in POSITIVE},
    **{name: (f"relay.{name}(x)", {"x": ((3, 4), "float32", (-0.9, 0.9))}) for name in UNIT},
    "acosh": ("relay.acosh(x)", {"x": ((3, 4), "float32", (1.0, 3.0))}),
    **{name: (f"relay.{name}({'relay.exp(x)' if name == 'power' else 'x'}, y)", PAIR) for name in BINARY},
    **{f"{name} of integers": (f"relay.{name}(x, y)", WHOLE) for name in INTEGER},
    **{name: (f"relay.{name}(x, y)", LOGIC) for name in ("logical_and", "logical_or", "logical_xor")},
    "logical_not": ("relay.logical_not(x)", {"x": LOGIC["x"]}),
    "bitwise_not": ("relay.bitwise_not(x)", {"x": WHOLE["x"]}),
    "round of halves": ("relay.round(relay.multiply(relay.cast(x, 'float32'), const(np.float32(0.5))))", {"x": ((9,), "int32", (-5, 6))}),
    "floor_mod of negatives": ("relay.Tuple([relay.floor_mod(x, y), relay.mod(x, y), relay.floor_divide(x, y), relay.divide(x, y)])", {"x": ((12,), "int32", (-9, 9)), "y": ((12,), "int32", (1, 5))}),
    "clip": ("relay.clip(x, -0.5, 1.0)", MATRIX),
    "clip of integers": ("relay.clip(x, 2, 5)", {"x": WHOLE["x"]}),
    "where": ("relay.where(c, x, y)", {"c": ints(3, 1, high=2, dtype="bool"), **PAIR}),
    "where of numbers": ("relay.where(c, x, y)", {"c": ints(3, 4, high=2, dtype="float32"), "x": (3, 4), "y": (3, 4)}),
    "nn.leaky_relu": ("nn.leaky_relu(x, 0.2)", MATRIX),
    "nn.prelu": ("nn.prelu(x, g)", {**SMALL, "g": (4,)}),
    "nn.prelu axis": ("nn.prelu(x, g, axis=3)", {"x": (1, 2, 3, 4), "g": (4,)}),
    # movement
    "cast": ("relay.cast(x, 'int32')", MATRIX),
    "cast to bool": ("relay.cast(x, 'bool')", {"x": ints(2, 3, dtype="int32")}),
    "cast_like": ("relay.cast_like(x, y)", {"x": (2, 3), "y": ints(2)}),
    "reshape": ("relay.reshape(x, (0, -1, 2))", {"x": (2, 3, 4)}),
    "reshape -2": ("relay.reshape(x, (-2, 1))", {"x": (2, 3)}),
    "reshape -3": ("relay.reshape(x, (-3, 4))", {"x": (2, 3, 4)}),
    "reshape -4": ("relay.reshape(x, (-4, 2, -1, 3))", {"x": (4, 3)}),
    "reshape_like": ("relay.reshape_like(x, y)", {"x": (2, 6), "y": (3, 4)}),
    "transpose": ("relay.transpose(x, (0, -1, 1))", {"x": (2, 3, 4)}),
    "transpose all": ("relay.transpose(x)", {"x": (2, 3, 4)}),
    "squeeze": ("relay.squeeze(x)", {"x": (1, 3, 1)}),
    "squeeze axis": ("relay.squeeze(x, [-1])", {"x": (1, 3, 1)}),
    "expand_dims": ("relay.expand_dims(x, 1, 2)", MATRIX),
    "expand_dims -1": ("relay.expand_dims(x, -1)", MATRIX),
    "concatenate": ("relay.concatenate([x, y], -1)", {"x": (3, 2), "y": (3, 1)}),
    "stack": ("relay.stack([x, y], 1)", {"x": (3, 2), "y": (3, 2)}),
    "split": ("relay.split(x, 2, 1).astuple()", MATRIX),
    "split at": ("relay.split(x, [1, 3], 1)[1]", MATRIX),
    "tile": ("relay.tile(x, (2, 1, 2))", {"x": (2, 3)}),
    "repeat": ("relay.repeat(x, 2, -1)", {"x": (2, 3)}),
    "reverse": ("relay.reverse(x, 1)", MATRIX),
    "reverse_sequence": ("relay.reverse_sequence(x, n, 1, 0)", {"x": (2, 4), "n": ((2,), "int32", (1, 5))}),
    "broadcast_to": ("relay.broadcast_to(x, (2, 3, 4))", {"x": (3, 1)}),
    "broadcast_to_like": ("relay.broadcast_to_like(x, y)", {"x": (3, 1), "y": (3, 4)}),
    "strided_slice": ("relay.strided_slice(x, [1, -3], [3, -1])", {"x": (4, 5)}),
    "strided_slice axes": ("relay.strided_slice(x, [4], [0], [-2], axes=[1])", {"x": (2, 5)}),
    "strided_slice size": ("relay.strided_slice(x, [1, 1], [2, -1], slice_mode='size')", {"x": (4, 5)}),
    "strided_slice size from behind": ("relay.strided_slice(x, [-3, -4], [2, 3], slice_mode='size')", {"x": (4, 5)}),
    "strided_slice some": ("relay.strided_slice(x, [1], [3])", {"x": (4, 5)}),
    "slice_like": ("relay.slice_like(x, y)", {"x": (3, 4), "y": (2, 3)}),
    "slice_like axes": ("relay.slice_like(x, y, [-1])", {"x": (3, 4), "y": (2, 3)}),
    "nn.pad": ("nn.pad(x, ((1, 0), (0, 2)), 0.5)", {"x": (2, 3)}),
    "nn.pad edge": ("nn.pad(x, ((1, 0), (0, 2)), pad_mode='edge')", {"x": (2, 3)}),
    "nn.pad reflect": ("nn.pad(x, ((1, 0), (0, 2)), pad_mode='reflect')", {"x": (2, 3)}),
    "nn.dilate": ("nn.dilate(x, (1, 3), 0.5)", {"x": (2, 3)}),
    "nn.mirror_pad": ("nn.mirror_pad(x, ((1, 0), (0, 2)), 'REFLECT')", {"x": (2, 3)}),
    "full": ("relay.full(const(np.float32(2)), (2, 3), 'float32')", {}),
    "full_like": ("relay.full_like(x, const(np.float32(2)))", {"x": (2, 3)}),
    "zeros": ("relay.zeros((2, 3), 'int32')", {}),
    "ones": ("relay.ones((2,), 'float32')", {}),
    "zeros_like": ("relay.zeros_like(x)", {"x": (2, 3)}),
    "ones_like": ("relay.ones_like(x)", {"x": ints(2, 3)}),
    "arange": ("relay.arange(const(1), const(8), const(3), 'int32')", {}),
    "shape_of": ("relay.shape_of(x)", MATRIX),
    "ndarray_size": ("relay.ndarray_size(x)", MATRIX),
    "trilu": ("relay.trilu(x, const(1), True)", {"x": (3, 4)}),
    "trilu lower": ("relay.trilu(x, const(-1), False)", {"x": (3, 4)}),
    "layout_transform": ("relay.layout_transform(x, 'NCHW', 'NHWC')", SMALL),
    "einsum": ("relay.einsum([x, y], 'ij,jk->ik')", {"x": (2, 3), "y": (3, 2)}),
    # indexing
    "take": ("relay.take(x, i, 1)", {"x": (3, 4), "i": ((2, 2), "int64", (-2, 6))}),
    "take wrap": ("relay.take(x, i, 1, mode='wrap')", {"x": (3, 4), "i": ((2, 2), "int64", (-2, 6))}),
    "take all": ("relay.take(x, i)", {"x": (3, 4), "i": ints(3, high=12, dtype="int32")}),
    "gather": ("relay.gather(x, 1, i)", {"x": (3, 4), "i": ints(3, 2)}),
    "gather_nd": ("relay.gather_nd(x, i)", {"x": (3, 4), "i": ints(2, 5)}),
    "gather_nd rows": ("relay.gather_nd(x, i)", {"x": (3, 4), "i": ints(1, 2)}),
    "gather_nd batch": ("relay.gather_nd(x, i, 1)", {"x": (2, 3, 4), "i": ints(1, 2)}),
    "scatter_elements": ("relay.scatter_elements(x, i, u, 1, 'add')", {"x": (2, 4), "i": ints(2, 3, high=4), "u": (2, 3)}),
    "scatter_elements update": ("relay.scatter_elements(x, i, u, 0)", {"x": (3, 2), "i": ints(1, 2), "u": (1, 2)}),
    "scatter_nd": ("relay.scatter_nd(x, i, u, 'add')", {"x": (3, 4), "i": ints(2, 5), "u": (5,)}),
    "scatter_nd update": ("relay.scatter_nd(x, const(np.array([[0, 2], [1, 0]])), u)", {"x": (3, 4), "u": (2,)}),
    "one_hot": ("relay.one_hot(i, const(np.float32(2)), const(np.float32(-1)), 4, -1, 'float32')", {"i": ((3,), "int32", (-1, 6))}),
    "one_hot axis": ("relay.one_hot(i, const(1), const(0), 3, 0, 'int32')", {"i": ints(2, 3)}),
    "cumsum": ("relay.cumsum(x, 1)", MATRIX),
    "cumsum exclusive": ("relay.cumsum(x, 0, exclusive=True)", MATRIX),
    "cumsum all": ("relay.cumsum(x, dtype='float64')", MATRIX),
    "argmax": ("relay.argmax(x, 1)", MATRIX),
    "argmax all": ("relay.argmax(x, keepdims=True)", MATRIX),
    "argmax last": ("relay.argmax(x, 1, select_last_index=True)", {"x": ints(3, 4, high=2, dtype="int32")}),
    "argmax exclude": ("relay.argmax(x, 1, exclude=True)", MATRIX),
    "argmin": ("relay.argmin(x, [-1], keepdims=True)", MATRIX),
    "topk": ("relay.topk(x, 2).astuple()", MATRIX),
    "topk smallest": ("relay.topk(x, 2, 0, 'indices', True, 'int64')", MATRIX),
    "sort": ("relay.sort(x, 0)", MATRIX),
    "sort down": ("relay.sort(x, is_ascend=False)", MATRIX),
    "argsort": ("relay.argsort(x, 1, dtype='int32')", MATRIX),
    # contractions and windows
    "nn.dense": ("nn.dense(x, w)", {"x": (3, 4), "w": (5, 4)}),
    "nn.dense of integers": ("nn.dense(x, w, out_dtype='int32')", {"x": ints(3, 4, dtype="int8"), "w": ints(5, 4, dtype="int8")}),
    "nn.matmul": ("nn.matmul(x, w, transpose_a=True)", {"x": (4, 3), "w": (4, 5)}),
    "nn.batch_matmul": ("nn.batch_matmul(x, w)", {"x": (2, 3, 4), "w": (2, 5, 4)}),
    "nn.batch_matmul plain": ("nn.batch_matmul(x, w, transpose_b=False)", {"x": (2, 3, 4), "w": (1, 4, 5)}),
    "nn.bias_add": ("nn.bias_add(x, g)", {**SMALL, "g": (4,)}),
    "nn.bias_add last": ("nn.bias_add(x, g, -1)", {"x": (2, 4), "g": (4,)}),
    "nn.batch_flatten": ("nn.batch_flatten(x)", SMALL),
    "nn.conv1d": ("nn.conv1d(x, w, padding=1)", {"x": (1, 3, 5), "w": (2, 3, 3)}),
    "nn.conv2d": ("nn.conv2d(x, w, strides=(2, 1), padding=(1, 0, 2, 1), dilation=(1, 2))", {**IMAGE, "w": (3, 4, 3, 2)}),
    "nn.conv2d NHWC": ("nn.conv2d(x, w, padding=1, data_layout='NHWC', kernel_layout='HWIO')", {**LAST, "w": (3, 3, 4, 2)}),
    "nn.conv2d groups": ("nn.conv2d(x, w, groups=2)", {**IMAGE, "w": (4, 2, 2, 2)}),
    "nn.conv2d depthwise": ("nn.conv2d(x, w, groups=4, channels=4, kernel_size=(3, 3))", {**IMAGE, "w": (4, 1, 3, 3)}),
    "nn.conv2d multiplied": ("nn.conv2d(x, w, groups=4, channels=8, kernel_size=(2, 2))", {"x": (1, 4, 3, 3), "w": (8, 1, 2, 2)}),
    "nn.conv2d depthwise NHWC": ("nn.conv2d(x, w, groups=4, channels=4, kernel_size=(3, 3), data_layout='NHWC', kernel_layout='HWOI')", {**LAST, "w": (3, 3, 4, 1)}),
    "nn.conv3d": ("nn.conv3d(x, w, padding=(1, 0, 1))", {"x": (1, 2, 3, 4, 3), "w": (2, 2, 2, 2, 2)}),
    "nn.conv1d_transpose": ("nn.conv1d_transpose(x, w, strides=(2,), output_padding=(1,))", {"x": (1, 3, 4), "w": (3, 2, 3)}),
    "nn.conv2d_transpose": ("nn.conv2d_transpose(x, w, strides=(2, 1), padding=(1, 1))", {"x": (1, 2, 3, 4), "w": (2, 3, 3, 3)}),
    "nn.conv3d_transpose": ("nn.conv3d_transpose(x, w, strides=(2, 1, 1))", {"x": (1, 2, 2, 2, 2), "w": (2, 1, 2, 2, 2)}),
    "nn.max_pool1d": ("nn.max_pool1d(x, 3, 2, padding=1)", {"x": (1, 2, 7)}),
    "nn.max_pool2d": ("nn.max_pool2d(x, (3, 2), (2, 2), padding=(1, 0, 1, 0), ceil_mode=True)", IMAGE),
    "nn.max_pool2d behind": ("relay.maximum(nn.max_pool2d(x, (3, 2), (2, 2), padding=(1, 0, 1, 1), ceil_mode=True), const(np.float32(-9)))", IMAGE),
    "nn.max_pool2d behind NHWC": ("relay.maximum(nn.max_pool2d(x, (3, 2), (2, 2), padding=(1, 0, 1, 1), ceil_mode=True, layout='NHWC'), const(np.float32(-9)))", LAST),
    **{f"nn.avg_pool2d behind {counts}": (f"nn.avg_pool2d(x, (3, 2), (2, 2), padding=(1, 0, 1, 1), ceil_mode=True, count_include_pad={counts})", IMAGE)
       for counts in (False, True)},
    "nn.max_pool2d NHWC": ("nn.max_pool2d(x, (2, 2), (2, 2), layout='NHWC')", LAST),
    "nn.max_pool3d": ("nn.max_pool3d(x, (2, 2, 2), dilation=(1, 2, 1))", {"x": (1, 2, 3, 4, 3)}),
    "nn.avg_pool1d": ("nn.avg_pool1d(x, 3, 2, padding=1)", {"x": (1, 2, 7)}),
    "nn.avg_pool2d": ("nn.avg_pool2d(x, (3, 2), (2, 2), padding=(1, 1))", IMAGE),
    "nn.avg_pool2d with padding": ("nn.avg_pool2d(x, (3, 2), (2, 2), padding=(1, 1), count_include_pad=True)", IMAGE),
    **{f"nn.avg_pool2d ceil {counts}": (f"nn.avg_pool2d(x, (2, 3), (2, 2), padding=(0, 1), ceil_mode=True, count_include_pad={counts})", IMAGE)
       for counts in (False, True)},
    "nn.avg_pool3d": ("nn.avg_pool3d(x, (2, 2, 2))", {"x": (1, 2, 3, 3, 3)}),
    "nn.global_avg_pool2d": ("nn.global_avg_pool2d(x)", SMALL),
    "nn.global_max_pool2d": ("nn.global_max_pool2d(x, 'NHWC')", {"x": (1, 2, 3, 4)}),
    "nn.adaptive_avg_pool1d": ("nn.adaptive_avg_pool1d(x, (2,))", {"x": (1, 2, 6)}),
    "nn.adaptive_avg_pool2d": ("nn.adaptive_avg_pool2d(x, (1, 1))", SMALL),
    "nn.adaptive_avg_pool3d": ("nn.adaptive_avg_pool3d(x, (1, 2, 1))", {"x": (1, 2, 2, 4, 2)}),
    "nn.adaptive_max_pool1d": ("nn.adaptive_max_pool1d(x, (2,))", {"x": (1, 2, 6)}),
    "nn.adaptive_max_pool2d": ("nn.adaptive_max_pool2d(x, (1, 3))", SMALL),
    "nn.adaptive_max_pool3d": ("nn.adaptive_max_pool3d(x, (1, 1, 1))", {"x": (1, 2, 2, 4, 2)}),
    "nn.depth_to_space": ("nn.depth_to_space(x, 2)", SMALL),
    "nn.depth_to_space CDR": ("nn.depth_to_space(x, 2, 'NHWC', 'CDR')", {"x": (1, 2, 1, 8)}),
    "nn.space_to_depth": ("nn.space_to_depth(x, 2)", {"x": (1, 2, 4, 2)}),
    # reductions and normalisations
    **{name: (f"relay.{name}(x, 1)", MATRIX) for name in ("sum", "mean", "max", "min", "prod", "variance")},
    **{f"{name} exclude": (f"relay.{name}(x, [0, -1], True, True)", {"x": (2, 3, 4)}) for name in ("sum", "max", "variance")},
    **{f"{name} all": (f"relay.{name}(x)", MATRIX) for name in ("sum", "mean", "variance")},
    "sum exclude every": ("relay.sum(x, [0, 1], exclude=True)", MATRIX),
    "mean of integers": ("relay.mean(x, 1)", {"x": WHOLE["x"]}),
    "variance unbiased": ("relay.variance(x, 1, unbiased=True)", MATRIX),
    "all": ("relay.all(x, 1)", {"x": LOGIC["x"]}),
    "any": ("relay.any(x, 0, True)", {"x": LOGIC["x"]}),
    "nn.softmax": ("nn.softmax(x, 0)", MATRIX),
    "nn.log_softmax": ("nn.log_softmax(x)", MATRIX),
    "nn.batch_norm": ("nn.batch_norm(x, g, b, m, v)[0]", {**SMALL, **CHANNELS, "m": (4,), "v": ((4,), "float32", (0.5, 2))}),
    "nn.batch_norm last": ("nn.batch_norm(x, g, b, m, v, axis=-1, scale=False, center=False, epsilon=0.1)[0]", {"x": (2, 3, 4), **CHANNELS, "m": (4,), "v": ((4,), "float32", (0.5, 2))}),
    "nn.layer_norm": ("nn.layer_norm(x, g, b)", {"x": (3, 4), **CHANNELS}),
    "nn.layer_norm bare": ("nn.layer_norm(x, g, b, epsilon=0.1, center=False, scale=False)", {"x": (3, 4), **CHANNELS}),
    "nn.instance_norm": ("nn.instance_norm(x, g, b)", {**SMALL, **CHANNELS}),
    "nn.group_norm": ("nn.group_norm(x, g, b, 2)", {**SMALL, **CHANNELS}),
    "nn.l2_normalize": ("nn.l2_normalize(x, 0.5, [1])", MATRIX),
    "nn.lrn": ("nn.lrn(x, 3, bias=2.0, alpha=0.5, beta=0.75)", SMALL),
    "nn.dropout": ("nn.dropout(x)", MATRIX),
    # resizing
    "image.resize1d": ("image.resize1d(x, (7,), method='linear')", {"x": (1, 2, 3)}),
    **{f"image.resize2d {method} {where}": (f"image.resize2d(x, (5, 2), method='{method}', coordinate_transformation_mode='{where}')", SMALL)
       for method in ("nearest_neighbor", "linear", "cubic") for where in ("half_pixel", "align_corners", "asymmetric")},
    **{f"image.resize2d {rounding}": (f"image.resize2d(x, (5, 2), method='nearest_neighbor', rounding_method='{rounding}')", SMALL)
       for rounding in ("round", "floor", "ceil", "round_prefer_floor", "round_prefer_ceil")},
    "image.resize2d excluding": ("image.resize2d(x, (5, 4), method='cubic', cubic_alpha=-0.75, cubic_exclude=1)", SMALL),
    "image.resize2d NHWC": ("image.resize2d(x, (3, 5), layout='NHWC')", {"x": (1, 2, 3, 2)}),
    "image.resize3d": ("image.resize3d(x, (2, 3, 4), method='nearest_neighbor', coordinate_transformation_mode='asymmetric')", {"x": (1, 1, 2, 2, 2)}),
    "nn.upsampling": ("nn.upsampling(x, 2, 3)", {"x": (1, 2, 2, 3)}),
    **{f"nn.upsampling {method} {corners}": (f"nn.upsampling(x, 2, 1.5, method='{method}', align_corners={corners})", {"x": (1, 1, 2, 4)})
       for method in ("bilinear", "bicubic") for corners in (False, True)},
    "nn.upsampling NHWC": ("nn.upsampling(x, 2, 2, 'NHWC')", {"x": (1, 2, 3, 2)}),
}  # fmt: skip


def declared(kind):
    """The shape, dtype and range of a parameter."""
    if len(kind) == 3 and isinstance(kind[1], str):
        shape, dtype, bounds = kind
        return shape, dtype, bounds if isinstance(bounds, tuple) else (0, bounds)
    return kind, "float32", None


def inputs(params):
    """The same arrays at every run, in every version of NumPy."""
    random, arrays = np.random.RandomState(0), {}
    for name, kind in params.items():
        shape, dtype, bounds = declared(kind)
        if bounds is None:
            drawn = random.randn(*shape)
        elif any(isinstance(bound, float) for bound in bounds):
            drawn = random.uniform(*bounds, shape)
        else:
            drawn = random.randint(*bounds, shape)
        arrays[name] = np.asarray(drawn).astype(dtype)
    return arrays


def main():
    """Print for each case the text and the outputs."""
    import tvm
    from tvm import relay

    answers = {}
    for name, (expression, params) in CASES.items():
        variables = {k: relay.var(k, shape=declared(kind)[0], dtype=declared(kind)[1]) for k, kind in params.items()}
        names = {"relay": relay, "nn": relay.nn, "image": relay.image, "const": relay.const, "np": np}
        made = eval(expression, {**names, **variables})
        made = made.astuple() if isinstance(made, relay.expr.TupleWrapper) else made
        module = relay.transform.InferType()(tvm.IRModule.from_expr(relay.Function(list(variables.values()), made)))
        executor = relay.create_executor("debug", mod=module, target="llvm -mtriple=x86_64-linux-gnu -mcpu=x86-64")
        result = executor.evaluate()(*inputs(params).values())
        outputs = [o.numpy() for o in (result if isinstance(module["main"].ret_type, tvm.ir.TupleType) else [result])]
        answers[name] = {"text": module.astext(show_meta_data=True), "outputs": list(map(described, outputs))}
    json.dump(answers, sys.stdout)


def described(array):
    """An array as JSON has it, in as few digits as say the same."""
    return {
        "dtype": str(array.dtype),
        "shape": array.shape,
        "data": [json.loads(str(v).lower()) for v in array.ravel()],
    }


if __name__ == "__main__":
    main()
