"""Layers of Darknet against loops that say what its source does; sizes of weights against those that are published."""

import struct

import numpy as np
import pytest
from darknet_files import FOLDER, HEADER, NAMES, configuration, random_weights

import minicc
from minicc.errors import LoadError
from minicc.frontend import format_of
from minicc.frontend.darknet import read_network
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Constant

RANDOM = np.random.default_rng(0)
NET = "[net]\nwidth={w}\nheight={h}\nchannels={c}\n"


def run(layers, x, weights=b""):
    """The outputs of a network of these layers on a picture [C, H, W]."""
    c, h, w = x.shape
    graph = minicc.load((NET.format(c=c, h=h, w=w) + layers).encode(), weights=weights or None)
    return list(evaluate(graph, {"data": np.float32(x)[None]}).values())


def picture(*shape):
    return RANDOM.standard_normal(shape)


def floats(*arrays):
    return HEADER + b"".join(np.asarray(a, "<f4").tobytes() for a in arrays)


PUBLISHED = {  # bytes of the files that the authors give
    "yolov2": 203_934_260, "yolov3": 248_007_048, "yolov3-spp": 252_209_544, "yolov3-tiny": 35_434_956,
    "yolov4": 257_717_640, "yolov4-tiny": 24_251_276, "yolo-fastest-1.1": 1_384_268, "yolo-fastest-1.1-xl": 3_693_964,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_is_read(name):
    network = read_network(FOLDER / f"{name}.cfg")
    header = 16 if name == "yolov2" else 20
    assert PUBLISHED.get(name, header + 4 * network.parameters) == header + 4 * network.parameters
    assert len(network.heads) == {"yolov3": 3, "yolov3-spp": 3, "yolov4": 3}.get(name, 2 if "yolo" in name else 0) - (
        "v2" in name
    )


ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": lambda x: x if x > 0 else 0,
    "relu6": lambda x: min(max(x, 0), 6),
    "leaky": lambda x: x if x > 0 else 0.1 * x,
    "relie": lambda x: x if x > 0 else 0.01 * x,
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "loggy": lambda x: 2 / (1 + np.exp(-x)) - 1,
    "tanh": lambda x: (np.exp(2 * x) - 1) / (np.exp(2 * x) + 1),
    "hardtan": lambda x: -1 if x < -1 else 1 if x > 1 else x,
    "elu": lambda x: x if x >= 0 else np.exp(x) - 1,
    "selu": lambda x: 1.0507 * x if x >= 0 else 1.0507 * 1.6732 * (np.exp(x) - 1),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(0.797885 * x + 0.035677 * x**3)),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "hard_mish": lambda x: x if x > 0 else x * x / 2 + x if x > -2 else 0,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    """Of x / 2 + x / 2."""
    x = np.linspace(-8, 8, 41)
    (got,) = run(f"[dropout]\n[shortcut]\nfrom=-1\nactivation={name}\n", x.reshape(1, 1, 41) / 2)
    np.testing.assert_allclose(got.reshape(-1), [ACTIVATIONS[name](v) for v in x], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(
    "size, stride, padding",
    [(2, 2, None), (2, 1, None), (3, 2, None), (5, 1, None), (13, 1, None), (2, 2, 0), (3, 1, 1)],
)
def test_maxpool_pads_as_darknet_does(size, stride, padding):
    x, both = picture(2, 13, 10), size - 1 if padding is None else padding
    option = "" if padding is None else f"padding={padding}\n"
    (got,) = run(f"[maxpool]\nsize={size}\nstride={stride}\n{option}", x)
    high, wide = ((n + both - size) // stride + 1 for n in x.shape[1:])
    expected = np.full((2, high, wide), -np.inf)
    for c, i, j in np.ndindex(expected.shape):
        for n, m in np.ndindex(size, size):
            row, column = i * stride + n - both // 2, j * stride + m - both // 2
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                expected[c, i, j] = max(expected[c, i, j], x[c, row, column])
    np.testing.assert_array_equal(got[0], np.float32(expected))


def test_reorg_reads_memory_as_darknet_does():
    x, s = np.arange(8 * 4 * 6.0).reshape(8, 4, 6), 2
    (got,) = run(f"[reorg]\nstride={s}\n", x)
    c, h, w = x.shape
    flat, out = x.reshape(-1), np.zeros(x.size)
    for k, j, i in np.ndindex(c, h, w):
        offset = k // (c // (s * s))
        place = (i * s + offset % s) + w * s * ((j * s + offset // s) + h * s * (k % (c // (s * s))))
        out[i + w * (j + h * k)] = flat[place]
    np.testing.assert_array_equal(got.reshape(-1), out)
    assert got.shape == (1, 32, 2, 3)


@pytest.mark.parametrize("channels, side", [(4, 6), (3, 6), (6, 6), (6, 12), (2, 12)])
def test_a_shortcut_adds_what_two_shapes_share(channels, side):
    """The layer below has 4 channels of 6 x 6, the one that is added `channels` of side x side."""
    x = picture(5, side, side)
    here, other = RANDOM.standard_normal((4, channels, 1, 1)), RANDOM.standard_normal((channels, 5, 1, 1))
    convolution = "[convolutional]\nfilters={}\nstride={}\nactivation=linear\n"
    layers = (
        convolution.format(channels, 1) + convolution.format(4, side // 6) + "[shortcut]\nfrom=-2\nactivation=relu\n"
    )
    (got,) = run(layers, x, floats(np.zeros(channels), other, np.zeros(4), here))
    added = np.einsum("oc,chw->ohw", other[:, :, 0, 0], x)
    total = np.einsum("oc,chw->ohw", here[:, :, 0, 0], added)[:, :: side // 6, :: side // 6]
    for k, j, i in np.ndindex(min(4, channels), 6, 6):
        total[k, j, i] += added[k, j * (side // 6), i * (side // 6)]
    np.testing.assert_allclose(got[0], np.maximum(total, 0), rtol=1e-4, atol=1e-5)


def test_route_upsample_avgpool_softmax():
    x = picture(6, 3, 4)
    layers = "[dropout]\n[route]\nlayers=-1\ngroups=3\ngroup_id=1\n[upsample]\nstride=2\nscale=0.5\n[upsample]\nstride=1\n[route]\nlayers=-1,2\n[avgpool]\n"
    pooled = run(layers, x)[0].reshape(-1)
    np.testing.assert_allclose(pooled, np.tile(x[2:4].mean((1, 2)) / 2, 2), rtol=1e-5, atol=1e-6)
    soft = run(layers + "[softmax]\ngroups=2\ntemperature=0.5\n[cost]\n", x)[0].reshape(2, 2)
    powers = np.exp(pooled.reshape(2, 2) / 0.5)
    np.testing.assert_allclose(soft, powers / powers.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("normal", [False, True])
def test_connected_and_convolutional_parameters_in_their_order(normal):
    x, outputs = picture(2, 3, 3), 4
    matrix, rows = RANDOM.standard_normal((outputs, 18)), RANDOM.uniform(0.5, 2, (4, outputs))
    option = f"batch_normalize={int(normal)}\nactivation=leaky\n"
    vectors = rows if normal else rows[:1]
    plain = matrix @ x.reshape(-1)
    biases, scales, means, variances = rows
    expected = (plain - means) / np.sqrt(variances + 1e-5) * scales + biases if normal else plain + biases
    expected = np.where(expected > 0, expected, 0.1 * expected)
    (got,) = run(f"[connected]\noutput={outputs}\n{option}", x, floats(vectors[0], matrix, *vectors[1:]))
    np.testing.assert_allclose(got.reshape(-1), expected, rtol=1e-4, atol=1e-5)
    (got,) = run(f"[convolutional]\nfilters={outputs}\nsize=3\n{option}", x, floats(*vectors, matrix))
    np.testing.assert_allclose(got.reshape(-1), expected, rtol=1e-4, atol=1e-5)


def test_heads_are_as_darknets_layers_give_them():
    x = picture(2 * 7, 3, 2)
    for layer, scale in (
        ("[yolo]\nmask=1,2\nnum=3\nanchors=1,2,3,4,5,6\nscale_x_y=1.2\n", 1.2),
        ("[region]\nnum=2\nanchors=1,2,3,4\nsoftmax=1\n", 1.0),
    ):
        (got,) = run(layer + "classes=2\n", x)
        cells, expected = got.reshape(2, 7, 3, 2), x.reshape(2, 7, 3, 2).copy()
        expected[:, [0, 1, 4, 5, 6]] = 1 / (1 + np.exp(-expected[:, [0, 1, 4, 5, 6]]))
        if scale == 1:
            powers = np.exp(x.reshape(2, 7, 3, 2)[:, 5:])
            expected[:, 5:] = powers / powers.sum(1, keepdims=True)
        expected[:, :2] = expected[:, :2] * scale - (scale - 1) / 2
        np.testing.assert_allclose(cells, expected, rtol=1e-4, atol=1e-5)
    (head,) = read_network(
        (NET.format(c=14, h=3, w=2) + "[yolo]\nmask=1\nnum=2\nanchors=1,2,3,6\nclasses=9\n").encode()
    ).heads
    assert head.anchors == ((1.5, 2.0),) and head.output == "yolo_0"


def test_names_spans_and_both_headers(tmp_path):
    text = NET.format(c=1, h=4, w=4) + "\n# a comment\n[conv]\r\n filters = 1 ; one\nactivation=linear\n[max]\nsize=2\n"
    numbers = np.float32([3.0, 2.0]).astype("<f4").tobytes()
    old = struct.pack("<iiii", 0, 1, 0, 7) + numbers
    for weights in (HEADER + numbers, old):
        (tmp_path / "a.net.weights").write_bytes(weights)
        (tmp_path / "a.net.cfg").write_text(text)
        graph = minicc.load(tmp_path / "a.net.cfg")
        (y,) = evaluate(graph, {"data": np.ones((1, 1, 4, 4), np.float32)}).values()
        assert (y == 5).all() and graph.output_names == ("maxpool_1",) and graph.name == "a_net"
    assert "a.net.cfg:7 conv 'layer 0'" in str(graph) and "a.net.cfg:10 max 'layer 1'" in str(graph)
    np.testing.assert_array_equal(
        minicc.compile(tmp_path / "a.net.cfg", threads=1)(np.ones((1, 1, 4, 4), np.float32))[0], y
    )


def test_large_weights_stay_in_the_file_until_they_are_used(tmp_path):
    text = NET.format(c=64, h=2, w=2) + "[convolutional]\nfilters=64\nsize=3\npad=1\nactivation=linear\n"
    (tmp_path / "a.cfg").write_text(text)
    (tmp_path / "a.weights").write_bytes(random_weights(text))
    graph = minicc.load(tmp_path / "a.cfg", keep=False)
    held = [n.op.data for n in graph.nodes if isinstance(n.op, Constant) and n.type.bytes > 100_000]
    assert held and held[0]._array is None and held[0].array.shape == (64, 64, 3, 3)
    (tmp_path / "a.weights").write_bytes(HEADER)
    with pytest.raises(LoadError, match="has changed"):
        _ = held[0].array


@pytest.mark.parametrize("name", ["yolo-fastest-1.1"])
def test_a_configuration_of_another_size(name):
    text = configuration(name, 64)
    network = read_network(text.encode(), size=(96, 160))
    assert network.picture == (3, 96, 160) and [layer.shape[1:] for layer in network.layers if layer.head] == [
        (3, 5),
        (6, 10),
    ]


@pytest.mark.parametrize("name, content, darknet", [
    ("a.cfg", b"", True), ("a.CFG", b"\xff\xfe[\0", True), ("a.txt", b"# x\n ;\n\n [net]\n", True), (None, b"\xef\xbb\xbf[network]\r\n", True),
    ("a.onnx", b"\x08\x07", False), ("a.weights", b"\0\0\0\0", False), (None, b"", False), ("absent.onnx", None, False),
])  # fmt: skip
def test_a_format_is_known_by_how_a_file_begins_or_by_its_name(tmp_path, name, content, darknet):
    if name and content is not None:
        (tmp_path / name).write_bytes(content)
    found = format_of(tmp_path / name if name else content)
    assert found.module == ("minicc.frontend.darknet" if darknet else "minicc.frontend.onnx")
