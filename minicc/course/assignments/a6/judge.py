"""The judge of A6: files of steps are replayed here, at several sizes, and counted and timed beside the traces of the solution."""

import math
from functools import partial

import numpy as np

from minicc.compile import build
from minicc.course.assignments.a6.programs import KERNELS, cost, inputs, milliseconds, scheduled, target
from minicc.course.assignment import assignment
from minicc.course.judging import Failed, Judgment, Unequal
from minicc.errors import MiniccError, plain_lines

FULL, NONE = 1.2, 10.0  # times what the reference costs: what earns all points, and what earns none
HOPELESS = 20.0  # times the reference: not measured twice
ULPS = 64  # of sums of absolute values
SIZES = {
    "matmul": (range(2, 41), range(2, 41), range(2, 41)),
    "conv": (range(2, 9), range(2, 16), range(2, 9), range(2, 36)),
    "softmax": (range(2, 7), range(2, 100)),
}


def kernel(name, ask, answers, draw):
    """One judgment: the steps are legal and right at sizes that are drawn, and worth what `ask` says."""
    try:
        text = answers.text(f"{name}.trace")
        sizes = [tuple(map(draw.choice, SIZES[name])) for _ in range(3)]
        for each in sorted(sizes, key=math.prod):
            check_right(name, text, each)
        share, said, speed = ask(name, text)
    except (Failed, Unequal, MiniccError, RecursionError) as problem:
        yield Judgment(name, 0.0, plain_lines(problem))
        return
    yield Judgment(name, share, said if share < 1 else "", figure=speed)


def check_right(name, text, sizes):
    """Raise Unequal unless the program, as machine code, computes what it must at these sizes."""
    this, program = KERNELS[name], scheduled(name, text, sizes).program
    arrays = inputs(program, seed=sum(sizes))
    got = np.full(program.outputs[0].shape, np.nan, np.float32)
    build(program, target=target(), name=name)(*arrays, got)
    wide = [a.astype(np.float64) for a in arrays]
    expected = this.expected(*wide)
    bound = ULPS * np.finfo(np.float32).eps * (expected if name == "softmax" else this.expected(*map(abs, wide)))
    for place in np.argwhere(~(np.abs(got - expected) <= bound))[:1]:
        at = tuple(map(int, place))
        raise Unequal(f"at {' x '.join(map(str, sizes))}: expected {expected[at]:.7g} at {list(at)}, got {got[at]:.7g}")


def solved(name):
    """The steps of the solution."""
    return (assignment("a6").folder / f"{name}.trace").read_text(encoding="utf-8")


def worth(ratio, none):
    """The share of the points that so many times the cost of the reference earn: logarithmic from all to none."""
    share = math.log(none / ratio) / math.log(none / FULL)
    return min(1.0, max(0.0, share))


def counted(name, text):
    """The counted cost beside that of the reference; as much as the naive program's earns nothing."""
    mine, ours, naive = counts(name, text)
    said = f"expected a cost of at most {int(FULL * ours):,}, got {mine:,}; the naive program's is {naive:,}"
    return worth(mine / ours, min(NONE, naive / ours)), said, ours / mine


def counts(name, text):
    """The counted costs of a text, of the reference, and of the naive program."""
    this = KERNELS[name]
    steps = (text, solved(name), "")
    return [cost(scheduled(name, each, this.counted).program) for each in steps]


def timed(name, text):
    """The time beside that of the reference, taken in turns; a program that counts no less than the naive one earns nothing."""
    this, (mine, _, naive) = KERNELS[name], counts(name, text)
    if mine >= naive:
        return 0.0, f"expected a program that costs less than the naive one's {naive:,}, got {mine:,}", 0.0
    check_right(name, text, this.timed)
    programs = [scheduled(name, each, this.timed).program for each in (text, solved(name))]
    mine, ours = milliseconds(name, *programs, turns=3)  # one call may be interrupted
    if mine < HOPELESS * ours:
        mine, ours = milliseconds(name, *programs)
    said = (
        f"expected at most {FULL} times the {ours:.3f} ms of the reference, got {mine / ours:.2f} times: {mine:.3f} ms"
    )
    return worth(mine / ours, NONE), said, ours / mine


task6_1, task6_2 = partial(kernel, "matmul", counted), partial(kernel, "matmul", timed)
task6_3, task6_4 = partial(kernel, "conv", counted), partial(kernel, "conv", timed)
task6_5, task6_6 = partial(kernel, "softmax", counted), partial(kernel, "softmax", timed)
