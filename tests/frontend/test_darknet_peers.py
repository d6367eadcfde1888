"""Whole networks of Darknet against OpenCV's reader, and those that it does not read against PyTorch.

OpenCV adds 1e-6 to variances where Darknet adds 1e-5: it gets variances that are larger by the difference. It decodes
boxes itself, and leaves out classes below a threshold.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from darknet_files import FOLDER, HEADER, NAMES, configuration, random_weights

import minicc
from minicc.frontend.darknet import read_network
from minicc.graph.interpret import evaluate
from minicc.vision import read_labels, read_picture, suppress
from minicc.vision.boxes import Boxes
from minicc.vision.decode import rows_of_head
from minicc.vision.detect import open_detector

SHARED = (
    Path(__file__).resolve().parents[2].parent / "shared" / "data" / "darknet"
)  # weights too large for this repository
SMALL = ("yolo-fastest-1.1", "yolo-fastest-1.1-xl", "yolov3-tiny", "yolov4-tiny")
RESNETS = ("resnet18", "resnet50")  # shortcuts between two sizes, which OpenCV refuses
BATCHES = 1e-5 - 1e-6
WANTED = Counter(["car", "dog", "bicycle", "car", "person"])  # the second car is a bin
SIDE = 96


def outputs_of_opencv(text, weights, x):
    cv2 = pytest.importorskip("cv2")
    text = re.sub(r"(?m)^\[(yolo|region)\]", r"[\1]\nthresh=0", re.sub(r"(?m)^thresh\s*=.*$", "", text))
    net = cv2.dnn.readNetFromDarknet(*(np.frombuffer(b, np.uint8) for b in (text.encode(), weights)))
    net.setInput(x)
    return net.forward(net.getUnconnectedOutLayersNames())


def agree(name, run):
    """Compare a configuration of random weights; `run(graph, x)` gives our outputs by name."""
    text = configuration(name, SIDE)
    gain = 30.0 if "[region]" in text else 4.0 if "[yolo]" in text else 1.0
    weights, theirs = (random_weights(text, gain=gain, shift=shift) for shift in (0.0, BATCHES))
    x = np.random.default_rng(1).uniform(0, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    expected = outputs_of_opencv(text, theirs, x)
    got = run(minicc.load(text.encode(), weights=weights), x)
    heads = read_network(text.encode()).heads
    if not heads:
        (ours,) = got.values()
        np.testing.assert_allclose(ours.reshape(-1), expected[0].reshape(-1), rtol=1e-3, atol=1e-6)
    for head, other in zip(heads, expected, strict=bool(heads)):
        rows = rows_of_head(got[head.output], head)
        rows[:, 5:] *= rows[:, 4:5]
        other = other.reshape(rows.shape)
        kept = other[:, 5:] > 0
        assert kept.mean() > 0.001 and rows[:, 4].std() > 0.02
        np.testing.assert_allclose(rows[:, :5], other[:, :5], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(rows[:, 5:][kept], other[:, 5:][kept], rtol=1e-3, atol=1e-5)
        assert rows[:, 5:][~kept].max(initial=0) < 0.21  # OpenCV's own threshold of [region]


def interpreted(graph, x):
    return evaluate(graph, {"data": x})


def compiled(graph, x):
    return minicc.compile(graph, threads=1).run({"data": x})


@pytest.mark.jobs
@pytest.mark.parametrize("name", SMALL)
def test_small_networks_agree_with_opencv(name):
    agree(name, interpreted)


@pytest.mark.jobs
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in RESNETS])
def test_compiled_networks_agree_with_opencv(name):
    agree(name, compiled)


def outputs_of_torch(text, weights, x):
    """A classifier of convolutions, shortcuts and pools; weights are taken from the file in order."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    numbers, at = torch.from_numpy(np.frombuffer(weights[len(HEADER) :], "<f4").copy()), 0
    x, done = torch.from_numpy(x), []

    def take(*shape):
        nonlocal at
        at += int(np.prod(shape))
        return numbers[at - int(np.prod(shape)) : at].reshape(shape)

    for section in re.findall(r"\[(\w+)\]([^\[]*)", re.sub("(?m)#.*$", "", text))[1:]:
        kind, options = section[0], dict(re.findall(r"(\w+)\s*=\s*(\S+)", section[1]))
        stride, size = int(options.get("stride", 1)), int(options.get("size", 1))
        match kind:
            case "convolutional":
                count, normal = int(options["filters"]), "batch_normalize" in options
                bias = take(count)
                scale, mean, variance = (take(count) for _ in range(3)) if normal else (None,) * 3
                matrix = take(count, x.shape[1], size, size)
                x = functional.conv2d(x, matrix, None if normal else bias, stride, size // 2)
                x = functional.batch_norm(x, mean, variance, scale, bias, eps=1e-5) if normal else x
            case "maxpool":
                before = (size - 1) // 2
                padded = functional.pad(x, (before, size - 1 - before) * 2, value=-torch.inf)
                x = functional.max_pool2d(padded, size, stride)
            case "shortcut":
                other, x = done[int(options["from"])], x.clone()
                step, channels = other.shape[3] // x.shape[3], min(other.shape[1], x.shape[1])
                x[:, :channels] += other[:, :channels, ::step, ::step]
            case "avgpool":
                x = x.mean((2, 3), keepdim=True)
            case "softmax":
                x = torch.softmax(x.reshape(1, -1), 1)
        x = functional.leaky_relu(x, 0.1) if options.get("activation") == "leaky" else x
        done.append(x)
    assert at == len(numbers)
    return x.numpy()


@pytest.mark.torch
@pytest.mark.parametrize("name", RESNETS)
def test_residual_networks_agree_with_pytorch(name):
    text = configuration(name, SIDE)
    weights = random_weights(text)
    x = np.random.default_rng(1).uniform(0, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    (got,) = interpreted(minicc.load(text.encode(), weights=weights), x).values()
    np.testing.assert_allclose(got.reshape(-1), outputs_of_torch(text, weights, x).reshape(-1), rtol=1e-3, atol=1e-6)


# ---- real weights --------------------------------------------------------------------------------------------------


def boxes_of_opencv(folder, name, path, threshold, nms):
    """Boxes by OpenCV's reader, its way of sampling, and a suppression that is tested elsewhere."""
    cv2 = pytest.importorskip("cv2")
    net = cv2.dnn.readNetFromDarknet(str(folder / f"{name}.cfg"), str(folder / f"{name}.weights"))
    image = cv2.imread(str(path))
    net.setInput(cv2.dnn.blobFromImage(image, 1 / 255, (320, 320), swapRB=True))
    rows = np.concatenate(net.forward(net.getUnconnectedOutLayersNames())).astype(float)
    at, classes = np.nonzero(rows[:, 5:] > threshold)
    corners = np.concatenate([rows[at, :2] - rows[at, 2:4] / 2, rows[at, :2] + rows[at, 2:4] / 2], axis=1)
    whole = np.array(image.shape[1::-1] * 2)
    return suppress(Boxes(corners * whole, rows[at, 5 + classes], classes).clipped(*image.shape[1::-1]), nms)


@pytest.mark.jobs
@pytest.mark.parametrize(
    "name, least, agnostic", [("yolo-fastest-1.1", 0.3, True), ("yolo-fastest-1.1-xl", 0.1, False)]
)
def test_real_weights_find_what_opencv_finds(name, least, agnostic):
    """Interpreted; the page tutorials/jobs/detect.md shows the same boxes of the compiled network."""
    folder = FOLDER if (FOLDER / f"{name}.weights").exists() else SHARED
    if not (folder / f"{name}.weights").exists():
        pytest.skip(f"no {name}.weights beside the repository")
    picture, labels = read_picture(FOLDER / "dog.jpg"), read_labels(FOLDER / "coco.names")
    detector = open_detector(folder / f"{name}.cfg")
    array, placement = detector.prepare(picture)
    outputs = interpreted(detector.graph, array)
    expected = boxes_of_opencv(folder, name, FOLDER / "dog.jpg", 0.25, 0.45)
    found = detector.boxes(outputs, placement, picture, threshold=0.2)
    for corners, score, kind in zip(expected.corners, expected.scores, expected.classes, strict=True):
        near = found[found.classes == kind]
        apart = np.abs(near.corners - corners).max(axis=1)
        assert apart.min() < 3 and abs(near.scores[apart.argmin()] - score) < 0.03, labels[kind]
    best = detector.boxes(outputs, placement, picture, threshold=least, agnostic=agnostic)
    names = Counter(labels[k] for k in best.classes)
    assert names == WANTED if agnostic else names >= WANTED
