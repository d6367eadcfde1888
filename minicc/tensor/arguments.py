"""How a function is called with other arguments than it has, told in four parts and not by a bare TypeError.

In: a function that users call. Out: the same function, whose wrong calls raise the error of its room, which shows the
signature. Only where Python refuses a call, or a parameter has a kind to check, are the arguments looked at.

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
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from minicc.errors import MiniccError, TeError
from minicc.tensor.operators import shown

F = TypeVar("F", bound=Callable[..., Any])


def checked(
    error: type[MiniccError], hint: str = "", name: str = "", kinds: Mapping[str, Any] | None = None
) -> Callable[[F], F]:
    """A decorator: calls with other arguments raise `error`, and so do arguments that are not of the `kinds` of their parameters.

    The hint is an example of a call, or the first line of the docstring; `name` is what users call the function.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        known = name or function.__name__
        own = {k: kind for k, kind in (kinds or {}).items() if k in signature.parameters}
        told = hint or (function.__doc__ or "").strip().partition("\n")[0]

        def refused(problem: str) -> MiniccError:
            return error(f"{known}(...)", problem, _shown(known, signature), told)

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            if own and (other := _of_other_kind(signature, own, args, options)):
                raise refused(other)
            try:
                return function(*args, **options)
            except TypeError:
                if (problem := _misfit(signature, args, options)) is None:
                    raise
            raise refused(f"expected other arguments: {problem}")

        return cast(F, call)

    return decorate


def _of_other_kind(
    signature: inspect.Signature, kinds: Mapping[str, Any], args: tuple[Any, ...], options: dict[str, Any]
) -> str:
    """What is wrong with the first argument that is not of the kind of its parameter; "" if all are, or do not fit the signature."""
    try:
        given = signature.bind(*args, **options).arguments
    except TypeError:  # the call says so
        return ""
    for parameter, value in given.items():
        if (
            parameter in kinds
            and not isinstance(value, kinds[parameter])
            and signature.parameters[parameter].default is not value
        ):
            wanted = {str: "a name", Callable: "a function"}.get(kinds[parameter]) or f"a {kinds[parameter].__name__}"
            return f"expected {wanted} as {parameter}, got {shown(value)} of {type(value).__name__}"
    return ""


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter] | None:
    """The parameters of a function that a user gives; None where Python does not tell, as of some that are built in."""
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError:
        return None


def applied(call: str, role: str, function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, a function that a user gives as `role` of `call`. Raises TeError when it takes another number of arguments."""
    try:
        return function(*args)
    except TypeError:
        if parameters_of(function) is None or (problem := _misfit(inspect.signature(function), args, {})) is None:
            raise
    raise TeError(
        call,
        f"expected {role} to be a function of {len(args)} arguments: {problem}",
        where=f"{role}: {function!r}",
        hint=f"lambda {', '.join('xyzuvw'[: len(args)])}: ..."
        if 0 < len(args) <= 6
        else f"lambda *args: ... takes the {len(args)}",
    )


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


__all__ = ["applied", "checked", "parameters_of"]
