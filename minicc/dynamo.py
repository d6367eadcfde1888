"""minicc as a backend of `torch.compile`: graphs that Dynamo captures, in inference, as machine code.

In: an FX graph. Out: what Dynamo calls in its place, with tensors of PyTorch.

    model = torch.compile(model.eval(), backend="minicc")  # options={"threads": 4}
    with torch.no_grad():
        y = model(x)

AOTAutograd makes a functional graph of ATen operators of it. Its parts of which all operators are translated are compiled
when they are first called, once for each combination of sizes; operators between them run in PyTorch, and one warning
names these. Where gradients are needed the graph runs in PyTorch as a whole.

No copies are made: inputs are read where PyTorch has them, unless they lie in another order than their axes, and results
are memory of their own that PyTorch keeps. Weights become constants of the code, in the order in which it reads them.
When one has changed, been replaced or been written to in place, the next call compiles again, and it is an input
from then on: right, and slower. What is written to `weight.data` behind PyTorch's back is not seen.
"""

from __future__ import annotations

import operator
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd
from torch._guards import TracingContext
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import create_op_support

from minicc import config
from minicc.compile import compile as compile_graph
from minicc.errors import ConfigError, FallbackWarning, MiniccError
from minicc.frontend.torch.call import AtenValue, dtype_of
from minicc.frontend.torch.dims import Dims
from minicc.frontend.torch.export import decompositions
from minicc.frontend.torch.tensors import array_of, tensor_of
from minicc.frontend.torch.translate import constant_of, refuse, supports, translate, unsupported
from minicc.graph.ir import Graph, Node, Span, input
from minicc.runtime.executable import Executable
from minicc.types import TensorType, bfloat16

CALL = 'torch.compile(backend="minicc")'
OPTIONS = ("target", "threads", "exact", "cache")  # those of minicc.compile
_WARNED: set[str] = set()
KEPT = 64  # combinations of sizes; the oldest goes first


def backend(
    module: torch.fx.GraphModule,
    example_inputs: Sequence[Any],
    *,
    options: Mapping[str, Any] | None = None,
    mode: str | None = None,
) -> Callable[..., Any]:
    """What `torch.compile(model, backend="minicc", options=...)` calls for each graph.

    Options are those of `minicc.compile`: target, threads (by default `torch.get_num_threads()`, unless the environment
    says otherwise), exact, cache. Raises ConfigError for others, and for a mode.
    """
    given = dict(options or {})
    wrong = [f"option {name}" for name in given if name not in OPTIONS] + ["mode"] * (mode is not None)
    if wrong:
        raise ConfigError(
            CALL, f"expected options of minicc, got {', '.join(wrong)}", hint=f"options: {', '.join(OPTIONS)}"
        )
    if torch.is_grad_enabled() and any(isinstance(t, torch.Tensor) and t.requires_grad for t in example_inputs):
        hint = "call it under torch.no_grad() or torch.inference_mode(), or module.requires_grad_(False)"
        _warn("expected a graph in inference, got one whose gradients are needed; it runs in PyTorch", "", hint)
        eager: Callable[..., Any] = module.forward
        return eager
    made: Callable[..., Any] = aot_autograd(
        fw_compiler=lambda graph, _: make_boxed_func(_compiled(graph, given)), decompositions=decompositions()
    )(module, example_inputs)
    return made


def _warn(problem: str, where: str, hint: str) -> None:
    """Once for each text: a graph is captured again for other sizes."""
    warning = FallbackWarning(CALL, problem, where, hint)
    if str(warning) not in _WARNED:
        _WARNED.add(str(warning))
        warnings.warn(warning, stacklevel=2)


def _compiled(module: torch.fx.GraphModule, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The graph with its parts that are supported as `Subgraph`s; a part itself if that is all of it."""
    context = TracingContext.try_get()
    fixed = set(context.fw_metadata.static_input_indices) if context and context.fw_metadata else set()
    placeholders = [n for n in module.graph.nodes if n.op == "placeholder"]
    weights = {n for k, n in enumerate(placeholders) if k in fixed}
    found = unsupported(module.graph)
    if not found:
        return Subgraph(module, [n in weights for n in placeholders], options)
    error = refuse(CALL, found)
    count = sum(map(len, found.values()))
    problem = f"{error.problem}; {'it runs' if count == 1 else 'they run'} in PyTorch"
    _warn(problem, error.where, "what is around them is compiled")
    fused = CapabilityBasedPartitioner(
        module, create_op_support(_is_supported), allows_single_node_partition=False
    ).partition_and_fuse()
    for node in fused.graph.nodes:
        if node.op == "call_module":
            part = Subgraph(fused.get_submodule(node.target), [a in weights for a in node.args], options)
            fused.delete_submodule(node.target)
            setattr(fused, node.target, part)
    run: Callable[..., Any] = fused.forward
    return run


def _is_supported(_: Any, node: torch.fx.Node) -> bool:
    """A part of a result goes where the result goes."""
    source = node.args[0] if node.target is operator.getitem else node
    return node.op == "call_function" and isinstance(source, torch.fx.Node) and supports(source)


class _Constants:
    """The weights that are constants of the code, as they were, and the code that was made of them, by sizes."""

    def __init__(self, positions: Sequence[int], arguments: Sequence[Any], tensors: Sequence[int]) -> None:
        self.positions, self.held = positions, [arguments[k] for k in positions]
        self.given = [k for k in tensors if k not in positions]  # all others, which a call hands over
        self.made: dict[Any, _Compiled] = {}
        self._counted = [
            t for t in self.held if not t.is_inference()
        ]  # of others nobody counts how often they were written to
        self._versions = [t._version for t in self._counted]

    def hold(self, arguments: Sequence[Any]) -> bool:
        """Whether none was replaced, or written to in place."""
        same = all(map(operator.is_, [arguments[k] for k in self.positions], self.held))
        return same and [t._version for t in self._counted] == self._versions

    def unchanged(self, arguments: Sequence[Any]) -> list[int]:
        """The positions of those that are what they were."""
        counted = {id(t): v for t, v in zip(self._counted, self._versions, strict=True)}
        pairs = zip(self.positions, self.held, strict=True)
        return [k for k, t in pairs if arguments[k] is t and (id(t) not in counted or t._version == counted[id(t)])]


class Subgraph:
    """A graph that is compiled at its first call with new sizes; `weights` says which of its inputs are constants.

    A weight that has changed is an input from then on. A graph that turns out to ask an operator for what minicc does not
    have runs in PyTorch, after a warning. Threads may call it at once.
    """

    def __init__(self, module: torch.fx.GraphModule, weights: Sequence[bool], options: Mapping[str, Any]) -> None:
        self.module, self.options = module, options
        self._inputs = [n for n in module.graph.nodes if n.op == "placeholder"]
        self._weights = [k for k, is_weight in enumerate(weights) if is_weight]
        self._tensors = [k for k, n in enumerate(self._inputs) if isinstance(n.meta["val"], torch.Tensor)]
        self._sized = [k for k, n in enumerate(self._inputs) if _is_symbolic(n.meta["val"])]
        self._constants: _Constants | None = None
        self._lock = threading.Lock()
        self._in_pytorch = False

    def __call__(self, *arguments: Any) -> Any:
        if self._in_pytorch:
            return self.module(*arguments)
        constants = self._constants
        if constants is None or not constants.hold(arguments):
            weights = self._weights if constants is None else constants.unchanged(arguments)
            constants = self._constants = _Constants(weights, arguments, self._tensors)
        key = tuple([a if isinstance(a := arguments[k], int) else a.shape for k in self._sized])
        try:
            made = constants.made.get(key) or self._compile(constants, key, arguments)
        except MiniccError as error:
            self._in_pytorch = True
            _warn(f"{error.problem}; a part of the graph runs in PyTorch", error.where, error.hint)
            return self.module(*arguments)
        return made([arguments[k] for k in constants.given])

    def _compile(self, constants: _Constants, key: Any, arguments: Sequence[Any]) -> _Compiled:
        with self._lock:
            if key not in constants.made:
                if len(constants.made) >= KEPT:
                    del constants.made[next(iter(constants.made))]
                constants.made[key] = self._machine_code(constants, arguments)
            return constants.made[key]

    def _machine_code(self, constants: _Constants, arguments: Sequence[Any]) -> _Compiled:
        dims, spans = Dims(_numbers(self._inputs, arguments)), dict[Node, Span]()
        given: dict[torch.fx.Node, Any] = {}
        inputs: list[Node] = []
        for k, (node, argument) in enumerate(zip(self._inputs, arguments, strict=True)):
            if k in constants.given:
                dtype = dtype_of(argument.dtype)
                assert dtype is not None, "only what is supported is here"
                inputs.append(input(node.name, TensorType(dtype, tuple(argument.shape))))
                given[node] = AtenValue(inputs[-1], dtype, tuple(argument.shape))
            else:
                given[node] = constant_of(argument) if isinstance(argument, torch.Tensor) else argument
        made = translate(self.module.graph, given, dims, spans)
        results = list(made) if isinstance(made, (list, tuple)) else [made]
        outputs = [r.node for r in results if isinstance(r, AtenValue)]
        names = tuple(f"output_{k}" for k in range(len(outputs)))
        graph = Graph("torch", tuple(inputs), tuple(outputs), names).located(spans)
        threads = self.options.get("threads") or config.threads() or torch.get_num_threads()
        executable = compile_graph(graph, **{**self.options, "threads": threads})
        fakes = _results(self.module.graph)
        orders = [_order(fake) if isinstance(r, AtenValue) else None for r, fake in zip(results, fakes, strict=True)]
        whole = isinstance(made, (list, tuple))
        known = [None if isinstance(r, AtenValue) else (r,) for r in results]
        plain = all(_is_plain(arguments[k]) for k in constants.given)
        return _Compiled(executable, known, orders, whole, plain)


class _Compiled:
    """An executable that takes and gives tensors; results that are no tensors are known.

    A call of a small graph is mostly Python. So where tensors and arrays turn into each other by one call of PyTorch, which
    dtypes and gradients decide and Dynamo guards, nothing else is asked.
    """

    def __init__(
        self,
        executable: Executable,
        known: Sequence[tuple[Any] | None],
        orders: Sequence[Any],
        whole: bool,
        plain: bool,
    ) -> None:
        self._executable, self._known, self._orders, self._whole = executable, known, orders, whole
        ours = all(port.dtype is not bfloat16 for port in (*executable.inputs, *executable.outputs))
        self._plain = whole and plain and ours and not any(known) and not any(orders)

    def __call__(self, tensors: Sequence[torch.Tensor]) -> Any:
        if self._plain:
            return [torch.from_numpy(a) for a in self._executable(*[t.numpy() for t in tensors])]
        rest = iter(self._executable(*map(array_of, tensors)))
        made = [_ordered(tensor_of(next(rest)), order) if known is None else known[0]
                for known, order in zip(self._known, self._orders, strict=True)]  # fmt: skip
        return made if self._whole else made[0]


def _results(graph: torch.fx.Graph) -> list[Any]:
    """What PyTorch knows of each result of a graph."""
    (output,) = (n for n in graph.nodes if n.op == "output")
    found = output.args[0]
    listed = found if isinstance(found, (list, tuple)) else [found]
    return [n.meta.get("val") if isinstance(n, torch.fx.Node) else None for n in listed]


def _order(fake: Any) -> tuple[int, ...] | None:
    """The order in which the axes of a result lie in memory, outermost first, where that is not their own."""
    if not isinstance(fake, torch.Tensor) or fake.is_contiguous() or fake.dim() < 2:
        return None
    order = sorted(range(fake.dim()), key=lambda axis: -int(fake.stride(axis)))
    return tuple(order)


def _ordered(tensor: torch.Tensor, order: tuple[int, ...] | None) -> torch.Tensor:
    """The tensor with its axes in that order in memory: what reads it next was made for these strides."""
    if order is None:
        return tensor
    back = [order.index(axis) for axis in range(len(order))]
    made: torch.Tensor = tensor.permute(order).contiguous().permute(back)
    return made


def _is_symbolic(fake: Any) -> bool:
    if isinstance(fake, torch.Tensor):
        return any(isinstance(size, torch.SymInt) for size in fake.shape)
    return isinstance(fake, (torch.SymInt, int))


def _numbers(inputs: Sequence[torch.fx.Node], arguments: Sequence[Any]) -> dict[Any, int]:
    """What the symbols of a graph are in a call."""
    found: dict[Any, int] = {}
    for node, argument in zip(inputs, arguments, strict=True):
        fake = node.meta["val"]
        sizes = zip(fake.shape, argument.shape, strict=True) if isinstance(fake, torch.Tensor) else [(fake, argument)]
        for symbolic, size in sizes:
            if isinstance(symbolic, torch.SymInt) and symbolic.node.expr.is_Symbol:
                found[symbolic.node.expr] = int(size)
    return found


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether `tensor.numpy()` is all that it takes."""
    return not (tensor.requires_grad or tensor.is_neg())
