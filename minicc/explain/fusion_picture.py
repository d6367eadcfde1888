"""The picture of a comparison of fusions: the graph with minicc's kernels, and once for each dialect of TVM with its groups.

In: a `FusionComparison`. Out: the text of an SVG file that needs nothing else. What runs together stands in one hull: grey
where all agree, coloured where they differ, and what shares most has one colour on all sides. An edge that not all have fused
carries the number of its reason, which is written beside the picture. An operator stands in the hull of the group that makes
its value; groups that compute other parts of it are tabs on its upper side.

    write_file(Path("fusion.svg"), picture(compare_fusion(graph)).encode())
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from minicc.bridge.groups import operators
from minicc.explain.fusion import FusionComparison, is_view
from minicc.explain.fusion_rules import NAMES
from minicc.explain.layered import Layout, place
from minicc.graph.ir import Input, Node

BOX, HEIGHT, PITCH, GAP = 190, 24, 46, 26  # of a node: width and height; from layer to layer; between nodes
PAD, BAND = 6, 60  # of a hull: around a node; the width along an edge
TAB, TAB_HEIGHT = 26, 9  # of a part of an operator
MARGIN, TOP, SIDE = 28, 128, 400  # around the picture; above the graphs; of the column of reasons
LINE = 15  # from line to line of text
LETTER = 6.1  # a letter of the font, about
ROOM = 140  # of a box, for an operator and its shape
COLOURS = ("#f6b26b", "#c9a7eb", "#8fd3c1", "#f2a6b8", "#ffe08a", "#9dc3f0", "#d2c29b", "#b8dd8a")
AGREED, AGREED_EDGE = "#e4e8ee", "#c3cad6"
CUT, FUSED, PLAIN = "#c62828", "#2e7d32", "#7a828e"
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # Source: XML 1.0, production 2, Char
STYLE = """
  text { font: 12px "DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif; fill: #1d2430; }
  .title { font-size: 20px; font-weight: bold; } .head { font-size: 15px; font-weight: bold; }
  .small { font-size: 11px; } .grey { fill: #6b7380; font-size: 10px; } .badge { fill: #ffffff; font-size: 10px; font-weight: bold; }
"""


@dataclass
class _Side:
    """One of the copies of the graph: its heading, where it begins, and for each node what runs together with it."""

    head: str
    offset: float
    home: Mapping[Node, object]
    names: Mapping[object, str]
    colours: Mapping[object, str]
    parts: Mapping[Node, Sequence[object]] = field(default_factory=dict)


def picture(made: FusionComparison) -> str:
    """The SVG text of a comparison."""
    nodes = [n for n in made.graph.nodes if isinstance(n.op, Input) or n in made.partition.of]
    used = {i for n in nodes for i in n.inputs}
    nodes = [n for n in nodes if n in used or n in made.partition.of]
    edges = [(i, n) for n in nodes for i in dict.fromkeys(n.inputs) if i in set(nodes)]
    layout = place(nodes, edges, BOX, GAP)
    panel = layout.right - layout.left
    step = max(panel, ROOM) + 3 * MARGIN
    colours = _colours(made)
    head, left = f"minicc: {sum(not is_view(k) for k in made.kernels)} kernels", MARGIN - layout.left
    sides = [_Side(head, left, made.partition.of, {k: k.label for k in made.kernels}, colours)]
    for k, grouping in enumerate(made.groupings, 1):
        head = f"{NAMES[grouping.dialect]}: {len(grouping.groups)} groups"
        names: dict[object, str] = {g: g.name for g in grouping.groups}
        sides.append(_Side(head, left + k * step, grouping.home, names, colours, grouping.parts))
    beside = len(sides) * step + MARGIN
    reasons = list(_reasons(made, beside))
    width = beside + SIDE
    height = max(TOP + layout.layers * PITCH + MARGIN, TOP + LINE * (len(reasons) + 2))
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        *_heading(made),
        *(_text(MARGIN + k * step, 108, side.head, "head") for k, side in enumerate(sides)),
        *(shape for side in sides for shape in _panel(made, layout, edges, side)),
        *reasons,
        "</svg>\n",
    ])  # fmt: skip


def _colours(made: FusionComparison) -> dict[object, str]:
    """A colour for each kernel and group of the regions that differ; a group takes that of the kernel it shares most with."""
    found: dict[object, str] = {}
    turn = itertools.cycle(COLOURS)
    for region in made.regions:
        if set(region.marks) <= {"same", "absent"}:
            continue
        found.update({kernel: next(turn) for kernel in region.kernels})
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


# ---- text ---------------------------------------------------------------------------------------


def _escaped(text: str) -> str:
    """Text as XML has it. A character that XML cannot hold becomes U+FFFD."""
    return escape(NOT_XML.sub("\ufffd", text))


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{style} text-anchor="{anchor}">{_escaped(text)}</text>'


def _heading(made: FusionComparison) -> Iterator[str]:
    dialects = " and ".join(NAMES[g.dialect] for g in made.groupings)
    yield _text(MARGIN, 36, f"{made.graph.name}: kernels of minicc, groups of {dialects}", "title")
    yield _text(MARGIN, 58, made.summary)
    x = float(MARGIN)
    for colour, line, words in ((AGREED, "", "all agree"), (COLOURS[0], "", "they differ"), ("", FUSED, "fused here"),
                                ("", CUT, "cut here")):  # fmt: skip
        if colour:
            yield f'<rect x="{x}" y="70" width="22" height="14" rx="5" fill="{colour}" stroke="{_edge_of(colour)}"/>'
        else:
            dash = ' stroke-dasharray="5 3"' if line == CUT else ""
            yield f'<path d="M{x} 77h22" stroke="{line}" stroke-width="2.4"{dash}/>'
        yield _text(x + 28, 81, words, "small")
        x += 48 + LETTER * len(words)
    if any(e.is_within for e in made.differences):
        yield _tab(x, 73, COLOURS[1])
        yield _text(x + 6 + TAB, 81, "a part of an operator", "small")


def _reasons(made: FusionComparison, x: float) -> Iterator[str]:
    """The column beside the graphs: each reason with its number."""
    y = TOP - 20.0
    agreed = "They are the same" if made.kernels else "There are no operators"
    yield _text(x, y, "Where they differ" if made.reasons else agreed, "head")
    for number, (why, edges) in enumerate(made.reasons.items(), 1):
        y += LINE * 1.6
        yield _badge(x + 8, y - 4, number)
        what = "operators" if edges[0].is_within else "edges"
        count = f"{len(edges)} {what}. " if len(edges) > 1 else ""
        for line in textwrap.wrap(count + why, int((SIDE - 60) / LETTER)):
            yield _text(x + 24, y, line, "small")
            y += LINE
        y -= LINE
    yield ""


def _badge(x: float, y: float, number: int) -> str:
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="#1d2430"/>{_text(x, y + 3.5, str(number), "badge", "middle")}'
    )


# ---- graphs -------------------------------------------------------------------------------------


def _edge_of(colour: str) -> str:
    """A darker colour, for the edge of a hull."""
    if colour == AGREED:
        return AGREED_EDGE
    return "#" + "".join(f"{int(colour[k : k + 2], 16) * 3 // 4:02x}" for k in (1, 3, 5))


def _panel(made: FusionComparison, layout: Layout, edges: list[tuple[Node, Node]], side: _Side) -> Iterator[str]:
    yield from _hulls(made, layout, edges, side)
    numbers = {(e.producer, e.consumer): k for k, group in enumerate(made.reasons.values(), 1) for e in group}
    badges = []
    for edge in edges:
        together = edge[0] in side.home and side.home[edge[0]] is side.home.get(edge[1])
        path = _path(layout, edge, side.offset)
        if edge not in numbers:
            yield f'<path d="{path}" fill="none" stroke="{PLAIN}" stroke-width="1.2"/>'
            continue
        style = (
            f'stroke="{FUSED}" stroke-width="2.4"'
            if together
            else f'stroke="{CUT}" stroke-width="2.4" stroke-dasharray="5 3"'
        )
        yield f'<path d="{path}" fill="none" {style}/>'
        points = _points(layout, edge, side.offset)
        x, y = (sum(values) / 2 for values in zip(*points[-2:], strict=True))
        badges.append(_badge(x + 14, y, numbers[edge]))
    for n in layout.x:
        x, y = side.offset + layout.x[n], _y(layout.layer[n])
        yield from _tabs(n, x, y, side)
        yield from _box(made, n, x, y, side)
        if (n, n) in numbers:
            badges.append(_badge(x + BOX / 2 + PAD, y, numbers[n, n]))
    yield from badges


def _y(layer: int) -> float:
    return TOP + layer * PITCH + HEIGHT / 2


def _points(layout: Layout, edge: tuple[Node, Node], offset: float) -> list[tuple[float, float]]:
    """From the lower side of the producer to the upper side of the consumer."""
    a, b = edge
    inner = [(offset + x, _y(k)) for x, k in layout.between[edge]]
    return [
        (offset + layout.x[a], _y(layout.layer[a]) + HEIGHT / 2),
        *inner,
        (offset + layout.x[b], _y(layout.layer[b]) - HEIGHT / 2),
    ]


def _path(layout: Layout, edge: tuple[Node, Node], offset: float) -> str:
    """A smooth line through the points of an edge: vertical in each of them."""
    points = _points(layout, edge, offset)
    x, y = points[0]
    made = f"M{x:.1f} {y:.1f}"
    for to_x, to_y in points[1:]:
        middle = (y + to_y) / 2
        made += (
            f"V{to_y:.1f}"
            if abs(to_x - x) < 0.5
            else f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
        )
        x, y = to_x, to_y
    return made


def _hulls(made: FusionComparison, layout: Layout, edges: Iterable[tuple[Node, Node]], side: _Side) -> Iterator[str]:
    """Behind everything: a hull around what runs together, as wide bands along its edges, first dark, then light."""
    members: dict[object, list[Node]] = {}
    for n in operators(made.graph):
        if n in side.home:
            members.setdefault(side.home[n], []).append(n)
    inside: dict[object, list[tuple[Node, Node]]] = {}
    for a, b in edges:
        if a in side.home and side.home[a] is side.home.get(b):
            inside.setdefault(side.home[a], []).append((a, b))
    for group, nodes in members.items():
        colour = side.colours.get(group, AGREED)
        if colour == AGREED and len(nodes) == 1:
            continue
        yield f"<g><title>{_escaped(side.names[group])}</title>"
        for grow, paint in ((1.2, _edge_of(colour)), (0.0, colour)):
            for edge in inside.get(group, ()):
                straight = not layout.between[edge] and abs(layout.x[edge[0]] - layout.x[edge[1]]) < 0.5
                broad = (BOX + 2 * PAD if straight else BAND) + 2 * grow
                yield f'<path d="{_path(layout, edge, side.offset)}" fill="none" stroke="{paint}" stroke-width="{broad:.1f}"/>'
            for n in nodes:
                x, y = side.offset + layout.x[n] - BOX / 2 - PAD - grow, _y(layout.layer[n]) - HEIGHT / 2 - PAD - grow
                yield (
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{BOX + 2 * (PAD + grow):.1f}" height="{HEIGHT + 2 * (PAD + grow):.1f}" '
                    f'rx="10" fill="{paint}"/>'
                )
        yield "</g>"


def _tabs(n: Node, x: float, y: float, side: _Side) -> Iterator[str]:
    """On the box of a node, one tab for each group that computes a part of it, but not its value; as close as needed."""
    others = [g for g in side.parts.get(n, ()) if g is not side.home[n]]
    apart = min(TAB + 4.0, (BOX - TAB - 16) / max(len(others) - 1, 1))
    for k, group in enumerate(others):
        left, top = x - BOX / 2 + 8 + k * apart, y - HEIGHT / 2 - TAB_HEIGHT
        yield _tab(left, top, side.colours.get(group, AGREED), f"<title>{_escaped(side.names[group])}</title>")


def _tab(left: float, top: float, colour: str, inner: str = "") -> str:
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{TAB}" height="{TAB_HEIGHT}" rx="3" fill="{colour}" '
        f'stroke="{_edge_of(colour)}">{inner}</rect>'
    )


def _box(made: FusionComparison, n: Node, x: float, y: float, side: _Side) -> Iterator[str]:
    shape = "\u00d7".join(map(str, n.type.shape)) or "scalar"
    if isinstance(n.op, Input):
        name = n.op.label if len(n.op.label) <= 15 else n.op.label[:14] + "…"
        yield f'<rect x="{x - 50:.1f}" y="{y - 9:.1f}" width="100" height="18" rx="9" fill="#ffffff" stroke="{AGREED_EDGE}"/>'
        yield _text(x, y + 4, name, "grey", "middle")
        return
    left, absent = x - BOX / 2, n not in side.home
    dash = ' stroke-dasharray="3 3"' if absent else ""
    yield (
        f'<rect x="{left:.1f}" y="{y - HEIGHT / 2:.1f}" width="{BOX}" height="{HEIGHT}" rx="5" fill="#ffffff" stroke="#8b94a3"{dash}>'
        f"<title>{_escaped(str(n.op))} : {_escaped(str(n.inferred))}</title></rect>"
    )
    yield _text(left + 6, y + 4, f"n{made.index[n]}", "grey")
    yield _text(left + 38, y + 4, n.op.name)
    if (1.2 * len(n.op.name) + len(shape)) * LETTER <= ROOM:
        yield _text(left + BOX - 6, y + 4, shape, "grey", "end")
