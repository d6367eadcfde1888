"""The environment of the old TVM, that is TVM 0.16, which has Relay: where it is, whether it is whole, how it is made.

In: a folder, from `minicc.config.relay_dir`. Out: the Python in it, which imports `tvm` and its part `relay`, or one
BridgeError that says how to get it. Nothing here imports that TVM: it needs NumPy 1, so it has an environment of its own.

    make_relay(lambda step, left: print(f"{step}; {left} seconds left"))
    subprocess.run([python_of_relay(), "-I", "-c", "from tvm import relay"])

TVM 0.16 comes in `hhb-tvm`, a build by a maker of processors. Its wheel is for CPython 3.10, but any Python that has the
other packages runs it: where the compiled interface does not load, TVM takes the one of ctypes. `tvm.relay` imports
`tflite`, and with it `flatbuffers`; `distutils` is part of `setuptools` since Python 3.12; the rest is what TVM asks for.

A file in the folder, the stamp, tells a whole environment from others: it holds the versions. It is emptied before anything
else changes, written last, and locked meanwhile. So what was left half-made, or has other versions, is made anew.
"""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, run

from minicc.config import CLONE, relay_dir
from minicc.errors import BridgeError

PACKAGES = (
    "attrs==26.1.0", "cloudpickle==3.1.3", "decorator==5.3.1", "flatbuffers==25.12.19", "ml-dtypes==0.5.4", "numpy==1.26.4",
    "psutil==7.2.2", "scipy==1.17.1", "setuptools==80.9.0", "tflite==2.18.0", "tornado==6.6.1", "tqdm==4.70.1",
    "typing-extensions==4.16.0",
)  # fmt: skip
OLD_TVM = "hhb-tvm==3.2.3"
VERSION = "0.16"  # of the TVM in it
FOREIGN = (
    "--python-version=3.10", "--implementation=cp", "--abi=cp310", "--platform=manylinux1_x86_64", "--only-binary=:all:",
)  # fmt: skip
IMPORTS = "import os, sys; os.chdir(sys.prefix); from tvm import auto_scheduler, autotvm, relay, te"  # it unpickles what is in `.`
PYTHONS = ("3.11", "3.12")  # all packages have wheels for them
PLATFORM = "Linux on x86_64"
STAMP, WHOLE = "minicc.txt", "\n".join((*PACKAGES, OLD_TVM, ""))
SECONDS = 30.0  # that it takes, on two quiet cores and a usual network
LAST_LINES = 8  # of what a step says, where it fails
SETUP = "minicc doctor --setup-relay"


def _lack() -> str:
    """What is at the place of the environment, if it is not whole; "" if it is."""
    stamp = relay_dir() / STAMP
    if not stamp.exists():
        return "none"
    if stamp.read_text(errors="replace") != WHOLE:
        return "one that is half-made, or has other versions"
    return "" if _python().exists() else "one whose Python is gone"


def has_relay() -> bool:
    """Whether the environment is there, and whole."""
    return not _lack()


def python_of_relay() -> Path:
    """The Python that imports the old TVM; start it with -I. Raises BridgeError when there is none: it says how to get it."""
    _check_platform()
    if lack := _lack():
        problem = f"expected an environment for TVM {VERSION}, which has Relay, got {lack}"
        raise BridgeError("import tvm.relay", problem, f"in {relay_dir()}", "make relay" if CLONE else SETUP)
    return _python()


def make_relay(report: Callable[[str, float], None]) -> bool:
    """Make the environment, unless it is there; whether there was anything to do.

    `report` is told of each step as it begins, with the seconds that are left of SECONDS. Raises BridgeError when one
    fails, with the last lines that it said: pip's, where the network or the disk is at fault.
    """
    _check_platform()
    folder = relay_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / STAMP).exists():
            problem = "expected an empty folder, got one with files that minicc did not make"
            raise BridgeError(SETUP, problem, f"in {folder}", "set MINICC_RELAY to another folder")
        with (folder / STAMP).open("a") as stamp:
            fcntl = importlib.import_module("fcntl")  # Windows, where all else of this file is imported, has none
            fcntl.flock(stamp, fcntl.LOCK_EX)
            if has_relay():
                return False
            stamp.truncate(0)
            try:
                _make(folder, report)
            except BaseException:
                _clear(folder)
                raise
            stamp.write(WHOLE)
    except OSError as error:
        hint = "set MINICC_RELAY to a folder that can be written"
        raise BridgeError(
            SETUP, f"expected a folder for the environment, got: {error}", f"in {folder}", hint
        ) from error
    return True


def _make(folder: Path, report: Callable[[str, float], None]) -> None:
    python = find_python()
    _clear(folder)
    report("a virtual environment", SECONDS)
    _run(python, "-m", "venv", folder)
    pip = (_python(), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--quiet", "--no-deps")
    report(f"{len(PACKAGES)} packages", 27.0)
    _run(*pip, *PACKAGES)
    report(f"TVM {VERSION}", 10.0)
    _run(*pip, "--target", next(folder.glob("lib/python*/site-packages")), *FOREIGN, OLD_TVM)
    report("import tvm", 2.0)
    _run(_python(), "-c", IMPORTS)


def _run(python: str | Path, *arguments: str | Path) -> None:
    command = [str(word) for word in (python, "-I", *arguments)]
    ran = run(command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True, errors="replace")
    if ran.returncode:
        where = "\n".join(ran.stdout.strip().splitlines()[-LAST_LINES:])
        problem = f"expected `{' '.join(command[2:5])}` to succeed, got exit code {ran.returncode}"
        hint = "are there a network, and half a gigabyte of room? then try again"
        raise BridgeError(SETUP, problem, where, hint)


def find_python() -> str:
    """A Python that the environment can be made with, this one if it can. Raises BridgeError when there is none."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for name in (sys.executable, *(f"python{version}" for version in PYTHONS)):
        with suppress(OSError):
            asked = run([name, "-I", "-c", code], capture_output=True, text=True)
            if asked.stdout.strip() in PYTHONS:
                return name
    problem = f"expected Python {' or '.join(PYTHONS)}, got {platform.python_version()}, and no other on the path"
    raise BridgeError(SETUP, problem, hint=f"install Python {PYTHONS[-1]} beside it: minicc goes on with this one")


def _check_platform() -> None:
    if (got := f"{platform.system()} on {platform.machine()}") != PLATFORM:
        hint = f"TVM {VERSION} is packaged for {PLATFORM} only; Relax, the graph IR of today's TVM, needs no such environment"
        raise BridgeError("import tvm.relay", f"expected {PLATFORM}, got {got}", hint=hint)


def _python() -> Path:
    return relay_dir() / "bin" / "python"


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry, ignore_errors=True)  # but files: the stamp, and those that are written anew
