"""Four small tasks."""

from minicc.course import Task
from minicc.schedule import Schedule


def twice(x):
    # solution 0.1: two times x
    return 2 * x
    # end


def scaled(array, factor):
    # solution 0.2: the array, times the factor
    return array * factor
    # end


def k_first(program):
    s = Schedule(program)
    # solution 0.3: the loop k comes first
    s.reorder("k", "i")
    # end
    return s.trace


def total(numbers):
    # solution 0.4: their sum, soon
    return sum(numbers)
    # end
