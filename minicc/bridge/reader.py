"""How a module of TVM becomes a graph, whatever its dialect: the half that `from_relax` and `from_relay` share.

In: calls of a function's operators, one after the other, and a table that translates them. Out: a `Graph` with spans. What
cannot be translated is collected with the reason, what reads it is passed over, and all of it is reported at once.

    reader = Reader('from_relax("main")', "main", TRANSLATIONS, "Relax", "legalize a module later")
    x = reader.parameter("x", TensorType(float32, (2, 3)), {})
    y = reader.read("y", "nn.relu", 0, lambda: reader.translate(TvmCall("nn.relu", [x], None, x.type)))
    reader.graph(y)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from minicc.bridge.tvm_calls import TvmCall, Unsupported
from minicc.errors import BridgeError, GraphError, TypeInferenceError
from minicc.graph.ir import Graph, Node, Span, constant, input, spanned
from minicc.ops.base import Array
from minicc.types import Symbol, TensorType, Unbound

MOST_NAMES = 3  # of variables that a report lists
UNKNOWN = object()  # the value of what is not supported


class Reader:
    """The values of one function as nodes, tuples and numbers, and what is not supported of it.

    `call` is what the user asked for, `table` has the translation of an operator by the name that `dialect` gives it, and
    `hint` says what a user can do about operators that it lacks.
    """

    def __init__(
        self, call: str, function: str, table: Mapping[str, Callable[[TvmCall], Any]], dialect: str, hint: str
    ) -> None:
        self.call, self.function, self.table, self.dialect, self.hint = call, function, table, dialect, hint
        self.spans: dict[Node, Span] = {}
        self.inputs: list[Node] = []
        self.lacking: dict[str, list[str]] = {}  # what is not supported -> the variables that hold it

    def check_params(self, params: Any, known: Collection[str]) -> None:
        """Raise BridgeError unless `params` gives values of parameters that are known, each by a name of its own."""
        if twice := [name for name, count in Counter(known).items() if count > 1]:
            raise BridgeError(
                self.call, f"expected names of one parameter each, got {twice[0]!r} of more", hint="rename one"
            )
        if not isinstance(params, Mapping):
            problem = f"expected params as a mapping from names to arrays, got {type(params).__name__}"
            raise BridgeError(self.call, problem, hint='params={"name": array}')
        for name in params:
            if name not in known:
                some = f"one of the parameters {', '.join(known)}"
                problem = f"expected {some if known else 'no values of parameters, as there are none'}, got a value for {name!r}"
                raise BridgeError(self.call, problem, hint=f"leave {name!r} out of params")

    def parameter(self, name: str, wanted: TensorType, params: Mapping[str, Array]) -> Node:
        """An input of the graph, or the value that `params` gives."""
        if name not in params:
            self.inputs.append(input(name, wanted))
            return self.inputs[-1]
        given = np.asarray(params[name])
        if not _fits(TensorType.of(given), wanted):
            problem = f"expected {wanted} for the parameter {name}, got {TensorType.of(given)}"
            hint = "numpy.asarray(value, dtype).reshape(shape) makes one of the type that is expected"
            raise BridgeError(self.call, problem, hint=hint)
        with spanned(self.spans, Span(self.call, name)):
            return constant(given)

    def read(self, name: str, operator: str, position: int, work: Callable[[], Any]) -> Any:
        """What `work` gives for the value that is called `name`; UNKNOWN if it is not supported, which is noted."""
        try:
            with spanned(self.spans, Span(self.function, name, operator, position)):
                return work()
        except Unsupported as reason:
            self.lack(operator, name, str(reason))
        except TypeInferenceError as error:
            self.lack(operator, name, f"where {error.problem}")
        except (GraphError, Unbound):
            self.lack(operator, name, "on a tensor of a shape that is not known")
        return UNKNOWN

    def lack(self, what: str, name: str, reason: str) -> None:
        """Note that `what` is not supported."""
        self.lacking.setdefault(f"{what} {reason}".strip(), []).append(name)

    def translate(self, call: TvmCall) -> Any:
        """What the table makes of a call. Raises Unsupported."""
        translation = self.table.get(call.name)
        if translation is None:
            raise Unsupported("")
        if any(map(_is_unknown, call.args)):
            return UNKNOWN
        made = translation(call)
        if isinstance(made, Node) and call.type and made.inferred and not _fits(made.inferred, call.type):
            raise Unsupported(f"whose result is {call.type} for TVM, {made.inferred} for minicc")
        return made

    def graph(self, result: Any) -> Graph:
        """The graph whose outputs are the tensors of `result`. Raises BridgeError, perhaps with all that is not supported."""
        if self.lacking:
            raise self.report()
        outputs = _flat(result)
        if not outputs or any(not isinstance(n, Node) for n in outputs):
            problem = f"expected a result of tensors, got {len(outputs)} values, not all of them tensors"
            raise BridgeError(self.call, problem, hint="return tensors only, or tuples of them")
        names = ("out",) if len(outputs) == 1 else tuple(f"out{k}" for k in range(len(outputs)))
        return Graph(self.function, tuple(self.inputs), tuple(outputs), names).located(self.spans)

    def report(self) -> BridgeError:
        """The error that says what is not supported."""
        order = sorted(self.lacking.items(), key=lambda item: -len(item[1]))
        lines = [f"{what}: {len(names)} x ({', '.join(names[:MOST_NAMES])}{', ...' if len(names) > MOST_NAMES else ''})"
                 for what, names in order]  # fmt: skip
        problem = f"operators that are not supported: {len(lines)}, on {sum(map(len, self.lacking.values()))} variables"
        hint = f"{len(self.table)} {self.dialect} operators are supported; {self.hint}"
        return BridgeError(self.call, problem, "\n".join(lines), hint)


def _fits(given: TensorType, wanted: TensorType) -> bool:
    """Whether the types are one, as far as they are known."""
    if given.dtype is not wanted.dtype or given.rank != wanted.rank:
        return False
    pairs = zip(given.shape, wanted.shape, strict=True)
    return all(g == w or isinstance(g, Symbol) or isinstance(w, Symbol) for g, w in pairs)


def _flat(value: Any) -> list[Any]:
    """The fields of a tuple of tuples, in order."""
    return [leaf for field in value for leaf in _flat(field)] if isinstance(value, tuple) else [value]


def _is_unknown(value: Any) -> bool:
    return value is UNKNOWN or (isinstance(value, tuple) and any(map(_is_unknown, value)))
