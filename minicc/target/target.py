"""The machine that a program is compiled for.

In: nothing, for the machine we run on; or what a user wrote. Out: a `Target`, which recipes ask for vector width,
registers, caches and threads, codegen for the name and features of the CPU, and the compiler for its kind.

>>> target = Target("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", 256, 16, Caches(), 4)
>>> target.lanes("float32"), target.lanes("float64"), target.vector_bytes
(8, 4, 32)
>>> Target.of("skylake-avx512").lanes("float32"), Target.of("cuda -arch=sm_90").architectures
(16, ('sm_90',))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from minicc import config
from minicc.config import MOST_THREADS
from minicc.errors import ConfigError, TargetError
from minicc.target import host, processors, words
from minicc.target.host import Caches, available_threads, read_caches
from minicc.types import DType

CPU, EMULATED = "cpu", "emulated"  # two of the kinds; the third is cuda
DEVICE_TRIPLE = "nvptx64-nvidia-cuda"


@dataclass(frozen=True)
class Target:
    """`features` is LLVM's list such as `+avx2,-avx512f`; `registers` counts vector registers.

    Of a device (kind `cuda`, or `emulated` for the CPU in its place) `cpu` lists the architectures, and the feature
    `cubin` says whether there is machine code, beside the source.
    """

    triple: str
    cpu: str
    features: str
    vector_bits: int
    registers: int
    caches: Caches = field(default_factory=Caches)
    threads: int = 1
    kind: str = CPU
    exact: bool = (
        False  # sums in the plain order, each operation rounded: the same on every machine and for all threads
    )

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= MOST_THREADS:
            problem = f"expected 1 to {MOST_THREADS} threads, got {self.threads}"
            hint = f"this machine offers {available_threads()}"
            raise TargetError(f"Target(..., threads={self.threads})", problem, f"{self.cpu} ({self.triple})", hint)

    @property
    def is_cpu(self) -> bool:
        """Whether it is a processor, and no device beside one."""
        return self.kind == CPU

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
        """Whether code may multiply and add and round once: all can but old x86 and WebAssembly."""
        return not self.exact and (self.has("fma") or not self.triple.startswith(("x86_64", "i386", "i686", "wasm")))

    @property
    def multiplies_bytes(self) -> bool:
        """Whether an instruction adds four products of bytes to a sum: VNNI."""
        return self.has("avx512vnni") or self.has("avxvnni")

    @property
    def architectures(self) -> tuple[str, ...]:
        """Of a device: those that code is for, such as `sm_90`; none if it is for all that the tools know."""
        return tuple(filter(None, self.cpu.split(",")))

    def with_threads(self, threads: int) -> Target:
        """The same machine, used by so many threads."""
        return replace(self, threads=threads)

    def rounding_all(self) -> Target:
        """The same machine, for exact code."""
        return replace(self, exact=True)

    def lacking(self) -> tuple[str, ...]:
        """What its code needs and the machine we run on does not have."""
        return host.lacking(self.triple, self.features)

    def machine(self) -> Any:
        """A new LLVM code generator for this target, for position-independent code. Raises TargetError without one."""
        return processors.machine(self.triple, self.cpu, self.features)

    @staticmethod
    def native() -> Target:
        """The machine we run on, with the threads that we may use on it; MINICC_TARGET names another for it.

        Raises ConfigError when that is no name of a target, or one whose code this machine cannot run.
        """
        asked, name = config.threads(), config.target()
        base = _host() if name is None else _stand_in(name)
        return replace(base, threads=available_threads() if asked is None else asked)

    @staticmethod
    def of(what: Target | str | Mapping[str, Any]) -> Target:
        """A target, or what the words mean (see `minicc.target.words`); one that is named has one thread and usual caches.

        Raises TargetError when a word has no meaning, or contradicts another.
        """
        if isinstance(what, Target):
            return what
        said = words.read(what)
        if said.kind == "native":
            return Target.native()
        if said.kind == "portable":
            triple = host.triple()
            return _cpu(triple, words.PORTABLE.get(processors.architecture(triple), "generic"))
        if said.kind == "llvm":
            triple, cpu, asked = words.processor(said)
            made = _with(Target.native(), asked) if cpu == "native" else _cpu(triple, cpu, asked)
            return replace(made, threads=words.threads(said)) if "num-cores" in said.options else made
        features = "-cubin" if said.kind == EMULATED or "code" in said.options else "+cubin"
        return Target(DEVICE_TRIPLE, words.architectures(said), features, 32, 255, kind=said.kind)

    def __str__(self) -> str:
        if not self.is_cpu:
            return f"{self.kind} ({', '.join(self.architectures) or 'every architecture'})"
        return (
            f"{self.cpu} ({self.triple}): {self.vector_bits}-bit vectors, {self.registers} vector registers, "
            f"caches {self.caches.l1 >> 10}/{self.caches.l2 >> 10}/{self.caches.l3 >> 10} KiB, {self.threads} threads"
        )


@lru_cache(maxsize=1)
def _host() -> Target:
    """The machine we run on, with one thread."""
    (cpu, features), triple = host.processor(), host.triple()
    bits, registers = processors.vectors([name for name, on in features.items() if on], triple)
    return Target(triple, cpu, _listed(features), bits, registers, read_caches())


def _stand_in(name: str) -> Target:
    """The target that stands for the machine we run on, whose caches it keeps."""
    call = f"MINICC_TARGET={name}"
    try:
        named = Target.of(name)
    except TargetError as error:
        problem = f"expected the name of a target, got {name!r}"
        hint = f"unset it, or set it to native, haswell or skylake-avx512; {error.hint}"
        raise ConfigError(call, problem, "environment variable MINICC_TARGET", hint) from None
    target = replace(named, triple=host.triple() if named.is_cpu else named.triple, caches=read_caches())
    if lacking := target.lacking():
        problem = f"expected a target whose code runs here, got one that needs {', '.join(lacking)}"
        raise ConfigError(call, problem, str(_host()), "unset MINICC_TARGET, or name an older processor")
    return target


def _cpu(triple: str, cpu: str, asked: str = "") -> Target:
    """A processor with the features that LLVM knows of it, and those that are asked for."""
    return _with(Target(triple, cpu, "", 0, 0), asked)


def _with(target: Target, asked: str) -> Target:
    """The target with these features added or taken away, and with them what needs them."""
    if target.features and not asked:
        return target
    features = {f[1:]: f[0] == "+" for f in target.features.split(",") if f}
    has = processors.chosen(target.triple, target.cpu, ",".join(filter(None, (target.features, asked))))
    features |= {name: False for name in features if name in processors.choosable(target.triple)}
    features |= dict.fromkeys(has, True)
    if "avx512f" in has:
        features["prefer-256-bit"] = False  # a recipe that asks for 512 bits means it
    bits, registers = processors.vectors(has, target.triple)
    return replace(target, features=_listed(features, asked), vector_bits=bits, registers=registers)


def _listed(features: Mapping[str, bool], asked: str = "") -> str:
    """LLVM's list; what was asked for stands last, where it wins."""
    last = asked.split(",") if asked else []
    names = sorted(features.keys() - {f[1:] for f in last})
    return ",".join([*(f"{'+' if features[name] else '-'}{name}" for name in names), *last])
