"""Loop programs as LLVM functions: one class, one match, and no decisions of its own.

    serial     a loop               vectorize  its body once, on vectors `<n x T>`
    unroll     its body n times     parallel   a function, run by the threads of an OpenMP team
    blockIdx.x and other thread axes: a loop, as a CPU has none of them

In: a program that all passes of `loop` have seen, a target. Out: an LLVM function

    void name(T0* p0, ..., i64 n, ..., i8* workspace, i64 threads)

of the params, the outputs, the symbolic sizes if there are any (`loop.ranges.size_vars` gives
their order), `workspace_bytes` of scratch memory and the number of threads to use.
Buffers never overlap, so all are `noalias`. Each lives where `loop.place_buffers` says; what is in registers is
on the stack at first, as LLVM moves it. Parallel loops take contiguous chunks, one per thread (`loop.shares`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import llvmlite.ir as ir

from minicc.codegen.arithmetic import BYTE, INT32, INT64, POINTER, known, lanes_of, mangled, memory_type
from minicc.codegen.expressions import Expressions, Facts, Lanes
from minicc.errors import CodegenError
from minicc.loop.ir import PARALLEL, REGISTERS, SERIAL, STACK, THREAD_AXES, UNROLL, VECTORIZE, WORKSPACE, Alloc, Buffer
from minicc.loop.ir import ExternCall, For, If, Prefetch, Seq, Stmt, Store, expressions, loops, summand, walk
from minicc.loop.place_buffers import ALIGNMENT, workspace_of
from minicc.loop.place_buffers import workspace as needed
from minicc.loop.program import Program
from minicc.loop.queries import reads, mentions
from minicc.loop.ranges import inside, size_vars, sizes
from minicc.target import Target
from minicc.tensor.expr import Expr, Load, Select, Var, const, free_vars, wrap
from minicc.types import int64

KINDS = (SERIAL, PARALLEL, VECTORIZE, UNROLL, *THREAD_AXES)
LONGEST_NAME = 1000  # letters; LLVM cuts the names of values at 1,024, and then two may be one


def extern_symbol(s: ExternCall) -> str:
    """The symbol that a call of a function from outside is linked to: one for each signature."""
    return ".".join(["extern", s.function.name, *[f"{b.dtype}x{len(b.shape)}" for b in (*s.inputs, s.output)]])


def emit(module: ir.Module, program: Program, target: Target, by: type[Statements] | None = None) -> ir.Function:
    """Add the function of `program`, and those of its parallel loops, to `module`; `by` a class other than `Statements`."""
    ranges = sizes(program)
    for loop in loops(program.body).values():  # what a loop says of other variables holds only inside of it
        ranges[loop.var] = inside(loop, ranges)[loop.var]
    buffers, symbols = (*program.params, *program.outputs), size_vars(program)
    types = [*[POINTER] * len(buffers), *[INT64] * len(symbols), POINTER, INT64]
    function = _function(module, program.name, target, types, (*buffers, *symbols))
    for argument, buffer in zip(function.args, buffers, strict=False):
        if buffer in program.params and buffer not in program.outputs:
            set.add(argument.attributes, "readonly")  # llvmlite does not know it
    function.args[-2].name, function.args[-1].name = "workspace", "threads"
    emitter = (by or Statements)(function, Facts(ranges, target), target, function.args[-2], function.args[-1])
    emitter.pointers.update(zip(buffers, function.args, strict=False))
    emitter.sizes.update(zip(symbols, function.args[len(buffers) :], strict=False))
    emitter.env.update(emitter.sizes)
    emitter.run(program.body)
    emitter.builder.ret_void()
    return function


def _function(module: ir.Module, name: str, target: Target, types: Sequence[ir.Type], named: Any = None) -> ir.Function:
    """A function of arguments of these types; if the first are `named`, what pointers point to never overlaps."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), types), name)
    function.attributes.add("nounwind")
    set.add(function.attributes, f'"prefer-vector-width"="{target.vector_bits}"')  # llvmlite knows no string attributes
    for argument, key in zip(function.args, named or (), strict=False):
        argument.name = _name(key.name)
    for argument in function.args:
        if named is not None and argument.type == POINTER:
            argument.add_attribute("noalias")
    return function


def _name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_." else "_" for c in name[:LONGEST_NAME])


class Statements(Expressions):
    """Emits the statements of one function."""

    def __init__(self, function: ir.Function, facts: Facts, target: Target, workspace: Any, threads: ir.Value) -> None:
        entry = function.append_basic_block("entry")
        super().__init__(ir.IRBuilder(function.append_basic_block("start")), facts)
        self.function, self.target, self.workspace, self.threads = function, target, workspace, threads
        self.allocas = ir.IRBuilder(entry)
        self.allocas.branch(self.builder.block)
        self.allocas.position_before(entry.terminator)
        self.offset = 0  # of the workspace that is taken
        self.sizes: dict[Var, ir.Value] = {}  # the symbolic sizes, which are in `env` as well

    def run(self, s: Stmt) -> None:
        """Emit `s`."""
        match s:
            case Seq(stmts):
                for inner in stmts:
                    self.run(inner)
            case For():
                self._for(s)
            case Store(buffer, indices, value):
                self._fresh()
                self._store(buffer, indices, value)
            case If(cond, body):
                self._fresh()
                self._if(cond, body)
            case Alloc():
                self._alloc(s)
            case ExternCall():
                self._fresh()
                self._extern(s)
            case Prefetch(buffer, indices):
                self._prefetch(buffer, indices)
            case _:
                problem = "expected loops, guards, stores and allocations"
                raise CodegenError(f"codegen of {type(s).__name__}", problem, str(s), "run loop/place_init.py first")

    def _fresh(self) -> None:
        """Forget values, as memory may have changed; addresses do not depend on memory."""
        self.memo = [{} for _ in self.memo]

    # ---- loops ----------------------------------------------------------------------------------

    def _for(self, loop: For) -> None:
        extent, kind = loop.extent, loop.kind
        if kind not in KINDS or (self.lanes and kind in (PARALLEL, VECTORIZE)):
            problem = f"expected a known kind of loop, got {kind}{' in a vectorized one' if self.lanes else ''}"
            hint = "use serial, parallel, vectorize, unroll, or a thread axis, and run loop/place_buffers.py"
            raise CodegenError(f"codegen of loop {loop.name}", problem, where=str(loop.var), hint=hint)
        if extent == 1:
            self._with(loop.var, INT64(0), loop.body)
        elif kind == PARALLEL:
            self._parallel(loop)
        elif kind == VECTORIZE:
            self.lanes, self.varying_memo = Lanes(loop.var, extent), {}
            self._with(loop.var, INT64(0), loop.body)
            self.lanes = None
        elif kind == UNROLL and isinstance(extent, int):
            for n in range(extent):
                self._with(loop.var, INT64(n), loop.body)
        elif extent != 0:
            self._serial(loop.var, INT64(0), self._extent(loop), loop.body)

    def _extent(self, loop: For) -> ir.Value:
        self._fresh()
        return INT64(loop.extent) if isinstance(loop.extent, int) else self.value(loop.extent)

    def _with(self, var: Var, value: ir.Value, body: Stmt) -> None:
        self.env[var] = value
        self.run(body)
        del self.env[var]

    def _serial(self, var: Var, begin: ir.Value, end: ir.Value, body: Stmt) -> None:
        """The test is at the end of the loop; one before it is left out if it surely holds."""
        first, last = known(begin), known(end)
        if first is None or last is None:
            self.branch_of(self.builder.icmp_signed("<", begin, end), lambda: self._counted(var, begin, end, body))
        elif first < last:
            self._counted(var, begin, end, body)

    def _counted(self, var: Var, begin: ir.Value, end: ir.Value, body: Stmt) -> None:
        b = self.builder
        start = b.block
        head = b.append_basic_block(_name(f"for.{var.name}"))
        after = b.append_basic_block(_name(f"end.{var.name}"))
        b.branch(head)
        b.position_at_end(head)
        counter = b.phi(INT64, name=_name(var.name))
        counter.add_incoming(begin, start)
        with self.region():
            self._with(var, counter, body)
        following = b.add(counter, INT64(1), flags=("nuw", "nsw"))
        counter.add_incoming(following, b.block)
        b.cbranch(b.icmp_signed("<", following, end), head, after)
        b.position_at_end(after)

    # ---- threads --------------------------------------------------------------------------------

    def _parallel(self, loop: For) -> None:
        """Call the body with the whole range, or have each thread of a team call it with its chunk."""
        extent = self._extent(loop)
        captured = self._captured(loop)
        body = self._outlined(loop, captured)
        values = [*captured.values(), self._taken()]
        team = self.binary("min", int64, self.threads, extent)

        def alone() -> None:
            self.builder.call(body, [*values, INT64(0), extent, INT64(0)])

        if self.target.threads == 1:
            alone()
        else:
            few = self.builder.icmp_signed("<=", team, INT64(1))
            self.branch_of(few, alone, lambda: self._team(body, [*values, extent], team))

    def _taken(self) -> ir.Value:
        """The workspace that is still free."""
        return self.builder.gep(self.workspace, [INT64(self.offset)], source_etype=BYTE)

    def _captured(self, loop: For) -> dict[Any, ir.Value]:
        """The loop variables and buffers from outside that the body uses."""
        inside = list(walk(loop.body))
        needed = {*free_vars(*[e for s in inside for e in expressions(s)]), *self.sizes}
        read = [load.source for s in inside for load in reads(s)]
        buffers = dict.fromkeys([*read, *[b for s in inside for b in mentions(s)]])
        used: dict[Any, ir.Value] = {v: self.env[v] for v in self.env if v in needed}
        return used | {b: self.pointers[b] for b in buffers if b in self.pointers}

    def _outlined(self, loop: For, captured: Mapping[Any, ir.Value]) -> ir.Function:
        """The function of the body, over a range: (captured..., workspace, begin, end, thread)."""
        types = [*[v.type for v in captured.values()], POINTER, INT64, INT64, INT64]
        name = self.module.get_unique_name(f"{_name(loop.name)}.{self.function.name}")
        function = _function(self.module, name, self.target, types, captured)
        function.linkage = "internal"
        function.attributes.add("noinline")  # so that `noalias` holds while it is optimised
        workspace, begin, end, thread = function.args[-4:]
        inner = type(self)(function, self.facts, self.target, workspace, INT64(1))
        for key, argument in zip(captured, function.args, strict=False):
            known_as = inner.env if isinstance(key, Var) else inner.pointers
            known_as[key] = argument
        inner.sizes = {v: inner.env[v] for v in self.sizes}
        if (room := needed(loop.body, 1)) is not const(0):
            start = inner.builder.mul(thread, inner.value(room))
            inner.workspace = inner.builder.gep(workspace, [start], source_etype=BYTE)
        inner._serial(loop.var, begin, end, loop.body)
        inner.builder.ret_void()
        return function

    def _team(self, body: ir.Function, values: list[ir.Value], team: ir.Value) -> None:
        """GOMP_parallel(task, &values, team, 0), the interface of libgomp that others provide as well."""
        struct = ir.LiteralStructType([v.type for v in values])
        held = self._stack(struct, "task")
        for n, value in enumerate(values):
            self.builder.store(value, self.builder.gep(held, [INT32(0), INT32(n)], source_etype=struct))
        task = _function(self.module, self.module.get_unique_name(f"task.{body.name}"), self.target, [POINTER])
        task.linkage = "internal"
        b = ir.IRBuilder(task.append_basic_block("entry"))
        at = partial(b.gep, task.args[0], source_etype=struct)
        fields = [b.load(at([INT32(0), INT32(n)]), typ=value.type) for n, value in enumerate(values)]
        numbers = [self.external(f"omp_get_{what}", INT32) for what in ("thread_num", "num_threads")]
        thread, threads = [b.sext(b.call(number, []), INT64) for number in numbers]
        extent = fields.pop()
        begin = b.sdiv(b.mul(extent, thread), threads)
        end = b.sdiv(b.mul(extent, b.add(thread, INT64(1))), threads)
        b.call(body, [*fields, begin, end, thread])
        b.ret_void()
        count = self.builder.trunc(team, INT32)
        start = self.external("GOMP_parallel", ir.VoidType(), POINTER, POINTER, INT32, INT32)
        self.builder.call(start, [task, held, count, INT32(0)])

    # ---- memory ---------------------------------------------------------------------------------

    def _alloc(self, s: Alloc) -> None:
        buffer, lanes = s.buffer, self.lanes.count if self.lanes else 1
        offset, workspace = self.offset, self.workspace
        if s.storage in (REGISTERS, STACK):
            elements = max(math.prod(buffer.shape) * lanes, 1)
            pointer = self._stack(ir.ArrayType(memory_type(buffer.dtype), elements), buffer.name)
        elif s.storage == WORKSPACE:
            pointer = self._taken()
            taken = self._bytes(workspace_of(buffer, lanes), buffer)
            if (number := known(taken)) is not None:
                self.offset += number
            else:
                self.workspace, self.offset = self.builder.gep(pointer, [taken], source_etype=BYTE), 0
        else:
            hint = "run loop/place_buffers.py first"
            raise CodegenError(f"codegen of {buffer.name}", "expected a known storage, got none", str(buffer), hint)
        self.pointers[buffer] = pointer
        self.addresses.append({})
        if lanes > 1:
            self.private[buffer] = lanes
            self.varying_memo = {}
        self.run(s.body)
        self.addresses.pop()
        self.private.pop(buffer, None)
        del self.pointers[buffer]
        self.offset, self.workspace = offset, workspace

    def _bytes(self, size: Expr, buffer: Buffer) -> ir.Value:
        """A number of bytes, which may depend on symbolic sizes and on nothing else."""
        if other := sorted(v.name for v in free_vars(size) - set(self.sizes)):
            problem = f"its extents must be numbers or sizes of arrays, got {buffer.type}"
            hint = f"make {other[0]} the extent of a parameter"
            raise CodegenError(f"alloc of {buffer.name}", problem, where=str(buffer), hint=hint)
        return self.value(size)

    def _stack(self, type: ir.Type, name: str) -> ir.Value:
        """Room on the stack, taken once when the function starts."""
        made = self.allocas.alloca(type, name=_name(name))
        made.align = ALIGNMENT
        made.type = POINTER  # llvmlite would say what it points to, and then insist on it
        return made

    def _if(self, cond: Expr, body: Stmt) -> None:
        chosen = self.value(cond)
        if lanes_of(chosen):
            with self.region(chosen if self.mask is None else self.builder.and_(self.mask, chosen)):
                self.run(body)
        elif known(chosen):
            self.run(body)
        elif known(chosen) is None:
            self.branch_of(chosen, lambda: self.run(body))

    def _extern(self, s: ExternCall) -> None:
        """function(input pointers..., output pointer, extents of all)"""
        buffers = (*s.inputs, s.output)
        extents = [self.value(wrap(extent)) for b in buffers for extent in b.shape]
        table = self._stack(ir.ArrayType(INT64, max(len(extents), 1)), "extents")
        for n, extent in enumerate(extents):
            self.builder.store(extent, self.builder.gep(table, [INT64(n)], source_etype=INT64))
        self.named(extern_symbol(s), ir.VoidType(), *[self.pointers[b] for b in buffers], table)

    def _store(self, buffer: Buffer, indices: tuple[Expr, ...], value: Expr) -> None:
        if buffer not in self.pointers:
            call = f"codegen of {buffer.name}[...] = {value}"
            problem = "expected a buffer that is defined here"
            raise CodegenError(call, problem, str(buffer), "allocate it around the store, or make it an output")
        step = value
        while isinstance(step, Select) and step.other is Load(buffer, indices):  # an update under a guard
            step = step.then
        product = summand(buffer, indices, step)
        self.fused = frozenset((step, product)) if product is not None and self.facts.fuses(product) else frozenset()
        result = self.value(value)
        stride = self.stride(buffer, indices)
        if self.lanes is None or (stride == 0 and self.mask is None and not lanes_of(result)):
            self._put(buffer, indices, result)
        elif stride in (1, -1):
            self._put_lanes(buffer, indices, self.broadcast(result, self.lanes.count), stride)
        else:
            self._scatter(buffer, indices, self.broadcast(result, self.lanes.count))

    def _put(self, buffer: Buffer, indices: tuple[Expr, ...], value: ir.Value) -> None:
        self.builder.store(self.to_memory(value, buffer.dtype), self.address(buffer, indices), buffer.dtype.bytes)

    def _put_lanes(self, buffer: Buffer, indices: tuple[Expr, ...], value: ir.Value, step: int) -> None:
        count = lanes_of(value)
        pointer = self.address(buffer, indices, 0 if step == 1 else 1 - count)
        held = self.to_memory(value if step == 1 else self.reversed(value), buffer.dtype)
        if self.mask is None:
            self.builder.store(held, pointer, buffer.dtype.bytes)
        else:
            mask = self.mask if step == 1 else self.reversed(self.mask)
            self.named(f"llvm.masked.store.{mangled(held.type)}.p0", ir.VoidType(), held, pointer, mask)

    def _prefetch(self, buffer: Buffer, indices: tuple[Expr, ...]) -> None:
        """To read, into all levels of data cache. Lanes have no need of hints."""
        if self.lanes is None:
            self.named("llvm.prefetch.p0", ir.VoidType(), self.address(buffer, indices), INT32(0), INT32(3), INT32(1))

    def _scatter(self, buffer: Buffer, indices: tuple[Expr, ...], value: ir.Value) -> None:
        """Lane after lane, so that where two meet the last one wins, as in a loop."""
        for n in range(lanes_of(value)):
            element = self.builder.extract_element(value, INT32(n))
            self.in_lane(n, self.mask, partial(self._put, buffer, indices, element))
