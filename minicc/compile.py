"""The whole pipeline, as a table of contents: read this first.

    file -> frontend -> graph -> graph passes -> kernels -> te -> loop program -> schedule
         -> loop passes -> LLVM -> machine code -> Executable

A model goes through four rooms. In the graph room it says what to compute: passes simplify it and group its operators
into kernels. Each distinct kernel then becomes tensor expressions, a naive loop program, a scheduled one, and LLVM.
`pipeline(target)` lists the passes; every stage can be printed (`exe.stages`), watched (`compile(..., observe=)`), verified
and run. Kinds of targets that are no processor have code generators of their own, in GENERATORS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from minicc import frontend
from minicc import tensor as te
from minicc.config import MOST_THREADS
from minicc.errors import CodegenError, ConfigError, LoadError, ScheduleError, Task, nearest
from minicc.graph.absorb_views import absorb_views
from minicc.graph.bind import bind, runtime_operands
from minicc.graph.choose_layouts import choose_layouts
from minicc.graph.eliminate_dead_code import eliminate_dead_code
from minicc.graph.expand_composites import expand_composites
from minicc.graph.fold_constants import fold_constants
from minicc.graph.fuse import fuse, fuse_nothing
from minicc.graph.fuse_attention import fuse_attention
from minicc.graph.gate_weights import gate_weights
from minicc.graph.ir import Constant, Graph, Kernel
from minicc.graph.merge_common_subexpressions import merge_common_subexpressions
from minicc.graph.pack_weights import pack_weights
from minicc.graph.share_storage import Home, homes, placed, share_storage
from minicc.graph.quantize_products import quantize_products
from minicc.graph.simplify_graph import simplify_graph
from minicc.graph.split_stages import is_open
from minicc.graph.resize_later import resize_later
from minicc.ir.node import replace as replace_node
from minicc.ir.open_tasks import gathered
from minicc.ir.passes import Event, CompileReport, Observer, Pass, Times, both, changed, run_passes, stage
from minicc.loop.cost import operations, touched
from minicc.loop.ir import ExternCall, walk
from minicc.loop.program import Program
from minicc.loop.ranges import size_vars
from minicc.loop.verify import verify
from minicc.ops.base import Operator
from minicc.recipes.registry import Recipe
from minicc.kernels.compile_kernels import ReadyKernel, compile_kernels
from minicc.kernels.generators import found
from minicc.kernels.given import Schedules, schedules_of
from minicc.kernels.lower import LOOP_PASSES, finish
from minicc.kernels.replacements import Replacements
from minicc.kernels.stages import by_reference, referenced, staged
from minicc.kernels.lower import lower_kernel as lower_kernel
from minicc.runtime import memory
from minicc.runtime.assemble import KernelCall, Values, assemble
from minicc.runtime.executable import Executable, load
from minicc.runtime.function import CpuFunction, Function
from minicc.runtime.image import Port
from minicc.runtime.kernel_cache import kernel_cache
from minicc.runtime.specialize import ResizingExecutable, SpecializingExecutable, Variants
from minicc.schedule import Schedule
from minicc.schedule.step import Primitive
from minicc.schedule.te_schedule import TeSchedule
from minicc.target import Target
from minicc.types import float32


def graph_passes(target: Target) -> tuple[Pass[Graph], ...]:
    """The passes over a bound graph, in order."""
    simplify, absorb = partial(simplify_graph, exact=target.exact), partial(absorb_views, exact=target.exact)
    return (
        Pass("resize later", partial(resize_later, exact=target.exact),
             "before Resize is expanded", "pointwise convolutions work on small images"),
        Pass("expand composites", expand_composites,
             "early: what follows knows only operators that have kernels", "no composite is left", None),
        Pass("quantize products", partial(quantize_products, exact=target.exact),
             "before dequantised weights are folded", "integers are multiplied, and scaled in epilogues"),
        Pass("fold constants", fold_constants,
             "before simplification: its rules look for constant operands", "what depends on constants alone is one"),
        Pass("simplify", simplify,
             "BatchNorm becomes Mul and Add, these move into weights, views cancel", "no rule applies"),
        Pass("merge common subexpressions", merge_common_subexpressions,
             "after simplification: rules make equal things that were written differently", "equal values are one node"),
        Pass("fuse attention", partial(fuse_attention, lanes=target.lanes(float32)),
             "before products are packed one by one", "no matrix of scores is stored"),
        Pass("absorb views", absorb,
             "before convolutions are packed: they pad themselves", "no view is between a product and its epilogue"),
        Pass("gate weights", partial(gate_weights, exact=target.exact),
             "before weights are packed", "no image is stored only to be scaled"),
        Pass("choose layouts", partial(choose_layouts, target=target),
             "after BatchNorm has moved into the weights", "convolutions, and what is between them, have channels last"),
        Pass("pack weights", partial(pack_weights, lanes=target.lanes(float32), bytes=target.multiplies_bytes),
             "before weights are folded for the last time", "products read their weights a vector at a time"),
        Pass("fold packed weights", fold_constants,
             "the packing of weights, the scaling of weights: computed now, once", "weights are constants again"),
        Pass("simplify views", absorb,
             "the views that layouts and packing brought", "no rule applies"),
        Pass("eliminate dead code", eliminate_dead_code,
             "what the passes before no longer read", "every node is needed for an output"),
        Pass("fuse", fuse,
             "from here on a node is a kernel", "every operator is in a kernel, or is a constant or a Reshape", fuse_nothing),
        Pass("share storage", partial(share_storage, lanes=target.lanes(float32)),
             "last: it is kernels that write and read", "no kernel only moves what can be written, or read, in its place"),
    )  # fmt: skip


class Pipeline(NamedTuple):
    """The passes of a compilation: over the graph, then over the program of each kernel."""

    graph: tuple[Pass[Graph], ...]
    loop: tuple[Pass[Program], ...]


# generators for devices do these in ways of their own
LEFT_TO_OTHERS = ("fuse attention", "choose layouts", "pack weights", "fuse", "share storage", "place buffers")
INEXACT = ("fuse attention", "choose layouts")  # these sum in another order
STAGES = ("bind", "lower", "schedule")  # what is no pass, and makes an IR


def pipeline(
    target: Target | str | Mapping[str, Any] = "native",
    *,
    without: Collection[str] = (),
    replace: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Pipeline:
    """The passes for a target, without those of some names, and with other functions for others.

    Raises ConfigError when there is no pass of a name.
    """
    machine, instead = Target.of(target), dict(replace or {})
    passes = graph_passes(machine)
    for name in (*without, *instead):
        check_stage(f"pipeline(..., {name!r})", name, [*(p.name for p in passes), *(p.name for p in LOOP_PASSES)])
    left_out = {*without, *(() if machine.is_cpu else LEFT_TO_OTHERS), *(INEXACT if machine.exact else ())}
    return Pipeline(changed(passes, left_out, instead), changed(LOOP_PASSES, left_out, instead))


def check_stage(call: str, name: str, known: Collection[str] = ()) -> None:
    """Raise ConfigError when a name is none of those known: of a pass, or of another stage that observers are told of."""
    passes = pipeline()
    names = known or [STAGES[0], *(p.name for p in passes.graph), *STAGES[1:], *(p.name for p in passes.loop)]
    if name not in names:
        near = nearest(name, names)
        hint = f"did you mean {near!r}?" if near else "give one of these names"
        raise ConfigError(call, f"expected the name of a pass, got {name!r}", where=", ".join(names), hint=hint)


# ---- models -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What one compilation is for, its passes, who watches it, and what is known of schedules of its kernels."""

    target: Target
    passes: Pipeline
    observe: Observer | None = None
    schedules: Schedules = field(default_factory=dict)
    cached: bool = False
    parts: Replacements = field(default_factory=Replacements)


def compile(
    model: Graph | TeSchedule | Schedule | str | Path | bytes | Any,
    target: Target | str | Mapping[str, Any] = "native",
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    dims: Mapping[str, int] | Literal["any"] | None = None,
    threads: int | None = None,
    exact: bool = False,
    observe: Observer | None = None,
    passes: Pipeline | None = None,
    schedules: Schedules | None = None,
    cache: bool | None = None,
    recipes: Sequence[Recipe] | None = None,
    operators: Mapping[str, type[Operator]] | None = None,
    primitives: Mapping[str, Primitive] | None = None,
) -> Executable:
    """Compile a model for `target`: a Target, or words such as `native`, `llvm -mcpu=haswell`, `cuda`, `emulated`.

    `model` is a Graph, the path or bytes of a model file, an `onnx.ModelProto`, or a te schedule. `input_shapes` gives
    whole shapes by input name, `dims` numbers for symbolic dimensions, or `"any"`, which leaves them to each call: the first one
    with new shapes compiles. `threads` is how many threads a call uses
    (default: all that we may use). `exact` asks for every operation as the model has it, rounded once, and sums in the plain
    order: the same bits on every processor and for any number of threads, for some loss of speed. `observe(event)` is told of every stage, before and after; `passes` are those of
    `pipeline(target)` if others are not given. `schedules` are traces to replay, or choices for recipes, of kernels or of all
    kernels of a label; kernels that the model does not have are passed over.
    With `cache`, kernels that were compiled before, in any process, are found on disk, and new ones are kept there; the
    default is to do so unless somebody observes, who then is told of every stage of every kernel.

    `recipes` are tried before minicc's own; `operators`, classes with equal fields, and `primitives`, functions of a program and
    a step, stand for those of their names. For what is a Task still, something slower stands in, as an OpenTaskWarning tells.

    An input whose value decides a shape (the shape of a Reshape, say) is bound when a call brings its first value: the
    executable then specialises itself, and keeps what it made.

    Raises LoadError, GraphError or TypeInferenceError when the model is not valid, LoopError when a schedule's program
    breaks a rule, TargetError for words without a meaning, ConfigError when `threads` is not a positive number, a name unknown.
    """
    started = time.perf_counter()
    machine = Target.of(target)
    if threads is not None:
        if not 1 <= threads <= MOST_THREADS:
            problem = f"expected 1 to {MOST_THREADS} threads, got {threads}"
            raise ConfigError(f"compile(threads={threads})", problem, hint="leave it out for all that we may use")
        machine = machine.with_threads(threads)
    if exact:
        machine = machine.rounding_all()
    times = Times()
    watched = times if observe is None else both(times, observe)
    parts = Replacements.of(recipes, operators, primitives)
    cached = (observe is None if cache is None else cache) and not parts
    job = Job(machine, passes or pipeline(machine), watched, schedules or {}, cached, parts)
    if isinstance(model, (TeSchedule, Schedule)):
        made = _compile_schedule(model.schedule if isinstance(model, TeSchedule) else model, job)
    else:
        loaded = model if isinstance(model, Graph) else stage(watched, Event("load"), frontend.load, model, keep=False)
        free = dims == "any" and bool(loaded.symbols) and not input_shapes
        given = {} if dims == "any" else dims or {}
        with gathered():
            made = _resizing(loaded, job) if free else _compile_model(loaded, job, given, input_shapes or {})
    made.compile_seconds = time.perf_counter() - started
    made.compile_report = replace(made.compile_report, seconds=dict(times))
    return made


def _compile_model(
    loaded: Graph,
    job: Job,
    dims: Mapping[str, int],
    shapes: Mapping[str, Sequence[int]],
    values: Mapping[str, Any] | None = None,
) -> Executable:
    graph = stage(job.observe, Event("bind", loaded.name, loaded), bind, loaded, dims, shapes, values or {})
    waiting = runtime_operands(graph)
    variant = partial(_specializing, loaded, graph, job, dims, shapes, waiting)
    made = variant(()) if waiting else _compile_bound(graph, job)
    if loaded.defaults:
        made.defaults, made.variant = tuple(loaded.defaults.types), Variants(variant)
    return made


def _compile_bound(graph: Graph, job: Job) -> Executable:
    """Raises TooLargeError where it could never be here."""
    _check_memory(graph)
    with gathered():
        if any(map(is_open, graph.nodes)):
            return staged(graph, partial(_compile_bound, job=job), job.target.threads, job.target.exact)
        return _compile_graph(graph, job) if job.target.is_cpu else _compile_elsewhere(graph, job)


def _check_memory(graph: Graph) -> None:
    """Refuse, before any work is done, a model whose own inputs, outputs and weights could never be here at once."""
    weights = [n for n in graph.nodes if isinstance(n.op, Constant)]
    kinds = (("inputs", graph.inputs), ("outputs", graph.outputs), ("weights", weights))
    needs = {kind: sum(n.type.bytes for n in nodes if n.inferred and n.inferred.is_bound) for kind, nodes in kinds}
    memory.check(f"compile({graph.name})", needs, memory.installed())


def _specializing(
    loaded: Graph,
    bound: Graph,
    job: Job,
    dims: Mapping[str, int],
    shapes: Mapping[str, Sequence[int]],
    waiting: Sequence[str],
    given: tuple[str, ...],
) -> SpecializingExecutable:
    """What compiles when a call brings the values of `waiting`, and of the defaults named `given`."""
    types = loaded.defaults.types if loaded.defaults else {}
    inputs = [Port(name, n.inferred) for name, n in zip(bound.input_names, bound.inputs, strict=True)]
    inputs += [Port(name, types[name]) for name in given]
    make = partial(_compile_model, loaded, job, dims, shapes) if given else partial(_compile_model, bound, job, {}, {})
    return SpecializingExecutable(bound.name, inputs, (*waiting, *given), job.target.threads, make)


def _resizing(loaded: Graph, job: Job) -> ResizingExecutable:
    """What compiles when a call brings new shapes."""
    inputs = [Port(name, n.type) for name, n in zip(loaded.input_names, loaded.inputs, strict=True)]
    names = tuple(loaded.defaults.types) if loaded.defaults else ()
    return ResizingExecutable(loaded.name, inputs, names, job.target.threads, partial(_compile_model, loaded, job, {}))


def optimize(
    graph: Graph, target: Target | str | Mapping[str, Any] = "native", observe: Observer | None = None
) -> Graph:
    """A bound graph after all graph passes of `pipeline(target)`: for a processor, the graph of kernels."""
    return run_passes(pipeline(target).graph, graph, observe, graph.name)


def _compile_elsewhere(graph: Graph, job: Job) -> Executable:
    """By the generator that is registered for the target's kind."""
    made = run_passes(job.parts.passes(job.passes.graph), graph, job.observe, graph.name)
    result: Executable = found(job.target, "model")(made, job.target, job.observe)
    return result


def _compile_graph(graph: Graph, job: Job) -> Executable:
    passes = job.parts.passes(job.passes.graph)
    fused = run_passes(passes, graph, job.observe, graph.name)
    try:
        return _assembled(fused, job, graph)
    except Task as task:
        apart = run_passes([p for p in passes if p.name != "share storage"], graph, job.observe, graph.name)
        return referenced(by_reference(apart, task), partial(_assembled, job=job), job.target.threads)


def _assembled(fused: Graph, job: Job, graph: Graph | None = None) -> Executable:
    home = homes(fused)
    nodes = [(n, placed(n, home)) for n in fused.nodes if isinstance(n.op, Kernel)]
    distinct = list(dict.fromkeys(kernel for _, kernel in nodes))
    given = schedules_of(distinct, job.schedules)
    with gathered(), job.parts.in_place():
        kernels = compile_kernels(distinct, job.target, job.passes.loop, job.observe, given, job.cached)
    calls = [_call(kernel, kernels[kernel], [home[v] for v in (*n.inputs, n)]) for n, kernel in nodes]
    inputs: dict[Hashable, Port] = {
        n: Port(name, n.type) for n, name in zip(fused.inputs, fused.input_names, strict=True)
    }
    outputs = [(home[n].node, Port(name, n.type)) for n, name in zip(fused.outputs, fused.output_names, strict=True)]
    constants: dict[Hashable, Any] = {n: n.op.data.array for n in fused.nodes if isinstance(n.op, Constant)}
    stages = {
        "graph": partial(_text, graph or fused),
        "fused": lambda: str(fused),
        "te": lambda: "\n\n".join(f"# {k.label}\n{made.lowered().expressions}" for k, made in kernels.items()),
    }
    values = Values(inputs, outputs, constants)
    cache = kernel_cache() if job.cached else None
    arguments = (fused.name, calls, values, job.target, stages, None, cache)
    image = stage(job.observe, Event("assemble", fused.name), assemble, *arguments)
    made = stage(job.observe, Event("link", fused.name), load, image)
    made.compile_report = CompileReport({}, len(kernels), sum(ready.found for ready in kernels.values()))
    return made


def _text(graph: Graph) -> str:
    """The graph as text, which names its weights by what is in them."""
    try:
        return str(graph)
    except LoadError as error:  # they stay in the model's file while it is compiled, and later
        return "\n".join(f"# {line}" for line in str(error).splitlines())


def _call(kernel: Kernel, ready: ReadyKernel, homes: Sequence[Home]) -> KernelCall:
    """A call on values at home there."""
    texts = {
        "graph": lambda: str(kernel.body),
        "te": lambda: ready.lowered().expressions,
        "naive": lambda: str(ready.lowered().naive),
        "trace": lambda: str(ready.lowered().scheduled.schedule.trace),
        "schedule": lambda: ready.lowered().explained(ready.compiled.target.threads),
    }
    code = ready.compiled.code
    arguments, offsets = tuple(h.node for h in homes), tuple(h.offset * h.node.dtype.bytes for h in homes)
    return KernelCall(ready.compiled, kernel.label, arguments, code.flops, code.bytes, code.effective, texts, offsets)


# ---- schedules by hand ------------------------------------------------------------------------------------------


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
        problem = "a schedule of a loop program has its arguments already, got others"
        hint = "leave args out, or schedule with te.create_schedule"
        raise ScheduleError("lower(s, args)", problem, where=str(s.program), hint=hint)
    return replace_node(s.program, name=name)


def build(
    s: TeSchedule | Schedule | Program,
    args: Sequence[te.Tensor] | None = None,
    target: Target | str | Mapping[str, Any] = "native",
    name: str = "main",
) -> Function:
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
    machine = Target.of(target)
    if machine.is_cpu:
        return CpuFunction(program, finish(program), order, machine)
    made: Function = found(machine, "function")(program, order, machine)
    return made


def _compile_schedule(schedule: Schedule, job: Job) -> Executable:
    """A te schedule as an executable: its inputs in, its outputs out."""
    verify(schedule.start)
    naive, program = schedule.start, finish(schedule.program, job.passes.loop)
    got = f"extents that are numbers, got {', '.join(map(str, size_vars(naive)))}" if size_vars(naive) else ""
    if calls := [s for s in walk(program.body) if isinstance(s, ExternCall)]:
        got = got or f"a program without functions from outside, got {calls[0].function}"
    if not job.target.is_cpu:
        got = got or f"a graph for {job.target.kind}, got a schedule"
    if got:
        hint = "minicc.build(s, args) makes a function, which takes sizes from its arrays, calls others, and runs on devices"
        raise CodegenError(f"compile({naive.name})", f"expected {got}", where=str(naive), hint=hint)
    inputs: dict[Hashable, Port] = {b: Port(b.name, b.type) for b in program.params}
    outputs = [(b, Port(b.name, b.type)) for b in program.outputs]
    texts = {"trace": lambda: str(schedule.trace)}
    arguments = (*program.params, *program.outputs)
    call = KernelCall(program, program.name, arguments, operations(naive), touched(naive), stages=texts)
    return load(assemble(program.name, [call], Values(inputs, outputs, {}), job.target))
