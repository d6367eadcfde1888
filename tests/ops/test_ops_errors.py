"""What the operators refuse, and what they say."""

from __future__ import annotations

import pytest

from minicc import ops
from minicc.errors import TypeInferenceError
from minicc.ops.base import infer
from minicc.types import Symbol, TensorType, boolean, float32, float64, int32


def f(*shape):
    return TensorType(float32, shape)


def i(*shape):
    return TensorType(int32, shape)


@pytest.mark.parametrize(("op", "types", "problem"), [
    (ops.Add(), (f(2),), "expected 2 inputs, got 1"),
    (ops.Add(), (f(2), i(2)), "inputs must have one dtype, got float32 and int32"),
    (ops.Add(), (f(2), f(3)), "shapes must broadcast"),
    (ops.Exp(), (i(2),), "expected a dtype of kind float, got int32"),
    (ops.And(), (i(2), i(2)), "expected a dtype of kind bool, got int32"),
    (ops.BitShift("UP"), (i(2), i(2)), "direction must be LEFT or RIGHT, got 'UP'"),
    (ops.Where(), (f(2), f(2), f(2)), "expected a bool and two of one dtype"),
    (ops.Gelu("sigmoid"), (f(2),), 'approximate must be "none" or "tanh"'),
    (ops.PRelu(), (f(2), f(3, 2)), "slope must broadcast to (2,), got (3, 2)"),
    (ops.Clip(), (f(2), f(1), f()), "limits must be scalars, got shapes (1,) and ()"),
    (ops.ReduceSum((2,)), (f(2, 3),), "axis must be in [-2, 1], got 2"),
    (ops.ReduceSum((0, -2)), (f(2, 3),), "axes must be distinct, got (0, -2)"),
    (ops.ReduceLogSum(), (i(2),), "expected a dtype of kind float, got int32"),
    (ops.ArgMax(0), (TensorType(boolean, (2,)),), "expected a numeric dtype, got bool"),
    (ops.ArgMax(0), (f(0, 2),), "axis 0 is empty"),
    (ops.CumSum(0), (TensorType(boolean, (2,)),), "expected a numeric dtype, got bool"),
    (ops.CumSum(0), (f(),), "expected at least one axis, got a scalar"),
    (ops.Softmax(), (i(2),), "expected floats, got int32"),
    (ops.Softmax(3), (f(2),), "axis must be in [-1, 0], got 3"),
    (ops.LayerNormalization(), (i(2), i(2)), "expected floats, got int32"),
    (ops.LayerNormalization(), (f(2),), "expected a scale and perhaps a bias, got 0 inputs beside x"),
    (ops.LayerNormalization(), (f(2), f(3, 2)), "scale and bias must broadcast to (2,), got (3, 2)"),
    (ops.RMSNormalization(), (f(2), f(3, 2)), "scale must broadcast to (2,), got (3, 2)"),
    (ops.InstanceNormalization(), (f(2), f(2), f(2)), "x must have shape (batch, channels, ...), got (2,)"),
    (ops.InstanceNormalization(), (f(1, 2), f(2), f(3)), "expected vectors of 2 channels, got shape (3,)"),
    (ops.GroupNormalization(2), (f(1, 3), f(3), f(3)), "num_groups must divide 3 channels, got 2"),
    (ops.LpNormalization(p=3), (f(2),), "p must be 1 or 2, got 3"),
    (ops.LRN(0), (f(1, 2),), "size must be at least 1, got 0"),
    (ops.MatMul(), (f(2), i(2)), "expected tensors of one numeric dtype, got float32 and int32"),
    (ops.MatMul(), (f(2), f()), "expected at least one axis each, got a scalar"),
    (ops.MatMul(), (f(2, 3), f(2, 3)), "inner dimensions must be equal, got 3 and 2"),
    (ops.Gemm(), (f(2), f(2, 2)), "a and b must be matrices, got ranks 1 and 2"),
    (ops.Gemm(trans_b=True), (f(2, 3), f(3, 4)), "inner dimensions must be equal, got 3 and 4"),
    (ops.Gemm(), (f(2, 3), f(3, 4), f(3)), "shapes must broadcast"),
    (ops.Gemm(), (f(1, 3), f(3, 4), f(2, 4)), "c must broadcast to (1, 4), got (2, 4)"),
    (ops.Gemm(alpha=0.5), (i(2, 3), i(3, 4)), "integers need whole alpha and beta, got 0.5 and 1.0"),
    (ops.Einsum("i"), (), "expected at least one input"),
    (ops.Einsum("i,i"), (f(2), TensorType(float64, (2,))), "expected tensors of one numeric dtype"),
    (ops.Einsum("i,j"), (f(2),), "the equation has 2 terms for 1 inputs"),
    (ops.Einsum("i1"), (f(2, 2),), 'a term is letters and at most one "...", got \'i1\''),
    (ops.Einsum("ij"), (f(2),), "term 'ij' does not describe rank 1"),
    (ops.Einsum("i"), (f(2, 2),), "term 'i' does not describe rank 2"),
    (ops.Einsum("i->j"), (f(2),), "the output has j, which no input has"),
    (ops.Einsum("i->ii"), (f(2),), "the output repeats a letter: 'ii'"),
    (ops.Einsum("...i->i"), (f(2, 2),), 'the output drops the axes of "..."'),
    (ops.Einsum("i,i"), (f(2), f(3)), "axis i must have one extent, got 2 and 3"),
])  # fmt: skip
def test_refused_types(op, types, problem: str) -> None:
    with pytest.raises(TypeInferenceError) as caught:
        op.infer(*types)
    assert problem in caught.value.problem
    assert repr(op).partition("(")[0] in caught.value.call


@pytest.mark.parametrize(("op", "types", "result"), [
    (ops.Add(), (f(Symbol("n"), 2), f(2)), f(Symbol("n"), 2)),
    (ops.Add(), (f(Symbol("n")), f(Symbol("m"))), None),
    (ops.ReduceSum((0,)), (f(Symbol("n"), 2),), f(1, 2)),
    (ops.Softmax(), (f(Symbol("n"), 2),), f(Symbol("n"), 2)),
    (ops.MatMul(), (f(Symbol("n"), 2), f(2, 3)), f(Symbol("n"), 3)),
    (ops.MatMul(), (f(2, Symbol("n")), f(2, 3)), None),
    (ops.Einsum("ij,jk"), (f(Symbol("n"), 2), f(2, 3)), f(Symbol("n"), 3)),
    (ops.LayerNormalization(), (f(Symbol("n"), 2), f(2)), f(Symbol("n"), 2)),
    (ops.BatchNormalization(), (f(Symbol("n"), 2, 5), *[f(2)] * 4), f(Symbol("n"), 2, 5)),
])  # fmt: skip
def test_symbols_pass_through_or_stay_open(op, types, result) -> None:
    assert infer(op, types) == result
