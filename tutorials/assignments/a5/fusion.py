"""Fusion: which operators run in one kernel, so that the values between them need not go through memory.

`partition` walks from the outputs back. When it comes to an operator n, all that reads n is in kernels already, and n is alone. You write
the questions that it asks. `plan.py` says what a kernel is, and what is known of an operator: `n.op.kind` is its fusion contract,

- ELEMENTWISE: an element of the result needs the element at the same place of each input;
- BROADCAST: so does it here, but inputs may be stretched along axes of 1, as in NumPy;
- INJECTIVE: an element needs one element, anywhere: data movement;
- REDUCTION, ANCHOR: an element needs many. It is the *heart* of its kernel, of which there is one;

`n.type.shape` is the shape of its value, `n.inputs` what it reads, `plan.readers[n]` what reads it, `plan.outputs` the outputs of the graph.
"""

from plan import REASONS, KernelPlan, if_written, is_heart, is_light, keeps_places, made_of

from minicc.course import Task
from minicc.ops.base import Kind


def partition(graph):
    """Which operators of the graph are in one kernel."""
    plan = KernelPlan(graph)
    for n in reversed(plan.nodes):
        into = kernel_of_readers(plan, n)
        if into is not None and plan.has_room(n, into) and joins(plan, n, into):
            plan.join(n, into)
    return plan


def kernel_of_readers(plan, n):
    """The kernel that n may join, if there is one: all that reads n is in it."""
    readers = plan.readers[n]
    if len(readers) == 1 and n not in plan.outputs:
        return plan.of.get(readers[0])
    return if_written(one_kernel, plan, n)


def joins(plan, n, into):
    """Whether n is computed in the kernel `into`, in which all that reads it is."""
    readers = plan.readers[n]
    if is_heart(n):
        return into.heart is None and if_written(is_epilogue, n, into.members)
    if not is_light(n) or not all(is_light(r) or r is into.heart for r in readers):
        return False
    return if_written(is_chain, n, readers) if into.heart is None else if_written(is_beside, n, readers, into)


def is_chain(n, readers):
    """Whether light n may be computed where its light readers are: unless one of them needs an element of n more than once.

    A broadcast operator does so where it stretches n.
    """
    raise Task("5.1", "which shapes must be the same, and for which kind of reader?")


def is_epilogue(heart, members):
    """Whether a kernel of these members, none of which is a heart, may run behind `heart`, on each element as it is finished.

    Then none of them moves data, and all have the shape of the heart: the loops of the heart are the loops of the kernel.
    """
    raise Task("5.2", "a question to each member")


def one_kernel(plan, n):
    """The kernel in which *all* readers of n are, or None. A kernel gives one value: what is an output, or is read elsewhere, stays.

    If it did not, what is between n and another reader would have to run in the middle of the kernel: neither before, nor after.
    """
    raise Task("5.3", "several readers, no readers, and outputs")


def is_beside(n, readers, into):
    """Whether light n joins a kernel that has a heart.

    Nothing joins what an anchor reads: it would be computed for each use. A reduction reads each element once: what it reads is
    computed on the way, if that is a chain. Behind and beside the heart, in its epilogue, nothing moves data or has another shape.
    """
    raise Task("5.4", "`into.before` are the heart and the members that it reads")


def why(plan, n, reader):
    """Why n is not in the kernel of what reads it: a key of REASONS that is true. `plan` is finished."""
    raise Task("5.5", "the first that is true")


# ---- your pass in minicc: minicc.compile(model, passes=pipeline(replace={"fuse": fuse}))


def fuse(graph):
    """The graph of kernels."""
    return made_of(partition(graph))


# ---- what the tests and the grader call; leave it as it is


def kernels(graph):
    """The kernels, as lists of places in `graph.nodes`."""
    place = {n: k for k, n in enumerate(graph.nodes)}
    return [sorted(place[m] for m in group.members) for group in partition(graph).kernels]


def reasons(graph):
    """For each edge between two kernels: the places of what is read and of what reads, and why it is no inner one."""
    place, plan = {n: k for k, n in enumerate(graph.nodes)}, partition(graph)
    edges = [(n, r) for n in plan.nodes for r in plan.readers[n] if r in plan.of and plan.of[n] is not plan.of[r]]
    return [[place[n], place[r], why(plan, n, r)] for n, r in edges]
