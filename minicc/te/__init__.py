"""Room 2: the mathematics of one kernel, under the names the literature gives it."""

from minicc.te.expr import Axis as Axis
from minicc.te.expr import Expr as Expr
from minicc.te.expr import Var as Var
from minicc.te.expr import all_of as all
from minicc.te.expr import any_of as any
from minicc.te.expr import const as const
from minicc.te.expr import select as if_then_else
from minicc.te.tensor import Tensor as Tensor
from minicc.te.tensor import comm_reducer as comm_reducer
from minicc.te.tensor import compute as compute
from minicc.te.tensor import max as max
from minicc.te.tensor import min as min
from minicc.te.tensor import placeholder as placeholder
from minicc.te.tensor import prod as prod
from minicc.te.tensor import reduce_axis as reduce_axis
from minicc.te.tensor import scan as scan
from minicc.te.tensor import scatter as scatter
from minicc.te.tensor import sum as sum
from minicc.te.tensor import var as var

__all__ = [
    "Axis", "Expr", "Tensor", "Var", "all", "any", "comm_reducer", "compute", "const", "if_then_else", "max", "min",
    "placeholder", "prod", "reduce_axis", "scan", "scatter", "sum", "var",
]  # fmt: skip
