"""Attention and RotaryEmbedding as ONNX has them: composites of products, Softmax and moves.

In: query, key and value, `[batch, heads, rows, depth]` or `[batch, rows, heads * depth]`, and, as `given` says by their
ONNX names, a mask, the keys and values of steps before, and how many keys of each sequence count. Out: the result, the
keys or values of all steps, or the scores. Heads of the query may share those of key and value, in groups: then the
rows of a group are rows of one product, and nothing is repeated.

>>> import numpy as np
>>> q = np.float64([[[[1, 0], [0, 1]]]])
>>> Attention(is_causal=True)(q, q, q).round(2)
array([[[[1.  , 0.  ],
         [0.33, 0.67]]]])
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from minicc.ops.arithmetic import Add, Div, Mul, Sub
from minicc.ops.base import FLOAT, Draw, Example, dtype_of, like, operator, same_dim
from minicc.ops.cast import Cast
from minicc.ops.comparison import And, Equal, Less, Not, Where
from minicc.ops.elementwise import Tanh
from minicc.ops.given import Given, Several
from minicc.ops.indexing import Gather
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Concat, Slice, Transpose
from minicc.ops.reduction import ReduceMax
from minicc.ops.shape import Expand, Reshape
from minicc.ops.softmax import Softmax
from minicc.types import DType, TensorType, boolean, broadcast, float32, float64, int64


@operator
class Attention(Several):
    """softmax(scale q k^T + masks) v by heads; a row of the query that may see no key gives zeros.

    The scores that `qk_matmul_output` gives are, by its mode: the product, that after `softcap`, with the masks, or
    the weights.
    """

    accepts = FLOAT
    inputs: ClassVar[tuple[str, ...]] = ("Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen")
    results: ClassVar[tuple[str, ...]] = ("Y", "present_key", "present_value", "qk_matmul_output")

    given: tuple[str, ...] = ("Q", "K", "V")
    output: str = "Y"
    is_causal: bool = False
    kv_num_heads: int | None = None
    q_num_heads: int | None = None
    qk_matmul_output_mode: int = 0
    scale: float | None = None
    softcap: float = 0.0
    softmax_precision: DType | None = None
    left_window_size: int = -1
    right_window_size: int = -1

    def infer(self, *types: TensorType) -> TensorType:
        named = self.check(types)
        self.accept(*[t for name, t in named.items() if name not in ("attn_mask", "nonpad_kv_seqlen")])
        q, k, v = (self._by_heads(name, named[name], types) for name in "QKV")
        if any(not same_dim(*pair) for pair in ((q[0], k[0]), (q[3], k[3]), (k[:3], v[:3]))) or q[1] % max(k[1], 1):
            problem = "expected one batch and depth, rows and heads of V as of K, and heads of Q a multiple of them"
            raise self.error(f"{problem}, got {q}, {k} and {v}", *types)
        self._check_fields(named, types)
        total: Any = k[2] if "past_key" not in named else named["past_key"].shape[2] + k[2]
        self._check_rest(named, (*q[:3], total), v, k, types)
        dtype = named["Q"].dtype
        if self.output == "Y":
            return TensorType(dtype, (q[0], q[2], q[1] * v[3]) if named["Q"].rank == 3 else (*q[:3], v[3]))
        if self.output == "qk_matmul_output":
            return TensorType(dtype, (*q[:3], total))
        kept = k if self.output == "present_key" else v
        return TensorType(dtype, (*kept[:2], total, kept[3]))

    def _by_heads(self, name: str, t: TensorType, types: Sequence[TensorType]) -> tuple[Any, ...]:
        """The shape of an operand by heads."""
        count = self.q_num_heads if name == "Q" else self.kv_num_heads
        if t.rank == 4 and count in (None, t.shape[1]):
            return t.shape
        if t.rank != 3 or types[0].rank != 3 or not count or count < 0 or t.shape[2] % count:
            hint = "q_num_heads and kv_num_heads divide the last axis of operands of rank 3"
            raise self.error(
                f"expected {name} of rank 4, or 3 with a number of heads, got {t}, {count}", *types, hint=hint
            )
        return t.shape[0], count, t.shape[1], t.shape[2] // count

    def _check_fields(self, named: Mapping[str, TensorType], types: Sequence[TensorType]) -> None:
        if len({named[name].rank for name in "QKV"}) > 1 or self.qk_matmul_output_mode not in range(4):
            problem = "expected Q, K and V of one rank, and qk_matmul_output_mode 0 to 3"
            raise self.error(f"{problem}, got {self.qk_matmul_output_mode}", *types)
        if min(self.left_window_size, self.right_window_size) < -1:
            raise self.error("a window has a size >= 0, or -1 for none", *types)
        if self.softmax_precision is not None and not self.softmax_precision.is_float:
            raise self.error(f"softmax_precision must be a float, got {self.softmax_precision}", *types)
        if len({t.dtype for name, t in named.items() if name not in ("attn_mask", "nonpad_kv_seqlen")}) > 1:
            raise self.error("expected operands of one dtype", *types)
        if ("past_key" in named) != ("past_value" in named) or {"past_key", "nonpad_kv_seqlen"} <= set(named):
            raise self.error("past_key and past_value come together, and without nonpad_kv_seqlen", *types)

    def _check_rest(self, named: Mapping[str, TensorType], scores: tuple[Any, ...], v: tuple[Any, ...],
                    k: tuple[Any, ...], types: Sequence[TensorType]) -> None:  # fmt: skip
        for name, form in (("past_key", k), ("past_value", v), ("nonpad_kv_seqlen", k[:1])):
            if (t := named.get(name)) is not None:
                fits = t.rank == len(form) and all(
                    same_dim(a, b) for i, (a, b) in enumerate(zip(t.shape, form, strict=True)) if i != 2
                )
                if not fits or (name == "nonpad_kv_seqlen" and not t.dtype.is_integer):
                    raise self.error(f"{name} does not fit to {form}, got {t}", *types)
        if (mask := named.get("attn_mask")) is not None:
            whole = (*mask.shape[:-1], scores[3])
            if not 0 < mask.rank <= 4 or mask.shape[-1] > scores[3] or broadcast(self.name, whole, scores) != scores:
                raise self.error(f"attn_mask must broadcast to {scores}, its last axis may be shorter", *types)
            if mask.dtype not in (boolean, types[0].dtype):
                raise self.error(f"attn_mask must be bool or {types[0].dtype}, got {mask.dtype}", *types)

    def expand(self, *values: Any) -> Any:
        named = self.named(values)
        q = _by_heads(named["Q"], self.q_num_heads)
        k, v = (_by_heads(named[name], self.kv_num_heads) for name in "KV")
        if "past_key" in named:
            k, v = Concat(2)(named["past_key"], k), Concat(2)(named["past_value"], v)
        if self.output.startswith("present"):
            return k if self.output == "present_key" else v
        batch, heads, queries, depth = q.shape
        group, total = heads // max(k.shape[1], 1), k.shape[2]
        bias, empty = self._bias(named, q, total)
        if group > 1:
            q = Reshape((batch, k.shape[1], group * queries, depth), True)(q)
            bias, empty = (x if x is None else _grouped(x, group, queries) for x in (bias, empty))
        scores = self._product(q, k, depth)
        stages = [scores, scores if not self.softcap else self._capped(scores)]
        stages.append(stages[-1] if bias is None else Add()(stages[-1], bias))
        wide, dtype = self.softmax_precision or dtype_of(q), dtype_of(q)
        weights = stages[2] if wide is dtype else Cast(wide)(stages[2])
        weights = Softmax(-1)(weights)
        weights = weights if wide is dtype else Cast(dtype)(weights)
        if self.output == "Y":
            return self._result(MatMul()(weights, v), empty, (batch, heads, queries, v.shape[3]), len(named["Q"].shape))
        result = _cleared(weights, empty) if self.qk_matmul_output_mode == 3 else stages[self.qk_matmul_output_mode]
        return result if group == 1 else Reshape((batch, heads, queries, total), True)(result)

    def _product(self, q: Any, k: Any, depth: int) -> Any:
        """scale q k^T; of 16 bits half of the scale is of each, as the product might overflow."""
        scale = 1 / math.sqrt(max(depth, 1)) if self.scale is None else self.scale
        if dtype_of(q).bits > 16:
            return MatMul()(Mul()(q, like(q, scale)), Transpose((0, 1, 3, 2))(k))
        root = math.sqrt(abs(scale))
        k = Mul()(k, like(k, root))
        return MatMul()(Mul()(q, like(q, math.copysign(root, scale))), Transpose((0, 1, 3, 2))(k))

    def _capped(self, scores: Any) -> Any:
        by = like(scores, self.softcap)
        return Mul()(Tanh()(Div()(scores, by)), by)

    @staticmethod
    def _result(product: Any, empty: Any, shape: tuple[int, ...], rank: int) -> Any:
        product = _cleared(product, empty)
        product = product if tuple(product.shape) == shape else Reshape(shape, True)(product)
        if rank == 4:
            return product
        batch, heads, queries, depth = shape
        return Reshape((batch, queries, heads * depth), True)(Transpose((0, 2, 1, 3))(product))

    def _bias(self, named: Mapping[str, Any], q: Any, total: int) -> tuple[Any, Any]:
        """What is added to the scores, and which rows see no key; None where nothing is added, and all see some."""
        queries, low = q.shape[2], like(q, -np.inf)
        allowed, added = [], None
        inside = self._inside(named, queries, total)
        if isinstance(inside, np.ndarray):
            allowed += [] if inside.all() else [inside]
        elif inside is not None:
            allowed.append(inside)
        if (mask := named.get("attn_mask")) is not None:
            is_bool = dtype_of(mask) is boolean
            if (short := total - mask.shape[-1]) > 0:
                fill = Expand((*mask.shape[:-1], short))(like(mask, False) if is_bool else low)
                mask = Concat(len(mask.shape) - 1)(mask, fill)
            mask = Reshape((*[1] * (4 - len(mask.shape)), *mask.shape), True)(mask)
            allowed, added = ([*allowed, mask], None) if is_bool else (allowed, mask)
        if allowed:
            both = allowed[0] if len(allowed) == 1 else And()(*allowed)
            hidden = Where()(both, like(q, 0.0), low)
            added = hidden if added is None else Add()(added, hidden)
        static = not any(name in named for name in ("attn_mask", "nonpad_kv_seqlen"))
        if added is None or (static and np.any(inside, axis=-1).all()):
            return added, None
        return added, Equal()(ReduceMax((-1,))(added), low)

    def _inside(self, named: Mapping[str, Any], queries: int, total: int) -> Any:
        """Which keys a query may see by its place and by the length of its sequence: `[batch or 1, 1, queries, total]`."""
        past = named["past_key"].shape[2] if "past_key" in named else 0
        rows, keys = np.arange(queries)[:, None] + past, np.arange(total)[None, :]
        right = [n for n in (0 if self.is_causal else -1, self.right_window_size) if n >= 0]
        if (lengths := named.get("nonpad_kv_seqlen")) is None:
            inside = np.ones((queries, total), bool)
            for most in right:
                inside &= keys <= rows + most
            if self.left_window_size >= 0:
                inside &= keys >= rows - min(self.left_window_size, total + queries)
            return inside[None, None]
        lengths = Reshape((-1, 1, 1, 1))(Cast(int64)(lengths))
        moved = Add()(lengths, np.int64(rows - queries))  # where a query is among the keys
        tests = [Less()(keys[None, None], lengths)]
        tests += [Not()(Less()(Add()(moved, np.int64(most)), keys)) for most in right]
        if self.left_window_size >= 0:
            tests.append(Not()(Less()(keys, Sub()(moved, np.int64(min(self.left_window_size, total + queries))))))
        result = tests[0]
        for test in tests[1:]:
            result = And()(result, test)
        return result

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        batch, heads, group, queries, keys, depth, width = (draw.integer(1, n) for n in (2, 2, 2, 3, 3, 3, 2))
        dtype, flat, past = draw.choice((float32, float64)), draw.boolean(), draw.integer(0, 2)
        state = draw.choice(("none", "past", "nonpad"))
        total = keys + past * (state == "past")
        four = {
            "Q": (batch, heads * group, queries, depth),
            "K": (batch, heads, keys, depth),
            "V": (batch, heads, keys, width),
        }
        shapes = {n: (s[0], s[2], s[1] * s[3]) for n, s in four.items()} if flat else four
        values: dict[str, Any] = {name: TensorType(dtype, shape) for name, shape in shapes.items()}
        if draw.boolean():
            whole = (batch, heads * group, queries)
            mask = tuple(draw.choice((1, n)) for n in whole)[draw.integer(0, 3) :]
            kind = TensorType(draw.choice((boolean, dtype)), (*mask, draw.integer(1, total)))
            values["attn_mask"] = draw.array(kind, *(() if kind.dtype is boolean else (-2, 2)))
        if state == "past":
            values |= {"past_key": TensorType(dtype, (batch, heads, past, depth)),
                       "past_value": TensorType(dtype, (batch, heads, past, width))}  # fmt: skip
        elif state == "nonpad":
            values["nonpad_kv_seqlen"] = draw.array(TensorType(int64, (batch,)), 0, keys)
        op = cls(
            tuple(values),
            draw.choice(cls.results),
            draw.boolean(),
            heads if flat else draw.choice((None, heads)),
            heads * group if flat else draw.choice((None, heads * group)),
            draw.integer(0, 3),
            draw.choice((None, 0.5)),
            draw.choice((0.0, 2.0)),
            draw.choice((None, float32, float64)),
            draw.integer(-1, 1),
            draw.integer(-1, 1),
        )
        return op, list(values.values())


def _by_heads(x: Any, heads: int | None) -> Any:
    """An operand as `[batch, heads, rows, depth]`."""
    if len(x.shape) == 4:
        return x
    assert heads is not None
    batch, rows, width = x.shape
    return Transpose((0, 2, 1, 3))(Reshape((batch, rows, heads, width // heads), True)(x))


def _grouped(x: Any, group: int, queries: int) -> Any:
    """What is added to scores, where the rows of `group` heads are rows of one product."""
    first, heads, rows, last = x.shape
    if heads == 1:
        return Reshape((first, 1, group * queries, last), True)(Expand((first, group, queries, last))(x))
    whole = x if rows == queries else Expand((first, heads, queries, last))(x)
    return Reshape((first, heads // group, group * queries, last), True)(whole)


def _cleared(x: Any, empty: Any) -> Any:
    """Zeros in the rows that are `empty`."""
    return x if empty is None else Where()(empty, like(x, 0.0), x)


@operator
class RotaryEmbedding(Given):
    """Pairs of each row turned by the angle of its position, of which the caches hold cosine and sine.

    X is `[batch, heads, rows, depth]`, or `[batch, rows, heads * depth]` with `num_heads`. Pairs are the halves of the
    first `rotary_embedding_dim` elements (0: of all), or neighbours (`interleaved`). The caches are `[positions, pairs]`
    with the positions `[batch, rows]` of the rows, or without those `[batch, rows, pairs]`.
    """

    accepts = FLOAT
    inputs: ClassVar[tuple[str, ...]] = ("X", "cos_cache", "sin_cache", "position_ids")

    given: tuple[str, ...] = ("X", "cos_cache", "sin_cache")
    interleaved: bool = False
    num_heads: int = 0
    rotary_embedding_dim: int = 0

    def infer(self, *types: TensorType) -> TensorType:
        named = self.check(types)
        x, cos, sin = types[:3]
        self.accept(x, cos, sin)
        flat = x.rank == 3 and self.num_heads > 0 and x.shape[2] % self.num_heads == 0
        if x.rank != 4 and not flat:
            raise self.error("expected X of rank 4, or 3 with num_heads that divide the last axis", *types)
        batch, rows = (x.shape[0], x.shape[2]) if x.rank == 4 else x.shape[:2]
        depth = x.shape[3] if x.rank == 4 else x.shape[2] // self.num_heads
        turned = self.rotary_embedding_dim or depth
        positions = named.get("position_ids")
        shape = (batch, rows, turned // 2) if positions is None else (cos.shape[0], turned // 2)
        if turned % 2 or not 0 <= turned <= depth or len({x.dtype, cos.dtype, sin.dtype}) > 1:
            raise self.error(f"expected one dtype, and an even number of at most {depth} elements to turn", *types)
        fits = all(t.rank == len(shape) and all(map(same_dim, t.shape, shape)) for t in (cos, sin))
        if positions is not None:
            fits = fits and positions.dtype.is_integer and positions.rank == 2
            fits = fits and all(map(same_dim, positions.shape, (batch, rows)))
        if not fits or 0 in shape:
            raise self.error(f"expected caches of shape {shape}, and integers [{batch}, {rows}] as positions", *types)
        return x

    def expand(self, *values: Any) -> Any:
        named = self.named(values)
        whole, cos, sin = values[:3]
        flat = len(whole.shape) == 3
        batch, rows = whole.shape[:2] if flat else (whole.shape[0], whole.shape[2])
        x = Reshape((batch, rows, self.num_heads, whole.shape[2] // self.num_heads), True)(whole) if flat else whole
        if (positions := named.get("position_ids")) is not None:
            cos, sin = Gather(0)(cos, positions), Gather(0)(sin, positions)
        depth, pairs = x.shape[3], cos.shape[2]
        beside = (batch, rows, 1, pairs) if flat else (batch, 1, rows, pairs)
        cos, sin = Reshape(beside, True)(cos), Reshape(beside, True)(sin)
        turned = self._turned(_last(x, 0, 2 * pairs), cos, sin, pairs)
        result = turned if 2 * pairs == depth else Concat(3)(turned, _last(x, 2 * pairs, depth))
        return Reshape(tuple(whole.shape), True)(result) if flat else result

    def _turned(self, x: Any, cos: Any, sin: Any, pairs: int) -> Any:
        lead = tuple(x.shape[:3])
        if self.interleaved:
            split = Reshape((*lead, pairs, 2), True)(x)
            a, b = (Reshape((*lead, pairs), True)(Slice((at,), (at + 1,), (4,))(split)) for at in (0, 1))
        else:
            a, b = _last(x, 0, pairs), _last(x, pairs, 2 * pairs)
        real = Sub()(Mul()(cos, a), Mul()(sin, b))
        imaginary = Add()(Mul()(sin, a), Mul()(cos, b))
        if not self.interleaved:
            return Concat(3)(real, imaginary)
        both = Concat(4)(*[Reshape((*lead, pairs, 1), True)(part) for part in (real, imaginary)])
        return Reshape((*lead, 2 * pairs), True)(both)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        batch, heads, rows, pairs, more = (draw.integer(1, n) for n in (2, 2, 3, 2, 3))
        dtype, depth = draw.dtype(), 2 * pairs + more - 1
        flat = draw.boolean()
        shape = (batch, rows, heads * depth) if flat else (batch, heads, rows, depth)
        values: list[Any] = [TensorType(dtype, shape)]
        given = cls.inputs if draw.boolean() else cls.inputs[:3]
        positions = draw.integer(1, 4)
        cache = TensorType(dtype, (positions, pairs) if len(given) == 4 else (batch, rows, pairs))
        values += [cache, cache]
        if len(given) == 4:
            values.append(draw.array(TensorType(int64, (batch, rows)), 0, positions - 1))
        return cls(given, draw.boolean(), heads if flat else 0, 0 if more == 1 else 2 * pairs), values


def _last(x: Any, start: int, end: int) -> Any:
    """A range of the last axis."""
    return x if (start, end) == (0, x.shape[-1]) else Slice((start,), (end,), (len(x.shape) - 1,))(x)
