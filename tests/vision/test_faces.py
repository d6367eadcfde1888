"""Faces: what detectors say becomes boxes and points; regions lead into a picture and back."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc.errors import RunError
from minicc.vision.boxes import Boxes
from minicc.vision.faces import Faces, anchors, average, decode_blazeface, face_region, find_faces, find_mesh, priors
from minicc.vision.crop import Crop
from tests.vision.face_models import retinaface

pytest.importorskip("PIL")


@given(st.floats(-3, 3), st.floats(10, 90), st.floats(10, 90), st.floats(5, 40))
def test_a_region_holds_what_lies_there(angle, x, y, side):
    """A bright spot is found where the way back says."""
    picture = np.zeros((100, 100, 3), np.uint8)
    row, column = min(int(y), 98), min(int(x), 98)
    picture[row : row + 2, column : column + 2] = 255
    region = Crop((column + 1.0, row + 1.0), (side, side), angle)
    cut = region.cut(picture, 64, 64).astype(float).sum(axis=2)
    places = np.argwhere(cut > cut.max() * 0.5)[:, ::-1] + 0.5
    found = region.to_picture(places / 64).mean(axis=0)
    assert np.abs(found - (column + 1, row + 1)).max() < 1


def test_a_region_of_the_whole_picture_is_it():
    picture = np.random.default_rng(0).integers(0, 256, (12, 20, 3)).astype(np.uint8)
    assert np.array_equal(Crop.around(picture, 20 / 12).cut(picture, 20, 12), picture)
    wide = Crop.around(picture, 1.0).cut(picture, 20, 20)
    assert np.array_equal(wide[4:16], picture) and not wide[:4].any() and not wide[16:].any()


def test_a_region_that_is_absurd_costs_little():
    assert Crop((1e9, -1e9), (1e12, 1e12)).cut(np.ones((4, 4, 3), np.uint8), 8, 8).shape == (8, 8, 3)
    assert Crop((2.0, 2.0), (0.0, 0.0)).cut(np.ones((4, 4, 3), np.uint8), 8, 8).shape == (8, 8, 3)


def test_the_anchors_of_blazeface():
    """By hand: two at each of 16 x 16 places, then six at each of 8 x 8."""
    found = anchors(896)
    assert found.shape == (896, 2) and np.array_equal(found[:3], [[0.5 / 16] * 2, [0.5 / 16] * 2, [1.5 / 16, 0.5 / 16]])
    assert np.array_equal(found[511], [15.5 / 16] * 2) and np.array_equal(found[512 + 6], [1.5 / 8, 0.5 / 8])
    assert np.array_equal(anchors(2304)[49], [1.5 / 48, 1.5 / 48])
    with pytest.raises(RunError, match="expected 896 or 2304 anchors, got 7"):
        anchors(7)


def test_blazeface_skips_what_is_no_box():
    offsets, scores = np.zeros((896, 16), np.float32), np.full(896, -100.0, np.float32)
    offsets[:4, 2:4], scores[:4] = [[64, 64], [-1, 5], [np.inf, 1], [64, 64]], [3, 3, 3, np.nan]
    found = decode_blazeface(offsets, scores, 128, 0.5)
    assert len(found) == 1 and np.allclose(found.boxes.corners, 0.5 / 16 + np.array([[-0.25, -0.25, 0.25, 0.25]]))


def test_faces_that_overlap_become_their_mean():
    corners = np.array([[0.0, 0, 10, 10], [0, 0, 12, 12], [50, 50, 60, 60]])
    points = np.arange(6.0).reshape(3, 1, 2)
    found = average(Faces(Boxes(corners, np.array([0.5, 1.0, 0.75]), np.zeros(3, int)), points))
    assert np.allclose(found.boxes.corners, [[0, 0, 34 / 3, 34 / 3], [50, 50, 60, 60]])
    assert np.allclose(found.points, [[[4 / 3, 7 / 3]], [[4, 5]]]) and np.array_equal(found.boxes.scores, [1.0, 0.75])
    assert len(average(found[np.zeros(2, bool)])) == 0


@pytest.mark.parametrize("logits", [False, True])
def test_retinaface_says_what_was_encoded(logits):
    """Faces come back as they were: through the network's own square, of a picture that is wide."""
    faces = [
        ((40, 30, 90, 100), [(50, 50), (80, 52), (65, 70), (55, 85), (78, 86)]),
        ((200, 140, 230, 190), [(205, 150)] * 5),
    ]
    exe = minicc.compile(retinaface(320, 256, faces, logits), threads=1)
    found = find_faces(exe, np.zeros((256, 320, 3), np.uint8), "retinaface")
    assert np.allclose(found.boxes.corners, [faces[1][0], faces[0][0]], atol=1e-3), "the surest first"
    assert np.allclose(found.points[1], faces[0][1], atol=1e-3)
    if not logits:
        assert np.allclose(found.boxes.scores, [0.91, 0.9])
    twice = find_faces(exe, np.zeros((512, 640, 3), np.uint8), "retinaface")
    assert np.allclose(twice.boxes.corners, 2 * found.boxes.corners, atol=1e-3)


def test_priors_by_hand():
    found = priors(320, 256)
    assert len(found) == 2 * (40 * 32 + 20 * 16 + 10 * 8)
    assert np.allclose(found[0], [4 / 320, 4 / 256, 16 / 320, 16 / 256]) and np.allclose(found[-1, 2:], [512 / 320, 2])
    assert len(priors(30, 10)) == 2 * (4 * 2 + 2 * 1 + 1), "grids are rounded up"


def network(*shapes, size=(1, 128, 128, 3)):
    """A stand-in for an executable: one input, and results of zeros."""
    port = SimpleNamespace(name="x", shape=size)
    return SimpleNamespace(
        inputs=[port], run=lambda given: {str(k): np.zeros(s, np.float32) for k, s in enumerate(shapes)}
    )


def test_other_networks_are_refused():
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(RunError, match=r"one input \[1, H, W, 3\], got \(1, 3, 64, 64\)"):
        find_faces(network(size=(1, 3, 64, 64)), picture)
    with pytest.raises(RunError, match="one result of rows of 16 numbers, got results of"):
        find_faces(network((1, 9, 4)), picture)
    with pytest.raises(RunError, match=r"one input \[1, 3, H, W\]"):
        find_faces(network(), picture, "retinaface")
    with pytest.raises(RunError, match="expected 168 boxes, scores and points of an input of 64 x 64, got 9, 9 and 9"):
        find_faces(network((1, 9, 4), (1, 9, 2), (1, 9, 10), size=(1, 3, 64, 64)), picture, "retinaface")
    with pytest.raises(RunError, match="one result of 1404 numbers"):
        find_mesh(network((1, 5)), picture, Crop((4.0, 4.0), (8.0, 8.0)))


def test_a_face_that_is_turned_is_looked_at_upright():
    faces = Faces(
        Boxes(np.array([[0.0, 0, 10, 20]]), np.ones(1), np.zeros(1, int)), np.array([[[2.0, 5.0], [2.0, 15.0]]])
    )
    assert face_region(faces, 0) == Crop((5.0, 10.0), (30.0, 30.0), np.pi / 2)
