"""Every form of silero-vad hears in minicc what it hears in onnxruntime, call after call, its state carried along."""

import numpy as np
import pytest

import minicc
from job_pages import names_of

pytestmark = pytest.mark.jobs
onnxruntime = pytest.importorskip("onnxruntime")
FORMS = {  # file: whether it asks for the sampling rate, of which it has networks for several
    "silero_vad.onnx": True,
    "silero_vad_16k_op15.onnx": True,
    "silero_vad_half.onnx": False,
    "silero_vad_op18_ifless.onnx": True,
    "silero_vad_openvino_16k.onnx": False,
}


@pytest.mark.parametrize("form", FORMS)
def test_hears_what_onnxruntime_hears(form):
    names = names_of("speech")
    rate = {"sr": np.array(names["RATE"])} if FORMS[form] else {}
    exe = minicc.compile(names["folder"] / form, dims="any", threads=1)
    session = onnxruntime.InferenceSession(names["folder"] / form, providers=["CPUExecutionProvider"])
    ours = theirs = np.zeros((2, 1, 128), np.float32)
    for start in range(15_000, 60_000, 4_000):
        x = names["sound"][None, start : start + 576].astype(np.float32)
        heard, ours = exe.run({"input": x, "state": ours, **rate}).values()
        expected, theirs = session.run(None, {"input": x, "state": theirs, **rate})
        np.testing.assert_allclose(heard, expected, atol=1e-4)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_whole_recording_at_once():
    """The form that takes all frames gives what the one for a single frame gives."""
    names = names_of("speech")
    sound, form = names["sound"].astype(np.float32), "silero_vad_16k_sequence.onnx"
    frames = np.stack([sound[start - 64 : start + 512] for start in range(64, len(sound) - 512, 512)][:60])
    zero = np.zeros((1, 1, 128), np.float32)
    heard, *_ = minicc.compile(names["folder"] / form, dims="any", threads=1)(frames, zero, zero)
    session = onnxruntime.InferenceSession(names["folder"] / form, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(heard, session.run(None, {"input": frames, "h": zero, "c": zero})[0], atol=1e-4)
    assert np.mean((heard > 0.5) == (names["heard"][:60] > 0.5)) > 0.95
