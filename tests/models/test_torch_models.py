"""Networks of PyTorch agree with themselves in eager mode: by `from_torch`, and by `torch.compile`."""

import warnings

import numpy as np
import pytest

import minicc
from minicc.errors import FallbackWarning
from minicc.graph.bind import bind
from minicc.graph.interpret import evaluate

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from minicc import dynamo  # noqa: E402
from tests.models.test_exported import Tensor, randomized, tokens  # noqa: E402

pytestmark = pytest.mark.torch


def picture(size):
    return {"pixel_values": torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(2))}


def resnet(size, **config):
    model = transformers.ResNetModel(transformers.ResNetConfig(layer_type="basic", **config))
    return model, picture(size), "pooler_output"


def resnet18(small):
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24]} if small else {"hidden_sizes": [64, 128, 256, 512]}
    return resnet(48 if small else 224, depths=[2, 2, 2, 2], **sizes)


def short_resnet(small):
    return resnet(32, embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1])


def mobilenet_v2(small):
    config = transformers.MobileNetV2Config(depth_multiplier=0.25 if small else 1.0, image_size=64 if small else 224)
    return transformers.MobileNetV2Model(config), picture(64 if small else 224), "pooler_output"


def convnext_tiny(small):
    sizes = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]} if small else {}
    return (
        transformers.ConvNextModel(transformers.ConvNextConfig(**sizes)),
        picture(64 if small else 224),
        "pooler_output",
    )


def bert(small):
    sizes = {
        "vocab_size": 99,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    return transformers.BertModel(transformers.BertConfig(**sizes if small else {})), tokens(2, 12), "last_hidden_state"


def gpt2(small):
    sizes = {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64} if small else {}
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(use_cache=False, **sizes))
    return model, tokens(2, 12), "logits"


MODELS = [resnet18, mobilenet_v2, convnext_tiny, bert, gpt2]
SIZES = [pytest.param(True, id="small"), pytest.param(False, id="whole", marks=pytest.mark.slow)]


def built(make, small):
    """The model as a function of tensors to one tensor, its inputs, and what it computes of them."""
    torch.manual_seed(0)
    model, inputs, result = make(small)
    module = Tensor(randomized(model) if small else model.eval(), list(inputs), result).eval()
    with torch.no_grad():
        return module, tuple(inputs.values()), module(*inputs.values()).numpy()


def assert_agree(got, wanted):
    """Relative to the largest: sums are long, and of both signs."""
    assert np.abs(got - wanted).max() <= 2e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("small", SIZES)
@pytest.mark.parametrize("make", MODELS)
def test_from_torch(make, small):
    module, inputs, wanted = built(make, small)
    graph = minicc.from_torch(module, inputs)
    feeds = dict(zip(graph.input_names, [t.numpy() for t in inputs], strict=True))
    (got,) = (evaluate(graph, feeds) if small else minicc.compile(graph).run(feeds)).values()
    assert_agree(got, wanted)


@pytest.mark.parametrize("small", SIZES)
@pytest.mark.parametrize("make", MODELS)
def test_torch_compile(make, small):
    """As a whole: nothing falls back."""
    torch._dynamo.reset()
    module, inputs, wanted = built(make, small)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        got = torch.compile(module, backend=dynamo.backend, fullgraph=True)(*inputs)
    assert_agree(got.numpy(), wanted)


def test_the_classic_script():
    """A ResNet, traced by `torch.jit.trace` as scripts for TVM do, gives what PyTorch gives."""
    module, inputs, wanted = built(short_resnet, True)
    script = torch.jit.trace(module, inputs)
    graph = minicc.from_torch(script, inputs)
    (got,) = evaluate(graph, {name: t.numpy() for name, t in zip(graph.input_names, inputs, strict=True)}).values()
    assert_agree(got, wanted)


def test_any_batch_and_any_length():
    module, inputs, _ = built(bert, True)
    batch, length = torch.export.Dim("batch", max=16), torch.export.Dim("length", max=64)
    graph = minicc.from_torch(module, inputs, {"inputs": tuple({0: batch, 1: length} for _ in inputs)})
    assert set(graph.symbols) == {"batch", "length"}
    others = tuple(tokens(3, 20).values())
    feeds = dict(zip(graph.input_names, [t.numpy() for t in others], strict=True))
    (got,) = evaluate(bind(graph, {"batch": 3, "length": 20}), feeds).values()
    with torch.no_grad():
        assert_agree(got, module(*others).numpy())
