"""An FX graph of ATen operators becomes graph nodes: a table says how each operator is translated.

In: an FX graph with the types of its values (`torch.export` and AOTAutograd leave them in `meta["val"]`), and what its
placeholders are. Out: what it returns, tensors as `AtenValue`s. Operators without a translation are found before, all of
them (`unsupported`), so that an error can name them with their places.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from minicc.errors import LoadError
from minicc.frontend.torch import indexing, movement, pointwise, reductions, windows
from minicc.frontend.torch.call import AtenCall, Translation, AtenValue, arguments_of, dtype_of, name_of, span_of
from minicc.frontend.torch.dims import Dims
from minicc.frontend.torch.tensors import array_of
from minicc.graph.ir import Node, Span, constant, spanned

TRANSLATIONS: dict[str, Translation] = {
    **pointwise.TRANSLATIONS, **reductions.TRANSLATIONS, **movement.TRANSLATIONS, **indexing.TRANSLATIONS, **windows.TRANSLATIONS
}  # fmt: skip
_CHECKS = ("_assert", "sym_constrain_range")  # operators that compute nothing
_INLINED = ("wrap_with_set_grad_enabled",)  # calls of a graph, with a flag before it
SHOWN = 3  # places of an operator that an error lists


def translation_of(target: Any) -> Translation | None:
    """How an operator is translated: by its name with its overload, or by its name. A copy of a view is what the view is."""
    schema = getattr(target, "_schema", None)
    if schema is None or not schema.name.startswith("aten::"):
        return None
    name, overload = schema.name.removeprefix("aten::"), schema.overload_name or "default"
    if torch.Tag.view_copy in target.tags:
        name = name.removesuffix("_copy")
    names = f"{name}.{overload}", name
    return next((TRANSLATIONS[n] for n in names if n in TRANSLATIONS), None)


def supports(node: torch.fx.Node) -> bool:
    """Whether a node is translated: its operator, and the dtypes of all that it reads and gives."""
    if node.op != "call_function":
        return bool(node.op != "call_module")
    if node.target is operator.getitem or _is_size(node) or _is_check(node) or _is_inlined(node):
        return True
    values = [*_tensors(node), *[t for source in node.all_input_nodes for t in _tensors(source)]]
    known = translation_of(node.target) is not None
    return known and all(dtype_of(t.dtype) is not None and t.layout is torch.strided and _is_here(t) for t in values)


def _is_here(tensor: torch.Tensor) -> bool:
    return tensor.device.type in ("cpu", "meta")


def _tensors(node: torch.fx.Node) -> Iterator[torch.Tensor]:
    made = node.meta.get("val")
    yield from (t for t in (made if isinstance(made, (tuple, list)) else (made,)) if isinstance(t, torch.Tensor))


def _is_size(node: torch.fx.Node) -> bool:
    """Whether a node computes a size, which an expression says."""
    return isinstance(node.meta.get("val"), (torch.SymInt, torch.SymFloat, torch.SymBool, int, float))


def _is_check(node: torch.fx.Node) -> bool:
    name = name_of(node.target).removeprefix("aten.").removeprefix("builtins.")
    return not node.users and name.startswith(_CHECKS)


def _is_inlined(node: torch.fx.Node) -> bool:
    return name_of(node.target) in _INLINED


def unsupported(graph: torch.fx.Graph) -> dict[str, list[Span]]:
    """The operators that are not translated, most frequent first, with the places of each."""
    found: dict[str, list[Span]] = {}
    for node in graph.nodes:
        if _is_inlined(node):
            for name, spans in unsupported(_body(node).graph).items():
                found.setdefault(name, []).extend(spans)
        elif not supports(node):
            known = translation_of(node.target) is not None
            kinds = {str(t.dtype).removeprefix("torch.") for t in _tensors(node) if dtype_of(t.dtype) is None}
            name = name_of(node.target) + f" of {', '.join(sorted(kinds))}" * bool(known and kinds)
            found.setdefault(name, []).append(span_of(node))
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def refuse(call: str, found: Mapping[str, Sequence[Span]]) -> LoadError:
    """An error that names all operators without a translation, how often they are there, and where."""
    counts = ", ".join(f"{name} ({len(spans)})" for name, spans in found.items())
    lines = []
    for name, spans in found.items():
        places = Counter(f"{span.source}:{span.index}" if span.index >= 0 else span.name for span in spans)
        more = f", and {len(places) - SHOWN} places more" if len(places) > SHOWN else ""
        lines.append(f"{name}: {', '.join(list(places)[:SHOWN])}{more}")
    hint = "write these by other operators, or run them in PyTorch and all others here: torch.compile(model, backend='minicc')"
    return LoadError(call, f"expected operators that are supported, got {counts}", "\n".join(lines), hint)


def _body(node: torch.fx.Node) -> torch.fx.GraphModule:
    module: Any = node.graph.owning_module
    made: torch.fx.GraphModule = module.get_submodule(node.args[1].target)
    return made


def translate(graph: torch.fx.Graph, given: Mapping[torch.fx.Node, Any], dims: Dims, spans: dict[Node, Span]) -> Any:
    """What the graph returns, for what its placeholders are: AtenValues, sizes, None. Spans are noted in `spans`.

    Raises LoadError or TypeInferenceError where an operator cannot be what its arguments ask for.
    """
    known: dict[torch.fx.Node, Any] = dict(given)

    def of(argument: Any) -> Any:
        if isinstance(argument, torch.fx.Node):
            return known[argument]
        return [of(a) for a in argument] if isinstance(argument, (list, tuple)) else argument

    for node in graph.nodes:
        if node.op == "output":
            return of(node.args[0])
        if node not in known and not _is_check(node):
            with spanned(spans, span_of(node)):
                known[node] = _value(node, of, dims, spans)
    raise LoadError("from_torch", "expected a graph that returns something, got none", hint="return a tensor")


def _value(node: torch.fx.Node, of: Any, dims: Dims, spans: dict[Node, Span]) -> Any:
    """What one node is: tensors, a size, a part of what another one gave."""
    if node.op == "get_attr":
        held = operator.attrgetter(node.target)(node.graph.owning_module)
        return constant_of(held) if isinstance(held, torch.Tensor) else None  # a graph is read by its caller
    if _is_size(node):
        made = node.meta["val"]
        return None if isinstance(made, torch.SymBool) else dims.value(made) if hasattr(made, "node") else made
    if node.target is operator.getitem:
        return of(node.args[0])[node.args[1]]
    if _is_inlined(node):
        body = _body(node)
        inputs = [n for n in body.graph.nodes if n.op == "placeholder"]
        return translate(body.graph, dict(zip(inputs, map(of, node.args[2:]), strict=True)), dims, spans)
    call = AtenCall(node, dims)
    function = translation_of(node.target)
    assert function is not None, node.target
    positional, keywords = arguments_of(node, of)
    results: Any = function(call, *positional, **keywords)
    if isinstance(node.meta["val"], (tuple, list)):
        return [_typed(call, v, fake) for v, fake in zip(results, call.results, strict=True)]
    return _typed(call, results, call.results[0])


def _typed(call: AtenCall, made: Any, fake: Any) -> AtenValue | None:
    """A result as PyTorch types it. What is made must be of that type: a difference would be a fault of a translation."""
    if made is None or fake is None:
        return None
    node = made.node if isinstance(made, AtenValue) else made
    wanted = call.tensor_type(fake)
    known = node.inferred is not None and node.inferred.is_bound and all(isinstance(d, int) for d in wanted.shape)
    if known and node.inferred != wanted:
        raise call.error(f"expected a result of {wanted}, got {node.inferred}", "report this: it is a fault of minicc")
    return AtenValue(node, wanted.dtype, wanted.shape)


def constant_of(tensor: torch.Tensor) -> AtenValue:
    """A tensor of the program as a constant."""
    node = constant(array_of(tensor))
    return AtenValue(node, node.type.dtype, node.type.shape)
