"""Pass: where each buffer lives, and which loops become threads and vectors. Code generation reads it, and decides nothing.

In: a program. Out: one in which every `Alloc` names its storage. A small buffer inside of a loop, or of another scope than
`global`, is on the stack, and in registers where unrolling and vectors make numbers of all of its indices. All others
live in a workspace that the caller brings (`workspace_bytes`): those outside of all loops, those of symbolic size, and
those too big for the stack. A parallel loop inside of another stays a loop, as does a vectorized loop that is too long, stands
in another, or has an inner loop of an extent that differs between its lanes.

    for i in parallel(4):                        for i in parallel(4):
        T = empty((2, 8), float32)                   T = empty((2, 8), float32)  # in registers
        for j in unroll(2):               ->         for j in unroll(2):
            for k in vectorize(8):                       for k in vectorize(8):
                T[j, k] = A[i, j*8 + k]                      T[j, k] = A[i, j*8 + k]

A buffer inside of a vectorized loop has a copy for each lane, one inside of a parallel loop a copy for each thread.
"""

from __future__ import annotations

from collections.abc import Mapping

from minicc.errors import CodegenError
from minicc.ir.node import replace
from minicc.loop.ir import PARALLEL, REGISTERS, SERIAL, STACK, UNROLL, VECTORIZE, WORKSPACE, Alloc, Buffer, ExternCall
from minicc.loop.ir import For
from minicc.loop.ir import Prefetch, Stmt, Store, Update, bodies, map_bodies, walk
from minicc.loop.program import Program
from minicc.loop.queries import reads, targets, mentions
from minicc.tensor.expr import Const, Expr, Var, const, free_vars, loads, maximum, substitute

ALIGNMENT = 64  # of every Alloc: a cache line, and the widest vector
STACK_LIMIT = 64 << 10  # bytes; a bigger Alloc lives in the workspace
MAX_LANES = 1024  # a longer vectorized loop is emitted as a loop: LLVM's time grows faster than the vector


def place_buffers(program: Program) -> Program:
    """`program` with the storage of each of its own buffers; itself if that is known."""
    body = _settled(program.body, frozenset())
    return replace(program, body=_placed(body, known_loops(body), 1, False))


def known_loops(s: Stmt) -> frozenset[Var]:
    """The variables of loops that are unrolled, vectorized or run once, which machine code has numbers for."""
    counted = [t for t in walk(s) if isinstance(t, For) and isinstance(t.extent, int)]
    return frozenset(t.var for t in counted if t.kind in (UNROLL, VECTORIZE) or t.extent == 1)


def fits_stack(buffer: Buffer, copies: int = 1) -> bool:
    """Whether so many copies of a buffer are small enough for the stack."""
    size = _bytes(buffer, copies)
    return isinstance(size, Const) and size.value <= STACK_LIMIT


def fits_registers(s: Alloc, known: frozenset[Var]) -> bool:
    """Whether every index of a buffer is a number where the variables `known` are."""
    for t in walk(s.body):
        indices = [i for load in reads(t) if load.source is s.buffer for i in load.indices]
        indices += t.indices if isinstance(t, (Store, Update)) and s.buffer in targets(t) else ()
        by_address = isinstance(t, (ExternCall, Prefetch)) and s.buffer in mentions(t)
        if by_address or loads(*indices) or not free_vars(*indices) <= known:
            return False
    return True


def workspace_bytes(program: Program, threads: int = 1, sizes: Mapping[Var, int] | None = None) -> int:
    """The scratch memory that the function of `program` needs to run on up to `threads` threads.

    `sizes` gives each symbolic size. Raises CodegenError when one that matters is missing.
    """
    room = substitute(workspace(program.body, threads), {v: const(n) for v, n in (sizes or {}).items()})
    if not isinstance(room, Const):
        call, problem = f"workspace_bytes({program.name})", f"expected a number of bytes, got {room}"
        raise CodegenError(call, problem, where=str(program), hint="give a number for each symbolic size")
    return int(room.value)


def workspace(s: Stmt, threads: int, lanes: int = 1) -> Expr:
    """The bytes of workspace that `s` needs, inside of a loop of so many lanes. Allocs stack up; those side by side share."""
    match s:
        case Alloc(buffer, body, storage):
            return (workspace_of(buffer, lanes) if storage == WORKSPACE else const(0)) + workspace(body, threads, lanes)
        case For(_, _, body, kind):
            inside = workspace(body, threads, s.extent if kind == VECTORIZE else lanes)
            return inside * threads if kind == PARALLEL else inside
    most: Expr = const(0)
    for inner in bodies(s):
        most = maximum(most, workspace(inner, threads, lanes))
    return most


def workspace_of(buffer: Buffer, copies: int) -> Expr:
    """The bytes of workspace that so many copies of a buffer take."""
    return (_bytes(buffer, copies) + (ALIGNMENT - 1)) // ALIGNMENT * ALIGNMENT


def _bytes(buffer: Buffer, copies: int) -> Expr:
    total: Expr = const(buffer.dtype.bytes)
    for extent in (*buffer.shape, copies):
        total = total * extent
    return total


def _settled(s: Stmt, around: frozenset[str]) -> Stmt:
    """`s`, inside of loops of these kinds, with each loop of the kind that it is run as."""
    if not isinstance(s, For):
        return map_bodies(s, lambda inner: _settled(inner, around))
    taken = s.kind == PARALLEL and not around & {PARALLEL, VECTORIZE}
    taken = taken or (s.kind == VECTORIZE and VECTORIZE not in around and _is_vector(s))
    kind = SERIAL if s.kind in (PARALLEL, VECTORIZE) and (s.extent == 1 or not taken) else s.kind
    return replace(s, kind=kind, body=_settled(s.body, around | {kind}))


def _is_vector(loop: For) -> bool:
    """Whether lanes can run the iterations together."""
    inner = [t.extent for t in walk(loop.body) if isinstance(t, For) and isinstance(t.extent, Expr)]
    differs = any(loop.var in free_vars(extent) or loads(extent) for extent in inner)
    return isinstance(loop.extent, int) and 1 < loop.extent <= MAX_LANES and not differs


def _placed(s: Stmt, known: frozenset[Var], lanes: int, in_loop: bool) -> Stmt:
    """`s`, inside of a loop of so many lanes, with the storage of each buffer."""
    match s:
        case For(_, extent, body, kind) if extent != 1:
            return replace(s, body=_placed(body, known, extent if kind == VECTORIZE else lanes, True))
        case Alloc(buffer, body):
            body = _placed(body, known, lanes, in_loop)
            near = fits_stack(buffer, lanes) and (in_loop or buffer.scope != "global")
            small = REGISTERS if near and fits_registers(s, known) else STACK
            return replace(s, body=body, storage=small if near else WORKSPACE)
    return map_bodies(s, lambda inner: _placed(inner, known, lanes, in_loop))
