"""The rooms of minicc and the arrows between them, drawn from the imports of its own sources.

In: the folder of a package. Out: which room imports which, and a picture of it (SVG): what imports stands above what it
imports, so no arrow runs up. An arrow that follows from others is left out.

    python -m minicc.explain.rooms rooms.svg

>>> arrows = imports()
>>> "ir" in arrows["tensor"], "compile" in arrows["ir"]
(True, False)
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx

from minicc.explain.layered import Layout, place
from minicc.explain.picture import Picture, arrow, legend, rect, text

PACKAGE = Path(__file__).parent.parent
BOX, HEIGHT, PITCH, GAP, MARGIN = 108, 30, 66, 16, 20
FOUR = ("graph", "tensor", "loop", "codegen")  # the rooms that are IRs, or make one
KIND = {True: "c1", False: "soft"}


def room(path: Path, package: Path = PACKAGE) -> str:
    """The room a source belongs to: its folder in the package, or its own name."""
    parts = path.relative_to(package).parts
    return parts[0] if len(parts) > 1 else package.name if path.stem == "__init__" else path.stem


def modules(tree: ast.AST) -> Iterator[str]:
    """Every module, or name of a module, that a source imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(package: Path = PACKAGE) -> dict[str, set[str]]:
    """The rooms that each room imports from."""
    sources = sorted(package.rglob("*.py"))
    found: dict[str, set[str]] = {room(path, package): set() for path in sources}
    for path in sources:
        here = room(path, package)
        for name in modules(ast.parse(path.read_text(encoding="utf-8"))):
            first, *rest = name.split(".")
            if first == package.name and (there := rest[0] if rest and rest[0] in found else first) != here:
                found[here].add(there)
    return found


def picture(arrows: dict[str, set[str]]) -> Picture:
    """The picture of rooms and their arrows. Raises networkx.HasACycle when they run in a circle."""
    graph = nx.transitive_reduction(nx.DiGraph((a, b) for a, below in sorted(arrows.items()) for b in sorted(below)))
    edges = sorted(graph.edges)
    layout = place(list(nx.lexicographical_topological_sort(graph)), edges, BOX, GAP)

    def at(x: float, layer: int) -> tuple[float, float]:
        return MARGIN + x - layout.left, MARGIN + layer * PITCH

    shapes, (width, height) = [], at(layout.right, layout.layers)
    for a, b in edges:
        (x, y), end = at(layout.x[a], layout.layer[a]), at(layout.x[b], layout.layer[b])
        between = [(p, q + down) for p, q in (at(*stop) for stop in layout.between[a, b]) for down in (0, HEIGHT)]
        shapes.append(arrow([(x, y + HEIGHT), *between, end], hover=f"{a} imports {b}"))
    for name in graph:
        x, y = at(layout.x[name], layout.layer[name])
        shapes.append(rect(x - BOX / 2, y, BOX, HEIGHT, KIND[name in FOUR], rx=5))
        shapes.append(text(x, y + 20, name, "bold" if name in FOUR else "", "middle"))
    entries = [(KIND[True], "an IR, or makes one (bold)"), (KIND[False], "another room")]
    keys, bottom = legend(MARGIN, height - PITCH + HEIGHT + MARGIN, entries, width - MARGIN)
    most = max(arrows, key=lambda name: (len(arrows[name]), name))
    words = (
        f"{len(graph)} rooms in {layout.layers} layers, and {len(edges)} arrows, which run down from what imports to what it "
        f"imports; arrows that follow from others are left out. {most} imports from most others, {len(arrows[most])} of them. "
        f"Read from below: {'; '.join(', '.join(row) for row in reversed(_layers(layout)))}."
    )
    title = "The rooms of minicc, and which imports which"
    return Picture(title, words, width + MARGIN, bottom + MARGIN, [*shapes, *keys])


def _layers(layout: Layout) -> list[list[str]]:
    """The rooms of each layer, from the left."""
    return [
        sorted((n for n in layout.x if layout.layer[n] == k), key=layout.x.__getitem__) for k in range(layout.layers)
    ]


if __name__ == "__main__":
    picture(imports()).save(sys.argv[1] if len(sys.argv) > 1 else "rooms.svg")

__all__ = ["imports", "modules", "picture", "room"]
