"""Machine code against the same program run as Python: every dtype, operator and loop kind."""

from __future__ import annotations

import re
import warnings

import llvmlite.ir as ir
import numpy as np
import pytest
from codegen_cases import build, check, expected, native
from hypothesis import given, settings
from hypothesis import strategies as st

from minicc.codegen.llvm import emit
from minicc.errors import CodegenError
from minicc.loop.ir import (
    PARALLEL,
    SERIAL,
    UNROLL,
    VECTORIZE,
    WORKSPACE,
    Alloc,
    Buffer,
    For,
    If,
    Stmt,
    Store,
    Update,
    seq,
)
from minicc.loop.place_buffers import place_buffers, workspace_bytes
from minicc.loop.program import Program
from minicc.loop.widen_floats import widen_floats
from minicc.target import Target
from minicc.tensor.expr import Binary, Call, Convert, Expr, Load, Reduce, Unary, Var, all_of, any_of, call, cast, const
from minicc.tensor.expr import maximum, minimum, select
from minicc.tensor.rounding import marked
from minicc.tensor.tensor import reduce_axis, reducer
from minicc.testing.strategies import expressions
from minicc.types import DType, bfloat16, boolean, float16, float32, float64, int8, int32, int64, uint8

KINDS = (SERIAL, PARALLEL, VECTORIZE, UNROLL)
INTEGERS = [d for d in DType.table.values() if d.is_integer]
FLOATS = [d for d in DType.table.values() if d.is_float]
i, j, k, v = Var("i"), Var("j"), Var("k"), Var("v")


def sample(dtype: DType, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Values that are awkward on purpose: extremes, zeros, NaN, infinities, and small ones."""
    rng = np.random.default_rng(seed)
    if dtype is boolean:
        return rng.random(shape) < 0.5
    if dtype.is_float:
        made = rng.normal(size=shape) * 3
        made.flat[:: max(made.size // 5, 1)] = [np.nan, 0.0, -0.0, np.inf, 1.0, 2.0][
            : len(made.flat[:: max(made.size // 5, 1)])
        ]
        return made.astype(dtype.numpy)
    low, high = dtype.range
    made = rng.integers(max(low, -9), min(high, 9), shape, dtype=dtype.numpy, endpoint=True)
    corners = np.array([low, high, 0, 1], dtype.numpy)
    where = rng.random(shape) < 0.3
    made[where] = rng.choice(corners, shape)[where]
    return made


def elementwise(
    value, dtype: DType, kind: str, n: int = 8, out: DType | None = None, extra: DType | None = None
) -> Program:
    """C[i] = value(A[i], B[i]) by a loop of a kind."""
    a, b, c = Buffer("A", dtype, (n,)), Buffer("B", extra or dtype, (n,)), Buffer("C", out or dtype, (n,))
    return Program("kernel", (a, b), (c,), For(i, n, Store(c, (i,), value(a[i], b[i])), kind))


def all_in_one(values: list[Expr], a: Buffer, b: Buffer, dtype: DType, kind: str, n: int) -> Program:
    """C[r, i] = values[r] for each r: one compilation for many expressions."""
    c = Buffer("C", dtype, (len(values), n))
    stores = seq(*[Store(c, (const(r), i), value) for r, value in enumerate(values)])
    return Program("kernel", (a, b), (c,), For(i, n, stores, kind))


@pytest.mark.parametrize("kind", [SERIAL, VECTORIZE])
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integer_operators(dtype: DType, kind: str) -> None:
    n = 32
    a, b = Buffer("A", dtype, (n,)), Buffer("B", dtype, (n,))
    x, y = a[i], b[i]
    ops = [
        "add",
        "sub",
        "mul",
        "floordiv",
        "floormod",
        "truncdiv",
        "truncmod",
        "min",
        "max",
        "bitand",
        "bitor",
        "bitxor",
    ]
    values: list[Expr] = [Binary(op, x, y) for op in ops]
    for op in ("floordiv", "floormod", "truncdiv", "truncmod"):
        values += [Binary(op, x, const(number, dtype)) for number in (3, 4, 0, -1, -5)]
    values += [Unary("neg", x), Unary("abs", x), Unary("not", x)]
    check(all_in_one(values, a, b, dtype, kind, n), sample(dtype, (n,), 1), sample(dtype, (n,), 2))


@pytest.mark.parametrize("dtype", [int8, int64, uint8], ids=str)
def test_shifts_beyond_the_width_shift_everything_out(dtype: DType) -> None:
    n = 16
    a, b = Buffer("A", dtype, (n,)), Buffer("B", dtype, (n,))
    amounts = np.arange(n, dtype=dtype.numpy) * 5
    values = [Binary(op, a[i], b[i]) for op in ("shl", "shr")]
    check(all_in_one(values, a, b, dtype, VECTORIZE, n), sample(dtype, (n,), 3), amounts)


@pytest.mark.parametrize("kind", [SERIAL, VECTORIZE])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_float_operators(dtype: DType, kind: str) -> None:
    n = 32
    a, b = Buffer("A", dtype, (n,)), Buffer("B", dtype, (n,))
    x, y = a[i], b[i]
    values: list[Expr] = [Binary(op, x, y) for op in ("add", "sub", "mul", "div", "min", "max")]
    zero = const(0.0, dtype)
    values += [maximum(x, zero), maximum(zero, x), minimum(x, zero), minimum(maximum(x, zero), const(1.0, dtype))]
    values += [Unary("neg", x), Unary("abs", x), call("sqrt", Unary("abs", x))]
    values += [call(name, x) for name in ("floor", "ceil", "round", "trunc")] + [call("copysign", x, y)]
    rtol = {16: 1e-2, 32: 1e-6, 64: 1e-12}[dtype.bits]
    check(all_in_one(values, a, b, dtype, kind, n), sample(dtype, (n,), 1), sample(dtype, (n,), 2), rtol=rtol)


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_fma_and_floored_remainder(dtype: DType) -> None:
    n = 8
    a, b = Buffer("A", dtype, (n,)), Buffer("B", dtype, (n,))
    x, y = a[i], b[i]
    values = [
        call("fma", x, y, x),
        Binary("floormod", x, y),
        Binary("truncmod", x, y),
        call("fmod", x, y),
        Binary("floordiv", x, y),
        Binary("truncdiv", x, y),
    ]
    program = all_in_one(values, a, b, dtype, VECTORIZE, n)
    first = np.array([5.5, -5.5, 5.5, -5.5, 1, -1, 7, 9], dtype.numpy)
    second = np.array([2, 2, -2, -2, 3, 3, 7, -3], dtype.numpy)
    got = build(program)(first, second)[0]
    want = [
        first * second + first,
        first % second,
        np.fmod(first, second),
        np.fmod(first, second),
        first // second,
        np.trunc(first / second),
    ]
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("dtype", DType.table.values(), ids=str)
def test_comparisons(dtype: DType) -> None:
    n = 16
    a, b = Buffer("A", dtype, (n,)), Buffer("B", dtype, (n,))
    values: list[Expr] = [Binary(op, a[i], b[i]) for op in ("eq", "ne", "lt", "le")]
    if dtype.is_float:
        values += [call("isnan", a[i], dtype=boolean), call("isinf", a[i], dtype=boolean)]
    if dtype is boolean:
        values += [a[i] & b[i], a[i] | b[i], ~a[i]]
    check(all_in_one(values, a, b, boolean, VECTORIZE, n), sample(dtype, (n,), 1), sample(dtype, (n,), 2))


@pytest.mark.parametrize("kind", [SERIAL, VECTORIZE])
@pytest.mark.parametrize("source", DType.table.values(), ids=str)
def test_casts(source: DType, kind: str) -> None:
    n = 16
    rng = np.random.default_rng(5)
    low = 0 if source.kind == "uint" else -90
    data = rng.integers(low, 100, n).astype(source.numpy)
    if source.is_float:
        data = (rng.normal(size=n) * 20).astype(source.numpy)
    a = Buffer("A", source, (n,))
    outputs = [
        Buffer(f"C{n}", d, (16,))
        for n, d in enumerate(DType.table.values())
        if not (source.is_float and d.kind == "uint")
    ]  # a negative float has no unsigned value
    body = seq(*[Store(c, (i,), cast(a[i], c.dtype)) for c in outputs])
    check(Program("casts", (a,), tuple(outputs), For(i, n, body, kind)), data)


def test_narrowing_rounds_once_to_nearest_even() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 63, 4096, dtype=np.int64)
    wide = np.concatenate([bits.view(np.float64), rng.normal(size=4096) * 10.0 ** rng.integers(-9, 6, 4096)])
    halves = np.arange(0, 0x7C00, 7, dtype=np.uint16).view(np.float16).astype(np.float64)
    ties = (halves[1:] + halves[:-1]) / 2  # exactly between two float16, and a little beside
    data = np.concatenate([wide, ties, ties * (1 + 2.0**-40), ties * (1 - 2.0**-40)])
    n = len(data) // 8 * 8
    data = data[:n].reshape(-1, 8)
    a, c = Buffer("A", float64, data.shape), Buffer("C", float16, data.shape)
    body = For(j, n // 8, For(i, 8, Store(c, (j, i), cast(a[j, i], float16)), VECTORIZE))
    with np.errstate(all="ignore"):
        want = data.astype(np.float16)
    np.testing.assert_array_equal(build(Program("narrow", (a,), (c,), body))(data)[0], want)


def test_bfloat16_rounds_to_nearest_even_and_keeps_nan() -> None:
    bits = np.random.default_rng(0).integers(0, 1 << 32, 8192, dtype=np.uint32)
    data = (
        np.concatenate(
            [
                bits,
                np.uint32(
                    [0x7F800000, 0x7FC00000, 0x7F800001, 0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x80000000, 0xFF800000]
                ),
            ]
        )
        .view(np.float32)
        .reshape(-1, 8)
    )
    a, c = Buffer("A", float32, data.shape), Buffer("C", bfloat16, data.shape)
    body = For(j, len(data), For(i, 8, Store(c, (j, i), cast(a[j, i], bfloat16)), VECTORIZE))
    got = build(Program("narrow", (a,), (c,), body))(data)[0].astype(np.float32)
    with np.errstate(all="ignore"):
        want = data.astype(bfloat16.numpy).astype(np.float32)
    np.testing.assert_array_equal(got, want)


def test_float64_intrinsics_narrow_to_float16_without_help() -> None:
    """LLVM may narrow the sign of a copysign from float64 at once, by a function that is not there."""
    a, b, c = Buffer("A", float64, (8,)), Buffer("B", float64, (8,)), Buffer("C", float16, (8,))
    value = cast(cast(call("copysign", a[i], b[i]), float32), float16)
    check(
        Program("sign", (a, b), (c,), For(i, 8, Store(c, (i,), value))), sample(float64, (8,)), sample(float64, (8,), 1)
    )


@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_where_fma_is_no_instruction_it_still_rounds_once_and_calls_nothing(dtype: DType) -> None:
    a, b, c = (Buffer(name, dtype, (64,)) for name in "ABC")
    program = Program(
        "kernel", (a, b), (c,), For(i, 64, Store(c, (i,), call("fma", a[i], b[i], -a[i] * b[i])), VECTORIZE)
    )
    target = Target.of("x86-64-v2")
    exe = build(program, target)
    assert "call" not in exe.kernels[0].stages["asm"] and "fma" not in exe.kernels[0].stages["asm"]
    arrays = [np.random.default_rng(n).normal(size=64).astype(dtype.numpy) for n in range(2)]
    np.testing.assert_array_equal(exe(*arrays)[0], expected(program, *arrays)[0])


def test_names_of_any_length_stay_apart() -> None:
    """LLVM cuts them, and then they must not be one."""
    a, b, c = (Buffer("A" * 2000 + end, float32, (8,)) for end in "abc")
    check(Program("p", (a, b), (c,), For(i, 8, Store(c, (i,), a[i] - b[i]))), sample(float32, (8,)), sample(float32, (8,), 1))  # fmt: skip


def test_only_the_update_of_a_reduction_is_contracted() -> None:
    """Its sum and the product that stands in it; not the rest of what it adds, and no product of another stage."""

    def contracted(value: Expr) -> list[str]:
        module = ir.Module("contracted")
        emit(module, Program("p", (A, B), (C,), For(i, 8, Store(C, (i,), value))), native())
        return sorted(re.findall(r"= (f\w+) contract", str(module)))

    A, B, C = (Buffer(name, float32, (8,)) for name in "ABC")
    product = A[i] * B[i]
    assert contracted(C[i] + product) == contracted(product + C[i]) == ["fadd", "fmul"]
    assert contracted(C[i] + product * A[i]) == ["fadd", "fmul"]
    for value in (
        C[i] + marked(product),
        C[i - 1] + product,
        A[i] + product,
        call("exp", A[i]) + product,
        C[i] + (A[i] + product),
        C[i] + call("exp", product),
        C[i] + A[i],
    ):
        assert contracted(value) == []


def test_float_to_integer_out_of_range_saturates() -> None:
    data = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2**31, -3.9, 3.9], np.float32)
    a, c = Buffer("A", float32, (8,)), Buffer("C", int32, (8,))
    program = Program("cast", (a,), (c,), For(i, 8, Store(c, (i,), cast(a[i], int32)), VECTORIZE))
    high, low = 2**31 - 1, -(2**31)
    assert build(program)(data)[0].tolist() == [0, high, low, high, low, high, -3, 3]


@pytest.mark.parametrize("dtype", [float32, float64, float16, bfloat16], ids=str)
@pytest.mark.parametrize("kind", [SERIAL, VECTORIZE])
def test_intrinsics(dtype: DType, kind: str) -> None:
    a = Buffer("A", dtype, (8,))
    names = ["exp", "log", "tanh", "erf", "sin", "atan"]
    values: list[Expr] = [call(n, a[i]) for n in names] + [call("pow", a[i], a[i])]
    data = np.array([0.1, 0.5, 1, 1.5, 2, 3, 0.25, 4], dtype.numpy)
    rtol = {"float64": 1e-12, "float32": 2e-6}.get(dtype.name, 2e-2)
    check(all_in_one(values, a, Buffer("B", dtype, (8,)), dtype, kind, 8), data, data, rtol=rtol)


def test_bitcast() -> None:
    a, c = Buffer("A", float32, (8,)), Buffer("C", int32, (8,))
    program = Program("cast", (a,), (c,), For(i, 8, Store(c, (i,), call("bitcast", a[i], dtype=int32)), VECTORIZE))
    data = sample(float32, (8,))
    np.testing.assert_array_equal(build(program)(data)[0], data.view(np.int32))


# ---- vectors: strides, masks, guarded loads -----------------------------------------------------


def indexed(index: Expr, n: int = 8, size: int = 32, store: Expr | None = None) -> Program:
    a, b, c = Buffer("A", float32, (size,)), Buffer("B", int64, (n,)), Buffer("C", float32, (size,))
    fill = For(j, size, Store(c, (j,), const(0.0, float32)))
    body = For(
        k, 2, For(v, n, Store(c, (store if store is not None else v,), a[index] + cast(b[v], float32)), VECTORIZE)
    )
    return Program("indexed", (a, b), (c,), seq(fill, body))


INDEX = Buffer("B", int64, (8,))[v]


@pytest.mark.parametrize(
    "index",
    [
        v,
        v * 3 + 1,
        7 - v,
        const(5),
        k * 8 + v,
        k * 8 - v + 10,
        v // 2,
        v % 3,
        v * v // 2,
        INDEX,
        minimum(v, 4),
        select(v < 4, v, v + 1),
    ],
    ids=str,
)
def test_vector_loads_and_stores_at_any_index(index: Expr) -> None:
    data, places = sample(float32, (32,)), np.array([3, 1, 4, 1, 5, 9, 2, 6])
    check(indexed(index), data, places)
    check(indexed(v, store=index), data, places)


@pytest.mark.parametrize("kind", KINDS)
def test_guards(kind: str) -> None:
    """Stores and loads beyond the guard do not happen, in the last chunk of 13 = 8 + 5."""
    a, c = Buffer("A", float32, (13,)), Buffer("C", float32, (13,))
    at = i * 8 + v
    body = For(i, 2, For(v, 8, If(at < 13, Store(c, (at,), a[at] * 2.0)), kind))
    check(Program("guard", (a,), (c,), body), sample(float32, (13,)))


@pytest.mark.parametrize("dtype", [float32, boolean, int8, bfloat16, float16], ids=str)
@pytest.mark.parametrize("stride", [1, -1, 2, 0])
def test_masks(dtype: DType, stride: int) -> None:
    a, m, c = Buffer("A", dtype, (16,)), Buffer("M", boolean, (8,)), Buffer("C", dtype, (16,))
    at = v * stride + (7 if stride < 0 else 0)
    fill = For(j, 16, Store(c, (j,), const(0, dtype)))
    body = For(v, 8, If(m[v], If(v < 7, Store(c, (at if stride else v,), a[at]))), VECTORIZE)
    check(Program("masks", (a, m), (c,), seq(fill, body)), sample(dtype, (16,)), sample(boolean, (8,), 4))


@pytest.mark.parametrize("kind", [SERIAL, VECTORIZE, UNROLL])
def test_select_evaluates_only_the_branch_it_takes(kind: str) -> None:
    """The loads of the other branch are far outside; a fault would end the process."""
    a, b, c = Buffer("A", float32, (8,)), Buffer("B", int64, (8,)), Buffer("C", float32, (3, 8))
    inside = all_of(b[v] >= 0, b[v] < 8)
    far = Load(a, ((v - 3) * 10**12,))
    gathered = select(inside, Load(a, (b[v],)), const(-1.0, float32))
    fixed = select(b[const(0)] < 0, Load(a, (b[const(0)] * 10**12,)), const(2.0, float32))
    body = For(
        v,
        8,
        seq(
            Store(c, (const(0), v), gathered),
            Store(c, (const(1), v), select(v.equal(3), far, a[v])),
            Store(c, (const(2), v), fixed),
        ),
        kind,
    )
    places = np.array([0, 10**12, 7, -(10**12), 3, 8, -1, 2])
    check(Program("choose", (a, b), (c,), body), sample(float32, (8,)), places)


def test_a_choice_between_values_already_loaded_is_no_branch() -> None:
    a, b, c = Buffer("A", float32, (8,)), Buffer("B", int64, (8,)), Buffer("C", float32, (8,))
    x = Load(a, (b[i],))
    program = Program("choose", (a, b), (c,), For(i, 8, Store(c, (i,), select(x < 0.0, x * 2.0, x))))
    check(program, np.arange(-4, 4, dtype="f"), np.array([3, 1, 4, 1, 5, 2, 6, 0]))
    assert "then" not in build(program).kernels[0].stages["llvm"]


@pytest.mark.parametrize("kind", [SERIAL, VECTORIZE])
def test_and_or_guard_their_right_side(kind: str) -> None:
    a, b, c = Buffer("A", float32, (8,)), Buffer("B", int64, (8,)), Buffer("C", boolean, (2, 8))
    positive = Load(a, (b[v] * 10**11,)) > 0.0
    ok = b[v].equal(0)
    body = For(
        v, 8, seq(Store(c, (const(0), v), all_of(ok, positive)), Store(c, (const(1), v), any_of(~ok, positive))), kind
    )
    check(Program("logic", (a, b), (c,), body), sample(float32, (8,)), np.array([0, 1, 0, 1, 5, 0, 0, 9]))


def test_uniform_load_under_a_mask() -> None:
    """With no lane active it must not happen."""
    a, b, c = Buffer("A", float32, (8,)), Buffer("B", int64, (2,)), Buffer("C", float32, (16,))
    at = i * 8 + v
    body = For(
        i,
        2,
        For(
            v,
            8,
            seq(Store(c, (at,), const(0.0, float32)), If(at < b[const(1)], Store(c, (at,), Load(a, (b[i] * 10**12,))))),
            VECTORIZE,
        ),
    )
    check(Program("uniform", (a, b), (c,), body), sample(float32, (8,)), np.array([0, 7]))


def test_loops_inside_a_vectorized_loop() -> None:
    a, b, c = Buffer("A", float32, (5,)), Buffer("B", float32, (5, 8)), Buffer("C", float32, (8,))
    step = Store(c, (v,), c[v] + a[k] * b[k, v])
    for kind in (SERIAL, UNROLL, VECTORIZE):
        body = For(v, 8, seq(Store(c, (v,), const(0.0, float32)), For(k, 5, step, kind)), VECTORIZE)
        check(Program("nested", (a, b), (c,), body), np.arange(5, dtype="f"), np.arange(40, dtype="f").reshape(5, 8))


def test_an_alloc_inside_a_vectorized_loop_is_one_per_lane() -> None:
    a, c, t = Buffer("A", float32, (8, 3)), Buffer("C", float32, (8,)), Buffer("t", float32, (3,), "local")
    body = Alloc(t, seq(For(k, 3, Store(t, (k,), a[v, k] * 2.0)), Store(c, (v,), t[const(0)] + t[const(1)] * t[v % 3])))
    check(Program("private", (a,), (c,), For(v, 8, body, VECTORIZE)), np.arange(24, dtype="f").reshape(8, 3))


def test_a_loop_whose_extent_differs_between_lanes_stays_a_loop() -> None:
    c = Buffer("C", int64, (8,))
    body = For(v, 8, seq(Store(c, (v,), const(0)), For(k, v + 1, Store(c, (v,), c[v] + k))), VECTORIZE)
    check(Program("triangle", (), (c,), body))


def test_long_vectors_and_odd_ones() -> None:
    for n in (1, 2, 3, 7, 100, 3000):
        check(
            elementwise(lambda x, y: x * y + 1.0, float32, VECTORIZE, n),
            sample(float32, (n,)),
            sample(float32, (n,), 1),
        )


# ---- memory and threads -------------------------------------------------------------------------


def test_empty_loops_and_empty_arrays() -> None:
    a, c = Buffer("A", float32, (0, 4)), Buffer("C", float32, (0, 4))
    for kind in KINDS:
        body = For(i, 0, For(j, 4, Store(c, (i, j), a[i, j])), kind)
        check(Program("empty", (a,), (c,), body), np.zeros((0, 4), np.float32))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("size", [8, 40_000])
def test_parallel_loops_and_their_workspace(threads: int, size: int) -> None:
    """Each thread has its own copy of an Alloc inside a parallel loop, small or big."""
    n = 7
    a, c = Buffer("A", float32, (n,)), Buffer("C", float32, (n, 2))
    t, whole = Buffer("t", float32, (size,)), Buffer("whole", float32, (n,))
    inner = Alloc(
        t,
        seq(
            For(j, 8, Store(t, (j * (size // 8),), a[i] + cast(j, float32))),
            For(k, 2, Store(c, (i, k), t[(k + 3) * (size // 8)] + whole[i])),
        ),
    )
    body = Alloc(whole, seq(For(v, n, Store(whole, (v,), a[v] * 2.0)), For(i, n, inner, PARALLEL)))
    program = Program("slices", (a,), (c,), body)
    expected = 64 + (threads * size * 4 if size > 8 else 0)
    assert workspace_bytes(place_buffers(program), threads) == expected
    check(program, np.arange(n, dtype=np.float32), target=native(threads))


def test_only_the_outermost_parallel_loop_forks() -> None:
    a, c = Buffer("A", float32, (4, 6)), Buffer("C", float32, (4, 6))
    body = For(k, 2, For(i, 4, For(j, 6, Store(c, (i, j), a[i, j] + cast(k, float32)), PARALLEL), PARALLEL))
    executable = build(Program("nest", (a,), (c,), body))
    assert executable.stages["llvm"].count("call void @GOMP_parallel") == 1
    check(Program("nest", (a,), (c,), body), sample(float32, (4, 6)))


def test_dynamic_extents() -> None:
    b, c = Buffer("B", int64, (2,)), Buffer("C", int64, (8,))
    body = seq(
        For(j, 8, Store(c, (j,), const(0))),
        For(i, b[const(0)], Store(c, (i,), i + 1), PARALLEL),
        For(k, b[const(1)], Store(c, (k,), c[k] + 10)),
    )
    for counts in ([3, 0], [8, 2], [0, -5]):
        check(Program("dynamic", (b,), (c,), body), np.array(counts))


# ---- random expressions -------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from([int8, int32, uint8, int64, float64]), st.sampled_from(KINDS), st.booleans())
def test_random_expressions(data: st.DataObject, dtype: DType, kind: str, guarded: bool) -> None:
    a, b, c = (Buffer(name, dtype, (8,)) for name in "ABC")
    store: Stmt = Store(c, (v,), data.draw(expressions(dtype, [a[v], b[v], a[7 - v], a[const(2)]])))
    if guarded:
        fill = For(j, 8, Store(c, (j,), const(0, dtype)))
        store = If((v * 5) % 8 < 4, store)
        body = seq(fill, For(v, 8, store, kind))
    else:
        body = For(v, 8, store, kind)
    program = Program("random", (a, b), (c,), body)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    arrays = [rng.integers(0 if dtype.kind == "uint" else -9, 9, 8).astype(dtype.numpy) for _ in range(2)]
    check(program, *arrays)


# ---- what the machine code looks like -----------------------------------------------------------


def tile(rows: int = 4, columns: int = 2, lanes: int = 8, depth: int = 32) -> Program:
    """C = A @ B on one register tile, as a schedule would make it."""
    a, b, c = (
        Buffer("A", float32, (depth, rows)),
        Buffer("B", float32, (depth, columns * lanes)),
        Buffer("C", float32, (rows, columns * lanes)),
    )
    acc = Buffer("acc", float32, (rows, columns * lanes), "local")

    def nest(suffix: str, make) -> Stmt:
        y, x, lane = Var("y" + suffix), Var("x" + suffix), Var("lane" + suffix)
        return For(y, rows, For(x, columns, For(lane, lanes, make(y, x * lanes + lane), VECTORIZE), UNROLL), UNROLL)

    body = Alloc(
        acc,
        seq(
            nest("_init", lambda y, x: Store(acc, (y, x), const(0.0, float32))),
            For(k, depth, nest("", lambda y, x: Store(acc, (y, x), acc[y, x] + a[k, y] * b[k, x]))),
            nest("_out", lambda y, x: Store(c, (y, x), acc[y, x])),
        ),
    )
    return Program("tile", (a, b), (c,), body)


def test_a_register_tile_is_right() -> None:
    rng = np.random.default_rng(0)
    check(tile(), rng.normal(size=(32, 4)).astype("f"), rng.normal(size=(32, 16)).astype("f"), rtol=1e-4)


@pytest.mark.parametrize("name", ["haswell", "skylake-avx512"])
def test_a_register_tile_stays_in_registers(name: str) -> None:
    target = Target.of(name)
    executable = build(tile(lanes=target.lanes(float32)), target)
    assert "alloca" not in executable.stages["llvm"].split("minicc_main")[0]
    kernel = executable.kernels[0].stages["asm"]
    assert kernel.count("vfmadd") == 8 and "rsp)" not in kernel


@pytest.mark.parametrize("name", ["haswell", "skylake-avx512"])
def test_relu_is_one_instruction(name: str) -> None:
    relu = elementwise(lambda x, y: maximum(x, const(0.0, float32)), float32, VECTORIZE)
    text = build(relu, Target.of(name)).kernels[0].stages["asm"]
    assert len(re.findall(r"\tvmaxps", text)) == 1 and "cmpunord" not in text


@pytest.mark.parametrize("name", ["haswell", "skylake-avx512"])
def test_a_maximum_compares_nothing_but_its_new_element_with_itself(name: str) -> None:
    greatest = build(elementwise(maximum, float32, VECTORIZE), Target.of(name))
    text = greatest.kernels[0].stages["asm"]
    assert text.count("\tvmaxps") == text.count("\tvcmpunordps") == 1
    assert not re.search(r"\tvcmpltps|\tkorw|\tvorps", text)


# ---- errors -------------------------------------------------------------------------------------


def fails(body: Stmt, *outputs: Buffer, match: str) -> None:
    with pytest.raises(CodegenError, match=match) as caught:
        emit(ir.Module("bad"), Program("bad", (), outputs, body), native())
    assert caught.value.where and caught.value.hint


def test_errors() -> None:
    c, t = Buffer("C", float32, (4,)), Buffer("t", float32, (4,))
    n = Var("n")
    one = const(1.0, float32)
    fails(Update((c,), (i,), (one,), (one,), (k,)), c, match="loops, guards, stores")
    fails(For(i, 4, Store(c, (i,), one), "tensorize"), c, match="a known kind of loop, got tensorize")
    lanes = For(v, 4, For(i, 4, Store(c, (i,), one), PARALLEL), VECTORIZE)
    fails(lanes, c, match="a known kind of loop, got parallel in a vectorized one")
    fails(Alloc(t, Store(c, (const(0),), one)), c, match="expected a known storage, got none")
    fails(Store(c, (i,), one), c, match="variable of a loop")
    fails(Store(t, (const(0),), one), c, match="defined here")
    fails(Store(c, (const(0),), t[const(1)]), c, match="defined here")
    fails(Store(c, (const(0),), Call("nonesuch", (one,), float32)), c, match="expected an intrinsic")
    fails(Store(c, (const(0),), Call("exp", (const(1, int32),), int32)), c, match="expected floats")
    half = Buffer("H", float16, (4,))
    twice = Program("twice", (), (half,), Store(half, (const(0),), half[0] + half[1]))
    fails(twice.body, half, match="expected arithmetic on float32, got float16")
    emit(ir.Module("good"), widen_floats(twice), native())
    summed = Reduce(reducer("sum", float32), (one,), (reduce_axis((0, 3)),))
    fails(Store(c, (const(0),), summed), c, match="scalar expression")
    symbolic = Buffer("D", float32, (n, n))
    fails(Alloc(symbolic, Store(c, (const(0),), one), WORKSPACE), c, match="must be numbers or sizes of arrays")
    with pytest.raises(CodegenError, match=r"expected a number of bytes, got .*n\*"):
        workspace_bytes(Program("bad", (), (c,), Alloc(symbolic, Store(c, (const(0),), one), WORKSPACE)))


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(
            elementwise(lambda x, y: Convert(x, float64) + Convert(y, float64), float32, SERIAL, out=float64),
            sample(float32, (8,)),
            sample(float32, (8,)),
        )
