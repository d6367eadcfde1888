"""What LLVM knows of processors: how they are called, and what code for them may use.

In: a triple and the name of a processor. Out: features by LLVM's names, and the vector registers.

>>> unknown("x86_64-unknown-linux-gnu", "haswel")
('haswel',)
>>> vectors(chosen("x86_64-unknown-linux-gnu", "haswell"), "x86_64-unknown-linux-gnu")
(256, 16)
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection
from contextlib import ExitStack
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm

from minicc.errors import TargetError

# Of all features those that a generator uses by itself, for code that names none of them: a processor without one of
# them cannot run what is made for a processor that has it.
CHOSEN = {
    "x86_64": """avx avx2 avx512bf16 avx512bitalg avx512bw avx512cd avx512dq avx512f avx512fp16 avx512ifma avx512vbmi
        avx512vbmi2 avx512vl avx512vnni avx512vpopcntdq avxifma avxvnni bmi bmi2 cx16 egpr f16c fma fma4 gfni lzcnt movbe
        popcnt sahf sse3 sse4.1 sse4.2 sse4a ssse3 tbm xop""",
    "aarch64": "bf16 crc dotprod fp-armv8 fullfp16 i8mm lse neon rcpc sha3 sve sve2",
}
_redirecting = threading.Lock()


def architecture(triple: str) -> str:
    """`x86_64` of `x86_64-unknown-linux-gnu`; what Apple calls arm64 is aarch64."""
    name = triple.split("-")[0]
    return "aarch64" if name == "arm64" else name


def choosable(triple: str) -> list[str]:
    """Those of CHOSEN that are of this architecture."""
    return sorted(CHOSEN.get(architecture(triple), "").split())


def machine(triple: str, cpu: str = "", features: str = "") -> Any:
    """A new LLVM code generator, for position-independent code. Raises TargetError without one."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()
    try:
        found = llvm.Target.from_triple(triple)
    except RuntimeError as error:
        call = f"Target({triple!r}, {cpu!r})"
        problem = f"expected a triple that LLVM has a generator for, got {error}"
        raise TargetError(
            call, problem, f"{cpu or 'any processor'} ({triple})", f"this machine is {llvm.get_process_triple()}"
        ) from error
    return found.create_target_machine(cpu=cpu, features=features, opt=2, reloc="pic", codemodel="small")


@lru_cache(maxsize=256)
def unknown(triple: str, cpu: str, features: str = "") -> tuple[str, ...]:
    """Those of the names that have no meaning to LLVM: it ignores them, and says so on the standard error stream.

    For some 0.0001 s that is a file. Raises TargetError without a generator.
    """
    machine(triple)  # what it says of the triple is for all to see
    with _redirecting, ExitStack() as ends:
        try:
            file = ends.enter_context(tempfile.TemporaryFile())
            kept = os.dup(2)
        except OSError:  # a process without that stream, or one that may write no file
            return ()
        try:
            os.dup2(file.fileno(), 2)
            machine(triple, cpu, features)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        said = file.read().decode(errors="replace")
    return tuple(dict.fromkeys(re.findall(r"'(\S+)' is not a recognized", said)))


@lru_cache(maxsize=8)
def known(triple: str) -> tuple[list[str], list[str]]:
    """The names of all processors and features of a triple. LLVM tells them once in a process: this asks another one."""
    command = [sys.executable, "-m", "minicc.target.processors", triple]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    processors, _, features = said.partition("Available features")
    names = re.compile(r"^  (\S+) +- ", re.MULTILINE)
    return names.findall(processors), names.findall(features)


@lru_cache(maxsize=32)
def chosen(triple: str, cpu: str, features: str = "") -> frozenset[str]:
    """Those of CHOSEN that a processor has, with `features` (such as `+avx2,-fma`) added or taken away.

    LLVM moves a function into its caller only when the caller has all of its features: for each feature there is one
    function that has it, and those that are moved tell.
    """
    names = choosable(triple)
    attributes = f'"target-cpu"="{cpu}" "target-features"="{features}'
    lines = [f'target triple = "{triple}"', "declare void @work()"]
    for k, name in enumerate(names):
        comma = "," if features else ""
        lines.append(f'define internal void @f{k}() {attributes}{comma}+{name}" {{\ncall void @work()\nret void\n}}')
    calls = "\n".join(f"call void @f{k}()" for k in range(len(names)))
    lines.append(f'define void @main() {attributes}" {{\n{calls}\nret void\n}}')
    module = llvm.parse_assembly("\n".join(lines))
    builder = llvm.create_pass_builder(
        machine(triple, cpu, features), llvm.create_pipeline_tuning_options(speed_level=2)
    )
    builder.getModulePassManager().run(module, builder)
    left = {f.name for f in module.functions}
    return frozenset(name for k, name in enumerate(names) if f"f{k}" not in left)


def vectors(features: Collection[str], triple: str) -> tuple[int, int]:
    """Width in bits and number of the vector registers."""
    if "avx512f" in features:
        return 512, 32
    if "avx" in features or "avx2" in features:
        return 256, 16
    return 128, 32 if architecture(triple) == "aarch64" else 16


if __name__ == "__main__":
    machine(sys.argv[1], "help")
