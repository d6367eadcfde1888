"""Model-local functions put in place of their calls, and decided branches in place of their If.

In: a model. Out: its nodes as a flat list of `Item`, each with the opset it is written in. A
function may call others; recursion and bodies that explode are refused, because the file is not
trusted. An If is decided where its condition is an initializer or a Constant, perhaps through
Identity, Cast or Not; any other stays what it is.

    items = flatten([Item(node, 18, k) for k, node in enumerate(model.graph.node)], model.graph.initializer, model, file)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from minicc.frontend.onnx.tensors import DTYPES, ModelFile
from minicc.graph.control import DEEPEST
from minicc.graph.ir import Span

MOST = 100_000
DEEPEST_CALLS = 64

Rename = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Item:
    """A node, the opset of its ai.onnx operators, and the position in the file of the node it comes from.

    `scope` says what the names are called here that the node's own graphs (the branches of an If) take from around it,
    and `given` what attributes of a function these may refer to.
    """

    node: NodeProto
    version: int
    index: int
    scope: Rename = str
    given: Mapping[str, AttributeProto] = field(default_factory=dict)
    depth: int = 0  # how many graphs it is in, beside that of the model

    @property
    def graphs(self) -> list[GraphProto]:
        """The node's own graphs."""
        return [attribute.g for attribute in self.node.attribute if attribute.type == AttributeProto.GRAPH]

    @property
    def reads(self) -> set[str]:
        """The names of the values that the node and its graphs read."""
        return {*filter(None, self.node.input), *(self.scope(name) for g in self.graphs for name in _free(g))}

    @property
    def kind(self) -> str:
        """Its operator; of one that is not ONNX's own, DOMAIN::NAME."""
        foreign = self.node.domain not in ("", "ai.onnx")
        return f"{self.node.domain}::" * foreign + self.node.op_type

    def span(self, source: str) -> Span:
        return Span(source, self.node.name, self.node.op_type, self.index)


def _free(graph: GraphProto) -> set[str]:
    """The names that a graph takes from around it."""
    inside = {value.name for value in (*graph.input, *graph.initializer)}
    inside |= {s.values.name for s in graph.sparse_initializer}.union(*(node.output for node in graph.node))
    read = {value.name for value in graph.output}.union(*(Item(node, 0, 0).reads for node in graph.node))
    return read - inside


def check_depth(model: ModelProto, file: ModelFile) -> None:
    """Raise LoadError when graphs are nested deeper than `DEEPEST` bodies; before anything walks them that might not come back."""
    waiting: list[tuple[int, NodeProto]] = [(0, n) for held in (model.graph, *model.functions) for n in held.node]
    while waiting:
        depth, node = waiting.pop()
        inner = [n for attribute in node.attribute if attribute.type == AttributeProto.GRAPH for n in attribute.g.node]
        if inner and depth >= DEEPEST:
            problem = f"expected graphs nested at most {DEEPEST} deep, got more"
            raise file.error(problem, node.name or node.op_type, "write nested conditions as one, by And and Or")
        waiting += [(depth + 1, n) for n in inner]


def inside(graph: GraphProto, item: Item, file: ModelFile) -> list[Item]:
    """The nodes of a graph that a node holds, under the names that they have in it.

    Raises LoadError where functions nest graphs deeper than `DEEPEST`.
    """
    if item.depth >= DEEPEST:
        problem = f"expected graphs nested at most {DEEPEST} deep, got more, through functions"
        raise file.error(problem, str(item.span(file.name)), "a function must not call itself")
    copies = [_copy(item, item.version, node, node.name, str, str) for node in graph.node]
    return [replace(copy, scope=str, depth=item.depth + 1) for copy in copies]


def flatten(
    items: Iterable[Item], initializers: Iterable[TensorProto], model: ModelProto, file: ModelFile
) -> list[Item]:
    """The nodes of a graph, with no call of a local function left."""
    functions = {_key(f): f for f in model.functions}
    result: list[Item] = []
    made = 0  # nodes that calls have put in; also makes their names unique
    known = _Known(initializers, file)
    stack = [iter(items)]  # of iterators, for calls inside calls
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
            continue
        body = functions.get(_key(item.node)) or known.branch(item)
        if body is None:
            known.note(item.node)
            result.append(item)
            continue
        made += 1 + len(body.node)
        if len(stack) > DEEPEST_CALLS or made > MOST:
            problem = (
                f"calls of local functions and branches may be {DEEPEST_CALLS} levels deep and give {MOST} nodes, "
            )
            problem += f"those of {body.name!r} go beyond"
            raise file.error(problem, str(item.span(file.name)), "a function must not call itself")
        stack.append(iter(_body(item, body, made) if isinstance(body, FunctionProto) else _branch(item, body, made)))
    return result


class _Known:
    """What is known before anything is computed: initializers, Constants, and what merely passes them on."""

    PASSING = ("Identity", "Cast", "Not")

    def __init__(self, initializers: Iterable[TensorProto], file: ModelFile) -> None:
        self.file = file
        self.made: dict[str, TensorProto | NodeProto] = {tensor.name: tensor for tensor in initializers}

    def note(self, node: NodeProto) -> None:
        """Remember who computes the results of `node`, if it may be known."""
        if node.op_type == "Constant" or node.op_type in self.PASSING:
            self.made.update((name, node) for name in node.output)

    def branch(self, item: Item) -> GraphProto | None:
        """The branch that an If takes; None where it is not decided, or the node is no If."""
        node = item.node
        if node.op_type != "If" or node.domain not in ("", "ai.onnx") or not node.input:
            return None
        if (truth := self._truth(node.input[0])) is None:
            return None
        wanted = "then_branch" if truth else "else_branch"
        found: GraphProto | None = next((a.g for a in node.attribute if a.name == wanted), None)
        return found

    def _truth(self, name: str) -> bool | None:
        """Whether the single value `name` is true; None where it is not known."""
        negated, passed = False, set[str]()
        maker = self.made.get(name)
        while isinstance(maker, NodeProto) and maker.op_type in self.PASSING and maker.input and name not in passed:
            passed.add(name)
            negated ^= maker.op_type == "Not"
            name = maker.input[0]
            maker = self.made.get(name)
        if isinstance(maker, NodeProto):
            maker = next((a.t for a in maker.attribute if maker.op_type == "Constant" and a.name == "value"), None)
        if maker is None or maker.data_type not in DTYPES or list(maker.dims) not in ([], [1]):
            return None
        return bool(ModelFile(self.file.name).array(maker).any()) != negated


def _key(node: NodeProto | FunctionProto) -> tuple[str, str, str]:
    """What a function is called by."""
    name = node.op_type if isinstance(node, NodeProto) else node.name
    return ("" if node.domain == "ai.onnx" else node.domain), name, node.overload


def _prefix(call: Item, number: int) -> str:
    return f"{call.node.name or call.node.op_type}/{call.index}.{number}/"


def _copy(
    call: Item,
    version: int,
    inner: NodeProto,
    name: str,
    read: Rename,
    write: Rename,
    given: Mapping[str, AttributeProto] | None = None,
) -> Item:
    """The node `inner` of what `call` calls under a name of its own, and with the names that its values have here."""
    node = NodeProto()
    node.CopyFrom(inner)
    node.name = name
    node.input[:] = map(read, inner.input)
    node.output[:] = map(write, inner.output)
    del node.attribute[:]
    node.attribute.extend(_attributes(inner, call.given if given is None else given))
    return Item(node, version, call.index, read, call.given if given is None else given, call.depth)


def _identity(call: Item, version: int, value: str, name: str) -> Item:
    return Item(NodeProto(op_type="Identity", input=[value], output=[name]), version, call.index)


def _branch(call: Item, branch: GraphProto, number: int) -> Sequence[Item]:
    """The nodes of a branch under names of their own; what it does not define comes from around it."""
    prefix = _prefix(call, number)
    inside = {tensor.name for tensor in branch.initializer}.union(*(node.output for node in branch.node))
    results = {inner.name: outer for inner, outer in zip(branch.output, call.node.output, strict=False) if outer}

    def rename(name: str) -> str:
        return (results.get(name) or prefix + name) if name in inside else call.scope(name) if name else name

    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in branch.initializer]
    items = [_copy(call, call.version, n, prefix + n.name, rename, rename) for n in (*nodes, *branch.node)]
    for inner, outer in zip(branch.output, call.node.output, strict=False):
        if outer and rename(inner.name) != outer:  # a value from around, or one that is two results
            items.append(_identity(call, call.version, rename(inner.name), outer))
    return items


def _body(call: Item, function: FunctionProto, number: int) -> Sequence[Item]:
    """The body of `function` with the names and attributes of this call."""
    version = next((o.version for o in function.opset_import if o.domain in ("", "ai.onnx")), call.version)
    prefix = _prefix(call, number)
    actual = dict(zip(function.input, [*call.node.input, *[""] * len(function.input)], strict=False))
    results = dict(zip(function.output, call.node.output, strict=False))
    given = {a.name: a for a in function.attribute_proto} | {a.name: a for a in call.node.attribute}

    def write(name: str) -> str:
        return results.get(name) or (prefix + name if name else "")

    def read(name: str) -> str:
        return name and (actual.get(name) or results.get(name) or ("" if name in actual else prefix + name))

    items = []
    for inner in function.node:
        items.append(_copy(call, version, inner, prefix + inner.name, read, write, given))
    for formal, name in results.items():  # an output that is an input goes through by an Identity
        if name and formal in actual and not any(formal in inner.output for inner in function.node):
            items.append(_identity(call, version, actual[formal], name))
    return items


def _attributes(inner: NodeProto, given: Mapping[str, AttributeProto]) -> Iterator[AttributeProto]:
    """The attributes of a body's node; a reference to an attribute of the function becomes its value."""
    for attribute in inner.attribute:
        if not attribute.ref_attr_name:
            yield attribute
        elif attribute.ref_attr_name in given:
            found = AttributeProto()
            found.CopyFrom(given[attribute.ref_attr_name])
            found.name = attribute.name
            yield found
