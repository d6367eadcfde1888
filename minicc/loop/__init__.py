"""Room 3: how a kernel is computed. `lower` makes the naive program, schedule steps and passes rewrite it.

Read `ir` for the grammar, `program` for how a program prints, `python` for how it runs, `verify` for what makes it legal.
"""

from minicc.loop.ir import Buffer
from minicc.loop.lower import Lowered, lower
from minicc.loop.program import Program
from minicc.loop.python import run_python

__all__ = ["Buffer", "Lowered", "Program", "lower", "run_python"]
