"""Every ATen operator of the tables computes what PyTorch does, on PyTorch's own samples; core ATen is covered."""

import collections

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from minicc.frontend.torch.translate import translation_of  # noqa: E402
from tests.frontend import torch_samples  # noqa: E402

pytestmark = pytest.mark.torch
FINE = ("ok", "unsupported", "not traced")


def assert_no_faults(ops, dtypes, most):
    """Counts of outcomes by operator, none of which is wrong."""
    counts = collections.defaultdict(collections.Counter)
    for name, found in torch_samples.outcomes(ops, dtypes, most):
        assert found.startswith(FINE), f"{name}: {found}"
        counts[name][found.partition(":")[0]] += 1
    return counts


@pytest.mark.parametrize("part", range(4))
def test_samples_agree(part):
    ops = torch_samples.operators()[part::4]
    counts = assert_no_faults(ops, [torch.float32], 2)
    agreed = sum(set(found) == {"ok"} for found in counts.values())
    assert agreed > 0.6 * len(counts)


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool], ids=str
)
def test_all_samples_agree(dtype):
    assert_no_faults(torch_samples.operators(), [dtype], 40)


NOT_INFERENCE = ("backward", "rand", "native_dropout", "_fft_", ".out")  # gradients, chance, complex numbers
OF_UNKNOWN_SIZE = {"_local_scalar_dense", "nonzero"}  # sizes and branches that values decide


def test_core_aten_is_covered():
    """All of what inference uses, but what makes sizes of values."""
    overloads = [getattr(packet, name) for packet in map(torch.ops.aten.__getattr__, dir(torch.ops.aten))
                 if hasattr(packet, "overloads") for name in packet.overloads()]  # fmt: skip
    core = [op for op in overloads if torch.Tag.core in op.tags]
    sizes = {op for op in core if op.name().removeprefix("aten::").startswith("sym_")}  # expressions say what they are
    used = [op for op in core if not any(part in str(op) for part in NOT_INFERENCE) and op not in sizes]
    missing = {op.name().removeprefix("aten::") for op in used if translation_of(op) is None}
    known = torch_samples.TABLE
    assert missing - {op.name().removeprefix("aten::") for op in known} <= OF_UNKNOWN_SIZE
    assert len(core) > 180 and len(used) > 160
