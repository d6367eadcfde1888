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

from importlib import import_module
from typing import Any

from minicc.errors import ConfigError, MiniccError

DRAWERS: dict[str, str] = {}  # by the name of a class: what draws it, as `module:function`


class Drawn:
    """Base of what has a picture."""

    __slots__ = ()

    def picture(self, **options: Any) -> Any:
        """The picture of it, as `minicc.explain` draws it; `options` are those of the function that does."""
        found = next((DRAWERS[c.__name__] for c in type(self).__mro__ if c.__name__ in DRAWERS), None)
        if found is None:
            problem, hint = (
                f"expected something that is drawn, got {type(self).__name__}",
                "import minicc registers those who draw",
            )
            raise ConfigError(f"{type(self).__name__}.picture()", problem, hint=hint)
        module, _, name = found.partition(":")
        return getattr(import_module(module), name)(self, **options)

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
