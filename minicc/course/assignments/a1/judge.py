"""The judge of A1: traces are replayed on programs of other sizes, and what these cost is compared with what the solution reaches."""

from functools import partial

from minicc.course.assignments.a1 import puzzles as solved
from minicc.course.assignments.a1.programs import PUZZLES, costs
from minicc.course.judging import Unequal, judged, replayed

SLACK = 1.1  # another way may cost a little more than ours
CASES = 3
SIZES = {  # of each puzzle, the numbers from which its sizes are drawn; at all of them the naive program costs more
    "along_rows": (range(40, 73), range(32, 97, 16)),
    "in_tiles": (range(48, 97, 16), range(48, 97, 16)),
    "whole_vectors": (range(8, 57, 16), (6, 10, 12, 20)),  # an eighth of all elements is no number of whole vectors
    "calm_middle": (range(9, 61),),
    "ask_once": (range(4, 21), range(5, 21)),
    "few_rows": (range(16, 49, 4), range(8, 25)),
    "nothing_between": (range(3, 13), range(4, 25)),
    "read_once": (range(4, 17), range(4, 17), range(4, 25)),
    "in_a_register": (range(3, 25), range(4, 33)),
    "eight_sums": (range(2, 5), range(96, 161, 8)),  # fewer rows than lanes, so that a vector across rows is no way out
    "register_tile": (range(8, 25, 4), range(8, 25, 4), range(8, 25)),
}


def puzzle(name, answers, draw):
    """Judgments of a puzzle at sizes that are drawn, the smallest first."""
    sizes = {tuple(draw.choice(numbers) for numbers in SIZES[name]) for _ in range(CASES)}
    for case in sorted(sizes, key=lambda each: (sum(each), each)):
        called = f"{name}, program of {' x '.join(map(str, case))}"
        yield judged(called, partial(reaches, name, case, answers))


def reaches(name, sizes, answers):
    """Raise Unequal unless the trace makes the program cost as little as the solution does, or nearly."""
    this = PUZZLES[name]
    program = this.program(*sizes)
    got = costs(replayed(answers.call("puzzles.py", name, program), program, this.primitives).program, this.counted)
    goal = costs(replayed(getattr(solved, name)(program), program, this.primitives).program, this.counted)
    for cost, most in goal.items():
        if got[cost] > most * SLACK:
            raise Unequal(f"{cost}: expected at most {int(most * SLACK):,}, got {got[cost]:,}")


globals().update({f"task1_{n}": partial(puzzle, name) for n, name in enumerate(PUZZLES, 1)})
