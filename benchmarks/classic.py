"""The classic table: ResNet-50 and ConvNeXt-Tiny, batch 1, 4 and 16, by torch, torch.compile, TVM and minicc: seconds to compile, milliseconds to infer.

    python -m benchmarks.classic                  one thread; prints the table in Markdown
    python -m benchmarks.classic --threads 2 -o build/classic

TVM is the old one, through Relay, untuned; its row is absent where its environment is (`make relay`). With -o the table (classic.md), the
figures (classic.json) and a picture for each model and batch are written to a folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.__main__ import ROOT, job_of, measured
from minicc.explain.draw_bench import draw
from minicc.runtime.files import write_file
from minicc.testing.bench import BenchResult

NETWORKS = {"resnet50": "microsoft/resnet-50", "convnext_tiny": "facebook/convnext-tiny-224"}
BATCHES = (1, 4, 16)
ITEMS = {"torch": "torch", "torch.compile": "torch_compile", "relay": "tvm", "minicc": "minicc"}


def lines(results: Sequence[BenchResult]) -> Iterator[str]:
    """The table, in Markdown."""
    yield "|    | model_name | test_item | batch_size | compile_time_s | infer_time_mean_ms |"
    yield "|---:|:-----------|:----------|-----------:|---------------:|-------------------:|"
    rows = [(r, item, found) for r in results for peer, item in ITEMS.items() if (found := r.of(peer))]
    for n, (r, item, found) in enumerate(rows):
        mean = sum(found.seconds) / len(found.seconds) * 1e3
        build = "/" if item == "torch" else f"{found.build:.3f}"
        yield f"| {n} | {NETWORKS[r.model]} | {item} | {r.batch} | {build} | {mean:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.classic", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--models", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--batch", type=int, nargs="*", default=list(BATCHES))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "models", help="where the model files are")
    parser.add_argument("-o", "--output", type=Path, help="a folder for table, figures and pictures")
    options = parser.parse_args()
    results: list[BenchResult] = []
    peers = [peer for peer in ITEMS if peer != "minicc"]
    for name in options.models:
        for batch in options.batch:
            job = job_of(name, batch, options.threads, options.folder, peers)
            results.append(measured(name, job, batch, peers, options.runs))
            if options.output:
                options.output.mkdir(parents=True, exist_ok=True)
                draw(results[-1]).save(options.output / f"{name}-{batch}.svg")
                write_file(options.output / "classic.md", "\n".join(lines(results)).encode())
                write_file(
                    options.output / "classic.json", json.dumps([r.record() for r in results], indent=1).encode()
                )
    print("\n".join(lines(results)))
    for problem in [
        f"no {t.peer} of {r.model}, batch {r.batch}: {t.problem}" for r in results for t in r.timings if t.problem
    ]:
        print(problem)


if __name__ == "__main__":
    main()
