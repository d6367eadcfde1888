"""Networks quantised by onnxruntime's own tool: `resnet50.qdq`, `mobilenet_v2.qoperator`, `minilm.dynamic`.

    python -m benchmarks resnet50 resnet50.qdq mobilenet_v2.qdq minilm.dynamic
    python -m benchmarks.quantized build/models resnet50.qdq

In: a model of `benchmarks.exported` and how it is quantised. Out: the path of an ONNX file, made if it is not there. Static
ones (`qdq`: pairs of QuantizeLinear and DequantizeLinear; `qoperator`: QLinearConv and its kind) have activations in uint8,
weights in int8 with a scale for each output channel, and ranges from SAMPLES random inputs; `dynamic` ones find the ranges
of activations in each call.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.exported import MODELS, export

SAMPLES = 4
KINDS = ("qdq", "qoperator", "dynamic")
APART = 2e-2  # of the greatest magnitude, five steps of 255: two runtimes round ties of a sum each to its own side


def is_quantized(name: str) -> bool:
    """Whether a name is a model's and a kind's."""
    model, _, kind = name.rpartition(".")
    return model in MODELS and kind in KINDS


def quantized(name: str, folder: Path, batch: int = 1) -> Path:
    """The file of a quantised model, and an .npz of inputs beside it."""
    model, _, kind = name.rpartition(".")
    path, source = folder / f"{name}-{batch}.onnx", export(model, folder, batch)
    if path.exists():
        return path
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / path.name
        _quantize(model, kind, source, made, batch)
        shutil.copy(source.with_suffix(".npz"), path.with_suffix(".npz"))
        made.rename(path)
    return path


def _quantize(model: str, kind: str, source: Path, made: Path, batch: int) -> None:
    from onnxruntime import quantization as tool
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().setLevel(logging.ERROR)  # it advises to do what is done here
    prepared = made.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    if kind == "dynamic":
        tool.quantize_dynamic(str(prepared), str(made), weight_type=tool.QuantType.QInt8)
        return

    class Reader(tool.CalibrationDataReader):  # type: ignore[misc]  # of a package without types
        def __init__(self) -> None:
            self.samples = iter([MODELS[model].inputs(batch, seed) for seed in range(SAMPLES)])

        def get_next(self) -> Any:
            return next(self.samples, None)

    form = {"qdq": tool.QuantFormat.QDQ, "qoperator": tool.QuantFormat.QOperator}[kind]
    tool.quantize_static(str(prepared), str(made), Reader(), quant_format=form, per_channel=True,
                         activation_type=tool.QuantType.QUInt8, weight_type=tool.QuantType.QInt8)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quantized", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="+", metavar="model.kind")
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    for name in options.models:
        if not is_quantized(name):
            parser.error(f"no such model: {name}; a name of benchmarks.exported, and one of {', '.join(KINDS)}")
        print(quantized(name, options.folder, options.batch), flush=True)


if __name__ == "__main__":
    main()
