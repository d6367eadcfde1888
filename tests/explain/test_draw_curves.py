"""The picture of curves: heights are shares of the greatest number, or of its logarithm."""

import re

import pytest

from minicc.explain.draw_curves import Curve, curves


def heights(shown: Curve, logarithmic: bool) -> list[float]:
    svg = curves("t", [shown], "x", "y", logarithmic).svg(alone=False)
    return [float(y) for y in re.findall(r'<circle class="c1" cx="[\d.]+" cy="([\d.]+)"', svg)]


def test_equal_ratios_are_equally_far_apart_on_a_logarithmic_axis() -> None:
    low, middle, high = heights(Curve("a", {1: 1, 2: 10, 3: 100}), True)
    assert middle - low == pytest.approx(high - middle, abs=0.2) and high < low


def test_a_linear_axis_begins_at_zero() -> None:
    half, whole = heights(Curve("a", {1: 5, 2: 10}), False)
    (zero,) = {float(y) for y in heights(Curve("a", {1: 0, 2: 0}), False)}
    assert zero - half == pytest.approx(half - whole, abs=0.2)


def test_names_are_escaped() -> None:
    svg = curves("<t>", [Curve("<b>", {1: 2})], "<x>", "<y>", True).svg()
    assert "<b>" not in svg and "<x>" not in svg and "&lt;b&gt;" in svg
