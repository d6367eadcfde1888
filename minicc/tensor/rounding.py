"""Where a stage's value ends, though it is computed inside of another stage.

A stage's value is rounded to its dtype, whatever is fused with it. Every operator rounds its result
already but one: the product that a reduction adds may be fused with the addition (`loop.ir`). So the
product of another stage, computed where a sum reads it, is marked by a cast to its own dtype, which
prints as what it is: `S[()] = S[()] + float32(A[i]*A[i])`.

>>> from minicc.tensor.expr import Var
>>> from minicc.types import float32
>>> x = Var("x", float32)
>>> marked(x * x), marked(x + x)
(float32(x*x), x + x)
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.tensor.expr import Binary, Convert, Const, Expr, Select, Unary


def heads(e: Expr) -> Iterator[Expr]:
    """The parts that may be all that simplification leaves of `e`: itself, a branch, what stands beside a constant."""
    seen = {e}
    pending = [e]
    while pending:
        item = pending.pop()
        yield item
        parts: tuple[Expr, ...] = ()
        match item:
            case Select(_, then, other):
                parts = (then, other)
            case Unary(_, a):
                parts = (a,)
            case Binary(_, a, b) if a is b or isinstance(a, Const) or isinstance(b, Const):
                parts = (a, b)
        pending += [part for part in parts if part not in seen]
        seen.update(parts)


def marked(e: Expr) -> Expr:
    """`e` as the value of a stage of its own, where it is or may become a product of floats; else `e` itself."""
    if not e.dtype.is_float:
        return e
    product = any(isinstance(part, Binary) and part.op in ("mul", "div") for part in heads(e))  # x/2 becomes x*0.5
    return Convert(e, e.dtype) if product else e
