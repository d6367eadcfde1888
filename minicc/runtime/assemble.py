"""Kernel calls to an image: plan the memory, emit the entry function, compile.

In: the calls in order. Each names the values that its program reads and writes, by any hashable
id; which ids are inputs, outputs and constants is said beside. Every other id is an intermediate
tensor and gets a place in the arena, as does the workspace of each kernel. Equal programs are
compiled once. Out: an `Image`.

A value may be an output and an input at once, or an output twice: it is copied.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from minicc.codegen.llvm import emit
from minicc.errors import CodegenError
from minicc.ir.arrays import Array, aligned
from minicc.ir.node import replace
from minicc.loop.place_buffers import workspace_bytes
from minicc.loop.program import Program
from minicc.loop.ranges import size_vars
from minicc.runtime import jit, memory, threads
from minicc.runtime.entry import EntryFunction, Place
from minicc.runtime.image import Image, KernelInfo, Port, Stages, Text
from minicc.runtime.kernel_cache import KernelCache, KernelCode
from minicc.runtime.plan import ArenaPlan, Lifetime, plan
from minicc.target import Target

LONGEST_NAME = 150  # letters of the name of a function; more than enough to tell what it does


@dataclass(frozen=True)
class CompiledKernel:
    """A kernel as machine code. `source` gives its program: that it was made of, or one made again for texts."""

    name: str
    code: KernelCode
    source: Callable[[], Program]
    target: Target

    def object(self, symbol: str) -> bytes:
        """Its object code, in which its function has this name."""
        if self.target.triple.startswith("wasm"):  # where each name stands behind its length
            return _compiled(replace(self.source(), name=symbol), self.target).object
        return jit.renamed(self.code.object, symbol)

    def stages(self, symbol: str) -> Stages:
        """Its texts, under this name."""

        def program() -> Program:
            return replace(self.source(), name=symbol)

        return Stages({
            "loop": lambda: str(program()),
            "llvm": lambda: _compiled(program(), self.target).optimized,
            "asm": lambda: _compiled(program(), self.target).assembly,
        })  # fmt: skip


@dataclass(frozen=True)
class KernelCall:
    """`kernel` on the values `arguments`: its inputs, then its outputs. `stages` are texts of earlier rooms.

    `offsets` are the bytes from the beginning of each value to the argument, where that is a part of it.
    """

    kernel: Program | CompiledKernel
    label: str
    arguments: tuple[Hashable, ...]
    flops: int = 0
    bytes: int = 0
    effective: int = 0
    stages: Mapping[str, Text] = field(default_factory=dict)
    offsets: tuple[int, ...] = ()

    @property
    def places(self) -> list[tuple[Hashable, int]]:
        """Each argument as a value and the byte of it where it begins."""
        return list(itertools.zip_longest(self.arguments, self.offsets, fillvalue=0))


def compile_program(program: Program, target: Target) -> CompiledKernel:
    """Machine code of a program."""
    sizes = tuple([b.type.bytes if b.type.is_bound else 0 for b in (*program.params, *program.outputs)])
    room = 0 if size_vars(program) else workspace_bytes(program, target.threads)
    made = _compiled(replace(program, name=jit.PLACEHOLDER), target)
    code = KernelCode(made.object, len(program.params), sizes, room)
    return CompiledKernel(program.name, code, lambda: program, target)


def _compiled(program: Program, target: Target) -> jit.Code:
    """The module of a program alone, compiled."""
    module = jit.new_module(program.name, target)
    emit(module, program, target)
    return jit.optimize(module, target)


def _ready(
    calls: Sequence[KernelCall], target: Target, progress: Callable[[str], None] | None
) -> list[tuple[str, CompiledKernel]]:
    """For each call its kernel and the name that it has in the image. Each distinct program is compiled once, and equal
    code, names aside, has one name."""
    compiled: dict[Program, CompiledKernel] = {}
    symbols: dict[KernelCode, str] = {}
    found = []
    for call in calls:
        kernel = call.kernel
        if isinstance(kernel, Program):
            key = replace(kernel, name="")
            if key not in compiled:
                compiled[key] = compile_program(kernel, target)
            kernel = compiled[key]
        if kernel.code not in symbols:
            symbols[kernel.code] = symbol = unique_symbol(kernel.name, symbols.values())
            if progress:
                progress(symbol)
        found.append((symbols[kernel.code], kernel))
    return found


def unique_symbol(name: str, taken: Collection[str] = ()) -> str:
    """A name for the function of a kernel that is none of those taken."""
    base = symbol = "".join(c if c.isalnum() or c == "_" else "_" for c in name)[:LONGEST_NAME] or "kernel"
    number = 0
    while symbol in taken or symbol in jit.RESERVED:
        number += 1
        symbol = f"{base}_{number}"
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
    cache: KernelCache | None = None,
) -> Image:
    """The image that makes `calls` in order. `stages` are texts of the whole model, to go with ours.

    `progress` is called with the name of each kernel when it is compiled; `cache` may have the entry function. Raises CodegenError when
    a value is read before it is written, TooLargeError when a call would need more memory than this machine has.
    """
    kernels = _ready(calls, target, progress)
    steps = [(call, symbol, kernel.code) for call, (symbol, kernel) in zip(calls, kernels, strict=True)]
    direct, offsets, placed = _memory(steps, values)
    inputs, constants = tuple(values.inputs.values()), tuple(map(aligned, values.constants.values()))
    outputs = tuple(port for _, port in values.outputs)
    needs = {
        "inputs": sum(p.type.bytes for p in inputs), "outputs": sum(p.type.bytes for p in outputs),
        "weights": sum(c.nbytes for c in constants), "intermediate values": placed.size,
    }  # fmt: skip
    memory.check(f"compile({name})", needs, memory.installed())
    entry = _entry(steps, values, direct, offsets)
    found = cache.find(entry.key(target)) if cache else None
    code = found or KernelCode(entry.compiled(target).object, 0, (), 0)
    if cache and not found:
        cache.keep(entry.key(target), code)
    distinct = dict(kernels)
    objects = {f"{symbol}.o": kernel.object(symbol) for symbol, kernel in distinct.items()}
    sections = {f"{jit.ENTRY}.o": code.object, **objects, **jit.conversions(target)}
    plan_text = partial(entry.text, [code for *_, code in steps])
    own = {s: Stages({"memory": partial(plan_text, s)}, kernel.stages(s)) for s, kernel in distinct.items()}
    infos = [KernelInfo(c.label, c.flops, c.bytes, s, (), Stages(c.stages, own[s]), c.effective) for c, s, _ in steps]
    entry_texts = {"llvm": lambda: entry.compiled(target).optimized, "asm": lambda: entry.compiled(target).assembly}
    whole: dict[str, Text] = {"memory": plan_text}
    whole |= {stage: partial(_joined, own, stage, entry_texts.get(stage)) for stage in ("loop", "llvm", "asm")}
    stages = Stages(stages or {}, whole)
    team = target.threads if target.threads == 1 or threads.openmp() else 1
    more = (placed.size, (), jit.ENTRY, team, stages, placed)
    return Image(name, inputs, outputs, target, sections, tuple(infos), constants, *more)


def _joined(kernels: Mapping[str, Stages], stage: str, own: Callable[[], str] | None) -> str:
    """The text of all kernels at one stage, and of the entry function where it has one."""
    return "\n\n".join([*[texts[stage] for texts in kernels.values()], *([own()] if own else [])])


Step = tuple[KernelCall, str, KernelCode]  # a call, the name of its function, and what that needs


def _memory(steps: Sequence[Step], values: Values) -> tuple[dict[Any, int], dict[Any, int], ArenaPlan]:
    """The values that kernels write straight to an output, with its number; the offset in the arena of every
    other intermediate value, and of the workspace of every call; and the plan of the arena."""
    direct: dict[Hashable, int] = {}
    written = {v for call, _, code in steps for v in call.arguments[code.inputs :]}
    for n, (value, _) in enumerate(values.outputs):
        if value in written:
            direct.setdefault(value, n)
    kept = {*values.inputs, *values.constants, *direct}
    spans: dict[Any, list[Any]] = {}
    for n, (call, _, code) in enumerate(steps):
        for position, ((value, offset), size) in enumerate(zip(call.places, code.sizes, strict=True)):
            if value in kept:
                continue
            if value not in spans and position < code.inputs:
                problem = f"expected value {value!r} to be written before it is read"
                where = f"argument {position} of kernel {n}, {call.label}"
                hint = "give it as an input or a constant, or order the calls"
                raise CodegenError(f"assemble {call.label}", problem, where, hint)
            span = spans.setdefault(value, [0, n, n, call.label])
            span[0], span[2] = max(span[0], offset + size), n
        if code.workspace:
            spans["workspace", n] = [code.workspace, n, n, f"workspace of {call.label}"]
    placed = plan([Lifetime(*span) for span in spans.values()])
    return direct, dict(zip(spans, placed.offsets, strict=True)), placed


def _entry(
    steps: Sequence[Step], values: Values, direct: Mapping[Any, int], offsets: Mapping[Any, int]
) -> EntryFunction:
    """Where each call, and each output that no kernel writes, finds its values."""
    places: dict[Any, Place] = {id: Place("arena", 0, offset) for id, offset in offsets.items()}
    places |= {id: Place("inputs", n) for n, id in enumerate(values.inputs)}
    places |= {id: Place("constants", n) for n, id in enumerate(values.constants)}
    places |= {id: Place("outputs", n) for id, n in direct.items()}
    calls = [(symbol, tuple([places[v].at(offset) for v, offset in call.places]),
              Place("arena", 0, offsets.get(("workspace", n), 0)))
             for n, (call, symbol, _) in enumerate(steps)]  # fmt: skip
    copies = [(n, places[v], port.type.bytes) for n, (v, port) in enumerate(values.outputs) if direct.get(v) != n]
    return EntryFunction(tuple(calls), tuple(copies))
