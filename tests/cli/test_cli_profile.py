"""`minicc profile`: its table and its reports, of models and packages, and what it refuses."""

import json

import numpy as np
import pytest

from minicc.runtime import roofline


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    """Limits that are measured in no time."""
    for name, value in (("STEPS", 1000), ("READ", 1 << 16), ("MEMORY", 1 << 18), ("MOST", 1 << 16)):
        monkeypatch.setattr(roofline, name, value)
    roofline._made.cache_clear()
    yield
    roofline._made.cache_clear()


def test_a_model_is_profiled_and_its_package_too(minicc, network, tmp_path):
    page, figures, package, given = (tmp_path / name for name in ("p.html", "p.json", "p.tar", "x.npz"))
    out = minicc.good("profile", network, "--dim", "batch=2", "--threads", 1, "-o", page)
    assert out.splitlines()[0].split()[:4] == ["kernel", "calls", "us", "share"] and f"wrote {page}" in out
    text = page.read_text()
    assert "<h1>Where the time of small.onnx goes</h1>" in text and "Roofline" in text and "script-src 'none'" in text
    minicc.good("compile", network, "--dim", "batch=2", "-o", package)
    np.savez(given, x=np.zeros((2, 6), np.float32))
    minicc.good("profile", package, "--inputs", given, "-o", figures)
    found = json.loads(figures.read_text())
    assert (
        found["model"] == "p.tar" and "softmax" in [c["label"] for c in found["calls"]] and found["limits"]["peak"] > 0
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "page.txt"), (".html, .png, .pdf, .svg, .json", "page.html")),
        (("-o", "page.png"), ("expected a Chromium", "MINICC_BROWSER")),
        (("--device", "cuda"), ("minicc profile", "expected a package")),
    ],
)
def test_profile_refuses_before_it_works(minicc, network, monkeypatch, arguments, words):
    monkeypatch.setenv("MINICC_BROWSER", "/none")
    outcome = minicc("profile", network, "--dim", "batch=2", *arguments)
    assert outcome.code == 2 and all(word in outcome.err for word in words), outcome.err
