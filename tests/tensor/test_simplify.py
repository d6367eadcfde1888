"""Every rule holds on random values; simplified expressions keep their value and get short."""

import itertools
import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicc import te
from minicc.ir.rewrite import Rule, Wild, instantiate
from minicc.tensor.bounds import assume, bounds
from minicc.tensor.evaluate import evaluate_expr
from minicc.tensor.expr import Binary, Convert, Const, Select, Unary, Var, binary, const, maximum, minimum, rebuild
from minicc.tensor.expr import select
from minicc.tensor.expr import substitute, transform, walk
from minicc.tensor.linear import from_linear, linear
from minicc.tensor.simplify import FAST, RULES, Hole, Exactly, Simplifier, simplify
from minicc.testing.strategies import expressions
from minicc.types import boolean, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64

PYTHON = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "eq": operator.eq, "ne": operator.ne,
    "lt": operator.lt, "le": operator.le, "and": lambda a, b: a and b, "or": lambda a, b: a or b,
    "floordiv": lambda a, b: a // b if b else 0, "floormod": lambda a, b: a % b if b else 0,
    "truncdiv": lambda a, b: (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1) if b else 0,
    "truncmod": lambda a, b: a - b * ((abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)) if b else 0,
    "min": min, "max": max, "bitand": operator.and_, "bitor": operator.or_, "bitxor": operator.xor,
}  # fmt: skip
FLOATS = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "min": np.minimum, "max": np.maximum,
    "lt": operator.lt, "le": operator.le, "eq": operator.eq, "ne": operator.ne,
}  # fmt: skip


def evaluate(e, values):  # noqa: C901 - one flat match over the grammar
    """The value of `e`, an independent interpreter: exact Python integers that wrap, NumPy floats."""

    def go(x):  # noqa: C901 - one flat match over the grammar
        match x:
            case Var():
                return values[x]
            case Const(value, dtype):
                return dtype.numpy.type(value) if dtype.is_float else value
            case Binary(op, a, b):
                with np.errstate(all="ignore"):
                    found = (FLOATS if a.dtype.is_float else PYTHON)[op](go(a), go(b))
            case Unary("neg", a):
                found = -go(a)
            case Unary("abs", a):
                found = abs(go(a))
            case Unary("not", a):
                found = not go(a)
            case Select(cond, then, other):
                found = go(then) if go(cond) else go(other)
            case Convert(a, _):
                found = go(a)
            case _:
                raise TypeError(x)
        if x.dtype.is_float:
            return x.dtype.numpy.type(found)
        if x.dtype is boolean:
            return bool(found)
        return const(int(found), x.dtype).value

    return go(e)


def same(a, b):
    if isinstance(a, np.floating):
        return (np.isnan(a) and np.isnan(b)) or (a == b and np.signbit(a) == np.signbit(b))
    return a == b


EDGES = {
    "int": [0, 1, -1, 2, -2, 3, 5, -7, 8, 100, "low", "high"],
    "uint": [0, 1, 2, 3, 4, 7, 128, "high"],
    "float": [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -4.0, 3.0, 1e-40, 1e30, math.inf, -math.inf, math.nan],
    "bool": [False, True],
}


def edges(dtype):
    low, high = dtype.range
    return [{"low": low, "high": high}.get(v, v) for v in EDGES[dtype.kind]]


def holes(pattern):
    if isinstance(pattern, tuple):
        return {h for p in pattern for h in holes(p)}
    if isinstance(pattern, Wild):
        return {pattern}
    if hasattr(pattern, "__match_args__"):
        return {h for n in pattern.__match_args__ for h in holes(getattr(pattern, n))}
    return set()


def instances(rule, rng):
    """The two sides of a rule with the wilds filled by variables and constants of each dtype that fits."""
    wilds = sorted((h for h in holes(rule.lhs) if isinstance(h, Hole)), key=lambda h: h.name)
    numbers = [h for h in holes(rule.lhs) if isinstance(h, Exactly)]
    for dtype in (int64, int8, uint8, float32, float64, boolean):
        own = [h for h in wilds if h.kinds != "bool"]
        if any(dtype.kind not in h.kinds.split() for h in own + numbers) or (not own and dtype is not boolean):
            continue
        for _ in range(40):
            bindings = {}
            for h in wilds:
                kind = dtype if h in own else boolean
                constant = h.only_const or rng.random() < 0.1
                bindings[h.name] = const(rng.choice(edges(kind)), kind) if constant else Var(h.name, kind)
            for h in numbers:
                bindings[h.name] = const(h.value, dtype)
            if rule.where and not rule.where(
                *[bindings[n] for n in rule.where.__code__.co_varnames[: rule.where.__code__.co_argcount]]
            ):
                continue
            left = instantiate(rule.lhs, bindings, None)
            made = rule.apply(left)
            if made is not None:
                yield left, made


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_every_rule_holds(rule):
    import random

    rng = random.Random(rule.name)
    tried = 0
    for left, right in instances(rule, rng):
        assert left.dtype is right.dtype
        variables = sorted({v for v in walk(left) if isinstance(v, Var)}, key=lambda v: v.name)
        pools = [edges(v.dtype) for v in variables]
        points = (
            list(itertools.product(*pools))
            if math.prod(map(len, pools)) < 200
            else [tuple(rng.choice(p) for p in pools) for _ in range(200)]
        )
        for point in points:
            values = {
                v: v.dtype.numpy.type(x) if v.dtype.is_float else x for v, x in zip(variables, point, strict=True)
            }
            assert same(evaluate(left, values), evaluate(right, values)), (left, right, values)
            tried += 1
    assert tried > 0


def test_fast_rules_are_off_by_default():
    x = Var("x", float32)
    assert all(rule.fast for rule in FAST) and not any(rule.fast for rule in RULES)
    for e in (x + 0.0, x * 0.0, x - x):
        assert simplify(e) is e
        assert any(rule.apply(e) is not None for rule in FAST)


i, j, k, n = Var("i"), Var("j"), Var("k"), Var("n")
RANGES = {i: (0, 7), j: (0, 3), k: (0, 9)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((i * 4 + j) // 4, "i"),
        ((i * 4 + j) % 4, "j"),
        ((i * 4 + j) // 8, "i//2"),
        ((i * 4 + j) % 8, "i%2*4 + j"),
        ((i * 16 + k) // 4 - i * 4, "k//4"),
        (i % 8, "i"),
        (i % 5, "i%5"),
        ((i - 8) // 8, "-1"),
        ((i - 8) % 8, "i"),
        (i // 2 * 2 + i % 2, "i"),
        (n // 6 * 6 + n % 6, "n"),
        (n // 6 % 2 * 6 + n % 6, "n%12"),
        (n // 6 // 2, "n//12"),
        (n % 12 % 4, "n%4"),
        (j + i * 4 - j, "i*4"),
        (3 + j + i * 4 + 2 - j * 2, "i*4 - j + 5"),
        (const(5) - i, "5 - i"),
        (minimum(i, 10), "i"),
        (maximum(i - 9, 0), "0"),
        (minimum(3, i), "minimum(i, 3)"),
        (minimum(minimum(n, 5), 3), "minimum(n, 3)"),
        (i * 4 + j < 32, "True"),
        (i * 4 + 3 < 10, "i < 2"),
        (i + 3 <= j + 5, "i <= j + 2"),
        (i >= 0, "True"),
        ((i > 0) & (i < 8), "0 < i"),
        ((i * 2).equal(5), "False"),
        ((i - 1 >= 0) & (i - 1 < 3), "1 <= i and i < 4"),
        (select(i < 8, n, 0), "n"),
        (~((i < 3) & (i < 100)), "3 <= i"),
        (n * (n + 1) - (n + 1) * n, "0"),
        (Var("x", float32) / 4.0, "x*0.25"),
        (Var("x", float32) / 3.0, "x/3.0"),
    ],
    ids=str,
)
def test_short_forms(before, after):
    assert str(simplify(before, RANGES)) == after


def test_overflow_is_kept():
    assert str(simplify(n * 4 // 4)) == "n*4//4"  # n may be 2**62
    assert simplify(n * 4 // 4, {n: (0, 1000)}) is n
    assert simplify(n < n + 1).dtype is boolean and not isinstance(simplify(n < n + 1), Const)
    m = Var("m", uint8)
    assert evaluate(simplify(m - 1 < m), {m: 0}) is False
    assert simplify(binary("add", const(200, uint8), const(100, uint8))) is const(44, uint8)


def integer_expressions():
    leaves = st.sampled_from([i, j, k, n]) | st.integers(-9, 9).map(const)

    def grow(inner):
        pair = st.tuples(inner, inner)
        positive = st.tuples(inner, st.integers(1, 12).map(const))
        conds = st.builds(lambda op, ab: binary(op, *ab), st.sampled_from(["lt", "le", "eq", "ne"]), pair)
        return (
            st.builds(lambda op, ab: binary(op, *ab), st.sampled_from(["add", "sub", "min", "max"]), pair)
            | st.builds(lambda ab: binary("mul", *ab), positive)
            | st.builds(lambda op, ab: binary(op, *ab), st.sampled_from(["floordiv", "floormod"]), positive)
            | st.builds(
                lambda op, ab: binary(op, *ab),
                st.sampled_from(["floordiv", "floormod", "truncdiv", "truncmod", "mul", "bitand"]),
                pair,
            )
            | st.builds(lambda p, q, ab: select(p & ~q, *ab), conds, conds, pair)
        )

    return st.recursive(leaves, grow, max_leaves=10)


INTEGERS = [int8, int16, int32, int64, uint8, uint16, uint32, uint64]


@given(st.data(), st.sampled_from(INTEGERS))
@settings(deadline=None, max_examples=300)
def test_constants_fold_to_what_numpy_computes(data, dtype):
    low, high = dtype.range
    literals = [const(value, dtype) for value in (low, high, high - 1, high // 2 + 1, 7)]
    e = data.draw(expressions(dtype, literals))
    folded = simplify(e)
    assert isinstance(folded, Const) and folded.dtype is dtype
    assert folded.value == evaluate_expr(e, {}).item()


VALUES = st.fixed_dictionaries(
    {
        i: st.integers(0, 7),
        j: st.integers(0, 3),
        k: st.integers(0, 9),
        n: st.sampled_from([0, 1, -1, 5, 6, 7, -13, 1000, 2**31, 2**62, 2**63 - 1, -(2**63)]),
    }
)


@given(integer_expressions(), st.lists(VALUES, min_size=6, max_size=6))
@settings(deadline=None, max_examples=300)
def test_random_integers_keep_their_value(e, points):
    short = simplify(e, RANGES)
    low, high = bounds(e, RANGES)
    assert simplify(short, RANGES) is short
    for values in points:
        expected = evaluate(e, values)
        assert evaluate(short, values) == expected
        assert low <= expected <= high
        once = evaluate(substitute(short, {v: const(x) for v, x in values.items()}), {})
        assert once == expected


@given(integer_expressions(), integer_expressions(), integer_expressions(), st.lists(VALUES, min_size=8, max_size=8))
@settings(deadline=None, max_examples=200)
def test_bounds_under_an_assumption(e, a, b, points):
    for op in ("lt", "le", "eq", "ne"):
        cond = binary(op, a, b)
        if isinstance(cond, Const):
            continue
        for truth in (True, False):
            known = assume(cond, RANGES, truth)
            low, high = bounds(e, known)
            short = simplify(e, known)
            for values in points:
                if evaluate(cond, values) == truth:
                    assert low <= evaluate(e, values) <= high
                    assert evaluate(short, values) == evaluate(e, values)


@given(integer_expressions())
@settings(deadline=None, max_examples=50)
def test_linear_round_trip(e):
    form = linear(e)
    assert linear(from_linear(*form)) == form


def test_long_sums_are_quick():
    e = const(0)
    for step in range(3000):
        e = Binary("add", e, Binary("mul", i, const(step)))
    assert simplify(e) is i * (3000 * 2999 // 2)
    deep = i
    for _ in range(3000):
        deep = minimum(deep + 1, n)
    assert simplify(deep) is not None


def test_a_simplifier_remembers():
    once = Simplifier(RANGES)
    e = (i * 4 + j) // 4
    assert once(e) is i and e in once.done


def test_rules_are_data():
    x = Hole("x")
    rule = Rule("twice", Binary("add", x, x), lambda x: Binary("mul", x, const(2, x.dtype)), lambda x: x.dtype is int64)
    assert rule.apply(Binary("add", n, n)) is n * 2
    assert rule.apply(Binary("add", n, i)) is None
    assert rule.apply(Binary("add", Var("a", float32), Var("a", float32))) is None
    assert transform(te.const(1), lambda e: e) is rebuild(const(1), ())


@settings(deadline=None)
@given(sizes=st.lists(st.integers(2, 9), min_size=1, max_size=3), factor=st.integers(1, 40), start=st.integers(0, 300))
def test_the_digits_of_a_shifted_loop_are_put_together_again(sizes, factor, start):
    """`fuse` leaves digits of one loop, `split` and `partition_loop` sums and shifts in them."""
    o, f = Var("o"), Var("f")
    whole, scale, total = o * factor + f + start, 1, const(0)
    for size in reversed(sizes):
        total = total + whole // scale % size * scale
        scale *= size
    total = total + whole // scale * scale
    ranges = {o: (0, 20), f: (0, factor - 1)}
    short = simplify(simplify_parts(total, ranges), ranges)
    for values in ({o: 0, f: 0}, {o: 3, f: factor - 1}, {o: 20, f: factor // 2}):
        assert evaluate_expr(short, values) == values[o] * factor + values[f] + start


def simplify_parts(total, ranges):
    """Each digit by itself, as indices are simplified."""
    terms, constant = linear(total)
    return from_linear({}, constant) + sum((simplify(t, ranges) * times for t, times in terms.items()), const(0))
