"""A room of values in which a graph becomes TVM's: what the rooms of Relax and of Relay have in common.

In: operators and values. Out: values, each an expression of the dialect with its type. An operator's `tvm` method is handed
the room as `R` and calls TVM's operators by Relax's names and signatures; what a call becomes is the dialect's matter.

    R.nn.conv2d(x, w, padding=1)  # a Value
    R["where"](R.less(x, y), x, y)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from minicc.errors import BridgeError, MiniccError
from minicc.graph.ir import Constant, Graph, Kernel, Node
from minicc.ops.base import Operator, infer
from minicc.types import DType, TensorType, Unbound


def _infix(name: str) -> Callable[[Value, Any], Value]:
    """The method of a Python operator: TVM's operator `name`."""

    def apply(self: Value, other: Any) -> Value:
        made: Value = self.room[name](self, self._operand(other))
        return made

    return apply


class Value:
    """A tensor in a function under construction; its type is written as minicc writes it.

    `+ - * /` emit TVM's operators; a number on the right becomes a constant of the value's dtype.
    """

    __slots__ = ("expr", "room", "type")

    def __init__(self, room: Room, expr: Any, type: TensorType) -> None:
        self.room, self.expr, self.type = room, expr, type

    def __str__(self) -> str:
        return str(self.expr)

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    def apply(self, op: Operator, values: Sequence[Any]) -> Value:
        """The operator in this room: by its `tvm`."""
        return self.room.apply(op, values)

    def constant(self, array: Any) -> Value:
        return self.room.constant(array)

    def astype(self, dtype: Any) -> Value:
        """The value in another dtype; like the method of an array."""
        wanted = DType.of(dtype)
        return self if wanted is self.dtype else self.room.astype(self, wanted)

    __add__, __sub__, __mul__, __truediv__ = map(_infix, ("add", "subtract", "multiply", "divide"))

    def _operand(self, other: Any) -> Value:
        """The other side of an operator; a number is of this value's dtype."""
        return other if isinstance(other, Value) else self.constant(np.asarray(other).astype(self.dtype.numpy))


def described(graph: Graph, k: int) -> str:
    """Node k of a graph and where it comes from, for an error."""
    n = graph.nodes[k]
    return f"node {k}: {n.op}" + (f"    # {graph.spans[n]}" if n in graph.spans else "")


class Room:
    """Base: what `Operator.tvm` is handed. A dialect gives `call` and `constant`.

    `R.add(x, y)`, `R.nn.conv2d(x, w, padding=1)`, `R["nn.relu"](x)` give a Value, or a tuple of them. Arrays among the
    arguments become constants, a DType its name. `emitted` collects the names of the operators used.
    """

    dialect: ClassVar[str]  # in errors

    def __init__(self) -> None:
        self.name = ""  # of the variables: that of the node being lowered
        self.emitted: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return _Name(self, name)

    def __getitem__(self, path: str) -> Any:
        """The operator of a dotted name: `R["nn.relu"]` is `R.nn.relu`."""
        return _Name(self, path)

    def call(self, name: str, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Emit the operator: a Value, or a tuple of them. Raises BridgeError when TVM has no such operator, or refuses."""
        raise NotImplementedError(self.dialect)

    def constant(self, array: Any) -> Value:
        """A literal tensor."""
        raise NotImplementedError(self.dialect)

    def plain(self, argument: Any) -> Any:
        """An argument of a call: arrays in it are constants, a DType is its name."""
        if isinstance(argument, (np.ndarray, np.generic)):
            return self.plain(self.constant(argument))
        if isinstance(argument, DType):
            return argument.name
        if isinstance(argument, (list, tuple)):
            return type(argument)(map(self.plain, argument))
        return argument

    def refuse(self, op: Operator, why: str, hint: str = "") -> BridgeError:
        """The error that says why `op` has no form in TVM; raise it."""
        problem = f"expected an operator that TVM has, got one it has not: {why}"
        return BridgeError(
            f"{self.dialect}({op})", problem, hint=hint or "run it by minicc, or export the model without it"
        )

    def apply(self, op: Operator, values: Sequence[Any]) -> Value:
        """`op` on values; arrays among them become constants. Raises BridgeError where TVM has no form of it."""
        made = [v if isinstance(v, Value) else self.constant(v) for v in values]
        if isinstance(op, Constant):
            return self.constant(op.data.array)
        if isinstance(op, Kernel):
            return self.inline(op.body, made)[0]
        if op.pending:
            problem = f"expected known operands, got {', '.join(op.pending)} as inputs"
            hint = "compile with fixed shapes and values, so that binding moves them into the operator"
            raise BridgeError(f"{self.dialect}({op})", problem, hint=hint)
        result = infer(op, [v.type for v in made])
        # many of TVM's operators divide by an extent of 0, or take it for "as it was"
        if result is not None and 0 in result.shape:
            zeros: Value = self.zeros(result.shape, result.dtype)
            return zeros
        value: Value = op.tvm(self, *made)
        return value

    def inline(self, graph: Graph, inputs: Sequence[Value], label: Callable[[int], str] | None = None) -> list[Value]:
        """The outputs of `graph` on `inputs`; `label(k)` names the variables of node k."""
        number = {n: k for k, n in enumerate(graph.nodes)}

        def step(n: Node, values: list[Value]) -> Value:
            if label:
                self.name = label(number[n])
            where = described(graph, number[n])
            try:
                return self._checked(n, self.apply(n.op, values))
            except Unbound as error:
                problem = f"expected known dimensions, got the symbol {error}, on which the result or how it is computed depends"
                hint = "bind the dimensions first, with minicc.graph.bind"
                raise BridgeError(f"{self.dialect}({n.op})", problem, where, hint) from error
            except MiniccError as error:
                error.where = error.where or where
                raise

        return graph.interpret(inputs, step)

    def _checked(self, n: Node, value: Value) -> Value:
        """`value`, which must be of the type that was inferred for the node."""
        if n.inferred is not None and n.inferred.is_bound and value.type != n.inferred:
            hint = "the operator's tvm method and its infer method must agree"
            problem = f"expected {n.inferred}, got {value.type} from TVM"
            raise BridgeError(f"{self.dialect}({n.op})", problem, hint=hint)
        return value


class _Name:
    """An operator of TVM by its dotted name, to be called: `R.nn.relu`."""

    def __init__(self, room: Room, path: str) -> None:
        self.room, self.path = room, path

    def __getattr__(self, name: str) -> Any:
        return _Name(self.room, f"{self.path}.{name}")

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.room.call(self.path, args, options)
