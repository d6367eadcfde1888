"""`minicc.build(target="cuda")`: the kernels of a scheduled program, here with the CPU in place of a device."""

import gc
import pickle
import shutil
import threading

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.bridge import function
from minicc.device.driver import CudaDevice
from minicc.device.emulated import Emulated
from minicc.errors import BridgeError, CodegenError, RunError

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
    f = vector_add("emulated")
    f(a, b, c)
    np.testing.assert_array_equal(c, a + b)
    np.testing.assert_array_equal(f.run({"A": a, "B": b})["C"], a + b)
    assert isinstance(f, minicc.Function) and f.time_evaluator(number=1, repeat=1)(a, b, c).mean > 0
    assert pickle.loads(pickle.dumps(f)).source() == f.source("cuda")


@pytest.mark.skipif(shutil.which("g++") is None, reason="the emulation needs a C++ compiler")
@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_a_guarded_gather(dtype):
    """As on the CPU: the guard tests the index in its own dtype, and holds for the converted one."""
    A, at = te.placeholder((20,), name="A"), te.placeholder((10,), dtype=dtype, name="index")
    C = te.compute(
        (10,), lambda i: te.if_then_else(te.all(at[i] >= 0, at[i] < 20), A[at[i].astype("int64")], -1.0), name="C"
    )
    s = te.create_schedule(C.op)
    block, thread = s[C].split(C.op.axis[0], factor=4)
    s[C].bind(block, BLOCK)
    s[C].bind(thread, THREAD)
    a, index = np.arange(20, dtype=np.float32), np.array([0, 19, 20, 127, -1, -128, 7, 3, 1, 20]).astype(dtype)
    for target in ("emulated", "native"):
        c = np.zeros(10, np.float32)
        minicc.build(s, [A, at, C], target=target)(a, index, c)
        np.testing.assert_array_equal(c, [a[n] if 0 <= n < 20 else -1 for n in index.tolist()])


@pytest.fixture
def devices(monkeypatch):
    """The devices that are opened from here on, each with its number of loads, runs and closings."""
    opened = []

    class Counted(Emulated):
        def __init__(self, trusted):
            super().__init__(trusted)
            self.loads, self.closings, self.fails = 0, 0, False
            opened.append(self)

        def load(self, image):
            self.loads += 1

        def launch(self, launch, arguments):
            if self.fails:
                raise BridgeError("launch", "expected success, got a failure")

        def close(self):
            self.closings += 1
            self.pieces = []
            if self.fails:
                raise BridgeError("close", "expected success, got another failure")

    monkeypatch.setattr(function, "Emulated", Counted)
    return opened


def test_a_session_may_move_to_another_thread(devices):
    f, used = vector_add("emulated"), []
    call(f, 4)
    (session,) = f._sessions.values()
    session.device.use = lambda: used.append(threading.get_ident())
    for work in (lambda: call(f, 4), session.seconds, session.profile, f.close):
        used.clear()
        other = threading.Thread(target=work)
        other.start()
        other.join()
        assert used and set(used) == {other.ident}


def test_devices_get_ready_for_a_thread(monkeypatch):
    """Each thread has a current context of its own."""
    device, used = CudaDevice.__new__(CudaDevice), []
    monkeypatch.setattr(device, "_call", lambda *what: used.append(what), raising=False)
    for device.context in (None, 1 << 40):
        device.use()
    assert used == [("cuCtxSetCurrent", 1 << 40)]


def call(f, n):
    f(*[np.zeros(n, np.float32) for _ in "abc"])


def test_a_device_is_opened_once_for_each_size(devices):
    f = vector_add("emulated")
    for n in (4, 4, 5, 4, 5):
        call(f, n)
    assert [(d.loads, d.closings) for d in devices] == [(1, 0)] * 2
    f.close()
    assert [d.closings for d in devices] == [1, 1] and not any(d.pieces for d in devices)
    call(f, 4)
    assert len(devices) == 3
    del f
    gc.collect()
    assert [d.closings for d in devices] == [1, 1, 1]


def test_the_sizes_that_were_used_last_are_kept(devices):
    f = vector_add("emulated")
    for n in (1, 2, 3, 4, 1, 5, 1):
        call(f, n)
    assert [d.closings for d in devices] == [0, 1, 0, 0, 0]


def test_a_device_that_failed_is_closed(devices):
    f = vector_add("emulated")
    call(f, 4)
    devices[0].fails = True
    with pytest.raises(BridgeError, match="got a failure"):
        call(f, 4)
    assert devices[0].closings == 1
    call(f, 4)
    assert len(devices) == 2


def test_all_sessions_are_closed_whatever_fails(devices):
    f = vector_add("emulated")
    for n in (1, 2, 3):
        call(f, n)
    devices[0].fails = True
    with pytest.raises(BridgeError, match="got another failure"):
        f.close()
    assert [d.closings for d in devices] == [1, 1, 1]
    f.close()


def test_the_source_needs_no_device():
    assert "blockIdx.x" in vector_add("cuda").source()


def test_a_program_without_threads_is_refused_when_it_is_built():
    with pytest.raises(BridgeError) as caught:
        vector_add("cuda", bound=False)
    assert caught.value.hint


@pytest.mark.skipif(shutil.which("g++") is None, reason="the emulation needs a C++ compiler")
def test_sizes_that_come_and_go():
    f = vector_add("emulated")
    for n in (1, 70, 2, 130, 1, 3, 4, 5, 70, 1, 4):
        a, b = np.random.default_rng(n).standard_normal((2, n), np.float32)
        c = np.empty_like(a)
        f(a, b, c)
        np.testing.assert_array_equal(c, a + b)


def read_only(array):
    array.flags.writeable = False
    return array


def ones(*shape):
    return np.ones(shape, np.float32)


@pytest.mark.parametrize("arrays, said", [
    ([ones(4), ones(4)], "expected 3 arrays, got 2"),
    ([ones(4), ones(4), ones(4), ones(4)], "expected 3 arrays, got 4"),
    ([np.ones(4), ones(4), ones(4)], "A must be of float32, got float64"),
    ([ones(4, 1), ones(4), ones(4)], "A must have 1 dimensions, got 2"),
    ([ones(4), [1.0] * 4, ones(4)], "B must be a NumPy array, got list"),
    ([ones(4), None, ones(4)], "B must be a NumPy array, got NoneType"),
    ([ones(4), ones(4), [0.0] * 4], "C must be a NumPy array, got list"),
    ([ones(4), ones(5), ones(4)], "B.shape[0] must be n, got 5, but n is 4, by A.shape[0]"),
    ([ones(4), ones(4), ones(5)], "C.shape[0] must be n, got 5, but n is 4, by A.shape[0]"),
    ([ones(4), ones(4), read_only(ones(4))], "C is an output and must be writable, got a read-only array"),
    ([ones(4), shared := ones(4), shared], "output C must not overlap B"),
])  # fmt: skip
@pytest.mark.parametrize("target", ["emulated", "native"])
def test_unfit_arrays_are_refused(target, arrays, said):
    with pytest.raises(RunError) as caught:
        vector_add(target)(*arrays)
    assert said in caught.value.problem and caught.value.where and caught.value.hint
    assert all(isinstance(a, list) or a is None or (a == 1).all() for a in arrays)


def test_a_size_that_no_array_tells():
    n = te.var("n")
    A = te.placeholder((n * 2,), name="A")
    C = te.compute((n * 2,), lambda i: A[i], name="C")
    s = te.create_schedule(C.op)
    s[C].bind(C.op.axis[0], BLOCK)
    with pytest.raises(CodegenError, match="expected an array with n as an extent"):
        minicc.build(s, [A, C], target="emulated")


def test_sizes_that_are_none():
    with pytest.raises(BridgeError, match=r"expected an integer from 0 to \d+ for n, got 'a'"):
        vector_add("emulated").image(n="a")
