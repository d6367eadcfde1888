"""The networks of benchmarks/ are what their papers and configurations say: parameters, shapes, and a file that minicc runs as PyTorch does."""

from __future__ import annotations

import numpy as np
import pytest

import minicc
from benchmarks.exported import MODELS, arguments, darknet, export, mobilenet_v3_small, module, sections, vgg16

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.torch


def test_sections_keep_their_order_and_drop_comments():
    assert sections("[net]\n# no\nwidth = 3 # wide\n[yolo]\n") == [("net", {"width": "3"}), ("yolo", {})]


@pytest.mark.parametrize(("make", "millions"), [(vgg16, 138.36), (mobilenet_v3_small, 2.54)])
def test_a_network_has_as_many_parameters_as_its_paper_says(make, millions):
    with torch.device("meta"):
        assert sum(p.numel() for p in make().parameters()) / 1e6 == pytest.approx(millions, abs=0.01)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("yolov3", 248_007_048),
        ("yolov3-tiny", 35_434_956),
        ("yolov4-tiny", 24_251_276),
        ("yolo-fastest-1.1", 1_384_268),
    ],
)
def test_a_network_of_darknet_has_all_numbers_of_its_published_weights(name, size):
    """Such a file is a head of 20 bytes, then float32: weights, biases or what BatchNorm has."""
    with torch.device("meta"):
        made = darknet(name)
    statistics = [value for key, value in made.named_buffers() if "running" in key]
    assert sum(value.numel() for value in (*made.parameters(), *statistics)) * 4 + 20 == size


@pytest.mark.parametrize("name", ["yolo-fastest", "mobilenet_v3_small"])
def test_a_file_says_what_the_module_computes(name, tmp_path):
    path = export(name, tmp_path)
    inputs = MODELS[name].inputs(seed=3)
    with torch.no_grad():
        found = module(name)(*arguments(name, inputs))
    expected = [y.numpy() for y in (found if isinstance(found, tuple) else (found,))]
    for got, y in zip(minicc.compile(path).run(inputs).values(), expected, strict=True):
        np.testing.assert_allclose(got, y, atol=1e-3 * np.abs(y).max(), rtol=1e-3)
