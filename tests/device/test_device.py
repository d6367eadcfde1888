"""Sessions on devices: the CPU in place of one, and the real ones against stand-ins for their packages."""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import SOURCE, FakeCupy, FakeDriver
from gpu_cases import ADD, IMPOSSIBLE, add_bundle

from minicc.device import cuda_device
from minicc.device.bundle import Buffer, Bundle, KernelLaunch, Number, Port, Step
from minicc.device.cuda_device import CudaBindings, Cupy, open_device
from minicc.device.session import Emulated, Session, replay
from minicc.errors import BridgeError, RunError
from minicc.types import TensorType, float32, int32

X = np.linspace(-1, 1, 100, dtype=np.float32)

# ---- sessions ---------------------------------------------------------------------------------------------------


def test_a_bundle_replayed_on_the_cpu():
    out = replay(add_bundle(), Emulated(), {"x": X})
    np.testing.assert_array_equal(out["y"], X + np.arange(100, dtype=np.float32))


def test_a_session_runs_many_times():
    with Session(add_bundle(), Emulated()) as session:
        for k in range(3):
            np.testing.assert_array_equal(session.run({"x": X * k})["y"], X * k + np.arange(100, dtype=np.float32))
        assert session.seconds() > 0
        assert [name for name, _ in session.profile()] == ["add"]


def test_inputs_are_copied_in_order_whatever_their_strides():
    wide = np.zeros((100, 2), np.float32)
    wide[:, 1] = X
    np.testing.assert_array_equal(
        replay(add_bundle(), Emulated(), {"x": wide[:, 1]})["y"], X + np.arange(100, dtype=np.float32)
    )


@pytest.mark.parametrize("inputs, said", [
    ({}, "expected the inputs x, got none"),
    ({"x": X, "z": X}, "expected the inputs x, got x, z"),
    ({"x": X[:5]}, r"expected x: float32\[100\], got float32\[5\]"),
    ({"x": X.astype(np.float64)}, r"got float64\[100\]"),
])  # fmt: skip
def test_inputs_are_checked(inputs, said):
    with pytest.raises(RunError, match=said):
        replay(add_bundle(), Emulated(), inputs)


def test_inputs_that_are_outputs_and_empty_tensors():
    empty = TensorType(float32, (0, 3))
    bundle = Bundle("same", (Port("x", TensorType(float32, (2,)), 0), Port("e", empty, 1)), (Port("y", TensorType(float32, (2, 1)), 0), Port("z", empty, 1)),
                    (Buffer(8), Buffer(0)), (), "")  # fmt: skip
    out = replay(bundle, Emulated(), {"x": np.float32([1, 2]), "e": np.zeros((0, 3), np.float32)})
    np.testing.assert_array_equal(out["y"], [[1], [2]])
    assert out["z"].shape == (0, 3)


def test_wrong_plans_show():
    """What the check of a plan is for: each of these is one mistake in it."""
    wanted = X + np.arange(100, dtype=np.float32)
    swapped = replay(add_bundle(arguments=(2, 1, 0)), Emulated(), {"x": X})["y"]
    assert not np.array_equal(swapped, wanted)
    short = replay(add_bundle(grid=(3, 1, 1)), Emulated(), {"x": X})["y"]
    assert np.isnan(short[96:]).all() and np.array_equal(short[:96], wanted[:96])
    with pytest.raises(BridgeError, match="launch bounds"):
        replay(add_bundle(block=(64, 1, 1)), Emulated(), {"x": X})
    with pytest.raises(BridgeError, match="expected 3 arguments, got 2"):
        replay(add_bundle(arguments=(0, 1)), Emulated(), {"x": X})


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_launch_that_no_device_does_is_refused(name):
    change, place, said = IMPOSSIBLE[name]
    with pytest.raises(BridgeError, match=rf"launch\(add_kernel, .*: expected {said}.*\n    {place}\nhint: "):
        replay(add_bundle(**change), Emulated(), {"x": X})


def test_a_write_beside_a_buffer_is_an_error():
    source = ADD.replace("if (i < 100)", "")
    with pytest.raises(BridgeError, match="expected writes to its buffers, got one beside a buffer of 400 bytes"):
        replay(add_bundle(source=source), Emulated(), {"x": X})
    with pytest.raises(BridgeError, match="beside a buffer"):
        step = Step("b", (KernelLaunch("beside", (1, 1, 1), (1, 1, 1), 0, (0,)),))
        replay(Bundle("b", (), (), (Buffer(4),), (step,), SOURCE), Emulated(), {})


def test_memory_that_is_not_there():
    with pytest.raises(BridgeError, match=r"expected .* bytes of memory, got"):
        Emulated().allocate(1 << 60)


# ---- real devices ----------------------------------------------------------------------------------------------


@pytest.fixture
def packages(monkeypatch):
    """Installs modules by name in place of imports; those that are not given are absent."""

    def install(**modules):
        def find(name):
            if name.split(".")[0] not in modules:
                raise ModuleNotFoundError(f"No module named {name!r}")
            return modules[name.split(".")[0]]

        monkeypatch.setattr(cuda_device.importlib, "import_module", find)

    return install


def turn_bundle(**rest):
    """Reverses 3 rows of 64, with a number among its arguments and much shared memory."""
    rows = TensorType(int32, (3, 64))
    step = Step("turn", (KernelLaunch("turn", (3, 1, 1), (64, 1, 1), 64 << 10, (1, 0, Number(64, int32))),))
    return Bundle(
        "turn", (Port("x", rows, 0),), (Port("y", rows, 1),), (Buffer(768), Buffer(768)), (step,), SOURCE, **rest
    )


@pytest.fixture(params=["cuda-bindings", "cupy"])
def device(request, packages):
    packages(**({"cuda": FakeDriver()} if request.param == "cuda-bindings" else {"cupy": FakeCupy()}))
    opened = open_device()
    assert opened.name == request.param and opened.capability == (9, 0)
    return opened


def test_a_bundle_on_a_device(device):
    bundle = add_bundle(cubins={"sm_90": b"code"})
    with Session(bundle, device) as session:
        for _ in range(2):
            np.testing.assert_array_equal(session.run({"x": X})["y"], X + np.arange(100, dtype=np.float32))
        assert session.seconds() == 2.5e-3
    with Session(bundle, device) as session:  # and again, after all was given back
        session.run({"x": X})


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_launch_that_no_device_does_is_refused_before_the_driver_sees_it(device, name):
    change, place, said = IMPOSSIBLE[name]
    with pytest.raises(BridgeError, match=rf"launch\(add_kernel, .*: expected {said}.*\n    {place}\nhint: "):
        replay(add_bundle(cubins={"sm_90": b"code"}, **change), device, {"x": X})


def test_numbers_and_much_shared_memory_on_a_device(device):
    rows = np.arange(192, dtype=np.int32).reshape(3, 64)
    out = replay(turn_bundle(ptx="ptx", ptx_arch="sm_80"), device, {"x": rows})["y"]
    np.testing.assert_array_equal(out, rows[:, ::-1] + 1000 * rows.sum(1, keepdims=True))


def test_the_driver_gets_what_it_needs(packages):
    driver = FakeDriver()
    packages(cuda=driver)
    replay(turn_bundle(ptx="ptx", ptx_arch="sm_80"), CudaBindings(), {"x": np.zeros((3, 64), np.int32)})
    assert driver.loaded == [b"ptx\0"] and driver.limits == {"turn": 64 << 10} and not driver.memory
    assert driver.calls[-2:] == ["cuModuleUnload", "cuDevicePrimaryCtxRelease"] and not driver.contexts


def test_cupy_reads_a_file_of_the_right_kind(packages):
    cupy = FakeCupy()
    packages(cupy=cupy)
    replay(add_bundle(cubins={"sm_90": b"code"}), Cupy(), {"x": X})
    replay(add_bundle(ptx="ptx", ptx_arch="sm_80"), Cupy(), {"x": X})
    assert [(path.rsplit(".")[-1], code) for path, code in cupy.made] == [("cubin", b"code"), ("ptx", b"ptx")]


def test_a_bundle_for_another_architecture(device):
    with pytest.raises(
        BridgeError,
        match=r"expected a bundle for sm_90, got one for another architecture: sm_75[\s\S]*hint: compile with --arch sm_90",
    ):
        replay(add_bundle(cubins={"sm_75": b"code"}), device, {"x": X})


def test_no_gpu_says_what_was_tried(packages):
    packages()
    with pytest.raises(
        BridgeError,
        match=r"got none\n    cuda-bindings: .*No module named[\s\S]*cupy: .*No module named[\s\S]*hint: install the NVIDIA driver",
    ):
        open_device()


def test_no_driver(packages, monkeypatch):
    driver, cupy = FakeDriver(), FakeCupy()

    def broken(*_):
        raise RuntimeError("libcuda.so.1 is not there")

    driver.__dict__["cuInit"] = broken
    cupy.cuda.runtime.getDeviceCount = broken
    packages(cuda=driver, cupy=cupy)
    with pytest.raises(
        BridgeError,
        match=r"cuda-bindings: expected a CUDA driver, got RuntimeError: libcuda[\s\S]*cupy: expected a CUDA driver",
    ):
        open_device()


def test_no_device(packages):
    packages(cuda=FakeDriver(devices=0), cupy=FakeCupy(devices=0))
    with pytest.raises(
        BridgeError, match=r"cuda-bindings: expected a device of this number, got 0[\s\S]*cupy: .*got 0 devices"
    ):
        open_device()


@pytest.mark.parametrize("function", ["cuInit", "cuMemAlloc", "cuMemcpyHtoD", "cuLaunchKernel", "cuMemcpyDtoH"])
def test_a_call_of_the_driver_that_fails(packages, function):
    packages(cuda=FakeDriver(fails=function))
    with pytest.raises(BridgeError, match=rf"{function}: expected success, got CUDA_ERROR_UNKNOWN"):
        replay(add_bundle(cubins={"sm_90": b"code"}), CudaBindings(), {"x": X})


def test_code_that_the_driver_does_not_take(packages, monkeypatch):
    packages(cuda=FakeDriver(fails="cuModuleLoadData"))
    with pytest.raises(BridgeError, match=r"expected machine code that the driver takes, got .*\n    code of sm_90"):
        replay(add_bundle(cubins={"sm_90": b"code"}), CudaBindings(), {"x": X})
    cupy = FakeCupy()
    monkeypatch.setattr(cupy, "RawModule", lambda path: 1 / 0)
    packages(cupy=cupy)
    with pytest.raises(BridgeError, match="expected machine code that the driver takes, got ZeroDivisionError"):
        replay(add_bundle(cubins={"sm_90": b"code"}), Cupy(), {"x": X})


def test_device_memory_that_is_not_there(packages, monkeypatch):
    cupy = FakeCupy()
    monkeypatch.setattr(cupy, "empty", lambda *_: 1 / 0)
    packages(cupy=cupy)
    with pytest.raises(BridgeError, match="expected 400 bytes of device memory"):
        replay(add_bundle(cubins={"sm_90": b"code"}), Cupy(), {"x": X})


# ---- giving back ------------------------------------------------------------------------------------------------

FAILING = ["cuCtxSynchronize", "cuMemFree", "cuModuleUnload", "cuDevicePrimaryCtxRelease"]


@pytest.fixture
def driver(packages):
    made = FakeDriver()
    packages(cuda=made)
    return made


def alive(driver):
    return len(driver.memory), driver.modules, driver.contexts, driver.events


@pytest.mark.parametrize("function", ["cuModuleLoadData", "cuModuleGetFunction", "cuMemAlloc", "cuMemcpyHtoD", "cuLaunchKernel", "cuMemcpyDtoH",
                                      "cuCtxSynchronize", "cuCtxSetCurrent"])  # fmt: skip
def test_all_is_given_back_after_a_failure(driver, function):
    driver.fails = {function}
    device = CudaBindings()
    with pytest.raises(BridgeError, match="CUDA_ERROR_UNKNOWN"):
        replay(add_bundle(cubins={"sm_90": b"code"}), device, {"x": X})
    assert alive(driver) == (0, 0, 0, 0)
    driver.fails = set()
    np.testing.assert_array_equal(
        replay(add_bundle(cubins={"sm_90": b"code"}), device, {"x": X})["y"], X + np.arange(100, dtype=np.float32)
    )


@pytest.mark.parametrize("first", range(len(FAILING)))
def test_the_first_error_is_the_one_that_is_seen(driver, first):
    """A device that has failed fails in all that gives back, too; that hides nothing, and stops nothing."""
    driver.fails = set(FAILING[first:])
    with pytest.raises(BridgeError, match=f"{FAILING[first]}: expected success"):
        replay(add_bundle(cubins={"sm_90": b"code"}), CudaBindings(), {"x": X})
    assert [driver.calls.count(f) for f in FAILING[1:]] == [3, 1, 1]


def test_an_exception_of_the_caller_is_not_replaced(driver):
    with pytest.raises(KeyboardInterrupt), Session(add_bundle(cubins={"sm_90": b"code"}), CudaBindings()):
        driver.fails = set(FAILING)
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "function",
    ["cuEventCreate", "cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime", "cuLaunchKernel", "cuEventDestroy"],
)
def test_events_are_given_back(driver, function):
    with Session(add_bundle(cubins={"sm_90": b"code"}), CudaBindings()) as session:
        session.run({"x": X})
        driver.fails = {function}
        with pytest.raises(BridgeError, match=f"{function}: expected success"):
            session.seconds()
        assert function == "cuEventDestroy" or not driver.events
        driver.fails = {"cuLaunchKernel", "cuEventDestroy"}
        with pytest.raises(BridgeError, match="cuLaunchKernel: expected success"):
            session.seconds()
        assert driver.calls.count("cuEventDestroy") >= 2
        driver.fails = set()


def test_the_context_is_given_back_as_often_as_it_is_taken(driver):
    device = CudaBindings()
    for _ in range(2):
        with Session(add_bundle(cubins={"sm_90": b"code"}), device) as session:
            assert driver.contexts == 1
            session.close()
            session.close()
    assert driver.calls.count("cuDevicePrimaryCtxRetain") == driver.calls.count("cuDevicePrimaryCtxRelease") == 2


@pytest.fixture(params=["cuda-bindings", "cupy", "emulated"])
def any_device(request, packages):
    packages(**({"cuda": FakeDriver()} if request.param == "cuda-bindings" else {"cupy": FakeCupy()}))
    return Emulated() if request.param == "emulated" else open_device()


def test_a_closed_session_says_so(any_device):
    session = Session(add_bundle(cubins={"sm_90": b"code"}), any_device)
    session.close()
    for use in (lambda: session.run({"x": X}), session.launch, session.seconds, session.profile):
        with pytest.raises(BridgeError, match=r"add.*: expected an open session, got a closed one\nhint: make another"):
            use()


def test_a_device_in_use_is_refused_and_stays_in_use(any_device):
    bundle = add_bundle(cubins={"sm_90": b"code"})
    with Session(bundle, any_device) as session:
        with pytest.raises(
            BridgeError,
            match=r"load\(add\): expected a device that no other session uses, got one that runs add\nhint: ",
        ):
            Session(bundle, any_device)
        np.testing.assert_array_equal(session.run({"x": X})["y"], X + np.arange(100, dtype=np.float32))
    replay(bundle, any_device, {"x": X})


def test_what_cannot_be_loaded_leaves_the_device_free(any_device):
    with pytest.raises(BridgeError):
        Session(add_bundle(cubins={"sm_75": b"code"}, source="this is no C++"), any_device)
    replay(add_bundle(cubins={"sm_90": b"code"}), any_device, {"x": X})
