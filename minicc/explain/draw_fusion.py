"""The picture of a comparison of fusions: the graph with minicc's kernels, and once for each dialect of TVM with its groups.

In: a `FusionComparison`. Out: `Pictures`: sections of the graph of at most a screen, in each all sides beside each other, and the
reasons where they differ. What runs together stands in one hull: grey where all agree, coloured and with a letter where
they differ; what shares most has one colour and letter on all sides. An edge that not all have fused carries the
number of its reason. An operator stands in the hull of the group that makes its value; groups that compute other parts of it are
named below it. Sections in which all agree are folded, as are those that look like an earlier one.

    save(draw_fusion(compare_fusion(graph)), Path("fusion.html"))
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from string import ascii_uppercase
from typing import Any

from minicc.explain.flow import GAP, ROOM, Box, Hull, box, flow, moved, pill
from minicc.explain.fusion import FusionComparison, is_view
from minicc.explain.fusion_rules import NAMES, Edge
from minicc.explain.page import Pictures, Plate
from minicc.explain.picture import KINDS, Picture, cut, legend, text, used
from minicc.explain.sections import Chain, Piece, Screen
from minicc.graph.ir import Constant, Input, Node

SCREEN, FALL = 560, 23  # pixels: the height of the boxes of a section; from layer to layer
MARGIN, HEAD = 12, 34  # around a picture; its heading
COLOURS = KINDS[:7]  # the eighth is that of constants elsewhere
LEGEND = {"soft": "together, as on all sides", "none dashed": "no step for it",
          "strong": "fused here, not by all", "strong dashed": "cut here, not by all"}  # fmt: skip


@dataclass(frozen=True)
class _Side:
    """One of the copies of the graph: its name, and for each node what runs together with it."""

    name: str
    home: Mapping[Node, Any]
    label: Callable[[Any], str]
    parts: Mapping[Node, Sequence[Any]] = field(default_factory=dict)

    def together(self, a: Node, b: Node) -> bool:
        return a in self.home and self.home[a] is self.home.get(b)


def draw_fusion(made: FusionComparison) -> Pictures:
    """The pictures of a comparison."""
    sides = [NAMES[g.dialect] for g in made.groupings]
    title = f"{made.graph.name}: kernels of minicc, groups of {' and '.join(sides)}"
    agreed = (
        "They are the same." if made.kernels and not made.reasons else "" if made.kernels else "There are no operators."
    )
    words = f"{made.summary}. {agreed}".strip()
    return Pictures(title, words, list(_Comparison(made).plates()))


class _Comparison:
    """A comparison on its way to sections."""

    def __init__(self, made: FusionComparison) -> None:
        self.made = made
        self.nodes = [n for n in made.graph.nodes if n in made.partition.of]
        kernels = _Side("minicc", made.partition.of, lambda k: "a view" if is_view(k) else k.label)
        self.sides = [kernels, *(_Side(NAMES[g.dialect], g.home, lambda g: g.name, g.parts) for g in made.groupings)]
        self.numbers = {(e.producer, e.consumer): k for k, edges in enumerate(made.reasons.values(), 1) for e in edges}
        self.at = {n: k for k, n in enumerate(self.nodes)}
        self.apart = _told_apart(made)
        self.colours, self.letters = dict[Any, str](), dict[Any, str]()  # of a section

    @cached_property
    def spans(self) -> list[int]:
        """Of each place between nodes, how many kernels and groups go over it."""
        steps = [0] * (len(self.nodes) + 1)
        for side in self.sides:
            for _, members in _members(side, self.nodes):
                steps[self.at[members[0]] + 1] += 1
                steps[self.at[members[-1]] + 1] -= 1
        return list(itertools.accumulate(steps))

    @staticmethod
    def reads(n: Node) -> list[Node]:
        return [i for i in dict.fromkeys(n.inputs) if not isinstance(i.op, Constant)]

    def look(self, n: Node) -> Any:
        """What is seen of a node, on all sides."""
        ends = [(self.numbers.get((i, n)), *(side.together(i, n) for side in self.sides)) for i in n.inputs]
        parts = [len(side.parts.get(n, ())) for side in self.sides]
        return n.op, n.inferred, tuple(ends), self.numbers.get((n, n)), *parts, *(n in side.home for side in self.sides)

    def plates(self) -> Iterator[Plate]:
        outputs = [n for n in self.made.graph.outputs if n in self.at]
        chain = Chain(self.nodes, self.reads, self.look, lambda n: (box("", "none").width, self._box(n, self.sides[0]).below),
                      outputs, self.spans.__getitem__)  # fmt: skip
        pieces = chain.pieces(Screen(ROOM, SCREEN, FALL, GAP))
        number = {k: j for j, p in enumerate(pieces, 1) for copy in p.copies() for k in copy}
        seen: dict[Any, int] = {}
        for j, piece in enumerate(pieces, 1):
            nodes = self.nodes[piece.start : piece.stop]
            inside = set(nodes)
            where = [(tuple(self.at[i] - piece.start if i in inside else None for i in self.reads(n))) for n in nodes]
            same = seen.setdefault(tuple(zip(map(self.look, nodes), where, strict=True)), j)
            reasons = list(self._reasons(inside))
            notes = [f"{piece.times} times: also {self._copies(piece)}"] * (piece.times > 1)
            notes += [f"the same as section {same}"] * (same != j) + ["all agree" if not reasons else "they differ"]
            heading = f"{j}. n{self.made.index[nodes[0]]}" + f" to n{self.made.index[nodes[-1]]}" * (len(nodes) > 1)
            origins = {i: number[self.at[i]] for n in nodes for i in self.reads(n) if i in self.at and i not in inside}
            self._tell(nodes)
            shown = [self._panel(side, nodes, origins, f"{heading}: {side.name}") for side in self.sides]
            yield Plate(heading, shown[0], "; ".join(notes), bool(reasons) and same == j, shown[1:], reasons)

    def _tell(self, nodes: Sequence[Node]) -> None:
        """Give colours and letters to what differs among these nodes."""
        groups = [g for n in nodes for side in self.sides for g in (side.home.get(n), *side.parts.get(n, ()))]
        groups = [g for g in dict.fromkeys(groups) if g in self.apart]
        told = dict(
            zip(
                dict.fromkeys(self.apart[g] for g in groups),
                zip(itertools.cycle(COLOURS), _names(), strict=False),
                strict=False,
            )
        )
        self.colours = {g: told[self.apart[g]][0] for g in groups}
        self.letters = {g: told[self.apart[g]][1] for g in groups}

    def _copies(self, piece: Piece) -> str:
        starts = [f"n{self.made.index[self.nodes[copy[0]]]}" for copy in piece.copies()[1:]]
        return "from " + ", ".join(starts)

    def _reasons(self, nodes: set[Node]) -> Iterator[str]:
        """The reasons of edges to these nodes, with their numbers, and the edges."""
        for k, (why, edges) in enumerate(self.made.reasons.items(), 1):
            if here := [e for e in edges if e.consumer in nodes]:
                yield f"{k}. {', '.join(map(self._edge, here))}: {why}"

    def _edge(self, e: Edge) -> str:
        names = [f"n{self.made.index[n]} {n.op.name}" for n in (e.producer, e.consumer)]
        return names[0] if e.is_within else " to ".join(names)

    # ---- one side of a section ----

    def _panel(self, side: _Side, nodes: Sequence[Node], origins: Mapping[Node, int], title: str) -> Picture:
        inside, boxes = set(nodes), dict[Any, Box]()
        for n in dict.fromkeys(i for m in nodes for i in self.reads(m) if i not in inside):
            words = n.op.label if isinstance(n.op, Input) else f"n{self.made.index[n]} from {origins[n]}"
            boxes[n] = pill(words, "none", f"{words}: {n.inferred}")
        boxes |= {n: self._box(n, side) for n in nodes}
        edges: list[tuple[Any, Any]] = [(i, n) for n in nodes for i in self.reads(n)]
        kinds = {e: "strong" if side.together(*e) else "strong dashed" for e in edges if e in self.numbers}
        marks = {e: str(self.numbers[e]) for e in [*edges, *((n, n) for n in nodes)] if e in self.numbers}
        groups = list(_members(side, nodes))
        hulls = [Hull(members, self.colours.get(group, "soft"), side.label(group)) for group, members in groups]
        drawn = flow(boxes, edges, fall=FALL, hulls=hulls, kinds=kinds, marks=marks)
        width = max(drawn.width + 12, ROOM) + 2 * MARGIN
        told = {self.colours[g]: "" for g, _ in groups if g in self.colours}
        for g in (g for g, _ in groups if g in self.letters):
            told[self.colours[g]] += f" {self.letters[g]}"
        entries = used(drawn.shapes, {kind: f"unlike others:{words}" for kind, words in told.items()} | LEGEND)
        keys, bottom = legend(MARGIN, HEAD + drawn.height + 24, entries, width - 2 * MARGIN)
        head = text(
            MARGIN,
            20,
            f"{side.name}: {len(groups)} {'kernel' if side is self.sides[0] else 'group'}{'s' * (len(groups) != 1)}",
            "head",
        )
        listed = "; ".join(
            f"{side.label(group)} of {', '.join(self._name(n) for n in members)}" for group, members in groups
        )
        absent = [self._name(n) for n in nodes if n not in side.home]
        words = (
            f"{side.name} runs together: {cut(listed or 'nothing', 4000)}."
            + f" It has no step for {', '.join(absent)}." * bool(absent)
        )
        return Picture(
            title, words, width, bottom + MARGIN, [head, moved(drawn, (width - drawn.width) / 2, HEAD + 6), *keys]
        )

    def _name(self, n: Node) -> str:
        return f"n{self.made.index[n]} {n.op.name}"

    def _box(self, n: Node, side: _Side) -> Box:
        group = side.home.get(n)
        others = [g for g in side.parts.get(n, ()) if g is not group]
        parts = f"parts of it: {', '.join(filter(None, (self.letters.get(g) for g in others)))}" if others else ""
        kind = "none" if n in side.home else "none dashed"
        hover = f"{self._name(n)}: {n.op} : {n.inferred}"[:600]
        note = f"{self.letters[group]}  n{self.made.index[n]}" if group in self.letters else f"n{self.made.index[n]}"
        return box(
            n.op.name,
            kind,
            hover,
            "",
            note,
            parts,
            "; ".join(map(side.label, others)),
            "none",
            data_node=f"n{self.made.index[n]}",
        )


def _members(side: _Side, nodes: Sequence[Node]) -> list[tuple[Any, list[Node]]]:
    """What runs together of some nodes."""
    found: dict[Any, list[Node]] = {}
    for n in nodes:
        if n in side.home:
            found.setdefault(side.home[n], []).append(n)
    return list(found.items())


def _told_apart(made: FusionComparison) -> dict[Any, int]:
    """A number for each kernel and group of the regions that differ; a group has that of the kernel it shares most with."""
    found, turn = dict[Any, int](), itertools.count()
    for region in made.regions:
        if set(region.marks) <= {"same", "absent"}:
            continue
        found |= {kernel: next(turn) for kernel in region.kernels}
        for grouping, groups in zip(made.groupings, region.groups, strict=True):
            parts = {g: {s.node for s in g.steps} for g in groups}
            left = list(region.kernels)
            for group in sorted(groups, key=lambda g: (-len(grouping.nodes(g)), -len(parts[g]))):
                nodes = set(grouping.nodes(group)) or parts[group]
                best = max(left, key=lambda k: len(k.members & nodes), default=None)
                if best is not None and best.members & nodes:
                    found[group] = found[best]
                    left.remove(best)
                else:
                    found[group] = next(turn)
    return found


def _names() -> Iterator[str]:
    """A, B, ... Z, A1, B1, ..."""
    for k in itertools.count():
        yield from (f"{letter}{k or ''}" for letter in ascii_uppercase)
