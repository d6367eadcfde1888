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
from minicc.loop.ir import Alloc, Buffer, For, If, Seq, Stmt, Store, Update, seq, substitute_vars, walk
from minicc.loop.program import Program
from minicc.tensor.expr import Binary, Const, Expr, Var, all_of, const, free_vars, loads


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
        self.names = {b.name for b in (*program.params, *program.outputs)}
        self.loops: set[Var] = set()
        for s in walk(program.body):
            if isinstance(s, For):
                self.names.add(s.name)
                self.loops.add(s.var)
            elif isinstance(s, Alloc):
                self.names.add(s.buffer.name)

    def fresh(self, base: str) -> str:
        """A name that nothing in the program has yet."""
        name, count = base, 0
        while name in self.names:
            count += 1
            name = f"{base}_{count}"
        self.names.add(name)
        return name

    def visit(self, s: Stmt, outer: frozenset[Var]) -> tuple[Stmt, list[Pending]]:
        """`s` in plain stores, and the initialisations that belong before a loop of `outer`."""
        match s:
            case For(var, _, body):
                made, pending = self.visit(body, outer | {var})
                stay: list[Pending] = []
                go: list[Pending] = []
                for item in pending:
                    item.stmt = self.outside(item, s)
                    (go if item.axes & outer else stay).append(item)
                return seq(*[item.stmt for item in stay], replace(s, body=made)), go
            case Seq(stmts):
                parts = [self.visit(inner, outer) for inner in stmts]
                return seq(*[part for part, _ in parts]), [item for _, pending in parts for item in pending]
            case If(cond, body):
                made, pending = self.visit(body, outer)
                for item in pending:
                    item.stmt = self.outside(item, s)
                return If(cond, made), pending
            case Alloc(buffer, body):
                made, pending = self.visit(body, outer)
                for item in pending:
                    self.outside(item, s)
                return Alloc(buffer, made), pending
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
                kept = [c for c in _conjuncts(cond) if not self.is_about_steps(c, item.axes)]
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
        temporaries: list[Buffer] = []
        late: list[Stmt] = []
        while waiting:
            free = [b for b in waiting if not any(_reads(e, b) for other, e in waiting.items() if other is not b)]
            if not free:
                b = next(iter(waiting))
                temporaries.append(Buffer(self.fresh(f"{b.name}_next"), b.dtype, (), "local"))
                stores.append(Store(temporaries[-1], (), waiting.pop(b)))
                late.append(Store(b, s.indices, temporaries[-1][()]))
            for b in free[:1]:
                stores.append(Store(b, s.indices, waiting.pop(b)))
        made = seq(*stores, *late)
        for buffer in temporaries:
            made = Alloc(buffer, made)
        return made


def _reads(e: Expr, buffer: Buffer) -> bool:
    return any(load.source is buffer for load in loads(e))


def _conjuncts(cond: Expr) -> list[Expr]:
    """The conditions that hold where `cond` does, and only there."""
    if isinstance(cond, Binary) and cond.op == "and":
        return [*_conjuncts(cond.a), *_conjuncts(cond.b)]
    return [cond]


def _at_zero(s: Stmt, var: Var) -> Stmt:
    """`s` at the first step of a reducing loop, without guards that hold there."""
    return _without_true(substitute_vars(s, {var: const(0)}))


def _without_true(s: Stmt) -> Stmt:
    if isinstance(s, If) and isinstance(s.cond, Const):
        return _without_true(s.body) if s.cond.value else seq()
    if isinstance(s, (For, If)):
        return replace(s, body=_without_true(s.body))
    return s


__all__ = ["Pending", "Placing", "place_init"]
