"""Suppression of boxes, by a plain loop; labels of classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc.errors import LoadError
from minicc.vision import Boxes, read_labels, suppress
from minicc.vision.labels import name_of


def intersection_over_union(a, b):
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union > 0 else 0.0


def plain_suppress(boxes, threshold, across):
    kept = []
    for k in sorted(range(len(boxes)), key=lambda k: -boxes.scores[k]):
        same = [j for j in kept if across or boxes.classes[j] == boxes.classes[k]]
        if all(intersection_over_union(boxes.corners[k], boxes.corners[j]) <= threshold for j in same):
            kept.append(k)
    return kept


@given(st.integers(0, 40), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.booleans())
def test_suppression_is_the_greedy_loop(count, seed, threshold, across):
    random = np.random.default_rng(seed)
    first = random.integers(0, 12, (count, 2)).astype(float)
    corners = np.concatenate([first, first + random.integers(0, 9, (count, 2))], axis=1)
    found = Boxes(corners, random.integers(0, 5, count) / 4, random.integers(0, 3, count))
    kept = suppress(found, threshold, across)
    np.testing.assert_array_equal(kept.corners, corners[plain_suppress(found, threshold, across)])
    assert (np.diff(kept.scores) <= 0).all()


@pytest.mark.parametrize("text, names", [
    ("person\nbicycle\r\n\n car \n", ["person", "bicycle", "car"]),
    ("0: tench,\n1: goldfish,\n", ["tench", "goldfish"]),
    ("0 tench\n1 goldfish\n", ["tench", "goldfish"]),
    ("n01440764 tench\nn01443537 goldfish\n", ["n01440764 tench", "n01443537 goldfish"]),
    ('["tench", "goldfish"]', ["tench", "goldfish"]),
    ('{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}', ["tench", "goldfish"]),
    ("\ufeffname", ["name"]),
])  # fmt: skip
def test_labels(tmp_path, text, names):
    (tmp_path / "a.names").write_bytes(text.encode())
    assert read_labels(tmp_path / "a.names") == names
    assert name_of(names, 0) == names[0] and name_of(names, len(names)) == f"class {len(names)}"


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\0", b'{"1": "a"}', b"[" * 100_000, b"[1, "])
def test_labels_that_are_none(tmp_path, content):
    (tmp_path / "a.names").write_bytes(content)
    with pytest.raises(LoadError) as caught:
        read_labels(tmp_path / "a.names")
    assert caught.value.hint
