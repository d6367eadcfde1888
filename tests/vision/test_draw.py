"""What is drawn is inside the picture, on a copy, at any size, whatever a network says."""

import numpy as np
import pytest

from minicc.vision import Annotation, draw
from minicc.vision.draw import COLOURS, colour_of, letters_on

pytest.importorskip("PIL")
NUMBERS = (float("nan"), float("inf"), -1e30, 0.0, 5.5, 1e9)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 7), (64, 64), (600, 800)])
def test_any_picture_takes_any_mark(size):
    picture = np.full((*size, 3), 128, np.uint8)
    marks = [
        Annotation("name\x1b\n" * 9, (a, b, b, a), [(a, b)], kind)
        for kind, (a, b) in enumerate(zip(NUMBERS, NUMBERS[::-1], strict=True))
    ]
    made = draw(picture, marks)
    assert made.shape == picture.shape and made.dtype == np.uint8 and (picture == 128).all()
    assert (made != 128).any()


def test_a_box_is_where_it_says_in_its_colour():
    made = draw(np.zeros((200, 300, 3), np.uint8), [Annotation("", (50, 40, 250, 160), [(150, 100)], kind=1)])
    for y, x in ((40, 100), (160, 100), (100, 50), (100, 250), (100, 150)):
        assert tuple(made[y, x]) == colour_of(1)
    assert not made[:30].any() and not made[170:].any() and not made[80, 120].any()


def test_labels_keep_off_each_other():
    marks = [Annotation(f"thing {k}", (50, 100, 200, 180), kind=k) for k in range(3)]
    made = draw(np.zeros((300, 400, 3), np.uint8), marks)
    assert all((made == colour_of(k)).all(axis=2).sum() > 300 for k in range(3))


def test_letters_have_contrast():
    def luminance(colour):
        part = np.array(colour) / 255
        return np.dot(
            np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4), (0.2126, 0.7152, 0.0722)
        )

    for colour in COLOURS:
        low, high = sorted((luminance(colour), luminance(letters_on(colour))))
        assert (high + 0.05) / (low + 0.05) > 4.5
