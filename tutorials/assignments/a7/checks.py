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

def check_elements(candidate):
    """Relu, Sigmoid, Max of two, and Div, on float32, float64 and (but for Sigmoid) int32 and int8."""
    raise Task("7.1", "which numbers are awkward? NaN, infinities, both zeros, large ones; negative integers")


def check_many(candidate):
    """Softmax(axis), ReduceSum(axes, keepdims) and ArgMax(axis, keepdims), of ranks 1 to 4, on float32, float64 and (but for Softmax) int32."""
    raise Task("7.2", "which shapes are awkward? each axis, from both ends; equal elements; lengths beside powers of two; nothing at all")


def check_graphs(candidate):
    """Graphs of Relu, Neg, Sigmoid, Add, Sub, Mul and MatMul, with constants and float32 inputs; values may be shared, and outputs be read on."""
    raise Task("7.3", "what would a compiler like to do that it must not? drop an addition, forget an operand, write over what is needed still")
