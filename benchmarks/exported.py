"""Models as exporters write them: PyTorch modules, from `transformers` configurations and of our own, as ONNX files.

    python -m benchmarks.exported DIR              all of MODELS, batch 1
    python -m benchmarks.exported DIR resnet50 --batch 4

In: a name of MODELS and a batch size. Out: the path of an ONNX file by `torch.onnx.export`, and one sample of inputs, drawn anew
for every call of `inputs`. Weights are random, statistics of BatchNorm are moved from their initial values, so that nothing is 0 or 1.
The networks of the YOLO family are read from Darknet's own configurations (in `darknet/`, public domain), as torch modules.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent
Array = np.ndarray[Any, Any]


def torch_of() -> Any:
    """PyTorch. It is imported when first needed."""
    import torch

    return torch


# ---- vision: networks that transformers has no configuration for ------------------------------------------------------


def vgg16() -> Any:
    """Simonyan and Zisserman 2015, configuration D."""
    nn = torch_of().nn
    layers: list[Any] = []
    inputs = 3
    for width in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        inputs = width or inputs
    dense = [
        nn.Flatten(),
        nn.Linear(512 * 49, 4096),
        nn.ReLU(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, 1000),
    ]
    return nn.Sequential(*layers, *dense)


def mobilenet_v3_small() -> Any:
    """Howard et al. 2019, table 2."""
    torch = torch_of()
    nn = torch.nn

    def layer(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: Any = None) -> list[Any]:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [conv, nn.BatchNorm2d(outputs), *([act()] if act else [])]

    class Excite(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self, channels: int) -> None:
            super().__init__()
            squeezed = max(8, -(-(channels // 4) // 8) * 8)
            self.down, self.up = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

        def forward(self, x: Any) -> Any:
            scale = self.up(torch.relu(self.down(nn.functional.adaptive_avg_pool2d(x, 1))))
            return x * nn.functional.hardsigmoid(scale)

    class Block(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(
            self, inputs: int, kernel: int, wide: int, outputs: int, excite: bool, act: Any, stride: int
        ) -> None:
            super().__init__()
            first = layer(inputs, wide, 1, act=act) if wide != inputs else []
            middle = layer(wide, wide, kernel, stride, wide, act)
            self.body = nn.Sequential(*first, *middle, *([Excite(wide)] if excite else []), *layer(wide, outputs, 1))
            self.residual = stride == 1 and inputs == outputs

        def forward(self, x: Any) -> Any:
            return x + self.body(x) if self.residual else self.body(x)

    relu, hard = nn.ReLU, nn.Hardswish
    table = [(3, 16, 16, True, relu, 2), (3, 72, 24, False, relu, 2), (3, 88, 24, False, relu, 1), (5, 96, 40, True, hard, 2),
             (5, 240, 40, True, hard, 1), (5, 240, 40, True, hard, 1), (5, 120, 48, True, hard, 1), (5, 144, 48, True, hard, 1),
             (5, 288, 96, True, hard, 2), (5, 576, 96, True, hard, 1), (5, 576, 96, True, hard, 1)]  # fmt: skip
    body, inputs = layer(3, 16, 3, 2, act=hard), 16
    for kernel, wide, outputs, excite, act, stride in table:
        body.append(Block(inputs, kernel, wide, outputs, excite, act, stride))
        inputs = outputs
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(576, 1024), hard(), nn.Linear(1024, 1000)]
    return nn.Sequential(*body, *layer(96, 576, 1, act=hard), *head)


# ---- Darknet ----------------------------------------------------------------------------------------------------------


def sections(text: str) -> list[tuple[str, dict[str, str]]]:
    """The sections of a Darknet configuration, in order."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in (raw.split("#")[0].strip() for raw in text.splitlines()):
        if line.startswith("["):
            found.append((line.strip("[]"), {}))
        elif line:
            key, _, value = line.partition("=")
            found[-1][1][key.strip()] = value.strip()
    return found


def darknet(name: str) -> Any:  # noqa: C901  # a class of torch's, which is imported when first needed
    """A network of `darknet/NAME.cfg` up to its [yolo] layers, whose inputs are its outputs."""
    torch = torch_of()
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            (_, self.net), *self.layers = sections((ROOT / "darknet" / f"{name}.cfg").read_text())
            self.modules_of = nn.ModuleDict()
            widths: list[int] = []
            for n, (kind, own) in enumerate(self.layers):
                inputs = widths[-1] if widths else int(self.net["channels"])
                widths.append(self.width_of(n, kind, own, inputs, widths))

        def width_of(self, n: int, kind: str, own: dict[str, str], inputs: int, widths: list[int]) -> int:
            if kind == "route":
                return sum(widths[i] for i in self.sources(n, own)) // int(own.get("groups", 1))
            if kind != "convolutional":
                return inputs
            filters, size, normal = int(own["filters"]), int(own["size"]), own.get("batch_normalize") == "1"
            padding = size // 2 if own.get("pad") == "1" else 0
            conv = nn.Conv2d(
                inputs, filters, size, int(own["stride"]), padding, groups=int(own.get("groups", 1)), bias=not normal
            )
            act = [nn.LeakyReLU(0.1)] if own["activation"] == "leaky" else []
            self.modules_of[str(n)] = nn.Sequential(conv, *([nn.BatchNorm2d(filters)] if normal else []), *act)
            return filters

        @staticmethod
        def sources(n: int, own: dict[str, str]) -> list[int]:
            numbers = [int(i) for i in own["layers"].split(",")]
            return [n + i if i < 0 else i for i in numbers]

        def step(self, n: int, kind: str, own: dict[str, str], x: Any, done: list[Any]) -> Any:
            if kind == "convolutional":
                return self.modules_of[str(n)](x)
            if kind == "route":
                whole = torch.cat([done[i] for i in self.sources(n, own)], 1)
                groups = int(own.get("groups", 1))
                return torch.chunk(whole, groups, 1)[int(own["group_id"])] if groups > 1 else whole
            if kind == "shortcut":
                return x + done[n + int(own["from"])]
            if kind == "upsample":
                return nn.functional.interpolate(x, scale_factor=int(own["stride"]), mode="nearest")
            if kind == "maxpool":
                size, stride = int(own["size"]), int(own["stride"])
                left = (size - 1) // 2
                padded = nn.functional.pad(x, (left, size - 1 - left) * 2, value=-math.inf) if stride == 1 else x
                return nn.functional.max_pool2d(padded, size, stride)
            return x

        def forward(self, x: Any) -> Any:
            done: list[Any] = []
            for n, (kind, own) in enumerate(self.layers):
                x = self.step(n, kind, own, x, done)
                done.append(x)
            return tuple(done[n] for n, (kind, _) in enumerate(self.layers) if kind == "yolo")

    return Net()


def side_of(name: str) -> int:
    """The width and height that a Darknet configuration asks for."""
    return int(sections((ROOT / "darknet" / f"{name}.cfg").read_text())[0][1]["width"])


# ---- transformers -----------------------------------------------------------------------------------------------------


def of_transformers(model: str, config: str, result: str, argument: str, **sizes: Any) -> Any:
    """A model of `transformers`, as a function of one tensor, or of tokens and their mask, that gives `result`."""
    import transformers

    torch = torch_of()

    class One(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = getattr(transformers, model)(getattr(transformers, config)(**sizes))

        def forward(self, *given: Any) -> Any:
            names = argument.split()
            found = self.model(**dict(zip(names, given, strict=True)))
            return getattr(found, result)

    return One()


def whisper_encoder() -> Any:
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch = torch_of()

    class Encoder(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            sizes = {"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536}
            self.model = WhisperEncoder(WhisperConfig(**sizes))

        def forward(self, x: Any) -> Any:
            return self.model(x).last_hidden_state

    return Encoder()


def detr() -> Any:
    """DETR (Carion et al. 2020) over a ResNet-50; its boxes."""
    from transformers import ResNetConfig

    backbone = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
    sizes = {**backbone, "backbone_config": ResNetConfig(out_features=["stage4"])}
    return of_transformers("DetrForObjectDetection", "DetrConfig", "pred_boxes", "pixel_values", **sizes)


def classifier(name: str, **sizes: Any) -> Any:
    return of_transformers(
        f"{name}ForImageClassification", f"{name}Config", "logits", "pixel_values", num_labels=1000, **sizes
    )


MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
BASIC = {"embedding_size": 64, "hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}
VIT = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6, "intermediate_size": 1536}
TEXT = ("input_ids", "attention_mask")


def encoder(model: str, config: str, **sizes: Any) -> Any:
    return of_transformers(model, config, "last_hidden_state", " ".join(TEXT), **sizes)


class Model:
    """How a module is made, and its inputs: a picture of `side`, tokens of `length`, or an array of `shape` without its batch."""

    def __init__(self, make: Callable[[], Any], *, side: int = 0, length: int = 0, shape: tuple[int, ...] = ()) -> None:
        self.make, self.length = make, length
        self.shape = (3, side, side) if side else shape

    def inputs(self, batch: int = 1, seed: int = 0) -> dict[str, Array]:
        """New inputs, by name."""
        rng = np.random.default_rng(seed)
        if self.length:
            ids = rng.integers(0, 30000, (batch, self.length), dtype=np.int64)
            return {TEXT[0]: ids, TEXT[1]: np.ones((batch, self.length), np.int64)}
        return {"x": rng.standard_normal((batch, *self.shape), np.float32)}


MODELS: dict[str, Model] = {
    "resnet18": Model(lambda: classifier("ResNet", **BASIC), side=224),
    "resnet50": Model(lambda: classifier("ResNet"), side=224),
    "vgg16": Model(vgg16, side=224),
    "yolov3": Model(lambda: darknet("yolov3"), side=416),
    "yolov3-tiny": Model(lambda: darknet("yolov3-tiny"), side=416),
    "yolov4-tiny": Model(lambda: darknet("yolov4-tiny"), side=416),
    "yolo-fastest": Model(lambda: darknet("yolo-fastest-1.1"), side=320),
    "mobilenet_v2": Model(lambda: classifier("MobileNetV2"), side=224),
    "mobilenet_v3_small": Model(mobilenet_v3_small, side=224),
    "efficientnet_b0": Model(
        lambda: classifier("EfficientNet", width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, image_size=224), side=224
    ),
    "convnext_tiny": Model(lambda: classifier("ConvNext"), side=224),
    "bert_base": Model(lambda: encoder("BertModel", "BertConfig"), length=128),
    "minilm": Model(lambda: encoder("BertModel", "BertConfig", **MINILM), length=32),
    "vit_small": Model(lambda: classifier("ViT", **VIT), side=224),
    "gpt2": Model(lambda: of_transformers("GPT2Model", "GPT2Config", "last_hidden_state", TEXT[0], use_cache=False), length=64),
    "swin_tiny": Model(lambda: classifier("Swin"), side=224),
    "segformer_b0": Model(
        lambda: of_transformers("SegformerForSemanticSegmentation", "SegformerConfig", "logits", "pixel_values", num_labels=150), side=512
    ),
    "whisper_tiny_encoder": Model(whisper_encoder, shape=(80, 3000)),
    "detr_resnet50": Model(detr, side=800),
}  # fmt: skip


def module(name: str, seed: int = 0) -> Any:
    """The PyTorch module of MODELS[name] in evaluation mode."""
    torch = torch_of()
    torch.manual_seed(seed)
    made = MODELS[name].make().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in made.named_buffers():
            if value.dtype.is_floating_point and ("running" in key):
                step = 0.1 * torch.rand(value.shape, generator=generator)
                value.add_(step if "var" in key else step - 0.05)
    return made


def arguments(name: str, inputs: dict[str, Array]) -> tuple[Any, ...]:
    """What the module is called with."""
    torch = torch_of()
    values = tuple(torch.from_numpy(a) for a in inputs.values())
    return values[:1] if name == "gpt2" else values


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """An exporter tells much that nobody here can change."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


def export(name: str, folder: Path, batch: int = 1, program: bool = False) -> Path:
    """The ONNX file of a model in `folder`, weights inside, and an .npz of inputs beside it; made if they are not there.

    With `program` also what `torch.export.save` writes of the same module, a .pt2.
    """
    torch = torch_of()
    path = folder / f"{name}-{batch}.onnx"
    if path.exists() and (path.with_suffix(".pt2").exists() or not program):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    given = MODELS[name].inputs(batch)
    values = arguments(name, given)
    names = list(given)[: len(values)]
    with torch.no_grad(), _quiet(), tempfile.TemporaryDirectory(dir=folder) as scratch:
        made = Path(scratch) / path.name
        exported = torch.export.export(module(name), values)
        if program:
            torch.export.save(exported, made.with_suffix(".pt2"))
        np.savez(made.with_suffix(".npz"), **{key: given[key] for key in names})
        torch.onnx.export(exported, values, made, input_names=names, dynamo=True, external_data=False)
        for file in sorted(Path(scratch).iterdir()):  # the .onnx before the others would say that all is there
            if file.suffix != ".onnx":
                file.rename(folder / file.name)
        made.rename(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.exported", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", metavar="model", help=f"default: all of {', '.join(MODELS)}")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--program", action="store_true", help="the program of torch.export, too")
    options = parser.parse_args()
    for name in options.models or MODELS:
        path = export(name, options.folder, options.batch, options.program)
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
