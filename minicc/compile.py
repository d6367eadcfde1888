"""The whole pipeline, as a table of contents: read this first.

    file -> frontend -> graph -> graph passes -> kernels -> te -> loop program -> schedule
         -> loop passes -> LLVM -> machine code -> Executable

A model goes through four rooms. In the graph room it says what to compute; `GRAPH_PASSES` bind
it, simplify it and group its operators into kernels. Each distinct kernel then becomes tensor
expressions, a naive loop program, a scheduled one, and LLVM. Every stage can be printed
(`exe.stages`), verified and run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from minicc import frontend
from minicc import tensor as te
from minicc.bridge.function import DEVICES, CudaFunction
from minicc.config import MOST_THREADS
from minicc.errors import CodegenError, ConfigError, ScheduleError
from minicc.graph.bind import bind, runtime_operands
from minicc.graph.eliminate_dead_code import eliminate_dead_code
from minicc.graph.expand_composites import expand_composites
from minicc.graph.fold_constants import fold_constants
from minicc.graph.fuse import fuse
from minicc.graph.ir import Constant, Graph, Kernel, Node
from minicc.graph.merge_common_subexpressions import merge_common_subexpressions
from minicc.graph.pack_weights import pack_weights
from minicc.graph.simplify_graph import simplify_graph
from minicc.ir.node import replace
from minicc.loop.cost import operations, touched
from minicc.loop.ir import ExternCall, walk
from minicc.loop.lower import lower as lower_tensors
from minicc.loop.place_buffers import place_buffers
from minicc.loop.place_init import place_init
from minicc.loop.program import Program
from minicc.loop.ranges import size_vars
from minicc.loop.remove_unread import remove_unread
from minicc.loop.simplify_loops import simplify_loops
from minicc.loop.verify import verify
from minicc.loop.widen_floats import widen_floats
from minicc.recipes import default
from minicc.runtime import memory
from minicc.runtime.assemble import KernelCall, Values, assemble
from minicc.runtime.executable import Executable, load
from minicc.runtime.function import Function
from minicc.runtime.image import Port
from minicc.runtime.specialize import SpecializingExecutable, Variants
from minicc.schedule import Schedule
from minicc.schedule.te_schedule import TeSchedule
from minicc.schedule.tidy import tidy
from minicc.target import Target
from minicc.tensor.tensor import tensors_of
from minicc.types import float32

T = TypeVar("T")
Progress = Callable[[str, int, int], None]  # what is being done, how many of how many

GRAPH_PASSES: tuple[tuple[str, Callable[[Graph, Target], Graph]], ...] = (
    # composites first: what follows knows only operators that have kernels
    ("expand composites", lambda g, t: expand_composites(g)),
    # constants before simplification: its rules look for constant operands
    ("fold constants", lambda g, t: fold_constants(g)),
    # BatchNorm becomes Mul and Add, these move into weights, views cancel
    ("simplify", lambda g, t: simplify_graph(g)),
    # after simplification: rules make equal things that were written differently
    ("merge common subexpressions", lambda g, t: merge_common_subexpressions(g)),
    # after BatchNorm has moved into the weights, and before they are folded for the last time
    ("pack weights", lambda g, t: pack_weights(g, t.lanes(float32))),
    # the packing of weights, the scaling of weights: computed now, once
    ("fold packed weights", lambda g, t: fold_constants(g)),
    # the views that packing brought
    ("simplify views", lambda g, t: simplify_graph(g)),
    ("eliminate dead code", lambda g, t: eliminate_dead_code(g)),
    # last: from here on a node is a kernel
    ("fuse", lambda g, t: fuse(g)),
)

LOOP_PASSES: tuple[tuple[str, Callable[[Program], Program]], ...] = (
    # a reduction is one statement while it is scheduled; now its initialisation gets a place
    ("place init", place_init),
    # 16-bit floats are a storage format: arithmetic on them is done in float32
    ("widen floats", widen_floats),
    # guards and indices that the steps before have made provable
    ("simplify loops", simplify_loops),
    # last: it looks at every index; code generation decides nothing
    ("place buffers", place_buffers),
)


def compile(
    model: Graph | TeSchedule | Schedule | str | Path | bytes | Any,
    target: Target | str = "native",
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    dims: Mapping[str, int] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    pass_times: dict[str, float] | None = None,
) -> Executable:
    """Compile a model for `target`.

    `model` is a Graph, the path, bytes or `onnx.ModelProto` of an ONNX model, or a te schedule.
    `input_shapes` gives whole shapes by input name, `dims` numbers for symbolic dimensions.
    `threads` is how many threads a call uses (default: all that we may use). `progress(what, done,
    total)` is called as work proceeds; `pass_times` collects the seconds of each pass.

    An input whose value decides a shape (the shape of a Reshape, say) is bound when a call brings
    its first value: the executable then specialises itself, and keeps what it made.

    Raises LoadError, GraphError or TypeInferenceError when the model is not valid, LoopError when a
    schedule's program breaks a rule, ConfigError when `threads` is not a positive number.
    """
    started = time.perf_counter()
    machine = Target.of(target)
    if threads is not None:
        if not 1 <= threads <= MOST_THREADS:
            raise ConfigError(
                f"compile(threads={threads})",
                f"expected 1 to {MOST_THREADS} threads, got {threads}",
                hint="leave it out for all that we may use",
            )
        machine = machine.with_threads(threads)
    clock = _Clock({} if pass_times is None else pass_times)
    if isinstance(model, (TeSchedule, Schedule)):
        made = _assemble_schedule(model.schedule if isinstance(model, TeSchedule) else model, machine)
    else:
        loaded = model if isinstance(model, Graph) else clock.time("load", lambda: frontend.load(model))
        graph = clock.time("bind", lambda: bind(loaded, dims or {}, input_shapes or {}))
        _check_memory(graph)
        waiting = runtime_operands(graph)
        variant = partial(
            _specializing, loaded, graph, machine, progress, clock.times, dims or {}, input_shapes or {}, waiting
        )
        made = variant(()) if waiting else _compile_graph(graph, machine, clock, progress)
        if loaded.defaults:
            made.defaults, made.variant = tuple(loaded.defaults.types), Variants(variant)
    made.compile_seconds = time.perf_counter() - started
    return made


def _check_memory(graph: Graph) -> None:
    """Refuse, before any work is done, a model whose own inputs, outputs and weights could never be here at once."""
    needs = dict.fromkeys(("inputs", "outputs", "weights"), 0)
    for kind, nodes in (
        ("inputs", graph.inputs),
        ("outputs", graph.outputs),
        ("weights", [n for n in graph.nodes if isinstance(n.op, Constant)]),
    ):
        needs[kind] = sum(n.inferred.bytes for n in nodes if n.inferred is not None and n.inferred.is_bound)
    memory.check(f"compile({graph.name})", needs, memory.installed())


def _specializing(
    loaded: Graph,
    bound: Graph,
    target: Target,
    progress: Progress | None,
    pass_times: dict[str, float],
    dims: Mapping[str, int],
    shapes: Mapping[str, Sequence[int]],
    waiting: Sequence[str],
    given: tuple[str, ...],
) -> SpecializingExecutable:
    """What compiles when a call brings the values of `waiting`, and of the defaults named `given`."""
    types = loaded.defaults.types if loaded.defaults else {}
    inputs = [Port(name, n.type) for name, n in zip(bound.input_names, bound.inputs, strict=True)]
    inputs += [Port(name, types[name]) for name in given]
    make = partial(
        _specialized,
        loaded if given else bound,
        target,
        progress,
        pass_times,
        dims if given else {},
        shapes if given else {},
    )
    return SpecializingExecutable(bound.name, inputs, (*waiting, *given), target.threads, make)


def _specialized(
    graph: Graph,
    target: Target,
    progress: Progress | None,
    pass_times: dict[str, float],
    dims: Mapping[str, int],
    shapes: Mapping[str, Sequence[int]],
    values: Mapping[str, Any],
) -> Executable:
    return compile(bind(graph, dims, shapes, values), target, progress=progress, pass_times=pass_times)


def optimize(graph: Graph, target: Target | str = "native", pass_times: dict[str, float] | None = None) -> Graph:
    """The fused graph of a bound one: all of GRAPH_PASSES."""
    clock = _Clock({} if pass_times is None else pass_times)
    machine = Target.of(target)
    for name, run in GRAPH_PASSES:
        graph = clock.time(name, lambda run=run, graph=graph: run(graph, machine))  # type: ignore[misc]
    return graph


def finish(program: Program) -> Program:
    """A scheduled program made ready for codegen: all of LOOP_PASSES."""
    for _, run in LOOP_PASSES:
        program = run(program)
    return program


# ---- schedules by hand --------------------------------------------------------------------------


def lower(s: TeSchedule | Schedule, args: Sequence[te.Tensor] | None = None, name: str = "main") -> Program:
    """The loop program that a schedule has come to, with `args` as its parameters and outputs.

    Without `args` the placeholders come in order of first use, then the outputs. Raises LoopError
    when the program that was scheduled breaks a rule, such as an index outside of its buffer, and
    ScheduleError when a placeholder is missing, or a tensor is given twice.
    """
    verify(s.schedule.start if isinstance(s, TeSchedule) else s.start)
    if isinstance(s, TeSchedule) and args is not None:
        return s.arrange(args, name)
    if args is not None:
        raise ScheduleError(
            "lower(s, args)",
            "a schedule of a loop program has its arguments already, got others",
            where=str(s.program),
            hint="leave args out, or schedule with te.create_schedule",
        )
    return replace(s.program, name=name)


def build(
    s: TeSchedule | Schedule | Program,
    args: Sequence[te.Tensor] | None = None,
    target: Target | str = "native",
    name: str = "main",
) -> Function | CudaFunction:
    """Machine code of a schedule, called with NumPy arrays in the order of `args`.

    Outputs are written in place. Loops that are bound to thread axes run as ordinary loops, or for
    `target="cuda"` as the blocks and threads of a device (`"emulated"` runs those kernels on the CPU).
    Raises LoopError when the program, before it was scheduled, breaks a rule, ScheduleError when
    `args` do not fit the schedule, CodegenError when a symbolic size is the extent of no argument.
    """
    if isinstance(s, Program):
        verify(s)
    program = s if isinstance(s, Program) else lower(s, args, name)
    order = [b.name for b in (*program.params, *program.outputs)]
    if isinstance(s, TeSchedule) and args is not None:
        order = [s.argument(arg) for arg in args]
    if isinstance(target, str) and target in DEVICES:
        return CudaFunction(program, order, target)
    machine = Target.of(target)
    return Function(program, finish(program), order, machine)


# ---- kernels ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lowered:
    """One distinct kernel on its way: its expressions, its naive program, its schedule, its final program."""

    output: te.Tensor
    naive: Program
    schedule: Schedule
    program: Program

    @property
    def expressions(self) -> str:
        return "\n".join(str(t.op) for t in tensors_of(self.output))


def lower_kernel(kernel: Kernel, target: Target) -> Lowered:
    """From sub-graph to scheduled loop program."""
    inputs = [
        te.placeholder(n.shape, n.dtype, name)
        for n, name in zip(kernel.body.inputs, kernel.body.input_names, strict=True)
    ]
    output = kernel.compute(*inputs)
    naive = remove_unread(tidy(lower_tensors([output], [*inputs, output], kernel.label).program))
    schedule = default.schedule(naive, target)
    return Lowered(output, naive, schedule, finish(schedule.program))


def _compile_graph(graph: Graph, target: Target, clock: _Clock, progress: Progress | None) -> Executable:
    fused = optimize(graph, target, clock.times)
    values = _Values(fused)
    kernels: dict[Kernel, Lowered] = {}
    distinct = list(dict.fromkeys(n.op for n in fused.nodes if isinstance(n.op, Kernel)))
    for number, kernel in enumerate(distinct):
        if progress:
            progress(f"schedule {kernel.label}"[:28], number, 2 * len(distinct))
        kernels[kernel] = clock.time("schedule kernels", lambda kernel=kernel: lower_kernel(kernel, target))  # type: ignore[misc]
    calls = [_call(n, n.op, kernels[n.op], values) for n in fused.nodes if isinstance(n.op, Kernel)]
    done = [len(distinct)]

    def emitted(symbol: str) -> None:
        done[0] += 1
        if progress:
            progress(f"emit {symbol}"[:28], min(done[0], 2 * len(distinct)), 2 * len(distinct))

    stages = {
        "graph": lambda: str(graph),
        "fused": lambda: str(fused),
        "te": lambda: "\n\n".join(f"# {k.label}\n{made.expressions}" for k, made in kernels.items()),
    }
    return clock.time(
        "emit and link", lambda: load(assemble(graph.name, calls, values.table(), target, stages, emitted))
    )


def _call(n: Node, kernel: Kernel, made: Lowered, values: _Values) -> KernelCall:
    arguments = tuple(values.id(i) for i in (*n.inputs, n))
    texts = {
        "graph": lambda: str(kernel.body),
        "te": lambda: made.expressions,
        "naive": lambda: str(made.naive),
        "trace": lambda: str(made.schedule.trace),
    }
    return KernelCall(made.program, kernel.label, arguments, operations(made.naive), touched(made.naive), texts)


class _Values:
    """Where each node's value comes from; a Reshape shares the memory of its input."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.same: dict[Node, Node] = {}
        for n in graph.nodes:
            self.same[n] = self.same[n.inputs[0]] if n.op.view else n

    def id(self, n: Node) -> Hashable:
        return self.same[n]

    def table(self) -> Values:
        graph = self.graph
        inputs: dict[Hashable, Port] = {
            n: Port(name, n.type) for n, name in zip(graph.inputs, graph.input_names, strict=True)
        }
        outputs = [(self.id(n), Port(name, n.type)) for n, name in zip(graph.outputs, graph.output_names, strict=True)]
        constants: dict[Hashable, Any] = {n: n.op.data.array for n in graph.nodes if isinstance(n.op, Constant)}
        return Values(inputs, outputs, constants)


def _assemble_schedule(schedule: Schedule, target: Target) -> Executable:
    """A te schedule as an executable: its inputs in, its outputs out."""
    verify(schedule.start)
    if symbols := size_vars(schedule.start):
        raise CodegenError(
            f"compile({schedule.start.name})",
            f"expected extents that are numbers, got {', '.join(map(str, symbols))}",
            where=str(schedule.start),
            hint="minicc.build(s, args) makes a function that takes sizes from its arrays",
        )
    naive, program = schedule.start, finish(schedule.program)
    if calls := [s for s in walk(program.body) if isinstance(s, ExternCall)]:
        raise CodegenError(
            f"compile({program.name})",
            f"expected a program without functions from outside, got {calls[0].function}",
            where=str(program),
            hint="minicc.build(s, args) makes a function that calls them",
        )
    inputs: dict[Hashable, Port] = {b: Port(b.name, b.type) for b in program.params}
    outputs: list[tuple[Hashable, Port]] = [(b, Port(b.name, b.type)) for b in program.outputs]
    call = KernelCall(
        program,
        program.name,
        (*inputs, *program.outputs),
        operations(naive),
        touched(naive),
        {"trace": lambda: str(schedule.trace)},
    )
    return load(assemble(program.name, [call], Values(inputs, outputs, {}), target))


class _Clock:
    """Adds up the seconds of each named piece of work."""

    def __init__(self, times: dict[str, float]) -> None:
        self.times = times

    def time(self, name: str, work: Callable[[], T]) -> T:
        started = time.perf_counter()
        try:
            return work()
        finally:
            self.times[name] = self.times.get(name, 0.0) + time.perf_counter() - started
