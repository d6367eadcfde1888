"""A loop program: the loop IR of one kernel, with its parameters. `str(program)` is Python that runs.

Printer, interpreter, documentation and oracle are one: the text is a function over NumPy arrays, which computes
exactly what machine code computes, with the same dtypes: integers wrap around, NaN propagates, nothing is promoted.

    from minicc.loop.prelude import first, parallel

    def dot(A, B, C):
        # A: float32[4,8], B: float32[8] -> C: float32[4]
        for i in parallel(4):
            for k in range(8):
                if first(k):
                    C[i] = 0.0
                C[i] = C[i] + A[i, k]*B[k]
"""

from __future__ import annotations

import json
import re

from minicc.ir.drawn import Drawn
from minicc.ir.node import Interned, node
from minicc.loop.ir import Buffer, Stmt
from minicc.loop.prelude import PRELUDE
from minicc.loop.printer import PythonPrinter
from minicc.tensor.expr import Expr, Var


@node
class Program(Interned, Drawn):
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
        arrays, printer = (*self.params, *self.outputs), PythonPrinter()
        inputs, outputs = (", ".join(map(repr, part)) for part in (self.params, self.outputs))
        lines = [
            f"def {self.name}({', '.join(b.name for b in arrays)}):",
            f"    # {inputs} -> {outputs}" if inputs else f"    # -> {outputs}",
            *_sizes(arrays),
            *[f"    assert {printer.expr(cond)}, {json.dumps(element)}" for cond, element in self.requires],
            *printer.block(self.body, 1),
        ]
        words = set(re.findall(r"#.*|(?<![\w.])[A-Za-z]\w*", "\n".join([lines[0], *lines[2:]])))
        if used := sorted(words & PRELUDE.keys()):
            lines[:0] = [f"from minicc.loop.prelude import {', '.join(used)}", ""]
        return "\n".join(lines) + "\n"

    __repr__ = __str__


def _sizes(buffers: tuple[Buffer, ...]) -> list[str]:
    """Assignments of the symbolic sizes, from the shapes of the arrays."""
    found: dict[str, str] = {}
    for buffer in buffers:
        for dim, extent in enumerate(buffer.shape):
            if isinstance(extent, Var):
                found.setdefault(extent.name, f"    {extent.name} = {buffer.name}.shape[{dim}]")
    return list(found.values())
