"""`minicc.build(target="cuda")`: the kernels of a scheduled program, here with the CPU in place of a device."""

import shutil

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.errors import BridgeError, RunError

BLOCK, THREAD = te.thread_axis("blockIdx.x"), te.thread_axis("threadIdx.x")


def vector_add(target, bound=True):
    n = te.var("n")
    A, B = te.placeholder((n,), name="A"), te.placeholder((n,), name="B")
    C = te.compute((n,), lambda i: A[i] + B[i], name="C")
    s = te.create_schedule(C.op)
    block, thread = s[C].split(C.op.axis[0], factor=64)
    if bound:
        s[C].bind(block, BLOCK)
        s[C].bind(thread, THREAD)
    return minicc.build(s, [A, B, C], target=target, name="vecadd")


@pytest.mark.skipif(shutil.which("g++") is None, reason="the emulation needs a C++ compiler")
@pytest.mark.parametrize("n", [1, 64, 130])
def test_an_emulated_function_is_the_same_function(n):
    a, b = np.random.default_rng(n).standard_normal((2, n), np.float32)
    c = np.empty_like(a)
    vector_add("emulated")(a, b, c)
    np.testing.assert_array_equal(c, a + b)


def test_the_source_needs_no_device():
    assert "blockIdx.x" in vector_add("cuda").source()


def test_a_program_without_threads_is_refused_when_it_is_built():
    with pytest.raises(BridgeError) as caught:
        vector_add("cuda", bound=False)
    assert caught.value.hint


@pytest.mark.parametrize("arrays", [
    [np.ones(4, np.float32)] * 2,
    [np.ones(4, np.float64)] * 3,
    [np.ones((4, 1), np.float32)] * 3,
    [np.ones(4, np.float32), np.ones(4, np.float32), np.ones(5, np.float32)],
])  # fmt: skip
def test_unfit_arrays_are_refused(arrays):
    with pytest.raises(RunError) as caught:
        vector_add("emulated")(*arrays)
    assert caught.value.hint
