"""A service compiles a model a request, drops it, and stays as large as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import gc
import minicc
from minicc import te
from minicc.graph import parse

def private_kib():
    gc.collect()
    with open("/proc/self/smaps_rollup") as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))

def model(n):
    minicc.compile(parse(f'''graph g(x: float32[{n},24]) {{
      %0 = Exp(x) : float32[{n},24]
      return y=%0
    }}'''), threads=1)

def schedule(n):
    A = te.placeholder((n, 8), name="A")
    C = te.compute((n, 8), lambda i, j: A[i, j] * 2.0, name="C")
    s = te.create_schedule(C.op)
    s[C].fuse(*C.op.axis)
    minicc.build(s, [A, C])

for n in range(1, 81):
    MAKE(n)
before = private_kib()
for n in range(1001, 1001 + 100):
    MAKE(n)
print(private_kib() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("make", ["model", "schedule"])
def test_a_hundred_compilations_leave_less_than_two_megabytes(make):
    """Of code, modules, pass managers and caches: 20 KiB each, as 20 MB for a thousand."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("MAKE", make)], capture_output=True, text=True, check=True, timeout=300
    )
    assert int(done.stdout) < 2000
