"""Lines of loop, LLVM and assembly: the truth about the very code that runs."""

import re

import pytest

from minicc import ops
from minicc.codegen.llvm import emit
from minicc.compile import lower_kernel, optimize
from minicc.explain.lines import line_map, llvm_listing, served
from minicc.graph import ir
from minicc.runtime import jit
from minicc.target import Target
from minicc.types import DType, TensorType


def array(dtype, *shape):
    return TensorType(DType.of(dtype), shape)


KERNELS = {
    "product": ([ops.MatMul(), ops.Relu()], array("float32", 24, 40), array("float32", 40, 48)),
    "convolution": ([ops.Conv(padding=(1, 1, 1, 1)), ops.Relu()], array("float32", 1, 4, 9, 9), array("float32", 8, 4, 3, 3)),
    "softmax": ([ops.Softmax(axis=-1)], array("float32", 10, 32)),
    "calls that are rare": ([ops.Acos()], array("float64", 5)),
    "bytes": ([ops.MatMulInteger()], array("uint8", 8, 64), array("int8", 64, 32)),
}  # fmt: skip
PAIRS = [(name, target) for name in KERNELS for target in ("haswell", "skylake-avx512")]
QUICK = [("product", "haswell"), ("calls that are rare", "haswell"), ("bytes", "skylake-avx512")]


def programs(name, target):
    chain, *types = KERNELS[name]
    inputs = tuple(ir.input(f"x{n}", type) for n, type in enumerate(types))
    node = ir.make(chain[0], inputs)
    for op in chain[1:]:
        node = ir.make(op, [node])
    fused = optimize(ir.Graph("main", inputs, (node,), ("y",)), target)
    return [lower_kernel(n.op, target).program for n in fused.nodes if isinstance(n.op, ir.Kernel)]


def check(program, target):
    """The texts are those of the program without locations, and the lines are lines of it."""
    found = line_map(program, target)
    module = jit.new_module(program.name, target)
    emit(module, program, target)
    code = jit.Code(str(module), b"", target)
    assert str(found.llvm).rstrip() == code.optimized.rstrip()
    assert str(found.asm) == code.assembly
    assert found.loop == tuple(str(program).splitlines())
    for listing in (found.llvm, found.asm):
        assert max(listing.source) <= len(found.loop) and len(listing.source) == len(listing.lines)
    return found


@pytest.mark.parametrize("name, target", [pytest.param(*p, marks=[pytest.mark.slow] * (p not in QUICK)) for p in PAIRS])
def test_the_code_is_the_same_with_locations(name, target):
    machine = Target.of(target).with_threads(2)
    for program in programs(name, machine):
        found = check(program, machine)
        assert len(found.asm.merged) < 0.25 * len(found.asm.instructions)
        assert len(found.llvm.merged) < 0.1 * len(found.llvm.instructions)


def test_products_are_multiplied_where_the_loop_says():
    machine = Target.of("haswell").with_threads(1)
    program = programs("product", machine)[-1]
    found = line_map(program, machine)
    multiplied = {found.asm.source[n] for n, row in enumerate(found.asm.lines) if row.startswith("\tvfmadd")}
    (line,) = multiplied
    assert re.search(r" = .* \+ .*\*", found.loop[line - 1])
    assert found.loop[found.around[line - 1] - 1].strip().startswith("for ")
    assert any("fadd contract" in found.llvm.lines[n - 1] for n in found.llvm.of(line))


def test_what_serves_one_line_is_of_it():
    text = """define void @f(ptr %p, i64 %n) !dbg !1 {
  %a = mul i64 %n, 8
  %b = add i64 %a, 1
  %"two words" = add i64 %n, 2
  %c = phi i64 [ %c, %x ], [ %b, %y ], !dbg !9
  %d = getelementptr i8, ptr %p, i64 %"two words"
  store i64 %c, ptr %d, !dbg !2
  store i64 %a, ptr %p, !dbg !3
}
define void @g(ptr %p, i64 %a) !dbg !4 {
  store i64 %a, ptr %p, !dbg !5
}
!9 = !DILocation(line: 0, scope: !1)
"""
    rows = {
        row.split(" = ")[0].strip(): row.rpartition("!dbg ")[2] for row in served(text).splitlines() if " = " in row
    }
    assert "!dbg" not in next(row for row in served(text).splitlines() if "%a =" in row), "two lines need it"
    assert [rows[name] for name in ("%b", '%"two words"', "%c", "%d")] == ["!2"] * 4


def test_code_of_another_function_is_of_its_own_line_or_of_the_call():
    text = """define void @f() !dbg !1 {
  %a = add i64 1, 2, !dbg !3
  %b = add i64 1, 2, !dbg !4
  %c = add i64 1, 2, !dbg !6, !prof !9
  ret void
}

!llvm.dbg.cu = !{!0}

!1 = distinct !DISubprogram(name: "f", line: 2, scopeLine: 2, unit: !0)
!2 = distinct !DILocation(line: 5, scope: !1)
!3 = !DILocation(line: 7, scope: !1, inlinedAt: !2)
!4 = !DILocation(line: 0, scope: !1, inlinedAt: !2)
!6 = !DILocation(line: 0, scope: !1)
!9 = !{!"weights", !10}
!10 = !{i32 1}
"""
    found = llvm_listing(text)
    assert found.source == (2, 7, 5, 0, 0, 0, 0, 0, 0)
    assert found.lines[3:] == (
        "  %c = add i64 1, 2, !prof !0",
        "  ret void",
        "}",
        "",
        '!0 = !{!"weights", !1}',
        "!1 = !{i32 1}",
    )
    assert found.merged == [4, 5]
