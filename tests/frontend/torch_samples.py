"""PyTorch's own samples of arguments for its operators, each translated, evaluated and compared with what PyTorch computes.

The samples are those of `torch.testing._internal.common_methods_invocations`. The outcome of one is a word, or more:
"ok"; "unsupported: NAMES" where operators have no translation; "not traced: WHY" where PyTorch itself gives no graph of it
(sizes that values decide); anything else is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch._functorch.aot_autograd import aot_export_joint_simple
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils import _pytree as pytree

from minicc.errors import MiniccError
from minicc.frontend.torch.call import AtenValue, dtype_of
from minicc.frontend.torch.dims import Dims
from minicc.frontend.torch.export import decompositions
from minicc.frontend.torch.tensors import array_of, tensor_of
from minicc.frontend.torch.translate import translate, unsupported
from minicc.graph.bind import bind
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Graph, input
from minicc.types import TensorType

UNDEFINED = (
    "empty",
    "empty_like",
    "empty_permuted",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
)  # contents are not
FREE = ("argsort", "kthvalue", "msort", "sort", "topk")  # which of equal elements is first is not defined
RANDOM = (
    "bernoulli",
    "cauchy",
    "dropout",
    "exponential",
    "geometric",
    "log_normal",
    "multinomial",
    "normal",
    "rand",
    "rrelu",
    "uniform",
)
ELSEWHERE = ("jiterator", "sparse")  # on other devices, in other layouts
APART = ("linspace.tensor",)  # PyTorch takes it apart into something that rounds in another way
SKIPPED = (*UNDEFINED, *RANDOM, *ELSEWHERE)
TABLE = decompositions()


def label(op: Any) -> str:
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def operators() -> list[Any]:
    """Those whose results are defined."""
    return [op for op in op_db if not any(part in op.name for part in SKIPPED) and not label(op).startswith(APART)]


def samples(op: Any, dtype: torch.dtype, most: int) -> list[Any]:
    """At most so many, spread over all that there are; none where the operator does not take the dtype."""
    found = list(op.sample_inputs("cpu", dtype)) if dtype in op.dtypes else []
    return found[:: max(-(-len(found) // most), 1)]


def outcome(op: Any, sample: Any) -> str:
    """What comes of one sample."""
    leaves, spec = pytree.tree_flatten((sample.input, sample.args, sample.kwargs))
    places = [k for k, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[k].detach() for k in places]

    def function(*given: torch.Tensor) -> list[torch.Tensor]:
        filled = list(leaves)
        for place, tensor in zip(places, given, strict=True):
            filled[place] = tensor.clone()  # some write to their arguments
        first, args, kwargs = pytree.tree_unflatten(filled, spec)
        return [
            leaf.clone() for leaf in pytree.tree_leaves(op(first, *args, **kwargs)) if isinstance(leaf, torch.Tensor)
        ]

    with torch.no_grad():
        try:
            wanted = function(*tensors)
            if not wanted or any(dtype_of(t.dtype) is None for t in (*tensors, *wanted)):
                return "not traced: no results of dtypes that minicc has"
            module = aot_export_joint_simple(function, tuple(tensors), trace_joint=False, decompositions=TABLE)
        except (RuntimeError, ValueError, AssertionError) as error:  # of a few samples PyTorch itself makes nothing
            return f"not traced: {type(error).__name__}"
    module.graph.eliminate_dead_code()
    if missing := unsupported(module.graph):
        return f"unsupported: {', '.join(missing)}"
    try:
        return compare(got_of(module, tensors), wanted, exact_order=op.name not in FREE)
    except MiniccError as error:
        return error.problem if "fault of minicc" in error.hint else f"unsupported: {error.problem}"


def got_of(module: Any, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What the translated graph computes, by the reference of every operator."""
    inputs = [input(f"x{k}", TensorType.of(array_of(t))) for k, t in enumerate(tensors)]
    holes = [n for n in module.graph.nodes if n.op == "placeholder"]
    values = {n: AtenValue(x, x.type.dtype, x.type.shape) for n, x in zip(holes, inputs, strict=True)}
    results = translate(module.graph, values, Dims(), {})
    names = tuple(f"y{k}" for k in range(len(results)))
    graph = bind(Graph("sample", tuple(inputs), tuple(r.node for r in results), names))
    found = evaluate(graph, {f"x{k}": array_of(t) for k, t in enumerate(tensors)})
    return [tensor_of(a.copy()) for a in found.values()]


def compare(got: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], exact_order: bool) -> str:
    """The tolerances are those of `torch.testing`, tenfold for what sums in another order."""
    for mine, theirs in zip(got, wanted, strict=True):
        if (mine.dtype, mine.shape) != (theirs.dtype, theirs.shape):
            return f"expected {theirs.dtype}{list(theirs.shape)}, got {mine.dtype}{list(mine.shape)}"
        if not exact_order and not theirs.dtype.is_floating_point:
            continue
        bounds = {torch.float32: (1e-4, 1e-5), torch.float64: (1e-6, 1e-6)}.get(theirs.dtype, (None, None))
        try:
            torch.testing.assert_close(mine, theirs, equal_nan=True, rtol=bounds[0], atol=bounds[1])
        except AssertionError as error:
            return " ".join(str(error).split())
    return "ok"


def outcomes(ops: Sequence[Any], dtypes: Sequence[torch.dtype], most: int) -> Iterator[tuple[str, str]]:
    """The name of each operator, with the outcome of each of its samples."""
    for op in ops:
        for dtype in dtypes:
            yield from ((label(op), outcome(op, sample)) for sample in samples(op, dtype, most))
