"""Model-local functions, put in place of their calls.

In: a model. Out: its nodes as a flat list of `Item`, each with the opset it is written in. A
function may call others; recursion and bodies that explode are refused, because the file is not
trusted.

    items = flatten(model, 18, "model.onnx")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnx import AttributeProto, FunctionProto, ModelProto, NodeProto

from minicc.errors import LoadError
from minicc.graph.ir import Span

MOST = 100_000
DEEPEST = 64

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Item:
    """A node, the opset of its ai.onnx operators, and the position in the file of the node it comes from."""

    node: NodeProto
    version: int
    index: int

    def span(self, source: str) -> Span:
        return Span(source, self.node.name, self.node.op_type, self.index)


def flatten(model: ModelProto, opset: int, source: str) -> list[Item]:
    """The nodes of the model's graph, with no call of a local function left."""
    functions = {_key(f.domain, f.name, f.overload): f for f in model.functions}
    result: list[Item] = []
    made = 0  # nodes that calls have put in; also makes their names unique
    # A stack of iterators, for calls inside calls.
    stack = [iter([Item(node, opset, index) for index, node in enumerate(model.graph.node)])]
    while stack:
        item = next(stack[-1], None)
        if item is None:
            stack.pop()
            continue
        function = functions.get(_key(item.node.domain, item.node.op_type, item.node.overload))
        if function is None:
            result.append(item)
            continue
        made += 1 + len(function.node)
        if len(stack) > DEEPEST or made > MOST:
            raise LoadError(f"load({source!r})", f"calls of local functions may be {DEEPEST} levels deep and give {MOST} nodes, "
                            f"those of {function.name!r} go beyond", str(item.span(source)), "a function must not call itself")
        stack.append(iter(_body(item, function, made)))
    return result


def _key(domain: str, name: str, overload: str) -> Key:
    return ("" if domain == "ai.onnx" else domain), name, overload


def _body(call: Item, function: FunctionProto, number: int) -> Sequence[Item]:
    """The body of `function` with the names and attributes of this call."""
    version = next((o.version for o in function.opset_import if o.domain in ("", "ai.onnx")), call.version)
    prefix = f"{call.node.name or call.node.op_type}/{call.index}.{number}/"
    actual = dict(zip(function.input, [*call.node.input, *[""] * len(function.input)], strict=False))
    results = dict(zip(function.output, call.node.output, strict=False))
    given = {a.name: a for a in function.attribute_proto} | {a.name: a for a in call.node.attribute}

    def rename(name: str) -> str:
        if not name:
            return name
        return actual.get(name) or results.get(name) or ("" if name in actual else prefix + name)

    items = []
    for inner in function.node:
        node = NodeProto()
        node.CopyFrom(inner)
        node.name = prefix + inner.name
        node.input[:] = [rename(name) for name in inner.input]
        node.output[:] = [results.get(name) or (prefix + name if name else "") for name in inner.output]
        del node.attribute[:]
        node.attribute.extend(_attributes(inner, given))
        items.append(Item(node, version, call.index))
    for formal, name in results.items():  # an output that is an input goes through by an Identity
        if name and formal in actual and not any(formal in inner.output for inner in function.node):
            items.append(Item(NodeProto(op_type="Identity", input=[actual[formal]], output=[name]), version, call.index))
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
