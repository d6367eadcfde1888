"""A loop program: the loop IR of one kernel, with its parameters. `str(program)` is Python that runs."""

from __future__ import annotations

from minicc.ir.node import Node, node
from minicc.loop.ir import Buffer, Stmt
from minicc.loop.python import to_python
from minicc.tensor.expr import Expr


@node
class Program(Node):
    """`params` are the inputs; `outputs` are written completely and come last in a call.

    `requires` are conditions on the symbolic sizes, each with the element that it keeps in its
    buffer. A call whose sizes break one is refused before anything runs.
    """

    name: str
    params: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    body: Stmt
    requires: tuple[tuple[Expr, str], ...] = ()

    def __str__(self) -> str:
        return to_python(self)

    def __repr__(self) -> str:
        return to_python(self)
