"""Winograd's minimal filtering: a 3x3 convolution of stride 1 with a quarter of the multiplications (Lavin and Gray 2015).

The result is cut into tiles of `tile` x `tile`. A tile needs t x t elements of each channel, t = tile + 2. With
transformed data V = B' d B and transformed weights U = G w G' (' is the transpose), the sum over channels is one
product for each of the t * t places, and A' (the products) A is the tile of the result: 36 products for 16 elements of
9 terms each (tile 4), or 16 for 4 (tile 2).

The matrices are those of polynomials at the POINTS 0, +p, -p, ... and at infinity. Which points decides the error:
0, 5/8, -5/8, 3/2, -3/2 keep it within 2 of a direct sum's for usual weights, where the classic 0, 1, -1, 2, -2 have 4
(root mean square; Barabasz et al. 2018, Error analysis and improving the accuracy of Winograd convolution). All are exact
in binary. An element that is infinite or NaN makes all of its tile NaN.

>>> import numpy as np
>>> x, w = np.ones((1, 4, 4, 1)), np.arange(9.0).reshape(1, 1, 3, 3)
>>> WinogradConv(channels=1, tile=2)(x, WinogradWeights(tile=2, block=1)(w))[0, :, :, 0].round(9)
array([[36., 36.],
       [36., 36.]])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache, reduce
from typing import Any, NamedTuple

import numpy as np

from minicc import tensor as te
from minicc.ops.arithmetic import Add, Mul
from minicc.ops.base import Array, Draw, Example, Kind, Operator, dtype_of, like, operator, type_of
from minicc.ops.cast import Cast
from minicc.ops.indexing import Gather
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Concat, Slice, Transpose
from minicc.ops.padding import Pad
from minicc.ops.shape import Reshape
from minicc.ops.window import Window
from minicc.tensor.expr import Expr, all_of, call, cast, const, minimum, select
from minicc.types import TensorType, float32, float64

KERNEL = 3
POINTS = {2: (0, 1, -1), 4: (0, Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2))}  # beside infinity
MOST_TILES = 64  # that a schedule may take together
WIDEST = 16  # elements of the widest vectors


class Matrices(NamedTuple):
    """B' [t, t] of the data, G [t, 3] of the weights, A' [tile, t] of the products; in float64."""

    data: Array
    weights: Array
    result: Array


@lru_cache
def matrices(tile: int) -> Matrices:
    """Those of Cook and Toom for the POINTS of a tile, and infinity."""
    points = [Fraction(p) for p in POINTS[tile]]
    others = [[q for q in points if q is not p] for p in points]
    data = [[*_polynomial(rest), Fraction(0)] for rest in others] + [_polynomial(points)]
    scales = [math.prod([p - q for q in rest], start=Fraction(1)) for p, rest in zip(points, others, strict=True)]
    weights = [[p**j / scale for j in range(KERNEL)] for p, scale in zip(points, scales, strict=True)]
    weights.append([Fraction(0)] * (KERNEL - 1) + [Fraction(1)])
    result = [[*[p**i for p in points], Fraction(int(i == tile - 1))] for i in range(tile)]
    return Matrices(*[np.array(m, np.float64) for m in (data, weights, result)])


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the product of (x - root), that of 1 first."""
    found = [Fraction(1)]
    for root in roots:
        found = [a - root * b for a, b in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


@operator
class WinogradWeights(Operator):
    """The weights `[O, C, 3, 3]` of a convolution as WinogradConv takes them, with zeros after the last channel.

    G w G', in float64, rounded at the end.
    """

    kind = Kind.ANCHOR

    tile: int
    block: int

    def infer(self, w: TensorType) -> TensorType:
        if self.tile not in POINTS or self.block < 1 or w.rank != 4 or w.shape[2:] != (KERNEL, KERNEL):
            raise self.error(f"expected a tile of {' or '.join(map(str, POINTS))}, and weights [O, C, 3, 3]", w)
        t = self.tile + KERNEL - 1
        return TensorType(w.dtype, (-(-w.shape[0] // self.block), t, t, w.shape[1], self.block))

    def numpy(self, w: Array) -> Array:
        blocks, t, _, channels, block = self.infer(type_of(w)).shape
        places, g = np.zeros((blocks, t, t, channels, block), w.dtype), matrices(self.tile).weights
        with np.errstate(all="ignore"):
            for n in range(blocks):  # all at once would take many times the memory of the result, in float64
                part = w[n * block : (n + 1) * block].transpose(2, 3, 1, 0).astype(np.float64)
                if np.isfinite(part).all():  # both transforms are one product, the fastest there is
                    found = (np.kron(g, g) @ part.reshape(KERNEL**2, -1)).reshape(t, t, *part.shape[2:])
                else:
                    found = _along(_along(part, g, 0), g, 1)
                places[n, ..., : part.shape[-1]] = found
        return places

    def expand(self, w: Any) -> Any:
        """By sums of slices, as TVM takes it."""
        blocks, _t, _, channels, block = self.infer(type_of(w)).shape
        g = matrices(self.tile).weights
        padded = Pad(pads=(0,) * 4 + (blocks * block - w.shape[0], 0, 0, 0), value=0.0)(Cast(float64)(w))
        places = Transpose((0, 3, 4, 2, 1))(Reshape((blocks, block, channels, KERNEL, KERNEL), True)(padded))
        return Cast(dtype_of(w))(combined(g, combined(g, places, 1), 2))

    def compute(self, w: te.Tensor) -> Any:
        out, g, single = self.infer(type_of(w)), matrices(self.tile).weights, [(k,) for k in range(KERNEL)]

        def tap(o: Expr, c: Expr, h: int, v: int) -> Any:
            return cast(select(o < w.shape[0], w[minimum(o, w.shape[0] - 1), c, h, v], const(0, w.dtype)), float64)

        def element(n: Expr, a: Expr, b: Expr, c: Expr, i: Expr) -> Any:
            o = n * self.block + i
            return cast(row(g, single, a, lambda h: row(g, single, b, lambda v: tap(o, c, h, v))), w.dtype)

        return te.compute(out.shape, element, name="winograd_weights")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        w = TensorType(float32, (draw.integer(1, 4), draw.integer(1, 3), KERNEL, KERNEL))
        return cls(draw.choice([2, 4]), draw.choice([1, 2])), (w,)


@operator
class WinogradConv(Operator):
    """A 3x3 convolution of stride 1 of `x[N, H, W, C]` to `[N, OH, OW, channels]`; weights are `[blocks, t, t, C, block]`.

    `padding` is zeros before H and W, then after them; empty means none.
    """

    kind = Kind.ANCHOR
    contraction = True

    channels: int
    tile: int = 4
    padding: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Elements along an axis of what a tile needs."""
        return self.tile + KERNEL - 1

    def windows(self, x: Any) -> tuple[Window, Window]:
        """Along H and W: the windows of the convolution."""
        pads = self.padding or (0,) * 4
        sizes = [(x.shape[1 + a], pads[a], pads[2 + a]) for a in range(2)]
        first, second = [Window(n, 3, 1, 1, begin, end, n + begin + end - KERNEL + 1) for n, begin, end in sizes]
        return first, second

    def infer(self, x: TensorType, u: TensorType) -> TensorType:
        if self.tile not in POINTS or len(self.padding) not in (0, 4) or min(self.padding, default=0) < 0:
            raise self.error(f"expected a tile of {' or '.join(map(str, POINTS))}, and 4 paddings >= 0", x, u)
        fits = x.dtype is u.dtype and x.dtype in (float32, float64) and x.rank == 4 and u.rank == 5
        if not fits or u.shape[1:4] != (self.size, self.size, x.shape[3]):
            wanted = f"[blocks, {self.size}, {self.size}, C, block]"
            raise self.error(f"expected [N, H, W, C] and {wanted} of one type, float32 or float64", x, u)
        if not 0 < self.channels <= u.shape[0] * u.shape[4]:
            raise self.error(f"expected 1 to {u.shape[0] * u.shape[4]} channels, got {self.channels}", x, u)
        counts = [window.count for window in self.windows(x)]
        if min(counts) < 1:
            raise self.error("the kernel (3, 3) is larger than the padded data", x, u, hint="choose larger pads")
        return TensorType(x.dtype, (x.shape[0], *counts, self.channels))

    def numpy(self, x: Array, u: Array) -> Array:
        result, (data, _, outer) = self.infer(type_of(x), type_of(u)), matrices(self.tile)
        tiles = [-(-count // self.tile) for count in result.shape[1:3]]
        windows = self.windows(x)
        ends = [n * self.tile + 2 - v.begin - v.size for n, v in zip(tiles, windows, strict=True)]
        pads = [(v.begin, max(end, 0)) for v, end in zip(windows, ends, strict=True)]
        padded = np.pad(x, [(0, 0), *pads, (0, 0)])
        seen = np.lib.stride_tricks.sliding_window_view(padded, (self.size, self.size), axis=(1, 2))
        seen = seen[:, :: self.tile, :: self.tile][:, : tiles[0], : tiles[1]]
        weights = np.moveaxis(u, 0, 3).reshape(self.size, self.size, x.shape[3], -1)
        with np.errstate(all="ignore"):
            v = _along(_along(seen, data, 4), data, 5).transpose(4, 5, 0, 1, 2, 3)  # [t, t, N, H, W, C]
            m = np.matmul(v.reshape(*v.shape[:2], -1, x.shape[3]), weights)
            m = m.reshape(*v.shape[:-1], m.shape[-1])
            y = _along(_along(m, outer, 0), outer, 1).transpose(2, 3, 0, 4, 1, 5)
        whole = y.reshape(x.shape[0], tiles[0] * self.tile, tiles[1] * self.tile, -1)
        cropped: Array = whole[tuple(slice(extent) for extent in result.shape)].astype(result.dtype.numpy)
        return cropped

    def compute(self, x: te.Tensor, u: te.Tensor) -> Any:
        """Tiles have one number, over all images. There are a few more of them, which repeat the last one, and of
        channels, which are zeros, than need be: groups of tiles and vectors may stick out without a condition.
        """
        out, (inner, _, outer) = self.infer(type_of(x), type_of(u)), matrices(self.tile)
        (high, wide), t = self.windows(x), self.size
        rows, columns = (-(-count // self.tile) for count in out.shape[1:3])
        tiles = out.shape[0] * rows * columns
        most, block = tiles + min(tiles, MOST_TILES) - 1, u.shape[4]
        depth, outputs = -(-x.shape[3] // WIDEST) * WIDEST, u.shape[0] * block
        parities = [range(t - 2, -1, -2), range(t - 1, -1, -2)]  # of +p and -p, one is the sum and one the difference
        pairs = [(0,), *[(k, k + 1) for k in range(1, t - 1, 2)], (t - 1,)]

        def element(number: Expr, a: Expr, b: Expr, c: Expr) -> Expr:
            number = minimum(number, tiles - 1)
            h = high.place(number // columns % rows * self.tile, a)
            w = wide.place(number % columns * self.tile, b)
            inside, zero = all_of(h >= 0, h < high.size, w >= 0, w < wide.size), const(0, x.dtype)
            value = x[number // (rows * columns), h, w, c]
            return select(inside, select(c < x.shape[3], value, zero) if depth > x.shape[3] else value, zero)

        k = te.reduce_axis((0, x.shape[3]), name="k")
        d = te.compute((most, t, t, depth), element, name="patch", names=["dt", "da", "db", "dc"])
        z = te.compute(
            (most, t, t, depth),
            lambda i, a, b, c: row(inner, parities, a, lambda k: d[i, k, b, c]),
            name="rows", names=["zt", "za", "zb", "zc"],
        )  # fmt: skip
        v = te.compute(
            (t, t, most, depth),
            lambda a, b, i, c: row(inner, parities, b, lambda k: z[i, a, k, c]),
            name="data", names=["va", "vb", "vt", "vc"],
        )  # fmt: skip
        m = te.compute(
            (t, t, most, outputs),
            lambda a, b, i, o: te.sum(v[a, b, i, k.var] * u[o // block, a, b, k.var, o % block], axis=k),
            name="products", names=["ma", "mb", "mt", "mo"],
        )  # fmt: skip
        r = te.compute(
            (most, self.tile, t, outputs),
            lambda i, p, b, o: row(outer, pairs, p, lambda k: m[k, b, i, o]),
            name="lines", names=["rt", "rp", "rb", "ro"],
        )  # fmt: skip

        def point(n: Expr, h: Expr, w: Expr, o: Expr) -> Any:
            number = (n * rows + h // self.tile) * columns + w // self.tile
            return row(outer, pairs, w % self.tile, lambda k: r[number, h % self.tile, k, o])

        return te.compute(out.shape, point, name="winograd", names=["n", "oh", "ow", "oc"])

    def effective(self, x: TensorType, u: TensorType) -> int:
        """A product and a sum for each element of the kernel, input channel and element of the result."""
        return int(2 * KERNEL**2 * x.shape[3] * math.prod(self.infer(x, u).shape))

    def expand(self, x: Any, u: Any) -> Any:
        """With all tiles gathered, as TVM takes it."""
        (batch, *counts, _), (data, _, outer) = self.infer(type_of(x), type_of(u)).shape, matrices(self.tile)
        windows, tiles, t = self.windows(x), [-(-count // self.tile) for count in counts], self.size
        ends = [max(n * self.tile + 2 - v.begin - v.size, 0) for n, v in zip(tiles, windows, strict=True)]
        padded = Pad(pads=(0, *[v.begin for v in windows], 0, 0, *ends, 0), value=0.0)(x)
        rows, columns = (np.arange(n)[:, None] * self.tile + np.arange(t) for n in tiles)
        seen = Gather(3)(Gather(1)(padded, rows), columns)  # [N, tiles, t, tiles, t, C]
        v = Transpose((2, 4, 0, 1, 3, 5))(combined(data, combined(data, seen, 2), 4))
        flat = Reshape((t, t, batch * math.prod(tiles), x.shape[3]), True)(v)
        weights = Reshape((t, t, x.shape[3], u.shape[0] * u.shape[4]), True)(Transpose((1, 2, 3, 0, 4))(u))
        y = combined(outer, combined(outer, MatMul()(flat, weights), 0), 1)
        whole = Reshape((self.tile, self.tile, batch, *tiles, u.shape[0] * u.shape[4]), True)(y)
        lines = Transpose((2, 3, 0, 4, 1, 5))(whole)
        points = Reshape((batch, *[n * self.tile for n in tiles], u.shape[0] * u.shape[4]), True)(lines)
        return Slice((0, 0, 0), (*counts, self.channels), (1, 2, 3))(points)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        tile, inputs, blocks, block = draw.choice([2, 4]), draw.integer(1, 3), draw.integer(1, 2), draw.choice([1, 2])
        padding = draw.choice([(), (1, 1, 1, 1), (0, 2, 1, 0)])
        op = cls(draw.integer((blocks - 1) * block + 1, blocks * block), tile, padding)
        x = TensorType(float32, (draw.integer(1, 2), draw.integer(3, 6), draw.integer(3, 6), inputs))
        return op, (x, TensorType(float32, (blocks, tile + 2, tile + 2, inputs, block)))


def _along(x: Array, matrix: Array, axis: int) -> Array:
    """The matrix times an axis of `x`; what it multiplies with zero does not count, infinite or not."""
    terms = np.moveaxis(x, axis, 0)
    return np.stack([sum(terms[k] * x.dtype.type(row[k]) for k in np.flatnonzero(row)) for row in matrix], axis)


def combined(matrix: Array, x: Any, axis: int) -> Any:
    """`_along` by simpler operators."""
    terms = [Slice((k,), (k + 1,), (axis,))(x) for k in range(matrix.shape[1])]
    sums = []
    for factors in matrix:
        parts = [Mul()(terms[k], like(x, float(factors[k]))) for k in np.flatnonzero(factors)]
        sums.append(reduce(Add(), parts))
    return Concat(axis)(*sums)


def row(matrix: Array, groups: Sequence[Sequence[int]], index: Expr, term: Callable[[int], Any]) -> Any:
    """Row `index` of `matrix` times the terms: a choice that vanishes when the loop over `index` is unrolled."""
    found = _combination(matrix[-1], groups, term)
    for number in range(len(matrix) - 2, -1, -1):
        found = select(index.equal(number), _combination(matrix[number], groups, term), found)
    return found


def _combination(factors: Array, groups: Sequence[Sequence[int]], term: Callable[[int], Any]) -> Any:
    """The sum of factor times term. Of each group the first factor is taken out, so that rows share what is left."""
    parts = []
    for group in groups:
        if used := [k for k in group if factors[k]]:
            parts.append((factors[used[0]], _sum([(factors[k] / factors[used[0]], term(k)) for k in used])))
    return _sum(sorted(parts, key=lambda part: part[0] != 1))


def _sum(parts: Sequence[tuple[float, Any]]) -> Any:
    """Of factor times value: one multiplication for the first, if it needs one, then multiply-adds."""
    factor, value = parts[0]
    found = value if factor == 1 else -value if factor == -1 else value * float(factor)
    for factor, value in parts[1:]:
        if abs(factor) == 1:
            found = found + value if factor > 0 else found - value
        else:
            found = call("fma", value, const(float(factor), value.dtype), found)
    return found
