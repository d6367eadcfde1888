"""A module of PyTorch becomes a graph.

In: what `export` takes. Out: a `Graph` whose inputs are called as the module's arguments and whose outputs as the keys,
fields or positions of what it returns; weights are constants. Dimensions that `dynamic_shapes` names are symbols.

    graph = from_torch(module.eval(), (torch.randn(1, 3, 224, 224),))
    exe = minicc.compile(graph)
    y, = exe(numpy_array)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, InputSpec, SymIntArgument
from torch.utils import _pytree as pytree

from minicc.errors import LoadError
from minicc.frontend.torch.call import AtenValue, dtype_of
from minicc.frontend.torch.dims import Dims, Size
from minicc.frontend.torch.export import CALL, export, split_inputs
from minicc.frontend.torch.translate import constant_of, refuse, translate, unsupported
from minicc.graph.ir import Graph, Node, Span, input, spanned
from minicc.types import Symbol, TensorType, int64

_WEIGHTS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def from_torch(module: Any, example_inputs: Any = (), dynamic_shapes: Any = None) -> Graph:
    """The graph of a PyTorch module, by `torch.export`.

    `module` is a `torch.nn.Module` (in evaluation mode), a function of tensors, a module of `torch.jit.trace` or
    `torch.jit.script`, or an `ExportedProgram`, which needs no example inputs. `example_inputs` is a tuple of
    arguments, a dictionary of keyword arguments, or one tensor; their values matter only where the module's Python
    reads them. `dynamic_shapes` is that of `torch.export.export`: the dimensions that it names are symbols of the
    graph, numbers for which `compile(dims=...)` takes. Tuples, lists, dictionaries and dataclasses among inputs and
    outputs are flattened: "logits", "states_0".

    TorchScript goes through PyTorch's own converter (TS2EPConverter), and where that lacks something the script is run
    on the example inputs and recorded, so that branches are those which these inputs take.

    Weights are copied: what happens to the module later does not reach the graph. Raises LoadError when PyTorch cannot
    export the module, when it has operators without a translation (all are named, with their places), when it
    changes buffers or inputs in place, or when tensors are of dtypes that minicc does not have.
    """
    args, kwargs = split_inputs(example_inputs)
    program = export(module, args, kwargs, dynamic_shapes)
    _check_pure(program)
    if found := unsupported(program.graph):
        raise refuse(CALL, found)
    name = type(module).__name__ if isinstance(module, torch.nn.Module) else getattr(module, "__name__", "program")
    if isinstance(module, torch.jit.ScriptModule):
        name = module.original_name
    return _graph(program, name, _names_of_symbols(program, module, dynamic_shapes, args, kwargs))


def _check_pure(program: ExportedProgram) -> None:
    """Refuse programs that write to what they hold or are given."""
    signature = program.graph_signature
    written = [*signature.buffers_to_mutate.values(), *signature.user_inputs_to_mutate.values()]
    if written:
        problem = f"expected a module that only computes, got one that writes to {', '.join(written)}"
        hint = "module.eval() for statistics of training; state, as of a cache, is to be an argument and a result"
        raise LoadError(CALL, problem, hint=hint)


def _graph(program: ExportedProgram, name: str, symbols: dict[Any, str]) -> Graph:
    dims, spans = Dims(), dict[Node, Span]()
    placeholders = [n for n in program.graph.nodes if n.op == "placeholder"]
    given: dict[torch.fx.Node, Any] = {}
    inputs: list[Node] = []
    held = {**program.state_dict, **program.constants}
    for node, spec in zip(placeholders, program.graph_signature.input_specs, strict=True):
        with spanned(spans, Span("torch", spec.target or node.name)):
            if spec.kind in _WEIGHTS:
                given[node] = constant_of(held[spec.target])
            elif spec.kind is not InputKind.USER_INPUT:
                raise LoadError(CALL, f"expected tensors, got {spec.kind.name} {spec.target}", hint="pass tensors")
            else:
                given[node] = _input(node, spec, dims, symbols, inputs)
    results = translate(program.graph, given, dims, spans)
    outputs, names = [], []
    for value, label in zip(results, _output_names(program), strict=True):
        if (found := _output(value, dims)) is not None:
            outputs.append(found)
            names.append(label)
    if not outputs:
        raise LoadError(CALL, "expected a module that returns tensors, got none", hint="return what it computes")
    return Graph(name, tuple(inputs), tuple(outputs), tuple(names)).located(spans)


def _input(node: torch.fx.Node, spec: InputSpec, dims: Dims, symbols: dict[Any, str], inputs: list[Node]) -> Any:
    """What a placeholder of the user is: an input, or a number or a text that the program has fixed."""
    if isinstance(spec.arg, ConstantArgument):
        return spec.arg.value
    fake = node.meta["val"]
    if isinstance(spec.arg, SymIntArgument):
        inputs.append(input(node.name, TensorType(int64, ())))
        dims.learn(dims.value(fake), inputs[-1])
        return dims.value(fake)
    if (dtype := dtype_of(fake.dtype)) is None:
        raise LoadError(
            CALL, f"expected inputs of dtypes of minicc, got {fake.dtype} for {node.name}", hint="x.float()"
        )
    shape = dims.shape(fake.shape)
    named = [size if isinstance(size, int) else Symbol(symbols.get(size, str(size))) for size in shape]
    inputs.append(input(node.name, TensorType(dtype, tuple(named))))
    for axis, size in enumerate(shape):
        dims.learn_axis(size, inputs[-1], axis)
    return AtenValue(inputs[-1], dtype, shape)


def _output(value: Any, dims: Dims) -> Node | None:
    """A result as a node; None where it is no tensor and no number of a shape."""
    if isinstance(value, AtenValue):
        return value.node
    is_size = (isinstance(value, int) and not isinstance(value, bool)) or hasattr(value, "free_symbols")
    return dims.node(value) if is_size else None


def _output_names(program: ExportedProgram) -> Iterator[str]:
    """A name for each result: the path to it, as `output`, `output_1`, `logits` or `states_0_1`; none stands twice."""
    spec = program.call_spec.out_spec
    count = len(program.graph_signature.user_outputs)
    paths, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten([0] * count, spec)) if spec else ([], None)
    labels = [re.sub(r"\W+", "_", pytree.keystr(path)).strip("_") for path, _ in paths] or [""] * count
    taken: set[str] = set()
    for label in labels:
        plain = label if label and not label[0].isdigit() else f"output_{label}".rstrip("_")
        unique = next(n for n in (plain, *(f"{plain}_{k}" for k in range(count + 1))) if n not in taken)
        taken.add(unique)
        yield unique


def _names_of_symbols(
    program: ExportedProgram, module: Any, dynamic_shapes: Any, args: Any, kwargs: Any
) -> dict[Any, str]:
    """What the user calls the symbols of a program: the names of `torch.export.Dim`."""
    if not dynamic_shapes:
        return {}
    is_script = isinstance(module, torch.jit.ScriptModule)
    signed = module if isinstance(module, torch.nn.Module) and not is_script else program.module()
    combined = torch.export.dynamic_shapes._combine_args(signed, args, kwargs)
    found: list[Any] = []
    torch.export.dynamic_shapes._tree_map_with_path(
        lambda path, leaf, spec: found.append(spec), combined, dynamic_shapes, tree_name="inputs"
    )
    users = [n for n, spec in zip(program.graph.nodes, program.graph_signature.input_specs, strict=False)
             if spec.kind is InputKind.USER_INPUT]  # fmt: skip
    names: dict[Any, str] = {}
    dims = Dims()
    for node, spec in zip(users, found, strict=False):
        made = node.meta.get("val")
        if isinstance(made, torch.Tensor) and spec:
            axes = spec.items() if isinstance(spec, dict) else enumerate(spec)
            for axis, dim in axes:
                size: Size = dims.value(made.shape[axis])
                if not isinstance(size, int) and isinstance(dim, type(torch.export.Dim("x"))):
                    names.setdefault(size, dim.__name__)
    return names
