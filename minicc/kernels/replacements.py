"""Parts of the compiler that one compilation replaces: recipes, operators, primitives.

In: what a caller of `compile` gives. Out: `Replacements`, checked, which hold while its kernels are made. Kernels made of others'
parts are not looked for in the cache, nor kept there, and are made in this process: functions have no key.

    parts = Replacements.of(recipes, operators, primitives)
    with parts.in_place():
        ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from minicc.errors import ConfigError
from minicc.graph.ir import Graph
from minicc.graph.replace_operators import check_operators, replace_operators
from minicc.ir.passes import Pass
from minicc.ops.base import Operator
from minicc.recipes.registry import PREFERRED, Recipe
from minicc.schedule.replaced import check_primitives, replaced
from minicc.schedule.step import Primitive


@dataclass(frozen=True)
class Replacements:
    """Recipes to try before minicc's own, classes of operators and functions of primitives by the names that they stand for."""

    recipes: tuple[Recipe, ...] = ()
    operators: Mapping[str, type[Operator]] = field(default_factory=dict)
    primitives: Mapping[str, Primitive] = field(default_factory=dict)

    @staticmethod
    def of(
        recipes: Sequence[Recipe] | None,
        operators: Mapping[str, type[Operator]] | None,
        primitives: Mapping[str, Primitive] | None,
    ) -> Replacements:
        """What was given. Raises ConfigError for names of nothing, and for what is no such part."""
        for name, given, kind in (
            ("recipes", recipes, Sequence),
            ("operators", operators, Mapping),
            ("primitives", primitives, Mapping),
        ):
            if given is not None and not isinstance(given, kind):
                wanted = "a list of recipes" if kind is Sequence else "a dictionary by name"
                hint = f"compile(model, {name}={'[recipe]' if kind is Sequence else '{name: part}'})"
                raise ConfigError(f"compile({name}=...)", f"expected {wanted}, got {given!r}", hint=hint)
        parts = Replacements(tuple(recipes or ()), dict(operators or {}), dict(primitives or {}))
        for recipe in parts.recipes:
            if not isinstance(recipe, Recipe):
                problem = f"expected recipes, got {recipe!r}"
                raise ConfigError("compile(recipes=...)", problem, hint="Recipe(name, matches, schedule)")
        check_operators("compile(operators=...)", parts.operators)
        check_primitives("compile(primitives=...)", parts.primitives)
        return parts

    def __bool__(self) -> bool:
        return bool(self.recipes or self.operators or self.primitives)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the recipes are tried first, and the functions are what steps do."""
        token = PREFERRED.set((*self.recipes, *PREFERRED.get()))
        try:
            with replaced(self.primitives):
                yield
        finally:
            PREFERRED.reset(token)

    def passes(self, passes: Sequence[Pass[Graph]]) -> list[Pass[Graph]]:
        """The passes, with one that replaces operators before the first of them, and before the operators are in kernels."""
        if not self.operators:
            return list(passes)
        put = partial(replace_operators, instead=self.operators)
        first = Pass(
            "replace operators", put, "first: passes treat them as they are", "no operator of these names", None
        )
        last = Pass("replace new operators", put, "some passes make operators", "no operator of these names", None)
        at = next((k for k, p in enumerate(passes) if p.name == "fuse"), len(passes))
        return [first, *passes[:at], last, *passes[at:]]
