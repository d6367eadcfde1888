"""The harness that compares latencies: turns, ratios, wrong answers, peers that fail."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from minicc.errors import ConfigError
from minicc.testing.bench import BenchResult, BenchTiming, measure, rows
from minicc.testing.peers import BenchJob, samples


@pytest.fixture
def doubling(tmp_path):
    """A model y = x + x of 8 numbers, as a file."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [8]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    path = tmp_path / "double.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def a_result(ours=0.001, **others):
    timings = [
        BenchTiming("minicc", seconds=[ours] * 3),
        *(BenchTiming(peer, 0.5, [t] * 3) for peer, t in others.items()),
    ]
    return BenchResult("net", 1, 1, timings)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_peer_is_timed_as_often_as_asked_and_agrees(doubling, threads):
    result = measure(BenchJob(str(doubling), threads), ["onnxruntime"], runs=4)
    assert [t.peer for t in result.timings] == ["minicc", "onnxruntime"]
    assert all(not t.problem and len(t.seconds) >= 3 and t.build > 0 and t.apart == 0 for t in result.timings)
    assert result.ratio == pytest.approx(result.timings[1].median / result.timings[0].median)


def test_a_peer_that_cannot_be_built_costs_the_others_nothing(doubling):
    result = measure(BenchJob(str(doubling), 1, program="/nowhere.pt2"), ["torch", "onnxruntime"], runs=2)
    ours, torch, other = result.timings
    assert torch.problem and not torch.seconds and ours.seconds and other.seconds and result.fastest is other


def test_a_wrong_answer_is_told_and_not_timed(doubling):
    result = measure(BenchJob(str(doubling), apart=-1.0), ["onnxruntime"], runs=2)
    assert all(t.problem.startswith("wrong") and not t.seconds for t in result.timings)


def test_the_ratio_is_that_of_the_fastest_other():
    result = a_result(0.002, onnxruntime=0.003, openvino=0.001)
    assert result.ratio == pytest.approx(0.5) and result.fastest.peer == "openvino"
    assert np.isnan(a_result().ratio)
    assert next(rows([result]))[-1] == "0.50"


def test_inputs_are_fresh_and_begin_at_a_cache_line(doubling):
    found = [s["x"] for s in samples(BenchJob(str(doubling)))]
    assert all(a.ctypes.data % 64 == 0 for a in found) and not np.array_equal(found[0], found[1])


def test_integers_of_a_file_are_kept_and_floats_drawn_anew(doubling, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros(8, np.float32))
    assert samples(BenchJob(str(doubling), inputs=str(tmp_path / "x.npz")))[0]["x"].any()


def test_unknown_peers_are_refused():
    with pytest.raises(ConfigError, match="onnxruntime"):
        measure(BenchJob("model.onnx"), ["onxruntime"])
