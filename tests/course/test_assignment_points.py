"""Solutions earn all points, hand-outs their free ones only, and a fault costs points in its own task."""

import pytest
from faults import FAULTS
from submitted import handed_out, judgments, shares, submitted

from minicc.course.assignment import assignment, assignments

pytestmark = pytest.mark.course
OURS = tuple(assignments())
MUTANTS = [  # a fault of a solution: where, what stands there, what takes its place, the tasks that must lose points
    ("a1", "puzzles.py", 's.reorder("i", "j")', "pass", "1.1"),
    ("a1", "puzzles.py", 's.tile("i", "j", 16, 16)', 's.tile("i", "j", 2, 2)', "1.2"),
    ("a1", "puzzles.py", 's.split(s.fuse("i", "j"), factor=8)[1]', '"j"', "1.3"),
    ("a1", "puzzles.py", 's.split("i", factor=4)', 's.split("i", factor=16)', "1.6"),
    ("a1", "puzzles.py", 'column, "j"', 'column, "i"', "1.8"),
    ("a1", "puzzles.py", "s.tile(i, j, 4, 4)", "s.tile(i, j, 2, 8)", "1.11"),
    ("a2", "operators.py", "if not self.delta > 0:", "if self.delta < 0:", "2.1"),
    ("a2", "operators.py", "np.abs(x - y)", "np.nan_to_num(np.abs(x - y))", "2.2"),
    (
        "a2",
        "operators.py",
        "own = indices[len(indices) - len(tensor.shape) :]",
        "own = indices[: len(tensor.shape)]",
        "2.3",
    ),
    ("a2", "operators.py", "axis = self.axis % x.ndim", "axis = max(self.axis, 0)", "2.5"),
    ("a2", "operators.py", "indices[axis] % 2 == 0", "indices[axis] % 2 == 1", "2.6"),
    ("a2", "operators.py", "np.roll(y, -shift", "np.roll(y, shift", "2.8"),
    ("a2", "operators.py", "(k + shift) % length", "(k + shift + 1) % length", "2.9"),
    ("a6", "matmul.trace", 's.unroll("i")\n', "", "6.2"),
    ("a6", "softmax.trace", 's.vectorize("x_i")\n', "", "6.5 6.6"),
    ("a8", "search.py", ".sample(everything, min(budget, len(everything)))", ".choices(everything, k=budget)", "8.1"),
    ("a8", "search.py", "(at - 1, at + 1) if 0 <= n < len(options)]", "(at + 1,) if n < len(options)]", "8.2"),
]


@pytest.mark.parametrize("name", OURS)
def test_a_solution_earns_all_points(name, tmp_path):
    found = judgments(name, submitted(name, tmp_path))
    assert {task: [j for j in of_task if j.share < 1] for task, of_task in found.items()} == {
        task: [] for task in found
    }
    assert list(found) == [task.name for task in assignment(name).tasks]


@pytest.mark.parametrize("name", OURS)
def test_a_handout_earns_its_free_points_only(name, tmp_path):
    free = {task.name: float(task.free) for task in assignment(name).tasks}
    assert shares(name, handed_out(name, tmp_path)) == free


@pytest.mark.parametrize(("name", "file", "old", "new", "task"), [*MUTANTS, *FAULTS], ids=lambda value: str(value)[:24])
def test_a_fault_costs_points_in_its_own_task(name, file, old, new, task, tmp_path):
    found = shares(name, submitted(name, tmp_path, changes=[(file, old, new)]))
    assert all(found.pop(lost) < 1 for lost in task.split())
    assert set(found.values()) == {1.0}


FORGETFUL = """
plain, KNOWN = search, []


def search(space, measure, budget):
    KNOWN.append(space)
    assert len(KNOWN) == 1, "it remembers an earlier space"
    return plain(space, measure, budget)
"""


@pytest.mark.parametrize(
    ("instead", "shares_of_search", "said"),
    [
        (FORGETFUL, (1, 1), ""),  # each space is searched by a process of its own
        ("def search(space, measure, budget):\n    return min(points(space), key=measure)\n", (0, 0), "the budget of 30 trials is spent"),
        ("def search(space, measure, budget):\n    return {name: 0 for name in space}\n", (0, 0), "expected a point"),
        ("search = random_search\n", (0, 0.8), "of the gap"),
    ],
    ids=["forgets", "overspends", "finds no point", "draws at random"],
)  # fmt: skip
def test_a_search_is_judged_by_what_it_finds_with_its_trials(instead, shares_of_search, said, tmp_path):
    with (submitted("a8", tmp_path) / "search.py").open("a") as file:
        file.write(f"\n\n{instead}")
    found = judgments("a8", tmp_path)
    least, most = shares_of_search
    for task in ("8.3", "8.4"):
        (judgment,) = found[task]
        assert least <= judgment.share <= most and said in judgment.problem
