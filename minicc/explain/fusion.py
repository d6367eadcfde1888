"""How minicc fuses a graph, and how TVM does, side by side.

In: a bound graph. Out: a `FusionComparison`: the kernels of minicc, the groups of TVM, which of them are the same, and for every edge
that one has fused and the other has not, why. Both are asked about the same graph: that of minicc right before its own fusion,
with plain weights, as TVM has layouts of its own.

    made = compare_fusion(before_fusion(minicc.load("model.onnx")))
    print(made)
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

from minicc.bridge.groups import TvmGroup, TvmGroups, operators, tvm_groups
from minicc.compile import pipeline
from minicc.explain.fusion_rules import Edge
from minicc.graph.fuse import Group, Partition, partition
from minicc.graph.ir import Graph, Node
from minicc.ir.passes import run_passes
from minicc.target import Target

LEFT_OUT = ("pack weights", "fuse")  # of the graph passes
MARKS = {
    "same": "one kernel, one group, the same operators (but for what TVM has no step for)",
    "split": "one kernel of minicc, several groups of TVM",
    "merged": "several kernels of minicc, one group of TVM",
    "regrouped": "several on both sides, cut elsewhere",
    "absent": "TVM has no step for it",
}  # fmt: skip
COLUMN = 58  # characters
MARK = 14
FEW = 4  # edges that a reason lists


@dataclass(frozen=True)
class Region:
    """Kernels and groups that share operators, as few as possible. `mark` is one of MARKS."""

    kernels: tuple[Group, ...]
    groups: tuple[TvmGroup, ...]
    mark: str


@dataclass(frozen=True)
class FusionComparison:
    """Both partitions of a graph."""

    graph: Graph
    partition: Partition
    grouping: TvmGroups

    @property
    def kernels(self) -> list[Group]:
        """The kernels of minicc, in order of their outputs."""
        return sorted(dict.fromkeys(self.partition.of.values()), key=lambda k: self.index[k.output])

    @cached_property
    def index(self) -> dict[Node, int]:
        """The position of each node in the graph, which is in its name: n5."""
        return {n: k for k, n in enumerate(self.graph.nodes)}

    def label(self, n: Node) -> str:
        return f"n{self.index[n]} {n.op.name}"

    @cached_property
    def regions(self) -> list[Region]:
        """The kernels and groups, joined where they share an operator."""
        import networkx as nx

        shared = nx.Graph()
        shared.add_nodes_from(self.kernels)
        shared.add_edges_from(
            (self.partition.of[n], group) for n, groups in self.grouping.parts.items() for group in groups
        )
        found = []
        for part in nx.connected_components(shared):
            kernels = tuple(k for k in self.kernels if k in part)
            groups = tuple(g for g in self.grouping.groups if g in part)
            found.append(Region(kernels, groups, _mark(kernels, groups)))
        return sorted(found, key=lambda r: min(self.index[k.output] for k in r.kernels))

    @cached_property
    def differences(self) -> list[Edge]:
        """The edges that one has fused and the other has not; then the operators that TVM does not compute in one group, as edges within."""
        edges = [Edge(i, n, self.partition, self.grouping) for n in operators(self.graph) for i in dict.fromkeys(n.inputs)
                 if i in self.partition.of]  # fmt: skip
        edges += [Edge(n, n, self.partition, self.grouping) for n in operators(self.graph) if n in self.grouping.parts]
        return [e for e in edges if e.in_minicc != e.in_tvm]

    @cached_property
    def reasons(self) -> dict[str, list[Edge]]:
        """Each reason, with the differing edges that it explains."""
        found: dict[str, list[Edge]] = {}
        for edge in self.differences:
            found.setdefault(edge.why(), []).append(edge)
        return found

    @property
    def summary(self) -> str:
        """One line: how many operators, kernels and groups there are, and regions of each mark."""
        marks = Counter(r.mark for r in self.regions)
        counted = ", ".join(f"{marks[m]} {m}" for m in MARKS if marks[m])
        views = sum(map(is_view, self.kernels))
        ours = _counted(len(self.kernels) - views, "kernel") + (f" and {_counted(views, 'view')}" if views else "")
        theirs = _counted(len(self.grouping.groups), "group")
        parts = (f"{_counted(len(operators(self.graph)), 'operator')}: {ours} of minicc, {theirs} of TVM", counted)
        return "; ".join(filter(None, parts))

    def __str__(self) -> str:
        """Two columns, regions that are alike once; then the reasons."""
        return self.text()

    def text(self, all_regions: bool = False) -> str:
        """The same, with every region and every edge if asked."""
        return "\n".join(_lines(self, all_regions))

    def as_json(self) -> dict[str, Any]:
        """Everything as plain dictionaries and lists; nodes by their position."""
        at, grouping = self.index, self.grouping
        groups = {g: k for k, g in enumerate(grouping.groups)}
        kernels = {k: n for n, k in enumerate(self.kernels)}
        return {
            "graph": self.graph.name,
            "summary": self.summary,
            "nodes": [{"node": at[n], "operator": n.op.name, "kind": n.op.kind.name.lower(), "type": str(n.inferred),
                       "span": self.graph.where(n)} for n in operators(self.graph)],
            "kernels": [{"name": k.label, "nodes": [at[n] for n in k.nodes]} for k in self.kernels],
            "groups": [{"name": g.name, "nodes": [at[n] for n in grouping.nodes(g)], "steps": [
                {"node": at[s.node], "function": s.function, "pattern": str(s.pattern)} for s in g.steps]} for g in grouping.groups],
            "absent": [at[n] for n in grouping.absent],
            "regions": [{"mark": r.mark, "kernels": [kernels[k] for k in r.kernels], "groups": [groups[g] for g in r.groups]}
                        for r in self.regions],
            "differences": [{"from": at[e.producer], "to": at[e.consumer], "minicc": e.in_minicc, "tvm": e.in_tvm, "why": e.why()}
                            for e in self.differences],
        }  # fmt: skip


def before_fusion(graph: Graph, target: Target | str = "native") -> Graph:
    """A bound graph after the graph passes that come before fusion, the packing of weights left out."""
    return run_passes(pipeline(target, without=LEFT_OUT).graph, graph)


def compare_fusion(graph: Graph) -> FusionComparison:
    """Both partitions of a graph as it is. Raises BridgeError where an operator has no form in TVM."""
    return FusionComparison(graph, partition(graph), tvm_groups(graph))


def is_view(kernel: Group) -> bool:
    """Whether it is a Reshape alone, which is no kernel: it gives the memory of its input another shape."""
    return kernel.output.op.view and len(kernel.members) == 1


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _mark(kernels: Sequence[Group], groups: Sequence[TvmGroup]) -> str:
    if not groups:
        return "absent"
    if len(kernels) == len(groups) == 1:
        return "same"
    return "split" if len(kernels) == 1 else "merged" if len(groups) == 1 else "regrouped"


# ---- text ---------------------------------------------------------------------------------------


def _lines(made: FusionComparison, all_regions: bool = False) -> Iterator[str]:
    yield made.summary
    yield ""
    yield _row("", "minicc", "TVM")
    alike: dict[Any, list[Region]] = {}
    for position, region in enumerate(made.regions):
        alike.setdefault((_shape(made, region), position if all_regions else 0), []).append(region)
    for regions in alike.values():
        yield from _side_by_side(made, regions[0], len(regions))
    if made.reasons:
        yield ""
        yield "Where they differ:"
    for k, (why, edges) in enumerate(made.reasons.items(), 1):
        shown = edges if all_regions else edges[:FEW]
        where = ", ".join(
            made.label(e.producer) + ("" if e.is_within else f" -> {made.label(e.consumer)}") for e in shown
        )
        where += f", and {len(edges) - len(shown)} more" if len(edges) > len(shown) else ""
        yield from textwrap.wrap(f"{k:3}. {where}", 2 * COLUMN, subsequent_indent="     ")
        yield from textwrap.wrap(why, 2 * COLUMN, initial_indent="     ", subsequent_indent="     ")


def _shape(made: FusionComparison, region: Region) -> Any:
    """What two regions that say the same have in common: the operators of their kernels and of their groups."""
    groups = tuple(
        tuple((s.node.op.name, s.pattern, made.grouping.home[s.node] is g) for s in g.steps) for g in region.groups
    )
    return region.mark, tuple(tuple(n.op.name for n in k.nodes) for k in region.kernels), groups


def _side_by_side(made: FusionComparison, region: Region, times: int) -> Iterator[str]:
    left: list[list[str]] = [
        _block("(a view)" if is_view(k) else k.label, [made.label(n) for n in k.nodes]) for k in region.kernels
    ]
    right = [_block(g.name, _contents(made, g)) for g in region.groups] or [["-"]]
    mark = f"{region.mark} {times}x" if times > 1 else region.mark
    nothing: list[str] = []
    for ours, theirs in zip_longest(left, right, fillvalue=nothing):
        for a, b in zip_longest(ours, theirs, fillvalue=""):
            yield _row(mark, a, b)
            mark = ""


def _row(mark: str, left: str, right: str) -> str:
    return f"{mark:{MARK}}{left:{COLUMN}}{right}".rstrip()


def _contents(made: FusionComparison, group: TvmGroup) -> list[str]:
    """The operators of a group; of those whose value another group makes, the steps."""
    home = made.grouping.home
    steps: dict[Node, list[str]] = {}
    for s in group.steps:
        steps.setdefault(s.node, []).append(s.function)
    return [
        made.label(n) if home[n] is group else f"{', '.join(functions)} of {made.label(n)}"
        for n, functions in steps.items()
    ]


def _block(name: str, contents: Sequence[str]) -> list[str]:
    return [
        *textwrap.wrap(name, COLUMN - 2),
        *textwrap.wrap(", ".join(contents), COLUMN - 2, initial_indent="  ", subsequent_indent="  "),
    ]
