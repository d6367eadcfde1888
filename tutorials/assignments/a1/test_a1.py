"""The visible tests, at one size each: `pytest -m task1_1`. The grader has other sizes."""

import pytest

import puzzles
from programs import PUZZLES, costs

GOALS = {
    "along_rows": {"misses": 260},
    "in_tiles": {"misses": 512},
    "whole_vectors": {"rounds": 36, "asked": 0},
    "calm_middle": {"asked": 0},
    "ask_once": {"asked": 36},
    "few_rows": {"room": 96, "flops": 2560},
    "nothing_between": {"loads": 512, "stores": 264, "room": 8},
    "read_once": {"loads": 8000, "room": 20},
    "in_a_register": {"loads": 384, "stores": 16, "room": 1},
    "eight_sums": {"rounds": 72},
    "register_tile": {"loads": 2048, "stores": 256, "room": 24},
}
CASES = [
    pytest.param(name, goal, marks=getattr(pytest.mark, f"task1_{n}"), id=name)
    for n, (name, goal) in enumerate(GOALS.items(), 1)
]


@pytest.mark.parametrize(("name", "goal"), CASES)
def test_puzzle(name, goal):
    puzzle = PUZZLES[name]
    program = puzzle.program(*puzzle.sizes)
    trace = getattr(puzzles, name)(program)
    others = {step.name for step in trace} - set(puzzle.primitives)
    assert not others, f"expected steps of {', '.join(puzzle.primitives)} only, got {', '.join(others)}"
    after = trace.replay(program).program
    for cost, got in costs(after, puzzle.counted).items():
        assert got <= goal[cost], f"{cost}: {got}, more than {goal[cost]}\n\n{trace}\n\n{after}"
