"""Whole networks: our NumPy reference, our machine code, Relay, Relax and onnxruntime give the same answer."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest

import minicc
from benchmarks.judges import FIVE
from benchmarks.models import MODELS, sample_inputs
from minicc.graph import bind, evaluate
from minicc.testing.compare import PEERS, Subject

pytest.importorskip("onnxruntime")
NETWORKS = (*((name, False) for name in FIVE), ("mobilenet_v2", True), ("bert_layer", True))


@functools.cache
def ours(name, glue):
    """A network with its inputs, and what NumPy and our machine code make of it."""
    model = MODELS[name](glue)
    inputs = sample_inputs(model)
    graph = bind(minicc.load(model))
    return Subject(graph, inputs, model), {"numpy": evaluate(graph, inputs), "llvm": minicc.compile(model).run(inputs)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "peers", [["relax", "onnxruntime"], pytest.param(["relay"], marks=pytest.mark.relay)], ids="-".join
)
@pytest.mark.parametrize("name, glue", NETWORKS)
def test_all_agree(name, glue, peers):
    subject, answers = ours(name, glue)
    answers = answers | {peer: PEERS[peer].outputs(subject) for peer in peers}
    for (left, a), (right, b) in itertools.combinations(answers.items(), 2):
        for output in subject.graph.output_names:
            assert np.std(b[output]) > 1e-3, "the weights are degenerate"
            np.testing.assert_allclose(a[output], b[output], rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(b[output]).max())),
                                       err_msg=f"{output}: {left} and {right}")  # fmt: skip
