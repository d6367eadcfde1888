"""A model compared with its peers: how far apart are the answers, and which node is the first to part.

In: a `Subject`, that is a bound graph with inputs, and the ONNX model it comes from; names of peers.
Out: a `Row` for each output and peer, and a `Divergence` for a peer that disagrees. Ours is the
machine code; the peers are the judges of the oracle, TVM through Relax and through Relay, onnxruntime, ONNX's reference evaluator, and our own NumPy reference.

The tolerance is the oracle's, around the float64 reference. Either side may be off by it, so two
that agree may be twice as far apart, and an element that rounding decides is passed over. A difference of
exactly 0 from TVM is common and no accident: its plain loops and our kernels both add the terms of a
convolution or a matrix product in the order of the sum, with fused multiply-add.

>>> from minicc.graph import parse
>>> text = "graph main(x: float32[2]) {\\n  %0 = Relu(x) : float32[2]\\n  return y=%0\\n}"
>>> comparison = Comparison(Subject(parse(text), {"x": np.float32([-1, 2])}))
>>> [(row.output, row.peer, row.absolute, row.verdict) for row in comparison.rows("numpy")]
[('y', 'numpy', 0.0, 'agrees')]
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minicc import backend, frontend
from minicc.bridge.groups import operators
from minicc.bridge.inside.serve import reason
from minicc.errors import ConfigError, MiniccError, WorkerError
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Graph, Input, Node
from minicc.ops.base import Array
from minicc.testing.oracle import JUDGES, Disagreement, answer, assert_close, distance, excuses, reference
from minicc.testing.reduce import MiniccFailure, run_apart, with_every_value
from minicc.testing.worker import shared_worker
from minicc.types import TensorType

Values = Mapping[Node, Array]
NAN = float("nan")
PATIENCE = 600.0  # seconds that a judge may take to compile a whole model, and to run it


@dataclass(frozen=True)
class Subject:
    """What is compared. `bind` makes of the graph of `model` one with the nodes of `graph`."""

    graph: Graph
    inputs: Mapping[str, Array]  # those of the model, some of which the graph may have as constants
    model: Any = None  # an onnx.ModelProto
    bind: Callable[[Graph], Graph] = lambda graph: graph

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays of the graph's inputs."""
        return {name: self.inputs[name] for name in self.graph.input_names}

    def cut(self, n: Node) -> Graph:
        """The graph with one node as its output."""
        return Graph(self.graph.name, self.graph.inputs, (n,), ("value",)).located(self.graph.spans)


@dataclass(frozen=True)
class Row:
    """One output beside that of a peer. Differences are the greatest ones of any element."""

    output: str
    peer: str
    absolute: float = 0.0
    relative: float = 0.0
    share: float = 0.0  # of what rounding allows
    verdict: str = "agrees"
    disagrees: bool = False
    answered: bool = True  # whether there are two answers
    excused: bool = False  # whether a known difference of the judge shows: ours is judged beside the float64 reference


@dataclass(frozen=True)
class Divergence:
    """The first node, producers first, whose values are too far apart."""

    peer: str
    node: Node
    text: str  # of the node, in the text of the graph
    index: tuple[int, ...]
    ours: Any
    theirs: Any
    expected: Any  # by the float64 reference
    tolerance: float
    how: str  # how the values of nodes were got

    def __str__(self) -> str:
        types = ", ".join(f"{n.op.name}: {n.type}" for n in self.node.inputs)
        return "\n".join([
            f"the first node that diverges from {self.peer}:",
            f"    {self.text}",
            f"    at [{', '.join(map(str, self.index))}]: minicc {self.ours!r}, {self.peer} {self.theirs!r}, "
            f"float64 reference {self.expected!r} within {self.tolerance:.3g}",
            f"    inputs: {types or 'none'}",
            f"    {self.how}"])  # fmt: skip


# ---- the peers ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """One that computes a subject: its outputs by name, and as many values of nodes as it shows."""

    name: str
    outputs: Callable[[Subject], Mapping[str, Array]]
    values: Callable[[Subject], Values]
    how: str  # how it shows the values of nodes


def run_fast(judge: str, graph: Graph, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The outputs by name, computed by a judge in a process of its own. Raises TvmFailure."""
    return answer(judge, shared_worker(JUDGES[judge].fast).run([(graph, inputs)], PATIENCE)[0])


def run_onnxruntime(model: Any, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The outputs by name, computed by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised as well
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


RunGraph = Callable[[Graph, Mapping[str, Array]], Mapping[str, Array]]
RunModel = Callable[[Any, Mapping[str, Array]], Mapping[str, Array]]


def _of_graph(name: str, run: RunGraph, how: str) -> Peer:
    """A peer that is handed our graph."""

    def values(subject: Subject) -> Values:
        every = with_every_value(subject.graph)
        found = run(every, subject.arrays)
        return {n: found[label] for label, n in zip(every.output_names, every.outputs, strict=True)}

    return Peer(name, lambda subject: run(subject.graph, subject.arrays), values, how)


def _of_model(name: str, run: RunModel) -> Peer:
    """A peer that is handed the ONNX model."""

    def values(subject: Subject) -> Values:
        exposed = backend.expose(subject.model)
        graph = subject.bind(frontend.load(exposed))
        found = run(exposed, subject.inputs)
        return {n: found[label] for label, n in zip(graph.output_names, graph.outputs, strict=True)}

    how = "ran the model with every ONNX value as an output"
    return Peer(name, lambda subject: run(subject.model, subject.inputs), values, how)


COMPILED = "compiled the graph with every node as an output"
OURS = _of_graph("minicc", lambda graph, inputs: run_apart(graph, inputs), COMPILED)
PEERS: dict[str, Peer] = {p.name: p for p in (
    *(_of_graph(judge, functools.partial(run_fast, judge), COMPILED) for judge in JUDGES),
    _of_model("onnxruntime", run_onnxruntime),
    _of_model("reference", backend.run_reference),
    _of_graph("numpy", evaluate, "evaluated the graph node by node"),
)}  # fmt: skip
LIBRARIES = {"onnxruntime": "onnxruntime"}  # peer: the package it needs


def check_peers(names: Sequence[str]) -> None:
    """Raise ConfigError when a peer is unknown or not installed, BridgeError when a judge is not as it must be."""
    for name in names:
        if name not in PEERS:
            problem = f"expected one of {', '.join(PEERS)}, got {name!r}"
            raise ConfigError(f"--with {name}", problem, hint="for example --with relax,onnxruntime")
        if name in JUDGES:
            JUDGES[name].check()
        elif name in LIBRARIES and importlib.util.find_spec(LIBRARIES[name]) is None:
            problem = f"expected {name} to be installed, found no package {LIBRARIES[name]}"
            raise ConfigError(f"--with {name}", problem, hint=f"pip install {LIBRARIES[name]}")


def installed_peers() -> list[str]:
    """The names of the peers that are there."""
    found = []
    for name in PEERS:
        with suppress(MiniccError):
            check_peers([name])
            found.append(name)
    return found


# ---- the comparison -----------------------------------------------------------------------------


class NoValues(MiniccError):
    """The values of nodes, in which the first one that diverges is looked for, cannot be had."""


@contextmanager
def _values_from(name: str) -> Iterator[None]:
    """Raise NoValues in place of whatever is raised within."""
    try:
        yield
    except WorkerError:
        raise
    except Exception as error:  # a peer may raise anything
        problem = f"the values of the nodes cannot be had from {name}: {_first_line(error)}"
        raise NoValues(f"compare with {name}", problem, hint="the table of outputs holds nevertheless") from error


class Comparison:
    """Ours and the reference are computed once, for all peers. `report(what)` is told what is being done.

    When minicc itself gives no answer, `failed` says why, and every row disagrees. Raises WorkerError when a process does not start.
    """

    def __init__(self, subject: Subject, report: Callable[[str], None] = lambda text: None) -> None:
        self.subject, self.report, self.failed = subject, report, ""
        self.ours: Mapping[str, Array] = {}
        self.known: tuple[list[Array], list[Array]] = [], []
        self._theirs: dict[str, Values] = {}  # by peer
        try:
            report("minicc compiles and runs")
            self.ours = OURS.outputs(subject)
            report("the float64 reference, and how sure it is")
            self.known = reference(subject.graph, subject.arrays)
        except WorkerError:
            raise
        except Exception as error:  # a fault of ours may raise anything
            what = error.problem if isinstance(error, MiniccFailure) else f"minicc gave no answer: {reason(error)}"
            self.failed = f"{what}\nhint: minicc reduce finds the smallest graph that does this"

    def rows(self, name: str) -> list[Row]:
        """Each output beside that of the peer. A peer that gives no answer disagrees, unless it is known to die of this."""
        names = self.subject.graph.output_names
        if self.failed:
            return [_no_answer(output, name, self.failed.splitlines()[0]) for output in names]
        excused = excuses(self.subject.graph, self.subject.arrays, name)
        if excused.kills:
            return [self._excused(Row(output, name, NAN, NAN, NAN), excused.kills) for output in names]
        self.report(f"{name} runs")
        try:
            theirs = PEERS[name].outputs(self.subject)
            made = [_row(output, name, self.ours[output], theirs[output], tolerance)
                    for output, tolerance in zip(names, self.known[1], strict=True)]  # fmt: skip
        except WorkerError:
            raise
        except Exception as error:  # a peer may raise anything
            return [_no_answer(output, name, f"no answer: {_first_line(error)}") for output in names]
        return [self._excused(r, excused.of[r.output]) if r.disagrees and excused.of.get(r.output) else r for r in made]

    def _excused(self, row: Row, differences: Sequence[str]) -> Row:
        """An output that known differences of a judge reach is no disagreement if ours is what the reference gives."""
        expected, tolerance = (part[self.subject.graph.output_names.index(row.output)] for part in self.known)
        text = f"known difference: {', '.join(differences)}"
        try:
            assert_close(self.ours[row.output], expected, None, 1, tolerance)
        except Disagreement:
            text = f"minicc differs from the float64 reference; {text}"
            return replace(row, verdict=text, disagrees=True, excused=True)
        return replace(row, verdict=text, disagrees=False, excused=True)

    @functools.cached_property
    def _values(self) -> Values:
        self.report("minicc compiles every node")
        return OURS.values(self.subject)

    @functools.cached_property
    def _reference(self) -> dict[Node, tuple[Array, Array]]:
        """The reference and the tolerance of every node."""
        self.report("the float64 reference of every node")
        every = with_every_value(self.subject.graph)
        return dict(zip(every.outputs, zip(*reference(every, self.subject.arrays), strict=True), strict=True))

    def explain(self, rows: Sequence[Row]) -> str:
        """Where the first output that disagrees parts from the peer, or why that cannot be said; "" where all agree."""
        row = next((r for r in rows if r.disagrees and r.answered), None)
        if row is None:
            return ""
        peer = "numpy" if row.excused else row.peer  # the judge means something else, and minicc is off the reference
        graph = self.subject.graph
        source = graph.outputs[graph.output_names.index(row.output)]
        if not operators(self.subject.cut(source)):
            what = "an input" if isinstance(source.op, Input) else "a constant"
            return f"no node diverges from {peer}: {row.output} is {what} of the model, which no node computes"
        try:
            return str(self.divergence(peer, row.output) or self._nowhere(peer, row))
        except NoValues as error:
            return error.problem

    def _nowhere(self, name: str, row: Row) -> str:
        """What is true where no node diverges."""
        graph, theirs = self.subject.graph, self._theirs[name]
        source = graph.outputs[graph.output_names.index(row.output)]
        behind = operators(self.subject.cut(source))
        if np.isnan(row.share):
            shown = (n for n in behind if n in theirs)
            guilty = next((n for n in shown if TensorType.of(theirs[n]) != TensorType.of(self._values[n])), source)
            return f"the first node of another type than in {name}:\n    {_line(graph, guilty)}"
        looked = f"no node diverges from {name} where the values of nodes are looked at"
        if source not in theirs:
            return f"{looked}, but {name} does not show what computes {row.output}:\n    {_line(graph, source)}"
        if len(behind) == 1:
            alone = f"what computes {row.output} agrees when it is run again, alone"
            return f"{looked}: {alone}:\n    {_line(graph, source)}"
        return f"{looked}: minicc or {name} makes another thing of the whole than of its parts, for instance by what it fuses or simplifies"

    def divergence(self, name: str, output: str) -> Divergence | None:
        """The first of the nodes behind an output at which ours and the peer's values are too far apart.

        None when both agree as soon as they are looked at: then what one of them makes of the whole is at
        fault. Raises NoValues when one of them gives no values.
        """
        peer, graph = PEERS[name], self.subject.graph
        self.report(f"{name} runs every node")
        with _values_from(name):
            theirs = self._theirs[name] = peer.values(self.subject)
        with _values_from("minicc"):
            ours, _ = self._values, self._reference
        behind = operators(self.subject.cut(graph.outputs[graph.output_names.index(output)]))
        shown = [n for n in behind if n in theirs]
        for n in shown:
            if self._too_far(n, ours[n], theirs[n]):
                return self._divergence(peer, n, ours[n], theirs[n], f"minicc {OURS.how}; {name} {peer.how}")
        with _values_from("minicc"):
            return self._cut(peer, shown, theirs)

    def _cut(self, peer: Peer, nodes: list[Node], theirs: Values) -> Divergence | None:
        """Bisection: our graph is compiled up to one node, so that all before it is optimised as in the whole."""
        low, high, found = 0, len(nodes), None
        while low < high:
            k = (low + high) // 2 if found else high - 1
            self.report(f"minicc compiles up to node {k} of {len(nodes)}")
            ours = run_apart(self.subject.cut(nodes[k]), self.subject.arrays)["value"]
            if self._too_far(nodes[k], ours, theirs[nodes[k]]):
                how = f"minicc compiled the graph up to this node, which bisection found; {peer.name} {peer.how}"
                high, found = k, self._divergence(peer, nodes[k], ours, theirs[nodes[k]], how)
            elif found:
                low = k + 1
            else:
                return None
        return found

    def _too_far(self, n: Node, ours: Array, theirs: Array) -> bool:
        """Whether values differ by more than rounding explains. A peer's value of another type is one that it does not show."""
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return False
        return _row("", "", ours, theirs, self._reference[n][1]).disagrees

    def _divergence(self, peer: Peer, n: Node, ours: Array, theirs: Array, how: str) -> Divergence:
        expected, tolerance = self._reference[n]
        share = _share(distance(ours, theirs), tolerance)
        index = tuple(int(i) for i in np.unravel_index(int(np.argmax(share > 1)), share.shape))
        values = (ours[index], theirs[index], expected[index], float(tolerance[index]))
        return Divergence(peer.name, n, _line(self.subject.graph, n), index, *values, how)


def _no_answer(output: str, peer: str, verdict: str) -> Row:
    return Row(output, peer, NAN, NAN, NAN, verdict, disagrees=True, answered=False)


def _row(output: str, peer: str, ours: Array, theirs: Array, tolerance: Array) -> Row:
    theirs = np.asarray(theirs)
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        what = f"differs: {TensorType.of(ours)} is {TensorType.of(theirs)} there"
        return Row(output, peer, NAN, NAN, NAN, what, True)
    apart = distance(ours, theirs)
    with np.errstate(all="ignore"):
        relative = np.where(apart == 0, 0.0, apart / np.abs(theirs.astype(np.float64)))
    most, ratio, share = (float(a.max(initial=0)) for a in (apart, relative, _share(apart, tolerance)))
    return Row(output, peer, most, ratio, share, "differs" if share > 1 else "agrees", share > 1)


def _share(apart: Array, tolerance: Array) -> Array:
    """Of twice the tolerance, how much: inf where there is none, 0 where it is infinite."""
    with np.errstate(all="ignore"):
        return np.where((apart == 0) | np.isposinf(tolerance), 0.0, apart / (2 * tolerance))


def _line(graph: Graph, n: Node) -> str:
    """The line of a node in the text of its graph."""
    number = [m for m in graph.nodes if m not in set(graph.inputs)].index(n)
    return next(line.strip() for line in str(graph).splitlines() if line.startswith(f"  %{number} = "))


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines() or [""]
    return text[0] if isinstance(error, MiniccError) else f"{type(error).__name__}: {text[0]}"[:160]
