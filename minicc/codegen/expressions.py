"""Expressions of a loop program as LLVM values, in scalar code and inside a vectorized loop.

In: an expression, the LLVM values of its variables and the pointers of its buffers. Out: a
scalar, or inside a vectorized loop of n iterations (its lanes) a vector `<n x T>` for what
differs between lanes and a scalar for what does not.

An address is a linear form of the loop variables (`te.linear`). The factor of the lane variable
is the stride: 1 makes a vector load, 0 a scalar one, anything else a load per lane. A `mask`
tells which lanes run; a load that is not proven in bounds is made for those lanes only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir

from minicc.codegen.arithmetic import FUSE, PRIMITIVES, Arithmetic, known, lanes_of, memory_type, register_type
from minicc.errors import CodegenError
from minicc.ir.node import postorder
from minicc.loop.ir import Buffer
from minicc.tensor.bounds import Bounds, Interval
from minicc.tensor.expr import LOGICAL, Binary, Call, Convert, Const, Expr, Load, Select, Unary, Var, binary, children
from minicc.tensor.expr import const, loads
from minicc.tensor.intrinsics import INTRINSICS, unfused
from minicc.tensor.linear import linear
from minicc.types import DType, bfloat16, boolean, float16, float32, float64

POINTER, INT64, INT32, BIT = ir.PointerType(), ir.IntType(64), ir.IntType(32), ir.IntType(1)


class Facts:
    """What is known of a whole program and its target, found once and shared by its functions."""

    def __init__(self, ranges: Mapping[Expr, Interval], fuses: bool) -> None:
        self.bounds, self.fuses = Bounds(ranges), fuses
        self._memo: dict[Any, Any] = {}

    def _once(self, key: Any, find: Callable[[], Any]) -> Any:
        if key not in self._memo:
            self._memo[key] = find()
        return self._memo[key]

    def natural(self, e: Expr) -> bool:
        """Whether the integer `e` is never negative."""
        return bool(self._once(("natural", e), lambda: self.bounds.of(e)[0] >= 0))

    def safe(self, load: Load) -> bool:
        """Whether `load` stays within its buffer wherever it stands."""
        return bool(self._once(("safe", load), lambda: all(self._within(i, d) for i, d in _pairs(load))))

    def _within(self, index: Expr, extent: Any) -> bool:
        low, high = self.bounds.of(index)
        return isinstance(extent, int) and low >= 0 and high < extent

    def unsafe(self, e: Expr) -> tuple[Load, ...]:
        """The loads for whose sake `e` may only be evaluated where it is asked for."""
        return self._once(("unsafe", e), lambda: tuple([n for n in loads(e) if not self.safe(n)]))  # type: ignore[no-any-return]

    def number(self, e: Expr) -> bool:
        """Whether the float `e` is never NaN, by a look at the surface."""
        match e:
            case Const(value, _):
                return not math.isnan(value)
            case Unary(_, a):
                return self.number(a)
            case Convert(a, _):
                return not a.dtype.is_float or self.number(a)
        return False

    def address(self, buffer: Buffer, indices: tuple[Expr, ...]) -> tuple[dict[Expr, int], int]:
        """The offset of an element, in elements, as a linear form."""
        return self._once((buffer, indices), lambda: linear(offset(buffer, indices)))  # type: ignore[no-any-return]

    def expansion(self, e: Call) -> Expr:
        """The arithmetic that a float32 intrinsic stands for, or a multiply-add that is no instruction."""
        expand = unfused if e.name == "fma" else INTRINSICS[e.name].expand
        assert expand is not None
        return self._once(e, lambda: expand(*e.args))  # type: ignore[no-any-return]


def _pairs(load: Load) -> list[tuple[Expr, Any]]:
    return list(zip(load.indices, load.source.shape, strict=True))


def offset(buffer: Buffer, indices: Sequence[Expr]) -> Expr:
    """The row-major position of an element."""
    total: Expr = const(0)
    for index, extent in zip(indices, buffer.shape, strict=True):
        total = binary("add", binary("mul", total, extent), index)
    return total


@dataclass(frozen=True)
class Lanes:
    """The vectorized loop that we are inside of."""

    var: Var
    count: int


class Expressions(Arithmetic):
    """Evaluates expressions at the position of `builder`."""

    def __init__(self, builder: ir.IRBuilder, facts: Facts) -> None:
        super().__init__(builder)
        self.facts = facts
        self.env: dict[Var, ir.Value] = {}
        self.pointers: dict[Buffer, ir.Value] = {}
        self.private: dict[Buffer, int] = {}  # buffers with a copy per lane: the number of lanes
        self.lanes: Lanes | None = None
        self.mask: ir.Value | None = None
        self.memo: list[dict[Expr, ir.Value]] = [{}]  # one layer per region that not every path enters
        self.addresses: list[dict[Any, ir.Value]] = [{}]
        self.varying_memo: dict[Expr, bool] = {}
        self.fused: frozenset[Expr] = frozenset()  # the sum and the product of the update that is emitted

    # ---- regions --------------------------------------------------------------------------------

    @contextmanager
    def region(self, mask: ir.Value | None = None) -> Iterator[None]:
        """Code that does not dominate what follows: what it computes is forgotten after."""
        outer = self.mask
        self.mask = outer if mask is None else mask
        self.memo.append({})
        self.addresses.append({})
        yield
        self.memo.pop()
        self.addresses.pop()
        self.mask = outer

    @contextmanager
    def lane(self, number: int) -> Iterator[None]:
        """Scalar code for one lane."""
        assert self.lanes is not None
        lanes, mask, memo, addresses = self.lanes, self.mask, self.memo, self.addresses
        base = self.env[lanes.var]
        self.lanes, self.mask, self.memo, self.addresses = None, None, [{}], [{}]
        self.env[lanes.var] = self.binary("add", const(0).dtype, base, INT64(number))
        self._lane_number = number
        yield
        self.env[lanes.var] = base
        self.lanes, self.mask, self.memo, self.addresses = lanes, mask, memo, addresses

    _lane_number = 0

    def branch_of(self, cond: ir.Value, then: Callable[[], Any], other: Callable[[], Any] | None = None) -> Any:
        """Run `then` or `other`, whichever `cond` says; a phi of their values if they have any."""
        after = self.builder.append_basic_block("after")
        first = self.builder.append_basic_block("then")
        second = self.builder.append_basic_block("else") if other else after
        start = self.builder.block
        self.builder.cbranch(cond, first, second)
        found: list[tuple[Any, ir.Block]] = []
        for block, run in ((first, then), (second, other)):
            if run is None:
                continue
            self.builder.position_at_end(block)
            with self.region():
                found.append((run(), self.builder.block))
            self.builder.branch(after)
        self.builder.position_at_end(after)
        values = [value for value, _ in found]
        if values[0] is None:
            return None
        if other is None:
            found.append((ir.Constant(values[0].type, ir.Undefined), start))
        phi = self.builder.phi(values[0].type)
        for value, block in found:
            phi.add_incoming(value, block)
        return phi

    def any_lane(self, mask: ir.Value) -> ir.Value:
        """Whether any lane of `mask` is set."""
        assert self.lanes is not None
        return self.named(f"llvm.vector.reduce.or.v{self.lanes.count}i1", BIT, mask)

    def named(self, name: str, result: ir.Type, *args: ir.Value) -> ir.Value:
        kind = ir.FunctionType(result, [a.type for a in args])
        return self.builder.call(self.external(name, kind), args)

    # ---- values ---------------------------------------------------------------------------------

    def varying(self, e: Expr) -> bool:
        """Whether `e` may differ between lanes."""
        if self.lanes is None:
            return False
        if e not in self.varying_memo:
            for item in postorder([e], lambda x: [c for c in children(x) if c not in self.varying_memo]):
                self.varying_memo[item] = (
                    item is self.lanes.var
                    or (isinstance(item, Load) and item.source in self.private)
                    or any(self.varying_memo[c] for c in children(item))
                )
        return self.varying_memo[e]

    def value(self, e: Expr) -> ir.Value:
        """The value of `e`, computed once in a statement."""
        for item in postorder([e], self._needs):
            if self._found(item) is None:
                self.memo[-1][item] = self._evaluate(item)
        found = self._found(e)
        assert found is not None
        return found

    def _found(self, e: Expr) -> ir.Value | None:
        for layer in reversed(self.memo):
            if (found := layer.get(e)) is not None:
                return found
        return None

    def _guarded(self, e: Expr) -> bool:
        """Whether `e` loads what may be out of bounds here, other than what has been loaded already."""
        return any(self._found(load) is None for load in self.facts.unsafe(e))

    def _needs(self, e: Expr) -> tuple[Expr, ...]:
        """The sub-expressions to evaluate before `e`; guarded ones wait for their guard."""
        if self._found(e) is not None:
            return ()
        match e:
            case Load():
                return ()
            case Select(cond, then, other):
                return (cond,) if self._guarded(then) or self._guarded(other) else (cond, then, other)
            case Binary(op, a, b) if op in LOGICAL and self._guarded(b):
                return (a,)
        return children(e)

    def _evaluate(self, e: Expr) -> ir.Value:  # noqa: C901 - one flat match over the grammar
        match e:
            case Var():
                return self._variable(e)
            case Const(value, dtype):
                return self.literal(value, dtype)
            case Load():
                return self.load(e)
            case Unary(op, a):
                return self.unary(op, a.dtype, self.value(a))
            case Binary("and", a, b) if self._guarded(b):
                return self._choose(a, b, const(False, boolean))
            case Binary("or", a, b) if self._guarded(b):
                return self._choose(a, const(True, boolean), b)
            case Binary(op, a, b):
                numbers = self.facts.number(a), self.facts.number(b)
                natural = op.startswith("floor") and a.dtype.is_integer and self.facts.natural(a)
                left, right = self.value(a), self.value(b)
                self.flags = FUSE if e in self.fused else ()
                return self.binary(op, a.dtype, left, right, numbers, natural)
            case Convert(a, dtype):
                return self.cast(self.value(a), a.dtype, dtype)
            case Select(cond, then, other):
                return self._choose(cond, then, other)
            case Call():
                return self._call(e)
        problem = f"expected a scalar expression, got {type(e).__name__}"
        raise CodegenError(f"codegen of {e}", problem, str(e), "lower reductions to loops first")

    def _variable(self, e: Var) -> ir.Value:
        if e not in self.env:
            problem = "expected the variable of a loop around, got none of this name"
            raise CodegenError(f"codegen of {e}", problem, str(e), "a symbolic size must be an extent of a parameter")
        if self.lanes is not None and e is self.lanes.var:
            steps = ir.Constant(ir.VectorType(INT64, self.lanes.count), list(range(self.lanes.count)))
            return self.builder.add(self.broadcast(self.env[e], self.lanes.count), steps)
        return self.env[e]

    def _choose(self, cond: Expr, then: Expr, other: Expr) -> ir.Value:
        chosen = self.value(cond)
        if not self._guarded(then) and not self._guarded(other):
            lanes = lanes_of(chosen)
            a, b = self.alike([self.broadcast(self.value(then), lanes), self.broadcast(self.value(other), lanes)])
            return self.builder.select(chosen, a, b)
        if (fixed := known(chosen)) is not None and not lanes_of(chosen):
            return self.value(then if fixed else other)
        if lanes_of(chosen):
            return self._blend(chosen, then, other)
        count = self.lanes.count if self.lanes and (self.varying(then) or self.varying(other)) else 0
        return self.branch_of(
            chosen, lambda: self.broadcast(self.value(then), count), lambda: self.broadcast(self.value(other), count)
        )

    def _blend(self, chosen: ir.Value, then: Expr, other: Expr) -> ir.Value:
        """Both branches, each for the lanes that take it."""
        sides = []
        for e, mask in ((then, chosen), (other, self.builder.not_(chosen))):
            with self.region(mask if self.mask is None else self.builder.and_(self.mask, mask)):
                sides.append(self.broadcast(self.value(e), lanes_of(chosen)))
        return self.builder.select(chosen, sides[0], sides[1])

    # ---- calls ----------------------------------------------------------------------------------

    def _call(self, e: Call) -> ir.Value:
        if e.name == "fma" and not self.facts.fuses:  # LLVM would call libm, for each lane
            return self.value(self.facts.expansion(e))
        if e.name in PRIMITIVES:
            return self.primitive(e.name, e.args[0].dtype, e.dtype, [self.value(a) for a in e.args])
        if e.name not in INTRINSICS:
            problem = f"expected an intrinsic, got {e.name!r}"
            raise CodegenError(f"codegen of {e.name}", problem, str(e), "see te/intrinsics.py")
        dtype = e.args[0].dtype
        if dtype is float32 and INTRINSICS[e.name].expand is not None:
            return self.value(self.facts.expansion(e))
        if dtype in (float16, bfloat16):
            wide = Call(e.name, tuple([Convert(a, float32) for a in e.args]), float32)
            return self.cast(self.value(wide), float32, e.dtype)
        return self._libm(e, dtype)

    def _libm(self, e: Call, dtype: DType) -> ir.Value:
        symbol = INTRINSICS[e.name].libm
        if symbol is None or dtype not in (float32, float64):
            problem = f"expected floats, got {dtype}"
            raise CodegenError(f"codegen of {e.name}", problem, str(e), "cast the operands to float32 or float64")
        scalar = memory_type(dtype)
        kind = ir.FunctionType(scalar, [scalar] * len(e.args))
        function = self.external(symbol if dtype is float64 else f"{symbol}f", kind)
        args = self.alike([self.value(a) for a in e.args])
        lanes = lanes_of(args[0])
        if not lanes:
            return self.builder.call(function, args)
        return self.gathered(
            lanes,
            scalar,
            lambda n: self.builder.call(function, [self.builder.extract_element(a, INT32(n)) for a in args]),
        )

    def gathered(self, lanes: int, scalar: ir.Type, make: Callable[[int], ir.Value]) -> ir.Value:
        """The vector of `make(n)` for each lane n."""
        result: ir.Value = ir.Constant(ir.VectorType(scalar, lanes), ir.Undefined)
        for n in range(lanes):
            result = self.builder.insert_element(result, make(n), INT32(n))
        return result

    # ---- memory ---------------------------------------------------------------------------------

    def stride(self, buffer: Buffer, indices: tuple[Expr, ...]) -> int | None:
        """The distance in elements between neighbouring lanes; None when it is not the same for all."""
        terms, _ = self.facts.address(buffer, indices)
        step = 0
        for term, times in terms.items():
            if self.lanes is not None and term is self.lanes.var:
                step = times
            elif self.varying(term):
                return None
        return step * self.private[buffer] + 1 if buffer in self.private else step

    def address(self, buffer: Buffer, indices: tuple[Expr, ...], shift: int = 0) -> ir.Value:
        """A pointer to the element, in the first lane, `shift` elements on.

        Outer loops come first in the chain of additions and the constant last: what does not
        change inside a loop is then shared, and the constant becomes part of the instruction.
        """
        terms, constant = self.facts.address(buffer, indices)
        copies = self.private.get(buffer, 1)
        order = {var: n for n, var in enumerate(self.env)}
        pointer = self.pointers[buffer]
        chain: tuple[Any, ...] = (buffer,)
        type = memory_type(buffer.dtype)
        for term in sorted(terms, key=lambda t: order.get(t, len(order))):  # type: ignore[call-overload]
            value = self.env[term] if isinstance(term, Var) and term in self.env else self.value(term)
            times = terms[term] * copies
            if (number := known(value)) is not None:
                constant += number * terms[term]
                continue
            chain = (*chain, value, times)
            pointer = self._shared(chain, pointer, value, times, type)
        constant = constant * copies + shift
        if buffer in self.private and self.lanes is None:
            constant += self._lane_number
        return self.builder.gep(pointer, [INT64(constant)], source_etype=type) if constant else pointer

    def _shared(self, chain: Any, pointer: ir.Value, value: ir.Value, times: int, type: ir.Type) -> ir.Value:
        for layer in reversed(self.addresses):
            if (found := layer.get(chain)) is not None:
                return found
        step = value if times == 1 else self.builder.mul(value, INT64(times))
        made = self.builder.gep(pointer, [step], source_etype=type)
        self.addresses[-1][chain] = made
        return made

    def load(self, e: Load) -> ir.Value:
        """The element, or those of all lanes. Lanes outside of the mask are not read unless it is safe."""
        buffer: Buffer = e.source
        if buffer not in self.pointers:
            problem = f"expected a buffer that is defined here, got {buffer.name}"
            hint = "allocate it around the load, or make it a parameter"
            raise CodegenError(f"codegen of {e}", problem, str(e), hint)
        mask = None if self.facts.safe(e) else self.mask
        step = self.stride(buffer, e.indices)
        if self.lanes is None or (step == 0 and mask is None):
            return self._element(e)
        if step == 0:
            return self.branch_of(self.any_lane(mask), lambda: self._element(e))
        if step in (1, -1):
            return self._contiguous(e, step, mask)
        return self.gathered(self.lanes.count, register_type(e.dtype), lambda n: self._one_lane(e, n, mask))

    def _element(self, e: Load) -> ir.Value:
        pointer = self.address(e.source, e.indices)
        value = self.builder.load(pointer, align=e.dtype.bytes, typ=memory_type(e.dtype))
        return self._to_register(value, e.dtype)

    def _contiguous(self, e: Load, step: int, mask: ir.Value | None) -> ir.Value:
        """One vector load; with stride -1 from the last lane on, then reversed."""
        assert self.lanes is not None
        count = self.lanes.count
        pointer = self.address(e.source, e.indices, 0 if step == 1 else 1 - count)
        type = ir.VectorType(memory_type(e.dtype), count)
        if mask is None:
            value = self.builder.load(pointer, align=e.dtype.bytes, typ=type)
        else:
            lanes = mask if step == 1 else self.reversed(mask)
            zero = ir.Constant(type, None)
            value = self.masked("llvm.masked.load", type, type, pointer, lanes, zero)
        return self._to_register(value if step == 1 else self.reversed(value), e.dtype)

    def masked(self, name: str, type: ir.VectorType, result: ir.Type, *args: ir.Value) -> ir.Value:
        """`llvm.masked.load(pointer, mask, rest)` or `llvm.masked.store(value, pointer, mask)`."""
        return self.named(f"{name}.v{type.count}{type.element.intrinsic_name}.p0", result, *args)

    def reversed(self, value: ir.Value) -> ir.Value:
        """The lanes from last to first."""
        count = lanes_of(value)
        order = ir.Constant(ir.VectorType(INT32, count), list(range(count - 1, -1, -1)))
        return self.builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), order)

    def _one_lane(self, e: Load, number: int, mask: ir.Value | None) -> ir.Value:
        """The element of one lane, in scalar code of its own."""
        if mask is None:
            with self.lane(number):
                return self._element(e)
        active = self.builder.extract_element(mask, INT32(number))
        return self.branch_of(active, lambda: self._one_lane(e, number, None))

    def _to_register(self, value: ir.Value, dtype: DType) -> ir.Value:
        if dtype is boolean:
            return self.builder.icmp_unsigned("!=", value, self.constant(0, value.type))
        return value

    def to_memory(self, value: ir.Value, dtype: DType) -> ir.Value:
        """The value as it is stored: a bool takes a byte."""
        if dtype is not boolean:
            return value
        lanes = lanes_of(value)
        return self.builder.zext(value, ir.VectorType(ir.IntType(8), lanes) if lanes else ir.IntType(8))
