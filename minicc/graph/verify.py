"""Is a graph well formed? Run after every pass in tests.

In: a graph. Out: nothing, or a GraphError that names the first node that breaks a rule: every
type is what inference gives, every input is declared, operands have inputs to come from, names
are unique, nothing depends on itself, and the same holds inside kernels.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2,)))
>>> verify(Graph("main", (), (x,), ("y",)))
Traceback (most recent call last):
minicc.errors.GraphError: GraphError: verify(main): input x is read but not declared
hint: list it in Graph.inputs
"""

from __future__ import annotations

from collections.abc import Iterable

from minicc.errors import GraphError, TypeInferenceError
from minicc.graph.ir import Graph, Input, Kernel, Node
from minicc.ops.base import infer


def verify(graph: Graph) -> None:
    """Raise GraphError at the first rule that `graph` breaks."""
    call = f"verify({graph.name})"
    for n in graph.inputs:
        if not isinstance(n.op, Input):
            raise GraphError(
                call,
                f"an input must be an Input node, got {n.op}",
                where=graph.where(n),
                hint="make it by minicc.graph.input(NAME, TYPE)",
            )
    _check_unique(call, "input", graph.input_names)
    _check_unique(call, "output", graph.output_names)
    if len(graph.outputs) != len(graph.output_names):
        raise GraphError(
            call,
            f"{len(graph.outputs)} outputs have {len(graph.output_names)} names",
            hint="give output_names one name for each of the outputs",
        )
    seen, inputs = set[Node](), frozenset(graph.inputs)
    for n in graph.nodes:
        for i in n.inputs:
            if i not in seen:
                raise GraphError(
                    call,
                    f"{n.op} depends on itself, through {i.op}",
                    where=graph.where(n),
                    hint="nodes have no cycles when each is made from finished ones: call the operator on its inputs",
                )
        seen.add(n)
        _check_node(call, graph, n, inputs)


def _check_unique(call: str, what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise GraphError(
                call, f"the {what} name {name!r} is used twice", hint=f"give every {what} a name of its own"
            )
        seen.add(name)


def _check_node(call: str, graph: Graph, n: Node, inputs: frozenset[Node]) -> None:
    op = n.op
    if isinstance(op, Input):
        if n not in inputs:
            raise GraphError(
                call, f"input {op.label} is read but not declared", where=graph.where(n), hint="list it in Graph.inputs"
            )
        return
    if len(op.pending) > len(n.inputs):
        raise GraphError(
            call,
            f"{op} awaits {len(op.pending)} operands ({', '.join(op.pending)}) but has {len(n.inputs)} inputs",
            where=graph.where(n),
            hint="operands that are not fields come as inputs, after the data",
        )
    if isinstance(op, Kernel):
        _check_kernel(call, graph, n, op)
    try:
        inferred = infer(op, [i.inferred for i in n.inputs])
    except TypeInferenceError as error:
        raise GraphError(
            call,
            f"{error.call}: {error.problem}",
            where="\n".join(filter(None, (error.where, graph.where(n)))),
            hint=error.hint,
        ) from error
    except TypeError as error:  # the number of inputs does not fit the signature of `infer`
        raise GraphError(
            call,
            f"{op} does not take {len(n.inputs)} inputs: {error}",
            where=graph.where(n),
            hint=f"minicc ops {op.name} shows what it takes",
        ) from error
    if inferred != n.inferred:
        raise GraphError(
            call,
            f"the type of {op} must be {inferred or '?'}, got {n.inferred or '?'}",
            where=graph.where(n),
            hint="call the operator on its inputs: that infers the type",
        )


def _check_kernel(call: str, graph: Graph, n: Node, kernel: Kernel) -> None:
    if len(kernel.body.outputs) != 1:
        raise GraphError(
            call,
            f"kernel {kernel.label} must have one output, got {len(kernel.body.outputs)}",
            where=graph.where(n),
            hint="make a kernel for each output",
        )
    expected, got = [p.inferred for p in kernel.body.inputs], [i.inferred for i in n.inputs]
    if expected != got:
        raise GraphError(
            call,
            f"kernel {kernel.label} takes {expected}, got {got}",
            where=graph.where(n),
            hint="call it on values of the types of its body's inputs",
        )
    verify(kernel.body)
