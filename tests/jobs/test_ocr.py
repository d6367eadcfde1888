"""PP-OCR's networks give in minicc what they give in onnxruntime, and the page's program reads what was drawn."""

import numpy as np
import pytest

from job_pages import names_of

pytestmark = pytest.mark.jobs
onnxruntime = pytest.importorskip("onnxruntime")
FILES = {
    "detect": "ch_PP-OCRv4_det_infer.onnx",
    "turned": "ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "recognize": "ch_PP-OCRv4_rec_infer.onnx",
}


@pytest.mark.parametrize("network", FILES)
def test_networks(network):
    names = names_of("ocr")
    exe = names[network]
    if network == "detect":
        x = names["as_input"](names["image"])
    else:
        x = names["as_inputs"](names["lines"], 192 if network == "turned" else exe._latest.inputs[0].shape[-1])
    session = onnxruntime.InferenceSession(names["models"] / FILES[network], providers=["CPUExecutionProvider"])
    noise = np.random.default_rng(0).standard_normal(x.shape, np.float32)
    for given in (x, noise):
        np.testing.assert_allclose(exe(given)[0], session.run(None, {"x": given})[0], rtol=1e-3, atol=2e-5)
    assert len(exe._made) == 1, "every call so far had the same sizes"


def test_reads_what_is_drawn():
    names = names_of("ocr")
    text = names["Image"].new("RGB", (480, 320), "white")
    words = ["SCHEDULE 1998", "vectors of 512 bits", "3.14159265", "(cache) + [lanes]"]
    for k, word in enumerate(words):
        font = names["ImageFont"].load_default(36)
        names["ImageDraw"].Draw(text).text((20 + 7 * k, 20 + 75 * k), word, "black", font)
    image = np.array(text)[..., ::-1]
    found = sorted(names["boxes"](image), key=lambda corners: corners[0, 1])
    width = names["recognize"]._latest.inputs[0].shape[-1]
    lines = [names["cut"](image, corners) for corners in found]
    lines[0] = np.pad(lines[0], ((0, 0), (0, max(0, width - lines[0].shape[1])), (0, 0)), constant_values=255)
    assert [word.replace(" ", "") for word, _ in names["read"](lines)] == [word.replace(" ", "") for word in words]
