"""Random networks of Darknet's layers, small and of odd shapes, against OpenCV's reader."""

import random

import numpy as np
import pytest
from darknet_files import random_weights

import minicc
from minicc.frontend.darknet import read_network
from minicc.graph.interpret import evaluate

ACTIVATIONS = ("linear", "leaky", "relu", "mish", "swish", "logistic", "tanh")  # that OpenCV knows
BATCHES = 1e-5 - 1e-6  # see test_darknet_peers


def convolutional(draw, shapes):
    channels, *sides = shapes[-1]
    groups = draw.choice([g for g in {1, 2, 4, channels} if channels % g == 0])
    size = draw.choice([n for n in (1, 2, 3, 5) if n <= min(sides)])
    options = {
        "filters": groups * draw.choice((1, 2, 4)),
        "size": size,
        "stride": draw.choice((1, 1, 2)),
        "groups": groups,
    }
    options |= {
        "pad": draw.randint(0, 1),
        "batch_normalize": draw.randint(0, 1),
        "activation": draw.choice(ACTIVATIONS),
    }
    return options


def maxpool(draw, shapes):
    return {"size": draw.choice((2, 3, 5)), "stride": draw.choice((1, 2))}


def route(draw, shapes):
    """One or more layers of one size, named from the front or from here; or a half of one."""
    here = len(shapes) - 1  # the first shape is that of the picture
    same = [k for k in range(here) if shapes[k + 1][1:] == shapes[-1][1:]]
    chosen = [draw.choice(same) for _ in range(draw.randint(1, 3))] if same else []
    if not chosen:
        return None
    halves = len(chosen) == 1 and shapes[chosen[0] + 1][0] % 2 == 0
    names = ",".join(str(draw.choice((k, k - here))) for k in chosen)
    return {"layers": names} | ({"groups": 2, "group_id": draw.randint(0, 1)} if halves else {})


def shortcut(draw, shapes):
    same = [k for k in range(len(shapes) - 2) if shapes[k + 1] == shapes[-1]]
    return (
        {"from": draw.choice(same) - len(shapes) + 1, "activation": draw.choice(("linear", "leaky"))} if same else None
    )


def upsample(draw, shapes):
    return {"stride": 2} if max(shapes[-1][1:]) < 40 else None


def reorg(draw, shapes):
    channels, height, width = shapes[-1]
    return {"stride": 2} if channels % 4 == height % 2 == width % 2 == 0 else None


def network(draw):
    """The text of a `.cfg`."""
    shapes = [(3, draw.choice((15, 16, 24, 32)), draw.choice((16, 17, 24)))]
    text = "[net]\nchannels={}\nheight={}\nwidth={}\n".format(*shapes[0])
    for _ in range(draw.randint(3, 9)):
        kind = draw.choice((convolutional, convolutional, maxpool, route, shortcut, upsample, reorg))
        if (options := kind(draw, shapes)) is not None:
            text += f"[{kind.__name__}]\n" + "".join(f"{k}={v}\n" for k, v in options.items())
            shapes.append(read_network(text.encode()).layers[-1].shape)
    return text + "[convolutional]\nfilters=6\nsize=1\nstride=1\nactivation=linear\n"


def agree(seed):
    cv2 = pytest.importorskip("cv2")
    text = network(random.Random(seed))
    ours, theirs = random_weights(text, seed), random_weights(text, seed, BATCHES)
    graph = minicc.load(text.encode(), weights=ours)
    x = np.random.default_rng(seed).uniform(0, 1, graph.inputs[0].type.shape).astype(np.float32)
    other = cv2.dnn.readNetFromDarknet(*(np.frombuffer(b, np.uint8) for b in (text.encode(), theirs)))
    other.setInput(x)
    expected = other.forward()
    (got,) = evaluate(graph, {"data": x}).values()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()), err_msg=text)


@pytest.mark.jobs
@pytest.mark.parametrize("seed", range(30))
def test_random_networks_agree_with_opencv(seed):
    agree(seed)


@pytest.mark.jobs
@pytest.mark.slow
@pytest.mark.parametrize("first", range(100, 1100, 100))
def test_a_thousand_random_networks_agree_with_opencv(first):
    for seed in range(first, first + 100):
        agree(seed)
