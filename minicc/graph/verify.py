"""Is a graph well formed? Run after every pass in tests.

In: a graph. Out: nothing, or a GraphError that names the first node that breaks a rule: every
type is what inference gives, every input is declared, operands have inputs to come from, names
are unique, nothing depends on itself, and the same holds inside of kernels, branches and loops.

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
from minicc.graph.control import Control, Output, Loop
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
    if isinstance(op, (Kernel, Control)):
        _check_bodies(graph, n, op)
    if isinstance(op, Output):
        _check_item(graph, n, op)
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


def _check_bodies(graph: Graph, n: Node, op: Kernel | Control) -> None:
    what = f"kernel {op.label}" if isinstance(op, Kernel) else op.name
    if isinstance(op, Kernel) and len(op.body.outputs) != 1:
        problem = f"{what} must have one output, got {len(op.body.outputs)}"
        raise _error(graph, problem, "make a kernel for each output", n)
    if len(counts := {len(body.outputs) for body in op.bodies}) > 1:
        raise _error(
            graph, f"the branches of {what} must have equally many outputs, got {counts}", "add the missing", n
        )
    first = 2 if isinstance(op, Loop) else 0  # the number of trips and the condition may be open, or lists of one
    got = [i.inferred for i in n.inputs[first : len(n.inputs) - len(op.pending)]]
    for body in op.bodies:
        expected = [p.inferred for p in body.inputs[first:]]
        # a carried value is open where a trip may change its type
        if len(got) != len(expected) or any(
            e != g for e, g in zip(expected, got, strict=True) if e or isinstance(op, Kernel)
        ):
            hint = "call it on values of the types of its body's inputs"
            raise _error(graph, f"{what} takes {expected}, got {got}", hint, n)
        verify(body)
    if isinstance(op, Loop):
        _check_loop(graph, n, op)


def _check_loop(graph: Graph, n: Node, op: Loop) -> None:
    body, first = op.body, 1 + op.carried
    if not 0 <= op.carried <= min(len(body.inputs) - 2, len(body.outputs) - 1):
        problem = f"{op} must carry what its body takes and gives, got {len(body.inputs)} inputs"
        raise _error(
            graph, f"{problem} and {len(body.outputs)} outputs", "a body gives the condition, then what it carries", n
        )
    before, after = [i.inferred for i in body.inputs[2 : first + 1]], [o.inferred for o in body.outputs[1:first]]
    if wrong := [(b, a) for b, a in zip(before, after, strict=True) if b and b != a]:
        problem = f"a value that {op} carries must keep its type {wrong[0][0]}, got {wrong[0][1] or '?'}"
        raise _error(graph, problem, "leave the type of the body's input open", n)


def _check_item(graph: Graph, n: Node, op: Output) -> None:
    source = n.inputs[0].op if len(n.inputs) == 1 else None
    if not isinstance(source, Control) or not 0 <= op.index < len(source.types(n.inputs[0].inputs)):
        raise _error(graph, f"{op} must be of a control node that has so many values, got {source}", "count from 0", n)
    if op.type != (type := source.types(n.inputs[0].inputs)[op.index]):
        raise _error(graph, f"{op} of {source} must be {type or '?'}, got {op.type or '?'}", "make it by items", n)
