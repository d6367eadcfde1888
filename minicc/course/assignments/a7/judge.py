"""The judge of A7: checks are run on candidates that stay here, right ones and such with a planted fault, in an order that is drawn.

A fault is killed by an AssertionError. A check that fails a right candidate, or raises something else there, kills nothing.
"""

from functools import partial

import numpy as np

from minicc.course.judging import Failed, Unequal, judged
from minicc.errors import RunError
from minicc.graph.ir import Constant, Graph, Input
from minicc.ops.base import REGISTRY
from minicc.types import TensorType

FILE = "checks.py"
MOST_CALLS, MOST_ELEMENTS, MOST_OPERATORS = 400, 4096, 24
ASKED = {
    "check_elements": {"Relu", "Sigmoid", "Max", "Div"},
    "check_many": {"Softmax", "ReduceSum", "ArgMax"},
    "check_graphs": {"Relu", "Neg", "Sigmoid", "Add", "Sub", "Mul", "MatMul"},
}


# ---- right candidates, of operators


def reference(op, arrays):
    return np.asarray(op.numpy(*arrays))


def in_more_bits(op, arrays):
    made = reference(op, [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays])
    return made.astype(arrays[0].dtype) if made.dtype.kind == "f" else made


def with_another_nan(op, arrays):
    made = reference(op, arrays)
    return (
        np.where(np.isnan(made), np.copysign(np.array(np.nan, made.dtype), -1), made)
        if made.dtype.kind == "f"
        else made
    )


def from_the_end(op, arrays):
    """Sums in another order, in the bits that there are."""
    (x, *_), name = arrays, op.name
    if x.dtype.kind != "f" or name not in ("ReduceSum", "Softmax") or not x.size:
        return reference(op, arrays)
    if name == "ReduceSum":
        axes = op.axes_of(TensorType.of(x))
        return np.asarray(
            np.flip(x).sum(axis=axes, keepdims=op.keepdims, dtype=x.dtype)[
                tuple([slice(None, None, -1)] * (x.ndim if op.keepdims else x.ndim - len(axes)))
            ]
        )
    powers = np.exp(x - x.max(axis=op.axis, keepdims=True))
    return powers / np.flip(powers, op.axis).sum(axis=op.axis, keepdims=True, dtype=x.dtype)


def rounded_otherwise(op, arrays):
    made = reference(op, arrays)
    if made.dtype.kind != "f" or op.name in ("Relu", "Max", "Neg"):
        return made
    return (made * (1 - 2 * np.finfo(made.dtype).eps)).astype(made.dtype)  # towards 0: the largest stays finite


RIGHT = (reference, in_more_bits, with_another_nan, from_the_end, rounded_otherwise)


# ---- planted faults, of operators: what takes the place of one of them


def instead(name, function, where=lambda arrays: True):
    """The name of an operator, and a candidate in which it is another function, where the arrays are so."""
    return name, lambda op, arrays: function(op, arrays) if op.name == name and where(arrays) else reference(op, arrays)


def of_each(draw, *dtypes):
    """For each of these dtypes or kinds, in an order that is drawn, whether arrays are of it: who leaves one out misses a fault."""
    return [lambda arrays, dtype=dtype: dtype in arrays[0].dtype.str for dtype in draw.sample(dtypes, len(dtypes))]


def faults_of_elements(draw):
    one, other = of_each(draw, "f4", "f8")
    loses = draw.randrange(2)  # the operand whose NaN is lost
    yield instead(*draw.choice((
        ("Relu", lambda op, a: np.fmax(a[0], a[0].dtype.type(0)), one),
        ("Max", lambda op, a: np.where(np.isnan(a[loses]), a[1 - loses], reference(op, a)), one),
    )))  # fmt: skip
    integers = draw.choice((np.int32, np.int8))
    yield instead("Div", lambda op, a: a[0] // a[1], lambda arrays: arrays[0].dtype == integers)
    yield instead("Sigmoid", lambda op, a: np.exp(a[0]) / (1 + np.exp(a[0])), other)


def faults_of_many(draw):
    def plain(op, arrays):
        powers = np.exp(arrays[0])
        return powers / powers.sum(axis=op.axis, keepdims=True)

    def other_axis(op, arrays):
        return type(op)(-1).numpy(*arrays)

    def last(op, arrays):
        return type(op)(op.axis, op.keepdims, True).numpy(*arrays)

    lanes = draw.choice((4, 8))

    def without_tail(op, arrays):
        (x,) = arrays
        for axis in op.axes_of(TensorType.of(x)):
            if x.shape[axis] > lanes:
                x = np.take(x, range(x.shape[axis] // lanes * lanes), axis)
        return op.numpy(x)

    one, other = of_each(draw, "f", "i")
    yield instead("Softmax", plain, of_each(draw, "f4", "f8")[0])
    yield instead("Softmax", other_axis, lambda arrays: arrays[0].ndim > 2)
    yield instead("ArgMax", last, one)
    yield instead("ReduceSum", without_tail, other)


# ---- candidates of graphs: a step for each node


def evaluated(step):
    """A candidate that gives each node the value that `step(node, values of its inputs)` says."""

    def candidate(graph, arrays):
        values = {n: np.array(arrays[name]) for n, name in zip(graph.inputs, graph.input_names, strict=True)}
        for n in graph.nodes:
            if n not in values:
                values[n] = step(n, [values[i] for i in n.inputs])
        return {name: values[n].copy() for name, n in zip(graph.output_names, graph.outputs, strict=True)}

    return candidate


def by(right):
    """A right candidate of graphs, of one of operators."""
    return evaluated(lambda n, values: n.op.data.array if isinstance(n.op, Constant) else right(n.op, values))


def faults_of_graphs(draw):
    overwriting = draw.choice(("Relu", "Neg", "Sigmoid"))

    def in_place(n, values):
        made = plain(n, values)
        if n.op.name == overwriting and not isinstance(n.inputs[0].op, (Input, Constant)) and values[0].flags.writeable:
            values[0][...] = made
            return values[0]
        return made

    def neutral(n, values):
        zero = next((k for k, i in enumerate(n.inputs) if isinstance(i.op, Constant) and not i.array.any()), None)
        return (
            np.array(values[1 - zero])
            if n.op.name == "Add" and zero is not None and values[1 - zero].shape == n.shape
            else plain(n, values)
        )

    def vanishing(n, values):
        if n.op.name == "Mul" and any(isinstance(i.op, Constant) and not i.array.any() for i in n.inputs):
            return np.zeros(n.shape, n.dtype.numpy)
        return plain(n, values)

    def plain(n, values):
        return np.array(n.op.data.array) if isinstance(n.op, Constant) else reference(n.op, values)

    yield from zip((overwriting, "Add", "Mul"), map(evaluated, (in_place, neutral, vanishing)), strict=True)


# ---- what a submission may ask


def refused(problem):
    return RunError("candidate(...)", f"expected {problem}", hint="a check has few questions, and small ones")


def counted(function, allowed):
    """A candidate that answers a limited number of questions of limited size."""
    left = [MOST_CALLS]

    def candidate(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise refused(f"at most {MOST_CALLS} questions")
        with np.errstate(all="ignore"):
            return (
                asked_graph(function, allowed, *arguments)
                if isinstance(arguments[0], Graph)
                else asked(function, allowed, *arguments)
            )

    return candidate


def asked(function, allowed, name, attributes, arrays):
    if name not in allowed:
        raise refused(f"one of {', '.join(sorted(allowed))}, got {name!r}")
    fields = {key: tuple(v) if isinstance(v, list) else v for key, v in dict(attributes).items()}
    op, arrays = REGISTRY[name](**fields), [np.array(a) for a in arrays]
    if sum(a.size for a in arrays) > MOST_ELEMENTS * 4 or op.infer(*map(TensorType.of, arrays)).size > MOST_ELEMENTS:
        raise refused(f"arrays of at most {MOST_ELEMENTS:,} elements")
    return np.asarray(function(op, arrays))


def asked_graph(function, allowed, graph, arrays):
    operators = [n for n in graph.nodes if not isinstance(n.op, (Input, Constant))]
    if len(operators) > MOST_OPERATORS or not {n.op.name for n in operators} <= allowed:
        raise refused(f"at most {MOST_OPERATORS} operators, of {', '.join(sorted(allowed))}")
    if any(n.inferred is None or not n.inferred.is_bound or n.type.size > MOST_ELEMENTS for n in graph.nodes):
        raise refused(f"values of at most {MOST_ELEMENTS:,} elements")
    for name, n in zip(graph.input_names, graph.inputs, strict=True):
        if name not in arrays or TensorType.of(np.asarray(arrays[name])) != n.type:
            raise refused(f"an array of {n.type} for {name}")
    return function(graph, arrays)


# ---- verdicts

PASSED, KILLED = "it passed", "it was killed"


def verdict(answers, function, candidate):
    """What a check says of a candidate."""
    try:
        answers.call(FILE, function, counted(candidate, ASKED[function]))
    except Failed as error:
        return f"{KILLED}: {error}" if error.kind == "AssertionError" else str(error)
    return PASSED


def hunt(answers, draw, function, rights, faults):
    """A judgment for each fault. The check does not know which candidate is which; all come twice, so that it cannot guess."""
    candidates = [
        *((f.__name__, c, True) for f, c in rights),
        *((f"fault {n}, of {operator}", f, False) for n, (operator, f) in enumerate(faults, 1)),
    ]
    said = {}
    for _ in range(2):
        for name, c, right in draw.sample(candidates, len(candidates)):
            if said.get(name, wanted := PASSED if right else KILLED).startswith(wanted):
                said[name] = verdict(answers, function, c)
    failed = [name for name, _, right in candidates if right and said[name] != PASSED]
    wrong = f"what is right ({failed[0].replace('_', ' ')}) must pass: {said[failed[0]]}" if failed else ""
    for name, _, right in candidates:
        if not right:
            yield judged(f"{function}: {name}", partial(killed, said[name], wrong))


def killed(said, wrong):
    if wrong:
        raise Unequal(wrong)
    if not said.startswith(KILLED):
        raise Unequal(f"expected an AssertionError, got: {said}")


def task7_1(answers, draw):
    yield from hunt(answers, draw, "check_elements", [(f, f) for f in RIGHT], faults_of_elements(draw))


def task7_2(answers, draw):
    yield from hunt(answers, draw, "check_many", [(f, f) for f in RIGHT], faults_of_many(draw))


def task7_3(answers, draw):
    yield from hunt(answers, draw, "check_graphs", [(f, by(f)) for f in RIGHT], faults_of_graphs(draw))
