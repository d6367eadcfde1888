"""A transposed convolution by phases is a transposed convolution, whatever its attributes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings

from minicc import ops
from minicc.compile import optimize
from minicc.errors import TypeInferenceError
from minicc.graph import ir
from minicc.graph.split_phases import by_phases, splits
from minicc.ops.window import first, last
from minicc.target import Target
from minicc.testing.oracle import agree
from minicc.testing.strategies import operators
from minicc.types import TensorType


def check(op, x, w) -> None:
    if not splits(op, x.shape[2:], w.shape[2:]):
        return
    got = by_phases(op, last(x), w, lambda conv, x, w: last(conv(first(x), w)))
    np.testing.assert_allclose(first(got), op(x, w), atol=1e-12)


@pytest.mark.parametrize(("kernel", "attributes"), [
    ((2, 2), {"strides": (2, 2)}), ((4, 4), {"strides": (2, 2), "padding": (1, 1, 1, 1)}),
    ((3, 3), {"strides": (2, 2), "padding": (1, 1, 1, 1), "output_padding": (1, 1)}), ((3,), {"strides": (3,)}),
    ((5, 2, 3), {"strides": (2, 3, 1)}), ((3, 3), {"dilation": (2, 1), "strides": (2, 2)}), ((1, 1), {"strides": (2, 2)}),
    ((2, 2), {"strides": (2, 2), "output_padding": (1, 0)}), ((3, 3), {"padding": (2, 0, 1, 2)}), ((3,), {"padding": (6, 6)}),
])  # fmt: skip
@pytest.mark.parametrize("groups", [1, 2])
def test_usual_ones(kernel, attributes, groups) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 2 * groups, *[11, 5, 4][: len(kernel)]))
    check(ops.ConvTranspose(groups=groups, **attributes), x, rng.standard_normal((2 * groups, 3, *kernel)))


@given(operators("ConvTranspose"))
@settings(deadline=None)
def test_any(example) -> None:
    op, (x, w) = example
    assume(np.isfinite(x).all() and np.isfinite(w).all() and x.dtype == w.dtype)
    try:
        assume(op.infer(TensorType.of(x), TensorType.of(w)).size > 0)
    except TypeInferenceError:
        assume(False)
    bounded = [np.clip(np.asarray(a, np.float64), -100, 100) for a in (x, w)]
    check(op, *bounded)


@pytest.mark.parametrize("groups", [1, 2])
def test_in_a_compiled_graph(groups) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 32, 9, 7)).astype(np.float32)
    w = rng.standard_normal((32, 24 // groups, 3, 3)).astype(np.float32)
    op = ops.ConvTranspose((2, 2), (1, 1, 1, 1), groups=groups, output_padding=(1, 1))
    result = ops.Relu()(op(ir.input("x", TensorType.of(x)), ir.constant(w)))
    graph = ir.Graph("main", (result.inputs[0].inputs[0],), (result,), ("y",))
    agree(graph, {"x": x}, stages=("llvm",))
    kernels = [n.op.label for n in optimize(graph, Target.native()).nodes if isinstance(n.op, ir.Kernel)]
    assert sum("packed_conv" in label for label in kernels) == 4 and "conv_transpose" not in str(kernels)
