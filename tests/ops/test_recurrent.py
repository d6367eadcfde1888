"""LSTM, GRU and RNN against onnxruntime, whatever their inputs, functions and directions; and what is refused."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import minicc
from minicc.errors import LoadError, TypeInferenceError
from minicc.frontend import load
from minicc.graph import bind
from minicc.graph.control import Loop
from minicc.graph.interpret import evaluate
from minicc.ops import GRU, LSTM, RNN
from minicc.ops.recurrent import FUNCTIONS, LONG, MOST_STEPS
from minicc.testing.draws import drawn
from minicc.types import TensorType, float32

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
LAYERS = {"RNN": (1, 1), "GRU": (3, 2), "LSTM": (4, 3)}  # gates, functions
CASED = {"scaledtanh": "ScaledTanh", "hardsigmoid": "HardSigmoid", "leakyrelu": "LeakyRelu",
         "thresholdedrelu": "ThresholdedRelu"}  # fmt: skip


def agree(name, arrays, run=evaluate, **attributes):
    """All results of a layer are those of onnxruntime."""
    inputs = [key if key in arrays else "" for key in INPUTS[: 8 if name == "LSTM" else 6]]
    outputs = ["Y", "Y_h", "Y_c"][: 3 if name == "LSTM" else 2]
    node = helper.make_node(name, inputs, outputs, hidden_size=arrays["R"].shape[2], **attributes)
    infos = [
        helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for k, a in arrays.items()
    ]
    graph = helper.make_graph([node], "net", infos, [onnx.ValueInfoProto(name=key) for key in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(outputs, arrays)
    got = run(load(model), arrays)
    for key, array in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(got[key], array, rtol=1e-4, atol=1e-5, err_msg=key)


def bound(graph, arrays):
    graph = bind(graph)
    assert "RNN" in str(graph) or [n for n in graph.nodes if isinstance(n.op, Loop)]  # one of so few nodes is unrolled
    return evaluate(graph, arrays)


def compiled(graph, arrays):
    return minicc.compile(graph).run(arrays)


@pytest.mark.parametrize(
    "name, direction, run",
    [
        ("GRU", "reverse", bound),
        *[pytest.param(*case, marks=pytest.mark.slow)
          for case in itertools.product(LAYERS, ("reverse", "bidirectional"), (bound, compiled))],
    ],
)  # fmt: skip
def test_a_long_sequence_is_a_loop(name, direction, run):
    """As many steps as are not a multiple of a block, with lengths of the sequences and without."""
    (gates, _), count, steps, hidden = LAYERS[name], 1 + (direction == "bidirectional"), LONG + 3, 2
    random = np.random.default_rng(0)
    shapes = {"X": (steps, 2, 3), "W": (count, gates * hidden, 3), "R": (count, gates * hidden, hidden),
              "B": (count, 2 * gates * hidden), "initial_h": (count, 2, hidden)}  # fmt: skip
    arrays = {key: random.uniform(-1, 1, shape).astype(np.float32) for key, shape in shapes.items()}
    agree(name, arrays, run, direction=direction)
    agree(name, arrays | {"sequence_lens": np.int32([steps - 40, 7])}, run, direction=direction)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_give_what_onnxruntime_gives(name):
    for case in range(40):
        op, values = drawn(name, case)
        if op.layout:  # onnxruntime has none
            continue
        arrays = {
            key: a if key == "sequence_lens" else a.astype(np.float32) for key, a in zip(op.given, values, strict=True)
        }
        if "sequence_lens" in arrays:  # it leaves those of no steps undefined
            arrays["sequence_lens"] = np.maximum(arrays["sequence_lens"], 1)
        fields = {
            key: getattr(op, key, None)
            for key in (
                "direction",
                "clip",
                "activations",
                "activation_alpha",
                "activation_beta",
                "linear_before_reset",
                "input_forget",
            )
        }
        fields = {key: int(v) if isinstance(v, bool) else v for key, v in fields.items() if v not in (None, ())}
        agree(name, arrays, **fields)


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_functions_take_their_numbers_in_order(function):
    random, cased = np.random.default_rng(0), CASED.get(function, function.capitalize())
    x, w, r = (random.standard_normal(shape, np.float32) for shape in ((3, 2, 4), (2, 3, 4), (2, 3, 3)))
    numbers = {}
    if function in ("affine", "scaledtanh", "thresholdedrelu"):  # onnxruntime has defaults of its own
        numbers = {"activation_alpha": [0.5, 0.6], "activation_beta": [0.1, 0.2]}
    names = [cased, "HardSigmoid" if function == "elu" else cased]
    agree("RNN", {"X": x, "W": w, "R": r}, direction="bidirectional", activations=names, **numbers)


def test_batch_first_is_a_transpose():
    op, values = next(
        (op, v) for op, v in (drawn("LSTM", k) for k in range(99)) if op.layout and "initial_h" in op.given
    )
    order = {"X": (1, 0, 2), "initial_h": (1, 0, 2), "initial_c": (1, 0, 2)}
    turned = [v.transpose(order[key]) if key in order else v for key, v in zip(op.given, values, strict=True)]
    for output, back in (("Y", (2, 0, 1, 3)), ("Y_h", (1, 0, 2))):
        first, last = (LSTM(op.given, output, None, op.direction, layout) for layout in (1, 0))
        np.testing.assert_array_equal(first(*values), last(*turned).transpose(back))


X, W, R = (TensorType(float32, shape) for shape in ((2, 1, 3), (1, 4, 3), (1, 4, 4)))


@pytest.mark.parametrize(
    ("op", "types", "problem"),
    [
        (RNN(), (X, W), "expected an input for each"),
        (RNN(), (X, W, TensorType(float32, (4, 4))), "expected X of rank 3, W of rank 3"),
        (RNN(), (X, TensorType(float32, (1, 5, 3)), R), r"W must have shape \(1, 4, 3\), got \(1, 5, 3\)"),
        (GRU(), (X, W, R), r"W must have shape \(1, 12, 3\)"),
        (RNN(given=("X", "W", "R", "sequence_lens")), (X, W, R, TensorType(float32, (1,))), "must be of integers"),
        (RNN(direction="backward"), (X, W, R), "no direction 'backward'"),
        (RNN(activations=("Gelu",)), (X, W, R), "expected names of functions"),
        (RNN(hidden_size=5), (X, W, R), "expected hidden_size 4"),
        (RNN(), (TensorType(float32, (MOST_STEPS + 1, 1, 3)), W, R), "1 to 4096 steps"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(op, types, problem):
    names = op.given[: len(types)]
    with pytest.raises(TypeInferenceError, match=problem):
        type(op)(names, *[getattr(op, key) for key in op.__match_args__[1:]]).infer(*types)


def test_an_activation_that_is_none_is_an_error_of_the_node():
    node = helper.make_node("RNN", ["X", "W", "R"], ["Y"], activations=["Gelu"])
    infos = [helper.make_tensor_value_info(k, 1, t.shape) for k, t in zip("XWR", (X, W, R), strict=True)]
    graph = helper.make_graph([node], "net", infos, [onnx.ValueInfoProto(name="Y")])
    with pytest.raises((LoadError, TypeInferenceError), match="Gelu"):
        load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)]))
