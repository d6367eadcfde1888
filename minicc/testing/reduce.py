"""Delta debugging of graphs: from one that fails to a small one that fails in the same way.

In: a graph with arrays for its inputs, and a predicate that says whether such a pair fails. Out: a
pair on which it still does, which no change below makes smaller: fewer outputs, fewer operators
(the graph is cut before and behind the fault, and bypassed around it), inputs in place of
constants, shorter axes, simpler numbers. `pytest_source` writes it as a test.

>>> from minicc.graph import parse
>>> text = "graph main(x: float32[2,2]) {\\n  %0 = Neg(x) : float32[2,2]\\n  %1 = Exp(%0) : float32[2,2]\\n  return y=%1\\n}"
>>> fails = lambda graph, inputs: "Exp" in str(graph)
>>> graph, inputs = reduce(parse(text), {"x": np.float32([[1, 2], [3, 4]])}, fails)
>>> print(graph)
graph main(v0: float32[1,1]) {
  %0 = Exp(v0) : float32[1,1]
  return y=%0
}
>>> inputs
{'v0': array([[0.]], dtype=float32)}
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minicc.bridge.groups import operators
from minicc.bridge.inside.serve import general, origin
from minicc.errors import ConfigError, MiniccError, WorkerError
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Constant, Data, Graph, Input, Node, constant, input, make
from minicc.graph.text import parse
from minicc.ir.node import postorder
from minicc.ops.base import Array
from minicc.runtime.files import read_arrays
from minicc.testing.oracle import STAGES, Disagreement, Excuses, Stage, TvmFailure, assert_close, excuses, reference
from minicc.testing.shrink import shrink
from minicc.testing.worker import MINICC, Finding, shared_worker
from minicc.types import DType, TensorType, bfloat16

Inputs: TypeAlias = Mapping[str, Array]
Fails: TypeAlias = Callable[[Graph, Inputs], bool]
INVALID = (MiniccError, ArithmeticError, LookupError, TypeError, ValueError)  # what a graph that makes no sense raises
PATIENCE = 300.0  # seconds that machine code may take to be made, and to run
TITLE = '"""A graph, reduced, on which these stages did not agree: '  # of a test that is written
ELEMENTWISE = 16  # elements of an array that are simplified one by one
SMALL = 9  # the greatest of the numbers that are easy to read


def with_every_value(graph: Graph) -> Graph:
    """The graph with the result of every operator as an output; that of `operators(graph)[k]` is called `nk`."""
    found = operators(graph)
    return Graph(graph.name, graph.inputs, tuple(found), tuple(f"n{k}" for k in range(len(found)))).located(graph.spans)


# ---- what fails ---------------------------------------------------------------------------------


class MiniccFailure(MiniccError):
    """Machine code gave no answer; `finding` says whether minicc crashed, hung or raised."""

    has_lines = True

    def __init__(self, finding: Finding) -> None:
        problem = f"minicc gave no answer: {finding.kind}: {finding.detail}"
        hint = "minicc reduce finds the smallest graph that does this"
        super().__init__(f"run({finding.graph.name})", problem, hint=hint)
        self.finding = finding

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.finding,)


def run_apart(graph: Graph, inputs: Inputs) -> dict[str, Array]:
    """The outputs by name, of machine code that runs in a process of its own, which is kept. Raises MiniccFailure."""
    outcome = shared_worker(MINICC).run([(graph, inputs)], PATIENCE)[0]
    if isinstance(outcome, Finding):
        raise MiniccFailure(outcome)
    return outcome


def failure(graph: Graph, inputs: Inputs, stages: Sequence[str], runs: Mapping[str, Stage] = STAGES) -> str:
    """In what way the stages fail on a graph: "" when they agree, else words that a smaller graph shares.

    They say which stage, and whether dtypes or shapes, special values or other values disagree; of an error its
    class and the function that raised it; of a process its signal. `runs` are the stages: those of the oracle run
    machine code in this process. Raises ConfigError when there is no such stage, WorkerError when a process does not start.
    """
    for stage in stages:
        if stage not in runs:
            problem = f"expected one of {', '.join(runs)}, got {stage!r}"
            raise ConfigError(f"stage {stage}", problem, hint="for example numpy,llvm")
    stage = "reference"
    try:
        known = reference(graph, inputs)
        for stage in stages:
            excused = excuses(graph, inputs, stage)
            if not excused.kills and (kind := _disagreement(graph, runs[stage](graph, inputs), known, excused)):
                return f"Disagreement: stage {stage}: {kind}"
    except (TvmFailure, MiniccFailure) as error:
        return f"stage {stage}: {_of_finding(error.finding)}"
    except WorkerError:
        raise
    except Exception as error:  # a fault of ours may raise anything
        return f"stage {stage}: {origin(error)}"
    return ""


def _disagreement(graph: Graph, got: Inputs, known: tuple[list[Array], list[Array]], excused: Excuses) -> str:
    """In what the first output that is wrong, and not excused, disagrees; "" when none is."""
    for label, wanted, tolerance in zip(graph.output_names, *known, strict=True):
        if excused.of.get(label):
            continue
        try:
            assert_close(got[label], wanted, None, 1, tolerance)
        except Disagreement:
            return _kind(np.asarray(got[label]), wanted, tolerance)
    return ""


def _kind(got: Array, wanted: Array, tolerance: Array) -> str:
    """In what two arrays that disagree do so."""
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        return "dtype or shape"
    a, b = got.astype(np.float64), wanted.astype(np.float64)
    special = ~(np.isfinite(a) & np.isfinite(b)) & ~((a == b) | (np.isnan(a) & np.isnan(b)))
    return "NaN or infinity" if (special & np.isfinite(tolerance)).any() else "value"


def _of_finding(finding: Finding) -> str:
    """A crash by one signal is not one by another."""
    first = finding.detail.partition("\n")[0]
    if finding.kind == "crash":
        return f"crash {first}"
    # TVM's errors all come from one function of ours: their text tells them apart
    is_ours = finding.origin and ".bridge." not in finding.origin
    return f"{finding.kind} {finding.origin if is_ours else general(first)}"


def fails_like(graph: Graph, inputs: Inputs, stages: Sequence[str], runs: Mapping[str, Stage] = STAGES) -> Fails:
    """The predicate that a graph fails in the way that this one does. Raises ConfigError when this one does not fail."""
    wanted = failure(graph, inputs, stages, runs)
    if not wanted:
        got = f"one on which they agree{''.join(_excused(graph, inputs, stage) for stage in stages)}"
        problem = f"expected a graph on which the stages {', '.join(stages)} disagree, got {got}"
        hint = "give the inputs on which it fails with --inputs, or name other --stages"
        raise ConfigError(f"reduce({graph.name})", problem, hint=hint)
    return lambda other, arrays: failure(other, arrays, stages, runs) == wanted


def _excused(graph: Graph, inputs: Inputs, stage: str) -> str:
    """What was not compared with a judge, in words."""
    found = excuses(graph, inputs, stage)
    if found.kills:
        return f"; {stage} was not run, as it dies of a known difference: {', '.join(found.kills)}"
    reached = [f"{name} ({', '.join(names)})" for name, names in found.of.items() if names]
    return f"; {stage} was excused by known differences from {', '.join(reached)}" if reached else ""


# ---- the engine ---------------------------------------------------------------------------------


class _Case(NamedTuple):
    """A graph, and an array for each of its inputs."""

    graph: Graph
    inputs: dict[str, Array]

    @property
    def size(self) -> tuple[int, int, int, int]:
        """Outputs, operators, inputs (a constant counts for two), elements of all values."""
        nodes = self.graph.nodes
        sources = sum(1 if isinstance(n.op, Input) else 2 for n in nodes if isinstance(n.op, (Input, Constant)))
        return len(self.graph.outputs), len(operators(self.graph)), sources, sum(n.type.size for n in nodes)

    def smaller_than(self, other: _Case) -> bool:
        """Whether this case is of less size, or of the same with simpler numbers."""
        if self.size != other.size:
            return self.size < other.size
        return sum(map(_complexity, _sources(self).values())) < sum(map(_complexity, _sources(other).values()))

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for equal cases."""
        return self.graph.outputs, tuple((name, Data(array).digest) for name, array in self.inputs.items())

    def __str__(self) -> str:
        outputs, nodes, _, elements = self.size
        counts = {"operator": nodes, "input": len(self.inputs), "output": outputs, "element": elements}
        return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items())


def reduce(
    graph: Graph, inputs: Inputs, fails: Fails, report: Callable[[str], None] = lambda text: None
) -> tuple[Graph, dict[str, Array]]:
    """The smallest graph found, with its inputs, on which `fails` holds.

    All shapes of `graph` are bound. `report` is told in words of each smaller one. Ctrl-C
    ends the search: the smallest one so far is the result. Raises ConfigError when `fails` does not hold for `graph`.
    """
    best = start = _Case(graph, {name: np.asarray(inputs[name]) for name in graph.input_names})
    if not fails(*start):
        problem = "expected a graph that fails, got one that does not"
        raise ConfigError(f"reduce({graph.name})", problem, hint="fails(graph, inputs) must be true at the start")
    tried = {start.key}

    def accept(case: _Case, best: _Case) -> _Case | None:
        return case if _is_next(case, best, tried) and fails(*case) else None

    try:
        for found in shrink(start, CHANGES, accept):
            if str(found) != str(best):
                report(str(found))
            best = found
    except KeyboardInterrupt:
        report(f"stopped at {best}")
    return best.graph, best.inputs


def _is_next(case: _Case, best: _Case, tried: set[Any]) -> bool:
    """Whether a case is new, smaller than the best one, and has a value."""
    if not case.smaller_than(best) or case.key in tried:
        return False
    tried.add(case.key)
    try:
        evaluate(*case)
    except INVALID:
        return False
    return True


def _rebuilt(
    case: _Case, replaced: Mapping[Node, Node], arrays: Inputs, outputs: Collection[int] | None = None
) -> Iterator[_Case]:
    """The case with nodes replaced and `arrays` for new inputs, of only some outputs; none if that is no graph."""
    graph, done = case.graph, dict(replaced)
    kept = [k for k in range(len(graph.outputs)) if outputs is None or k in outputs]
    try:
        for n in postorder([graph.outputs[k] for k in kept], lambda n: () if n in replaced else n.inputs):
            if n not in done:
                parts = tuple([done[i] for i in n.inputs])
                done[n] = n if parts == n.inputs else make(n.op, parts)
    except INVALID:
        return
    if any(n.inferred is None or not n.inferred.is_bound for n in done.values()):
        return
    results, names = [done[graph.outputs[k]] for k in kept], [graph.output_names[k] for k in kept]
    made = Graph(graph.name, (), tuple(results), tuple(names))
    spans = {done[n]: span for n, span in graph.spans.items() if n in done}
    yield _used(made.located(spans), {**case.inputs, **arrays})


def _used(graph: Graph, arrays: Inputs) -> _Case:
    """The graph with the inputs that it reads, in the order of the arrays."""
    found = {n.op.label: n for n in graph.nodes if isinstance(n.op, Input)}
    read = {name: array for name, array in arrays.items() if name in found}
    inputs = tuple(found[name] for name in read)
    return _Case(Graph(graph.name, inputs, graph.outputs, graph.output_names, graph.spans), read)


# ---- the changes: each gives candidates, the boldest first --------------------------------------


def one_output(case: _Case) -> Iterator[_Case]:
    """One output alone."""
    for k in range(len(case.graph.outputs)):
        yield from _rebuilt(case, {}, {}, {k})


def cut_behind(case: _Case) -> Iterator[_Case]:
    """A node amid the graph is the output: halves first, then quarters, ..."""
    graph, nodes = case.graph, operators(case.graph)
    for k in _bisecting(len(nodes)):
        yield _used(Graph(graph.name, (), (nodes[k],), graph.output_names[:1]).located(graph.spans), case.inputs)


def _bisecting(count: int) -> Iterator[int]:
    """0 to count - 1, the middle first, then the middles of the halves, and so on."""
    parts = [(0, count)]
    while parts:
        first, last = parts.pop(0)
        if first < last:
            middle = (first + last) // 2
            yield middle
            parts += [(first, middle), (middle + 1, last)]


def cut_before(case: _Case) -> Iterator[_Case]:
    """Neighbours become inputs that hold their values: half of all nodes, a quarter, ..., one; one as a constant, too."""
    nodes, values = operators(case.graph), _values(case)
    size = max(1, len(nodes) // 2)
    while nodes:
        for first in range(0, len(nodes), size):
            chunk = [n for n in nodes[first : first + size] if n not in case.graph.outputs]
            yield from _as_inputs(case, {n: values[n] for n in chunk})
            if size == 1 and chunk:
                yield from _rebuilt(case, {n: constant(values[n]) for n in chunk}, {})
        if size == 1:
            return
        size //= 2


def _as_inputs(case: _Case, values: Mapping[Node, Array]) -> Iterator[_Case]:
    """New inputs, of these values, in place of nodes."""
    fresh = (name for number in itertools.count() if (name := f"v{number}") not in case.inputs)
    named = list(zip(values, fresh, strict=False))
    yield from _rebuilt(case, {n: input(name, n.type) for n, name in named}, {name: values[n] for n, name in named})


def _values(case: _Case) -> dict[Node, Array]:
    every = with_every_value(case.graph)
    return dict(zip(every.outputs, evaluate(every, case.inputs).values(), strict=True))


def bypass(case: _Case) -> Iterator[_Case]:
    """An input of a node stands for the node, where it is of the same type."""
    for n in operators(case.graph):
        for i in dict.fromkeys(n.inputs):
            if i.inferred == n.inferred and not (n in case.graph.outputs and isinstance(i.op, (Input, Constant))):
                yield from _rebuilt(case, {n: i}, {})


def constants_as_inputs(case: _Case) -> Iterator[_Case]:
    """Inputs that hold what constants held: all of them, or one."""
    held = {n: n.op.data.array for n in case.graph.nodes if isinstance(n.op, Constant)}
    for chosen in [list(held), *([n] for n in held)]:
        yield from _as_inputs(case, {n: held[n] for n in chosen})


def shorter_axes(case: _Case) -> Iterator[_Case]:
    """Every axis of some extent is shorter, or one axis of one input; operators that do not fit that are no candidates."""
    sources = _sources(case)
    for extent in sorted({d for array in sources.values() for d in array.shape if d > 1}, reverse=True):
        for shorter in dict.fromkeys((1, 2, extent // 2, extent - 1)):
            every = {n: tuple(min(d, shorter) if d == extent else d for d in a.shape) for n, a in sources.items()}
            yield from _with_sources(case, {n: _corner(sources[n], shape) for n, shape in every.items()})
            for n, array in sources.items():
                for axis in range(array.ndim):
                    if array.shape[axis] == extent:
                        shape = (*array.shape[:axis], shorter, *array.shape[axis + 1 :])
                        yield from _with_sources(case, {n: _corner(array, shape)})


def _corner(array: Array, shape: Sequence[int]) -> Array:
    return np.ascontiguousarray(array[tuple(slice(0, d) for d in shape)]).reshape(shape)


def simpler_numbers(case: _Case) -> Iterator[_Case]:
    """Zeros, ones, the numbers from 1 on, or whole numbers: for all inputs and constants, for one, for one element."""
    sources = _sources(case)
    for simpler in (np.zeros_like, np.ones_like, _counting, _whole):
        yield from _with_sources(case, {n: simpler(array) for n, array in sources.items()})
        for n, array in sources.items():
            yield from _with_sources(case, {n: simpler(array)})
    for n, array in sources.items():
        for place in range(array.size if array.size <= ELEMENTWISE else 0):
            for number in (0, 1, _whole(array).flat[place]):
                changed = array.copy()
                changed.flat[place] = number
                yield from _with_sources(case, {n: changed})


CHANGES: tuple[Callable[[_Case], Iterator[_Case]], ...] = (
    one_output, cut_behind, cut_before, bypass, constants_as_inputs, shorter_axes, simpler_numbers)  # fmt: skip


def _counting(array: Array) -> Array:
    """1, 2, 3, ...: numbers that tell the elements apart."""
    return (np.arange(array.size) % 100 + 1).reshape(array.shape).astype(array.dtype)


def _whole(array: Array) -> Array:
    """The nearest whole numbers that are small."""
    if array.dtype.kind in "biu":
        return array
    with np.errstate(all="ignore"):
        return np.clip(np.rint(np.nan_to_num(array.astype(np.float64))), -SMALL, SMALL).astype(array.dtype)


def _complexity(array: Array) -> int:
    """0 for each 0, 1 for 1, 2 for a small whole number, 4 for other whole numbers, 6 for the rest."""
    wide = array.astype(np.float64)
    with np.errstate(all="ignore"):
        whole = np.isfinite(wide) & (wide == np.rint(wide))
        cost = np.where(whole, np.where(np.abs(wide) <= SMALL, 2, 4), 6)
    cost = np.where(wide == 1, 1, np.where((wide == 0) & ~np.signbit(wide), 0, cost))
    return int(cost.sum())


def _sources(case: _Case) -> dict[Node, Array]:
    """The arrays of inputs and constants."""
    given = dict(zip(case.graph.inputs, case.inputs.values(), strict=True))
    return given | {n: n.op.data.array for n in case.graph.nodes if isinstance(n.op, Constant)}


def _with_sources(case: _Case, arrays: Mapping[Node, Array]) -> Iterator[_Case]:
    """The case with other arrays in place of inputs and constants."""
    inputs = {n: n.op.label for n in arrays if isinstance(n.op, Input)}
    replaced = {n: input(inputs[n], TensorType.of(a)) if n in inputs else constant(a) for n, a in arrays.items()}
    yield from _rebuilt(case, replaced, {name: arrays[n] for n, name in inputs.items()})


# ---- the test -----------------------------------------------------------------------------------


def pytest_source(graph: Graph, inputs: Inputs, stages: Sequence[str], arrays: str = "") -> str:
    """A pytest file in which the stages must agree on the graph.

    Arrays stand in it, or are read from the `.npz` file named `arrays` beside it: the inputs by name, constants by
    digest, as `arrays_of` gives them and `write_arrays` writes them.
    """
    constants = graph.constants
    head = [f'{TITLE}{", ".join(stages)}."""', ""]
    if arrays:
        head += ["from pathlib import Path", ""]
        narrow = [name for name, a in arrays_of(graph, inputs).items() if DType.of(a.dtype) is bfloat16]
        typed = ", ".join(f'{name!r}: DType.of("bfloat16")' for name in narrow)
        body = [f"ARRAYS = read_arrays(Path(__file__).with_name({arrays!r}), {{{typed}}})",
                f"CONSTANTS = {{digest: ARRAYS[digest] for digest in {sorted(constants)!r}}}",
                f"INPUTS = {{name: ARRAYS[name] for name in {list(inputs)!r}}}"]  # fmt: skip
    else:
        body = [_dict_source("CONSTANTS", constants), _dict_source("INPUTS", inputs)]
    text = "\n".join(body)
    names = [] if arrays else [name for name in ("inf", "nan") if name in text]
    head += ["import numpy as np"] if "np." in text else []
    head += [f"from numpy import {', '.join(names)}"] if names else []
    head += ["", "from minicc.graph import parse"]
    head += ["from minicc.runtime.files import read_arrays"] if arrays else []
    head += ["from minicc.testing.oracle import agree"]
    head += ["from minicc.types import DType"] if "DType.of(" in text else []
    quoted = str(graph).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return "\n".join([*head, "", f'TEXT = """\\\n{quoted}\n"""', text, "", "", "def test_stages_agree():",
                      f"    agree(parse(TEXT, CONSTANTS), INPUTS, {tuple(stages)!r})", ""])  # fmt: skip


def read_case(text: str, path: Path) -> tuple[Graph, dict[str, Array]]:
    """A graph from its text, with its large constants from a file of arrays, and the other arrays of that file.

    Raises GraphError where the text is no graph, RunError where the file holds no arrays.
    """
    held = {digest: DType.of(name) for name, digest in re.findall(r"Constant\[(\w+)\[[^\]]*\] @(\w+)\]", text)}
    constants = {name: a for name, a in read_arrays(path, held).items() if name in held and path.suffix != ".npy"}
    graph = parse(text, constants)
    arrays = read_arrays(path, {name: n.dtype for name, n in zip(graph.input_names, graph.inputs, strict=True)})
    return graph, {name: array for name, array in arrays.items() if name not in held}


def arrays_of(graph: Graph, inputs: Inputs) -> dict[str, Array]:
    """The arrays beside the text of a graph: its inputs by name, and its constants by digest."""
    return {**inputs, **graph.constants}


def _dict_source(name: str, arrays: Inputs) -> str:
    if not arrays:
        return f"{name} = {{}}"
    lines = [f"    {key!r}: {_array_source(array)}," for key, array in arrays.items()]
    return "\n".join([f"{name} = {{", *lines, "}"])


def _array_source(array: Array) -> str:
    """An expression that gives the array, every bit but those of NaN."""
    dtype = DType.of(array.dtype)
    name = repr(dtype.name) if dtype.name != "bfloat16" else 'DType.of("bfloat16").numpy'
    plain = array.astype(np.float64) if dtype.is_float else array
    if not array.size:
        return f"np.zeros({array.shape!r}, {name})"
    if array.size > 1 and len({value.tobytes() for value in array.reshape(-1)}) == 1:
        return f"np.full({array.shape!r}, {plain.flat[0].item()!r}, {name})"
    return f"np.array({plain.tolist()!r}, {name})"
