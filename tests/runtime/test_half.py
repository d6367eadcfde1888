"""The conversions of float16 for processors without instructions for them, beside NumPy's, on every float16."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from minicc.runtime import jit
from minicc.runtime.half import CONVERSIONS
from minicc.target import Target

LOOPS = """
define void @widen(ptr %from, ptr %to, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %source = getelementptr half, ptr %from, i64 %i
  %target = getelementptr float, ptr %to, i64 %i
  %x = load half, ptr %source
  %y = call float @__extendhfsf2(half %x)
  store float %y, ptr %target
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
define void @narrow(ptr %from, ptr %to, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %source = getelementptr float, ptr %from, i64 %i
  %target = getelementptr half, ptr %to, i64 %i
  %x = load float, ptr %source
  %y = call half @__truncsfhf2(float %x)
  store half %y, ptr %target
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
define void @narrow_double(ptr %from, ptr %to, i64 %n) {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %source = getelementptr double, ptr %from, i64 %i
  %target = getelementptr half, ptr %to, i64 %i
  %x = load double, ptr %source
  %y = call half @__truncdfhf2(double %x)
  store half %y, ptr %target
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""
HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


@pytest.fixture(scope="module")
def convert():
    target = Target.native()
    library = jit.load(
        [jit.optimize((CONVERSIONS + LOOPS).replace("@__", "@our_"), target).object],
        ["widen", "narrow", "narrow_double"],
        target,
    )
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

    def run(name, x, dtype):
        out = np.empty(x.shape, dtype)
        library.function(name, kind)(x.ctypes.data, out.ctypes.data, x.size)
        return out

    return run


def test_every_float16_widens_exactly(convert):
    wide = convert("widen", HALVES, np.float32)
    np.testing.assert_array_equal(wide, HALVES.astype(np.float32))
    assert (np.signbit(wide) == np.signbit(HALVES)).all()


def test_float32_narrows_to_nearest_even_at_every_midpoint_and_beside_it(convert):
    finite = np.sort(HALVES[np.isfinite(HALVES) & (HALVES >= 0)].astype(np.float64))
    middles = ((finite[:-1] + finite[1:]) / 2).astype(np.float32)  # a float32 holds each exactly
    limit = np.float32(65520)  # the middle between the greatest float16 and 2**16
    x = np.concatenate([finite.astype(np.float32), middles, [limit, np.inf, np.nan, 1e-45, 3e38]]).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(0)), np.nextafter(x, np.float32(np.inf))])
    x = np.concatenate([x, -x])
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    got = convert("narrow", x, np.float16)
    np.testing.assert_array_equal(got, expected)
    number = ~np.isnan(x)
    assert (np.signbit(got) == np.signbit(expected))[number].all()


def test_float64_narrows_once(convert):
    finite = np.sort(HALVES[np.isfinite(HALVES) & (HALVES >= 0)].astype(np.float64))
    middles = np.append((finite[:-1] + finite[1:]) / 2, 65520.0)
    x = np.concatenate([finite, middles, middles * (1 + 1e-12), middles * (1 - 1e-12), [np.inf, np.nan, 5e-324, 1e300]])
    x = np.concatenate([x, -x])
    with np.errstate(over="ignore", under="ignore"):
        np.testing.assert_array_equal(convert("narrow_double", x, np.float16), x.astype(np.float16))
