"""Calls: what is asked of arrays that fit, of those that nearly do, and of many calls at once."""

from __future__ import annotations

import threading

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.errors import RunError
from minicc.graph.ir import Graph, input
from minicc.ir.arrays import address
from minicc.ops import Add
from minicc.types import TensorType, float32

FLOATS = np.arange(16, dtype=np.float32)


@pytest.fixture(scope="module")
def add():
    x, y = input("x", TensorType(float32, (16,))), input("y", TensorType(float32, (16,)))
    return minicc.compile(Graph("add", (x, y), (Add()(x, y),), ("z",)), threads=1)


@pytest.fixture(scope="module")
def add_n():
    n = te.var("n")
    a, b = te.placeholder((n,), name="A"), te.placeholder((n,), name="B")
    c = te.compute((n,), lambda i: a[i] + b[i], name="C")
    return minicc.build(te.create_schedule(c.op), [a, b, c])


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array",
    [
        FLOATS, read_only(FLOATS), np.frombuffer(FLOATS.tobytes(), np.float32), np.empty((0, 3), np.int8), FLOATS[4:],
        FLOATS.astype(ml_dtypes.bfloat16), np.zeros((), bool), FLOATS[:12].reshape(3, 4),
    ],
)  # fmt: skip
def test_the_address_of_an_array(array) -> None:
    assert address(array) == array.ctypes.data


@given(
    kind=st.sampled_from(["plain", "read only", "strided", "reversed", "unaligned", "list", "subclass", "other order"])
)
def test_arrays_of_every_make_give_the_same(add, kind) -> None:
    raw = np.zeros(65, np.uint8)
    unaligned = raw[1:].view(np.float32)
    unaligned[:] = FLOATS
    made = {
        "plain": FLOATS, "read only": read_only(FLOATS), "strided": np.repeat(FLOATS, 2)[::2],
        "reversed": FLOATS[::-1].copy()[::-1], "unaligned": unaligned, "list": [float(f) for f in FLOATS],
        "subclass": FLOATS.view(np.recarray), "other order": FLOATS.astype(">f4").astype("<f4"),
    }[kind]  # fmt: skip
    np.testing.assert_array_equal(add(made, FLOATS)[0], FLOATS * 2)
    np.testing.assert_array_equal(add.run({"y": FLOATS, "x": made})["z"], FLOATS * 2)


def test_a_mapping_that_is_no_dictionary(add) -> None:
    class Feeds(dict):
        pass

    np.testing.assert_array_equal(add.run(Feeds(x=FLOATS, y=FLOATS))["z"], FLOATS * 2)
    with pytest.raises(RunError, match="did you mean"):
        add.run({"x": FLOATS, "Y": FLOATS})


def test_sizes_change_from_call_to_call_of_a_function(add_n) -> None:
    for size in (3, 16, 0, 5, 5, 16):
        a, c = FLOATS[:size], np.full(size, 7, np.float32)
        add_n(a, a, c)
        np.testing.assert_array_equal(c, a + a)
        np.testing.assert_array_equal(add_n.run({"A": a, "B": a})["C"], a + a)
    with pytest.raises(RunError, match="must be n, got 4"):
        add_n(FLOATS, FLOATS[:4], FLOATS.copy())


def test_outputs_of_a_function_overlap_nothing(add_n) -> None:
    memory = np.zeros(48, np.float32)
    add_n(memory[:16], memory[32:], memory[16:32])
    for start in (1, 8, 15):
        with pytest.raises(RunError, match="must not overlap A"):
            add_n(memory[:16], memory[32:], memory[start : start + 16])
    with pytest.raises(RunError, match="writable"):
        add_n(FLOATS, FLOATS, read_only(FLOATS))
    add_n(FLOATS[:0], FLOATS[:0], FLOATS[:0])


def test_many_threads_call_one_function_with_sizes_of_their_own(add_n, add) -> None:
    wrong: list[int] = []

    def work(size: int) -> None:
        a = np.random.default_rng(size).normal(size=size).astype(np.float32)
        wide = np.resize(a, 16)
        for _ in range(300):
            c = np.empty_like(a)
            add_n(a, a, c)
            if not (np.array_equal(c, a + a) and np.array_equal(add(wide, wide)[0], wide + wide)):
                wrong.append(size)

    workers = [threading.Thread(target=work, args=(size,)) for size in (1, 7, 64, 1000)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
