"""Schedules that the campaign of random schedules once found to be wrong, shrunk: they stay right."""

import pytest

from minicc.errors import ScheduleError
from minicc.testing.schedules import check, start

FOUND = {
    "a parallel body that only prefetches a buffer": ("elementwise", (5, 5), "llvm", """
        s.cache_read("C", "local")
        s.prefetch("C_local", "i_1", offset=4)
        s.cache_read("C_local", "local")
        s.parallel("i_1")"""),
}  # fmt: skip


@pytest.mark.parametrize("what", FOUND)
def test_found_failures_stay_repaired(what):
    workload, extents, stage, steps = FOUND[what]
    s = start(workload, extents)
    for step in steps.split("\n")[1:]:
        try:
            exec(step.strip(), {"s": s})
        except ScheduleError:
            break  # to refuse it is a repair, too
    check(s.program, workload, extents, stage)
