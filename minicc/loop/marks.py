"""What each statement of a loop program touches whenever it runs, with a mark in the program where it does.

In: a program. Out: a `Marked`: the program with a mark, a hint for no buffer, before each of its statements, and for each
mark an `Effect`: the elements that are touched there and the floating point operations that are done, as expressions over
the variables of the loops around. Where data decide, as in `T[I[i]]`, an effect has a variable for what is read.

>>> from minicc.tensor.expr import Var
>>> from minicc.types import float32
>>> A, B, i = Buffer("A", float32, (8,)), Buffer("B", float32, (4,)), Var("i")
>>> marked = Marked(Program("f", (A,), (B,), For(i, 4, Store(B, (i,), A[i * 2] + 1.0))))
>>> [(touch.kind, touch.buffer.name, touch.place) for touch in marked.effects[1].touches], marked.effects[1].flops
([(0, 'A', i*2), (1, 'B', i)], ((1, True),))
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from typing import NamedTuple

from minicc.ir.node import replace
from minicc.loop.address import offset
from minicc.loop.cost import flops
from minicc.loop.ir import Buffer, ExternCall, For, If, Prefetch, Stmt, Store, Update, map_bodies, seq
from minicc.loop.program import Program
from minicc.loop.queries import fresh
from minicc.loop.ranges import size_vars
from minicc.tensor.expr import Expr, Load, Select, Var, all_of, any_of, binary, children, const, free_vars, loads
from minicc.tensor.expr import select, transform, unary, walk
from minicc.types import boolean

LOAD, STORE, HINT = range(3)  # how an element is touched; a hint is a prefetch
MARKS = Buffer("_marks", boolean, ())  # what marks are hints for
ALWAYS, NEVER = const(True, boolean), const(False, boolean)

Place = tuple[Buffer, tuple[Expr, ...]]


class Touch(NamedTuple):
    """An element of a buffer, by its row-major position, that is touched where a condition holds."""

    kind: int
    buffer: Buffer
    place: Expr
    where: Expr


class Effect(NamedTuple):
    """What is done at a mark by statement number `statement`: elements in order, and operations where a condition holds.

    Both are expressions over `variables`: those of loops, then those that stand for what is read, which `values` give.
    """

    statement: int
    touches: tuple[Touch, ...]
    flops: tuple[tuple[int, Expr], ...]
    variables: tuple[Var, ...]
    values: tuple[Expr, ...]
    trips: int = 0  # 1 at the start of an iteration


class Marked:
    """A program with marks, `body`; its `effects`, by the number that a mark has first; its `statements`, in program order.

    `by_data` tells whether data decide what is touched, or how often.
    """

    def __init__(self, program: Program) -> None:
        self.effects: list[Effect] = []
        self.statements: list[Stmt] = []
        self.by_data = False
        self._sizes = set(size_vars(program))
        self._element = Var(fresh(program, "element")[0])
        self.body = self._visit(program.body)

    def _visit(self, s: Stmt) -> Stmt:
        number = len(self.statements)
        self.statements.append(s)
        match s:
            case For(_, extent, body):
                head = [self._test(number, extent)] if isinstance(extent, Expr) else []
                return seq(*head, replace(s, body=seq(self._mark(number, (), trips=1), self._visit(body))))
            case If(cond, body):
                return seq(self._test(number, cond), replace(s, body=self._visit(body)))
            case Store(buffer, indices, value):
                return seq(self._mark(number, (value, *indices), [(buffer, indices)]), s)
            case Update():
                return self._update(number, s)
            case Prefetch(buffer, indices):
                return self._mark(number, indices, [(buffer, indices)], HINT)
            case ExternCall(_, inputs, output):
                return seq(*[self._whole(number, b, LOAD) for b in inputs], self._whole(number, output, STORE), s)
        return map_bodies(s, self._visit)

    def _test(self, number: int, e: Expr) -> Stmt:
        """The mark of what decides whether, or how often, a statement runs its body."""
        self.by_data |= bool(loads(e))
        return self._mark(number, (e,))

    def _update(self, number: int, s: Update) -> Stmt:
        first = all_of(*[binary("eq", axis, 0) for axis in s.axes])
        written = [(b, s.indices) for b in s.buffers]
        start = self._mark(number, (*s.inits, *s.indices), written)
        start = seq(start, replace(s, values=s.inits, axes=()))  # the first step reads what it stores
        return seq(If(first, start), self._mark(number, (*s.values, *s.indices), written), s)

    def _whole(self, number: int, buffer: Buffer, kind: int) -> Stmt:
        """A mark for each element of a buffer."""
        touch = Touch(kind, buffer, self._element, ALWAYS)
        return For(self._element, _size(buffer), self._put(Effect(number, (touch,), (), (self._element,), ())))

    def _mark(
        self, number: int, roots: Sequence[Expr], written: Sequence[Place] = (), kind: int = STORE, trips: int = 0
    ) -> Stmt:
        """The mark of a statement that evaluates `roots` in this order, then writes elements, or hints at them."""
        reached, read = _reached(roots), dict[Expr, Var]()

        def plain(e: Expr) -> Expr:
            return transform(e, lambda x: read.get(x, x))

        indices = [i for e in reached if isinstance(e, Load) for i in e.indices] + [i for _, at in written for i in at]
        deciding = loads(*indices, *[e.cond for e in reached if isinstance(e, Select)])
        for n, load in enumerate(deciding):  # inner ones first
            read[plain(load)] = Var(f"#{n}", load.dtype)
        touches = [Touch(LOAD, e.source, plain(offset(e.source, e.indices)), plain(where))
                   for e, where in reached.items() if isinstance(e, Load)]  # fmt: skip
        for buffer, at in written:
            place = plain(offset(buffer, at))
            inside = all_of(binary("le", 0, place), binary("lt", place, _size(buffer))) if kind == HINT else ALWAYS
            touches.append(Touch(kind, buffer, place, inside))
        done: dict[Expr, int] = {}
        for e, where in reached.items():
            if each := flops(e):
                done[plain(where)] = done.get(plain(where), 0) + each
        needed = free_vars(*done, *[e for t in touches for e in (t.place, t.where)]) - self._sizes
        own = sorted(needed - set(read.values()), key=lambda v: v.name)
        values = tuple(select(reached[load], load, const(0, load.dtype)) for load in deciding)
        self.by_data |= bool(values)
        flopped = tuple((n, where) for where, n in done.items())
        return self._put(Effect(number, tuple(touches), flopped, (*own, *read.values()), values, trips))

    def _put(self, effect: Effect) -> Stmt:
        self.effects.append(effect)
        loops = effect.variables[: len(effect.variables) - len(effect.values)]
        return Prefetch(MARKS, (const(len(self.effects) - 1), *loops, *effect.values))


def _size(buffer: Buffer) -> Expr:
    """How many elements it has."""
    one: Expr = const(1)
    return reduce(partial(binary, "mul"), buffer.shape, one)


def _reached(roots: Sequence[Expr]) -> dict[Expr, Expr]:
    """The distinct expressions that `roots` evaluate, in order, and where each is: a select takes one branch."""
    found: dict[Expr, Expr] = {**dict.fromkeys(walk(*roots), NEVER), **dict.fromkeys(roots, ALWAYS)}
    for e in reversed(list(found)):  # users first
        sides: Sequence[tuple[Expr, Expr]] = [(part, found[e]) for part in children(e)]
        if isinstance(e, Select):
            branches = ((e.then, e.cond), (e.other, unary("not", e.cond)))
            sides = [(e.cond, found[e]), *[(part, all_of(found[e], where)) for part, where in branches]]
        for part, where in sides:
            found[part] = where if found[part] is where else any_of(found[part], where)
    return found
