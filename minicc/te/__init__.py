"""Room 2: the mathematics of one kernel, under the names the literature gives it.

An index must lie inside of its tensor, wherever it is evaluated: `te.if_then_else(i < 7, A[i + 1], 0.0)`
reads only what it takes. `minicc.build` refuses what may lie outside. Where symbolic sizes decide, each call
is checked; an index that data decide, as in `T[I[i]]`, is clamped: below 0 it is 0, too large the last.

A call with arguments of another number or kind raises an error that shows the signature and an example.

`create_schedule` and `thread_axis` belong to the schedule room, and stand here because lessons
write `te.create_schedule(C.op)`. They are imported last: rooms above import the submodules of this one.
"""

from collections.abc import Callable as _Callable

from minicc.errors import ScheduleError as _ScheduleError
from minicc.errors import TeError as _TeError
from minicc.te.arguments import checked as _checked
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
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    cos,
    cosh,
    erf,
    exp,
    floor,
    fmod,
    isinf,
    isnan,
    log,
    log1p,
    max_value,
    min_value,
    power,
    round,
    rsqrt,
    sigmoid,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    trunc,
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

_EXAMPLES = {  # of calls; of those that are not here, te.f(A[i])
    **{name: f"k = te.reduce_axis((0, n)); te.{name}(A[i, k], axis=k)" for name in ("sum", "prod", "max", "min")},
    "all": "te.all(i > 0, i < n)", "any": "te.any(i == 0, i == n - 1)", "if_then_else": "te.if_then_else(i < n, A[i], 0.0)",
    "comm_reducer": "te.comm_reducer(lambda x, y: x + y, lambda dtype: te.const(0, dtype), name='total')",
    "compute": "te.compute((n, m), lambda i, j: A[i, j] + 1.0, name='B')", "const": "te.const(0.5, 'float32')",
    "create_schedule": "te.create_schedule(C.op)", "extern": "te.extern((n,), [A], f, name='B')",
    "max_value": "te.max_value('float32')", "min_value": "te.min_value('float32')", "reduce_axis": "te.reduce_axis((0, n), name='k')",
    "placeholder": "te.placeholder((n, m), dtype='float32', name='A')", "register_extern": "te.register_extern('f', function)",
    "scan": "te.scan(init, update, state)", "scatter": "te.scatter(A, (n,), lambda p: (I[p],), lambda p: V[p], 'sum')",
    "thread_axis": "te.thread_axis((0, 64), 'threadIdx.x')", "var": "te.var('n')",
    **{name: f"te.{name}(A[i], B[i])" for name in ("fmod", "maximum", "minimum", "power")},
}  # fmt: skip
_KINDS = {
    "name": str,
    "tag": str,
    "f": _Callable,
    "combine": _Callable,
    "identity": _Callable,
    "indices": _Callable,
    "init": Tensor,
    "update": Tensor,
    "state": Tensor,
    "data": Tensor,
}
_OF_SCATTER = {**_KINDS, "value": _Callable, "where": _Callable, "combiner": str}

for _name in set(__all__) - {"Axis", "Expr", "Tensor", "Var"}:
    _error = _ScheduleError if _name in ("create_schedule", "thread_axis") else _TeError
    globals()[_name] = _checked(
        _error, _EXAMPLES.get(_name, f"te.{_name}(A[i])"), _name, _OF_SCATTER if _name == "scatter" else _KINDS
    )(globals()[_name])
