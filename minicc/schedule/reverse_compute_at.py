"""reverse_compute_at: a consumer moves into a loop of its producer, and uses what each iteration made.

Meaning: the nest that fills `buffer` moves to the end of the body of `loop`, and runs over the
tile of its input that the iteration has just produced, while that is warm. If nobody else reads
that input, and it is inside of the program, it shrinks to the tile.

Legality: `buffer` is filled by one statement after `loop`. It reads, at plain loops of its own, one
buffer that `loop` produces; one iteration completes a box of it, densely, and all else that the
statement reads is complete before. The consumer reduces over no part of a tile.

>>> from minicc.schedule.examples import in_a_row, show
>>> s = in_a_row(8)
>>> _ = s.split("i", factor=2)
>>> show(s, ReverseComputeAtStep("B", "i_o"))
- T = empty((8,), float32)
  for i_o in range(4):
+     T = empty((2,), float32)  # local
      for i_i in range(2):
-         T[i_o*2 + i_i] = A[i_o*2 + i_i]*2.0
- for j in range(8):
-     B[j] = T[j] + 1.0
+         T[i_i] = A[i_o*2 + i_i]*2.0
+     for j in range(2):
+         B[i_o*2 + j] = T[j] + 1.0
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import SERIAL, UNROLL, Alloc, Buffer, For, If, Seq, Stmt, Store, Update, loops
from minicc.loop.ir import rewrite, seq, substitute_vars
from minicc.loop.program import Program
from minicc.loop.queries import Write, all_reads, allocations, buffers_of, loops_around, path_to, targets, private
from minicc.loop.queries import writes
from minicc.schedule.move import check_alone, check_not_vectorized, is_small, minus, reads_itself, shortened
from minicc.schedule.move import written_from
from minicc.schedule.nest import get_buffer, get_loop, moved
from minicc.schedule.loop_kind import check_independent
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Const, Expr, Var, const, free_vars, loads
from minicc.tensor.linear import from_linear, linear

BOX = "split by factors that divide, and choose a loop outside of the parts"
Tile = list[tuple[Expr, Any]]  # for each dimension a start and an extent


@dataclass(frozen=True)
class _Move:
    """The parts of a program that take part."""

    loop: For
    write: Write  # the consumer
    nest: Stmt
    source: Buffer  # what the loop produces and the consumer reads
    producer: Write
    tile: Tile


class ReverseComputeAtStep(Step, positional=2):
    """Compute a buffer from what each iteration of `loop` produces, in it."""

    buffer: str
    loop: str

    @classmethod
    def at_stage(cls, stage: Any, parent: Any, axis: Any) -> ReverseComputeAtStep:
        """The loop is one of the producer, the stage `parent`."""
        return cls(stage.name, stage.schedule[parent].loop(axis))

    def transform(self, program: Program) -> Program:
        move = self._find(program)
        narrow = self._is_private(program, move)
        body = seq(move.loop.body, self._consumer(move))
        new_loop = replace(move.loop, body=_narrowed(body, move) if narrow else body)

        def change(s: Stmt) -> Stmt:
            if s is move.nest:
                return seq()
            if narrow and isinstance(s, Alloc) and s.buffer is move.source:
                return s.body
            return new_loop if s is move.loop else s

        made = replace(program, body=rewrite(program.body, change))
        for loop in (*loops_around(made.body, new_loop), new_loop):
            if loop.kind not in (SERIAL, UNROLL):
                check_independent(made, loop)
        return made

    def _find(self, program: Program) -> _Move:
        """The statements that take part, or why they cannot."""
        buffer, loop = get_buffer(program, self.buffer), get_loop(program, self.loop)
        found = writes(program.body, buffer)
        if len(found) != 1 or not isinstance(found[0], (Store, Update)):
            hint = "use reverse_compute_at before peeling, partitioning or decomposing its loops"
            raise Illegal(f"it must be filled by one statement, but {len(found)} write it", self.buffer, hint)
        write, way = found[0], path_to(program.body, loop)
        nest = next(s for s in path_to(program.body, write) if s not in way) if not path_to(loop, write) else None
        if nest is None:
            problem = f"{self.buffer} is computed in loop {loop.name} already"
            raise Illegal(problem, loop.name, "choose a loop of another nest: one that fills what it reads")
        self._check_place(program, loop, nest)
        source, producer = self._source(program, loop, nest)
        self._check_inputs(program, loop, write, nest, source)
        return _Move(loop, write, nest, source, producer, self._tile(loop, producer))

    def _check_place(self, program: Program, loop: For, nest: Stmt) -> None:
        shared = path_to(program.body, nest)[-2] if nest is not program.body else None
        if not isinstance(shared, Seq) or not any(path_to(s, loop) for s in shared.stmts[: shared.stmts.index(nest)]):
            hint = f"choose a loop that fills what {self.buffer} reads; compute_at moves a buffer to its readers"
            raise Illegal(f"loop {loop.name} does not come before the nest of {self.buffer}", loop.name, hint)
        check_not_vectorized(program, loop)

    def _source(self, program: Program, loop: For, nest: Stmt) -> tuple[Buffer, Write]:
        """The buffer that the loop produces and the nest reads, and the statement that fills it."""
        read = {load.source for load in all_reads(nest)}
        found = [b for b in dict.fromkeys(b for w in writes(loop) for b in targets(w)) if b in read]
        if len(found) != 1:
            what = f"{len(found)} buffers" if found else "nothing"
            problem = f"{self.buffer} must read one buffer that loop {loop.name} produces, but reads {what}"
            others = ", ".join(sorted(b.name for b in read if b.name in buffers_of(program))) or "nothing here"
            raise Illegal(problem, loop.name, f"choose a loop that fills what it reads: {others}")
        (source,), producers = found, writes(program.body, found[0])
        if len(producers) != 1 or len(targets(producers[0])) != 1:
            problem = f"{source.name} must be filled by one statement of its own"
            raise Illegal(problem, source.name, "use reverse_compute_at before peeling or decomposing its loops")
        (producer,) = producers
        axes = producer.axes if isinstance(producer, Update) else ()
        if around := [f.name for f in (*loops_around(program.body, loop), loop) if f.var in axes]:
            problem = f"{source.name} is not complete in an iteration of {loop.name}: it is reduced over {around[0]}"
            raise Illegal(problem, loop.name, "choose a loop around the reduction")
        if reads_itself(loop, producer):
            problem = f"{source.name} is read in loop {loop.name} itself"
            raise Illegal(problem, source.name, "choose a loop in which nothing else reads it")
        return source, producer

    def _check_inputs(self, program: Program, loop: For, write: Write, nest: Stmt, source: Buffer) -> None:
        """All else that the nest reads is complete before the loops start, and it does not read what it writes."""
        first = next(s for s in path_to(program.body, loop) if isinstance(s, For))
        own = private(nest) | set(targets(write))
        if later := written_from(program.body, first, {load.source for load in all_reads(nest)} - own - {source}):
            problem = f"it reads {later.name}, which is not complete before loop {first.name}"
            at = f'use compute_at("{source.name}", loop) at a loop of {self.buffer}'
            raise Illegal(problem, self.buffer, f"inline {later.name} first, if it can be, or {at}")
        check_alone(nest, own, self.buffer, "move it before other buffers are computed in its nest")
        for w in writes(nest):
            if isinstance(w, Store) and any(load.source in targets(w) for load in loads(w.value)):
                problem = "its elements are computed from one another"
                raise Illegal(problem, self.buffer, "leave it: a recurrence runs over the whole of its nest")

    def _tile(self, loop: For, producer: Write) -> Tile:
        """The box that an iteration of the loop fills, each element of it."""
        inner = {f.var: f for f in loops_around(loop, producer)[1:]}
        used: set[Expr] = set()
        sides = list(zip(producer.indices, targets(producer)[0].shape, strict=True))
        tile = [self._side(index, limit, inner, used) for index, limit in sides]
        for s in path_to(loop.body, producer):
            if isinstance(s, If) and s.cond not in [index < limit for index, limit in sides]:
                problem = f"{targets(producer)[0].name} is filled under the guard {s.cond}"
                raise Illegal(problem, loop.name, "choose a loop outside of the guard, or a factor that divides")
        return tile

    def _side(self, index: Expr, limit: Any, inner: dict[Var, For], used: set[Expr]) -> tuple[Expr, Any]:
        """Start and extent along one dimension: the inner loops count it through like the digits of a number."""
        if isinstance(index, Var) and index in inner and index not in used and inner[index].extent == limit:
            used.add(index)
            return const(0), limit
        terms, constant = linear(index)
        moving = [(k, v) for v, k in terms.items() if isinstance(v, Var) and v in inner and inner[v].extent != 1]
        start, size = from_linear({v: k for v, k in terms.items() if v not in inner}, constant), 1
        good = not any(v in inner for v in free_vars(start))
        for times, v in sorted(moving, key=lambda term: term[0]):
            good = good and times == size and v not in used and isinstance(inner[v].extent, int)
            used.add(v)
            size *= inner[v].extent if good else 1
        if not good:
            raise Illegal(f"the loops inside of {self.loop} do not fill a box: {index}", self.loop, BOX)
        return start, size

    def _consumer(self, move: _Move) -> Stmt:
        """The nest of the consumer over one tile."""
        found = all_reads(move.nest, move.source)
        around = {f.var: f for f in loops_around(move.nest, move.write)}
        instead = f'move the producer to its reader: s.compute_at("{move.source.name}", loop)'
        if len(found) != 1:
            raise Illegal(f"{move.source.name} is read at {len(found)} places", self.buffer, instead)
        values: dict[Expr, Expr] = {}
        extents: dict[Expr, Any] = {}
        guards: dict[Expr, Expr] = {}
        for index, (start, size), limit in zip(found[0].indices, move.tile, move.source.shape, strict=True):
            if (isinstance(index, Const) and limit == 1) or size == limit:
                continue
            if not isinstance(index, Var) or index not in around or index in extents:
                problem = f"{move.source.name} must be read at loops of its own, but is read as {found[0]}"
                raise Illegal(problem, self.buffer, instead)
            if isinstance(move.write, Update) and index in move.write.axes:
                problem = f"{self.buffer} is reduced over {index}, and a tile has only a part of it"
                hint = f"choose a loop in which all of {index} is computed, outside of the loops over it"
                raise Illegal(problem, self.buffer, hint)
            values[index], extents[index] = start + index, size
            guards[index] = start + index < around[index].extent
        return shortened(substitute_vars(move.nest, values), extents, guards)

    def _is_private(self, program: Program, move: _Move) -> bool:
        """Whether only the consumer reads the source, so that it can shrink to a tile."""
        if move.source in program.outputs:
            return False
        home = allocations(program)[move.source.name]
        outside = rewrite(home.body, lambda s: seq() if s is move.nest or s is move.producer else s)
        return not all_reads(outside, move.source)

    @classmethod
    def candidates(cls, program: Program) -> Iterator[ReverseComputeAtStep]:
        for buffer in buffers_of(program):
            for loop in loops(program.body):
                yield cls(buffer, loop)


def _narrowed(body: Stmt, move: _Move) -> Stmt:
    """`body` with the source allocated in it, as large as the tile."""
    shape = tuple(size for _, size in move.tile)
    new = replace(move.source, shape=shape, scope="local" if is_small(shape) else move.source.scope)
    return Alloc(new, moved(body, move.source, new, lambda at: minus(at, [start for start, _ in move.tile])))
