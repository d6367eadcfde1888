"""Why two operators are in one kernel, or not: minicc's reason is that which `fuse` has recorded, TVM's follows its rules.

In: an edge, as its producer and its consumer, and both partitions. Out: a sentence for each. TVM's rules are those of its
GraphPartitioner, on the patterns of its steps. Each list below is read in order: the first rule that applies is the reason.

    Edge(relu, conv, partition(graph), tvm_groups(graph)).why()     # 'minicc does not: nothing joins what an anchor reads, ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minicc.bridge.groups import MAX_DEPTH, TvmGroup, TvmGroups, Pattern, TvmStep
from minicc.graph.fuse import Partition
from minicc.graph.ir import Node

Rule = Callable[["Edge"], str | None]


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
        rules = TVM_FUSES if self.in_tvm else TVM_KEEPS_APART
        reason = next(text for rule in rules if (text := rule(self)))
        verb = "keeps it whole" if self.is_within else "fuses them"
        texts = [
            f"minicc {verb if self.in_minicc else 'does not'}: {self.why_in_minicc}.",
            f"TVM {verb if self.in_tvm else 'does not'}: {reason}.",
        ]
        return " ".join(texts if self.in_minicc else reversed(texts))

    @property
    def why_in_minicc(self) -> str:
        """The reason that `fuse` gave."""
        if self.is_within:
            return f"{name(self.producer)} is one operator, and in one kernel"
        return self.kernels.why[self.producer, self.consumer]


def name(n: Node) -> str:
    return n.op.name


def _in_parts(e: Edge) -> str | None:
    if not e.is_within:
        return None
    steps = e.grouping.steps[e.producer]
    parts = ", ".join(_span([s for s in g.steps if s.node is e.producer]) for g in e.grouping.parts[e.producer])
    return f"it computes {name(e.producer)} in {len(steps)} steps that it does not fuse into one group: {parts}"


def _span(steps: list[TvmStep]) -> str:
    """The steps of one operator in one group, from the first to the last, with the greatest of their patterns."""
    functions = list(dict.fromkeys((steps[0].function, steps[-1].function)))
    return f"{' to '.join(functions)} ({max(s.pattern for s in steps)})"


def _heavy(group: TvmGroup) -> TvmStep | None:
    """The step of a group that is more than elementwise or injective, if any."""
    return next((s for s in group.steps if Pattern.COMM_REDUCE <= s.pattern <= Pattern.OUT_ELEMENTWISE_FUSABLE), None)


def _has_no_step(e: Edge) -> str | None:
    for n in (e.consumer, e.producer):
        if n not in e.grouping.home:
            return f"{name(n)} is no step at all: it moves and computes nothing, or was folded"
    return None


def _cut_within(e: Edge) -> str | None:
    here = e.grouping.home[e.producer]
    steps = e.grouping.steps[e.consumer]
    inside = [s for s in steps if s in here.steps]
    if not inside:
        return None
    rest = next(s for s in steps if s not in here.steps)
    return (
        f"{name(e.consumer)} is {len(steps)} steps, of which {inside[-1].function} ({inside[-1].pattern}) runs with "
        f"{name(e.producer)}, and {rest.function} does not follow it"
    )


def _pattern_stands_alone(e: Edge) -> str | None:
    for n, step in ((e.consumer, e.step_after), (e.producer, e.step_before)):
        if step and step.pattern is Pattern.LIBRARY:
            return f"{name(n)} is a call of a library ({step.function}), which stands alone"
        if step and step.pattern is Pattern.OPAQUE:
            return f"the pattern of {name(n)} ({step.function}) is opaque: it stands alone"
    return None


def _after_reduction(e: Edge) -> str | None:
    if e.step_before and e.step_before.pattern is Pattern.COMM_REDUCE:
        return f"nothing follows {name(e.producer)} in its group, as its pattern is comm-reduce"
    return None


def _before_heavy(e: Edge) -> str | None:
    if e.step_after and e.step_after.pattern is Pattern.OUT_ELEMENTWISE_FUSABLE:
        return (
            f"the pattern of {name(e.consumer)} ({e.step_after.function}) is out-elementwise-fusable: it takes what follows, never "
            "what comes before"
        )
    return None


def _follows_heavy(e: Edge) -> str | None:
    heavy = _heavy(e.grouping.home[e.producer])
    if not heavy or not e.step_after:
        return None
    if e.step_after.pattern > Pattern.ELEMENTWISE:
        return (
            f"what follows {name(heavy.node)} in its group is elementwise, and the pattern of {name(e.consumer)} "
            f"({e.step_after.function}) is {e.step_after.pattern}"
        )
    other = _heavy(e.grouping.home[e.consumer])
    if other:
        return (
            f"a group has one step that is heavy, and those of {name(heavy.node)} and {name(other.node)} meet in "
            f"{name(e.consumer)}: it runs with the first of the two in order"
        )
    return None


def _injective_before(e: Edge) -> str | None:
    heavy = _heavy(e.grouping.home[e.consumer])
    if e.step_before and e.step_before.pattern is Pattern.INJECTIVE and heavy:
        return (
            f"{name(e.producer)} is injective, and the group of {name(e.consumer)} has {name(heavy.node)} ({heavy.pattern}), which "
            "only elementwise and broadcast producers join"
        )
    return None


def _meet(e: Edge) -> str | None:
    if e.producer in e.kernels.kept:
        return f"the value of {name(e.producer)} is an output of the graph, so no node dominates it"
    sink = e.kernels.after[e.producer]
    if sink is None:
        return f"the readers of {name(e.producer)} meet nowhere before the outputs"
    if sink is not e.consumer:
        return f"{name(e.producer)} could only join {name(sink)}, where all its readers meet, with all that is between"
    return None


def _is_deep(e: Edge) -> str | None:
    if len(e.grouping.home[e.producer].steps) + len(e.grouping.home[e.consumer].steps) > MAX_DEPTH:
        return f"a group has at most {MAX_DEPTH} steps"
    return None


def _other_group(e: Edge) -> str:
    return f"no rule joins the patterns {e.step_before and e.step_before.pattern} and {e.step_after and e.step_after.pattern} here"


TVM_KEEPS_APART: tuple[Rule, ...] = (
    _in_parts, _has_no_step, _cut_within, _pattern_stands_alone, _after_reduction, _before_heavy, _follows_heavy, _injective_before, _meet, _is_deep,
    _other_group,
)  # fmt: skip


def _follows(e: Edge) -> str | None:
    heavy = _heavy(e.grouping.home[e.producer])
    if heavy and heavy.pattern is Pattern.OUT_ELEMENTWISE_FUSABLE:
        return f"{name(heavy.node)} is out-elementwise-fusable, and {name(e.consumer)} is elementwise"
    return None


def _is_reduced(e: Edge) -> str | None:
    if e.step_after and e.step_after.pattern is Pattern.COMM_REDUCE:
        return f"{name(e.consumer)} is comm-reduce, and takes elementwise and broadcast producers"
    return None


def _is_light(e: Edge) -> str:
    assert e.step_before, "what is in a group has a step"
    return f"{name(e.producer)} ({e.step_before.function}) is {e.step_before.pattern}, and runs with what reads it"


TVM_FUSES: tuple[Rule, ...] = (_follows, _is_reduced, _is_light)
