"""From a graph to Relay, the graph IR of the old TVM, without any TVM in this process.

In: graphs with bound operands and dimensions. Out: a program that builds the graph in Relay, as Python text and the arrays it
names; what the old TVM says and computes of it, in a process of its own. The calls that node k of a graph becomes are called
`nk_`, `nk_1`, ...; the types of values are those that minicc gives to the same calls of Relax.

    program = relay_program(graph)
    print(program.source)  # n0_ = relay.nn.conv2d(p0, c0, strides=[1, 1], ...)

Source of the interface: Roesch et al., "Relay: A High-Level Compiler for Deep Learning", 2019.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.bridge.old_tvm import old_tvm
from minicc.bridge.relay_forms import FORMS, listed
from minicc.bridge.room import Room, Value
from minicc.bridge.tvm_calls import TvmCall, Unsupported
from minicc.bridge.tvm_layers import TRANSLATIONS
from minicc.errors import BridgeError
from minicc.graph.interpret import checked_inputs
from minicc.graph.ir import Graph, Node, input
from minicc.ops.base import Array, Operator
from minicc.types import TensorType


@dataclass(frozen=True)
class RelayProgram:
    """Python text that makes `main`, a Relay function of `x0`, `x1`, ..., with the arrays that it calls `c0`, `c1`, ..."""

    source: str
    constants: dict[str, Array]
    graph: Graph

    def message(self, **options: Any) -> dict[str, Any]:
        """What `bridge.inside` is told of it, beside the constants: the source, the names of inputs and outputs, and options."""
        return {"source": self.source, "inputs": self.graph.input_names, "outputs": self.graph.output_names, **options}


class Relay(Room):
    """The room whose operators are lines of a program that builds Relay, by Relax's names and signatures."""

    dialect = "relay"

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.constants: dict[str, Array] = {}
        self._known: dict[Any, Value] = {}  # constants
        self._counts: Counter[str] = Counter()  # of the variables of a node

    def constant(self, array: Any) -> Value:
        held = np.asarray(array)
        type = TensorType.of(held)
        bits = hashlib.blake2b(held.tobytes()).digest()
        value = self._known.setdefault((type, bits), Value(self, f"c{len(self.constants)}", type))
        self.constants.setdefault(value.expr, held)
        return value

    def call(self, name: str, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        form, where = FORMS.get(name), f"relay.{name}"
        if form is None:
            raise BridgeError(where, "there is no form of Relax's operator in Relay", hint="see minicc ops --tvm")
        signature = inspect.signature(form)
        try:
            bound = signature.bind(self, *map(self.plain, args), **{k: self.plain(v) for k, v in options.items()})
            bound.apply_defaults()
            made = form(*bound.args, **bound.kwargs)
            return self.emit(made, _type(name, bound)) if isinstance(made, str) else made
        except (TypeError, Unsupported) as error:
            problem = f"expected a call that has a form in Relay, got another: {error}"
            raise BridgeError(
                where, problem, hint=f"minicc/bridge/relay_forms.py has it as {name}{signature}"
            ) from error

    def emit(self, text: str, type: Any) -> Any:
        """A line that gives the expression a name: a Value of the type, or a tuple of them."""
        label = self.name or "v"
        name = f"{label}{self._counts[label] or ''}"
        self._counts[label] += 1
        self.lines.append(f"{name} = {text}")
        self.emitted.append(text.partition("(")[0].removeprefix("relay."))
        if isinstance(type, TensorType):
            return Value(self, name, type)
        return tuple([Value(self, f"{name}[{k}]", t) for k, t in enumerate(type)])


def relay_program(graph: Graph) -> RelayProgram:
    """The graph as a program that builds it in Relay: `main` takes the inputs in order and gives the tuple of the outputs.

    Raises BridgeError where a dimension or an operand is open, or an operator has no form in Relay, naming the node.
    """
    room = Relay()
    params = [Value(room, f"x{k}", n.type) for k, n in enumerate(graph.inputs)]
    for name, value in zip(graph.input_names, params, strict=True):
        if not value.type.is_bound:
            problem = f"expected inputs of known dimensions, got {name}: {value.type}"
            hint = "bind the dimensions first, with minicc.graph.bind"
            raise BridgeError(f"relay_program({graph.name})", problem, hint=hint)
    outputs = room.inline(graph, params, lambda k: f"n{k}_")
    lines = [f'{p} = relay.var("{p}", shape={p.shape}, dtype="{p.dtype.name}")' for p in params]
    result = f"main = relay.Function([{listed(params)}], relay.Tuple([{listed(outputs)}]))"
    return RelayProgram("\n".join([*lines, *room.lines, result]), room.constants, graph)


@dataclass(frozen=True)
class RelayModule:
    """The text of a module whose `main` takes `x0`, `x1`, ..., the inputs, and then the parameters, which `params` holds by name."""

    text: str
    params: dict[str, Array]


def to_relay(graph: Graph) -> RelayModule:
    """The graph as Relay writes it, all types inferred by the old TVM; `from_relay` reads it back.

    Constants are parameters, as the text of a scalar has six digits only; a text with bfloat16 is not read by Relay's own parser.
    Raises what `relay_program` raises, BridgeError where the old TVM is not installed, and OldTvmFailure where it refuses.
    """
    program = relay_program(graph)
    text, _ = old_tvm().ask("graphs.text", {"source": program.source}, program.constants)
    return RelayModule(text, program.constants)


def run_relay(graph: Graph, inputs: Mapping[str, Array], timeout: float = 60.0) -> dict[str, Array]:
    """The outputs by name, compiled without optimisation and run by the old TVM within `timeout` seconds. Raises as `to_relay`."""
    program = relay_program(graph)
    checked = checked_inputs(f"run_relay({graph.name})", graph, inputs)
    arrays = {f"x{k}": np.asarray(checked[name]) for k, name in enumerate(graph.input_names)}
    message = program.message(inputs=list(arrays))  # by their names in the source, which no constant has
    _, outputs = old_tvm().ask("graphs.run", message, program.constants | arrays, timeout)
    return outputs


def relay_operators(op: Operator, types: Sequence[TensorType]) -> list[str]:
    """The Relay operators that an operator becomes on inputs of these types. Raises BridgeError."""
    room = Relay()
    room.apply(op, [Value(room, f"x{k}", t) for k, t in enumerate(types)])
    return list(dict.fromkeys(room.emitted))


def _type(name: str, bound: inspect.BoundArguments) -> Any:
    """The type of the result of a Relax call; a tuple of several."""
    arguments: list[Any] = []
    attributes: dict[str, Any] = {}
    for parameter, value in list(bound.arguments.items())[1:]:
        kind = bound.signature.parameters[parameter].kind
        if kind is inspect.Parameter.POSITIONAL_ONLY:
            arguments += [] if value is None else [value]
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            arguments += value
        else:
            attributes[parameter] = value
    made = TRANSLATIONS[name](TvmCall(name, list(map(_node, arguments)), attributes, None))
    return made.type if isinstance(made, Node) else tuple(n.type for n in made)


def _node(argument: Any) -> Any:
    """An argument of a call with a node for each value in it."""
    if isinstance(argument, Value):
        return input("x", argument.type)
    return tuple(map(_node, argument)) if isinstance(argument, (list, tuple)) else argument
