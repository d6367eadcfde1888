"""Processes that compile beside this one: all is done, whatever happens to them, and none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from minicc.errors import OpenTaskWarning
from minicc.kernels.workers import spread

THERE = "operator:neg"


def children() -> list[str]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    )
    return [pid for pid in found.stdout.split() if pid]


@pytest.mark.parametrize(("tasks", "workers"), [(0, 2), (1, 2), (7, 0), (40, 1), (40, 3)])
def test_every_task_is_done_once(tasks: int, workers: int) -> None:
    told = []
    assert spread(list(range(tasks)), workers, lambda n: -n, THERE, told.append) == [-n for n in range(tasks)]
    assert sorted(told) == list(range(tasks))


@pytest.mark.parametrize("there", ["operator:nothing", "no.module:f", "os:abort", "operator:truediv"])
def test_what_a_worker_cannot_do_is_done_here(there: str) -> None:
    slow = threading.Event()
    assert spread([1, 2, 3], 2, lambda n: slow.wait(0.3) or -n, there) == [-1, -2, -3]


def test_what_has_a_stand_in_is_done_here_where_somebody_is_told() -> None:
    task, slow = OpenTaskWarning("task 3.1", "open"), threading.Event()
    assert spread([task] * 3, 1, lambda _: slow.wait(0.2) or "here", "warnings:warn") == ["here"] * 3


def test_where_no_process_can_be_started(monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert spread([1, 2], 2, lambda n: -n, THERE) == [-1, -2]
    monkeypatch.setattr(sys, "executable", "")
    assert spread([1, 2], 2, lambda n: -n, THERE) == [-1, -2]


def test_errors_of_tasks_are_raised_and_no_worker_is_left() -> None:
    before = len(children())
    with pytest.raises(ZeroDivisionError):
        spread([1, 0, 2], 2, lambda n: 1 // n, "minicc.no:module")
    assert len(children()) == before


def test_an_interrupt_ends_the_workers() -> None:
    code = (
        f"import signal, sys, time; sys.path[:] = {sys.path!r}\nfrom minicc.kernels.workers import spread\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts us may ignore it\n"
        "print('up', flush=True)\nspread([60] * 9, 2, time.sleep, 'time:sleep')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    threading.Event().wait(1)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=30)[1]
