"""The OpenMP runtime that parallel loops call: one that is already there.

GCC's libgomp, LLVM's libomp and Intel's libiomp5 all export `GOMP_parallel`, so compiled kernels
need not know which it is. Without one, parallel loops run serially, and one warning says so.

>>> runtime = openmp()
>>> runtime is None or sorted(runtime.symbols)
['GOMP_parallel', 'omp_get_num_threads', 'omp_get_thread_num']

A runtime keeps a team for each thread that has started a parallel region. A forked child has a copy of
the forking thread only, and libgomp waits there for the rest of its team for ever; so in a child that
thread leaves parallel calls to one which was made in the child, and whose team is whole (`run`).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from minicc import config
from minicc.errors import SerialWarning

SYMBOLS = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")


@dataclass(frozen=True)
class OpenMP:
    """A loaded runtime: the file it came from, and the addresses of what kernels call."""

    path: str
    symbols: dict[str, int]


def candidates() -> Iterator[str]:
    """Where a runtime may be, best first: libraries of the system, then the wheel `intel-openmp`."""
    for name in ("gomp", "omp", "iomp5"):
        if found := ctypes.util.find_library(name):
            yield found
    yield from ("libgomp.so.1", "libomp.so", "libomp.so.5", "libiomp5.so", "libomp.dylib")
    for folder in (Path(sys.prefix) / "lib", Path(sys.prefix) / "Library" / "bin"):
        yield from (str(folder / name) for name in ("libiomp5.so", "libiomp5md.dll", "libiomp5.dylib", "libomp.dylib"))


def find(paths: Iterator[str]) -> OpenMP | None:
    """The first of `paths` that loads and has all symbols."""
    for path in paths:
        try:
            with config.short_waiting():
                library = ctypes.CDLL(path)
                library.omp_get_max_threads()  # LLVM's and Intel's read the environment when first called
            return OpenMP(path, {name: _address(library, name) for name in SYMBOLS})
        except (OSError, AttributeError):
            continue
    return None


def _address(library: ctypes.CDLL, name: str) -> int:
    return ctypes.cast(library[name], ctypes.c_void_p).value or 0


@lru_cache(maxsize=1)
def openmp() -> OpenMP | None:
    """The OpenMP runtime, loaded once; None, with a warning, when there is none."""
    found = find(candidates())
    if found is None:
        warnings.warn(
            SerialWarning(
                "parallel loops",
                "expected an OpenMP runtime, found none: they run serially",
                where=", ".join(candidates()),
                hint="install libgomp1, or the wheel intel-openmp",
            ),
            stacklevel=2,
        )
    return found


def openmp_library() -> str | None:
    """The file of the OpenMP runtime, or None; does not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = openmp()
    return found.path if found else None


class _Here(threading.local):
    """What a thread knows of itself: whether its team was left behind in a fork."""

    forked = False


_here = _Here()
_instead: list[ThreadPoolExecutor] = []  # the thread that makes the parallel calls of one whose team is gone


def _forked() -> None:
    _here.forked = True
    _instead.clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forked)


def run(call: Callable[..., object], team: int, *arguments: object) -> None:
    """`call(*arguments)`, which uses `team` threads."""
    if team == 1 or not _here.forked:
        call(*arguments)
        return
    if not _instead:
        _instead.append(ThreadPoolExecutor(1, "minicc"))
    _instead[0].submit(call, *arguments).result()
