"""Room 3: how a kernel is computed. `lower` makes the naive program, schedule steps and passes rewrite it.

Read `ir` for the grammar, `python` for how a program prints and runs, `verify` for what makes it legal.
"""

from minicc.loop.ir import Buffer as Buffer
from minicc.loop.lower import Lowered as Lowered
from minicc.loop.lower import lower as lower
from minicc.loop.program import Program as Program
from minicc.loop.python import run_python as run_python
from minicc.loop.python import to_python as to_python

__all__ = ["Buffer", "Lowered", "Program", "lower", "run_python", "to_python"]
