"""Output that cannot be written, all of it or its end: one error of four parts, or none where a reader has read enough."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
COMMAND = [sys.executable, "-m", "minicc", "ops"]


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_the_output(unbuffered):
    with FULL.open("wb") as full:
        done = subprocess.run(
            COMMAND, stdout=full, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": unbuffered}
        )
    assert done.returncode == 2
    assert done.stderr.startswith(
        "ConfigError: minicc: expected to write all of the output, got: No space left on device\n"
    )
    assert "hint: " in done.stderr and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_read_enough(unbuffered):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        COMMAND, stdout=write, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": unbuffered}
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
