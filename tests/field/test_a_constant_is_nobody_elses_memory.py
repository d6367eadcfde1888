"""A graph's constants, and its results, are in memory that nobody else writes.

The right values are those that the arrays had when the graph was made, and plain sums of them.
"""

from __future__ import annotations

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc import ops
from minicc.errors import GraphError, LoadError
from minicc.graph import Graph, constant, evaluate, input
from minicc.graph.data import Data
from minicc.types import TensorType, float32


class Foreign:
    """What a tensor of another library is: its array is a view of memory that it goes on writing."""

    def __init__(self, array: np.ndarray) -> None:
        self.memory = array

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.memory


class Capsule:
    """A tensor that speaks DLPack only."""

    def __init__(self, array: np.ndarray) -> None:
        self.memory = array

    def __dlpack__(self, **options: object) -> object:
        return self.memory.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.memory.__dlpack_device__()


def read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def mapped(array: np.ndarray, mode: str, folder) -> tuple[np.ndarray, np.ndarray]:
    """A file mapped twice: to write, and as a constant sees it."""
    path = folder / "memory"
    path.write_bytes(array.tobytes())
    return np.memmap(path, array.dtype, "r+", shape=array.shape), np.memmap(path, array.dtype, mode, shape=array.shape)


KINDS = {
    "itself": lambda a: a,
    "a view": lambda a: a.view(),
    "a read-only view": read_only,
    "a read-only view of a read-only view": lambda a: read_only(read_only(a)),
    "a buffer": lambda a: np.frombuffer(memoryview(a).toreadonly(), a.dtype).reshape(a.shape),
    "a foreign tensor": Foreign,
    "a read-only foreign tensor": lambda a: Foreign(read_only(a)),
    "DLPack": Capsule,
    "a transposed view": lambda a: read_only(a.T).T,
    "a strided view": lambda a: read_only(np.stack([a, a], -1)[..., 0]),
    "a matrix": lambda a: read_only(a).view(np.matrix) if a.ndim == 2 else read_only(a),
    "a record array's field": lambda a: read_only(a.view(np.recarray)),
}


@given(
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(["float32", "float64", "int8", "int64", "bool"]),
    st.sampled_from([(), (1,), (3,), (2, 3)]),
)
def test_writing_to_what_a_constant_was_made_of_changes_nothing(kind, dtype, shape):
    owner = np.ones(shape, dtype)
    made = constant(KINDS[kind](owner))
    digest = made.op.data.digest
    owner[...] = 0
    assert (made.op.data.array == 1).all() and made is constant(np.ones(shape, dtype))
    assert made.op.data.digest == digest == constant(np.ones(shape, dtype)).op.data.digest
    with pytest.raises(ValueError):
        made.op.data.array.flags.writeable = True


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_writing_to_a_mapped_file_changes_nothing(mode, tmp_path):
    owner, given = mapped(np.ones(4, np.float32), mode, tmp_path)
    made = constant(given)
    owner[:] = 8
    owner.flush()
    assert made.op.data.array.tolist() == [1, 1, 1, 1]


def test_a_write_does_not_reach_other_graphs_with_an_equal_constant():
    owner = np.float32([1, 1])
    x = input("x", TensorType(float32, (2,)))
    first = Graph("first", (x,), (ops.Add()(x, read_only(owner)),), ("y",))
    second = Graph("second", (x,), (ops.Add()(x, np.float32([1, 1])),), ("y",))
    owner += 8
    for graph in (first, second):
        assert evaluate(graph, {"x": np.float32([2, 3])})["y"].tolist() == [3, 4]
        assert minicc.compile(graph)(np.float32([2, 3]))[0].tolist() == [3, 4]


def test_the_memory_of_bytes_is_not_copied():
    held = np.frombuffer(b"\0\0\x80?" * 4, np.float32)
    assert np.shares_memory(constant(held).op.data.array, held)
    kept = constant(np.arange(4.0)).op.data.array
    assert np.shares_memory(constant(kept.reshape(2, 2)).op.data.array, kept), "a view of a constant needs no copy"


def test_a_copy_of_a_constant_cannot_be_written():
    held = constant(np.float32([1, 2])).op.data
    for copied in (pickle.loads(pickle.dumps(held)), copy.deepcopy(held)):
        assert copied == held and not copied.array.flags.writeable


def test_bfloat16_and_the_other_byte_order_keep_their_values():
    assert constant(np.array([1.5, -2], ml_dtypes.bfloat16)).op.data.array.tolist() == [1.5, -2]
    for dtype in (">f4", ">i8", ">u2", ">f8", ">f2"):
        made = constant(np.array([1, 300], dtype))
        assert made.op.data.array.tolist() == [1, 300] and made.op.data.array.dtype.isnative
        assert made is constant(np.array([1, 300], np.dtype(dtype).newbyteorder("=")))


@pytest.mark.parametrize(
    "value",
    [np.ma.array([1.0, 2.0], mask=[0, 1]), [np.ma.array([1.0], mask=[1])], np.ma.masked, np.ma.array([1.0, 2.0])],
)
def test_a_mask_is_refused(value):
    with pytest.raises(GraphError, match="without a mask, got a masked array") as caught:
        constant(value)
    assert "filled" in caught.value.hint


# ---- results ------------------------------------------------------------------------------------


def passing() -> Graph:
    """Outputs that are an input, views of it, constants, views of constants, and one value twice."""
    x = input("x", TensorType(float32, (2, 2)))
    c = constant(np.float32([[5, 6], [7, 8]]))
    y = ops.Neg()(x)
    outputs = (
        x,
        ops.Reshape((4,))(x),
        ops.Transpose()(x),
        c,
        ops.Reshape((4,))(c),
        y,
        y,
        ops.Reshape((4,))(y),
        ops.Identity()(x),
    )
    return Graph("main", (x,), outputs, tuple(f"y{n}" for n in range(len(outputs))))


def runs(graph: Graph):
    exe = minicc.compile(graph)
    return {"evaluate": lambda x: list(evaluate(graph, {"x": x}).values()), "compiled": lambda x: list(exe(x))}


@pytest.mark.parametrize("how", ["evaluate", "compiled"])
def test_writing_to_a_result_changes_no_other_array(how):
    run = runs(passing())[how]
    x = np.float32([[1, 2], [3, 4]])
    first = run(x)
    wanted = [a.copy() for a in first]
    for n, a in enumerate(first):
        assert not np.shares_memory(a, x)
        assert not any(np.shares_memory(a, b) for m, b in enumerate(first) if m != n)
        a[...] = -99
    assert x.tolist() == [[1, 2], [3, 4]]
    for got, want in zip(run(x), wanted, strict=True):
        np.testing.assert_array_equal(got, want)
    assert [w.ravel().tolist() for w in wanted] == [
        [1, 2, 3, 4],
        [1, 2, 3, 4],
        [1, 3, 2, 4],
        [5, 6, 7, 8],
        [5, 6, 7, 8],
        [-1, -2, -3, -4],
        [-1, -2, -3, -4],
        [-1, -2, -3, -4],
        [1, 2, 3, 4],
    ]


@pytest.mark.parametrize("first", ["gone before", "gone after"])
def test_a_graph_needs_no_file_of_another_with_equal_weights(first):
    array, there = np.linspace(0, 1, 999), [True]

    def again() -> np.ndarray:
        if not there[0]:
            raise LoadError("load('other.onnx')", "expected a file, got none", hint="load it again")
        return array.copy()

    others = constant(Data(array, again))  # as long as its graph lives, equal constants are this node
    there[0] = first != "gone before"
    mine = constant(array.copy())
    assert (mine is others) == there[0]
    there[0] = False
    np.testing.assert_array_equal(mine.array, array)
