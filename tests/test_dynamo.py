"""`torch.compile(model, backend="minicc")`: results, fallbacks, weights that change, sizes that change, memory."""

import re
import tomllib
import warnings
from pathlib import Path

import pytest

from minicc.errors import ConfigError, FallbackWarning

torch = pytest.importorskip("torch")
nn = torch.nn

from minicc import dynamo  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    dynamo._WARNED.clear()


def compiled(module, **options):
    return torch.compile(module, backend=dynamo.backend, options=options or None)


def assert_agree(module, *inputs, call=None):
    with torch.no_grad():
        wanted = module(*inputs)
        got = (compiled(module) if call is None else call)(*inputs)
    torch.testing.assert_close(got, wanted)
    return got


class Mixed(nn.Module):
    """Supported operators around two that are not, one of several results, a number among the results."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        y = torch.relu(self.a(x))
        best, where = torch.max(self.b(y) * torch.linalg.svdvals(y).sum(), 1)
        return {"best": best, "where": where, "number": 3, "rest": torch.lgamma(y + 1) * 2}


def test_torch_finds_the_backend_by_its_name():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["entry-points"]["torch_dynamo_backends"]["minicc"].partition(":")
    assert module == dynamo.__name__ and getattr(dynamo, name) is dynamo.backend


def test_the_code_of_the_readme():
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```text\n(import minicc, torch\n.*?)```", text, re.DOTALL)
    code = code.replace('backend="minicc"', "backend=backend")  # the name is there once minicc is installed
    module, x = nn.Sequential(nn.Linear(3, 2), nn.Tanh()), torch.randn(4, 3)
    known = {"module": module, "x": x, "backend": dynamo.backend}
    exec(code.replace('{"x"', '{"input"'), known)
    torch.testing.assert_close(known["y"], module(x).detach())


def test_an_unknown_operator_runs_in_pytorch_and_one_warning_names_it():
    with pytest.warns(FallbackWarning) as caught:
        assert_agree(Mixed(), torch.randn(5, 8))
    (warning,) = [w.message for w in caught if isinstance(w.message, FallbackWarning)]
    assert "aten.lgamma.default (1)" in warning.problem and "_linalg_svd" in warning.problem
    assert f"{__file__}:" in warning.where and warning.hint


def test_gradients_are_left_to_pytorch():
    net, x = nn.Linear(3, 2), torch.randn(4, 3)
    with pytest.warns(FallbackWarning, match="gradients"):
        compiled(net)(x).sum().backward()
    assert net.weight.grad is not None


def test_other_sizes_and_strides():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    call = compiled(net.eval())
    for batch, size in ((2, 8), (3, 8), (7, 8), (3, 8), (2, 9)):
        assert_agree(net, torch.randn(batch, 3, size, size), call=call)
    image = torch.randn(3, 3, 8, 8)
    assert_agree(net, image.to(memory_format=torch.channels_last), call=call)
    assert_agree(net, image.transpose(2, 3), call=call)
    assert_agree(net, torch.randn(6, 3, 16, 8)[::2, :, ::2], call=call)


def test_results_lie_as_pytorch_would_have_them():
    def turned(x):
        y = torch.sin(x).permute(0, 2, 1)
        return y, y + 1, x * 2

    x = torch.randn(2, 3, 4)
    for got, wanted in zip(assert_agree(turned, x, call=compiled(turned)), turned(x), strict=True):
        assert got.stride() == wanted.stride()


def test_weights_are_constants_until_they_change():
    net, x = nn.Linear(4, 4), torch.randn(2, 4)
    call = compiled(net)
    assert_agree(net, x, call=call)
    with torch.no_grad():
        net.weight.add_(1)
    assert_agree(net, x, call=call)
    net.bias = nn.Parameter(torch.randn(4))
    assert_agree(net, x, call=call)
    for _ in range(3):
        with torch.no_grad():
            net.weight.mul_(2)
        assert_agree(net, x, call=call)


def test_a_buffer_that_the_module_writes_to():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(2))

        def forward(self, x):
            self.count += 1
            return x * self.count

    net, other = Counting(), Counting()
    call = compiled(net)
    for _ in range(3):
        with torch.no_grad():
            torch.testing.assert_close(call(torch.ones(2)), other(torch.ones(2)))
    torch.testing.assert_close(net.count, other.count)


def test_results_are_kept_and_inputs_are_not_copied():
    def twice(x):
        return x * 2, x

    call, x = compiled(twice), torch.randn(1000)
    first, same = call(x)
    kept = first.clone()
    call(torch.randn(1000))
    torch.testing.assert_close(first, kept)
    first.add_(1)  # memory of its own
    assert same is x or same.data_ptr() == x.data_ptr()


def test_writing_to_an_input_is_seen_outside():
    def add(x, y):
        x.add_(y)
        return x * 2

    x, y = torch.ones(3), torch.ones(3)
    torch.testing.assert_close(compiled(add)(x, y), torch.full((3,), 4.0))
    torch.testing.assert_close(x, torch.full((3,), 2.0))


def test_numbers_of_many_kinds():
    def kinds(x, i, b, n):
        return x.to(torch.bfloat16) * 2, i + n, b & (i > 1), x.half().sum(), (i // 2).double()

    for n in (1, 2, 3):
        assert_agree(
            kinds, torch.randn(4), torch.arange(4), torch.tensor([True, False, True, True]), n, call=compiled(kinds)
        )


def test_a_part_that_cannot_be_translated_runs_in_pytorch():
    def pool(x):
        return nn.functional.avg_pool2d(x, 2) + 1

    with pytest.warns(FallbackWarning, match="runs in PyTorch"):
        assert_agree(pool, torch.arange(32).reshape(1, 2, 4, 4), call=compiled(pool))


def test_options():
    net, x = nn.Linear(3, 3), torch.randn(2, 3)
    assert_agree(net, x, call=compiled(net, threads=1, exact=True, target="native"))
    for wrong in ({"options": {"treads": 2}}, {"mode": "max-autotune"}):
        with pytest.raises(ConfigError, match="options of minicc"):
            dynamo.backend(torch.fx.symbolic_trace(net), [x], **wrong)
    torch._dynamo.reset()


def test_inference_mode_and_graph_breaks():
    def broken(x):
        y = torch.relu(x)
        torch._dynamo.graph_break()
        return y + x.sum()

    call, x = compiled(broken), torch.randn(3)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error", FallbackWarning)
        torch.testing.assert_close(call(x), broken(x))
