"""How Relay fuses a graph: the groups of its FuseOps, each with the operators it consists of.

In: a graph with bound operands. Out: `TvmGroups`. The old TVM runs the passes, in its own process; patterns are those that
are written down beside its operators (TOpPattern).

    print(relay_groups(graph).groups[0].name)  # "fused_nn_conv2d_add_nn_relu"
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minicc.bridge.groups import Pattern, TvmGroup, TvmGroups, TvmStep
from minicc.bridge.old_tvm import old_tvm
from minicc.bridge.relax import NODE_OF
from minicc.bridge.relay import relay_program
from minicc.graph.ir import Graph, Node


def relay_groups(graph: Graph) -> TvmGroups:
    """The groups that Relay makes of `graph`.

    Raises BridgeError where the old TVM is not installed, or fails, or an operator has no form in Relay.
    """
    program = relay_program(graph)
    listed, _ = old_tvm().ask("fusion.groups", program.source, program.constants)
    return TvmGroups("relay", graph, tuple(TvmGroup(g["name"], tuple(_steps(graph, g["steps"]))) for g in listed))


def _steps(graph: Graph, steps: list[dict[str, Any]]) -> Iterator[TvmStep]:
    for step in steps:
        node = _node(graph, step["of"])
        reads = dict.fromkeys(_node(graph, name) for name in step["reads"])
        yield TvmStep(node, step["name"], Pattern(step["pattern"]), tuple(n for n in reads if n is not node))


def _node(graph: Graph, name: str) -> Node:
    """The node that a variable of a Relay program belongs to."""
    match = NODE_OF.fullmatch(name)
    assert match, "a call is assigned to a variable with the number of its node"
    return graph.nodes[int(match[1])]
