"""magika's network says in minicc what it says in onnxruntime, and what the package answers."""

import json
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

import minicc
from minicc.graph.bind import bind
from minicc.testing.oracle import reference

pytestmark = pytest.mark.jobs
magika = pytest.importorskip("magika")
onnxruntime = pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parent.parent.parent
MODEL = Path(distribution("magika").locate_file("magika/models/standard_v3_3"))
FILES = [ROOT / "minicc/compile.py", ROOT / "README.md", ROOT / "pyproject.toml", ROOT / "tutorials/rooms.svg",
         ROOT / "minicc/cli/digits/digits.onnx", ROOT / "minicc/cli/digits/heldout.npz", MODEL / "metadata.json"]  # fmt: skip


def features(content):
    begin, end = content[:4096].lstrip()[:1024], content[-4096:].rstrip()[-1024:]
    return [*begin, *[256] * (1024 - len(begin)), *[256] * (1024 - len(end)), *end]


@pytest.mark.parametrize("count", [1, len(FILES)])
def test_kinds_of_files(count):
    x = np.array([features(file.read_bytes()) for file in FILES[:count]], np.int32)
    graph = minicc.load(MODEL / "model.onnx")
    (ours,) = minicc.compile(graph, dims="any")(x)
    session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])
    (theirs,), ((true,), _) = session.run(None, {"bytes": x}), reference(bind(graph, {"unk__214": count}), {"bytes": x})
    # its norms divide by small deviations, so both may be 5e-4 off
    assert np.abs(ours - true).max() <= max(2 * np.abs(theirs - true).max(), 1e-5) and np.abs(ours - true).max() < 1e-3
    labels = json.loads((MODEL / "config.min.json").read_text())["target_labels_space"]
    answers = [magika.Magika().identify_path(file) for file in FILES[:count]]
    assert [labels[row.argmax()] for row in ours] == [answer.dl.label for answer in answers]
    np.testing.assert_allclose(ours.max(axis=1), [answer.score for answer in answers], atol=1e-3)
