"""All stages of one compilation, as data that a page or a server shows.

In: a model and a target, or a schedule. Out: an `Explored`: the passes over the graph, each with the graph before and
after; the distinct kernels, each with its schedule, and its texts down to assembly; the calls of these in order, with
their times where the model was run. It watches a compilation as any observer does; passes know nothing of it.

>>> from minicc.schedule.examples import row_sums
>>> s = row_sums(64, 8)
>>> s.parallel("i")
>>> (kernel,) = explore_schedule("sums", s, Target.of("haswell")).kernels
>>> [stage.name for stage in kernel.programs][:3], list(kernel.listings)
(['naive', 's.parallel("i")', 'place init'], ['LLVM', 'assembly'])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from minicc.compile import build, compile, lower, pipeline
from minicc.errors import ConfigError, nearest, printable
from minicc.explain.draw_schedule import programs
from minicc.explain.lines import Listing, line_map
from minicc.graph.ir import Graph, Kernel, Node
from minicc.graph.share_storage import homes, placed
from minicc.ir.node import replace
from minicc.ir.passes import Event, Observer, both, run_passes, stage
from minicc.kernels.lower import LOOP_PASSES, LoweredKernel, lower_kernel
from minicc.loop.program import Program
from minicc.runtime.assemble import unique_symbol
from minicc.runtime.executable import Executable
from minicc.runtime.plan import ArenaPlan
from minicc.runtime.profile import Profile, profile
from minicc.runtime.specialize import SpecializingExecutable
from minicc.schedule import Schedule
from minicc.schedule.te_schedule import TeSchedule
from minicc.target import Target
from minicc.tensor.tensor import tensors_of

BIND = "first: sizes and values that are given; then the types of all nodes are known"


@dataclass(frozen=True)
class GraphStage:
    """A pass over a graph, with the graph before and after it."""

    name: str
    why: str
    before: Graph
    after: Graph
    seconds: float


@dataclass(frozen=True)
class ProgramStage:
    """A loop program, and what made it: a step, as Python, or a pass, with its reason."""

    name: str
    program: Program
    why: str = ""


@dataclass(frozen=True)
class ExploredKernel:
    """A distinct kernel, or a schedule `by_hand`: its expressions, its schedule, what loop passes made, its listings."""

    name: str
    te: Sequence[str]
    schedule: Schedule
    passes: Sequence[ProgramStage]
    listings: Mapping[str, Listing]  # by the name of their language
    recipe: str = ""
    reason: str = ""  # why that recipe
    kernel: Kernel | None = None
    lowered: LoweredKernel | None = None
    by_hand: TeSchedule | None = None

    @cached_property
    def programs(self) -> list[ProgramStage]:
        """The naive program, that after each step, and that after each pass."""
        names = ["naive", *map(str, self.schedule.trace)]
        made = [ProgramStage(*each) for each in zip(names, programs(self.schedule), strict=True)]
        return [*made, *self.passes]


@dataclass(frozen=True)
class ExploredCall:
    """A call: its place in the order, the number of its kernel, the node of the graph of kernels that it is for, its seconds."""

    place: int
    kernel: int
    node: Node
    graph: Graph
    seconds: float | None = None


@dataclass(frozen=True)
class Explored:
    """One compilation. `texts` are of the whole model, by their names: its plan of memory, the code for a device.

    `memory` is that plan; `profile` is there where the model was run.
    """

    title: str
    target: Target
    kernels: Sequence[ExploredKernel]
    model: Graph | None = None
    stages: Sequence[GraphStage] = ()
    calls: Sequence[ExploredCall] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    memory: ArenaPlan | None = None
    profile: Profile | None = None


class GraphStages(list[GraphStage]):
    """An observer that keeps the passes over graphs."""

    def __init__(self, target: Target) -> None:
        super().__init__()
        passes = pipeline(target).graph
        self._why = {"bind": BIND} | {p.name: f"{p.why}; then {p.ensures}" for p in passes}
        self._last, self._begun = passes[-1].name, dict[str, Any]()

    def __call__(self, event: Event) -> None:
        if event.stage in self._why and event.seconds is None:
            self._begun[event.stage] = event.ir
        elif event.stage in self._why:
            before = self._begun.pop(event.stage)
            self.append(GraphStage(event.stage, self._why[event.stage], before, event.ir, event.seconds or 0.0))

    @property
    def last(self) -> list[Graph]:
        """What the passes come to: several graphs where data decide what follows."""
        return [stage.after for stage in self if stage.name == self._last]


def explore_model(
    model: Graph,
    target: Target,
    observe: Observer | None = None,
    only: str | None = None,
    run: Callable[[Executable], Mapping[str, Any]] | None = None,
    **options: Any,
) -> Explored:
    """The compilation of a model with these options of `compile`; of its kernels `only` the one of a name, where it is given.

    `run` gives arrays for the inputs by name, to time each kernel with. Raises what `compile` raises, and ConfigError where values
    of inputs decide shapes, so that nothing can be compiled before a call, or when no kernel has the name.
    """
    stages = GraphStages(target)
    made = compile(model, target, observe=both(stages, observe) if observe else stages, cache=True, **options)
    if isinstance(made, SpecializingExecutable) and not made.kernels:
        problem = (
            f"expected a model whose shapes are known, got one in which values decide them: {', '.join(made.waiting)}"
        )
        raise ConfigError(f"explore {model.name}", problem, hint="minicc run compiles it, with --inputs FILE.npz")
    measured = profile(made, [arrays[port.name] for arrays in [run(made)] for port in made.inputs]) if run else None
    found = [(n, graph, placed(n, at)) for graph in stages.last for at in [homes(graph)] for n in graph.nodes
             if isinstance(n.op, Kernel)]  # fmt: skip
    known = [info.label for info in made.kernels] == [kernel.label for *_, kernel in found]
    infos = made.kernels if known else []  # of several stages only those of the last call are known
    symbols = _symbols([kernel for *_, kernel in found], [info.symbol for info in infos])
    distinct = {symbol: kernel for kernel, symbol in reversed(symbols.items())}
    names = _chosen(only, list(reversed(distinct)))
    lowering = target if options.get("threads") is None else target.with_threads(options["threads"])
    lowering = lowering.rounding_all() if options.get("exact") else lowering
    kernels = [_kernel(name, distinct[name], lowering, observe, (k, len(names))) for k, name in enumerate(names)]
    seconds = dict(enumerate(measured.seconds if measured and known else ()))
    calls = [ExploredCall(k, names.index(symbols[kernel]), n, graph, seconds.get(k))
             for k, (n, graph, kernel) in enumerate(found) if symbols[kernel] in names]  # fmt: skip
    texts = {name: made.stages[name] for name in ("memory", "cuda") if name in made.stages}
    return Explored(model.name, lowering, kernels, model, stages, calls, texts, made.memory_plan, measured)


def _symbols(kernels: Sequence[Kernel], known: Sequence[str]) -> dict[Kernel, str]:
    """The name of each distinct kernel: that which it has in the image, as far as it is known."""
    found = dict(zip(kernels, known, strict=False))
    for kernel in kernels:
        if kernel not in found:
            found[kernel] = unique_symbol(kernel.label, found.values())
    return found


def _chosen(only: str | None, names: Sequence[str]) -> Sequence[str]:
    """All names, or `only` one. Raises ConfigError when it is none of them."""
    if only is None or only in names:
        return names if only is None else [only]
    hint = f"did you mean {near!r}?" if (near := nearest(only, names)) else "one of these"
    where = f"kernels: {', '.join(names) or 'none'}"
    raise ConfigError(f"--kernel {printable(only)}", f"expected the name of a kernel, got {only!r}", where, hint)


def _kernel(
    name: str, kernel: Kernel, target: Target, observe: Observer | None, progress: tuple[int, int]
) -> ExploredKernel:
    """All texts of a kernel."""
    return stage(observe, Event("texts", name, None, None, *progress), _texts_of, name, kernel, target)


def _texts_of(name: str, kernel: Kernel, target: Target) -> ExploredKernel:
    passes = ProgramStages()
    lowered = lower_kernel(kernel, target, observe=passes)
    program = replace(lowered.program, name=name)
    if any(kernel.within):
        passes.append(ProgramStage("place arguments", lowered.program, "they are parts of larger tensors"))
    scheduled = lowered.scheduled
    return ExploredKernel(
        name, lowered.expressions.split("\n"), scheduled.schedule, passes, listings(program, target), scheduled.recipe,
        scheduled.reason, kernel, lowered,
    )  # fmt: skip


class ProgramStages(list[ProgramStage]):
    """An observer that keeps the programs that loop passes made."""

    def __call__(self, event: Event) -> None:
        why = {p.name: f"{p.why}; then {p.ensures}" for p in LOOP_PASSES}
        if event.stage in why and event.seconds is not None:
            self.append(ProgramStage(event.stage, event.ir, why[event.stage]))


def listings(program: Program, target: Target) -> dict[str, Listing]:
    """LLVM and assembly of a program that all passes of `loop` have seen."""
    found = line_map(program, target)
    return {"LLVM": found.llvm, "assembly": found.asm}


def explore_schedule(name: str, s: Schedule | TeSchedule, target: Target, observe: Observer | None = None) -> Explored:
    """A schedule by hand. Raises what `lower` and `build` raise."""
    passes = ProgramStages()
    program = run_passes(LOOP_PASSES, lower(s), both(passes, observe) if observe else passes)
    if target.is_cpu:
        made = listings(replace(program, name=unique_symbol(name)), target)
    else:
        lines = tuple(build(s, target=target).source().splitlines())
        made = {"CUDA C++": Listing(lines, (0,) * len(lines), ())}
    by_hand = s if isinstance(s, TeSchedule) else None
    te = [str(t.op) for t in tensors_of(*by_hand.outputs)] if by_hand else []
    schedule = s.schedule if isinstance(s, TeSchedule) else s
    return Explored(name, target, [ExploredKernel(name, te, schedule, passes, made, by_hand=by_hand)])
