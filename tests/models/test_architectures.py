"""Whole architectures agree with onnxruntime: as tuned by hand, and with the glue that exporters leave.

Those of test_peers_agree.py are compared with it there.
"""

from __future__ import annotations

import numpy as np
import pytest
from test_peers_agree import NETWORKS

import minicc
from benchmarks.models import MODELS, sample_inputs

onnxruntime = pytest.importorskip("onnxruntime")

QUICK = ("resnet18", True)
CASES = [
    pytest.param(
        name, glue, id=f"{name}{'-glue' if glue else ''}", marks=[] if (name, glue) == QUICK else pytest.mark.slow
    )
    for name in MODELS
    for glue in (False, True)
    if (name, glue) not in NETWORKS
]


def test_all_nine_architectures_are_here():
    assert set(MODELS) == {"resnet18", "resnet50", "mobilenet_v2", "convnext_tiny", "efficientnet_b0", "vit_small", "bert_base",
                           "bert_layer", "yolov3_tiny"}  # fmt: skip


@pytest.mark.parametrize(("name", "glue"), CASES)
def test_architecture(name, glue):
    model = MODELS[name](glue)
    inputs = sample_inputs(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = dict(zip([o.name for o in session.get_outputs()], session.run(None, inputs), strict=True))
    got = minicc.compile(model).run(inputs)
    assert list(got) == list(expected)
    for output, y in expected.items():
        assert np.std(y) > 1e-3, "the weights are degenerate"
        np.testing.assert_allclose(
            got[output], y, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(y).max())), err_msg=output
        )
