"""Train the small CNN of `make demo` on scikit-learn's handwritten digits, and write it as ONNX.

    pip install torch==2.13.0 scikit-learn onnx
    python tutorials/data/train_digits.py minicc/cli/digits

Writes `digits.onnx` (the trained model, BatchNorm kept as exporters leave it) and `heldout.npz`
(the images and labels that training never saw). Takes about ten seconds. The seed is fixed: the same model comes out on the same PyTorch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


def network() -> nn.Sequential:
    """Three convolutions, global average pooling, and a linear classifier: 1x8x8 -> 10."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(64, 10), nn.Softmax(dim=1),
    )  # fmt: skip


def train(model: nn.Sequential, images: torch.Tensor, labels: torch.Tensor, epochs: int = 40) -> None:
    logits = model[:-1]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=epochs * (len(images) // 64 + 1))
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for batch in order.split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(logits(images[batch]), labels[batch], label_smoothing=0.05)
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {loss.item():.4f}")


def to_onnx(model: nn.Sequential) -> onnx.ModelProto:  # noqa: C901 - one flat choice over the layers
    """The network layer by layer, with a symbolic batch."""
    nodes, weights, value = [], [], "image"

    def weight(name: str, tensor: torch.Tensor) -> str:
        weights.append(numpy_helper.from_array(tensor.detach().numpy(), name))
        return name

    def emit(op: str, name: str, *inputs: str, **attributes: object) -> str:
        nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    for n, layer in enumerate(model):
        if isinstance(layer, nn.Conv2d):
            value = emit(
                "Conv",
                f"conv{n}",
                value,
                weight(f"w{n}", layer.weight),
                weight(f"b{n}", layer.bias),
                pads=[1, 1, 1, 1],
                kernel_shape=[3, 3],
            )
        elif isinstance(layer, nn.BatchNorm2d):
            value = emit(
                "BatchNormalization",
                f"norm{n}",
                value,
                weight(f"scale{n}", layer.weight),
                weight(f"shift{n}", layer.bias),
                weight(f"mean{n}", layer.running_mean),
                weight(f"var{n}", layer.running_var),
                epsilon=layer.eps,
            )
        elif isinstance(layer, nn.ReLU):
            value = emit("Relu", f"relu{n}", value)
        elif isinstance(layer, nn.MaxPool2d):
            value = emit("MaxPool", f"pool{n}", value, kernel_shape=[2, 2], strides=[2, 2])
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            value = emit("GlobalAveragePool", f"pool{n}", value)
        elif isinstance(layer, nn.Flatten):
            value = emit("Flatten", f"flat{n}", value, axis=1)
        elif isinstance(layer, nn.Linear):
            value = emit(
                "Gemm", f"linear{n}", value, weight(f"w{n}", layer.weight), weight(f"b{n}", layer.bias), transB=1
            )
        else:
            value = emit("Softmax", "probability", value, axis=1)
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", 10])], weights,
    )  # fmt: skip
    model_proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="minicc", ir_version=8
    )  # the one that came with opset 17
    onnx.checker.check_model(model_proto)
    return model_proto


def main(folder: Path) -> None:
    torch.manual_seed(0)
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    x, x_held, y, y_held = train_test_split(images, labels, test_size=0.2, random_state=0, stratify=labels)
    model = network()
    train(model, torch.from_numpy(x), torch.from_numpy(y))
    model.eval()
    with torch.no_grad():
        accuracy = (model(torch.from_numpy(x_held)).argmax(1).numpy() == y_held).mean()
    onnx.save(to_onnx(model), folder / "digits.onnx")
    np.savez_compressed(folder / "heldout.npz", images=(x_held * 16).astype(np.uint8), labels=y_held.astype(np.uint8))
    print(f"held-out accuracy {accuracy:.4f} on {len(x_held)} images")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
