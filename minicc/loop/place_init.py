"""Pass: give each reduction its explicit initialisation, so that no `Update` is left.

In: a program with `Update`s. Out: plain stores, the initial ones in a loop nest of their own
right before the outermost loop that reduces. That nest copies the loops and the guards which
stand between that loop and the update, without the reducing ones, under names ending in `_init`.
So a reduction of no step at all, over a symbolic extent that is 0, leaves the initial values.

    for k in range(8):                              for i_init in range(4):
        for i in range(4):                  ->          C[i_init] = 0.0
            Update C[i] += A[i, k] over k           for k in range(8):
                                                        for i in range(4):
                                                            C[i] = C[i] + A[i, k]
"""

from __future__ import annotations

from dataclasses import dataclass

from minicc.errors import LoopError, caret
from minicc.ir.node import replace
from minicc.loop.ir import Alloc, Buffer, For, If, Seq, Stmt, Store, Update, loops, rewrite, seq, substitute_vars, walk
from minicc.loop.prelude import Names
from minicc.loop.program import Program
from minicc.loop.queries import conjuncts, private
from minicc.tensor.expr import Const, Expr, Var, all_of, const, free_vars
from minicc.tensor.expr import loads as loads_of


@dataclass
class Pending:
    """An initialisation on its way up, out of the loops over `axes`."""

    axes: frozenset[Var]
    stmt: Stmt
    suffix: str = "_init"  # of the names of the loops that it copies


def place_init(program: Program) -> Program:
    """`program` without `Update`; itself if it has none.

    Raises LoopError when an accumulator is allocated inside the reduction, or its element depends
    on a reducing loop.
    """
    if not any(isinstance(s, Update) for s in walk(program.body)):
        return program
    body, _ = Placing(program).visit(program.body, frozenset())
    return replace(program, body=body)


class Placing:
    """Moves initialisations in one program, under names that are free there."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.loops = {s.var for s in loops(program.body).values()}
        buffers = [*program.params, *program.outputs, *private(program.body)]
        self.fresh = Names([*[b.name for b in buffers], *[v.name for v in self.loops]])

    def visit(self, s: Stmt, outer: frozenset[Var]) -> tuple[Stmt, list[Pending]]:
        """`s` in plain stores, and the initialisations that belong before a loop of `outer`."""
        match s:
            case For(var, _, body):
                made, pending = self.visit(body, outer | {var})
                for item in pending:
                    item.stmt = self.outside(item, s)
                stay = [item.stmt for item in pending if not item.axes & outer]
                return seq(*stay, replace(s, body=made)), [item for item in pending if item.axes & outer]
            case Seq(stmts):
                parts = [self.visit(inner, outer) for inner in stmts]
                return seq(*[part for part, _ in parts]), [item for _, pending in parts for item in pending]
            case If(_, body) | Alloc(_, body):
                made, pending = self.visit(body, outer)
                for item in pending:
                    item.stmt = self.outside(item, s)
                return replace(s, body=made), pending
            case Update():
                return self.update(s, outer)
        return s, []

    def update(self, s: Update, outer: frozenset[Var]) -> tuple[Stmt, list[Pending]]:
        """A reduction step as a plain store, and its initialisation, which waits for the loop it goes before."""
        axes = frozenset(s.axes)
        if moved := sorted(v.name for v in axes & free_vars(*s.indices)):
            where = ", ".join(map(str, s.indices))
            problem = f"expected an accumulator that stays over loop {moved[0]}, got {s.buffers[0].name}[{where}]"
            hint = f"leave {moved[0]} out of the axes of the reduction, or out of the place that it adds to"
            raise LoopError(f"place_init({self.program.name})", problem, caret(str(self.program), moved[0]), hint)
        start = seq(*[Store(b, s.indices, e) for b, e in zip(s.buffers, s.inits, strict=True)])
        step = self.assign(s)
        return (step, [Pending(axes, start)]) if axes & outer else (seq(start, step), [])

    def outside(self, item: Pending, around: Stmt) -> Stmt:
        """The statement of `item` moved out of the statement `around`: in a copy of a guard or of a spatial loop."""
        match around:
            case For(var) if var in item.axes:
                return _at_zero(item.stmt, var)
            case For(var):
                copy = Var(self.fresh(var.name + item.suffix))
                return replace(around, var=copy, body=substitute_vars(item.stmt, {var: copy}))
            case If(cond, _):
                kept = [c for c in conjuncts(cond) if not self.is_about_steps(c, item.axes)]
                return If(all_of(*kept), item.stmt) if kept else item.stmt
            case Alloc(buffer, _):
                self.check_inside(buffer, item)
        return item.stmt

    def is_about_steps(self, cond: Expr, axes: frozenset[Var]) -> bool:
        """Whether `cond` tells steps of the reduction apart and no elements: there may be none for which it holds."""
        found = free_vars(cond) & self.loops
        return bool(found) and found <= axes

    def check_inside(self, buffer: Buffer, item: Pending) -> None:
        """Raises LoopError when `item` initialises a buffer that does not exist yet where it goes."""
        if any(isinstance(s, Store) and s.buffer is buffer for s in walk(item.stmt)):
            raise LoopError(
                f"place_init({self.program.name})",
                f"expected {buffer.name} to live through the loops "
                f"{', '.join(sorted(v.name for v in item.axes))}, got an allocation inside of them",
                caret(str(self.program), buffer.name),
                "allocate it outside of the reduction",
            )

    def assign(self, s: Update) -> Stmt:
        """All components at once: each is stored after the others have read it, through a temporary if need be."""
        waiting = dict(zip(s.buffers, s.values, strict=True))
        stores: list[Stmt] = []
        late: dict[Buffer, Stmt] = {}  # by the temporary that holds the value
        while waiting:
            read = {b: {load.source for load in loads_of(e)} for b, e in waiting.items()}
            free = [b for b in waiting if not any(b in read[other] for other in waiting if other is not b)]
            target = free[0] if free else next(iter(waiting))
            if free:
                stores.append(Store(target, s.indices, waiting.pop(target)))
            else:
                temporary = Buffer(self.fresh(f"{target.name}_next"), target.dtype, (), "local")
                stores.append(Store(temporary, (), waiting.pop(target)))
                late[temporary] = Store(target, s.indices, temporary[()])
        made = seq(*stores, *late.values())
        for temporary in late:
            made = Alloc(temporary, made)
        return made


def _at_zero(s: Stmt, var: Var) -> Stmt:
    """`s` at the first step of a reducing loop, without guards that hold there."""

    def without_true(t: Stmt) -> Stmt:
        return (t.body if t.cond.value else seq()) if isinstance(t, If) and isinstance(t.cond, Const) else t

    return rewrite(substitute_vars(s, {var: const(0)}), without_true)
