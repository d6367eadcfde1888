"""Every form of torch.nn.functional.interpolate, as both exporters of torch write it, gives what PyTorch computes."""

from __future__ import annotations

import io
import itertools
import warnings
from typing import Any

import numpy as np
import pytest

import minicc

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.torch

SHAPES = {"nearest": [(7,), (5, 6), (3, 4, 5)], "linear": [(7,)], "bilinear": [(5, 6)], "bicubic": [(5, 6)], "trilinear": [(3, 4, 5)],
          "area": [(8,), (6, 4)]}  # fmt: skip


def grids(shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Up and down, by one scale, by a scale for each axis, and by sizes."""
    factors: list[Any] = [0.6, 1.1, 1.3, 1.5, 2.0, (1.7, 0.7, 2.3)[: len(shape)]]
    sizes = [tuple(max(1, int(d * f)) for d in shape) for f in (0.1, 0.6, 1.7)]
    by_scale = [{"scale_factor": f, "recompute_scale_factor": r} for f in factors for r in (None, True)]
    return [*by_scale, *[{"size": size} for size in sizes]]


def forms() -> list[tuple[tuple[int, ...], dict[str, Any]]]:
    found = []
    for mode, shapes in SHAPES.items():
        corners = [{}] if mode in ("nearest", "area") else [{"align_corners": False}, {"align_corners": True}]
        # with aligned corners antialiasing is not what the exporters write
        smooth = [{"antialias": True, "align_corners": False}] if mode in ("bilinear", "bicubic") else []
        for shape, more in itertools.product(shapes, [*corners, *smooth]):
            chosen = (
                [{"size": s} for s in ((6, 4), (3, 2), (1, 1))[: 3 if len(shape) == 2 else 0]]
                if mode == "area"
                else grids(shape)
            )
            found += [(shape, {"mode": mode} | more | grid) for grid in chosen]
    return found


def exported(model: Any, x: Any, dynamo: bool) -> bytes | None:
    """The bytes of the ONNX file; None where the exporter has no form for this."""
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if dynamo:
                torch.onnx.export(model, (x,), dynamo=True, verbose=False).save(held)
            else:
                torch.onnx.export(model, (x,), held, opset_version=17, dynamo=False)
        except Exception:  # the exporter raises all sorts
            return None
    return held.getvalue()


class Interpolate(torch.nn.Module):
    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.interpolate(x, **self.options)


def check(form: tuple[tuple[int, ...], dict[str, Any]], dynamo: bool) -> bool:
    shape, options = form
    if dynamo and options.get("antialias") and options.get("scale_factor") and not options["recompute_scale_factor"]:
        return False  # the exporter writes the sizes, which lose the scale
    x = torch.randn((1, 2, *shape), generator=torch.Generator().manual_seed(1))
    content = exported(Interpolate(options), x, dynamo)
    if content is None:
        return False
    (got,) = minicc.compile(content)(x.numpy())
    expected = torch.nn.functional.interpolate(x, **options).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=f"{options} of {shape}")
    return True


def test_every_form_by_the_script_exporter():
    assert sum(check(form, dynamo=False) for form in forms()) > 100


@pytest.mark.slow
def test_every_form_by_the_dynamo_exporter():
    assert sum(check(form, dynamo=True) for form in forms()) > 100


def test_nearest_is_that_of_torch_for_every_size():
    """By the attributes that both exporters write, without an export for each."""
    for size, count in itertools.product(range(1, 33), range(1, 129)):
        x = np.arange(size, dtype=np.float32)
        op = minicc.ops.Resize(sizes=(count,), coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        expected = torch.nn.functional.interpolate(torch.tensor(x)[None, None], size=count).numpy()[0, 0]
        np.testing.assert_array_equal(op(x), expected, err_msg=f"{size} to {count}")


def test_nearest_is_that_of_torch_for_every_scale():
    for size, tenths in itertools.product(range(1, 65), range(1, 40)):
        x = np.arange(size, dtype=np.float32)
        expected = (
            torch.nn.functional.interpolate(torch.tensor(x)[None, None], scale_factor=tenths / 10).numpy()[0, 0]
            if size * tenths >= 10
            else None
        )
        op = minicc.ops.Resize(
            scales=(float(np.float32(tenths / 10)),), coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )
        if expected is not None and op(x).shape == expected.shape:
            np.testing.assert_array_equal(op(x), expected, err_msg=f"{size} by {tenths / 10}")
