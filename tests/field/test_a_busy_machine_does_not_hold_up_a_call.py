"""With two threads on a machine that did other work, calls took a thousand times as long: threads spun for one another."""

from __future__ import annotations

import os
import subprocess
import sys

from minicc import config
from minicc.runtime import threads


def test_idle_threads_spin_shortly_unless_the_environment_says_how_they_wait():
    environ = {"PATH": "/bin"}
    with config.short_waiting(environ):
        assert environ == {"PATH": "/bin", **config.SHORTLY}
    assert environ == {"PATH": "/bin"}
    for name in config.WAITING:
        environ = {name: "active"}
        with config.short_waiting(environ):
            assert environ == {name: "active"}
        assert environ == {name: "active"}


def test_the_runtime_hears_of_it():
    command = [
        sys.executable,
        "-c",
        "import os; from minicc.runtime import threads; threads.openmp(); print('GOMP_SPINCOUNT' in os.environ)",
    ]
    environ = {k: v for k, v in os.environ.items() if k not in config.WAITING}
    done = subprocess.run(
        command, env={**environ, "OMP_DISPLAY_ENV": "VERBOSE"}, capture_output=True, text=True, check=True
    )
    assert (f"GOMP_SPINCOUNT = '{config.SHORTLY['GOMP_SPINCOUNT']}'" in done.stderr) == (
        "gomp" in (threads.openmp_library() or "")
    ) and done.stdout == "False\n"
