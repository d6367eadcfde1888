"""How TVM fuses a graph: its groups, in terms of our nodes.

In: a graph that FuseOps has fused in a dialect of TVM's graph IR (`relay_groups`, `relax_groups`). Out: `TvmGroups`, the
functions that it made, each with the steps it consists of. A step is an operator of Relay, or a TIR function of Relax; an
operator of minicc may become several. TVM knows every step by a *pattern*, and fuses by these alone: Relay's are written down
beside each operator (TOpPattern), Relax's are read off the loops.

    for group in relax_groups(graph).groups:
        print(group.name, [step.name for step in group.steps])

Source of the rules: Chen et al., "TVM: An Automated End-to-End Optimizing Compiler for Deep Learning", OSDI 2018, section 3,
as the class GraphPartitioner follows them (graph_partitioner.cc in src/relay/analysis and in src/relax/analysis).
"""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

from minicc.graph.ir import Constant, Graph, Input, Node

MAX_DEPTH = 256  # steps in one group: the default of FuseOps.max_depth in both


class Pattern(enum.IntEnum):
    """What TVM's fusion knows of a step."""

    ELEMENTWISE = 0
    BROADCAST = 1
    INJECTIVE = 2
    COMM_REDUCE = 3
    OUT_ELEMENTWISE_FUSABLE = 4
    TUPLE = 7
    OPAQUE = 8
    LIBRARY = 9  # not TVM's number: a call of a packed function, which FuseOps leaves alone

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True)
class TvmStep:
    """One operator or TIR function of a group: of which node, its pattern, and the nodes whose values it reads."""

    node: Node
    name: str
    pattern: Pattern
    reads: tuple[Node, ...]


@dataclass(frozen=True, eq=False)  # two of the same steps for the same node are two
class TvmGroup:
    """The steps that TVM runs as one function, in order."""

    name: str
    steps: tuple[TvmStep, ...]


@dataclass(frozen=True)
class TvmGroups:
    """All groups of a graph, and the nodes that TVM has no step for: folded, or the identity."""

    dialect: str  # relay or relax
    graph: Graph
    groups: tuple[TvmGroup, ...]

    @cached_property
    def home(self) -> dict[Node, TvmGroup]:
        """For each node the group that holds its last step, which makes its value."""
        return {step.node: group for group in self.groups for step in group.steps}

    @cached_property
    def steps(self) -> dict[Node, tuple[TvmStep, ...]]:
        """For each node its steps."""
        found: dict[Node, list[TvmStep]] = defaultdict(list)
        for step in (step for group in self.groups for step in group.steps):
            found[step.node].append(step)
        return {n: tuple(steps) for n, steps in found.items()}

    @cached_property
    def parts(self) -> dict[Node, tuple[TvmGroup, ...]]:
        """For each node the groups that hold a step of it, in order: one, unless TVM does not fuse its steps."""
        found: dict[Node, list[TvmGroup]] = defaultdict(list)
        for group in self.groups:
            for step in group.steps:
                found[step.node].append(group)
        return {n: tuple(dict.fromkeys(groups)) for n, groups in found.items()}

    @property
    def absent(self) -> tuple[Node, ...]:
        return tuple(n for n in operators(self.graph) if n not in self.home)

    def nodes(self, group: TvmGroup) -> tuple[Node, ...]:
        """The nodes whose value `group` makes."""
        return tuple(dict.fromkeys(s.node for s in group.steps if self.home[s.node] is group))


def operators(graph: Graph) -> list[Node]:
    """The nodes of a graph that compute something, producers first."""
    return [n for n in graph.nodes if not isinstance(n.op, (Input, Constant))]
