"""What notebooks show as a picture: who draws which class is written in DRAWERS, and imported when first asked for.

In: an IR, a schedule, an executable. Out: its picture, an object with `_repr_svg_` or `_repr_html_` and `save(path)`.
Rooms know nothing of pictures: a class that can be drawn says so by its base, and `minicc/__init__.py` names the function.

>>> class Dot(Drawn):
...     pass
>>> Dot().picture()
Traceback (most recent call last):
minicc.errors.ConfigError: ConfigError: Dot.picture(): expected something that is drawn, got Dot
hint: import minicc registers those who draw
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from numbers import Integral, Real
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from minicc.errors import ConfigError, MiniccError

DRAWERS: dict[str, str] = {}  # by the name of a class: what draws it, as `module:function`


class Drawn:
    """Base of what has a picture."""

    __slots__ = ()

    def picture(self, *given: Any, **options: Any) -> Any:
        """The picture of it, as `minicc.explain` draws it; the options are those of the function that does."""
        name = type(self).__name__
        found = next((DRAWERS[c.__name__] for c in type(self).__mro__ if c.__name__ in DRAWERS), None)
        if found is None:
            hint = "import minicc registers those who draw"
            raise ConfigError(f"{name}.picture()", f"expected something that is drawn, got {name}", hint=hint)
        module, _, function = found.partition(":")
        return drawn(getattr(import_module(module), function), self, *given, **options)

    def _repr_html_(self) -> str | None:
        """What a notebook shows; None, and so its text, where it cannot be drawn."""
        try:
            return str(self.picture().html())
        except MiniccError:
            return None

    def _repr_svg_(self) -> str | None:
        try:
            shown: str | None = self.picture()._repr_svg_()
            return shown
        except MiniccError:
            return None


def drawn(draw: Callable[..., Any], what: Any, *given: Any, **options: Any) -> Any:
    """What a function draws. Raises ConfigError for options that it has not, or of a kind that it has not."""
    signature = inspect.signature(draw)
    shown = f"picture({', '.join(map(str, list(signature.parameters.values())[1:]))})"
    try:
        bound = signature.bind(what, *given, **options).arguments
    except TypeError as error:
        raise _refused(what, f"expected options of this picture, got {error}", shown) from None
    hints = get_type_hints(draw)
    for name, value in list(bound.items())[1:]:
        if signature.parameters[name].kind is not inspect.Parameter.VAR_KEYWORD and not _fits(value, hints[name]):
            raise _refused(what, f"expected another kind of {name}, got {repr(value)[:80]}", shown)
    return draw(what, *given, **options)


def _refused(what: object, problem: str, where: str) -> ConfigError:
    return ConfigError(
        f"{type(what).__name__}.picture(...)", problem, where, "give the options by name, as they stand here"
    )


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type, as far as options have them."""
    kind, inside = get_origin(hint), get_args(hint)
    if hint is Any or kind in (Union, UnionType):
        return hint is Any or any(_fits(value, one) for one in inside)
    if kind is Sequence:
        return isinstance(value, (list, tuple)) and all(_fits(v, inside[0]) for v in value)
    if hint in (int, float):
        return isinstance(value, Real if hint is float else Integral) and not isinstance(value, bool)
    return isinstance(value, kind or hint)
