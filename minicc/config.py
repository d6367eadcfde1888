"""What the environment says: the only reader of `os.environ`.

    MINICC_THREADS     how many threads a compiled model uses; else OMP_NUM_THREADS; else all that we may use
    MINICC_TARGET      the target that is meant by "native", by name, as in haswell; else the machine we run on
    OMP_WAIT_POLICY    how idle threads wait, or GOMP_SPINCOUNT or KMP_BLOCKTIME; else they spin shortly, then sleep
    MINICC_CACHE_DIR   where compiled kernels are kept; else XDG_CACHE_HOME/minicc; else ~/.cache/minicc
    MINICC_JOBS        how many processes compile the kernels of a model; else as many as there are processors for us
    MINICC_CACHE       off: no kernels are kept, and none are looked for
    MINICC_BROWSER     the Chromium that makes PNGs of pictures and pages; else one that PATH has
    MINICC_RELAY       where the environment of the old TVM is; else .venv-relay in a clone; else relay in the cache

>>> threads({"MINICC_THREADS": "2", "OMP_NUM_THREADS": "8"})
2
>>> threads({}) is None
True
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from minicc.errors import ConfigError

_BESIDE = Path(__file__).parents[1]
CLONE = _BESIDE if (_BESIDE / "Makefile").exists() else None  # the folder of a clone; None where minicc is installed
MOST_THREADS = 1024  # many more cannot be started on any machine, and an OpenMP runtime ends the process then


def threads(environ: Mapping[str, str] | None = None) -> int | None:
    """The number of threads asked for, or None. Raises ConfigError when it is not an integer from 1 to MOST_THREADS."""
    return _number(os.environ if environ is None else environ, "MINICC_THREADS", "OMP_NUM_THREADS")


def jobs(environ: Mapping[str, str] | None = None) -> int | None:
    """The number of processes asked for that compile, or None. Raises ConfigError as `threads` does."""
    return _number(os.environ if environ is None else environ, "MINICC_JOBS")


def _number(environ: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        given = environ.get(name, "").split(",")[0].strip()  # OMP_NUM_THREADS may list one per nesting level
        if not given:
            continue
        if not (given.isdecimal() and 1 <= int(given[:9]) <= MOST_THREADS):
            problem = f"expected a positive integer of at most {MOST_THREADS}, got {given!r}"
            where = f"environment variable {name}"
            raise ConfigError(f"{name}={environ[name]}", problem, where, f"unset {name}, or set it to 1 or more")
        return int(given)
    return None


def target(environ: Mapping[str, str] | None = None) -> str | None:
    """The name of the target that stands for the machine we run on, or None."""
    environ = os.environ if environ is None else environ
    given = environ.get("MINICC_TARGET", "").strip()
    return given if given not in ("", "native") else None


SHORTLY = {"GOMP_SPINCOUNT": "100000", "KMP_BLOCKTIME": "5"}  # of GCC's runtime; of LLVM's and Intel's, milliseconds
WAITING = ("OMP_WAIT_POLICY", *SHORTLY)  # what says how idle threads wait


@contextmanager
def short_waiting(environ: MutableMapping[str, str] | None = None) -> Iterator[None]:
    """While an OpenMP runtime reads the environment: its idle threads spin shortly, unless that says how they wait.

    Threads that sleep at once cost a small kernel more than it takes itself: waking them is slow. Those that spin as
    long as the runtimes like keep a core, where other work takes some, from the very thread they wait for. So they
    spin for longer than a model is serial, and for less than a turn of the scheduler.
    """
    environ = os.environ if environ is None else environ
    silent = not any(name in environ for name in WAITING)
    if silent:
        environ.update(SHORTLY)
    try:
        yield
    finally:
        if silent:
            for name in SHORTLY:
                del environ[name]


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The folder for compiled kernels. It need not exist yet."""
    environ = os.environ if environ is None else environ
    if given := environ.get("MINICC_CACHE_DIR"):
        return Path(given).expanduser()
    base = environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "minicc"


def cache_kernels(environ: Mapping[str, str] | None = None) -> bool:
    """Whether compiled kernels are kept. Raises ConfigError when that is neither on nor off."""
    environ = os.environ if environ is None else environ
    given = environ.get("MINICC_CACHE", "").strip().lower() or "on"
    if given not in ("on", "off", "1", "0"):
        where = "environment variable MINICC_CACHE"
        raise ConfigError(
            f"MINICC_CACHE={given}", f"expected on or off, got {given!r}", where, "unset it, or set it to off"
        )
    return given in ("on", "1")


def relay_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The folder for the environment of the old TVM. It need not exist yet."""
    environ = os.environ if environ is None else environ
    if given := environ.get("MINICC_RELAY"):
        return Path(given).expanduser().absolute()
    return (CLONE / ".venv-relay") if CLONE else cache_dir(environ) / "relay"


def browser(environ: Mapping[str, str] | None = None) -> str | None:
    """The program that makes PNGs, by name or path, or None."""
    environ = os.environ if environ is None else environ
    return environ.get("MINICC_BROWSER", "").strip() or None


COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TVM_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def with_threads(threads: int) -> dict[str, str]:
    """The environment of a child process whose libraries, read when they are loaded, use so many threads."""
    return {**os.environ, **dict.fromkeys(COUNTS, str(threads))}


def for_submissions() -> dict[str, str]:
    """The environment of a process in which submissions of a course run: what it takes to start, and nothing of the user's."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "MINICC_TARGET") if name in os.environ}
    alone = dict.fromkeys((*COUNTS, "MINICC_JOBS", "MINICC_THREADS"), "1")
    return kept | alone | {"MINICC_CACHE": "off", "LC_ALL": "C.UTF-8"}
