"""How a function is called with other arguments than it has, told in four parts and not by a bare TypeError.

In: a function that users call. Out: the same function, whose wrong calls raise the error of its room, which shows the
signature. A right call costs nothing: only where Python refuses one are the arguments looked at.

>>> from minicc.errors import TeError
>>> @checked(TeError, "half(x)")
... def half(x):
...     return x / 2
>>> half(1, 2)
Traceback (most recent call last):
minicc.errors.TeError: TeError: half(...): expected other arguments: too many positional arguments
    half(x)
hint: half(x)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from minicc.errors import MiniccError

F = TypeVar("F", bound=Callable[..., Any])


def checked(error: type[MiniccError], hint: str = "") -> Callable[[F], F]:
    """A decorator: calls with other arguments raise `error`. The hint is an example of a call, or the first line of the docstring."""

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        told = hint or (function.__doc__ or "").strip().partition("\n")[0]

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            try:
                return function(*args, **options)
            except TypeError:
                if (problem := _misfit(signature, args, options)) is None:
                    raise
            raise error(f"{function.__name__}(...)", f"expected other arguments: {problem}", _shown(function.__name__, signature), told)

        return cast(F, call)

    return decorate


def _misfit(signature: inspect.Signature, args: tuple[Any, ...], options: dict[str, Any]) -> str | None:
    """What Python says of arguments that a signature does not take; None if it takes them."""
    try:
        signature.bind(*args, **options)
    except TypeError as misfit:
        return str(misfit)
    return None


def _shown(name: str, signature: inspect.Signature) -> str:
    """A signature without annotations, and without the object that a method belongs to."""
    parts = [str(p.replace(annotation=p.empty)) for p in signature.parameters.values() if p.name != "self"]
    return f"{name}({', '.join(parts)})"


__all__ = ["checked"]
