"""The machine that a program is compiled for.

In: nothing, for the machine we run on; or a description. Out: a `Target`, which recipes ask for
vector width, registers, caches and threads, and codegen for the name and features of the CPU.

>>> target = Target("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", 256, 16, Caches(), 4)
>>> target.lanes("float32"), target.lanes("float64"), target.vector_bytes
(8, 4, 32)
>>> Target.of("skylake-avx512").lanes("float32")
16
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from minicc import config
from minicc.config import MOST_THREADS
from minicc.errors import ConfigError, TargetError
from minicc.types import DType

LLVM_VERSION = ".".join(map(str, llvm.llvm_version_info))

_SYS = Path("/sys")

# What the levels of the x86-64 psABI add, and the vector registers that they have. A level is the same on every
# machine, so what is compiled for it is, too.
_V2 = "+cx16,+popcnt,+sahf,+sse3,+sse4.1,+sse4.2,+ssse3"
_V3 = f"{_V2},+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave"
_V4 = f"{_V3},+avx512bw,+avx512cd,+avx512dq,+avx512f,+avx512vl,-prefer-256-bit"
NAMED = {
    "x86-64-v2": (_V2, 128, 16), "x86-64-v3": (_V3, 256, 16), "x86-64-v4": (_V4, 512, 32),
    "haswell": (_V3, 256, 16), "skylake-avx512": (_V4, 512, 32),
}  # fmt: skip


@dataclass(frozen=True)
class Caches:
    """Bytes of data cache: l1 and l2 of one core, l3 of the core's cluster."""

    l1: int = 32 << 10
    l2: int = 256 << 10
    l3: int = 8 << 20


@dataclass(frozen=True)
class Target:
    """`features` is LLVM's list such as `+avx2,-avx512f`; `registers` counts vector registers."""

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    caches: Caches = field(default_factory=Caches)
    threads: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= MOST_THREADS:
            raise TargetError(
                f"Target(..., threads={self.threads})",
                f"expected 1 to {MOST_THREADS} threads, got {self.threads}",
                where=f"{self.cpu} ({self.triple})",
                hint=f"this machine offers {available_threads()}",
            )

    @property
    def vector_bytes(self) -> int:
        return self.vector_bits // 8

    def lanes(self, dtype: DType | str) -> int:
        """How many elements of `dtype` fill one vector register."""
        return self.vector_bits // DType.of(dtype).bits

    def has(self, feature: str) -> bool:
        """Whether the CPU has `feature`, by LLVM's name: `avx2`, `fma`, `f16c`."""
        return f"+{feature}" in self.features.split(",")

    @property
    def fuses(self) -> bool:
        """Whether it has an instruction that multiplies and adds and rounds once: all do but old x86 and WebAssembly."""
        return self.has("fma") or not self.triple.startswith(("x86_64", "i386", "i686", "wasm"))

    def with_threads(self, threads: int) -> Target:
        """The same machine, used by so many threads."""
        return replace(self, threads=threads)

    def lacking(self) -> tuple[str, ...]:
        """What its code needs and the machine we run on does not have."""
        return _lacking(self.triple, self.features)

    def machine(self) -> Any:
        """A new LLVM code generator for this target, for position-independent code. Raises TargetError without one."""
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        try:
            found = llvm.Target.from_triple(self.triple)
        except RuntimeError as error:
            raise TargetError(
                f"Target({self.triple!r}, {self.cpu!r})",
                f"expected a triple that LLVM has a generator for, got {error}",
                where=str(self),
                hint=f"this machine is {llvm.get_process_triple()}",
            ) from error
        return found.create_target_machine(cpu=self.cpu, features=self.features, opt=2, reloc="pic", codemodel="small")

    @staticmethod
    def native() -> Target:
        """The machine we run on, with the threads that we may use on it; MINICC_TARGET names another for it.

        Raises ConfigError when that is no name of a target, or one whose code this machine cannot run.
        """
        asked, name = config.threads(), config.target()
        return replace(
            _native() if name is None else _stand_in(name), threads=available_threads() if asked is None else asked
        )

    @staticmethod
    def of(what: Target | str) -> Target:
        """A target, or the name of one: `native`, or one of NAMED, with one thread and usual caches.

        Raises TargetError when there is none of the name.
        """
        if isinstance(what, Target):
            return what
        if what == "native":
            return Target.native()
        if what in NAMED:
            return Target("x86_64-unknown-linux-gnu", what, *NAMED[what])
        raise TargetError(
            f"Target.of({what!r})",
            f"expected a target or its name, got {what!r}",
            where=f"known targets: native, {', '.join(NAMED)}",
            hint='use target="native", or build a Target yourself',
        )

    def __str__(self) -> str:
        return (
            f"{self.cpu} ({self.triple}): {self.vector_bits}-bit vectors, {self.registers} vector registers, "
            f"caches {self.caches.l1 >> 10}/{self.caches.l2 >> 10}/{self.caches.l3 >> 10} KiB, {self.threads} threads"
        )


@lru_cache(maxsize=1)
def _native() -> Target:
    flags = dict(llvm.get_host_cpu_features())
    if flags.get("avx512f"):
        flags["prefer-256-bit"] = False  # a recipe that asks for 512 bits means it
    triple = llvm.get_process_triple()
    bits, registers = _vectors(flags, triple)
    features = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(flags.items()))
    return Target(triple, llvm.get_host_cpu_name(), features, bits, registers, read_caches())


def _stand_in(name: str) -> Target:
    """The target of NAMED that stands for the machine we run on, whose caches it keeps."""
    call = f"MINICC_TARGET={name}"
    if name not in NAMED:
        raise ConfigError(
            call,
            f"expected the name of a target, got {name!r}",
            where="environment variable MINICC_TARGET",
            hint=f"unset it, or set it to native, {', '.join(NAMED)}",
        )
    target = replace(Target.of(name), triple=llvm.get_process_triple(), caches=read_caches())
    if lacking := target.lacking():
        raise ConfigError(
            call,
            f"expected a target whose code runs here, got one that needs {', '.join(lacking)}",
            where=str(_native()),
            hint="unset MINICC_TARGET, or name an older processor",
        )
    return target


@lru_cache(maxsize=64)
def _lacking(triple: str, features: str) -> tuple[str, ...]:
    if triple.split("-")[0] != llvm.get_process_triple().split("-")[0]:
        return (triple.split("-")[0],)
    host = llvm.get_host_cpu_features()
    return tuple(f[1:] for f in features.split(",") if f.startswith("+") and host.get(f[1:]) is False)


def _vectors(flags: dict[str, bool], triple: str) -> tuple[int, int]:
    """Width in bits and number of the vector registers."""
    if flags.get("avx512f"):
        return 512, 32
    if flags.get("avx2") or flags.get("avx"):
        return 256, 16
    return 128, 32 if triple.startswith(("aarch64", "arm64")) else 16


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
