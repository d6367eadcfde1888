"""Frozen, interned nodes: two nodes of equal structure are one object.

Structural equality is therefore `is`, common sub-expressions are shared by construction, and an
analysis may memoize on identity. The pool holds nodes weakly, so a compilation's nodes go when
its last reference goes. Numbers are keyed by type and bits, because in Python
`1 == 1.0 == True`, `0.0 == -0.0` and `nan != nan`.

>>> @node
... class Pair(Node):
...     exact_key: ClassVar[bool] = True
...     left: object
...     right: object
>>> Pair(1, 2) is Pair(1, 2), Pair(0.0, 1) is Pair(-0.0, 1)
(True, False)
"""

from __future__ import annotations

import struct
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform

T = TypeVar("T")
N = TypeVar("N", bound="Node")


class _Entry(weakref.ref["Node"]):
    """A weak reference that knows its key, to leave the pool when its node dies."""

    __slots__ = ("key",)
    key: Any


_pool: dict[Any, _Entry] = {}
_lock = threading.RLock()  # re-entrant: a collection under the lock may run `_forget`


def _forget(entry: weakref.ref[Node]) -> None:
    assert isinstance(entry, _Entry)
    if _pool.get(entry.key) is entry:
        del _pool[entry.key]


def exact(value: Any) -> Any:
    """A hashable key that tells apart what `==` confuses: types of numbers, signed zeros, NaN."""
    kind = type(value)
    if kind is float:
        return float, struct.pack("d", value)
    if kind is bool:
        return bool, value
    if kind is tuple:
        return tuple([exact(v) for v in value])
    return value


class _Interned(type):
    def __call__(cls: type[T], *args: Any, **kwargs: Any) -> T:
        names: tuple[str, ...] = cls.__match_args__  # type: ignore[attr-defined]
        if not kwargs and len(args) in cls._tails:  # type: ignore[attr-defined]
            args = args + cls._tails[len(args)]  # type: ignore[attr-defined]
        elif kwargs or len(args) != len(names):
            defaults: dict[str, Any] = cls._defaults  # type: ignore[attr-defined]
            rest = names[len(args) :]
            if set(kwargs) - set(rest) or any(n not in kwargs and n not in defaults for n in rest):
                return super().__call__(*args, **kwargs)  # type: ignore[misc, no-any-return] # raises the TypeError
            args = args + tuple([kwargs[n] if n in kwargs else defaults[n] for n in rest])
        key = cls.intern_key(args) if cls.exact_key else (cls, args)  # type: ignore[attr-defined]
        entry = _pool.get(key)
        if entry is not None and (found := entry()) is not None:
            return found  # type: ignore[return-value]
        made = super().__call__(*args)  # type: ignore[misc]
        with _lock:
            entry = _pool.get(key)
            if entry is not None and (found := entry()) is not None:
                return found  # type: ignore[return-value]
            entry = _Entry(made, _forget)
            entry.key = key
            _pool[key] = entry
        return made  # type: ignore[no-any-return]


class Node(metaclass=_Interned):
    """Base of every IR node. Declare fields as a dataclass and decorate with `@node`.

    A class with fields that hold numbers as data sets `exact_key`, so that `intern_key` tells
    them apart by type and bits.
    """

    __slots__ = ("__weakref__",)
    exact_key: ClassVar[bool] = False
    _defaults: ClassVar[dict[str, Any]] = {}
    _tails: ClassVar[
        dict[int, tuple[Any, ...]]
    ] = {}  # how many fields are given: the defaults of the rest, where all have one

    @classmethod
    def intern_key(cls, args: tuple[Any, ...]) -> Any:
        """The key under which `cls(*args)` is shared; a field left out does not tell nodes apart."""
        return (cls, *[exact(a) for a in args])

    def __copy__(self: N) -> N:
        return self

    def __deepcopy__(self: N, memo: object) -> N:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, name) for name in self.__match_args__)  # type: ignore[attr-defined]


@dataclass_transform(frozen_default=True, eq_default=False)
def node(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, slotted, interned dataclass, compared by identity."""
    own_repr = cls.__repr__ is not object.__repr__
    made = dataclass(frozen=True, slots=True, eq=False, repr=not own_repr)(cls)
    made._defaults = {  # type: ignore[attr-defined]
        f.name: f.default_factory() if f.default_factory is not MISSING else f.default
        for f in fields(made)  # type: ignore[arg-type]
        if f.default is not MISSING or f.default_factory is not MISSING
    }
    names: tuple[str, ...] = made.__match_args__  # type: ignore[attr-defined]
    made._tails = {  # type: ignore[attr-defined]
        n: tuple([made._defaults[name] for name in names[n:]])  # type: ignore[attr-defined]
        for n in range(len(names)) if all(name in made._defaults for name in names[n:])  # type: ignore[attr-defined]
    }  # fmt: skip
    return made


def replace(old: N, **changes: Any) -> N:
    """`old` with some fields changed; `old` itself when nothing differs."""
    names: tuple[str, ...] = old.__match_args__  # type: ignore[attr-defined]
    if all(getattr(old, name) is value for name, value in changes.items()):
        return old
    return type(old)(*[changes[name] if name in changes else getattr(old, name) for name in names])


def postorder(roots: Iterable[T], children: Callable[[T], Iterable[T]]) -> Iterator[T]:
    """Every object reachable from `roots` once, children first. Iterative: depth is no limit."""
    done: set[int] = set()
    stack: list[T | None] = []
    stack += list(roots)[::-1]
    while stack:
        item = stack.pop()
        if item is None:  # stands above a node whose children are done
            yield stack.pop()  # type: ignore[misc]
        elif id(item) not in done:
            done.add(id(item))
            if waiting := [child for child in children(item) if id(child) not in done]:
                stack += (item, None, *waiting[::-1])
            else:
                yield item
