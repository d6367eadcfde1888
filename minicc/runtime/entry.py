"""The entry function of an image: it calls all kernels in order, without coming back to Python.

In: for each call the name of the kernel and the places of its arguments; which outputs are copies of other values. Out:
machine code of

    i32 minicc_main(i8** inputs, i8** outputs, i8** constants, i8* arena, i64 threads, i64* times)

which notes in `times`, unless that is null, when each call begins and the last one ends, in nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import llvmlite.ir as ir

from minicc.codegen.arithmetic import BYTE, INT32, INT64, POINTER
from minicc.runtime import jit
from minicc.runtime.kernel_cache import KernelCode, versions
from minicc.target import Target

CLOCK_MONOTONIC = 1
TABLES = ("inputs", "outputs", "constants")


class Place(NamedTuple):
    """A byte of what a pointer of a table points to, or of the arena."""

    table: str
    number: int = 0
    offset: int = 0

    def at(self, offset: int) -> Place:
        """The place so many bytes on."""
        return self._replace(offset=self.offset + offset)

    def text(self, size: int) -> str:
        """So many bytes from here on."""
        table = f"{self.table} {self.number}" if self.table in TABLES else self.table
        return f"{table}[{self.offset}:{self.offset + size}]"


@dataclass(frozen=True)
class EntryFunction:
    """`calls`: a kernel, its arguments, its workspace. `copies`: an output, where its value is, and the bytes of that."""

    calls: tuple[tuple[str, tuple[Place, ...], Place], ...]
    copies: tuple[tuple[int, Place, int], ...]

    def key(self, target: Target) -> str:
        """All that decides its machine code."""
        return "\n".join([*versions(target), "entry", *map(repr, self.calls), repr(self.copies)])

    def text(self, codes: Sequence[KernelCode], of: str = "") -> str:
        """The bytes of the arena, of inputs, outputs and constants that each call works on; or each of one kernel."""
        lines = []
        for (symbol, places, _), code in zip(self.calls, codes, strict=True):
            if of in ("", symbol):
                held = [place.text(size) for place, size in zip(places, code.sizes, strict=True)]
                lines.append(f"{symbol}({', '.join(held[: code.inputs])}) -> {', '.join(held[code.inputs :])}")
        return "\n".join(lines)

    @lru_cache(maxsize=1 << 6)  # noqa: B019 - plain data; models of the same few calls are compiled again and again
    def compiled(self, target: Target) -> jit.Code:
        """Its machine code."""
        return jit.optimize(_Emitter(jit.new_module(jit.ENTRY, target)).filled(self), target)


class _Emitter:
    """Emits the function into a module."""

    def __init__(self, module: ir.Module) -> None:
        kind = ir.FunctionType(INT32, [POINTER] * 4 + [INT64, POINTER])
        function = ir.Function(module, kind, jit.ENTRY)
        names = (*TABLES, "arena", "threads", "times")
        for argument, name in zip(function.args, names, strict=True):
            argument.name = name
        self.module, self.arguments = module, dict(zip(names, function.args, strict=True))
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.stamp = self._stamp()

    def filled(self, entry: EntryFunction) -> ir.Module:
        """The module, with all calls in order, then the copies."""
        for n, call in enumerate(entry.calls):
            self.clock(n)
            self.call(*call)
        self.clock(len(entry.calls))
        for n, place, size in entry.copies:
            self.copy(n, place, size)
        self.builder.ret(INT32(0))
        return self.module

    def pointer(self, place: Place) -> ir.Value:
        """What is at a place of a table, or the address in the arena."""
        pointer = self.arguments[place.table]
        if place.table in TABLES:
            held = self.builder.gep(pointer, [INT64(place.number)], source_etype=POINTER)
            pointer = self.builder.load(held, typ=POINTER)
        return self.builder.gep(pointer, [INT64(place.offset)], source_etype=BYTE)

    def call(self, symbol: str, arguments: tuple[Place, ...], workspace: Place) -> None:
        kind = ir.FunctionType(ir.VoidType(), [POINTER] * (len(arguments) + 1) + [INT64])
        function = self.module.globals.get(symbol) or ir.Function(self.module, kind, symbol)
        self.builder.call(function, [*map(self.pointer, (*arguments, workspace)), self.arguments["threads"]])

    def copy(self, n: int, place: Place, size: int) -> None:
        """Output `n` is a value that is also found elsewhere."""
        kind = ir.FunctionType(POINTER, [POINTER, POINTER, INT64])
        copy = self.module.globals.get("memcpy") or ir.Function(self.module, kind, "memcpy")
        self.builder.call(copy, [self.pointer(Place("outputs", n)), self.pointer(place), INT64(size)])

    def clock(self, n: int) -> None:
        """times[n] = now, if somebody wants to know."""
        self.builder.call(self.stamp, [self.arguments["times"], INT64(n)])

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
