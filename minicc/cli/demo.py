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

from minicc.cli.options import check_output, compile_model, print_profile
from minicc.explain.draw_digits import draw_digits
from minicc.explain.save import ENDINGS, save
from minicc.frontend import load
from minicc.graph.bind import bind
from minicc.graph.interpret import evaluate
from minicc.ops.base import Array
from minicc.runtime.executable import Executable
from minicc.runtime.profile import profile

BATCH = 360

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
    check_output("--picture", picture, *ENDINGS)
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
    peak = found.roofline.peak if found.roofline else 0.0
    print(f"roofline    {peak / 1e9:.0f} GFLOP/s on {made.threads} threads, as measured; kernels at batch {BATCH}:")
    print_profile(found)
    save(draw_digits(images, labels, answers, probability.max(1)), picture)
    print(f"picture     {picture}: the wrong and the least certain answers first")
    print(NEXT.format(model=model, kernel=one.kernels[0].symbol))


def _median_ms(made: Executable, images: Array) -> float:
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        made(images)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds) * 1e3
