"""float16 on processors that cannot convert it: the functions that LLVM calls there.

x86-64 has instructions for it since F16C (2012). Without them LLVM calls `__extendhfsf2`, `__truncsfhf2`
and `__truncdfhf2`, which not every C library brings, so they are given here, in LLVM IR. A float16 has
5 bits of exponent where a float32 has 8: moved to the place of a float32, its value is 2**112 times
too small, and one multiplication mends that for denormals as well.

(Giesen, Half to float done quick, 2010, and its inverse: additions round to nearest, ties to even.)
A float64 goes through the float32 that is rounded to odd, so that the second rounding errs no more than
one at once would (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008).
"""

from __future__ import annotations

CONVERSIONS = """
define float @__extendhfsf2(half %h) {
  %short = bitcast half %h to i16
  %bits = zext i16 %short to i32
  %sign.low = and i32 %bits, 32768
  %sign = shl i32 %sign.low, 16
  %size = and i32 %bits, 32767
  %moved = shl i32 %size, 13
  %small = bitcast i32 %moved to float
  %scaled = fmul float %small, 0x46F0000000000000        ; 2**112
  %finite = bitcast float %scaled to i32
  %special = icmp uge i32 %size, 31744                   ; infinity and NaN keep a full exponent
  %full = or i32 %finite, 2139095040
  %kept = select i1 %special, i32 %full, i32 %finite
  %signed = or i32 %kept, %sign
  %result = bitcast i32 %signed to float
  ret float %result
}

define half @__truncsfhf2(float %x) {
  %bits = bitcast float %x to i32
  %size = and i32 %bits, 2147483647
  %sign = and i32 %bits, -2147483648
  %value = bitcast i32 %size to float
  %shifted = fadd float %value, 5.0e-01                  ; the unit of 0.5 is the least float16
  %shifted.bits = bitcast float %shifted to i32
  %denormal = sub i32 %shifted.bits, 1056964608
  %last.place = lshr i32 %size, 13
  %last = and i32 %last.place, 1
  %biased = add i32 %size, -939520001                    ; (15 - 127) << 23, and half a unit less one
  %rounded = add i32 %biased, %last
  %normal = lshr i32 %rounded, 13
  %payload = and i32 %last.place, 1023
  %quiet = or i32 %payload, 32256
  %is.nan = icmp ugt i32 %size, 2139095040
  %is.huge = icmp uge i32 %size, 1199570944              ; 2**16
  %is.tiny = icmp ult i32 %size, 947912704               ; 2**-14
  %finite = select i1 %is.tiny, i32 %denormal, i32 %normal
  %bounded = select i1 %is.huge, i32 31744, i32 %finite
  %chosen = select i1 %is.nan, i32 %quiet, i32 %bounded
  %sign.low = lshr i32 %sign, 16
  %signed = or i32 %chosen, %sign.low
  %short = trunc i32 %signed to i16
  %result = bitcast i16 %short to half
  ret half %result
}

define half @__truncdfhf2(double %x) {
  %near = fptrunc double %x to float
  %back = fpext float %near to double
  %size.x = call double @llvm.fabs.f64(double %x)
  %size.back = call double @llvm.fabs.f64(double %back)
  %too.big = fcmp ogt double %size.back, %size.x
  %inexact = fcmp one double %back, %x
  %bits = bitcast float %near to i32
  %less = sext i1 %too.big to i32
  %toward.zero = add i32 %bits, %less
  %odd = or i32 %toward.zero, 1
  %chosen = select i1 %inexact, i32 %odd, i32 %bits
  %single = bitcast i32 %chosen to float
  %result = call half @__truncsfhf2(float %single)
  ret half %result
}

declare double @llvm.fabs.f64(double)
"""
