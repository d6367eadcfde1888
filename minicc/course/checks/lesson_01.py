"""Checks of lesson 1: a drawn digit, who decides what, when answers are the same, and how many kernels there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

import minicc
from minicc.course.digits import drawn
from minicc.course.exercise import called, equals, exercise, expect, number, words
from minicc.graph import Graph, input
from minicc.ops import MatMul, Relu, Softmax
from minicc.runtime.executable import Executable
from minicc.types import TensorType, float32

ROOMS = ("graph", "te", "loop", "LLVM")
DECISIONS = (  # what is decided, where, and why not elsewhere
    ("Relu reads what Add gives", "graph", "which operator reads whose result is what a graph says"),
    (
        "a sum of six products",
        "te",
        "a graph says only MatMul, and a loop only obeys: the formula of an element is te's",
    ),
    ("row 0 before row 1", "loop", "formulas have no order; the first room that has one is that of loops"),
    (
        "eight elements at the same time",
        "loop",
        'a step in the loop room says "vectorize"; LLVM\'s text has <8 x float> because of it',
    ),
    ("one certain instruction", "LLVM", "what instructions a processor has is LLVM's business, and nobody's before"),
)


def _two_layers() -> Graph:
    """MatMul, Relu, MatMul, Softmax, with weights that are known, as in a trained network."""
    x = input("x", TensorType(float32, (4, 6)))
    w, v = (x.constant(np.linspace(-1, 1, n * m, dtype=np.float32).reshape(n, m)) for n, m in ((6, 8), (8, 3)))
    return Graph("two_layers", (x,), (Softmax(1)(MatMul()(Relu()(MatMul()(x, w)), v)),), ("y",))


TWO_LAYERS = _two_layers()


@cache
def reader() -> Executable:
    """The network of the lesson, compiled for one image."""
    model = (resources.files("minicc.cli") / "digits" / "digits.onnx").read_bytes()
    return minicc.compile(model, dims={"batch": 1})


@exercise
def ex1(drawing: str) -> str:
    """Draw a 7, eight lines of eight signs, that the network reads as a 7."""
    expect(isinstance(drawing, str), f"expected a drawing as text, got {type(drawing).__name__}")
    image = drawn(drawing)
    expect(bool(image.any()), "that is a clean sheet of paper; the network says something of it, but a 7 it is not")
    probability = reader()(image)[0][0]
    said = int(probability.argmax())
    where = image[0, 0].sum(1)
    hint = "a 7 has a bar at the top"
    if where[0] == 0 or where[-1] == 0:
        hint = "make it larger, from the first line to the last"
    elif where[4] > 5:
        hint = "there is much ink in the middle"
    expect(said == 7, f"it is read as a {said} ({probability[said]:.0%}), as a 7 only by {probability[7]:.0%}; {hint}")
    return f"read as a 7, by {probability[7]:.0%}; nobody wrote a rule for that, it is 24,000 trained numbers"


@exercise
def ex2(rooms: Sequence[str] | str) -> str:
    """Say in which room each of the five is decided."""
    given, known = words(rooms), {room.casefold(): room for room in ROOMS}
    expect(len(given) == 5, f"expected a list of five rooms, got {rooms!r:.80}")
    for n, (word, (what, right, why)) in enumerate(zip(given, DECISIONS, strict=True), 1):
        room = known.get(word.casefold())
        expect(room is not None, f"expected {', '.join(ROOMS)}, got {word!r} in place {n}")
        expect(room == right, f"{n}, {what}: not in {room}; {why}")
    return "a decision has one home, so whoever wants to change it knows where to go"


@exercise
def ex3(same: Callable[[Any, Any], bool]) -> str:
    """Write same(got, expected): the same shape, elements that agree to one part in ten thousand, NaN at the same places."""
    a = np.array([[0.0, 1.0, -2.0], [1e6, 3.0, 1e-3]], np.float32)
    nan = np.where(a == 3, np.float32("nan"), a)
    cases = (
        (a, a, True, "an array is the same as itself"),
        (a, a * np.float32(1.00001), True, "sums in another order round a little differently: one part in 100,000 is fine"),
        (a * np.float32(1.0005), a, False, "all elements are off by five parts in ten thousand, and yours lets it pass"),
        (a + np.float32(1) * (a == -2), a, False, "one element of six is off by 1, and yours lets it pass"),
        (a - np.float32(1) * (a == 3), a, False, "one element is 1 too small: a difference needs its absolute value"),
        (a + np.float32(1) * (a == 1e6), a, True, "1000001 for 1000000 is one part in a million: differences are relative"),
        (a + np.float32(5e-7) * (a == 0), a, True, "near zero a difference of 0.0000005 is fine, relative to 0 or not"),
        (a + np.float32(1e-3) * (a == 1e-3), a, False, "0.002 for 0.001 is twice as much: only what is below 0.000001 is near zero"),
        (nan, a, False, "there is a NaN where a 3 should be: every comparison with NaN is false, so ask the right way round"),
        (a, nan, False, "a 3 was made where the reference has NaN"),
        (np.where(a == 0, np.float32("nan"), a), a, False, "there is a NaN where a 0 should be: NaN is no 0"),
        (np.where(a == 0, np.float32("nan"), nan), nan, False, "both have a NaN, but one has another where a 0 should be"),
        (nan, nan, True, "both have NaN at the same place; NaN == NaN is false, so ask np.isnan, or equal_nan"),
        (a[:1], a[:1].repeat(2, 0), False, "the shapes differ; NumPy stretched one of them to compare"),
        (a.reshape(3, 2), a, False, "the elements are the same, in another shape"),
        (a.T, a, False, "the shapes differ, so it is not the same; say so without an error"),
    )  # fmt: skip
    for got, expected, right, why in cases:
        try:
            said = bool(called(same, got.copy(), expected.copy()))
        except ValueError as error:
            expect(False, f"{why} (it ended with {error})")
        expect(said == right, why)
    return "shape, NaN, and a difference relative to what it should be: no test of a compiler needs more, none less"


@cache
def labels() -> list[str]:
    """What the kernels of the two layers are called."""
    return [kernel.label for kernel in minicc.compile(TWO_LAYERS, threads=1).kernels]


@exercise
def ex4(answer: float) -> str:
    """How many kernels do MatMul, Relu, MatMul, Softmax become?"""
    answer = number(answer)
    kernels = labels()
    slips = {
        1: "the second product needs each element of the first result three times; it would be computed three times",
        2: "Softmax goes over a whole row before it knows its first share, and over it again; it stands alone",
        4: "Relu needs each element of the product once: it is computed right where that is made",
    }
    equals(answer, len(kernels), slips, "it is not so many: compile it, and look at its kernels")
    return f"they are {', '.join(kernels)}: a kernel ends where what comes next needs its elements again and again"
