"""The words by which users say what a program is compiled for, taken apart and checked.

    native                       the machine we run on
    portable                     every machine with a triple like that of the machine we run on
    haswell                      a processor, by LLVM's name: short for llvm -mcpu=haswell
    llvm -mcpu=skylake-avx512 -mattr=+avx512f,-fma -mtriple=x86_64-unknown-linux-gnu -num-cores=4
    cuda -arch=sm_80,sm_90       CUDA devices; -code=source leaves the work of nvcc to whoever runs it
    emulated                     the kernels for a CUDA device, on the CPU in its place

A dictionary says the same: `{"kind": "llvm", "mcpu": "haswell"}`. The options are named as TVM names them.

>>> read("llvm -mcpu=haswell").options
{'mcpu': 'haswell'}
>>> triple_of("cortex-a76")
'aarch64-unknown-linux-gnu'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from minicc.config import MOST_THREADS
from minicc.errors import TargetError, nearest
from minicc.target.host import triple as host_triple
from minicc.target.processors import architecture, known, unknown

OPTIONS = {
    "native": (), "portable": (), "llvm": ("mcpu", "mattr", "mtriple", "num-cores"), "cuda": ("arch", "code"), "emulated": (),
}  # fmt: skip
TEXTS = {  # what is no target: why, and what to do
    "relay-c": ("which is text only", "minicc compile MODEL --target relay-c prints it"),
    "relay-opencl": ("which is text only", "minicc compile MODEL --target relay-opencl prints it"),
    "relay-cuda": (
        "which Relay's TVM has no generator for",
        "cuda, for which today's TVM generates code, through Relax",
    ),
}
TRIPLES = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu")  # of a processor that is named without one
PORTABLE = {"x86_64": "x86-64-v2"}  # the oldest processor that there is, by architecture; else LLVM's generic one
ARCH = r"sm_[0-9]{2,3}[af]?"


class Words(NamedTuple):
    """The kind of target that was named, its options, and the whole call for errors."""

    kind: str
    options: dict[str, str]
    call: str

    def error(self, problem: str, hint: str, name: str = "", names: Iterable[str] = ()) -> TargetError:
        """The error, with the one of `names` that `name` was meant to be as its hint, or with `hint`."""
        near = nearest(name, names)
        hint = f"did you mean {near}?" if near else hint
        return TargetError(self.call, problem, where=f"known targets: {', '.join(OPTIONS)}, and processors", hint=hint)


def read(what: str | Mapping[str, Any]) -> Words:
    """The parts of what a user wrote. Raises TargetError for words without a meaning, and for those that contradict others."""
    call = f"Target.of({what!r})"
    parts = _pairs(what) if isinstance(what, Mapping) else _split(what, call)
    head = dict(parts).get("kind", "")
    words = Words(head, {}, call)
    if head in TEXTS:
        why, hint = TEXTS[head]
        raise words.error(f"expected a target whose code runs, got {head}, {why}", hint)
    if head not in OPTIONS:  # a processor, or nothing that anyone knows
        if not head or not triple_of(head):
            hint = 'use target="native", or the name of a processor, as in haswell'
            names = [*OPTIONS, *_processors()] if head else ()
            raise words.error(f"expected a target or its name, got {head or what!r}", hint, head, names)
        words = Words("llvm", {"mcpu": head}, call)
    for name, value in parts:
        if name != "kind":
            _add(words, name, value)
    return words


def _pairs(what: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Options of a dictionary as they stand in a text; a list becomes one with commas."""
    return [(str(k).lstrip("-"), ",".join(v) if isinstance(v, (list, tuple)) else str(v)) for k, v in what.items()]


def _split(what: Any, call: str) -> list[tuple[str, str]]:
    head, *rest = what.split() if isinstance(what, str) and what.strip() else [""]
    parts = [("kind", head)]
    for word in rest:
        name, _, value = word.lstrip("-").partition("=")
        if not (word.startswith("-") and value):
            problem = f"expected options such as -mcpu=haswell, got {word!r}"
            raise Words(head, {}, call).error(problem, "write -NAME=VALUE")
        parts.append((name, value))
    return parts


def _add(words: Words, name: str, value: str) -> None:
    """Take one option. Raises TargetError when the kind has none of the name, or it stands there with another value."""
    mine = OPTIONS[words.kind]
    if name not in mine:
        owner = next((f"is an option of {kind}" for kind, names in OPTIONS.items() if name in names), "no target has")
        problem = f"expected options of {words.kind}, got -{name}, which {owner}"
        hint = f"{words.kind} takes {', '.join(f'-{n}' for n in mine) or 'no options'}"
        raise words.error(problem, hint, f"-{name}", [f"-{n}" for n in mine] if owner == "no target has" else ())
    if words.options.setdefault(name, value) != value:
        problem = f"expected one -{name}, got {words.options[name]} and {value}, which contradict each other"
        raise words.error(problem, f"leave one out, or list what can be listed: -{name}={words.options[name]},{value}")


# ---- what options mean ----------------------------------------------------------------------------------------------


def triple_of(cpu: str) -> str:
    """The first triple that has a processor of this name; "" if none has."""
    return next((t for t in (*TRIPLES, host_triple()) if not unknown(t, cpu)), "")


def processor(words: Words) -> tuple[str, str, str]:
    """Triple, processor and features of a target for the CPU, checked; the processor may be `native`."""
    triple = words.options.get("mtriple", "")
    cpu = words.options.get("mcpu", "generic" if triple else "native")
    if cpu == "native":
        if triple:
            raise words.error("expected a processor for -mtriple, got native, which has its own", "name a processor")
        return host_triple(), cpu, _features(words, host_triple())
    home = triple_of(cpu)
    wanted = triple or home or " or ".join(map(architecture, TRIPLES))
    if not home or unknown(triple or home, cpu):
        problem = f"expected a processor of {wanted}, got {cpu}, "
        problem += f"a processor of {architecture(home)}" if home else "a name that LLVM does not know"
        names = () if home else known(triple)[0] if triple else _processors()
        raise words.error(problem, f"leave out -mtriple, or name a processor of {wanted}", cpu, names)
    return triple or home, cpu, _features(words, triple or home)


def _processors() -> list[str]:
    return [name for triple in TRIPLES for name in known(triple)[0]]


def _features(words: Words, triple: str) -> str:
    """The value of -mattr, checked."""
    given = [f for f in words.options.get("mattr", "").split(",") if f]
    for feature in given:
        sign, name = feature[0], feature[1:]
        if sign not in "+-" or not name:
            raise words.error(f"expected features such as +avx2 or -fma, got {feature!r}", "begin each with + or -")
        if sign == "-" and f"+{name}" in given:
            problem = f"expected a feature with or without, got +{name} and -{name}, which contradict each other"
            raise words.error(problem, "leave one of them out")
    if strange := unknown(triple, "", ",".join(given)):
        problem = f"expected features of {architecture(triple)}, got {', '.join(strange)}"
        names = [strange[0][0] + name for name in known(triple)[1]]
        raise words.error(problem, f"name those that LLVM knows of {architecture(triple)}", strange[0], names)
    return ",".join(given)


def threads(words: Words) -> int:
    """The value of -num-cores; 1 without."""
    given = words.options.get("num-cores", "1")
    if not (given.isdecimal() and 1 <= int(given[:9]) <= MOST_THREADS):
        raise words.error(f"expected 1 to {MOST_THREADS} for -num-cores, got {given}", "-num-cores=4, for example")
    return int(given)


def architectures(words: Words) -> str:
    """The value of -arch, checked: architectures of CUDA devices, with commas; "" without."""
    given = words.options.get("arch", "")
    for arch in given.split(",") if given else ():
        if not re.fullmatch(ARCH, arch):
            problem = f"expected architectures such as sm_90, got {arch!r}"
            raise words.error(problem, "cuda -arch=sm_80,sm_90, for example")
    if words.options.get("code", "source") != "source":
        raise words.error(f"expected -code=source, got -code={words.options['code']}", "leave it out for machine code")
    return given
