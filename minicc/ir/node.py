"""Frozen, interned nodes: two nodes of equal structure are one object.

Structural equality is therefore `is`, common sub-expressions are shared by construction, and an
analysis may memoize on identity. The pool holds nodes weakly, so a compilation's nodes go when
its last reference goes. Numbers are keyed by type and bits, because in Python
`1 == 1.0 == True`, `0.0 == -0.0` and `nan != nan`.

>>> @node
... class Pair(Interned):
...     exact_key: ClassVar[bool] = True
...     left: object
...     right: object
>>> Pair(1, 2) is Pair(1, 2), Pair(0.0, 1) is Pair(-0.0, 1)
(True, False)
"""

from __future__ import annotations

import inspect
import struct
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, fields
from typing import Any, ClassVar, NoReturn, Self, TypeVar, dataclass_transform

T = TypeVar("T")
N = TypeVar("N", bound="Interned")


class _Entry(weakref.ref["Interned"]):
    """A weak reference that knows its key, to leave the pool when its node dies."""

    __slots__ = ("key",)
    key: Any


_pool: dict[Any, _Entry] = {}
_new: Callable[[Any], Any] = object.__new__
_lock = threading.RLock()  # re-entrant: a collection under the lock may run `_forget`


def _forget(entry: weakref.ref[Interned]) -> None:
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


class _Interning(type):
    """The class of node classes: calling one gives the node that has these fields, made where there is none."""

    __match_args__: tuple[str, ...]
    _defaults: dict[str, Any]
    _setters: tuple[Callable[[Any, Any], None], ...]  # of the fields, which nobody else can set
    exact_key: bool
    intern_key: Callable[[tuple[Any, ...]], Any]

    def __call__(cls, *args: Any, **options: Any) -> Any:
        if options or len(args) != len(cls.__match_args__):
            args = cls._completed(args, options)
        key = cls.intern_key(args) if cls.exact_key else (cls, args)
        entry = _pool.get(key)
        if entry is not None and (found := entry()) is not None:
            return found
        made = _new(cls)
        for set_field, value in zip(cls._setters, args, strict=True):
            set_field(made, value)
        made.__post_init__()
        with _lock:
            entry = _pool.get(key)
            if entry is not None and (found := entry()) is not None:
                return found
            entry = _pool[key] = _Entry(made, _forget)
            entry.key = key
        return made

    def _completed(cls, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
        """All fields, of which some are given by name or have a default. Raises TypeError as any function does."""
        given = cls._defaults | options if options else cls._defaults
        rest = cls.__match_args__[len(args) :]
        made = args + tuple([given[name] for name in rest if name in given])
        if len(made) == len(cls.__match_args__) and (not options or options.keys() <= set(rest)):
            return made
        kind, none = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        parameters = [inspect.Parameter(n, kind, default=cls._defaults.get(n, none)) for n in cls.__match_args__]
        return inspect.Signature(parameters).bind(*args, **options).args


class Interned(metaclass=_Interning):
    """Base of every IR node. Declare fields as a dataclass and decorate with `@node`.

    A class with fields that hold numbers as data sets `exact_key`, so that `intern_key` tells
    them apart by type and bits.
    """

    __slots__ = ("__weakref__",)
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    __match_args__: ClassVar[tuple[str, ...]] = ()
    exact_key: ClassVar[bool] = False

    @classmethod
    def intern_key(cls, args: tuple[Any, ...]) -> Any:
        """The key under which `cls(*args)` is shared; a field left out does not tell nodes apart."""
        return (cls, *[exact(a) for a in args])

    def __post_init__(self) -> None:
        """What a class does with a new node, whose fields are set."""

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, name) for name in self.__match_args__)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({shown})"


@dataclass_transform(frozen_default=True, eq_default=False)
def node(cls: type[N]) -> type[N]:
    """Make `cls` a frozen, slotted, interned dataclass, compared by identity."""
    made = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    made._defaults = {
        f.name: f.default if f.default_factory is MISSING else f.default_factory()
        for f in fields(made)
        if f.default is not MISSING or f.default_factory is not MISSING
    }
    made._setters = tuple([getattr(made, name).__set__ for name in made.__match_args__])
    return made


def replace(old: N, **changes: Any) -> N:
    """`old` with some fields changed; `old` itself when nothing differs."""
    if all(getattr(old, name) is value for name, value in changes.items()):
        return old
    return type(old)(*[changes[n] if n in changes else getattr(old, n) for n in old.__match_args__])


def postorder(roots: Iterable[T], children: Callable[[T], Iterable[T]]) -> Iterator[T]:
    """Every object reachable from `roots` once, children first. Iterative: depth is no limit."""
    done: set[int] = set()
    stack: list[Any] = list(roots)[::-1]
    while stack:
        item = stack.pop()
        if item is None:  # stands above a node whose children are done
            yield stack.pop()
        elif id(item) not in done:
            done.add(id(item))
            if waiting := [child for child in children(item) if id(child) not in done]:
                stack += (item, None, *waiting[::-1])
            else:
                yield item
