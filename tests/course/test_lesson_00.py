"""The exercises of lesson 0, on the compiler that the lesson builds: right answers are accepted, wrong ones are told why."""

import contextlib
import io
import runpy
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicc.course.lesson import parse

pytestmark = pytest.mark.course
LESSON = Path(__file__).parents[2] / "tutorials" / "00_a_compiler_in_one_file.py"


@pytest.fixture(scope="module")
def lesson():
    with contextlib.redirect_stdout(io.StringIO()):
        return runpy.run_path(str(LESSON))


def leaky(lesson, formula, reference=lambda a: np.maximum(a, a * np.float32(0.1)), turned=False):
    maximum, node = lesson["maximum"], lesson["Node"]
    return lambda x: node("leaky", [x], x.shape[:: -1 if turned else 1], formula(maximum, x), reference)


def test_an_operator(lesson):
    def reply(answer):
        return lesson["check"].ex1(answer, lesson["given"], lesson["build"])

    right = leaky(lesson, lambda maximum, x: lambda *at: maximum(x[at], x[at] * 0.1))
    assert reply(right).right
    small = leaky(lesson, lambda maximum, x: lambda *at: x[at] * 0.1)
    made, shrunk = lesson["Node"], lambda a: a * np.float32(0.1)

    def of_two(x):
        tenth = made("tenth", [x], x.shape, lambda *at: x[at] * 0.1, shrunk)
        return made("leaky", [x, tenth], x.shape, lambda *at: lesson["maximum"](x[at], tenth[at]), np.maximum)

    assert reply(of_two).right
    wrong = {
        "no inputs": lambda x: made("leaky", [], x.shape, lambda *at: x[at] * 0.1, shrunk),
        "that is relu": lesson["relu"],
        "expected a Node": lambda x: np.float32(0),
        "expected a function": 3,
        "of 0.5 your formula makes 0.05": small,
        "the reference says otherwise": leaky(lesson, lambda m, x: lambda *at: m(x[at], x[at] * 0.1), lambda a: a),
        "expected the shape": leaky(lesson, lambda maximum, x: lambda i, j: x[j, i], turned=True),
        "no reference": leaky(lesson, lambda maximum, x: lambda *at: x[at], None),
        "no formula": leaky(lesson, lambda maximum, x: None),
    }
    for why, answer in wrong.items():
        assert reply(answer).right is False and why in reply(answer).why


@pytest.mark.parametrize(
    ("answer", "right", "why"),
    [
        (23552, True, "18 for the window"),
        (23, False, "there are 1024"),
        (1024 * 18, False, "bias and norm load 5 more"),
        (1024 * 14, False, "two factors"),
        (1024 * 7, False, "they happen 9 times"),
        (1024 * 5 + 18, False, "each of the 1024"),
        (324, False, "again and again"),
        (5, False, "5 is not it"),
        ([23552], False, "expected a number, got [23552]"),
        (np.int32(23552), True, "18 for the window"),
    ],
)
def test_loads(lesson, answer, right, why):
    reply = lesson["check"].ex2(answer, lesson["fused"][1], lesson["loads"])
    assert reply.right is right and why in reply.why


def test_a_rule(lesson):
    def reply(answer):
        return lesson["check"].ex3(answer, *(lesson[name] for name in ("digit", "fuse", "kernels", "loads")))

    def once(node, reader):
        body = lesson["Lowering"](set(reader.inputs)).kernel(reader).body
        return sum(times for n, times in lesson["loads"](body) if n is node) <= prod(node.shape)

    assert reply(once).right and "11 kernels" in reply(once).why
    wrong = {
        "is computed again": lambda node, reader: True,
        "still 13 kernels": lesson["same_shape"],
        "lets in less": lambda node, reader: False,
        "rows that become columns": lambda n, r: n.shape == r.shape or r.op in ("maxpool", "average"),
        "may read an element thrice": lambda n, r: prod(r.shape) <= prod(n.shape) and r.op not in ("linear", "conv"),
    }
    for why, answer in wrong.items():
        assert reply(answer).right is False and why in reply(answer).why


def test_the_compiler_is_as_short_as_it_says():
    cells = parse(LESSON.read_text(encoding="utf-8"), LESSON.name).cells
    lines = [line for cell in cells if cell.kind == "code" for line in cell.source.splitlines() if line.strip()]
    assert len(lines) < 400 and "less than 400 lines of code" in cells[0].source


@pytest.fixture(scope="module")
def layers(lesson):
    """Layers by name: functions of an image, and of what gives a weight of a shape."""
    return {
        "relu": lambda image, weight: lesson["relu"](image),
        "pad": lambda image, weight: lesson["pad"](image),
        "bias": lambda image, weight: lesson["bias"](image, weight((image.shape[0],))),
        "norm": lambda image, weight: lesson["norm"](image, *(weight((image.shape[0],)) for _ in range(4))),
        "conv": lambda image, weight: lesson["conv"](image, weight((2, image.shape[0], 2, 2))),
        "maxpool": lambda image, weight: (
            lesson["maxpool"](image) if image.shape[1] % 2 == image.shape[2] % 2 == 0 else image
        ),
        "twice": lambda image, weight: lesson["Node"](
            "twice", [image], image.shape, lambda *at: image[at] * 2.0 + image[at], lambda a: a * 2 + a
        ),
    }


@settings(max_examples=15)
@given(data=st.data())
def test_python_and_machine_code_say_what_the_references_say(lesson, layers, data):
    """Of any network, and whatever is fused: a rule decides what it costs, and never what it is."""
    random = np.random.default_rng(0)
    image = lesson["given"]("image", (data.draw(st.integers(1, 2)), 4, 4))
    arrays = {image: random.standard_normal(image.shape, np.float32)}

    def weight(shape):
        node = lesson["given"]("w", shape)
        arrays[node] = random.uniform(0.5, 2, shape).astype(np.float32)
        return node

    value = image
    for name in data.draw(st.lists(st.sampled_from(sorted(layers)), min_size=1, max_size=5)):
        value = layers[name](value, weight) if min(value.shape[1:]) > 1 else value
    output = lesson["softmax"](lesson["linear"](lesson["average"](value), weight((3, value.shape[0]))))
    fused = {n for n in lesson["in_order"](output) if data.draw(st.booleans())}
    stored = lesson["fuse"](output, lambda node, reader: node in fused)
    expected = lesson["interpret"](output, arrays)
    for translate in (lesson["as_python"], lesson["as_machine_code"]):
        got = lesson["build"](output, arrays, stored, translate)({})
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)


def test_of_the_digits_what_it_claims(lesson):
    """Whatever is stored, Python and machine code say what the references say."""
    digit, images, arrays = (lesson[name] for name in ("digit", "images", "arrays"))
    for stored in (lesson["everything"], lesson["stored"]):
        for translate in (lesson["as_python"], lesson["as_machine_code"]):
            got = lesson["build"](digit, arrays, stored, translate)({lesson["image"]: images[3]})
            np.testing.assert_allclose(got, lesson["expected"][3], atol=1e-5)
