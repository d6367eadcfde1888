"""Debug locations: each instruction names the line, in the program's text, of the statement that made it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicc.codegen.locate import emit_located
from minicc.loop.ir import PARALLEL, SERIAL, UNROLL, VECTORIZE, WORKSPACE, Alloc, Buffer, For, If, Store, seq
from minicc.loop.program import Program
from minicc.runtime import jit
from minicc.target import Target
from minicc.tensor.expr import Var, const
from minicc.types import int32

TARGET = Target.of("haswell").with_threads(4)
C = Buffer("C", int32, (64,))


@st.composite
def marked_programs(draw):
    """Stores of 1000, 1001, ... to one array, in loops, guards and allocations of every kind."""
    count = iter(range(1000, 2000))

    def stmt(depth, around, kinds):
        made = []
        for _ in range(draw(st.integers(1, 3))):
            kind = draw(st.sampled_from(["store", *kinds] if depth else ["store"]))
            if kind == "store":
                made.append(Store(C, (const(next(count) % 64),), const(next(count), int32)))
            elif kind == "if" and around:
                made.append(If(around[-1] < draw(st.integers(0, 4)), stmt(depth - 1, around, kinds)))
            elif kind == "alloc":
                made.append(Alloc(Buffer(f"T{next(count)}", int32, (3,)), stmt(depth - 1, around, kinds), WORKSPACE))
            elif kind in (SERIAL, PARALLEL, VECTORIZE, UNROLL):
                var = Var(f"i{next(count)}")
                inside = [k for k in kinds if k not in (PARALLEL, VECTORIZE)] if kind == VECTORIZE else kinds
                made.append(For(var, draw(st.integers(1, 3)), stmt(depth - 1, [*around, var], inside), kind))
        return seq(*made)

    kinds = [SERIAL, SERIAL, PARALLEL, VECTORIZE, UNROLL, "if", "alloc"]
    return Program("marked", (), (C,), stmt(3, [], kinds))


@given(marked_programs())
@settings(max_examples=10)
def test_every_instruction_has_the_line_of_its_statement(program):
    module = jit.new_module("marked", TARGET)
    emit_located(module, program, TARGET)
    source, lines = str(module), str(program).splitlines()
    found = {number: int(line) for number, line in re.findall(r"!(\d+) = !DILocation\(column: 0, line: (\d+)", source)}
    for stored, number in re.findall(r"store i32 (1\d\d\d), .*!dbg !(\d+)$", source, re.MULTILINE):
        assert lines[found[number] - 1].strip().endswith(f"= {stored}")
    for name, number in re.findall(r"%\"(i1\d\d\d)\" = phi .*!dbg !(\d+)$", source, re.MULTILINE):
        assert lines[found[number] - 1].strip().startswith(f"for {name} in ")
    bare = [row.strip() for row in source.splitlines() if row.startswith("  ") and "!dbg" not in row]
    known = re.compile(
        r"br label|.* = (alloca|extractelement|insertelement|shufflevector) "
    )  # llvmlite prints none of these
    assert all(map(known.match, bare))
    jit.Code(source, b"", TARGET).optimized  # noqa: B018  # LLVM finds it valid


@pytest.mark.parametrize("name", ["a b", 'a"b\\', "é"])
def test_a_name_is_no_trap(name):
    module = jit.new_module("k", TARGET)
    emit_located(module, Program(name, (), (C,), For(Var("i"), 64, Store(C, (Var("i"),), const(1, int32)))), TARGET)
    assert "DILocation" in jit.Code(str(module), b"", TARGET).optimized
