"""Images on devices: the CPU in place of one, and a real one against a stand-in for its driver."""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import SOURCE, FakeDriver
from gpu_cases import ADD, IMPOSSIBLE, add_image, buffers, device_image

from minicc.device import driver as driver_module
from minicc.device.driver import LIBRARIES, CudaDevice
from minicc.device.emulated import Emulated
from minicc.device.session import DeviceExecutable
from minicc.errors import BridgeError, RunError
from minicc.runtime.executable import load
from minicc.runtime.image import DeviceBuffer, KernelLaunch, Number, Port
from minicc.types import TensorType, float32, int32

X = np.linspace(-1, 1, 100, dtype=np.float32)


def replay(image, device, inputs):
    """The outputs by name of one run on the device."""
    with DeviceExecutable(image, device) as session:
        return session.run(inputs)


# ---- sessions ---------------------------------------------------------------------------------------------------


def test_a_bundle_replayed_on_the_cpu():
    out = replay(add_image(), Emulated(), {"x": X})
    np.testing.assert_array_equal(out["y"], X + np.arange(100, dtype=np.float32))


def test_a_session_runs_many_times():
    with DeviceExecutable(add_image(), Emulated()) as session:
        for k in range(3):
            np.testing.assert_array_equal(session.run({"x": X * k})["y"], X * k + np.arange(100, dtype=np.float32))
        assert session.seconds() > 0
        assert len(session.profile()) == 1 and [k.label for k in session.kernels] == ["add"]


def test_inputs_are_copied_in_order_whatever_their_strides():
    wide = np.zeros((100, 2), np.float32)
    wide[:, 1] = X
    np.testing.assert_array_equal(
        replay(add_image(), Emulated(), {"x": wide[:, 1]})["y"], X + np.arange(100, dtype=np.float32)
    )


@pytest.mark.parametrize("inputs, said", [
    ({}, "expected the inputs 'x', got none"),
    ({"x": X, "z": X}, "expected the inputs 'x', got 'x', 'z'"),
    ({"x": X[:5]}, r"input 'x' must have shape \(100,\), got \(5,\)"),
    ({"x": X.astype(np.float64)}, "input 'x' must have float32, got float64"),
])  # fmt: skip
def test_inputs_are_checked(inputs, said):
    with pytest.raises(RunError, match=said):
        replay(add_image(), Emulated(), inputs)


def test_inputs_that_are_outputs_and_empty_tensors():
    empty = TensorType(float32, (0, 3))
    inputs = Port("x", TensorType(float32, (2,)), 0), Port("e", empty, 1)
    outputs = Port("y", TensorType(float32, (2, 1)), 0), Port("z", empty, 1)
    out = replay(
        device_image("same", inputs, outputs, buffers(8, 0), [], ""),
        Emulated(),
        {"x": np.float32([1, 2]), "e": np.zeros((0, 3), np.float32)},
    )
    np.testing.assert_array_equal(out["y"], [[1], [2]])
    assert out["z"].shape == (0, 3)


def test_wrong_plans_show():
    """What the check of a plan is for: each of these is one mistake in it."""
    wanted = X + np.arange(100, dtype=np.float32)
    swapped = replay(add_image(arguments=(2, 1, 0)), Emulated(), {"x": X})["y"]
    assert not np.array_equal(swapped, wanted)
    short = replay(add_image(grid=(3, 1, 1)), Emulated(), {"x": X})["y"]
    assert np.isnan(short[96:]).all() and np.array_equal(short[:96], wanted[:96])
    with pytest.raises(BridgeError, match="launch bounds"):
        replay(add_image(block=(64, 1, 1)), Emulated(), {"x": X})
    with pytest.raises(BridgeError, match="expected 3 arguments, got 2"):
        replay(add_image(arguments=(0, 1)), Emulated(), {"x": X})


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_launch_that_no_device_does_is_refused(name):
    change, place, said = IMPOSSIBLE[name]
    with pytest.raises(BridgeError, match=rf"launch\(add_kernel, .*: expected {said}.*\n    {place}\nhint: "):
        replay(add_image(**change), Emulated(), {"x": X})


def test_a_write_beside_a_buffer_is_an_error():
    source = ADD.replace("if (i < 100)", "")
    with pytest.raises(BridgeError, match="expected writes to its buffers, got one beside a buffer of 400 bytes"):
        replay(add_image(source=source), Emulated(), {"x": X})
    with pytest.raises(BridgeError, match="beside a buffer"):
        launch = KernelLaunch("beside", (1, 1, 1), (1, 1, 1), 0, (0,))
        replay(device_image("b", (), (), buffers(4), [launch], SOURCE), Emulated(), {})


def test_memory_that_is_not_there():
    with pytest.raises(BridgeError, match=r"expected .* bytes of memory, got"):
        Emulated().allocate([DeviceBuffer(0, 1 << 60)], 1 << 60)


# ---- real devices ----------------------------------------------------------------------------------------------


@pytest.fixture
def install(monkeypatch):
    """Puts a library in place of NVIDIA's; without one there is none."""

    def install(library=None):
        def open_it(name):
            if library is None or name != LIBRARIES[0]:
                raise OSError(f"{name}: cannot open shared object file")
            return library

        monkeypatch.setattr(driver_module.ctypes, "CDLL", open_it)
        return library

    return install


def turn_image(**sections):
    """Reverses 3 rows of 64, with a number among its arguments and much shared memory."""
    rows = TensorType(int32, (3, 64))
    launch = KernelLaunch("turn", (3, 1, 1), (64, 1, 1), 64 << 10, (1, 0, Number(64, int32)))
    ports = (Port("x", rows, 0),), (Port("y", rows, 1),)
    return device_image("turn", *ports, buffers(768, 768), [launch], SOURCE, **sections)


@pytest.fixture
def driver(install):
    return install(FakeDriver())


@pytest.fixture
def device(driver):
    opened = CudaDevice()
    assert opened.capability == (9, 0)
    return opened


def test_a_bundle_on_a_device(device):
    image = add_image(sm_90=b"code")
    with DeviceExecutable(image, device) as session:
        for _ in range(2):
            np.testing.assert_array_equal(session.run({"x": X})["y"], X + np.arange(100, dtype=np.float32))
        assert session.seconds() == 2.5e-3
    with DeviceExecutable(image, device) as session:  # and again, after all was given back
        session.run({"x": X})


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_launch_that_no_device_does_is_refused_before_the_driver_sees_it(device, name):
    change, place, said = IMPOSSIBLE[name]
    with pytest.raises(BridgeError, match=rf"launch\(add_kernel, .*: expected {said}.*\n    {place}\nhint: "):
        replay(add_image(sm_90=b"code", **change), device, {"x": X})


def test_numbers_and_much_shared_memory_on_a_device(device):
    rows = np.arange(192, dtype=np.int32).reshape(3, 64)
    out = replay(turn_image(compute_80=b"ptx"), device, {"x": rows})["y"]
    np.testing.assert_array_equal(out, rows[:, ::-1] + 1000 * rows.sum(1, keepdims=True))


def test_the_driver_gets_what_it_needs(driver):
    replay(turn_image(compute_80=b"ptx"), CudaDevice(), {"x": np.zeros((3, 64), np.int32)})
    assert driver.loaded == [b"ptx"] and driver.limits == {"turn": 64 << 10} and not driver.memory
    assert driver.calls[-3:] == ["cuMemFree", "cuModuleUnload", "cuDevicePrimaryCtxRelease"] and not driver.contexts


def test_an_image_opens_its_device_at_the_first_call(driver):
    exe = load(add_image(sm_90=b"code"))
    assert not driver.calls and not exe.is_open
    np.testing.assert_array_equal(exe(X)[0], X + np.arange(100, dtype=np.float32))
    assert exe.seconds() == 2.5e-3 and exe.profile(X) == (2.5e-3,)
    exe.close()
    assert alive(driver) == (0, 0, 0, 0)
    exe(X)
    driver.fails = {"cuLaunchKernel"}
    with pytest.raises(BridgeError, match="cuLaunchKernel"):
        exe(X)
    assert alive(driver) == (0, 0, 0, 0)  # a device that failed is given back, and opened anew
    driver.fails = set()
    exe(X)
    exe.close()


def test_a_bundle_for_another_architecture(device):
    with pytest.raises(
        BridgeError,
        match=r"expected code for sm_90, got that for other architectures: sm_75[\s\S]*hint: compile with --arch sm_90",
    ):
        replay(add_image(sm_75=b"code"), device, {"x": X})


def test_no_gpu_says_what_was_tried(install):
    install()
    with pytest.raises(
        BridgeError, match=r"got none\n    libcuda.so.1: cannot open[\s\S]*hint: install the NVIDIA driver"
    ):
        CudaDevice()


def test_no_device(install):
    install(FakeDriver(devices=0))
    with pytest.raises(BridgeError, match="expected a device of this number, got 0"):
        CudaDevice()


@pytest.mark.parametrize("function", ["cuInit", "cuMemAlloc", "cuMemcpyHtoD", "cuLaunchKernel", "cuMemcpyDtoH"])
def test_a_call_of_the_driver_that_fails(install, function):
    install(FakeDriver(fails=function))
    with pytest.raises(BridgeError, match=rf"{function}: expected success, got CUDA_ERROR_UNKNOWN"):
        replay(add_image(sm_90=b"code"), CudaDevice(), {"x": X})


def test_code_that_the_driver_does_not_take(install):
    install(FakeDriver(fails="cuModuleLoadData"))
    with pytest.raises(BridgeError, match=r"expected machine code that the driver takes, got .*\n    code of sm_90"):
        replay(add_image(sm_90=b"code"), CudaDevice(), {"x": X})


# ---- giving back ------------------------------------------------------------------------------------------------

FAILING = ["cuCtxSynchronize", "cuMemFree", "cuModuleUnload", "cuDevicePrimaryCtxRelease"]


def alive(driver):
    return len(driver.memory), driver.modules, driver.contexts, driver.events


@pytest.mark.parametrize("function", ["cuModuleLoadData", "cuModuleGetFunction", "cuMemAlloc", "cuMemcpyHtoD", "cuLaunchKernel", "cuMemcpyDtoH",
                                      "cuCtxSynchronize", "cuCtxSetCurrent"])  # fmt: skip
def test_all_is_given_back_after_a_failure(driver, function):
    driver.fails = {function}
    device = CudaDevice()
    with pytest.raises(BridgeError, match="CUDA_ERROR_UNKNOWN"):
        replay(add_image(sm_90=b"code"), device, {"x": X})
    assert alive(driver) == (0, 0, 0, 0)
    driver.fails = set()
    np.testing.assert_array_equal(
        replay(add_image(sm_90=b"code"), device, {"x": X})["y"], X + np.arange(100, dtype=np.float32)
    )


@pytest.mark.parametrize("first", range(len(FAILING)))
def test_the_first_error_is_the_one_that_is_seen(driver, first):
    """A device that has failed fails in all that gives back, too; that hides nothing, and stops nothing."""
    driver.fails = set(FAILING[first:])
    with pytest.raises(BridgeError, match=f"{FAILING[first]}: expected success"):
        replay(add_image(sm_90=b"code"), CudaDevice(), {"x": X})
    assert [driver.calls.count(f) for f in FAILING[1:]] == [1, 1, 1]


def test_an_exception_of_the_caller_is_not_replaced(driver):
    with pytest.raises(KeyboardInterrupt), DeviceExecutable(add_image(sm_90=b"code"), CudaDevice()):
        driver.fails = set(FAILING)
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "function",
    ["cuEventCreate", "cuEventRecord", "cuEventSynchronize", "cuEventElapsedTime", "cuLaunchKernel", "cuEventDestroy"],
)
def test_events_are_given_back(driver, function):
    with DeviceExecutable(add_image(sm_90=b"code"), CudaDevice()) as session:
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
    device = CudaDevice()
    for _ in range(2):
        with DeviceExecutable(add_image(sm_90=b"code"), device) as session:
            assert driver.contexts == 1
            session.close()
            session.close()
    assert driver.calls.count("cuDevicePrimaryCtxRetain") == driver.calls.count("cuDevicePrimaryCtxRelease") == 2


@pytest.fixture(params=["cuda", "emulated"])
def any_device(request, driver):
    return Emulated() if request.param == "emulated" else CudaDevice()


def test_a_closed_session_says_so(any_device):
    session = DeviceExecutable(add_image(sm_90=b"code"), any_device)
    session.close()
    for use in (lambda: session.run({"x": X}), session.launch, session.seconds, session.profile):
        with pytest.raises(BridgeError, match=r"add.*: expected an open session, got a closed one\nhint: make another"):
            use()


def test_a_device_in_use_is_refused_and_stays_in_use(any_device):
    image = add_image(sm_90=b"code")
    with DeviceExecutable(image, any_device) as session:
        with pytest.raises(
            BridgeError,
            match=r"load\(add\): expected a device that no other session uses, got one that runs add\nhint: ",
        ):
            DeviceExecutable(image, any_device)
        np.testing.assert_array_equal(session.run({"x": X})["y"], X + np.arange(100, dtype=np.float32))
    replay(image, any_device, {"x": X})


def test_what_cannot_be_loaded_leaves_the_device_free(any_device):
    with pytest.raises(BridgeError):
        DeviceExecutable(add_image(sm_75=b"code", source="this is no C++"), any_device)
    replay(add_image(sm_90=b"code"), any_device, {"x": X})
