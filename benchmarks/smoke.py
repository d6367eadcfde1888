"""A few matrix products beside NumPy's BLAS, as ratios: does the code that we make still run at speed?

    python -m benchmarks.smoke

The times are CPU times of one thread, which other work on the machine changes little. Nothing here fails on a timing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SIZES = ("256x256x256", "197x384x384", "49x1000x512")


def blas() -> None:
    """`benchmarks.gemm` on small sizes, one thread."""
    command = [sys.executable, "-m", "benchmarks.gemm", "--sizes", *SIZES, "--threads", "1", "--runs", "9"]
    subprocess.run(command, cwd=Path(__file__).parent.parent, check=True)


if __name__ == "__main__":
    blas()
