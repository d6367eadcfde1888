"""Dimensions that are not numbers yet: expressions of `torch.export` as numbers, or as nodes that compute them.

In: a SymInt, or what a program has in its place. Out: an integer, a SymPy expression, and of that an int64 scalar node. A
symbol is an element of the shape of the input that it stands in, so binding the graph computes all that is made of it.

>>> size = Symbol("s0")
>>> Dims().value(size + 3), Dims({size: 4}).value(2 * size)
(s0 + 3, 8)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np
import sympy
from sympy import Symbol
from torch.utils._sympy import functions

from minicc import ops
from minicc.errors import LoadError
from minicc.graph.ir import Node, constant, make
from minicc.ops.base import Operator
from minicc.types import DType

Size = Any  # an int, or a SymPy expression of symbols


class Dims:
    """What is known of the symbols of a program: `numbers`, and for others the node of each, which is an int64 scalar."""

    def __init__(self, numbers: dict[Symbol, int] | None = None) -> None:
        self.numbers = {symbol: sympy.Integer(number) for symbol, number in (numbers or {}).items()}
        self.nodes: dict[Symbol, Node] = {}

    def value(self, size: Any) -> Size:
        """A size as an integer where it is known, else as an expression."""
        if isinstance(size, int):
            return size
        found = sympy.sympify(size.node.expr if hasattr(size, "node") else size).xreplace(self.numbers)
        return int(found) if found.is_Integer else found

    def shape(self, sizes: Sequence[Any]) -> tuple[Size, ...]:
        return tuple([self.value(size) for size in sizes])

    def learn(self, size: Size, node: Node) -> None:
        """`node` is what `size` is at run time: a symbol, or such a multiple of one as a derived dimension is."""
        if isinstance(size, int) or len(size.free_symbols) != 1:
            return
        (symbol,) = size.free_symbols
        if symbol in self.nodes:
            return
        slope, rest = size.coeff(symbol), size.subs(symbol, 0)
        if size == symbol:
            self.nodes[symbol] = node
        elif slope.is_Integer and rest.is_Integer and sympy.expand(slope * symbol + rest - size) == 0:
            self.nodes[symbol] = make(ops.Div(), [make(ops.Sub(), [node, scalar(rest)]), scalar(slope)])

    def learn_axis(self, size: Size, tensor: Node, axis: int) -> None:
        """`size` is the extent of an axis of a tensor."""
        if not isinstance(size, int):
            self.learn(size, make(ops.Gather(), [make(ops.Shape(), [tensor]), scalar(axis)]))

    def node(self, size: Size) -> Node:
        """An int64 scalar. Raises LoadError for a symbol of no input, as that of a number of elements that a call finds."""
        if isinstance(size, int) or size.is_Integer:
            return scalar(size)
        if size.is_Symbol:
            if size in self.nodes:
                return self.nodes[size]
            problem = f"the size {size} depends on the values of tensors"
            raise LoadError("from_torch", problem, hint="write the module so that shapes follow from shapes")
        if size.is_Rational or size.is_Float:
            return constant(np.float64(size))
        if (apply := FUNCTIONS.get(type(size))) is None:
            problem = f"a size is computed by {type(size).__name__}, which is not supported: {size}"
            raise LoadError("from_torch", problem, hint="export with fixed shapes, or give the size as a number")
        return apply(*[self.node(part) for part in size.args])

    def vector(self, sizes: Sequence[Size]) -> Node:
        """An int64 vector."""
        parts = [make(ops.Unsqueeze(axes=(0,)), [self.node(size)]) for size in sizes]
        return make(ops.Concat(axis=0), parts)


def scalar(number: Any) -> Node:
    return constant(np.int64(int(number)))


def _alike(a: Node, b: Node) -> tuple[Node, Node]:
    """Both as float64, if one is."""
    if "float64" in (a.dtype, b.dtype):
        return _cast("float64", a), _cast("float64", b)
    return a, b


def _cast(dtype: str, a: Node) -> Node:
    return a if a.dtype == dtype else make(ops.Cast(DType.of(dtype)), [a])


def _binary(op: Operator, *values: Node) -> Node:
    return reduce(lambda a, b: make(op, _alike(a, b)), values)


def _floor_div(a: Node, b: Node) -> Node:
    """The remainder has the sign of the divisor, so this rounds down."""
    return make(ops.Div(), [make(ops.Sub(), [a, make(ops.Mod(), [a, b])]), b])


def _divided(a: Node, b: Node) -> Node:
    return make(ops.Div(), [_cast("float64", a), _cast("float64", b)])


def _power(a: Node, b: Node) -> Node:
    return make(ops.Pow(), _alike(a, b))


def _whole(op: Operator | None, a: Node) -> Node:
    return _cast("int64", make(op, [a]) if op else a)


FUNCTIONS: dict[Any, Callable[..., Node]] = {
    sympy.Add: partial(_binary, ops.Add()),
    sympy.Mul: partial(_binary, ops.Mul()),
    sympy.Pow: _power,
    sympy.Max: partial(_binary, ops.Max()),
    sympy.Min: partial(_binary, ops.Min()),
    functions.Max: partial(_binary, ops.Max()),
    functions.Min: partial(_binary, ops.Min()),
    functions.FloorDiv: _floor_div,
    functions.CleanDiv: _floor_div,
    functions.Mod: partial(_binary, ops.Mod()),
    functions.PythonMod: partial(_binary, ops.Mod()),
    functions.ModularIndexing: lambda a, b, c: make(ops.Mod(), [_floor_div(a, b), c]),
    functions.PowByNatural: _power,
    functions.IntTrueDiv: _divided,
    functions.FloatTrueDiv: _divided,
    functions.ToFloat: partial(_cast, "float64"),
    functions.FloorToInt: partial(_whole, ops.Floor()),
    functions.CeilToInt: partial(_whole, ops.Ceil()),
    functions.RoundToInt: partial(_whole, ops.Round()),
    functions.TruncToInt: partial(_whole, None),
}
