"""Rules as data, and the engine that applies them.

A `Rule` is an equation: wherever `lhs` matches and `where` agrees, `rhs` may stand instead. Its
two sides are ordinary nodes of an IR with `Wild` nodes as holes. In: a root, rules, and the IR's
own `children` and `rebuild`. Out: the root with no match left, sub-expressions shared as before.

>>> from minicc.ir.node import node
>>> @node
... class Neg(Interned):
...     a: Interned
>>> @node
... class Leaf(Interned):
...     name: str
>>> @node
... class Hole(Wild):
...     name: str
>>> x = Hole("x")
>>> double = Rule("double negation", Neg(Neg(x)), x)  # -(-x) -> x
>>> def children(n):
...     return (n.a,) if isinstance(n, Neg) else ()
>>> def rebuild(n, parts):
...     return Neg(*parts) if isinstance(n, Neg) else n
>>> rewrite(Neg(Neg(Neg(Leaf("a")))), (double,), children, rebuild)
Neg(a=Leaf(name='a'))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from minicc.errors import MiniccError, Task
from minicc.ir.node import Interned
from minicc.ir.open_tasks import stands_in

T = TypeVar("T", bound=Interned)
Bindings = dict[str, Any]


class Wild(Interned):
    """A hole in a pattern. An IR subclasses it, beside its own base class, to say what fits."""

    __slots__ = ()
    name: str

    def accepts(self, value: Any) -> bool:
        """Whether `value` may fill the hole."""
        return True

    def fill(self, bindings: Bindings, root: Any) -> Any:
        """What stands here on a right-hand side, in place of `root`."""
        return bindings[self.name]


@dataclass(frozen=True)
class Rule:
    """`lhs -> rhs` where `where(...)` is true.

    `where`, and `rhs` when it is a function, take the wilds they ask for by parameter name.
    `fast` marks an equation that floating point does not keep; such a rule is off by default.
    """

    name: str
    lhs: Any
    rhs: Any
    where: Callable[..., bool] | None = None
    fast: bool = False

    def apply(self, value: Any) -> Any:
        """The right-hand side for `value`, or None when the rule does not match, or is a Task still."""
        bindings: Bindings = {}
        try:
            if not match(self.lhs, value, bindings) or (self.where and not _call(self.where, bindings)):
                return None
            return self.right(bindings, value)
        except Task as task:
            stands_in(task, f"what the rule {self.name} would replace")
            return None

    def right(self, bindings: Bindings, root: Any) -> Any:
        """The right-hand side with its holes filled; `root` is what the left-hand side matched."""
        if callable(self.rhs) and not isinstance(self.rhs, Interned):
            return _call(self.rhs, bindings)
        return instantiate(self.rhs, bindings, root)


def _call(function: Callable[..., Any], bindings: Bindings) -> Any:
    return function(*[bindings[name] for name in _parameters(function)])


@cache
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def match(pattern: Any, value: Any, bindings: Bindings) -> bool:
    """Whether `value` is an instance of `pattern`; fills `bindings`. A name twice means one node twice."""
    return _matcher(pattern)(value, bindings)


Matcher = Callable[[Any, Bindings], bool]


@lru_cache(maxsize=4096, typed=True)
def _matcher(pattern: Any) -> Matcher:
    """`match` of one pattern, as a function: which of the cases below holds is decided once."""
    if isinstance(pattern, Wild):
        return _wild(pattern)
    if isinstance(pattern, tuple):
        return _parts(tuple, [_matcher(p) for p in pattern], lambda value: value)
    if isinstance(pattern, Interned) and pattern.__match_args__:
        names = pattern.__match_args__
        fields = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)
        whole = _parts(type(pattern), [_matcher(getattr(pattern, n)) for n in names], fields)
        return lambda value, bindings: pattern is value or whole(value, bindings)
    return lambda value, bindings: pattern is value or (type(pattern) is type(value) and bool(pattern == value))


def _wild(pattern: Wild) -> Matcher:
    name, accepts = pattern.name, pattern.accepts

    def run(value: Any, bindings: Bindings) -> bool:
        if name in bindings:
            return bindings[name] is value
        if not accepts(value):
            return False
        bindings[name] = value
        return True

    return run


def _parts(kind: type, matchers: Sequence[Matcher], fields: Callable[[Any], Sequence[Any]]) -> Matcher:
    """Of a value of one class, whose fields all match."""

    def run(value: Any, bindings: Bindings) -> bool:
        if type(value) is not kind:
            return False
        found = fields(value)
        if len(found) != len(matchers):
            return False
        for matcher, part in zip(matchers, found, strict=True):  # noqa: SIM110 - a generator would take longer than the rest
            if not matcher(part, bindings):
                return False
        return True

    return run


def instantiate(pattern: Any, bindings: Bindings, root: Any) -> Any:
    """`pattern` with its holes filled from `bindings`."""
    if isinstance(pattern, Wild):
        return pattern.fill(bindings, root)
    if isinstance(pattern, tuple):
        return tuple(instantiate(p, bindings, root) for p in pattern)
    if isinstance(pattern, Interned):
        return type(pattern)(*[instantiate(getattr(pattern, n), bindings, root) for n in pattern.__match_args__])
    return pattern


def _heads(value: Any) -> Any:
    """The class of a node and its first field when that is text (an operator's name)."""
    names = value.__match_args__
    first = getattr(value, names[0]) if names else None
    return type(value), first if isinstance(first, str) else None


def indexed(rules: Iterable[Rule]) -> Callable[[Any], Any]:
    """One function that tries all rules in order: the first result, or None."""
    table: dict[Any, list[Rule]] = {}
    for rule in rules:
        table.setdefault(_heads(rule.lhs), []).append(rule)

    def step(value: Any) -> Any:
        for rule in table.get(_heads(value), ()):
            if (found := rule.apply(value)) is not None and found is not value:
                return found
        return None

    return step


def fixpoint(
    root: T,
    step: Callable[[T], T | None],
    children: Callable[[T], Sequence[T]],
    rebuild: Callable[[T, tuple[T, ...]], T],
    done: dict[T, T] | None = None,
) -> T:
    """Rebuild bottom-up and replace each node by `step(node)` until that is None. Iterative.

    `done` maps what is already rewritten to its result, and may be shared. Raises MiniccError for rules in a circle.
    """
    done = {} if done is None else done
    stack = [root]
    became: dict[T, T] = {}  # a node, and what one step made of it
    while stack:
        item = stack[-1]
        if item in became and item not in done:
            if became[item] not in done:
                problem = "expected rules that make progress, got some that go in a circle"
                raise MiniccError("rewrite", problem, str(item), "let no rule undo another")
            done[item] = done[became[item]]
        if item in done:
            stack.pop()
            continue
        parts = children(item)
        if waiting := [part for part in parts if part not in done]:
            stack.extend(reversed(waiting))
            continue
        new_parts = tuple([done[part] for part in parts])
        new = item if all(a is b for a, b in zip(parts, new_parts, strict=True)) else rebuild(item, new_parts)
        after = step(new) if new not in done else None
        if after is not None:
            became[item] = became[new] = after
            stack.append(after)
        elif new is item or new in done:
            done[item] = done.get(new, new)
        else:  # rebuilding may fold into a node of another kind, whose parts are new as well
            became[item] = new
            stack.append(new)
    return done[root]


def rewrite(
    root: T, rules: Iterable[Rule], children: Callable[[T], Sequence[T]], rebuild: Callable[[T, tuple[T, ...]], T]
) -> T:
    """Apply `rules` everywhere, bottom-up, until none matches; the rules must make progress."""
    return fixpoint(root, indexed(rules), children, rebuild)
