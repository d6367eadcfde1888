"""What A3 gives: a changed part put back into a program, a refusal in four parts, and your primitives in the whole compiler."""

from minicc.errors import ScheduleError, caret
from minicc.ir.node import replace
from minicc.loop.ir import loops, map_bodies
from minicc.schedule.step import loops_text


def put(program, old, new):
    """The program with the statement `new` where `old` was."""

    def changed(s):
        return new if s is old else map_bodies(s, changed)

    return replace(program, body=changed(program.body))


def refused(step, program, problem, loop, hint):
    """The error for a step that is not legal: the call, what is wrong, the program with the loop underlined, a way out."""
    where = loops_text(program)
    return ScheduleError(str(step).removeprefix("s."), problem, caret(where, loop) if loop else where, hint)


def in_minicc(function):
    """Your primitive for `minicc.compile(primitives=...)`: what was not asked for, other tails and sizes that are not known, is left to minicc's."""

    def primitive(program, step):
        names = [getattr(step, field, None) for field in ("loop", "outer", "inner")]
        extents = [loop.extent for name, loop in loops(program.body).items() if name in names]
        asked = getattr(step, "nparts", None) is None and getattr(step, "tail", "guard") == "guard"
        if asked and all(isinstance(extent, int) for extent in extents):
            return function(program, step)
        return step.transform(program)

    return primitive
