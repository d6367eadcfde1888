"""`minicc detect`: the things in a picture."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from minicc.cli.options import TargetOption, ThreadsOption, compile_model, table_text
from minicc.cli.pictures import JsonOption, RepeatOption, SizeOption, read_size, timed, times
from minicc.errors import ConfigError, nearest, printable
from minicc.runtime.files import check_folder
from minicc.vision import Annotation, Boxes, draw, read_labels, read_picture, write_picture
from minicc.vision.decode import FAMILIES
from minicc.vision.detect import open_detector
from minicc.vision.labels import name_of
from minicc.vision.picture import check_picture_name
from minicc.vision.preprocess import FITS


def detect_command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL [WEIGHTS] PICTURE",
            help="A Darknet .cfg (and its .weights, if not beside it), or a model of --family; then the picture.",
            show_default=False,
        ),
    ],
    names: Annotated[
        Path | None, typer.Option("--names", help="A file with the name of each class, such as coco.names.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the picture with the boxes: .jpg, .png ...")
    ] = None,
    threshold: Annotated[float, typer.Option("--threshold", min=0.0, max=1.0, help="The least confidence.")] = 0.25,
    nms: Annotated[
        float, typer.Option("--nms", min=0.0, max=1.0, help="Of boxes that overlap more, the surest stays.")
    ] = 0.45,
    agnostic: Annotated[
        bool, typer.Option("--agnostic", help="Boxes of other classes overlap, too: one name for a thing.")
    ] = False,
    family: Annotated[str, typer.Option("--family", help=f"Of an ONNX model: {', '.join(FAMILIES)}.")] = "",
    fit: Annotated[
        str,
        typer.Option(
            "--fit", help=f"How the picture becomes the network's: {', '.join(FITS)}. Default: as the model's own code."
        ),
    ] = "",
    size: SizeOption = None,
    repeat: RepeatOption = 1,
    target: TargetOption = "native",
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find things in a picture: print a table of boxes, and draw them.

    Boxes are in pixels of the picture. ONNX models are those of the YOLO family, as their exporters write them.

    Examples:

        minicc detect yolov3.cfg yolov3.weights dog.jpg --names coco.names -o out.jpg
        minicc detect yolov8n.onnx dog.jpg --family yolov8 --size 640 --json
    """
    check_choice("--family", family, FAMILIES)
    check_choice("--fit", fit, FITS)
    check_picture_output(output)
    model, weights, path = _files(files)
    labels = read_labels(names) if names is not None else []
    started = time.perf_counter()
    picture = read_picture(path)
    read = time.perf_counter() - started
    detector = open_detector(model, weights, family, read_size(size), fit)
    made = compile_model(detector.graph, target=target, threads=threads)
    started = time.perf_counter()
    array, placement = detector.prepare(picture)
    taken = {"read": read, "prepare": time.perf_counter() - started}
    outputs, taken["network"] = timed(made, {detector.port.name: array}, repeat)
    started = time.perf_counter()
    found = detector.boxes(outputs, placement, picture, threshold, nms, agnostic)
    taken["decode"] = time.perf_counter() - started
    if output is not None:
        write_picture(output, draw(picture, marks(found, labels)))
    head = ["class", "confidence", "left", "top", "right", "bottom"]
    columns = zip(found.classes.tolist(), found.scores.tolist(), found.corners.tolist(), strict=True)
    rows = [(name_of(labels, kind), score, *corners) for kind, score, corners in columns]
    if as_json:
        things = [dict(zip(head, row, strict=True)) for row in rows]
        print(json.dumps({"boxes": things, "picture": picture.shape[1::-1], "seconds": taken}, indent=1))
        return
    if rows:
        print(
            table_text([[name, f"{score:.3f}", *(f"{v:.1f}" for v in corners)] for name, score, *corners in rows], head)
        )
    else:
        print(f"nothing is surer than {threshold:g}; --threshold {threshold / 2:g} shows more")
    (height, width), port = picture.shape[:2], detector.port
    print(f"{len(rows)} boxes in {width} x {height} pixels; the network's picture is {port.width} x {port.height}")
    print(times(taken, made))
    if output is not None:
        print(f"wrote {printable(output)}")


def marks(found: Boxes, labels: list[str]) -> list[Annotation]:
    """Boxes as they are drawn: the least sure first, the surest above them."""
    rows = list(zip(found.corners.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True))
    return [Annotation(f"{name_of(labels, c)} {s:.0%}", tuple(corners), kind=c) for corners, s, c in reversed(rows)]


def check_choice(option: str, word: str, known: Sequence[str] | dict[str, Any]) -> None:
    """Raise ConfigError where a word is given that is not known."""
    if word and word not in known:
        near = nearest(word, known)
        hint = f"did you mean {near}?" if near else f"{option} {next(iter(known))}, for example"
        raise ConfigError(f"{option} {word}", f"expected one of {', '.join(known)}, got {word!r}", hint=hint)


def check_picture_output(output: Path | None) -> None:
    """Raise ConfigError, before any work is done, where no picture can be written there."""
    if output is not None:
        check_picture_name(output)
        check_folder(output)


def _files(files: Sequence[Path]) -> tuple[Path, Path | None, Path]:
    """The model, its weights if they are given, and the picture."""
    if not 2 <= len(files) <= 3:
        problem = f"expected MODEL PICTURE, or MODEL.cfg MODEL.weights PICTURE, got {len(files)} files"
        raise ConfigError(f"detect {' '.join(map(str, files))}", problem, hint="minicc detect yolov3.cfg dog.jpg")
    return files[0], files[1] if len(files) == 3 else None, files[-1]
