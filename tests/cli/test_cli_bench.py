"""`minicc bench`: its table, its page, its figures as JSON, and what it refuses."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("onnxruntime")


def test_bench_prints_a_ratio_and_writes_a_page(minicc, network, tmp_path):
    out = minicc.good(
        "bench", network, "--dim", "batch=2", "--vs", "onnxruntime", "--runs", "3", "-o", tmp_path / "b.html"
    )
    assert "onnxruntime" in out and "ratio" in out and "<svg" in (tmp_path / "b.html").read_text()


def test_bench_writes_figures(minicc, network, tmp_path):
    minicc.good("bench", network, "--dim", "batch=2", "--vs", "onnxruntime", "--runs", "3", "-o", tmp_path / "b.json")
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["threads"] == 1 and len(found["timings"][1]["seconds"]) == 3 and found["ratio"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--vs", "onxruntime"), ("expected names of peers, got 'onxruntime'", "did you mean 'onnxruntime'?")),
        (("--vs", "torch"), ("--torch-program", "torch.export.save")),
        (("-o", "page.txt"), (".html, .png, .pdf, .svg, .json", "page.html")),
        (("--dim", "other=2"), ("other",)),
    ],
)
def test_bench_refuses(minicc, network, arguments, words):
    if arguments == ("--vs", "torch"):
        pytest.importorskip("torch")
    outcome = minicc("bench", network, *(() if "--dim" in arguments else ("--dim", "batch=2")), *arguments)
    assert outcome.code == 2 and all(word in outcome.err for word in words), outcome.err
