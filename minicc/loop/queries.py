"""What a loop program does where: who writes a buffer, who reads it, which loops are around.

In: a program, or a statement of one. Out: statements, buffers and loops, in the order of the program text. Loop names
are unique, so a name is an address.

>>> from minicc.tensor.expr import Var
>>> from minicc.types import float32
>>> A, B, i = Buffer("A", float32, (4,)), Buffer("B", float32, (4,)), Var("i")
>>> store = Store(B, (i,), A[i] * 2.0)
>>> loops_around(For(i, 4, store), store)[0].name, targets(store), [load.source for load in reads(store)]
('i', (B: float32[4],), [A: float32[4]])
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.loop.ir import Alloc, Buffer, ExternCall, For, Prefetch, Stmt, Store, Update, bodies, expressions, loops
from minicc.loop.ir import walk
from minicc.loop.prelude import Names
from minicc.loop.program import Program
from minicc.tensor.expr import Binary, Const, Expr, Load, free_vars
from minicc.tensor.expr import loads as loads_of

Write = Store | Update


def path_to(root: Stmt, target: Stmt) -> list[Stmt]:
    """The statements from `root` down to `target`, both included; empty when it is not there."""
    if root is target:
        return [root]
    for inner in bodies(root):
        if below := path_to(inner, target):
            return [root, *below]
    return []


def loops_around(root: Stmt, target: Stmt) -> list[For]:
    """The loops that enclose `target`, outermost first, itself left out."""
    return [s for s in path_to(root, target)[:-1] if isinstance(s, For)]


def in_order(s: Stmt) -> Iterator[Stmt]:
    """Every statement in `s` as the program text has them, an outer one first."""
    stack = [s]
    while stack:
        yield (outer := stack.pop())
        stack += bodies(outer)[::-1]


def targets(s: Stmt) -> tuple[Buffer, ...]:
    """The buffers that `s` itself writes."""
    match s:
        case Store(buffer, _, _):
            return (buffer,)
        case Update(buffers, _, _, _, _):
            return buffers
        case ExternCall(_, _, output):
            return (output,)
    return ()


def mentions(s: Stmt) -> list[Buffer]:
    """The buffers that `s` itself reads, writes, or asks for early."""
    asked = [s.buffer] if isinstance(s, Prefetch) else []
    return [*[load.source for load in reads(s)], *asked, *targets(s)]


def written(s: Stmt) -> set[Buffer]:
    """The buffers that loops in `s` write."""
    return {buffer for write in writes(s) for buffer in targets(write)}


def writes(s: Stmt, buffer: Buffer | None = None) -> list[Write]:
    """The stores and updates in `s`, of one buffer or of all."""
    return [t for t in in_order(s) if isinstance(t, (Store, Update)) and (buffer is None or buffer in targets(t))]


def reads(s: Stmt) -> tuple[Load, ...]:
    """The loads of the expressions of `s` itself."""
    return loads_of(*expressions(s))


def all_reads(s: Stmt, buffer: Buffer | None = None) -> list[Load]:
    """The distinct loads in `s` and the statements inside."""
    found = dict.fromkeys(load for t in walk(s) for load in reads(t))
    return [load for load in found if buffer is None or load.source is buffer]


def readers(s: Stmt, buffer: Buffer) -> list[Stmt]:
    """The statements in `s` that read a buffer themselves."""
    return [t for t in in_order(s) if any(load.source is buffer for load in reads(t))]


def private(s: Stmt) -> set[Buffer]:
    """The buffers that live in `s` only."""
    return {t.buffer for t in walk(s) if isinstance(t, Alloc)}


def allocations(program: Program) -> dict[str, Alloc]:
    """Every allocation by the name of its buffer."""
    return {s.buffer.name: s for s in in_order(program.body) if isinstance(s, Alloc)}


def buffers_of(program: Program) -> dict[str, Buffer]:
    """Every buffer that the program writes, by name."""
    inside = {name: s.buffer for name, s in allocations(program).items()}
    return {**{b.name: b for b in program.outputs}, **inside}


def fresh(program: Program, *wanted: str) -> tuple[str, ...]:
    """Names like those wanted that nothing in `program` has."""
    outside = (*program.params, *program.outputs)
    sizes = free_vars(*[d for b in outside for d in b.shape if isinstance(d, Expr)])
    names = Names([*loops(program.body), *buffers_of(program), *[b.name for b in outside], *[v.name for v in sizes]])
    return tuple(names(name) for name in wanted)


def conjuncts(*conds: Expr) -> list[Expr]:
    """The distinct conditions that hold where all of these do, and only there; one that is always true is none."""
    found: dict[Expr, None] = {}
    for cond in conds:
        match cond:
            case Binary("and", a, b):
                found |= dict.fromkeys(conjuncts(a, b))
            case Const(value, _) if value:
                pass
            case _:
                found[cond] = None
    return list(found)
