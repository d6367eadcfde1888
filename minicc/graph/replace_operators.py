"""Put operators of other classes in the place of those of some names: a reader's own Relu in a whole model.

In: a graph, and classes by the names of operators. Out: the graph in which each such operator is one of the other class with
the same fields. What it infers must be what was inferred before, as everything around it counts on that.

>>> from minicc.graph.ir import input
>>> from minicc.ops import Relu
>>> from minicc.types import TensorType, float32
>>> class Rectifier(Relu):
...     pass
>>> x = input("x", TensorType(float32, (2,)))
>>> [n.op.name for n in replace_operators(Graph("main", (x,), (Relu()(x),), ("y",)), {"Relu": Rectifier}).nodes]
['Input', 'Rectifier']
"""

from __future__ import annotations

from collections.abc import Mapping

from minicc.errors import ConfigError, TypeInferenceError, nearest
from minicc.graph.ir import Graph, Node, make
from minicc.graph.transform import same, transform
from minicc.ops.base import INTERPRETED, REGISTRY, Operator


def replace_operators(graph: Graph, instead: Mapping[str, type[Operator]]) -> Graph:
    """The graph with operators of these classes. Raises TypeInferenceError where one infers another type."""

    def change(n: Node, inputs: tuple[Node, ...]) -> Node:
        kind = instead.get(n.op.name)
        if kind is None or type(n.op) is kind:
            return same(n, inputs)
        made = make(kind(**{name: getattr(n.op, name) for name in n.op.__match_args__}), inputs)
        if made.inferred != n.inferred and n.inferred is not None:
            problem = f"expected {kind.__name__} to infer {n.inferred}, as {n.op.name} does, got {made.inferred or '?'}"
            hint = f"infer of {kind.__name__} must give the type of {n.op.name}"
            raise TypeInferenceError(
                f"{made.op}({', '.join(str(i.inferred) for i in inputs)})", problem, graph.where(n), hint
            )
        return made

    return transform(graph, change)


def check_operators(call: str, instead: Mapping[str, type[Operator]]) -> None:
    """Raise ConfigError unless these are classes of operators, by names of operators with the same fields."""
    known = REGISTRY | INTERPRETED
    for name, kind in instead.items():
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else "`minicc ops` lists them"
            raise ConfigError(call, f"expected the name of an operator, got {name!r}", ", ".join(sorted(known)), hint)
        fields = known[name].__match_args__
        if not (isinstance(kind, type) and issubclass(kind, Operator) and kind.__match_args__ == fields):
            problem = f"expected a class of operators with the fields ({', '.join(fields)}) for {name}, got {kind!r}"
            raise ConfigError(call, problem, hint=f"class Own(ops.{name}): with methods of its own")
