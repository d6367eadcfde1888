"""From Relay, the graph IR of the old TVM, to a graph: bring a saved text over.

In: the text of a module, as `astext(show_meta_data=True)` writes it, and perhaps the values of some parameters. Out: a
`Graph` whose inputs are the other parameters and whose outputs are the fields of what the function returns. The old TVM
reads the text in a process of its own, and infers its types; nothing of it is run. All that is not supported (operators,
control flow, shapes that are not known) is reported at once.

    graph = from_relay(open("model.relay").read(), {"weight": weight})
    minicc.compile(graph)

`let`, tuples, functions that are called, and the functions that fusion made come over.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicc.bridge.frames import Message
from minicc.bridge.old_tvm import OldTvmFailure, old_tvm
from minicc.bridge.reader import UNKNOWN, Reader
from minicc.bridge.relay_calls import RELAY
from minicc.bridge.tvm_calls import TvmCall, Unsupported
from minicc.errors import BridgeError
from minicc.graph.ir import Graph, constant
from minicc.ops.base import Array
from minicc.types import DType, TensorType

HINT = "relay.transform.DynamicToStatic before the text is saved finds shapes; passes that pack layouts belong after it"
WRITES = "module.astext(show_meta_data=True) writes a text, tvm.runtime.save_param_dict(params) parameters"
TIMEOUT = 300.0  # seconds: a text may hold the weights of a large model


def from_relay(text: str, params: Mapping[str, Array] | bytes | None = None, function: str = "main") -> Graph:
    """The graph of a function of a Relay text; `params` are values of parameters by name, which become constants.

    They may be the bytes that TVM's `save_param_dict` made. Inputs are called as the parameters, outputs `out`, or `out0`,
    `out1`, ... of several. Raises BridgeError when the old TVM is not there or refuses the text, when there is no such
    parameter, or when operators are not supported: all of them at once.
    """
    call = f'from_relay("{function}")'
    if not isinstance(text, str):
        raise BridgeError(call, f"expected a text, got {type(text).__name__}", hint=WRITES)
    reader = _RelayReader(call, function, *_asked(call, "calls", function, text.encode(errors="replace")))
    if isinstance(params, bytes):
        params = _asked(call, "params", None, params)[1]
    return reader.graph(reader.run({} if params is None else params))


def _asked(call: str, what: str, message: Any, data: bytes) -> Message:
    """What `inside.read` says of a text or of parameters, which may be too long for a message."""
    try:
        return old_tvm().ask(f"read.{what}", message, {what: np.frombuffer(data, np.uint8)}, TIMEOUT)
    except OldTvmFailure as failure:
        problem = (
            f"expected a text and params that the old TVM reads, got {failure.kind} from it: {failure.failed.detail}"
        )
        raise BridgeError(call, problem, hint=WRITES) from failure


class _RelayReader(Reader):
    """Reads the list of values that `inside.read` makes, one after the other."""

    def __init__(self, call: str, function: str, answer: Mapping[str, Any], constants: Mapping[str, Array]) -> None:
        super().__init__(call, function, RELAY, "Relay", HINT)
        self.list, self.result, self.constants = answer["values"], answer["result"], constants

    def run(self, params: Mapping[str, Array]) -> Any:
        """The value that the function gives."""
        self.check_params(params, [said["attributes"]["name"] for said in self.list if said["op"] == "parameter"])
        values: list[Any] = []
        for k, said in enumerate(self.list):
            work = functools.partial(self.value, k, said, [values[a] for a in said["args"]], params)
            values.append(self.read(said["name"] or f"value {k}", said["op"], k, work))
        return values[self.result]

    def value(self, k: int, said: Mapping[str, Any], args: Sequence[Any], params: Mapping[str, Array]) -> Any:
        """The value number k: a node, or a tuple."""
        if said["op"] == "Tuple":
            return tuple(args)
        if said["op"] == "TupleGetItem":
            return self.field(args[0], said["attributes"]["index"])
        type = _type(said["type"])
        if said["op"] == "constant":
            return constant(self.constants[str(k)])
        if said["op"] == "parameter":
            if type is None:
                raise Unsupported("that is no tensor")
            return self.parameter(said["attributes"]["name"], type, params)
        return self.translate(TvmCall(said["op"], args, said["attributes"], type))

    def field(self, whole: Any, index: int) -> Any:
        """A field of a tuple. Raises Unsupported where the operator that makes it leaves it out."""
        if whole is not UNKNOWN and index >= len(whole):
            raise Unsupported(f"with index={index}, a result that only training needs")
        return whole if whole is UNKNOWN else whole[index]


def _type(said: Any) -> TensorType | None:
    """The type of a tensor; None of what is none. Raises Unsupported where a dimension is not known."""
    if not isinstance(said, Mapping):
        return None
    if None in said["shape"]:
        raise Unsupported(f"of the shape ({', '.join('?' if d is None else str(d) for d in said['shape'])})")
    return TensorType(DType.of(said["dtype"]), tuple(said["shape"]))
