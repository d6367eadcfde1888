"""The default recipe asks for legal steps only, and its program does not execute much more than the naive one.

The sweep over more graphs: `python -m pytest tests/recipes/test_default_is_safe.py --hypothesis-profile=nightly`.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given

from minicc import te
from minicc.compile import optimize
from minicc.graph.ir import Graph, Kernel
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.ops.base import REGISTRY
from minicc.recipes import default
from minicc.recipes.registry import DEFAULT
from minicc.recipes.structure import work
from minicc.target import Target
from minicc.testing.draws import drawn, graph_of
from minicc.testing.strategies import graphs
from minicc.testing.workloads import WORKLOADS

NATIVE = Target.native()
MORE = 3  # times the work of the naive program: partial results are combined, and short rows filled up to vectors


@pytest.fixture(autouse=True, scope="module")
def parallel_from_the_first_iteration() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "PARALLEL_WORK", 1)
        yield


def check(naive: Program) -> None:
    scheduled = DEFAULT.apply(naive, NATIVE).program
    assert work(scheduled) <= MORE * work(naive), str(scheduled)


def check_kernels(graph: Graph) -> None:
    for kernel in {n.op for n in optimize(graph).nodes if isinstance(n.op, Kernel)}:
        inputs = [te.placeholder(n.shape, n.dtype, f"p{i}") for i, n in enumerate(kernel.body.inputs)]
        output = kernel.compute(*inputs)
        check(lower([output], [*inputs, output], kernel.label).program)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if op.composite else n
                                  for n, op in sorted(REGISTRY.items())])  # fmt: skip
def test_kernels_of_every_operator(name: str) -> None:
    for case in range(4):
        check_kernels(graph_of(*drawn(name, case)).graph)


@given(graphs(max_nodes=8))
def test_kernels_of_random_graphs(example):
    check_kernels(example.graph)


@pytest.mark.parametrize("name", sorted(WORKLOADS.keys() - {"elementwise"}))  # that one is of any size
def test_programs_of_tensor_expressions(name: str) -> None:
    for extents in ((3, 4), (16, 32), (64, 1), (1, 64), (33, 70)):
        check(WORKLOADS[name].program(*extents))


def test_a_scan_of_two_tensors_is_not_parallel_in_time() -> None:
    A, state = te.placeholder((50, 40), name="A"), te.placeholder((50, 40), name="state")
    first = te.compute((1, 40), lambda t, i: A[0, i], name="first")
    turned = te.compute((50, 40), lambda t, i: state[t - 1, 39 - i] * 2.0, name="turned")
    update = te.compute((50, 40), lambda t, i: turned[t, i] + A[t, i], name="update")
    result = te.scan(first, update, state, name="result")
    check(lower([result], [A, result]).program)


def test_a_chain_of_overlapping_windows_is_not_inlined_into_one() -> None:
    A = x = te.placeholder((60, 40), name="A")
    for depth in range(20):  # 2**20 loads, were each step inlined into the next
        x = te.compute((59 - depth, 40), lambda i, j, x=x: te.exp(x[i, j]) + te.exp(x[i + 1, j]), name=f"step{depth}")
    check(lower([x], [A, x]).program)


def test_partial_results_of_a_row_are_not_computed_again_for_each_reader() -> None:
    A, j = te.placeholder((64, 600), name="A"), te.reduce_axis((0, 600), name="j")
    count = te.compute(
        (64, 600), lambda i, k: te.sum(te.if_then_else(A[i, j] < A[i, k], 1.0, 0.0), axis=j), name="count"
    )
    result = te.scatter(
        A, (64, 600), lambda i, k: (i, count[i, k].astype("int64")), lambda i, k: A[i, k], name="result"
    )
    check(lower([result], [A, result]).program)
