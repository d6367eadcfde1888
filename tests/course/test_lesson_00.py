"""The exercises of lesson 0, on the compiler that the lesson builds: right answers are accepted, wrong ones are told why."""

import contextlib
import io
import runpy
from math import prod
from pathlib import Path

import numpy as np
import pytest

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
    wrong = {
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
        "rows that become columns": lambda n, r: n.shape == r.shape or r.op in ("maxpool", "average"),
        "may read an element thrice": lambda n, r: prod(r.shape) <= prod(n.shape) and r.op not in ("linear", "conv"),
    }
    for why, answer in wrong.items():
        assert reply(answer).right is False and why in reply(answer).why


def test_of_the_compiler_what_it_claims(lesson):
    """Whatever is stored, Python and machine code say what the references say."""
    digit, images, arrays = (lesson[name] for name in ("digit", "images", "arrays"))
    for stored in (lesson["everything"], lesson["stored"]):
        for translate in (lesson["as_python"], lesson["as_machine_code"]):
            got = lesson["build"](digit, arrays, stored, translate)({lesson["image"]: images[3]})
            np.testing.assert_allclose(got, lesson["expected"][3], atol=1e-5)
