"""The kernels of a model as machine code: from the cache, or compiled, by several processes where there are many.

In: distinct kernels, a target, and what is known of their schedules. Out: a `ReadyKernel` for each. What the cache has
is neither lowered nor scheduled; its texts are made when they are asked for.

    ready = compile_kernels(kernels, target)
    ready[kernel].compiled.code.object, ready[kernel].lowered().scheduled
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count

from minicc import config
from minicc.graph.ir import Kernel
from minicc.ir.passes import Event, Observer, Pass, stage
from minicc.ir.open_tasks import any_open
from minicc.kernels.key import kernel_key
from minicc.kernels.lower import LOOP_PASSES, Given, LoweredKernel, lower_kernel
from minicc.kernels.workers import spread
from minicc.loop.cost import operations, touched
from minicc.loop.program import Program
from minicc.runtime.assemble import CompiledKernel, compile_program
from minicc.runtime.kernel_cache import KernelCode, kernel_cache
from minicc.target import Target, available_threads

MANY = 8  # kernels to compile for each process: with fewer, starting it takes longer than it saves
THERE = "minicc.kernels.compile_kernels:compiled_code"
Task = tuple[Kernel, Target, Given]


@dataclass(frozen=True)
class ReadyKernel:
    """Machine code of a kernel, whether the cache had it, and what makes its earlier stages."""

    compiled: CompiledKernel
    found: bool
    lowered: Callable[[], LoweredKernel]


def compile_kernels(
    kernels: Sequence[Kernel],
    target: Target,
    passes: Sequence[Pass[Program]] = LOOP_PASSES,
    observe: Observer | None = None,
    given: Mapping[Kernel, Given] | None = None,
    cached: bool = True,
) -> dict[Kernel, ReadyKernel]:
    """Machine code of each kernel. With `cached`, what was compiled before is found, and what is new is kept.

    Without it, the observer is told of every stage of every kernel.
    """
    tasks: list[Task] = [(kernel, target, (given or {}).get(kernel)) for kernel in kernels]
    keys = [kernel_key(*task) if cached and tuple(passes) == LOOP_PASSES else None for task in tasks]
    by_key = {key: task for key, task in zip(keys, tasks, strict=True) if key is not None}
    total = 2 * (len(by_key) + keys.count(None))  # each is lowered, then emitted
    codes, found = stage(observe, Event("kernels"), _found_or_compiled, by_key, total, observe) if by_key else ({}, {})
    ready, done = {}, len(by_key)
    for key, task in zip(keys, tasks, strict=True):
        if key is None:
            ready[task[0]] = _watched(task, passes, observe, (done, total))
            done += 1
        else:
            lowered = cache(partial(lower_kernel, task[0], target, given=task[2]))
            compiled = CompiledKernel(task[0].label, codes[key], partial(_program, lowered), target)
            ready[task[0]] = ReadyKernel(compiled, key in found, lowered)
    return ready


def _found_or_compiled(
    tasks: Mapping[str, Task], total: int, observe: Observer | None
) -> tuple[dict[str, KernelCode], frozenset[str]]:
    """The code for each key, and those that the cache had."""
    kept = kernel_cache()
    codes = {key: code for key in tasks if kept and (code := kept.find(key))}
    found, done = frozenset(codes), count(len(codes) + 1)

    def told(task: Task) -> None:
        if observe:
            observe(Event("compile", task[0].label, done=2 * next(done), total=total))

    new = {key: task for key, task in tasks.items() if key not in codes}
    workers = min(len(new) // MANY, (config.jobs() or available_threads()) - 1)
    codes |= zip(new, spread(list(new.values()), workers, compiled_code, THERE, told), strict=True)
    if kept and not any_open():
        for key in new:
            kept.keep(key, codes[key])
    return codes, found


def compiled_code(task: Task) -> KernelCode:
    """The machine code of one kernel."""
    kernel, target, given = task
    return _code(kernel, lower_kernel(kernel, target, given=given), target)


def _code(kernel: Kernel, made: LoweredKernel, target: Target) -> KernelCode:
    code = compile_program(made.program, target).code
    return replace(code, flops=operations(made.naive), bytes=touched(made.naive), effective=kernel.effective())


def _program(lowered: Callable[[], LoweredKernel]) -> Program:
    return lowered().program


def _watched(
    task: Task, passes: Sequence[Pass[Program]], observe: Observer | None, progress: tuple[int, int]
) -> ReadyKernel:
    """A kernel compiled here, with an observer of every stage."""
    (kernel, target, given), (done, total) = task, progress
    made = lower_kernel(kernel, target, passes, observe, (2 * done, total), given)
    code = stage(
        observe, Event("emit", kernel.label, made.program, done=2 * done + 1, total=total), _code, kernel, made, target
    )
    return ReadyKernel(CompiledKernel(kernel.label, code, lambda: made.program, target), False, lambda: made)
