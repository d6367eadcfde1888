"""The ONNX frontend: a model file becomes a graph.

In: a path, the bytes of a file, or a `ModelProto`. Out: a `Graph`, or a LoadError. Opset 7 to the
newest one that the installed onnx package knows; of older ones what has not changed, and `legacy`. Every operator that minicc lacks is reported at
once. A model of more than `MOST_NODES` nodes is refused before any is looked at. The file is not
trusted: no size, name, order or path in it is believed before it is checked.

    graph = load("model.onnx")
    print(graph)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from onnx import GraphProto, ModelProto, TensorProto

from minicc.errors import LoadError, MiniccError, TypeInferenceError, nearest
from minicc.frontend.onnx.call import Look, OnnxCall, Scope, Translation
from minicc.frontend.onnx.functions import Item, check_depth, flatten, inside
from minicc.frontend.onnx.inputs import InputTypes
from minicc.frontend.onnx.legacy import LEGACY, is_legacy
from minicc.frontend.onnx.read import no_text, parse, read
from minicc.frontend.onnx.supported import check_supported, opset_of
from minicc.frontend.onnx.table import translations
from minicc.frontend.onnx.tensors import ModelFile
from minicc.graph.control import Impossible
from minicc.graph.interpret import given_array, match_shape
from minicc.graph.ir import Data, Defaults, Graph, Node, Span, constant, input, make, spanned
from minicc.types import TensorType

INNER = 4  # nodes that one in a graph in a graph counts for, as it is met more than once
MOST_NODES = 200_000  # ten times those of the largest model in use; each takes 0.1 ms to load and as long to optimize


def load(source: str | Path | bytes | ModelProto, keep: bool = True) -> Graph:
    """The graph of an ONNX model. If it need not `keep` the large weights of a file, they are read from there whenever they are used.

    Symbolic dimensions keep their names; one without a name is called INPUT_AXIS. Tensors that
    lie in files beside the model are read only from a model given by its path. An initializer that is
    listed as an input, too, is a constant that callers may replace by an array of its type (from IR
    version 4 on, as the ONNX text says).
    """
    if isinstance(source, (str, Path)):
        return _load(*read(Path(source)), keep)
    if isinstance(source, ModelProto):
        return _load(ModelFile("model"), source)
    if not isinstance(source, (bytes, bytearray, memoryview)):
        problem = f"expected a path, bytes or a ModelProto, got {type(source).__name__}"
        raise LoadError("load(model)", problem, hint="load('model.onnx'); torch.onnx.export writes one of a module")
    file = ModelFile("model")
    return _load(file, parse(file, bytes(source)))


def _replaced(file: ModelFile, model: ModelProto, types: Mapping[str, TensorType], values: Mapping[str, Any]) -> Graph:
    """The graph of `model` with other arrays for some initializers."""
    made, call = ModelProto(), f"load({file.name!r})"
    made.CopyFrom(model)
    for tensor in made.graph.initializer:
        if (name := tensor.name) in values:
            value = given_array(call, name, types[name], values[name])
            match_shape(call, name, types[name], value.shape, {})
            code, content = tensor.data_type, value.tobytes()
            tensor.CopyFrom(TensorProto(name=name, data_type=code, dims=value.shape, raw_data=content))
    return _load(file, made)


def _load(file: ModelFile, model: ModelProto, keep: bool = True) -> Graph:
    try:
        return _Loader(file, model, keep).graph()
    except MiniccError:
        raise
    except Exception as error:  # a damaged file may hold anything anywhere: names that are not text, for one
        problem = f"expected well-formed fields, got {no_text(model) or f'{type(error).__name__}: {error}'}"
        raise file.error(problem, file.name, "the file is damaged") from error


@dataclass
class _Loader:
    file: ModelFile
    model: ModelProto
    keep: bool = True
    spans: dict[Node, Span] = field(default_factory=dict)
    table: dict[str, Translation] = field(default_factory=translations)
    values: dict[str, Node | None] = field(default_factory=dict)  # by name; None where nothing reads an initializer
    around: Look = lambda name: None  # what names mean that are not here, of a graph in a graph
    sure: bool = True  # that the graph is going to run, which a branch is not
    count: list[int] = field(default_factory=lambda: [0])  # nodes met so far

    def graph(self) -> Graph:
        opset = opset_of(self.model, self.file)
        proto = self.model.graph
        if len(proto.node) > MOST_NODES:
            hint = "split the model, or export its loops as loops of the calling program"
            problem = f"expected at most {MOST_NODES:,} nodes, got {len(proto.node):,}"
            raise self.file.error(problem, self.file.name, hint)
        check_depth(self.model, self.file)
        names = tuple(output.name for output in proto.output)
        items, read = self._needed([Item(node, opset, index) for index, node in enumerate(proto.node)], proto, names)
        check_supported(self._all(items), self.table, self.file)
        self._initialize(proto, read)
        inputs = tuple(self._inputs(proto))
        outputs = tuple(self._outputs(items, proto, names))
        graph = re.sub(r"\W", "_", proto.name) or "main"
        return Graph(graph, inputs, outputs, names, {}, self._defaults()).located(self.spans)

    def body(self, proto: GraphProto, item: Item, inputs: Sequence[Node]) -> list[Node]:
        """The outputs of a graph that a node holds, on these inputs."""
        names = tuple(output.name for output in proto.output)
        items, read = self._needed(inside(proto, item, self.file), proto, names)
        self._initialize(proto, read)
        for info, node in zip(proto.input, inputs, strict=True):
            self._define(info.name, node)
        return self._outputs(items, proto, names)

    def _initialize(self, proto: GraphProto, read: Collection[str]) -> None:
        found = [(t.name, partial(self.file.array, t), self.keep or not self.file.place(t)) for t in proto.initializer]
        found += [(s.values.name, partial(self.file.dense, s), True) for s in proto.sparse_initializer]
        for name, value, keep in found:
            with spanned(self.spans, Span(self.file.name, name)):
                data = Data(value(), None if keep else value) if name in read else None
                self._define(name, constant(data) if data else None)

    def _outputs(self, items: Sequence[Item], proto: GraphProto, names: Sequence[str]) -> list[Node]:
        for item in self._sorted(items):
            self._translate(item)
        self._check_outputs(proto, names)
        return [node for name in names if (node := self._look(name)) is not None]

    def _look(self, name: str) -> Node | None:
        """What a name means here, or else around here."""
        return found if (found := self.values.get(name)) is not None else self.around(name)

    def _scope(self, item: Item) -> Scope:
        def enter(graph: GraphProto, inputs: Sequence[Node], around: Look, sure: bool = True) -> list[Node]:
            inner = replace(self, values={}, around=lambda name: around(item.scope(name)), sure=self.sure and sure)
            return inner.body(graph, item, inputs)

        return Scope(self._look, enter, self.spans)

    # Checks of the whole model

    def _all(self, items: Iterable[Item]) -> Iterator[Item]:
        """The nodes, and those of the graphs that they hold."""
        for item in items:
            yield item
            for graph in item.graphs:
                names = [output.name for output in graph.output]
                yield from self._all(self._needed(inside(graph, item, self.file), graph, names)[0])

    def _check_outputs(self, proto: GraphProto, names: Sequence[str]) -> None:
        where = f"graph {proto.name!r}"
        if not names:
            hint = "list the results among the outputs of the graph, and export or save the model again"
            raise self.file.error("expected at least one output, got none", where, hint)
        for name, count in Counter(names).items():
            if count > 1 and proto is self.model.graph:
                problem = f"output {name!r} must be listed once, got it listed {count} times"
                raise self.file.error(problem, where, "list it once; Identity makes another output of it")
            if self._look(name) is None:
                problem = f"output {name!r} must be computed, got it nowhere"
                raise self.file.error(problem, where, self._meant(name, self.values))

    def _define(self, name: str, value: Node | None) -> None:
        problem = f"value {name!r} must have a name of its own"
        if not name:
            raise self.file.error(problem, "no name", "give it a name")
        if name in self.values:
            hint = "names of inputs, initializers and results are unique: rename one, and what reads it"
            raise self.file.error(problem, f"{name!r} is defined twice", hint)
        self.values[name] = value

    @staticmethod
    def _meant(name: str, known: Iterable[str]) -> str:
        """A hint for a name that nothing has."""
        near = nearest(name, filter(None, known))
        lost = "the node that makes it is missing, or a name is misspelt: export the model again"
        return f"did you mean {near!r}?" if near else lost

    # Parts of the graph

    def _needed(self, nodes: list[Item], proto: GraphProto, outputs: Iterable[str]) -> tuple[list[Item], set[str]]:
        """The nodes that the outputs depend on, in the order of the file, and the names that these and the outputs read."""
        items = flatten(nodes, proto.initializer, self.model, self.file)
        self.count[0] += len(items) * (1 if proto is self.model.graph else INNER)
        if self.count[0] > MOST_NODES:
            problem = (
                f"expected at most {MOST_NODES:,} nodes, each of an inner graph counted as {INNER} whenever it is read"
            )
            raise self.file.error(problem, f"graph {proto.name!r}", "split the model")
        producer: dict[str, int] = {}
        for position, item in enumerate(items):
            for name in filter(None, item.node.output):
                if name in producer:
                    self._twice(name, item, f"the result of {items[producer[name]].span(self.file.name)}")
                producer[name] = position
        read, live = set(outputs), set[int]()
        waiting = list(read)
        while waiting:
            position = producer.get(waiting.pop(), -1)
            if position >= 0 and position not in live:
                live.add(position)
                fresh = items[position].reads - read
                read |= fresh
                waiting += fresh
        return [items[position] for position in sorted(live)], read

    def _twice(self, name: str, item: Item, other: str) -> None:
        hint = f"{other} has this name, too: rename one, and what reads it"
        raise self.file.error(f"value {name!r} must be defined once", str(item.span(self.file.name)), hint)

    def _inputs(self, proto: GraphProto) -> Iterator[Node]:
        """The inputs; one that has an initializer is that constant."""
        initial = set(self.values)
        types = InputTypes(self.file)
        for info in proto.input:
            if info.name in initial:
                initial.remove(info.name)  # so that a second input of this name is found
                continue
            with spanned(self.spans, Span(self.file.name, info.name, "input")):
                node = input(info.name, types.of(info))
            self._define(info.name, node)
            yield node

    def _defaults(self) -> Defaults | None:
        """The inputs that are initializers, too, if there are any."""
        listed = {info.name for info in self.model.graph.input} if self.model.ir_version >= 4 else set()
        held = {t.name: self.values[t.name] for t in self.model.graph.initializer if t.name in listed}
        types = {name: node.type for name, node in held.items() if node is not None}
        return Defaults(types, partial(_replaced, self.file, self.model, types)) if types else None

    def _sorted(self, items: Sequence[Item]) -> list[Item]:
        """The nodes with producers first, otherwise in the order of the file."""
        producer = {name: position for position, item in enumerate(items) for name in item.node.output if name}
        for name in producer:
            if name in self.values:
                self._twice(name, items[producer[name]], "an input or an initializer")
        edges: list[tuple[int, int]] = []
        for position, item in enumerate(items):
            for name in item.reads:
                if name in producer:
                    edges.append((producer[name], position))
                elif name not in self.values and self.around(name) is None:
                    problem = f"input {name!r} must be an input, an initializer or the result of a node, got nothing"
                    hint = self._meant(name, [*self.values, *producer])
                    raise self.file.error(problem, str(item.span(self.file.name)), hint)
        if all(a < b for a, b in edges):
            return list(items)
        import networkx

        order = networkx.DiGraph()
        order.add_nodes_from(range(len(items)))
        order.add_edges_from(edges)
        try:
            return [items[i] for i in networkx.lexicographical_topological_sort(order)]
        except networkx.NetworkXUnfeasible:
            cycle = [a for a, _ in networkx.find_cycle(order)]
            where = "\n".join(str(items[i].span(self.file.name)) for i in cycle[:8])
            hint = "let one of these nodes read another value; recurrences are exported unrolled"
            raise self.file.error(f"a graph must have no cycle, got one of {len(cycle)} nodes", where, hint) from None

    def _translate(self, item: Item) -> None:
        span, kind = item.span(self.file.name), item.kind
        try:
            inputs = [self._look(name) if name else None for name in item.node.input]
            call = OnnxCall(item.node, item.version, inputs, span, self._scope(item))
            with spanned(self.spans, span):
                result = (LEGACY if is_legacy(item) else self.table)[kind](call)
            call.finish()
        except TypeInferenceError as error:
            if self.sure:
                raise
            with spanned(self.spans, span):
                result = [make(Impossible(f"{error.call}: {error.problem}"), [])] * len(item.node.output)
        except MiniccError:
            raise
        except Exception as error:  # attributes of a hostile model may break any assumption of an operator
            hint = f"compare the node with {kind} in the ONNX operator reference; onnx.checker may say more"
            problem = f"{kind} cannot be translated: {type(error).__name__}: {error}"
            raise self.file.error(problem, str(span), hint) from error
        results = (result,) if isinstance(result, Node) else tuple(result)
        for position, name in enumerate(item.node.output):
            if name and (position >= len(results) or results[position] is None):
                hint = "export the model without it"
                raise self.file.error(f"output {position} of {kind} is not supported", str(span), hint)
            if name:
                self.values[name] = results[position]
