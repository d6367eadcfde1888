"""Random dtypes, shapes, operators, graphs, expressions and schedules, as hypothesis strategies.

In: nothing, or what to choose from. Out: strategies for hypothesis. `operators("Conv")` gives a valid Conv
with arrays to call it on, `graphs()` a graph of several operators with arrays for its inputs, and
`schedules(program)` steps that are legal on a program. Shapes hold 0, 1, primes and other odd
numbers; most numbers are moderate, and some arrays have NaN, infinities, signed zeros, denormals
and extremes among them. Values are derived from a drawn seed, so an example is small to store.

A test that one's own layer means the same in minicc and in TVM:

    @given(dtypes("float"), shapes(rank=(1, 4)), st.data())
    def test_swish(dtype, shape, data):
        x = input("x", TensorType(dtype, shape))
        graph = Graph("swish", (x,), (Mul()(x, Sigmoid()(x)),), ("y",))
        agree(graph, {"x": data.draw(arrays(x.type))}, ("numpy", "llvm", "relax"))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from minicc.loop.program import Program
from minicc.ops.base import Array, Operator
from minicc.schedule import STEPS, Schedule, Trace
from minicc.tensor.expr import COMPARISONS, LOGICAL, Expr, binary, cast, const, select, unary
from minicc.testing.draws import DTYPES, Example, RandomDraw, graph_from, operator_from
from minicc.types import DType, TensorType, boolean, int64

ATTEMPTS = 4  # at finding a legal step, as most instances of most kinds are not


class HypothesisDraw(RandomDraw):
    """The `Draw` that an operator's `draw` asks, answered by hypothesis, which shrinks what fails."""

    def __init__(self, draw: Callable[[Any], Any], values: Sequence[TensorType] = ()) -> None:
        self.draw, self.values = draw, values

    def integer(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return int(self.draw(st.integers(low, high)))

    def choice(self, options: Sequence[Any]) -> Any:
        """One of `options`; examples shrink towards the first."""
        return self.draw(st.sampled_from(list(options)))

    def boolean(self) -> bool:
        return bool(self.draw(st.booleans()))


def dtypes(*kinds: str) -> st.SearchStrategy[DType]:
    """A dtype of one of these kinds (float, int, uint, bool), by default of any."""
    return st.sampled_from([DType.of(name) for kind in kinds or DTYPES for name in DTYPES[kind]])


@st.composite
def shapes(draw: Any, rank: int | tuple[int, int] = (0, 4), low: int = 0, high: int = 7) -> tuple[int, ...]:
    """A shape of that rank, or a rank in that range, with dimensions from `low` to `high`; few have a 0."""
    return HypothesisDraw(draw).shape(rank, low, high)


@st.composite
def arrays(draw: Any, type: TensorType, low: float | None = None, high: float | None = None) -> Array:
    """An array of that type with values in [low, high]; without bounds moderate ones and a few special ones."""
    return HypothesisDraw(draw).array(type, low, high)


@st.composite
def operators(draw: Any, name: str) -> tuple[Operator, list[Array]]:
    """A valid instance of the operator `name`, its operands bound, and arrays to call it on."""
    return operator_from(HypothesisDraw(draw), name)


@st.composite
def graphs(draw: Any, max_nodes: int = 6, names: Sequence[str] | None = None) -> Example:
    """A random graph of up to `max_nodes` operators, by default any that are registered."""
    example = graph_from(HypothesisDraw(draw), max_nodes, names)
    assume(example is not None)
    assert example
    return example


@st.composite
def expressions(draw: Any, dtype: DType, leaves: Sequence[Expr], depth: int = 3) -> Expr:
    """A scalar expression of `dtype`, up to `depth` operators deep, over `leaves` of any dtypes and small literals.

    No float becomes an integer, and int64 is not shifted to the left: what leaves the range has no meaning there.
    """

    def part(of: DType = dtype) -> Expr:
        inner: Expr = draw(expressions(of, leaves, depth - 1))
        return inner

    own = [e for e in leaves if e.dtype is dtype]
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        leaf: Expr = draw(st.sampled_from([*own, const(0, dtype), const(1, dtype)]))
        return leaf
    if dtype is boolean:
        other = draw(st.sampled_from([leaf.dtype for leaf in leaves if leaf.dtype is not boolean]))
        kind = draw(st.sampled_from(["not", *sorted(LOGICAL), *sorted(COMPARISONS)]))
        if kind == "not":
            return unary("not", part())
        return binary(kind, *[part(other if kind in COMPARISONS else dtype) for _ in "ab"])
    match draw(st.integers(0, 4)):
        case 0:
            return unary(draw(st.sampled_from(["neg", "abs", *(["not"] if dtype.is_integer else [])])), part())
        case 1:
            return select(part(boolean), part(), part())
        case 2 if dtype.is_float or all(leaf.dtype.is_integer for leaf in leaves):
            return cast(part(draw(st.sampled_from([leaf.dtype for leaf in leaves]))), dtype)
        case 3:
            return binary(draw(st.sampled_from(_operators(dtype))), part(), part())
    return binary(draw(st.sampled_from(["add", "sub", "mul", "min", "max"])), part(), part())


def _operators(dtype: DType) -> list[str]:
    """The operators of a dtype beside those that every number has."""
    if dtype.is_float:
        return ["div"]
    shifts = ["shr"] if dtype is int64 else ["shl", "shr"]
    return ["floordiv", "floormod", "truncdiv", "truncmod", "bitand", "bitor", "bitxor", *shifts]


@st.composite
def schedules(draw: Any, program: Program, max_steps: int = 6) -> Trace:
    """Up to `max_steps` steps that are legal one after the other; `trace.replay(program)` does them.

    @given(schedules(program))
    def test_any_schedule_means_the_same(trace):
        run_python(trace.replay(program).program, *arrays)
    """
    schedule = Schedule(program)
    for _ in range(draw(st.integers(0, max_steps))):
        for _ in range(ATTEMPTS):
            candidates = list(draw(st.sampled_from(list(STEPS.values()))).candidates(schedule.program))
            if candidates and (step := draw(st.sampled_from(candidates))).is_legal(schedule.program):
                schedule.apply(step)
                break
    return schedule.trace
