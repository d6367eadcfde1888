"""One node of an FX graph of ATen operators, as its translation sees it.

A translation takes an `AtenCall`, and the arguments of the node, completed by the operator's schema: those by position, then
those by keyword, without what the result says itself (its dtype) or what has no meaning here (devices). A tensor among them
is a `AtenValue`: its graph node, and what PyTorch knows of it (dtype and shape, symbols included), which is known where the
type of the node may not be.

    def softmax(call, x, axis, half_to_float):  # x: AtenValue float32[s0, 3]
        return call(ops.Softmax, x, axis=axis)  # a new graph node
"""

from __future__ import annotations

import operator as python_operator
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from minicc import ops
from minicc.errors import LoadError
from minicc.frontend.torch.dims import Dims, Size
from minicc.graph.ir import Node, Span, constant, make
from minicc.ops.base import OPERAND, Operator
from minicc.types import DType, TensorType

LARGEST = 2**40  # elements of one tensor
_HERE = str(Path(torch.__file__).parent)
_NAMES = {torch.bool: "bool"}
_SAID_BY_RESULT = {
    "device",
    "dtype",
    "generator",
    "layout",
    "memory_format",
    "non_blocking",
    "pin_memory",
    "sparse_grad",
}


class AtenValue(NamedTuple):
    """A tensor: the graph node that computes it, its dtype, and its shape of numbers and expressions."""

    node: Node
    dtype: DType
    shape: tuple[Size, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    def axis(self, axis: int) -> int:
        """`axis` counted from the front. Of a scalar it is 0."""
        return axis % max(self.rank, 1)

    def axes(self, axes: Sequence[int] | int | None) -> tuple[int, ...]:
        """Axes counted from the front; None, and an empty list, are all."""
        given = (axes,) if isinstance(axes, int) else axes
        return tuple(self.axis(a) for a in given) if given else tuple(range(self.rank))

    def __repr__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


Result = Node | AtenValue | Sequence[Node | AtenValue | None]
Translation = Callable[..., Result]  # (call, *arguments, **keywords)


def dtype_of(dtype: torch.dtype) -> DType | None:
    """What minicc calls a dtype of PyTorch; None where it has none, as for complex numbers."""
    return DType.table.get(_NAMES.get(dtype, str(dtype).removeprefix("torch.")))


class AtenCall:
    """An FX node: `dtype` and `shape` of its (first) result, `call(op, ...)` a graph node."""

    def __init__(self, node: torch.fx.Node, dims: Dims) -> None:
        self.node, self.dims = node, dims
        made = node.meta.get("val")
        self.results = tuple(made) if isinstance(made, (tuple, list)) else (made,)

    def error(self, problem: str, hint: str = "") -> LoadError:
        """A LoadError whose place is this node."""
        hint = (
            hint or "write it by other operators, or run this part in PyTorch: torch.compile(model, backend='minicc')"
        )
        return LoadError("from_torch", f"{name_of(self.node.target)}: {problem}", str(span_of(self.node)), hint)

    # What PyTorch says of the result

    def wanted(self, position: int) -> bool:
        """Whether somebody reads this one of several results."""
        takes = [user.args[1] for user in self.node.users if user.target is python_operator.getitem]
        return position in takes or len(takes) < len(self.node.users)

    @property
    def dtype(self) -> DType:
        """Of the first result."""
        return self.dtype_of(self.results[0].dtype)

    @property
    def shape(self) -> tuple[Size, ...]:
        """Of the first result."""
        return self.dims.shape(self.results[0].shape)

    def dtype_of(self, dtype: torch.dtype) -> DType:
        """What minicc calls a dtype. Raises LoadError where it has none."""
        if (found := dtype_of(dtype)) is None:
            raise self.error(f"expected a dtype of minicc, got {dtype}", f"the dtypes are {', '.join(DType.table)}")
        return found

    def common(self, *values: Any) -> DType:
        """The dtype in which PyTorch computes on these tensors and numbers."""
        empty = [torch.empty((2,) * min(v.rank, 1), dtype=torch_dtype(v.dtype), device="meta") if isinstance(v, AtenValue) else v
                 for v in values]  # fmt: skip
        result = empty[0]
        if len(values) == 1:
            return (
                self.dtype_of(result.dtype) if isinstance(result, torch.Tensor) else DType.of(np.asarray(result).dtype)
            )
        return self.dtype_of(torch.result_type(*empty))

    def number(self, size: Size, what: str) -> int:
        """A size that must be known. Raises LoadError where it is an expression."""
        if not isinstance(size, int):
            raise self.error(f"{what} must be a number, got {size}", "export with this dimension fixed")
        return size

    # New nodes

    def __call__(self, operator: type[Operator], *data: Any, **fields: Any) -> Node:
        """The node `operator(**fields)(*data)`. A field of sizes that are not known yet is an operand."""
        pending: dict[str, Node] = {}
        for name, value in fields.items():
            if (node := self._operand(value)) is not None:
                fields[name], pending[name] = OPERAND, node
        op = operator(**fields)
        made = make(op, [*map(_node, data), *[pending[name] for name in op.pending]])
        if made.inferred is not None and made.inferred.is_bound and made.inferred.size > LARGEST:
            raise self.error(f"a result of {made.inferred} is more than 2**40 elements", "choose a smaller shape")
        return made

    def _operand(self, value: Any) -> Node | None:
        if isinstance(value, tuple):
            return None if all(isinstance(v, (int, float)) for v in value) else self.dims.vector(value)
        return self.dims.node(value) if hasattr(value, "free_symbols") else None

    def constant(self, value: Any, dtype: DType | str) -> Node:
        return constant(np.asarray(value).astype(DType.of(dtype).numpy))

    def cast(self, value: Any, dtype: DType) -> Any:
        """A tensor, or a number, in `dtype`: a AtenValue where it is none but a AtenValue of this dtype, else a node."""
        if isinstance(value, AtenValue):
            return value if value.dtype is dtype else AtenValue(self(ops.Cast, value, dtype=dtype), dtype, value.shape)
        if hasattr(value, "free_symbols"):  # a size as a number
            return AtenValue(self(ops.Cast, self.dims.node(value), dtype=dtype), dtype, ())
        return AtenValue(self.constant(value, dtype), dtype, ())

    def of(self, node: Node, like: AtenValue, shape: Sequence[Size] | None = None) -> AtenValue:
        """A node as a AtenValue of the dtype, and of the shape, of another."""
        return AtenValue(node, like.dtype, like.shape if shape is None else tuple(shape))

    def reshape(self, x: Any, shape: Sequence[Size]) -> Node:
        return self(ops.Reshape, x, shape=tuple(shape), allow_zero=True)

    def rounded(self, node: Any, dtype: DType, made: DType) -> Node:
        """What was computed in `made` as `dtype`."""
        return _node(node) if dtype is made else self(ops.Cast, node, dtype=dtype)

    def tensor_type(self, fake: torch.Tensor) -> TensorType:
        return TensorType(self.dtype_of(fake.dtype), self.dims.shape(fake.shape))


def _node(value: Any) -> Any:
    return value.node if isinstance(value, AtenValue) else value


def arguments_of(node: torch.fx.Node, convert: Callable[[Any], Any]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of an FX node by position, and those by keyword; those left out by their defaults."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for position, formal in enumerate(node.target._schema.arguments):
        given = node.args[position] if position < len(node.args) else node.kwargs.get(formal.name, formal.default_value)
        if formal.name in _SAID_BY_RESULT:
            continue
        if formal.kwarg_only:
            keywords[formal.name] = convert(given)
        else:
            positional.append(convert(given))
    return positional, keywords


def name_of(target: Any) -> str:
    """An operator as PyTorch writes it: aten.add.Tensor."""
    return str(target) if hasattr(target, "_schema") else getattr(target, "__name__", str(target))


@cache
def _frames(trace: str) -> tuple[tuple[str, int], ...]:
    return tuple((file, int(line)) for file, line in re.findall(r'File "(.+?)", line (\d+)', trace))


def span_of(node: torch.fx.Node) -> Span:
    """The innermost line outside of PyTorch that made a node, or, where there is none, its name alone."""
    frames = _frames(node.meta.get("stack_trace") or "")
    outside = [frame for frame in frames if not frame[0].startswith(_HERE)] or list(frames)
    file, line = outside[-1] if outside else ("torch", -1)
    return Span(file, node.name, name_of(node.target), line)


def torch_dtype(dtype: DType) -> torch.dtype:
    """What PyTorch calls a dtype."""
    found: torch.dtype = getattr(torch, dtype.name)
    return found
