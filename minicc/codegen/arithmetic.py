"""The operators of expressions as LLVM instructions, on scalars and on vectors alike.

In: operands of one LLVM type, and the dtype that says how to read them. Out: the value. A bool is
an `i1`, all other dtypes are what LLVM calls them. Of the 16-bit floats there is nothing but conversions
(`loop.widen_floats`): bfloat16 is its bits as `i16`, float16 is `half`.

Where C leaves a hole, this does not: integers wrap around, an integer divided by 0 is 0, a shift
by more than the width shifts everything out, and a float out of the range of an integer saturates
(int32, int64, uint64; NaN gives 0), the shorter integers take the low bits of that. LLVM may take no
liberty with floats but one: the product and the sum of a reduction's update (`flags`) carry the flag
`contract`, so that it may make a fused multiply-add of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import llvmlite.ir as ir

from minicc.tensor.promote import FOLDS
from minicc.types import DType, bfloat16, boolean, float16, float32, float64

POINTER, INT64, INT32, BYTE, BIT = ir.PointerType(), *[ir.IntType(bits) for bits in (64, 32, 8, 1)]
FUSE = ("contract",)

_FLOAT_OPS = {"add": "fadd", "sub": "fsub", "mul": "fmul"}
_INT_OPS = {"add": "add", "sub": "sub", "mul": "mul", "bitand": "and_", "bitor": "or_", "bitxor": "xor",
            "and": "and_", "or": "or_"}  # fmt: skip
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<="}
_FOLDED = {"add", "sub", "mul", "floordiv", "floormod", *_COMPARE}
_FLOATS: dict[DType, ir.Type] = {float16: ir.HalfType(), float32: ir.FloatType(), float64: ir.DoubleType()}
_ROUNDING = {"floor": "llvm.floor", "ceil": "llvm.ceil", "round": "llvm.roundeven", "trunc": "llvm.trunc"}

PRIMITIVES = frozenset(
    {
        "sqrt",
        "fabs",
        "fma",
        "ldexp",
        "copysign",
        "isnan",
        "isinf",
        "fmod",
        "bitcast",
        "int_pow",
        "dot4",
        "dot2",
        *_ROUNDING,
    }
)


def register_type(dtype: DType) -> ir.Type:
    """The LLVM type of a value of `dtype`."""
    return BIT if dtype is boolean else memory_type(dtype)


def memory_type(dtype: DType) -> ir.Type:
    """The LLVM type of an element in memory."""
    return _FLOATS.get(dtype) or ir.IntType(dtype.bits)


def lanes_of(value: ir.Value) -> int:
    """The number of lanes of a vector, 0 for a scalar."""
    return value.type.count if isinstance(value.type, ir.VectorType) else 0


def known(value: ir.Value) -> Any:
    """The number that a constant (or a vector of one constant) holds, else None."""
    held = value.constant if isinstance(value, ir.Constant) else None
    if isinstance(held, list):
        held = held[0].constant if len({item.constant for item in held}) == 1 else None
    return held if isinstance(held, (int, float)) else None


def like(scalar: ir.Type, value: ir.Value) -> ir.Type:
    """A scalar type in as many lanes as `value` has."""
    return ir.VectorType(scalar, lanes) if (lanes := lanes_of(value)) else scalar


def mangled(type: ir.Type) -> str:
    """A type in the name of an intrinsic."""
    return f"v{type.count}{type.element.intrinsic_name}" if isinstance(type, ir.VectorType) else type.intrinsic_name


def _signed(value: int, bits: int) -> int:
    return (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


class Arithmetic:
    """Emits at the position of `builder`."""

    def __init__(self, builder: ir.IRBuilder, has: Callable[[str], bool]) -> None:
        self.builder = builder
        self.has = has  # a feature of the processor
        self.flags: tuple[str, ...] = ()  # of the next addition or multiplication of floats

    @property
    def module(self) -> ir.Module:
        return self.builder.module

    # ---- constants, lanes, calls ----------------------------------------------------------------

    def constant(self, value: Any, type: ir.Type) -> ir.Constant:
        """`value` of an LLVM type, in every lane of it."""
        if isinstance(type, ir.VectorType):
            return ir.Constant(type, [ir.Constant(type.element, value)] * type.count)
        return ir.Constant(type, value)

    def literal(self, value: Any, dtype: DType) -> ir.Constant:
        """A literal of `dtype`."""
        if dtype is bfloat16:
            return ir.Constant(ir.IntType(16), int(dtype.numpy.type(value).view("uint16")))
        return ir.Constant(register_type(dtype), _signed(int(value), dtype.bits) if dtype.is_integer else value)

    def broadcast(self, value: ir.Value, lanes: int) -> ir.Value:
        """A scalar in each of `lanes` lanes; a vector, or anything for 0 lanes, stays."""
        if not lanes or lanes_of(value):
            return value
        type = ir.VectorType(value.type, lanes)
        if isinstance(value, ir.Constant):
            return ir.Constant(type, [value] * lanes)
        first = self.builder.insert_element(ir.Constant(type, ir.Undefined), value, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, lanes), None)
        return self.builder.shuffle_vector(first, ir.Constant(type, ir.Undefined), zeros)

    def shuffled(self, a: ir.Value, b: ir.Value, order: range) -> ir.Value:
        """Lanes by number, those of `b` counted on from those of `a`."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(order)), list(order)))

    def reversed(self, value: ir.Value) -> ir.Value:
        """The lanes from last to first."""
        return self.shuffled(value, ir.Constant(value.type, ir.Undefined), range(lanes_of(value) - 1, -1, -1))

    def alike(self, values: Sequence[ir.Value]) -> list[ir.Value]:
        """The values, scalars broadcast where there is a vector."""
        lanes = max(map(lanes_of, values), default=0)
        return [self.broadcast(v, lanes) for v in values]

    def external(self, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
        """The declaration of a function that the module does not define."""
        kind = ir.FunctionType(result, arguments)
        return self.module.globals.get(name) or ir.Function(self.module, kind, name)

    def named(self, name: str, result: ir.Type, *args: ir.Value) -> ir.Value:
        """A call of a function that the module does not define."""
        return self.builder.call(self.external(name, result, *[a.type for a in args]), args)

    def intrinsic(self, name: str, *args: ir.Value, result: ir.Type | None = None) -> ir.Value:
        """A call of an LLVM intrinsic that is overloaded on its result and first argument."""
        types = [args[0].type] if result is None else [result, args[0].type]
        return self.named(".".join([name, *map(mangled, types)]), types[0], *args)

    # ---- binary ---------------------------------------------------------------------------------

    def binary(
        self,
        op: str,
        dtype: DType,
        a: ir.Value,
        b: ir.Value,
        numbers: Sequence[bool] = (False, False),
        natural: bool = False,
    ) -> ir.Value:
        """`a op b`. `numbers` tells which operands are never NaN, `natural` that `a` is never negative."""
        a, b = self.alike([a, b])
        if (folded := self._fold(op, dtype, a, b)) is not None:
            return folded
        if op in _COMPARE:
            return self._compare(op, dtype, a, b)
        if dtype.is_float:
            return self._float(op, a, b, numbers)
        if op in _INT_OPS:
            return getattr(self.builder, _INT_OPS[op])(a, b)
        if op in ("min", "max"):
            less = self._compare("lt", dtype, a, b)
            return self.builder.select(less, a, b) if op == "min" else self.builder.select(less, b, a)
        if op in ("shl", "shr"):
            return self._shift(op, dtype, a, b)
        return self._divide(op, dtype, a, b, natural)

    def _fold(self, op: str, dtype: DType, a: ir.Value, b: ir.Value) -> ir.Value | None:
        """Sums and products of known integers, which unrolling makes."""
        x, y = known(a), known(b)
        if op not in _FOLDED or lanes_of(a) or dtype.kind != "int" or x is None or y is None:
            return None
        value = int(FOLDS[op](x, y))
        return BIT(value) if op in _COMPARE else ir.Constant(a.type, _signed(value, dtype.bits))

    def _compare(self, op: str, dtype: DType, a: ir.Value, b: ir.Value) -> ir.Value:
        if dtype.is_float:
            emit = self.builder.fcmp_unordered if op == "ne" else self.builder.fcmp_ordered
        else:
            emit = self.builder.icmp_signed if dtype.kind == "int" else self.builder.icmp_unsigned
        return emit(_COMPARE[op], a, b)

    def _float(self, op: str, a: ir.Value, b: ir.Value, numbers: Sequence[bool]) -> ir.Value:
        b_ = self.builder
        if op in _FLOAT_OPS:
            return getattr(b_, _FLOAT_OPS[op])(a, b, flags=self.flags)
        if op in ("min", "max"):
            return self._extremum("<" if op == "min" else ">", a, b, numbers)
        if op.endswith("div"):
            quotient = b_.fdiv(a, b)
            return quotient if op == "div" else self.intrinsic(_ROUNDING[op.removesuffix("div")], quotient)
        rest = b_.frem(a, b)
        if op == "truncmod":
            return rest
        zero = self.constant(0.0, a.type)
        differ = b_.xor(b_.fcmp_ordered("<", rest, zero), b_.fcmp_ordered("<", b, zero))
        wrong = b_.and_(differ, b_.fcmp_unordered("!=", rest, zero))
        return b_.select(wrong, b_.fadd(rest, b), rest)

    def _extremum(self, sign: str, a: ir.Value, b: ir.Value, numbers: Sequence[bool]) -> ir.Value:
        """x86's minps and maxps give the second operand when either is NaN: put what may be NaN there.

        Where both may be, it is the second that is looked at: of a reduction that is the new element, and not what the
        next step waits for. It gives a NaN that is a constant, as LLVM would merge two selections of one element into
        one, of a mask that the next step waits for.
        """
        if numbers[0] or numbers[1]:
            a, b = (a, b) if numbers[0] else (b, a)
            return self.builder.select(self.builder.fcmp_ordered(sign, a, b), a, b)
        best = self.builder.select(self.builder.fcmp_ordered(sign, b, a), b, a)
        nan = self.constant(math.nan, b.type)
        return self.builder.select(self.builder.fcmp_unordered("uno", b, b), nan, best)

    def _shift(self, op: str, dtype: DType, a: ir.Value, b: ir.Value) -> ir.Value:
        fits = self.builder.icmp_unsigned("<", b, self.constant(dtype.bits, a.type))
        if op == "shr" and dtype.kind == "int":
            return self.builder.ashr(a, self.builder.select(fits, b, self.constant(dtype.bits - 1, a.type)))
        zero = self.constant(0, a.type)
        shift = self.builder.shl if op == "shl" else self.builder.lshr
        return self.builder.select(fits, shift(a, self.builder.select(fits, b, zero)), zero)

    # ---- integer division -----------------------------------------------------------------------

    def _divide(self, op: str, dtype: DType, a: ir.Value, b: ir.Value, natural: bool) -> ir.Value:
        """Quotient or remainder, rounded towards zero or down; never traps."""
        divisor = known(b)
        if divisor == 0:
            return self.constant(0, a.type)
        unsigned, positive = dtype.kind == "uint", divisor is not None and divisor > 0
        ways = self._natural if unsigned or (natural and positive) else self._by_positive if positive else self._by_any
        divide = partial(ways, op, a)
        if positive or (unsigned and divisor is not None):
            return divide(b)
        zero = self.builder.icmp_unsigned("==", b, self.constant(0, b.type))
        result = divide(self.builder.select(zero, self.constant(1, b.type), b))
        return self.builder.select(zero, self.constant(0, b.type), result)

    def _natural(self, op: str, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.builder.udiv(a, b) if op.endswith("div") else self.builder.urem(a, b)

    def _by_positive(self, op: str, a: ir.Value, b: ir.Value) -> ir.Value:
        if op == "truncdiv":
            return self.builder.sdiv(a, b)
        rest = self.builder.srem(a, b)
        if op == "truncmod":
            return rest
        below = self.builder.icmp_signed("<", rest, self.constant(0, a.type))
        return self._rounded_down(op, lambda: self.builder.sdiv(a, b), rest, below, b)

    def _by_any(self, op: str, a: ir.Value, b: ir.Value) -> ir.Value:
        """By a divisor that is not 0; by -1 the quotient is -a, as the machine's division may trap."""
        b_, zero = self.builder, self.constant(0, a.type)
        minus = b_.icmp_signed("==", b, self.constant(-1, b.type))
        safe = b_.select(minus, self.constant(1, b.type), b)
        quotient = b_.select(minus, b_.sub(zero, a), b_.sdiv(a, safe))
        if op == "truncdiv":
            return quotient
        rest = b_.sub(a, b_.mul(quotient, b))
        if op == "truncmod":
            return rest
        wrong = b_.and_(b_.icmp_signed("!=", rest, zero), b_.icmp_signed("<", b_.xor(rest, b), zero))
        return self._rounded_down(op, lambda: quotient, rest, wrong, b)

    def _rounded_down(self, op: str, quotient: Callable[[], Any], rest: Any, wrong: Any, b: ir.Value) -> ir.Value:
        """Of a quotient and a rest that round towards zero, which is `wrong` where they have not rounded down."""
        if op == "floormod":
            return self.builder.select(wrong, self.builder.add(rest, b), rest)
        return self.builder.add(quotient(), self.builder.sext(wrong, rest.type))

    # ---- unary, casts, primitives ---------------------------------------------------------------

    def unary(self, op: str, dtype: DType, a: ir.Value) -> ir.Value:
        b_, zero = self.builder, self.constant(0, a.type)
        if op == "not":
            return b_.xor(a, self.constant(1 if dtype is boolean else -1, a.type))
        if dtype.is_float:
            return b_.fneg(a) if op == "neg" else self.intrinsic("llvm.fabs", a)
        if op == "abs" and dtype.kind != "int":
            return a
        if (value := known(a)) is not None and op == "neg" and not lanes_of(a):
            return ir.Constant(a.type, _signed(-value, dtype.bits))
        negated = b_.sub(zero, a)
        return negated if op == "neg" else b_.select(b_.icmp_signed("<", a, zero), negated, a)

    def cast(self, a: ir.Value, source: DType, dtype: DType, fits: bool = False) -> ir.Value:
        """`a` of dtype `source` converted to `dtype`; a float that `fits` is a number that an int32 holds."""
        if source is dtype:
            return a
        if source is bfloat16:
            return self.cast(self._widen_bfloat16(a), float32, dtype)
        if dtype is bfloat16:
            return self._narrow_bfloat16(self.cast(a, source, float32))
        if dtype is boolean:
            return self._compare("ne", source, a, self.constant(0.0 if source.is_float else 0, a.type))
        target = like(memory_type(dtype), a)
        if dtype.is_float:
            return self._to_float(a, source, dtype, target)
        if source.is_float:
            return self._to_integer(a, source, dtype, target, fits)
        if source.bits > dtype.bits:
            return self.builder.trunc(a, target)
        if source.bits == dtype.bits and source is not boolean:
            return a
        return self.builder.sext(a, target) if source.kind == "int" else self.builder.zext(a, target)

    def _to_float(self, a: ir.Value, source: DType, dtype: DType, target: ir.Type) -> ir.Value:
        if not source.is_float:
            return self.builder.sitofp(a, target) if source.kind == "int" else self.builder.uitofp(a, target)
        if dtype.bits > source.bits:
            return self.builder.fpext(a, target)
        if source is float64 and dtype is float16:  # LLVM would call a function that is not in libm
            a = self._round_to_odd(a)
        return self.builder.fptrunc(a, target)

    def _to_integer(self, a: ir.Value, source: DType, dtype: DType, target: ir.Type, fits: bool) -> ir.Value:
        if dtype.name == "uint64":
            return self.intrinsic("llvm.fptoui.sat", a, result=target)
        wide = INT64 if dtype.bits == 64 or dtype.name == "uint32" else INT32
        in_lanes = lanes_of(a) and source is not float16
        if fits and dtype.bits <= 32:
            value = self.builder.fptosi(a, like(INT32, a))
            return value if dtype.bits == 32 else self.builder.trunc(value, target)
        saturate = self._saturated if in_lanes else partial(self.intrinsic, "llvm.fptosi.sat")
        value = saturate(a, result=like(wide, a))
        return value if wide.width == dtype.bits else self.builder.trunc(value, target)

    def _saturated(self, a: ir.Value, result: ir.Type) -> ir.Value:
        """What `llvm.fptosi.sat` gives, which LLVM would compute lane by lane: 0 for NaN, and the ends for what is beyond them."""
        b_, bits = self.builder, result.element.width
        low, high = self.constant(-(2.0 ** (bits - 1)), a.type), self.constant(2.0 ** (bits - 1), a.type)
        below, above = b_.fcmp_ordered("<", a, low), b_.fcmp_ordered(">=", a, high)
        inside = b_.and_(b_.fcmp_ordered(">=", a, low), b_.fcmp_ordered("<", a, high))
        value = b_.fptosi(b_.select(inside, a, self.constant(0.0, a.type)), result)
        ends = [self.constant(end, result) for end in (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)]
        return b_.select(above, ends[1], b_.select(below, ends[0], value))

    def _round_to_odd(self, a: ir.Value) -> ir.Value:
        """float64 to float32 such that rounding once more gives what rounding at once would.

        Of the two float32 around an inexact value take the one with an odd significand.
        (Boldo and Melquiond, Emulation of FMA and correctly rounded sums, 2008.)
        """
        b_ = self.builder
        single, bits = like(ir.FloatType(), a), like(INT32, a)
        near = b_.fptrunc(a, single)
        back = b_.fpext(near, a.type)
        raw = b_.bitcast(near, bits)
        one = self.constant(1, bits)
        too_big = b_.fcmp_ordered(">", self.intrinsic("llvm.fabs", back), self.intrinsic("llvm.fabs", a))
        odd = b_.select(too_big, b_.sub(raw, one), b_.or_(raw, one))
        even = b_.icmp_unsigned("==", b_.and_(raw, one), self.constant(0, bits))
        inexact = b_.fcmp_ordered("!=", back, a)
        return b_.bitcast(b_.select(b_.and_(even, inexact), odd, raw), single)

    def _widen_bfloat16(self, a: ir.Value) -> ir.Value:
        bits = like(INT32, a)
        high = self.builder.shl(self.builder.zext(a, bits), self.constant(16, bits))
        return self.builder.bitcast(high, like(ir.FloatType(), a))

    def _narrow_bfloat16(self, a: ir.Value) -> ir.Value:
        """The upper half of the bits of a float32, rounded to nearest, ties to even; a NaN stays quiet."""
        b_ = self.builder
        bits = like(INT32, a)
        raw = b_.bitcast(a, bits)
        half = self.constant(16, bits)
        last = b_.and_(b_.lshr(raw, half), self.constant(1, bits))
        rounded = b_.add(raw, b_.add(last, self.constant(0x7FFF, bits)))
        quiet = b_.or_(raw, self.constant(0x400000, bits))
        chosen = b_.select(b_.fcmp_unordered("uno", a, a), quiet, rounded)
        return b_.trunc(b_.lshr(chosen, half), like(ir.IntType(16), a))

    def _copysign(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """By bits: the intrinsic, narrowed to float16, makes LLVM call a function that is not in libm."""
        b_ = self.builder
        bits = like(INT64, a)
        sign = self.constant(-(1 << 63), bits)
        size = b_.and_(b_.bitcast(a, bits), self.constant((1 << 63) - 1, bits))
        return b_.bitcast(b_.or_(size, b_.and_(b_.bitcast(b, bits), sign)), a.type)

    def _integer_power(self, dtype: DType, x: ir.Value, y: ir.Value) -> ir.Value:
        """x**y by squaring, with a step for each bit of `y`, an unsigned number."""
        b_, exponent = self.builder, known(y)
        bits = dtype.bits if exponent is None else (int(exponent) % (1 << dtype.bits)).bit_length()
        result, square = self.constant(1, x.type), x
        for n in range(bits):
            bit = b_.and_(y, self.constant(_signed(1 << n, dtype.bits), y.type))
            taken = b_.icmp_unsigned("!=", bit, self.constant(0, y.type))
            result = b_.select(taken, b_.mul(result, square), result)
            square = b_.mul(square, square)
        return result

    # ---- sums of products in words ----------------------------------------------------------------

    def dot(self, name: str, x: ir.Value, y: ir.Value, sums: ir.Value) -> ir.Value:
        """`sums` and the products of `dot4` or `dot2`, by instructions on whole registers: VNNI, or AVX2 for `dot2`."""
        x, y, sums = self.alike([x, y, sums])
        lanes = lanes_of(x)
        if not lanes:
            wide = [self.broadcast(v, 4) for v in (x, y, sums)]
            return self.builder.extract_element(self.dot(name, *wide), INT32(0))
        if lanes > (16 if self.has("avx512bw") else 8):
            half = (lanes + 1) // 2
            low, high = (self.dot(name, *self._lanes_from((x, y, sums), first, half)) for first in (0, half))
            return self.shuffled(low, high, range(lanes))
        width = next(n for n in (4, 8, 16) if n >= lanes)
        x, y, sums = self._lanes_from((x, y, sums), 0, width)
        part = ir.VectorType(BYTE, 4 * width) if name == "dot4" else ir.VectorType(ir.IntType(16), 2 * width)
        x, y = (self.builder.bitcast(v, part) for v in (x, y))
        if self.has("avx512vnni") or self.has("avxvnni"):
            kind = "busd" if name == "dot4" else "wssd"
            made = self.named(f"llvm.x86.avx512.vpdp{kind}.{32 * width}", sums.type, sums, x, y)
        else:
            pairs = {4: "sse2.pmadd.wd", 8: "avx2.pmadd.wd", 16: "avx512.pmaddw.d.512"}[width]
            made = self.builder.add(sums, self.named(f"llvm.x86.{pairs}", sums.type, x, y))
        return self._lanes_from([made], 0, lanes)[0]

    def _lanes_from(self, values: Sequence[ir.Value], first: int, count: int) -> list[ir.Value]:
        """So many lanes of each from one on; anything behind the last."""
        whole = first == 0 and all(lanes_of(v) == count for v in values)
        return [*values] if whole else [self.shuffled(v, v, range(first, first + count)) for v in values]

    def primitive(self, name: str, source: DType, dtype: DType, args: Sequence[ir.Value]) -> ir.Value:
        """One of PRIMITIVES, on operands of dtype `source`."""
        args = self.alike(args)
        match name:
            case "bitcast":
                return self.builder.bitcast(args[0], like(memory_type(dtype), args[0]))
            case "isnan":
                return self.builder.fcmp_unordered("uno", args[0], args[0])
            case "isinf":
                infinity = self.constant(float("inf"), args[0].type)
                return self.builder.fcmp_ordered("==", self.intrinsic("llvm.fabs", args[0]), infinity)
            case "dot4" | "dot2":
                return self.dot(name, args[0], args[1], self.constant(0, args[0].type))
            case "fmod":
                return self.builder.frem(args[0], args[1])
            case "int_pow":
                return self._integer_power(dtype, args[0], args[1])
            case "ldexp":
                types = mangled(args[0].type), mangled(args[1].type)
                return self.named(f"llvm.ldexp.{types[0]}.{types[1]}", args[0].type, *args)
            case "copysign" if source is float64:
                return self._copysign(args[0], args[1])
        return self.intrinsic(_ROUNDING.get(name, f"llvm.{name}"), *args)
