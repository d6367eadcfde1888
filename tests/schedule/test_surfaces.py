"""Every primitive is a method of a schedule and of its stages, made from its record; what editors know is current."""

import dataclasses
import importlib.util
import inspect
import sys

import pytest
from surface_stub import PATH, stub

import minicc.schedule
from minicc import te
from minicc.errors import ScheduleError
from minicc.schedule import STEPS, Schedule, Trace, surface
from minicc.schedule.te_schedule import Stage, TeSchedule

MIRROR = '''
from minicc.ir.node import replace
from minicc.loop.ir import SERIAL, loops, rewrite, substitute_vars
from minicc.schedule.step import Illegal, Step

class MirrorLoopStep(Step):
    """Run a loop from its end, marked `times` times."""

    loop: str
    times: int = 1

    def names(self, program) -> "str":
        return self.loop + "'" * self.times

    def transform(self, program):
        loop = loops(program.body).get(self.loop)
        if loop is None or loop.kind != SERIAL:
            raise Illegal("expected a serial loop", self.loop, "choose one")
        mirrored = replace(loop, body=substitute_vars(loop.body, {loop.var: loop.extent - 1 - loop.var}))
        return replace(program, body=rewrite(program.body, lambda s: mirrored if s is loop else s))

    @classmethod
    def candidates(cls, program):
        return map(cls, loops(program.body))
'''


def product(n=8):
    A, B = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    k = te.reduce_axis((0, n), name="k")
    C = te.compute((n, n), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    return A, C, te.create_schedule(C.op)


def test_every_file_of_a_primitive_is_found():
    files = {p.stem for p in PATH.parent.glob("*.py")}
    assert len(STEPS) >= 24 and set(STEPS) <= files
    assert list(STEPS) == sorted(STEPS)
    assert all(kind.__name__.endswith("Step") and kind.name == name for name, kind in STEPS.items())


@pytest.mark.parametrize("name", sorted(STEPS))
def test_every_primitive_is_on_both_surfaces(name):
    for face in (Schedule, Stage):
        method = getattr(face, name)
        assert method.__doc__ and next(iter(inspect.signature(method).parameters)) == "self"
    assert getattr(Schedule, name).__doc__ == STEPS[name].__doc__ == getattr(surface.StageSurface, name).__doc__
    taken = {p.name for p in surface.parameters(STEPS[name])}
    assert taken == {f.name for f in dataclasses.fields(STEPS[name])}


def test_those_that_stages_gained():
    _, C, s = product()
    s[C].pad_einsum([1, 1, 16])
    assert s[C].op.axis == C.op.axis and s[C].loop(C.op.axis[0]) == "i" and s["A_pad"].op.axis == ("A_pad_0", "A_pad_1")
    _, C, s = product()
    local = s[C].cache_write("local")
    assert isinstance(local, Stage) and s[local].cache_read("shared", C).op.axis == (
        "C_local_shared_0",
        "C_local_shared_1",
    )
    s[local].transform_layout("1//4", "0", "1%4")
    assert s[local].decompose_reduction(local.op.reduce_axis[0]) == ()
    assert [str(step).partition("(")[0] for step in s.trace] == [
        "s.cache_write", "s.cache_read", "s.transform_layout", "s.decompose_reduction",
    ]  # fmt: skip


def test_partition_loop_of_a_stage():
    A = te.placeholder((10,), name="A")
    B = te.compute((10,), lambda i: te.if_then_else(i < 3, A[i], 0.0), name="B")
    s = te.create_schedule(B.op)
    s[B].partition_loop(B.op.axis[0])
    assert str(s) == 's.partition_loop("i")'
    with pytest.raises(ScheduleError, match="expected an axis of B"):
        s[B].partition_loop(te.compute((3,), lambda q: A[q]).op.axis[0])


def test_a_step_that_is_applied_is_one_that_is_called():
    _, C, s = product()
    stage = s.apply(STEPS["cache_write"]("C", "local"))
    assert isinstance(stage, Stage) and s[stage].op.axis == ("i", "j") and s[C].loop(C.op.axis[0]) == "i_copy"
    assert s.schedule.apply(STEPS["split"]("i", 2)) == ("i_o", "i_i")


@pytest.fixture
def outside(tmp_path):
    """A primitive in a file that is no part of the package; forgotten afterwards."""
    (tmp_path / "mirror_loop.py").write_text(MIRROR)
    spec = importlib.util.spec_from_file_location("mirror_loop", tmp_path / "mirror_loop.py")
    sys.modules["mirror_loop"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.MirrorLoopStep
    del STEPS["mirror_loop"], sys.modules["mirror_loop"]
    del surface.LoopSurface.mirror_loop, surface.StageSurface.mirror_loop


def test_a_primitive_from_outside(outside):
    _, C, s = product()
    assert s[C].mirror_loop(C.op.axis[0]) == "i'" == s.schedule.mirror_loop("i", times=1)
    assert s[C].mirror_loop("j", 2) == "j''"
    assert str(s) == 's.mirror_loop("i")\ns.mirror_loop("i")\ns.mirror_loop("j", times=2)'
    assert Trace.from_json(s.trace.to_json()) == s.trace
    assert outside("k") in s.moves()
    for call in (lambda: s[C].mirror_loop("i", 2, 3), lambda: s.schedule.mirror_loop("i", "twice"), s[C].mirror_loop):
        with pytest.raises(ScheduleError) as error:
            call()
        assert error.value.where and error.value.hint
    s[C].vectorize("j")
    with pytest.raises(ScheduleError, match="expected a serial loop"):
        s[C].mirror_loop("j")


def test_the_stub_is_current():
    assert PATH.read_text(encoding="utf-8") == stub(), "python tests/schedule/surface_stub.py writes it"


def test_other_names_are_told():
    _, C, s = product()
    for owner, name in ((s[C], "mirror_loop"), (s.schedule, "mirror_loop"), (s, "split")):
        with pytest.raises(ScheduleError, match=f"expected a method of a {type(owner).__name__}, got"):
            getattr(owner, name)
    assert issubclass(TeSchedule, minicc.schedule.arguments.Face)
