"""Room 2: the mathematics of one kernel, under the names the literature gives it.

An index must lie inside of its tensor, wherever it is evaluated: `te.if_then_else(i < 7, A[i + 1], 0.0)`
reads only what it takes. `minicc.build` refuses what may lie outside. Where symbolic sizes decide, each call
is checked; an index that data decide, as in `T[I[i]]`, is clamped: below 0 it is 0, too large the last.

`create_schedule` and `thread_axis` belong to the schedule room, and stand here because lessons
write `te.create_schedule(C.op)`. They are imported last: rooms above import the submodules of this one.
"""

from minicc.te.expr import Axis as Axis
from minicc.te.expr import Expr as Expr
from minicc.te.expr import Var as Var
from minicc.te.expr import all_of as all
from minicc.te.expr import any_of as any
from minicc.te.expr import literal as const
from minicc.te.expr import maximum as maximum
from minicc.te.expr import minimum as minimum
from minicc.te.expr import select as if_then_else

from minicc.te.functions import (  # isort: skip
    abs, acos, acosh, asin, asinh, atan, atanh, ceil, cos, cosh, erf, exp, floor, fmod, isinf, isnan, log, log1p,
    max_value, min_value, power, round, rsqrt, sigmoid, sin, sinh, sqrt, tan, tanh, trunc,
)
from minicc.te.foreign import register_extern as register_extern
from minicc.te.tensor import Tensor as Tensor
from minicc.te.tensor import comm_reducer as comm_reducer
from minicc.te.tensor import compute as compute
from minicc.te.tensor import extern as extern
from minicc.te.tensor import max as max
from minicc.te.tensor import min as min
from minicc.te.tensor import placeholder as placeholder
from minicc.te.tensor import prod as prod
from minicc.te.tensor import reduce_axis as reduce_axis
from minicc.te.tensor import scan as scan
from minicc.te.tensor import scatter as scatter
from minicc.te.tensor import sum as sum
from minicc.te.tensor import var as var

from minicc.schedule.te_schedule import create_schedule as create_schedule  # isort: skip
from minicc.schedule.te_schedule import thread_axis as thread_axis  # isort: skip

__all__ = [
    "Axis", "Expr", "Tensor", "Var", "abs", "acos", "acosh", "all", "any", "asin", "asinh", "atan", "atanh", "ceil",
    "comm_reducer", "compute", "const", "cos", "cosh", "create_schedule", "erf", "exp", "extern", "floor", "fmod",
    "if_then_else", "isinf", "isnan", "log", "log1p", "max", "max_value", "maximum", "min", "min_value", "minimum",
    "placeholder", "power", "prod", "reduce_axis", "register_extern", "round", "rsqrt", "scan", "scatter", "sigmoid", "sin", "sinh",
    "sqrt", "sum", "tan", "tanh", "thread_axis", "trunc", "var",
]  # fmt: skip
