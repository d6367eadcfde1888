"""Two primitives of schedules: `split` makes two loops of one, `fuse` makes one of two.

A loop program is a tree of frozen nodes (`minicc.loop.ir`), and so is what stands in it (`minicc.tensor.expr`):

- `For(var, extent, body)` is a loop; `.name` is the name of its variable, `.kind` says whether it is SERIAL;
- `If(cond, body)` runs its body where the condition holds; `Var("i")` is a variable, and `i * 4 + j`, `i // 4`, `i % 4`, `i < 10`
  with a variable `i` are expressions;
- `loops(program.body)` has every loop by its name, outer ones first; `walk(s)` has every statement in `s`;
- `substitute_vars(s, {i: value})` is the statement `s` with an expression in the place of a variable, wherever it stands;
- `put(program, old, new)` is the program with a statement in the place of another (`kit.py`).

A step is a record: `SplitStep("i", factor=4)` has `.loop` and `.factor`, `FuseStep("i", "j")` has `.outer` and `.inner`, and
`step.names(program)` are the names that the new loops must have. All extents are numbers.
"""

from contextlib import suppress

from kit import in_minicc, put, refused

from minicc.course import Task
from minicc.errors import ScheduleError
from minicc.loop.ir import SERIAL, For, If, Update, loops, substitute_vars, walk
from minicc.schedule.fuse import FuseStep
from minicc.schedule.split import SplitStep
from minicc.tensor.expr import Var

FACTORS = (2, 3, 4, 8)  # that `moves` tries


def split(program, step):
    """The program in which `step.loop` is two loops: `step.factor` trips inside, and as many outside as that takes.

    What runs, and in which order, is the same. Raises ScheduleError where the step is not legal.
    """
    with suppress(Task):  # while task 3.4 is open, nothing is refused
        check_split(program, step)
    loop = loops(program.body)[step.loop]
    outer, inner = map(Var, step.names(program))
    made = even if loop.extent % step.factor == 0 else ragged
    return put(program, loop, made(loop, step.factor, outer, inner))


def even(loop, factor, outer, inner):
    """The loops in the place of `loop`, whose extent is a multiple of `factor`. There is nothing to ask."""
    # solution 3.1: a loop over `outer` around one over `inner`, around the body, in which the old variable is an expression of both
    body = substitute_vars(loop.body, {loop.var: outer * factor + inner})
    return For(outer, loop.extent // factor, For(inner, factor, body))
    # end


def ragged(loop, factor, outer, inner):
    """The loops in the place of `loop`, whose extent is no multiple of `factor`: the last tile is not full."""
    # solution 3.2: one tile more, and a guard, so that the body runs for the values that the old loop had
    value = outer * factor + inner
    body = If(value < loop.extent, substitute_vars(loop.body, {loop.var: value}))
    return For(outer, -(-loop.extent // factor), For(inner, factor, body))
    # end


def fuse(program, step):
    """The program in which `step.outer`, and `step.inner` directly inside of it, are one loop over all their pairs.

    What runs, and in which order, is the same. Raises ScheduleError where the step is not legal.
    """
    with suppress(Task):  # while task 3.4 is open, nothing is refused
        check_fuse(program, step)
    outer, inner = (loops(program.body)[name] for name in (step.outer, step.inner))
    return put(program, outer, fused(outer, inner, Var(step.names(program))))


def fused(outer, inner, variable):
    """The loop over `variable` in the place of `outer` and `inner`."""
    # solution 3.3: as many trips as there are pairs, and both old variables as expressions of the new one
    values = {outer.var: variable // inner.extent, inner.var: variable % inner.extent}
    return For(variable, outer.extent * inner.extent, substitute_vars(inner.body, values))
    # end


def check_split(program, step):
    """Raise ScheduleError unless there is such a loop, it is serial, and the factor is a positive number."""
    # solution 3.4: raise refused(step, program, problem, loop, hint), with the name of the loop that is at fault
    loop = named(program, step, step.loop)
    if loop.kind != SERIAL:
        raise refused(
            step, program, f"expected a serial loop, got {loop.name} of kind {loop.kind}", loop.name, "split before"
        )
    if step.factor < 1:
        problem = f"expected a factor of 1 or more, got {step.factor}"
        raise refused(step, program, problem, loop.name, f'for example s.split("{loop.name}", factor=4)')
    # end


def check_fuse(program, step):
    """Raise ScheduleError unless there are such loops, both serial, the inner one all that the outer one contains.

    A reduction is over both of them, or over neither: `Update.axes` has the variables of the loops that it reduces over.
    """
    # solution 3.4: raise refused(step, program, problem, loop, hint), with the name of a loop that is at fault
    outer, inner = named(program, step, step.outer), named(program, step, step.inner)
    for loop in (outer, inner):
        if loop.kind != SERIAL:
            problem = f"expected serial loops, got {loop.name} of kind {loop.kind}"
            raise refused(step, program, problem, loop.name, "fuse before")
    if outer.body is not inner:
        problem = f"expected loop {inner.name} to be all that loop {outer.name} contains"
        raise refused(step, program, problem, outer.name, "reorder first, so that nothing is between them")
    for s in walk(inner.body):
        if isinstance(s, Update) and (outer.var in s.axes) != (inner.var in s.axes):
            problem = f"expected {s.buffers[0].name} to be reduced over both loops or none, got one of them"
            raise refused(step, program, problem, outer.name, "fuse two axes of the result, or two of the reduction")
    # end


# solution
def named(program, step, name):
    """The loop of this name."""
    found = loops(program.body)
    if name not in found:
        raise refused(
            step, program, f"expected the name of a loop, got {name!r}", "", f"the loops are {', '.join(found)}"
        )
    return found[name]


# end
def moves(program):
    """The list of all legal steps: splits by each of FACTORS that is smaller than the extent, and fuses. No step stands there twice."""
    # solution 3.5: try all that could be, and keep what is not refused
    found = loops(program.body)
    tried = [SplitStep(name, factor) for name, loop in found.items() for factor in FACTORS if factor < loop.extent]
    tried += [FuseStep(outer, inner) for outer in found for inner in found]
    return [step for step in tried if is_legal(program, step)]
    # end


# solution
def is_legal(program, step):
    """Whether a step is not refused."""
    try:
        (check_split if isinstance(step, SplitStep) else check_fuse)(program, step)
    except ScheduleError:
        return False
    return True


# end
# ---- your primitives in minicc: minicc.compile(model, primitives=PRIMITIVES)

PRIMITIVES = {"split": in_minicc(split), "fuse": in_minicc(fuse)}
