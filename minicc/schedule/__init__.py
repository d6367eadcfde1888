"""Schedules: how a kernel is computed, step by step. One file per primitive, found, not listed; see `schedule.schedule`."""

import importlib
import pkgutil

from minicc.schedule.schedule import Schedule as Schedule
from minicc.schedule.schedule import Trace as Trace
from minicc.schedule.step import STEPS as STEPS
from minicc.schedule.step import Step as Step

for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")
for _name in sorted(STEPS):
    STEPS[_name] = STEPS.pop(_name)

__all__ = ["STEPS", "Schedule", "Step", "Trace"]
