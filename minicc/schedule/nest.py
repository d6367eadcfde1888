"""Finding loops and buffers in a program by name, and grafting changed parts back.

In: a program and a name. Out: statements, the way down to them, and new programs. Loop names are
unique, so a name is an address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import Alloc, Buffer, ExternCall, For, Prefetch, Stmt, Store, Update, bodies, expressions, loops
from minicc.loop.ir import map_bodies, rewrite, walk
from minicc.loop.ir import substitute_vars as substitute_vars
from minicc.loop.prelude import RESERVED
from minicc.loop.program import Program
from minicc.schedule.step import Illegal
from minicc.tensor.expr import Expr, Load, Var, free_vars, transform
from minicc.tensor.expr import loads as loads_of

Write = Store | Update


def get_loop(program: Program, name: str) -> For:
    """The loop called `name`. Raises Illegal when there is none."""
    found = loops(program.body)
    if name not in found:
        raise Illegal(f"no loop is called {name!r}", hint=f"the loops are {', '.join(found) or 'none'}")
    return found[name]


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


def graft(program: Program, old: Stmt, new: Stmt) -> Program:
    """`program` with the statement `old` replaced."""

    def change(s: Stmt) -> Stmt:
        return new if s is old else map_bodies(s, change)

    return replace(program, body=change(program.body))


def writes(s: Stmt, buffer: Buffer | None = None) -> list[Write]:
    """The stores and updates in `s`, of one buffer or of all."""
    return [t for t in in_order(s) if isinstance(t, (Store, Update)) and (buffer is None or buffer in targets(t))]


def in_order(s: Stmt) -> Iterator[Stmt]:
    """Every statement in `s` as the program text has them, an outer one first."""
    yield s
    for inner in bodies(s):
        yield from in_order(inner)


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


def reads(s: Stmt) -> list[Load]:
    """The loads of the expressions of `s` itself."""
    return loads_of(*expressions(s))


def all_reads(s: Stmt, buffer: Buffer | None = None) -> list[Load]:
    """The distinct loads in `s` and the statements inside."""
    found = dict.fromkeys(load for t in walk(s) for load in reads(t))
    return [load for load in found if buffer is None or load.source is buffer]


def allocations(program: Program) -> dict[str, Alloc]:
    """Every allocation by the name of its buffer."""
    return {s.buffer.name: s for s in in_order(program.body) if isinstance(s, Alloc)}


def buffers_of(program: Program) -> dict[str, Buffer]:
    """Every buffer that the program writes, by name."""
    inside = {name: s.buffer for name, s in allocations(program).items()}
    return {**{b.name: b for b in program.outputs}, **inside}


def get_buffer(program: Program, name: str) -> Buffer:
    """The output or allocated buffer called `name`. Raises Illegal."""
    found = buffers_of(program)
    if name not in found:
        raise Illegal(
            f"no buffer called {name!r} is written here", hint=f"the buffers are {', '.join(found) or 'none'}"
        )
    return found[name]


def get_alloc(program: Program, name: str) -> Alloc:
    """The allocation of the buffer called `name`. Raises Illegal."""
    buffer = get_buffer(program, name)
    if buffer in program.outputs:
        raise Illegal(f"{name} is an output of the program", name, "only a buffer inside of the program can be moved")
    return allocations(program)[name]


def fresh(program: Program, *wanted: str) -> tuple[str, ...]:
    """Names like those wanted that nothing in `program` has."""
    taken = set(loops(program.body)) | set(buffers_of(program)) | {b.name for b in program.params} | RESERVED
    taken |= {
        v.name
        for b in (*program.params, *program.outputs)
        for d in b.shape
        if isinstance(d, Expr)
        for v in free_vars(d)
    }
    made = []
    for base in wanted:
        name, count = base, 0
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name)
        made.append(name)
    return tuple(made)


def duplicate(program: Program, s: Stmt, suffix: str) -> Stmt:
    """A copy of `s` whose loops and allocations have names of their own."""
    names = list(loops(s))
    variables: dict[Expr, Expr] = {
        Var(n): Var(f) for n, f in zip(names, fresh(program, *[n + suffix for n in names]), strict=True)
    }
    inside = [t.buffer for t in walk(s) if isinstance(t, Alloc)]
    renamed = fresh(program, *[b.name + suffix for b in inside])
    buffers = {b: replace(b, name=name) for b, name in zip(inside, renamed, strict=True)}

    def loop(t: Stmt) -> Stmt:
        return replace(t, var=variables[t.var]) if isinstance(t, For) else t

    return rewrite(rename_buffers(substitute_vars(s, variables), buffers), loop)


def rename_buffers(s: Stmt, buffers: dict[Buffer, Buffer]) -> Stmt:
    """`s` with buffers replaced wherever they are read, written or allocated."""
    return map_accesses(s, lambda buffer, indices: (buffers.get(buffer, buffer), indices))


def map_accesses(s: Stmt, change: Callable[[Buffer, tuple[Expr, ...]], tuple[Buffer, tuple[Expr, ...]]]) -> Stmt:
    """`s` with every `buffer[indices]`, read or written, replaced; an allocation by that of the buffer."""
    from_memo: dict[Expr, Expr] = {}

    def load(e: Expr) -> Expr:
        return Load(*change(e.source, e.indices)) if isinstance(e, Load) else e

    def expr(e: Any) -> Any:
        return transform(e, load, from_memo) if isinstance(e, Expr) else e

    def stmt(t: Stmt) -> Stmt:
        match t:
            case Store(buffer, indices, value):
                return Store(*change(buffer, tuple(map(expr, indices))), expr(value))
            case Update(buffers, indices, values, inits, axes):
                at = tuple(map(expr, indices))
                changed = [change(b, at) for b in buffers]
                return Update(tuple(b for b, _ in changed), changed[0][1], tuple(map(expr, values)), inits, axes)
            case Alloc(buffer, body):
                return Alloc(change(buffer, ())[0], body)
            case ExternCall(function, inputs, output):
                return ExternCall(function, tuple(_whole(b, change) for b in inputs), _whole(output, change))
            case Prefetch(buffer, indices):
                return Prefetch(*change(buffer, tuple(map(expr, indices))))
        return map_here(t, expr)

    return rewrite(s, stmt)


def _whole(buffer: Buffer, change: Callable[[Buffer, tuple[Expr, ...]], tuple[Buffer, tuple[Expr, ...]]]) -> Buffer:
    """What takes the place of a buffer that a function from outside works on. Raises Illegal when its layout changes."""
    at = tuple(Var(f"{n}") for n in range(len(buffer.shape)))
    made, indices = change(buffer, at)
    if indices != at or made.shape != buffer.shape:
        problem = f"a function from outside works on the whole of {buffer.name}, as it is"
        raise Illegal(problem, buffer.name, f'first s.cache_read or s.cache_write("{buffer.name}")')
    return made


def map_here(t: Stmt, change: Callable[[Any], Any]) -> Stmt:
    """`t` with `change` applied to the expressions of a loop or a guard itself."""
    match t:
        case For(_, extent, _, _):
            return replace(t, extent=change(extent))
    return replace(t, cond=change(t.cond)) if hasattr(t, "cond") else t
