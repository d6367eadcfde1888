"""TVM itself: the only importer of `tvm`.

In: nothing. Out: the module `tvm` with its parts `relax`, `tirx`, `s_tir` and `te` loaded, or one
BridgeError that says what to install. TVM is imported at the first call, as that takes a second.

apache-tvm and apache-tvm-ffi are two packages with an unchecked binary interface between them:
pairs that were not made for each other are imported without complaint and crash the process
later. So this module insists on the pair that minicc is tested with.
"""

from __future__ import annotations

import functools
import importlib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from minicc.errors import BridgeError

PAIR = {"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": "0.1.14.post1"}
INSTALL = "pip install " + " ".join(f'"{name}=={wanted}"' for name, wanted in PAIR.items())
PARTS = ("relax", "tirx", "s_tir", "te")


def installed() -> dict[str, str | None]:
    """The installed version of each package of the pair; None where there is none."""
    found: dict[str, str | None] = dict.fromkeys(PAIR)
    for name in PAIR:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def check(found: dict[str, str | None]) -> None:
    """Raise BridgeError unless the pair that is installed is the pair that works."""
    if found != PAIR:
        wanted = " with ".join(f"{name} {v}" for name, v in PAIR.items())
        got = " and ".join(f"{name} {v}" if v else f"no {name}" for name, v in found.items())
        problem = f"expected {wanted}, got {got}"
        raise BridgeError("import tvm", problem, "other pairs crash, some of them late", INSTALL)


@functools.cache
def load() -> Any:
    """The module `tvm`. Raises BridgeError when it is absent, or its version is not the one that works."""
    check(installed())
    try:
        import tvm

        for part in PARTS:
            importlib.import_module(f"tvm.{part}")
    except (ImportError, OSError) as error:
        problem = f"expected a working installation, got {type(error).__name__}: {error}"
        raise BridgeError("import tvm", problem, hint=INSTALL) from error
    return tvm
