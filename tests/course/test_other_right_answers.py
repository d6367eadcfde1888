"""What is right in another way than the solution earns all points: no judge holds an answer to the letter of the solution."""

import re

import pytest
from submitted import shares, submitted

from minicc.course.assignment import assignment
from minicc.course.handout import solution, source

pytestmark = pytest.mark.course
OTHERWISE = [  # a task, and what may stand in its place
    ("5.1", "return not any(r.op.kind is Kind.BROADCAST and r.type.size > n.type.size for r in readers)"),
    (
        "5.2",
        """
    for m in members:
        if m.op.kind is Kind.INJECTIVE or tuple(m.type.shape) != tuple(heart.type.shape):
            return False
    return True""",
    ),
    (
        "5.3",
        """
    if n in plan.outputs or not plan.readers[n]:
        return None
    return next((kernel for kernel in plan.kernels if set(plan.readers[n]) <= kernel.members), None)""",
    ),
    (
        "5.4",
        """
    first = [r for r in readers if r in into.before]
    later = [r for r in readers if r not in into.before]
    if first and (into.heart.op.kind is Kind.ANCHOR or not is_chain(n, first)):
        return False
    return not later or is_epilogue(into.heart, [n, *later])""",
    ),
    (
        "5.5",
        """
    ours, theirs = plan.of[n], plan.of[reader]
    if ours.heart and theirs.heart:
        return "hearts"
    if reader.op.kind is Kind.ANCHOR:
        return "anchor"
    if any(plan.of[r] is not theirs for r in plan.readers[n]):
        return "readers"
    if n in plan.outputs:
        return "output"
    if reader.op.kind is Kind.BROADCAST and reader.type.shape != n.type.shape:
        return "repeats"
    return "moves" """,
    ),
    (
        "7.1",
        """
    for dtype in (np.float32, np.float64, np.int32, np.int8):
        real = np.dtype(dtype).kind == "f"
        most = (np.finfo if real else np.iinfo)(dtype).max
        x = np.array([0, 1, -1, 5, -5, 7, most, -most] + [np.nan, np.inf, -np.inf, -0.0, 500.0, -500.0] * real, dtype)
        expect_same(candidate("Relu", {}, [x]), np.where(x > 0, x, x * 0) if not real else np.maximum(x, dtype(0)))
        if real:
            expect_same(candidate("Sigmoid", {}, [x]), ((np.tanh(x.astype(float) / 2) + 1) / 2).astype(dtype), 1e-6)
        for y in (np.roll(x, shift) for shift in range(1, len(x))):
            both = (x != 0) | (y != 0)
            expect_same(candidate("Max", {}, [x[both], y[both]]), np.maximum(x, y)[both])
            a, b = (x, y) if real else (x[y != 0], y[y != 0])
            with np.errstate(all="ignore"):
                expect_same(candidate("Div", {}, [a, b]), a / b if real else np.trunc(a / b).astype(dtype), 1e-5 * real)""",
    ),
    (
        "7.2",
        """
    random = np.random.default_rng(9)
    for dtype, shape in itertools.product((np.float32, np.float64, np.int32), [(9,), (6,), (3, 13), (2, 3, 5), (2, 1, 3, 6)]):
        for axis in range(-len(shape), len(shape)):
            x = random.integers(-2000, 2000, shape).astype(dtype)
            few, most = (x % 2).astype(dtype), x.max(axis, keepdims=True)
            expect_same(candidate("ReduceSum", {"axes": (axis,), "keepdims": False}, [x]), x.sum(axis, dtype=dtype), 1e-4)
            expect_same(candidate("ArgMax", {"axis": axis, "keepdims": False}, [few]), np.argmax(few, axis))
            if dtype != np.int32:
                powers = np.exp((x - most).astype(float))
                expected = (powers / powers.sum(axis, keepdims=True)).astype(dtype)
                expect_same(candidate("Softmax", {"axis": axis}, [x]), expected, 1e-5)""",
    ),
    (
        "7.3",
        """
    random, special = np.random.default_rng(4), np.float32([0.0, -0.0, np.nan, np.inf, 1.5, -2.5])
    for _ in range(80):
        x = input("x", TensorType.of(special))
        values = [x]
        for _ in range(random.integers(1, 5)):
            a, b = (values[k] for k in random.integers(len(values), size=2))
            b = b if random.random() < 0.5 else np.float32(random.choice([0.0, 1.0]))
            light, two = random.choice((ops.Relu, ops.Neg, ops.Sigmoid)), random.choice((ops.Add, ops.Sub, ops.Mul))
            values.append(light()(a) if random.random() < 0.5 else two()(a, b))
        outputs = tuple(dict.fromkeys(values[1:]))
        graph = Graph("fuzz", (x,), outputs, tuple(f"y{k}" for k in range(len(outputs))))
        expected, got = evaluate(graph, {"x": special}), candidate(graph, {"x": special})
        for name, array in expected.items():
            expect_same(got[name], array, 1e-4)""",
    ),
    (
        "8.1",
        """
    import numpy as np
    everything, best = points(space), None
    for at in np.random.default_rng(3).permutation(len(everything))[:budget]:
        cost = measure(everything[at])
        best = min(best or (cost, at), (cost, at))
    return everything[best[1]]""",
    ),
    (
        "8.1",
        """
    chance, tried, all_of_them = random.Random(7), {}, len(points(space))
    while len(tried) < min(budget, all_of_them):
        key = tuple(chance.choice(options) for options in space.values())
        if key not in tried:
            tried[key] = measure(dict(zip(space, key)))
    return dict(zip(space, min(tried, key=tried.get)))""",
    ),
    (
        "8.2",
        """
    def places(p):
        return [options.index(p[name]) for name, options in reversed(space.items())]
    near = [p for p in points(space) if sum(abs(a - b) for a, b in zip(places(p), places(point))) == 1]
    return [dict(reversed(p.items())) for p in near]""",
    ),
]


def instead(task, code, folder):
    """The solution with other code for a task."""
    of = assignment(f"a{task[0]}")
    name = of.files[0]
    text, n = re.subn(
        rf"    # solution {re.escape(task)}:.*?# end\n", lambda _: f"    {code.strip()}\n", source(of, name), flags=re.S
    )
    assert n == 1
    return submitted(of.name, folder, solution(of) | {name: text.encode()})


@pytest.mark.parametrize(("task", "code"), OTHERWISE, ids=[task for task, _ in OTHERWISE])
def test_another_way(task, code, tmp_path):
    folder = instead(task, code, tmp_path)
    tasks = () if task[0] == "5" else (task,)  # in A5, questions ask each other
    for student in ("ada", "ben", "cleo"):
        assert set(shares(f"a{task[0]}", folder, student, tasks).values()) == {1.0}
