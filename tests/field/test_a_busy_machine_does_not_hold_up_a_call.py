"""With two threads on a machine that did other work, calls took a thousand times as long: threads spun for one another."""

from __future__ import annotations

import os
import subprocess
import sys

from minicc import config
from minicc.runtime import threads


def test_idle_threads_sleep_unless_the_environment_says_how_they_wait():
    environ = {"PATH": "/bin"}
    with config.passive_waiting(environ):
        assert environ == {"PATH": "/bin", "OMP_WAIT_POLICY": "passive"}
    assert environ == {"PATH": "/bin"}
    for name in config.WAITING:
        environ = {name: "active"}
        with config.passive_waiting(environ):
            assert environ == {name: "active"}
        assert environ == {name: "active"}


def test_the_runtime_hears_of_it():
    command = [sys.executable, "-c", "import os; from minicc.runtime import threads; threads.openmp(); print('OMP_WAIT_POLICY' in os.environ)"]
    environ = {k: v for k, v in os.environ.items() if k not in config.WAITING}
    done = subprocess.run(command, env={**environ, "OMP_DISPLAY_ENV": "TRUE"}, capture_output=True, text=True, check=True)
    assert ("OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr) == ("gomp" in (threads.openmp_library() or "")) and done.stdout == "False\n"
