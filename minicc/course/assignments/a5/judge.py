"""The judge of A5: each kernel must be one, by the rules of the page; all are at most as many as the solution makes; what they compute is the same.

A reason must be a true one: it is looked up in the kernels that were handed in.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np

from minicc import ops
from minicc.course.answers import LocalAnswers
from minicc.course.judging import Unequal, judged
from minicc.graph import Graph, input
from minicc.graph.ir import Constant, Input
from minicc.ops.base import Kind
from minicc.types import TensorType, float32

FILE = "fusion.py"
SOLVED = LocalAnswers(Path(__file__).parent)
HEARTS, PLACED = (Kind.REDUCTION, Kind.ANCHOR), (Kind.ELEMENTWISE, Kind.BROADCAST)


# ---- what is right


def shown(graph):
    """The text of a graph, without the values of constants."""
    return re.sub(r"(Constant\[\S+) .*\]\(\)", r"\1]()", str(graph))


class Kernels:
    """Kernels that were handed in: each operator is in one of them."""

    def __init__(self, graph, given):
        self.graph, self.users = graph, graph.users()
        self.nodes = [n for n in graph.nodes if not isinstance(n.op, (Input, Constant))]
        places = [k for group in given for k in group]
        wanted = sorted(graph.nodes.index(n) for n in self.nodes)
        if sorted(places) != wanted:
            raise Unequal(f"expected each of the operators {wanted} in one kernel, got {given} of {shown(graph)}")
        self.groups = [[graph.nodes[k] for k in group] for group in given]
        self.of = {n: group for group in self.groups for n in group}

    def check_all(self):
        """Raise Unequal unless each group of nodes may be a kernel."""
        for group in self.groups:
            self.check(group)

    def check(self, group):
        """Raise Unequal unless these nodes may be a kernel."""
        leaving = [n for n in group if n in self.graph.outputs or any(r not in group for r in self.users[n])]
        hearts = [n for n in group if n.op.kind in HEARTS]
        if len(leaving) != 1:
            self.refuse(group, f"one value that leaves it, got those of {self.called(leaving)}")
        if len(hearts) > 1:
            self.refuse(group, f"one heart, got {self.called(hearts)}")
        before = self.read_by(hearts[0], group) if hearts else set()
        for n in group:
            self.check_member(n, group, hearts, before)

    def check_member(self, n, group, hearts, before):
        within = [r for r in self.users[n] if r in group]
        if hearts and n in before and n is not hearts[0] and hearts[0].op.kind is Kind.ANCHOR:
            self.refuse(group, f"nothing in what an anchor reads, got {n.op.name}")
        if hearts and n not in before and (n.op.kind not in PLACED or n.type.shape != hearts[0].type.shape):
            self.refuse(group, f"an epilogue in the shape of {hearts[0].op.name} that moves nothing, got {n.op.name}")
        if any(self.stretches(r, n) for r in within):
            self.refuse(group, f"no value that is computed more than once, got that of {n.op.name}")

    def read_by(self, heart, group):
        """The heart, and the members that it needs."""
        found, stack = {heart}, [heart]
        while stack:
            more = [i for i in stack.pop().inputs if i in group and i not in found]
            found.update(more)
            stack += more
        return found

    def stretches(self, reader, n):
        return reader.op.kind is Kind.BROADCAST and reader.type.shape != n.type.shape

    def called(self, nodes):
        named = [n for n in self.graph.nodes if not isinstance(n.op, Input)]  # %0, %1, ... in the text
        return ", ".join(f"{n.op.name} %{named.index(n)}" for n in nodes) or "none"

    def refuse(self, group, expected):
        raise Unequal(f"expected of the kernel of {self.called(group)} {expected}; in {shown(self.graph)}")

    def true(self, n, reader):
        """The reasons that are true of n and the kernel of a reader."""
        ours, theirs = self.of[n], self.of[reader]
        heart, other = (next((m for m in group if m.op.kind in HEARTS), None) for group in (ours, theirs))
        rest, readers = theirs if heart else ours, [r for r in self.users[n] if r in theirs]
        facts = {
            "output": n in self.graph.outputs,
            "readers": any(self.of[r] is not theirs for r in self.users[n]),
            "hearts": heart is not None and other is not None,
            "anchor": any(r.op.kind is Kind.ANCHOR for r in readers),
            "repeats": any(self.stretches(r, n) for r in readers),
            "shape": bool(heart or other) and any(m.type.shape != (heart or other).type.shape for m in rest),
            "moves": bool(heart or other) and any(m.op.kind is Kind.INJECTIVE for m in rest),
        }
        return [reason for reason, holds in facts.items() if holds]


def fewest(graph):
    """How many kernels the solution makes."""
    return len(SOLVED.call(FILE, "kernels", graph))


def handed_in(answers, graph):
    """The kernels of a submission. Raises Unequal where they are none."""
    given = answers.call(FILE, "kernels", graph)
    if not isinstance(given, list) or not all(isinstance(g, list) and g and {*map(type, g)} == {int} for g in given):
        raise Unequal("expected lists of places")
    return Kernels(graph, given)


def as_few(answers, graph):
    """Raise Unequal unless the kernels are legal, and at most as many as ours."""
    found = handed_in(answers, graph)
    found.check_all()
    if len(found.groups) > (most := fewest(graph)):
        kernels = "; ".join(found.called(group) for group in found.groups)
        raise Unequal(f"expected at most {most} kernels, got {len(found.groups)}: {kernels}; in {shown(graph)}")


def tells_why(answers, graph):
    """Raise Unequal unless each edge between kernels has a true reason; whether the kernels are legal is asked elsewhere."""
    found = handed_in(answers, graph)
    least = fewest(graph)
    if not max(min(least, 2), least / 2) <= len(found.groups) <= 2 * least:
        raise Unequal(f"expected about {least} kernels, got {len(found.groups)}; in {shown(graph)}")
    given = answers.call(FILE, "reasons", graph)
    if not isinstance(given, list) or not all(
        isinstance(r, list) and [*map(type, r)] == [int, int, str] for r in given
    ):
        raise Unequal("expected rows of two places and a reason")
    edges = {(n, r) for n in found.nodes for r in found.users[n] if found.of[n] is not found.of[r]}
    told = {(row[0], row[1]): row[2] for row in given}
    unknown = 0
    for n, r in sorted(edges, key=lambda edge: [graph.nodes.index(m) for m in edge]):
        place, right = (graph.nodes.index(n), graph.nodes.index(r)), found.true(n, r)
        unknown += not right  # there is none: the kernels are at fault
        if right and told.get(place) not in right:
            raise Unequal(
                f"expected one of {right} for {found.called((n, r))}, got {told.get(place)!r}; in {shown(graph)}"
            )
    if 2 * unknown > len(edges):
        raise Unequal(
            f"expected kernels between which there are reasons, got {[[*map(graph.nodes.index, group)] for group in found.groups]}; in {shown(graph)}"
        )


# ---- what is asked


class GrowingGraph:
    """A graph that grows: `light`, `heart` and so on put an operator behind a value."""

    def __init__(self, draw):
        self.draw, self.n = draw, draw.choice((4, 6))
        self.random, self.inputs = np.random.default_rng(draw.getrandbits(32)), []

    def input(self, *shape):
        made = input(f"x{len(self.inputs)}", TensorType(float32, shape or (self.n, self.n)))
        self.inputs.append(made)
        return made

    def array(self, *shape):
        return self.random.standard_normal(shape).astype(np.float32)

    def light(self, x, count=1):
        for _ in range(count):
            other = self.draw.choice((self.array(*x.shape), self.array(x.shape[-1]), self.array(1)))
            op = self.draw.choice((ops.Relu(), ops.Neg(), ops.Sigmoid(), ops.Tanh(), ops.Add(), ops.Mul(), ops.Sub()))
            x = op(x, other) if op.kind is Kind.BROADCAST else op(x)
        return x

    def product(self, x, columns=None):
        return ops.MatMul()(x, self.array(x.shape[-1], columns or self.n))

    def total(self, x):
        return ops.ReduceSum(axes=(1,), keepdims=True)(x)

    def turned(self, x):
        return ops.Transpose((1, 0))(x)

    def graph(self, *outputs):
        return Graph("g", tuple(self.inputs), outputs, tuple(f"y{k}" for k in range(len(outputs))))


def chains(draw):
    """Light operators, each with one reader."""
    d = GrowingGraph(draw)
    yield "a chain", d.graph(d.light(d.input(), draw.randint(2, 5)))
    d = GrowingGraph(draw)
    yield "a tree", d.graph(ops.Add()(d.light(d.input(), 2), ops.Mul()(d.light(d.input()), d.light(d.input(), 2))))
    d = GrowingGraph(draw)
    yield "a stretched row", d.graph(d.light(ops.Add()(d.input(), d.light(d.input(d.n), 2))))
    d = GrowingGraph(draw)
    yield "a stretched column", d.graph(d.light(ops.Mul()(d.light(d.input(d.n, 1)), d.light(d.input())), 2))
    d = GrowingGraph(draw)
    yield "movement in a chain", d.graph(d.light(d.turned(d.light(d.input(3, d.n), 2))))
    d = GrowingGraph(draw)
    yield "two chains", d.graph(d.light(d.input(), 3), d.light(d.turned(d.input()), 2))


def epilogues(draw):
    """Hearts, and operators behind them, each with one reader."""
    d = GrowingGraph(draw)
    yield "one behind", d.graph(d.light(d.product(d.input())))
    d = GrowingGraph(draw)
    yield "two hearts", d.graph(d.light(d.product(d.product(d.input()))))
    d = GrowingGraph(draw)
    yield "a sum", d.graph(d.light(d.total(d.input())))
    d = GrowingGraph(draw)
    yield "a heart behind a heart", d.graph(d.total(d.product(d.input())))
    d = GrowingGraph(draw)
    yield "movement behind", d.graph(d.turned(d.product(d.input())))
    d = GrowingGraph(draw)
    yield "movement behind what is light", d.graph(d.light(d.turned(d.light(d.product(d.input())))))
    d = GrowingGraph(draw)
    yield "a sum that is stretched", d.graph(ops.Sub()(d.input(), d.total(d.input())))
    d = GrowingGraph(draw)
    yield "a product that is stretched", d.graph(ops.Add()(d.input(3, d.n, d.n), d.product(d.input())))
    d = GrowingGraph(draw)
    yield "several behind", d.graph(d.light(d.product(d.input(), 3), draw.randint(2, 4)))
    d = GrowingGraph(draw)
    yield "two products meet", d.graph(ops.Add()(d.product(d.input()), d.product(d.input())))


def shared(draw):
    """Values with several readers, or none."""
    d = GrowingGraph(draw)
    x = d.light(d.input())
    yield "a diamond", d.graph(ops.Mul()(d.light(x), d.light(x, 2)))
    d = GrowingGraph(draw)
    x = d.product(d.input())
    yield "a diamond behind a product", d.graph(ops.Mul()(x, ops.Sigmoid()(x)))
    d = GrowingGraph(draw)
    x = d.light(d.input())
    yield "an output in the middle", d.graph(x, d.light(x, 2))
    d = GrowingGraph(draw)
    x = d.light(d.input(), 2)
    yield "two outputs of one value", d.graph(d.light(x), ops.Exp()(x))
    d = GrowingGraph(draw)
    x = d.light(d.input())
    yield "out and back", d.graph(ops.Add()(x, d.product(x)))
    d = GrowingGraph(draw)
    x = d.product(d.input())
    yield "a product, out and back", d.graph(ops.Add()(d.light(x), d.light(d.product(x))))
    d = GrowingGraph(draw)
    x = d.product(d.input())
    y = ops.Mul()(x, ops.Sigmoid()(x))
    yield "a diamond in a diamond", d.graph(ops.Add()(d.light(y), ops.Neg()(y)))
    d = GrowingGraph(draw)
    x = d.light(d.input())
    yield "the same value twice, and once more", d.graph(ops.Mul()(x, x), d.total(x))


def beside(draw):
    """Kernels of a heart, and light operators before and beside it."""
    d = GrowingGraph(draw)
    yield "before a sum", d.graph(d.total(d.light(d.input(), draw.randint(1, 3))))
    d = GrowingGraph(draw)
    yield "before a product", d.graph(d.product(d.light(d.input())))
    d = GrowingGraph(draw)
    yield "movement before a sum", d.graph(d.total(d.turned(d.input())))
    d = GrowingGraph(draw)
    yield "beside a product", d.graph(ops.Add()(d.product(d.input()), d.light(d.input())))
    d = GrowingGraph(draw)
    yield "movement beside a product", d.graph(ops.Add()(d.turned(d.input()), d.product(d.input())))
    d = GrowingGraph(draw)
    yield "a row beside a product", d.graph(ops.Add()(d.light(d.input(d.n)), d.product(d.input())))
    d = GrowingGraph(draw)
    yield "a stretched column before a sum", d.graph(d.total(ops.Mul()(d.input(), d.light(d.input(d.n, 1)))))


def networks(draw):
    """All of it in small networks."""
    d = GrowingGraph(draw)
    x = d.input()
    yield "a softmax", d.graph(ops.Div()(e := ops.Exp()(d.light(x)), d.total(e)))
    d = GrowingGraph(draw)
    x = d.light(d.product(d.input()), 2)
    y = d.light(d.product(d.light(d.product(x))), 2)
    yield "a residual block", d.graph(d.light(ops.Add()(x, y), 2))
    d = GrowingGraph(draw)
    x = d.input()
    q, k = d.product(x), d.product(x)
    yield "attention scores", d.graph(d.light(ops.MatMul()(q, d.turned(k))))
    d = GrowingGraph(draw)
    yield "a layer", d.graph(d.turned(d.light(d.product(d.light(d.input(), 2)))))
    d = GrowingGraph(draw)
    x = d.product(d.input())
    centred = ops.Sub()(x, d.total(x))
    yield "a normalization", d.graph(ops.Div()(centred, d.light(d.total(ops.Mul()(centred, centred)))))
    d = GrowingGraph(draw)
    x, y = (d.product(d.light(d.input())) for _ in range(2))
    yield "two hearts, one read twice", d.graph(ops.Add()(ops.Mul()(x, ops.Sigmoid()(x)), d.light(y)))
    for n in range(2):
        d = GrowingGraph(draw)
        values = [d.input(), d.input()]
        for _ in range(draw.randint(4, 6 + 2 * n)):
            made = draw.choice((d.light, d.light, d.product, d.light))(draw.choice(values[-3:]))
            values.append(made if draw.random() < 0.7 else ops.Add()(made, draw.choice(values)))
        yield f"a random network {n}", d.graph(*values[-2:])


def task(drawn, check, answers, draw):
    """A judgment for each graph, together with the first one, in which something must be fused: to fuse nothing earns nothing."""
    graphs = list(drawn(draw))
    for title, graph in graphs:
        yield judged(title, partial(both, check, answers, graphs[0][1], graph))


def both(check, answers, first, graph):
    for each in dict.fromkeys((first, graph)):
        check(answers, each)


task5_1, task5_2, task5_3, task5_4 = (partial(task, drawn, as_few) for drawn in (chains, epilogues, shared, beside))
task5_5 = partial(task, networks, tells_why)
