"""Latency of whole models beside onnxruntime, OpenVINO, PyTorch, torch.compile and the old TVM, in turns, equal threads, medians.

    python -m benchmarks                                 every model as exporters write it, 1 and 2 threads
    python -m benchmarks resnet50 --batch 1,4,16 --threads 1 --kernels
    python -m benchmarks resnet50 resnet50.qdq           quantised to int8 by onnxruntime's tool (`benchmarks.quantized`)
    python -m benchmarks --vs onnxruntime,openvino,torch,torch.compile,relay -o build/bench
    python -m benchmarks --smoke                         a few kernels beside NumPy's BLAS, and one small model: does it still work?

Models are files that `benchmarks.exported` writes, once, to `build/models`: that needs PyTorch and transformers. Weights are random. Every
answer is compared with the first peer's before it is timed. `ratio` is the fastest other's time by ours: above 1 we are ahead. With -o a
page with charts and the figures as JSON are written to a folder, and are whole after each model, so that Ctrl-C loses nothing.
Below the table stand the kernels that reach less than LOW of their roofline and take more than MUCH of their model's time (`--kernels`).
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from benchmarks.exported import MODELS, export
from benchmarks.models import MODELS as BUILT
from benchmarks.quantized import APART, is_quantized, quantized
from benchmarks.smoke import blas
from minicc.cli.bench import kernels_of, show
from minicc.cli.options import messages
from minicc.explain.draw_bench import report
from minicc.runtime.profile import Profile
from minicc.testing.bench import BenchResult, check_peers, measure
from minicc.testing.peers import BenchJob

ROOT = Path(__file__).parent.parent
LOW, MUCH = 0.25, 0.01  # shares of the roofline, and of the model's time


def job_of(name: str, batch: int, threads: int, folder: Path, peers: Sequence[str] = ()) -> BenchJob:
    """The files of a model, made if they are not there."""
    if is_quantized(name):
        path = quantized(name, folder, batch)
        return BenchJob(str(path), threads, inputs=str(path.with_suffix(".npz")), apart=APART)
    path = export(name, folder, batch, program=any(p in peers for p in ("torch", "torch.compile")))
    return BenchJob(str(path), threads, str(path.with_suffix(".pt2")), str(path.with_suffix(".npz")))


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def measured(name: str, job: BenchJob, batch: int, peers: Sequence[str], runs: int) -> BenchResult:
    """One row, with what is done now on the terminal."""
    with messages.status(name) as status:
        return measure(
            job,
            peers,
            runs=runs,
            batch=batch,
            name=name,
            report=lambda text, done, total: status.update(f"{name}: {text}, {done} of {total}"),
        )


def low(name: str, found: Profile) -> list[str]:
    """A line for each kernel that is slow, and tells in its model's time."""
    return [f"{name}: {k.name} reaches {k.share:.0%} of its roofline, and takes {k.seconds / found.total:.1%} of the time"
            for k in found.rows if k.share < LOW and k.seconds > MUCH * found.total]  # fmt: skip


def save(folder: Path, results: Sequence[BenchResult], kernels: dict[str, Profile]) -> None:
    for name in ("bench.html", "bench.json"):
        report(results, kernels).save(folder / name)


def smoke() -> None:
    """A few products beside NumPy's BLAS, and a small network beside onnxruntime; only ratios, and no timing fails it."""
    blas()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bert_layer.onnx"
        onnx.save(BUILT["bert_layer"](length=16, width=48), path)
        peers = ["onnxruntime"] if importlib.util.find_spec("onnxruntime") else []
        show([measured("bert_layer", BenchJob(str(path)), 1, peers, 3)])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="model", help=f"default: all of {', '.join(MODELS)}")
    parser.add_argument("--vs", default="onnxruntime,openvino", help="peers, with commas between")
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--batch", type=numbers, default=[1])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--kernels", action="store_true", help="profile each kernel of ours")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "models", help="where the model files are")
    parser.add_argument("-o", "--output", type=Path, help="a folder for the page and the figures")
    parser.add_argument("--smoke", action="store_true", help="few kernels, few runs")
    options = parser.parse_args()
    if options.smoke:
        smoke()
        return
    if unknown := [name for name in options.models if name not in MODELS and not is_quantized(name)]:
        parser.error(f"no such model: {', '.join(unknown)}")
    peers = options.vs.split(",")
    check_peers(peers)
    results: list[BenchResult] = []
    kernels: dict[str, Profile] = {}
    for name in options.models or MODELS:
        for batch in options.batch:
            for threads in options.threads:
                job = job_of(name, batch, threads, options.folder, peers)
                results.append(measured(name, job, batch, peers, options.runs))
                show(results[-1:])
                if options.kernels and batch == 1:
                    kernels[f"{name}, {threads} threads"] = kernels_of(job)
                if options.output:
                    options.output.mkdir(parents=True, exist_ok=True)
                    save(options.output, results, kernels)
    if len(results) > 1:
        print()
        show(results)
        ratios = [r.ratio for r in results if r.ratio == r.ratio]
        print(f"geometric mean of the ratios: {float(np.exp(np.mean(np.log(ratios)))):.2f}" if ratios else "no ratios")
    for line in [text for name, found in kernels.items() for text in low(name, found)]:
        print(line)


if __name__ == "__main__":
    main()
