"""A loop program: the loop IR of one kernel, with its parameters."""

from __future__ import annotations

from minicc.ir.node import Node, node
from minicc.loop.ir import Buffer, Stmt


@node
class Program(Node):
    """`params` are the inputs; `outputs` are written completely and come last in a call."""

    name: str
    params: tuple[Buffer, ...]
    outputs: tuple[Buffer, ...]
    body: Stmt
