"""The picture of one stage of a compilation: of a graph, of its plan of memory, of a kernel's expressions, loops, schedule, trace.

In: a model that is loaded, the name of a stage, and of a kernel where the stage is one of kernels. Out: its picture.

    save(stage_picture(minicc.load("model.onnx"), "fused", None, Target.of("native")), Path("fused.html"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minicc.compile import compile
from minicc.errors import ConfigError
from minicc.explain.explored import ExploredKernel, GraphStages, explore_model
from minicc.explain.page import Pictures, Plate
from minicc.explain.picture import Picture
from minicc.graph.ir import Graph
from minicc.ir.passes import Observer, both
from minicc.target import Target

OF_KERNELS: Mapping[str, Callable[[ExploredKernel], Any]] = {
    "te": lambda kernel: kernel.lowered and kernel.lowered.output,
    "naive": lambda kernel: kernel.schedule.start,
    "schedule": lambda kernel: kernel.schedule,
    "trace": lambda kernel: kernel.schedule.trace,
    "loop": lambda kernel: kernel.programs[-1].program,
}  # what is drawn of a kernel
PICTURED = ("graph", "fused", "memory", *OF_KERNELS)


def stage_picture(
    model: Graph, stage: str, kernel: str | None, target: Target, observe: Observer | None = None, **options: Any
) -> Picture | Pictures:
    """The picture of a stage of the compilation of `model` with these options of `compile`.

    Raises what `compile` raises, and ConfigError for a stage that has no picture, for a kernel that the model does not have,
    and when the stage is one of kernels, and it has several.
    """
    if stage not in PICTURED:
        problem = f"expected a stage that has a picture, got {stage!r}"
        raise ConfigError(f"--stage {stage} --picture", problem, hint=f"one of {', '.join(PICTURED)}")
    if stage in OF_KERNELS or (kernel is not None and stage != "memory"):
        found = _kernel(model, kernel, stage, target, observe, options)
        held = found.kernel.body if found.kernel and stage in ("graph", "fused") else OF_KERNELS[stage](found)
        shown: Picture | Pictures = held.picture()
        return shown
    stages = GraphStages(target)
    made = compile(model, target, observe=both(stages, observe) if observe else stages, cache=True, **options)
    if stage == "memory":
        plan: Picture | Pictures = made.memory_plan.picture()
        return plan
    graphs = [s.after for s in stages if s.name == "bind"] if stage == "graph" else stages.last
    return joined([graph.picture() for graph in graphs])


def joined(shown: list[Picture | Pictures]) -> Picture | Pictures:
    """Several pictures, or what is several already, as one of these."""
    if len(shown) == 1:
        return shown[0]
    plates = [plate for s in shown for plate in (s.sections if isinstance(s, Pictures) else [Plate(s.title, s)])]
    title = shown[0].title if shown else "nothing to draw before a call"
    return Pictures(title, " ".join(s.words for s in shown), plates)


def _kernel(
    model: Graph, name: str | None, stage: str, target: Target, observe: Observer | None, options: Mapping[str, Any]
) -> ExploredKernel:
    """The one kernel of a name, or the only one."""
    found = explore_model(model, target, observe, only=name, **options).kernels
    if len(found) != 1:
        names = ", ".join(k.name for k in found)
        problem = f"expected the name of a kernel for a picture of this stage, got none for {len(found)} kernels"
        raise ConfigError(f"--stage {stage} --picture", problem, f"kernels: {names}", "--kernel NAME")
    return found[0]
