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

from minicc.errors import GraphError, TypeInferenceError
from minicc.graph.ir import Graph, Input, Kernel, Node
from minicc.ops.base import infer


def verify(graph: Graph) -> None:
    """Raise GraphError at the first rule that `graph` breaks."""
    for n in graph.inputs:
        if not isinstance(n.op, Input):
            hint = "make it by minicc.graph.input(NAME, TYPE)"
            raise _error(graph, f"an input must be an Input node, got {n.op}", hint, n)
    for what, names in (("input", graph.input_names), ("output", graph.output_names)):
        if twice := [name for k, name in enumerate(names) if name in names[:k]]:
            raise _error(graph, f"the {what} name {twice[0]!r} is used twice", f"give every {what} a name of its own")
    if len(graph.outputs) != len(graph.output_names):
        problem = f"{len(graph.outputs)} outputs have {len(graph.output_names)} names"
        raise _error(graph, problem, "give output_names one name for each of the outputs")
    seen, inputs = set[Node](), frozenset(graph.inputs)
    for n in graph.nodes:
        if circular := [i for i in n.inputs if i not in seen]:
            hint = "nodes have no cycles when each is made from finished ones: call the operator on its inputs"
            raise _error(graph, f"{n.op} depends on itself, through {circular[0].op}", hint, n)
        seen.add(n)
        if not isinstance(n.op, Input):
            _check_node(graph, n)
        elif n not in inputs:
            raise _error(graph, f"input {n.op.label} is read but not declared", "list it in Graph.inputs", n)


def _error(graph: Graph, problem: str, hint: str, n: Node | None = None) -> GraphError:
    return GraphError(f"verify({graph.name})", problem, graph.where(n) if n else "", hint)


def _check_node(graph: Graph, n: Node) -> None:
    op = n.op
    if len(op.pending) > len(n.inputs):
        awaited = f"{len(op.pending)} operands ({', '.join(op.pending)})"
        hint = "operands that are not fields come as inputs, after the data"
        raise _error(graph, f"{op} awaits {awaited} but has {len(n.inputs)} inputs", hint, n)
    if isinstance(op, Kernel):
        _check_kernel(graph, n, op)
    try:
        inferred = infer(op, [i.inferred for i in n.inputs])
    except TypeInferenceError as error:
        made = _error(graph, f"{error.call}: {error.problem}", error.hint, n)
        made.where = "\n".join(filter(None, (error.where, made.where)))
        raise made from error
    except TypeError as error:  # the number of inputs does not fit the signature of `infer`
        hint = f"minicc ops {op.name} shows what it takes"
        raise _error(graph, f"{op} does not take {len(n.inputs)} inputs: {error}", hint, n) from error
    if inferred != n.inferred:
        hint = "call the operator on its inputs: that infers the type"
        raise _error(graph, f"the type of {op} must be {inferred or '?'}, got {n.inferred or '?'}", hint, n)


def _check_kernel(graph: Graph, n: Node, kernel: Kernel) -> None:
    if len(kernel.body.outputs) != 1:
        problem = f"kernel {kernel.label} must have one output, got {len(kernel.body.outputs)}"
        raise _error(graph, problem, "make a kernel for each output", n)
    expected, got = [p.inferred for p in kernel.body.inputs], [i.inferred for i in n.inputs]
    if expected != got:
        hint = "call it on values of the types of its body's inputs"
        raise _error(graph, f"kernel {kernel.label} takes {expected}, got {got}", hint, n)
    verify(kernel.body)
