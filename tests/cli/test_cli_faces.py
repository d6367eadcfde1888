"""`minicc faces`: a table, JSON, a picture with boxes, and what is wrong with a call."""

import json

import numpy as np
import onnx
import pytest

from tests.vision.face_models import retinaface

pytest.importorskip("PIL")
from minicc.vision.picture import read_picture, write_picture


def test_faces_are_printed_and_drawn(minicc, tmp_path):
    onnx.save(
        retinaface(64, 64, [((10, 12, 40, 50), [(20, 20), (30, 20), (25, 30), (20, 40), (30, 40)])]),
        tmp_path / "r.onnx",
    )
    write_picture(tmp_path / "in.png", np.full((64, 64, 3), 90, np.uint8))
    given = [str(tmp_path / "in.png"), "--detector", str(tmp_path / "r.onnx"), "--family", "retinaface"]
    text = minicc.good("faces", *given, "-o", str(tmp_path / "out.png"))
    assert "90.0%  10.0  12.0   30.0    38.0" in text and text.rstrip().endswith("1 face")
    assert (read_picture(tmp_path / "out.png") != 90).any()
    (face,) = json.loads(minicc.good("faces", *given, "--json"))["faces"]
    assert np.allclose(face["box"], [10, 12, 40, 50], atol=1e-3) and len(face["points"]) == 5
    assert minicc.good("faces", *given, "--threshold", "0.95").strip() == "0 faces"
    for extra, expected in ((["--irises", "i.tflite"], "expected --landmarks"), (["-o", "out.xyz"], "ends in .jpg"),
                            (["--detector", "absent.tflite"], "nothing called 'absent.tflite'")):  # fmt: skip
        outcome = minicc("faces", *given, *extra)
        assert outcome.code == 2 and expected in outcome.err and "hint:" in outcome.err
