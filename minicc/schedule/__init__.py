"""Schedules: how a kernel is computed, step by step. One file per primitive; see `schedule.schedule`."""

from minicc.schedule.schedule import STEPS as STEPS
from minicc.schedule.schedule import Schedule as Schedule
from minicc.schedule.schedule import Trace as Trace
from minicc.schedule.step import Step as Step

__all__ = ["STEPS", "Schedule", "Step", "Trace"]
