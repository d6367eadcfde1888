"""Every ATen operator of the tables computes what PyTorch does, on PyTorch's own samples; core ATen is covered."""

import collections

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")

from minicc.frontend.torch.translate import TRANSLATIONS, translation_of  # noqa: E402
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


def test_a_sample_of_each_operator_of_the_tables_agrees():
    names = {name.partition(".")[0] for name in TRANSLATIONS}
    counts = assert_no_faults([op for op in torch_samples.operators() if op.name in names], [torch.float32], 1)
    assert len(counts) > 150
    assert sum(set(found) == {"ok"} for found in counts.values()) > 0.95 * len(counts)


DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool"]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_agree(dtype, part):
    """Of all operators that PyTorch has samples for."""
    assert_no_faults(torch_samples.operators()[part::8], [getattr(torch, dtype)], 20)


NOT_INFERENCE = ("backward", "rand", "native_dropout", "_fft_", ".out")  # gradients, chance, complex numbers
OF_UNKNOWN_SIZE = {"_local_scalar_dense", "nonzero"}  # sizes and branches that values decide
WRITES = {"resize_"}  # in place, which export takes away


def test_core_aten_is_covered():
    """All of what inference uses, but what makes sizes of values."""
    packets = [getattr(torch.ops.aten, name) for name in dir(torch.ops.aten) if not name.startswith("__")]
    overloads = [getattr(p, name) for p in packets if hasattr(p, "overloads") for name in p.overloads()]
    core = [op for op in overloads if torch.Tag.core in op.tags]
    sizes = {op for op in core if op.name().removeprefix("aten::").startswith("sym_")}  # expressions say what they are
    used = [op for op in core if not any(part in str(op) for part in NOT_INFERENCE) and op not in sizes]
    missing = {op.name().removeprefix("aten::") for op in used if translation_of(op) is None}
    known = torch_samples.TABLE
    assert missing - {op.name().removeprefix("aten::") for op in known} <= OF_UNKNOWN_SIZE | WRITES
    assert len(core) > 180 and len(used) > 160
