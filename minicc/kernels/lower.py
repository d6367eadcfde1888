"""One kernel from sub-graph to scheduled loop program: te, the naive program, its schedule, the loop passes.

In: a `Kernel`, a target. Out: a `LoweredKernel`, with each of these on the way.

    made = lower_kernel(kernel, target)
    print(made.expressions, made.naive, made.scheduled, made.program)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minicc import tensor as te
from minicc.errors import Task
from minicc.graph.ir import Kernel
from minicc.ir.node import replace
from minicc.ir.open_tasks import stands_in
from minicc.ir.passes import Event, Observer, Pass, run_passes, stage
from minicc.loop.cut_vectors import cut_vectors
from minicc.loop.ir import Buffer
from minicc.loop.lower import lower as lower_tensors
from minicc.loop.place_buffers import place_buffers
from minicc.loop.place_init import place_init
from minicc.loop.program import Program
from minicc.loop.remove_unread import remove_unread
from minicc.loop.shares import shares
from minicc.loop.simplify_loops import simplify_loops
from minicc.loop.verify import verify
from minicc.loop.widen_floats import widen_floats
from minicc.recipes.registry import Scheduled, scheduled
from minicc.schedule import Schedule, Trace
from minicc.schedule.nest import map_accesses
from minicc.schedule.step import INSTEAD
from minicc.schedule.tidy import tidy
from minicc.target import Target
from minicc.tensor.expr import Expr
from minicc.tensor.tensor import tensors_of
from minicc.types import Subtensor

Given = Trace | Mapping[str, int] | None  # what is known of a schedule: all steps, some choices, or nothing
LOOP_PASSES: tuple[Pass[Program], ...] = (
    Pass("place init", place_init,
         "a reduction is one statement while it is scheduled; now its initialisation gets a place", "every store is plain", None),
    Pass("widen floats", widen_floats,
         "16-bit floats are a storage format", "arithmetic on them is done in float32", None),
    Pass("simplify loops", simplify_loops,
         "guards and indices that the steps before have made provable", "nothing is checked that is known"),
    Pass("cut vectors", cut_vectors,
         "after loops of one iteration are gone", "vectors are powers of two of lanes"),
    Pass("place buffers", place_buffers,
         "last: it looks at every index", "every buffer has its place, and code generation decides nothing", None),
)  # fmt: skip


@dataclass(frozen=True)
class LoweredKernel:
    """One distinct kernel on its way: its expressions, its naive program, its schedule, its final program."""

    output: te.Tensor
    naive: Program
    scheduled: Scheduled
    program: Program

    @property
    def expressions(self) -> str:
        return "\n".join(str(t.op) for t in tensors_of(self.output))

    def explained(self, threads: int) -> str:
        """The recipe, the reason and the steps; then how parallel loops are shared among up to so many threads."""
        return f"{self.scheduled}\n{shares(self.program, threads)}".rstrip()


def lower_kernel(
    kernel: Kernel,
    target: Target,
    passes: Sequence[Pass[Program]] = LOOP_PASSES,
    observe: Observer | None = None,
    progress: tuple[int, int] = (0, 0),
    given: Given = None,
) -> LoweredKernel:
    """From sub-graph to scheduled loop program; `progress` is what the observer is told of it.

    By the trace that is `given`, or by the first recipe that matches, with the choices that are.
    """
    label, (done, total) = kernel.label, progress
    names = zip(kernel.body.inputs, kernel.body.input_names, strict=True)
    inputs = [te.placeholder(n.shape, n.dtype, name) for n, name in names]
    output = kernel.compute(*inputs)
    naive = stage(observe, Event("lower", label, kernel.body, None, done, total), _naive, output, inputs, label)
    begin = Event("schedule", label, naive, None, done, total)
    made = stage(observe, begin, _scheduled, naive, target, given)
    if INSTEAD.get():  # nobody knows how good they are
        verify(made.schedule.program)
    program = place_arguments(finish(made.schedule.program, passes, observe), kernel.within)
    return LoweredKernel(output, naive, made, program)


def _naive(output: te.Tensor, inputs: Sequence[te.Tensor], label: str) -> Program:
    return remove_unread(tidy(lower_tensors([output], [*inputs, output], label).program))


def _scheduled(naive: Program, target: Target, given: Given) -> Scheduled:
    """By a trace or a recipe; the naive loops where these take a part that is open."""
    try:
        return scheduled(naive, target, given)
    except Task as task:
        stands_in(task, f"the naive loops of {naive.name}")
        return Scheduled(Schedule(naive), "none", f"{task.call} is open")


def place_arguments(program: Program, within: Sequence[Subtensor | None]) -> Program:
    """A finished program whose inputs and output are these parts of larger tensors, where they are."""
    made = {
        old: (replace(old, shape=whole.shape), whole.starts)
        for old, whole in zip((*program.params, *program.outputs), within, strict=False)
        if whole
    }

    def access(old: Buffer, at: Sequence[Expr]) -> tuple[Buffer, tuple[Expr, ...]]:
        if old not in made:
            return old, tuple(at)
        new, starts = made[old]
        return new, tuple([i + start for i, start in zip(at, starts, strict=True)])

    params, outputs = (
        tuple(made[b][0] if b in made else b for b in part) for part in (program.params, program.outputs)
    )
    return (
        replace(program, params=params, outputs=outputs, body=map_accesses(program.body, access)) if made else program
    )


def finish(program: Program, passes: Sequence[Pass[Program]] = LOOP_PASSES, observe: Observer | None = None) -> Program:
    """A scheduled program made ready for codegen: all loop passes."""
    return run_passes(passes, program, observe, program.name)
