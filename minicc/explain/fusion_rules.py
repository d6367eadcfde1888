"""Why two operators are in one kernel, or not: minicc's reason is that which `fuse` has recorded, TVM's follows its rules.

In: an edge, as its producer and its consumer, minicc's partition, and the groups of dialects of TVM. Out: a sentence for
each. TVM's rules are those of its GraphPartitioner, on the patterns of its steps: the first that applies is the reason. RULES
says what they are.

    Edge(relu, conv, partition(graph), (relax_groups(graph),)).why()  # "minicc does not: nothing joins what an anchor ..."
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from minicc.bridge.groups import MAX_DEPTH, Pattern, TvmGroup, TvmGroups, TvmStep
from minicc.graph.fuse import Partition
from minicc.graph.ir import Node

Rule = Callable[["GroupedEdge"], Iterator[str]]
NAMES = {"relay": "Relay", "relax": "Relax"}
FUSE = ("fuses them", "fuse them")
RULES = f"""\
How TVM fuses (Chen et al., "TVM", OSDI 2018, section 3). Every step is of one of four classes, by its pattern:

  class                pattern                  rule
  injective            elementwise, broadcast,  each element of the result is computed from few, known elements of
                       injective                the operands: a chain of such steps is one such step
  reduction            comm-reduce              takes in what it reads, if that is elementwise or broadcast (in the
                                                paper: injective); nothing follows it
  complex-out-fusable  out-elementwise-fusable  takes in what follows, if that is elementwise; nothing goes before it
  opaque               opaque                   stands alone

GraphPartitioner, which Relay and Relax share, goes through the steps three times: for elementwise, broadcast and
complex-out-fusable ones, for injective ones, and for injective ones that a tuple gathers. It joins a step with its
immediate post-dominator, the first step that every way to the outputs goes through, and with all steps between, if
the rules allow it of each of them. A group has at most {MAX_DEPTH} steps (max_depth), and in Relay, where the
target says so (OpenCL: 128), not more arguments than that.

They differ in the steps that an operator becomes, and in where patterns are from. Relay's steps are its operators,
and the pattern of each is written down where it is registered (TOpPattern); SimplifyInference takes normalizations
apart before. Relax's steps are the loops that LegalizeOps makes of an operator, and AnnotateTIROpPattern reads
patterns off these. So a mean is comm-reduce in Relay; in Relax it is a sum and a division in one step, which
elementwise steps may follow. A take is injective in Relay; in Relax it is opaque, as data decide what it reads.

minicc goes by the kind of each operator, with rules of its own: a kernel has one heart, an anchor or a reduction,
before it what a reduction reads, and after it an epilogue of elementwise and broadcast operators."""


@dataclass(frozen=True)
class Edge:
    """A producer and a consumer, in minicc's kernels and in the groups of each dialect.

    Of an operator with itself, it stands for what is between its own steps.
    """

    producer: Node
    consumer: Node
    kernels: Partition
    groupings: tuple[TvmGroups, ...]

    @property
    def is_within(self) -> bool:
        """Whether it is within one operator."""
        return self.producer is self.consumer

    @property
    def in_minicc(self) -> bool:
        """Whether minicc has both in one kernel."""
        return self.kernels.of[self.producer] is self.kernels.of[self.consumer]

    @cached_property
    def fused(self) -> dict[str, bool]:
        """Who has both in one function: minicc, and the dialects."""
        return {"minicc": self.in_minicc} | {g.dialect: GroupedEdge(self, g).is_fused for g in self.groupings}

    @property
    def differs(self) -> bool:
        """Whether not all do the same."""
        return len(set(self.fused.values())) > 1

    def why(self) -> str:
        """Why some have fused the two, and then why others have not; those of the same reason share a sentence."""
        reasons = {"minicc": self.why_in_minicc} | {g.dialect: GroupedEdge(self, g).why for g in self.groupings}
        said: dict[tuple[bool, str], list[str]] = {}
        for name, reason in reasons.items():
            said.setdefault((not self.fused[name], reason), []).append(NAMES.get(name, name))
        sentences = []
        for (apart, reason), names in sorted(said.items(), key=lambda item: item[0][0]):
            verbs = ("does not", "do not") if apart else ("keeps it whole", "keep it whole") if self.is_within else FUSE
            sentences.append(f"{' and '.join(names)} {verbs[len(names) > 1]}: {reason}.")
        return " ".join(sentences)

    @property
    def why_in_minicc(self) -> str:
        """The reason that `fuse` gave."""
        whole = f"{self.producer.op.name} is one operator, and in one kernel"
        return whole if self.is_within else self.kernels.why[self.producer, self.consumer]


@dataclass(frozen=True)
class GroupedEdge:
    """An edge in the groups of one dialect."""

    edge: Edge
    grouping: TvmGroups

    @property
    def is_fused(self) -> bool:
        """Whether the dialect has both in one group; what it has no step for is in none."""
        home = self.grouping.home
        if self.edge.is_within:
            return len(self.grouping.parts.get(self.producer, ())) <= 1
        return self.producer in home and home[self.producer] is home.get(self.consumer)

    @property
    def producer(self) -> Node:
        return self.edge.producer

    @property
    def consumer(self) -> Node:
        return self.edge.consumer

    @property
    def before(self) -> TvmStep | None:
        """The step that makes the producer's value."""
        return self.grouping.steps.get(self.producer, (None,))[-1]

    @property
    def after(self) -> TvmStep | None:
        """The first step of the consumer that reads it."""
        steps = self.grouping.steps.get(self.consumer, ())
        return next((s for s in steps if self.producer in s.reads), steps[0] if steps else None)

    @property
    def pattern(self) -> Pattern:
        """That of the step after as this edge has it: a broadcast is elementwise in what has its shape already."""
        pattern = self.after.pattern if self.after else Pattern.OPAQUE
        same = pattern is Pattern.BROADCAST and self.producer.type.shape == self.consumer.type.shape
        return Pattern.ELEMENTWISE if same else pattern

    @property
    def why(self) -> str:
        """Why the dialect has fused the two, or not."""
        return next(text for rule in (TVM_FUSES if self.is_fused else TVM_KEEPS_APART) for text in rule(self))


def _heavy(group: TvmGroup) -> TvmStep | None:
    """The step of a group that is more than elementwise or injective, if any."""
    return next((s for s in group.steps if Pattern.COMM_REDUCE <= s.pattern <= Pattern.OUT_ELEMENTWISE_FUSABLE), None)


def span(steps: Sequence[TvmStep]) -> str:
    """The steps of one operator in one group, from the first to the last, with the greatest of their patterns."""
    functions = list(dict.fromkeys((steps[0].name, steps[-1].name)))
    return f"{' to '.join(functions)} ({max(s.pattern for s in steps)})"


def _apart_by_steps(e: GroupedEdge) -> Iterator[str]:
    """An operator may be no step, be several that are not fused, or one that stands alone."""
    first, last, home = e.producer.op.name, e.consumer.op.name, e.grouping.home
    steps = e.grouping.steps.get(e.consumer, ())
    if e.edge.is_within:
        parts = ", ".join(span([s for s in g.steps if s.node is e.producer]) for g in e.grouping.parts[e.producer])
        yield f"it computes {first} in {len(steps)} steps that it does not fuse into one group: {parts}"
    for n in (e.consumer, e.producer):
        if n not in home:
            yield f"{n.op.name} is no step at all: it moves and computes nothing, or was folded"
    if inside := [s for s in steps if s in home[e.producer].steps]:
        rest = next(s for s in steps if s not in inside)
        which = f"of which {inside[-1].name} ({inside[-1].pattern}) runs with {first}"
        yield f"{last} is {len(steps)} steps, {which}, and {rest.name} does not follow it"
    for n, step in ((e.consumer, e.after), (e.producer, e.before)):
        if step and step.pattern is Pattern.LIBRARY:
            yield f"{n.op.name} is a call of a library ({step.name}), which stands alone"
        if step and step.pattern is Pattern.OPAQUE:
            yield f"the pattern of {n.op.name} ({step.name}) is opaque: it stands alone"


def _apart_by_patterns(e: GroupedEdge) -> Iterator[str]:
    """A group has one heavy step, and patterns say what goes before it and what after."""
    first, last, before, after = e.producer.op.name, e.consumer.op.name, e.before, e.after
    heavy, other = _heavy(e.grouping.home[e.producer]), _heavy(e.grouping.home[e.consumer])
    if before and before.pattern is Pattern.COMM_REDUCE:
        yield f"nothing follows {first} in its group, as its pattern is comm-reduce"
    pattern = f"the pattern of {last} ({after.name}) is {after.pattern}" if after else ""
    if after and after.pattern is Pattern.OUT_ELEMENTWISE_FUSABLE:
        yield f"{pattern}: it takes what follows, never what comes before"
    if heavy and e.pattern > Pattern.ELEMENTWISE:
        yield f"what follows {heavy.node.op.name} in its group is elementwise, and {pattern}"
    if heavy and other:
        meet = f"those of {heavy.node.op.name} and {other.node.op.name} meet in {last}"
        yield f"a group has one step that is heavy, and {meet}: it runs with the first of the two in order"
    if before and before.pattern is Pattern.INJECTIVE and other:
        has = f"the group of {last} has {other.node.op.name} ({other.pattern})"
        yield f"{first} is injective, and {has}, which only elementwise and broadcast producers join"


def _apart_by_place(e: GroupedEdge) -> Iterator[str]:
    """A value joins only what all its readers meet in."""
    name, sink, home = e.producer.op.name, e.edge.kernels.after[e.producer], e.grouping.home
    if e.producer in e.edge.kernels.kept:
        yield f"the value of {name} is an output of the graph, so no node dominates it"
    if sink is None:
        yield f"the readers of {name} meet nowhere before the outputs"
    elif sink is not e.consumer:
        yield f"{name} could only join {sink.op.name}, where all its readers meet, with all that is between"
    if len(home[e.producer].steps) + len(home[e.consumer].steps) > MAX_DEPTH:
        yield f"a group has at most {MAX_DEPTH} steps"
    patterns = " and ".join(str(s.pattern) if s else "of nothing" for s in (e.before, e.after))
    yield f"no rule joins the patterns {patterns} here"


def _together(e: GroupedEdge) -> Iterator[str]:
    """Why a value is in the group of what reads it."""
    count = len(e.grouping.steps.get(e.producer, ()))
    if e.edge.is_within:
        yield f"{e.producer.op.name} is {f'{count} steps in one group' if count > 1 else 'one step' if count else 'no step at all'}"
    heavy = _heavy(e.grouping.home[e.producer])
    if heavy and heavy.pattern is Pattern.OUT_ELEMENTWISE_FUSABLE:
        yield f"{heavy.node.op.name} is out-elementwise-fusable, and {e.consumer.op.name} is elementwise"
    if e.after and e.after.pattern is Pattern.COMM_REDUCE:
        yield f"{e.consumer.op.name} is comm-reduce, and takes elementwise and broadcast producers"
    assert e.before, "what is in a group has a step"
    yield f"{e.producer.op.name} ({e.before.name}) is {e.before.pattern}, and runs with what reads it"


TVM_FUSES: tuple[Rule, ...] = (_together,)
TVM_KEEPS_APART: tuple[Rule, ...] = (_apart_by_steps, _apart_by_patterns, _apart_by_place)
