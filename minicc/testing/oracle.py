"""The oracle: one program, many ways to run it, one answer.

In: a graph and arrays for its inputs. Out: nothing, or a `Disagreement` that names the stage, the
output, the element, both values and the tolerance. Stages: `numpy` evaluates the graph by the
operators' references; `loop` lowers each kernel to its naive loop program and runs that as
Python; `llvm` compiles the graph and runs machine code; two judges, `relax` and `relay`, have TVM
compile and run it: today's through Relax, the old one through Relay, each in a process of its own.

A judge is excused where it is known to mean something else: what a node computes from values
to which one of `testing.differences` applies, and all that depends on it, is not compared; and
the judge is not run where it would die of that. When it crashes, hangs, raises or has no form of an
operator, a `TvmFailure` says so: the graph is not judged.

The tolerance policy, the only one there is:

- Integers and booleans are equal. NaN stands where NaN stands, and infinities are equal.
- A float is compared with the reference, in which each operator works in float64 on the values
  its inputs really have, and is rounded once to its dtype. The bound at one element is

      4 * spread + eps * (4 + growth) * (|reference| + min(1, greatest |reference|))

  where eps is the dtype's, growth is that of the last operator, and spread is how far the same
  element moves when the reference is run again with its roundings disturbed: each rounded value
  by 2 eps of its size and eps of the greatest, of 1 at most, as an output may be wrong by that; all up,
  all down, at random, and at random the other way round. For an operator that sums, each
  input is disturbed by growth * eps as well (backward error: a computed sum is the exact sum of
  terms that are slightly off, which is what cancellation needs). growth is sqrt(K) for a
  reduction of K terms, 1 for 16-bit floats, whose accumulator is wider, and 0 for all else.
- WINOGRAD is how many times as large growth is for a float32 convolution of 3x3 taps side by side, which a compiler may
  compute by Winograd's algorithm: the norms of its matrices (Barabasz et al. 2018, theorem 1) allow for far more; of
  normal data F(4x4) is measured at 2 times the error of a direct sum, root mean square (`benchmarks/winograd.py`).
- An element that the disturbances make NaN, infinite, or (integers: `floor`, comparisons, `argmax`
  of a rounded value) another number, is not decided by the program, and is passed over. So is a sum
  of terms whose magnitudes sum to infinity: it overflows in one order and not in another.

A node whose every result is one of its inputs' values up to sign, such as a Transpose, a Relu or a
maximum, or element by element a small whole number, such as a Floor, does not round: nothing is disturbed,
no tolerance added; what does not depend on the element of its inputs' tolerance is its own, too.

>>> assert_close(np.float32([1.0000001]), np.float32([1.0]))
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

import minicc
from minicc import te
from minicc.bridge import _tvm
from minicc.bridge.environment import python_of_relay
from minicc.errors import BridgeError, MiniccError
from minicc.graph import ir
from minicc.graph.control import Control
from minicc.graph.interpret import compute, evaluate
from minicc.loop.lower import Lowered, lower
from minicc.loop.python import run_python
from minicc.ops.base import Array, Kind, Operator
from minicc.ops.conv import Conv
from minicc.testing.differences import BY_OPERATOR, Difference, differences_of
from minicc.testing.draws import bound
from minicc.testing.worker import FAST_RELAX, FAST_RELAY, RELAX, RELAY, Engine, Finding, Outcome, shared_worker
from minicc.types import DType, TensorType, bfloat16, float32, float64


class Disagreement(MiniccError, AssertionError):
    """A stage gave another answer than the reference."""


class TvmFailure(MiniccError):
    """A judge gave no answer; `finding` says whether it crashed, hung, raised, or lacks an operator."""

    has_lines = True

    def __init__(self, judge: str, finding: Finding) -> None:
        problem = f"{judge} gave no answer: {finding.kind}: {finding.detail}"
        hint = f"tell TVM's authors, or choose stages without {judge}"
        super().__init__(f"agree({finding.graph.name}), stage {judge}", problem, str(finding.graph), hint)
        self.judge, self.finding = judge, finding

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.judge, self.finding)


# ---- the stages ---------------------------------------------------------------------------------


def run_loops(graph: ir.Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs by name; every node runs as the naive loop program of its tensor expression."""
    return dict(zip(graph.output_names, _run(graph, inputs, lambda n, arrays: run_operator(n.op, arrays)), strict=True))


def run_operator(op: Operator, arrays: Sequence[Array]) -> Array:
    """One operator as the naive loop program of its tensor expression, run as Python."""
    if isinstance(op, ir.Constant):
        return op.data.array
    op, arrays = bound(op, arrays)
    types = tuple(map(TensorType.of, arrays))
    folded = op.fold(*types)
    if folded is not None:
        return folded
    if op.composite:
        inputs = tuple(ir.input(f"in{k}", t) for k, t in enumerate(types))
        body = ir.Graph(op.name, inputs, (op.expand(*inputs),), ("out",))
        return run_loops(body, dict(zip(body.input_names, arrays, strict=True)))["out"]
    made = _lowered(op, types)
    outputs = [np.empty(b.shape, b.dtype.numpy) for b in made.program.outputs]
    run_python(made.program, *arrays, *outputs)
    return outputs[0]


@functools.lru_cache(maxsize=64)
def _lowered(op: Operator, types: tuple[TensorType, ...]) -> Lowered:
    inputs = [te.placeholder(t.shape, t.dtype, name=f"in{k}") for k, t in enumerate(types)]
    out = op.compute(*inputs)
    return lower([out], [*inputs, out], op.name)


def run_machine_code(graph: ir.Graph, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The outputs by name, of the compiled graph."""
    result: Mapping[str, Array] = minicc.compile(graph).run(dict(inputs))
    return result


def run_judge(judge: str, graph: ir.Graph, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The outputs by name, computed by a judge in a process of its own. Raises TvmFailure."""
    return answer(judge, shared_worker(JUDGES[judge].engine).run([(graph, inputs)])[0])


def answer(judge: str, outcome: Outcome) -> Mapping[str, Array]:
    """The outputs among the outcomes. Raises TvmFailure on the others."""
    if isinstance(outcome, Finding):
        raise TvmFailure(judge, outcome)
    return outcome


Stage = Callable[[ir.Graph, Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True)
class Judge:
    """A compiler that shares no code with this one, and runs in a process of its own."""

    engine: Engine
    fast: Engine  # the engine that takes its time to compile what takes little to run
    check: Callable[[], object]  # raises BridgeError where it is not installed


JUDGES = {"relax": Judge(RELAX, FAST_RELAX, lambda: _tvm.check(_tvm.installed())),
          "relay": Judge(RELAY, FAST_RELAY, python_of_relay)}  # fmt: skip


def installed_judges() -> list[str]:
    """The names of the judges that are there."""
    found = []
    for name, judge in JUDGES.items():
        with suppress(BridgeError):
            judge.check()
            found.append(name)
    return found


STAGES: dict[str, Stage] = {"numpy": evaluate, "loop": run_loops, "llvm": run_machine_code,
                            **{judge: functools.partial(run_judge, judge) for judge in JUDGES}}  # fmt: skip


# ---- what a judge is excused from ---------------------------------------------------------------


@dataclass(frozen=True)
class Excuses:
    """The known differences of a judge that show in a graph on some inputs."""

    of: dict[str, tuple[str, ...]]  # the name of an output: the names of the differences that reach it
    kills: tuple[str, ...]  # those that it would die of

    @property
    def names(self) -> tuple[str, ...]:
        """Every difference that shows in an output or kills."""
        return tuple(dict.fromkeys([*self.kills, *itertools.chain(*self.of.values())]))


NOTHING = Excuses({}, ())
Reached = tuple[Difference, ...]  # by these differences a value is another one for the judge


def excuses(graph: ir.Graph, inputs: Mapping[str, Array], stage: str) -> Excuses:
    """Which differences of a judge apply to the values that NumPy computes, and what they reach; NOTHING of other stages."""
    if stage not in JUDGES:
        return NOTHING
    kills: list[Difference] = []
    found = _reached(graph, [(np.asarray(inputs[name]), ()) for name in graph.input_names], stage, kills)
    of = {name: tuple(d.name for d in reached) for name, (_, reached) in zip(graph.output_names, found, strict=True)}
    return Excuses(of, tuple(dict.fromkeys(d.name for d in kills)))


def _reached(
    graph: ir.Graph, given: Sequence[tuple[Array, Reached]], judge: str, kills: list[Difference]
) -> list[tuple[Array, Reached]]:
    """The array of each output, and the differences that reach it; `kills` gains those that kill.

    A difference that kills counts, too, where an operator that has it works on values that are others for the judge.
    """

    def step(n: ir.Node, values: list[tuple[Array, Reached]]) -> tuple[Array, Reached]:
        if isinstance(n.op, ir.Kernel):
            return _reached(n.op.body, values, judge, kills)[0]
        if n.op.interpreted:
            reached = tuple(dict.fromkeys(itertools.chain(*(reached for _, reached in values))))
            return compute(n.op, [value for value, _ in values]), reached
        arrays = [array for array, _ in values]
        before = tuple(dict.fromkeys(itertools.chain(*(reached for _, reached in values))))
        op, data = bound(n.op, arrays)
        own = differences_of(op, data, judge)
        kills.extend(d for d in BY_OPERATOR.get(op.name, ()) if judge in d.kills and (before or d in own))
        return compute(n.op, arrays), tuple(dict.fromkeys((*before, *own)))

    return graph.interpret(given, step)


# ---- the reference and how sure it is -----------------------------------------------------------


def epsilon(dtype: DType) -> float:
    """The distance from 1 to the next number."""
    return 2.0**-7 if dtype is bfloat16 else float(np.finfo(dtype.numpy).eps)


def smallest(dtype: DType) -> float:
    """The smallest positive number."""
    return float(np.array([1], f"uint{dtype.bits}").view(dtype.numpy)[0])


def _growth(dtype: DType, terms: float) -> float:
    return 1.0 if dtype.bits == 16 else math.sqrt(terms)


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if DType.of(array.dtype).is_float else array


def _exactly(n: ir.Node, arrays: Sequence[Array]) -> Array:
    """The node's result in float64 arithmetic, rounded once to its dtype."""
    native = TensorType.of(compute(n.op, arrays)) if n.inferred is None or not n.inferred.is_bound else n.inferred
    if not native.dtype.is_float or native.dtype is float64:
        exact: Array = compute(n.op, arrays)
        return exact
    with np.errstate(all="ignore"):
        rounded: Array = compute(n.op, [_wide(a) for a in arrays]).astype(native.dtype.numpy)
    return rounded


WINOGRAD = 4.0
Noise = Callable[[tuple[int, ...]], Any]
OVERFLOWS_SQUARED = math.sqrt(np.finfo(np.float64).max)


def _disturb(array: Array, size: float, noise: Noise, floor: float = 0.0) -> Array:
    """Each element moved by `size` roundings and by `floor`, in the direction that `noise` gives."""
    dtype = DType.of(array.dtype)
    if not dtype.is_float:
        return array
    with np.errstate(all="ignore"):
        wide, way = array.astype(np.float64), noise(array.shape)
        moved: Array = (wide * (1 + size * epsilon(dtype) * way) + floor * way).astype(array.dtype)
    return moved


def _growth_of(n: ir.Node, arrays: Sequence[Array], result: Array) -> float:
    """The growth factor of a node that rounds; 0 where an element needs one element of each input."""
    if n.op.kind <= Kind.INJECTIVE or not DType.of(result.dtype).is_float:
        return 0.0
    sizes = sorted((a.size for a in arrays), reverse=True)
    results = max(1, result.size)
    terms = max(2.0, sizes[0] / results, math.sqrt(math.prod(sizes[:2]) / results)) if sizes else 2.0
    return _growth(DType.of(result.dtype), terms) * (WINOGRAD if _is_filter(n, arrays) else 1)


def _is_filter(n: ir.Node, arrays: Sequence[Array]) -> bool:
    """Whether a node is a convolution that Winograd's algorithm can do."""
    if not isinstance(n.op, Conv) or n.op.groups > 1 or DType.of(arrays[1].dtype) is not float32:
        return False
    return arrays[1].shape[2:] == (3, 3) and {*n.op.strides, *n.op.dilation} <= {1}


def _is_exact(n: ir.Node, arrays: Sequence[Array], result: Array) -> bool:
    """Whether a node rounds nothing: on these inputs, on disturbed ones and on others its results are values
    of the inputs up to sign, or small whole numbers. (Others, as the tangent of a small number is that number.)
    Whole numbers out of many elements say nothing: two numbers, standardised, are 1 and -1."""
    whole = n.op.kind <= Kind.INJECTIVE or not DType.of(result.dtype).is_float
    if not _selects(arrays, result, whole):
        return False
    random = np.random.default_rng(0)
    moved = [_disturb(a, 8, lambda shape: random.uniform(-1, 1, shape)) for a in arrays]

    def other(a: Array) -> Array:
        return np.asarray(random.normal(0, 2, a.shape)).astype(a.dtype) if DType.of(a.dtype).is_float else a

    tried = [moved, *([] if n.op.pending else [list(map(other, arrays))])]
    return all(_selects(values, _exactly(n, values), whole) for values in tried)


def _selects(arrays: Sequence[Array], result: Array, or_whole: bool) -> bool:
    """Whether every element is, up to sign, an element of `arrays`, or NaN or 0, or if that will do a small whole number."""
    wide = np.abs(_wide(result))
    with np.errstate(all="ignore"):
        fits = np.isnan(wide) | (wide == 0) | (or_whole & (wide == np.rint(wide)) & (wide < 256))
    rest = wide[~fits]
    known = [np.abs(_wide(a)).ravel() for a in arrays if DType.of(a.dtype).is_float]
    if any(not any((values == first).any() for values in known) for first in rest[:3]):
        return False  # most nodes compute something: known without sorting
    if not rest.size:
        return True
    among, rest = np.sort(np.concatenate(known)), np.sort(rest)
    return bool((among.take(np.searchsorted(among, rest), mode="clip") == rest).all())


def _run(graph: ir.Graph, inputs: Mapping[str, Array], step: Callable[[ir.Node, list[Array]], Array]) -> list[Array]:
    """The outputs, each node by `step`, those of branches and trips included; what is interpreted by its reference."""

    def through(n: ir.Node, values: list[Any]) -> Any:
        if not n.op.interpreted:
            return step(n, values)
        if not isinstance(n.op, Control):
            return compute(n.op, values)
        pending = len(n.op.pending)
        op = n.op.bind(values[len(values) - pending :])
        bodies = [functools.partial(body.interpret, step=through) for body in op.bodies]
        return op.run(bodies, values[: len(values) - pending])

    return graph.interpret([inputs[name] if n.inferred is None else np.asarray(inputs[name])
                            for name, n in zip(graph.input_names, graph.inputs, strict=True)], through)  # fmt: skip


def _disturbed(graph: ir.Graph, inputs: Mapping[str, Array], noise: Noise, random: Noise) -> list[Array]:
    """The outputs when each rounding errs in the direction that `noise` gives, and each term of a sum at `random`."""

    def step(n: ir.Node, arrays: list[Array]) -> Array:
        if isinstance(n.op, ir.Constant):
            return n.op.data.array
        result = _exactly(n, arrays)
        growth = _growth_of(n, arrays, result)
        if not _is_exact(n, arrays, result):
            floor = _floor(result)
            if growth:
                result = _exactly(n, [_disturb(a, growth, random) for a in arrays])
            result = _disturb(result, 2, noise, floor)
        if not growth:
            return result
        other = np.where(np.isnan(result), 0.0, np.nan).astype(result.dtype)  # than it is, whatever that is
        return np.where(_may_overflow(n, arrays), other, result)

    return _run(graph, inputs, step)


def _may_overflow(n: ir.Node, arrays: Sequence[Array]) -> Any:
    """Where a sum overflows in some order of its terms: the sum of their magnitudes does, or of large ones is no number."""
    with np.errstate(all="ignore"):
        zeroed = [np.where(np.isfinite(a), a, np.zeros_like(a)) for a in arrays]
        sizes = [np.abs(a) if DType.of(a.dtype).is_float else a for a in zeroed]
        result = _exactly(n, sizes).astype(np.float64)
        large = any(DType.of(a.dtype) is float64 and a.max(initial=0.0) > OVERFLOWS_SQUARED for a in sizes)
        return np.isposinf(result) | (large & np.isnan(result))


def reference(graph: ir.Graph, inputs: Mapping[str, Array]) -> tuple[list[Array], list[Array]]:
    """The outputs in order, and the tolerance at each element: 0 for exact, inf where nothing is decided."""
    rounded: dict[ir.Node, float] = {}  # how many times its eps a node may add
    slack: dict[ir.Node, float] = {}  # the part of that which does not depend on the element: exact nodes pass it on

    def step(n: ir.Node, arrays: list[Array]) -> Array:
        result = _exactly(n, arrays)
        exact = _is_exact(n, arrays, result)
        rounded[n] = 0.0 if exact else 4 + _growth_of(n, arrays, result)
        slack[n] = max((slack.get(i, 0.0) for i in n.inputs), default=0.0) if exact else rounded[n] * _floor(result)
        return result

    expected = _run(graph, inputs, step)
    samples = [_run(graph, inputs, lambda n, arrays: compute(n.op, arrays))]
    for number, noise in enumerate((lambda shape: 1.0, lambda shape: -1.0, _either(0), _either(0, -1.0))):
        samples.append(_disturbed(graph, inputs, noise, _either(1 + number)))
    tolerances = []
    for k, (n, wanted) in enumerate(zip(graph.outputs, expected, strict=True)):
        spread = functools.reduce(np.maximum, [distance(sample[k], wanted) for sample in samples])
        if DType.of(wanted.dtype).is_float:
            spread = 4 * spread + _rounding(
                wanted, DType.of(wanted.dtype), rounded.get(n, 4.0 * n.op.interpreted), slack.get(n, 0.0)
            )
        else:
            spread = np.where(spread > 0, np.inf, 0.0)
        tolerances.append(spread)
    return expected, tolerances


def _either(seed: int, sign: float = 1.0) -> Noise:
    """Noise of either direction, half as large at least; the opposite one for another `sign`: a tie that one breaks, it breaks the other way."""
    random = np.random.default_rng(seed)

    def noise(shape: tuple[int, ...]) -> Any:
        return sign * random.choice([-1.0, 1.0], shape) * random.uniform(0.5, 1.0, shape)

    return noise


def distance(a: Array, b: Array) -> Array:
    """|a - b|; 0 for two NaNs or equal infinities, inf for what cannot be compared."""
    with np.errstate(all="ignore"):
        wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
        same = (wide_a == wide_b) | (np.isnan(wide_a) & np.isnan(wide_b))
        if not DType.of(a.dtype).is_float:
            same &= np.asarray(a == b)  # a 64-bit integer does not fit a float64
            return np.where(same, 0.0, np.maximum(1.0, np.abs(wide_a - wide_b)))
        apart = np.abs(wide_a - wide_b)
        return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _rounding(wanted: Array, dtype: DType, roundings: float, slack: float) -> Array:
    """`roundings` times the rounding error of each element, and `slack`."""
    size = np.abs(wanted.astype(np.float64))
    size = np.where(np.isfinite(size), size, 0.0)
    return roundings * (epsilon(dtype) * size + smallest(dtype)) + slack


def _floor(array: Array) -> float:
    """The rounding error of the greatest element, of 1 at most."""
    dtype = DType.of(array.dtype)
    if not dtype.is_float:
        return 0.0
    size = np.abs(array.astype(np.float64))
    return epsilon(dtype) * min(1.0, float(size[np.isfinite(size)].max(initial=0.0)))


# ---- the verdict --------------------------------------------------------------------------------


def assert_close(got: Any, expected: Any, dtype: DType | None = None, reduction: int = 1, tolerance: Any = None,
                 call: str = "assert_close", label: str = "result") -> None:  # fmt: skip
    """Raise Disagreement unless `got` is `expected` in dtype and shape, and in value within `tolerance`.

    Without a tolerance it is that of one operator on exact inputs that sums `reduction` terms of
    the size of the greatest element: eps * (4 + growth) * (|expected| + min(1, greatest |expected|)).
    """
    got, expected = np.asarray(got), np.asarray(expected)
    dtype = dtype or DType.of(expected.dtype)
    if DType.of(got.dtype) is not dtype or got.shape != expected.shape:
        raise Disagreement(call, f"{label} must be {TensorType(dtype, expected.shape)}, got {TensorType.of(got)}")
    if tolerance is None:
        growth = _growth(dtype, reduction) if reduction > 1 else 0
        tolerance = _rounding(expected, dtype, 4 + growth, (4 + growth) * _floor(expected)) if dtype.is_float else 0.0
    wrong = np.asarray(distance(got, expected) > tolerance)
    if not wrong.any():
        return
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    bound = float(np.broadcast_to(tolerance, wrong.shape)[index])
    where = f"{label}[{', '.join(map(str, index))}]"
    problem = f"{where} must be {expected[index]!r} within {bound:.3g}, got {got[index]!r}"
    raise Disagreement(call, problem, hint=f"{int(wrong.sum())} of {wrong.size} elements are wrong")


def agree(graph: ir.Graph, inputs: Mapping[str, Array], stages: Sequence[str] = ("numpy", "loop", "llvm")) -> None:
    """Run every stage and raise Disagreement on the first that is not the reference within the policy.

    Raises TvmFailure when a judge gives no answer.
    """
    known = reference(graph, inputs)
    for stage in stages:
        excused = excuses(graph, inputs, stage)
        if not excused.kills:
            compare(graph, STAGES[stage](graph, inputs), known, stage, excused)


def compare(graph: ir.Graph, got: Mapping[str, Array], known: tuple[list[Array], list[Array]], stage: str,
            excused: Excuses = NOTHING) -> int:  # fmt: skip
    """Raise Disagreement where a stage's outputs are not the reference; gives how many were compared, not excused."""
    compared = 0
    for label, wanted, tolerance in zip(graph.output_names, *known, strict=True):
        if excused.of.get(label):
            continue
        compared += 1
        try:
            assert_close(got[label], wanted, None, 1, tolerance, f"agree({graph.name}), stage {stage}", label)
        except Disagreement as error:
            error.where = str(graph)
            raise
    return compared
