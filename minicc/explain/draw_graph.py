"""The picture of a graph: its operators by kind, the kernels around them, and on each arrow the type of the value.

In: a `Graph`, before or after fusion, bound or not. Out: a `Picture`, or where that would be more than a screen, `Pictures`: sections
which end where few values go on, blocks that repeat drawn once. Constants stand in a strip of the operator that reads them. A kernel
holds the picture of its operators, and so do the branches and loops of control flow; what is too large for that gets
sections of its own. Numbers such as %7 are those of the printed graph.

>>> from minicc.graph import Graph, input
>>> from minicc.ops import Relu
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2,)))
>>> draw_graph(Graph("main", (x,), (Relu()(x),), ("y",))).words
'1 operator: 1 x elementwise or broadcast. It reads x: float32[2], and gives y: float32[2].'
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

from minicc.errors import MiniccError
from minicc.explain.flow import FALL, GAP, ROOM, SHORT, Box, beside, box, flow, frame, moved, pill, stacked
from minicc.explain.page import Pictures, Plate
from minicc.explain.picture import Picture, count, cut, legend, used
from minicc.explain.sections import Chain, Piece, Screen
from minicc.graph.ir import Constant, Graph, Input, Kernel, Node
from minicc.ops.base import Kind, Operator

SCREEN = 540  # pixels: the height of a section, without its legend
INLINE = 400  # the height of what is drawn within a node
MOST = 40  # operators that are drawn within a node
DEEPEST = 3  # boxes within boxes
MARGIN = 10
HOVER, NAME, FEW, MANY = 600, 200, 4, 5  # letters; copies of a section that are told; values from elsewhere that are
KINDS = {
    "c1": "anchor", "c2": "reduction", "c3": "elementwise or broadcast", "c5": "injective: moves elements", "c6": "opaque or several operators",
    "c7": "run by the reference", "c8": "constant", "c4": "input or output", "soft": "kernel or body", "none": "in another section",
}  # fmt: skip
KIND = {
    Kind.ANCHOR: "c1", Kind.REDUCTION: "c2", Kind.ELEMENTWISE: "c3", Kind.BROADCAST: "c3", Kind.INJECTIVE: "c5", Kind.OPAQUE: "c6",
}  # fmt: skip


def kind(op: Operator) -> str:
    """The class of an operator, whose meaning is in KINDS."""
    if isinstance(op, Kernel):
        return "soft"
    if isinstance(op, (Input, Constant)):
        return "c8" if isinstance(op, Constant) else "c4"
    return "c7" if op.interpreted else KIND[op.kind]


def draw_graph(graph: Graph) -> Picture | Pictures:
    """The picture of a graph; several of them where it is more than a screen."""
    todo: dict[Any, tuple[str, Graph]] = {graph.key: ("", graph)}
    found: list[Plate] = []
    for name, part in _growing(todo):
        found += _Drawing(part, name, todo, len(found)).sections()
    title, words = f"graph {graph.name[:NAME]}", describe(graph)
    if len(found) == 1 and not found[0].note:
        return replace(found[0].picture, title=title, words=words)
    where = "Each section is at most a screen; values that come from other sections, or go there, have a number."
    return Pictures(title, f"{words} {where}", found)


def _growing(todo: dict[Any, tuple[str, Graph]]) -> Iterator[tuple[str, Graph]]:
    """All that is in it, also what is added meanwhile."""
    done = 0
    while done < len(todo):
        yield list(todo.values())[done]
        done += 1


def describe(graph: Graph) -> str:
    """What is to be seen of a graph, in words."""
    nodes = [n for n in graph.nodes if not isinstance(n.op, (Input, Constant))]
    counts = Counter("kernel" if isinstance(n.op, Kernel) else KINDS[kind(n.op)].partition(":")[0] for n in nodes)
    inner = sum(len(b.nodes) - len(b.inputs) for n in nodes if isinstance(n.op, Kernel) for b in n.op.bodies)
    parts = ", ".join(f"{many} x {name}" for name, many in counts.most_common())
    weights = sum(isinstance(n.op, Constant) for n in graph.nodes)
    reads = ", ".join(f"{name}: {n.inferred or '?'}" for name, n in zip(graph.input_names, graph.inputs, strict=True))
    gives = ", ".join(f"{name}: {n.inferred or '?'}" for name, n in zip(graph.output_names, graph.outputs, strict=True))
    return (
        f"{len(nodes)} {'node' if inner else 'operator'}{'s' * (len(nodes) != 1)}{': ' * bool(parts)}{parts}"
        + (f"; {inner} operators in kernels" if inner else "")
        + (f"; {count(weights, 'constant')}" if weights else "")
        + f". It reads {cut(reads or 'nothing', 3000)}, and gives {cut(gives or 'nothing', 3000)}."
    )


class Abroad(NamedTuple):
    """Where the value of a node comes from that is not here, and where else it is read, in words; readers may be none."""

    source: Callable[[Node], str]
    readers: Callable[[Node], str]


HERE = Abroad(str, lambda n: "")


@dataclass
class _Drawing:
    """A graph on its way to sections, the first of which has a number; what is to be drawn apart goes to `todo`."""

    graph: Graph
    title: str  # what stands before the names of nodes: nothing for the graph itself
    todo: dict[Any, tuple[str, Graph]]
    first: int = 0
    depth: int = 0
    given: Sequence[Node | None] = ()  # what the inputs of a kernel's body stand for
    obvious: set[Node] = field(default_factory=set)  # inputs that need no sign
    boxes: dict[Node, Box] = field(default_factory=dict)

    @cached_property
    def names(self) -> dict[Node, str]:
        """As the printed graph has them."""
        inputs = dict(zip(self.graph.inputs, self.graph.input_names, strict=True))
        others = [n for n in self.graph.nodes if n not in inputs]
        return inputs | {n: f"%{k}" for k, n in enumerate(others)}

    @cached_property
    def constants(self) -> dict[Node, Node]:
        """What stands in strips: constants, and the inputs of a kernel's body that stand for some."""
        held = {n: n for n in self.graph.nodes if isinstance(n.op, Constant)}
        pairs = zip(self.graph.inputs, self.given, strict=False)
        return held | {n: outer for n, outer in pairs if outer is not None and isinstance(outer.op, Constant)}

    @cached_property
    def nodes(self) -> list[Node]:
        """What is a box between inputs and outputs."""
        read = {i for n in self.graph.nodes for i in n.inputs}
        return [
            n for n in self.graph.nodes if not isinstance(n.op, Input) and (n not in self.constants or n not in read)
        ]

    @cached_property
    def users(self) -> dict[Node, list[Node]]:
        return self.graph.users()

    def reads(self, n: Node) -> list[Node]:
        return [i for i in dict.fromkeys(n.inputs) if i not in self.constants and i not in self.obvious]

    # ---- boxes ----

    def box(self, n: Node) -> Box:
        if n not in self.boxes:
            self.boxes[n] = self._box(n)
        return self.boxes[n]

    def _box(self, n: Node) -> Box:
        told = self.depth and (n in self.graph.outputs or n.inferred in [i.inferred for i in n.inputs])
        label = "" if told else str(n.inferred or "?")
        name = self.names.get(n, "")
        more = {"data_node": name}
        if isinstance(n.op, Input):
            return pill(
                n.op.label, "c4", self.hover(n), str(n.inferred or "?") if not self.depth else "", data_node=name
            )
        if isinstance(n.op, Constant):
            return box(f"= {_value(n)}", "c8", self.hover(n), label, name, **more)
        title = n.op.label if isinstance(n.op, Kernel) else n.op.name
        if n.op.bodies:
            if (inside := self.inside(n)) is not None:
                return frame(title, inside, "soft", self.hover(n), label, name, **more)
            count = sum(len(b.nodes) - len(b.inputs) for b in n.op.bodies)
            return box(
                title, kind(n.op), self.hover(n), label, name, f"{count} operators, below", strip_kind="soft", **more
            )
        held = [self.constants[i] for i in dict.fromkeys(n.inputs) if i in self.constants]
        strip = ", ".join(
            f"{count} x {what}" if count > 1 else what for what, count in Counter(map(_value, held)).items()
        )
        return box(title, kind(n.op), self.hover(n), label, name, strip, " ".join(map(self.hover, held)), **more)

    def hover(self, n: Node) -> str:
        """What a node is, as the graph prints it, what kind of operator, and where it comes from."""
        what = _value(n) if isinstance(n.op, Constant) else n.op.label if isinstance(n.op, Kernel) else n.op
        origin = self.graph.where(n)
        text = f"{self.names.get(n, '')} = {n.op.name if isinstance(n.op, (Kernel, Constant)) else ''} {what} : {n.inferred or '?'}"
        return f"{text[:HOVER]}\n{KINDS[kind(n.op)]}" + f"\n{origin}"[:HOVER] * bool(origin)

    def inside(self, n: Node) -> Box | None:
        """The bodies of a node, side by side; None where they are drawn elsewhere."""
        titles = [name for name in n.op.__match_args__ if isinstance(getattr(n.op, name), Graph)]
        whole = isinstance(n.op, Kernel)  # what it is has its name, and one value, which leaves by the frame
        at = [
            f"{self.title}{n.op.label if isinstance(n.op, Kernel) else f'{t} of {self.names[n]} {n.op.name}'}: "
            for t in titles
        ]
        made = []
        for title, where, body in zip(titles, at, n.op.bodies, strict=True):
            inner = _Drawing(body, where, self.todo, depth=self.depth + 1, given=n.inputs if whole else ())
            if self.depth < DEEPEST and len(inner.nodes) <= MOST:
                drawn = inner.all(outputs=not whole)
                made.append(drawn if whole else frame(title, drawn))
        held = beside(made) if sum(b.width for b in made) + GAP <= ROOM else stacked(made)
        if len(made) == len(titles) and held.height <= INLINE and held.width <= ROOM:
            return held
        for where, body in zip(at, n.op.bodies, strict=True):
            self.todo.setdefault(body.key, (where, body))
        return None

    # ---- flows ----

    def all(self, outputs: bool = True) -> Box:
        """All of the graph as one flow, the names of its outputs below."""
        inputs = [n for n in self.graph.inputs if n not in self.constants]
        if self.given and len(inputs) == 1 and sum(inputs[0] in n.inputs for n in self.nodes) == 1:
            self.obvious, inputs = set(inputs), []  # the arrow into a kernel goes where none comes from within
        return self.flow(self.nodes, HERE, inputs, outputs)

    def flow(self, nodes: Sequence[Node], there: Abroad, inputs: Iterable[Node] = (), outputs: bool = True) -> Box:
        """Some nodes, above them what they read from elsewhere, and below them what others read."""
        inside = set(nodes)
        shown, rest = list(inputs)[:MOST], list(inputs)[MOST:]
        outer = dict.fromkeys([*shown, *(i for n in nodes for i in self.reads(n) if i not in inside)])
        boxes, sign = self._signs(list(outer), nodes, there)
        boxes |= {n: self.box(n) for n in nodes}
        edges: list[tuple[Any, Any]] = list(dict.fromkeys((sign.get(i, i), n) for n in nodes for i in self.reads(n)))
        if rest := [n for n in rest if n not in outer]:
            boxes["more",] = pill(
                f"{len(rest)} more inputs, not read", "c4", ", ".join(map(self.names.__getitem__, rest))[:HOVER]
            )
        for k, (name, n) in enumerate(zip(self.graph.output_names, self.graph.outputs, strict=True)):
            if outputs and (n in inside or (n in outer and n in shown)):
                boxes["out", k] = pill(
                    name, "c4", f"output {name}: {n.inferred or '?'}"[:HOVER], data_output=name[:NAME]
                )
                edges.append((n, ("out", k)))
        for n in nodes:
            if readers := there.readers(n):
                boxes["to", n] = pill(f"to {readers}", "none", f"{self.names[n]} is read in {readers}")
                edges.append((n, ("to", n)))
        hover = {n: f"{self.names[n]}: {n.inferred or '?'}" for n in (*outer, *nodes) if n not in sign}
        return flow(boxes, edges, fall=FALL if self.depth == 0 else SHORT, hover=hover)

    def _signs(
        self, outer: Sequence[Node], nodes: Sequence[Node], there: Abroad
    ) -> tuple[dict[Any, Box], dict[Node, Any]]:
        """Boxes for what comes from elsewhere, one for many values that the same nodes read; and for each such value, its box."""
        alike: dict[Any, list[Node]] = {}
        for n in outer:
            readers = tuple(r for r in nodes if n in r.inputs)
            alike.setdefault(n if isinstance(n.op, Input) else (there.source(n), readers), []).append(n)
        boxes, sign = dict[Any, Box](), dict[Node, Any]()
        for key, found in alike.items():
            if isinstance(key, Node):
                boxes[key] = self.box(key)
            elif len(found) <= MANY:
                boxes |= {
                    n: pill(f"{self.names[n]} from {key[0]}", "none", self.hover(n), str(n.inferred or "?"))
                    for n in found
                }
            else:
                names = ", ".join(self.names[n] for n in found)
                boxes["from", key] = pill(f"{len(found)} values from {key[0]}", "none", names[:HOVER])
                sign |= dict.fromkeys(found, ("from", key))
        return boxes, sign

    # ---- sections ----

    @cached_property
    def chain(self) -> Chain:
        kept = set(self.graph.outputs).intersection(self.nodes)
        size = lambda n: (self.box(n).broad, self.box(n).below)  # noqa: E731
        return Chain(self.nodes, self.reads, self.look, size, kept, outside=lambda n: n.inferred)

    def look(self, n: Node) -> Any:
        """What is seen of a node but for what it reads."""
        ends = self.graph.outputs.count(n)
        return (
            n.op,
            n.inferred,
            ends,
            tuple(self.constants[i].inferred if i in self.constants else None for i in n.inputs),
        )

    def sections(self) -> list[Plate]:
        """The pictures of the graph, each at most a screen."""
        if len(self.nodes) <= 2 * MOST:
            whole, title = self.all(), f"{self.first + 1}. {self.title or self.graph.name}".removesuffix(": ")
            if not self.nodes or (whole.height <= SCREEN and whole.width <= 2 * ROOM):
                return [Plate(title, self.picture(whole, title, self.nodes))]
        pieces = self.chain.pieces(Screen(ROOM, SCREEN, FALL, GAP))
        return list(self._numbered(pieces))

    def _numbered(self, pieces: Sequence[Piece]) -> Iterator[Plate]:
        seen: dict[Any, int] = {}
        at = self.chain.at
        number = {k: self.first + j for j, p in enumerate(pieces, 1) for copy in p.copies() for k in copy}
        read_by: dict[Node, list[int]] = {n: [] for n in self.nodes}
        for k, read in enumerate(self.chain.reads):
            for i in read:
                if i in at:
                    read_by[i].append(k)

        def source(n: Node, piece: Piece) -> str:
            k = next(k for k in range(piece.start, piece.stop) if n in self.chain.reads[k])
            place = self.chain.reads[k].index(n)
            origins = [self.chain.reads[k + j * piece.period][place] for j in range(piece.times)]
            return ", then ".join(dict.fromkeys(str(number[at[i]]) for i in origins))

        def readers(n: Node, piece: Piece) -> str:
            copies = [(self.nodes[at[n] + c.start - piece.start], c) for c in piece.copies()]
            return ", ".join(map(str, sorted({number[k] for i, c in copies for k in read_by[i] if k not in c})))

        for j, piece in enumerate(pieces, self.first + 1):
            nodes = self.nodes[piece.start : piece.stop]
            title = f"{j}. {self.title}{self.names[nodes[0]]}" + f" to {self.names[nodes[-1]]}" * (len(nodes) > 1)
            same = seen.setdefault(self._shape(piece), j)
            notes = [f"{piece.times} times: also {self._copies(piece)}"] if piece.times > 1 else []
            notes += [f"the same as section {same}"] if same != j else []
            unread = [n for n in self.graph.inputs if n not in self.constants and not self.users[n]]
            made = self.flow(
                nodes,
                Abroad(partial(source, piece=piece), partial(readers, piece=piece)),
                unread if j == self.first + 1 else (),
            )
            yield Plate(title, self.picture(made, title, nodes), "; ".join(notes), same == j)

    def _shape(self, piece: Piece) -> Any:
        """What two pieces that are drawn alike have in common."""
        at, reads = self.chain.at, self.chain.reads

        def origin(i: Node) -> Any:
            inside = i in at and piece.start <= at[i] < piece.stop
            return at[i] - piece.start if inside else (i.inferred, i.op.name)

        return tuple((self.look(self.nodes[k]), tuple(map(origin, reads[k]))) for k in range(piece.start, piece.stop))

    def _copies(self, piece: Piece) -> str:
        """The other nodes that a piece stands for."""
        ends = [(self.names[self.nodes[c[0]]], self.names[self.nodes[c[-1]]]) for c in piece.copies()[1:]]
        others = f", and {len(ends) - FEW} more" * (len(ends) > FEW)
        return ", ".join(f"{a} to {b}" if a != b else a for a, b in ends[:FEW]) + others

    def picture(self, made: Box, title: str, nodes: Sequence[Node]) -> Picture:
        """A flow as a picture, with a legend."""
        width = max(made.width, ROOM) + 2 * MARGIN
        entries = used(made.shapes, KINDS)
        keys, bottom = legend(MARGIN, MARGIN + made.height + 14, entries, width - 2 * MARGIN)
        moved_to = moved(made, (width - made.width) / 2, MARGIN)
        words = ", ".join(f"{self.names[n]} {n.op.label if isinstance(n.op, Kernel) else n.op.name}" for n in nodes)
        return Picture(
            title,
            f"{len(nodes)} boxes from above to below: {cut(words, 6000)}.",
            width,
            bottom + MARGIN,
            [moved_to, *keys],
        )


def _value(n: Node) -> str:
    """A constant: its number, or its type."""
    if (
        n.inferred is not None
        and n.inferred.is_bound
        and all(d == 1 for d in n.inferred.shape)
        and isinstance(n.op, Constant)
    ):
        try:
            return f"{n.array.reshape(()).item()!r:.20}"
        except MiniccError:  # in a file that is gone
            pass
    return str(n.inferred or "?")
