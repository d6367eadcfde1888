"""Detectors: a graph, what it takes of a picture, and what its outputs mean.

In: a Darknet `.cfg` with its weights, or an ONNX model and its family. Out: a `Detector`, whose graph anybody may
compile.

    detector = open_detector("yolov3.cfg")
    exe = minicc.compile(detector.graph)
    array, placement = detector.prepare(picture)
    boxes = detector.boxes(exe.run({detector.port.name: array}), placement, picture)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicc import frontend
from minicc.errors import ConfigError
from minicc.frontend import darknet
from minicc.graph.bind import bind
from minicc.graph.ir import Graph
from minicc.types import TensorType
from minicc.vision.boxes import Array, Boxes, suppress
from minicc.vision.decode import FAMILIES, Family, finite, of_heads
from minicc.vision.preprocess import Placement, fit

USUAL = 640  # height and width for a network that takes any


class PicturePort(NamedTuple):
    """The input of a network that takes one picture: `[1, 3, height, width]`, or `[1, height, width, 3]` with
    `channels_last`."""

    name: str
    type: TensorType
    height: int
    width: int
    channels_last: bool

    def array(self, pixels: Array) -> Array:
        """`pixels[height, width, 3]` as the network takes them; of one that takes bytes rounded, signed ones less
        128."""
        if self.type.dtype.is_integer:
            pixels = np.rint(pixels) - (128 if self.type.dtype.kind == "int" else 0)
        placed = pixels if self.channels_last else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(placed[None].astype(self.type.dtype.numpy))


def for_pictures(graph: Graph, size: tuple[int, int] | None = None, usual: int = USUAL) -> tuple[Graph, PicturePort]:
    """A graph bound to one picture of its size, or of `size`, height and width, where it takes any; and its input.
    Raises ConfigError."""
    call = f"pictures({graph.name})"
    hint = "give a model with one input, [1, 3, height, width] or [1, height, width, 3]"
    if len(graph.inputs) != 1 or graph.inputs[0].type.rank != 4:
        got = ", ".join(f"{name} {n.type}" for name, n in zip(graph.input_names, graph.inputs, strict=True))
        raise ConfigError(call, f"expected a model that takes one picture, got inputs {got}", hint=hint)
    name, type = graph.input_names[0], graph.inputs[0].type
    last = type.shape[3] == 3 and type.shape[1] != 3
    if type.shape[3 if last else 1] != 3:
        raise ConfigError(call, f"expected three channels, got {name} {type}", hint=hint)
    own = type.shape[1:3] if last else type.shape[2:]
    height, width = (n if isinstance(n, int) else w for n, w in zip(own, size or (usual, usual), strict=True))
    if size and size != (height, width):
        problem = f"expected the size that the model has, {height} x {width}, got {size[0]} x {size[1]}"
        raise ConfigError(call, problem, hint="leave out --size, or export the model with a dynamic size")
    shape = (1, height, width, 3) if last else (1, 3, height, width)
    bound = bind(graph, {}, {name: shape}, {})
    return bound, PicturePort(name, bound.inputs[0].type, height, width, last)


@dataclass(frozen=True)
class Detector:
    """A network that finds things: its bound graph, its input, how it takes pictures, and how its outputs are
    decoded."""

    graph: Graph
    port: PicturePort
    family: Family
    fill: float = 114.0  # of the bars beside a picture

    def prepare(self, picture: Array) -> tuple[Array, Placement]:
        """The network's input for `uint8[height, width, 3]`, and where the picture lies in it."""
        port, family = self.port, self.family
        pixels, placement = fit(picture, port.height, port.width, family.fit, self.fill)
        if family.blue_first:
            pixels = pixels[:, :, ::-1]
        return port.array(pixels if port.type.dtype.is_integer else pixels / family.deviation), placement

    def boxes(
        self,
        outputs: Mapping[str, Any],
        placement: Placement,
        picture: Array,
        threshold: float = 0.25,
        nms: float = 0.45,
        agnostic: bool = False,
    ) -> Boxes:
        """Boxes in pixels of the picture, the surest first. Raises RunError where the outputs are not as the family
        has them."""
        found = self.family.decode(outputs, (self.port.height, self.port.width), threshold)
        inside = finite(placement.back(finite(found)).clipped(picture.shape[1], picture.shape[0]))
        return suppress(inside, 1.0 if self.family.suppressed and not agnostic else nms, agnostic)


def open_detector(
    model: str | Path,
    weights: str | Path | None = None,
    family: str = "",
    size: tuple[int, int] | None = None,
    fit: str = "",
) -> Detector:
    """The detector of a Darknet `.cfg`, or of an ONNX model of one of `FAMILIES`. Raises LoadError or ConfigError.

    `size` is height and width, for a network that takes any; `fit` is another of `preprocess.FITS`. A picture is
    stretched for a `.cfg` without `letter_box=1`, as Bochkovskiy's Darknet and OpenCV do; Redmon's own always
    letterboxes.
    """
    if frontend.format_of(model).has_weights:
        found = _of_darknet(darknet.read_network(model, size), weights)
    elif family in FAMILIES:
        graph, port = for_pictures(frontend.load(model, keep=False, weights=weights), size)
        found = Detector(graph, port, FAMILIES[family])
    else:
        problem = f"expected the family of {Path(model).name}, one of {', '.join(FAMILIES)}, got {family or 'none'!r}"
        raise ConfigError(
            f"detect({str(model)!r})", problem, hint="--family yolov8, for example; a Darknet .cfg needs none"
        )
    return replace(found, family=found.family._replace(fit=fit)) if fit else found


def _of_darknet(network: darknet.Network, weights: str | Path | None) -> Detector:
    heads = network.heads
    if not heads or network.picture[0] != 3:
        problem = f"expected [yolo] or [region] and three channels, got {len(heads)} of these and {network.picture[0]}"
        hint = "minicc classify takes networks that name a whole picture"
        raise ConfigError(
            f"detect({network.file!r})", problem, where=f"{network.file}:{network.net.line} [net]", hint=hint
        )
    graph, port = for_pictures(network.graph(weights, keep=False))
    family = Family(
        lambda outputs, size, threshold: of_heads(outputs, heads, size, threshold),
        "letterbox" if network.letterbox else "stretch",
    )
    return Detector(graph, port, family, fill=127.5)
