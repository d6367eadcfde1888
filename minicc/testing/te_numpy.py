"""te in NumPy: the same text runs at once, on arrays, and says how far each element is decided by the program.

In: the text of a te program and an array for each placeholder. Out: the value of each tensor. Axes are arrays of indices,
each along a dimension of its own, so `A[i, k] * B[k, j]` is a product of arrays with a dimension for each of i, j and k. What
is read outside of a tensor, which a program may name but not use, is an element at its border. With `noise`, every result that
was rounded is moved by some roundings, of its size and of 1: all up, all down, or at random.

>>> te = NumpyTe({"A": np.float32([[1, 2], [3, 4]])})
>>> A, k = te.placeholder((2, 2), name="A"), te.reduce_axis((0, 2), name="k")
>>> te.compute((2,), lambda i: te.sum(A[i, k], axis=k), name="B").array
array([3., 7.], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any

import numpy as np

from minicc.types import DType

Array = np.ndarray[Any, np.dtype[Any]]
Noise = Callable[[tuple[int, ...]], Any]
DIMENSIONS = 16  # spatial axes count from the first, axes of reductions from the last
WIDE = {"float32": np.float64, "float64": np.longdouble}
REDUCTIONS = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}
# Of what may round even an exact result, as x / 3 may be computed as x * (1 / 3).
ROUNDINGS: dict[Any, int] = {np.divide: 1, np.exp: 8, np.log: 8, np.tanh: 8}


class Elements(np.ndarray[Any, np.dtype[Any]]):
    """Elements of a te expression. `noise` gives each place a number of -1 to 1; without it nothing is moved."""

    noise: Noise | None = None

    def __array_finalize__(self, parent: Any) -> None:
        self.noise = getattr(parent, "noise", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [_plain(x) for x in inputs]
        with np.errstate(all="ignore"):
            made = np.asarray(getattr(ufunc, method)(*plain, **options))
            if wide := WIDE.get(made.dtype.name):
                exact = getattr(ufunc, method)(*[_plain(x, wide) for x in plain], **options)
                made = exact.astype(made.dtype)
                made = self.moved(made, np.maximum(exact != made, ROUNDINGS.get(ufunc, 0)))
        return self.like(made)

    def like(self, array: Any) -> Elements:
        """An array with the same noise."""
        made: Elements = np.asarray(array).view(Elements)
        made.noise = self.noise
        return made

    def moved(self, array: Array, roundings: Any) -> Array:
        """Elements moved by so many roundings of their size, and of 1 at most."""
        if self.noise is None or not np.isfinite(array).all():
            return array
        size = np.abs(array) + np.minimum(1, np.max(np.abs(array), initial=0))
        made: Array = array + roundings * np.finfo(array.dtype).eps * size * self.noise(array.shape)
        return made.astype(array.dtype)

    def astype(self, dtype: Any, *_: Any, **__: Any) -> Any:
        """The elements in another dtype."""
        made = np.asarray(self).astype(DType.of(dtype).numpy)
        if made.dtype.kind == "f":
            made = self.moved(made, made != np.asarray(self))
        return self.like(made)


def _plain(x: Any, wide: Any = None) -> Any:
    """A number as it is, so that it takes the dtype of what it meets; elements as an array, floats of a wider dtype if one is given."""
    if isinstance(x, (int, float)):
        return x
    array = np.asarray(x)
    return array.astype(wide) if wide and array.dtype.kind == "f" else array


class ArrayTensor:
    """An array that index expressions read."""

    def __init__(self, array: Elements) -> None:
        self.array = np.asarray(array)
        self._value = array

    def __getitem__(self, at: Any) -> Elements:
        at = at if isinstance(at, tuple) else (at,)
        inside = [np.clip(np.asarray(i), 0, n - 1) for i, n in zip(at, self.array.shape, strict=True)]
        return self._value.like(self.array[tuple(inside)])


class NumpyTe:
    """What a text calls `te`. `arrays` are the values of placeholders by name."""

    def __init__(self, arrays: Mapping[str, Array], noise: Noise | None = None) -> None:
        self.arrays, self.noise, self._reduced = arrays, noise, 0

    def _value(self, array: Any) -> Elements:
        made: Elements = np.asarray(array).view(Elements)
        made.noise = self.noise
        return made

    def _along(self, dimension: int, extent: int) -> Elements:
        return self._value(np.arange(extent).reshape([extent if d == dimension else 1 for d in range(DIMENSIONS)]))

    def placeholder(self, shape: tuple[int, ...], dtype: str = "float32", name: str = "") -> ArrayTensor:
        """The tensor of the array that is given for it."""
        return ArrayTensor(self._value(self.arrays[name]))

    def reduce_axis(self, dom: tuple[int, int], name: str = "") -> Elements:
        """The indices of an axis, along a dimension of its own from the last."""
        self._reduced += 1
        return self._along(DIMENSIONS - self._reduced, dom[1])

    def compute(self, shape: tuple[int, ...], f: Callable[..., Any], name: str = "") -> ArrayTensor:
        """The tensor of what `f` gives for the indices of all elements."""
        made = self._value(f(*[self._along(d, n) for d, n in enumerate(shape)]))
        whole = np.broadcast_to(made, (*shape, *[1] * (DIMENSIONS - len(shape))))
        return ArrayTensor(self._value(whole.reshape(shape)))

    def const(self, value: float, dtype: str) -> Elements:
        """A number."""
        return self._value(np.array(value, DType.of(dtype).numpy))

    def _reduction(self, ufunc: np.ufunc, x: Elements, axis: Any) -> Elements:
        axes = axis if isinstance(axis, (list, tuple)) else [axis]
        shape = np.broadcast_shapes(x.shape, *[a.shape for a in axes])
        along = tuple(d for a in axes for d in range(DIMENSIONS) if a.shape[d] > 1)
        terms = np.broadcast_to(np.asarray(x), shape)
        options: dict[str, Any] = {} if ufunc in (np.maximum, np.minimum) else {"dtype": x.dtype}
        if wide := WIDE.get(x.dtype.name):
            exact = ufunc.reduce(terms.astype(wide), axis=along, keepdims=True)
            inexact = exact.astype(x.dtype) != exact
            terms = x.moved(terms, inexact * (terms.size // max(exact.size, 1)))
        return x.like(ufunc.reduce(terms, axis=along, keepdims=True, **options))

    def select(self, cond: Any, a: Elements, b: Elements) -> Elements:
        """`a` where `cond` holds, `b` elsewhere."""
        return self._value(np.where(_plain(cond), _plain(a), _plain(b)))

    if_then_else = select

    def sigmoid(self, x: Elements) -> Any:
        """`1 / (1 + exp(-x))`."""
        one = self.const(1, x.dtype.name)
        return one / (one + np.exp(-x))

    def __getattr__(self, name: str) -> Any:
        if name in REDUCTIONS:
            return partial(self._reduction, REDUCTIONS[name])
        if name in ("all", "any"):
            return lambda *conds: reduce(np.logical_and if name == "all" else np.logical_or, conds)
        return getattr(np, name)  # exp, maximum and so on are called so in NumPy, too
