"""Boxes of each family, encoded by hand and decoded again; pictures placed in those of networks, and the way back."""

import numpy as np
import pytest

from minicc.errors import RunError
from minicc.frontend.darknet import Head
from minicc.vision import Boxes
from minicc.vision.decode import ANCHORS, FAMILIES, finite, of_heads
from minicc.vision.preprocess import PRESETS, fit, prepared, sampled

SIZE = (64, 96)  # height and width
CENTRE, SIDES, CLASS, CLASSES = np.array([49.0, 37.0]), np.array([20.0, 30.0]), 2, 4
RANDOM = np.random.default_rng(0)


def logit(p):
    return np.log(p / (1 - p))


def check(boxes, score=0.72):
    assert boxes.classes.tolist() == [CLASS]
    np.testing.assert_allclose(boxes.scores, [score], rtol=1e-5)
    np.testing.assert_allclose(boxes.corners[0], [*(CENTRE - SIDES / 2), *(CENTRE + SIDES / 2)], rtol=1e-4)


def row(count, at=5, thing=True):
    """N rows, one of which holds the box in pixels."""
    made = np.zeros((count, (5 if thing else 4) + CLASSES), np.float32)
    made[at, :4] = [*CENTRE, *SIDES]
    made[at, 4 if thing else 4 + CLASS] = 0.9 if thing else 0.72
    if thing:
        made[at, 5 + CLASS] = 0.8
    return made[None]


def test_yolov5_and_yolov8_and_yolov10():
    check(FAMILIES["yolov5"].decode({"y": row(9)}, SIZE, 0.5))
    check(FAMILIES["yolov8"].decode({"y": row(9, thing=False).transpose(0, 2, 1)}, SIZE, 0.5))
    corners = np.float32([[[*(CENTRE - SIDES / 2), *(CENTRE + SIDES / 2), 0.72, CLASS], [0] * 6]])
    check(FAMILIES["yolov10"].decode({"other": corners[0], "y": corners}, SIZE, 0.5))


def test_yolox_counts_cells_of_three_strides():
    cells = sum(SIZE[0] // s * SIZE[1] // s for s in (8, 16, 32))
    made = np.zeros((1, cells, 5 + CLASSES), np.float32)
    at = 8 * 12 + 2 * 6 + 3  # behind the cells of stride 8, that of stride 16 at row 2, column 3
    made[0, at, :4] = [*(CENTRE / 16 - [3, 2]), *np.log(SIDES / 16)]
    made[0, at, [4, 5 + CLASS]] = 0.9, 0.8
    check(FAMILIES["yolox"].decode({"y": made}, SIZE, 0.5))


@pytest.mark.parametrize("count", [2, 3])
def test_yolov3_heads_are_logits(count):
    heads = {}
    for k, stride in enumerate((32, 16, 8)[:count][::-1] if count == 3 else (16, 32)):
        made = np.full((3, 5 + CLASSES, SIZE[0] // stride, SIZE[1] // stride), -9.0, np.float32)
        if stride == 16:
            anchor = np.array(ANCHORS[count][k][1])
            made[1, :, 2, 3] = -9
            made[1, :4, 2, 3] = [*logit(CENTRE / 16 - [3, 2]), *np.log(SIDES / anchor)]
            made[1, [4, 5 + CLASS], 2, 3] = logit(np.array([0.9, 0.8]))
        heads[f"y{k}"] = made.reshape(1, -1, *made.shape[2:])
    check(FAMILIES["yolov3"].decode(dict(reversed(heads.items())), SIZE, 0.5))


def test_yolov5_heads_are_logits():
    heads = {f"y{s}": np.full((1, 3, SIZE[0] // s, SIZE[1] // s, 5 + CLASSES), -9.0, np.float32) for s in (32, 16, 8)}
    anchor = np.array(ANCHORS[3][1][0])
    heads["y16"][0, 0, 2, 3, :4] = [*logit((CENTRE / 16 - [3, 2] + 0.5) / 2), *logit(np.sqrt(SIDES / anchor) / 2)]
    heads["y16"][0, 0, 2, 3, [4, 5 + CLASS]] = logit(np.array([0.9, 0.8]))
    check(FAMILIES["yolov5"].decode(heads, SIZE, 0.5))


def test_darknets_heads():
    for squared, encode in ((False, np.log), (True, lambda ratio: np.sqrt(ratio) / 2)):
        head = Head("y", CLASSES, ((0.5, 0.5), (0.25, 0.375)), squared)
        cells = np.zeros((2, 5 + CLASSES, 4, 6), np.float32)
        cells[1, :4, 2, 3] = [*(CENTRE / 16 - [3, 2]), *encode(SIDES / [24, 24])]
        cells[1, [4, 5 + CLASS], 2, 3] = 0.9, 0.8
        check(of_heads({"y": cells.reshape(1, -1, 4, 6)}, [head], SIZE, 0.5))


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_of_another_layout(family):
    with pytest.raises(RunError) as caught:
        FAMILIES[family].decode({"y": np.zeros((2, 3), np.float32)}, SIZE, 0.5)
    assert "got y [2, 3]" in str(caught.value) and caught.value.hint


def test_what_is_no_box_is_left_out():
    corners = np.array([[0, 0, 1, 1], [0, 0, np.nan, 1], [0, 0, np.inf, 1], [2, 0, 1, 1.0]])
    kept = finite(Boxes(corners, np.array([0.5, 0.6, 0.7, 0.8]), np.arange(4)))
    assert kept.classes.tolist() == [0]


@pytest.mark.parametrize("how", ["stretch", "letterbox", "corner"])
@pytest.mark.parametrize("shape", [(50, 120), (120, 50), (64, 96), (7, 3)])
def test_boxes_come_back_to_the_picture(how, shape):
    picture = np.zeros((*shape, 3), np.uint8)
    made, placement = fit(picture, *SIZE, how)
    assert made.shape == (*SIZE, 3)
    inner = np.argwhere((made == 0).all(axis=2))
    (top, left), (bottom, right) = inner.min(axis=0), inner.max(axis=0) + 1
    back = placement.back(Boxes(np.array([[left, top, right, bottom]], float), np.ones(1), np.zeros(1, int)))
    np.testing.assert_allclose(back.corners[0], [0, 0, shape[1], shape[0]], atol=1e-9)


def test_samples_of_darknet_are_its_loop():
    picture = RANDOM.integers(0, 256, (5, 7, 3)).astype(np.uint8)
    made = sampled(picture, 9, 4, corners=True)
    for y, x, c in np.ndindex(made.shape):
        sy, sx = y * (5 - 1) / (9 - 1), x * (7 - 1) / (4 - 1)
        iy, ix = min(int(sy), 3), min(int(sx), 5)
        dy, dx, p = sy - iy, sx - ix, picture[..., c].astype(float)
        wanted = (1 - dy) * ((1 - dx) * p[iy, ix] + dx * p[iy, ix + 1]) + dy * (
            (1 - dx) * p[iy + 1, ix] + dx * p[iy + 1, ix + 1]
        )
        assert abs(made[y, x, c] - wanted) < 1e-3


@pytest.mark.jobs
def test_samples_of_opencv():
    cv2 = pytest.importorskip("cv2")
    picture = RANDOM.integers(0, 256, (37, 53, 3)).astype(np.float32)
    for height, width in ((20, 90), (37, 53), (64, 8)):
        wanted = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(sampled(picture, height, width), wanted, atol=0.02)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_take_the_centre(name):
    pytest.importorskip("PIL")
    picture = np.zeros((300, 500, 3), np.uint8)
    picture[:, 150:350] = 200, 100, 50
    made, how = prepared(picture, 224, 224, PRESETS[name]), PRESETS[name]
    expected = (np.array([200, 100, 50]) - how.mean) / how.deviation if not how.blue_first else None
    if how.blue_first:
        expected = (np.array([50, 100, 200]) - how.mean[::-1]) / how.deviation[::-1]
    assert made.shape == (224, 224, 3) and made.dtype == np.float32
    np.testing.assert_allclose(made[112, 112], expected, rtol=1e-5)


def test_a_very_long_picture_needs_no_more_memory():
    pytest.importorskip("PIL")
    line = np.full((1, 400_001, 3), 7, np.uint8)
    line[:, 200_000 - 3 : 200_000 + 4] = 250
    for picture in (line, line.transpose(1, 0, 2)):
        made = prepared(picture, 32, 32, PRESETS["raw"])
        assert made.shape == (32, 32, 3) and made[16, 16, 0] > 200
