"""The printed program is Python that runs, with the dtypes and the wrap-around of machine code."""

import numpy as np
import pytest
from loop_cases import CASES

from minicc import te
from minicc.loop import Buffer, Program, prelude, run_python
from minicc.loop.ir import Alloc, For, If, Store, Update, seq
from minicc.tensor.expr import Binary, Call, Convert, Select, Unary, Var, binary, call, const, loads
from minicc.types import DType, bfloat16, float16, float32, float64, int8, int32, int64, uint8, uint64


def evaluate(e: object, **arrays: np.ndarray) -> np.ndarray:
    """The value of an expression, stored into a 0-d array of its dtype."""
    params = tuple({x.source: None for x in loads(e)})
    out = Buffer("out", e.dtype, ())  # type: ignore[attr-defined]
    result = np.zeros((), out.dtype.numpy)
    run_python(Program("f", params, (out,), Store(out, (), e)), *[arrays[p.name] for p in params], result)  # type: ignore[arg-type]
    return result


def scalar(name: str, dtype: DType) -> object:
    return Buffer(name, dtype, ())[()]


def test_golden_matmul() -> None:
    assert (
        str(CASES["matmul"].program)
        == """\
from minicc.loop.prelude import first

def kernel(A, B, C):
    # A: float32[4,6], B: float32[6,5] -> C: float32[4,5]
    for i in range(4):
        for j in range(5):
            for k in range(6):
                if first(k):
                    C[i, j] = 0.0
                C[i, j] = C[i, j] + A[i, k]*B[k, j]
"""
    )


def test_golden_scan() -> None:
    assert (
        str(CASES["scan"].program)
        == """\
from minicc.loop.prelude import empty, first, float32

def kernel(x, s):
    # x: float32[n,3] -> s: float32[n,3]
    n = x.shape[0]
    half = empty((n, 3), float32)
    for t in range(1):
        if t < n:
            for j in range(3):
                s[t, j] = x[t, j]*0.5
    for t_1 in range(n - 1):
        for j_1 in range(3):
            half[t_1 + 1, j_1] = s[t_1 + 1 - 1, j_1]*0.5
        for j_2 in range(3):
            for k in range(3):
                if first(k):
                    s[t_1 + 1, j_2] = 0.0
                s[t_1 + 1, j_2] = s[t_1 + 1, j_2] + half[t_1 + 1, k]*x[t_1 + 1, j_2]
"""
    )


def test_golden_kinds_scopes_and_literals() -> None:
    a, b, c = Buffer("A", float32, (8,)), Buffer("B", float16, (8,)), Buffer("acc", float32, (), "local")
    i, j, k, m = (Var(n) for n in "ijkm")
    body = seq(
        For(m, 2, For(i, 4, Store(b, (m * 4 + i,), Convert(call("exp", const(0.1, float32)), float16)), "vectorize"), "blockIdx.x"),
        For(j, 8, Alloc(c, seq(
            For(k, 8, Update((c,), (), (c[()] + a[k] * 2,), (const(0.0, float32),), (k,)), "tensorize"),
            If(j < 4, Store(b, (j,), Convert(c[()], float16))))), "parallel"),
        Store(b, (const(0),), const(0.1, float16)),
    )  # fmt: skip
    program = Program("kinds", (a,), (b,), body)
    assert (
        str(program)
        == """\
from minicc.loop.prelude import blockIdx, empty, exp, first, float16, float32, parallel, vectorize

def kinds(A, B):
    # A: float32[8] -> B: float16[8]
    for m in blockIdx.x(2):
        for i in vectorize(4):
            B[m*4 + i] = float16(exp(float32(0.1)))
    for j in parallel(8):
        acc = empty((), float32)  # local
        for k in range(8):  # tensorize
            if first(k):
                acc[()] = 0.0
            acc[()] = acc[()] + A[k]*2.0
        if j < 4:
            B[j] = float16(acc[()])
    B[0] = 0.1
"""
    )
    assert repr(program) == str(program)


def test_golden_tuple_update_and_empty_body() -> None:
    assert "            if first(k):\n                M_v0[i], M_v1[i] = -inf, 0\n" in str(CASES["argmax"].program)
    program = Program("nothing", (), (), For(Var("i"), 4, seq()))
    assert str(program) == "def nothing():\n    # -> \n    for i in range(4):\n        pass\n"


def test_the_source_runs_by_itself() -> None:
    names: dict = {}
    exec(str(CASES["matmul"].program), names)
    a, b, c = np.ones((4, 6), np.float32), np.ones((6, 5), np.float32), np.zeros((4, 5), np.float32)
    names["kernel"](a, b, c)
    assert (c == 6).all()


def test_prelude_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sinus'"):
        _ = prelude.sinus


@pytest.mark.parametrize("dtype", [float16, bfloat16, float32, float64], ids=repr)
def test_literals_keep_the_dtype(dtype: DType) -> None:
    x = np.asarray(1.7).astype(dtype.numpy)
    a = scalar("a", dtype)
    t, h = dtype.numpy.type(0.1), dtype.numpy.type(0.5)
    e = (a * 0.1 + 0.5) * a + te.if_then_else(a < 0.5, const(0.1, dtype), const(0.5, dtype)) * 0.1  # type: ignore[operator]
    assert evaluate(e, a=x) == (x[()] * t + h) * x[()] + h * t


@pytest.mark.parametrize("value", [0.1, 1e30, 3.4028234663852886e38, 1e-45, -0.0, 16777216.0, float("inf"), 2 / 3])
def test_literals_are_exact(value: float) -> None:
    e = const(value, float32)
    got = evaluate(e)
    assert got.tobytes() == np.float32(value).tobytes()
    assert np.isnan(evaluate(const(float("nan"), float16)))


def test_integers_wrap() -> None:
    a, b = scalar("a", int8), scalar("b", uint8)
    assert evaluate(a * 2 + 100, a=np.array(100, np.int8)) == np.int8((200 + 100 + 128) % 256 - 128)  # type: ignore[operator]
    assert evaluate(b - 5, b=np.array(3, np.uint8)) == 254  # type: ignore[operator]
    assert evaluate(binary("add", const(100, int8), const(100, int8))) == -56
    assert evaluate(Convert(const(300), int8)) == 44
    big = Binary("add", const(2**63 - 1), const(1))
    assert evaluate(big) == -(2**63)
    assert evaluate(Unary("not", a), a=np.array(5, np.int8)) == -6  # type: ignore[arg-type]
    assert evaluate(Unary("abs", a), a=np.array(-128, np.int8)) == -128  # type: ignore[arg-type]


@pytest.mark.parametrize("a, b", [(7, 2), (-7, 2), (7, -2), (-7, -2), (6, 3), (-6, 3), (5, 0), (-5, 0), (0, 3)])
@pytest.mark.parametrize("dtype", [int8, int32, int64], ids=repr)
def test_divisions(a: int, b: int, dtype: DType) -> None:
    trunc = int(a / b) if b else 0
    expected = {
        "truncdiv": trunc,
        "truncmod": a - trunc * b if b else 0,
        "floordiv": a // b if b else 0,
        "floormod": a % b if b else 0,
    }
    x, y = scalar("x", dtype), scalar("y", dtype)
    arrays = {"x": np.array(a, dtype.numpy), "y": np.array(b, dtype.numpy)}
    for op, want in expected.items():
        assert evaluate(Binary(op, x, y), **arrays) == want  # type: ignore[arg-type]
        assert evaluate(Binary(op, x, const(b, dtype)), **arrays) == want  # type: ignore[arg-type]
        assert evaluate(Binary(op, const(a, dtype), y), **arrays) == want  # type: ignore[arg-type]
        assert evaluate(Binary(op, const(a, dtype), const(b, dtype))) == want


def test_unsigned_division() -> None:
    x = scalar("x", uint64)
    assert evaluate(Binary("truncdiv", x, const(3, uint64)), x=np.array(2**64 - 1, np.uint64)) == (2**64 - 1) // 3  # type: ignore[arg-type]


def test_nan_propagates_and_comparisons_with_it_are_false() -> None:
    x, nan = scalar("x", float32), np.array(np.nan, np.float32)
    for op in ("min", "max"):
        assert np.isnan(evaluate(Binary(op, x, const(1.0, float32)), x=nan))  # type: ignore[arg-type]
        assert np.isnan(evaluate(Binary(op, const(1.0, float32), x), x=nan))  # type: ignore[arg-type]
    assert not evaluate(x < 1.0, x=nan)  # type: ignore[operator]
    assert evaluate(x / 0.0, x=np.array(1.0, np.float32)) == np.inf  # type: ignore[operator]


def test_casts_never_raise() -> None:
    for value in (np.nan, np.inf, 1e30, -1e30):
        x = scalar("x", float32)
        for dtype in DType.table.values():
            evaluate(Convert(x, dtype), x=np.array(value, np.float32))  # type: ignore[arg-type]
    assert evaluate(Convert(scalar("x", float32), float16), x=np.array(1e30, np.float32)) == np.inf  # type: ignore[arg-type]


def test_bitcast() -> None:
    assert evaluate(Call("bitcast", (scalar("x", float32),), int32), x=np.array(1.0, np.float32)) == 0x3F800000  # type: ignore[arg-type]
    assert evaluate(Call("bitcast", (const(0x3FF0000000000000),), float64)) == 1.0


def test_select_evaluates_one_branch() -> None:
    a = Buffer("A", float32, (2,))
    out, i = Buffer("B", float32, (4,)), Var("i")
    program = Program("f", (a,), (out,), For(i, 4, Store(out, (i,), Select(i < 2, a[i], const(9.0, float32)))))
    result = np.zeros(4, np.float32)
    run_python(program, np.array([1, 2], np.float32), result)
    assert result.tolist() == [1, 2, 9, 9]


def test_an_uninitialised_read_shows() -> None:
    for dtype in DType.table.values():
        array = prelude.empty((2,), dtype)
        assert array.dtype == dtype.numpy
        assert all(x != x or x == np.array(-1).astype(dtype.numpy) for x in array)
