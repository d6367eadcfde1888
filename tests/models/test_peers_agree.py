"""Whole networks: our NumPy reference, our machine code, TVM and onnxruntime give the same answer."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import minicc
from benchmarks.models import Builder, mobilenet_v2, resnet50, sample_inputs
from minicc.graph import bind, evaluate
from minicc.testing.compare import PEERS, Subject

pytest.importorskip("onnxruntime")

LENGTH, WIDTH, HEADS = 128, 768, 12


def bert_layer(glue: bool = False) -> onnx.ModelProto:
    """One layer of BERT-base with its mask, on hidden states."""
    m = Builder("bert_layer", glue)
    x, mask = m.input("x", (1, LENGTH, WIDTH)), m.input("attention_mask", (1, LENGTH), TensorProto.INT64)
    wide = m.emit("Cast", m.emit("Unsqueeze", mask, m.const([1, 2])), to=TensorProto.FLOAT)
    penalty = m.emit("Mul", m.emit("Sub", m.const(1.0, "float32"), wide), m.const(-10000.0, "float32"))
    x = m.layer_norm(m.emit("Add", x, m.attention(x, LENGTH, WIDTH, HEADS, penalty)), WIDTH, 1e-12)
    hidden = m.gelu(m.linear(x, WIDTH, 4 * WIDTH, gain=2.0))
    return m.finish(m.layer_norm(m.emit("Add", x, m.linear(hidden, 4 * WIDTH, WIDTH)), WIDTH, 1e-12))


@pytest.mark.slow
@pytest.mark.parametrize("build, glue", [(resnet50, False), (mobilenet_v2, False), (bert_layer, False), (mobilenet_v2, True),
                                         (bert_layer, True)])  # fmt: skip
def test_four_agree(build, glue):
    model = build(glue)
    inputs = sample_inputs(model)
    graph = bind(minicc.load(model))
    subject = Subject(graph, inputs, model)
    answers = {"numpy": evaluate(graph, inputs), "llvm": minicc.compile(graph).run(inputs),
               **{peer: PEERS[peer].outputs(subject) for peer in ("relax", "onnxruntime")}}  # fmt: skip
    for (left, a), (right, b) in itertools.combinations(answers.items(), 2):
        for name in graph.output_names:
            assert np.std(b[name]) > 1e-3, "the weights are degenerate"
            np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(b[name]).max())),
                                       err_msg=f"{name}: {left} and {right}")  # fmt: skip
