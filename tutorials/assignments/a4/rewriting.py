"""What A4 gives: rules applied to a graph until none fits, and a pass of all of them for `minicc.compile`."""

from collections import Counter
from contextlib import suppress

from minicc.course import Task
from minicc.errors import GraphError
from minicc.graph.ir import Constant
from minicc.graph.transform import same, transform

MOST = 200  # replacements in a graph of the exercises


def is_constant(n):
    """Whether a node is a constant; `n.array` is its value then."""
    return isinstance(n.op, Constant)


def rewritten(graph, rule):
    """The graph with `rule` applied, one place after the other, until it fits nowhere. Raises GraphError where that does not end."""
    for _ in range(MOST):
        place = first_place(graph, rule)
        if place is None:
            return graph
        graph = put(graph, *place)
    problem = f"expected {rule.__name__} to make progress, got {MOST} replacements"
    raise GraphError(f"rewritten({graph.name})", problem, str(graph), "what it gives must not fit again for ever")


def first_place(graph, rule):
    """The first node that the rule replaces, and by what; None if there is none."""
    readers = Counter(i for n in graph.nodes for i in dict.fromkeys(n.inputs))
    readers.update(graph.outputs)
    shared = {n for n, count in readers.items() if count > 1}
    for n in graph.nodes:
        made = rule(n, shared)
        if made is not None and made is not n:
            if made.inferred != n.inferred:
                problem = f"expected a value of type {n.inferred}, got {made.inferred}"
                raise GraphError(f"{rule.__name__}({n.op.name})", problem, str(graph), "a rule keeps dtype and shape")
            return n, made
    return None


def put(graph, old, new):
    """The graph with a node in the place of another."""
    return transform(graph, lambda n, inputs: new if n is old else same(n, inputs))


def simplified(graph, rules):
    """The graph with all rules applied until none fits; what is open still is passed over."""
    before = None
    while before is not graph:
        before = graph
        for rule in rules:
            with suppress(Task):
                graph = rewritten(graph, rule)
    return graph
