"""Narrow floats are computed in float32."""

import numpy as np
import pytest
from loop_cases import CASES, check, draw, run

from minicc.loop import Buffer, Program
from minicc.loop.ir import Alloc, For, If, Stmt, Store, Update, expressions, seq, walk
from minicc.loop.place_init import place_init
from minicc.loop.widen_floats import NARROW, widen_floats
from minicc.tensor.expr import Binary, Call, Convert, Expr, Load, Select, Unary, Var, call, const
from minicc.tensor.expr import walk as walk_expr
from minicc.types import DType, bfloat16, boolean, float16, float32, float64, int16, int32

i, k = Var("i"), Var("k")


def narrow_arithmetic(s: Stmt) -> list:
    found = (e for t in walk(s) for e in walk_expr(*expressions(t)))
    return [
        e
        for e in found
        if isinstance(e, (Binary, Unary, Select, Call))
        and any(x.dtype in NARROW for x in (e, *getattr(e, "args", ())))
        and getattr(e, "name", "") != "bitcast"
    ]


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    program = CASES[name].program
    made = widen_floats(program)
    check(made, CASES[name], n=4)
    check(place_init(made), CASES[name], n=4)
    assert not narrow_arithmetic(made.body)
    assert widen_floats(made) is made
    assert (made is program) == (name not in ("float16", "bfloat16", "matmul16"))


def test_golden() -> None:
    a, b, acc = Buffer("A", float16, (4, 8)), Buffer("B", float16, (4,)), Buffer("acc", float16, (), "local")
    update = Update((acc,), (), (acc[()] + a[i, k] * 0.1,), (const(0.0, float16),), (k,))
    copy = Store(b, (i,), a[i, 0])
    body = For(i, 4, seq(copy, Alloc(acc, seq(For(k, 8, update), If(acc[()] < 9.0, Store(b, (i,), acc[()]))))))
    assert (
        str(widen_floats(Program("rows", (a,), (b,), body)))
        == """\
from minicc.loop.prelude import empty, first, float16, float32

def rows(A, B):
    # A: float16[4,8] -> B: float16[4]
    for i in range(4):
        B[i] = A[i, 0]
        acc = empty((), float32)  # local
        for k in range(8):
            if first(k):
                acc[()] = 0.0
            acc[()] = acc[()] + float32(A[i, k])*0.099975586
        if float32(float16(acc[()])) < 9.0:
            B[i] = float16(acc[()])
"""
    )


@pytest.mark.parametrize("dtype", NARROW, ids=repr)
def test_casts_round_and_bits_are_kept(dtype: DType) -> None:
    a, n = Buffer("A", float32, (16,)), Buffer("N", int32, (16,))
    outputs = [
        Buffer(f"O{d}", t, (16,)) for d, t in enumerate((dtype, float32, float64, int32, int16, dtype, boolean, dtype))
    ]
    rounded = Convert(a[i], dtype)
    values = [
        rounded,
        Convert(rounded, float32),
        Convert(rounded, float64),
        Convert(rounded, int32),
        Call("bitcast", (rounded,), int16),
        Call("bitcast", (Convert(n[i], int16),), dtype),
        call("isnan", rounded, dtype=boolean),
        Convert(n[i], dtype),
    ]
    body = For(i, 16, seq(*[Store(o, (i,), v) for o, v in zip(outputs, values, strict=True)]))
    program = Program("casts", (a, n), tuple(outputs), body)
    made = widen_floats(program)
    assert not narrow_arithmetic(made.body)
    arrays = draw(program)
    for before, after in zip(run(program, arrays), run(made, arrays), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_symbolic_extent_is_kept() -> None:
    n = Var("n")
    a = Buffer("A", bfloat16, (n,))
    program = Program(
        "double",
        (a,),
        (Buffer("B", bfloat16, (n,)),),
        For(i, n, Store(Buffer("B", bfloat16, (n,)), (i,), Load(a, (i,)) * 2.0)),
    )
    arrays = draw(program, n=5)
    (got,) = run(widen_floats(program), arrays)
    np.testing.assert_array_equal(got, arrays[0] * bfloat16.numpy.type(2))


def test_a_copy_on_its_way_stays_as_it_is() -> None:
    x, y, tile = Buffer("x", float16, (8,)), Buffer("y", float16, (8,)), Buffer("tile", float16, (8,), "local")

    def through(value: Expr) -> Program:
        body = seq(For(i, 8, Store(tile, (i,), x[i])), For(k, 8, Store(y, (k,), value)))
        return Program("copy", (x,), (y,), Alloc(tile, body))

    copied, computed = widen_floats(through(tile[k])), widen_floats(through(tile[k] + 1.0))
    dtypes = [s.buffer.dtype for p in (copied, computed) for s in walk(p.body) if isinstance(s, Alloc)]
    assert dtypes == [float16, float32]
