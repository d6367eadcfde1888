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
    tasks = ("8.1", "8.2") if task[0] == "8" else ()
    for student in ("ada", "ben", "cleo"):
        assert set(shares(f"a{task[0]}", folder, student, tasks).values()) == {1.0}
