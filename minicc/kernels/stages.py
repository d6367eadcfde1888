"""A graph in which data decide shapes, branches or trips becomes an executable of stages (`runtime.staged`).

In: a bound graph with open nodes, and `make`, which compiles a graph. Out: a `StagedExecutable`. What data do not decide
is compiled here; what they decide, when a call brings them, for the types that there are then: the rest of the graph, the
branch that is taken, the body of a loop. The body of a loop whose carried values grow is compiled as far as its types are
fixed, and interpreted beyond, as each trip has types of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.errors import Task
from minicc.graph.control import Control, Loop
from minicc.graph.interpret import compute
from minicc.graph.ir import Constant, Graph, Kernel, Node
from minicc.graph.resolve import Resolver, stand_in
from minicc.graph.split_stages import is_light, is_open, split_stages
from minicc.graph.transform import same, transform
from minicc.ir.arrays import Array
from minicc.ir.node import node
from minicc.ir.open_tasks import stands_in
from minicc.ops.sequence import SequenceConstruct
from minicc.runtime import memory
from minicc.runtime.executable import Executable
from minicc.runtime.image import Port
from minicc.runtime.staged import ByTypes, Compiled, Runner, StagedExecutable, Action, leaves

Make = Callable[[Graph], Executable]


def always(n: Node) -> bool:
    """Whether to interpret a node that need not be: yes."""
    return True


def never(n: Node) -> bool:
    """Whether to interpret a node that need not be: no."""
    return False


def staged(
    graph: Graph, make: Make, threads: int, exact: bool = False, light: Callable[[Node], bool] = is_light
) -> StagedExecutable:
    """The executable of a graph with open nodes; `exact` interprets only what no kernel can be made of."""
    stages = split_stages(graph, never if exact and light is is_light else light)
    held = [n for n in graph.nodes if isinstance(n.op, Constant)]
    number = {n: k for k, n in enumerate((*graph.inputs, *held))}
    steps: list[Action] = []

    def add(name: str, run: Runner, reads: Sequence[Node], writes: Sequence[Node], where: str = "") -> None:
        for n in writes:
            number[n] = len(number)
        steps.append(Action(name, run, tuple([number[n] for n in reads]), tuple([number[n] for n in writes]), where))

    if stages.first is not None:
        compiled = Compiled(partial(make, stages.first), whole=True)
        compiled.executable  # noqa: B018  # made now, while the model is compiled
        add("the first stage", compiled, stages.first.inputs, stages.first.outputs)
    for n in stages.interpreted:
        run: Runner = Reference(n)
        reads = n.inputs
        if isinstance(n.op, Control):
            reads = tuple([i for i in n.inputs if not isinstance(i.op, Constant)])
            run = ByTypes(partial(_controlled, n, make, threads, exact))
            if isinstance(n.op, Loop) and all(i.inferred for i in reads):  # its body is sure to be needed: now
                run.made([np.broadcast_to(np.zeros((), i.dtype.numpy), i.shape) for i in reads])
        add(n.op.name, run, reads, [n], graph.where(n))
    if stages.rest is not None:
        inside = dict(zip(stages.rest.output_names, stages.rest.outputs, strict=True))
        ends = [n for name, n in zip(graph.output_names, graph.outputs, strict=True) if name in inside]
        add("the last stage", ByTypes(partial(_typed, stages.rest, make)), stages.taken, list(dict.fromkeys(ends)))
    inputs = [Port(name, n.inferred) for name, n in zip(graph.input_names, graph.inputs, strict=True)]
    outputs = [Port(name, n.inferred) for name, n in zip(graph.output_names, graph.outputs, strict=True)]
    arrays, results = [n.array for n in held], [number[n] for n in graph.outputs]
    return StagedExecutable(
        graph.name, inputs, outputs, arrays, steps, results, threads, {"graph": partial(str, graph)}
    )


@node
class KernelByReference(Kernel):
    """A kernel of which no code can be made: the reference of its operators is run."""

    interpreted: ClassVar[bool] = True


def by_reference(graph: Graph, task: Task) -> Graph:
    """A graph of kernels, where those of which an operator has an open `compute` are run by reference.

    Raises the task, which was met when they were compiled, unless there are such.
    """
    found: dict[Kernel, KernelByReference] = {}
    for kernel in dict.fromkeys(n.op for n in graph.nodes if isinstance(n.op, Kernel)):
        try:
            kernel.compute(*[te.placeholder(n.shape, n.dtype) for n in kernel.body.inputs])
        except Task as met:
            found[kernel] = KernelByReference(kernel.label, kernel.body, kernel.within)
            stands_in(met, f"the reference of {kernel.label}")
    if not found:
        raise task

    def change(n: Node, inputs: tuple[Node, ...]) -> Node:
        return found[n.op](*inputs) if isinstance(n.op, Kernel) and n.op in found else same(n, inputs)

    return transform(graph, change)


def referenced(graph: Graph, make: Make, threads: int) -> Executable:
    """The executable of a graph of kernels, some of which are run by reference; `make` compiles a graph of the others."""
    if not any(map(is_open, graph.nodes)):
        return make(graph)
    return staged(graph, partial(referenced, make=make, threads=threads), threads, light=never)


@dataclass(frozen=True)
class Reference:
    """Runs the reference of the operator of a node."""

    node: Node

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]:
        return (compute(self.node.op, values),)

    def latest(self) -> Iterator[tuple[Executable, Sequence[Array] | None]]:
        return iter(())


def _typed(graph: Graph, make: Make, values: Sequence[Any]) -> Runner:
    """What runs a graph on values of these types."""
    nodes = [stand_in(name, value) for name, value in zip(graph.input_names, values, strict=True)]
    return Compiled(partial(make, Resolver().typed(graph, nodes)[0]))


def _controlled(n: Node, make: Make, threads: int, exact: bool, values: Sequence[Any]) -> Runner:
    """What runs control flow on values of these types, constants among its inputs left out."""
    rest = iter(values)
    nodes = [i if isinstance(i.op, Constant) else stand_in(f"value{k}", next(rest)) for k, i in enumerate(n.inputs)]
    made = Resolver().resolve(n, tuple(nodes))
    inputs = tuple(_inputs(nodes))
    if isinstance(made.op, SequenceConstruct):  # it is decided
        body = Graph(n.op.name, inputs, made.inputs, tuple([f"result{k}" for k in range(len(made.inputs))]))
        return Results(Compiled(partial(make, body)))
    assert isinstance(made.op, Control)
    grows = isinstance(made.op, Loop) and made.op.grows
    each = partial(staged, make=make, threads=threads, exact=exact, light=always) if grows else make
    runs = [Compiled(partial(each, body), whole=True) for body in made.op.bodies]
    if isinstance(made.op, Loop):
        runs[0].executable  # noqa: B018  # made now
    where = {node: k for k, node in enumerate(inputs)}
    return Bodies(made.op, runs, tuple([_spec(i, where) for i in made.inputs]))


def _inputs(nodes: Sequence[Node]) -> Iterator[Node]:
    """The inputs among nodes, and in sequences among them, in the order of `leaves`."""
    for n in nodes:
        if isinstance(n.op, SequenceConstruct):
            yield from _inputs(n.inputs)
        elif not isinstance(n.op, Constant) and n.inferred is not None:
            yield n


@dataclass(frozen=True)
class Results:
    """Runs decided control flow, whose value is the tuple of what it gives."""

    run: Compiled

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]:
        return (tuple(self.run(values)),)

    def latest(self) -> Iterator[tuple[Executable, Sequence[Array] | None]]:
        return self.run.latest()


@dataclass(frozen=True)
class Bodies:
    """Runs control flow whose types are known; `reads` says, for each of its inputs, which of the arrays it is."""

    op: Control
    runs: Sequence[Compiled]
    reads: Sequence[Any]

    def __call__(self, values: Sequence[Any]) -> Sequence[Any]:
        found = list(leaves(values))
        given = [_read(spec, found) for spec in self.reads]
        if pending := len(self.op.pending):
            return (self.op.bind(given[-pending:]).run(self.runs, given[:-pending]),)
        return (self.op.run(self.runs, given, _room),)

    def latest(self) -> Iterator[tuple[Executable, Sequence[Array] | None]]:
        return (found for run in self.runs for found in run.latest())


def _room(size: int) -> None:
    """Raise TooLargeError unless there is room for what the trips of a loop scan."""
    memory.check("Loop", {"what its trips scanned": size})


def _spec(n: Node, inputs: Mapping[Node, int]) -> Any:
    """How to make the value of a node: the number of an array, the array of a constant, or a tuple of such; None of none."""
    if isinstance(n.op, SequenceConstruct):
        return tuple([_spec(i, inputs) for i in n.inputs])
    return n.array if isinstance(n.op, Constant) else inputs.get(n)


def _read(spec: Any, arrays: Sequence[Array]) -> Any:
    if isinstance(spec, tuple):
        return tuple([_read(each, arrays) for each in spec])
    return arrays[spec] if isinstance(spec, int) else spec
