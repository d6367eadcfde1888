"""The process in which the kernels of a bundle are compiled, and run: it can compute, and nothing else.

In: a command line. Out: a C++ compiler's result, or a process that answers launches. It is a script that knows
Python's standard library alone, so that it starts fast and holds nothing that is worth stealing:

    python -I -S sandbox.py compile FOLDER TRUSTED g++ ...          # ends as the compiler does
    python -I -S sandbox.py serve FOLDER TRUSTED FILE MEMORY KERNEL ...  # `kernels.so` of the folder; launches on standard input

What it gives up, in this order, before the first instruction of the bundle (constructors run when a library is
loaded) is executed:

- limits: no cores, no files that grow, few open files, no further processes, so much memory, so much time;
- the file system: its root is FOLDER, which holds the library, and is removed when that is loaded. Whoever may not do that gives
  up to open anything else (Landlock);
- the user: root becomes nobody; anyone else a user without rights in namespaces of his own (user, mount, network, IPC);
- system calls: a filter (seccomp) leaves those that memory, signals and the two pipes need. The others are refused:
  no sockets, no processes, no signals to others, no files that are written.

Submissions of a course (course/inside.py) give up the same, by the same steps; they keep threads.

A step that fails is an answer, `refused`, unless TRUSTED is 1. The compiler needs a file system and processes, so it gets limits,
the user and the rest of the machine's files as nobody sees them; what would make it read one is refused before (emulate.py).

A launch is a line of JSON: kernel, grid, block, shared bytes, and arguments, each a number or a piece of the file whose
descriptor is FILE. The answer is a line of JSON, too: null, or what went wrong. The parent believes none of it.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

NOBODY = 65534
SECONDS = 3600  # of CPU time in all, so that a kernel without end ends even if nobody waits for it
COMPILE_SECONDS, COMPILE_BYTES, FILE_BYTES = 300, 4 << 30, 256 << 20
PAGE, GUARD, FAR = os.sysconf("SC_PAGESIZE"), 256, 32 << 20
REFUSED, NO_COMPILER = 125, 126  # exit statuses where the compiler was not started
NO_NEW_PRIVILEGES, SECCOMP, FILTER, DEATH_SIGNAL = 38, 22, 2, 1  # of prctl
NAMESPACES = 0x10000000 | 0x00020000 | 0x40000000 | 0x08000000  # CLONE_NEWUSER, NEWNS, NEWNET, NEWIPC
PROT_NONE, PROT_READ_WRITE, SHARED, PRIVATE, FIXED, ANONYMOUS = 0, 3, 1, 2, 16, 32  # of mmap
LIBRARIES = ("libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6")  # loaded before the file system is gone

# The system calls that stay, by machine: its name to the kernel, then numbers; those of openat, to read, and of tgkill, to itself alone, come last.
# read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn pread64 sched_yield mremap
# madvise getpid exit gettid futex exit_group newfstatat sigaltstack getrandom clock_gettime rseq restart_syscall
CALLS = {
    "x86_64": (0xC000003E, (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 17, 24, 25, 28, 39, 60, 186, 202, 231, 262, 131,
                            318, 228, 334, 219), 257, 234),
    "aarch64": (0xC00000B7, (63, 64, 57, 80, 62, 222, 226, 215, 214, 134, 135, 139, 67, 124, 216, 233, 172, 93, 178, 98, 94,
                             79, 132, 278, 113, 293, 128), 56, 131),
}  # fmt: skip
# What a program with threads has, too: getdents64 uname sysinfo getrusage getcwd getuid getgid geteuid getegid getppid
# set_robust_list sched_getaffinity nanosleep clock_nanosleep clock_getres readlink(at); then clone, of threads alone, and clone3, which is not known.
THREADED = {
    "x86_64": ((217, 63, 99, 98, 79, 102, 104, 107, 108, 110, 273, 204, 35, 230, 229, 89, 267), 56, 435),
    "aarch64": ((61, 160, 179, 165, 17, 174, 176, 175, 177, 173, 99, 123, 101, 115, 114, 78), 220, 435),
}
WRITES = 0x400643  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_TMPFILE
CLONE_THREAD, WHOLE = 0x10000, 0xFFFFFFFF
LANDLOCK = (444, 445, 446)  # its system calls on every machine: create a set of rules, add one, obey
OPENS = 0x1FFF  # what Landlock may forbid, in its first version: to run, read, write, list, make, remove
READS = 0xC  # of these: to read a file, to list a folder

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def checked(result: int) -> None:
    """Raise OSError when a function of C gave -1."""
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# ---- what is given up -------------------------------------------------------------------------------------------


def limit(seconds: int, memory: int, file_bytes: int, files: int, processes: int) -> None:
    """Limits that no later step can raise."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: seconds, resource.RLIMIT_AS: memory, resource.RLIMIT_FSIZE: file_bytes,
              resource.RLIMIT_NOFILE: files, resource.RLIMIT_NPROC: processes}  # fmt: skip
    for which, most in limits.items():
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))


def enter_namespaces() -> None:
    """Whoever cannot become nobody (he is not root, or is it in a namespace of his own only) enters one in which he is nobody."""
    if os.geteuid() == 0:
        try:
            return os.setgroups([])
        except OSError:
            pass
    return checked(libc.unshare(NAMESPACES))


def leave_files() -> None:
    """The current folder is the root; or else, all that can be opened."""
    try:
        os.chroot(".")
    except OSError:
        open_nothing_else()


def open_nothing_else() -> None:
    """Forbid to open what is not in the current folder. Source: Linux, Documentation/userspace-api/landlock.rst."""
    create, add, obey = LANDLOCK
    checked(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    rules = libc.syscall(create, struct.pack("Q", OPENS), 8, 0)
    checked(rules)
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    checked(libc.syscall(add, rules, 1, struct.pack("=Qi", READS, here), 0))
    checked(libc.syscall(obey, rules, 0))
    os.close(here)
    os.close(rules)


def become_nobody() -> None:
    """Root becomes nobody, and anyone loses the rights that a namespace gave."""
    if os.geteuid() == 0:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    checked(libc.capset(struct.pack("Ii", 0x20080522, 0), bytes(24)))
    checked(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))


def end_with_parent() -> None:
    """Be killed when the parent ends; who changes his user must ask for it after that."""
    checked(libc.prctl(DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))


def filter_calls(threads: bool = False) -> None:
    """Let the kernel refuse all system calls but `CALLS`. Source: Linux, Documentation/userspace-api/seccomp_filter.rst."""
    if platform.machine() not in CALLS:
        raise OSError(0, f"the system calls of {platform.machine()} are not known here")
    machine, known, openat, tgkill = CALLS[platform.machine()]
    numbers = [*known]
    load, equal, give, mask = 0x20, 0x15, 0x06, 0x54
    allow, refuse, kill, unknown = 0x7FFF0000, 0x00050001, 0x80000000, 0x00050026  # refuse: with EPERM; unknown: ENOSYS
    some = [
        (openat, 2, WRITES, 0),
        (tgkill, 0, WHOLE, os.getpid()),
    ]  # number, argument, which of its bits, what they must be
    code = [(load, 0, 0, 4), (equal, 1, 0, machine), (give, 0, 0, kill), (load, 0, 0, 0)]
    if threads:
        more, clone, clone3 = THREADED[platform.machine()]
        numbers += more
        some.append((clone, 0, CLONE_THREAD, CLONE_THREAD))
        code += [(equal, 0, 1, clone3), (give, 0, 0, unknown)]  # its flags lie in memory, which no filter sees
    for number in numbers:
        code += [(equal, 0, 1, number), (give, 0, 0, allow)]
    for number, argument, bits, wanted in some:
        code += [(equal, 0, 5, number), (load, 0, 0, 16 + 8 * argument), (mask, 0, 0, bits), (equal, 0, 1, wanted),
                 (give, 0, 0, allow), (give, 0, 0, refuse)]  # fmt: skip
    code += [(give, 0, 0, refuse)]
    held = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(held)))
    checked(libc.prctl(SECCOMP, FILTER, ctypes.byref(program), 0, 0))


def filter_calls_but_threads() -> None:
    """`filter_calls`, and threads stay."""
    filter_calls(threads=True)


def give_up(steps: Sequence[Callable[[], None]], trusted: bool) -> str:
    """Do all steps; which one failed and why, or "". A trusted program goes on without it."""
    for step in steps:
        try:
            step()
        except (OSError, ValueError) as error:
            if not trusted:
                return f"{step.__name__}: {error}"
    return ""


# ---- the compiler -----------------------------------------------------------------------------------------------


def compile_kernels(trusted: bool, command: Sequence[str]) -> NoReturn:
    """Become the compiler."""
    limit(COMPILE_SECONDS, COMPILE_BYTES, FILE_BYTES, 256, 4096)
    if refused := give_up([enter_namespaces, become_nobody], trusted):
        end(REFUSED, refused)
    try:
        os.execv(command[0], list(command))
    except OSError as error:
        end(NO_COMPILER, f"{command[0]}: {error}")


def end(status: int, why: str) -> NoReturn:
    """Say why there is no compiler."""
    print(why, file=sys.stderr)
    sys.exit(status)


# ---- launches ---------------------------------------------------------------------------------------------------


class Mapped:
    """A part of the memory file, mapped between `FAR` bytes that are no memory; as near to the end of its own pages as its alignment lets it be."""

    def __init__(self, file: int, offset: int, size: int, start: int) -> None:
        pages, place = layout(size, start)
        self.whole = pages + 2 * FAR
        self.base = libc.mmap(None, self.whole, PROT_NONE, PRIVATE | ANONYMOUS, -1, 0)
        failed = ctypes.c_void_p(-1).value
        if (
            self.base == failed
            or libc.mmap(self.base + FAR, pages, PROT_READ_WRITE, SHARED | FIXED, file, offset) == failed
        ):
            raise MemoryError(f"no memory for {size} bytes")
        self.address = self.base + FAR + place + start

    def close(self) -> None:
        """Unmap it."""
        libc.munmap(self.base, self.whole)


def layout(size: int, start: int) -> tuple[int, int]:
    """How many bytes of whole pages hold a piece, and where it begins in them: byte `start` of it is aligned as device memory is."""
    pages = -(-(size + GUARD) // PAGE) * PAGE
    place = pages - size
    return pages, place - (place + start) % GUARD


def launch(library: ctypes.CDLL, file: int, request: dict[str, Any]) -> str | None:
    """Run a kernel over its grid; what is wrong, if anything."""
    pieces: list[Mapped] = []
    held: list[Any] = []
    try:
        for kind, *numbers in request["arguments"]:
            if kind == "piece":
                pieces.append(Mapped(file, *numbers))
                held.append(ctypes.c_void_p(pieces[-1].address))
            else:
                held.append(getattr(ctypes, f"c_{kind}")(*numbers))
        count, three = len(held), ctypes.c_uint * 3
        places = (ctypes.c_void_p * count)(*map(ctypes.addressof, held))
        sizes = (ctypes.c_int * count)(*(0 if isinstance(h, ctypes.c_void_p) else ctypes.sizeof(h) for h in held))
        function = library[f"minicc_launch_{request['kernel']}"]
        function.restype = ctypes.c_char_p
        problem: bytes | None = function(
            places, sizes, count, three(*request["grid"]), three(*request["block"]), ctypes.c_uint(request["shared"])
        )
        return None if problem is None else problem.decode(errors="replace")
    except MemoryError as error:
        return str(error)
    finally:
        for piece in pieces:
            piece.close()


def serve(trusted: bool, file: int, memory: int, kernels: Sequence[str]) -> None:
    """Load the library, and answer launches until the parent closes the pipe."""
    requests = os.fdopen(0, "rb")
    for name in LIBRARIES:
        try:
            ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
        except OSError:  # of another C library
            continue
    limit(SECONDS, memory, 0, 16, 0)
    if refused := give_up([enter_namespaces, leave_files, become_nobody, filter_calls], trusted):
        return say(["refused", refused])
    try:
        library = ctypes.CDLL("./kernels.so")
        for kernel in kernels:
            library[f"minicc_launch_{kernel}"]
    except (OSError, AttributeError) as error:
        return say(["no library", str(error)])
    say(["ready"])
    while line := requests.readline():
        say([launch(library, file, json.loads(line))])
    return None


def say(message: Sequence[str | None]) -> None:
    """Send a line to the parent."""
    os.write(1, json.dumps(message).encode() + b"\n")


def main(what: str, folder: str, trusted: str, *rest: str) -> None:
    """Be the child."""
    os.chdir(folder)
    if what == "compile":
        compile_kernels(trusted == "1", rest)
    serve(trusted == "1", int(rest[0]), int(rest[1]), rest[2:])
    os._exit(0)  # no destructors of the library


if __name__ == "__main__":
    main(*sys.argv[1:])
