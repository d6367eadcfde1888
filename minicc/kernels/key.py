"""The key of a kernel: all that decides its machine code, as one text.

In: a kernel, a target, the choices for its recipe. Out: the text, or None where it cannot say all: an operator or a
recipe that is not minicc's own, a schedule that is given step by step, a large constant inside. Two kernels of one
key have the same code, whatever their names are. The text holds the sub-graph with its types and small constants, the
target with its features, the version of LLVM, the recipes in order, the choices, and a hash of minicc's own sources.

    kernel_key(kernel, target)      # "minicc 5f0c...\\nLLVM 20.1.8\\nTarget(...)\\n...\\n%2 = Add(%0, %1) : float32[16]"
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minicc.graph.ir import Constant, Graph, Input, Kernel
from minicc.kernels.lower import Given
from minicc.recipes import registry
from minicc.runtime.kernel_cache import sources, versions
from minicc.schedule import Trace
from minicc.target import Target

MOST_CONSTANT = 1 << 12  # bytes of a constant inside of a kernel, which stand in its key


def kernel_key(kernel: Kernel, target: Target, given: Given = None) -> str | None:
    """The text that decides the machine code of a kernel; None where there is none."""
    if isinstance(given, Trace):
        return None
    recipes = [(r.name, r.matches, r.schedule) for r in registry.RECIPES]
    if not sources() or not target.is_cpu or not all(_ours(part) for _, *parts in recipes for part in parts):
        return None
    try:
        body = list(_lines(kernel.body))
    except ValueError:
        return None
    told = [repr([name for name, *_ in recipes]), repr(sorted((given or {}).items())), repr(kernel.within)]
    return "\n".join([*versions(target), *told, *body])


def _lines(body: Graph) -> Iterator[str]:
    """The nodes without their names, and which of them come out. Raises ValueError for what the text cannot say."""
    at = {n: k for k, n in enumerate(body.nodes)}
    for n in body.nodes:
        if not _ours(type(n.op)):
            raise ValueError(n.op.name)
        inputs = ", ".join(f"%{at[i]}" for i in n.inputs)
        yield f"%{at[n]} = {_operator(n.op)}({inputs}) : {n.inferred}"
    yield f"inputs {[at[n] for n in body.inputs]}, outputs {[at[n] for n in body.outputs]}"


def _operator(op: Any) -> str:
    """The operator with its fields; of a constant the bits."""
    if isinstance(op, Input):
        return "Input"
    if isinstance(op, Constant):
        if op.data.array.nbytes > MOST_CONSTANT:
            raise ValueError(op.name)
        return f"Constant {op.data.array.tobytes().hex()}"
    return repr(op)


def _ours(part: Any) -> bool:
    """Whether a class or a function is minicc's own."""
    return str(getattr(part, "__module__", "")).startswith("minicc.")
