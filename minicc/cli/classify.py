"""`minicc classify`: what a picture shows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from minicc.cli.options import TargetOption, ThreadsOption, compile_model, table_text
from minicc.cli.pictures import JsonOption, RepeatOption, SizeOption, read_size, timed, times
from minicc.frontend import load
from minicc.vision import read_labels, read_picture
from minicc.vision.classify import likeliest, network_input
from minicc.vision.detect import for_pictures
from minicc.vision.preprocess import PRESETS, preset


def classify_command(
    model: Annotated[
        Path, typer.Argument(help="A model that takes one picture: ONNX, or a Darknet .cfg.", show_default=False)
    ],
    path: Annotated[Path, typer.Argument(metavar="PICTURE", help="A picture.", show_default=False)],
    preprocess: Annotated[
        str, typer.Option("--preprocess", help=f"How the model takes pictures: {', '.join(PRESETS)}.")
    ] = "imagenet",
    labels: Annotated[
        Path | None, typer.Option("--labels", help="A file with the name of each class, a line each.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="So many of the likeliest classes.")] = 5,
    weights: Annotated[Path | None, typer.Option("--weights", help="The .weights of a .cfg, if not beside it.")] = None,
    size: SizeOption = None,
    repeat: RepeatOption = 1,
    target: TargetOption = "native",
    threads: ThreadsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name what a picture shows: the likeliest classes with their probabilities.

    Inputs with channels first or last are told apart by their shape; a softmax is computed where the model gives none.

    Examples:

        minicc classify efficientnet.onnx cat.jpg --preprocess imagenet --labels imagenet.txt --top 5
        minicc classify darknet19.cfg cat.jpg --preprocess darknet --labels imagenet.shortnames.list
    """
    how, names = preset(preprocess), read_labels(labels) if labels is not None else []
    started = time.perf_counter()
    picture = read_picture(path)
    read = time.perf_counter() - started
    graph, port = for_pictures(load(model, keep=False, weights=weights), read_size(size), usual=224)
    made = compile_model(graph, target=target, threads=threads)
    started = time.perf_counter()
    array = network_input(picture, port, how)
    taken = {"read": read, "prepare": time.perf_counter() - started}
    outputs, taken["network"] = timed(made, {port.name: array}, repeat)
    found = likeliest(outputs, names, top)
    if as_json:
        rows = [{"class": name, "number": k, "probability": p} for name, k, p in found]
        print(json.dumps({"classes": rows, "seconds": taken}, indent=1))
        return
    print(table_text([[f"{p:.4f}", k, name] for name, k, p in found], ["probability", "number", "class"]))
    print(times(taken, made))
