"""One node of an ONNX graph, as its translation sees it.

A `Call` holds the node's attributes (with the defaults of its opset), its inputs as graph nodes,
and makes new graph nodes that carry its span. An attribute that a translation did not look at is
an error: what is not understood is not ignored.

>>> from onnx import helper
>>> call = Call(helper.make_node("Softmax", ["x"], ["y"]), 12, [constant(1.0)], Span("m.onnx"))
>>> call["axis"]
1
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from onnx import AttributeProto, NodeProto, defs, helper

from minicc.errors import LoadError, nearest
from minicc.frontend.onnx_tensors import LARGEST, array, dtype_of
from minicc.graph.ir import Constant, Node, Span, constant, make
from minicc.ops import CastLike, Reshape, Shape
from minicc.ops.base import OPERAND, Array, Operator
from minicc.types import DType, TensorType

Result = Node | Sequence[Node | None]
Translation = Callable[["Call"], Result]


class Call:
    """An ONNX node: `call["axis"]` is an attribute, `call[0]` an input, `call(op, ...)` a new graph node.

    `version` is the opset of the node, `asked` tells for each output whether the model uses it.
    """

    def __init__(self, proto: NodeProto, version: int, inputs: Sequence[Node | None], span: Span) -> None:
        self.proto, self.version, self.inputs, self.span = proto, version, tuple(inputs), span
        self.asked = tuple(bool(name) for name in proto.output)
        self.schema = defs.get_schema(proto.op_type, version, "")
        self._given: dict[str, Any] = {}
        self._unread: set[str] = set()
        self._check_arity()
        self._read_attributes()

    def error(self, problem: str, hint: str = "") -> LoadError:
        """A LoadError whose place is this node."""
        return LoadError(
            f"load({self.span.source!r})",
            f"{self.proto.op_type}: {problem}",
            str(self.span),
            hint or f"see {self.proto.op_type}-{self.schema.since_version} in the ONNX operator reference",
        )

    # What the node says

    def __getitem__(self, key: str | int) -> Any:
        """The attribute of this name (None when absent without default), or the input at this position."""
        if isinstance(key, int):
            found = self.input(key)
            if found is None:
                raise self.error(f"input {key} is required", self._takes("inputs", self.schema.inputs))
            return found
        self._unread.discard(key)
        return self._given.get(key)

    def input(self, position: int) -> Node | None:
        """The input at this position; None when it is absent."""
        return self.inputs[position] if position < len(self.inputs) else None

    def given(self, name: str) -> bool:
        """Whether the model says this attribute, be it the default."""
        return any(attribute.name == name for attribute in self.proto.attribute)

    def ignore(self, *names: str) -> None:
        """Attributes that change nothing here."""
        self._unread.difference_update(names)

    def finish(self) -> None:
        """Raise when an attribute was given that the translation does not know."""
        if self._unread:
            raise self.error(
                f"attribute {', '.join(sorted(self._unread))} is not supported", "export the model without it"
            )

    def dtype(self, name: str) -> DType:
        """The attribute `name`, an element type."""
        return dtype_of(self[name], f"attribute {name} of {self.span}", self.span.source)

    def tensor(self, name: str) -> Array | None:
        """The attribute `name`, a tensor."""
        value = self[name]
        if value is None:
            return None
        return array(value, (), self.span.source, f"attribute {name} of {self.span}")

    # Operands: inputs that become fields. `apply` puts the value into the field where it is known.

    def vector(self, position: int) -> Node | None:
        """The input at this position as a list of numbers; None when absent."""
        return self._operand(position, (-1,))

    def scalar(self, position: int) -> Node | None:
        """The input at this position as one number; None when absent."""
        return self._operand(position, ())

    def _operand(self, position: int, shape: tuple[int, ...]) -> Node | None:
        found = self.input(position)
        if found is None or (found.inferred is not None and found.inferred.rank == len(shape)):
            return found
        if isinstance(found.op, Constant):
            return constant(found.op.data.array.reshape(shape))
        return self(Reshape, found, shape=shape)

    def known(self, position: int) -> Array | None:
        """The value of the input at this position where it is a constant; None otherwise."""
        found = self.input(position)
        return found.op.data.array if found is not None and isinstance(found.op, Constant) else None

    # New nodes

    def __call__(self, operator: type[Operator], *data: Node, **fields: Any) -> Node:
        """The node `operator(**fields)(*data)`.

        A field given as a graph node is an operand: its value where constant, else one more input.
        A field given as None keeps its default, and a flag may be given as ONNX has it, 0 or 1.
        """
        pending: dict[str, Node] = {}
        plain: dict[str, Any] = {}
        for name, value in fields.items():
            if isinstance(value, Node):
                if isinstance(value.op, Constant):
                    plain[name] = numbers(value.op.data.array)
                else:
                    plain[name], pending[name] = OPERAND, value
            elif value is not None:
                plain[name] = bool(value) if name in _flags(operator) else value
        op = operator(**plain)
        made = make(op, [*data, *[pending[name] for name in op.pending]])
        if made.inferred is not None and made.inferred.is_bound and made.inferred.size > LARGEST:
            raise self.error(
                f"a result of {made.inferred} is more than 2**40 elements",
                "choose a smaller shape, axis size or number of repeats",
            )
        return made

    def constant(self, value: Any, dtype: DType | str = "float32") -> Node:
        """A constant node."""
        return constant(np.asarray(value, DType.of(dtype).numpy))

    def like(self, value: float, x: Node) -> Node:
        """The scalar `value` in the dtype of `x`, known or not."""
        if x.inferred is not None:
            return self.constant(value, x.dtype)
        return self(CastLike, self.constant(value), x)

    def shape(self, x: Node) -> Node:
        """The shape of `x`, as a constant where it is known."""
        if x.inferred is not None and x.inferred.is_bound:
            return self.constant(x.shape, "int64")
        return self(Shape, x)

    @property
    def data(self) -> tuple[Node, ...]:
        """All inputs; raises when one is absent."""
        return tuple(self[i] for i in range(len(self.inputs)))

    def type(self, x: Node, why: str) -> TensorType:
        """The type of `x`; raises when it is not known yet."""
        if x.inferred is None:
            raise self.error(
                f"{why} needs the rank of its input, which depends on a symbol or on a run-time value",
                "export the model with fixed shapes",
            )
        return x.inferred

    # Checks

    def _check_arity(self) -> None:
        for what, formal, got, low, high in (
            ("inputs", self.schema.inputs, len(self.inputs), self.schema.min_input, self.schema.max_input),
            ("outputs", self.schema.outputs, len(self.asked), self.schema.min_output, self.schema.max_output),
        ):
            if not low <= got <= high:
                expected = f"at least {low}" if high > 10**6 else f"{low}" if low == high else f"{low} to {high}"
                raise self.error(f"expected {expected} {what}, got {got}", self._takes(what, formal))

    def _takes(self, what: str, formal: Sequence[Any]) -> str:
        """A hint that names the inputs or outputs of the operator."""
        return f"the {what} of {self.proto.op_type} are {', '.join(f.name for f in formal) or 'none'}, in this order"

    def _read_attributes(self) -> None:
        for name, declared in self.schema.attributes.items():
            if declared.default_value.name:
                self._given[name] = _plain(helper.get_attribute_value(declared.default_value))
        for proto in self.proto.attribute:
            allowed = self.schema.attributes.get(proto.name)
            if allowed is None:
                raise self.error(
                    f"attribute {proto.name!r} does not exist in opset {self.version}",
                    f"did you mean {near}?"
                    if (near := nearest(proto.name, self.schema.attributes))
                    else "leave it out; the attributes "
                    f"of {self.proto.op_type} are {', '.join(self.schema.attributes) or 'none'}",
                )
            kind = AttributeProto.AttributeType.Name(proto.type)
            if kind != allowed.type.name:  # type: ignore[attr-defined] # the stubs do not know it as an enum
                raise self.error(
                    f"attribute {proto.name!r} must be {allowed.type.name}, got {kind}",  # type: ignore[attr-defined]
                    "onnx.helper.make_node writes 1 as INT, 1.0 as FLOAT, 'x' as STRING, [1] as INTS and [1.0] as FLOATS",
                )
            self._given[proto.name] = _plain(helper.get_attribute_value(proto))
            self._unread.add(proto.name)
        for name, declared in self.schema.attributes.items():
            if declared.required and name not in self._given:
                raise self.error(f"attribute {name!r} is required", f"it has no default: give {name} to the node")


@cache
def _flags(operator: type[Operator]) -> frozenset[str]:
    """The fields of `operator` that are true or false."""
    return frozenset(f.name for f in dataclasses.fields(operator) if isinstance(f.default, bool))


def _plain(value: Any) -> Any:
    """An attribute's value as Python numbers, text and tuples."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (str, int, float)) or not isinstance(value, Sequence):
        return value
    return tuple(_plain(v) for v in value)


def numbers(values: Array) -> Any:
    """An array as Python numbers: one from a 0-d array, else a tuple."""
    if values.dtype.kind == "V":  # NumPy does not know bfloat16 as a number
        values = values.astype(np.float32)
    return values.item() if values.ndim == 0 else tuple(values.tolist())
