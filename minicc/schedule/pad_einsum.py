"""pad_einsum: a sum of products runs over longer loops, whole multiples, with zeros in the operands.

Meaning: each loop around the reduction into `buffer` gets the next multiple of its entry in
`padding` (one for each loop, outermost first; 1 leaves it). Operands that a longer loop indexes
are copied to `<operand>_pad`, with zeros behind the end, and the result goes to `<buffer>_pad`,
whose valid part is copied out. So tiles of ragged sizes are whole, without guards in the nest.

Legality: the nest is nothing but loops around one reduction, which adds products of elements to a
number from 0. Where a longer loop is an index, every index is a loop, or the only one of its dimension.
All factors are indexed by a longer loop that reduces, so that zeros meet zeros: 0 times what the other operand holds
there may be NaN; of integers, one factor. Any other longer loop indexes the result, which no loop further out adds to.

>>> from minicc.schedule.examples import product, show
>>> show(product(6, 7), PadEinsumStep("C", (4, 8)))
- for i in range(6):
-     for k in range(7):
+ A_pad = empty((8, 8), float32)
+ for A_pad_0 in range(8):
+     for A_pad_1 in range(8):
+         A_pad[A_pad_0, A_pad_1] = A[A_pad_0, A_pad_1] if A_pad_0 < 6 and A_pad_1 < 7 else float32(0.0)
+ B_pad = empty((8,), float32)
+ for B_pad_0 in range(8):
+     B_pad[B_pad_0] = B[B_pad_0] if B_pad_0 < 7 else float32(0.0)
+ C_pad = empty((8,), float32)
+ for i in range(8):
+     for k in range(8):
          if first(k):
-             C[i] = 0.0
-         C[i] = C[i] + A[i, k]*B[k]
+             C_pad[i] = 0.0
+         C_pad[i] = C_pad[i] + A_pad[i, k]*B_pad[k]
+ for i_copy in range(6):
+     C[i_copy] = C_pad[i_copy]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import SERIAL, Alloc, Buffer, For, Stmt, Store, Update, seq
from minicc.loop.program import Program
from minicc.loop.queries import buffers_of, fresh, path_to
from minicc.schedule.nest import graft, nested, only_reduction
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Binary, Call, Convert, Const, Expr, Load, Var, all_of, const, free_vars, select
from minicc.tensor.expr import transform

TILES = (4, 16)  # what moves tries

Extents = dict[Expr, Any]  # of loops, by their variable


class PadEinsumStep(Step):
    """Lengthen the loops of a sum of products to multiples, with zeros in copies of the operands."""

    buffer: str
    padding: tuple[int, ...]

    def transform(self, program: Program) -> Program:
        update = only_reduction(program, self.buffer)
        chain = _chain(program, update)
        self._check_padding(chain)
        before: Extents = {f.var: f.extent for f in chain}
        after: Extents = {f.var: _multiple(f.extent, p) for f, p in zip(chain, self.padding, strict=True)}
        longer = {v for v in before if after[v] is not before[v] and after[v] != before[v]}
        if not longer:
            extents = ", ".join(f"{f.name} of {f.extent}" for f in chain)
            problem = "every loop is a multiple of its padding already"
            raise Illegal(problem, self.buffer, f"leave it out, or give larger numbers: the loops are {extents}")
        operands = self._operands(update, before, longer)
        padded = list(dict.fromkeys(load for load in operands if longer & set(load.indices)))
        names = _names(program, update, padded)
        copies = {load: self._like(load.source, load.indices, next(names), after) for load in padded}
        result = self._like(update.buffers[0], update.indices, next(names), after)
        result = result if longer & set(update.indices) else update.buffers[0]
        elements: dict[Expr, Expr] = {load: copy[load.indices] for load, copy in copies.items()}
        elements[update.buffers[0][update.indices]] = result[update.indices]
        value = transform(update.values[0], lambda e: elements.get(e, e))
        made: Stmt = replace(update, buffers=(result,), values=(value,))
        for loop in reversed(chain):
            made = replace(loop, extent=after[loop.var], body=made)
        stored = self._copy_out(update, result, before, names)
        if result is not update.buffers[0]:
            made = Alloc(result, seq(made, stored))
        fills = [self._copy_in(load, copy, before, after, names) for load, copy in copies.items()]
        for copy, fill in reversed(list(zip(copies.values(), fills, strict=True))):
            made = Alloc(copy, seq(fill, made))
        return graft(program, chain[0], made)

    def _check_padding(self, chain: Sequence[For]) -> None:
        names = ", ".join(f.name for f in chain)
        if len(self.padding) != len(chain):
            problem = f"expected a padding for each of the loops {names}, got {len(self.padding)}"
            raise Illegal(problem, self.buffer, "1 leaves a loop as long as it is")
        for loop, multiple in zip(chain, self.padding, strict=True):
            if not isinstance(multiple, int) or multiple < 1:
                problem = f"expected a positive number for loop {loop.name}, got {multiple}"
                raise Illegal(problem, loop.name, "1 leaves a loop as long as it is")
            if loop.kind != SERIAL:
                raise Illegal(f"expected serial loops, got {loop.name} of kind {loop.kind}", loop.name, "pad before")

    def _operands(self, update: Update, loops: Extents, longer: set[Expr]) -> list[Load]:
        """The factors of the product that is summed up. Raises Illegal when it is none, or padding could be seen."""
        found = _product(update)
        if found is None:
            step = f"{self.buffer} = {update.values[0]} from {update.inits[0]}"
            hint = 'only zeros can be added to such a sum; split with tail="mask" takes any loop'
            raise Illegal(f"expected a sum from 0 of products of elements, got {step}", self.buffer, hint)
        for load in (update.buffers[0][update.indices], *found):
            dims = zip(load.indices, load.source.shape, strict=True)
            foreign = [i for i, dim in dims if i not in loops and not (isinstance(i, Const) and dim == 1)]
            if foreign and longer & free_vars(*load.indices):
                problem = f"expected every index to be a loop of the nest, got {foreign[0]}"
                raise Illegal(problem, self.buffer, "pad before splitting or fusing its loops")
        seen = {*update.indices, *[i for load in found for i in load.indices if i in update.axes]}
        unseen = [v for v in loops if v in longer - seen]
        if unseen:
            problem = f"no element depends on loop {unseen[0]}, so that a longer one adds the same elements again"
            raise Illegal(problem, f"{unseen[0]}", f"do not pad loop {unseen[0]}")
        outer = [axis.name for axis in update.axes if axis not in loops]
        if outer and longer & set(update.indices):
            problem = (
                f"the sum goes on from one iteration of loop {outer[0]} to the next, and a padded result starts anew"
            )
            raise Illegal(problem, self.buffer, f"pad before other statements stand in loop {outer[0]}")
        for axis in update.axes:
            outside = [load for load in found if axis not in load.indices]
            if axis in longer and outside and any(load.dtype.is_float for load in found):
                other, zero = outside[0].source.name, "and 0 times an infinite one is NaN"
                problem = f"zeros behind the end of loop {axis.name} would meet elements of {other}, {zero}"
                raise Illegal(problem, other, f"do not pad loop {axis.name}")
        return found

    def _like(self, buffer: Buffer, indices: Sequence[Expr], name: str, extents: Extents) -> Buffer:
        return Buffer(name, buffer.dtype, tuple(_extents(indices, extents)))

    def _copy_in(self, load: Load, copy: Buffer, before: Extents, after: Extents, names: Iterator[str]) -> Stmt:
        """The nest that fills the copy of an operand: its elements, and zeros behind the end."""
        at = tuple(Var(next(names)) for _ in copy.shape)
        ends = zip(at, load.indices, strict=True)
        inside = all_of(*[v < before[index] for v, index in ends if after.get(index) is not before.get(index)])
        element = select(inside, load.source[at], const(0, copy.dtype))
        return nested(at, copy.shape, Store(copy, at, element))

    def _copy_out(self, update: Update, result: Buffer, before: Extents, names: Iterator[str]) -> Stmt:
        """The nest that stores the valid part of the result."""
        at = tuple(Var(next(names)) for _ in result.shape)
        return nested(at, _extents(update.indices, before), Store(update.buffers[0], at, result[at]))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[PadEinsumStep]:
        for name in buffers_of(program):
            try:
                chain = _chain(program, only_reduction(program, name))
            except Illegal:
                continue
            for tile in TILES:
                yield cls(name, (tile,) * len(chain))
                yield cls(name, (*[1] * (len(chain) - 1), tile))


def _chain(program: Program, update: Update) -> list[For]:
    """The loops around a statement with nothing but it inside, outermost first. Raises Illegal when there are none."""
    chain: list[For] = []
    for s in reversed(path_to(program.body, update)[:-1]):
        if not isinstance(s, For):
            break
        chain.insert(0, s)
    if not chain:
        problem = f"no loop is right around the reduction into {update.buffers[0].name}"
        raise Illegal(problem, update.buffers[0].name, "pad before splitting, so that no guard stands between")
    return chain


def _names(program: Program, update: Update, padded: Sequence[Load]) -> Iterator[str]:
    """Names of the copies, of the loops that store the result, and of those that fill the copies, in this order."""
    result = [f"{index.name if isinstance(index, Var) else f'i{d}'}_copy" for d, index in enumerate(update.indices)]
    filling = [f"{load.source.name}_pad_{d}" for load in padded for d in range(len(load.indices))]
    copies = [f"{b.name}_pad" for b in (*[load.source for load in padded], *update.buffers)]
    return iter(fresh(program, *copies, *result, *filling))


def _multiple(extent: Any, of: int) -> Any:
    """The next multiple; `extent` itself where it is one."""
    return extent if of == 1 or (isinstance(extent, int) and extent % of == 0) else (extent + (of - 1)) // of * of


def _extents(indices: Sequence[Expr], extents: Extents) -> list[Any]:
    """The extents of loops that are indices; an index that is none is the only one of its dimension."""
    return [extents.get(index, 1) for index in indices]


def _product(update: Update) -> list[Load] | None:
    """The factors of the product that a step adds to its accumulator, from 0; None for any other step."""
    value, start = update.values[0], update.inits[0]
    if len(update.values) > 1 or not (isinstance(start, Const) and start.value == 0):
        return None
    accumulator = update.buffers[0][update.indices]
    if not (isinstance(value, Binary) and value.op == "add" and accumulator in (value.a, value.b)):
        return None
    found: list[Load] = []
    pending = [value.b if value.a is accumulator else value.a]
    while pending:
        match pending.pop():
            case Binary("mul", a, b) | Call("dot4" | "dot2", (a, b)):
                pending += [b, a]
            case Convert(a, _):
                pending.append(a)
            case Load() as load if load.source is not accumulator.source:
                found.append(load)
            case _:
                return None
    return found
