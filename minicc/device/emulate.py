"""CUDA source, run on the CPU: what a launch plan does, seen without a GPU.

In: CUDA C++ and the names of its kernels. Out: functions that launch them over arrays. The source is
compiled with a C++ compiler against `cuda_on_cpu.h`, in which the threads of a block are coroutines:
barriers, shuffles and shared memory do what they do on a device, and what a device would answer with a
hang (a barrier that some threads miss) is an error, and so is an address that is no memory. It checks
grids, blocks, the order of arguments, barriers, workspaces and constants; it says nothing of speed, nor
of races between threads that no barrier separates, as threads run one after another.

    code = EmulatedCode(image.source, image.symbols)
    code.launch(KernelLaunch("add_kernel", (4, 1, 1), (256, 1, 1), 0, (0, 1)), [a, b])

What is trusted: nothing of the source. A package may come from anywhere, and C++ that is loaded runs, so it is compiled and
run in processes of their own (sandbox.py): as an unprivileged user, without files, network and further processes, with
limits on time and memory; arrays go there and back for each launch. Where the system does not offer that, it is refused.
Source that minicc has just made itself (`trusted`) takes the same way, and is run with what isolation there is.
Before, source is refused that names what reads files (`#include`, `asm`): the compiler does see those that
everyone may read. That is no wall, as names can be glued together in many ways; the processes are.

Inline assembly (tensor cores, `cp.async`) and headers of CUDA beyond the 16-bit floats have no form here.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicc.device.nvcc import encoded
from minicc.device.sandbox import NO_COMPILER, NOBODY, REFUSED, layout
from minicc.device.session import check_launch
from minicc.errors import BridgeError
from minicc.ir.arrays import Array
from minicc.runtime.image import KernelLaunch, Number

COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-fno-strict-aliasing", "-ffp-contract=off", "-U_FORTIFY_SOURCE",
         "-fstack-clash-protection")  # fmt: skip
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<(?:(?:cuda|mma|math_constants|device_|sm_|cooperative_groups|vector_)[^>\n]*"
                     r"|cstdint|stdint\.h|cmath|math\.h|cstring|climits|cfloat|type_traits)>[ \t]*$", re.M)  # fmt: skip
PREAMBLE = (
    "// NVRTC uses asm/volatile instead of __asm__/__volatile__ (gcc extension).",
    "#ifndef __asm__",
    "#define __asm__ asm",
)  # TVM's
DYNAMIC = re.compile(
    r"extern\s+__shared__\s+(?:(?:__align__|alignas)\s*\(\s*\d+\s*\)\s*)?(\w[\w ]*?)\s+(\w+)\s*\[\s*\]\s*;"
)
ALIGNED_SHARED = re.compile(r"(__shared__)\s+((?:__align__|alignas)\s*\(\s*\d+\s*\))")
BOUNDS = re.compile(r"__global__\s+void\s+__launch_bounds__\s*\(\s*(\d+)[^)]*\)\s*(\w+)\s*\(")
HOST = re.compile(r"\b(?:asm|__asm|__asm__|include|include_next|import|embed|__has_include|__has_include_next|__has_embed|_Pragma|pragma\s+GCC)\b"
                  r"|\.incbin")  # fmt: skip
SECONDS = 600  # that the compiler may take
LAUNCH_SECONDS = 120  # that a launch may take
STACKS = 4 << 30  # bytes of address space beside the arrays: what keeps them apart, 1024 stacks, the process
ANSWER = 64 << 10  # bytes of the longest answer
FOLDER = Path(__file__).parent
HEADER, SANDBOX = FOLDER / "cuda_on_cpu.h", FOLDER / "sandbox.py"
HEADERS = (HEADER, FOLDER / "cuda_types_on_cpu.h", FOLDER / "cuda_faults_on_cpu.h")
UNIX = "on Linux, as root or where user namespaces are allowed; or run on a device: --device cuda"


def find_compiler() -> str:
    """The path of a C++ compiler. Raises BridgeError when there is none."""
    for name in COMPILERS:
        if path := shutil.which(name):
            return path
    problem = f"expected a C++ compiler, got none: {', '.join(COMPILERS)} are not on the PATH"
    raise BridgeError("emulate", problem, hint="apt install g++, or run on a device: --device cuda")


def for_cpu(source: str, kernels: Sequence[str]) -> str:
    """CUDA source as C++: against the header, and with one function per kernel that launches it.

    Raises BridgeError for what only a device runs, and for what would make the compiler read a file.
    """
    plain = INCLUDE.sub("", source)
    own = "\n".join(line for line in plain.split("\n") if line.strip() not in PREAMBLE)
    if found := HOST.search(own.replace("\\\n", "")):
        line = next((text.strip() for text in own.split("\n") if found[0] in text), found[0])
        what = (
            "inline assembly, which only a device runs"
            if "asm" in found[0]
            else f"{found[0]}, which reads files or speaks to the compiler"
        )
        problem = f"expected CUDA C++ that stands for itself, got {what}"
        raise BridgeError("emulate", problem, line, "run on a device: --device cuda")
    text = DYNAMIC.sub(r"\1* \2 = (\1*)minicc::dynamic_shared;", plain)
    text = ALIGNED_SHARED.sub(r"\2 \1", text)
    launchers = "\n".join(
        f'extern "C" const char* minicc_launch_{k}(void** a, const int* s, int n, const unsigned* g, const unsigned* b, unsigned m)'
        f" {{ return minicc::launch({k}, a, s, n, g, b, m); }}" for k in kernels)  # fmt: skip
    return f'#include "{HEADER.name}"\n#define asm refused\n#define __asm refused\n#define __asm__ refused\n#line 1 "kernels.cu"\n{text}\n{launchers}\n'


class Memory(NamedTuple):
    """Memory with what stands beside it: a kernel gets the address of byte `start`."""

    held: Array  # of bytes
    start: int = 0


Argument = Array | Memory | Number


class EmulatedCode:
    """Compiled kernels in a process of their own, started again when it has ended. Arrays together have at most `memory` bytes.

    Raises BridgeError without a C++ compiler, when it refuses the source, and where the process cannot be isolated; that
    is no condition for source that is `trusted`.
    """

    def __init__(self, source: str, kernels: Sequence[str], memory: int = STACKS, trusted: bool = False) -> None:
        self.source, self.kernels, self.memory, self.trusted = source.split("\n"), tuple(kernels), memory, trusted
        self.bounds = {name: int(threads) for threads, name in BOUNDS.findall(source)}
        self.library = compiled(for_cpu(source, kernels), find_compiler(), trusted)
        self._turn = threading.Lock()  # a process has one set of stacks
        self._children: list[Child] = []  # one or none
        weakref.finalize(self, _end, self._children)
        with self._turn:
            self._child()

    def launch(self, launch: KernelLaunch, arguments: Sequence[Argument]) -> None:
        """Run a kernel over its whole grid; arrays among the arguments are changed in place. Raises BridgeError where CUDA would fail."""
        call, threads = check_launch(launch), math.prod(launch.block)
        if threads > (most := self.bounds.get(launch.kernel, threads)):
            wrong = f"expected at most the {most} threads of its launch bounds, got {threads}"
            raise BridgeError(call, wrong, hint="the launch and the source do not belong together")
        with self._turn:
            child = self._child()
            try:
                problem = child.launch(launch, arguments)
            except Gone as gone:
                ended = f"expected the kernel to end, got {gone}, and the process in which it ran is gone"
                hint = (
                    "the kernel is wrong: a loop without end, memory that is not its own, or more than a kernel may use"
                )
                raise BridgeError(call, ended, "kernels.cu", hint) from None
            finally:
                if child.pending:  # it may go on to compute, and to answer
                    _end(self._children)
        if problem is not None:
            hint = "the source is wrong, or its grid, block and arguments are"
            raise BridgeError(call, f"the kernel fails: {problem}", self._lines(problem), hint)

    def _child(self) -> Child:
        """The process; another one when it has ended, or is that of the parent of a fork."""
        if not (self._children and self._children[0].is_ours):
            _end(self._children)
            self._children.append(Child(self.library, self.kernels, self.memory + STACKS, self.trusted))
        return self._children[0]

    def _lines(self, problem: str) -> str:
        """The lines of the source that a message names; a #line in it may have given them numbers that are none."""
        numbers = [
            n
            for n in dict.fromkeys(int(n) for n in re.findall(r"line (\d{1,9})", problem))
            if 1 <= n <= len(self.source)
        ]
        return "\n".join(f"kernels.cu:{n}: {self.source[n - 1].strip()}" for n in numbers) or "kernels.cu"

    def close(self) -> None:
        """End the process. A later launch starts another."""
        with self._turn:
            _end(self._children)


# ---- the processes ----------------------------------------------------------------------------------------------


class Gone(Exception):
    """A process that ended, or does not answer; says how."""


class Child:
    """A process with the kernels, and the file through which memory goes there and back. Raises BridgeError when it cannot be isolated."""

    def __init__(self, library: bytes, kernels: Sequence[str], memory: int, trusted: bool) -> None:
        self.owner, self.pending = os.getpid(), False
        self.file = os.memfd_create("minicc")
        with folder_of({"kernels.so": library}, 0o555) as folder:
            command = [*python("serve", folder, trusted), str(self.file), str(memory), *kernels]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
                                            env={}, pass_fds=[self.file], bufsize=0)  # fmt: skip
            assert self.process.stdin is not None and self.process.stdout is not None
            self._requests, self._answers = self.process.stdin, self.process.stdout
            try:
                what, *why = self._answer(SECONDS)
            except Gone as gone:
                self.close()
                raise _no_library(gone) from None
        if what != "ready":
            self.close()
            reason = str(why[0])
            raise _no_library(reason) if what == "no library" else _not_isolated(reason)

    @property
    def is_ours(self) -> bool:
        """Whether it waits for a launch of this process."""
        return self.owner == os.getpid() and self.process.poll() is None

    def launch(self, launch: KernelLaunch, arguments: Sequence[Argument]) -> str | None:
        """What is wrong, if anything. Raises Gone."""
        places: dict[int, tuple[memoryview, int]] = {}  # by address: bytes, and where they are in the file
        request: list[tuple[object, ...]] = []
        end = 0
        for argument in arguments:
            if isinstance(argument, Number):
                request.append((argument.dtype.name, argument.value))
                continue
            held, start = argument if isinstance(argument, Memory) else Memory(argument)
            view = held.reshape(-1).view(np.uint8).data
            pages, place = layout(len(view), start)
            if held.ctypes.data not in places:
                places[held.ctypes.data] = view, end + place
                end += pages
            request.append(("piece", places[held.ctypes.data][1] - place, len(view), start))
        if end > os.fstat(self.file).st_size:
            os.ftruncate(self.file, end)
        for view, place in places.values():
            _whole(view, lambda part, at: os.pwrite(self.file, part, at), place)
        self.pending = True
        try:
            message = {"kernel": launch.kernel, "grid": launch.grid, "block": launch.block, "shared": launch.shared_bytes,
                       "arguments": request}  # fmt: skip
            self._requests.write(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            raise Gone(self._end()) from None
        answer = self._answer(LAUNCH_SECONDS)[0]
        self.pending = False
        for view, place in places.values():
            _whole(view, lambda part, at: os.preadv(self.file, [part], at), place)
        return None if answer is None else str(answer)

    def _answer(self, seconds: float) -> list[str | None]:
        """The next answer, which is not to be trusted. Raises Gone."""
        line, until, out = b"", time.monotonic() + seconds, self._answers.fileno()
        while not line.endswith(b"\n"):
            if len(line) > ANSWER or not select.select([out], [], [], max(until - time.monotonic(), 0))[0]:
                raise Gone(f"none after {seconds:g} seconds")
            part = os.read(out, ANSWER)
            if not part:
                raise Gone(self._end())
            line += part
        try:
            read = json.loads(line)
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, list) or not read:
            raise Gone("an answer that is none")
        return read

    def _end(self) -> str:
        status = self.process.wait()
        return f"the signal {signal.Signals(-status).name}" if status < 0 else f"the exit status {status}"

    def close(self) -> None:
        """End the process."""
        if self.owner == os.getpid():
            self.process.kill()
            self.process.wait()
        for pipe in (self._requests, self._answers):
            pipe.close()
        os.close(self.file)


def _end(children: list[Child]) -> None:
    while children:
        children.pop().close()


def _whole(view: memoryview, move: Callable[[memoryview, int], int], place: int) -> None:
    """Read or write all of it, at a place of a file: the system may move less at a time."""
    while view:
        count = move(view, place)
        view, place = view[count:], place + count


def python(what: str, folder: Path, trusted: bool) -> list[str]:
    """The command of sandbox.py, which sees nothing of the user's: neither his environment nor what he installed."""
    return [sys.executable, "-I", "-S", str(SANDBOX), what, str(folder), str(int(trusted))]


@contextmanager
def folder_of(files: Mapping[str, bytes], mode: int) -> Iterator[Path]:
    """A folder with these files, which is removed in the end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        folder.chmod(mode)
        try:
            yield folder
        finally:
            folder.chmod(0o700)


@functools.lru_cache(maxsize=32)
def compiled(text: str, compiler: str, trusted: bool) -> bytes:
    """C++ as a library. Raises BridgeError with the compiler's first complaint about the source."""
    headers = {file.name: file.read_bytes() for file in HEADERS}
    with folder_of({"kernels.cpp": encoded("emulate", text), **headers}, 0o755) as folder:
        with suppress(OSError):  # whoever is not root compiles as himself
            os.chown(folder, NOBODY, NOBODY)
        command = [*python("compile", folder, trusted), compiler, *FLAGS, "-I", ".", "-o", "kernels.so", "kernels.cpp"]
        environment = {"PATH": f"{Path(compiler).parent}{os.pathsep}{os.defpath}", "TMPDIR": ".", "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False, env=environment
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _no_compiler(error) from None
        said = done.stderr.decode(errors="replace")
        if done.returncode == REFUSED:
            raise _not_isolated(said.strip())
        if done.returncode == NO_COMPILER:
            raise _no_compiler(said.strip())
        if done.returncode:
            first = next(
                (line for line in said.splitlines() if line.startswith("kernels.cu:") and "error" in line), "kernels.cu"
            )
            problem = f"expected CUDA C++ that {Path(compiler).name} can compile against {HEADER.name}, got an error"
            hint = "the source uses something of CUDA that is not emulated: run on a device"
            raise BridgeError("emulate", problem, first, hint)
        try:
            return (folder / "kernels.so").read_bytes()
        except OSError as error:
            raise _no_library(error) from None


def _no_compiler(error: object) -> BridgeError:
    return BridgeError(
        "emulate", f"expected the C++ compiler to work, got {error}", hint="run on a device: --device cuda"
    )


def _no_library(error: object) -> BridgeError:
    problem = f"expected the C++ compiler to write a library, got {error}"
    return BridgeError("emulate", problem, hint="reinstall g++, or run on a device: --device cuda")


def _not_isolated(reason: str) -> BridgeError:
    problem = f"expected a process that is isolated, as a package may come from anywhere, got none: {reason}"
    return BridgeError("emulate", problem, hint=UNIX)
