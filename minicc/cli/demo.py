"""`minicc demo`: a trained model on real images, from file to picture.

A small convolutional network for scikit-learn's handwritten digits is compiled and classifies
images that its training never saw. The report has accuracy, agreement with the reference, compile
time, latency, and each kernel with its share of the machine's measured roofline.
"""

from __future__ import annotations

import statistics
import time
from importlib import resources
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from minicc.cli.options import compile_model, print_profile, profile
from minicc.frontend import load
from minicc.graph.bind import bind
from minicc.graph.interpret import evaluate
from minicc.ops.base import Array
from minicc.runtime.executable import Executable
from minicc.runtime.files import check_folder, write_file

BATCH = 360
SHOWN = 60  # digits in the picture

NEXT = """what to read next:
  minicc show {model} --dim batch=1 --stage loop --kernel {kernel}
  README.md               a map of the rooms, with one printed example of each stage
  minicc/compile.py       the whole pipeline, as a table of contents"""


def demo_command(
    picture: Annotated[Path, typer.Option(help="Where to write the picture.")] = Path("digits.svg"),
) -> None:
    """Classify held-out handwritten digits with a compiled model, and draw the answers.

    Example:

        minicc demo --picture digits.svg
    """
    check_folder(picture)
    folder = resources.files("minicc.cli") / "digits"
    with resources.as_file(folder) as path:
        model = path / "digits.onnx"
        with np.load(path / "heldout.npz", allow_pickle=False) as held:
            images, labels = (held["images"] / np.float32(16)).astype(np.float32), held["labels"]
        made = compile_model(model, [f"batch={BATCH}"])
        one = compile_model(model, ["batch=1"], threads=1)
        expected = evaluate(bind(load(model), {"batch": BATCH}), {"image": images})["probability"]

    (probability,) = made(images)
    answers, reference = probability.argmax(1), expected.argmax(1)
    print(f"images      {len(images)} handwritten digits, 8x8, none of them seen in training")
    print(
        f"accuracy    {np.mean(answers == labels):.2%} compiled, {np.mean(reference == labels):.2%} reference; "
        f"probabilities differ by at most {np.abs(probability - expected).max():.1e}"
    )
    print(
        f"compile     {one.compile_seconds * 1e3:.0f} ms for batch 1, {made.compile_seconds * 1e3:.0f} ms for batch {BATCH}"
    )
    print(
        f"latency     {_median_ms(one, images[:1]):.3f} ms for one image on one thread, "
        f"{_median_ms(made, images):.2f} ms for {BATCH} images on {made.threads}"
    )
    found = profile(made, [images])
    limit = f"{found.roofline.peak / 1e9:.0f} GFLOP/s on {made.threads} threads, as measured"
    print(f"roofline    {limit}; kernels at batch {BATCH}:")
    print_profile(found)
    write_file(picture, draw(images, labels, answers, probability.max(1)).encode())
    print(f"picture     {picture}: the wrong and the least certain answers first")
    print(NEXT.format(model=model, kernel=one.kernels[0].symbol))


def _median_ms(made: Executable, images: Array) -> float:
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        made(images)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) * 1e3


def draw(images: Array, labels: Array, answers: Array, certainty: Array) -> str:
    """An SVG of digits with their predictions; wrong ones are framed. Images are `[n, 1, 8, 8]` in [0, 1]."""
    order = np.lexsort((certainty, answers == labels))[:SHOWN]
    columns, cell, pixel = 12, 76, 7
    rows = -(-len(order) // columns)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{columns * cell + 16}" height="{rows * (cell + 22) + 16}" '
             'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>']  # fmt: skip
    for place, n in enumerate(order):
        left, top = 16 + place % columns * cell, 16 + place // columns * (cell + 22)
        right = answers[n] == labels[n]
        for (y, x), value in np.ndenumerate(images[n, 0]):
            shade = round(255 * (1 - float(value)))
            parts.append(
                f'<rect x="{left + x * pixel}" y="{top + y * pixel}" width="{pixel}" height="{pixel}" '
                f'fill="rgb({shade},{shade},{shade})"/>'
            )
        colour = "#1a7f37" if right else "#cf222e"
        parts.append(
            f'<rect x="{left - 1}" y="{top - 1}" width="{8 * pixel + 2}" height="{8 * pixel + 2}" fill="none" '
            f'stroke="{colour}" stroke-width="{1 if right else 3}"/>'
        )
        said = f"{answers[n]} ({certainty[n]:.0%})" if right else f"{answers[n]}, not {labels[n]}"
        parts.append(f'<text x="{left}" y="{top + 8 * pixel + 15}" fill="{colour}">{said}</text>')
    return "\n".join([*parts, "</svg>"])
