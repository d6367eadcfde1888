"""Which operators of a kernel each line of its loop programs computes.

In: a kernel and its programs: the naive one, and those that steps and passes made of it. Out: for each line of each the
nodes of the kernel's body that it computes. Every buffer holds the value of a tensor, or a part of it: of the naive program
that is known, and a buffer that a step brings is a copy of another, or a part of what is made of it. So a statement computes
what lies between the values that it reads and the one that it writes, however much was inlined, packed or split on the way.
A statement that only moves an input computes what its readers do; the head of a loop, what all inside of it do.

    made = lower_kernel(kernel, target)
    found = operators_of_lines(kernel, [*programs(made.scheduled.schedule), made.program])
    found[-1][12]         # (<MatMul: float32[64,64]>, <Relu: float32[64,64]>)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from minicc import tensor as te
from minicc.graph.ir import Kernel, Node, tensor_of
from minicc.ir.node import postorder
from minicc.loop.ir import Alloc, Buffer, Prefetch, Stmt, Store
from minicc.loop.lines import places
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.loop.queries import in_order, reads, targets
from minicc.schedule.te_schedule import TeSchedule
from minicc.tensor.expr import Const, Load, Select
from minicc.tensor.tensor import Placeholder, Tensor, inputs_of, tensors_of

Held = Mapping[str, frozenset[Tensor]]  # the tensors of whose values each buffer holds some, by its name
Lines = dict[int, tuple[Node, ...]]
Owner = TypeVar("Owner")  # of tensors: the nodes that compute them, or they themselves
NOTHING: frozenset[Any] = frozenset()


def operators_of_lines(kernel: Kernel, programs: Sequence[Program]) -> list[Lines]:
    """The nodes of a kernel's body that each line, counted from 1, of each program computes; lines without a statement are left out.

    The first program is the naive one, and each other is made of the one before.
    """
    inputs, output, owners = _tensors(kernel)
    order = {n: k for k, n in enumerate(kernel.body.nodes)}
    buffers = lower([output], [*inputs, output], kernel.label).buffers
    return _of_lines(buffers, [output], owners, order, programs)


def operators_of_tensors(kernel: Kernel) -> list[tuple[Node, ...]]:
    """The nodes of a kernel's body that compute each of its tensors, producers first."""
    _, output, owners = _tensors(kernel)
    return [tuple(owners.get(t, ())) for t in tensors_of(output)]


def tensors_of_lines(s: TeSchedule, programs: Sequence[Program]) -> list[dict[int, tuple[Tensor, ...]]]:
    """The same for a schedule by hand: the tensors that each line of each program computes."""
    order = {t: k for k, t in enumerate(tensors_of(*s.outputs))}
    return _of_lines(s.lowered.buffers, s.outputs, {t: [t] for t in order}, order, programs)


def _of_lines(
    buffers: Mapping[Tensor, Buffer],
    outputs: Sequence[Tensor],
    owners: Mapping[Tensor, Sequence[Owner]],
    order: Mapping[Owner, int],
    programs: Sequence[Program],
) -> list[dict[int, tuple[Owner, ...]]]:
    """The owners, in order, of what each line computes; what buffers of the first program hold is known."""
    results_last = sorted(buffers.items(), key=lambda pair: not isinstance(pair[0].op, Placeholder))
    held: Held = {b.name: frozenset([t]) for t, b in results_last}  # a recurrence keeps its state in its result
    found = []
    for program in programs:
        held = _next(program, held, outputs)
        lines = _lines(program, held, owners)
        found.append({line: tuple(sorted(some, key=order.__getitem__)) for line, some in lines.items()})
    return found


def _tensors(kernel: Kernel) -> tuple[list[Tensor], Tensor, dict[Tensor, list[Node]]]:
    """The inputs and the output of a kernel as tensors, and the nodes that compute each tensor."""
    owners: dict[Tensor, list[Node]] = {}
    names = zip(kernel.body.inputs, kernel.body.input_names, strict=True)
    inputs = [te.placeholder(n.shape, n.dtype, name) for n, name in names]
    return inputs, kernel.body.interpret(inputs, lambda n, values: _applied(n, values, owners))[0], owners


def _applied(n: Node, values: Sequence[Any], owners: dict[Tensor, list[Node]]) -> Any:
    """What a node computes of tensors; those that are made on the way are noted as its own."""
    made = tensor_of(n, values)
    given = {v for v in values if isinstance(v, Tensor)}
    if isinstance(made, Tensor):
        own = [made] if made in given else postorder([made], lambda t: [i for i in inputs_of(t) if i not in given])
        for tensor in own:
            owners.setdefault(tensor, []).append(n)
    return made


# ---- what buffers hold ------------------------------------------------------------------------------------------


class Writing(NamedTuple):
    """A statement that writes, and the names of the buffers that it writes and reads."""

    stmt: Stmt
    writes: frozenset[str]
    reads: frozenset[str]


def _accesses(program: Program) -> list[Writing]:
    found = [s for s in in_order(program.body) if targets(s)]
    return [Writing(s, *(frozenset(b.name for b in part) for part in (targets(s), _sources(s)))) for s in found]


def _sources(s: Stmt) -> list[Buffer]:
    return [load.source for load in reads(s)]


def _next(program: Program, before: Held, outputs: Sequence[Tensor]) -> dict[str, frozenset[Tensor]]:
    """What the buffers of a program hold, where those of the program a step before are known: a buffer keeps its name."""
    accesses = _accesses(program)
    names = dict.fromkeys(name for a in accesses for name in sorted(a.writes | a.reads))
    held = {name: before[name] for name in names if name in before}
    held |= {b.name: frozenset([t]) for b, t in zip(program.outputs, outputs, strict=False)}
    new = [name for name in names if name not in held]
    while found := next(((n, v) for rule in RULES for n in new if (v := rule(n, accesses, held))), None):
        held[found[0]] = found[1]
        new.remove(found[0])
    return held


def _copied(name: str, accesses: Sequence[Writing], held: Held) -> frozenset[Tensor]:
    """Of a copy of another buffer, element by element, with constants around it."""
    origins = [_origin(a.stmt) for a in accesses if name in a.writes]
    found = [held.get(o.name, NOTHING) for o in origins if isinstance(o, Buffer)]
    return _union(found) if None not in origins and all(found) else NOTHING


def _origin(s: Stmt) -> Buffer | Const | None:
    """The buffer whose element a statement copies to the same place, or the constant that it stores."""
    value = s.value if isinstance(s, Store) else None
    if isinstance(value, Select) and isinstance(value.other, Const):
        value = value.then
    if isinstance(s, Store) and isinstance(value, Load) and value.indices == s.indices:
        source: Buffer = value.source
        return source
    return value if isinstance(value, Const) else None


def _passed_on(name: str, accesses: Sequence[Writing], held: Held) -> frozenset[Tensor]:
    """Of a buffer of which others are made, and of nothing else: copies of it, sums of its parts."""
    only = [a for a in accesses if name in a.reads and name not in a.writes and a.reads <= {name} | a.writes]
    return _union(held.get(b, NOTHING) for a in only for b in a.writes)


def _served(name: str, accesses: Sequence[Writing], held: Held) -> frozenset[Tensor]:
    """Of any other buffer: what it is read for, or else what it is made of."""
    after = _union(held.get(b, NOTHING) for a in accesses if name in a.reads for b in a.writes)
    return after or _union(held.get(b, NOTHING) for a in accesses if name in a.writes for b in a.reads)


RULES = (_copied, _passed_on, _served)  # the first that says something is believed


def _union(sets: Iterable[frozenset[Any]]) -> frozenset[Any]:
    return NOTHING.union(*sets)


# ---- what statements compute ------------------------------------------------------------------------------------


def _between(written: frozenset[Tensor], read: frozenset[Tensor]) -> frozenset[Tensor]:
    """The tensors on the way from those that are read to those that are written, which are among them."""
    others = read - written  # what an accumulator reads of itself is no way
    found: set[Tensor] = set()
    for t in postorder(written, lambda t: [i for i in inputs_of(t) if i not in read]) if others else ():
        before = inputs_of(t)
        if any(i in others or i in found for i in before) or not (before or isinstance(t.op, Placeholder)):
            found.add(t)
    return written | found


def _lines(program: Program, held: Held, owners: Mapping[Tensor, Sequence[Owner]]) -> dict[int, frozenset[Owner]]:
    """The owners of what each line of a program computes."""
    accesses = _accesses(program)
    own: dict[Stmt, frozenset[Owner]] = {}
    for stmt, *parts in accesses:
        written, read = (_union(held.get(b, NOTHING) for b in part) for part in parts)
        own[stmt] = frozenset(n for t in _between(written, read) for n in owners.get(t, ()))

    def serves(names: frozenset[str], seen: frozenset[str] = NOTHING) -> frozenset[Owner]:
        """What is computed of the elements of these buffers."""
        readers = [a for a in accesses if a.reads & names]
        return _union(own[a.stmt] or serves(a.writes - seen - names, seen | names) for a in readers)

    def nodes(s: Stmt) -> frozenset[Owner]:
        match s:
            case Alloc(buffer):
                return _union(nodes(a.stmt) for a in accesses if buffer.name in a.writes)
            case Prefetch(buffer):
                return serves(frozenset([buffer.name]))
        if s in own:
            return own[s] or serves(frozenset(b.name for b in targets(s)))
        return _union(nodes(t) for t in in_order(s) if t in own)

    return {
        line: found
        for place in places(program)
        for found in [nodes(place.stmt)]
        for line in range(place.line, place.line + place.lines)
    }
