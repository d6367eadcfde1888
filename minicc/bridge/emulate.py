"""CUDA source, run on the CPU: what a launch plan does, seen without a GPU.

In: CUDA C++ and the names of its kernels. Out: functions that launch them over arrays in ordinary
memory. The source is compiled with a C++ compiler against `cuda_on_cpu.h`, in which the threads of
a block are coroutines: barriers, shuffles and shared memory do what they do on a device, and what a
device would answer with a hang (a barrier that some threads miss) is an error, and so is what would
end this process, such as an address that is no memory. It checks grids, blocks, the order of
arguments, barriers, workspaces and constants; it says nothing of speed, nor of races between threads
that no barrier separates, as threads run one after another.

    code = EmulatedCode(bundle.source, bundle.kernels)
    code.launch("add_kernel", (4, 1, 1), (256, 1, 1), 0, [address_of_a, address_of_b])

Inline assembly (tensor cores, `cp.async`) and headers of CUDA beyond the 16-bit floats have no form here.
"""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from minicc.bridge.bundle import Number, check_launch, encoded
from minicc.errors import BridgeError

COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-fno-strict-aliasing", "-ffp-contract=off", "-U_FORTIFY_SOURCE",
         "-fstack-clash-protection")  # fmt: skip
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<(?:cuda|mma|math_constants|device_|sm_|cooperative_groups|vector_)[^>]*>", re.M)
DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:(?:__align__|alignas)\s*\(\s*\d+\s*\)\s*)?(\w[\w ]*?)\s+(\w+)\s*\[\s*\]\s*;")
ALIGNED_SHARED = re.compile(r"(__shared__)\s+((?:__align__|alignas)\s*\(\s*\d+\s*\))")
BOUNDS = re.compile(r"__global__\s+void\s+__launch_bounds__\s*\(\s*(\d+)[^)]*\)\s*(\w+)\s*\(")
ASSEMBLY = re.compile(r"\b(?:asm|__asm__)\b\s*(?:volatile|__volatile__)?\s*\(")
ONE_AT_A_TIME = threading.Lock()  # a library has one set of stacks
SECONDS = 600  # that the compiler may take
HEADER = Path(__file__).parent / "cuda_on_cpu.h"


def find_compiler() -> str:
    """The path of a C++ compiler. Raises BridgeError when there is none."""
    for name in COMPILERS:
        if path := shutil.which(name):
            return path
    raise BridgeError("emulate", f"expected a C++ compiler, got none: {', '.join(COMPILERS)} are not on the PATH",
                      hint="apt install g++, or run on a device: --device cuda")


def for_cpu(source: str, kernels: Sequence[str]) -> str:
    """CUDA source as C++: against the header, and with one function per kernel that launches it."""
    if found := ASSEMBLY.search(INCLUDE.sub("", source)):
        line = source[: source.index(found[0])].count("\n") + 1
        raise BridgeError("emulate", "expected CUDA C++, got inline assembly, which only a device runs",
                          where=source.split("\n")[line - 1].strip(), hint="run on a device: --device cuda")
    text = DYNAMIC.sub(r"\1* \2 = (\1*)minicc::dynamic_shared;", INCLUDE.sub("", source))
    text = ALIGNED_SHARED.sub(r"\2 \1", text)
    launchers = "\n".join(
        f'extern "C" const char* minicc_launch_{k}(void** a, const int* s, int n, const unsigned* g, const unsigned* b, unsigned m)'
        f" {{ return minicc::launch({k}, a, s, n, g, b, m); }}" for k in kernels)  # fmt: skip
    return f'#include "{HEADER.name}"\n#line 1 "kernels.cu"\n{text}\n{launchers}\n'


class EmulatedCode:
    """Compiled kernels. Raises BridgeError without a C++ compiler, or when it refuses the source."""

    def __init__(self, source: str, kernels: Sequence[str]) -> None:
        self.source = source.split("\n")
        self.bounds = {name: int(threads) for threads, name in BOUNDS.findall(source)}
        self.library = compiled(for_cpu(source, kernels), find_compiler())
        try:
            self.functions = {name: self.library[f"minicc_launch_{name}"] for name in kernels}
        except AttributeError as error:
            raise _no_library(error) from None
        for function in self.functions.values():
            function.restype = ctypes.c_char_p

    def launch(self, kernel: str, grid: Sequence[int], block: Sequence[int], shared_bytes: int, arguments: Sequence[int | Number]) -> None:
        """Run a kernel over its whole grid; an int among the arguments is an address. Raises BridgeError where CUDA would fail."""
        call = check_launch(kernel, grid, block, shared_bytes)
        threads = block[0] * block[1] * block[2]
        if threads > self.bounds.get(kernel, threads):
            raise BridgeError(call, f"expected at most the {self.bounds[kernel]} threads of its launch bounds, got {threads}",
                              hint="the plan and the source do not belong together")
        held = [number_of(a) if isinstance(a, Number) else ctypes.c_void_p(a) for a in arguments]
        count = len(held)
        places = (ctypes.c_void_p * count)(*map(ctypes.addressof, held))
        sizes = (ctypes.c_int * count)(*(ctypes.sizeof(h) if isinstance(a, Number) else 0 for h, a in zip(held, arguments, strict=True)))
        three = ctypes.c_uint * 3
        with ONE_AT_A_TIME:
            problem = self.functions[kernel](places, sizes, count, three(*grid), three(*block), ctypes.c_uint(shared_bytes))
        if problem is not None:
            raise BridgeError(call, f"the kernel fails: {problem.decode()}", where=self._lines(problem.decode()),
                              hint="the source, or its grid, block and arguments in the plan, are wrong")

    def _lines(self, problem: str) -> str:
        """The lines of the source that a message names; a #line in it may have given them numbers that are none."""
        numbers = [n for n in dict.fromkeys(int(n) for n in re.findall(r"line (\d+)", problem)) if 1 <= n <= len(self.source)]
        return "\n".join(f"kernels.cu:{n}: {self.source[n - 1].strip()}" for n in numbers) or "kernels.cu"

    def close(self) -> None:
        """Give back the stacks of the threads."""
        with ONE_AT_A_TIME:
            self.library.minicc_close()


def number_of(number: Number) -> ctypes._SimpleCData[int]:
    """The number as C holds it."""
    made: ctypes._SimpleCData[int] = getattr(ctypes, f"c_{number.dtype.name}")(number.value)
    return made


@functools.lru_cache(maxsize=32)
def compiled(text: str, compiler: str) -> ctypes.CDLL:
    """C++ as a library in this process. Raises BridgeError with the compiler's first complaint."""
    with tempfile.TemporaryDirectory() as folder:
        file, library = Path(folder) / "kernels.cpp", Path(folder) / "kernels.so"
        file.write_bytes(encoded("emulate", text))
        command = [compiler, *FLAGS, "-I", str(HEADER.parent), "-o", str(library), str(file)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BridgeError("emulate", f"expected the C++ compiler to work, got {error}", hint="run on a device: --device cuda") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace")
            first = next((line for line in said.splitlines() if "error" in line), said[:200])
            raise BridgeError("emulate", f"expected CUDA C++ that {Path(compiler).name} can compile against {HEADER.name}, got an error",
                              where=first, hint="the source uses something of CUDA that is not emulated: run on a device")
        try:
            return ctypes.CDLL(str(library))
        except OSError as error:
            raise _no_library(error) from None


def _no_library(error: Exception) -> BridgeError:
    return BridgeError("emulate", f"expected the C++ compiler to write a library, got {error}", hint="reinstall g++, or run on a device: --device cuda")


__all__ = ["EmulatedCode", "find_compiler", "for_cpu"]
