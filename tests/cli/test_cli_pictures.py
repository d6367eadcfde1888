"""`minicc detect` and `minicc classify` on networks whose answer is known, and what they say of wrong words."""

import json
import struct

import numpy as np
import pytest
from cli_cases import model, saved
from onnx import TensorProto, helper

pytest.importorskip("PIL")

from minicc.vision import read_picture, write_picture

FLOAT = TensorProto.FLOAT
CFG = (
    "[net]\nwidth=32\nheight=32\nchannels=3\n[avgpool]\n"
    "[convolutional]\nfilters=7\nactivation=linear\n[yolo]\nmask=1\nnum=2\nanchors=1,1,16,8\nclasses=2\n"
)
FOUND = {"class": "dog", "left": 16.0, "top": 18.0, "right": 48.0, "bottom": 30.0}  # of 64 x 48 pixels


@pytest.fixture
def picture(tmp_path):
    """A red picture."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[..., 0] = 250
    write_picture(tmp_path / "red.png", pixels)
    return tmp_path / "red.png"


@pytest.fixture
def network(tmp_path):
    """A detector that sees a dog in the middle of every picture, of half its width and a quarter of its height."""
    (tmp_path / "net.cfg").write_text(CFG)
    biases = np.float32([0, 0, 0, 0, 6, -6, 6])
    content = struct.pack("<iiiq", 0, 2, 5, 0) + biases.tobytes() + bytes(4 * 21)
    (tmp_path / "net.weights").write_bytes(content)
    (tmp_path / "a.names").write_text("cat\ndog\n")
    return tmp_path / "net.cfg"


def test_detect_prints_and_draws(minicc, network, picture, tmp_path):
    names = ("--names", tmp_path / "a.names")
    out = minicc.good("detect", network, picture, *names, "-o", tmp_path / "out.png", "--threads", 1)
    assert out.splitlines()[1].split() == ["dog", "0.995", "16.0", "18.0", "48.0", "30.0"]
    assert "1 boxes in 64 x 48 pixels; the network's picture is 32 x 32" in out and "wrote" in out
    drawn, plain = read_picture(tmp_path / "out.png"), read_picture(picture)
    assert (drawn != plain).any() and (drawn[40:, :8] == plain[40:, :8]).all()
    other = tmp_path / "other.weights"
    network.with_suffix(".weights").rename(other)
    found = json.loads(minicc.good("detect", network, other, picture, *names, "--json", "--repeat", 2))
    (box,) = found["boxes"]
    assert box.pop("confidence") > 0.99 and box == pytest.approx(FOUND, abs=1e-3) and found["picture"] == [64, 48]
    out = minicc.good("detect", network, other, picture, "--threshold", 0.999)
    assert "nothing is surer than 0.999" in out


def test_detect_by_family(minicc, tmp_path, picture):
    """A network of any size that gives one row, in the middle of 64 x 64."""
    rows = np.zeros((1, 6, 3), np.float32)
    rows[0, :, 1] = [32, 32, 32, 12, 0.1, 0.9]
    nodes = [helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2, 3], keepdims=0), helper.make_node("Mul", ["m", "zero"], ["z"]),
             helper.make_node("Add", ["rows", "z"], ["y"])]  # fmt: skip
    proto = model(nodes, [("x", FLOAT, [1, 3, "h", "w"])], ["y"], {"zero": np.float32([0]), "rows": rows})
    path = saved(proto, tmp_path / "v8.onnx")
    out = minicc.good("detect", path, picture, "--family", "yolov8", "--size", "64", "--json")
    (box,) = json.loads(out)["boxes"]
    assert box["class"] == "class 1" and [box[k] for k in ("left", "right")] == pytest.approx([16, 48])
    assert [box[k] for k in ("top", "bottom")] == pytest.approx([18, 30])  # under a bar of 8 pixels


@pytest.mark.parametrize("last", [False, True])
def test_classify_by_channels(minicc, tmp_path, picture, last):
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2] if last else [2, 3], keepdims=0)]
    proto = model(nodes, [("x", FLOAT, [1, 8, 8, 3] if last else ["n", 3, "h", "w"])], ["y"])
    path = saved(proto, tmp_path / "mean.onnx")
    (tmp_path / "a.names").write_text("red\ngreen\nblue\n")
    size = () if last else ("--size", "16x24")
    out = minicc.good(
        "classify", path, picture, "--preprocess", "unit", "--labels", tmp_path / "a.names", "--top", 2, *size
    )
    powers = np.exp([250 / 255, 0, 0])
    assert out.splitlines()[1].split() == [f"{powers[0] / powers.sum():.4f}", "0", "red"]
    found = json.loads(minicc.good("classify", path, picture, "--preprocess", "caffe", "--json", *size))
    assert found["classes"][0]["number"] == 2  # blue first


@pytest.mark.parametrize("dtype, less", [(TensorProto.UINT8, 0), (TensorProto.INT8, 128)])
def test_classify_gives_bytes_to_a_network_that_takes_them(minicc, tmp_path, picture, dtype, less):
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=FLOAT), helper.make_node("ReduceMean", ["f"], ["m"], axes=[1, 2], keepdims=0),
             helper.make_node("Div", ["m", "most"], ["y"])]  # fmt: skip
    proto = model(nodes, [("x", dtype, [1, 8, 8, 3])], ["y"], {"most": np.float32([255])})
    found = json.loads(minicc.good("classify", saved(proto, tmp_path / "bytes.onnx"), picture, "--json"))
    powers = np.exp((np.array([250, 0, 0]) - less) / 255)
    assert found["classes"][0]["number"] == 0
    assert found["classes"][0]["probability"] == pytest.approx(powers[0] / powers.sum(), rel=1e-4)


@pytest.mark.parametrize("words, message", [
    (["detect", "{net}"], "got 1 files"),
    (["detect", "{net}", "{red}", "--family", "yolov9"], "did you mean yolov"),
    (["detect", "{net}", "{red}", "--fit", "crop"], "expected one of stretch, letterbox, corner"),
    (["detect", "{net}", "{red}", "--size", "big"], "expected a number, or HEIGHTxWIDTH"),
    (["detect", "{net}", "{red}", "-o", "out.svg"], "expected a name that ends in .jpg"),
    (["detect", "{net}", "{red}", "-o", "nowhere/out.jpg"], "nothing called 'nowhere'"),
    (["detect", "{net}", "{net}"], "expected a picture, got"),
    (["detect", "{net}", "{red}", "{red}"], "expected Darknet weights, got a PNG image"),
    (["detect", "{red}", "{red}"], "expected the family of red.png"),
    (["classify", "{net}", "{red}", "--preprocess", "imagnet"], "did you mean imagenet?"),
    (["classify", "{red}", "{red}"], "got a PNG image"),
    (["classify", "{net}", "{red}", "--size", "64"], "expected the size that the model has, 32 x 32, got 64 x 64"),
    (["classify", "{net}", "{red}"], "expected an output of one number for each class"),
])  # fmt: skip
def test_wrong_words(minicc, network, picture, monkeypatch, tmp_path, words, message):
    if message.startswith("expected an output of one"):
        network.write_text(CFG.replace("[avgpool]", "[maxpool]\nsize=16\nstride=16\npadding=0"))
    monkeypatch.chdir(tmp_path)
    outcome = minicc(*(word.format(net=network, red=picture) for word in words))
    assert outcome.code == 2 and message in outcome.err and "hint: " in outcome.err, outcome.err
