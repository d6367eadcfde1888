"""Models as torch.onnx.export leaves them, by both of its exporters, agree with what PyTorch computes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import minicc

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("onnxscript")

pytestmark = pytest.mark.torch


@dataclass(frozen=True)
class Exported:
    """A model in evaluation mode, its inputs, and which of their axes are dynamic: `{"x": {0: "batch"}}`."""

    model: Any
    inputs: Mapping[str, Any]
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


class Tensor(torch.nn.Module):
    """A transformers model as a function from tensors to one tensor."""

    def __init__(self, model: Any, names: list[str], result: str) -> None:
        super().__init__()
        self.model, self.names, self.result = model, names, result

    def forward(self, *inputs: Any) -> Any:
        return getattr(self.model(**dict(zip(self.names, inputs, strict=True))), self.result)


def randomized(model: Any) -> Any:
    """Every parameter and statistic moved a little from its initial value, so that no bias is 0 and no scale is 1."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if value.dtype.is_floating_point:
                step = 0.1 * torch.rand(value.shape, generator=generator)
                value.add_(step if "var" in name else step - 0.05)
    return model.eval()


def tokens(batch: int, length: int) -> dict[str, Any]:
    ids = torch.randint(0, 99, (batch, length), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(batch, length, dtype=torch.int64)
    mask[-1, length * 2 // 3 :] = 0
    return {"input_ids": ids, "attention_mask": mask}


def picture(batch: int, size: int) -> dict[str, Any]:
    return {"x": torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(2))}


def bert(batch: int = 2, length: int = 12, **sizes: int) -> Exported:
    small = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
             "max_position_embeddings": 64}  # fmt: skip
    model = transformers.BertModel(transformers.BertConfig(**small | sizes))
    inputs = tokens(batch, length)
    return Exported(randomized(Tensor(model, list(inputs), "last_hidden_state")), inputs)


def vit(**sizes: int) -> Exported:
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32,
             "patch_size": 8}  # fmt: skip
    config = transformers.ViTConfig(**small | sizes)
    model = transformers.ViTModel(config, add_pooling_layer=False)
    return Exported(randomized(Tensor(model, ["pixel_values"], "last_hidden_state")), picture(1, config.image_size))


def convnext(**sizes: Any) -> Exported:
    small: dict[str, Any] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "image_size": 64}
    model = transformers.ConvNextModel(transformers.ConvNextConfig(**small | sizes))
    return Exported(randomized(Tensor(model, ["pixel_values"], "last_hidden_state")), picture(1, 64))


class Block(torch.nn.Module):
    """The first layers of a ResNet: convolution, BatchNorm, pooling, a basic block with a projection, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.main = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU(),
                                  nn.Conv2d(12, 12, 3, 1, 1, bias=False), nn.BatchNorm2d(12))  # fmt: skip
        self.short = nn.Sequential(nn.Conv2d(8, 12, 1, 2, bias=False), nn.BatchNorm2d(12))
        self.head = nn.Linear(12, 5)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        x = torch.relu(self.main(x) + self.short(x))
        return self.head(torch.flatten(torch.nn.functional.adaptive_avg_pool2d(x, 1), 1))


def resnet_block() -> Exported:
    torch.manual_seed(0)
    return Exported(randomized(Block()), picture(2, 33))


def resnet_block_of_any_batch() -> Exported:
    torch.manual_seed(0)
    return Exported(randomized(Block()), picture(3, 32), {"x": {0: "batch"}})


def bert_of_any_length() -> Exported:
    made = bert()
    return Exported(made.model, made.inputs, {name: {0: "batch", 1: "length"} for name in made.inputs})


class Mixture(torch.nn.Module):
    """What exporters decompose: slices, masks, einsum, a gated recurrence written out, group norm, upsampling, topk."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.up = torch.nn.GroupNorm(2, 4), torch.nn.ConvTranspose2d(4, 3, 4, 2, 1)
        self.mix = torch.nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        y = self.up(torch.nn.functional.silu(self.norm(torch.cat([x, x[:, :1] ** 2], 1))))
        y = torch.nn.functional.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)[..., ::4, 1:-1:4]
        y = torch.nn.functional.pad(y, (1, 0, 0, 2), value=0.5)
        y = torch.where(
            y > 0, y, torch.einsum("bchw,bcwk->bchk", y, y.transpose(-1, -2))[..., : y.shape[-1]].mean(-1, keepdim=True)
        )
        state = torch.zeros(y.shape[0], 8)
        for step in y.flatten(1)[:, :24].split(8, dim=1):
            state = torch.sigmoid(self.mix(state)) * torch.tanh(step) + state
        return torch.cat([torch.topk(state, 3).values, state.cumsum(1), torch.logsumexp(state, 1, keepdim=True)], 1)


def mixture() -> Exported:
    torch.manual_seed(0)
    return Exported(randomized(Mixture()), picture(2, 8))


SMALL: list[Callable[[], Exported]] = [
    bert,
    vit,
    convnext,
    resnet_block,
    resnet_block_of_any_batch,
    bert_of_any_length,
    mixture,
]


def bert_base() -> Exported:
    return bert(1, 128, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072, vocab_size=30522,
                max_position_embeddings=512)  # fmt: skip


def vit_small() -> Exported:
    return vit(
        hidden_size=384,
        num_hidden_layers=12,
        num_attention_heads=6,
        intermediate_size=1536,
        image_size=224,
        patch_size=16,
    )


BIG: list[Callable[[], Exported]] = [bert_base, vit_small]


def export(made: Exported, dynamo: bool) -> bytes:
    """The bytes of the ONNX file; a failure of the exporter itself is not ours, and skips."""
    arguments, names = tuple(made.inputs.values()), list(made.inputs)
    dynamic: dict[str, Any] = {}
    if made.dynamic and dynamo:
        axes = [{axis: torch.export.Dim(name, min=1, max=64) for axis, name in made.dynamic[n].items()} for n in names]
        dynamic = {"dynamic_shapes": (tuple(axes),) if isinstance(made.model, Tensor) else tuple(axes)}
    elif made.dynamic:
        dynamic = {"dynamic_axes": {name: dict(axes) for name, axes in made.dynamic.items()}}
    held = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if dynamo:
                torch.onnx.export(made.model, arguments, input_names=names, dynamo=True, verbose=False, **dynamic).save(
                    held
                )
            else:
                torch.onnx.export(
                    made.model, arguments, held, input_names=names, opset_version=17, dynamo=False, **dynamic
                )
        except Exception as error:  # the exporter raises all sorts
            pytest.skip(f"torch.onnx.export: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
    return held.getvalue()


def check(made: Exported, dynamo: bool) -> None:
    content = export(made, dynamo)
    shapes = {name: tuple(value.shape) for name, value in made.inputs.items()}
    (got,) = minicc.compile(content, input_shapes=shapes)(*[value.numpy() for value in made.inputs.values()])
    with torch.no_grad():
        expected = made.model(*made.inputs.values()).numpy()
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


EXPORTERS = pytest.mark.parametrize("dynamo", [True, False], ids=["dynamo", "script"])


@EXPORTERS
@pytest.mark.parametrize("build", SMALL, ids=lambda f: f.__name__)
def test_small_model(build, dynamo):
    check(build(), dynamo)


@pytest.mark.slow
@EXPORTERS
@pytest.mark.parametrize("build", BIG, ids=lambda f: f.__name__)
def test_big_model(build, dynamo):
    check(build(), dynamo)


@EXPORTERS
def test_one_file_for_every_batch(dynamo):
    made = resnet_block_of_any_batch()
    content = export(made, dynamo)
    graph = minicc.load(content)
    (symbol,) = graph.symbols
    for batch in (1, 5):
        x = picture(batch, 32)["x"]
        (got,) = minicc.compile(graph, dims={symbol: batch})(x.numpy())
        with torch.no_grad():
            np.testing.assert_allclose(got, made.model(x).numpy(), rtol=1e-3, atol=1e-4)
