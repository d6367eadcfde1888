"""Slow and plain: a loop program interpreted statement by statement, and caches as lists of lines. What counts must agree with."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicc.loop.ir import Alloc, Buffer, ExternCall, For, If, Prefetch, Seq, Stmt, Store, Update
from minicc.loop.caches import Cache
from minicc.loop.prelude import empty
from minicc.loop.program import Program
from minicc.loop.queries import in_order
from minicc.tensor.evaluate import evaluate_expr
from minicc.tensor.expr import Binary, Call, Const, Convert, Expr, Load, Select, Unary, Var, children
from minicc.tensor.evaluate import BINARY, UNARY
from minicc.tensor.intrinsics import INTRINSICS

Access = tuple[str, str, int]  # load, store or hint; the buffer; the element


class Interpreter:
    """One run: `trace`, `flops` and `trips` are what it did."""

    def __init__(self, program: Program, sizes: Mapping[str, int], arrays: Sequence[np.ndarray] | None) -> None:
        self.program, self.env = program, dict[Var, Any]()
        self.trace: list[Access] = []
        self.doing: list[Stmt] = []  # of each access, the statement
        self.flops = self.trips = 0
        self.memory: dict[Buffer, np.ndarray] = {}
        for b in (*program.params, *program.outputs):
            self.env |= {Var(n): np.int64(sizes[n]) for d in b.shape if isinstance(d, Expr) for n in sizes}
        for n, b in enumerate((*program.params, *program.outputs)):
            given = arrays is not None and n < len(program.params)
            self.memory[b] = arrays[n].copy() if given else empty(self.shape(b), b.dtype)
        self.sizes = {
            b: math.prod(self.shape(b))
            for b in (*self.memory, *[s.buffer for s in in_order(program.body) if isinstance(s, Alloc)])
        }
        with np.errstate(all="ignore"):
            self.run(program.body)

    def shape(self, b: Buffer) -> tuple[int, ...]:
        return tuple(d if isinstance(d, int) else int(evaluate_expr(d, self.env)) for d in b.shape)

    def run(self, s: Stmt) -> None:
        self.step(s)
        self.done_by(s)

    def done_by(self, s: Stmt) -> None:
        """The accesses since the last ones are those of `s`."""
        self.doing += [s] * (len(self.trace) - len(self.doing))

    def step(self, s: Stmt) -> None:  # noqa: C901
        match s:
            case Seq(stmts):
                for inner in stmts:
                    self.run(inner)
            case For(var, extent, body):
                count = int(self.evaluate(extent)[0]) if isinstance(extent, Expr) else extent
                self.done_by(s)
                for n in range(count):
                    self.trips += 1
                    self.env[var] = np.int64(n)
                    self.run(body)
            case If(cond, body):
                holds = self.evaluate(cond)[0]
                self.done_by(s)
                if holds:
                    self.run(body)
            case Alloc(buffer, body):
                self.memory[buffer] = empty(self.shape(buffer), buffer.dtype)
                self.run(body)
            case Store(buffer, indices, value):
                self.assign((buffer,), indices, (value,))
            case Update(buffers, indices, values, inits, axes):
                if all(self.env[axis] == 0 for axis in axes):
                    self.assign(buffers, indices, inits)
                self.assign(buffers, indices, values)
            case Prefetch(buffer, indices):
                element = self.element(buffer, self.evaluate(*indices))
                if 0 <= element < math.prod(self.shape(buffer)):
                    self.trace.append(("hint", buffer.name, element))
            case ExternCall(function, inputs, output):
                for b in inputs:
                    self.trace += [("load", b.name, n) for n in range(self.memory[b].size)]
                self.trace += [("store", output.name, n) for n in range(self.memory[output].size)]
                function(*[self.memory[b] for b in (*inputs, output)])

    def assign(self, buffers: Sequence[Buffer], indices: Sequence[Expr], values: Sequence[Expr]) -> None:
        found = self.evaluate(*values, *indices)
        at = tuple(map(int, found[len(values) :]))
        for buffer, value in zip(buffers, found, strict=False):
            assert all(0 <= i < n for i, n in zip(at, self.shape(buffer), strict=True))
            self.trace.append(("store", buffer.name, self.element(buffer, at)))
            self.memory[buffer][at] = value

    def element(self, buffer: Buffer, indices: Sequence[Any]) -> int:
        element = 0
        for index, extent in zip(indices, self.shape(buffer), strict=True):
            element = element * extent + int(index)
        return element

    # ---- expressions

    def evaluate(self, *roots: Expr) -> list[Any]:
        """The values of what a statement evaluates at once; what is equal, once."""
        done: dict[Expr, Any] = {}
        values = [self.value(e, done) for e in roots]
        for e in in_text(roots):
            if e in done and isinstance(e, Load):
                self.trace.append(("load", e.source.name, self.element(e.source, [done[i] for i in e.indices])))
            elif e in done:
                self.flops += operations(e)
        return values

    def value(self, e: Expr, done: dict[Expr, Any]) -> Any:
        if e not in done:
            done[e] = self.compute(e, done)
        return done[e]

    def compute(self, e: Expr, done: dict[Expr, Any]) -> Any:
        if isinstance(e, Select):
            return self.value(e.then if self.value(e.cond, done) else e.other, done)
        parts = [self.value(part, done) for part in children(e)]
        match e:
            case Var():
                return self.env[e]
            case Const(value, dtype):
                return np.asarray(value).astype(dtype.numpy)[()]
            case Load(source):
                assert all(0 <= i < n for i, n in zip(parts, self.shape(source), strict=True))
                return self.memory[source][tuple(map(int, parts))]
            case Binary(op):
                return BINARY[op](*parts)
            case Unary(op):
                return UNARY[op](*parts)
            case Convert(_, dtype):
                return np.asarray(parts[0]).astype(dtype.numpy)[()]
            case Call("bitcast", _, dtype):
                return INTRINSICS["bitcast"].numpy(parts[0], dtype)
            case Call(name):
                return INTRINSICS[name].numpy(*parts)
        raise TypeError(e)


def in_text(roots: Sequence[Expr]) -> dict[Expr, None]:
    """Every expression where the text has it first, operands before operators."""
    found: dict[Expr, None] = {}

    def visit(e: Expr) -> None:
        if e not in found:
            for part in children(e):
                visit(part)
            found[e] = None

    for e in roots:
        visit(e)
    return found


def operations(e: Expr) -> int:
    """By the definition: a float that an operator or a function makes is one, a multiply-add two, a sum of products all of these."""
    match e:
        case Call("dot4"):
            return 8
        case Call("dot2" | "fma") if e.name == "dot2" or e.dtype.is_float:
            return 4 if e.name == "dot2" else 2
    return int(isinstance(e, (Binary, Unary, Call)) and e.dtype.is_float)


# ---- caches


def plain_misses(plain: Interpreter, caches: Sequence[Cache]) -> list[Counter[tuple[str, str]]]:
    """How often each kind of access to each buffer misses each cache: sets are lists of lines, the latest one last."""
    longest, end, starts = max(c.line for c in caches), 0, dict[str, int]()
    buffers = {b.name: b for b in plain.sizes}
    for b in buffers.values():
        if b.scope != "local":
            starts[b.name] = end
            end += -(-plain.sizes[b] * b.dtype.bytes // longest) * longest
    held = [dict[int, list[int]]() for _ in caches]
    found = [Counter[tuple[str, str]]() for _ in caches]
    for kind, name, element in plain.trace:
        if name in starts:
            address = starts[name] + element * buffers[name].dtype.bytes
            for cache, sets, counts in zip(caches, held, found, strict=True):
                if hits(cache, sets, address):
                    break
                counts[kind, name] += 1
    return found


def hits(cache: Cache, sets: dict[int, list[int]], address: int) -> bool:
    """Whether the cache has the line of an address, which then is the latest of its set."""
    ways = cache.ways or cache.bytes // cache.line
    number = cache.bytes // cache.line // ways
    line = address // cache.line
    own = sets.setdefault(line % number, [])
    hit = line in own
    if hit:
        own.remove(line)
    elif len(own) == ways:
        own.pop(0)
    own.append(line)
    return hit
