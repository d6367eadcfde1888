"""Naive programs compute what NumPy computes."""

import numpy as np
import pytest
from loop_cases import CASES, check, draw, run

from minicc import te
from minicc.errors import LoopError
from minicc.loop import lower
from minicc.loop.ir import For, Update, loops, walk


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    check(CASES[name].program, CASES[name], n=4)


def test_map_of_axes_and_tensors() -> None:
    a = te.placeholder((4,), name="A")
    b = te.compute((4,), lambda i: a[i] + 1.0, name="B")
    c = te.compute((4,), lambda i: b[i] * 2.0, name="C")
    lowered = lower([c], [a, c], "kernel")
    assert lowered.loops == {(b, b.op.axes[0]): "i", (c, c.op.axes[0]): "i_1"}
    assert [lowered.buffers[t].name for t in (a, b, c)] == ["A", "B", "C"]
    assert lowered.program.params == (lowered.buffers[a],)
    assert lowered.program.outputs == (lowered.buffers[c],)


def test_components_of_a_tuple_share_one_update() -> None:
    program = CASES["argmax"].program
    (update,) = [s for s in walk(program.body) if isinstance(s, Update)]
    assert [b.name for b in update.buffers] == ["M_v0", "M_v1"]


def test_reductions_over_the_same_axes_share_their_loops() -> None:
    program = CASES["two sums"].program
    assert [s.name for s in walk(program.body) if isinstance(s, For)] == ["k", "i"]


def test_names_are_legal_python() -> None:
    a = te.placeholder((4,), name="conv1/weight:0")
    b = te.compute((4,), lambda i: a[i] + 1.0, name="exp", names=["lambda"])
    program = lower([b], [a, b], "0/kernel").program
    assert program.name == "_0_kernel"
    assert [x.name for x in (*program.params, *program.outputs)] == ["conv1_weight_0", "exp_1"]
    assert list(loops(program.body)) == ["lambda_1"]
    (x, y) = draw(program)
    np.testing.assert_array_equal(run(program, [x, y])[0], x + 1)


def test_missing_argument() -> None:
    a = te.placeholder((4,), name="A")
    b = te.compute((4,), lambda i: a[i] + 1.0, name="B")
    with pytest.raises(LoopError, match=r"every placeholder among args \(B\), got none for Tensor\(A"):
        lower([b], [b], "kernel")


def test_surplus_argument() -> None:
    a = te.placeholder((4,), name="A")
    b = te.compute((4,), lambda i: a[i] + 1.0, name="B")
    with pytest.raises(LoopError, match=r"args must be placeholders and outputs, got Tensor\(B"):
        lower([a], [a, b], "kernel")


def test_scan_step_without_time_axis() -> None:
    x, state = te.placeholder((5, 3), name="x"), te.placeholder((5, 3), name="state")
    init = te.compute((1, 3), lambda t, j: x[t, j], name="init")
    last = te.compute((3,), lambda j: state[0, j] * 2.0, name="last")
    update = te.compute((5, 3), lambda t, j: state[t - 1, j] + last[j], name="update")
    s = te.scan(init, update, state, name="s")
    with pytest.raises(LoopError, match="whose first axis is time, of extent 5, got last"):
        lower([s], [x, s], "kernel")
