"""Networks that onnxruntime's own tool quantises give what onnxruntime gives, and store no image of real numbers."""

import logging

import numpy as np
import onnx
import pytest

import minicc
from benchmarks.models import MODELS, sample_inputs
from benchmarks.quantized import APART
from minicc.compile import optimize
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Kernel

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxruntime.quantization")
FORMS = {
    "qdq": {},
    "qoperator": {"form": "QOperator"},
    "signed": {"activation_type": "QInt8"},
    "unsigned weights": {"weight_type": "QUInt8", "per_channel": False},
    "reduced range": {"reduce_range": True},
    "dynamic": None,
}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network, its inputs, and its file made ready for the tool."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    folder = tmp_path_factory.mktemp("networks")
    model = MODELS["mobilenet_v2"](False)
    onnx.save(model, folder / "plain.onnx")
    quant_pre_process(str(folder / "plain.onnx"), str(folder / "ready.onnx"), skip_symbolic_shape=True)
    return folder / "ready.onnx", sample_inputs(model)


def quantized(source, inputs, options):
    """The file that the tool makes."""
    from onnxruntime import quantization as tool

    logging.getLogger().setLevel(logging.ERROR)
    made = source.with_name("made.onnx")
    if options is None:
        tool.quantize_dynamic(str(source), str(made), weight_type=tool.QuantType.QUInt8)
        return made

    class Reader(tool.CalibrationDataReader):
        samples = iter([inputs])

        def get_next(self):
            return next(self.samples, None)

    chosen = {"activation_type": "QUInt8", "weight_type": "QInt8", "per_channel": True, **options}
    form = tool.QuantFormat[chosen.pop("form", "QDQ")]
    chosen |= {name: tool.QuantType[chosen[name]] for name in ("activation_type", "weight_type")}
    tool.quantize_static(str(source), str(made), Reader(), quant_format=form, **chosen)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_quantised_network_gives_what_onnxruntime_gives(network, form):
    path = quantized(*network, FORMS[form])
    random = np.random.default_rng(1)
    inputs = {name: random.standard_normal(array.shape, np.float32) for name, array in network[1].items()}
    (expected,) = onnxruntime.InferenceSession(str(path)).run(None, inputs)
    ready = optimize(minicc.load(path))
    (got,) = (minicc.compile(path).run(inputs) if form == "qdq" else evaluate(ready, inputs)).values()
    assert got.argmax() == expected.argmax()
    np.testing.assert_allclose(got, expected, rtol=0, atol=APART * np.abs(expected).max())
    images = [n for n in ready.nodes if isinstance(n.op, Kernel) and n.type.size > 10_000]
    assert form == "dynamic" or (len(images) > 20 and not any(n.dtype.is_float for n in images))
