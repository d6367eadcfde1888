"""What a naive loop program consists of: its nests, and who reads whom.

A *nest* is the one statement that writes a buffer, with the loops around it. Recipes look at
nests to decide; they never change anything themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from minicc.loop.ir import Buffer, For, Stmt, Store, Update, bodies
from minicc.loop.program import Program
from minicc.tensor.expr import Binary, Call, Convert, Const, Expr, Load, Select, Unary, Var, loads, walk

WHOLE = 1 << 62  # longer than any loop


@dataclass(frozen=True)
class Nest:
    """The statement that writes `buffer`, and the loops around it, outermost first."""

    buffer: Buffer
    stmt: Store | Update
    loops: tuple[For, ...]

    @property
    def values(self) -> tuple[Expr, ...]:
        return self.stmt.values if isinstance(self.stmt, Update) else (self.stmt.value,)

    @property
    def spatial(self) -> tuple[For, ...]:
        """The loops that are not reductions."""
        reduced = self._reduced
        return tuple(f for f in self.loops if f.var not in reduced)

    @property
    def reductions(self) -> tuple[For, ...]:
        """The loops that are."""
        reduced = self._reduced
        return tuple(f for f in self.loops if f.var in reduced)

    @property
    def _reduced(self) -> frozenset[Var]:  # a set asks for identity first: comparing expressions would build one
        return frozenset(self.stmt.axes) if isinstance(self.stmt, Update) else frozenset()

    @property
    def iterations(self) -> int:
        return math.prod(f.extent for f in self.loops)

    @property
    def reads(self) -> list[Load]:
        """The loads of other buffers."""
        own = self.stmt.buffers if isinstance(self.stmt, Update) else (self.buffer,)
        return [load for load in loads(*self.stmt.indices, *self.values) if load.source not in own]


@lru_cache(maxsize=1 << 3)
def nests(program: Program) -> tuple[Nest, ...]:
    """Every nest, in program order. A buffer written by two statements has two nests."""
    return tuple(_nests(program.body, ()))


def _nests(stmt: Stmt, around: tuple[For, ...]) -> Iterator[Nest]:
    if isinstance(stmt, Store):
        yield Nest(stmt.buffer, stmt, around)
    elif isinstance(stmt, Update):
        yield Nest(stmt.buffers[0], stmt, around)
    inside = (*around, stmt) if isinstance(stmt, For) else around
    for inner in bodies(stmt):
        yield from _nests(inner, inside)


def writers(program: Program) -> dict[Buffer, list[Nest]]:
    """The nests that write each buffer."""
    found: dict[Buffer, list[Nest]] = {}
    for nest in nests(program):
        found.setdefault(nest.buffer, []).append(nest)
    return found


def readers(program: Program) -> dict[Buffer, list[Nest]]:
    """The nests that read each buffer; a nest that reads it twice stands once."""
    found: dict[Buffer, list[Nest]] = {}
    for nest in nests(program):
        for load in nest.reads:
            entry = found.setdefault(load.source, [])
            if nest not in entry:
                entry.append(nest)
    return found


def is_alone(program: Program, loop: str) -> bool:
    """Whether one nest only is inside of the loop."""
    return sum(any(f.name == loop for f in nest.loops) for nest in nests(program)) == 1


def arithmetic(*exprs: Expr) -> int:
    """A rough cost of evaluating expressions once: 1 an operation, 10 a call; index arithmetic is free."""
    inside: set[Expr] = set()
    for load in loads(*exprs):
        inside.update(walk(*load.indices))
    cost = 0
    for e in walk(*exprs):
        if e in inside:
            continue
        match e:
            case Call():
                cost += 10
            case Binary() | Unary() | Select():
                cost += 1
    return cost


def is_contraction(nest: Nest) -> bool:
    """A sum of products whose operands are used more than once: `acc + a * b`, or of four products a step."""
    stmt = nest.stmt
    if not isinstance(stmt, Update) or len(stmt.values) != 1:
        return False
    match stmt.values[0]:
        case Binary(
            "add",
            Load(buffer, _),
            Binary("mul", a, b) | Convert(Binary("mul", a, b), _) | Call("dot4" | "dot2", (a, b)),
        ) if buffer is nest.buffer:
            return bool(loads(a)) and bool(loads(b))
    return False


def work(program: Program) -> int:
    """What a program executes: arithmetic and stores of every iteration, guards taken to hold."""
    return sum((1 + arithmetic(*nest.values)) * nest.iterations for nest in nests(program))


def run_length(index: tuple[Expr, ...], var: Var) -> int:
    """How many steps of `var` walk through memory element by element.

    `WHOLE` where the last index is `var + rest`, and the block where the index is split as
    `[..., var // block, ..., var % block]`; 0 where `var` jumps, or where it does not occur.
    """
    if not index or not depends(index, var):
        return 0
    last, others = index[-1], [e for e in index[:-1] if var in set(walk(e))]
    match last:
        case Binary("floormod", inner, Const(block, _)) if inner is var:
            whole = all(e is Binary("floordiv", var, last.b) for e in others)
            return int(block) if whole else 0
    return WHOLE if not others and coefficient(last, var) == 1 else 0


def coefficient(e: Expr, var: Var) -> int | None:
    """`c` when `e` is `c * var + rest` with `rest` free of `var`; None when it is not of that form."""
    if e is var:
        return 1
    if var not in set(walk(e)):
        return 0
    match e:
        case Binary("add", a, b):
            left, right = coefficient(a, var), coefficient(b, var)
            return None if left is None or right is None else left + right
        case Binary("sub", a, b):
            left, right = coefficient(a, var), coefficient(b, var)
            return None if left is None or right is None else left - right
        case Binary("mul", a, Const(value, _)):
            inner = coefficient(a, var)
            return None if inner is None else inner * int(value)
    return None


def depends(index: tuple[Expr, ...], var: Var) -> bool:
    return any(var in set(walk(e)) for e in index)


__all__ = [
    "WHOLE", "Nest", "arithmetic", "coefficient", "depends", "is_alone", "is_contraction", "nests", "readers",
    "run_length", "work", "writers",
]  # fmt: skip
