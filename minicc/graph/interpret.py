"""The meaning of a graph: the NumPy reference of every operator, in topological order.

In: a graph, and an array for each input by name. Out: the array of each output by name. Symbols
take their numbers from the arrays, and operands their values from the nodes that compute them,
so a graph evaluates before it is bound and after, fused or not.

>>> import numpy as np
>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Relu
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2,)))
>>> evaluate(Graph("main", (x,), (Relu()(x),), ("y",)), {"x": np.float32([-1, 2])})
{'y': array([0., 2.], dtype=float32)}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minicc.errors import GraphError, misnamed
from minicc.graph.ir import Graph, Node
from minicc.ir.arrays import apart, plain, sequence
from minicc.ops.base import Array, Operator
from minicc.types import Symbol, TensorType


def evaluate(graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """The outputs by name. Raises GraphError when an input is missing, unknown or of another type.

    A value is dropped after its last use, so memory is that of the live values. Results are the caller's own.
    """
    graph, inputs = graph.overridden(inputs)
    arrays = checked_inputs(f"evaluate({graph.name})", graph, inputs)
    results = graph.interpret(list(arrays.values()), lambda n, values: _checked(graph, n, compute(n.op, values)))
    return dict(zip(graph.output_names, apart(results, arrays.values()), strict=True))


def compute(op: Operator, arrays: Sequence[Any]) -> Any:
    """The reference of one operator; values of pending operands are the last of `arrays`. A sequence is a tuple, and None an optional without element."""
    if pending := len(op.pending):
        op, arrays = op.bind(arrays[-pending:]), arrays[:-pending]
    with np.errstate(all="ignore"):
        value = op.numpy(*arrays)
    return value if value is None or isinstance(value, tuple) else np.asarray(value)


def checked_inputs(call: str, graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays of all inputs, checked against the declared types and each other."""
    known = graph.input_names
    problem, hint = misnamed(inputs, known, f"the inputs are {', '.join(known) or 'none'}")
    if unknown := [str(name) for name in inputs if problem and name not in known]:
        raise GraphError(call, f"no such input: {', '.join(unknown)}", where=problem, hint=hint)
    if missing := [name for name in known if name not in inputs]:
        raise GraphError(call, f"no array for input {', '.join(missing)}", where=problem, hint=hint)
    arrays: dict[str, Array] = {}
    dims: dict[str, int] = {}
    for name, n in zip(known, graph.inputs, strict=True):
        if n.inferred is None:
            arrays[name] = sequence(inputs[name], _refusal(call, f"input {name}"))
            continue
        arrays[name] = given_array(call, name, n.type, inputs[name])
        match_shape(call, name, n.type, arrays[name].shape, dims)
    return arrays


def given_array(call: str, name: str, declared: TensorType, value: Any) -> Array:
    """The array that a caller gives for an input. Raises GraphError when it is none, or not of the declared dtype."""
    told = f"input {name} must be {declared}"
    array = plain(value, _refusal(call, told))
    if array.dtype != declared.dtype.numpy:
        problem = f"input {name} must be {declared}, got {array.dtype}[{','.join(map(str, array.shape))}]"
        raise GraphError(call, problem, hint=f"x.astype({str(declared.dtype)!r})")
    return array


def _refusal(call: str, what: str) -> Callable[[str, str], GraphError]:
    return lambda problem, hint: GraphError(call, f"{what}: {problem}", hint=hint)


def match_shape(call: str, name: str, declared: TensorType, shape: Sequence[Any], dims: dict[str, int]) -> None:
    """Note in `dims` what number `shape` gives each symbol of `declared`; raises where they disagree."""
    fits = len(shape) == declared.rank
    for expected, got in zip(declared.shape, shape, strict=False):
        fits = fits and got == (dims.setdefault(expected.name, got) if isinstance(expected, Symbol) else expected)
    if not fits:
        bound = ", ".join(f"{d} is {dims[d.name]}" for d in declared.shape if isinstance(d, Symbol) and d.name in dims)
        way = "each symbol has one size in all inputs, and numbers stand for themselves: pad, cut or reshape the array"
        if len(shape) != declared.rank:
            way = f"give {declared.rank} dimensions: x[None] adds one, x.reshape(...) changes them"
        problem = f"input {name} must be {declared}{f' where {bound}' if bound else ''}, got shape {tuple(shape)}"
        raise GraphError(call, problem, hint=way)


def _checked(graph: Graph, n: Node, array: Array) -> Array:
    """The value of a node, which must keep what inference promised: both define the operator."""
    if array is None or isinstance(array, tuple):
        return array
    got = TensorType.of(array)
    if n.inferred is not None and n.inferred.is_bound and got != n.inferred:
        problem = f"{n.op} must give {n.inferred}, its reference gave {got}"
        hint = f"infer and numpy of {n.op.name} disagree: correct one of them"
        raise GraphError(f"evaluate({graph.name})", problem, graph.where(n), hint)
    return array
