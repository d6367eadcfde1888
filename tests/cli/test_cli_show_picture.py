"""`minicc show --picture`: a stage as a file to look at."""

import xml.etree.ElementTree as xml

import pytest
from test_cli_stages import model as branching  # noqa: F401


def test_graphs_are_drawn(minicc, network, tmp_path):
    for stage, word in (("graph", "MatMul"), ("fused", "matmul_add_relu")):
        path = tmp_path / f"{stage}.svg"
        outcome = minicc("show", network, "--dim", "batch=3", "--stage", stage, "--picture", path)
        assert (outcome.code, outcome.out) == (0, "") and outcome.err.split() == ["wrote", *str(path).split()]
        assert xml.parse(path).getroot().tag.endswith("svg") and word in path.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "word"),
    [("memory", "bytes"), ("graph", "Relu"), ("te", "relu"), ("naive", "for "), ("loop", "for "), ("trace", "s.")],
)
def test_the_stages_of_a_kernel_are_drawn(minicc, network, tmp_path, stage, word):
    path = tmp_path / "kernel.html"
    minicc.good(
        "show", network, "--dim", "batch=3", "--stage", stage, "--kernel", "packed_matmul_add_relu", "--picture", path
    )
    assert path.read_text().startswith("<!doctype html>") and word in path.read_text()


def test_what_data_decide_is_drawn(minicc, branching, tmp_path):  # noqa: F811
    path = tmp_path / "graph.html"
    minicc.good("show", branching, "--stage", "graph", "--picture", path)
    assert "Conditional" in path.read_text() and "otherwise" in path.read_text()
    minicc.good("show", branching, "--stage", "fused", "--picture", path)
    assert "<svg " in path.read_text()


def test_what_has_no_picture_is_refused(minicc, network, tmp_path):
    def refused(*options, picture="p.svg"):
        outcome = minicc("show", network, "--dim", "batch=3", *options, "--picture", tmp_path / picture)
        assert outcome.code == 2 and "hint: " in outcome.err and not list(tmp_path.glob("p.*"))
        return outcome.err

    assert "expected a stage that has a picture, got 'llvm'" in refused("--stage", "llvm")
    assert "kernels: packed_matmul_add_relu, softmax" in refused("--stage", "loop")
    assert "expected a name that ends in" in refused(picture="p.jpeg")
    assert "expected no --print-ir-after" in refused("--print-ir-after", "fuse")
