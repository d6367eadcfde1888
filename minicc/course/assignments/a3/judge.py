"""The judge of A3: what a primitive gives must run the same accesses in the same order as the program did before, in the loops that the step names.

Programs are those of `minicc.testing.workloads`, at sizes that are drawn, after steps that are drawn.
"""

from functools import partial
from itertools import zip_longest

import numpy as np

from minicc.course.judging import Failed, Unequal, equal, judged
from minicc.loop.accesses import accesses
from minicc.loop.ir import If, loops, walk
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.schedule import Schedule
from minicc.schedule.fuse import FuseStep
from minicc.schedule.split import SplitStep
from minicc.schedule.vectorize import VectorizeStep
from minicc.testing.workloads import WORKLOADS

FILE = "primitives.py"
NAMES = ("transpose", "reductions", "gemm", "pooling", "softmax", "conv2d", "batched_gemm", "depthwise")
FACTORS = (2, 3, 4, 8)
CASES = 8
PARTS = ("call", "problem", "where", "hint")


# ---- what is asked


def programs(draw, extents=(2, 3, 4, 5, 6)):
    """Names and programs, short ones first."""
    sizes = [(name, draw.choice(extents), draw.choice(extents)) for name in draw.sample(NAMES, CASES)]
    found = [(f"{name} {n} x {m}", WORKLOADS[name].program(n, m)) for name, n, m in sizes]
    yield from sorted(found, key=lambda named: len(str(named[1])))


def splits(draw, divides):
    """Programs and steps that split one of their loops, whose extent the factor divides, or does not."""
    for n, (name, program) in enumerate(programs(draw, (4, 6) if divides else (3, 4, 5, 7))):
        found = [(s.name, s.extent, f) for s in loops(program.body).values() for f in range(1, s.extent + 4)]
        steps = [SplitStep(name, f) for name, extent, f in found if (extent % f == 0) == divides]
        inside = [SplitStep(name, f) for name, extent, f in found if (extent % f == 0) == divides and 1 < f < extent]
        yield name, program, draw.choice(steps if n % 4 == 0 else inside or steps)


def fuses(draw):
    """Programs and steps that fuse two of their loops, some after a split."""
    for name, program in programs(draw):
        steps = FuseStep.moves(program)
        if not steps or draw.random() < 0.3:
            step = draw.choice(SplitStep.moves(program) or [SplitStep(next(iter(loops(program.body))), 1)])
            program = step.apply(program)
            steps = FuseStep.moves(program)
        if steps:
            yield name, program, draw.choice(steps)


# ---- what is right


def kept(answers, function, program, step, loops_after, guards=None):
    """Raise Unequal unless what came back does what the program did, in these loops."""
    made = answers.call(FILE, function, program, step)
    if not isinstance(made, Program):
        raise Unequal(f"expected a loop program, got {type(made).__name__}")
    made_loops = [(s.name, s.extent, s.kind) for s in loops(made.body).values()]
    for n, (got, right) in enumerate(zip_longest(made_loops, loops_after)):
        if got != right:
            raise Unequal(
                f"expected {in_words(right)} as loop {n}, from the outside and from the top, got {in_words(got)}"
            )
    equal((made.params, made.outputs), (program.params, program.outputs))
    if guards is not None and (got := guards_in(made) - guards_in(program)) != guards:
        raise Unequal(f"expected {guards} new guards, got {got}")
    before, after = accesses(program), accesses(made)
    if len(before) != len(after):
        raise Unequal(f"expected {len(before):,} loads and stores, as before, got {len(after):,}")
    for n in np.flatnonzero(
        (before.buffer != after.buffer) | (before.element != after.element) | (before.kind != after.kind)
    )[:1]:
        raise Unequal(f"expected access {n} to be {at(before, n)}, got {at(after, n)}")
    for got, right in zip(results(made), results(program), strict=True):
        if not np.array_equal(got, right):
            raise Unequal("expected the same values as before, got others")


def in_words(loop):
    """A loop by name, extent and kind."""
    return "{} of {} trips, {}".format(*loop) if loop else "none"


def guards_in(program):
    return sum(isinstance(s, If) for s in walk(program.body))


def at(found, n):
    """One access in words."""
    where = (
        np.unravel_index(int(found.element[n]), found.shapes[found.buffer[n]]) if found.shapes[found.buffer[n]] else ()
    )
    return f"{'a store' if found.is_store[n] else 'a load'} of {found.buffers[found.buffer[n]].name}[{', '.join(map(str, map(int, where)))}]"


def results(program):
    """What a program computes of small integers."""
    random = np.random.default_rng(1)
    inputs = [random.integers(-2, 9, b.shape).astype(b.dtype.numpy) for b in program.params]
    outputs = [np.full(b.shape, 77, b.dtype.numpy) for b in program.outputs]
    run_python(program, *inputs, *outputs)
    return outputs


def table(program, gone, come):
    """The loops of a program, with others in the place of one, and without another."""
    made = []
    for s in loops(program.body).values():
        made += come if s.name == gone[0] else [] if s.name in gone else [(s.name, s.extent, s.kind)]
    return made


# ---- tasks


def split_judged(answers, draw, divides):
    for name, program, step in splits(draw, divides):
        extent = loops(program.body)[step.loop].extent
        outer, inner = step.names(program)
        come = [(outer, -(-extent // step.factor), "serial"), (inner, step.factor, "serial")]
        after = table(program, (step.loop,), come)
        asked = f'split("{step.loop}", factor={step.factor}) of {name}, where its extent is {extent}'
        yield judged(asked, partial(kept, answers, "split", program, step, after, 0 if divides else None))


def task3_1(answers, draw):
    yield from split_judged(answers, draw, divides=True)


def task3_2(answers, draw):
    yield from split_judged(answers, draw, divides=False)


def task3_3(answers, draw):
    for name, program, step in fuses(draw):
        outer, inner = (loops(program.body)[loop] for loop in (step.outer, step.inner))
        come = [(step.names(program), outer.extent * inner.extent, "serial")]
        after = table(program, (step.outer, step.inner), come)
        yield judged(f"{step} of {name}", partial(kept, answers, "fuse", program, step, after, 0))


def refusals(draw):
    """Why, a program, and a step that is not legal there."""
    n, m = draw.randint(3, 6), draw.randint(3, 6)
    for kind in draw.sample(("vectorize", "unroll", "parallel"), 2):
        s = Schedule(WORKLOADS["transpose"].program(n, m))
        name = s.loops_of("D")[-1]
        getattr(s, kind)(name)
        yield f"a loop of kind {kind}", s.program, SplitStep(name, 2)
        yield f"a loop of kind {kind}", s.program, FuseStep(s.loops_of("D")[0], name)
    gemm, rows = WORKLOADS["gemm"].program(n, m), WORKLOADS["reductions"].program(n, m)
    yield "no such loop", gemm, SplitStep("nowhere", 2)
    yield "no such loop", gemm, FuseStep("nowhere", next(iter(loops(gemm.body))))
    yield "a factor of 0", gemm, SplitStep(draw.choice(list(loops(gemm.body))), 0)
    yield "a negative factor", gemm, SplitStep(draw.choice(list(loops(gemm.body))), -draw.randint(1, 4))
    for program in (gemm, rows):
        found = list(loops(program.body).values())
        inside = {s.name: s.body.name for s in found if s.body in found}
        apart = [FuseStep(a.name, b.name) for a in found for b in found if inside.get(a.name) != b.name]
        yield "not directly inside", program, draw.choice(apart)
        if mixed := [FuseStep(a, b) for a, b in inside.items() if not FuseStep(a, b).is_legal(program)]:
            yield "one loop is reduced over, the other is not", program, draw.choice(mixed)


def refuses(answers, program, step):
    """A refusal names the step, shows the program and has a way out; and the same function does not refuse a legal step."""
    function = "split" if isinstance(step, SplitStep) else "fuse"
    good = WORKLOADS["transpose"].program(4, 6)
    legal = SplitStep(next(iter(loops(good.body))), 2) if function == "split" else FuseStep.moves(good)[0]
    try:
        answers.call(FILE, function, good, legal)
    except Failed as error:
        if error.kind == "ScheduleError":
            raise Unequal(f"expected {legal} to be legal, got {error}") from None
    try:
        answers.call(FILE, function, program, step)
    except Failed as error:
        if error.kind != "ScheduleError" or len(error.parts) != len(PARTS):
            raise
        for part, text in zip(PARTS, error.parts, strict=True):
            if not text.strip():
                raise Unequal(f"expected an error of four parts, got none for {part}") from None
        equal(error.parts[0], str(step).removeprefix("s."))
        if "for " not in error.parts[2]:
            raise Unequal("expected the program in the third part, got none") from None
    else:
        raise Unequal(f"expected a ScheduleError for {step}, got a program")


def task3_4(answers, draw):
    for why, program, step in refusals(draw):
        yield judged(f"{step}: {why}", partial(refuses, answers, program, step))


def task3_5(answers, draw):
    for name, program in programs(draw):
        vectors = VectorizeStep.moves(program)
        if vectors and draw.random() < 0.5:  # what is no serial loop has no moves
            program = draw.choice(vectors).apply(program)
        yield judged(f"moves({name})", partial(all_moves, answers, program))


def all_moves(answers, program):
    found = loops(program.body)
    right = [SplitStep(s.name, f) for s in found.values() for f in FACTORS if f < s.extent and s.kind == "serial"]
    right += FuseStep.moves(program)
    got = answers.call(FILE, "moves", program)
    if not isinstance(got, (list, tuple)) or not all(isinstance(step, (SplitStep, FuseStep)) for step in got):
        raise Unequal("expected a list of SplitStep and FuseStep")
    for step in right:
        if step not in got:
            raise Unequal(f"expected {step} among them, as it is legal")
    for step in got:
        if step not in right:
            raise Unequal(f"expected legal steps only, got {step}")
    if len(got) != len(right):
        raise Unequal("expected each step once, got one twice")
