"""Give every symbol a number and every operand its value, so that all types are known.

In: a graph as it was loaded, and numbers for symbols, shapes of inputs, or values of inputs. Out:
the graph on inputs of bound types. Operands that the types and constants decide have moved into
their operators (the Shape -> Gather -> Concat -> Reshape glue of exporters is computed away). An
operand that depends on the value of an input stays an input of its node; `runtime_operands`
names those inputs, and binding their `values` resolves it.

Needs: nothing. Ensures: no symbol; a type is open only behind an operand that inputs or data decide, behind control flow
that is not decided, and behind what data decide anyway (NonZero); `split_stages` parts what is known from the rest.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Relu
>>> from minicc.types import Symbol, TensorType, float32
>>> x = input("x", TensorType(float32, (Symbol("n"), 3)))
>>> graph = Graph("main", (x,), (Relu()(x),), ("y",))
>>> bind(graph, dims={"n": 2}).outputs[0].type
float32[2,3]
>>> bind(graph)
Traceback (most recent call last):
minicc.errors.GraphError: GraphError: bind(main): no number for the symbol n (of input x)
hint: --dim n=1, or dims={'n': 1}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minicc.errors import GraphError, nearest
from minicc.graph.control import Conditional, Control, Output
from minicc.graph.interpret import compute, given_array, match_shape
from minicc.graph.ir import Constant, Graph, Input, Node, Span, constant, here, input, spanned
from minicc.graph.resolve import Resolver, by_type, computed
from minicc.ops.base import Array
from minicc.ops.sequence import SequenceOperator

LARGEST = 2**30  # bytes of a result that is computed here, on the way to an operand
DECIDING = 64  # elements of an input for whose values code is made
HIGHEST_RANK = 64  # of an array of NumPy
HUGE = 2**40  # elements of a tensor; no computer holds it, and sizes in bytes must not overflow

NO_DIMS: Mapping[str, int] = {}
NO_SHAPES: Mapping[str, Sequence[int]] = {}
NO_VALUES: Mapping[str, Any] = {}


def bind(
    graph: Graph,
    dims: Mapping[str, int] = NO_DIMS,
    shapes: Mapping[str, Sequence[int]] = NO_SHAPES,
    values: Mapping[str, Any] = NO_VALUES,
) -> Graph:
    """The graph with symbols replaced by `dims`, or by what `shapes` and `values` of inputs imply.

    An input in `values` becomes a constant and is no longer an input. Raises GraphError when a
    name is unknown, a shape or value disagrees with the declared type or with another, or a
    symbol is left without a number.
    """
    call = f"bind({graph.name})"
    graph, values = graph.overridden(values)
    numbers = _numbers(call, graph, dims, shapes, values)
    replaced: dict[Node, Node] = {}
    spans: dict[Node, Span] = {}
    for name, n in zip(graph.input_names, graph.inputs, strict=True):
        bound = n.inferred and n.inferred.bind(numbers)
        with spanned(spans, graph.spans.get(n)):
            replaced[n] = constant(values[name]) if name in values else n if bound is n.inferred else input(name, bound)
    inputs = [replaced[n] for n in graph.inputs if not isinstance(replaced[n].op, Constant)]
    feeding, shaping, resolver = _feeding(graph), _feeding(graph, data=True), Resolver()
    for n in graph.nodes:
        with spanned(spans, graph.spans.get(n)):
            if n not in replaced:
                made = resolver.resolve(n, tuple([replaced[i] for i in n.inputs]))
                made = _evaluated(made) if n in feeding else made
                replaced[n] = computed(made) if n in shaping else made
            _check_size(call, replaced[n])
    return graph.rebuild(replaced, spans, inputs)


def runtime_operands(graph: Graph) -> list[str]:
    """The names of the inputs on whose values operands depend, in the order of the graph's inputs.

    Only small inputs count, for a condition only integers: a new value of one of these is a new compilation. An operand
    that depends on others, or on what an interpreted operator gives, is left to its node.
    """
    needed, depends, found = _feeding(graph), dict[Node, frozenset[Node] | None](), set[Node]()
    for n in graph.nodes:
        if n in needed:
            depends[n] = _inputs_of(n, depends)
        operands = [depends[i] for i in n.inputs[len(n.inputs) - len(n.op.pending) :]]
        for inputs in operands:
            if (
                inputs
                and None not in operands
                and not (isinstance(n.op, Conditional) and any(i.dtype.is_float for i in inputs))
            ):
                found |= inputs
    return [name for name, n in zip(graph.input_names, graph.inputs, strict=True) if n in found]


def _inputs_of(n: Node, depends: Mapping[Node, frozenset[Node] | None]) -> frozenset[Node] | None:
    """The inputs on whose values that of `n` depends; None where others than small inputs decide it."""
    if isinstance(n.op, Input):
        return frozenset([n]) if n.inferred and n.type.size <= DECIDING else None
    before = [] if by_type(n.op) else [depends[i] for i in n.inputs]
    known = [inputs for inputs in before if inputs is not None]
    return None if n.op.interpreted or len(known) < len(before) else frozenset().union(*known)


def _feeding(graph: Graph, data: bool = False) -> set[Node]:
    """The nodes whose value some pending operand depends on, its type left aside; or `data` whose shape depends on it."""
    found: set[Node] = set()
    for n in reversed(graph.nodes):
        if data and n.op.interpreted and not isinstance(n.op, (Output, SequenceOperator)):
            found.update((n, *n.inputs))  # of control flow, because of operands in its bodies
        if pending := len(n.op.pending):
            found.update(n.inputs[-pending:])
        if n in found and not by_type(n.op):
            found.update(n.inputs)
    return found


def _numbers(
    call: str, graph: Graph, dims: Mapping[str, int], shapes: Mapping[str, Sequence[int]], values: Mapping[str, Any]
) -> dict[str, int]:
    """A number for each symbol of the graph, all sources checked against each other."""
    _check_names(call, graph, dims, shapes, values)
    for name, number in dims.items():
        _check_number(call, f"symbol {name}", number)
    numbers = dict(dims)
    for name, n in zip(graph.input_names, graph.inputs, strict=True):
        if name in shapes:
            for number in shapes[name]:
                _check_number(call, f"each dimension of input {name}", number)
            match_shape(call, name, n.type, tuple(shapes[name]), numbers)
        if name in values:
            match_shape(call, name, n.type, given_array(call, name, n.type, values[name]).shape, numbers)
    if left := {symbol: name for symbol, name in graph.symbols.items() if symbol not in numbers}:
        listed = ", ".join(f"{symbol} (of input {name})" for symbol, name in left.items())
        hint = " ".join(f"--dim {symbol}=1" for symbol in left) + f", or dims={dict.fromkeys(left, 1)}"
        raise GraphError(call, f"no number for the symbol{'s' * (len(left) > 1)} {listed}", hint=hint)
    return numbers


def _check_names(
    call: str, graph: Graph, dims: Mapping[str, int], shapes: Mapping[str, Sequence[int]], values: Mapping[str, Any]
) -> None:
    """Raise GraphError unless all are given by the names of inputs or symbols."""
    for what, mapping in (("dims", dims), ("shapes", shapes)):
        if not isinstance(mapping, Mapping):
            problem = f"expected {what} by name, got {type(mapping).__name__}"
            raise GraphError(call, problem, hint="give a dictionary: {name: ...}")
    names, symbols = graph.input_names, tuple(graph.symbols)
    listed = f"the symbols are {', '.join(symbols) or 'none: every shape is fixed'}"
    for what, given, known, otherwise in (("input", (*shapes, *values), names, f"the inputs are {', '.join(names)}"),
                                          ("symbol", tuple(dims), symbols, listed)):  # fmt: skip
        if unknown := [name for name in given if name not in known]:
            near = nearest(unknown[0], known)
            hint = f"did you mean {near}? {otherwise}" if near else otherwise
            raise GraphError(call, f"no such {what}: {', '.join(map(str, unknown))}", hint=hint)
    for name, shape in shapes.items():
        if not isinstance(shape, Iterable):
            problem = f"expected the dimensions of input {name} as a tuple, got {shape!r}"
            raise GraphError(call, problem, hint="shapes={'x': (2, 3)}")


def _check_number(call: str, what: str, number: Any) -> None:
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 0:
        near = int(abs(number)) if isinstance(number, (int, float)) and 0 < abs(number) < HUGE else 1
        hint = f"give the number of elements: {near}, for example"
        raise GraphError(call, f"{what} must be an integer of at least 0, got {number!r}", hint=hint)


def _check_size(call: str, n: Node) -> None:
    if n.inferred is not None and n.type.size > HUGE:
        problem = f"expected tensors of at most 2**40 elements, got {n.type}"
        raise GraphError(call, problem, here(), "bind smaller numbers to the symbols")
    if n.inferred is not None and n.type.rank > HIGHEST_RANK:
        problem = f"expected tensors of at most {HIGHEST_RANK} axes, got {n.type.rank}"
        raise GraphError(call, problem, here(), "NumPy has no more, either; Reshape leaves out axes of one element")


def _evaluated(n: Node) -> Node:
    """The constant that `n` computes from constants; `n` itself when it reads others."""
    if isinstance(n.op, (Input, Constant, Control)) or n.inferred is None:
        return n
    arrays: list[Array] = [i.op.data.array for i in n.inputs if isinstance(i.op, Constant)]
    if len(arrays) < len(n.inputs):
        return n
    if n.type.bytes > LARGEST:
        most = f"expected at most {LARGEST:,} bytes, got {n.type.bytes:,}"
        problem = f"an operand is computed from {n.type}, {most}"
        raise GraphError(f"bind: {n.op}", problem, here(), "compute the operand from fewer elements")
    try:
        return constant(compute(n.op, arrays))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        hint = "compute it once from good numbers, and store the result in the model as an initializer"
        raise GraphError(f"bind: {n.op}", f"cannot compute an operand: {error}", here(), hint) from error
