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
from xml.sax.saxutils import escape

import networkx as nx

from minicc.explain.layered import place
from minicc.runtime.files import write_file

PACKAGE = Path(__file__).parent.parent
BOX, HEIGHT, PITCH, GAP, MARGIN = 108, 30, 66, 16, 20
STYLE = (
    'text { font: 13px "DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif; fill: #1d2430; text-anchor: middle; }'
)
FOUR = ("graph", "tensor", "loop", "codegen")  # the rooms that are IRs, or make one


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


def picture(arrows: dict[str, set[str]]) -> str:
    """The SVG text of rooms and their arrows. Raises networkx.HasACycle when they run in a circle."""
    graph = nx.transitive_reduction(nx.DiGraph((a, b) for a, below in sorted(arrows.items()) for b in sorted(below)))
    edges = sorted(graph.edges)
    layout = place(list(nx.lexicographical_topological_sort(graph)), edges, BOX, GAP)

    def at(x: float, layer: int) -> tuple[float, float]:
        return MARGIN + x - layout.left, MARGIN + layer * PITCH

    width, height = at(layout.right, layout.layers)
    shapes = []
    for a, b in edges:
        (x, y), (u, v) = at(layout.x[a], layout.layer[a]), at(layout.x[b], layout.layer[b])
        points = [
            (x, y + HEIGHT),
            *((p, q + HEIGHT / 2) for p, q in (at(*stop) for stop in layout.between[a, b])),
            (u, v),
        ]
        line = " ".join(f"{p:.0f},{q:.0f}" for p, q in points)
        shapes.append(f'<polyline points="{line}" fill="none" stroke="#7a828e" marker-end="url(#tip)"/>')
    for name in graph:
        x, y = at(layout.x[name], layout.layer[name])
        colour = "#f6d9a8" if name in FOUR else "#e4e8ee"
        shapes.append(
            f'<rect x="{x - BOX / 2:.0f}" y="{y:.0f}" width="{BOX}" height="{HEIGHT}" rx="5" fill="{colour}" stroke="#c3cad6"/>'
        )
        shapes.append(f'<text x="{x:.0f}" y="{y + 20:.0f}">{escape(name)}</text>')
    size = f'viewBox="0 0 {width + MARGIN:.0f} {height:.0f}" width="{width + MARGIN:.0f}" height="{height:.0f}"'
    tip = '<path d="M0,0 L8,4 L0,8 z" fill="#7a828e"/>'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<style>{STYLE}</style>",
            f'<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="8" refY="4" orient="auto">{tip}</marker></defs>',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *shapes,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    write_file(Path(sys.argv[1] if len(sys.argv) > 1 else "rooms.svg"), picture(imports()).encode())

__all__ = ["imports", "modules", "picture", "room"]
