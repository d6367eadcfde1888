"""What a refused step says: where, and a way out that is one."""

import itertools
import re

import pytest
import schedule_cases as cases

from minicc.errors import ScheduleError
from minicc.schedule import Schedule
from minicc.schedule.schedule import STEPS


@pytest.mark.parametrize("make", [cases.total, cases.relu_of_matmul, cases.windows, cases.argmax])
def test_every_refusal_has_a_place_and_a_hint_whose_calls_are_legal(make):
    programs = [make().program]
    programs += [step.apply(programs[0]) for step in make().moves()[::7]]
    for program in programs:
        for step in itertools.chain.from_iterable(kind.candidates(program) for kind in STEPS.values()):
            if step.is_legal(program):
                continue
            with pytest.raises(ScheduleError) as error:
                step.check(program)
            assert error.value.where and error.value.hint, step
            for call in re.findall(r's\.\w+\([^)]*"\)', error.value.hint):
                eval(call, {"s": Schedule(program)})  # raises where it is not legal
