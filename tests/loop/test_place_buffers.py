"""Where buffers live, which loops become threads and vectors, and what a workspace must hold."""

import re

import pytest
from loop_cases import CASES, check

from minicc.errors import CodegenError, LoopError
from minicc.ir.node import replace
from minicc.loop import Buffer, Program
from minicc.loop.ir import (
    PARALLEL,
    REGISTERS,
    SERIAL,
    STACK,
    STORAGES,
    UNROLL,
    VECTORIZE,
    WORKSPACE,
    Alloc,
    For,
    If,
    Stmt,
)
from minicc.loop.ir import Store, loops, seq, walk
from minicc.loop.place_buffers import MAX_LANES, STACK_LIMIT, place_buffers, workspace_bytes
from minicc.loop.place_init import place_init
from minicc.loop.verify import verify
from minicc.tensor.expr import Var, const
from minicc.types import float32, int64

i, j, k, n = Var("i"), Var("j"), Var("k"), Var("n")
A, C = Buffer("A", float32, (4, 16)), Buffer("C", float32, (4, 16))


def through(t: Buffer, kind: str = SERIAL, outer: str = SERIAL) -> Program:
    """Each row of A, by way of `t`, which the inner loops of a kind fill and read."""
    fill = For(j, 16, Store(t, (j,), A[i, j]), kind)
    read = For(k, 16, Store(C, (i, k), t[k]), kind)
    return Program("rows", (A,), (C,), For(i, 4, Alloc(t, seq(fill, read)), outer))


def storages(program: Program) -> dict[str, str]:
    return {s.buffer.name: s.storage for s in walk(program.body) if isinstance(s, Alloc)}


def kinds(program: Program) -> dict[str, str]:
    return {name: loop.kind for name, loop in loops(program.body).items()}


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    made = place_buffers(place_init(CASES[name].program))
    verify(made)
    check(made, CASES[name], n=4)
    assert place_buffers(made) is made
    assert all(storage in STORAGES for storage in storages(made).values())


def test_golden() -> None:
    t = Buffer("t", float32, (16,), "local")
    assert (
        str(place_buffers(through(t, VECTORIZE, PARALLEL)))
        == """\
from minicc.loop.prelude import empty, float32, parallel, vectorize

def rows(A, C):
    # A: float32[4,16] -> C: float32[4,16]
    for i in parallel(4):
        t = empty((16,), float32)  # local, in registers
        for j in vectorize(16):
            t[j] = A[i, j]
        for k in vectorize(16):
            C[i, k] = t[k]
"""
    )


@pytest.mark.parametrize(("kind", "storage"), [(SERIAL, STACK), (UNROLL, REGISTERS), (VECTORIZE, REGISTERS)])
def test_numbers_as_indices_are_in_registers(kind: str, storage: str) -> None:
    assert storages(place_buffers(through(Buffer("t", float32, (16,)), kind))) == {"t": storage}


def test_what_is_large_or_outside_of_loops_is_in_the_workspace() -> None:
    large = through(Buffer("t", float32, (STACK_LIMIT // 4 + 1,)), UNROLL)
    assert storages(place_buffers(large)) == {"t": WORKSPACE}
    symbolic = Program("f", (Buffer("S", float32, (n,)),), (C,), through(Buffer("t", float32, (n,))).body)
    assert storages(place_buffers(symbolic)) == {"t": WORKSPACE}
    for scope, storage in (("global", WORKSPACE), ("local", REGISTERS)):
        t = Buffer("t", float32, (1,), scope)
        outside = Program("f", (), (Buffer("D", float32, (1,)),), Alloc(t, Store(t, (const(0),), const(0.0, float32))))
        assert storages(place_buffers(outside)) == {"t": storage}


def test_copies_for_lanes_and_threads_count() -> None:
    t = Buffer("t", float32, (STACK_LIMIT // 32,))
    inner = Alloc(t, seq(Store(t, (const(0),), A[0, j]), Store(C, (i, j), t[0])))
    body = For(i, 4, For(j, 16, inner, VECTORIZE), PARALLEL)
    made = place_buffers(Program("f", (A,), (C,), body))
    assert storages(made) == {"t": WORKSPACE}
    assert workspace_bytes(made, threads=3) == 3 * 16 * STACK_LIMIT // 8


def test_workspace_of_symbolic_size() -> None:
    t = Buffer("t", float32, (n,))
    program = Program("f", (Buffer("S", float32, (n,)),), (C,), through(t).body)
    made = place_buffers(program)
    assert workspace_bytes(made, sizes={n: 17}) == 128  # whole cache lines
    with pytest.raises(CodegenError, match="expected a number of bytes"):
        workspace_bytes(made)


def test_loops_that_cannot_be_threads_or_lanes_are_loops() -> None:
    def nest(extent, inner: Stmt, outer: str, kind: str) -> Program:
        return Program("f", (A,), (C,), For(i, 4, For(j, extent, inner, kind), outer))

    copy = Store(C, (i, j), A[i, j])
    for outer, kind, inner in (
        (PARALLEL, PARALLEL, SERIAL), (VECTORIZE, PARALLEL, SERIAL), (VECTORIZE, VECTORIZE, SERIAL),
        (PARALLEL, VECTORIZE, VECTORIZE), (SERIAL, PARALLEL, PARALLEL), (VECTORIZE, UNROLL, UNROLL),
    ):  # fmt: skip
        assert kinds(place_buffers(nest(16, copy, outer, kind))) == {"i": outer, "j": inner}
    assert kinds(place_buffers(nest(i + 1, copy, VECTORIZE, VECTORIZE))) == {"i": SERIAL, "j": SERIAL}
    guarded = If(j < 16, copy)
    assert kinds(place_buffers(nest(MAX_LANES + 1, guarded, SERIAL, VECTORIZE)))["j"] == SERIAL
    assert kinds(place_buffers(nest(MAX_LANES, guarded, SERIAL, VECTORIZE)))["j"] == VECTORIZE


def test_a_wrong_storage_is_refused() -> None:
    def refused(program: Program, storage: str, problem: str) -> None:
        alloc = next(s for s in walk(program.body) if isinstance(s, Alloc))
        body = For(i, 4, replace(alloc, storage=storage))
        with pytest.raises(LoopError, match=re.escape(problem)) as caught:
            verify(replace(program, body=body))
        assert caught.value.where and caught.value.hint

    small, large = Buffer("t", float32, (16,)), Buffer("t", int64, (STACK_LIMIT,))
    refused(through(small), "in the attic", "has an unknown storage: in the attic")
    refused(through(small), REGISTERS, "must be numbers once loops are unrolled, got others of t: float32[16]")
    body = For(i, 4, Alloc(large, seq(Store(large, (i,), i), For(j, 16, Store(C, (i, j), A[i, j])))))
    refused(Program("f", (A,), (C,), body), STACK, f"must be of at most {STACK_LIMIT} bytes")
