"""What lessons import: the names of room 2 and `create_schedule`, as the literature gives it.

An index must lie inside of its tensor, wherever it is evaluated: `te.if_then_else(i < 7, A[i + 1], 0.0)`
reads only what it takes. `minicc.build` refuses what may lie outside. Where symbolic sizes decide, each call
is checked; an index that data decide, as in `T[I[i]]`, is clamped: below 0 it is 0, too large the last.

A call with arguments of another number or kind raises an error that shows the signature and an example.

`create_schedule`, `thread_axis` and `Cache` belong to other rooms, and stand here because lessons write
`te.create_schedule(C.op)`, and `s.counts(caches=[te.Cache(1 << 10)])`.
"""

from collections.abc import Callable as _Callable

from minicc.errors import ScheduleError as _ScheduleError
from minicc.errors import TeError as _TeError
from minicc.loop.caches import Cache
from minicc.schedule.bind import thread_axis
from minicc.schedule.te_schedule import create_schedule
from minicc.tensor import *  # noqa: F403 - each of them is checked below
from minicc.tensor import Tensor
from minicc.tensor import __all__ as _room
from minicc.tensor.arguments import checked as _checked

__all__ = [*_room, "Cache", "create_schedule", "thread_axis"]

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
    **dict.fromkeys(("name", "tag"), str),
    **dict.fromkeys(("f", "combine", "identity", "indices"), _Callable),
    **dict.fromkeys(("init", "update", "state", "data"), Tensor),
}
_OF_SCATTER = {**_KINDS, "value": _Callable, "where": _Callable, "combiner": str}

for _name in set(__all__) - {"Axis", "Cache", "Expr", "Tensor", "Var"}:
    _error = _ScheduleError if _name in ("create_schedule", "thread_axis") else _TeError
    globals()[_name] = _checked(
        _error, _EXAMPLES.get(_name, f"te.{_name}(A[i])"), _name, _OF_SCATTER if _name == "scatter" else _KINDS
    )(globals()[_name])
