"""split with tail="overlap": the last tile begins early, where it is right to run iterations twice."""

import numpy as np
import pytest

import minicc
from minicc.errors import ScheduleError
from minicc.loop.ir import Buffer, For, Store
from minicc.loop.program import Program
from minicc.loop.verify import verify
from minicc.schedule import Schedule
from minicc.schedule.examples import doubled, product, row_sums
from minicc.tensor.expr import Load, Var
from minicc.loop.python import run_python
from minicc.types import float32


def results(program):
    arrays = [np.random.default_rng(0).integers(-4, 5, b.shape).astype(np.float32) for b in program.params]
    outputs = [np.zeros(b.shape, np.float32) for b in program.outputs]
    run_python(program, *arrays, *outputs)
    return outputs


@pytest.mark.parametrize("make", [lambda: doubled(10), lambda: row_sums(10, 3), lambda: product(10, 5)])
@pytest.mark.parametrize("factor", [1, 3, 4, 10])
def test_it_computes_the_same(make, factor):
    s = make()
    before = results(s.program)
    outer, inner = s.split("i", factor=factor, tail="overlap")
    verify(s.program)
    s.unroll(inner)
    assert "if i_o" not in str(s.program) and outer == "i_o"
    for got, want in zip(results(s.program), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_shifted_vector_is_stored_whole():
    s = doubled(21)
    _, inner = s.split("i", factor=8, tail="overlap")
    s.vectorize(inner)
    a, b = np.random.default_rng(0).random(21, np.float32), np.zeros(21, np.float32)
    minicc.build(s, target="haswell", name="doubled")(a, b)
    np.testing.assert_array_equal(b, 2 * a)
    with pytest.raises(ScheduleError, match="iterations of loop i_o depend on each other"):
        s.parallel("i_o")


def refused(s, loop, problem):
    with pytest.raises(ScheduleError, match=problem) as error:
        s.split(loop, factor=4, tail="overlap")
    assert error.value.where and error.value.hint


def test_it_needs_iterations_that_may_run_twice():
    refused(doubled(3), "i", r"tail='overlap' loop i must have a constant extent of at least 4, got 3")
    s = row_sums(3, 10)
    refused(s, "k", "B is reduced over loop k")
    s = row_sums(10, 6)
    s.reorder("k", "i")
    refused(s, "i", "B is reduced over a loop around i")
    i, b = Var("i"), Buffer("B", float32, (10,))
    again = Schedule(Program("again", (), (b,), For(i, 10, Store(b, (i,), Load(b, (i,)) * 2.0))))
    refused(again, "i", "an iteration reads B, which it writes")
