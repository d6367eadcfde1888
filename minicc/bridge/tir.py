"""From a loop program to TIR, TVM's loops: our schedules drive TVM's generators for LLVM and CUDA.

In: any loop program, scheduled or not. Out: a PrimFunc whose parameters are the program's inputs and
outputs; a function on NumPy arrays, compiled by TVM for this CPU; or the CUDA C++ of its kernels.
Symbolic sizes become variables in the shapes of the parameters. Notes and prefetches are left out.

    s = te.create_schedule(C.op)                       # split, bind, cache_read ...
    program = minicc.lower(s, [A, B, C])
    print(to_tir(program).script())
    build_tir(program)(a, b, c)                        # as run_python(program, a, b, c)
    cuda_source(program).source
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.bridge import _tvm
from minicc.bridge.device_code import cuda_target, device_code
from minicc.device.kernels import device_form
from minicc.bridge.relax import TVM_FAILURES, tvm_fails
from minicc.bridge.tir_expressions import TirExpressions
from minicc.compile import pipeline
from minicc.kernels.lower import finish
from minicc.device.launches import Launch, Workspace
from minicc.loop.arguments import Arguments
from minicc.loop.ir import PARALLEL, THREAD_AXES, VECTORIZE, Alloc, Buffer, ExternCall, For, If, Prefetch, Seq, Stmt
from minicc.loop.ir import Store, walk
from minicc.loop.program import Program
from minicc.loop.ranges import size_vars
from minicc.loop.verify import verify
from minicc.tensor.expr import Expr

Array = np.ndarray[Any, np.dtype[Any]]
MOST_LANES = 64  # a longer vectorized loop is an ordinary one: TVM makes one vector of all lanes
# our buffers are as large as they must be, and it moves loop variables out of their loops
SKIPPED = ["s_tir.CompactBufferAllocation"]
SLOW = ["tirx.RemoveNoOp", "s_tir.HoistIfThenElse"]  # seconds for some programs of a few lines; they only optimise
MOST_COPIES = 256  # a longer unrolled loop is an ordinary one: TVM has no limit of its own

# ---- programs as TIR ----------------------------------------------------------------------------


def to_tir(program: Program, device: bool = False) -> Any:
    """The PrimFunc of `program`, by its name.

    Loops over thread axes are ordinary loops, or with `device` thread bindings, launched around
    each kernel; then every other rule of a kernel holds, too: see `device.kernels`. Raises
    BridgeError where TIR has no form of it.
    """
    plain = finish(program, pipeline("cuda").loop)
    return _Function(device_form(plain) if device else plain, device).function()


class _Function:
    """One PrimFunc under construction."""

    def __init__(self, program: Program, device: bool) -> None:
        self.program, self.device = program, device
        self.tir = _tvm.load().tirx
        self.expr = TirExpressions({v: self.tir.Var(v.name, "int64") for v in size_vars(program)})

    def function(self) -> Any:
        """The whole function."""
        arrays = (*self.program.params, *self.program.outputs)
        params = [self.declare(b) for b in arrays]
        made = self.tir.PrimFunc(params, self.stmt(self.program.body, frozenset()))
        return made.with_attrs({"global_symbol": self.program.name, "s_tir": True, "tirx.noalias": True})

    def declare(self, buffer: Buffer, scope: str = "global") -> Any:
        """The TIR buffer that stands for `buffer` from here on."""
        made = self.tir.decl_buffer([self.size(d) for d in buffer.shape], buffer.dtype.name, buffer.name, scope=scope)
        self.expr.buffers[buffer] = made
        return made

    def size(self, d: Any) -> Any:
        """An extent."""
        return self.expr(d) if isinstance(d, Expr) else self.tir.const(int(d), "int64")

    def stmt(self, s: Stmt, kinds: frozenset[str]) -> Any:
        """A statement inside of loops of these kinds."""
        tir, expr = self.tir, self.expr
        expr.forget()  # what a statement shares is its own
        match s:
            case For():
                return self.loop(s, kinds)
            case Seq(stmts):
                return self.sequence([self.stmt(t, kinds) for t in stmts])
            case If(cond, body):
                return tir.IfThenElse(expr(cond), self.stmt(body, kinds), None)
            case Alloc(buffer, body):
                held = self.declare(buffer, buffer.scope if self.device else "global")
                return tir.SeqStmt([tir.AllocBuffer(held), self.stmt(body, kinds)])
            case Store(buffer, indices, value):
                return tir.BufferStore(expr.buffers[buffer], expr(value), [expr(i) for i in indices])
            case Prefetch():
                return self.sequence([])
            case ExternCall(_, inputs, output):
                # addresses and extents: TVM's own views of arrays cannot be read in Python
                arrays = [expr.buffers[b] for b in (*inputs, output)]
                return tir.Evaluate(tir.call_packed(_symbol(s), *[part for b in arrays for part in (b.data, *b.shape)]))
        raise TypeError(s)

    def sequence(self, stmts: Sequence[Any]) -> Any:
        """The statements in order; one that does nothing for none."""
        if not stmts:
            return self.tir.Evaluate(self.tir.const(0, "int32"))
        return stmts[0] if len(stmts) == 1 else self.tir.SeqStmt(list(stmts))

    def loop(self, s: For, kinds: frozenset[str]) -> Any:
        """A loop, inside of loops of these kinds."""
        tir = self.tir
        extent = self.size(s.extent)
        variable = tir.Var(s.name, "int64")
        self.expr.variables[s.var] = variable
        kind = self.kind(s, kinds)
        body = self.stmt(s.body, kinds | {s.kind})
        binding = None
        if kind == tir.ForKind.THREAD_BINDING:
            binding = tir.IterVar(None, tir.Var(s.kind, "int64"), tir.IterVar.ThreadIndex, s.kind)
        return tir.For(variable, tir.const(0, "int64"), extent, kind, body, binding)

    def kind(self, s: For, kinds: frozenset[str]) -> Any:
        """How TVM runs the loop; where it could not, as an ordinary loop, which means the same."""
        kind, count = self.tir.ForKind, s.extent if isinstance(s.extent, int) else None
        match s.kind:
            case "vectorize" if count and count <= MOST_LANES and VECTORIZE not in kinds and _is_flat(s.body):
                return kind.VECTORIZED
            case "unroll" | "vthread" if count and count <= MOST_COPIES and VECTORIZE not in kinds:
                return kind.UNROLLED
            case "parallel" if not kinds & {PARALLEL, VECTORIZE}:
                return kind.PARALLEL
        # a virtual thread is a loop: where TVM's own nest, or share an allocation, it loses iterations
        bound = self.device and s.kind in THREAD_AXES and s.kind != "vthread"
        return kind.THREAD_BINDING if bound else kind.SERIAL


def _is_flat(s: Stmt) -> bool:
    """Whether TVM can vectorize around `s`: it allocates nothing."""
    return not any(isinstance(t, (Alloc, ExternCall)) for t in walk(s))


# ---- this CPU -----------------------------------------------------------------------------------


def build_tir(program: Program, fast: bool = True) -> Callable[..., None]:
    """Machine code of the program by TVM and LLVM, called like `run_python`: inputs, then outputs, written in place.

    Loops over thread axes run as ordinary loops. `fast` uses all of this machine's instructions and
    optimises; without it compiling is quicker. Raises LoopError when the program breaks a rule,
    BridgeError when TVM refuses it, and CodegenError when a symbolic size is the extent of no array.
    A call raises RunError for unfit arrays.
    """
    verify(program)
    arguments = Arguments(program)
    tvm = _tvm.load()
    for s in walk(program.body):
        if isinstance(s, ExternCall):
            tvm.register_global_func(_symbol(s), functools.partial(_call_outside, s), override=True)
    machine = {"mcpu": tvm.target.codegen.llvm_get_system_cpu()} if fast else {"opt-level": 0}
    target = tvm.target.Target({"kind": "llvm", **machine})
    with _refusals("build_tir", program, SKIPPED if fast else SKIPPED + SLOW):
        module = tvm.IRModule({"main": to_tir(program).with_attr("global_symbol", "main")})
        code = tvm.compile(module, target=target)
    tensor = tvm.runtime.tensor  # copies: TVM's code needs 64-byte alignment, which NumPy does not give

    def run(*arrays: Array) -> None:
        held, _, _ = arguments.checked(arrays)
        tensors = [tensor(a) for a in held]
        code(*tensors)
        for array, made in list(zip(held, tensors, strict=True))[len(program.params) :]:
            array[...] = made.numpy()

    return run


@contextmanager
def _refusals(call: str, program: Program, skipped: Sequence[str] = SKIPPED) -> Iterator[None]:
    """TVM compiles `program` within, without the passes that are `skipped`. Raises BridgeError where it cannot."""
    try:
        # its storage rewrite computes in place what it takes to be computed once, in a tile that is shifted as well
        config = {"tirx.disable_storage_rewrite": True}
        with _tvm.load().transform.PassContext(disabled_pass=skipped, config=config):
            yield
    except TVM_FAILURES as error:
        hint = "change what it names; minicc.build compiles programs for the CPU without TVM"
        raise tvm_fails(f"{call}({program.name})", error, str(program), hint, "refuses") from error


def _symbol(s: ExternCall) -> str:
    """The name by which TVM calls a function from outside on arrays of these dtypes and ranks."""
    return f"minicc.{s.function!r}." + "_".join(f"{b.dtype.name}x{len(b.shape)}" for b in (*s.inputs, s.output))


def _call_outside(s: ExternCall, *values: Any) -> None:
    """Call the function of `s` on arrays at the addresses, of the extents, that `values` are."""
    left, arrays = list(values), []
    for buffer in (*s.inputs, s.output):
        address, *shape = [left.pop(0) for _ in range(1 + len(buffer.shape))]
        held = (ctypes.c_byte * (math.prod(shape) * buffer.dtype.bytes)).from_address(address.value or 0)
        arrays.append(np.ndarray(shape, buffer.dtype.numpy, held))
    s.function(*arrays)


# ---- CUDA ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CudaProgram:
    """The CUDA C++ of a program, and what to launch, in order: see `bridge.device_code`."""

    source: str
    launches: tuple[Launch, ...]
    workspaces: tuple[Workspace, ...]
    parameters: tuple[Buffer, ...]  # inputs, then outputs; launches name them


def cuda_source(program: Program, arch: str = "sm_90") -> CudaProgram:
    """CUDA C++ of a program whose loops are bound to thread axes.

    Symbolic sizes remain: `launch.known(sizes)` gives the grid. Raises BridgeError when the
    program has no form on a GPU: see `device.kernels`.
    """
    tvm = _tvm.load()
    target = cuda_target(arch)
    with _refusals("cuda_source", program):
        code = device_code(tvm.IRModule({program.name: to_tir(program, device=True)}), target)
    launches, workspaces = code.launches[program.name], code.workspaces.get(program.name, ())
    return CudaProgram(code.source, tuple(launches), tuple(workspaces), (*program.params, *program.outputs))
