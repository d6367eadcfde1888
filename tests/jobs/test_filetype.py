"""magika's network says in minicc what it says in onnxruntime, and what the package answers."""

import json
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

import minicc
from job_pages import names_of

pytestmark = pytest.mark.jobs
magika = pytest.importorskip("magika")
onnxruntime = pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parent.parent.parent
MODEL = Path(distribution("magika").locate_file("magika/models/standard_v3_3"))
FILES = [MODEL.parent.parent / "magika.py", MODEL / "README.md", MODEL / "config.min.json", MODEL / "metadata.json",
         ROOT / "minicc/cli/digits/digits.onnx", ROOT / "minicc/cli/digits/heldout.npz"]  # fmt: skip


@pytest.mark.parametrize("count", [1, len(FILES)])
def test_kinds_of_files(count):
    features = names_of("filetype")["features"]
    x = np.array([features(file.read_bytes()) for file in FILES[:count]], np.int32)
    (ours,) = minicc.compile(MODEL / "model.onnx", dims="any")(x)
    session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])
    # its norms divide by small deviations: onnxruntime's answers for a short file are 4e-4 from those in float64
    np.testing.assert_allclose(ours, session.run(None, {"bytes": x})[0], atol=5e-4)
    labels = json.loads((MODEL / "config.min.json").read_text())["target_labels_space"]
    answers = [magika.Magika().identify_path(file) for file in FILES[:count]]
    assert [labels[row.argmax()] for row in ours] == [answer.dl.label for answer in answers]
    np.testing.assert_allclose(ours.max(axis=1), [answer.score for answer in answers], atol=1e-3)
