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
signature_of = functools.cache(inspect.signature)  # asked for when a call has to be judged: it takes a while


def checked(
    error: type[MiniccError], hint: str = "", name: str = "", kinds: Mapping[str, Any] | None = None
) -> Callable[[F], F]:
    """A decorator: calls with other arguments raise `error`, and so do arguments that are not of the `kinds` of their parameters.

    The hint is an example of a call, or the first line of the docstring; `name` is what users call the function.
    """

    def decorate(function: Any) -> Any:
        known = name or function.__name__
        code = function.__code__
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        own = {k: kind for k, kind in (kinds or {}).items() if k in parameters}
        told = hint or (function.__doc__ or "").strip().partition("\n")[0]

        def refused(problem: str) -> MiniccError:
            return error(f"{known}(...)", problem, _shown(known, signature_of(function)), told)

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            if own and (other := _of_other_kind(signature_of(function), own, args, options)):
                raise refused(other)
            try:
                return function(*args, **options)
            except TypeError:
                if (problem := _misfit(signature_of(function), args, options)) is None:
                    raise
            raise refused(f"expected other arguments: {problem}")

        return call

    return cast(Callable[[F], F], decorate)


def _of_other_kind(
    signature: inspect.Signature, kinds: Mapping[str, Any], args: tuple[Any, ...], options: dict[str, Any]
) -> str:
    """What is wrong with the first argument that is not of the kind of its parameter; "" if all are, or do not fit the signature."""
    if _misfit(signature, args, options) is not None:  # the call says so
        return ""
    for parameter, value in signature.bind(*args, **options).arguments.items():
        kind, default = kinds.get(parameter, object), signature.parameters[parameter].default
        if not isinstance(value, kind) and value is not default:
            wanted = {str: "a name", Callable: "a function"}.get(kind) or f"a {kind.__name__}"
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
    names = ", ".join("xyzuvw"[: len(args)])
    hint = f"lambda {names}: ..." if 0 < len(args) <= 6 else f"lambda *args: ... takes the {len(args)}"
    problem = f"expected {role} to be a function of {len(args)} arguments: {problem}"
    raise TeError(call, problem, f"{role}: {function!r}", hint)


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
