"""The explorer: a page of all stages of one compilation side by side, linked line by line.

In: an `Explored`. Out: the text of an HTML page that opens offline. What it shows stands in it as JSON, in which equal lines
are stored once; `explorer.js` shows it, and lights up all that comes from what is clicked.

    found = explore_model(minicc.load("model.onnx"), Target.native())
    write_file(Path("model.explore.html"), explorer_page(found).encode())
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from importlib import resources
from typing import Any

from minicc.explain.explored import ExploredCall, Explored, ExploredKernel, GraphStage
from minicc.explain.operators import operators_of_lines, operators_of_tensors, tensors_of_lines
from minicc.explain.origins import operators, origins, parts
from minicc.explain.page import Pictures, data, figure, page, paragraph, section
from minicc.explain.picture import Picture
from minicc.graph.ir import Constant, Graph, Kernel, Node, Span
from minicc.tensor.tensor import tensors_of

Row = list[Any] | str  # a line, or a line and the numbers of the operators that it is about
Made = dict[str, Any]


class Rows:
    """Lines and texts, each stored once, and known by its number."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, tuple[int, ...]], int] = {}
        self.texts: dict[tuple[int, ...], int] = {}

    def text(self, lines: Iterable[tuple[str, Iterable[int]]]) -> int:
        """The number of a text of these lines, each with the operators that it is about."""
        numbers = [self.rows.setdefault((line, tuple(who)), len(self.rows)) for line, who in lines]
        return self.texts.setdefault(tuple(numbers), len(self.texts))

    def plain(self, text: str | Sequence[str]) -> int:
        """The number of a text of which nothing more is known."""
        return self.text((line, ()) for line in (text.splitlines() if isinstance(text, str) else text))

    def json(self) -> Made:
        """Both, in order."""
        rows: list[Row] = [[line, *who] if who else line for line, who in self.rows]
        return {"rows": rows, "texts": list(self.texts)}


def change(before: Sequence[Hashable], after: Sequence[Hashable]) -> tuple[list[int], list[int]]:
    """The lines that are gone, by their numbers in the text before, and those that are new, by theirs in the text after.

    >>> change("abcd", "axcde")
    ([1], [1, 4])
    """
    gone, new = list[int](), list[int]()
    for kind, i, j, p, q in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind != "equal":
            gone += range(i, j)
            new += range(p, q)
    return gone, new


# ---- graphs -----------------------------------------------------------------------------------------------------


class ModelOperators:
    """The operators of a model, numbered in order, and which of them a node comes from, in any graph of its passes.

    What a frontend made of one operator of the file is one, as its nodes have one span.
    """

    def __init__(self, found: Explored) -> None:
        nodes = operators(found.model) if found.model else []
        self.names = {(found.model and found.model.spans.get(n)) or n: n.op.name for n in nodes}
        self._number = {key: k for k, key in enumerate(self.names)}
        for n in nodes:  # what data decide is compiled by itself: it is of the operator that holds it
            for key in _inside(n):
                self._number.setdefault(key, self._number[(found.model and found.model.spans.get(n)) or n])
        self._known: dict[
            int, dict[Node, frozenset[int]]
        ] = {}  # of each graph, by what is in its operators where nothing is fused
        self._of: dict[
            int, dict[tuple[Node, ...], frozenset[int]]
        ] = {}  # of each graph, by the nodes around each other
        for made in found.stages:
            if id(made.before) not in self._of:  # the model, or a part of it that data decide
                self._note(made.before, {n: self._by_span(made.before, n) for n in operators(made.before)}, {})
            if made.after is not made.before:
                whole = {n: self._union(made.before, froms) for n, froms in origins(made.before, made.after).items()}
                self._note(made.after, whole, self._known[id(made.before)])

    def _by_span(self, graph: Graph, n: Node) -> frozenset[int]:
        key = graph.spans.get(n, n)
        return frozenset([self._number[key]] if key in self._number else ())

    def _union(self, graph: Graph, nodes: Iterable[Node]) -> frozenset[int]:
        return frozenset().union(*(self._of[id(graph)][n,] for n in nodes))

    def _note(self, graph: Graph, whole: Mapping[Node, frozenset[int]], known: Mapping[Node, frozenset[int]]) -> None:
        """A graph of whose operators it is known what they come from; `known` says it of what is in them, as far as it does."""
        noted, plain = dict[tuple[Node, ...], frozenset[int]](), dict[Node, frozenset[int]]()
        for n, inside in parts(graph).items():
            noted[n,] = whole[n]
            for b, made in inside.items():
                noted[n, b] = plain[made] = known.get(made, whole[n]) if isinstance(n.op, Kernel) else whole[n]
        for n, users in graph.users().items():
            if isinstance(n.op, Constant):  # it is of what reads it
                noted[n,] = frozenset().union(*(noted.get((user,), ()) for user in users))
        self._of[id(graph)], self._known[id(graph)] = noted, plain

    def of(self, graph: Graph, *chain: Node) -> tuple[int, ...]:
        """The numbers of the operators that a node of a graph comes from, or one inside of it."""
        noted = self._of[id(graph)]
        return tuple(sorted(noted.get(chain[:2], noted.get(chain[:1], frozenset()))))

    def json(self) -> list[str]:
        """The place of each in the file, or its name."""
        return [str(key) if isinstance(key, Span) else name for key, name in self.names.items()]


def _inside(n: Node) -> Iterator[Node | Span]:
    """What the operators in the bodies of a node are known by."""
    for body in n.op.bodies:
        for b in operators(body):
            yield body.spans.get(b, b)
            yield from _inside(b)


def chains(graph: Graph) -> Iterator[tuple[Node, ...]]:
    """For each line of the text of a graph the node that it is about, in the graph, then in the graph that this holds, and so on."""
    inputs = set(graph.inputs)
    yield ()
    for n in graph.nodes:
        if n not in inputs:
            yield (n,)
            for body in n.op.bodies:
                yield from ((n, *inside) for inside in chains(body))
    yield from ((), ())


def graph_keys(graph: Graph, lines: Sequence[str]) -> list[Hashable]:
    """What is equal of lines that say the same, however values are numbered: operator, type and span, also of what is read."""

    def said(n: Node) -> Hashable:
        return n.op, n.inferred, graph.spans.get(n)

    return [tuple((said(n), *map(said, n.inputs)) for n in chain) or re.sub(r"%\d+", "%", line)
            for line, chain in zip(lines, chains(graph), strict=True)]  # fmt: skip


class Passes:
    """The passes as JSON; a graph that several share is told once."""

    def __init__(self, rows: Rows, model: ModelOperators) -> None:
        self._rows, self._model = rows, model
        self._told: dict[int, tuple[Graph, int, list[Hashable]]] = {}

    def _tell(self, graph: Graph) -> tuple[int, list[Hashable]]:
        if id(graph) not in self._told:
            lines = str(graph).split("\n")
            who = [self._model.of(graph, *chain) for chain in chains(graph)]
            self._told[id(graph)] = graph, self._rows.text(zip(lines, who, strict=True)), graph_keys(graph, lines)
        return self._told[id(graph)][1:]

    def json(self, each: GraphStage) -> Made:
        """A pass: its reason and time, the texts before and after, the lines that it changed."""
        (before, old), (after, new) = self._tell(each.before), self._tell(each.after)
        cut, add = ([], []) if each.before is each.after else change(old, new)
        return {
            "name": each.name, "of": each.before.name, "why": each.why, "ms": round(each.seconds * 1e3, 3),
            "nodes": [len(each.before.nodes), len(each.after.nodes)], "before": before, "after": after, "cut": cut, "add": add,
        }  # fmt: skip


# ---- kernels ----------------------------------------------------------------------------------------------------


def kernel_json(rows: Rows, each: ExploredKernel) -> Made:
    """A kernel: its expressions, the text after each step with the lines that it changed, the listings with the lines they are from."""
    of_te, of_programs = computed(each)
    steps, last = list[Made](), list[str]()
    if each.te:
        steps.append(
            {"name": "te", "why": "", "text": rows.text(zip(each.te, of_te, strict=True)), "cut": [], "add": []}
        )
    for made, known in zip(each.programs, of_programs, strict=True):
        lines = str(made.program).splitlines()
        keys = [line.strip() for line in lines]  # a line that only moves in or out is the same
        cut, add = change(last, keys) if last else ([], [])
        text = rows.text((line, known.get(n, ())) for n, line in enumerate(lines, 1))
        steps.append({"name": made.name, "why": made.why, "text": text, "cut": cut, "add": add})
        last = keys
    listings = [
        {"name": name, "text": rows.plain(made.lines), "from": made.source} for name, made in each.listings.items()
    ]
    return {"name": each.name, "recipe": each.recipe, "reason": each.reason, "steps": steps, "listings": listings}


def computed(each: ExploredKernel) -> tuple[list[Sequence[int]], list[dict[int, list[int]]]]:
    """Which parts of a kernel each of its tensors and each line of each of its programs is: the nodes of its body, numbered.

    The parts of a schedule by hand are its tensors.
    """
    programs = [made.program for made in each.programs]
    if each.kernel is not None:
        number: dict[Any, int] = {n: k for k, n in enumerate(each.kernel.body.nodes)}
        of_te: list[Any] = operators_of_tensors(each.kernel)
        of_programs: list[Any] = operators_of_lines(each.kernel, programs)
    elif each.by_hand is not None:
        number = {t: k for k, t in enumerate(tensors_of(*each.by_hand.outputs))}
        of_te, of_programs = [(t,) for t in number], tensors_of_lines(each.by_hand, programs)
    else:
        return [], [{} for _ in programs]
    lines = [{line: [number[part] for part in parts] for line, parts in some.items()} for some in of_programs]
    return [[number[part] for part in parts] for parts in of_te], lines


def call_json(each: ExploredCall, model: ModelOperators) -> Made:
    """A call: its kernel, of which operators each part of that is, its microseconds."""
    assert isinstance(each.node.op, Kernel)
    own = [model.of(each.graph, each.node, n) for n in each.node.op.body.nodes]
    us = None if each.seconds is None else round(each.seconds * 1e6, 2)
    return {"place": each.place, "kernel": each.kernel, "parts": own, "us": us}


def explorer_data(found: Explored) -> Made:
    """What the page shows, as JSON."""
    rows, model = Rows(), ModelOperators(found)
    passes = Passes(rows, model)
    made = {
        "target": str(found.target),
        "operators": model.json(),
        "passes": [passes.json(each) for each in found.stages],
        "kernels": [kernel_json(rows, each) for each in found.kernels],
        "calls": [call_json(each, model) for each in found.calls],
        "texts": [{"name": name, "text": rows.plain(text)} for name, text in found.texts.items()],
    }
    return {**made, "pool": rows.json()}


# ---- the page ---------------------------------------------------------------------------------------------------


def source(name: str) -> str:
    """A file that lies beside this one."""
    return (resources.files("minicc.explain") / name).read_text(encoding="utf-8")


def explorer_page(found: Explored, live: bool = False) -> str:
    """The text of the page. With `live` each kernel has a button that opens its legal moves, which a server tells."""
    scripts = [source("explorer.js"), *([source("live.js")] if live else [])]
    return page(
        f"{found.title}: from operators to machine code",
        '<div id="explorer"></div>',
        "<noscript>This page is shown by its script.</noscript>",
        *pictures(found),
        data("explored", explorer_data(found) | {"live": live}),
        script="\n".join(scripts),
        style=source("explorer.css") + (source("live.css") if live else ""),
        connect=live,
    )


def pictures(found: Explored) -> Iterator[str]:
    """The graphs of kernels, the run, the plan of memory."""
    last = {id(made.after): k for k, made in enumerate(found.stages)}
    for graph in dict.fromkeys(call.graph for call in found.calls):
        drawn = graph.picture()
        shown = [f'<div data-pass="{last[id(graph)]}">', paragraph(drawn.words), *_figures(drawn), "</div>"]
        yield section(f"The kernels of {graph.name}", *shown, unfolded=False)
    if found.profile:
        drawn = found.profile.picture()
        yield section("A run in time", paragraph(drawn.words), *_figures(drawn), unfolded=False)
    elif found.memory and found.memory.size:
        yield section("Memory", *_figures(found.memory.picture()), unfolded=False)


def _figures(drawn: Picture | Pictures) -> list[str]:
    return drawn.parts() if isinstance(drawn, Pictures) else [figure(drawn, drawn.words)]
