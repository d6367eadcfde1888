"""The four kernels give the right result for extents of 1 and primes, and become CUDA with the threads they are bound to."""

import numpy as np
import pytest

from minicc.bridge.tir import cuda_source
from minicc.errors import ScheduleError
from minicc.loop import run_python
from minicc.testing.gpu_kernels import KERNELS


def softmax_of(a):
    power = np.exp(a - a.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)


def convolved(x, w):
    size = w.shape[-1]
    border, (height, width) = size // 2, x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (border, border), (border, border)))
    total = np.zeros((x.shape[0], w.shape[0], height, width))
    for i in range(size):
        for j in range(size):
            total += np.einsum("bchw,fc->bfhw", padded[:, :, i : i + height, j : j + width], w[:, :, i, j])
    return np.maximum(total, 0)


REFERENCE = {"vector_add": np.add, "tiled_matmul": np.matmul, "softmax": softmax_of, "conv2d_relu": convolved}
EXTENTS = [  # and the threads of a block along x and y
    ("vector_add", (1,), (256, 1)), ("vector_add", (257,), (256, 1)),
    ("tiled_matmul", (1, 1, 1), (1, 1)), ("tiled_matmul", (1, 7, 5), (16, 1)), ("tiled_matmul", (7, 1, 5), (1, 16)),
    ("tiled_matmul", (7, 11, 1), (16, 16)), ("tiled_matmul", (2, 2, 2), (16, 16)), ("tiled_matmul", (3, 67, 17), (16, 16)),
    ("softmax", (1, 1), (1, 1)), ("softmax", (5, 1), (1, 1)), ("softmax", (1, 7), (128, 1)), ("softmax", (3, 131), (128, 1)),
    ("conv2d_relu", (1, 1, 1, 1, 1), (1, 1)), ("conv2d_relu", (1, 3, 1, 5, 4), (16, 1)), ("conv2d_relu", (2, 1, 5, 1, 3), (1, 8)),
    ("conv2d_relu", (1, 2, 11, 17, 5), (16, 8)), ("conv2d_relu", (1, 1, 3, 2, 1, 1), (16, 8)), ("conv2d_relu", (1, 1, 1, 1, 1, 5), (1, 1)),
    ("conv2d_relu", (1, 2, 5, 3, 2, 2), (16, 8)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "extents", "threads"), EXTENTS)
def test_any_extents(name, extents, threads):
    program = KERNELS[name](*extents)
    random = np.random.default_rng(0)
    inputs = [random.standard_normal(b.shape).astype(np.float32) for b in program.params]
    got = np.full(program.outputs[0].shape, np.nan, np.float32)
    run_python(program, *inputs, got)
    np.testing.assert_allclose(got, REFERENCE[name](*inputs), rtol=1e-5, atol=1e-5)
    made = cuda_source(program)
    (launch,) = made.launches
    assert launch.known({}).block == (*threads, 1)
    assert max(threads) == 1 or f"__launch_bounds__({threads[0] * threads[1]})" in made.source
    for axis, count in zip("xy", threads, strict=True):
        assert (count > 1) == (f"threadIdx.{axis}" in made.source)


@pytest.mark.parametrize(
    ("name", "extents"),
    [("vector_add", (0,)), ("tiled_matmul", (8, 8, 0)), ("softmax", (4, 0)), ("conv2d_relu", (1, 0, 4, 4, 1))],
)
def test_no_elements(name, extents):
    with pytest.raises(ScheduleError, match=rf"{name}\(.*\): expected extents of at least 1, got 0\nhint: "):
        KERNELS[name](*extents)
