"""The machine we run on: its processor, its caches, and how much of it we may use.

>>> read_caches(Path("/nowhere")) == Caches()
True
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import llvmlite.binding as llvm

from minicc.target.processors import architecture

_SYS = Path("/sys")


@dataclass(frozen=True)
class Caches:
    """Bytes of data cache: l1 and l2 of one core, l3 of the core's cluster."""

    l1: int = 32 << 10
    l2: int = 256 << 10
    l3: int = 8 << 20


def triple() -> str:
    """The triple of this process."""
    return str(llvm.get_process_triple())


@lru_cache(maxsize=1)
def processor() -> tuple[str, dict[str, bool]]:
    """LLVM's name of it, and for each of its features whether it has that."""
    features = dict(llvm.get_host_cpu_features())
    if features.get("avx512f"):
        features["prefer-256-bit"] = False  # a recipe that asks for 512 bits means it
    return llvm.get_host_cpu_name(), features


@lru_cache(maxsize=64)
def lacking(triple_of_code: str, features: str) -> tuple[str, ...]:
    """What code for this triple and these features needs, and the machine we run on does not have."""
    if architecture(triple_of_code) != architecture(llvm.get_process_triple()):
        return (architecture(triple_of_code),)
    host = llvm.get_host_cpu_features()
    return tuple(f[1:] for f in features.split(",") if f.startswith("+") and host.get(f[1:]) is False)


def read_caches(sys: Path = _SYS) -> Caches:
    """Sizes from sysfs; a level that it does not tell keeps the default."""
    found: dict[str, int] = {}
    for index in sorted(sys.glob("devices/system/cpu/cpu0/cache/index*")):
        try:
            kind = (index / "type").read_text().strip()
            level = (index / "level").read_text().strip()
            size = (index / "size").read_text().strip()
        except OSError:
            continue
        if kind in ("Data", "Unified") and level in ("1", "2", "3") and (number := _bytes(size)):
            found[f"l{level}"] = number
    return Caches(**found)


def _bytes(size: str) -> int:
    """`32K` as a number of bytes; 0 when it is not of this form."""
    unit = {"K": 10, "M": 20, "G": 30}.get(size[-1:], 0)
    digits = size[:-1] if unit else size
    return int(digits) << unit if digits.isdecimal() else 0


def available_threads(sys: Path = _SYS, cgroup: Path = Path("/proc/self/cgroup")) -> int:
    """The CPUs in our affinity mask, but no more than the control group's quota lets run at once."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cpus = os.cpu_count() or 1
    quota = cgroup_cpus(sys, cgroup)
    return max(1, min(cpus, cpus if quota is None else quota))


def cgroup_cpus(sys: Path, cgroup: Path) -> int | None:
    """The whole CPUs that the control groups (versions 1 and 2) allow us, or None when unlimited."""
    try:
        lines = cgroup.read_text().splitlines()
    except OSError:
        lines = []
    limits = [1e9]
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            limits += [_quota(folder / "cpu.max") for folder in _upwards(sys / "fs/cgroup", path)]
        elif "cpu" in controllers.split(","):
            for root in (sys / "fs/cgroup/cpu", sys / "fs/cgroup/cpu,cpuacct"):
                limits += [
                    _quota(folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us") for folder in _upwards(root, path)
                ]
    least = min(limits)
    return None if least >= 1e9 else max(1, int(least))


def _upwards(root: Path, path: str) -> list[Path]:
    """The group's folder and those above it; a container often sees only the root."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [root.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]


def _quota(*files: Path) -> float:
    """Quota over period, from one file or two; huge when absent or unlimited."""
    try:
        words = [word for f in files for word in f.read_text().split()]
        quota, period = words[:2]
        return int(quota) / int(period) if quota.isdecimal() and int(period) > 0 else 1e9
    except (OSError, ValueError):
        return 1e9
