"""Legal programs pass the verifier; each rule has a program that breaks it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loop_cases import CASES

from minicc.errors import LoopError
from minicc.loop import Buffer, Program
from minicc.loop.ir import Alloc, For, If, Stmt, Store, Update, seq
from minicc.loop.place_init import place_init
from minicc.loop.simplify_loops import simplify_loops
from minicc.loop.verify import verify
from minicc.loop.widen_floats import widen_floats
from minicc.tensor.expr import Binary, Convert, Expr, Reduce, Select, Var, cast, const, maximum, minimum, substitute
from minicc.tensor.expr import text
from minicc.tensor.tensor import reducer
from minicc.types import float32, float64, int32, int64

A, B = Buffer("A", float32, (100,)), Buffer("B", float32, (100,))
M = Buffer("M", float32, (8, 12))
IDX = Buffer("idx", int64, (100,))
i, j, k, n, f = (Var(x) for x in "ijknf")
ZERO = const(0.0, float32)


def nest(*loops: tuple, body: Stmt) -> Stmt:
    for var, extent, *kind in reversed(loops):
        body = For(var, extent, body, *kind)
    return body


def program(body: Stmt, inputs: tuple[Buffer, ...] = (A,), outputs: tuple[Buffer, ...] = (B,)) -> Program:
    return Program("f", inputs, outputs, body)


def fill(buffer: Buffer) -> Stmt:
    variables = [Var(f"fill_{buffer.name}_{d}") for d in range(len(buffer.shape))]
    return nest(*zip(variables, buffer.shape, strict=True), body=Store(buffer, tuple(variables), ZERO))


def refused(body: Stmt, match: str, inputs: tuple[Buffer, ...] = (A,), outputs: tuple[Buffer, ...] = (B,)) -> None:
    with pytest.raises(LoopError, match=match):
        verify(program(body, inputs, outputs))


@pytest.mark.parametrize("name", CASES)
def test_naive_programs_and_what_passes_make_of_them(name: str) -> None:
    naive = CASES[name].program
    for made in (
        naive,
        place_init(naive),
        simplify_loops(naive),
        widen_floats(naive),
        simplify_loops(widen_floats(place_init(naive))),
    ):
        verify(made)


# ---- bounds


def test_golden_error() -> None:
    with pytest.raises(LoopError) as error:
        verify(program(For(i, 100, Store(B, (i,), A[i + 1]))))
    assert (
        str(error.value)
        == """\
LoopError: verify(f): expected an index in [0, 100) of A[i + 1], got i + 1, which may be in [1, 100], 100 where i = 99
    def f(A, B):
        # A: float32[100] -> B: float32[100]
        for i in range(100):
            B[i] = A[i + 1]
                   ^ here
hint: read it only where i + 1 < 100 holds (te.if_then_else), pad A, or make the loops shorter"""
    )


@pytest.mark.parametrize(
    "index", [i - 1, i * 2, i + j, i // 2 * 3 + 60, IDX[i], maximum(i - 5, -1), (i + 50) % 101], ids=text
)
def test_out_of_bounds(index: Expr) -> None:
    refused(nest((i, 100), (j, 2), body=Store(B, (i,), A[index])), "expected an index in", (A, IDX))


@pytest.mark.parametrize("index", [
    99 - i, i // 2 * 2 + j, i % 2, minimum(i + j, 99), maximum(i - 5, 0), (i * 2 + j) // 2, (i + 50) % 100,
    minimum(maximum(IDX[i], 0), 99), Select(i < 99, i + 1, const(0)), Select((i >= 5) & (i + j < 50), i + j * 2 - 5, i),
    Select(IDX[i] < 0, const(0), minimum(IDX[i], 99)), cast(cast(i, int32), int64),
], ids=text)  # fmt: skip
def test_in_bounds(index: Expr) -> None:
    verify(program(nest((i, 100), (j, 2), body=Store(B, (i,), A[index])), (A, IDX)))


def test_guards_are_used() -> None:
    tiled = i * 16 + j
    verify(program(nest((i, 7), (j, 16), body=If(tiled < 100, Store(B, (tiled,), A[tiled])))))
    verify(program(nest((i, 7), (j, 16), body=If(tiled < 100, Store(B, (i * 16 + j,), A[99 - (j + i * 16)])))))
    refused(nest((i, 7), (j, 16), body=If(tiled < 101, Store(B, (tiled,), A[0]))), r"index in \[0, 100\) of B")
    refused(
        nest((i, 7), (j, 16), body=If((tiled < 100) | (i < 7), Store(B, (tiled,), A[0]))), r"index in \[0, 100\) of B"
    )
    verify(program(nest((i, 7), (j, 16), body=If(tiled < 100, If(tiled >= 3, Store(B, (tiled - 3,), A[tiled]))))))


def test_two_guards_together() -> None:
    io, ii, jo, ji = (Var(x) for x in ("io", "ii", "jo", "ji"))
    row, column = io * 3 + ii, jo * 5 + ji
    cond = (row < 8) & (column < 12)
    flat = Buffer("flat", float32, (96,))
    loops = ((io, 3), (ii, 3), (jo, 3), (ji, 5))
    verify(program(nest(*loops, body=If(cond, Store(flat, (row * 12 + column,), M[row, column]))), (M,), (flat,)))
    refused(nest(*loops, body=If(row < 8, Store(flat, (row * 12 + column,), M[row, 0]))), "of flat", (M,), (flat,))


def test_a_tested_index_is_in_bounds_even_if_it_could_wrap() -> None:
    wild = IDX[i] * 7 - 3
    guard = (const(0) <= wild) & (wild < 100)
    verify(program(seq(fill(B), For(i, 100, If(guard, Store(B, (wild,), ZERO)))), (IDX,)))


def test_symbolic_sizes() -> None:
    a, b = Buffer("a", float32, (n, 4)), Buffer("b", float32, (n, 4))
    verify(program(nest((i, n), (j, 4), body=Store(b, (i, j), a[n - 1 - i, j])), (a,), (b,)))
    o = Var("o")
    tiled = o * 16 + i
    verify(
        program(
            nest(
                (o, (n + 15) // 16, "parallel"), (i, 16), (j, 4), body=If(tiled < n, Store(b, (tiled, j), a[tiled, j]))
            ),
            (a,),
            (b,),
        )
    )
    verify(
        program(nest((f, n * 4, "parallel"), body=Store(b, (f // 4, f % 4), a[minimum(f // 4, n - 1), 0])), (a,), (b,))
    )
    refused(nest((i, n), (j, 4), body=Store(b, (i, j), a[i + 1, j])), r"\[0, n\) of a\[i \+ 1, j\]", (a,), (b,))


def test_what_never_runs_may_be_out_of_bounds() -> None:
    never = seq(If(i < 0, Store(B, (i - 1,), ZERO)), For(j, 0, Store(B, (j + 100,), ZERO)))
    verify(program(For(i, 100, seq(Store(B, (i,), Select(i < 100, A[i], A[i + 100])), never))))


# ---- races: what split, fuse, reorder and compute_at make is legal


def test_private_buffers_may_be_shared_by_nobody() -> None:
    row = Buffer("row", float32, (12,), "local")
    inner = seq(For(j, 12, Store(row, (minimum(j, 11),), M[i, j])), For(k, 12, Store(M2, (i, k), row[11 - k])))
    verify(program(For(i, 8, Alloc(row, inner), "parallel"), (M,), (M2,)))
    with pytest.raises(LoopError, match=r"(?s)one writes row\[.*allocate row inside of it"):
        verify(program(Alloc(row, For(i, 8, inner, "parallel")), (M,), (M2,)))


M2 = Buffer("M2", float32, (8, 12))


@pytest.mark.parametrize("kind", ["parallel", "vectorize", "blockIdx.x"])
@pytest.mark.parametrize("body", [
    Store(B, (j,), A[i]), Store(B, (i // 2,), A[i]), Store(B, (i % 2,), A[i]), Store(B, (i + j,), A[i]),
    Store(B, (i * 4 + j,), A[i]), Store(B, (minimum(i, 7),), A[i]), Store(B, (minimum(maximum(IDX[i], 0), 99),), ZERO),
    Store(B, (i,), B[9 - i]), Store(B, (i,), B[j]), Store(B, (i + 1,), B[i]),
    Update((B,), (j,), (B[j] + A[i],), (ZERO,), (i,)), If(i < 4, Store(B, (const(0),), A[i])),
], ids=str)  # fmt: skip
def test_races(body: Stmt, kind: str) -> None:
    text = r"iterations of the (parallel|vectorize|blockIdx.x) loop i must be independent"
    refused(seq(fill(B), nest((i, 10, kind), (j, 5), body=body)), text, (A, IDX))


@pytest.mark.parametrize("body", [
    Store(B, (i * 5 + j,), A[i]), Store(B, (j * 10 + i,), A[i]), Store(B, (99 - i,), A[j]), Store(B, (i,), B[i] * 2.0),
    Store(B, (i + 10,), B[j]), Store(B, (i * 2,), B[j * 2 + 1]), Update((B,), (i,), (B[i] + A[j],), (ZERO,), (j,)),
    Store(B, ((i * 3 + 1) * 2,), A[i]), If(j < 3, Store(B, (i * 3 + minimum(j, 2),), A[i])),
], ids=str)  # fmt: skip
def test_no_races(body: Stmt) -> None:
    verify(program(seq(fill(B), nest((i, 10, "parallel"), (j, 5), body=body))))


def test_fused_loops_with_tiles() -> None:
    r, c = Var("r"), Var("c")
    row, column = f // 3 * 3 + r, f % 3 * 5 + c
    guarded = If((row < 8) & (column < 12), Store(M2, (row, column), M[row, column]))
    verify(program(nest((f, 9, "parallel"), (r, 3), (c, 5, "vectorize"), body=guarded), (M,), (M2,)))
    overlapping = If((row < 8) & (column < 12), Store(M2, (f // 3 * 2 + r, column), M[row, column]))
    refused(nest((f, 9, "parallel"), (r, 3), (c, 5), body=overlapping), "loop f must be independent", (M,), (M2,))


def test_three_fused_loops() -> None:
    out = Buffer("out", float32, (3, 4, 5))
    verify(program(nest((f, 60, "parallel"), body=Store(out, (f // 20, f // 5 % 4, f % 5), ZERO)), (), (out,)))
    verify(program(nest((f, 60, "parallel"), body=Store(out, (f // 20, f % 20 // 5, f % 5), ZERO)), (), (out,)))
    refused(nest((f, 60, "parallel"), body=Store(out, (f // 20, f // 5 % 2, f % 5), ZERO)), "independent", (), (out,))


def test_a_time_loop_around() -> None:
    state = Buffer("state", float32, (6, 10))
    step = nest((k, 5), (i, 10, "parallel"), (j, 10), body=Store(state, (k + 1, i), state[k, j]))
    verify(program(seq(fill(state), step), (), (state,)))


@st.composite
def reshaped(draw: st.DrawFn) -> tuple[list[tuple[Var, int]], list[Expr], list[Expr]]:
    """Loops after random splits and fusions, the original indices in terms of them, and guards."""
    extents = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    loops = [(Var(f"x{d}"), e) for d, e in enumerate(extents)]
    indices: list[Expr] = [v for v, _ in loops]
    guards: list[Expr] = []
    for step in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(loops) - 1))
        var, extent = loops[at]
        if draw(st.booleans()):
            factor = draw(st.integers(1, 5))
            outer, inner = Var(f"o{step}"), Var(f"i{step}")
            value: dict[Expr, Expr] = {var: outer * factor + inner}
            loops[at : at + 1] = [(outer, -(-extent // factor)), (inner, factor)]
            indices, guards = ([substitute(e, value) for e in part] for part in (indices, guards))
            if extent % factor:
                guards.append(value[var] < extent)
        elif at + 1 < len(loops):
            (second, size), fused = loops[at + 1], Var(f"f{step}")
            value = {var: fused // size, second: fused % size}
            loops[at : at + 2] = [(fused, extent * size)]
            indices, guards = ([substitute(e, value) for e in part] for part in (indices, guards))
    return draw(st.permutations(loops)), indices, guards


@given(reshaped(), st.data())
def test_reshaped_loops_have_no_race(case: tuple, data: st.DataObject) -> None:
    loops, indices, guards = case
    chosen = data.draw(st.integers(0, len(loops) - 1))
    kinds = ["parallel" if d == chosen else "serial" for d in range(len(loops))]
    out = Buffer("out", float32, tuple(data.draw(st.integers(7, 9)) for _ in indices))
    body: Stmt = Store(out, tuple(indices), ZERO)
    for guard in guards:
        body = If(guard, body)
    verify(program(nest(*[(v, e, kind) for (v, e), kind in zip(loops, kinds, strict=True)], body=body), (), (out,)))


@given(st.data())
def test_no_race_is_missed(data: st.DataObject) -> None:
    """On small random programs the verdict "no race" is confirmed by running through all iterations."""
    extents = [data.draw(st.integers(1, 5)) for _ in range(2)]
    terms = st.sampled_from([i, j, i // 2, i % 2, i % 3, i // 3, minimum(i, 3), i * j])
    sums = st.lists(st.tuples(terms, st.integers(-2, 5)), min_size=1, max_size=3)

    def index() -> Expr:
        total: Expr = const(data.draw(st.integers(0, 3)))
        for term, times in data.draw(sums):
            total = total + term * times
        return total

    shape = (400, 400)
    out = Buffer("out", float32, shape)
    write, read = ([index() + 150 for _ in shape] for _ in range(2))
    loop = nest((i, extents[0], "parallel"), (j, extents[1]), body=Store(out, tuple(write), out[tuple(read)]))
    try:
        verify(program(seq(fill(out), loop), (), (out,)))
    except LoopError:
        return
    writers: dict[tuple, set[int]] = {}
    touched: dict[tuple, set[int]] = {}
    for x, y in itertools.product(*map(range, extents)):
        names = {"i": x, "j": y, "minimum": min}
        w, r = (tuple(eval(text(e), names) for e in part) for part in (write, read))
        writers.setdefault(w, set()).add(x)
        for element in (w, r):
            touched.setdefault(element, set()).add(x)
    assert all(len(writers[e] | touched[e]) == 1 for e in writers)


# ---- names, types and definitions


def test_names() -> None:
    refused(seq(fill(B), For(i, 2, For(i, 2, Store(B, (i,), ZERO)))), "names must be unique, got i twice")
    refused(Alloc(Buffer("A", float32, (1,)), fill(B)), "names must be unique, got A twice")
    refused(For(Var("B"), 2, fill(B)), "names must be unique, got B twice")
    refused(For(i, 100, Store(B, (i,), A[j])), "j is used outside of its loop")
    refused(seq(For(i, 100, Store(B, (i,), A[i])), Store(B, (i,), ZERO)), "i is used outside of its loop")


def test_scopes() -> None:
    t = Buffer("t", float32, (4,))
    refused(seq(fill(B), Store(B, (const(0),), t[0])), r"t\[0\] is outside of the scope of t")
    refused(seq(Alloc(t, fill(t)), Store(t, (const(0),), ZERO)), r"t\[0\] is outside of the scope of t")


def test_definitions() -> None:
    t = Buffer("t", float32, (4,))
    refused(Alloc(t, seq(Store(B, (const(0),), t[0]), fill(t))), r"t\[0\] is read before anything is written to t")
    refused(For(i, 100, Store(B, (i,), B[i])), r"B\[i\] is read before anything is written to B")
    refused(For(i, 4, Alloc(t, Store(t, (i,), A[i]))), "expected every output to be written, got no store to B")
    refused(seq(fill(B), fill(A)), "inputs must not be written, got a store to A")


def test_types() -> None:
    d = Buffer("d", float64, (4,))
    refused(For(i, 4, Store(B, (i,), d[i])), "B holds float32, got a value of float64", (d,))
    refused(Store(B, (Convert(const(0), int32),), ZERO), "indices must be int64, got int32")
    refused(Store(B, (const(0), const(0)), ZERO), r"B: float32\[100\] has 1 dimensions, got 2 indices")
    refused(For(i, 4, If(i + 1, fill(B))), "a condition must be bool, got int64")
    refused(For(i, Convert(const(4), int32), fill(B)), "the extent of loop i must be int64, got int32")
    refused(For(i, 4, Store(B, (i,), ZERO), "tensorize"), "loop i has an unknown kind tensorize")
    refused(
        Store(B, (const(0),), Reduce(reducer("sum", float32), (ZERO,), ())), "no reductions in expressions, got sum"
    )


def test_updates() -> None:
    value = Binary("add", B[i], A[k])
    refused(
        For(i, 4, Update((B,), (i,), (B[i],), (ZERO,), (k,))), r"B\[i\] is reduced over k, which is no loop around it"
    )
    refused(For(k, 4, Update((B,), (k,), (B[k],), (ZERO,), (k,))), "so its indices must not depend on it")
    refused(nest((i, 4), (k, 4), body=Update((B,), (i,), (value, value), (ZERO,), (k,))), "got 2 and 1")
