"""Three checks. Each gets a candidate, a black box, and asks it questions: it raises AssertionError if an answer is wrong, and returns if all are right.

`subject.py` says what a candidate is, and has the reference. A check that fails what is right earns nothing, however much it finds. It has
at most 400 questions, each of arrays of at most 4,096 elements and of graphs of at most 24 operators.
"""

import itertools

import numpy as np
from subject import expect_same, reference

from minicc import ops
from minicc.course import Task
from minicc.graph import Graph, evaluate, input
from minicc.types import TensorType

# solution
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.5, 88.0, -88.0, 200.0, -200.0, 800.0, -800.0, 1e-30]
FLOATS = (np.float32, np.float64)


def ask(candidate, name, attributes, arrays):
    """One question: compare with the reference, as closely as its rounding allows."""
    exact = name in ("Relu", "Max", "Div", "ArgMax") or arrays[0].dtype.kind != "f"
    tolerance = 0.0 if exact and name != "Div" else {"f4": 1e-5, "f8": 1e-12}.get(arrays[0].dtype.str[1:], 0.0)
    with np.errstate(all="ignore"):
        expected = reference(name, attributes, arrays)
    expect_same(candidate(name, attributes, arrays), expected, tolerance, f"{name}{attributes}")


# end
def check_elements(candidate):
    """Relu, Sigmoid, Max of two, and Div, on float32, float64 and (but for Sigmoid) int32 and int8."""
    # solution 7.1: which numbers are awkward? NaN, infinities, both zeros, large ones; negative integers
    for dtype in FLOATS:
        x = np.array(SPECIAL, dtype)
        pairs = np.array(list(itertools.product(SPECIAL, SPECIAL)), dtype).T.copy()
        for name in ("Relu", "Sigmoid"):
            ask(candidate, name, {}, [x])
        for name in ("Max", "Div"):
            ask(candidate, name, {}, list(pairs))
    for dtype in (np.int32, np.int8):
        numbers = [-128, -7, -3, -1, 0, 1, 2, 7, 127]
        a, b = np.array(list(itertools.product(numbers, numbers)), dtype).T.copy()
        ask(candidate, "Relu", {}, [a])
        ask(candidate, "Max", {}, [a, b])
        known = (b != 0) & ((a != -128) | (b != -1))
        ask(candidate, "Div", {}, [a[known], b[known]])
    # end


def check_many(candidate):
    """Softmax(axis), ReduceSum(axes, keepdims) and ArgMax(axis, keepdims), of ranks 1 to 4, on float32, float64 and (but for Softmax) int32."""
    # solution 7.2: which shapes are awkward? each axis, from both ends; equal elements; lengths beside powers of two; nothing at all
    random = np.random.default_rng(0)
    for dtype in (*FLOATS, np.int32):
        for shape in [(n,) for n in (1, 2, 7, 8, 9, 16, 17, 31, 33, 65)] + [
            (3, 5),
            (2, 3, 4),
            (2, 2, 3, 5),
            (17, 2, 9),
        ]:
            x = random.integers(-3, 4, shape).astype(dtype)
            for axis in range(-len(shape), len(shape)):
                ask(candidate, "ReduceSum", {"axes": (axis,), "keepdims": bool(axis % 2)}, [x])
                ask(candidate, "ArgMax", {"axis": axis, "keepdims": bool(axis % 2)}, [x])
                if dtype in FLOATS:
                    ask(candidate, "Softmax", {"axis": axis}, [x * dtype(0.5)])
        ask(candidate, "ReduceSum", {"axes": (1,)}, [np.zeros((3, 0), dtype)])
    for dtype in FLOATS:
        for large in (100.0, -100.0, 1000.0, -1000.0):
            ask(candidate, "Softmax", {"axis": -1}, [np.array([[large, large + 1, large - 1]], dtype)])
    # end


def check_graphs(candidate):
    """Graphs of Relu, Neg, Sigmoid, Add, Sub, Mul and MatMul, with constants and float32 inputs; values may be shared, and outputs be read on."""
    # solution 7.3: what would a compiler like to do that it must not? drop an addition, forget an operand, write over what is needed still
    x = input("x", TensorType.of(np.zeros(6, np.float32)))
    zero, one = np.float32(0.0), np.float32(1.0)
    special = np.float32([0.0, -0.0, np.nan, np.inf, 2.5, -1.5])
    outputs = [
        ops.Add()(x, zero),
        ops.Add()(zero, x),
        ops.Sub()(x, zero),
        ops.Sub()(x, -zero),
        ops.Mul()(x, zero),
        ops.Mul()(zero, x),
    ]
    outputs += [
        ops.Mul()(x, one),
        ops.Sub()(zero, x),
        ops.Sub()(x, x),
        ops.Add()(x, -zero),
        ops.Neg()(ops.Neg()(x)),
        ops.Mul()(x, -one),
    ]
    graphs = [Graph("g", (x,), (y,), ("y",)) for y in outputs]
    for first, second in itertools.product((ops.Neg(), ops.Relu(), ops.Sigmoid()), repeat=2):
        a = first(ops.Add()(x, one))
        b = second(a)
        graphs.append(Graph("g", (x,), (ops.Sub()(b, a),), ("y",)))
        graphs.append(Graph("g", (x,), (ops.Sub()(a, b),), ("y",)))
        graphs.append(Graph("g", (x,), (b, a), ("y", "z")))
        graphs.append(Graph("g", (x,), (ops.Mul()(b, ops.Neg()(a)), ops.Add()(x, a)), ("y", "z")))
    for graph in graphs:
        expected, got = evaluate(graph, {"x": special}), candidate(graph, {"x": special})
        for name, array in expected.items():
            expect_same(got[name], array, 1e-5, str(graph))
    # end
