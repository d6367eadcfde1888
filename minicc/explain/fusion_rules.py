"""Why two operators are in one kernel, or not: minicc's reason is that which `fuse` has recorded, TVM's follows its rules.

In: an edge, as its producer and its consumer, and both partitions. Out: a sentence for each. TVM's rules are those of its
GraphPartitioner, on the patterns of its steps: the first that applies is the reason.

    Edge(relu, conv, partition(graph), tvm_groups(graph)).why()     # 'minicc does not: nothing joins what an anchor reads, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from minicc.bridge.groups import MAX_DEPTH, TvmGroup, TvmGroups, Pattern, TvmStep
from minicc.graph.fuse import Partition
from minicc.graph.ir import Node

Rule = Callable[["Edge"], Iterator[str]]


@dataclass(frozen=True)
class Edge:
    """A producer and a consumer, in both partitions; of an operator with itself, what is between its own steps in TVM."""

    producer: Node
    consumer: Node
    kernels: Partition
    grouping: TvmGroups

    @property
    def is_within(self) -> bool:
        """Whether it is within one operator."""
        return self.producer is self.consumer

    @property
    def in_minicc(self) -> bool:
        """Whether minicc has both in one kernel."""
        return self.kernels.of[self.producer] is self.kernels.of[self.consumer]

    @property
    def in_tvm(self) -> bool:
        """Whether TVM has both in one group; what TVM has no step for is in none."""
        home = self.grouping.home
        if self.is_within:
            return len(self.grouping.parts.get(self.producer, ())) == 1
        return self.producer in home and home[self.producer] is home.get(self.consumer)

    @property
    def step_before(self) -> TvmStep | None:
        """The step of TVM that makes the producer's value."""
        return self.grouping.steps.get(self.producer, (None,))[-1]

    @property
    def step_after(self) -> TvmStep | None:
        """The first step of the consumer that reads it."""
        steps = self.grouping.steps.get(self.consumer, ())
        return next((s for s in steps if self.producer in s.reads), steps[0] if steps else None)

    def why(self) -> str:
        """Why one has fused the two and the other has not; why both did the same, if they did."""
        reason = next(text for rule in (TVM_FUSES if self.in_tvm else TVM_KEEPS_APART) for text in rule(self))
        verb = "keeps it whole" if self.is_within else "fuses them"
        ours = f"minicc {verb if self.in_minicc else 'does not'}: {self.why_in_minicc}."
        theirs = f"TVM {verb if self.in_tvm else 'does not'}: {reason}."
        return f"{ours} {theirs}" if self.in_minicc else f"{theirs} {ours}"

    @property
    def why_in_minicc(self) -> str:
        """The reason that `fuse` gave."""
        whole = f"{self.producer.op.name} is one operator, and in one kernel"
        return whole if self.is_within else self.kernels.why[self.producer, self.consumer]


def _heavy(group: TvmGroup) -> TvmStep | None:
    """The step of a group that is more than elementwise or injective, if any."""
    return next((s for s in group.steps if Pattern.COMM_REDUCE <= s.pattern <= Pattern.OUT_ELEMENTWISE_FUSABLE), None)


def _span(steps: list[TvmStep]) -> str:
    """The steps of one operator in one group, from the first to the last, with the greatest of their patterns."""
    functions = list(dict.fromkeys((steps[0].function, steps[-1].function)))
    return f"{' to '.join(functions)} ({max(s.pattern for s in steps)})"


def _apart_by_steps(e: Edge) -> Iterator[str]:
    """An operator may be no step, be several that are not fused, or one that stands alone."""
    first, last, home = e.producer.op.name, e.consumer.op.name, e.grouping.home
    steps = e.grouping.steps.get(e.consumer, ())
    if e.is_within:
        parts = ", ".join(_span([s for s in g.steps if s.node is e.producer]) for g in e.grouping.parts[e.producer])
        yield f"it computes {first} in {len(steps)} steps that it does not fuse into one group: {parts}"
    for n in (e.consumer, e.producer):
        if n not in home:
            yield f"{n.op.name} is no step at all: it moves and computes nothing, or was folded"
    if inside := [s for s in steps if s in home[e.producer].steps]:
        rest = next(s for s in steps if s not in inside)
        which = f"of which {inside[-1].function} ({inside[-1].pattern}) runs with {first}"
        yield f"{last} is {len(steps)} steps, {which}, and {rest.function} does not follow it"
    for n, step in ((e.consumer, e.step_after), (e.producer, e.step_before)):
        if step and step.pattern is Pattern.LIBRARY:
            yield f"{n.op.name} is a call of a library ({step.function}), which stands alone"
        if step and step.pattern is Pattern.OPAQUE:
            yield f"the pattern of {n.op.name} ({step.function}) is opaque: it stands alone"


def _apart_by_patterns(e: Edge) -> Iterator[str]:
    """A group has one heavy step, and patterns say what goes before it and what after."""
    first, last, before, after = e.producer.op.name, e.consumer.op.name, e.step_before, e.step_after
    heavy, other = _heavy(e.grouping.home[e.producer]), _heavy(e.grouping.home[e.consumer])
    if before and before.pattern is Pattern.COMM_REDUCE:
        yield f"nothing follows {first} in its group, as its pattern is comm-reduce"
    pattern = f"the pattern of {last} ({after.function}) is {after.pattern}" if after else ""
    if after and after.pattern is Pattern.OUT_ELEMENTWISE_FUSABLE:
        yield f"{pattern}: it takes what follows, never what comes before"
    if heavy and after and after.pattern > Pattern.ELEMENTWISE:
        yield f"what follows {heavy.node.op.name} in its group is elementwise, and {pattern}"
    if heavy and other:
        meet = f"those of {heavy.node.op.name} and {other.node.op.name} meet in {last}"
        yield f"a group has one step that is heavy, and {meet}: it runs with the first of the two in order"
    if before and before.pattern is Pattern.INJECTIVE and other:
        has = f"the group of {last} has {other.node.op.name} ({other.pattern})"
        yield f"{first} is injective, and {has}, which only elementwise and broadcast producers join"


def _apart_by_place(e: Edge) -> Iterator[str]:
    """A value joins only what all its readers meet in."""
    name, sink, home = e.producer.op.name, e.kernels.after[e.producer], e.grouping.home
    if e.producer in e.kernels.kept:
        yield f"the value of {name} is an output of the graph, so no node dominates it"
    if sink is None:
        yield f"the readers of {name} meet nowhere before the outputs"
    elif sink is not e.consumer:
        yield f"{name} could only join {sink.op.name}, where all its readers meet, with all that is between"
    if len(home[e.producer].steps) + len(home[e.consumer].steps) > MAX_DEPTH:
        yield f"a group has at most {MAX_DEPTH} steps"
    patterns = " and ".join(str(s.pattern) if s else "of nothing" for s in (e.step_before, e.step_after))
    yield f"no rule joins the patterns {patterns} here"


def _together(e: Edge) -> Iterator[str]:
    """Why a value is in the group of what reads it."""
    heavy = _heavy(e.grouping.home[e.producer])
    if heavy and heavy.pattern is Pattern.OUT_ELEMENTWISE_FUSABLE:
        yield f"{heavy.node.op.name} is out-elementwise-fusable, and {e.consumer.op.name} is elementwise"
    if e.step_after and e.step_after.pattern is Pattern.COMM_REDUCE:
        yield f"{e.consumer.op.name} is comm-reduce, and takes elementwise and broadcast producers"
    assert e.step_before, "what is in a group has a step"
    yield f"{e.producer.op.name} ({e.step_before.function}) is {e.step_before.pattern}, and runs with what reads it"


TVM_FUSES: tuple[Rule, ...] = (_together,)
TVM_KEEPS_APART: tuple[Rule, ...] = (_apart_by_steps, _apart_by_patterns, _apart_by_place)
