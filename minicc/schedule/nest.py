"""Loops and buffers of a program by name, or why there is none; and changed parts grafted back.

In: a program and a name. Out: statements, and new programs. What asks a program and changes nothing is in `loop.queries`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import Alloc, Buffer, ExternCall, For, If, Prefetch, Seq, Stmt, Store, Update, loops, map_bodies
from minicc.loop.ir import map_own, rewrite, substitute_vars, walk
from minicc.loop.program import Program
from minicc.loop.queries import allocations, buffers_of, fresh, writes
from minicc.schedule.step import Illegal
from minicc.tensor.expr import Expr, Load, Var, free_vars, transform

Access = Callable[[Buffer, tuple[Expr, ...]], tuple[Buffer, tuple[Expr, ...]]]  # what an element becomes


def get_loop(program: Program, name: str) -> For:
    """The loop called `name`. Raises Illegal when there is none."""
    found = loops(program.body)
    if name not in found:
        raise Illegal(f"no loop is called {name!r}", hint=f"the loops are {', '.join(found) or 'none'}")
    return found[name]


def get_buffer(program: Program, name: str) -> Buffer:
    """The output or allocated buffer called `name`. Raises Illegal."""
    found = buffers_of(program)
    if name not in found:
        hint = f"the buffers are {', '.join(found) or 'none'}"
        raise Illegal(f"no buffer called {name!r} is written here", hint=hint)
    return found[name]


def get_alloc(program: Program, name: str) -> Alloc:
    """The allocation of the buffer called `name`. Raises Illegal."""
    if get_buffer(program, name) in program.outputs:
        raise Illegal(f"{name} is an output of the program", name, "only a buffer inside of the program can be moved")
    return allocations(program)[name]


def only_reduction(program: Program, name: str) -> Update:
    """The statement that reduces into the buffer called `name`. Raises Illegal when others write it before, or two do."""
    buffer = get_buffer(program, name)
    found = writes(program.body, buffer)
    first = found[0] if found else None  # a function from outside may fill it
    if not isinstance(first, Update) or any(isinstance(w, Update) for w in found[1:]):
        raise Illegal(f"{name} must be filled by one reduction, but is not", name, _reductions(program))
    return first


def _reductions(program: Program) -> str:
    """Which buffers have one reduction each."""
    found = [w.buffers[0].name for w in writes(program.body) if isinstance(w, Update)]
    once = [name for name in found if found.count(name) == 1]
    otherwise = "no buffer here is; take this step before decomposing, peeling or tensorizing"
    return f"those that are: {', '.join(once)}" if once else otherwise


def graft(program: Program, old: Stmt, new: Stmt) -> Program:
    """`program` with the statement `old` replaced."""

    def change(s: Stmt) -> Stmt:
        return new if s is old else map_bodies(s, change)

    return replace(program, body=change(program.body))


def altered(program: Program, alloc: Alloc, **changes: Any) -> Program:
    """`program` with another scope or shape of an allocated buffer, whose elements keep their indices."""
    return graft(program, alloc, rename_buffers(alloc, {alloc.buffer: replace(alloc.buffer, **changes)}))


def nested(variables: Sequence[Var], extents: Sequence[Any], body: Stmt) -> Stmt:
    """Loops around `body`, the first one outermost."""
    for variable, extent in reversed(list(zip(variables, extents, strict=True))):
        body = For(variable, extent, body)
    return body


def guarded(guards: Sequence[If], body: Stmt) -> Stmt:
    """The conditions around `body`, the first one outermost."""
    for guard in reversed(guards):
        body = If(guard.cond, body)
    return body


def copied(program: Program, source: Buffer, result: Buffer, names: Sequence[str]) -> Stmt:
    """The nest that copies one buffer to another, over loops of names like these."""
    at = tuple(map(Var, fresh(program, *names)))
    return nested(at, source.shape, Store(result, at, source[at]))


def duplicate(program: Program, s: Stmt, suffix: str) -> Stmt:
    """A copy of `s` whose loops and allocations have names of their own."""
    names = list(loops(s))
    pairs = zip(names, fresh(program, *[name + suffix for name in names]), strict=True)
    variables: dict[Expr, Expr] = {Var(name): Var(new) for name, new in pairs}
    inside = [t.buffer for t in walk(s) if isinstance(t, Alloc)]
    renamed = fresh(program, *[b.name + suffix for b in inside])
    buffers = {b: replace(b, name=name) for b, name in zip(inside, renamed, strict=True)}

    def loop(t: Stmt) -> Stmt:
        return replace(t, var=variables[t.var]) if isinstance(t, For) else t

    return rewrite(rename_buffers(substitute_vars(s, variables), buffers), loop)


def rename_buffers(s: Stmt, buffers: dict[Buffer, Buffer]) -> Stmt:
    """`s` with buffers replaced wherever they are read, written or allocated."""
    return map_accesses(s, lambda buffer, indices: (buffers.get(buffer, buffer), indices))


def moved(s: Stmt, old: Buffer, new: Buffer, place: Callable[[tuple[Expr, ...]], tuple[Expr, ...]]) -> Stmt:
    """`s` where each `old[indices]` is `new[place(indices)]`."""
    return map_accesses(s, lambda b, at: (new, place(at)) if b is old else (b, at))


def map_accesses(s: Stmt, change: Access) -> Stmt:
    """`s` with every `buffer[indices]`, read or written, replaced; an allocation by that of the buffer."""
    memo: dict[Expr, Expr] = {}

    def load(e: Expr) -> Expr:
        return Load(*change(e.source, e.indices)) if isinstance(e, Load) else e

    def stmt(s: Stmt) -> Stmt:
        s = map_own(s, lambda e: transform(e, load, memo))
        match s:
            case Store(buffer, indices) | Prefetch(buffer, indices):
                buffer, indices = change(buffer, indices)
                return replace(s, buffer=buffer, indices=indices)
            case Update(buffers, indices):
                changed = [change(b, indices) for b in buffers]
                return replace(s, buffers=tuple(b for b, _ in changed), indices=changed[0][1])
            case Alloc(buffer):
                return replace(s, buffer=change(buffer, ())[0])
            case ExternCall(function, inputs, output):
                return ExternCall(function, tuple(_whole(b, change) for b in inputs), _whole(output, change))
        return s

    return rewrite(s, stmt)


def _whole(buffer: Buffer, change: Access) -> Buffer:
    """What takes the place of a buffer that a function from outside works on. Raises Illegal when its layout changes."""
    at = tuple(Var(f"{n}") for n in range(len(buffer.shape)))
    made, indices = change(buffer, at)
    if indices != at or made.shape != buffer.shape:
        problem = f"a function from outside works on the whole of {buffer.name}, as it is"
        raise Illegal(problem, buffer.name, f'first s.cache_read or s.cache_write("{buffer.name}")')
    return made


def masked(s: Stmt, cond: Expr) -> Stmt:
    """`s` under a guard that stands as far inside as it can: what is stored depends on it, no loop does."""
    if isinstance(s, For) and isinstance(s.extent, Expr) and free_vars(s.extent) & free_vars(cond):
        raise Illegal(f"the extent of loop {s.name} depends on it", s.name, 'use tail="guard"')
    if isinstance(s, (For, Alloc, Seq)):
        return map_bodies(s, lambda inner: masked(inner, cond))
    return If(cond, s)


def continued(s: Stmt, axis: Var) -> Stmt:
    """A reduction whose first steps along `axis` were done before: it does not start again."""
    if not isinstance(s, Update) or axis not in s.axes:
        return s
    if len(s.buffers) > 1:
        raise Illegal("the tail of a reduction over several buffers cannot be peeled", hint='use tail="guard"')
    return Store(s.buffers[0], s.indices, s.values[0])
