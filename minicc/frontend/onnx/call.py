"""One node of an ONNX graph, as its translation sees it.

An `OnnxCall` holds the node's attributes (with the defaults of its opset), its inputs as graph nodes,
and makes new graph nodes that carry its span. An attribute that a translation did not look at is
an error: what is not understood is not ignored.

>>> from onnx import helper
>>> call = OnnxCall(helper.make_node("Softmax", ["x"], ["y"]), 12, [constant(1.0)], Span("m.onnx"))
>>> call["axis"]
1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import AttributeProto, NodeProto, helper

from minicc.errors import LoadError, nearest
from minicc.frontend.apply import applied, fields_of
from minicc.frontend.onnx.schemas import declared, undeclared
from minicc.frontend.onnx.tensors import ModelFile
from minicc.graph.ir import Constant, Node, Span, constant
from minicc.ops import CastLike, Reshape, Shape
from minicc.ops.base import Array, Operator
from minicc.types import DType, TensorType

Result = Node | Sequence[Node | None]
Translation = Callable[["OnnxCall"], Result]
Look = Callable[[str], Node | None]

# Attributes that change nothing here: precision of statistics, rounding to float8, what only training needs.
IGNORED = {"momentum", "ratio", "round_mode", "saturate", "seed", "stash_type"}


@dataclass(frozen=True)
class Scope:
    """What the graphs that a node holds need: `look` says what is called so around them (None where nothing is),
    `enter(graph, inputs, look, sure)` gives the outputs of a graph on these inputs, which may not fit unless it is `sure` to
    run, and `spans` notes where nodes come from."""

    look: Look
    enter: Callable[..., list[Node]]
    spans: dict[Node, Span]


class OnnxCall:
    """An ONNX node: `call["axis"]` is an attribute, `call[0]` an input, `call(op, ...)` a new graph node.

    `version` is the opset of the node, `asked` tells for each output whether the model uses it.
    """

    def __init__(
        self, proto: NodeProto, version: int, inputs: Sequence[Node | None], span: Span, scope: Scope | None = None
    ) -> None:
        self._scope = scope
        self.proto, self.version, self.inputs, self.span = proto, version, tuple(inputs), span
        self.file = ModelFile(span.source)  # without folders, as data beside the model is of initializers only
        self.asked = tuple(bool(name) for name in proto.output)
        known = declared(proto.domain, proto.op_type, version)
        self.schema = known or undeclared(proto.domain, proto.op_type, proto.attribute)
        self.declared = known is not None
        self._given: dict[str, Any] = {}
        self._unread: set[str] = set()
        self._check_arity()
        self._read_attributes()

    def error(self, problem: str, hint: str = "") -> LoadError:
        """A LoadError whose place is this node."""
        kind, where = self.proto.op_type, self.schema.domain or "ONNX"
        hint = hint or f"see {kind}-{self.schema.since_version} in the operator reference of {where}"
        return self.file.error(f"{kind}: {problem}", str(self.span), hint)

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

    @property
    def scope(self) -> Scope:
        """Where the node's own graphs are."""
        assert self._scope is not None
        return self._scope

    def given(self, name: str) -> bool:
        """Whether the model says this attribute, be it the default."""
        return any(attribute.name == name for attribute in self.proto.attribute)

    def finish(self) -> None:
        """Raise when an attribute was given that the translation does not know."""
        if unread := sorted(self._unread - IGNORED):
            raise self.error(f"attribute {', '.join(unread)} is not supported", "export the model without it")

    def dtype(self, name: str) -> DType:
        """The attribute `name`, an element type."""
        return self.file.dtype(self[name], f"attribute {name} of {self.span}")

    def tensor(self, name: str) -> Array | None:
        """The attribute `name`, a tensor."""
        value = self[name]
        return None if value is None else self.file.array(value, f"attribute {name} of {self.span}")

    # Operands: inputs that become fields. `apply` puts the value into the field where it is known.

    def operand(self, position: int, rank: int) -> Node | None:
        """The input at this position as one number (rank 0) or as a list (rank 1); None when absent."""
        found = self.input(position)
        if found is None or (found.inferred is not None and found.inferred.rank == rank):
            return found
        if isinstance(found.op, Constant):
            return constant(found.op.data.array.reshape((-1,) * rank))
        return self(Reshape, found, shape=(-1,) * rank)

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
        return applied(operator, data, fields, self.error)

    def results(self, operator: type[Operator]) -> Result:
        """The node as `direct` has it; an operator with a field `output` is one node for each result of that name."""
        if "output" not in fields_of(operator):
            return self.direct(operator)
        names = [formal.name for formal in self.schema.outputs]
        return [
            self.direct(operator, output=name) if asked else None
            for name, asked in zip(names, self.asked, strict=False)
        ]

    def direct(self, operator: type[Operator], *data: Node, **fields: Any) -> Node:
        """The node as one `operator`; `data` and `fields` are what is not meant as it stands in the file.

        An attribute that is called as a field fills it, and an input that is called as an operand is that
        operand (`onnx_fields` of the operator tells of other names). All other inputs are data; a field `given`
        tells which of them there are.
        """
        known, inputs = fields_of(operator), dict[int, str]()
        for position, formal in enumerate(self._formals(operator)):
            field = operator.onnx_fields.get(formal, formal)
            if field not in operator.operands:
                inputs[position] = formal
            elif field not in fields:
                fields[field] = self.operand(position, rank=int(str(known[field].type).startswith("tuple")))
        if "given" in known and not data:
            inputs = {position: formal for position, formal in inputs.items() if self.input(position) is not None}
            fields.setdefault("given", tuple(inputs.values()))
        for name in self.schema.attributes:
            field = operator.onnx_fields.get(name, name)
            if field in known and field not in fields:
                is_dtype = "DType" in str(known[field].type) and self[name] is not None
                fields[field] = self.dtype(name) if is_dtype else self[name]
        return self(operator, *(data or [self[position] for position in inputs]), **fields)

    def _formals(self, operator: type[Operator]) -> list[str]:
        """How the inputs are called."""
        last = len(self.schema.inputs) - 1
        formals = [self.schema.inputs[min(n, last)].name for n in range(len(self.inputs))]
        if not self.declared:  # nobody says how they are called: the last ones are the operands
            formals[max(len(formals) - len(operator.operands), 0) :] = operator.operands
        return formals

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
            problem = f"{why} needs the rank of its input, which depends on a symbol or on a run-time value"
            raise self.error(problem, "export the model with fixed shapes")
        return x.inferred

    # Checks

    def _check_arity(self) -> None:
        of = self.schema
        inputs = "inputs", of.inputs, len(self.inputs), of.min_input, of.max_input
        outputs = "outputs", of.outputs, len(self.asked), of.min_output, of.max_output
        for what, formal, got, low, high in (inputs, outputs):
            if not low <= got <= high:
                expected = f"at least {low}" if high > 10**6 else f"{low}" if low == high else f"{low} to {high}"
                raise self.error(f"expected {expected} {what}, got {got}", self._takes(what, formal))

    def _takes(self, what: str, formal: Sequence[Any]) -> str:
        """A hint that names the inputs or outputs of the operator."""
        return f"the {what} of {self.proto.op_type} are {', '.join(f.name for f in formal) or 'none'}, in this order"

    def _read_attributes(self) -> None:
        declared = self.schema.attributes
        for name, formal in declared.items():
            if formal.default_value.name:
                self._given[name] = _plain(helper.get_attribute_value(formal.default_value))
        for proto in self.proto.attribute:
            if (allowed := declared.get(proto.name)) is None:
                near = nearest(proto.name, declared)
                others = f"leave it out; the attributes of {self.proto.op_type} are {', '.join(declared) or 'none'}"
                problem = f"attribute {proto.name!r} does not exist in opset {self.version}"
                raise self.error(problem, f"did you mean {near}?" if near else others)
            kind, expected = AttributeProto.AttributeType.Name(proto.type), getattr(allowed.type, "name", "")
            if kind != expected:
                hint = "helper.make_node writes 1 as INT, 1.0 as FLOAT, 'x' as STRING, [1] as INTS and [1.0] as FLOATS"
                raise self.error(f"attribute {proto.name!r} must be {expected}, got {kind}", hint)
            self._given[proto.name] = _plain(helper.get_attribute_value(proto))
            self._unread.add(proto.name)
        for name, formal in declared.items():
            if formal.required and name not in self._given:
                raise self.error(f"attribute {name!r} is required", f"it has no default: give {name} to the node")


def _plain(value: Any) -> Any:
    """An attribute's value as Python numbers, text and tuples."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (str, int, float)) or not isinstance(value, Sequence):
        return value
    return tuple(_plain(v) for v in value)
