"""Every operator of Python and function of NumPy, on every pair of te things: what NumPy computes, or an error in four parts."""

import math
import operator

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.errors import MiniccError
from minicc.tensor.expr import Expr

DTYPES = ("bool", "int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64")
VALUES = {d: np.array([1, 2, 3, 5], d) if d != "bool" else np.array([True, False, True, True]) for d in DTYPES}
PLACES = {d: te.placeholder((4,), d, name=f"A_{d}") for d in DTYPES}
NUMBERS = (True, 0, 2, -3, 300, 0.5, -1.5, math.inf, 1j, np.int8(2), np.uint64(7), np.float32(0.5), np.float64(2.5), np.bool_(True),
           np.array(3), np.arange(4), "1", None)  # fmt: skip
UNARY = (operator.neg, operator.pos, operator.abs, operator.invert, operator.not_, round, math.floor, math.ceil, math.trunc, bool, float, int,
         complex, len, iter, list, operator.index, math.exp, np.asarray, np.array, np.sum, np.round, np.sort, np.shape)  # fmt: skip
BINARY = (operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow, divmod, operator.matmul,
          operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift, operator.lt, operator.le, operator.gt, operator.ge,
          operator.eq, operator.ne, min, max, te.minimum, te.maximum, te.power, te.fmod, np.dot, operator.contains, operator.getitem)  # fmt: skip
UFUNCS = tuple(f for name in sorted(dir(np)) if isinstance(f := getattr(np, name), np.ufunc) and f.nin < 3)


def things():
    """One thing of each kind."""
    i, k = te.var("i"), te.reduce_axis((0, 4))
    scalar, whole = te.placeholder((), name="S"), PLACES["float32"]
    return [*[p[i] for p in PLACES.values()], i, k, scalar, whole, PLACES["int8"][i] + 1, whole[i] > 0]


def judge(f, *operands):
    """Whether `f` builds an expression or gives a Python value; a MiniccError has four parts; all else is a fault."""
    try:
        result = f(*operands)
    except MiniccError as error:
        assert error.call and error.problem and error.where and error.hint, (f, operands, error)
        return None
    except TypeError as error:  # of two things of which neither is ours to judge, or by Python before it asks us
        assert any(isinstance(x, str) or x is None for x in operands), (f, operands, error)
        return None
    return result


@pytest.mark.parametrize("f", [*UNARY, *[u for u in UFUNCS if u.nin == 1]], ids=lambda f: f.__name__)
def test_of_one(f):
    for thing in things():
        result = judge(f, thing)
        assert result is None or isinstance(result, (Expr, int)), (f, thing, result)


@pytest.mark.parametrize("f", [*BINARY, *[u for u in UFUNCS if u.nin == 2]], ids=lambda f: f.__name__)
def test_of_two(f):
    ours = things()
    swapped = (
        []
        if f in (operator.contains, operator.getitem)
        else [(b, a) for a in ours for b in NUMBERS if not isinstance(b, str)]
    )
    for a, b in [(a, b) for a in ours for b in (*ours, *NUMBERS)] + swapped:
        result = judge(f, a, b)
        parts = result if isinstance(result, tuple) else (result,)
        plain = f in (operator.eq, operator.ne) and any(isinstance(x, str) or x is None for x in (a, b))
        inside = f in (operator.contains, operator.getitem, min, max)
        assert plain or inside or all(p is None or isinstance(p, Expr) for p in parts), (f, a, b, result)


EVALUATED = (*BINARY[:8], *BINARY[9:20], np.logical_xor, np.maximum, np.copysign, np.fmod, np.exp, np.sqrt, np.sign, np.square,
                         np.isfinite, np.rint, operator.neg, operator.invert, np.logical_not, np.fabs)  # fmt: skip


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "float16", "float32"])  # beside each of DTYPES
def test_the_values_are_those_of_numpy(dtype):
    """All operators on one dtype beside each other and beside numbers, in one program, whatever builds."""
    cases, expected = [], []
    for f in EVALUATED:
        others = (
            [()]
            if (isinstance(f, np.ufunc) and f.nin == 1) or f in (operator.neg, operator.invert)
            else [(o,) for o in (*DTYPES, 2, 0.5, np.int8(2))]
        )
        for rest in others:
            try:
                with np.errstate(all="ignore"):
                    want = f(VALUES[dtype], *[VALUES[o] if isinstance(o, str) else o for o in rest])
                i = te.var("i")
                f(PLACES[dtype][i], *[PLACES[o][i] if isinstance(o, str) else o for o in rest])
            except (MiniccError, TypeError, ValueError, OverflowError):
                continue
            cases.append((f, rest))
            expected.append(want)

    def body(i):
        made = []
        for f, rest in cases:
            result = f(PLACES[dtype][i], *[PLACES[o][i] if isinstance(o, str) else o for o in rest])
            made += result if isinstance(result, tuple) else [result]
        return tuple(made)

    outputs = te.compute((4,), body)
    flat = [w for want in expected for w in (want if isinstance(want, tuple) else (want,))]
    names = [
        f"{f.__name__}{rest}"
        for (f, rest), want in zip(cases, expected, strict=True)
        for _ in (want if isinstance(want, tuple) else (want,))
    ]
    results = [np.zeros(4, dtype=t.dtype) for t in outputs]
    program = minicc.lower(te.create_schedule(list(outputs)), [*PLACES.values(), *outputs])
    minicc.build(program)(*[VALUES[d] for d in DTYPES], *results)
    for name, got, want in zip(names, results, flat, strict=True):
        assert got.dtype == want.dtype, name
        assert np.allclose(
            got.astype(np.float64),
            want.astype(np.float64),
            rtol=2e-3 if got.dtype == np.float16 else 1e-6,
            atol=0,
            equal_nan=True,
        ), (name, got, want)
