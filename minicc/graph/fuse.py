"""Group operators into kernels, so that a value used at once need not go through memory.

In: a bound graph without composites. Out: a graph of `Kernel` nodes, each a sub-graph with one
output, named after its operators (`conv_add_relu`). What stays outside: constants, and a Reshape
that is alone, as it need not move anything. The fused graph evaluates to the same values.

The method is that of TVM (Chen et al., OSDI 2018, section 3): operators have kinds, and a value
may join the kernel that reads it when no path leads out of that kernel and back in.

1. An anchor (a contraction or window), then a reduction, takes as epilogue what follows up to its
   immediate post-dominator, when all of that is elementwise or broadcast and keeps the shape.
2. From the outputs back, an elementwise, broadcast or injective node joins its readers when they
   all are in one kernel, unless that would compute an element more than once: data movement may
   join the epilogue of nothing, and nothing may join the input of an anchor.
3. A Reshape at the edge of a kernel leaves it.

Needs: all types bound. Ensures: every operator is in a kernel, or is a Constant, or a Reshape.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Add, Relu
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2,)))
>>> print(fuse(Graph("main", (x,), (Relu()(Add()(x, x)),), ("y",))))
graph main(x: float32[2]) {
  %0 = Kernel[add_relu](x) : float32[2]
  | graph add_relu(p0: float32[2]) {
  |   %0 = Add(p0, p0) : float32[2]
  |   %1 = Relu(%0) : float32[2]
  |   return out=%1
  | }
  return y=%0
}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minicc import ops
from minicc.errors import TypeInferenceError
from minicc.graph.ir import Constant, Graph, Input, Kernel, Node, Span, constant, input, make, spanned
from minicc.ir.node import postorder
from minicc.ops.base import Kind, infer
from minicc.types import TensorType

MOST_NODES = 32  # of one kernel: more makes code that is slow to compile and short of registers
MOST_INPUTS = 12
TOO_MANY = f"together they would be more than {MOST_NODES} operators, or read more than {MOST_INPUTS} tensors"
LONGEST_LABEL = 60
_ONE_WORD = re.compile("MatMul|NaN|ND")  # in CamelCase, yet no two words


def fuse(graph: Graph) -> Graph:
    """The graph of kernels."""
    return as_kernels(graph, partition(graph).of)


def fuse_nothing(graph: Graph) -> Graph:
    """The graph in which each operator is a kernel of its own."""
    return as_kernels(graph, Partition(graph).of)


def partition(graph: Graph) -> Partition:
    """Which operators of the graph are in one kernel."""
    groups = Partition(graph)
    groups.take_epilogues(Kind.ANCHOR)
    groups.take_epilogues(Kind.REDUCTION)
    groups.join_readers()
    groups.release_reshapes()
    return groups


@dataclass(eq=False)
class Group:
    """The nodes of a kernel to be. Every path from a member leads through members to `output`."""

    members: set[Node]
    output: Node
    heart: Node | None  # the anchor or reduction, if any
    before: set[Node]  # the members that the heart reads, and itself

    @property
    def nodes(self) -> list[Node]:
        """The members, producers first, in an order that their structure alone decides."""
        return list(postorder([self.output], lambda n: [i for i in n.inputs if i in self.members]))

    @property
    def label(self) -> str:
        """`conv_add_relu`: the operators in order, as many as fit."""
        return _label(self.nodes)


class Partition:
    """A partition of the operators of a graph, coarsened step by step; `why` says of each edge what was decided last."""

    def __init__(self, graph: Graph) -> None:
        self.nodes = [n for n in graph.nodes if not isinstance(n.op, (Input, Constant, Kernel))]
        self.users = graph.users()
        self.kept = set(graph.outputs)
        self.of: dict[Node, Group] = {}
        self.why: dict[tuple[Node, Node], str] = {}
        for n in self.nodes:
            heavy = n.op.kind in (Kind.REDUCTION, Kind.ANCHOR)
            self.of[n] = Group({n}, n, n if heavy else None, {n} if heavy else set())
        self.after = self._post_dominators(graph)

    def _post_dominators(self, graph: Graph) -> dict[Node, Node | None]:
        """For each node the first node that every path from it to an output goes through, if any.

        It is where its readers meet on their own way to the end, for which the graph itself stands (Cooper, Harvey and
        Kennedy, A Simple, Fast Dominance Algorithm, 2001); without cycles one walk finds all.
        """
        found: dict[Any, Any] = {}
        depth: dict[Any, int] = {graph: 0}
        for n in reversed(graph.nodes):
            readers: list[Any] = [*self.users[n], *([graph] if n in self.kept or not self.users[n] else [])]
            meet, *others = readers
            for other in others:
                while meet is not other:
                    if depth[meet] < depth[other]:
                        meet, other = other, meet
                    meet = found[meet]
            found[n], depth[n] = meet, depth[meet] + 1
        return {n: None if found[n] is graph else found[n] for n in self.nodes}

    def take_epilogues(self, kind: Kind) -> None:
        """Grow each group with a heart of `kind` along its post-dominators. The last one in order goes first:
        what two anchors meet in (a residual addition) runs with the later, whose output is at hand."""
        for n in reversed(self.nodes):
            if n.op.kind is not kind:
                continue
            group, ends = self.of[n], [n]
            while not isinstance(path := self._epilogue(group, n), str):
                for member in path:
                    reason = f"{member.op.name} is in the epilogue of {n.op.name}, which is elementwise or broadcast and keeps the shape"
                    self.why.update({(i, member): reason for i in member.inputs})
                group.members |= path
                group.output = next(m for m in path if m is self.after[group.output])
                self.of.update(dict.fromkeys(path, group))
                ends.append(group.output)
            self.why.update({(group.output, reader): path for reader in self.users[group.output]})
            self._narrow(group, min(reversed(ends), key=lambda end: end.dtype.bits))

    def _narrow(self, group: Group, end: Node) -> None:
        """End a group where its value takes the fewest bytes, if what reads its output computes the rest on the way."""
        output = group.output
        into = {self.of.get(r) for r in self.users[output]}
        reader = next(iter(self.users[output]), None)
        if end is output or output in self.kept or reader is None or len(into) > 1 or reader not in self.of:
            return
        if refusal(reader, output, self.of[reader]) or not self.has_room(self.of[reader].members | group.members):
            return
        kept = set(postorder([end], lambda n: [i for i in n.inputs if i in group.members]))
        for n in group.members - kept:
            self.of[n] = Group({n}, n, None, set())
            self.why.update({(i, n): f"{end.op.name} is stored, as it takes fewer bytes" for i in n.inputs})
        group.members, group.output = kept, end

    def _epilogue(self, group: Group, heart: Node) -> set[Node] | str:
        """The nodes between the output of a group and what all its readers meet in, with that; or why they stay apart."""
        output, found = group.output, set[Node]()
        if output in self.kept:
            return _is_output(output)
        sink = self.after[output]
        if sink is None:
            return f"the readers of {output.op.name} meet nowhere before the outputs, and a kernel gives one value"
        stack = list(self.users[output])
        while stack:
            n = stack.pop()
            if n in found:
                continue
            if problem := self._no_epilogue(n, heart):
                further = f"the epilogue of {heart.op.name} would go up to {sink.op.name}, where all readers of {output.op.name} meet: "
                return problem if n is sink else further + problem
            found.add(n)
            if len(found) > MOST_NODES:
                return TOO_MANY
            if n is not sink:
                stack.extend(self.users[n])
        return found if self.has_room(group.members | found) else TOO_MANY

    def _no_epilogue(self, n: Node, heart: Node) -> str | None:
        """Why `n` may not be in the epilogue of `heart`; None if it may."""
        group, name, mine = self.of.get(n), n.op.name, heart.op.name
        if group is None or n.op.kind is Kind.OPAQUE:
            return _stands_alone(n)
        if n is group.heart:
            return f"{name} is the heart of a kernel of its own, and {mine} of that before"
        if group.heart is not None:
            both = f"the kernels of {mine} and {group.heart.op.name} meet in {name}"
            return f"a kernel has one heart, and {both}: it runs with the later of the two in order"
        if n.op.kind > Kind.BROADCAST:
            return f"the epilogue of {mine} is elementwise or broadcast, and {name} is of the kind {n.op.kind.name.lower()}"
        if n.type.shape != heart.type.shape:
            return f"the epilogue of {mine} keeps its shape, and {name} does not"
        return None

    def join_readers(self) -> None:
        """Let each light group join the one group that reads it, from the outputs back."""
        for n in reversed(self.nodes):
            group = self.of[n]
            if n is not group.output or group.heart is not None:
                continue
            readers = [r for r in self.users[n] if r in self.of]
            apart = {r: self._apart(n, r) for r in readers}
            if problem := next(filter(None, apart.values()), None):
                self.why.update({(n, r): reason or problem for r, reason in apart.items()})
            elif readers:
                self._join(n, readers)

    def _join(self, n: Node, readers: Sequence[Node]) -> None:
        """Put the group of `n` into that of all its readers."""
        group, into = self.of[n], self.of[readers[0]]
        for r in readers:
            self.why[n, r] = f"{n.op.name} is {n.op.kind.name.lower()}, and runs with all that reads it"
            if r is into.heart:
                self.why[n, r] = f"{r.op.name} is a reduction, which computes what it reads on the way"
        into.members |= group.members
        if any(r in into.before for r in readers):
            into.before |= group.members
        self.of.update(dict.fromkeys(group.members, into))

    def _apart(self, n: Node, reader: Node) -> str | None:
        """Why the group of `n` does not join that of `reader`; None if it may."""
        if n.op.kind is Kind.OPAQUE:
            return _stands_alone(n)
        if n in self.kept:
            return _is_output(n)
        into = self.of[reader]
        if problem := refusal(reader, n, into):
            return problem
        if any(self.of.get(r) is not into for r in self.users[n]):
            return f"{n.op.name} is read outside of the kernel of {reader.op.name}, too, and a kernel gives one value"
        return None if self.has_room(into.members | self.of[n].members) else TOO_MANY

    def release_reshapes(self) -> None:
        """A Reshape whose input is not of its kernel becomes a group of its own."""
        for n in self.nodes:
            group = self.of[n]
            if n.op.view and n.inputs[0] not in group.members:
                reason = "a Reshape at the edge of a kernel moves nothing, and leaves it"
                self.why.update({(n, r): reason for r in self.users[n]} | {(i, n): reason for i in n.inputs})
                group.members.discard(n)
                self.of[n] = Group({n}, n, None, set())

    def has_room(self, members: set[Node]) -> bool:
        return len(members) <= MOST_NODES and len(_outside(members, MOST_INPUTS + 1)) <= MOST_INPUTS


def refusal(reader: Node, n: Node, into: Group) -> str | None:
    """Why `n` may not be computed in the group of `reader`, where `reader` needs it; None if it may."""
    name, kind = reader.op.name, reader.op.kind
    if reader is into.heart:
        return None if kind is Kind.REDUCTION else f"nothing joins what an anchor reads, here {name}"
    if kind > Kind.INJECTIVE:
        return _stands_alone(reader)
    if reader.op.view and reader is into.output:
        return "a Reshape at the end of a kernel takes nothing in"
    is_epilogue = into.heart is not None and reader not in into.before
    if into.heart and is_epilogue and n.op.kind > Kind.BROADCAST:
        epilogue = f"{name} is in the epilogue of {into.heart.op.name}, which no data movement joins"
        return f"{epilogue}, and {n.op.name} is {n.op.kind.name.lower()}"
    repeats = reader.type.size > n.type.size and not reader.op.gathering
    if repeats and (is_epilogue or not (n.op.view or isinstance(n.op, ops.Transpose))):
        return f"{name} needs elements of {n.op.name} more than once, and they would be computed as often"
    return None


def _stands_alone(n: Node) -> str:
    return f"{n.op.name} is of the kind opaque, and stands alone"


def _is_output(n: Node) -> str:
    return f"the value of {n.op.name} is an output of the graph, and a kernel gives one value"


def _outside(members: set[Node], most: int) -> set[Node]:
    """Up to `most` values that `members` read from elsewhere, scalars known at compile time left aside."""
    found: set[Node] = set()
    for i in (i for n in members for i in n.inputs if i not in members):
        if not _is_scalar(i):
            found.add(i)
            if len(found) == most:  # a Concat may read thousands
                break
    return found


def _is_scalar(n: Node) -> bool:
    return isinstance(n.op, Constant) and n.type.size == 1


def as_kernels(graph: Graph, groups: Mapping[Node, Group]) -> Graph:
    """The graph in which the nodes of each group are one kernel, or a Reshape that is alone."""
    made: dict[Node, Node] = {}
    spans: dict[Node, Span] = {}
    for n in graph.nodes:
        group = groups.get(n)
        if group is None:  # an input, a constant, or a kernel already
            with spanned(spans, graph.spans.get(n)):
                made[n] = n if all(made[i] is i for i in n.inputs) else make(n.op, [made[i] for i in n.inputs])
        elif n is group.output:
            with spanned(spans, graph.spans.get(group.heart or n)):
                made[n] = _kernel(group, made)
    return graph.rebuild(made, spans)


def _kernel(group: Group, made: dict[Node, Node]) -> Node:
    """The node that computes `group`: a Kernel on what it reads, or the Reshape itself."""
    output = group.output
    if len(group.members) == 1 and output.op.view:
        return make(output.op, [made[i] for i in output.inputs])
    order = group.nodes
    parameters: dict[Node, Node] = {}
    body: dict[Node, Node] = {}
    for n in order:
        literals = _literals(n)
        for position, i in enumerate(n.inputs):
            if position not in literals and i not in body:
                body[i] = parameters[i] = input(f"p{len(parameters)}", i.type)
        body[n] = make(n.op, [literals.get(position) or body[i] for position, i in enumerate(n.inputs)])
    label = _label(order)
    kernel = Kernel(label, Graph(label, tuple(parameters.values()), (body[output],), ("out",)))
    return make(kernel, [made[i] for i in parameters])


def _literals(n: Node) -> dict[int, Node]:
    """By position, the inputs of `n` that may stand in the body of a kernel, as 0-d constants."""
    found: dict[int, Node] = {}
    for position, i in enumerate(n.inputs):
        if _is_scalar(i) and n.op.kind <= Kind.BROADCAST:
            literal = constant(i.array.reshape(()))
            types = [(literal if p == position else found.get(p, j)).inferred for p, j in enumerate(n.inputs)]
            if _gives(n, types):
                found[position] = literal
    return found


def _gives(n: Node, types: Sequence[TensorType | None]) -> bool:
    """Whether the operator of `n` gives its type on other inputs, too; BatchNormalization insists on vectors."""
    try:
        return infer(n.op, types) == n.inferred
    except TypeInferenceError:
        return False


def _label(order: list[Node]) -> str:
    """`conv_add_relu`: the operators in order, as many as fit."""
    words = [_snake(n.op.name) for n in order]
    for count in range(len(words), 0, -1):
        label = "_".join(words[:count]) + (f"_and_{len(words) - count}_more" if count < len(words) else "")
        if len(label) <= LONGEST_LABEL:
            return label
    return words[0]


def _snake(name: str) -> str:
    """`ReduceSum` as `reduce_sum`."""
    joined = _ONE_WORD.sub(lambda found: found[0].capitalize(), name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", joined).lower()
