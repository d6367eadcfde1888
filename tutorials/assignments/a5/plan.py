"""What A5 gives: kernels to be, and a graph made of them.

A `KernelPlan` begins with each operator in a kernel of its own. `partition` in `fusion.py` goes through the operators from the outputs back,
and lets one after the other join the kernel that reads it, or not.
"""

from minicc.course import Task
from minicc.graph.fuse import MOST_INPUTS, MOST_NODES, Group, as_kernels
from minicc.graph.ir import Constant, Input, Kernel
from minicc.ops.base import Kind

REASONS = {
    "output": "its value is an output of the graph, and a kernel gives one value",
    "readers": "it is read in several kernels, and would be computed in each",
    "hearts": "both kernels have a heart, and a kernel has one",
    "anchor": "nothing joins what an anchor reads",
    "shape": "behind a heart the shape must be that of the heart",
    "moves": "data movement joins no kernel of a heart, but what a reduction reads",
    "repeats": "its elements are needed more than once, and would be computed as often",
}


def is_heart(n):
    """Whether an operator is the heart of its kernel: a product, a window or a sum."""
    return n.op.kind in (Kind.REDUCTION, Kind.ANCHOR)


def is_light(n):
    """Whether an operator needs one element of each input for an element of its result."""
    return n.op.kind in (Kind.ELEMENTWISE, Kind.BROADCAST, Kind.INJECTIVE)


def keeps_places(n):
    """Whether an operator needs of its inputs the element at the same place, or a stretched one: it moves nothing."""
    return n.op.kind in (Kind.ELEMENTWISE, Kind.BROADCAST)


class KernelPlan:
    """Kernels to be. `nodes` are the operators, producers first; `readers[n]` those that read n; `of[n]` is the kernel of n.

    A kernel has `members`, an `output`, perhaps a `heart`, and `before`: its heart, and the members that the heart reads.
    """

    def __init__(self, graph):
        self.graph = graph
        self.nodes = [n for n in graph.nodes if not isinstance(n.op, (Input, Constant, Kernel))]
        self.readers, self.outputs = graph.users(), set(graph.outputs)
        self.of = {n: Group({n}, n, n if is_heart(n) else None, {n} if is_heart(n) else set()) for n in self.nodes}

    def join(self, n, into):
        """Put n, which is alone, into a kernel all of whose readers of n are members."""
        if any(r in into.before for r in self.readers[n]):
            into.before.add(n)
        if is_heart(n):
            into.heart = n
            into.before.add(n)
        into.members.add(n)
        self.of[n] = into

    def has_room(self, n, into):
        """Whether a kernel with n is small enough, for the compiler and for the registers."""
        members = into.members | {n}
        reads = {i for m in members for i in m.inputs if i not in members and i.type.size > 1}
        return len(members) <= MOST_NODES and len(reads) <= MOST_INPUTS

    @property
    def kernels(self):
        """The kernels, each once."""
        return list({id(group): group for group in self.of.values()}.values())


def if_written(function, *arguments):
    """What a function gives; nothing while it is a Task."""
    try:
        return function(*arguments)
    except Task:
        return None


def made_of(plan):
    """The graph of kernels. A Reshape at the edge of a kernel moves nothing, and leaves it."""
    for n in plan.nodes:
        group = plan.of[n]
        if n.op.view and n.inputs[0] not in group.members:
            group.members.discard(n)
            plan.of[n] = Group({n}, n, None, set())
    return as_kernels(plan.graph, plan.of)
