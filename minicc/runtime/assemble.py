"""Kernel calls to an image: plan the memory, emit the entry function, compile.

In: the calls in order. Each names the values that its program reads and writes, by any hashable
id; which ids are inputs, outputs and constants is said beside. Every other id is an intermediate
tensor and gets a place in the arena, as does the workspace of each kernel. Equal programs are
compiled once. Out: an `Image`.

A value may be an output and an input at once, or an output twice: it is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import llvmlite.ir as ir

from minicc.codegen.arithmetic import INT32, INT64, POINTER
from minicc.codegen.llvm import emit
from minicc.errors import CodegenError
from minicc.ir.arrays import Array
from minicc.ir.node import replace
from minicc.loop.place_buffers import workspace_bytes
from minicc.loop.program import Program
from minicc.runtime import jit, memory, threads
from minicc.runtime.image import Image, KernelInfo, Port, Stages, Text
from minicc.runtime.plan import Lifetime, plan
from minicc.target import Target

CLOCK_MONOTONIC = 1


@dataclass(frozen=True)
class KernelCall:
    """`program` on the values `arguments`: its params, then its outputs. `stages` are texts of earlier rooms."""

    program: Program
    label: str
    arguments: tuple[Hashable, ...]
    flops: int = 0
    bytes: int = 0
    stages: Mapping[str, Text] = field(default_factory=dict)


@dataclass(frozen=True)
class CompiledKernel:
    """A compiled program: `symbol` is its function in `code`."""

    symbol: str
    program: Program
    code: jit.Code

    @property
    def stages(self) -> Stages:
        code = self.code
        return Stages({"loop": lambda: str(self.program), "llvm": code.optimized, "asm": lambda: code.assembly})


def compile_programs(
    programs: Sequence[Program], target: Target, progress: Callable[[str], None] | None = None
) -> dict[Program, CompiledKernel]:
    """Each distinct program compiled once, in a module of its own; names aside, equal is equal."""
    compiled: dict[Program, CompiledKernel] = {}
    symbols: set[str] = set()
    found: dict[Program, CompiledKernel] = {}
    for program in programs:
        key = replace(program, name="")
        if key not in compiled:
            symbol = _unique(program.name, symbols)
            module = jit.new_module(symbol, target)
            emit(module, replace(program, name=symbol), target)
            compiled[key] = CompiledKernel(symbol, replace(program, name=symbol), jit.optimize(module, target))
            if progress:
                progress(symbol)
        found[program] = compiled[key]
    return found


def _unique(name: str, taken: set[str]) -> str:
    base = symbol = "".join(c if c.isalnum() or c == "_" else "_" for c in name) or "kernel"
    number = 0
    while symbol in taken or symbol in jit.RESERVED:
        number += 1
        symbol = f"{base}_{number}"
    taken.add(symbol)
    return symbol


@dataclass(frozen=True)
class Values:
    """Which values come from outside, by id, in order."""

    inputs: Mapping[Hashable, Port]
    outputs: Sequence[tuple[Hashable, Port]]
    constants: Mapping[Hashable, Array]


def assemble(
    name: str,
    calls: Sequence[KernelCall],
    values: Values,
    target: Target,
    stages: Mapping[str, Text] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Image:
    """The image that makes `calls` in order. `stages` are texts of the whole model, to go with ours.

    `progress` is called with the name of each kernel when it is compiled. Raises CodegenError when
    a value is read before it is written, TooLargeError when a call would need more memory than this machine has.
    """
    direct, offsets, arena = _memory(calls, values, target)
    inputs, constants = tuple(values.inputs.values()), tuple(values.constants.values())
    outputs = tuple(port for _, port in values.outputs)
    needs = {
        "inputs": sum(p.type.bytes for p in inputs), "outputs": sum(p.type.bytes for p in outputs),
        "weights": sum(c.nbytes for c in constants), "intermediate values": arena,
    }  # fmt: skip
    memory.check(f"compile({name})", needs, memory.installed())
    kernels = compile_programs([c.program for c in calls], target, progress)
    steps = [(call, kernels[call.program]) for call in calls]
    entry = _Entry(jit.new_module(name, target), values, direct, offsets)
    code = jit.optimize(entry.filled(steps), target)
    distinct = list(dict.fromkeys(kernel for _, kernel in steps))
    sections = {f"{jit.ENTRY}.o": code.object, **{f"{kernel.symbol}.o": kernel.code.object for kernel in distinct}}
    sections |= jit.conversions(target)
    texts = [Stages(call.stages, kernel.stages) for call, kernel in steps]
    infos = [KernelInfo(c.label, c.flops, c.bytes, k.symbol, (), t) for (c, k), t in zip(steps, texts, strict=True)]
    own = {"llvm": lambda: code.optimized, "asm": lambda: code.assembly}
    whole = {stage: partial(_joined, distinct, stage, own.get(stage)) for stage in ("loop", "llvm", "asm")}
    stages = Stages(stages or {}, whole)
    team = target.threads if target.threads == 1 or threads.openmp() else 1
    return Image(name, inputs, outputs, target, sections, tuple(infos), constants, arena, (), jit.ENTRY, team, stages)


def _joined(kernels: list[CompiledKernel], stage: str, own: Callable[[], str] | None) -> str:
    """The text of all kernels at one stage, and of the entry function where it has one."""
    return "\n\n".join([*[k.stages[stage] for k in kernels], *([own()] if own else [])])


# ---- the entry function -------------------------------------------------------------------------


def _memory(calls: Sequence[KernelCall], values: Values, target: Target) -> tuple[dict[Any, int], dict[Any, int], int]:
    """The values that kernels write straight to an output, with its number; the offset in the arena of every
    other intermediate value, and of the workspace of every call; and the bytes of the arena."""
    direct: dict[Hashable, int] = {}
    written = {v for call in calls for v in call.arguments[len(call.program.params) :]}
    for n, (value, _) in enumerate(values.outputs):
        if value in written:
            direct.setdefault(value, n)
    kept = {*values.inputs, *values.constants, *direct}
    spans: dict[Any, list[int]] = {}
    for n, call in enumerate(calls):
        program = call.program
        buffers = (*program.params, *program.outputs)
        for position, (value, buffer) in enumerate(zip(call.arguments, buffers, strict=True)):
            if value in kept:
                continue
            if value not in spans and position < len(program.params):
                problem = f"expected value {value!r} to be written before it is read"
                where = f"argument {position} of kernel {n}, {call.label}"
                hint = "give it as an input or a constant, or order the calls"
                raise CodegenError(f"assemble {call.label}", problem, where, hint)
            span = spans.setdefault(value, [0, n, n])
            span[0], span[2] = max(span[0], buffer.type.bytes), n
        if size := workspace_bytes(program, target.threads):
            spans["workspace", n] = [size, n, n]
    placed = plan([Lifetime(*span) for span in spans.values()])
    return direct, dict(zip(spans, placed.offsets, strict=True)), placed.size


class _Entry:
    """Emits the entry function into a module."""

    def __init__(self, module: ir.Module, values: Values, direct: dict[Any, int], offsets: dict[Any, int]) -> None:
        kind = ir.FunctionType(INT32, [POINTER] * 4 + [INT64, POINTER])
        function = ir.Function(module, kind, jit.ENTRY)
        names = ("inputs", "outputs", "constants", "arena", "threads", "times")
        for argument, name in zip(function.args, names, strict=True):
            argument.name = name
        self.module, self.values = module, values
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.direct, self.offsets = direct, offsets
        inputs, outputs, constants, self.arena, self.threads, self.times = function.args
        self.tables = {id: (inputs, n) for n, id in enumerate(values.inputs)}
        self.tables |= {id: (constants, n) for n, id in enumerate(values.constants)}
        self.tables |= {id: (outputs, n) for id, n in direct.items()}
        self.outputs = outputs
        self.stamp = self._stamp()

    def filled(self, steps: Sequence[tuple[KernelCall, CompiledKernel]]) -> ir.Module:
        """The module, with all calls in order, and copies of what no kernel writes to its output."""
        for n, (call, kernel) in enumerate(steps):
            self.clock(n)
            self.call(n, call, kernel)
        self.clock(len(steps))
        for n, (value, port) in enumerate(self.values.outputs):
            if self.direct.get(value) != n:
                self.copy(value, n, port)
        self.builder.ret(INT32(0))
        return self.module

    def pointer(self, value: Any) -> ir.Value:
        """Where `value` is."""
        if value in self.tables:
            return self._slot(*self.tables[value])
        return self.builder.gep(self.arena, [INT64(self.offsets.get(value, 0))], source_etype=ir.IntType(8))

    def _slot(self, table: ir.Value, n: int) -> ir.Value:
        return self.builder.load(self.builder.gep(table, [INT64(n)], source_etype=POINTER), typ=POINTER)

    def call(self, n: int, call: KernelCall, kernel: CompiledKernel) -> None:
        kind = ir.FunctionType(ir.VoidType(), [POINTER] * (len(call.arguments) + 1) + [INT64])
        function = self.module.globals.get(kernel.symbol) or ir.Function(self.module, kind, kernel.symbol)
        pointers = [self.pointer(value) for value in call.arguments]
        self.builder.call(function, [*pointers, self.pointer(("workspace", n)), self.threads])

    def copy(self, value: Hashable, n: int, port: Port) -> None:
        """Output `n` is a value that is also found elsewhere."""
        kind = ir.FunctionType(POINTER, [POINTER, POINTER, INT64])
        copy = self.module.globals.get("memcpy") or ir.Function(self.module, kind, "memcpy")
        self.builder.call(copy, [self._slot(self.outputs, n), self.pointer(value), INT64(port.type.bytes)])

    def clock(self, n: int) -> None:
        """times[n] = now, in nanoseconds, if somebody wants to know."""
        self.builder.call(self.stamp, [self.times, INT64(n)])

    def _stamp(self) -> ir.Function:
        stamp = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER, INT64]), "stamp")
        stamp.linkage = "internal"
        stamp.attributes.add("noinline")
        times, n = stamp.args
        b = ir.IRBuilder(stamp.append_basic_block("entry"))
        measure, done = stamp.append_basic_block("measure"), stamp.append_basic_block("done")
        b.cbranch(b.icmp_unsigned("==", times, ir.Constant(POINTER, None)), done, measure)
        b.position_at_end(measure)
        both = ir.ArrayType(INT64, 2)  # struct timespec: seconds, nanoseconds
        now = b.alloca(both)
        now.type = POINTER
        clock = ir.Function(self.module, ir.FunctionType(INT32, [INT32, POINTER]), "clock_gettime")
        b.call(clock, [INT32(CLOCK_MONOTONIC), now])
        seconds, rest = [b.load(b.gep(now, [INT32(0), INT32(k)], source_etype=both), typ=INT64) for k in (0, 1)]
        total = b.add(b.mul(seconds, INT64(10**9)), rest)
        b.store(total, b.gep(times, [n], source_etype=INT64))
        b.branch(done)
        b.position_at_end(done)
        b.ret_void()
        return stamp
