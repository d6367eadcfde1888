"""A Darknet network: a `.cfg` and its `.weights` become a graph.

In: the path or the bytes of a `.cfg`, and of the `.weights` (by default the file beside it that is called as it is).
Out: a `Graph` whose input `data` is a picture, `float32[1, channels, height, width]`, red first, of values in [0, 1];
its outputs are those of the detection layers (`yolo_82`, `region_31`: kind and number of the layer), or of the last
layer. All that is not supported is reported at once. Neither file is trusted: the shape of every layer and the size
of the weights are known, and checked, before a weight is read.

    graph = load("yolov3.cfg")
    read_network("yolov3.cfg").heads[0].anchors     # what decodes the outputs
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minicc.errors import LoadError
from minicc.frontend.darknet.config import LONGEST, MOST, Section, read_sections
from minicc.frontend.darknet.layers import LAYERS, Above, Head, Layer, Shape, lacking
from minicc.frontend.darknet.weights import WeightsFile
from minicc.graph.ir import Graph, Node, Span, constant, input, spanned
from minicc.paths import read_start
from minicc.types import TensorType, float32

Source = str | Path | bytes
LARGEST = MOST  # elements of a layer's output, and side of a picture times the other


@dataclass(frozen=True)
class Network:
    """A `.cfg` whose layers are planned: the shape of its picture, and its layers in order."""

    file: str
    folder: Path | None
    net: Section
    picture: Shape
    layers: tuple[Layer, ...]

    @property
    def heads(self) -> tuple[Head, ...]:
        """What decodes each output of a detector; none of a classifier."""
        return tuple(layer.head for layer in self.layers if layer.head)

    @property
    def letterbox(self) -> bool:
        """Whether the picture keeps its proportions in that of the network, with bars."""
        return bool(self.net.integer("letter_box", 0, 0))

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for layer in self.layers for shape in layer.parameters)

    def graph(self, weights: Source | None = None, keep: bool = True) -> Graph:
        """The network with its weights. If it need not `keep` large ones, they are read from the file at each use."""
        file = self._weights(weights)
        spans: dict[Node, Span] = {}
        with spanned(spans, Span(self.file, "net", "picture", self.net.line)):
            values = [input("data", TensorType(float32, (1, *self.picture)))]
        for index, layer in enumerate(self.layers):
            with spanned(spans, Span(self.file, f"layer {index}", layer.section.kind, layer.section.line)):
                arrays = [constant(file.take(shape, keep)) for shape in layer.parameters] if file else []
                values.append(layer.build([values[k + 1] for k in layer.reads], arrays))
        last = len(self.layers) - 1
        chosen = [k for k, layer in enumerate(self.layers) if layer.head] or [last]
        names = tuple(f"{LAYERS[self.layers[k].section.kind].__name__}_{k}" for k in chosen)
        name = re.sub(r"\W", "_", Path(self.file).stem) or "main"
        return Graph(name, (values[0],), tuple(values[k + 1] for k in chosen), names).located(spans)

    def _weights(self, given: Source | None) -> WeightsFile | None:
        """The opened weights; None where the network has none, and none are given."""
        call = f"load({self.file!r})"
        if isinstance(given, bytes):
            return WeightsFile(call, given, self.parameters)
        if given is not None:
            return WeightsFile(call, Path(given), self.parameters)
        if not self.parameters:
            return None
        if self.folder is None:
            hint = "load(cfg, weights=...), with a path or bytes"
            raise LoadError(call, f"expected weights, {self.parameters:,} parameters, got none", self.file, hint)
        beside = self.folder / Path(self.file).with_suffix(".weights")
        if not beside.exists():
            problem = f"expected the weights beside the .cfg, got nothing called {beside.name!r} in {self.folder}"
            hint = (
                f"put them there under this name, or give them: weights='FILE.weights' ({self.parameters:,} parameters)"
            )
            raise LoadError(call, problem, self.file, hint)
        if beside.resolve().parent not in (self.folder.resolve(), (self.folder / self.file).resolve().parent):
            problem = f"expected the weights in the folder of the .cfg, got a link to {beside.resolve()}"
            raise LoadError(call, problem, str(beside), "give the file itself: weights='FILE.weights'")
        return WeightsFile(call, beside, self.parameters)


def load(source: Source, keep: bool = True, weights: Source | None = None) -> Graph:
    """The graph of a `.cfg` and its weights. Raises LoadError."""
    return read_network(source).graph(weights, keep)


def read_network(source: Source, size: tuple[int, int] | None = None) -> Network:
    """The network of a `.cfg`, for pictures of another `size`, height and width, if that is given. Raises LoadError."""
    file, folder, content = _content(source)
    net, *sections = read_sections(file, content) or [Section(file, "", 1)]
    if net.kind not in ("net", "network") or not sections:
        got = f"[{net.kind}]" if net.kind not in ("net", "network") else "no layer below it"
        raise net.error(f"expected [net] and layers, got {got}", "is the file a Darknet .cfg, and whole?")
    _check_supported(file, sections)
    height, width = size or (net.integer("height"), net.integer("width"))
    picture = net.integer("channels", 3), height, width
    _check_size(net, picture)
    layers: list[Layer] = []
    for section in sections:
        layer = LAYERS[section.kind](section, Above(section, layers, picture))
        _check_size(section, layer.shape)
        layers.append(layer)
    return Network(file, folder, net, picture, tuple(layers))


def _check_size(section: Section, shape: Shape) -> None:
    if min(shape) < 1 or math.prod(shape) > LARGEST:
        problem = f"expected an output of 1 to {LARGEST:,} elements, got channels, height and width {list(shape)}"
        raise section.error(problem, "check width and height of [net], and size, stride and filters")


def _check_supported(file: str, sections: Sequence[Section]) -> None:
    """Report all that is not supported, with its number and lines."""
    lines: dict[str, list[int]] = {}
    for section in sections:
        for reason in lacking(section):
            lines.setdefault(reason, []).append(section.line)
    if lines:
        counts = Counter({reason: len(at) for reason, at in lines.items()})
        rows = [
            f"{reason}: {count} x (line {', '.join(map(str, lines[reason][:3]))}{', ...' if count > 3 else ''})"
            for reason, count in counts.most_common(40)
        ]
        problem = f"what is not supported: {len(lines)}, in {counts.total()} places"
        hint = f"layers that are: {', '.join(sorted({f.__name__ for f in LAYERS.values()} - {'same'}))}, dropout, cost"
        raise LoadError(f"load({file!r})", problem, "\n".join(rows), hint)


def _content(source: Source) -> tuple[str, Path | None, bytes]:
    """The name, the folder and the bytes of a `.cfg`."""
    if isinstance(source, bytes):
        return "network.cfg", None, source
    path = Path(source)
    return path.name, path.parent, read_start(path, ".cfg", LONGEST, f"load({str(path)!r})", "a file")
