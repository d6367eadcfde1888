"""Boxes with arrows between them: what all pictures of graphs are made of.

In: boxes by their keys, producers first, edges, and how wide it may be. Out: a larger `Box`, which holds them, every arrow downwards;
it may stand in another one, as a kernel's operators stand in the kernel. Below a box stand the words that its arrows carry.

>>> small = box("Relu", "c3", label="float32[2]")
>>> made = flow({"a": small, "b": small}, [("a", "b")])
>>> made.height > 2 * small.height, made.width == small.width
(True, True)
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minicc.explain.layered import Layout, place
from minicc.explain.picture import SIZE, arrow, cut, group, line, rect, text, wide

WIDTH, HEIGHT, PILL = 156, 22, 18  # pixels: of a box of one line of words; the height of a box with round ends
STRIP, LABEL = 15, 15  # the height of a strip in a box; of the words below one
GAP, FALL, SHORT, NARROW = (
    14,
    18,
    11,
    8.0,
)  # between neighbours; layers; layers in a box; of an arrow that passes a layer
AROUND, BAND = 5, 12.0  # of a hull: around a box, along an arrow
PAD, TITLE = 8, 21  # within a frame: around what it holds; the height of its title
ROOM = 330  # of a picture that can be read on a telephone, too
SMALL, BOLD = 10, 1.15  # pixels of a letter of small words; how much wider bold ones are


@dataclass(frozen=True)
class Box:
    """Shapes in a rectangle whose upper left corner is at (0, 0); `label` are the words that arrows from it carry."""

    width: float
    height: float
    shapes: Sequence[str]
    label: str = ""

    @property
    def below(self) -> float:
        """The height with the words below."""
        return self.height + (LABEL if self.label else 0)

    @property
    def broad(self) -> float:
        """The width with the words below."""
        return max(self.width, wide(self.label, SMALL))


@dataclass(frozen=True)
class Hull:
    """What surrounds boxes that belong together: a class of the kit, and words for whoever asks."""

    keys: Sequence[Hashable]
    kind: str
    hover: str


def box(
    words: str,
    kind: str,
    hover: str = "",
    label: str = "",
    note: str = "",
    strip: str = "",
    strip_hover: str = "",
    strip_kind: str = "c8",
    **more: object,
) -> Box:
    """One line of words, a note at its end, and below, if there is one, a strip of another class: what it reads beside."""
    room = WIDTH - 12 - (len(note) * SMALL * 0.6 + 6 if note else 0)
    height = HEIGHT + (STRIP if strip else 0)
    shapes = [rect(0, 0, WIDTH, height, kind, hover, rx=4), _named(6, 15, words, room)]
    if note:
        shapes.append(text(WIDTH - 6, 15, note, "small", "end"))
    if strip:
        shapes.append(rect(0, HEIGHT, WIDTH, STRIP, strip_kind, strip_hover or strip))
        shapes.append(text(6, HEIGHT + 11, cut(strip, WIDTH - 12, SMALL), "small"))
    return Box(WIDTH, height, [group(shapes, **more)], cut(label, WIDTH - 4, SMALL))


def _named(x: float, y: float, words: str, room: float) -> str:
    """A name: in small letters where it is long, and cut where it is longer."""
    size, kind = (SIZE, "bold") if wide(words, BOLD * SIZE) <= room else (SMALL, "small bold")
    return text(x, y, cut(words, room, BOLD * size), kind)


def pill(words: str, kind: str, hover: str = "", label: str = "", width: float = 0, **more: object) -> Box:
    """A box with round ends, as wide as its words."""
    width = width or min(max(wide(words, SMALL) + 16, 34), WIDTH)
    shapes = [rect(0, 0, width, PILL, kind, hover, rx=PILL / 2)]
    shapes.append(text(width / 2, 13, cut(words, width - 12, SMALL), "small", "middle"))
    return Box(width, PILL, [group(shapes, **more)], cut(label, WIDTH - 4, SMALL))


def frame(
    title: str, inside: Box, kind: str = "soft", hover: str = "", label: str = "", note: str = "", **more: object
) -> Box:
    """A box around others, with a title."""
    width = max(inside.width, WIDTH - 2 * PAD) + 2 * PAD
    height = TITLE + inside.height + PAD
    room = width - 2 * PAD - (len(note) * SMALL * 0.6 + 6 if note else 0)
    shapes = [rect(0, 0, width, height, kind, hover, rx=6), _named(PAD, 14, title, room)]
    if note:
        shapes.append(text(width - PAD, 14, note, "small", "end"))
    shapes.append(moved(inside, (width - inside.width) / 2, TITLE))
    return Box(
        width, height, [group(shapes, kind="frame" if kind == "soft" else "", **more)], cut(label, WIDTH - 4, SMALL)
    )


def moved(made: Box, x: float, y: float) -> str:
    """The shapes of a box whose corner is there."""
    return group(made.shapes, transform=f"translate({x:.1f} {y:.1f})")


def beside(boxes: Sequence[Box], gap: float = GAP) -> Box:
    """Boxes in a row."""
    x, shapes = 0.0, []
    for made in boxes:
        shapes.append(moved(made, x, 0))
        x += made.width + gap
    return Box(max(x - gap, 0.0), max((b.below for b in boxes), default=0.0), shapes)


def stacked(boxes: Sequence[Box], gap: float = GAP) -> Box:
    """Boxes in a column."""
    y, shapes = 0.0, []
    for made in boxes:
        shapes.append(moved(made, 0, y))
        y += made.below + gap
    return Box(max((b.width for b in boxes), default=0.0), max(y - gap, 0.0), shapes)


class _Flow:
    """Boxes with their places: layers from above to below, boxes of a layer with their upper sides in one line."""

    def __init__(self, boxes: Mapping[Any, Box], edges: Sequence[tuple[Any, Any]], room: float, fall: float) -> None:
        self.boxes = boxes
        self.layout: Layout = place(list(boxes), edges, {k: b.broad for k, b in boxes.items()}, GAP, room, NARROW)
        self.readers = {a for a, _ in edges}
        self.top: list[float] = []
        self.bottom: list[float] = []
        y = 0.0
        for k in range(self.layout.layers):
            row = [boxes[n] for n in boxes if self.layout.layer[n] == k]
            self.top.append(y)
            self.bottom.append(y + max(b.below for b in row))
            y = self.bottom[-1] + fall

    def x(self, key: Any) -> float:
        return self.layout.x[key] - self.layout.left

    def y(self, key: Any) -> float:
        return self.top[self.layout.layer[key]]

    def path(self, a: Any, b: Any) -> list[tuple[float, float]]:
        """From the lower side of one box to the upper side of another; straight down wherever boxes may be beside."""
        points = [(self.x(a), self.y(a) + self.boxes[a].height), (self.x(a), self.bottom[self.layout.layer[a]])]
        for x, k in self.layout.between[a, b]:
            points += [(x - self.layout.left, self.top[k]), (x - self.layout.left, self.bottom[k])]
        return [*points, (self.x(b), self.y(b))]

    def hull(self, hull: Hull, edges: Iterable[tuple[Any, Any]]) -> str:
        """Wide bands along edges within, and a rectangle behind each box; first the rim, then the inside."""
        keys, shapes = set(hull.keys), []
        inside = {(a, b): self.path(a, b) for a, b in edges if a in keys and b in keys}
        for grow, kind, fill in ((1.0, "muted", "tip"), (0.0, hull.kind, hull.kind)):
            for (a, b), path in inside.items():
                (x, y), (u, v) = path[0], path[-1]
                whole = [(x, y - self.boxes[a].height / 2), *path, (u, v + self.boxes[b].height / 2)]
                broad = WIDTH + 2 * AROUND if len(path) == 3 and abs(x - u) < 1 else BAND
                shapes.append(line(whole, f"band {kind}", stroke_width=broad + 2 * grow))
            for n in hull.keys:
                made, around = self.boxes[n], AROUND + grow
                corner = (self.x(n) - made.width / 2 - around, self.y(n) - around)
                shapes.append(
                    rect(*corner, made.width + 2 * around, made.height + 2 * around, fill, rx=8, style="stroke: none")
                )
        return group(shapes, hull.hover)


def flow(
    boxes: Mapping[Any, Box],
    edges: Sequence[tuple[Any, Any]],
    room: float = ROOM,
    fall: float = FALL,
    hulls: Sequence[Hull] = (),
    hover: Mapping[Any, str] | None = None,
    kinds: Mapping[tuple[Any, Any], str] | None = None,
    marks: Mapping[tuple[Any, Any], str] | None = None,
) -> Box:
    """The boxes, with an arrow for each edge. `hover` are the words for arrows from a box, `kinds` the classes of arrows,
    `marks` words beside the end of an arrow."""
    made = _Flow(boxes, edges, room, fall)
    shapes = [made.hull(h, edges) for h in hulls]
    for a, b in edges:
        shapes.append(arrow(made.path(a, b), (kinds or {}).get((a, b), "edge"), (hover or {}).get(a, "")))
    for key, content in boxes.items():
        x, y = made.x(key), made.y(key)
        shapes.append(moved(content, x - content.width / 2, y))
        if content.label and key in made.readers:
            across = wide(content.label, SMALL)
            shapes.append(rect(x - across / 2, y + content.height + 1.5, across, 13, "paper"))
        if content.label:
            shapes.append(text(x, y + content.height + 12, content.label, "small", "middle"))
    for (a, b), words in (marks or {}).items():
        (x, y), (u, v) = made.path(a, b)[-2:] if a != b else [(made.x(a) + made.boxes[a].width / 2, made.y(a))] * 2
        shapes.append(text((x + u) / 2 + 8, (y + v) / 2 + 4, words, "small bold"))
    return Box(made.layout.right - made.layout.left, made.bottom[-1] if made.bottom else 0.0, shapes)
