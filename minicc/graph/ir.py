"""Room 1: what to compute. A graph of operators on tensors.

    graph ::= graph NAME(input*) { node* return value* }
    node  ::= %N = Operator(field=value, ...)(value, ...) : type    # span
    value ::= %N | NAME                                             a NAME of unusual letters is quoted
    The graphs that an operator holds (of a kernel, a branch, a loop) follow it, each line after `  | `.
    type  ::= dtype[dim, ...] | ?                                   dim: an integer, or a symbol

Semantics. Values are immutable tensors; an operator is a pure function, so order is only
dataflow, and a node used twice is computed once. Nodes are interned by (op, inputs): equal
computations are one node, in every graph of the process. Where a node comes from, its span, is
therefore kept by each graph. A type is `?` while it
depends on a symbol or on an operand that is still an input; binding resolves it. The meaning of
a graph is `evaluate`: the NumPy reference of every operator, in topological order.

>>> from minicc.types import float32
>>> x = input("x", TensorType(float32, (2, 3)))
>>> from minicc.ops import Relu
>>> Graph("main", (x,), (Relu()(x),), ("y",)).outputs[0].type
float32[2,3]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np

from minicc.errors import GraphError, TypeInferenceError, printable
from minicc.graph.data import Data as Data
from minicc.ir import node as kit
from minicc.ir.drawn import Drawn
from minicc.ir.node import node, postorder
from minicc.ops.base import Array, Kind, Operator, infer
from minicc.types import DType, Subtensor, Symbol, TensorType, Unbound

V = TypeVar("V")


@dataclass(frozen=True)
class Span:
    """Where a node comes from: the file, the name and operator there, and its position (or line)."""

    source: str
    name: str = ""
    op: str = ""
    index: int = -1

    def __str__(self) -> str:
        what = " ".join(filter(None, [printable(self.op), repr(self.name) if self.name else ""]))
        return f"{printable(self.source)}{f':{self.index}' if self.index >= 0 else ''}{f' {what}' if what else ''}"


@node
class Input(Operator):
    """A named input of the graph; its type is open where it is no tensor, or one of any shape."""

    label: str
    type: TensorType | None

    def infer(self, *types: TensorType) -> TensorType:
        if self.type is None:
            raise Unbound(self.label)
        return self.type


@node
class Constant(Operator):
    """A tensor known at compile time: a weight, or a folded value."""

    data: Data

    def infer(self, *types: TensorType) -> TensorType:
        return self.data.type

    def numpy(self, *arrays: Array) -> Array:
        return self.data.array


@node
class Node(kit.Interned):
    """An operator applied to inputs. Make one by calling the operator on nodes."""

    op: Operator
    inputs: tuple[Node, ...]
    inferred: TensorType | None  # None while a symbol or an operand leaves it open

    exact_key: ClassVar[bool] = True

    @classmethod
    def intern_key(cls, args: tuple[Any, ...]) -> Any:
        return cls, args[0], args[1]  # the type follows from these

    @property
    def type(self) -> TensorType:
        """The inferred type. Raises GraphError while it is not known."""
        if self.inferred is None:
            hint = 'bind it: input_shapes={"x": (1, 3, 224, 224)} or --dim n=1'
            raise GraphError(f"type of {self.op}", "not known before every symbol and operand is bound", here(), hint)
        return self.inferred

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def array(self) -> Array:
        """The value of a constant."""
        assert isinstance(self.op, Constant)
        return self.op.data.array

    def apply(self, op: Operator, values: Sequence[Any]) -> Node:
        """A new node; arrays among the values become constants."""
        return make(op, values)

    def constant(self, array: Any) -> Node:
        return constant(array)

    def __repr__(self) -> str:
        return f"<{self.op.name}: {self.inferred or '?'}>"


_place: ContextVar[tuple[dict[Node, Span], Span | None]] = ContextVar("place")


@contextmanager
def spanned(spans: dict[Node, Span], span: Span | None) -> Iterator[None]:
    """Nodes made in this context come from `span`: noted in `spans`, where they have none there. Errors name it."""
    token = _place.set((spans, span))
    try:
        yield
    finally:
        _place.reset(token)


def within(span: Span | None) -> AbstractContextManager[None]:
    """`spanned`, in the graph that is being made; without a span of its own, what is made comes from where it came from."""
    spans, outer = _place.get(({}, None))
    return spanned(spans, span or outer)


def here() -> str:
    """The span of what is being made, as text for an error."""
    return str(_place.get(({}, None))[1] or "")


def _noted(n: Node) -> Node:
    spans, span = _place.get(({}, None))
    if span is not None:
        spans.setdefault(n, span)
    return n


def make(op: Operator, values: Sequence[Any]) -> Node:
    """The node `op(*values)`, its type inferred. An inference error gains the span."""
    inputs = tuple(v if isinstance(v, Node) else constant(v) for v in values)
    try:
        inferred = infer(op, [v.inferred for v in inputs])
    except TypeInferenceError as error:
        error.where = error.where or here()
        raise
    return _noted(Node(op, inputs, inferred))


def input(name: str, type: TensorType | None) -> Node:
    """A graph input."""
    return _noted(Node(Input(name, type), (), type))


def constant(array: Any) -> Node:
    """A node that holds `array`."""
    data = array if isinstance(array, Data) else Data(array)
    return _noted(Node(Constant(data), (), data.type))


def _from_rows(
    name: str,
    rows: Sequence[tuple[Operator, tuple[int, ...], TensorType | None, Span | None]],
    inputs: Sequence[int],
    outputs: Sequence[int],
    output_names: tuple[str, ...],
    defaults: Defaults | None,
) -> Graph:
    nodes: list[Node] = []
    for op, sources, inferred, _ in rows:
        nodes.append(Node(op, tuple([nodes[k] for k in sources]), inferred))
    spans = {n: span for n, (_, _, _, span) in zip(nodes, rows, strict=True) if span is not None}
    return Graph(
        name, tuple([nodes[k] for k in inputs]), tuple([nodes[k] for k in outputs]), output_names, spans, defaults
    )


@dataclass(frozen=True)
class Defaults:
    """Inputs that have a value of their own unless a caller gives another: `load(values)` is the graph with other values."""

    types: Mapping[str, TensorType]
    load: Callable[[Mapping[str, Array]], Graph]


@dataclass(frozen=True, eq=False)
class Graph(Drawn):
    """Inputs in order, outputs in order, the names of the outputs, and where the nodes come from, as far as that is known.

    In a graph as it was loaded, `defaults` are the inputs that need not be given; in its nodes they are constants.
    """

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    output_names: tuple[str, ...]
    spans: dict[Node, Span] = field(default_factory=dict, repr=False)
    defaults: Defaults | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as a flat list, so that depth is no limit."""
        at = {n: k for k, n in enumerate(self.nodes)}
        rows = [(n.op, tuple([at[i] for i in n.inputs]), n.inferred, self.spans.get(n)) for n in self.nodes]
        ends = [[at[n] for n in nodes] for nodes in (self.inputs, self.outputs)]
        return _from_rows, (self.name, rows, *ends, self.output_names, self.defaults)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node that the outputs need, and every input, producers first."""
        return tuple(postorder((*self.inputs, *self.outputs), lambda n: n.inputs))

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(n.op.label for n in self.inputs if isinstance(n.op, Input))

    @property
    def symbols(self) -> dict[str, str]:
        """Each unbound symbol, with the input it stands in."""
        found: dict[str, str] = {}
        for name, n in zip(self.input_names, self.inputs, strict=True):
            for dim in n.inferred.shape if n.inferred else ():
                if isinstance(dim, Symbol):
                    found.setdefault(dim.name, name)
        return found

    def users(self) -> dict[Node, list[Node]]:
        """The nodes that read each node, in topological order; a graph output is not a user."""
        found: dict[Node, list[Node]] = {n: [] for n in self.nodes}
        for n in self.nodes:
            for i in dict.fromkeys(n.inputs):
                found[i].append(n)
        return found

    def interpret(self, given: Sequence[V], step: Callable[[Node, list[V]], V]) -> list[V]:
        """The values of the outputs: those of the inputs are `given`, that of any other node is `step(node, values of its inputs)`.

        What a value is depends on `step`: an array, a tensor expression, a rebuilt node. Each is dropped after its last use.
        """
        values: dict[Node, V] = dict(zip(self.inputs, given, strict=True))
        left = Counter(i for n in self.nodes for i in n.inputs)
        left.update(self.outputs)
        for n in self.nodes:
            if n not in values:
                values[n] = step(n, [values[i] for i in n.inputs])
            for i in n.inputs:
                left[i] -= 1
                if not left[i]:
                    values.pop(i, None)
        return [values[n] for n in self.outputs]

    @property
    def key(self) -> tuple[Any, ...]:
        """What is equal of two graphs of equal structure: the same nodes under the same names."""
        return self.name, self.inputs, self.outputs, self.output_names

    def same_as(self, other: Graph) -> bool:
        return self.key == other.key

    def overridden(self, given: Mapping[str, Any]) -> tuple[Graph, dict[str, Any]]:
        """The graph with those of its defaults replaced that stand among `given`, and the rest of `given`."""
        if not isinstance(given, Mapping):
            problem = f"expected arrays by the names of inputs, got {type(given).__name__}"
            raise GraphError(f"values for {self.name}", problem, hint="give a dictionary: {name: array}")
        types = self.defaults.types if self.defaults else {}
        values = {name: value for name, value in given.items() if name in types}
        graph = self.defaults.load(values) if self.defaults and values else self
        return graph, {name: value for name, value in given.items() if name not in types}

    def where(self, n: Node) -> str:
        """Where a node of this graph comes from, as text for an error."""
        return str(self.spans.get(n, ""))

    def located(self, spans: Mapping[Node, Span]) -> Graph:
        """This graph, with those of `spans` noted that are of its nodes and have no other."""
        for n in self.nodes:  # of its nodes only: a span of a dead one would keep it, and its array, alive
            if (span := spans.get(n)) is not None:
                self.spans.setdefault(n, span)
        return self

    def rebuild(
        self, replaced: Mapping[Node, Node], spans: Mapping[Node, Span], inputs: Sequence[Node] | None = None
    ) -> Graph:
        """The same graph with the outputs looked up in `replaced`; itself when nothing changed.

        `spans` are those of the nodes that were made for it; a node that was there before keeps its own.
        """
        outputs = tuple(replaced.get(n, n) for n in self.outputs)
        kept = self.inputs if inputs is None else tuple(inputs)
        if outputs == self.outputs and kept == self.inputs:
            return self
        return Graph(self.name, kept, outputs, self.output_names).located(self.spans).located(spans)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @property
    def constants(self) -> dict[str, Array]:
        """Every array that the text form names by digest."""
        held = [n.op.data for n in self.nodes if isinstance(n.op, Constant)]
        held += [Data(a) for n in self.nodes for body in n.op.bodies for a in body.constants.values()]
        return {data.digest: data.array for data in held if not _is_literal(data.array)}

    def __str__(self) -> str:
        return "\n".join(_lines(self))


SMALL = 16  # constants of up to so many elements are printed in full


def _is_literal(array: Array) -> bool:
    """Whether the text form prints the elements: few of them, and no NaN of unusual bits."""
    if array.size > SMALL or array.dtype.kind in "biu":
        return array.size <= SMALL
    return np.where(np.isnan(array), np.array(np.nan, array.dtype), array).tobytes() == array.tobytes()


def _quoted(name: str) -> str:
    """A name as the text form writes it."""
    return name if re.fullmatch(r"[\w./:-]*[\w./-]", name) else repr(name)


def _lines(graph: Graph) -> Iterator[str]:
    names: dict[Node, str] = dict(zip(graph.inputs, map(_quoted, graph.input_names), strict=True))
    inputs = ", ".join(f"{name}: {n.inferred or '?'}" for n, name in names.items())
    yield f"graph {_quoted(graph.name)}({inputs}) {{"
    for n in graph.nodes:
        if n in names:
            continue
        names[n] = f"%{len(names) - len(graph.inputs)}"
        call = f"{_head(n.op)}({', '.join(names[i] for i in n.inputs)})"
        span = f"    # {graph.spans[n]}".replace("\n", " ") if n in graph.spans else ""
        yield f"  {names[n]} = {call} : {n.inferred or '?'}{span}"
        for body in n.op.bodies:
            yield from (f"  | {line}" for line in _lines(body))
    results = zip(graph.output_names, graph.outputs, strict=True)
    yield f"  return {', '.join(f'{_quoted(label)}={names[n]}' for label, n in results)}"
    yield "}"


def _head(op: Operator) -> str:
    """The operator with its fields, as the text form writes it."""
    if isinstance(op, Kernel):
        return f"Kernel[{_quoted(op.label)}]"
    if isinstance(op, Constant):
        array = op.data.array
        content = f"{array.tolist()!r}" if _is_literal(array) else f"@{op.data.digest}"
        return f"Constant[{TensorType.of(array)} {content}]"
    return repr(op)


@node
class Kernel(Operator):
    """A fused sub-graph: one kernel of the compiled model. Its inputs are the body's, in order.

    Once memory is planned, `within` says of each input, and of the output, as which part of a larger tensor it lies
    in memory, if it does: that changes where elements are found, and nothing of what is computed.
    """

    kind: ClassVar[Kind] = Kind.OPAQUE

    label: str
    body: Graph
    within: tuple[Subtensor | None, ...] = ()

    @classmethod
    def intern_key(cls, args: tuple[Any, ...]) -> Any:
        return cls, args[0], args[1].key, args[2]

    @property
    def bodies(self) -> tuple[Graph, ...]:
        return (self.body,)

    def infer(self, *types: TensorType) -> TensorType:
        return self.body.outputs[0].type

    def numpy(self, *arrays: Array) -> Array:
        return self.body.interpret(arrays, lambda n, values: n.op.numpy(*values))[0]

    def effective(self, *types: TensorType) -> int:
        return sum(n.op.effective(*[v.type for v in n.inputs]) for n in self.body.nodes)

    def compute(self, *tensors: Any) -> Any:
        return self.body.interpret(tensors, tensor_of)[0]


def tensor_of(n: Node, values: Sequence[Any]) -> Any:
    """A node of a kernel, computed of tensors; what reads nothing (a Range) is, too, as it was too large to be an array."""
    return n.op(*values) if values or isinstance(n.op, Constant) else n.op.compute()
