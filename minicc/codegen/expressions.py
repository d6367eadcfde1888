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
from typing import Any, TypeVar

import llvmlite.ir as ir

from minicc.codegen.arithmetic import BIT, BYTE, FUSE, INT32, INT64, PRIMITIVES, Arithmetic, known, lanes_of, like
from minicc.codegen.arithmetic import mangled, memory_type, register_type
from minicc.errors import CodegenError
from minicc.ir.node import postorder
from minicc.loop.address import address
from minicc.loop.ir import Buffer
from minicc.loop.widen_floats import NARROW
from minicc.target import Target
from minicc.tensor.bounds import Bounds, Interval
from minicc.tensor.expr import LOGICAL, Binary, Call, Const, Convert, Expr, Load, Select, Unary, Var, children
from minicc.tensor.expr import const, loads
from minicc.tensor.float_bounds import fits_int32
from minicc.tensor.intrinsics import INTRINSICS, MISSING
from minicc.tensor.linear import Linear
from minicc.tensor.simplify import Simplifier
from minicc.types import DType, boolean, float32, float64, int64

T = TypeVar("T")


class Facts:
    """What is known of a whole program and its target, found once and shared by its functions."""

    def __init__(self, ranges: Mapping[Expr, Interval], target: Target) -> None:
        self.bounds, self.simplify = Bounds(ranges), Simplifier(ranges)
        self.vector_bits, self.has = target.vector_bits, target.has
        self.lacks = {"fma": not target.fuses, "ldexp": not target.has("avx512f")}
        self.lacks |= {"dot4": not target.multiplies_bytes, "dot2": not target.has("avx2")}
        self._memo: dict[Any, Any] = {}

    def _once(self, key: Any, find: Callable[[], T]) -> T:
        if key not in self._memo:
            self._memo[key] = find()
        found: T = self._memo[key]
        return found

    def natural(self, e: Expr) -> bool:
        """Whether the integer `e` is never negative."""
        return self._once(("natural", e), lambda: self.bounds.of(e)[0] >= 0)

    def safe(self, load: Load) -> bool:
        """Whether `load` stays within its buffer wherever it stands."""
        ends = [(i, d) for i, d in zip(load.indices, load.source.shape, strict=True)]
        return self._once(("safe", load), lambda: all(isinstance(d, int) and self._within(i, d) for i, d in ends))

    def _within(self, index: Expr, extent: int) -> bool:
        low, high = self.bounds.of(index)
        return low >= 0 and high < extent

    def unsafe(self, e: Expr) -> tuple[Load, ...]:
        """The loads for whose sake `e` may only be evaluated where it is asked for."""
        return self._once(("unsafe", e), lambda: tuple([n for n in loads(e) if not self.safe(n)]))

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

    def fuses(self, product: Expr | None) -> bool:
        """Whether the machine has an instruction that makes a product and adds it."""
        name = product.name if isinstance(product, Call) else getattr(product, "op", "")
        return name in ("mul", "dot4", "dot2") and not self.lacks["fma" if name == "mul" else name]

    def address(self, buffer: Buffer, indices: Sequence[Expr]) -> Linear:
        """The offset of an element, in elements, as a linear form: the digits of one loop are put together again."""
        return self._once((buffer, indices), lambda: address(buffer, indices, self.simplify))

    def expansion(self, e: Call) -> Expr:
        """The arithmetic that a float32 intrinsic stands for, or a multiply-add that is no instruction."""
        expand = MISSING.get(e.name, INTRINSICS[e.name].expand)
        assert expand is not None
        return self._once(e, lambda: expand(*e.args))


@dataclass(frozen=True)
class Lanes:
    """The vectorized loop that we are inside of."""

    var: Var
    count: int


class Expressions(Arithmetic):
    """Evaluates expressions at the position of `builder`."""

    def __init__(self, builder: ir.IRBuilder, facts: Facts) -> None:
        super().__init__(builder, facts.has)
        self.facts = facts
        self.env: dict[Var, ir.Value] = {}
        self.pointers: dict[Buffer, ir.Value] = {}
        self.private: dict[Buffer, int] = {}  # buffers with a copy per lane: the number of lanes
        self.lanes: Lanes | None = None
        self.lane_number = 0  # the one that scalar code is for
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
        if (made := found[0][0]) is None:
            return None
        phi = self.builder.phi(made.type)
        for value, block in found if other else [*found, (ir.Constant(made.type, ir.Undefined), start)]:
            phi.add_incoming(value, block)
        return phi

    def in_lane(self, number: int, mask: ir.Value | None, work: Callable[[], Any]) -> Any:
        """What `work` emits, in scalar code of one lane, if the mask lets it run."""

        def run() -> Any:
            assert self.lanes is not None
            outer, var = (self.lanes, self.mask, self.memo, self.addresses), self.lanes.var
            base = self.env[var]
            self.lanes, self.mask, self.memo, self.addresses = None, None, [{}], [{}]
            self.env[var] = self.binary("add", int64, base, INT64(number))
            self.lane_number = number
            made = work()
            self.env[var] = base
            self.lanes, self.mask, self.memo, self.addresses = outer
            return made

        return run() if mask is None else self.branch_of(self.builder.extract_element(mask, INT32(number)), run)

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
        if (there := self._found(e)) is not None:
            return there
        for item in postorder([e], self._needs):
            if self._found(item) is None:
                self.memo[-1][item] = self._evaluate(item)
        found = self._found(e)
        assert found is not None
        return found

    def _found(self, e: Expr) -> ir.Value | None:
        for layer in reversed(self.memo):
            if e in layer:
                return layer[e]
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
            case Binary("add", a, Call("dot4" | "dot2", factors)) if e in self.fused:
                return (a, *factors)
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
            case Unary() | Binary() | Call() if children(e)[0].dtype in NARROW and getattr(e, "name", "") != "bitcast":
                problem = f"expected arithmetic on float32, got {children(e)[0].dtype}"
                raise CodegenError(f"codegen of {e}", problem, str(e), "run loop/widen_floats.py first")
            case Unary(op, a):
                return self.unary(op, a.dtype, self.value(a))
            case Binary("add", a, Call("dot4" | "dot2" as name, factors)) if e in self.fused:
                return self.dot(name, *map(self.value, (*factors, a)))
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
                return self.cast(self.value(a), a.dtype, dtype, a.dtype.is_float and fits_int32(a))
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
        first, second = [lambda e=e: self.broadcast(self.value(e), count) for e in (then, other)]
        return self.branch_of(chosen, first, second)

    def _blend(self, chosen: ir.Value, then: Expr, other: Expr) -> ir.Value:
        """Both branches, each for the lanes that take it."""
        sides = []
        for e, mask in ((then, chosen), (other, self.builder.not_(chosen))):
            with self.region(mask if self.mask is None else self.builder.and_(self.mask, mask)):
                sides.append(self.broadcast(self.value(e), lanes_of(chosen)))
        return self.builder.select(chosen, sides[0], sides[1])

    # ---- calls ----------------------------------------------------------------------------------

    def _call(self, e: Call) -> ir.Value:
        if e.name in PRIMITIVES and not self.facts.lacks.get(e.name):
            return self.primitive(e.name, e.args[0].dtype, e.dtype, [self.value(a) for a in e.args])
        if e.name not in INTRINSICS:
            problem = f"expected an intrinsic, got {e.name!r}"
            raise CodegenError(f"codegen of {e.name}", problem, str(e), "see te/intrinsics.py")
        dtype = e.args[0].dtype
        symbol, expand = INTRINSICS[e.name].libm, INTRINSICS[e.name].expand
        if e.name in MISSING or (expand is not None and (dtype is float32 or symbol is None)):
            return self.value(self.facts.expansion(e))
        if symbol is None or dtype not in (float32, float64):
            problem = f"expected floats, got {dtype}"
            raise CodegenError(f"codegen of {e.name}", problem, str(e), "cast the operands to float32 or float64")
        symbol, scalar = symbol if dtype is float64 else f"{symbol}f", memory_type(dtype)
        args = self.alike([self.value(a) for a in e.args])
        if not (lanes := lanes_of(args[0])):
            return self.named(symbol, scalar, *args)

        def call(n: int) -> ir.Value:
            return self.named(symbol, scalar, *[self.builder.extract_element(a, INT32(n)) for a in args])

        return self.gathered(lanes, scalar, call)

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
        for term in sorted(terms, key=lambda t: order.get(t, len(order))):  # type: ignore[call-overload]  # an order of what is no variable, too
            value = self.env[term] if isinstance(term, Var) and term in self.env else self.value(term)
            times = terms[term] * copies
            if (number := known(value)) is not None:
                constant += number * terms[term]
                continue
            chain = (*chain, value, times)
            pointer = self._shared(chain, pointer, value, times, type)
        constant = constant * copies + shift
        if buffer in self.private and self.lanes is None:
            constant += self.lane_number
        return self.builder.gep(pointer, [INT64(constant)], source_etype=type) if constant else pointer

    def _shared(self, chain: Any, pointer: ir.Value, value: ir.Value, times: int, type: ir.Type) -> ir.Value:
        if (found := next((layer[chain] for layer in reversed(self.addresses) if chain in layer), None)) is not None:
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
            assert mask is not None
            some = self.named(f"llvm.vector.reduce.or.{mangled(mask.type)}", BIT, mask)
            return self.branch_of(some, lambda: self._element(e))
        if step in (1, -1):
            return self._contiguous(e, step, mask)
        type = register_type(e.dtype)
        return self.gathered(self.lanes.count, type, lambda n: self.in_lane(n, mask, lambda: self._element(e)))

    def _element(self, e: Load) -> ir.Value:
        pointer = self.address(e.source, e.indices)
        value = self.builder.load(pointer, align=e.dtype.bytes, typ=memory_type(e.dtype))
        return self._to_register(value, e.dtype)

    def _contiguous(self, e: Load, step: int, mask: ir.Value | None) -> ir.Value:
        """One vector load; with stride -1 from the last lane on, then reversed."""
        assert self.lanes is not None
        pointer = self.address(e.source, e.indices, 0 if step == 1 else 1 - self.lanes.count)
        if mask is None:
            type = ir.VectorType(memory_type(e.dtype), self.lanes.count)
            value = self.builder.load(pointer, align=e.dtype.bytes, typ=type)
        else:
            lanes = mask if step == 1 else self.reversed(mask)
            value = self._masked_load(e.dtype, pointer, lanes)
        return self._to_register(value if step == 1 else self.reversed(value), e.dtype)

    def _masked_load(self, dtype: DType, pointer: ir.Value, mask: ir.Value) -> ir.Value:
        """Register by register: LLVM 22 takes a load apart itself, and for AVX2 reads a part of which no lane is asked for."""
        count, element = lanes_of(mask), memory_type(dtype)
        if count * dtype.bytes * 8 <= self.facts.vector_bits:
            type = ir.VectorType(element, count)
            return self.named(f"llvm.masked.load.{mangled(type)}.p0", type, pointer, mask, ir.Constant(type, None))
        half, none = (count + 1) // 2, ir.Constant(mask.type, None)
        beyond = self.builder.gep(pointer, [INT64(half)], source_etype=element)
        low, high = (self.shuffled(mask, none, range(first, first + half)) for first in (0, half))
        parts = self._masked_load(dtype, pointer, low), self._masked_load(dtype, beyond, high)
        return self.shuffled(*parts, range(count))

    def _to_register(self, value: ir.Value, dtype: DType) -> ir.Value:
        return self.builder.icmp_unsigned("!=", value, self.constant(0, value.type)) if dtype is boolean else value

    def to_memory(self, value: ir.Value, dtype: DType) -> ir.Value:
        """The value as it is stored: a bool takes a byte."""
        return self.builder.zext(value, like(BYTE, value)) if dtype is boolean else value
