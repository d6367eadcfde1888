"""Whatever is given as an input either has the right value in the result, or an error of four parts says what to do.

The right value is 2 * x, written as numbers.
"""

from __future__ import annotations

import datetime
import warnings

import ml_dtypes
import numpy as np
import pytest

import minicc
from minicc import ops, te
from minicc.errors import GraphError, MiniccError, RunError
from minicc.graph import Graph, bind, constant, evaluate, input
from minicc.types import TensorType, bfloat16, boolean, float16, float32, int8, int64, uint64

ONE_TWO = np.float32([1, 2])


class Speaks:
    """A tensor of another library, by its protocols alone: each attribute given, each method's error."""

    def __init__(self, error: Exception, **attributes: object) -> None:
        self.error = error
        self.__dict__.update(attributes)

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise self.error


class Series:
    """A column of a table."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.values


class Packed:
    """A tensor that speaks DLPack only."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.device = array, device

    def __dlpack__(self, **options: object) -> object:
        if self.device != (1, 0):
            raise BufferError("the memory is on another device")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


class Deep:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> float:
        raise OSError("the disk is gone")


def mapped(folder) -> np.ndarray:
    (folder / "x").write_bytes(ONE_TWO.tobytes())
    return np.memmap(folder / "x", np.float32, "r", shape=(2,))


def frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


GOOD = {  # what is [1, 2] in float32
    "an array": lambda: ONE_TWO.copy(),
    "a list": lambda: [1, 2],
    "a list of floats": lambda: [1.0, 2.0],
    "a list of scalars": lambda: [np.float32(1), np.int8(2)],
    "a tuple": lambda: (1, 2.0),
    "a range": lambda: range(1, 3),
    "a list of bools and numbers": lambda: [True, 2],
    "a read-only array": lambda: frozen(ONE_TWO.copy()),
    "every second element": lambda: np.float32([1, 9, 2, 9])[::2],
    "backwards": lambda: np.float32([2, 1])[::-1],
    "unaligned": lambda: np.frombuffer(b"\0" + ONE_TWO.tobytes(), np.uint8)[1:].view(np.float32),
    "broadcast": lambda: np.broadcast_to(np.float32([[1, 2]]), (3, 2))[1],
    "a memory view": lambda: memoryview(ONE_TWO),
    "a column of a table": lambda: Series(ONE_TWO),
    "a wider column": lambda: Series(np.float64([1, 2])),
    "DLPack only": lambda: Packed(ONE_TWO.copy()),
    "a subclass": lambda: ONE_TWO.view(np.recarray),
}
BAD = {  # what is no [1, 2] in float32, and what the error says
    "nothing": (lambda: None, "got NoneType that is no array"),
    "text": (lambda: "1 2", "elements of <U3"),
    "texts": (lambda: ["1", "2"], "elements of <U1"),
    "bytes": (lambda: b"12345678", "elements of |S8"),
    "a dictionary": (lambda: {"x": 1}, "got dict that is no array"),
    "a set": (lambda: {1, 2}, "got set that is no array"),
    "a generator": (lambda: (n for n in (1, 2)), "got generator that is no array"),
    "objects": (lambda: np.array([1, None], object), "elements of object"),
    "a column of objects": (lambda: Series(np.array([1, "a"], object)), "elements of object"),
    "lists of unequal lengths": (lambda: [[1], [1, 2]], "lists of unequal lengths"),
    "a masked array": (lambda: np.ma.array(ONE_TWO, mask=[0, 1]), "without a mask"),
    "a list of masked arrays": (lambda: [np.ma.array(1.0, mask=True), 2], "without a mask"),
    "times": (lambda: np.array(["2020-01-01", "2020-01-02"], "M8[D]"), "elements of datetime64[D]"),
    "time spans": (lambda: np.array([1, 2], "m8[s]"), "elements of timedelta64[s]"),
    "Python's times": (lambda: [datetime.date(2020, 1, 1)] * 2, "elements of object"),
    "complex numbers": (lambda: [1 + 0j, 2], "elements of complex128"),
    "records": (lambda: np.zeros(2, [("a", "f4")]), "elements of [('a', '<f4')]"),
    "raw bytes": (lambda: np.zeros(2, "V4"), "elements of |V4"),
    "float8": (lambda: np.zeros(2, ml_dtypes.float8_e4m3fn), "elements of float8_e4m3fn"),
    "long doubles": (lambda: np.zeros(2, np.longdouble), "elements of "),
    "the other byte order": (lambda: ONE_TWO.astype(">f4"), "got >f4"),
    "float64": (lambda: ONE_TWO.astype("f8"), "got float64"),
    "a number that is rounded": (lambda: [0.1, 2], "got float64"),
    "a large integer": (lambda: [2**24 + 1, 2], "got int64"),
    "the largest integers": (lambda: [2**63 - 1, 2**63 - 1], "got int64"),
    "larger than any": (lambda: [2**70, 1], "object"),
    "one number": (lambda: 1.0, "shape (2,), got ()"),
    "no elements": (list, "shape (2,), got (0,)"),
    "a column": (lambda: np.float32([[1], [2]]), "shape (2,), got (2, 1)"),
    "a tensor with a gradient": (
        lambda: Speaks(RuntimeError("Can't call numpy() on Tensor that requires grad."), requires_grad=True),
        "x.detach()",
    ),
    "a bfloat16 tensor": (
        lambda: Speaks(TypeError("Got unsupported ScalarType BFloat16"), dtype="torch.bfloat16"),
        "ml_dtypes",
    ),
    "a sparse tensor": (
        lambda: Speaks(TypeError("can't convert Sparse layout tensor to numpy."), layout="torch.sparse_coo"),
        "x.to_dense()",
    ),
    "a tensor on a device": (
        lambda: Speaks(TypeError("can't convert cuda:0 device type tensor to numpy."), device="cuda:0"),
        "x.cpu()",
    ),
    "DLPack of a device": (lambda: Packed(ONE_TWO, (2, 0)), "got Packed"),
    "a broken sequence": (lambda: Deep(), "got Deep"),
    "an object that breaks without a word": (lambda: Speaks(ValueError()), "got Speaks: ValueError"),
}


def doubled(dtype=float32, shape=(2,)) -> Graph:
    x = input("x", TensorType(dtype, shape))
    return Graph("double", (x,), (ops.Add()(x, x),), ("y",))


GRAPH = doubled()
EXE = minicc.compile(GRAPH)


@pytest.mark.parametrize("case", GOOD)
def test_it_has_the_right_value(case, tmp_path):
    assert EXE(GOOD[case]())[0].tolist() == [2, 4] == EXE.run({"x": GOOD[case]()})["y"].tolist()
    assert EXE(mapped(tmp_path))[0].tolist() == [2, 4]


@pytest.mark.parametrize("case", BAD)
def test_it_is_refused_in_four_parts(case):
    make, words = BAD[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RunError) as caught:
            EXE(make())
    assert words in str(caught.value)
    assert (
        caught.value.call
        and "'x'" in caught.value.problem
        and "double(x: float32[2])" in caught.value.where
        and caught.value.hint
    )


@pytest.mark.parametrize("case", [c for c in BAD if c not in ("one number", "no elements", "a column")])
def test_evaluation_and_binding_refuse_it_too(case):
    for call in (lambda v: evaluate(GRAPH, {"x": v}), lambda v: bind(GRAPH, values={"x": v})):
        with pytest.raises(GraphError) as caught:
            call(BAD[case][0]())
        assert "input x must be float32[2]" in caught.value.problem and caught.value.hint


@pytest.mark.parametrize("case", BAD)
def test_a_constant_of_it_is_a_constant_or_an_error(case):
    try:
        made = constant(BAD[case][0]())
    except GraphError as error:
        assert error.call and "got" in error.problem and error.hint
    else:
        assert made.dtype.numpy == made.op.data.array.dtype


@pytest.mark.parametrize("case", [c for c in GOOD if c != "an array"] + list(BAD))
def test_a_function_takes_arrays_only(case):
    a = te.placeholder((2,), "float32", "A")
    c = te.compute((2,), lambda i: a[i] + a[i], "C")
    function = minicc.build(te.create_schedule(c.op), [a, c])
    value, out = (GOOD[case] if case in GOOD else BAD[case][0])(), np.zeros(2, np.float32)
    if isinstance(value, np.ndarray) and value.dtype == np.float32 and value.shape == (2,) and "mask" not in case:
        function(value, out)
        assert out.tolist() == [2, 4]
    else:
        with pytest.raises(RunError) as caught:
            function(value, out)
        assert "A" in caught.value.problem and caught.value.where and caught.value.hint


@pytest.mark.parametrize(
    ("dtype", "value", "right"),
    [
        (int64, 2**62, 2**63 - 2**63 - 2**63),
        (uint64, 2**63 - 1, 2**64 - 2),
        (int8, 3, 6),
        (float16, 1.5, 3),
        (bfloat16, 1.5, 3),
        (float32, float("inf"), float("inf")),
        (float32, np.float32(3), 6),
        (float32, np.array(3, np.float32), 6),
        (int64, True, 2),
    ],
)
def test_one_number_is_a_scalar(dtype, value, right):
    x = input("x", TensorType(dtype, ()))
    got = minicc.compile(Graph("main", (x,), (ops.Add()(x, x),), ("y",)))(value)[0]
    assert got.shape == () and got.astype(object).item() == right


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (int64, 1.5),
        (int64, float("nan")),
        (int8, 128),
        (uint64, -1),
        (boolean, 2),
        (float16, 1e6),
        (bfloat16, 257),
        (float32, 2**63 - 1),
        (float16, 2049),
        (int64, np.float64(1)),
        (float32, 1e39),
    ],
)
def test_a_number_that_would_change_is_refused(dtype, value):
    x = input("x", TensorType(dtype, ()))
    exe = minicc.compile(Graph("main", (x,), (ops.Identity()(x),), ("y",)))
    with pytest.raises(RunError, match="input 'x' must have"):
        exe(value)


def test_nan_is_kept():
    assert np.isnan(EXE([float("nan"), 1])[0][0])


def test_arrays_without_elements_are_arrays():
    assert minicc.compile(doubled(shape=(0, 3)))(np.zeros((0, 3), np.float32))[0].shape == (0, 3)
    assert minicc.compile(doubled(shape=(0,)))([])[0].shape == (0,)


@pytest.mark.torch
def test_tensors_of_torch():
    import torch

    x = torch.tensor([1.0, 2.0])
    assert EXE(x)[0].tolist() == [2, 4] == EXE(torch.tensor([1, 2]))[0].tolist()
    for value, hint in (
        (x.clone().requires_grad_(), "x.detach()"),
        (x.bfloat16(), "ml_dtypes"),
        (x.to_sparse(), "x.to_dense()"),
        (x.to_sparse_csr() if x.ndim > 1 else x.to_sparse(), "x.to_dense()"),
        (x.to("meta"), "x.cpu()"),
        ([x.clone().requires_grad_(), x], ""),
        (torch.complex(x, x), "x.real"),
    ):
        with pytest.raises(RunError) as caught:
            EXE(value)
        assert hint in caught.value.hint and caught.value.hint
    made = constant(x)
    x += 7
    assert made.op.data.array.tolist() == [1, 2]
    bits = torch.tensor([1.5]).bfloat16().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    assert minicc.compile(doubled(bfloat16, (1,)))(bits)[0].tolist() == [3]


@pytest.mark.parametrize(
    "call",
    [
        lambda: bind(GRAPH, shapes={"x": 5}),
        lambda: bind(GRAPH, shapes={"x": None}),
        lambda: bind(GRAPH, shapes={"x": "ab"}),
        lambda: bind(GRAPH, shapes=[("x", (2,))]),
        lambda: bind(GRAPH, dims=[("n", 2)]),
        lambda: bind(GRAPH, dims={1: 2}),
        lambda: bind(GRAPH, values=[ONE_TWO]),
        lambda: evaluate(GRAPH, [ONE_TWO]),
        lambda: evaluate(GRAPH, None),
        lambda: minicc.compile(GRAPH, input_shapes=[2]),
        lambda: minicc.load(None),
        lambda: minicc.load(5),
        lambda: minicc.compile(ONE_TWO),
    ],
)
def test_arguments_of_a_wrong_kind_are_named(call):
    with pytest.raises(MiniccError, match=r"got|no such") as caught:
        call()
    assert caught.value.call and caught.value.problem


def test_bytes_of_any_kind_are_a_model():
    for source in (bytearray(), memoryview(b"")):
        with pytest.raises(MiniccError, match="got an empty file"):
            minicc.load(source)
