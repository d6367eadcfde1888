"""Stages: axes mean loops, also after steps that make new ones; errors say what a stage has."""

import subprocess
import sys

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.errors import LoopError, ScheduleError, TeError
from minicc.schedule.te_schedule import Stage


def chain():
    A = te.placeholder((8, 8), name="A")
    B = te.compute((8, 8), lambda i, j: A[i, j] + 1.0, name="B")
    return A, B, te.compute((8, 8), lambda i, j: B[i, j] * 2.0, name="C")


def refused(action, match):
    with pytest.raises(ScheduleError, match=match) as caught:
        action()
    assert caught.value.hint
    return caught.value


def test_stages_are_found_by_tensor_operation_name_or_stage():
    _, B, C = chain()
    s = te.create_schedule([C.op])
    assert s[C].name == s[C.op].name == s["C"].name == s[s[C]].name == s[s[C].op].name == "C"
    assert s[C].op.axis == C.op.axis and repr(s[B]) == "Stage(B: i in range(8), j in range(8))"
    assert s[C].loop(C.op.axis[0]) == "i_1" and s[C].loop("i") == "i" and s[C].loop(te.var("i_1")) == "i_1"


def test_a_tensor_twice_among_the_arguments():
    A, _, C = chain()
    s = te.create_schedule(C.op)
    for args, name in (([A, A, C], "A"), ([A, C, C], "C")):
        for make in (minicc.lower, minicc.build):
            refused(
                lambda make=make, args=args: make(s, args), rf"expected each tensor once among args, got {name} twice"
            )


def test_placeholders_of_one_name_and_different_shapes():
    A, B = te.placeholder((4,), name="A"), te.placeholder((5,), name="A")
    C = te.compute((4,), lambda i: A[i] - B[i], name="C")
    s = te.create_schedule(C.op)
    assert [b.name for b in minicc.lower(s, [B, A, C]).params] == ["A_1", "A"]
    a, b, c = np.arange(4, dtype="f"), np.ones(5, "f"), np.empty(4, "f")
    minicc.build(s, [B, A, C])(b, a, c)
    np.testing.assert_array_equal(c, a - 1)


def test_several_outputs():
    A, B, C = chain()
    s = te.create_schedule([B, C, B.op])
    assert s.outputs == (B, C)
    assert [b.name for b in minicc.lower(s, [A, C]).outputs] == ["C"]


def test_axes_after_a_write_cache():
    _, _, C = chain()
    s = te.create_schedule(C)
    CC = s.cache_write(C, "local")
    assert isinstance(CC, Stage) and CC.op.axis == ("i_1", "j_1") and CC.op.reduce_axis == ()
    assert s[C].op.axis == C.op.axis and s[C].loop(C.op.axis[1]) == "j_1_copy"
    s.undo()
    assert s[C].loop(C.op.axis[1]) == "j_1"


def test_other_stages_keep_their_axes():
    _, B, C = chain()
    s = te.create_schedule(C)
    s[B].split(B.op.axis[1], factor=4)
    s.cache_write(C, "local")
    assert s[B].op.axis == B.op.axis and s[B].loop(B.op.axis[0]) == "i"


def test_a_stage_may_move_out_and_back():
    _, B, C = chain()
    s = te.create_schedule(C)
    s[B].compute_at(s[C], C.op.axis[0])
    assert "empty((1, 8), float32)" in str(s.program)


def test_errors_of_stages():
    A, B, C = chain()
    s = te.create_schedule(C)
    other = te.compute((4,), lambda q: te.const(0.0, "float32"), name="D")
    refused(lambda: te.create_schedule(3), "expected operations or tensors, got int")
    refused(lambda: s[other], r"s\[D\]: expected a tensor of this schedule")
    refused(lambda: s["nothing"], r"s\[nothing\]")
    refused(lambda: s[C].split(other.op.axis[0], factor=2), "expected an axis of C or the name of a loop")
    refused(lambda: s[C].fuse(), "expected at least one axis")
    refused(lambda: s.primitive("hoist"), "expected a schedule primitive, got a name that has none")
    refused(lambda: s[C].split("nope", factor=2), "no loop is called 'nope'")
    refused(lambda: minicc.lower(s, [C]), "expected every placeholder among args, got none for A")
    refused(lambda: minicc.lower(s, [A, te.var("n"), C]), "expected tensors among args, got n")
    refused(lambda: minicc.lower(s, [A, 3, C]), "expected tensors among args, got 3")
    s[B].compute_at(s[C], C.op.axis[0])
    refused(lambda: minicc.lower(s, [A, B, C]), "expected B to live in the whole program")
    assert str(s) == 's.compute_at("B", "i_1")'


def test_fuse_is_all_or_nothing():
    A = te.placeholder((4, 4, 4), name="A")
    B = te.compute((4, 4, 4), lambda i, j, k: A[i, j, k], name="B")
    s = te.create_schedule(B)
    with pytest.raises(ScheduleError):
        s[B].fuse("i", "j", "j")
    assert len(s.trace) == 0
    assert s[B].fuse(*B.op.axis) and "range(64)" in str(s.program)


def test_reorder_of_one_axis_is_nothing():
    _, _, C = chain()
    s = te.create_schedule(C)
    s[C].reorder(C.op.axis[0])
    assert len(s.trace) == 0


def test_thread_axes():
    assert te.thread_axis("threadIdx.x").extent is None
    assert te.thread_axis((0, 32), "threadIdx.x").extent == te.thread_axis(32, "threadIdx.x").extent == 32


def test_what_functions_from_outside_read_and_write_keeps_its_place():
    _, B, _ = chain()
    T = te.compute((8, 8), lambda i, j: B[i, j] + 1.0, name="T")
    S = te.extern((8, 8), [T], lambda x, out: out.__setitem__(..., x), name="S")
    C = te.compute((8, 8), lambda i, j: S[i, j], name="C")
    s = te.create_schedule(C)
    assert s[S].op.axis == () and s.schedule.loops_of("S") == s.schedule.reduce_loops_of("S") == ()
    refused_here = [
        (lambda: s[T].compute_inline(), "a function from outside reads the whole of it"),
        (lambda: s.cache_write(S, "local"), "no loops fill S"),
        (lambda: s[T].compute_at(s[C], C.op.axis[0]), "T"),
        (lambda: s[T].storage_align(0, 16, 1), "works on the whole of T"),
    ]
    for action, match in refused_here:
        with pytest.raises(ScheduleError, match=match):
            action()
    for move in s.moves():
        s.apply(move)
        s.undo()
    s[B].compute_inline()
    assert "extern.S" not in str(s.program) and "extern." in str(s.program)


def test_errors_of_te():
    for make, match in (
        (lambda: te.extern((4,), [], "min"), "expected a dtype or an input"),
        (
            lambda: te.extern((4,), [], "no_such_function_anywhere", dtype="float32"),
            "neither registered nor a C symbol",
        ),
        (lambda: te.extern((4,), [], 3, dtype="float32"), "expected a function or the name of one, got int"),
        (lambda: te.register_extern("not a name", print), "expected a name"),
        (lambda: te.register_extern("lambda", print), "expected a name"),
        (lambda: te.placeholder((te.var("n", "int32"),)), "an extent must be int64, got n of int32"),
    ):
        with pytest.raises(TeError, match=match) as caught:
            make()
        assert caught.value.hint


def test_the_verifier_looks_at_functions_from_outside():
    A = te.placeholder((4,), name="A")
    s = te.create_schedule(te.extern((4,), [A], lambda x, out: None, name="S"))
    call = s.program.body
    from_nothing = minicc.loop.ir.Buffer("T", call.output.dtype, (4,))
    replace = minicc.ir.node.replace
    for body, match in (
        (replace(call, output=s.program.params[0]), "inputs must not be written"),
        (replace(call, inputs=(call.output,)), "must not read S, which it writes"),
        (replace(call, inputs=(from_nothing,)), "T is outside of its scope"),
        (minicc.loop.ir.Alloc(from_nothing, replace(call, inputs=(from_nothing,))), "before anything is written to it"),
        (minicc.loop.ir.For(minicc.tensor.expr.Var("i"), 4, call, "parallel"), "must be independent"),
    ):
        with pytest.raises(LoopError, match=match):
            minicc.loop.verify.verify(replace(s.program, body=body))


@pytest.mark.parametrize(
    "module", ["tensor.expr", "loop.ir", "schedule", "schedule.te_schedule", "ops", "codegen.llvm"]
)
def test_any_module_may_be_imported_first(module):
    subprocess.run([sys.executable, "-P", "-c", f"import minicc.{module}"], check=True)
