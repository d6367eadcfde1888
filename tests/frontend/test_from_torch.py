"""Modules of PyTorch as graphs: names, dynamic dimensions, spans, dtypes, TorchScript, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

import minicc
from minicc.errors import LoadError
from minicc.graph.bind import bind
from minicc.graph.interpret import evaluate

torch = pytest.importorskip("torch")
nn = torch.nn

from minicc.frontend.torch.tensors import array_of, tensor_of  # noqa: E402

pytestmark = pytest.mark.torch


def array(tensor):
    if tensor.dtype is torch.bfloat16:
        return tensor.float().numpy()
    return tensor.numpy()


def leaves(value):
    return [t for t in torch.utils._pytree.tree_leaves(value) if isinstance(t, torch.Tensor)]


def check(module, inputs, dynamic_shapes=None, others=(), tolerance=1e-5):
    """The graph of a module computes what the module does, on these inputs and on others of other sizes."""
    graph = minicc.from_torch(module, inputs, dynamic_shapes)
    for given in (inputs, *others):
        flat = leaves(given)
        feeds = dict(zip(graph.input_names, map(array, flat), strict=True))
        shapes = {name: a.shape for name, a in feeds.items()}
        with torch.no_grad():
            wanted = leaves(module(**given) if isinstance(given, dict) else module(*given))
        got = evaluate(bind(graph, shapes=shapes), feeds)
        assert len(got) == len(wanted)
        for found, tensor in zip(got.values(), wanted, strict=True):
            np.testing.assert_allclose(found.astype(array(tensor).dtype), array(tensor), tolerance, tolerance)
    return graph


class Names(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, ids, mask=None, pair=None):
        hidden = self.linear(ids.float() * (mask if mask is not None else 1))
        return {"logits": hidden, "states": [hidden + pair[0], (pair[1] > 0, ids + 1)], "nothing": None}


def test_inputs_and_outputs_have_the_names_of_the_module():
    ids, mask = torch.arange(8).reshape(2, 4), torch.ones(2, 4, dtype=torch.bool)
    graph = check(Names(), {"ids": ids, "mask": mask, "pair": (torch.randn(4), torch.randn(3))})
    assert graph.input_names == ("ids", "mask", "pair_0", "pair_1")
    assert graph.output_names == ("logits", "states_0", "states_1_0", "states_1_1")
    assert graph.name == "Names"


def test_a_function_and_a_single_tensor():
    graph = check(lambda x, y: (x @ y, x.sum()), (torch.randn(3, 4), torch.randn(4, 5)))
    assert graph.input_names == ("x", "y") and graph.output_names == ("output_0", "output_1")
    assert minicc.from_torch(torch.relu, torch.randn(3)).output_names == ("output",)


def test_an_exported_program_and_tied_weights():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(7, 3)
            self.head = nn.Linear(3, 7, bias=False)
            self.head.weight = self.table.weight
            self.register_buffer("scale", torch.tensor(2.0), persistent=False)

        def forward(self, x):
            return self.head(self.table(x)) * self.scale + torch.tensor([1.0] * 7)

    x = torch.tensor([[1, 6, 2]])
    program = torch.export.export(Tied(), (x,))
    graph = minicc.from_torch(program)
    (got,) = evaluate(graph, {"x": x.numpy()}).values()
    np.testing.assert_allclose(got, program.module()(x).detach().numpy(), 1e-5, 1e-6)


class Flexible(nn.Module):
    """Sizes in arithmetic: views, slices, ranges, masks and means by them."""

    def forward(self, x, y):
        batch, length, width = x.shape
        flat = x.reshape(batch, length * width)
        half = flat[:, : (length * width) // 2]
        places = torch.arange(length) + batch
        seen = torch.ones(length, length, dtype=torch.bool).tril()
        mixed = torch.where(seen, x @ x.transpose(1, 2), -1.0)
        parts = torch.cat([mixed.flatten(), places.float(), half.flatten(), y.expand(batch, -1).flatten()])
        return parts, x.mean((1, 2)) * length, torch.full((batch, 2), 3.0), nn.functional.pad(x, (0, length))


def test_dynamic_dimensions_are_symbols():
    batch, length = torch.export.Dim("batch", min=2, max=64), torch.export.Dim("length", min=2, max=64)
    shapes = {"x": {0: batch, 1: length}, "y": None}
    others = [(torch.randn(b, n, 6), torch.randn(1, 5)) for b, n in ((2, 2), (5, 9))]
    graph = check(Flexible(), (torch.randn(3, 4, 6), torch.randn(1, 5)), shapes, others)
    assert str(graph.inputs[0].type) == "float32[batch,length,6]" and set(graph.symbols) == {"batch", "length"}


def test_a_derived_dimension_and_a_batch_of_images():
    half = torch.export.Dim("half", min=2, max=20)
    check(lambda x: x.reshape(-1, 2, 3).sum(1), (torch.randn(8, 3),), {"x": {0: 2 * half}}, [(torch.randn(6, 3),)])
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    shapes = {"input": {0: torch.export.Dim("n"), 2: torch.export.Dim("side", min=8)}}
    check(net.eval(), (torch.randn(3, 3, 16, 16),), shapes, [(torch.randn(1, 3, 20, 16),)])


def test_upsampling_by_a_scale_of_any_size():
    def up(x):
        return nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear")

    check(up, (torch.randn(1, 2, 4, 6),), {"x": {2: torch.export.Dim("h", min=2)}}, [(torch.randn(1, 2, 7, 6),)])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_floats(dtype):
    net = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3), nn.Softmax(-1)).to(dtype)
    graph = minicc.from_torch(net, torch.randn(2, 6, dtype=dtype))
    x = torch.randn(2, 6, dtype=dtype)
    (got,) = minicc.compile(graph)(array_of(x))
    with torch.no_grad():
        torch.testing.assert_close(tensor_of(got), net(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_logarithm_of_a_softmax_is_rounded_once(dtype):
    x = torch.randn(4, 50).mul(5).to(dtype)
    graph = minicc.from_torch(lambda x: x.log_softmax(-1), x)
    (got,) = evaluate(graph, {"x": array_of(x)}).values()
    exact = x.double().log_softmax(-1)
    error = (tensor_of(got).double() - exact).abs()
    assert (error <= torch.finfo(dtype).eps * 0.51 * exact.abs() + 1e-6).all()


def test_spans_name_the_line_of_the_module():
    graph = minicc.from_torch(Names(), (torch.ones(2, 4, dtype=torch.int64), None, (torch.ones(4), torch.ones(3))))
    span = next(graph.spans[n] for n in graph.nodes if n.op.name == "MatMul")
    line = Path(__file__).read_text(encoding="utf-8").splitlines()[span.index - 1]
    assert span.source == __file__ and "self.linear(" in line and span.op == "aten.linear.default"


@pytest.mark.parametrize("converter", [True, False], ids=["converted", "recorded"])
@pytest.mark.parametrize("how", ["traced", "scripted", "function"])
def test_torchscript(how, converter, monkeypatch):
    if not converter:
        monkeypatch.delattr("torch._export.converter.TS2EPConverter.convert")
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                        nn.Linear(64, 5)).eval().requires_grad_(False)  # fmt: skip
    x = torch.randn(2, 3, 8, 8)
    script = {"traced": lambda: torch.jit.trace(net, x), "scripted": lambda: torch.jit.script(net),
              "function": lambda: torch.jit.trace(lambda v: net(v) * 2, x)}[how]()  # fmt: skip
    graph = check(script, (x,))
    assert len(graph.inputs) == 1


def test_a_script_with_a_branch_takes_the_one_of_the_example():
    def signed(x: torch.Tensor, double: bool):
        if double:
            x = x * 2
        return x + 1

    check(torch.jit.script(signed), (torch.randn(3), True))


# What is refused


class Unknown(nn.Module):
    def forward(self, x):
        return torch.lgamma(x) + torch.lgamma(x * 2), torch.linalg.svdvals(x)


def test_all_operators_without_a_translation_are_named_at_once():
    with pytest.raises(LoadError) as caught:
        minicc.from_torch(Unknown(), torch.rand(3, 3))
    error = caught.value
    assert "aten.lgamma.default (2)" in error.problem and "svd" in error.problem
    assert len(re.findall(re.escape(__file__) + r":\d+", error.where)) == 2 and "torch.compile" in error.hint


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(2))

    def forward(self, x):
        self.count += 1
        return x + self.count


@pytest.mark.parametrize(
    ("module", "inputs", "problem", "hint"),
    [
        (Counter(), torch.ones(2), "one that writes to count", "argument and a result"),
        (lambda x: x.add_(1), torch.ones(2), "one that writes to x", "argument and a result"),
        (nn.BatchNorm1d(2), torch.ones(3, 2), "writes to", "module.eval()"),
        (nn.Dropout(), torch.ones(3), "bernoulli|dropout", ""),
        (lambda x: x if x.sum() > 0 else -x, torch.ones(2), "torch.export can export", "make it pass first"),
        (lambda x: torch.fft.rfft(x).real, torch.ones(4), "_fft_r2c", ""),
        (lambda x: x[x > 0], torch.ones(4), "nonzero|index", ""),
        (lambda x: None, torch.ones(4), "a module that returns tensors, got none", "return what"),
        (lambda x: x.to(torch.complex64).abs(), torch.ones(4), "complex64|_to_copy", ""),
        (lambda x: nn.functional.interpolate(x, (3, 3), mode="bilinear", antialias=True),
         torch.ones(1, 1, 5, 5, dtype=torch.uint8), "expected floats, of which", "x.float()"),
        (3, torch.ones(2), "expected a torch.nn.Module, a function or an ExportedProgram, got builtins.int", "load_state_dict"),
        ({"w": torch.ones(2)}, torch.ones(2), "got builtins.dict", "load_state_dict"),
        (nn.Linear(2, 2), torch.ones(2, 3), "torch.export can export, got", "make it pass first"),
    ],
    ids=["buffer", "input", "training", "dropout", "branch", "complex", "mask", "nothing", "cast", "bytes", "number", "weights", "shape"],
)  # fmt: skip
def test_what_is_no_graph_is_refused(module, inputs, problem, hint):
    with pytest.raises(LoadError) as caught:
        minicc.from_torch(module, inputs)
    assert re.search(problem, caught.value.problem) and hint in caught.value.hint and caught.value.call == "from_torch"


def test_weights_are_copies():
    net = nn.Linear(3, 3)
    graph = minicc.from_torch(net, torch.ones(1, 3))
    (before,) = evaluate(graph, {"input": np.ones((1, 3), np.float32)}).values()
    with torch.no_grad():
        net.weight.zero_()
    (after,) = evaluate(graph, {"input": np.ones((1, 3), np.float32)}).values()
    np.testing.assert_array_equal(before, after)
