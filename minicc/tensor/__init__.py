"""Room 2: the mathematics of one kernel: expressions over tensors, under the names the literature gives them.

In: extents and index functions. Out: a `Tensor`, whose operation says how each element is computed. What stands
here is what rooms above use, as in `from minicc import tensor as te`; lessons read `minicc.te`, where every
function also checks how it is called.

>>> from minicc import tensor as te
>>> A = te.placeholder((4,), name="A")
>>> print(te.compute((4,), lambda i: te.exp(A[i]) * 2.0, name="B").op)
B[i in range(4)] = exp(A[i])*2.0
"""

from minicc.tensor.expr import Axis as Axis, Expr as Expr, Var as Var, all_of as all, any_of as any, literal as const
from minicc.tensor.expr import maximum as maximum, minimum as minimum, select as if_then_else
from minicc.tensor.foreign import register_extern as register_extern
from minicc.tensor.functions import abs, acos, acosh, asin, asinh, atan, atanh, ceil, cos, cosh, erf, exp, floor, fmod
from minicc.tensor.functions import isinf, isnan, log, log1p, max_value, min_value, power, round, rsqrt, sigmoid, sin
from minicc.tensor.functions import sinh, sqrt, tan, tanh, trunc
from minicc.tensor.tensor import Tensor, comm_reducer, compute, extern, max, min, placeholder, prod, reduce_axis, scan
from minicc.tensor.tensor import scatter, sum, var

__all__ = [
    "Axis", "Expr", "Tensor", "Var", "abs", "acos", "acosh", "all", "any", "asin", "asinh", "atan", "atanh", "ceil",
    "comm_reducer", "compute", "const", "cos", "cosh", "erf", "exp", "extern", "floor", "fmod", "if_then_else", "isinf",
    "isnan", "log", "log1p", "max", "max_value", "maximum", "min", "min_value", "minimum", "placeholder", "power",
    "prod", "reduce_axis", "register_extern", "round", "rsqrt", "scan", "scatter", "sigmoid", "sin", "sinh", "sqrt",
    "sum", "tan", "tanh", "trunc", "var",
]  # fmt: skip
