"""EfficientNet-Lite0 with its trained weights says what PyTorch says, and names two pictures with the known probabilities."""

import re

import numpy as np
import pytest

from job_pages import ran

pytestmark = pytest.mark.jobs
torch = pytest.importorskip("torch")
KNOWN = {"chelsea": {282: 0.386, 285: 0.356, 281: 0.169}, "coffee": {967: 0.951}}


@pytest.mark.parametrize("name", KNOWN)
def test_minicc_classify_gives_the_known_probabilities(name):
    (printed,) = (text for example, text in ran("picture")[0] if f"minicc classify lite0.onnx {name}" in example.source)
    found = {int(number): float(p) for p, number in re.findall(r"^ *(0\.\d+) +(\d+) ", printed, re.M)}
    for number, probability in KNOWN[name].items():
        assert abs(found[number] - probability) < 0.001


def test_scores_are_those_of_pytorch():
    _, names, _ = ran("picture")
    x = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
    with torch.no_grad():
        expected = names["network"](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(names["exe"](x)[0], expected, rtol=1e-3, atol=1e-4)
