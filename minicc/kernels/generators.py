"""Code generators of kinds of targets that are no processor, by the name of the kind.

In: a target. Out: the function that makes code for it. `minicc/__init__.py` registers those that come with minicc.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

from minicc.errors import TargetError
from minicc.target import Target


class Generator(NamedTuple):
    """Where the code generator of a kind of target is, as `module:function`; imported when first asked for.

    `model(graph, target, observe)` gives an Executable of a graph after the passes for the target;
    `function(program, order, target)` what is called with arrays in the order of these buffers.
    """

    model: str
    function: str


GENERATORS: dict[str, Generator] = {}


def found(target: Target, which: str) -> Any:
    """A function of the code generator for a target. Raises TargetError when nobody has registered one."""
    if target.kind not in GENERATORS:
        problem = f"expected a kind of target with a code generator, got {target.kind}"
        where = f"registered: cpu, {', '.join(GENERATORS) or 'and no other'}"
        raise TargetError(
            f"compile(target={target.kind!r})", problem, where, "import minicc registers those that come with it"
        )
    module, _, name = getattr(GENERATORS[target.kind], which).partition(":")
    return getattr(import_module(module), name)
