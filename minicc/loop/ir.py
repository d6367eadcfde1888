"""Room 3: how a kernel is computed. Loops, guards and stores over buffers.

    program ::= Program(name, params, outputs, body, requires)
    stmt    ::= For(var, extent, kind, notes, body)  for var in range(extent)
              | Seq(stmts)
              | Store(buffer, indices, value)      buffer[indices] = value
              | Update(buffers, indices, values, inits, axes)
              | If(cond, body)
              | Alloc(buffer, body, storage)       buffer lives in body
              | Prefetch(buffer, indices)          buffer[indices] will be read soon
              | ExternCall(function, inputs, output)   function(*inputs, output), on whole buffers
    kind    ::= serial | parallel | vectorize | unroll | axis
    axis    ::= blockIdx.x | blockIdx.y | ... | threadIdx.z | vthread
    scope   ::= global | shared | local
    storage ::= "" | in registers | on the stack | in the workspace   (`loop.place_buffers`)
    notes   ::= (key, number or word), ...
    requires ::= (condition on sizes, element), ...   assert condition, "element"

Semantics. Statements run in order; expressions are those of `tensor.expr` over buffers. A program
writes its outputs completely. Distinct buffers never overlap. Every loop starts at 0, has a
unique name, and runs in order unless its kind says that order does not matter: the iterations
of a `parallel` or `vectorize` loop are independent, or the verifier rejects the program. An
`Update` is one step of a reduction, over the loops whose variables are `axes`: it assigns all
`values` at once, and where every axis is 0 it first stores `inits`, which are the result where
there is no step. So a reduction is one statement however its loops are arranged, and a loop pass
places the initialisation at the end.
A store that adds a product of floats to the very element that it writes, `C[i] = C[i] + a*b`, may round
once instead of twice: a machine may fuse the two. Nothing else is fused, and the product of another
stage stands as `float32(a*b)` there (`te.rounding`).
A buffer of scope `global` lives in memory, one of scope `local` in registers or on the stack, one
of scope `shared` belongs to all threads of a block. Iterations of a loop over a thread axis are
independent up to such buffers; on a CPU it is an ordinary loop. A `Prefetch` does nothing that
can be seen: its indices may even be out of bounds. So do the notes of a loop. An `ExternCall`
reads all of its inputs and writes all of its output, nothing else.

An index outside of its buffer has no meaning: the verifier refuses the program before machine code
exists, unless it proves every index to be inside. What only a call can know is of two sorts. Where
the sizes of a call decide (`B[i]` for `i` in `range(n)`, and `B` has `m` elements), `requires` says
how (`n <= m`), and every call checks it before it runs. Where data decide, as in `T[I[i]]`, lowering
clamps the index into its buffer, in the program, so that it is the same at every stage: what is
negative becomes 0, what is too large the last index. It is left out where it is proven inside.
A scatter leaves out the points that lie outside.

`Program` is in `loop.program`; `str(program)` is Python that runs, printed by `loop.python`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal

from minicc.ir.node import Interned, node, postorder, replace
from minicc.tensor.expr import Binary, Expr, Load, Var, const, transform, wrap
from minicc.tensor.expr import walk as walk_expr
from minicc.tensor.foreign import ExternFunction
from minicc.types import DType, TensorType

SERIAL, PARALLEL, VECTORIZE, UNROLL = "serial", "parallel", "vectorize", "unroll"
THREAD_AXES = (*[f"{index}.{axis}" for index in ("blockIdx", "threadIdx") for axis in "xyz"], "vthread")
Scope = Literal["local", "shared", "global"]
SCOPES: tuple[Scope, ...] = ("local", "shared", "global")
STORAGES = REGISTERS, STACK, WORKSPACE = "in registers", "on the stack", "in the workspace"


@node
class Buffer(Interned):
    """A dense row-major array. `shape` holds `int`s, or `Expr`s where symbolic."""

    name: str
    dtype: DType
    shape: tuple[Any, ...]
    scope: str = "global"

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, self.shape)

    def __getitem__(self, indices: Any) -> Load:
        return Load(self, tuple([wrap(i) for i in (indices if isinstance(indices, tuple) else (indices,))]))

    def __repr__(self) -> str:
        return f"{self.name}: {self.type}"


class Stmt(Interned):
    """Base of every statement."""

    __slots__ = ()


@node
class For(Stmt):
    """`var` takes the values of `range(extent)`."""

    var: Var
    extent: Any  # int, or an int64 Expr
    body: Stmt
    kind: str = SERIAL
    notes: tuple[tuple[str, int | str], ...] = ()  # hints for what comes later

    @property
    def name(self) -> str:
        return self.var.name


@node
class Seq(Stmt):
    """Statements in order. Make one with `seq`, which flattens."""

    stmts: tuple[Stmt, ...]


@node
class Store(Stmt):
    """Write one element; `value` has the dtype of `buffer`."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    value: Expr


@node
class Update(Stmt):
    """One reduction step; all buffers are written at the same `indices`.

    `values` read the accumulators as loads of `buffers` at `indices`.
    """

    buffers: tuple[Buffer, ...]
    indices: tuple[Expr, ...]
    values: tuple[Expr, ...]
    inits: tuple[Expr, ...]
    axes: tuple[Var, ...]


@node
class If(Stmt):
    """Run `body` where `cond` holds; there is no other branch."""

    cond: Expr
    body: Stmt


@node
class Alloc(Stmt):
    """`buffer` exists, uninitialised, while `body` runs; `storage` is where, once a pass has decided it."""

    buffer: Buffer
    body: Stmt
    storage: str = ""


@node
class Prefetch(Stmt):
    """A hint that `buffer[indices]` will be read soon."""

    buffer: Buffer
    indices: tuple[Expr, ...]


@node
class ExternCall(Stmt):
    """A call of a function that is not ours, which reads `inputs` and writes `output` as a whole."""

    function: ExternFunction
    inputs: tuple[Buffer, ...]
    output: Buffer


def summand(buffer: Buffer, indices: tuple[Expr, ...], value: Expr) -> Expr | None:
    """What `buffer[indices] = value` adds to the element; None where it is no such sum."""
    own = Load(buffer, indices)
    match value:
        case Binary("add", a, b) if a is own or b is own:
            return b if a is own else a
    return None


def seq(*stmts: Stmt) -> Stmt:
    """The statements in order, nested sequences flattened; a single one stays itself."""
    flat = [t for s in stmts for t in (s.stmts if isinstance(s, Seq) else (s,))]
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def bodies(s: Stmt) -> tuple[Stmt, ...]:
    """The statements directly inside `s`."""
    match s:
        case Seq(stmts):
            return stmts
        case For() | If() | Alloc():
            return (s.body,)
    return ()


EXPRESSIONS = {  # the fields of a statement that are evaluated
    For: ("extent",), Store: ("indices", "value"), Update: ("indices", "values", "inits"), If: ("cond",),
    Prefetch: ("indices",),
}  # fmt: skip


def expressions(s: Stmt) -> tuple[Expr, ...]:
    """The expressions that `s` itself evaluates, not those of the statements inside."""
    if isinstance(s, ExternCall):  # an element stands for the whole
        return tuple(Load(b, (const(0),) * len(b.shape)) for b in s.inputs)
    held = [getattr(s, name) for name in EXPRESSIONS.get(type(s), ())]
    parts = [e for value in held for e in (value if isinstance(value, tuple) else (value,))]
    return tuple([e for e in parts if isinstance(e, Expr)])


@lru_cache(maxsize=1 << 6)  # the queries of a step walk through the same loops
def walk(s: Stmt) -> tuple[Stmt, ...]:
    """Every statement in `s`, itself included, inner ones first."""
    return tuple(postorder([s], bodies))


def map_bodies(s: Stmt, change: Callable[[Stmt], Stmt]) -> Stmt:
    """`s` with `change` applied to each statement directly inside."""
    if isinstance(s, Seq):
        made = tuple(change(inner) for inner in s.stmts)
        return s if made == s.stmts else seq(*made)
    if isinstance(s, (For, If, Alloc)):
        return replace(s, body=change(s.body))
    return s


def rewrite(s: Stmt, change: Callable[[Stmt], Stmt]) -> Stmt:
    """Rebuild bottom-up, replacing each statement by `change(statement)`."""
    return change(map_bodies(s, lambda inner: rewrite(inner, change)))


def map_expressions(s: Stmt, change: Callable[[Expr], Expr]) -> Stmt:
    """`s` with `change` applied to each whole expression in it, statements inside included."""
    return rewrite(s, lambda t: map_own(t, change))


def map_own(s: Stmt, change: Callable[[Expr], Expr]) -> Stmt:
    """`s` with `change` applied to each whole expression that it evaluates itself."""

    def changed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(change, value))
        return change(value) if isinstance(value, Expr) else value

    return replace(s, **{name: changed(getattr(s, name)) for name in EXPRESSIONS.get(type(s), ())})


def substitute_vars(s: Stmt, values: dict[Expr, Expr]) -> Stmt:
    """Replace variables in every expression of `s`, and the axes of reductions by those of their values."""
    memo: dict[Expr, Expr] = {}

    def change(t: Stmt) -> Stmt:
        t = map_own(t, lambda e: transform(e, lambda x: values.get(x, x), memo))
        if isinstance(t, Update) and any(a in values for a in t.axes):
            return replace(t, axes=tuple(dict.fromkeys(x for a in t.axes for x in sorted_vars(values.get(a, a)))))
        return t

    return rewrite(s, change)


def sorted_vars(e: Expr) -> list[Var]:
    """The variables of `e` in order of first use."""
    return [x for x in walk_expr(e) if isinstance(x, Var)]


@lru_cache(maxsize=1 << 8)  # a step leaves most statements as they are
def loops(s: Stmt) -> Mapping[str, For]:
    """Every loop in `s` by name, outer ones first."""
    own = {s.name: s} if isinstance(s, For) else {}
    return MappingProxyType(own | {name: loop for inner in bodies(s) for name, loop in loops(inner).items()})
