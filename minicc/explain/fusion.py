"""How minicc fuses a graph, and how TVM does in Relay and in Relax, side by side.

In: a bound graph. Out: a `FusionComparison`: the kernels of minicc, the groups of each dialect of TVM, which of them are the
same, and for every edge that not all treat alike, why. All are asked about the same graph: that of minicc right before its own
fusion, with plain weights, as TVM has layouts of its own.

    made = compare_fusion(before_fusion(minicc.load("model.onnx")), ("relay", "relax"))
    print(made)
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

from minicc.bridge.groups import TvmGroup, TvmGroups, operators
from minicc.bridge.relax_groups import relax_groups
from minicc.bridge.relay_groups import relay_groups
from minicc.compile import pipeline
from minicc.errors import BridgeError
from minicc.explain.fusion_rules import NAMES, Edge, span
from minicc.graph.fuse import Group, Partition, partition
from minicc.graph.ir import Graph, Node
from minicc.ir.drawn import Drawn
from minicc.ir.passes import run_passes
from minicc.target import Target

GROUPINGS: dict[str, Callable[[Graph], TvmGroups]] = {"relay": relay_groups, "relax": relax_groups}
LEFT_OUT = ("choose layouts", "pack weights", "fuse")  # of the graph passes
MARKS = {
    "same": "one kernel, one group, the same operators (but for what TVM has no step for)",
    "split": "one kernel of minicc, several groups of TVM",
    "merged": "several kernels of minicc, one group of TVM",
    "regrouped": "several on both sides, cut elsewhere",
    "absent": "TVM has no step for it",
}  # fmt: skip
WIDTH = 120  # characters
MARK = 11
FEW = 4  # edges that a reason lists


@dataclass(frozen=True)
class Region:
    """Kernels, and groups of each dialect, that share operators, as few as possible; beside each dialect one of MARKS."""

    kernels: tuple[Group, ...]
    groups: tuple[tuple[TvmGroup, ...], ...]
    marks: tuple[str, ...]


@dataclass(frozen=True)
class FusionComparison(Drawn):
    """The partitions of a graph: minicc's, and one of each dialect."""

    graph: Graph
    partition: Partition
    groupings: tuple[TvmGroups, ...]

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
        for grouping in self.groupings:
            shared.add_edges_from(
                (self.partition.of[n], group) for n, groups in grouping.parts.items() for group in groups
            )
        found = []
        for part in nx.connected_components(shared):
            kernels = tuple(k for k in self.kernels if k in part)
            groups = tuple(tuple(g for g in grouping.groups if g in part) for grouping in self.groupings)
            marks = tuple(_mark([(k, g) for g in some for k in shared[g]]) for some in groups)
            found.append(Region(kernels, groups, marks))
        return sorted(found, key=lambda r: min(self.index[k.output] for k in r.kernels))

    @cached_property
    def differences(self) -> list[Edge]:
        """The edges that not all treat alike; then the operators that not all compute in one group, as edges within."""
        nodes = operators(self.graph)
        ends = [(i, n) for n in nodes for i in dict.fromkeys(n.inputs) if i in self.partition.of] + [
            (n, n) for n in nodes
        ]
        return [e for e in (Edge(*pair, self.partition, self.groupings) for pair in ends) if e.differs]

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
        views = sum(map(is_view, self.kernels))
        ours = _counted(len(self.kernels) - views, "kernel") + (f" and {_counted(views, 'view')}" if views else "")
        parts = [f"{_counted(len(operators(self.graph)), 'operator')}: {ours} of minicc"]
        for k, grouping in enumerate(self.groupings):
            marks = Counter(r.marks[k] for r in self.regions)
            counted = ", ".join(f"{marks[m]} {m}" for m in MARKS if marks[m])
            parts.append(
                f"{_counted(len(grouping.groups), 'group')} of {NAMES[grouping.dialect]}"
                + (f" ({counted})" if counted else "")
            )
        return ", ".join(parts)

    def patterns(self) -> list[list[str]]:
        """A row for each operator, by its first node: its name, its kind, and its steps in each dialect."""
        first = {n.op.name: n for n in reversed(operators(self.graph))}
        return [[name, n.op.kind.name.lower(), *(span(steps) if (steps := g.steps.get(n)) else "no step" for g in self.groupings)]
                for name, n in sorted(first.items())]  # fmt: skip

    def __str__(self) -> str:
        """A column each, regions that are alike once; then the reasons."""
        return self.text()

    def text(self, all_regions: bool = False) -> str:
        """The same, with every region and every edge if asked."""
        return "\n".join(_lines(self, all_regions))

    def as_json(self) -> dict[str, Any]:
        """Everything as plain dictionaries and lists; nodes by their position, what is a dialect's by its name."""
        at, kernels = self.index, {k: n for n, k in enumerate(self.kernels)}
        groups = {g: k for grouping in self.groupings for k, g in enumerate(grouping.groups)}
        dialects = [g.dialect for g in self.groupings]
        return {
            "graph": self.graph.name,
            "summary": self.summary,
            "nodes": [{"node": at[n], "operator": n.op.name, "kind": n.op.kind.name.lower(), "type": str(n.inferred),
                       "span": self.graph.where(n)} for n in operators(self.graph)],
            "kernels": [{"name": k.label, "nodes": [at[n] for n in k.nodes]} for k in self.kernels],
            "groups": {grouping.dialect: [{"name": g.name, "nodes": [at[n] for n in grouping.nodes(g)], "steps": [
                {"node": at[s.node], "name": s.name, "pattern": str(s.pattern)} for s in g.steps]} for g in grouping.groups]
                for grouping in self.groupings},
            "absent": {grouping.dialect: [at[n] for n in grouping.absent] for grouping in self.groupings},
            "regions": [{"kernels": [kernels[k] for k in r.kernels]} | {name: {"mark": mark, "groups": [groups[g] for g in some]}
                        for name, mark, some in zip(dialects, r.marks, r.groups, strict=True)} for r in self.regions],
            "differences": [{"from": at[e.producer], "to": at[e.consumer], **e.fused, "why": e.why()} for e in self.differences],
        }  # fmt: skip


def before_fusion(graph: Graph, target: Target | str = "native") -> Graph:
    """A bound graph after the graph passes that come before fusion, layouts and the packing of weights left out."""
    return run_passes(pipeline(target, without=LEFT_OUT).graph, graph)


def compare_fusion(
    graph: Graph, dialects: Iterable[str] = ("relax",), failed: Callable[[str, BridgeError], None] | None = None
) -> FusionComparison:
    """The partitions of a graph as it is, with those of dialects of GROUPINGS.

    `failed` is told of a dialect that is not installed, fails, or has no form of an operator, and which is left out
    therefore; without it, that BridgeError is raised.
    """
    groupings = []
    for dialect in dialects:
        try:
            groupings.append(GROUPINGS[dialect](graph))
        except BridgeError as error:
            if failed is None:
                raise
            failed(dialect, error)
    return FusionComparison(graph, partition(graph), tuple(groupings))


def is_view(kernel: Group) -> bool:
    """Whether it is a Reshape alone, which is no kernel: it gives the memory of its input another shape."""
    return kernel.output.op.view and len(kernel.members) == 1


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _mark(pairs: Sequence[tuple[Group, TvmGroup]]) -> str:
    """Of the kernels and groups of a region that share operators, as pairs."""
    if not pairs:
        return "absent"
    split, merged = (len(pairs) > len({pair[side] for pair in pairs}) for side in (0, 1))
    return "regrouped" if split and merged else "split" if split else "merged" if merged else "same"


# ---- text ---------------------------------------------------------------------------------------


def _lines(made: FusionComparison, all_regions: bool = False) -> Iterator[str]:
    yield made.summary
    yield ""
    yield _row("minicc", [("", NAMES[g.dialect]) for g in made.groupings])
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
        yield from textwrap.wrap(f"{k:3}. {where}", WIDTH, subsequent_indent="     ")
        yield from textwrap.wrap(why, WIDTH, initial_indent="     ", subsequent_indent="     ")


def _shape(made: FusionComparison, region: Region) -> Any:
    """What two regions that say the same have in common: the operators of their kernels and of their groups."""
    groups = tuple(
        tuple(tuple((s.node.op.name, s.pattern, grouping.home[s.node] is g) for s in g.steps) for g in some)
        for grouping, some in zip(made.groupings, region.groups, strict=True)
    )
    return region.marks, tuple(tuple(n.op.name for n in k.nodes) for k in region.kernels), groups


def _side_by_side(made: FusionComparison, region: Region, times: int) -> Iterator[str]:
    """The rows of a region: a column of kernels, and one of groups for each dialect, its mark before it."""
    width = _column(len(made.groupings))
    ours = [("(a view)" if is_view(k) else k.label, [made.label(n) for n in k.nodes]) for k in region.kernels]
    if times > 1:
        ours[0] = f"{times} x {ours[0][0]}", ours[0][1]
    columns = [[_block(*kernel, width) for kernel in ours]]
    for grouping, groups in zip(made.groupings, region.groups, strict=True):
        columns.append([_block(g.name, _contents(made, grouping, g), width) for g in groups] or [["-"]])
    marks = region.marks
    for blocks in zip_longest(*columns, fillvalue=()):
        for left, *right in zip_longest(*blocks, fillvalue=""):
            yield _row(left, list(zip(marks, right, strict=True)))
            marks = ("",) * len(marks)


def _column(dialects: int) -> int:
    """The width of each of the columns."""
    return (WIDTH - MARK * dialects) // (1 + dialects)


def _row(left: str, right: Sequence[tuple[str, str]]) -> str:
    width = _column(len(right))
    return (f"{left:{width}}" + "".join(f"{mark:{MARK}}{text:{width}}" for mark, text in right)).rstrip()


def _contents(made: FusionComparison, grouping: TvmGroups, group: TvmGroup) -> list[str]:
    """The operators of a group; of those whose value another group makes, the steps."""
    steps: dict[Node, list[str]] = {}
    for s in group.steps:
        steps.setdefault(s.node, []).append(s.name)
    return [
        made.label(n) if grouping.home[n] is group else f"{', '.join(names)} of {made.label(n)}"
        for n, names in steps.items()
    ]


def _block(name: str, contents: Sequence[str], width: int) -> list[str]:
    return [
        *textwrap.wrap(name, width - 2),
        *textwrap.wrap(", ".join(contents), width - 2, initial_indent="  ", subsequent_indent="  "),
    ]
