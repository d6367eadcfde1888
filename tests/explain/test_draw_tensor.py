"""What a picture marks as read is what a NaN comes from: an element is read just where a NaN in it reaches the result."""

import itertools
import xml.etree.ElementTree as xml

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc import te
from minicc.errors import TeError
from minicc.explain.draw_tensor import SHOWN, draw_tensor, footprint
from minicc.loop.lower import lower
from minicc.loop.python import run_python
from minicc.tensor.tensor import Placeholder, tensors_of
from tests.explain.test_draw_program import DRAWN, HOSTILE

SVG = "{http://www.w3.org/2000/svg}"


def product():
    A, B, k = te.placeholder((3, 4), name="A"), te.placeholder((4, 2), name="B"), te.reduce_axis((0, 4), "k")
    return te.compute((3, 2), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")


def blur():
    A = te.placeholder((5, 5), name="A")
    across = te.compute((5, 3), lambda i, j: A[i, j] + A[i, j + 1] + A[i, j + 2], name="across")
    return te.compute((3, 3), lambda i, j: across[i, j] + across[i + 1, j] + across[i + 2, j], name="down")


def convolved():
    x, w = te.placeholder((2, 4, 4), name="x"), te.placeholder((3, 2, 2, 2), name="w")
    c, r, s = (te.reduce_axis((0, 2), name) for name in "crs")
    inside = te.compute(
        (2, 5, 5), lambda c, i, j: te.if_then_else(te.all(i > 0, j > 0), x[c, i - 1, j - 1], 0.0), name="pad"
    )
    return te.compute(
        (3, 4, 4), lambda f, i, j: te.sum(inside[c, i + r, j + s] * w[f, c, r, s], axis=[c, r, s]), name="conv"
    )


def turned():
    A = te.placeholder((3, 4), name="A")
    return te.compute((4, 3), lambda i, j: A[2 - j, 3 - i] * 2.0 + A[j, 0], name="turned")


def total():
    A, k = te.placeholder((5,), name="A"), te.reduce_axis((0, 5), "k")
    return te.compute((), lambda: te.sum(A[k], axis=k), name="total")


def reached(tensor, element):
    """The elements of each input from which a NaN reaches an element of a tensor."""
    inputs = [t for t in tensors_of(tensor) if isinstance(t.op, Placeholder)]
    program = lower([tensor], [*inputs, tensor], "main").program
    found = {t: set() for t in inputs}
    for t in inputs:
        for at in itertools.product(*map(range, t.shape)):
            arrays = {i: np.ones(i.shape, np.float32) for i in inputs}
            arrays[t][at] = np.nan
            result = np.zeros(tensor.shape, np.float32)
            run_python(program, *arrays.values(), result)
            if np.isnan(result[element]):
                found[t].add(at)
    return found


def marked(tensor, element):
    return {
        t: set(map(tuple, r.elements.tolist()))
        for t, r in footprint(tensor, element, {}).items()
        if isinstance(t.op, Placeholder)
    }


@pytest.mark.parametrize(
    "define, at", [(product, (1, 1)), (blur, (0, 2)), (convolved, (2, 0, 1)), (turned, (3, 0)), (total, ())]
)
def test_what_is_read_is_where_a_nan_comes_from(define, at):
    tensor = define()
    assert marked(tensor, at) == reached(tensor, at)


@given(st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=3), st.integers(0, 4))
def test_a_stencil_reads_what_its_guards_let_through(offsets, at):
    A = te.placeholder((5,), name="A")

    def value(i):
        near = [te.if_then_else(te.all(i * a + b >= 0, i * a + b < 5, i > c), A[i * a + b], 1.0) for a, b, c in offsets]
        return sum(near[1:], near[0])

    made = te.compute((5,), value, name="B", names=["i"])
    expected = {(a * at + b,) for a, b, c in offsets if 0 <= a * at + b < 5 and at > c}
    assert marked(made, (at,)).get(A, set()) == expected


def shown(picture):
    tree = xml.fromstring(picture.svg().encode())
    return [e.find(f"{SVG}title").text for e in tree.iter(f"{SVG}circle")], [t.text for t in tree.iter(f"{SVG}text")]


def test_large_tensors_are_drawn_around_what_is_read():
    A = te.placeholder((100, 100), name="A")
    B = te.compute((98, 100), lambda i, j: A[i, j] + A[i + 2, j], name="B")
    dots, words = shown(B.picture(at=(50, 50)))
    assert dots == ["A[50, 50]", "A[52, 50]"] and "2 of 10,000" in words and "A[48:56, 47:55]" in words
    k = te.reduce_axis((0, 100), "k")
    rows = te.compute((100,), lambda i: te.sum(A[i, k], axis=k), name="rows")
    dots, words = shown(rows.picture())
    assert len(dots) == SHOWN and "100 of 10,000, 8 of them drawn" in words


def test_a_sum_that_is_too_long_says_so():
    A, k = te.placeholder((1 << 20,), name="A"), te.reduce_axis((0, 1 << 20), "k")
    total = te.compute((), lambda: te.sum(A[k], axis=k), name="total")
    assert "more than 65,536 of 1,048,576, 8 of them drawn" in shown(total.picture())[1]


def test_symbolic_sizes_are_small_numbers():
    n = te.var("n")
    A = te.placeholder((n, n), name="A")
    B = te.compute((n, n), lambda i, j: A[j, i], name="B")
    assert shown(B.picture()) [0] == ["A[3, 3]"] and "n = 6" in shown(B.picture())[1]  # fmt: skip
    assert (
        "With n = 4." in draw_tensor(B, at=(1, 2), sizes={n: 4}).words
        and "A[2, 1]" in draw_tensor(B, at=(1, 2), sizes={"n": 4}).words
    )
    with pytest.raises(TeError, match=r"expected an index of an element of \[4, 4\], got \[1, 4\]"):
        B.picture(at=(1, 4), sizes={"n": 4})


def test_where_data_decide_nothing_is_marked():
    T, rows_of = te.placeholder((5, 3), name="T"), te.placeholder((4,), "int64", name="I")
    rows = te.compute((4, 3), lambda i, j: T[rows_of[i], j], name="rows")
    dots, words = shown(rows.picture(at=(1, 1)))
    assert dots == ["I[1]"] and "which elements are read, data decide" in words
    A, state = te.placeholder((4, 2), name="A"), te.placeholder((4, 2), name="state")
    first, later = te.compute((1, 2), lambda _, j: A[0, j]), te.compute((4, 2), lambda t, j: state[t - 1, j] + A[t, j])
    assert "which elements are read, data decide" in shown(te.scan(first, later, state).picture())[1]
    made = te.scatter(T, (4,), lambda p: (rows_of[p], 0), lambda p: 1.0, "sum")
    assert any("scatter begins with T" in (w or "") for w in shown(made.picture())[1])
    copied = te.extern((5, 3), [T], lambda a, b: np.copyto(b, a), name="copied")
    assert shown(copied.picture())[0] == []


def test_odd_shapes_are_drawn():
    A = te.placeholder((), name="A")
    assert "A: float32[]" in shown(te.compute((), lambda: A[()] * 2.0, name="B").picture())[1]
    E = te.placeholder((0, 3), name="E")
    none = te.compute((0, 3), lambda i, j: E[i, j], name="B").picture()
    assert shown(none)[0] == [] and "B has no elements." in none.words and "elements that" not in none.svg()
    chain = [te.placeholder((4,), name="x0")]
    for n in range(1, 21):
        chain.append(te.compute((4,), lambda i, x=chain[-1]: x[i] + 1.0, name=f"x{n}"))
    assert "9 tensors before these are left out" in shown(chain[-1].picture())[1]
    assert "A" in shown(A.picture())[1][1] and A.picture().words == "The element A[] reads nothing: it is given."


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_words_whatever_it_is(name):
    A = te.placeholder((4,), name=name)
    made = te.compute((4,), lambda i: A[i] + 1.0, name=name).picture()
    tree = xml.fromstring(made.svg().encode("utf-8"))
    assert {e.tag.removeprefix(SVG) for e in tree.iter()} <= DRAWN
