"""CenterCropPad, Col2Im, MaxUnpool, TensorScatter, AffineGrid, Det and transforms, against NumPy, PyTorch and onnxruntime."""

import numpy as np
import pytest

from minicc.errors import TypeInferenceError
from minicc.ops import DFT, STFT, AffineGrid, CenterCropPad, Col2Im, CumProd, Det, MaxUnpool, Mod, TensorScatter
from minicc.types import TensorType, float32, int64

random = np.random.default_rng(0)


@pytest.mark.parametrize("rows", [0, 1, 3, 5])
def test_determinants(rows):
    x = random.integers(-3, 4, (4, 2, rows, rows)).astype(np.float64)
    x[0, 0] = 0
    np.testing.assert_allclose(Det().expand(x), np.linalg.det(x), atol=1e-9)


@pytest.mark.parametrize(("length", "inverse"), [(None, False), (5, False), (9, True), (16, True)])
def test_transforms(length, inverse):
    x = random.standard_normal((3, 8, 2, 2))
    whole = x[..., 0] + 1j * x[..., 1]
    expected = (np.fft.ifft if inverse else np.fft.fft)(whole, n=length, axis=1)
    got = DFT(length, 1, inverse)(x)
    np.testing.assert_allclose(got[..., 0] + 1j * got[..., 1], expected, atol=1e-12)
    half = np.fft.rfft(x[..., 0], n=length, axis=1)
    got = DFT(length, -3, onesided=True)(x[..., :1])
    np.testing.assert_allclose(got[..., 0] + 1j * got[..., 1], half, atol=1e-12)
    back = np.fft.irfft(whole, n=length, axis=1)
    np.testing.assert_allclose(DFT(length, 1, True, True)(x)[..., 0], back, atol=1e-12)


def test_transforms_of_windows():
    x, window = random.standard_normal((2, 20, 1)), np.hanning(6)
    frames = np.stack([x[:, at : at + 6, 0] * window for at in range(0, 15, 3)], 1)
    got = STFT(("signal", "window"), 3)(x, window)
    np.testing.assert_allclose(got[..., 0] + 1j * got[..., 1], np.fft.rfft(frames), atol=1e-12)


def test_columns_are_added_where_their_windows_lie():
    taps, image = (2, 3), (5, 6)
    op = Col2Im(image, taps, strides=(2, 1), pads=(1, 0, 0, 2), dilations=(1, 2))
    rows, columns = (5 + 1 - 2) // 2 + 1, (6 + 2 - 5) + 1
    x = random.integers(0, 9, (2, 3 * 6, rows * columns))
    expected = np.zeros((2, 3, 6, 8), np.int64)
    parts = x.reshape(2, 3, *taps, rows, columns)
    for a, b in np.ndindex(taps):
        expected[:, :, a : a + 2 * rows : 2, 2 * b : 2 * b + columns] += parts[:, :, a, b]
    np.testing.assert_array_equal(op(x), expected[:, :, 1:, :6])


def test_caches_go_round():
    cache, update = np.zeros((2, 4, 1)), np.arange(1.0, 7).reshape(2, 3, 1)
    got = TensorScatter(TensorScatter.inputs, mode="circular")(cache, update, np.array([0, 3]))
    np.testing.assert_array_equal(got[..., 0], [[1, 2, 3, 0], [5, 6, 0, 4]])


@pytest.mark.torch
def test_grids_of_matrices():
    torch = pytest.importorskip("torch")
    theta = random.standard_normal((2, 2, 3))
    for corners in (False, True):
        expected = torch.nn.functional.affine_grid(torch.tensor(theta), (2, 1, 3, 4), align_corners=corners)
        np.testing.assert_allclose(AffineGrid((2, 1, 3, 4), corners)(theta), expected.numpy(), atol=1e-12)


def test_products_of_all_before():
    x = np.array([[2, 3, 4], [5, 0, 6]])
    assert CumProd(1)(x).tolist() == [[2, 6, 24], [5, 0, 0]]
    assert CumProd(1, exclusive=True, reverse=True)(x).tolist() == [[12, 4, 1], [0, 6, 1]]


def test_the_remainder_of_floats_has_the_sign_of_the_divisor():
    a, b = np.float32([-4.5, 4.5, -1, 0, 7, np.inf]), np.float32([2, -2, np.inf, -3, 0, 2])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(Mod()(a, b), np.mod(a, b))


X = TensorType(float32, (1, 2, 4))


@pytest.mark.parametrize(
    ("op", "types", "problem"),
    [
        (CenterCropPad((2,)), (X,), "an extent for each of 3 axes"),
        (Col2Im((2, 2), (1,)), (X,), "for each axis of image_shape"),
        (Col2Im((2, 2), (1, 1), strides=(0, 1)), (X,), "strides and dilations >= 1"),
        (Col2Im((3, 3), (1, 1)), (X,), r"expected \[batch, channels \* 1, 9\]"),
        (MaxUnpool(()), (X, X), "a kernel extent"),
        (MaxUnpool((2,)), (X, X), "expected integers"),
        (MaxUnpool((2,), (1, 2, 4)), (X, TensorType(int64, X.shape)), "at least"),
        (TensorScatter(axis=0), (X, X), "an axis after the batch"),
        (TensorScatter(), (X, TensorType(float32, (1, 3, 4))), "at most 2 rows"),
        (AffineGrid((1, 1, 2)), (X,), "a size of 4 or 5"),
        (Det(), (X,), "square matrices"),
        (DFT(), (X,), "1 or 2 parts"),
        (DFT(2**40), (TensorType(float32, (4, 1)),), "1 to 8192 samples"),
        (DFT(onesided=True), (TensorType(float32, (4, 2)),), "of real signals only"),
        (STFT(frame_step=0), (TensorType(float32, (1, 4, 1)),), "steps and frames"),
        (STFT(("signal", "window"), 1, 3), (TensorType(float32, (1, 4, 1)), TensorType(float32, (2,))), "a window of 3"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(op, types, problem):
    with pytest.raises(TypeInferenceError, match=problem):
        op.infer(*types)
