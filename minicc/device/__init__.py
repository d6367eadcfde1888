"""CUDA devices, and their emulation on the CPU. Neither TVM nor a Python package for CUDA is needed.

In: an image of kind `cuda`, or `emulated`, from a code generator or a package. Out: an executable, and the time
of its kernels by the device's clock.

    load(image).run({"x": image})
"""

from __future__ import annotations

from minicc.device.driver import CudaDevice
from minicc.device.emulated import Emulated
from minicc.device.session import DeviceExecutable
from minicc.runtime.image import Image
from minicc.target import EMULATED


def load(image: Image) -> DeviceExecutable:
    """The image as something to call, on a device of its kind that is opened at the first call."""
    return DeviceExecutable(image, opens=Emulated if image.kind == EMULATED else CudaDevice)
