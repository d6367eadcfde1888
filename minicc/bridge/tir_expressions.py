"""Expressions of loop programs as TIR expressions that mean the same.

In: expressions without reductions and without arithmetic on 16-bit floats, and what their variables
and buffers are in TIR. Out: TIR expressions. `te.expr` says what each operator means; TVM gives
some of its operators another meaning, or simplifies them as if floats were numbers and integers
never overflowed. So here

- `min`, `max`, `ne` and `not` of floats are written with `isnan`, as TVM's own lose NaN;
- `x*0.0`, `x - x`, `x == x` and `0.0/x`, which TVM takes for constants, are selects on `isnan`;
- integers other than int64 are added, subtracted and multiplied so that they wrap: in a wider type;
- an integer divided by 0 is 0, and by -1 its negative, with no instruction that traps.

    TirExpressions({Var("n"): tvm.tirx.Var("n", "int64")})(Var("n") + 1)       # n + T.int64(1)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicc.bridge import _tvm
from minicc.errors import BridgeError
from minicc.ir.node import postorder
from minicc.loop.ir import Buffer
from minicc.tensor.expr import COMPARISONS, LOGICAL, Binary, Call, Convert, Const, Expr, Load, Select, Unary, Var
from minicc.tensor.expr import all_of, any_of, binary, call, children, const, loads, unary
from minicc.types import DType, bfloat16, boolean, float32, float64, int32, int64, uint64

INTEGER = {"bitand": "BitwiseAnd", "bitor": "BitwiseOr", "bitxor": "BitwiseXor", "min": "Min", "max": "Max",
           "floordiv": "FloorDiv", "floormod": "FloorMod", "truncdiv": "Div", "truncmod": "Mod"}  # fmt: skip
NATURAL = {"floordiv": "Div", "floormod": "Mod"}  # of unsigned numbers, which TVM cannot lower otherwise
WRAPPING = {"add": "Add", "sub": "Sub", "mul": "Mul"}
COMPARE = {"eq": "EQ", "ne": "NE", "lt": "LT", "le": "LE"}
SAME_NAME = frozenset({"exp", "log", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
                       "acosh", "atanh", "erf", "pow", "sqrt", "floor", "ceil", "trunc", "copysign", "isnan", "isinf",
                       "sigmoid"})  # fmt: skip
LIBM = frozenset({"expm1", "fmod", "fma"})  # of C, as TVM has none, or none for every target


class TirExpressions:
    """Translates expressions; `variables` and `buffers` say what names mean, and grow as statements are entered."""

    def __init__(self, variables: Mapping[Expr, Any] | None = None) -> None:
        self.tir = _tvm.load().tirx
        self.variables: dict[Expr, Any] = dict(variables or {})
        self.buffers: dict[Buffer, Any] = {}
        self.indices: dict[Expr, bool] = {}
        self.memo: dict[Expr, Any] = {}
        self.binding: set[Expr] = set()  # whose translation binds names: TVM wants each bound once
        self.names = 0

    def forget(self) -> None:
        """Let go of what was translated, as names begin to mean something else."""
        self.memo.clear()

    def __call__(self, e: Expr) -> Any:
        """`e` in TIR; what is shared in `e` is shared in the result, but for what binds names of its own."""
        for item in postorder([e], lambda x: [c for c in children(x) if c not in self.memo and x not in self.memo]):
            if item not in self.memo:
                before = self.names
                self.memo[item] = self.translate(item)
                if self.names > before or any(c in self.binding for c in children(item)):
                    self.binding.add(item)
        return self.memo.pop(e) if e in self.binding else self.memo[e]

    def translate(self, e: Expr) -> Any:
        """One operator, whose operands have been translated."""
        match e:
            case Var():
                return self.variable(e)
            case Const(value, dtype):
                return self.literal(value, dtype)
            case Load(source, indices):
                return self.tir.BufferLoad(self.buffers[source], [self(i) for i in indices])
            case Select(cond, then, other):
                return self.select(cond, then, other)
            case Convert(a, dtype):
                return self.cast(self(a), a.dtype, dtype)
            case Call(name, args, dtype):
                return self.call(name, [self(a) for a in args], args[0].dtype, dtype)
            case Unary(op, a):
                return self.unary(e, op, a)
            case Binary(op, a, b):
                return self.compare(op, a, b) if op in COMPARISONS else self.binary(e, op, a, b)
        problem = f"expected a scalar expression, got {type(e).__name__}"
        raise BridgeError(f"to_tir of {e}", problem, str(e), "lower reductions to loops first")

    def variable(self, e: Var) -> Any:
        """The TIR variable. Raises BridgeError when there is none."""
        if e not in self.variables:
            problem = f"expected the variable of a loop around or an extent of a parameter, got {e.name}"
            raise BridgeError(f"to_tir of {e}", problem, str(e), "a symbolic size must be an extent of a parameter")
        return self.variables[e]

    def literal(self, value: Any, dtype: DType) -> Any:
        """A number of `dtype`."""
        if dtype is bfloat16:
            return self.tir.Cast("bfloat16", self.tir.const(value, "float32"))
        if dtype.is_integer and value >= 1 << 63:
            return self.tir.reinterpret(dtype.name, self.tir.const(value - (1 << 64), "int64"))
        return self.tir.const(value, dtype.name)

    def held(self, value: Any, use: Callable[[Any], Any]) -> Any:
        """`use(value)`, where a float that is more than a name or a load is computed once; TVM's analysis trips over integers."""
        if type(value).__name__ in ("Var", "IntImm", "FloatImm", "TensorLoad", "BufferLoad"):
            return use(value)
        self.names += 1
        name = self.tir.Var("v", value.ty)
        return self.tir.Let(name, value, use(name))

    # ---- choices

    def select(self, cond: Expr, then: Expr, other: Expr) -> Any:
        """A choice, lazy where a branch loads what `cond` does not."""
        if isinstance(cond, Unary) and cond.op == "not":
            cond, then, other = cond.a, other, then
        if isinstance(then, Const) and isinstance(other, Const) and then.dtype is boolean:
            # TVM would turn a choice between true and false into the condition or its opposite
            return self(cond if then.value else unary("not", cond))
        safe = loads(cond)  # evaluated in any case
        eager = all(load in safe for load in loads(then, other))
        choose = self.tir.Select if eager else self.tir.if_then_else
        return choose(self(cond), self(then), self(other))

    def compare(self, op: str, a: Expr, b: Expr) -> Any:
        """A comparison, false for NaN but for `ne`."""
        tir, x, y = self.tir, self(a), self(b)
        if a.dtype is boolean:
            x, y = tir.Cast("int8", x), tir.Cast("int8", y)
        if not a.dtype.is_float:
            return getattr(tir, COMPARE[op])(x, y)
        if a is b:  # one of TVM's constants
            number = self(unary("not", call("isnan", a, dtype=boolean)))
            return {"eq": number, "le": number, "ne": tir.isnan(x), "lt": tir.const(False, "bool")}[op]
        if op in ("eq", "lt"):
            return getattr(tir, COMPARE[op])(x, y)
        less = tir.LT(x, y)
        if op == "le":  # so that TVM does not see that `x <= y or y < x` holds for numbers
            return tir.Or(less, tir.EQ(x, y))
        return tir.Or(tir.Or(less, tir.LT(y, x)), tir.Or(tir.isnan(x), tir.isnan(y)))

    def unary(self, e: Expr, op: str, a: Expr) -> Any:
        """`op` of `a`, which is `e`."""
        tir, x = self.tir, self(a)
        if op == "not":
            if a.dtype is not boolean:
                return tir.BitwiseNot(x)
            made = negated(a)
            return tir.Not(x) if made is None else self(made)
        if a.dtype.is_float:
            return tir.Mul(x, tir.const(-1.0, a.dtype.name)) if op == "neg" else tir.abs(x)
        if op == "abs" and a.dtype.kind != "int":
            return x
        minus = self.wrapping("Sub", self.literal(0, a.dtype), x, a.dtype, self.is_index(e))
        return minus if op == "neg" else tir.Select(tir.LT(x, self.literal(0, a.dtype)), minus, x)

    # ---- arithmetic

    def binary(self, e: Expr, op: str, a: Expr, b: Expr) -> Any:
        """`a op b`, which is `e`, unless it is a comparison."""
        x, y = self(a), self(b)
        if a.dtype is boolean:
            return self.logical(op, a, b, x, y)
        if a.dtype.is_float:
            return self.float(op, a, b, x, y)
        if op in WRAPPING:
            return self.wrapping(WRAPPING[op], x, y, a.dtype, self.is_index(e))
        if op in ("shl", "shr"):
            return self.shift(op, a.dtype, b, x, y)
        if op in ("floordiv", "floormod", "truncdiv", "truncmod") and not (isinstance(b, Const) and b.value > 0):
            return self.divide(op, a.dtype, x, y)
        return getattr(self.tir, NATURAL.get(op, INTEGER[op]) if a.dtype.kind == "uint" else INTEGER[op])(x, y)

    def is_index(self, e: Expr) -> bool:
        """Whether `e` is arithmetic on loop variables and sizes, which never overflows."""
        for item in postorder([e], lambda x: [c for c in children(x) if c not in self.indices]):
            if item not in self.indices:
                own = item.dtype is int64 and isinstance(item, (Var, Const, Unary, Binary))
                self.indices[item] = own and all(self.indices[c] for c in children(item))
        return self.indices[e]

    def logical(self, op: str, a: Expr, b: Expr, x: Any, y: Any) -> Any:
        """`a op b` of booleans."""
        tir = self.tir
        if op in LOGICAL and not set(loads(b)) <= set(loads(a)):  # b may only be evaluated where a allows it
            known = tir.const(op == "or", "bool")
            return tir.if_then_else(x, y, known) if op == "and" else tir.if_then_else(x, known, y)
        if op == "bitxor":
            return tir.NE(tir.Cast("int8", x), tir.Cast("int8", y))
        return tir.And(x, y) if op in ("and", "bitand", "min", "mul") else tir.Or(x, y)

    def wrapping(self, name: str, x: Any, y: Any, dtype: DType, index: bool = False) -> Any:
        """A sum, difference or product modulo the width of `dtype`; of int64, one that must not overflow.

        TVM says the same to LLVM of all arithmetic on 32 and on 64 bits, signed and unsigned.
        """
        make = getattr(self.tir, name)
        if index or dtype is int64:
            return make(x, y)
        if dtype.bits == 64:
            return self.halves(name, x, y)
        if dtype.bits < 32:
            return self.signed(self.short(name, self.unsigned(x, dtype), self.unsigned(y, dtype), dtype.bits), dtype)
        wide = uint64 if name == "Mul" and dtype.kind == "uint" else int64
        return self.cast(make(self.tir.Cast(wide.name, x), self.tir.Cast(wide.name, y)), wide, dtype)

    def short(self, name: str, x: Any, y: Any, bits: int) -> Any:
        """Arithmetic on uint8 or uint16. TVM stops at a difference that it finds to be negative: x + not y + 1."""
        dtype = DType.of(f"uint{bits}")
        if name != "Sub":
            return getattr(self.tir, name)(x, y)
        opposite = self.tir.BitwiseXor(y, self.literal((1 << bits) - 1, dtype))
        return self.tir.Add(self.tir.Add(x, opposite), self.literal(1, dtype))

    def halves(self, name: str, x: Any, y: Any) -> Any:
        """Arithmetic on uint64 by halves of 32 bits, as with pencil and paper: no step overflows."""
        tir = self.tir
        half, mask = self.literal(32, uint64), self.literal((1 << 32) - 1, uint64)
        (low_x, high_x), (low_y, high_y) = [(tir.BitwiseAnd(v, mask), tir.RShift(v, half)) for v in (x, y)]
        if name == "Mul":
            cross = tir.Add(tir.BitwiseAnd(tir.Mul(low_x, high_y), mask), tir.BitwiseAnd(tir.Mul(high_x, low_y), mask))
            return self.joined(tir.Mul(low_x, low_y), cross)
        if name == "Sub":  # x + not y + 1
            low_y, high_y = tir.BitwiseXor(low_y, mask), tir.BitwiseXor(high_y, mask)
            low_y = tir.Add(low_y, self.literal(1, uint64))
        return self.joined(tir.Add(low_x, low_y), tir.Add(high_x, high_y))

    def joined(self, low: Any, high: Any) -> Any:
        """low + high * 2**32, modulo 2**64."""
        tir, half, mask = self.tir, self.literal(32, uint64), self.literal((1 << 32) - 1, uint64)
        above = tir.BitwiseAnd(tir.Add(high, tir.RShift(low, half)), mask)
        return tir.BitwiseOr(tir.LShift(above, half), tir.BitwiseAnd(low, mask))

    def unsigned(self, x: Any, dtype: DType) -> Any:
        """The bits of `x` as an unsigned integer, whose range TVM does not know."""
        return self.bits(x, dtype, DType.of(f"uint{dtype.bits}"))

    def bits(self, x: Any, source: DType, dtype: DType) -> Any:
        """The bits of `x` as another dtype; of a literal at once, as TVM cannot reinterpret 0."""
        if type(x).__name__ in ("IntImm", "FloatImm"):
            value = np.array(x.value, source.numpy).reshape(1).view(dtype.numpy)[0]
            return self.literal(value.item(), dtype)
        made = self.tir.reinterpret(dtype.name, x)
        if source.is_float or dtype.is_float:
            return made
        # TVM cannot lower the bits of what it finds to be 0; LLVM drops the choice again
        return self.tir.Select(self.tir.EQ(x, self.literal(0, source)), self.literal(0, dtype), made)

    def signed(self, x: Any, dtype: DType) -> Any:
        """The bits of the unsigned `x` as a number of `dtype`, which is as wide."""
        return self.bits(x, DType.of(f"uint{dtype.bits}"), dtype) if dtype.kind == "int" else x

    def shift(self, op: str, dtype: DType, b: Expr, x: Any, y: Any) -> Any:
        """A shift by more than the width shifts everything out."""
        tir = self.tir
        known = isinstance(b, Const) and 0 <= b.value < dtype.bits
        most = self.literal(dtype.bits - 1, dtype)
        fits = tir.And(tir.LE(self.literal(0, dtype), y), tir.LE(y, most))
        if op == "shr" and dtype.kind == "int":
            return tir.RShift(x, y if known else tir.Select(fits, y, most))
        amount = y if known else tir.Select(fits, y, self.literal(0, dtype))
        if op == "shr":
            made = tir.RShift(x, amount)
        else:
            parts = [self.unsigned(v, dtype) if dtype.kind == "int" else v for v in (x, amount)]
            made = self.signed(tir.LShift(*parts), dtype)
        return made if known else tir.Select(fits, made, self.literal(0, dtype))

    def divide(self, op: str, dtype: DType, x: Any, y: Any) -> Any:
        """Quotient or remainder by a divisor that may be 0 or negative."""
        tir, zero, one = self.tir, self.literal(0, dtype), self.literal(1, dtype)
        none = tir.EQ(y, zero)
        if dtype.kind == "uint":
            return tir.Select(none, zero, getattr(tir, NATURAL.get(op, INTEGER[op]))(x, tir.Select(none, one, y)))
        back = tir.EQ(y, self.literal(-1, dtype))
        opposite = self.wrapping("Sub", zero, x, dtype) if op.endswith("div") else zero
        # a divisor that traps nowhere: TVM may divide where a choice is made, or a loop run, for a known divisor
        safe = tir.Select(tir.Or(none, back), one, y)
        return tir.Select(none, zero, tir.Select(back, opposite, getattr(tir, INTEGER[op])(x, safe)))

    def float(self, op: str, a: Expr, b: Expr, x: Any, y: Any) -> Any:
        """`a op b` of floats."""
        tir = self.tir
        if op in ("min", "max"):
            return self.held(x, lambda x: self.held(y, lambda y: self.extremum(op, x, y)))
        if (op == "sub" and a is b) or (op == "mul" and (_is_zero(a) or _is_zero(b))) or (op == "div" and _is_zero(a)):
            return self.nothing(op, a, b)
        match op:
            case "add" | "sub" | "mul":
                return getattr(tir, WRAPPING[op])(x, y)
            case "div":
                return self.quotient(b, x, y)
            case "floordiv":
                return tir.floor(self.quotient(b, x, y))
            case "truncdiv":
                return tir.trunc(self.quotient(b, x, y))
            case "truncmod":
                return self.libm("fmod", [x, y], a.dtype)
        rest = call("fmod", a, b)
        differ = binary("ne", rest < 0.0, b < 0.0)
        return self(Select(all_of(differ, rest.not_equal(0.0)), rest + b, rest))

    def quotient(self, b: Expr, x: Any, y: Any) -> Any:
        """x / y, where y is `b`; TVM stops at a literal 0, and refuses the program where it has made one itself."""
        if _is_zero(b):
            return self.tir.Mul(x, self.literal(float("inf" if _is_plus(b) else "-inf"), b.dtype))
        return self.tir.Div(x, y)

    def extremum(self, op: str, x: Any, y: Any) -> Any:
        """NaN where either is."""
        tir = self.tir
        better = tir.LT(x, y) if op == "min" else tir.LT(y, x)
        return tir.Select(tir.Or(better, tir.isnan(x)), x, y)

    def nothing(self, op: str, a: Expr, b: Expr) -> Any:
        """What is 0 for all numbers: x - x, x*0.0 and 0.0/x (but for x = 0); NaN otherwise."""
        x, zero = (b, a) if _is_zero(a) else (a, b)
        nan, none = const(float("nan"), a.dtype), const(0.0, a.dtype)
        wrong = call("isnan", x, dtype=boolean)
        if op == "div":
            wrong = any_of(wrong, x.equal(0.0))
        else:
            wrong = any_of(wrong, call("isinf", x, dtype=boolean))
        value = none if op == "sub" else call("copysign", none, x if _is_plus(zero) else -x)
        return self(Select(wrong, nan, value))

    # ---- conversions and calls

    def cast(self, x: Any, source: DType, dtype: DType) -> Any:
        """TVM takes an integer for one that fits where it is converted, so its bits go by unsigned types."""
        tir = self.tir
        if dtype is boolean and source.is_integer:  # TVM keeps the lowest bit
            return tir.NE(x, self.literal(0, source))
        if source.is_float and dtype.is_integer and dtype.bits < 32:  # by way of int32: C leaves the rest open
            return self.cast(tir.Cast("int32", x), int32, dtype)
        are_integers = source.is_integer and dtype.is_integer
        if not are_integers or (dtype.range[0] <= source.range[0] and source.range[1] <= dtype.range[1]):
            return tir.Cast(dtype.name, x)
        if source.bits < dtype.bits:  # a negative number as an unsigned one
            return self.unsigned(tir.Cast(f"int{dtype.bits}", x), DType.of(f"int{dtype.bits}"))
        bits = self.unsigned(x, source) if source.kind == "int" else x
        return self.signed(bits if source.bits == dtype.bits else tir.Cast(f"uint{dtype.bits}", bits), dtype)

    def call(self, name: str, args: list[Any], source: DType, dtype: DType) -> Any:
        """An intrinsic. Raises BridgeError where it has no form."""
        tir = self.tir
        if name == "bitcast":
            return args[0] if source is dtype else self.bits(args[0], source, dtype)
        if name == "round":
            return tir.nearbyint(args[0])
        if name in LIBM:
            return self.libm(name, args, source)
        if name in SAME_NAME and source in (float32, float64):
            return getattr(tir, name)(*args)
        problem = f"expected an intrinsic on float32 or float64, got {name} on {source}"
        raise BridgeError(f"to_tir of {name}", problem, hint="cast the operands; see te/intrinsics.py")

    def libm(self, name: str, args: list[Any], dtype: DType) -> Any:
        """A function of the C library, which CUDA has, too."""
        return self.tir.call_pure_extern(dtype.name, name if dtype is float64 else f"{name}f", *args)


def negated(e: Expr) -> Expr | None:
    """`not e` without a `not` of a comparison of floats, which TVM takes for the opposite comparison; None where TVM may."""
    match e:
        case Unary("not", a):
            return a
        case Binary("and" | "or" as op, a, b):
            return binary("or" if op == "and" else "and", unary("not", a), unary("not", b))
        case Binary("eq", a, b) if a.dtype.is_float:
            return a.not_equal(b)
        case Binary("ne", a, b) if a.dtype.is_float:
            return a.equal(b)
        case Binary("lt" | "le" as op, a, b) if a.dtype.is_float:
            opposite = binary("le" if op == "lt" else "lt", b, a)
            return any_of(opposite, call("isnan", a, dtype=boolean), call("isnan", b, dtype=boolean))
    return None


def _is_zero(e: Expr) -> bool:
    return isinstance(e, Const) and e.value == 0


def _is_plus(e: Expr) -> bool:
    return isinstance(e, Const) and str(e.value) == "0.0"
